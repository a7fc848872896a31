//! The comparison of a request with the run as it was begun: results of two jobs must not be mixed in one run, and its
//! bills can only be settled where they come.

use yagna_api::NodeId;

use crate::description::RunDescription;
use crate::exit::{Exit, Failure};
use crate::options::{DaemonChoice, RunOptions};

/// The differences to the run as it was begun.
#[derive(Debug, thiserror::Error)]
enum Differs {
    #[error("run `{run_id}` was begun with another job")]
    Job { run_id: String },
    #[error("run `{run_id}` pays by {driver} on {network}")]
    Payment { run_id: String, driver: String, network: String },
    #[error("run `{run_id}` was begun on an emulated network")]
    Devnet { run_id: String },
    #[error("run `{run_id}` was begun on a network that isn't emulated")]
    NoDevnet { run_id: String },
    #[error("run `{run_id}` belongs to {before}, and the app key to {now}")]
    Identity { run_id: String, before: String, now: NodeId },
}

/// Compares what can be compared without asking anybody.
pub(super) fn check(
    run_id: &str,
    before: &RunDescription,
    now: &RunDescription,
    options: &RunOptions,
) -> Result<(), Failure> {
    let run_id = run_id.to_owned();
    let other = "choose another --run-id to begin a new run";
    match (&options.daemon, before.is_on_devnet()) {
        (DaemonChoice::Yagna { .. }, true) => {
            return Err(usage(Differs::Devnet { run_id }).advise(format!("add --devnet, or {other}")));
        }
        (DaemonChoice::Devnet { .. } | DaemonChoice::Served { .. }, false) => {
            return Err(usage(Differs::NoDevnet { run_id }).advise(format!("leave --devnet out, or {other}")));
        }
        _ => {}
    }
    if (&before.driver, &before.network) != (&now.driver, &now.network) {
        let (driver, network) = (before.driver.clone(), before.network.clone());
        let advice = format!("add --driver {driver} --network {network}, or {other}");
        return Err(usage(Differs::Payment { run_id, driver, network }).advise(advice));
    }
    if !options.changed_job && !before.has_job_of(now) {
        let advice = format!(
            "{other}, or add --changed-job to go on with this one: results stay, tasks that were read stay as they were read"
        );
        return Err(usage(Differs::Job { run_id }).advise(advice));
    }
    Ok(())
}

/// Compares the requestor, whose agreements and bills nobody else can see.
pub(super) fn check_identity(run_id: &str, before: &RunDescription, now: NodeId) -> Result<(), Failure> {
    match &before.daemon.identity {
        Some(identity) if !before.is_on_devnet() && *identity != now.to_string() => {
            let (run_id, before) = (run_id.to_owned(), identity.clone());
            let advice = format!(
                "give a key of {before}: `yagna app-key list` shows a daemon's keys; another --run-id begins a new run"
            );
            Err(usage(Differs::Identity { run_id, before, now }).advise(advice))
        }
        _ => Ok(()),
    }
}

fn usage(error: Differs) -> Failure {
    Failure::new(Exit::Usage, error)
}
