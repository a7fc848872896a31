//! Telling somebody of each request: for metrics.

use std::fmt;
use std::time::Duration;

use crate::error::ClientError;

/// Hears of each request that a [`Client`](crate::Client) makes, and of each further attempt at it.
///
/// It is called between the answer and whoever waits for it, so it has to be quick.
pub trait Observer: Send + Sync + fmt::Debug {
    /// A request of the endpoint with this name has its answer, or has failed, after this time.
    fn asked(&self, operation: &'static str, took: Duration, outcome: Outcome);
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It brought its value.
    Answered,
    /// The daemon answered something else.
    Refused,
    /// No answer came in time.
    TimedOut,
    /// The daemon couldn't be reached, or the connection broke off.
    Lost,
}

impl Outcome {
    /// The outcome of a request that ended with this error, or without any.
    pub(crate) fn of(error: Option<&ClientError>) -> Self {
        match error {
            None => Self::Answered,
            Some(ClientError::TimedOut { .. }) => Self::TimedOut,
            Some(ClientError::Transport { .. }) => Self::Lost,
            Some(_) => Self::Refused,
        }
    }
}
