//! Virtual networks: providers' machines and this daemon see one another by address, over Golem.
//!
//! A [`Network`] belongs to our daemon, whose own address is the first of the range. A machine is a member from
//! [`Network::join`] on; its activity is deployed with [`Membership::deploy`], and once it has started it is
//! [announced](Membership::announce) to the members that started before it knew of them. The daemon keeps networks in
//! memory only: when it restarts they are gone, and machines that were deployed with one can't be reached any more.
//!
//! Left to others: connections into a network, and which machines run in it.

mod range;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use yagna_api::activity::DeployNetwork;
use yagna_api::identity::GetMe;
use yagna_api::net::{
    AddNode, CreateNetwork, GetNetwork, ListNetworks, ListNodes, NewNetwork, Node, RemoveNetwork, RemoveNode,
};
use yagna_api::{NetworkId, NodeId};
use yagna_client::{Client, ClientError};

pub use self::range::{Range, RangeError};

/// An address that was given back isn't given to somebody else for so long: others may still have connections to it.
const QUARANTINE: Duration = Duration::from_secs(60);

/// A virtual network of our daemon. Clones are the same network.
///
/// It isn't removed when the last clone is dropped; [`Network::remove`] does that.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    client: Client,
    id: NetworkId,
    range: Range,
    owner: NodeId,
    members: Mutex<Members>,
}

/// The members of a network, as this process knows them.
#[derive(Debug, Default)]
struct Members {
    by_address: BTreeMap<Ipv4Addr, Seat>,
    freed: HashMap<Ipv4Addr, Instant>,
    /// The number of members that ever joined: a member is known to those that were deployed after it.
    version: u64,
}

#[derive(Debug, Clone)]
struct Seat {
    node: NodeId,
    version: u64,
}

/// A provider's place in a network.
#[derive(Debug, Clone)]
pub struct Membership {
    network: Network,
    node: NodeId,
    address: Ipv4Addr,
}

/// The reasons why a network can't be had or joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The range is not a valid one.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The range has addresses in common with another network of this daemon.
    #[error(
        "the network {range} overlaps with {other}, another network of this daemon: choose another range, or none"
    )]
    Overlaps {
        /// The range that was asked for.
        range: Range,
        /// The other network's range.
        other: Range,
    },
    /// No range of the usual ones is free.
    #[error(
        "all ranges 192.168.0.0/24 to 192.168.255.0/24 are in use by networks of this daemon: name another one"
    )]
    NoRange,
    /// All addresses are taken.
    #[error("the network {range} is full: all of its {most} addresses for machines are taken")]
    Full {
        /// The network's range.
        range: Range,
        /// The number of addresses that machines can have.
        most: u64,
    },
    /// The provider has a place already: it can serve one machine in a network.
    #[error(
        "provider {node} has a machine in the network {range} already, at {address}: a provider can have one only"
    )]
    Taken {
        /// The provider.
        node: NodeId,
        /// The network's range.
        range: Range,
        /// The provider's address in it.
        address: Ipv4Addr,
    },
    /// The daemon doesn't know the network.
    #[error(
        "the daemon no longer has the network {id}: networks end when the daemon restarts, and its machines must be replaced"
    )]
    Gone {
        /// The network.
        id: NetworkId,
    },
    /// The daemon couldn't do it.
    #[error("the daemon couldn't {doing}")]
    Daemon {
        /// The request in words.
        doing: &'static str,
        /// The error.
        #[source]
        source: ClientError,
    },
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who knows the id can send into the network.
        f.debug_struct("Network").field("range", &self.0.range).finish_non_exhaustive()
    }
}

impl Network {
    /// Creates a network with this range, such as `192.168.7.0/24`; without one, with the first of the ranges
    /// `192.168.0.0/24`, `192.168.1.0/24`, .. that no other network of the daemon uses.
    ///
    /// # Errors
    /// [`NetworkError::Range`], [`NetworkError::Overlaps`], [`NetworkError::NoRange`], [`NetworkError::Daemon`].
    pub async fn create(client: &Client, range: Option<&str>) -> Result<Self, NetworkError> {
        let wanted: Option<Range> = range.map(str::parse).transpose()?;
        let failed = |doing| move |source| NetworkError::Daemon { doing, source };
        let others = client.call(&ListNetworks).await.map_err(failed("list its networks"))?.items;
        // A range that can't be read can't be compared either.
        let others: Vec<Range> = others.iter().filter_map(|other| other.ip.parse().ok()).collect();
        let overlapping = |range: Range| others.iter().copied().find(|other| other.overlaps(range));
        let range = match wanted {
            Some(range) => match overlapping(range) {
                Some(other) => return Err(NetworkError::Overlaps { range, other }),
                None => range,
            },
            None => {
                Range::usual().find(|range| overlapping(*range).is_none()).ok_or(NetworkError::NoRange)?
            }
        };
        let owner = client.call(&GetMe).await.map_err(failed("tell who we are"))?.identity;
        let new = NewNetwork { ip: range.to_string(), mask: None, gateway: Some(range.first().to_string()) };
        let made = client.call(&CreateNetwork(new)).await.map_err(failed("create a network"))?;
        Ok(Self::new(client, made.id, range, owner, Members::default()))
    }

    /// Finds a network that an earlier process made, with its members; none where the daemon no longer has it.
    ///
    /// # Errors
    /// [`NetworkError::Range`] where its range can't be read, [`NetworkError::Daemon`].
    pub async fn find(client: &Client, id: &NetworkId) -> Result<Option<Self>, NetworkError> {
        let known = match client.call(&GetNetwork(id.clone())).await {
            Ok(known) => known,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(source) => return Err(NetworkError::Daemon { doing: "look for a network", source }),
        };
        let failed = |doing| move |source| NetworkError::Daemon { doing, source };
        let range: Range = known.ip.parse()?;
        let owner = client.call(&GetMe).await.map_err(failed("tell who we are"))?.identity;
        let nodes =
            client.call(&ListNodes(id.clone())).await.map_err(failed("list a network's nodes"))?.items;
        let mut members = Members::default();
        for Node { id, ip } in nodes {
            if let Ok(address) = ip.parse()
                && id != owner
            {
                members.version += 1;
                members.by_address.insert(address, Seat { node: id, version: members.version });
            }
        }
        Ok(Some(Self::new(client, id.clone(), range, owner, members)))
    }

    fn new(client: &Client, id: NetworkId, range: Range, owner: NodeId, members: Members) -> Self {
        let members = Mutex::new(members);
        Self(Arc::new(Inner { client: client.clone(), id, range, owner, members }))
    }

    /// The network's id. It is a secret: whoever knows it can send into the network.
    pub fn id(&self) -> &NetworkId {
        &self.0.id
    }

    /// The range of its addresses.
    pub fn range(&self) -> Range {
        self.0.range
    }

    /// The address that our connections into it come from: the first of the range.
    pub fn own_address(&self) -> Ipv4Addr {
        self.0.range.first()
    }

    /// The client of the daemon that it belongs to.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The members with their addresses.
    pub async fn members(&self) -> Vec<(Ipv4Addr, NodeId)> {
        let members = self.0.members.lock().await;
        members.by_address.iter().map(|(address, seat)| (*address, seat.node.clone())).collect()
    }

    /// Makes a provider a member, at the `preferred` address where that is free, else at the next free one.
    ///
    /// # Errors
    /// [`NetworkError::Taken`] where the provider is one already, [`NetworkError::Full`], [`NetworkError::Gone`],
    /// [`NetworkError::Daemon`].
    ///
    /// **Cancel safety**: where the future is dropped the provider may be a member or not.
    pub async fn join(&self, node: &NodeId, preferred: Option<Ipv4Addr>) -> Result<Membership, NetworkError> {
        let mut members = self.0.members.lock().await;
        let range = self.0.range;
        if let Some((address, _)) = members.by_address.iter().find(|(_, seat)| seat.node == *node) {
            return Err(NetworkError::Taken { node: node.clone(), range, address: *address });
        }
        members.freed.retain(|_, since| since.elapsed() < QUARANTINE);
        let is_taken = |address: &Ipv4Addr| members.by_address.contains_key(address);
        let is_resting = |address: &Ipv4Addr| members.freed.contains_key(address);
        let preferred = preferred.filter(|address| range.has_machine(*address) && !is_taken(address));
        let free = || range.machines().filter(|address| !is_taken(address));
        let address = preferred
            .or_else(|| free().find(|address| !is_resting(address)))
            .or_else(|| free().next())
            .ok_or(NetworkError::Full { range, most: range.n_machines() })?;
        self.add(node, address).await?;
        members.version += 1;
        let seat = Seat { node: node.clone(), version: members.version };
        members.by_address.insert(address, seat);
        Ok(Membership { network: self.clone(), node: node.clone(), address })
    }

    /// The place of a provider that is a member already, such as in an earlier process.
    pub async fn member(&self, node: &NodeId) -> Option<Membership> {
        let members = self.0.members.lock().await;
        let (address, _) = members.by_address.iter().find(|(_, seat)| seat.node == *node)?;
        Some(Membership { network: self.clone(), node: node.clone(), address: *address })
    }

    /// Removes the network from the daemon. All connections into it end. Removing a network that no longer exists succeeds.
    ///
    /// # Errors
    /// [`NetworkError::Daemon`].
    pub async fn remove(&self) -> Result<(), NetworkError> {
        match self.0.client.call(&RemoveNetwork(self.0.id.clone())).await {
            Ok(()) => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            Err(source) => Err(NetworkError::Daemon { doing: "remove a network", source }),
        }
    }

    async fn add(&self, node: &NodeId, address: Ipv4Addr) -> Result<(), NetworkError> {
        let node = Node { id: node.clone(), ip: address.to_string() };
        let add = AddNode { network: self.0.id.clone(), node };
        self.0.client.call(&add).await.map_err(|source| self.failed("add a node to a network", source))
    }

    fn failed(&self, doing: &'static str, source: ClientError) -> NetworkError {
        if is_gone(&source) {
            NetworkError::Gone { id: self.0.id.clone() }
        } else {
            NetworkError::Daemon { doing, source }
        }
    }
}

impl Membership {
    /// The provider's address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The provider.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network as an activity of the provider is to be deployed with it: with all members of this moment, and with a
    /// number to [announce](Self::announce) it by.
    pub async fn deploy(&self) -> (DeployNetwork, u64) {
        let inner = &self.network.0;
        let members = inner.members.lock().await;
        let mut nodes: BTreeMap<_, _> = members
            .by_address
            .iter()
            .map(|(address, seat)| (address.to_string(), seat.node.to_string()))
            .collect();
        // What we send comes from this address, and its machine answers nobody that it doesn't know.
        nodes.insert(inner.range.first().to_string(), inner.owner.to_string());
        let network = DeployNetwork {
            id: inner.id.to_string(),
            ip: inner.range.to_string(),
            mask: Some(inner.range.mask().to_string()),
            // The exe-units of some versions take the first host, others what stands here.
            gateway: Some(inner.range.first().to_string()),
            node_ip: self.address.to_string(),
            nodes,
        };
        (network, members.version)
    }

    /// Lets the other members know of this one, and this one of those that joined after its [deployment](Self::deploy) with
    /// this number. To be called once its activity has started: what is announced before never arrives.
    ///
    /// # Errors
    /// [`NetworkError::Gone`], [`NetworkError::Daemon`].
    pub async fn announce(&self, deployed: u64) -> Result<(), NetworkError> {
        // Whoever is added once more is told to all that run.
        self.network.add(&self.node, self.address).await?;
        let newer: Vec<_> = {
            let members = self.network.0.members.lock().await;
            let newer = |seat: &&Seat| seat.version > deployed && seat.node != self.node;
            let of =
                |(address, seat): (&Ipv4Addr, &Seat)| newer(&seat).then(|| (seat.node.clone(), *address));
            members.by_address.iter().filter_map(of).collect()
        };
        for (node, address) in newer {
            self.network.add(&node, address).await?;
        }
        Ok(())
    }

    /// Gives the address back. This succeeds also if the network no longer exists.
    ///
    /// # Errors
    /// [`NetworkError::Daemon`]: the address stays taken then.
    pub async fn leave(self) -> Result<(), NetworkError> {
        let inner = &self.network.0;
        let mut members = inner.members.lock().await;
        if members.by_address.get(&self.address).is_none_or(|seat| seat.node != self.node) {
            return Ok(());
        }
        let remove = RemoveNode { network: inner.id.clone(), node: self.node.clone() };
        match inner.client.call(&remove).await {
            Ok(()) => {}
            Err(error) if is_gone(&error) => {}
            Err(source) => {
                return Err(NetworkError::Daemon { doing: "remove a node from a network", source });
            }
        }
        members.by_address.remove(&self.address);
        members.freed.insert(self.address, Instant::now());
        Ok(())
    }
}

/// True if the daemon doesn't have the network: it says so where we have no network at all, and forbids it where we have others.
fn is_gone(error: &ClientError) -> bool {
    error.api().is_some_and(|api| matches!(api.status, 403 | 404))
}

#[cfg(test)]
mod tests;
