//! The names of instances in a network, as their machines' tables of hosts have them.
//!
//! A service `web` has the name `web`, which is its first ready instance, and `web-1`, `web-2`, .. for its instances.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::sync::watch;

use super::state::{InstanceInfo, InstanceState, instance_name};

/// The names of a network, shared by the services in it. Clones are the same names.
#[derive(Debug, Clone)]
pub struct Names(Arc<watch::Sender<BTreeMap<String, BTreeMap<u32, Seen>>>>);

/// An instance, as far as its name is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    address: Ipv4Addr,
    is_ready: bool,
}

impl Default for Names {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(BTreeMap::new())))
    }
}

impl Names {
    /// The addresses by name.
    pub fn all(&self) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        for (service, instances) in &*self.0.borrow() {
            for (number, seen) in instances {
                names.insert(instance_name(service, *number), seen.address.to_string());
            }
            let first = instances.values().find(|seen| seen.is_ready).or_else(|| instances.values().next());
            if let Some(first) = first {
                names.insert(service.clone(), first.address.to_string());
            }
        }
        names
    }

    /// The addresses of a service's instances by their numbers, those that are ready and those that aren't yet.
    pub fn of(&self, service: &str) -> Vec<(u32, Ipv4Addr)> {
        let names = self.0.borrow();
        names.get(service).into_iter().flatten().map(|(number, seen)| (*number, seen.address)).collect()
    }

    /// Tells of changes.
    pub(super) fn watch(&self) -> watch::Receiver<BTreeMap<String, BTreeMap<u32, Seen>>> {
        self.0.subscribe()
    }

    /// Takes the names of a service's instances from how they stand. In a place with two of them, the one that is ready has the name.
    pub(super) fn update(&self, service: &str, instances: &[InstanceInfo]) {
        let mut seen = BTreeMap::<u32, Seen>::new();
        for instance in instances {
            let is_up = !matches!(
                instance.state,
                InstanceState::Pending | InstanceState::Stopping | InstanceState::Stopped
            );
            let Some(address) = instance.address.filter(|_| is_up) else { continue };
            let is_ready = instance.state == InstanceState::Ready;
            let known = seen.get(&instance.place.number).is_some_and(|known| known.is_ready && !is_ready);
            if !known {
                seen.insert(instance.place.number, Seen { address, is_ready });
            }
        }
        self.0.send_if_modified(|names| {
            let before = names.get(service);
            if before == Some(&seen) || (before.is_none() && seen.is_empty()) {
                return false;
            }
            names.insert(service.to_owned(), seen);
            true
        });
    }
}
