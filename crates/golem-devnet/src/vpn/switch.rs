//! The forwarding table of one end of virtual networks: which node has which address, as far as this end was told.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use yagna_api::NetworkId;

use super::frame::addresses;

/// The nodes that one end of virtual networks knows.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    tables: RwLock<Vec<Table>>,
}

#[derive(Debug, Clone)]
struct Table {
    network: NetworkId,
    base: Ipv4Addr,
    prefix: u8,
    nodes: BTreeMap<Ipv4Addr, String>,
}

/// The address is not in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outside;

impl Switch {
    /// Adds a network without nodes.
    pub(crate) fn add_network(&self, network: NetworkId, address: Ipv4Addr, prefix: u8) {
        let base = Ipv4Addr::from_bits(address.to_bits() & mask_bits(prefix));
        self.write().push(Table { network, base, prefix, nodes: BTreeMap::new() });
    }

    /// Adds a node. An address keeps its first owner.
    pub(crate) fn add_node(&self, network: &NetworkId, address: Ipv4Addr, node: &str) -> Result<(), Outside> {
        let mut tables = self.write();
        let table = tables.iter_mut().find(|table| table.network == *network).ok_or(Outside)?;
        if !table.contains(address) {
            return Err(Outside);
        }
        table.nodes.entry(address).or_insert_with(|| node.to_owned());
        Ok(())
    }

    /// Forgets a node with all its addresses.
    pub(crate) fn remove_node(&self, network: &NetworkId, node: &str) {
        for table in self.write().iter_mut().filter(|table| table.network == *network) {
            table.nodes.retain(|_, other| other != node);
        }
    }

    /// The nodes of a network: node id by address.
    pub(crate) fn nodes(&self, network: &NetworkId) -> BTreeMap<Ipv4Addr, String> {
        let tables = self.read();
        let table = tables.iter().find(|table| table.network == *network);
        table.map(|table| table.nodes.clone()).unwrap_or_default()
    }

    /// Learns the sender of a frame that came in, if its node is not known in the network.
    pub(crate) fn learn(&self, network: &NetworkId, sender: &str, frame: &[u8]) {
        let knows = |tables: &[Table]| {
            let table = tables.iter().find(|table| table.network == *network);
            table.is_none_or(|table| table.nodes.values().any(|node| node == sender))
        };
        if knows(&self.read()) {
            return;
        }
        if let Some(addresses) = addresses(frame) {
            // A sender outside the network stays unknown.
            self.add_node(network, addresses.source, sender).ok();
        }
    }

    /// The nodes to which a frame of this end's own machine goes, each with its network.
    pub(crate) fn targets(&self, frame: &[u8]) -> Vec<(NetworkId, String)> {
        let Some(addresses) = addresses(frame) else { return Vec::new() };
        let tables = self.read();
        if addresses.target == Ipv4Addr::BROADCAST {
            let all = tables.iter().flat_map(|table| table.nodes.values().map(move |node| (table, node)));
            return all.map(|(table, node)| (table.network.clone(), node.clone())).collect();
        }
        let table = tables.iter().find(|table| table.contains(addresses.target));
        let found = table
            .and_then(|table| Some((table.network.clone(), table.nodes.get(&addresses.target)?.clone())));
        found.into_iter().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Table>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Table>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask_bits(self.prefix) == self.base.to_bits()
    }
}

/// The bits of a prefix of this length.
pub(crate) fn mask_bits(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{packet, question};
    use super::*;

    const ONE: [u8; 4] = [192, 168, 0, 1];
    const TWO: [u8; 4] = [192, 168, 0, 2];
    const THREE: [u8; 4] = [192, 168, 0, 3];

    fn network() -> NetworkId {
        NetworkId::new("n")
    }

    fn switch() -> Switch {
        let switch = Switch::default();
        switch.add_network(network(), Ipv4Addr::new(192, 168, 0, 9), 24);
        switch
    }

    fn targets(switch: &Switch, frame: &[u8]) -> Vec<String> {
        switch.targets(frame).into_iter().map(|(_, node)| node).collect()
    }

    #[test]
    fn frames_go_to_known_nodes_only() {
        let switch = switch();
        switch.add_node(&network(), TWO.into(), "b").unwrap();
        assert_eq!(targets(&switch, &packet(ONE, TWO)), ["b"]);
        assert_eq!(targets(&switch, &question(ONE, TWO)), ["b"]);
        assert!(targets(&switch, &packet(ONE, THREE)).is_empty());
        switch.add_node(&network(), THREE.into(), "c").unwrap();
        assert_eq!(targets(&switch, &packet(ONE, [255; 4])), ["b", "c"]);
        switch.remove_node(&network(), "b");
        assert!(targets(&switch, &packet(ONE, TWO)).is_empty());
    }

    #[test]
    fn an_address_keeps_its_first_owner_until_that_is_removed() {
        let switch = switch();
        switch.add_node(&network(), TWO.into(), "b").unwrap();
        switch.add_node(&network(), TWO.into(), "c").unwrap();
        assert_eq!(targets(&switch, &packet(ONE, TWO)), ["b"]);
        switch.remove_node(&network(), "b");
        switch.add_node(&network(), TWO.into(), "c").unwrap();
        assert_eq!(targets(&switch, &packet(ONE, TWO)), ["c"]);
        assert_eq!(switch.add_node(&network(), [10, 0, 0, 1].into(), "d"), Err(Outside));
        assert_eq!(switch.add_node(&NetworkId::new("m"), TWO.into(), "d"), Err(Outside));
    }

    #[test]
    fn an_unknown_sender_is_learnt_and_a_known_one_is_not_learnt_again() {
        let switch = switch();
        switch.learn(&network(), "b", &question(TWO, ONE));
        assert_eq!(targets(&switch, &packet(ONE, TWO)), ["b"]);
        switch.learn(&network(), "b", &packet(THREE, ONE));
        assert!(targets(&switch, &packet(ONE, THREE)).is_empty());
    }
}
