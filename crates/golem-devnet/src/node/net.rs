//! Virtual networks: addresses and nodes, and TCP connections into them.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};

use yagna_api::net::NewNetwork;
use yagna_api::{NetworkId, NodeId};

use super::refusal::Refusal;
use super::{State, World};

/// All networks, and what listens on the nodes in them.
#[derive(Debug, Default)]
pub(crate) struct Nets {
    records: BTreeMap<NetworkId, NetRecord>,
    /// The real targets of connections to a node's port.
    listeners: HashMap<(NodeId, u16), SocketAddr>,
}

/// The kinds of things at an address and port of a network.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// No node has that address.
    Nobody,
    /// A node, but nothing listens there.
    Closed,
    /// Something that listens, really there.
    Open(SocketAddr),
}

/// A network of one node.
#[derive(Debug, Clone)]
pub(crate) struct NetRecord {
    owner: NodeId,
    /// The address it was made with, which may be any in it.
    pub(crate) given: Ipv4Addr,
    network: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) addresses: Vec<Ipv4Addr>,
    pub(crate) nodes: BTreeMap<Ipv4Addr, String>,
}

impl NetRecord {
    /// The mask as an address.
    pub(crate) fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask_bits(self.prefix))
    }

    fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask_bits(self.prefix) == self.network.to_bits()
    }
}

impl World {
    /// Lets connections to a node's port in any virtual network go to a real address.
    pub fn expose_tcp(&self, node: &NodeId, port: u16, to: SocketAddr) {
        self.with(|state| state.nets.listeners.insert((node.clone(), port), to));
    }
}

impl State {
    /// Makes a network.
    pub(crate) fn create_network(
        &mut self,
        owner: &NodeId,
        new: &NewNetwork,
    ) -> Result<(NetworkId, NetRecord), Refusal> {
        let bad_network = || Refusal::new(400, format!("Invalid network IP address: {}", new.ip));
        let (ip, prefix) = match (new.ip.split_once('/'), new.mask.as_deref().filter(|mask| !mask.is_empty()))
        {
            (Some((ip, prefix)), _) => {
                let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32);
                (ip.parse().map_err(|_| bad_network())?, prefix.ok_or_else(bad_network)?)
            }
            (None, None) => (parse(&new.ip)?, 24),
            (None, Some(mask)) => {
                let ip = parse(&new.ip)?;
                let mask: Ipv4Addr = mask
                    .parse()
                    .map_err(|_| Refusal::new(400, "Invalid IP address: invalid IPv4 address syntax"))?;
                // Holes in it are passed over.
                let ones = u8::try_from(mask.to_bits().leading_ones());
                (ip, ones.expect("a u32 has no more than 32 ones"))
            }
        };
        let network = Ipv4Addr::from_bits(ip.to_bits() & mask_bits(prefix));
        let first = Ipv4Addr::from_bits(network.to_bits() + u32::from(prefix < 31));
        let gateway = match new.gateway.as_deref().filter(|gateway| !gateway.is_empty()) {
            Some(gateway) => parse(gateway)?,
            None => first,
        };
        let id = NetworkId::new(self.hex(32));
        let record = NetRecord {
            owner: owner.clone(),
            given: ip,
            network,
            prefix,
            gateway,
            addresses: vec![first],
            nodes: BTreeMap::new(),
        };
        self.nets.records.insert(id.clone(), record.clone());
        Ok((id, record))
    }

    /// The caller's networks.
    pub(crate) fn networks(&self, owner: &NodeId) -> Vec<(NetworkId, NetRecord)> {
        let own = |(_, record): &(&NetworkId, &NetRecord)| record.owner == *owner;
        self.nets.records.iter().filter(own).map(|(id, record)| (id.clone(), record.clone())).collect()
    }

    /// A network of the caller's. All else is forbidden, whether it exists or not; who has no network at all is told
    /// that there is none.
    pub(crate) fn network(&mut self, owner: &NodeId, id: &NetworkId) -> Result<&mut NetRecord, Refusal> {
        if !self.nets.records.values().any(|record| record.owner == *owner) {
            return Err(Refusal::new(404, "Network not found"));
        }
        self.nets
            .records
            .get_mut(id)
            .filter(|record| record.owner == *owner)
            .ok_or_else(|| Refusal::empty(403))
    }

    /// Removes a network.
    pub(crate) fn remove_network(&mut self, owner: &NodeId, id: &NetworkId) -> Result<(), Refusal> {
        self.network(owner, id)?;
        self.nets.records.remove(id);
        Ok(())
    }

    /// Gives the requestor an address.
    pub(crate) fn add_address(&mut self, owner: &NodeId, id: &NetworkId, ip: &str) -> Result<(), Refusal> {
        let record = self.network(owner, id)?;
        let ip = parse(ip)?;
        if !record.contains(ip) {
            return Err(Refusal::new(400, format!("Network not found for IP address: {ip}")));
        }
        if !record.addresses.contains(&ip) {
            record.addresses.push(ip);
        }
        Ok(())
    }

    /// Adds a node. An address that is another's stays so, and nobody is told.
    pub(crate) fn add_net_node(
        &mut self,
        owner: &NodeId,
        id: &NetworkId,
        node: &str,
        ip: &str,
    ) -> Result<(), Refusal> {
        let record = self.network(owner, id)?;
        let ip = parse(ip)?;
        if !record.contains(ip) {
            return Err(Refusal::new(400, format!("Invalid network IP address: {ip}")));
        }
        record.nodes.entry(ip).or_insert_with(|| node.to_owned());
        Ok(())
    }

    /// Removes a node with all its addresses.
    pub(crate) fn remove_net_node(
        &mut self,
        owner: &NodeId,
        id: &NetworkId,
        node: &str,
    ) -> Result<(), Refusal> {
        self.network(owner, id)?.nodes.retain(|_, other| other != node);
        Ok(())
    }

    /// The target of a connection into a network.
    pub(crate) fn tcp_target(
        &mut self,
        owner: &NodeId,
        id: &NetworkId,
        ip: &str,
        port: u16,
    ) -> Result<Target, Refusal> {
        let record = self.network(owner, id)?;
        let node = record.nodes.get(&parse(ip)?).and_then(|node| node.parse::<NodeId>().ok());
        Ok(match node {
            None => Target::Nobody,
            Some(node) => {
                self.nets.listeners.get(&(node, port)).map_or(Target::Closed, |to| Target::Open(*to))
            }
        })
    }
}

fn mask_bits(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn parse(ip: &str) -> Result<Ipv4Addr, Refusal> {
    ip.parse().map_err(|_| Refusal::new(400, "Invalid IP address: invalid IP address syntax"))
}
