//! Data source names: which database a user means.
//!
//! Left to others: what a server's address is made of (`dsn/postgres.rs`), and connecting.

mod postgres;

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use etcetera::{BaseStrategy, choose_base_strategy};
use sha3::{Digest as _, Sha3_256};

pub use postgres::PostgresDsn;

/// Names of files that are taken for databases without `sqlite:` in front.
const EXTENSIONS: [&str; 3] = ["db", "sqlite", "sqlite3"];
/// The variable that stands in for `--dsn`.
const VARIABLE: &str = "GOLEM_TASKS_DSN";

/// The database in which runs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dsn {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// SQLite in memory: gone when the process ends.
    Memory,
    /// A database of a PostgreSQL server.
    Postgres(PostgresDsn),
}

/// A text that names no database we can use. What it says never holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DsnError {
    /// `sqlite:` alone.
    #[error("`sqlite:` names no file: write sqlite:PATH, for example sqlite:runs.db")]
    NoPath,
    /// Nothing we know.
    #[error(
        "`{0}` names no database: write sqlite:PATH, a file name that ends in .db or .sqlite, \
         postgres://USER@HOST/DATABASE, or \"dbname=DATABASE user=USER host=HOST\""
    )]
    Unknown(String),
    /// Without `--dsn`, and the user has no home folder.
    #[error("this user has no data folder to keep runs in: name a database with --dsn sqlite:PATH")]
    NoDataFolder,
    /// A key that PostgreSQL's own programs don't know either.
    #[error("`{key}` is not a key of a PostgreSQL address{}", nearest.map(|key| format!(": did you mean `{key}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// The known one that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A key that PostgreSQL's own programs know and we don't.
    #[error(
        "`{key}` isn't supported in a PostgreSQL address: write host, port, user, dbname and sslmode yourself"
    )]
    Unsupported {
        /// The key or variable.
        key: &'static str,
    },
    /// A value that its key can't have.
    #[error("`{value}` is not a valid value for `{key}`: expected {expected}")]
    Value {
        /// The key or variable.
        key: &'static str,
        /// Its value.
        value: String,
        /// The forms that it can have.
        expected: &'static str,
    },
    /// `key=value` pairs that don't read as such.
    #[error("{0}")]
    Syntax(String),
}

impl Dsn {
    /// Reads `sqlite:PATH`, a plain file name that ends in `.db`, `.sqlite` or `.sqlite3`, `memory`, a
    /// `postgres://` URL, `key=value` pairs as PostgreSQL's own programs take them, or `postgres:`, which leaves
    /// everything to the `PG*` variables.
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        let text = text.trim();
        if text == "memory" || text == "sqlite::memory:" {
            return Ok(Self::Memory);
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            // As in a URL: sqlite:///home/me/runs.db is absolute, sqlite://runs.db is not.
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(DsnError::NoPath)
            } else {
                Ok(Self::Sqlite(PathBuf::from(path)))
            };
        }
        if let Some(server) = postgres::read(text) {
            return server.map(Self::Postgres);
        }
        let extension = Path::new(text).extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) && !text.contains("://") {
            return Ok(Self::Sqlite(PathBuf::from(text)));
        }
        // Only the beginning of a text that looks like an address is repeated: the rest may hold a password.
        let shown =
            text.split_once("://").map_or_else(|| text.to_owned(), |(scheme, _)| format!("{scheme}://.."));
        Err(DsnError::Unknown(shown))
    }

    /// The database that a user chose: by the flag, else by `GOLEM_TASKS_DSN`, else the one in the data folder, where runs
    /// on emulated networks have one of their own.
    pub fn choose(
        flag: Option<&str>,
        environment: &dyn Fn(&str) -> Option<String>,
        devnet: bool,
    ) -> Result<Self, DsnError> {
        let variable = environment(VARIABLE).filter(|text| !text.trim().is_empty());
        match flag.map(str::to_owned).or(variable) {
            Some(text) => Self::parse(&text),
            None if devnet => Self::devnet_default(),
            None => Self::user_default(),
        }
    }

    /// The files that the database is kept in; none for one that isn't in files of this machine.
    pub fn files(&self) -> Vec<PathBuf> {
        let Self::Sqlite(path) = self else { return Vec::new() };
        super::trouble::beside(path).into()
    }

    /// The folder for what runs get on standard input: beside a SQLite file, and in the user's data folder for others.
    pub(crate) fn input_folder(&self) -> Result<PathBuf, DsnError> {
        let Self::Sqlite(path) = self else {
            let folders = choose_base_strategy().map_err(|_| DsnError::NoDataFolder)?;
            // Runs of two databases may have one name.
            let identity = match self {
                Self::Postgres(server) => server.identity()?,
                other => other.to_string(),
            };
            let digest = Sha3_256::digest(identity);
            let database = digest.iter().take(8).fold(String::new(), |mut text, byte| {
                let _infallible = write!(text, "{byte:02x}");
                text
            });
            return Ok(folders.data_dir().join("golem-tasks").join("input").join(database));
        };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".input");
        Ok(path.with_file_name(name))
    }

    /// `golem-tasks/runs.db` in the user's data folder.
    pub fn user_default() -> Result<Self, DsnError> {
        Self::in_data_folder("runs.db")
    }

    /// `golem-tasks/devnet.db` in the user's data folder, for runs on emulated networks: what they know of providers is of
    /// no use to others.
    pub fn devnet_default() -> Result<Self, DsnError> {
        Self::in_data_folder("devnet.db")
    }

    fn in_data_folder(name: &str) -> Result<Self, DsnError> {
        let folders = choose_base_strategy().map_err(|_| DsnError::NoDataFolder)?;
        Ok(Self::Sqlite(folders.data_dir().join("golem-tasks").join(name)))
    }
}

impl FromStr for Dsn {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Memory => f.write_str("memory"),
            Self::Postgres(server) => server.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_in_several_ways() {
        for (text, path) in [
            ("sqlite:runs", "runs"),
            ("sqlite:/tmp/a b.db", "/tmp/a b.db"),
            ("sqlite:///tmp/runs.db", "/tmp/runs.db"),
            ("sqlite://runs.db", "runs.db"),
            ("sqlite:a=b.db", "a=b.db"),
            ("runs.db", "runs.db"),
            (" ../x/runs.sqlite\n", "../x/runs.sqlite"),
            ("/data/runs.sqlite3", "/data/runs.sqlite3"),
        ] {
            assert_eq!(Dsn::parse(text), Ok(Dsn::Sqlite(path.into())), "{text}");
        }
        assert_eq!(Dsn::parse("memory"), Ok(Dsn::Memory));
        assert_eq!(Dsn::parse("sqlite::memory:"), Ok(Dsn::Memory));
    }

    #[test]
    fn nonsense_is_refused_without_telling_secrets() {
        assert_eq!(Dsn::parse("sqlite:"), Err(DsnError::NoPath));
        for text in ["", "runs", "job.toml"] {
            assert_eq!(Dsn::parse(text), Err(DsnError::Unknown(text.to_owned())), "{text}");
        }
        for text in ["mysql://x:secret@y/z.db", "postgress://me:secret@x/y"] {
            let refused = Dsn::parse(text).unwrap_err();
            assert!(matches!(refused, DsnError::Unknown(_)), "{refused:?}");
            assert!(!format!("{refused} {refused:?}").contains("secret"), "{refused}");
        }
    }

    #[test]
    fn the_flag_comes_before_the_variable_and_an_empty_one_counts_as_none() {
        let variable = |text: &'static str| move |name: &str| (name == VARIABLE).then(|| text.to_owned());
        let named = |name: &str| Ok(Dsn::Sqlite(name.into()));
        for devnet in [false, true] {
            assert_eq!(Dsn::choose(Some("a.db"), &variable("b.db"), devnet), named("a.db"));
            assert_eq!(Dsn::choose(None, &variable("b.db"), devnet), named("b.db"));
        }
        assert_eq!(Dsn::choose(None, &variable(" "), false), Dsn::user_default());
        assert_eq!(Dsn::choose(None, &variable(" "), true), Dsn::devnet_default());
        assert_ne!(Dsn::devnet_default(), Dsn::user_default());
    }

    #[test]
    fn the_default_is_a_file_of_ours() {
        let Ok(Dsn::Sqlite(path)) = Dsn::user_default() else {
            return; // a user without a home folder: the error says what to do
        };
        assert!(path.is_absolute() && path.ends_with("golem-tasks/runs.db"), "{path:?}");
    }
}
