//! Whether what is asked for is what a run was begun with: results of two jobs must not be mixed in one run, and its bills
//! can only be settled where they come.

use serde_json::Value;
use yagna_api::NodeId;

use crate::exit::{Exit, Failure};
use crate::options::{DaemonChoice, RunOptions};
use crate::store::RunRecord;

/// Parts of a run's description that may change from one start to the next, or that are compared one by one.
const NO_JOB: [&str; 7] = ["limits", "daemon", "command", "subnet", "driver", "network", "job"];

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
pub(super) fn check(record: &RunRecord, described: &Value, options: &RunOptions) -> Result<(), Failure> {
    let run_id = record.run_id.clone();
    let other = "choose another --run-id to begin a new run";
    let on_devnet = is_on_devnet(record);
    match (&options.daemon, on_devnet) {
        (DaemonChoice::Yagna { .. }, true) => {
            return Err(usage(Differs::Devnet { run_id }).advise(format!("add --devnet, or {other}")));
        }
        (DaemonChoice::Devnet { .. }, false) => {
            return Err(usage(Differs::NoDevnet { run_id }).advise(format!("leave --devnet out, or {other}")));
        }
        _ => {}
    }
    let (driver, network) = payment(record);
    if (driver, network) != (&options.driver, &options.network) {
        let advice = format!("add --driver {driver} --network {network}, or {other}");
        let (driver, network) = (driver.to_owned(), network.to_owned());
        return Err(usage(Differs::Payment { run_id, driver, network }).advise(advice));
    }
    if !options.changed_job && !is_same_job(&record.job, described) {
        let advice = format!(
            "{other}, or add --changed-job to go on with this one: results stay, tasks that were read stay as they were read"
        );
        return Err(usage(Differs::Job { run_id }).advise(advice));
    }
    Ok(())
}

/// True if the run was begun on a devnet that ended with its process.
pub(super) fn is_on_devnet(record: &RunRecord) -> bool {
    record.job.pointer("/daemon/devnet").is_some()
}

/// The payment driver of the run, and its chain.
pub(super) fn payment(record: &RunRecord) -> (&str, &str) {
    let text = |name: &str| record.job.get(name).and_then(Value::as_str).unwrap_or_default();
    (text("driver"), text("network"))
}

/// Compares the requestor, whose agreements and bills nobody else can see.
pub(super) fn check_identity(record: &RunRecord, now: NodeId) -> Result<(), Failure> {
    let before = record.job.pointer("/daemon/identity").and_then(Value::as_str);
    match before {
        Some(before) if !is_on_devnet(record) && before != now.to_string() => {
            let (run_id, before) = (record.run_id.clone(), before.to_owned());
            let advice = format!(
                "give a key of {before}: `yagna app-key list` shows a daemon's keys; another --run-id begins a new run"
            );
            Err(usage(Differs::Identity { run_id, before, now }).advise(advice))
        }
        _ => Ok(()),
    }
}

/// Adds to what is kept of a run whose it is.
pub(super) fn note_identity(described: &mut Value, identity: &NodeId) {
    if let Some(daemon) = described.get_mut("daemon").and_then(Value::as_object_mut) {
        daemon.insert("identity".to_owned(), Value::from(identity.to_string()));
    }
}

fn is_same_job(before: &Value, now: &Value) -> bool {
    let digest = |job: &Value| job.get("digest").and_then(Value::as_str).map(str::to_owned);
    match (digest(before), digest(now)) {
        (Some(before), Some(now)) => before == now,
        _ => only_job(before) == only_job(now),
    }
}

fn only_job(described: &Value) -> Value {
    let mut job = described.clone();
    if let Some(object) = job.as_object_mut() {
        // Of a program's own job the name says what it is; of a job file, where it is.
        let has_file = object.contains_key("payload");
        object.retain(|name, _| !NO_JOB.contains(&name.as_str()) || (name == "job" && !has_file));
    }
    job
}

fn usage(error: Differs) -> Failure {
    Failure::new(Exit::Usage, error)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_the_same_wherever_its_file_is_and_whatever_its_limits() {
        let job = |path, digest, budget| json!({ "job": path, "digest": digest, "payload": {}, "limits": { "budget": budget } });
        assert!(is_same_job(&job("a.toml", "1", "1"), &job("b.toml", "1", "2")));
        assert!(!is_same_job(&job("a.toml", "1", "1"), &job("a.toml", "2", "1")));
    }

    #[test]
    fn a_programs_own_job_is_what_it_says_of_itself() {
        let job = |name, budget| json!({ "job": name, "limits": budget, "daemon": { "url": "x" } });
        assert!(is_same_job(&job("Squares", 1), &job("Squares", 2)));
        assert!(!is_same_job(&job("Squares", 1), &job("Cubes", 1)));
    }
}
