//! The requirements on this machine before anything is bought: open files for every worker, folders that can be
//! written.

use golem_sdk::transfer::try_folder;
use serde_json::Value;

use crate::exit::{Exit, Failure};
use crate::options::{DaemonChoice, RunOptions};

/// Open files that a run needs in any case: its database, the terminal, the daemon.
const BASE: u64 = 32;
/// Those of each worker: a connection, and a file that is moved with its way over the bus.
const OF_WORKER: u64 = 4;
/// Those of a command on a provider that is a process of this machine.
const OF_COMMAND: u64 = 6;

/// Raises the number of files that may be open to the most that the system allows.
pub(crate) fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let limit = getrlimit(Resource::Nofile);
        let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, most) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
}

/// Checks that there are enough open files for every worker.
pub(super) fn check_files(options: &RunOptions, workers: u32) -> Result<(), Failure> {
    check_limit(&options.daemon, workers)
}

/// Checks that there are enough open files for every worker with this daemon.
pub(super) fn check_limit(daemon: &DaemonChoice, workers: u32) -> Result<(), Failure> {
    let is_here = matches!(daemon, DaemonChoice::Devnet { .. } | DaemonChoice::Served { .. });
    let each = OF_WORKER + if is_here { OF_COMMAND } else { 0 };
    match file_limit() {
        Some(limit) if limit < needed(workers, each) => Err(too_few(workers, each, limit)),
        _ => Ok(()),
    }
}

fn needed(workers: u32, each: u64) -> u64 {
    BASE + u64::from(workers) * each
}

fn too_few(workers: u32, each: u64, limit: u64) -> Failure {
    let needed = needed(workers, each);
    let message = format!(
        "{workers} workers need about {needed} open files, and this process may have {limit} at the most"
    );
    let failure = Failure::new(Exit::Usage, message);
    match limit.saturating_sub(BASE) / each {
        0 => failure.advise(format!("raise the limit with `ulimit -n {needed}`")),
        fewer => {
            failure.advise(format!("raise the limit with `ulimit -n {needed}`, or use --workers {fewer}"))
        }
    }
}

#[cfg(unix)]
fn file_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

#[cfg(not(unix))]
fn file_limit() -> Option<u64> {
    None
}

/// Checks that the first task's results can be written. Its folders are made.
pub(super) async fn check_folders(options: &RunOptions, first: Option<&Value>) -> Result<(), Failure> {
    let Some(first) = first else { return Ok(()) };
    for folder in options.job.output_folders(first) {
        try_folder(folder).await.map_err(|error| {
            Failure::new(Exit::BrokeOff, error)
                .advise("nothing was bought: mend the folder of the results, and give the same command again")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_open_files_are_told_with_the_way_out() {
        assert_eq!(needed(20, OF_WORKER), 112);
        let failure = too_few(20, OF_WORKER, 64);
        assert_eq!(failure.exit(), Exit::Usage);
        assert_eq!(
            failure.to_string(),
            "20 workers need about 112 open files, and this process may have 64 at the most"
        );
        assert_eq!(failure.advice(), Some("raise the limit with `ulimit -n 112`, or use --workers 8"));
    }
}
