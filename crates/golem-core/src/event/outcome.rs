//! The outcome of an attempt: the task's output, or the reason of its failure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Printed;

/// The output of a task that succeeded. With an executor's tasks it is empty: their results are values of the program and aren't stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskOutput {
    /// The result, as the worker made it.
    pub result: Value,
    /// Standard output of its commands, joined.
    #[serde(default, skip_serializing_if = "Printed::is_empty")]
    pub stdout: Printed,
    /// Standard error of its commands, joined.
    #[serde(default, skip_serializing_if = "Printed::is_empty")]
    pub stderr: Printed,
    /// It is what the run was for: nothing more is begun, and the run ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_run: bool,
    /// The task is done, and there is no result: it has found nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_result: bool,
}

/// The reason why an attempt at a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The reason in words.
    pub message: String,
    /// The end of what its commands wrote to standard error.
    #[serde(default, skip_serializing_if = "Printed::is_empty")]
    pub stderr: Printed,
    /// The number of the task's attempts that have failed, this one included. Attempts that were given back don't count. It is 0
    /// until the run has counted the attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// The number of tasks that had run on the same machine before, where what they left there may be the reason: the task's
    /// next attempt waits for a machine on which nothing has run.
    #[serde(default, skip_serializing_if = "is_none_before")]
    pub ran_before: u64,
    /// The time that the attempt took by itself, where several tasks shared a script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Duration>,
}

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// A command said no.
    CommandFailed,
    /// It took longer than allowed.
    Expired,
    /// Nothing was heard from the provider, or it ended the agreement.
    Lost,
    /// A file couldn't be moved.
    TransferFailed,
    /// A command succeeded, and the end of its output didn't arrive.
    OutputIncomplete,
    /// The result was refused.
    Rejected,
    /// The task couldn't even be written down: its template or its files are wrong.
    Invalid,
    /// Something of the requestor's own failed, such as its disk. The attempt is given back: it costs its task nothing, and
    /// nobody is to blame.
    OwnTrouble,
}

impl AttemptFailure {
    /// A failure of which no output is known.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            stderr: Printed::default(),
            failures: 0,
            ran_before: 0,
            took: None,
        }
    }
}

impl FailureKind {
    /// The word for it in the store, in JSON and in lists.
    pub fn word(self) -> &'static str {
        match self {
            Self::CommandFailed => "command_failed",
            Self::Expired => "expired",
            Self::Lost => "lost",
            Self::TransferFailed => "transfer_failed",
            Self::OutputIncomplete => "output_incomplete",
            Self::Rejected => "rejected",
            Self::Invalid => "invalid",
            Self::OwnTrouble => "own_trouble",
        }
    }

    /// True if another provider may succeed.
    pub fn may_succeed_elsewhere(self) -> bool {
        self != Self::Invalid
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none_before(n: &u64) -> bool {
    *n == 0
}
