//! The reasons why an executor couldn't start, and why a job ended before all its tasks were done.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use golem_core::event::{AttemptFailure, Provider, TaskId};
use golem_core::explain::Explanation;
use yagna_client::{ApiUrlError, ClientError, SetupError};

use crate::budget::{Budget, BudgetParseError};

use crate::account::{lacks_account, remedy};
use crate::payload::PayloadError;
use crate::run::RunError;

/// The reasons why an executor couldn't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum StartError {
    /// No app key was given.
    #[error(
        "no app key is given and YAGNA_APPKEY isn't set: `yagna app-key create requestor` makes a key, \
         `yagna app-key list` shows those there are"
    )]
    #[doc(alias = "MissingConfiguration")]
    NoAppKey,
    /// The daemon's address is none.
    #[error(
        "`{address}` is not a valid address of a yagna daemon: {reason}; YAGNA_API_URL or `api_url` is one such as \
         http://127.0.0.1:7465"
    )]
    Address {
        address: String,
        /// The reason why it is refused.
        reason: String,
    },
    /// A variable names no address of an API.
    #[error(transparent)]
    ApiUrl(#[from] ApiUrlError),
    /// The way to the daemon couldn't be set up.
    #[error("could not create the HTTP client")]
    Setup(#[from] SetupError),
    /// The budget is not valid.
    #[error("the budget is not valid")]
    Budget(#[from] BudgetParseError),
    /// Nobody is to work.
    #[error("with no workers nothing can be done: `max_workers` is 1 or more")]
    NoWorkers,
    /// The payload can't be made: its image isn't found, or no offer could match it.
    #[error("the payload isn't right")]
    Payload(#[from] PayloadError),
    /// The daemon has no account that could pay by this driver on this network, or there is nothing in it.
    #[error(
        "no payment account with funds for the driver `{driver}` on the network `{network}`: {}",
        remedy(.driver, .network)
    )]
    #[doc(alias = "NoPaymentAccountError")]
    NoPaymentAccount {
        driver: String,
        network: String,
        /// The daemon's error when it was to reserve money.
        source: ClientError,
    },
    /// The run couldn't begin: no daemon, a key that it doesn't take, money that it can't set aside.
    #[error(transparent)]
    Run(RunError),
    /// The runtime that would run it is being shut down.
    #[error("the async runtime is shutting down")]
    ShuttingDown,
}

impl From<RunError> for StartError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Allocation { driver, network, source, .. } if lacks_account(&source) => {
                Self::NoPaymentAccount { driver, network, source }
            }
            other => Self::Run(other),
        }
    }
}

/// The reasons why an executor ended with an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Its run broke.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It was left at once: its agreements end by themselves, their bills stay unsettled.
    #[error("the executor was left at once; its agreements end by themselves, their bills stay unsettled")]
    Left,
    /// The runtime that ran it was shut down.
    #[error("the async runtime was shut down before the executor had ended")]
    ShutDown,
}

/// A task that failed for good.
pub struct TaskFailure<T> {
    pub(super) id: TaskId,
    pub(super) data: Arc<T>,
    pub(super) attempts: u32,
    pub(super) failure: AttemptFailure,
    pub(super) provider: Option<Provider>,
}

impl<T> TaskFailure<T> {
    /// The task, as events name it.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Its data.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// The number of attempts.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The failure of its last attempt.
    pub fn failure(&self) -> &AttemptFailure {
        &self.failure
    }

    /// The provider of its last attempt.
    pub fn provider(&self) -> Option<&Provider> {
        self.provider.as_ref()
    }
}

impl<T> Clone for TaskFailure<T> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            data: Arc::clone(&self.data),
            attempts: self.attempts,
            failure: self.failure.clone(),
            provider: self.provider.clone(),
        }
    }
}

impl<T> fmt::Debug for TaskFailure<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFailure")
            .field("id", &self.id.0)
            .field("attempts", &self.attempts)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// The error of a job in which not every task has a result: the cause, and the tasks without one. It comes last, after
/// every result that there is.
///
/// Each task of the job has its result in the stream, or is among [`failed`](SubmitError::failed) or
/// [`unfinished`](SubmitError::unfinished); of a source that wasn't read to its end there may be
/// [more](SubmitError::more_in_source).
///
/// # Example
///
/// The rest of a job can be submitted again with more time:
/// ```
/// use std::sync::Arc;
///
/// use golem_sdk::executor::{EndCause, SubmitError};
///
/// fn left<T>(error: SubmitError<T>) -> Result<Vec<Arc<T>>, SubmitError<T>> {
///     match error.cause() {
///         EndCause::TimedOut { .. } => Ok(error.into_unfinished()),
///         _ => Err(error),
///     }
/// }
/// ```
pub struct SubmitError<T> {
    pub(super) cause: EndCause,
    pub(super) failed: Vec<TaskFailure<T>>,
    pub(super) unfinished: Vec<Arc<T>>,
    pub(super) more_in_source: bool,
}

/// The reasons why tasks of a job were not done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EndCause {
    /// Each task has its end, but some failed for good.
    TasksFailed,
    /// The executor's time-out passed.
    TimedOut {
        /// The time that there was.
        timeout: Duration,
    },
    /// No more can be spent.
    BudgetReached {
        /// The budget that there was.
        budget: Budget,
    },
    /// Nothing could run for too long.
    NothingRuns {
        /// The explanation: the offers that were seen on the market, and the reasons against them.
        explanation: Option<Box<Explanation>>,
    },
    /// The source of the tasks failed.
    SourceFailed {
        /// The error in words.
        problem: String,
    },
    /// The user stopped the executor, as by Ctrl+C.
    Cancelled,
    /// The executor was closed or dropped, or was so already.
    Closed,
    /// The run itself broke.
    Broken {
        /// The error in words.
        problem: String,
    },
}

impl fmt::Display for EndCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TasksFailed => f.write_str("not every task could be done"),
            Self::TimedOut { timeout } => {
                write!(f, "the timeout of {} passed", yagna_api::time::short(*timeout))
            }
            Self::BudgetReached { budget } => write!(f, "the budget of {} is used up", budget.in_words()),
            Self::NothingRuns { explanation: Some(why) } => write!(f, "nothing could run: {why}"),
            Self::NothingRuns { explanation: None } => f.write_str("nothing could run"),
            Self::SourceFailed { problem } => write!(f, "the tasks can't be read: {problem}"),
            Self::Cancelled => f.write_str("the executor was stopped"),
            Self::Closed => f.write_str("the executor is closed"),
            Self::Broken { problem } => write!(f, "the run broke: {problem}"),
        }
    }
}

impl<T> SubmitError<T> {
    /// The reason why they weren't done.
    pub fn cause(&self) -> &EndCause {
        &self.cause
    }

    /// The tasks that failed for good.
    pub fn failed(&self) -> &[TaskFailure<T>] {
        &self.failed
    }

    /// The data of the tasks that have neither result nor failure, in the order in which they came; with it those that
    /// were still in an iterator of known length.
    pub fn unfinished(&self) -> impl ExactSizeIterator<Item = &T> {
        self.unfinished.iter().map(AsRef::as_ref)
    }

    /// Takes the unfinished tasks, to be kept or submitted again.
    pub fn into_unfinished(self) -> Vec<Arc<T>> {
        self.unfinished
    }

    /// True if there may be more tasks, in a source that wasn't read to its end.
    pub fn more_in_source(&self) -> bool {
        self.more_in_source
    }
}

impl<T> fmt::Debug for SubmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitError")
            .field("cause", &self.cause)
            .field("failed", &self.failed)
            .field("unfinished", &self.unfinished.len())
            .field("more_in_source", &self.more_in_source)
            .finish()
    }
}

impl<T> fmt::Display for SubmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        let mut separator = "; ";
        if let Some(first) = self.failed.first() {
            let n = self.failed.len();
            let TaskFailure { id, attempts, failure, .. } = first;
            let s = if *attempts == 1 { "" } else { "s" };
            write!(
                f,
                "; {n} failed, such as task {} after {attempts} attempt{s}: {}",
                id.0, failure.message
            )?;
        }
        if !self.unfinished.is_empty() {
            write!(f, "{separator}{} unfinished", self.unfinished.len())?;
            separator = ", ";
        }
        if self.more_in_source {
            write!(f, "{separator}more in the source")?;
        }
        Ok(())
    }
}

impl<T> std::error::Error for SubmitError<T> {}
