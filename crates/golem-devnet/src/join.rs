//! Providers join a real daemon: the same agents as in the devnet, selling through a `yagna` beside them.
//!
//! A [`DaemonPort`] is a [`Port`](crate::port::Port) whose calls travel over the daemon's REST API and, where that has
//! none, over its bus; [`Joined`] puts providers to work on it. What they do there is the business of
//! [`provider`](crate::provider).

mod address;
mod bus;
mod calls;
mod exe_unit;
mod joined;
mod message;
mod port;
mod remote;
mod rest;
mod vpn;
mod wire;

pub use self::address::{DaemonAddress, GsbAddress, GsbAddressError};
pub use self::bus::BusDown;
pub use self::joined::{Joined, JoinedBuilder};
pub use self::port::DaemonPort;

/// The reasons why providers can't join a daemon.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The text names no daemon.
    #[error("`{0}` is not a valid address of a daemon: expected http://host:port")]
    Address(String),
    /// No daemon answers there, or something else does.
    #[error("no daemon at {api}: {problem}")]
    NoDaemon {
        /// The address of its API.
        api: String,
        /// The problem with its answer.
        problem: String,
    },
    /// The daemon doesn't know the key.
    #[error("the daemon at {api} refuses the app key")]
    Key {
        /// The address of its API.
        api: String,
    },
    /// The daemon is older than the contract that we know.
    #[error("the daemon has version {found}, and at least 0.15 is needed: install a newer yagna")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// The daemon answers, but its bus isn't where we look for it.
    #[error("the daemon's bus isn't reached at {gsb}; set GSB_URL to where the daemon has it")]
    Bus {
        /// The address of its bus.
        gsb: GsbAddress,
        /// The error of the connection.
        #[source]
        source: BusDown,
    },
    /// This machine can't make HTTP requests.
    #[error("no HTTP client")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Two providers can't have the same name.
    #[error("two providers are called `{0}`")]
    SameName(String),
    /// A provider's offer didn't come to the market.
    #[error("provider `{0}` doesn't publish its offer")]
    NoOffer(String),
}
