//! What can go wrong with a store, and what a user can do about it.

use std::path::PathBuf;

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder of the database isn't there and can't be made.
    #[error("can't create the folder `{}` for the runs", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database can't be opened or created.
    #[error("can't open the database of runs at {place}")]
    Open {
        /// The database.
        place: String,
        /// What the database says.
        source: sqlx::Error,
    },
    /// A newer version of the program has written there; what its tables mean is unknown to us.
    #[error(
        "the runs at {place} were written by a newer version of golem-tasks (schema {found}, this one knows {known})"
    )]
    Newer {
        /// The database.
        place: String,
        /// The first step of its schema that we don't know.
        found: i64,
        /// The last step that we know.
        known: i64,
    },
    /// The file is a database, but of another program.
    #[error("{place} is a database of another program")]
    NotOurs {
        /// The database.
        place: String,
    },
    /// The schema couldn't be brought up to date.
    #[error("can't bring the database of runs at {place} up to date")]
    Migrate {
        /// The database.
        place: String,
        /// What went wrong.
        source: sqlx::migrate::MigrateError,
    },
    /// The id is taken.
    #[error("there is a run `{run_id}` already in {place}")]
    RunExists {
        /// The id.
        run_id: String,
        /// The database.
        place: String,
    },
    /// No run has this id.
    #[error("there is no run `{run_id}` in {place}")]
    NoSuchRun {
        /// The id.
        run_id: String,
        /// The database.
        place: String,
    },
    /// The database refused to do something.
    #[error("can't {doing} at {place}")]
    Query {
        /// What we were doing.
        doing: &'static str,
        /// The database.
        place: String,
        /// What the database says.
        source: sqlx::Error,
    },
    /// Something in the database isn't what we write there.
    #[error("the database of runs holds a value that makes no sense in `{column}`")]
    Damaged {
        /// Where.
        column: &'static str,
        /// Why it makes no sense.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// What the user can do about it, if there is something.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Folder { .. } | Self::Open { .. } => {
                "name a place you may write to, for example --dsn sqlite:runs.db".to_owned()
            }
            Self::Newer { .. } => {
                "update golem-tasks, or keep the runs of this version elsewhere with --dsn sqlite:PATH"
                    .to_owned()
            }
            Self::NotOurs { .. } => "name a file of its own for the runs with --dsn sqlite:PATH".to_owned(),
            Self::RunExists { .. } => {
                "choose another --run-id; taking up an earlier run again isn't supported yet".to_owned()
            }
            Self::Migrate { .. } | Self::NoSuchRun { .. } | Self::Query { .. } | Self::Damaged { .. } => {
                return None;
            }
        })
    }
}
