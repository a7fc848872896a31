//! The requestor's daemon in a virtual network: it carries frames between its own end and the bus, and connects.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use yagna_api::NetworkId;

use super::seats::Seats;
use crate::port::{VpnEnd, VpnSeat};
use crate::vpn::{Gate, GateError, MAX_FRAME, Switch, Tap, Tools};

/// The requestor's end of one network. Dropping it takes the requestor off the network.
#[derive(Debug)]
pub(crate) struct Gateway {
    gate: Gate,
    _seat: VpnSeat,
    _carrier: JoinSet<()>,
}

/// The place of a [`Gateway`] on the bus. The daemon's nodes are announced by requests alone, and it learns none.
#[derive(Debug)]
struct End(Arc<Tap>);

impl Gateway {
    /// Takes the requestor's place in a network, with its first address.
    pub(crate) async fn open(
        seats: &Arc<Seats>,
        switch: Arc<Switch>,
        network: &NetworkId,
        owner: &str,
        (address, prefix): (Ipv4Addr, u8),
    ) -> Result<Self, String> {
        let tools = Tools::get().await?;
        let gate = Gate::open(&tools, address, prefix).await?;
        let seat = seats.bind(network, owner, Arc::new(End(gate.tap())));
        let seat = seat.map_err(|error| error.message)?;
        let (tap, seats, owner) = (gate.tap(), Arc::clone(seats), owner.to_owned());
        let mut carrier = JoinSet::new();
        carrier.spawn(async move {
            let mut frame = [0; MAX_FRAME];
            while let Ok(length) = tap.read(&mut frame).await {
                let frame = &frame[..length];
                for (network, node) in switch.targets(frame) {
                    seats.push(&network, &owner, &node, frame);
                }
            }
        });
        Ok(Self { gate, _seat: seat, _carrier: carrier })
    }

    /// Connects to an address in the network.
    pub(crate) async fn connect(&self, to: SocketAddrV4, until: Instant) -> Result<TcpStream, GateError> {
        self.gate.connect(to, until).await
    }
}

impl VpnEnd for End {
    fn add_nodes(&self, _nodes: &BTreeMap<Ipv4Addr, String>) {}

    fn remove_nodes(&self, _nodes: &[String]) {}

    fn receive(&self, _from: &str, frame: &[u8]) {
        self.0.write(frame);
    }

    fn has_machine(&self) -> bool {
        true
    }
}
