//! The errors of a store, and the advice for a user.

use std::path::PathBuf;
use std::time::Duration;

use golem_core::event::Provider;

use super::DsnError;
use super::holder::{HeldBy, LEASE_TIMEOUT};
use super::trouble::Trouble;

/// Candidates that are named where a beginning fits several.
const CANDIDATES: usize = 10;

/// The reasons why a store can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum StoreError {
    /// The folder of the database isn't there and can't be made.
    #[error("can't create the folder `{}` for the runs", folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
    /// The database can't be opened or created.
    #[error("can't open the database of runs at {place}")]
    Open { place: String, source: sqlx::Error },
    /// The database can only be read by way of a copy, and that can't be made.
    #[error("the database of runs at {place} can't be copied, to be read without writing there")]
    Copy { place: String, source: std::io::Error },
    /// The address of the database can't be used.
    #[error(transparent)]
    Dsn(DsnError),
    /// No server answers there.
    #[error("no PostgreSQL server can be reached at {place}")]
    Unreachable { place: String, source: sqlx::Error },
    /// A server is there, but says nothing.
    #[error("the PostgreSQL server at {place} doesn't answer within {} s", patience.as_secs())]
    NoAnswer {
        place: String,
        /// The time that it was waited for.
        patience: Duration,
    },
    /// The server doesn't know the user, or wants another password.
    #[error("the PostgreSQL server at {place} doesn't let `{user}` in")]
    NotLetIn { place: String, user: String, source: sqlx::Error },
    /// The server has no such database.
    #[error("the PostgreSQL server has no database `{database}` ({place})")]
    NoDatabase { place: String, database: String, source: sqlx::Error },
    /// The user may not do what has to be done.
    #[error("`{user}` may not {doing} at {place}")]
    NoRights {
        place: String,
        user: String,
        /// The action that was refused.
        doing: &'static str,
        source: sqlx::Error,
    },
    /// The schema `tasks` is there, and golem-tasks-python made it.
    #[error("the schema `tasks` at {place} is one of golem-tasks-python, whose tables can't be continued")]
    Python { place: String },
    /// The schema `tasks` is there, and somebody else made it.
    #[error("the schema `tasks` at {place} belongs to something else")]
    SchemaNotOurs { place: String },
    /// A newer version of the program has written there; what its tables mean is unknown to us.
    #[error(
        "the runs at {place} were written by a newer version of golem-tasks (schema {found}, this one knows {known})"
    )]
    Newer {
        place: String,
        /// The first step of its schema that we don't know.
        found: i64,
        /// The last step that we know.
        known: i64,
    },
    /// The file is a database, but of another program.
    #[error("{place} is a database of another program")]
    NotOurs { place: String },
    /// The schema couldn't be brought up to date.
    #[error("can't bring the database of runs at {place} up to date")]
    Migrate {
        place: String,
        /// The error of the migration.
        source: sqlx::migrate::MigrateError,
    },
    /// The id is taken.
    #[error("there is a run `{run_id}` already in {place}")]
    RunExists { run_id: String, place: String },
    /// No run has this id.
    #[error("there is no run `{run_id}` in {place}")]
    NoSuchRun {
        run_id: String,
        place: String,
        /// Ids that look like it, the nearest first, if somebody looked for them.
        nearest: Vec<String>,
    },
    /// The run has no task with this number or this text.
    #[error("run `{run_id}` has no task `{task}`")]
    NoSuchTask {
        task: String,
        run_id: String,
        /// The number of tasks that it has.
        known: u64,
    },
    /// No run has heard of a provider with this name, or none that is blocked has it.
    #[error(
        "no {}provider is called `{provider}` in {place}", if *blocked { "blocked " } else { "" }
    )]
    NoSuchProvider {
        /// The name, or the id.
        provider: String,
        place: String,
        /// Names that look like it, the nearest first.
        nearest: Vec<String>,
        /// True if only blocked ones were looked through.
        blocked: bool,
    },
    /// More than one provider has this name, or a name or an id that begins like this.
    #[error("`{name}` is the name of {} providers in {place}, or the beginning of their names or ids", providers.len())]
    SeveralProviders {
        /// The name, or the beginning.
        name: String,
        place: String,
        providers: Vec<Provider>,
    },
    /// More than one run has an id that begins like this.
    #[error("the ids of {} runs in {place} begin with `{prefix}`", run_ids.len())]
    SeveralRuns {
        prefix: String,
        place: String,
        /// All of them, the newest first.
        run_ids: Vec<String>,
    },
    /// Nothing was ever run there.
    #[error("there are no runs yet in {place}")]
    NothingYet { place: String },
    /// Another process holds the run.
    #[error(
        "run `{run_id}` in {place} is held by {} since {:.0}, last heard of {} s ago",
        by.holder, by.since, by.silent.as_secs()
    )]
    Held {
        run_id: String,
        place: String,
        /// The process that holds it.
        by: Box<HeldBy>,
    },
    /// Another process has taken the run since; nothing was written.
    #[error(
        "run `{run_id}` in {place} has been taken by another process: this one may not write it any more"
    )]
    LeaseLost { run_id: String, place: String },
    /// Something is the matter with the file of the database.
    #[error("can't {doing} at {place}: {trouble}")]
    Trouble {
        /// The action that failed.
        doing: &'static str,
        place: String,
        /// The problem of the file.
        trouble: Trouble,
        source: sqlx::Error,
    },
    /// The database refused to do something.
    #[error("can't {doing} at {place}")]
    Query {
        /// The action that failed.
        doing: &'static str,
        place: String,
        source: sqlx::Error,
    },
    /// Something in the database isn't what we write there.
    #[error("the database of runs holds a value that makes no sense in `{column}`")]
    Damaged {
        column: &'static str,
        /// The reason why it is invalid.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// The database at `place` refused to do something.
    pub(super) fn of_query(doing: &'static str, place: &str, source: sqlx::Error) -> Self {
        let place = place.to_owned();
        match Trouble::of(&source, &place) {
            Some(trouble) => Self::Trouble { doing, place, trouble, source },
            None => Self::Query { doing, place, source },
        }
    }

    /// True where the database is damaged, so that some of it may still be read.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Trouble { trouble: Trouble::Damaged, .. } | Self::Damaged { .. })
    }

    /// The advice for the user, if there is any.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Trouble { trouble, place, .. } => trouble.advice(place),
            Self::Folder { .. } | Self::Open { .. } => {
                "name a place you may write to, for example --dsn sqlite:runs.db".to_owned()
            }
            Self::Unreachable { .. } | Self::NoAnswer { .. } => {
                "start the server, or name the right host and port; `pg_isready -h HOST -p PORT` shows whether one \
                 is there. Without a server: --dsn sqlite:runs.db"
                    .to_owned()
            }
            Self::NotLetIn { .. } => {
                "put the right password into PGPASSWORD, ~/.pgpass or the DSN, or name another user with user=NAME"
                    .to_owned()
            }
            Self::NoDatabase { database, .. } => format!("make it with `createdb {database}`, or name another with dbname=NAME"),
            Self::NoRights { user, .. } => format!(
                "let the database's owner do it once: GRANT CREATE ON DATABASE .. TO \"{user}\", or \
                 CREATE SCHEMA tasks AUTHORIZATION \"{user}\""
            ),
            Self::Python { .. } => {
                "keep it under another name with `ALTER SCHEMA tasks RENAME TO tasks_python`, and try again; its \
                 activities and agreements can't be resumed, what is in it stays readable"
                    .to_owned()
            }
            Self::SchemaNotOurs { .. } => {
                "name another database with dbname=NAME; `createdb NAME` makes one".to_owned()
            }
            Self::Newer { .. } => {
                "update golem-tasks, or keep the runs of this version elsewhere with another --dsn".to_owned()
            }
            Self::NotOurs { .. } => "name a file of its own for the runs with --dsn sqlite:PATH".to_owned(),
            Self::RunExists { .. } => {
                "another process has just begun it; choose another --run-id".to_owned()
            }
            Self::Held { run_id, by, .. } => format!(
                "wait until it has ended, or stop it with `golem-tasks cancel {run_id}`; `golem-tasks show {run_id} --watch` \
                 shows what it does. If {} is gone, the run is free {} s after it was last heard of",
                by.holder.host,
                LEASE_TIMEOUT.as_secs()
            ),
            Self::NoSuchRun { nearest, .. } => match nearest.as_slice() {
                [] => "`golem-tasks runs` lists those that there are".to_owned(),
                nearest => format!("did you mean `{}`? `golem-tasks runs` lists all of them", nearest.join("` or `")),
            },
            Self::NoSuchTask { known: 0, .. } => "its tasks haven't been read yet".to_owned(),
            Self::NoSuchTask { known, run_id, .. } => format!(
                "its tasks have the numbers 0 to {}; `golem-tasks results {run_id} --all` lists them",
                known - 1
            ),
            Self::NoSuchProvider { nearest, blocked, .. } => match nearest.as_slice() {
                [] if *blocked => "`golem-tasks providers` lists those that are blocked too".to_owned(),
                [] => "name it by its id, 0x and 40 digits; `golem-tasks providers` lists those that are known".to_owned(),
                nearest => format!("did you mean `{}`? `golem-tasks providers` lists all of them", nearest.join("` or `")),
            },
            Self::SeveralProviders { providers, .. } => {
                let each = providers.iter().map(|provider| match provider.name.as_str() {
                    "" => provider.id.to_string(),
                    name => format!("{} ({})", provider.id, name.escape_debug()),
                });
                format!("name the one that is meant by its id: {}", some_of(each))
            }
            Self::SeveralRuns { run_ids, .. } => {
                format!("name the one that is meant: {}", some_of(run_ids.iter().cloned()))
            }
            Self::NothingYet { .. } => {
                "`golem-tasks run JOB.toml --devnet` makes a first one, without a daemon and without money; where they \
                 are elsewhere, name the database with --dsn"
                    .to_owned()
            }
            Self::Copy { .. } => "name a folder for temporary files with room for it by TMPDIR".to_owned(),
            Self::Dsn(_)
            | Self::LeaseLost { .. }
            | Self::Migrate { .. }
            | Self::Query { .. }
            | Self::Damaged { .. } => return None,
        })
    }
}

/// The first ones of a list, and how many more there are.
fn some_of(each: impl ExactSizeIterator<Item = String>) -> String {
    let rest = each.len().saturating_sub(CANDIDATES);
    let first: Vec<_> = each.take(CANDIDATES).collect();
    match rest {
        0 => first.join(", "),
        rest => format!("{} and {rest} more", first.join(", ")),
    }
}
