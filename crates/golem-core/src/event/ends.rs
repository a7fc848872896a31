//! The ends of jobs and runs, and their reasons.

use serde::{Deserialize, Serialize};
use yagna_api::Glm;

/// The reason why a run begins no more work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// All tasks have finished.
    AllDone,
    /// The user wants it.
    Cancelled,
    /// No more can be spent.
    BudgetReached,
    /// As many tasks as were asked for have a result, or one has that ends the run.
    ResultsReached,
    /// Nothing could run for too long.
    NothingRuns,
    /// The run itself can't go on.
    Broken,
    /// Something of the requestor's own machine fails, and wasn't mended in time.
    OwnTrouble,
    /// It stood ready for jobs, and no more are wanted.
    Closed,
    /// More tasks failed for good than it was to bear.
    TooManyFailed,
    /// Only a part of its tasks was asked for, and each of these has come to its end.
    PartDone,
}

impl StopReason {
    /// The reason in words, to stand after a colon or "because".
    pub fn words(self) -> &'static str {
        match self {
            Self::AllDone => "all tasks are finished",
            Self::Cancelled => "it was cancelled",
            Self::BudgetReached => "the budget is exhausted",
            Self::ResultsReached => "the requested number of results is reached",
            Self::NothingRuns => "nothing could run",
            Self::Broken => "the run itself cannot continue",
            Self::OwnTrouble => "a problem of this machine was not solved in time",
            Self::Closed => "no more jobs are expected",
            Self::PartDone => "the chosen tasks are finished",
            Self::TooManyFailed => "too many tasks failed (`halt`)",
        }
    }
}

impl StopReason {
    /// True if a run that stopped for this reason may go on when it is resumed.
    pub fn may_go_on(self) -> bool {
        match self {
            Self::Cancelled | Self::BudgetReached | Self::NothingRuns | Self::Broken | Self::OwnTrouble => {
                true
            }
            Self::AllDone | Self::ResultsReached | Self::Closed | Self::TooManyFailed | Self::PartDone => {
                false
            }
        }
    }
}

/// The reason why a job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobEndReason {
    /// All its tasks have finished, and no more will come.
    Finished,
    /// The user wants it.
    Cancelled,
    /// Its deadline passed.
    Expired,
    /// Its tasks couldn't be read.
    Broken,
    /// Nothing could run for it for too long.
    NothingRuns,
    /// The run stopped.
    Stopped,
}

/// The end of a job: its reason, and the number of tasks that came to each outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// The reason.
    pub why: JobEndReason,
    /// Tasks with a result.
    pub done: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Tasks that were given up with it; each was told of.
    pub cancelled: u64,
    /// Tasks that its deadline came before; each was told of.
    pub expired: u64,
    /// Tasks that the run left when it stopped.
    pub unfinished: u64,
}

/// The end of a run: its reason, its tasks and its cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// The reason why it stopped.
    pub why: StopReason,
    /// Tasks with a result.
    pub done: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Tasks that have neither, those given up with their jobs included.
    pub unfinished: u64,
    /// GLM accepted in all.
    pub cost: Glm,
    /// The number of rentals whose final bill hasn't come.
    pub unsettled: u64,
}
