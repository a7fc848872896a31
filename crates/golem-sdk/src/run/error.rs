//! The errors that end a run.

use yagna_client::{Client, ClientError};

use crate::account::{lacks_account, remedy};
use crate::journal::JournalError;
use crate::reading::ReadingError;

/// The reasons why a run couldn't begin or continue. Its agreements are ended first, as far as the daemon lets it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum RunError {
    /// No daemon answers.
    #[error("no yagna daemon answers at {address}")]
    Unreachable {
        /// The address that was tried.
        address: String,
        /// The error of the request.
        #[source]
        source: ClientError,
    },
    /// The daemon doesn't accept the app key.
    #[error("the yagna daemon at {address} doesn't accept the app key")]
    Unauthorised {
        /// The address of the daemon.
        address: String,
        #[source]
        source: ClientError,
    },
    /// Something answers at the daemon's address, but not as a yagna daemon does.
    #[error("what answers at {address} is not a yagna daemon")]
    NotYagna {
        /// The address that was tried.
        address: String,
        #[source]
        source: ClientError,
    },
    /// The money couldn't be set aside.
    #[error("{amount} GLM can't be set aside on {driver}/{network}")]
    Allocation {
        amount: yagna_api::Glm,
        driver: String,
        network: String,
        #[source]
        source: ClientError,
    },
    /// The daemon failed at something that a run can't do without.
    #[error("the daemon failed to prepare the run")]
    Daemon(#[from] ClientError),
    /// The source of the tasks isn't the one that was read, or can't be read.
    #[error(transparent)]
    Source(Box<ReadingError>),
    /// The events couldn't be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A part of the engine broke: a bug.
    #[error("a part of the engine broke: {0}")]
    Broken(String),
}

impl RunError {
    /// The command that helps where an account on the driver and network is missing, or funds in it.
    pub fn account_remedy(&self) -> Option<String> {
        match self {
            Self::Allocation { driver, network, source, .. } if lacks_account(source) => {
                Some(remedy(driver, network))
            }
            _ => None,
        }
    }

    /// The error of a first call to a daemon: it tells a daemon that isn't there from one that refuses the key.
    pub fn at_greeting(client: &Client, source: ClientError) -> Self {
        let address = client.address().to_owned();
        if source.is_of_another_program() {
            Self::NotYagna { address, source }
        } else if source.is_unauthorised() {
            Self::Unauthorised { address, source }
        } else if source.is_unreachable() || matches!(source, ClientError::TimedOut { .. }) {
            Self::Unreachable { address, source }
        } else {
            Self::Daemon(source)
        }
    }
}

impl From<ReadingError> for RunError {
    fn from(error: ReadingError) -> Self {
        Self::Source(Box::new(error))
    }
}
