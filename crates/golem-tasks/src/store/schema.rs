//! The tables: making them, bringing them up to date, and refusing those that aren't ours.
//!
//! Versions are counted together for both databases; the steps are in `migrations`. A step once released is never
//! changed. Left to others: what is in the tables.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgPool, Postgres, SqlStr, SqlitePool};

use super::StoreError;
use super::database::Database;

/// The steps of each database, in order: the first makes version 1, the next version 2.
const SQLITE: &[(&str, &str)] = &[("runs", include_str!("../../migrations/sqlite/0001_runs.sql"))];
const POSTGRES: &[(&str, &str)] = &[("runs", include_str!("../../migrations/postgres/0001_runs.sql"))];

/// The mark of our SQLite files; see the first migration.
const APPLICATION_ID: i64 = 1_196_379_211;
/// The lock for which processes that install at the same time wait, one for the other: "golem-tasks", in digits.
const INSTALLING: i64 = 0x676f_6c65_6d74_6173;
/// Tables of ours that are there whichever version made them; with the table of versions they tell a schema as ours.
const OURS: &str =
    "SELECT to_regclass('tasks._sqlx_migrations') IS NOT NULL AND to_regclass('tasks.runs') IS NOT NULL";
/// Two tables that only golem-tasks-python has; in ours these names are views.
const PYTHON: &str = "SELECT count(*) = 2 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
     WHERE n.nspname = 'tasks' AND c.relname IN ('results', 'get_activity_errors') AND c.relkind = 'r'";
const EMPTY: &str = "SELECT NOT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
     WHERE n.nspname = 'tasks') AND NOT EXISTS (SELECT FROM pg_proc AS p \
     JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = 'tasks')";

/// The changes to a database by which runs can be kept in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The database.
    pub place: String,
    /// The version of its tables before; none when there were none.
    pub before: Option<i64>,
    /// The version of its tables now.
    pub now: i64,
}

/// Makes the tables, or brings them up to date. Anything but ours, and anything newer, is refused and not touched.
pub(super) async fn install(database: &Database, place: &str) -> Result<Installed, StoreError> {
    let installer = Installer { place };
    let (before, now) = match database {
        Database::Sqlite(pool, _) => installer.sqlite(pool).await?,
        Database::Postgres(pool) => installer.postgres(pool).await?,
    };
    Ok(Installed { place: place.to_owned(), before, now })
}

/// True if the database has tables of ours, whatever their version. Nothing is made. A SQLite file that exists counts.
pub(super) async fn is_there(database: &Database, place: &str) -> Result<bool, StoreError> {
    match database {
        Database::Sqlite(..) => Ok(true),
        Database::Postgres(pool) => sqlx::query_scalar(OURS)
            .fetch_one(pool)
            .await
            .map_err(|source| Installer { place }.not_made(pool, "look into the schema `tasks`", source)),
    }
}

/// True where the tables are of this version. Anything but ours, and anything newer, is refused; nothing is written.
pub(super) async fn is_current(database: &Database, place: &str) -> Result<bool, StoreError> {
    let Database::Sqlite(pool, _) = database else { return Ok(true) };
    let installer = Installer { place };
    let looked = |source| installer.failed("look into the database", source);
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(pool).await.map_err(looked)?;
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(pool).await.map_err(looked)?;
    if application == 0 && tables == 0 {
        return Ok(false);
    }
    if application != APPLICATION_ID {
        return Err(StoreError::NotOurs { place: place.to_owned() });
    }
    let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(pool)
        .await
        .map_err(looked)?;
    let known = newest(&steps(SQLITE));
    match found {
        Some(found) if found > known => Err(StoreError::Newer { place: place.to_owned(), found, known }),
        found => Ok(found == Some(known)),
    }
}

struct Installer<'p> {
    place: &'p str,
}

impl Installer<'_> {
    async fn sqlite(&self, pool: &SqlitePool) -> Result<(Option<i64>, i64), StoreError> {
        let steps = steps(SQLITE);
        let failed = |source| self.failed("bring the schema up to date", source);
        // One exclusive transaction around the check and all the steps: of two processes that meet a new database,
        // one waits for the other.
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let looked = |source| self.failed("look into the database", source);
        let application: i64 =
            sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *transaction).await.map_err(looked)?;
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut *transaction)
            .await
            .map_err(looked)?;
        let before = if application == APPLICATION_ID {
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
                .fetch_one(&mut *transaction)
                .await
                .map_err(looked)?
        } else if application == 0 && tables == 0 {
            None
        } else {
            return Err(StoreError::NotOurs { place: self.place.to_owned() });
        };
        // `run` does the same by way of a trait that keeps this future from being `Send`.
        let done = steps.run_direct(None, &mut *transaction, false).await;
        self.steps_done(&steps, done)?;
        transaction.commit().await.map_err(failed)?;
        Ok((before, newest(&steps)))
    }

    async fn postgres(&self, pool: &PgPool) -> Result<(Option<i64>, i64), StoreError> {
        let mut steps = steps(POSTGRES);
        // We have a lock of our own, which ends with the transaction.
        steps.set_locking(false);
        let known = newest(&steps);
        let looked = |source| self.not_made(pool, "look into the schema `tasks`", source);
        // Most of the time nothing is to be done, and then nobody waits and no rights are needed.
        let ours: bool = sqlx::query_scalar(OURS).fetch_one(pool).await.map_err(looked)?;
        if ours && self.version(pool).await.map_err(looked)? == Some(known) {
            return Ok((Some(known), known));
        }
        let mut transaction = pool.begin().await.map_err(looked)?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(INSTALLING)
            .execute(&mut *transaction)
            .await
            .map_err(|source| self.failed("wait for another process that is making the tables", source))?;
        let mut asked = async |sql: &'static str| {
            sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut *transaction).await.map_err(looked)
        };
        // Once more: whoever held the lock may have done it all.
        let ours = asked(OURS).await?;
        if !ours {
            let exists = asked("SELECT to_regnamespace('tasks') IS NOT NULL").await?;
            if exists && asked(PYTHON).await? {
                return Err(StoreError::Python { place: self.place.to_owned() });
            }
            if exists && !asked(EMPTY).await? {
                return Err(StoreError::SchemaNotOurs { place: self.place.to_owned() });
            }
            if !exists {
                sqlx::query("CREATE SCHEMA tasks")
                    .execute(&mut *transaction)
                    .await
                    .map_err(|source| self.not_made(pool, "create the schema `tasks`", source))?;
            }
        }
        let before = if ours { self.version(&mut *transaction).await.map_err(looked)? } else { None };
        let done = steps.run_direct(None, &mut *transaction, false).await;
        let done = match done {
            Err(MigrateError::Execute(source)) => {
                Err(self.not_made(pool, "make tables in the schema `tasks`", source))
            }
            Err(MigrateError::ExecuteMigration(source, _)) if is_refusal(&source) => {
                Err(self.not_made(pool, "make tables in the schema `tasks`", source))
            }
            other => self.steps_done(&steps, other),
        };
        done?;
        transaction.commit().await.map_err(|source| self.failed("bring the schema up to date", source))?;
        Ok((before, known))
    }

    async fn version<'e>(
        &self,
        executor: impl sqlx::Executor<'e, Database = Postgres>,
    ) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar("SELECT max(version) FROM tasks._sqlx_migrations").fetch_one(executor).await
    }

    fn steps_done(&self, steps: &Migrator, done: Result<(), MigrateError>) -> Result<(), StoreError> {
        match done {
            Ok(()) => Ok(()),
            Err(MigrateError::VersionMissing(version)) => {
                Err(StoreError::Newer { place: self.place.to_owned(), found: version, known: newest(steps) })
            }
            Err(MigrateError::Execute(source)) => Err(self.failed("bring the tables up to date", source)),
            Err(source) => Err(StoreError::Migrate { place: self.place.to_owned(), source }),
        }
    }

    fn not_made(&self, pool: &PgPool, doing: &'static str, source: sqlx::Error) -> StoreError {
        if is_refusal(&source) {
            let user = pool.connect_options().get_username().to_owned();
            StoreError::NoRights { place: self.place.to_owned(), user, doing, source }
        } else {
            self.failed(doing, source)
        }
    }

    fn failed(&self, doing: &'static str, source: sqlx::Error) -> StoreError {
        StoreError::of_query(doing, self.place, source)
    }
}

/// True if the server refuses the right.
fn is_refusal(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42501"))
}

fn steps(steps: &[(&'static str, &'static str)]) -> Migrator {
    let step = |(version, (name, sql)): (i64, &(&'static str, &'static str))| {
        Migration::new(version, (*name).into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    Migrator::with_migrations((1..).zip(steps).map(step).collect())
}

fn newest(steps: &Migrator) -> i64 {
    steps.iter().map(|step| step.version).max().unwrap_or(0)
}
