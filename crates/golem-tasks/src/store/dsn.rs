//! Data source names: which database a user means.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use etcetera::{BaseStrategy, choose_base_strategy};

/// Names of files that are taken for databases without `sqlite:` in front.
const EXTENSIONS: [&str; 3] = ["db", "sqlite", "sqlite3"];

/// Which database runs are kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dsn {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// SQLite in memory: gone when the process ends.
    Memory,
}

/// A text that names no database we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsnError {
    /// A kind of database that is planned.
    #[error("PostgreSQL isn't supported yet: keep the runs in SQLite with sqlite:PATH")]
    NotYet,
    /// `sqlite:` alone.
    #[error("`sqlite:` names no file: write sqlite:PATH, for example sqlite:runs.db")]
    NoPath,
    /// Nothing we know.
    #[error("`{0}` names no database: write sqlite:PATH, or a file name that ends in .db or .sqlite")]
    Unknown(String),
    /// Without `--dsn`, and the user has no home folder.
    #[error("this user has no data folder to keep runs in: name a database with --dsn sqlite:PATH")]
    NoDataFolder,
}

impl Dsn {
    /// Reads `sqlite:PATH`, a plain file name that ends in `.db`, `.sqlite` or `.sqlite3`, or `memory`.
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
        if is_postgres(text) {
            return Err(DsnError::NotYet);
        }
        let extension = Path::new(text).extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) && !text.contains("://") {
            return Ok(Self::Sqlite(PathBuf::from(text)));
        }
        Err(DsnError::Unknown(text.to_owned()))
    }

    /// `golem-tasks/runs.db` in the user's data folder.
    pub fn user_default() -> Result<Self, DsnError> {
        let folders = choose_base_strategy().map_err(|_| DsnError::NoDataFolder)?;
        Ok(Self::Sqlite(folders.data_dir().join("golem-tasks").join("runs.db")))
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
        }
    }
}

/// A URL, or libpq's `key=value` pairs.
fn is_postgres(text: &str) -> bool {
    const KEYS: [&str; 7] = ["dbname", "host", "hostaddr", "password", "port", "service", "user"];
    text.starts_with("postgres:")
        || text.starts_with("postgresql:")
        || text.split_once('=').is_some_and(|(key, _)| KEYS.contains(&key.trim()))
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
    fn postgresql_is_announced_and_nonsense_is_refused() {
        for text in [
            "postgres://localhost/golem",
            "postgresql:///golem",
            "postgres:",
            "dbname=golem user=golem password=1234 host=localhost port=5432",
        ] {
            assert_eq!(Dsn::parse(text), Err(DsnError::NotYet), "{text}");
        }
        assert_eq!(Dsn::parse("sqlite:"), Err(DsnError::NoPath));
        for text in ["", "runs", "mysql://x/y.db", "job.toml"] {
            assert_eq!(Dsn::parse(text), Err(DsnError::Unknown(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn the_default_is_a_file_of_ours() {
        let Ok(Dsn::Sqlite(path)) = Dsn::user_default() else {
            return; // a user without a home folder: the error says what to do
        };
        assert!(path.is_absolute() && path.ends_with("golem-tasks/runs.db"), "{path:?}");
    }
}
