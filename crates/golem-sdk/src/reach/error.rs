//! The reasons why a place can't be reached, why a connection ended, and why a port can't be listened at.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use yagna_api::time::short;
use yagna_client::{ClientError, TransportError};

/// The reasons why no connection into a network could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// The machine answers, but no program accepts connections at that port.
    #[error(
        "nothing listens on {target}: start the program there, and let it listen on 0.0.0.0 and not on 127.0.0.1, which \
         can't be reached from outside its machine"
    )]
    Refused {
        /// The address and port.
        target: SocketAddrV4,
    },
    /// Nothing answered in time.
    #[error(
        "{target} does not answer: its machine is down or still starting, or it is not a member of the network"
    )]
    NoAnswer {
        /// The address and port.
        target: SocketAddrV4,
    },
    /// The daemon doesn't know the network.
    #[error(
        "the daemon does not know the network of {target}: it forgets all networks when it restarts; start the service again"
    )]
    UnknownNetwork {
        /// The address and port.
        target: SocketAddrV4,
    },
    /// The address can't be connected to.
    #[error("{target} is not a valid place to connect to: {reason}")]
    Invalid {
        /// The address and port.
        target: SocketAddrV4,
        /// The defect in it.
        reason: String,
    },
    /// The daemon itself couldn't be asked, or refused for another reason.
    #[error("the daemon can't connect to {target}")]
    Daemon {
        /// The address and port.
        target: SocketAddrV4,
        /// The daemon's answer, or the lack of one.
        source: ClientError,
    },
}

impl ReachError {
    /// Reads the daemon's refusal.
    pub(super) fn of(target: SocketAddrV4, error: ClientError) -> Self {
        let Some(answer) = error.api() else { return Self::Daemon { target, source: error } };
        match (answer.status, answer.message.as_str()) {
            (400, "Socket closed") => Self::Refused { target },
            (504, _) => Self::NoAnswer { target },
            (403 | 404, _) => Self::UnknownNetwork { target },
            (400, reason) if reason.starts_with("Invalid IP address") || reason.contains("not allowed") => {
                Self::Invalid { target, reason: reason.to_owned() }
            }
            // The daemon's TCP stack knows no way to an address outside the network.
            (400, reason) if reason.starts_with("Connection error") => {
                Self::Invalid { target, reason: format!("{reason}; is it in the network's range?") }
            }
            _ => Self::Daemon { target, source: error },
        }
    }

    /// True if the same attempt may succeed soon: a program or machine that is still starting, or a passing trouble of the
    /// daemon.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::NoAnswer { .. } => true,
            Self::UnknownNetwork { .. } | Self::Invalid { .. } => false,
            Self::Daemon { source, .. } => source.disposition() == yagna_client::Disposition::Retry,
        }
    }
}

impl From<ReachError> for io::Error {
    fn from(error: ReachError) -> Self {
        let kind = match error {
            ReachError::Refused { .. } => io::ErrorKind::ConnectionRefused,
            ReachError::NoAnswer { .. } => io::ErrorKind::TimedOut,
            ReachError::UnknownNetwork { .. } => io::ErrorKind::NotFound,
            ReachError::Invalid { .. } => io::ErrorKind::InvalidInput,
            ReachError::Daemon { .. } => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

/// The reasons why an open connection into a network ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelEnd {
    /// The daemon said goodbye. Readers see the end of the stream, writers an error.
    #[error("the daemon closed the connection to {target}")]
    Closed {
        /// The address and port.
        target: SocketAddrV4,
    },
    /// The connection was reset.
    #[error(
        "the connection to {target} was reset: its program closed it, or its machine, the network or the daemon went away"
    )]
    Reset {
        /// The address and port.
        target: SocketAddrV4,
        /// The trouble with the WebSocket to the daemon.
        problem: String,
    },
    /// Nothing read on this side for too long, which holds up every other connection of the network.
    #[error(
        "the connection to {target} was given up: its reader on this machine has taken nothing for {}, and the daemon serves \
         no other connection of the network meanwhile",
        short(*after)
    )]
    Stuck {
        /// The address and port.
        target: SocketAddrV4,
        /// The time that it was given.
        after: Duration,
    },
    /// The daemon stopped sending anything, pings included.
    #[error("the connection to {target} was given up: the daemon has been silent for {}", short(*after))]
    Silent {
        /// The address and port.
        target: SocketAddrV4,
        /// The time that it was given.
        after: Duration,
    },
}

impl TunnelEnd {
    pub(super) fn reset(target: SocketAddrV4, problem: &TransportError) -> Self {
        Self::Reset { target, problem: crate::text::chain(problem) }
    }
}

impl From<TunnelEnd> for io::Error {
    fn from(end: TunnelEnd) -> Self {
        let kind = match end {
            TunnelEnd::Closed { .. } => io::ErrorKind::BrokenPipe,
            TunnelEnd::Reset { .. } => io::ErrorKind::ConnectionReset,
            TunnelEnd::Stuck { .. } | TunnelEnd::Silent { .. } => io::ErrorKind::TimedOut,
        };
        Self::new(kind, end)
    }
}

/// The reasons why a local address can't be listened at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program listens there.
    #[error(
        "port {} of this machine is in use by another program: choose another local port (0 lets the system choose one), or \
         end that program; `ss -ltnp` shows which it is",
        address.port()
    )]
    InUse {
        /// The address and port.
        address: SocketAddr,
    },
    /// The system keeps the port for privileged programs.
    #[error(
        "this user may not listen at port {} of this machine: choose a local port above 1023",
        address.port()
    )]
    NotAllowed {
        /// The address and port.
        address: SocketAddr,
    },
    /// The address isn't one of this machine's.
    #[error("{} is not an address of this machine: listen at 127.0.0.1, or at 0.0.0.0 for every address", address.ip())]
    NotOurs {
        /// The address and port.
        address: SocketAddr,
    },
    /// Something else is wrong.
    #[error("can't listen at {address}")]
    Other {
        /// The address and port.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

impl BindError {
    pub(super) fn of(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::NotAllowed { address },
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { address },
            _ => Self::Other { address, source },
        }
    }
}
