//! The store of runs: intents, outcomes, and every task's one result, in a database.
//!
//! All SQL of the project is in this module. A [`Store`] is one database, SQLite or PostgreSQL, with many runs; a
//! [`RunStore`] writes the events of one run, as the engine's journal; a [`Lease`] says which process may;
//! [`RunStore::state`] is what a run is resumed from; [`RunSummary`], [`TaskRow`] and what is in `query` are what can be read back, also from another process while the run
//! goes on.
//! `docs/database.md` explains the tables to those who query them.
//!
//! **Durability.** Everything of one commit is in one transaction, and on the disk before the commit returns: SQLite is
//! in WAL mode with `synchronous = FULL`, PostgreSQL has `synchronous_commit` on. What was committed survives the
//! process being killed at any instruction, and a power cut too.
//!
//! Left to others: deciding anything about a run, and showing it.

mod database;
mod delete;
mod dsn;
mod error;
mod holder;
mod lease;
mod name;
mod payments;
mod query;
mod read;
mod record;
mod schema;
mod services;
mod state;
mod summary;
mod trouble;

use serde_json::Value;
use yagna_api::{AppSessionId, Timestamp};

use database::{Database, Statement, to_json};
pub use dsn::{Dsn, DsnError, PostgresDsn};
pub use error::StoreError;
pub use holder::{HeldBy, Holder, LEASE_TIMEOUT};
pub use lease::{LEASE_RENEWAL, Lease};
pub(crate) use name::task_name;
pub use payments::{OpenPayments, PaymentTotals};
pub(crate) use query::used_in;
pub use query::{
    ActivityRow, ActivityStatus, Ask, AttemptRow, AttemptStory, Block, Cell, CostOf, CostRow, ErrorGroup,
    ErrorKind, ErrorRow, ExplainedRun, Grouping, Lane, LastAttempt, Overview, Piece, ProviderRow, Pulse,
    RememberedProvider, ResultRow, RunRow, RunStatus, RunsWanted, Settled, Span, Stay, TaskAtWork, TaskOrder,
    TaskStory, TaskTime, TasksWanted, Timeline, TimesTaken, Wait, WaitedFor,
};
pub use read::{TaskFailureRow, TaskRow, TaskStatus};
pub use record::RunStore;
pub use schema::Installed;
pub(crate) use services::NewService;
pub use services::ServiceRow;
pub use state::{RunRecord, StoredTask};
pub use summary::{ExplainedEnd, FailedTask, LISTED, ProviderSummary, RefusedBill, RunSummary, TaskCounts};
pub use trouble::Trouble;

/// A database of runs. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    place: String,
}

/// A run that is about to begin.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The name of the run for people; see [`random_run_id`].
    pub run_id: String,
    /// The time at which it begins.
    pub created: Timestamp,
    /// The session with which its agreements are confirmed; the same whenever this run is resumed.
    pub app_session: AppSessionId,
    /// The work and its limits. For people and for comparing; never secrets.
    pub job: Value,
}

impl Store {
    /// Opens the database and brings its tables up to date; a SQLite file is created with its folders on first use.
    ///
    /// A database written by a newer version of the program, or by another program, is refused and not touched.
    pub async fn open(dsn: &Dsn) -> Result<Self, StoreError> {
        Self::open_and_install(dsn).await.map(|(store, _)| store)
    }

    /// Makes the tables in a database, or brings them up to date, and tells what was done. As often as you like; of
    /// several processes at once, one does it and the others wait.
    pub async fn install(dsn: &Dsn) -> Result<Installed, StoreError> {
        let (store, installed) = Self::open_and_install(dsn).await?;
        store.close().await;
        Ok(installed)
    }

    /// Records a run that begins now. Ids are taken once for all: one that exists is refused.
    ///
    /// Whoever writes the run is to [`take`](Self::take) it: this journal of it is no longer accepted once somebody did.
    pub async fn create_run(&self, run: &NewRun) -> Result<RunStore, StoreError> {
        let failed = |source| self.failed("record the run", source);
        let mut transaction = self.database.write().await.map_err(failed)?;
        let recorded = Statement::new(
            "INSERT INTO runs (run_id, created_at, app_session, version, job) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (run_id) DO NOTHING RETURNING run_no",
        )
        .text(run.run_id.as_str())
        .time(run.created)
        .text(run.app_session.as_str())
        .text(env!("CARGO_PKG_VERSION"))
        .json(to_json(&run.job).map_err(failed)?);
        let Some(row) = transaction.row(recorded).await.map_err(failed)? else {
            return Err(StoreError::RunExists { run_id: run.run_id.clone(), place: self.place.clone() });
        };
        let run_no = row.int("run_no")?;
        let held = Statement::new("INSERT INTO leases (run_no) VALUES ($1)").int(run_no);
        transaction.execute(held).await.map_err(failed)?;
        let nothing_yet = Statement::new("INSERT INTO states (run_no, body) VALUES ($1, $2)")
            .int(run_no)
            .json(to_json(&golem_core::state::RunState::default()).map_err(failed)?);
        transaction.execute(nothing_yet).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(RunStore::new(self.clone(), &run.run_id, run_no, 0))
    }

    /// The place of the runs, for people. Never a password.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Closes all connections once what they do is done.
    pub async fn close(&self) {
        self.database.close().await;
    }

    async fn open_and_install(dsn: &Dsn) -> Result<(Self, Installed), StoreError> {
        let (database, place) = Database::connect(dsn).await?;
        match schema::install(&database, &place).await {
            Ok(installed) => Ok((Self { database, place }, installed)),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    fn failed(&self, doing: &'static str, source: sqlx::Error) -> StoreError {
        StoreError::of_query(doing, &self.place, source)
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
