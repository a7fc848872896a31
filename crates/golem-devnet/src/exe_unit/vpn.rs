//! The activity's end of its virtual networks: frames from the machine go to the nodes that it was told of, and frames
//! from the bus go to the machine.
//!
//! It works as Golem's own exe-unit does. It knows the nodes that `deploy` named and those that are announced while it is
//! on the bus, which is from `start` on. It also learns an unknown node from the first frame of that node.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use yagna_api::NetworkId;

use crate::port::{Port, PortResult, VpnEnd, VpnSeat};
use crate::vpn::{MAX_FRAME, Place, Switch, Tap};

/// The places of an activity in its networks. Dropping it leaves them.
#[derive(Debug)]
pub(super) struct Vpn {
    _shared: Arc<Shared>,
    _seats: Vec<VpnSeat>,
    _guard: DropGuard,
}

#[derive(Debug)]
struct Shared {
    switch: Switch,
    card: Option<Arc<Tap>>,
}

/// The end of one network. It doesn't keep the machine's card alive.
#[derive(Debug)]
struct End {
    network: NetworkId,
    shared: Weak<Shared>,
    has_machine: bool,
}

impl Vpn {
    /// Takes a place in each network, and carries frames until it is dropped.
    ///
    /// **Errors**: 409 where another activity of this node is in one of the networks.
    pub(super) async fn join(
        places: &[Place],
        port: &Arc<dyn Port>,
        card: Option<Arc<Tap>>,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> PortResult<Self> {
        let switch = Switch::default();
        for place in places {
            switch.add_network(place.network.clone(), place.address, place.prefix);
            for (address, node) in &place.nodes {
                // `deploy` has checked that the address is in the network.
                switch.add_node(&place.network, *address, node).ok();
            }
        }
        let shared = Arc::new(Shared { switch, card });
        let mut seats = Vec::with_capacity(places.len());
        for place in places {
            let end = End {
                network: place.network.clone(),
                shared: Arc::downgrade(&shared),
                has_machine: shared.card.is_some(),
            };
            seats.push(port.bind_vpn(&place.network, Arc::new(end)).await?);
        }
        let cancel = cancel.child_token();
        if let Some(card) = shared.card.clone() {
            let (shared, port, cancel) = (Arc::clone(&shared), Arc::clone(port), cancel.clone());
            tasks.spawn(async move {
                cancel.run_until_cancelled(shared.carry(&card, &*port)).await;
            });
        }
        Ok(Self { _shared: shared, _seats: seats, _guard: cancel.drop_guard() })
    }
}

impl Shared {
    /// Carries the machine's frames to the bus until the card is gone.
    async fn carry(&self, card: &Tap, port: &dyn Port) {
        let mut frame = [0; MAX_FRAME];
        loop {
            let length = match card.read(&mut frame).await {
                Ok(length) => length,
                Err(error) => return tracing::debug!(%error, "a machine has no network card any more"),
            };
            let frame = &frame[..length];
            for (network, node) in self.switch.targets(frame) {
                port.push_frame(&network, &node, frame);
            }
        }
    }
}

impl VpnEnd for End {
    fn add_nodes(&self, nodes: &BTreeMap<Ipv4Addr, String>) {
        let Some(shared) = self.shared.upgrade() else { return };
        for (address, node) in nodes {
            if shared.switch.add_node(&self.network, *address, node).is_err() {
                tracing::debug!(%address, node, "an announced address is not in the network");
            }
        }
    }

    fn remove_nodes(&self, nodes: &[String]) {
        let Some(shared) = self.shared.upgrade() else { return };
        for node in nodes {
            shared.switch.remove_node(&self.network, node);
        }
    }

    fn receive(&self, from: &str, frame: &[u8]) {
        let Some(shared) = self.shared.upgrade() else { return };
        let Some(card) = &shared.card else { return };
        shared.switch.learn(&self.network, from, frame);
        card.write(frame);
    }

    fn has_machine(&self) -> bool {
        self.has_machine
    }
}
