//! The log: to standard error as loud as was asked for, and to a file if one was named. Never to standard output.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use super::args::Logging;
use crate::exit::{Exit, Failure};
use crate::view::Terminal;

/// Our own crates; others speak up from `warn` on only.
const OURS: [&str; 6] =
    ["golem_tasks", "golem_sdk", "golem_core", "golem_devnet", "yagna_client", "yagna_api"];

/// The reasons why logging can't be set up.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error("can't write the log to `{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("RUST_LOG says something that isn't understood")]
    Filter(#[from] ParseError),
}

/// Starts logging for the whole process.
pub(super) fn start(flags: &Logging, terminal: &Terminal) -> Result<(), Failure> {
    let wanted = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let filter = match &wanted {
        Some(wanted) => {
            EnvFilter::try_new(wanted).map_err(|error| Failure::new(Exit::Usage, LogError::Filter(error)))?
        }
        None => EnvFilter::new(directives(level(flags.verbose))),
    };
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    let stderr = fmt::layer()
        .with_writer(terminal.clone())
        .with_ansi(terminal.is_attended())
        .with_target(flags.verbose > 1)
        .with_filter(filter);
    layers.push(stderr.boxed());
    if let Some(path) = &flags.log_file {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|source| {
            let path = path.clone();
            Failure::new(Exit::Usage, LogError::File { path, source })
        })?;
        let filter = EnvFilter::new(directives(level(flags.verbose.max(2))));
        let file = fmt::layer().with_writer(Mutex::new(file)).with_ansi(false).with_filter(filter);
        layers.push(file.boxed());
    }
    // A program that embeds us may have set up its own log already; then that one is it.
    let _own_log = tracing_subscriber::registry().with(layers).try_init();
    Ok(())
}

fn level(verbose: u8) -> &'static str {
    match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    }
}

fn directives(level: &str) -> String {
    let ours: Vec<_> = OURS.iter().map(|name| format!("{name}={level}")).collect();
    format!("warn,{}", ours.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_are_valid_filters() {
        for verbose in 0..5 {
            let text = directives(level(verbose));
            assert!(EnvFilter::try_new(&text).is_ok(), "{text}");
        }
        assert!(directives(level(1)).contains("golem_tasks=info"));
    }
}
