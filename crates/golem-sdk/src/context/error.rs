//! The reasons why a script, or a question about an activity, failed.

use std::fmt;
use std::time::Duration;

use golem_core::event::{AttemptFailure, FailureKind, Provider};
use golem_core::offer::OfferProblem;
use golem_core::run::OwnFault;
use yagna_api::AgreementId;
use yagna_api::activity::CommandResult;
use yagna_api::market::Terminator;
use yagna_api::time::short;
use yagna_client::{ClientError, Disposition};

use super::batch::Batch;
use crate::fault;
use crate::script::{LARGEST_SCRIPT, ProgramProblem};
use crate::text::{chain, tail};
use crate::transfer::TransferError;

/// So much of the end of a failed command's standard error is kept.
const STDERR_KEPT: usize = 4096;

/// The reasons why a script couldn't be carried out.
#[doc(alias = "BatchError")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum ScriptError {
    /// A command failed, and nothing after it was run. The activity can be used on.
    #[doc(alias = "CommandExecutionError")]
    #[error("{0}")]
    CommandFailed(Box<Failure>),
    /// A file didn't get through, and nothing after it was run. The activity can be used on.
    #[error("{0}")]
    TransferFailed(Box<Failure>),
    /// Time ran out while a command was being run; it may still be running.
    #[doc(alias = "BatchTimeoutError")]
    #[error("{0}")]
    Expired(Box<Expiry>),
    /// The activity is gone; nothing more can be run in it.
    #[error("the activity is lost on {}: {reason}", shown(provider))]
    ActivityLost {
        /// The reason that the provider gives.
        reason: String,
        provider: Provider,
    },
    /// One side has ended the agreement, and the activity with it.
    #[error("the {} ended the agreement with {}: {reason}", side(*by), shown(provider))]
    AgreementEnded {
        agreement: AgreementId,
        /// The party that ended it.
        by: Terminator,
        /// The reason, in the words of that party.
        reason: String,
        provider: Provider,
    },
    /// An earlier script still runs in the activity: one that timed out or was dropped, or that of a clone.
    #[error("{} is still busy with an earlier script", shown(provider))]
    Busy { provider: Provider },
    /// The work that an earlier process began in the activity can't be continued; another activity takes its place.
    #[error("what was begun on {} before the run was interrupted can't be gone on with", shown(provider))]
    Interrupted { provider: Provider },
    /// A command can't be sent as it is; nothing of its batch was.
    #[error("{command} can't be sent")]
    Invalid {
        command: CommandName,
        /// The problem with it.
        source: ProgramProblem,
    },
    /// The daemon takes no script of this size; nothing of it was sent. What is long belongs into files.
    #[error(
        "the script has {bytes} bytes, and the daemon takes at most {LARGEST_SCRIPT}: send what is long as a file"
    )]
    TooLarge {
        /// Its size on the way to the daemon.
        bytes: usize,
    },
    /// The daemon, or the provider behind it, has refused the script. Nothing of it was run, and the activity can be used on.
    #[error("the script was refused")]
    Refused(#[source] ClientError),
    /// A value has no form in JSON.
    #[error("the content of {to} can't be written as JSON")]
    NoJson {
        /// The place where it should go.
        to: String,
        source: serde_json::Error,
    },
    /// A downloaded document isn't what was expected.
    #[error("what {command} brought can't be read as JSON of the type wanted")]
    Unreadable {
        command: CommandName,
        /// The error in it.
        source: serde_json::Error,
    },
    /// A handle was used on another batch than that it was queued for, or its command wasn't reached.
    #[error(
        "this batch has no such result: the handle belongs to another one, or its command wasn't reached"
    )]
    NoSuchResult,
    /// The error that ended the batch has been told before, by the stream.
    #[error("the batch has failed, as its stream has told")]
    Told,
    /// The files of a script couldn't be made ready in its time; nothing of it was sent.
    #[error("the files of the script couldn't be offered within {limit:?}")]
    Stalled { limit: Duration },
    /// The daemon couldn't pass the script or its results on.
    #[error("the daemon couldn't carry out the script")]
    Daemon(#[from] ClientError),
    /// A file couldn't be offered or received.
    #[error("a file transfer couldn't be prepared")]
    Transfer(#[from] TransferError),
    /// The agreement's prices can't be read, so that no cost can be told.
    #[error("the agreement's prices can't be read")]
    Prices(#[source] OfferProblem),
    /// The usage that the provider reports has no price.
    #[error("the reported usage can't be priced by the agreement")]
    Unpriced,
}

impl ScriptError {
    /// True if the activity can take the next script at once. If not, it is busy, gone, or out of reach.
    pub fn leaves_activity_ready(&self) -> bool {
        match self {
            Self::CommandFailed(_)
            | Self::TransferFailed(_)
            | Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::Refused(_)
            | Self::NoJson { .. }
            | Self::Unreadable { .. }
            | Self::NoSuchResult
            | Self::Prices(_)
            | Self::Unpriced => true,
            Self::Transfer(error) => is_about_file(error),
            Self::Stalled { .. } => true,
            Self::Expired(_)
            | Self::ActivityLost { .. }
            | Self::AgreementEnded { .. }
            | Self::Busy { .. }
            | Self::Interrupted { .. }
            | Self::Told
            | Self::Daemon(_) => false,
        }
    }

    /// The meaning for a task: the kind of failure, and whether another provider may do better.
    pub fn kind(&self) -> FailureKind {
        if self.own_fault(0).is_some() {
            return FailureKind::OwnTrouble;
        }
        match self {
            Self::CommandFailed(_) => FailureKind::CommandFailed,
            Self::TransferFailed(_) => FailureKind::TransferFailed,
            Self::Stalled { .. } => FailureKind::OwnTrouble,
            Self::Transfer(error) if !is_about_file(error) => FailureKind::TransferFailed,
            Self::Expired(_) => FailureKind::Expired,
            Self::Unreadable { .. } => FailureKind::Rejected,
            // A message that the daemon itself can't read never reaches anybody else. A provider speaks for itself
            // alone.
            Self::Refused(error) if error.disposition() != Disposition::Bug => FailureKind::CommandFailed,
            Self::ActivityLost { .. }
            | Self::AgreementEnded { .. }
            | Self::Busy { .. }
            | Self::Interrupted { .. }
            | Self::Told
            | Self::Daemon(_)
            | Self::Prices(_)
            | Self::Unpriced => FailureKind::Lost,
            Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::Refused(_)
            | Self::NoJson { .. }
            | Self::NoSuchResult
            | Self::Transfer(_) => FailureKind::Invalid,
        }
    }

    /// The fault of this machine that the error shows, if it does; there was no room for `bytes`.
    pub(crate) fn own_fault(&self, bytes: u64) -> Option<OwnFault> {
        match self {
            Self::Transfer(error) => fault::of_transfer(error, bytes),
            Self::Daemon(error) if fault::is_out_of_files(error) => {
                Some(OwnFault { problem: chain(self), folder: None, bytes })
            }
            Self::Stalled { .. } => Some(OwnFault { problem: self.to_string(), folder: None, bytes }),
            _ => None,
        }
    }

    /// The failure of a task that this is the reason for, to be handed in by [`Task::failed`](crate::Task::failed).
    pub fn to_failure(&self) -> AttemptFailure {
        let stderr = match self {
            Self::CommandFailed(failure) | Self::TransferFailed(failure) => failure.stderr.clone(),
            _ => String::new(),
        };
        AttemptFailure { stderr: stderr.into(), ..AttemptFailure::new(self.kind(), chain(self)) }
    }
}

/// True if the fault is in our own file, so that nobody else could send or take it either.
fn is_about_file(error: &TransferError) -> bool {
    matches!(error, TransferError::Unreadable { .. } | TransferError::Unwritable { .. })
}

/// A command, for people: its place in the batch and a few words. Never its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandName {
    /// Its place in the batch, from 0.
    pub place: usize,
    /// The command in words, cut where it is long.
    pub words: String,
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (command {})", self.words, self.place)
    }
}

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    /// The command.
    pub command: CommandName,
    /// The provider where it failed.
    pub provider: Provider,
    /// Its exit code, if it was a program that ran to its end.
    pub exit_code: Option<i32>,
    /// The provider's message; for a refused transfer, our reason.
    pub message: String,
    /// The end of what it wrote to its standard error, as far as that was captured.
    pub stderr: String,
    /// The results of the commands before it, and its own.
    pub so_far: Batch,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed on {}: {}", self.command, shown(&self.provider), self.message)?;
        match self.stderr.trim_end().lines().next_back() {
            Some(last) => write!(f, ": {last}"),
            None => Ok(()),
        }
    }
}

/// A batch that ran out of time.
#[derive(Debug)]
pub struct Expiry {
    /// The first command without a result.
    pub command: CommandName,
    /// The time that the batch was given.
    pub limit: Duration,
    /// The provider.
    pub provider: Provider,
    /// The results of the commands before.
    pub so_far: Batch,
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let provider = shown(&self.provider);
        write!(f, "the batch took longer than {} on {provider}, at {}", short(self.limit), self.command)
    }
}

/// The end of what a command wrote to its standard error.
pub(super) fn stderr_end(result: &CommandResult) -> String {
    let text = result.stderr.as_ref().map(|stderr| stderr.to_text()).unwrap_or_default();
    tail(&text, STDERR_KEPT).to_owned()
}

fn shown(provider: &Provider) -> &str {
    if provider.name.is_empty() { provider.id.as_str() } else { &provider.name }
}

fn side(side: Terminator) -> &'static str {
    match side {
        Terminator::Requestor => "requestor",
        Terminator::Provider => "provider",
    }
}
