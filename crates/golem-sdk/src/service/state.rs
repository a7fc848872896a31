//! The states of an instance, and the reasons of its end.

use std::fmt;
use std::net::Ipv4Addr;

use golem_core::event::Provider;
use serde::{Deserialize, Serialize};
use yagna_api::{ActivityId, AgreementId, NetworkId, Timestamp};

/// One place of a service. It stays the same when its machine is replaced; its turn is another one with each agreement
/// that is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The number of the place in its service, from 1.
    pub number: u32,
    /// The turn: 0 for the first one.
    pub turn: u64,
}

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InstanceState {
    /// No machine has been found yet.
    Pending,
    /// Its machine is being prepared.
    Starting,
    /// Its main process runs, and isn't ready yet.
    Running,
    /// It does what it is for.
    Ready,
    /// It was ready, and its checks fail or can't be made.
    Unresponsive,
    /// It gets no new connections and is being ended.
    Stopping,
    /// It has ended and isn't started again.
    Stopped,
}

/// The reason why an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// It was asked to.
    Asked,
    /// A successor has taken its place, because its agreement was about to end.
    Renewed,
    /// Its service has fewer instances now.
    Surplus,
    /// Its main process ended.
    Exited {
        /// The exit code; 128 and more is a signal.
        code: i32,
        /// The last lines of its log.
        log: String,
    },
    /// It wasn't ready in time.
    NotReady {
        /// The reason in words.
        why: String,
        /// The last lines of its log.
        log: String,
    },
    /// It no longer passed its checks.
    Unresponsive {
        /// The reason in words.
        why: String,
    },
    /// Its machine, its agreement or its network is gone.
    MachineLost {
        /// The reason in words.
        why: String,
    },
}

/// An instance as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstanceInfo {
    /// The service.
    pub service: String,
    /// The place in it.
    pub place: Place,
    /// The state.
    pub state: InstanceState,
    /// The reason of the latest end, of this instance or of the one before it in its place.
    pub last_end: Option<EndReason>,
    /// The provider of its machine.
    pub provider: Option<Provider>,
    /// The agreement under which its machine is rented.
    #[serde(default)]
    pub agreement: Option<AgreementId>,
    /// The activity that is its machine.
    pub activity: Option<ActivityId>,
    /// The network that it is in.
    pub network: Option<NetworkId>,
    /// Its address there.
    pub address: Option<Ipv4Addr>,
    /// The time of the latest change of state.
    pub since: Timestamp,
    /// The number of restarts in this place, in this process.
    pub restarts: u32,
    /// The end of its agreement.
    pub expires: Option<Timestamp>,
}

impl Place {
    /// The first turn of a place.
    pub fn first(number: u32) -> Self {
        Self { number, turn: 0 }
    }
}

impl InstanceInfo {
    pub(super) fn new(service: &str, place: Place, since: Timestamp) -> Self {
        Self {
            service: service.to_owned(),
            place,
            state: InstanceState::Pending,
            last_end: None,
            provider: None,
            agreement: None,
            activity: None,
            network: None,
            address: None,
            since,
            restarts: 0,
            expires: None,
        }
    }

    /// The name of the instance, such as `web-1`. While an agreement is renewed two instances have one name.
    pub fn name(&self) -> String {
        instance_name(&self.service, self.place.number)
    }
}

/// The name of an instance by its service and its number.
pub fn instance_name(service: &str, number: u32) -> String {
    format!("{service}-{number}")
}

impl InstanceState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Unresponsive => "unresponsive",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// The state of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Starting,
            Self::Running,
            Self::Ready,
            Self::Unresponsive,
            Self::Stopping,
            Self::Stopped,
        ]
        .into_iter()
        .find(|state| state.word() == word)
    }

    /// True if there is a machine on which commands can be run.
    pub fn has_machine(self) -> bool {
        matches!(self, Self::Running | Self::Ready | Self::Unresponsive | Self::Stopping)
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl EndReason {
    /// The end of the log that belongs to it; empty where there is none.
    pub fn log(&self) -> &str {
        match self {
            Self::Exited { log, .. } | Self::NotReady { log, .. } => log,
            _ => "",
        }
    }

    /// True if nothing went wrong.
    pub fn is_fine(&self) -> bool {
        matches!(self, Self::Asked | Self::Renewed | Self::Surplus | Self::Exited { code: 0, .. })
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("on request"),
            Self::Renewed => f.write_str("replaced before its agreement ends"),
            Self::Surplus => f.write_str("no longer wanted"),
            Self::Exited { code, .. } => write!(f, "its process ended with exit code {code}"),
            Self::NotReady { why, .. } | Self::Unresponsive { why } => f.write_str(why),
            Self::MachineLost { why } => write!(f, "its machine is lost: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found_by_its_word() {
        for word in ["pending", "starting", "running", "ready", "unresponsive", "stopping", "stopped"] {
            let state = InstanceState::from_word(word).unwrap();
            assert_eq!(state.to_string(), word);
            assert_eq!(serde_json::to_value(state).unwrap(), word);
        }
    }
}
