//! The default logger: what matters on standard error, more of it in a file.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// Crates of the SDK; others speak up from `warn` on only.
const OURS: [&str; 4] = ["golem_sdk", "golem_core", "yagna_client", "yagna_api"];

/// The destinations of the log, and their levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    console: LevelFilter,
    file: Option<PathBuf>,
    file_level: LevelFilter,
    keep: usize,
}

impl Default for LogOptions {
    /// Info on standard error, no file.
    fn default() -> Self {
        Self { console: LevelFilter::INFO, file: None, file_level: LevelFilter::DEBUG, keep: 5 }
    }
}

impl LogOptions {
    /// Sets the level of standard error; the default is info. `RUST_LOG` has the last word.
    #[must_use]
    pub fn console(self, level: LevelFilter) -> Self {
        Self { console: level, ..self }
    }

    /// Keeps the log in this file too. Each start of a program has a file of its own: the one before is kept as
    /// `name.1`, the one before that as `name.2`, and so on.
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..self }
    }

    /// Sets the level of the file; the default is debug.
    #[must_use]
    pub fn file_level(self, level: LevelFilter) -> Self {
        Self { file_level: level, ..self }
    }

    /// Sets the number of files of earlier runs that are kept; the default is 5.
    #[must_use]
    pub fn keep(self, files: usize) -> Self {
        Self { keep: files, ..self }
    }
}

/// The reasons why there is no default logger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The file can't be written, or the one before it can't be kept.
    #[error("can't write the log to `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// `RUST_LOG` can't be read.
    #[error("`RUST_LOG` says something that isn't understood")]
    Filter(#[from] ParseError),
    /// The program has a logger already, which stays as it is.
    #[error("this program has a logger already")]
    AlreadySet,
}

/// Shows the log on standard error, and keeps it in a file where one is named, for the whole program.
///
/// Libraries speak up where they warn; `RUST_LOG` sets what the console shows, where it is set. The app key is never
/// in a log, at no level. A program with a logger of its own doesn't call this.
///
/// **Errors**: [`LogError`]; nothing is changed then, but that an earlier file may have got its new name.
pub fn enable_default_logger(options: &LogOptions) -> Result<(), LogError> {
    let wanted = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let filter = match wanted {
        Some(wanted) => EnvFilter::try_new(wanted)?,
        None => EnvFilter::try_new(directives(options.console))?,
    };
    if tracing::dispatcher::has_been_set() {
        return Err(LogError::AlreadySet);
    }
    let console =
        fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).with_filter(filter);
    let file = match &options.file {
        Some(path) => {
            let file =
                begin(path, options.keep).map_err(|source| LogError::File { path: path.clone(), source })?;
            let filter = EnvFilter::try_new(directives(options.file_level))?;
            Some(fmt::layer().with_writer(Mutex::new(file)).with_ansi(false).with_filter(filter))
        }
        None => None,
    };
    tracing_subscriber::registry().with(console).with(file).try_init().map_err(|_| LogError::AlreadySet)
}

/// Begins a file, after the ones of earlier runs have moved on by one; the oldest goes.
fn begin(path: &Path, keep: usize) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    for age in (0..keep).rev() {
        match fs::rename(aged(path, age), aged(path, age + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    File::create(path)
}

/// The name of the file of so many runs ago.
fn aged(path: &Path, age: usize) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

fn directives(level: LevelFilter) -> String {
    let others = level.min(LevelFilter::WARN);
    let ours: Vec<_> = OURS.iter().map(|name| format!("{name}={level}")).collect();
    // A name stands for all that begin with it: without a word of its own a devnet's providers would speak up too.
    format!("{others},{},golem_devnet={others}", ours.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_begins_a_file_and_the_last_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs").join("golem.log");
        for run in 0..5 {
            let mut file = begin(&path, 2).unwrap();
            io::Write::write_all(&mut file, format!("run {run}").as_bytes()).unwrap();
        }
        let read = |age| fs::read_to_string(aged(&path, age)).ok();
        assert_eq!(
            [read(0), read(1), read(2)],
            ["run 4", "run 3", "run 2"].map(|text| Some(text.to_owned()))
        );
        assert_eq!(read(3), None);
        begin(&path, 0).unwrap();
        assert_eq!(read(0).as_deref(), Some(""), "with none to keep it is begun anew");
        assert_eq!(read(1).as_deref(), Some("run 3"));
    }

    #[test]
    fn the_levels_are_valid_filters() {
        for level in [LevelFilter::OFF, LevelFilter::ERROR, LevelFilter::INFO, LevelFilter::TRACE] {
            let text = directives(level);
            assert!(EnvFilter::try_new(&text).is_ok(), "{text}");
        }
        assert!(directives(LevelFilter::DEBUG).starts_with("warn,golem_sdk=debug"));
        assert!(directives(LevelFilter::OFF).starts_with("off,golem_sdk=off"));
    }
}
