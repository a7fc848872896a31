//! Virtual networks as an exe-unit and a requestor's daemon see them: Ethernet frames between a machine and the bus.
//!
//! | module | what it holds |
//! |---|---|
//! | `switch` | who is where in a network, and where a frame goes |
//! | `frame` | the addresses in a frame |
//! | `tap` | a machine's network card, and the requestor's own end of a network |
//!
//! What carries the frames from node to node is the bus's business: see [`Port`](crate::port::Port).

mod frame;
mod switch;
#[cfg(target_os = "linux")]
mod tap;
#[cfg(not(target_os = "linux"))]
#[path = "vpn/no_tap.rs"]
mod tap;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use yagna_api::NetworkId;

pub(crate) use self::switch::{Switch, mask_bits};
pub use self::tap::Tap;
pub(crate) use self::tap::{Gate, GateError, Tools};

/// The most bytes that a packet in a virtual network may have.
pub(crate) const MTU: u16 = 1220;
/// Room for a frame: a packet and its Ethernet header.
pub(crate) const MAX_FRAME: usize = MTU as usize + 18;

/// A machine's place in one virtual network, as `deploy` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The network.
    pub network: NetworkId,
    /// The machine's own address.
    pub address: Ipv4Addr,
    /// The length of the network's prefix.
    pub prefix: u8,
    /// The nodes that the machine knows at its start: node id by address.
    pub nodes: BTreeMap<Ipv4Addr, String>,
}

impl Place {
    /// True if an address can be in both networks.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let mask = mask_bits(self.prefix.min(other.prefix));
        self.address.to_bits() & mask == other.address.to_bits() & mask
    }
}
