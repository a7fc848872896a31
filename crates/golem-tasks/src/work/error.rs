//! The reasons why an attempt of a task failed, in the words of the worker.

use std::error::Error;
use std::time::Duration;

use golem_core::event::{AttemptFailure, FailureKind};
use golem_sdk::text::chain;
use golem_sdk::{ScriptError, WorkerError};
use yagna_api::time::short;

/// The reason why an attempt of a task failed, and the consequences.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The commands couldn't be carried out. The task is tried elsewhere; where the activity is lost or still busy, the
    /// rental ends.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The provider's result is not acceptable. The task is tried elsewhere.
    #[error("{0}")]
    Rejected(String),
    /// The task itself can't be done: it has failed for good, whatever tries it has left.
    #[error("{0}")]
    Final(String),
    /// It took too long, and may still be running there: the rental ends, the task is tried elsewhere.
    #[error("it took longer than {}", short(*.0))]
    Expired(Duration),
    /// Anything else. The task is tried elsewhere.
    #[error(transparent)]
    Other(Box<dyn Error + Send + Sync>),
    /// A failure in the words of the engine; the rental goes on.
    #[error("{}", .0.message)]
    Failed(AttemptFailure),
    /// A failure in the words of the engine, after which the task has failed for good, whatever attempts it has left.
    #[error("{}", .0.message)]
    GivenUp(AttemptFailure),
    /// The task failed, and the rental ends.
    #[error("{}", .failure.message)]
    Lost {
        /// The failure of the task.
        failure: AttemptFailure,
        /// The error that ends the rental.
        worker: WorkerError,
    },
}

impl TaskError {
    /// Any error of one's own: the task is tried elsewhere. It fits `map_err`.
    pub fn other(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// The result is no good, and the task is tried elsewhere.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected(reason.into())
    }

    /// The task has failed for good: no other provider could do it either.
    pub fn for_good(reason: impl Into<String>) -> Self {
        Self::Final(reason.into())
    }

    /// This failure, of an attempt that took so long by itself.
    pub(crate) fn taking(self, took: Duration) -> Self {
        let taking = |failure| AttemptFailure { took: Some(took), ..failure };
        match self {
            Self::Failed(failure) => Self::Failed(taking(failure)),
            Self::GivenUp(failure) => Self::GivenUp(taking(failure)),
            other => other,
        }
    }

    /// The failure of the task, whether it may be retried, and the outcome for the worker.
    pub(super) fn consequences(self) -> (AttemptFailure, bool, Result<(), WorkerError>) {
        match self {
            Self::Script(error) => {
                let failure = error.to_failure();
                let ready = error.leaves_activity_ready();
                (failure, true, if ready { Ok(()) } else { Err(error.into()) })
            }
            Self::Rejected(reason) => (failure(FailureKind::Rejected, reason), true, Ok(())),
            Self::Final(reason) => (failure(FailureKind::Rejected, reason), false, Ok(())),
            Self::Expired(limit) => {
                let message = format!("took longer than {}", short(limit));
                (failure(FailureKind::Expired, message.clone()), true, Err(WorkerError::other(message)))
            }
            Self::Other(error) => (failure(FailureKind::Rejected, chain(&*error)), true, Ok(())),
            Self::Failed(failure) => (failure, true, Ok(())),
            Self::GivenUp(failure) => (failure, false, Ok(())),
            Self::Lost { failure, worker } => (failure, true, Err(worker)),
        }
    }
}

impl From<std::io::Error> for TaskError {
    fn from(error: std::io::Error) -> Self {
        Self::other(error)
    }
}

impl From<serde_json::Error> for TaskError {
    fn from(error: serde_json::Error) -> Self {
        Self::other(error)
    }
}

pub(super) fn failure(kind: FailureKind, message: impl Into<String>) -> AttemptFailure {
    AttemptFailure::new(kind, message)
}
