//! The description that is kept with a run: its job, its limits, and how it was started. No secrets.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::job::Limits;

/// The description of a run. Whatever an earlier record lacks has its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RunDescription {
    /// The limits of the run.
    pub(crate) limits: Limits,
    /// The daemon.
    pub(crate) daemon: DaemonDescription,
    /// The command line, where one started the run.
    pub(crate) command: Option<CommandLine>,
    /// The number of tasks that are to finish, where it was known at the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected_tasks: Option<u64>,
    /// The part of the market.
    pub(crate) subnet: String,
    /// The payment driver.
    pub(crate) driver: String,
    /// The chain.
    pub(crate) network: String,
    /// The job's description of itself: a job file has a `digest` and a `payload`.
    #[serde(flatten)]
    pub(crate) job: Map<String, Value>,
}

/// The daemon of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DaemonDescription {
    /// The emulated network, where it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) devnet: Option<DevnetDescription>,
    /// The address of the daemon otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The requestor, whose agreements and bills nobody else can see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<String>,
}

/// The emulated network of a run, which ended with its process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DevnetDescription {
    /// The number of its providers.
    pub(crate) providers: u32,
    /// Its seed, where one was given.
    pub(crate) seed: Option<u64>,
}

/// The command line that a run was last started with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CommandLine {
    /// The folder where it was typed.
    pub(crate) folder: Option<String>,
    /// Its words, without secrets and without what is asked for once.
    pub(crate) words: Vec<String>,
}

impl RunDescription {
    /// The description as it is stored.
    pub(crate) fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("a description has text as keys")
    }

    /// True if the run's network is emulated.
    pub(crate) fn is_on_devnet(&self) -> bool {
        self.daemon.devnet.is_some()
    }

    /// The job file, where the run has one.
    pub(crate) fn job_file(&self) -> Option<&str> {
        self.job.get("job").filter(|_| self.job.contains_key("payload"))?.as_str()
    }

    /// True if both describe one job, wherever its file is and whatever its limits are.
    pub(crate) fn has_job_of(&self, other: &Self) -> bool {
        match (self.job.get("digest"), other.job.get("digest")) {
            (Some(before), Some(now)) => before == now,
            _ => self.work() == other.work(),
        }
    }

    /// The job without the place of its file. The name of a program's own job says what it is.
    fn work(&self) -> Map<String, Value> {
        let mut job = self.job.clone();
        if self.job_file().is_some() {
            job.remove("job");
        }
        job
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(description: Value) -> RunDescription {
        serde_json::from_value(description).unwrap()
    }

    #[test]
    fn a_job_is_the_same_wherever_its_file_is_and_whatever_its_limits() {
        let job = |path, digest, budget| {
            read(json!({ "job": path, "digest": digest, "payload": {}, "limits": { "budget": budget } }))
        };
        assert!(job("a.toml", "1", "1").has_job_of(&job("b.toml", "1", "2")));
        assert!(!job("a.toml", "1", "1").has_job_of(&job("a.toml", "2", "1")));
    }

    #[test]
    fn a_programs_own_job_is_what_it_says_of_itself() {
        let job = |name, retries| {
            read(json!({ "job": name, "limits": { "retries": retries }, "daemon": { "url": "x" } }))
        };
        assert!(job("Squares", 1).has_job_of(&job("Squares", 2)));
        assert!(!job("Squares", 1).has_job_of(&job("Cubes", 1)));
    }

    #[test]
    fn a_description_is_read_as_it_was_written() {
        let limits = Limits::default().max_price("0.1".parse::<yagna_api::Glm>().unwrap()).results(7);
        let written =
            RunDescription { limits, subnet: "public".to_owned(), ..read(json!({ "job": "Squares" })) };
        assert_eq!(read(written.to_json()), written);
        assert_eq!(written.to_json()["limits"]["task_timeout_seconds"], 600.0);
        assert_eq!(read(json!({})), RunDescription::default());
    }
}
