//! Virtual networks: addresses and nodes, and TCP connections into them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use yagna_api::net::NewNetwork;
use yagna_api::{NetworkId, NodeId};

use super::gateway::Gateway;
use super::refusal::Refusal;
use super::{State, World};
use crate::vpn::{Switch, mask_bits};

/// All networks, and what listens on the nodes in them.
#[derive(Debug, Default)]
pub(crate) struct Nets {
    records: BTreeMap<NetworkId, NetRecord>,
    /// The real targets of connections to ports, for each node that is told to have any.
    listeners: HashMap<NodeId, HashMap<u16, SocketAddr>>,
}

/// The kinds of things at an address and port of a network.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Nobody answers at that address.
    Nobody,
    /// A node, but nothing listens there.
    Closed,
    /// Something that listens, really there.
    Open(SocketAddr),
    /// A machine that is in the network.
    Machine(SocketAddrV4),
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
    /// The nodes by address, as the requestor's daemon knows them.
    pub(crate) nodes: Arc<Switch>,
    /// The requestor's end, made at the first connection to a machine.
    end: Arc<OnceCell<Gateway>>,
    /// Cancelled when the network is removed.
    gone: CancellationToken,
}

impl NetRecord {
    /// The mask as an address.
    pub(crate) fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask_bits(self.prefix))
    }

    /// Resolves when the network is removed.
    pub(crate) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask_bits(self.prefix) == self.network.to_bits()
    }

    /// The end of the network: its connections are over.
    fn end(self) {
        self.gone.cancel();
    }
}

impl World {
    /// Lets connections to a node's port in any virtual network go to a real address. All its other ports refuse
    /// connections.
    pub fn expose_tcp(&self, node: &NodeId, port: u16, to: SocketAddr) {
        self.with(|state| state.nets.listeners.entry(node.clone()).or_default().insert(port, to));
    }

    /// Lets all ports of a node that are not exposed refuse connections. Without it, nobody answers for a node that has
    /// no machine in the network.
    pub fn refuse_tcp(&self, node: &NodeId) {
        self.with(|state| {
            state.nets.listeners.entry(node.clone()).or_default();
        });
    }

    /// Adds a node, and announces it to all nodes of the network that are on the bus, itself included. An address that
    /// belongs to another node stays so, and is announced all the same.
    pub(crate) fn add_net_node(
        &self,
        owner: &NodeId,
        id: &NetworkId,
        node: &str,
        ip: &str,
    ) -> Result<(), Refusal> {
        let (address, all) = self.with(|state| state.add_net_node(owner, id, node, ip))?;
        self.0.seats.announce(id, &all, address, node);
        Ok(())
    }

    /// Removes a node with all its addresses, and tells all others.
    pub(crate) fn remove_net_node(&self, owner: &NodeId, id: &NetworkId, node: &str) -> Result<(), Refusal> {
        let all = self.with(|state| {
            let record = state.network(owner, id)?;
            let all = nodes(record, id);
            record.nodes.remove_node(id, node);
            Ok::<_, Refusal>(all)
        })?;
        self.0.seats.withdraw(id, &all, node);
        Ok(())
    }

    /// The target of a connection into a network, with the network.
    pub(crate) fn tcp_target(
        &self,
        owner: &NodeId,
        id: &NetworkId,
        ip: &str,
        port: u16,
    ) -> Result<(NetRecord, Target), Refusal> {
        let address = |record: &NetRecord| {
            let address = parse(ip)?;
            Ok::<_, Refusal>((address, record.nodes.nodes(id).get(&address).cloned()))
        };
        let (record, address, node, listener) = self.with(|state| {
            let record = state.network(owner, id)?.clone();
            let (address, node) = address(&record)?;
            let known = node.as_ref().and_then(|node| node.parse::<NodeId>().ok());
            let listener = known.and_then(|node| state.nets.listener(&node, port));
            Ok::<_, Refusal>((record, address, node, listener))
        })?;
        let end = node.and_then(|node| self.0.seats.end(id, &node));
        let target = match (listener, end) {
            (Some(Target::Open(to)), _) => Target::Open(to),
            (_, Some(end)) if end.has_machine() => Target::Machine(SocketAddrV4::new(address, port)),
            // Machines of scripted runtimes listen to nothing.
            (Some(_), _) | (_, Some(_)) => Target::Closed,
            (None, None) => Target::Nobody,
        };
        Ok((record, target))
    }

    /// The requestor's end of a network; the error says why there is none.
    pub(crate) async fn gateway<'a>(
        &self,
        id: &NetworkId,
        record: &'a NetRecord,
    ) -> Result<&'a Gateway, String> {
        let make = || async {
            let first = record.addresses[0];
            let owner = record.owner.as_str();
            Gateway::open(&self.0.seats, Arc::clone(&record.nodes), id, owner, (first, record.prefix)).await
        };
        record.end.get_or_try_init(|| Box::pin(make())).await
    }
}

impl Nets {
    /// The target that a node exposes at a port, if it exposes one.
    fn listener(&self, node: &NodeId, port: u16) -> Option<Target> {
        let ports = self.listeners.get(node)?;
        Some(ports.get(&port).map_or(Target::Closed, |to| Target::Open(*to)))
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
        let nodes = Arc::new(Switch::default());
        nodes.add_network(id.clone(), ip, prefix);
        let record = NetRecord {
            owner: owner.clone(),
            given: ip,
            network,
            prefix,
            gateway,
            addresses: vec![first],
            nodes,
            end: Arc::default(),
            gone: CancellationToken::new(),
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

    /// Removes a network, and ends its connections. The machines in it are not told.
    pub(crate) fn remove_network(&mut self, owner: &NodeId, id: &NetworkId) -> Result<(), Refusal> {
        self.network(owner, id)?;
        if let Some(record) = self.nets.records.remove(id) {
            record.end();
        }
        Ok(())
    }

    /// Loses all networks, as a daemon that is started again does.
    pub(crate) fn lose_networks(&mut self) {
        std::mem::take(&mut self.nets.records).into_values().for_each(NetRecord::end);
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

    /// Adds a node. Gives its address, and the nodes to be told of it.
    fn add_net_node(
        &mut self,
        owner: &NodeId,
        id: &NetworkId,
        node: &str,
        ip: &str,
    ) -> Result<(Ipv4Addr, Vec<String>), Refusal> {
        let record = self.network(owner, id)?;
        let address = parse(ip)?;
        let outside = |_| Refusal::new(400, format!("Invalid network IP address: {address}"));
        record.nodes.add_node(id, address, node).map_err(outside)?;
        Ok((address, nodes(record, id)))
    }
}

/// The ids of a network's nodes.
fn nodes(record: &NetRecord, id: &NetworkId) -> Vec<String> {
    let all: BTreeSet<String> = record.nodes.nodes(id).into_values().collect();
    all.into_iter().collect()
}

fn parse(ip: &str) -> Result<Ipv4Addr, Refusal> {
    ip.parse().map_err(|_| Refusal::new(400, "Invalid IP address: invalid IP address syntax"))
}
