//! The ends of virtual networks on the bus: who is reached in which network.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock};

use yagna_api::{ApiError, NetworkId};

use crate::port::{PortResult, VpnEnd, VpnSeat};

/// The ends that are bound, by network and node. Frames pass here without the lock of the whole state.
#[derive(Debug, Default)]
pub(crate) struct Seats(RwLock<HashMap<NetworkId, Ends>>);

/// The ends of one network by node.
type Ends = HashMap<String, Arc<dyn VpnEnd>>;

impl Seats {
    /// Gives a node its place in a network. A node has one.
    pub(crate) fn bind(
        self: &Arc<Self>,
        network: &NetworkId,
        node: &str,
        end: Arc<dyn VpnEnd>,
    ) -> PortResult<VpnSeat> {
        let mut seats = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let ends = seats.entry(network.clone()).or_default();
        if ends.contains_key(node) {
            // The id of a network is a secret of those who are in it.
            return Err(ApiError {
                status: 409,
                message: format!(
                    "another activity of this provider is in the network at the address /public/vpn/{network}"
                ),
                problem: None,
            });
        }
        ends.insert(node.to_owned(), end);
        let (seats, network, node) = (Arc::downgrade(self), network.clone(), node.to_owned());
        Ok(VpnSeat::new(move || {
            if let Some(seats) = seats.upgrade() {
                seats.leave(&network, &node);
            }
        }))
    }

    /// The end of a node in a network.
    pub(crate) fn end(&self, network: &NetworkId, node: &str) -> Option<Arc<dyn VpnEnd>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(network)?.get(node).cloned()
    }

    /// Brings a frame to a node's end. It is lost where the node has none.
    pub(crate) fn push(&self, network: &NetworkId, from: &str, to: &str, frame: &[u8]) {
        if let Some(end) = self.end(network, to) {
            end.receive(from, frame);
        }
    }

    /// Announces a node to others.
    pub(crate) fn announce(&self, network: &NetworkId, to: &[String], address: Ipv4Addr, node: &str) {
        let news = BTreeMap::from([(address, node.to_owned())]);
        for end in to.iter().filter_map(|to| self.end(network, to)) {
            end.add_nodes(&news);
        }
    }

    /// Tells others that a node has left.
    pub(crate) fn withdraw(&self, network: &NetworkId, to: &[String], node: &str) {
        let news = [node.to_owned()];
        for end in to.iter().filter_map(|to| self.end(network, to)) {
            end.remove_nodes(&news);
        }
    }

    fn leave(&self, network: &NetworkId, node: &str) {
        let mut seats = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(ends) = seats.get_mut(network) else { return };
        let end = ends.remove(node);
        if ends.is_empty() {
            seats.remove(network);
        }
        drop(seats);
        drop(end);
    }
}
