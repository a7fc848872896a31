//! Why a call gave no value, and what to do about it.

use std::time::Duration;

use yagna_api::time::short;
use yagna_api::{AnswerError, ApiError};

use crate::transport::TransportError;

/// The reasons why an operation gave no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The daemon's answer never came.
    #[error("could not {operation}")]
    Transport {
        /// The operation in a few words.
        operation: &'static str,
        /// The failure of its transport.
        source: TransportError,
    },
    /// The daemon took longer than it was given; it may still do what was asked.
    #[error("could not {operation}: no answer within {}", short(*waited))]
    TimedOut {
        /// The operation in a few words.
        operation: &'static str,
        /// The time that it was given.
        waited: Duration,
    },
    /// The daemon answered, but not with what was asked for.
    #[error("could not {operation}")]
    Answer {
        /// The operation in a few words.
        operation: &'static str,
        /// The error of its answer.
        source: Box<AnswerError>,
    },
}

/// The reaction that an error calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// The same request may succeed later: the daemon is restarting or overloaded, or its peer is slow.
    Retry,
    /// This agreement, activity, proposal or bill is not to be had; others may be.
    GiveUpOnThis,
    /// Only the user can change it: a wrong key, an empty wallet.
    UserMustAct,
    /// One of the two programs is wrong.
    Bug,
}

impl ClientError {
    pub(crate) fn transport(operation: &'static str, source: TransportError) -> Self {
        Self::Transport { operation, source }
    }

    pub(crate) fn answer(operation: &'static str, source: impl Into<AnswerError>) -> Self {
        Self::Answer { operation, source: Box::new(source.into()) }
    }

    /// The operation that failed, in a few words: "create an agreement".
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Transport { operation, .. }
            | Self::TimedOut { operation, .. }
            | Self::Answer { operation, .. } => operation,
        }
    }

    /// The daemon's refusal, if it was one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Answer { source, .. } => source.api(),
            _ => None,
        }
    }

    /// True if the daemon said that it doesn't know the thing that was asked for.
    pub fn is_not_found(&self) -> bool {
        self.api().is_some_and(ApiError::is_not_found)
    }

    /// True if the daemon said that the thing is gone.
    pub fn is_gone(&self) -> bool {
        self.api().is_some_and(ApiError::is_gone)
    }

    /// True if the daemon refused the app key.
    pub fn is_unauthorised(&self) -> bool {
        self.api().is_some_and(ApiError::is_unauthorised)
    }

    /// True if there is no daemon at all. The source then says where it was looked for.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Transport { source: TransportError::Unreachable { .. }, .. })
    }

    /// True if this is the answer of another program than a daemon. Where the request is one that every daemon
    /// understands, such as asking who the key belongs to.
    pub fn is_of_another_program(&self) -> bool {
        match self {
            Self::Answer { source, .. } => match source.as_ref() {
                AnswerError::Unreadable { .. } => true,
                AnswerError::Api(error) => {
                    error.is_a_web_page()
                        || matches!(error.status, 300..=399 | 400 | 403..=406 | 410 | 426 | 501)
                }
            },
            Self::Transport { source: TransportError::Lost { source }, .. } => {
                speaks_something_else(&**source)
            }
            Self::Transport { .. } | Self::TimedOut { .. } => false,
        }
    }

    /// The reaction that this error calls for.
    ///
    /// A daemon that can't be reached counts as one that may come back; whoever starts something asks
    /// [`is_unreachable`](Self::is_unreachable) first.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Transport { source: TransportError::Unsendable { .. }, .. } => Disposition::Bug,
            Self::Transport { .. } | Self::TimedOut { .. } => Disposition::Retry,
            Self::Answer { source, .. } => match source.as_ref() {
                AnswerError::Api(error) => of_refusal(error),
                AnswerError::Unreadable { .. } => Disposition::Bug,
            },
        }
    }

    /// For logs: what happened, without anything the daemon or the user wrote.
    pub(crate) fn brief(&self) -> Brief<'_> {
        Brief(self)
    }
}

/// True if the bytes that came aren't HTTP. The HTTP library says so in words alone.
fn speaks_something_else(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).any(|text| text.contains("invalid HTTP"))
}

/// Shows an error by its kind only.
pub(crate) struct Brief<'a>(&'a ClientError);

impl std::fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            ClientError::Transport { source, .. } => source.fmt(f),
            ClientError::TimedOut { waited, .. } => write!(f, "no answer within {}", short(*waited)),
            ClientError::Answer { source, .. } => match source.as_ref() {
                AnswerError::Api(error) => write!(f, "status {}", error.status),
                AnswerError::Unreadable { status, .. } => write!(f, "unreadable answer, status {status}"),
            },
        }
    }
}

/// Words of the daemon's request readers, for requests that it couldn't even take apart.
const MISREAD: [&str; 5] = [
    "Json deserialize error",
    "Content type error",
    "Query deserialize error",
    "Path deserialize error",
    // A script that it can't read, as it prints such an error.
    "Bad request: Error(",
];

fn of_refusal(error: &ApiError) -> Disposition {
    if error.is_unauthorised() || error.problem.is_some() {
        // Problem documents are about allocations: funds, platforms, deposits.
        return Disposition::UserMustAct;
    }
    if error.is_passing() || error.is_timeout() {
        return Disposition::Retry;
    }
    match error.status {
        413 | 415 => Disposition::Bug,
        400 if MISREAD.iter().any(|words| error.message.starts_with(words)) => Disposition::Bug,
        _ => Disposition::GiveUpOnThis,
    }
}
