//! The exit codes of the program, and the errors that lead to them. `docs/exit-codes.md` explains each.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::{ExitCode, Termination};

use golem_core::event::{RunEnd, StopReason};
use golem_sdk::run::RunError;
use yagna_client::proxy::named_for;

use crate::job::JobError;
use crate::store::{DsnError, StoreError};

/// The program's exit codes. The numbers don't change from version to version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exit {
    /// Everything asked for is done; of a run: every task has its result, or as many as were wanted have.
    Done,
    /// The run is over and some tasks failed.
    TasksFailed,
    /// The command line or the job file is wrong; nothing was begun.
    Usage,
    /// Nothing could run for too long, and the run gave up.
    NothingRan,
    /// The budget was reached before all tasks were done.
    BudgetReached,
    /// The yagna daemon can't be reached, or it refused what a run can't do without.
    Daemon,
    /// The database of runs can't be used.
    Store,
    /// The run broke off in the middle, or its results couldn't be written to standard output.
    BrokeOff,
    /// Bills of earlier runs are still awaited, or can't be accepted yet; said by `settle`.
    Unsettled,
    /// Another process works on the run.
    Held,
    /// Too many tasks failed, and the run stopped (`halt`).
    Halted,
    /// A bug in golem-tasks.
    Bug,
    /// Cancelled by Ctrl+C, SIGTERM or SIGHUP.
    Cancelled,
    /// The exit code of a command that was run on an instance of a service; said by `exec`.
    Command(u8),
}

/// The reason why a command failed, with the exit code and advice for the user.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    advice: Option<String>,
}

impl Exit {
    /// The exit code for a run's end.
    pub fn of(end: &RunEnd) -> Self {
        match end.why {
            StopReason::AllDone | StopReason::Closed if end.failed == 0 && end.unfinished == 0 => Self::Done,
            StopReason::AllDone | StopReason::Closed => Self::TasksFailed,
            StopReason::PartDone if end.failed > 0 => Self::TasksFailed,
            StopReason::ResultsReached | StopReason::PartDone => Self::Done,
            StopReason::Cancelled => Self::Cancelled,
            StopReason::BudgetReached => Self::BudgetReached,
            StopReason::NothingRuns => Self::NothingRan,
            StopReason::TooManyFailed => Self::Halted,
            _ => Self::BrokeOff,
        }
    }

    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::TasksFailed => 1,
            Self::Usage => 2,
            Self::NothingRan => 3,
            Self::BudgetReached => 4,
            Self::Daemon => 5,
            Self::Store => 6,
            Self::BrokeOff => 7,
            Self::Unsettled => 8,
            Self::Held => 9,
            Self::Halted => 10,
            Self::Bug => 70,
            Self::Cancelled => 130,
            Self::Command(code) => code,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

impl Failure {
    /// A failure of which the user is told the error with all its sources.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into(), advice: None }
    }

    /// With what the user can do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The error.
    pub fn error(&self) -> &(dyn Error + 'static) {
        self.error.as_ref()
    }

    /// The advice for the user, if anything is known to help.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Text for standard output got lost on the way: a full disk, for example.
#[derive(Debug, thiserror::Error)]
#[error("standard output can't be written: some of what belongs there is lost")]
struct LostOutput(#[source] io::Error);

impl Failure {
    /// The failure of standard output, with the system's error.
    pub(crate) fn lost_output(error: &io::Error) -> Self {
        let error = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        Self::new(Exit::BrokeOff, LostOutput(error))
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<DsnError> for Failure {
    fn from(error: DsnError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let advice = error.advice();
        let exit = match error {
            StoreError::Dsn(_)
            | StoreError::RunExists { .. }
            | StoreError::NoSuchRun { .. }
            | StoreError::NoSuchTask { .. }
            | StoreError::NoSuchProvider { .. }
            | StoreError::SeveralProviders { .. }
            | StoreError::SeveralRuns { .. }
            | StoreError::NothingYet { .. } => Exit::Usage,
            StoreError::Held { .. } => Exit::Held,
            _ => Exit::Store,
        };
        Self { advice, ..Self::new(exit, error) }
    }
}

/// The advice where no daemon answers.
const NO_DAEMON: &str = "start the daemon with `yagna service run`, or say where it is with --api-url; without any daemon \
    there is --devnet";

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        if let Some(remedy) = error.account_remedy() {
            return Self::new(Exit::Daemon, error).advise(remedy);
        }
        if let RunError::Unreachable { address, .. } = &error
            && let Some(proxy) =
                address.parse().ok().and_then(|url| named_for(&url, |name| std::env::var(name).ok()))
        {
            let advice = format!(
                "{NO_DAEMON}; it was asked directly, not through the proxy {} that {} names, for its key goes to nobody else",
                proxy.address, proxy.variable
            );
            return Self::new(Exit::Daemon, error).advise(advice);
        }
        let (exit, advice) = match &error {
            RunError::Unreachable { .. } => (Exit::Daemon, NO_DAEMON),
            RunError::NotYagna { .. } => (
                Exit::Daemon,
                "--api-url or YAGNA_API_URL names the daemon's address; where `yagna service run` isn't told otherwise, it \
                 is http://127.0.0.1:7465",
            ),
            RunError::Unauthorised { .. } => {
                (Exit::Daemon, "`yagna app-key list` shows the daemon's keys; put one into YAGNA_APPKEY")
            }
            RunError::Allocation { .. } => (
                Exit::Daemon,
                "`yagna payment status` shows what there is; `yagna payment fund` gets test GLM; \
                 --budget, --driver and --network choose how much is asked for and where",
            ),
            RunError::Journal(journal) => {
                let store = journal.source().and_then(|source| source.downcast_ref::<StoreError>());
                let advice = store.and_then(StoreError::advice);
                return Self { advice, ..Self::new(Exit::Store, error) };
            }
            RunError::Broken(_) => (
                Exit::Bug,
                "this is a bug in golem-tasks: please report it with the output of the same command and -vv",
            ),
            _ => (Exit::Daemon, ""),
        };
        let failure = Self::new(exit, error);
        if advice.is_empty() { failure } else { failure.advise(advice) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagna_api::Glm;

    #[test]
    fn every_end_of_a_run_has_its_code() {
        let end = |why, failed, unfinished| RunEnd {
            why,
            done: 3,
            failed,
            unfinished,
            cost: Glm::ZERO,
            unsettled: 0,
        };
        for (end, code) in [
            (end(StopReason::AllDone, 0, 0), 0),
            (end(StopReason::AllDone, 1, 0), 1),
            (end(StopReason::ResultsReached, 1, 2), 0),
            (end(StopReason::PartDone, 0, 2), 0),
            (end(StopReason::PartDone, 1, 2), 1),
            (end(StopReason::NothingRuns, 1, 2), 3),
            (end(StopReason::BudgetReached, 0, 2), 4),
            (end(StopReason::TooManyFailed, 3, 2), 10),
            (end(StopReason::Broken, 0, 2), 7),
            (end(StopReason::OwnTrouble, 1, 2), 7),
            (end(StopReason::Cancelled, 0, 0), 130),
        ] {
            assert_eq!(Exit::of(&end).code(), code, "{end:?}");
        }
    }

    #[test]
    fn the_documentation_lists_every_code() {
        let text = include_str!("../../../docs/exit-codes.md");
        for exit in [
            Exit::Done,
            Exit::TasksFailed,
            Exit::Usage,
            Exit::NothingRan,
            Exit::BudgetReached,
            Exit::Daemon,
            Exit::Store,
            Exit::BrokeOff,
            Exit::Unsettled,
            Exit::Held,
            Exit::Halted,
            Exit::Bug,
            Exit::Cancelled,
        ] {
            assert!(text.contains(&format!("| {} |", exit.code())), "{exit:?}");
        }
    }
}
