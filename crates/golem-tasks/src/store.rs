//! Where runs are kept: what was intended, what came of it, and every task's one result, in a database.
//!
//! All SQL of the project is in this module. A [`Store`] is one database with many runs; a [`RunStore`] writes the
//! events of one run, as the engine's journal; [`RunSummary`] and [`TaskRow`] are what can be read back, also from
//! another process while the run goes on.
//!
//! **Durability.** Everything of one commit is in one transaction of SQLite in WAL mode with `synchronous = NORMAL`.
//! What was committed survives the process being killed at any instruction, and the database can't be corrupted by
//! that or by a power cut. After a power cut or a crash of the operating system, though, the newest commits, up to
//! the last checkpoint, may be gone as a whole; the run is then as it was some moments earlier, and the daemon still
//! knows the deals and bills of those moments.
//!
//! Left to others: deciding anything about a run, and showing it.

mod bulk;
mod dsn;
mod error;
mod read;
mod record;
mod summary;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqliteConnection, SqlitePool};
use tokio::time::{Instant, sleep};
use yagna_api::{AppSessionId, Timestamp};

pub use dsn::{Dsn, DsnError};
pub use error::StoreError;
pub use read::{TaskFailureRow, TaskRow, TaskStatus};
pub use record::RunStore;
pub use summary::{ExplainedEnd, FailedTask, LISTED, ProviderSummary, RefusedBill, RunSummary, TaskCounts};

/// Every version of the schema, oldest first.
static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
/// What our databases are marked with; see the first migration.
const APPLICATION_ID: i64 = 1_196_379_211;
/// How long one process waits for another one's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause before a new database is opened again that another process is setting up.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Statements kept prepared on a connection; the writer has some dozens of its own.
const PREPARED_STATEMENTS: usize = 256;

/// A database of runs. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
    place: String,
}

/// A run that is about to begin.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// What people call it; see [`random_run_id`].
    pub run_id: String,
    /// When it begins.
    pub created: Timestamp,
    /// What its agreements are confirmed with; the same whenever this run is taken up again.
    pub app_session: AppSessionId,
    /// What is run and under which limits. For people and for comparing; never secrets.
    pub job: Value,
}

impl Store {
    /// Opens the database, creates it with its folders on first use, and brings its schema up to date.
    ///
    /// A database written by a newer version of the program, or by another program, is refused and not touched.
    pub async fn open(dsn: &Dsn) -> Result<Self, StoreError> {
        let place = dsn.to_string();
        let (options, connections) = match dsn {
            Dsn::Sqlite(path) => {
                create_folder(path)?;
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal);
                (options, 4)
            }
            // Each connection to memory would be a database of its own.
            Dsn::Memory => (SqliteConnectOptions::new().in_memory(true), 1),
        };
        let options = options
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(PREPARED_STATEMENTS);
        let pool = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(connections)
            .idle_timeout(None)
            .max_lifetime(None);
        let pool = connect(pool, options)
            .await
            .map_err(|source| StoreError::Open { place: place.clone(), source })?;
        let store = Self { pool, place };
        if let Err(error) = store.migrate().await {
            store.close().await;
            return Err(error);
        }
        Ok(store)
    }

    /// Records a run that begins now. Ids are taken once for all: one that exists is refused.
    pub async fn create_run(&self, run: &NewRun) -> Result<RunStore, StoreError> {
        let inserted = sqlx::query(
            "INSERT INTO run (run_id, created_at, app_session, version, job) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (run_id) DO NOTHING RETURNING run_no",
        )
        .bind(&run.run_id)
        .bind(run.created.as_microsecond())
        .bind(run.app_session.as_str())
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(run.job.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(|source| self.failed("record the run", source))?;
        match inserted {
            Some(row) => Ok(RunStore::new(self.clone(), run.run_id.clone(), read::get(&row, "run_no")?)),
            None => Err(StoreError::RunExists { run_id: run.run_id.clone(), place: self.place.clone() }),
        }
    }

    /// Where the runs are, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Closes all connections once what they do is done.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    fn failed(&self, doing: &'static str, source: sqlx::Error) -> StoreError {
        StoreError::Query { doing, place: self.place.clone(), source }
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        // One exclusive transaction around the check and all the steps: of two processes that meet a new
        // database, one waits for the other.
        let failed = |source| self.failed("bring the schema up to date", source);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        self.check_whose(&mut transaction).await?;
        // `run` does the same by way of a trait that keeps this future from being `Send`.
        match MIGRATIONS.run_direct(None, &mut *transaction, false).await {
            Ok(()) => transaction.commit().await.map_err(failed),
            Err(MigrateError::VersionMissing(version)) => Err(StoreError::Newer {
                place: self.place.clone(),
                found: version,
                known: MIGRATIONS.iter().map(|step| step.version).max().unwrap_or(0),
            }),
            Err(source) => Err(StoreError::Migrate { place: self.place.clone(), source }),
        }
    }

    /// Refuses a database that holds somebody else's tables.
    async fn check_whose(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let failed = |source| self.failed("look into the database", source);
        let application: i64 =
            sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if application == APPLICATION_ID || (application == 0 && tables == 0) {
            Ok(())
        } else {
            Err(StoreError::NotOurs { place: self.place.clone() })
        }
    }
}

/// A readable id for a run that wasn't given one, such as `brave-otter-4821`.
pub fn random_run_id(chance: &mut fastrand::Rng) -> String {
    const KINDS: [&str; 24] = [
        "amber", "bold", "brave", "bright", "calm", "clever", "eager", "fair", "gentle", "happy", "jolly",
        "keen", "kind", "lively", "lucky", "merry", "nimble", "proud", "quick", "quiet", "rapid", "silver",
        "sunny", "wise",
    ];
    const ANIMALS: [&str; 24] = [
        "badger", "beaver", "bison", "crane", "dolphin", "eagle", "falcon", "finch", "fox", "gecko", "hare",
        "heron", "ibex", "lark", "lynx", "marten", "otter", "owl", "panda", "raven", "seal", "stork",
        "tiger", "wren",
    ];
    let kind = KINDS[chance.usize(..KINDS.len())];
    let animal = ANIMALS[chance.usize(..ANIMALS.len())];
    format!("{kind}-{animal}-{:04}", chance.u16(0..10_000))
}

/// Connects, and again while another process is turning the same new database to its journal mode: `SQLite` doesn't
/// wait for that by itself, whatever its time-out for other locks is.
async fn connect(pool: SqlitePoolOptions, options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let began = Instant::now();
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if is_busy(&error) && began.elapsed() < BUSY_TIMEOUT => sleep(BUSY_PAUSE).await,
            connected => return connected,
        }
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    // The low byte is the primary code: 5 is SQLITE_BUSY, of whatever kind.
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

fn create_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|source| StoreError::Folder { folder: folder.to_owned(), source })
}
