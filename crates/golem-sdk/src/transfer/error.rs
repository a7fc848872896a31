//! The errors of file transfers.

use std::path::PathBuf;

use yagna_client::ClientError;

/// The reason why a file couldn't be offered or received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A file to be sent can't be read.
    #[error("{path} can't be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A file to be received can't be written.
    #[error("{path} can't be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The daemon doesn't offer its bus.
    #[error("the daemon doesn't pass the file on")]
    Bus(#[source] ClientError),
    /// The service of the file has panicked: a bug.
    #[error("the file's service broke")]
    Broken,
}
