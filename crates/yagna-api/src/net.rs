//! Virtual networks between a requestor and its providers.
//!
//! Base path `/net-api/v1`; the daemon serves the same under `/net-api/v2/vpn`.

use serde::{Deserialize, Serialize};

use crate::endpoint::{Request, endpoint};
use crate::id::{NetworkId, NodeId};

/// The path of the network API.
pub const BASE: &str = "/net-api/v1";

/// A network to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNetwork {
    /// Its address, with or without a prefix: `192.168.0.0/24`.
    pub ip: String,
    /// Its mask, when the address has no prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Its gateway; the first host otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

/// A network as the daemon has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Its address with prefix.
    pub ip: String,
    /// Its mask.
    pub mask: String,
    /// Its gateway.
    #[serde(default)]
    pub gateway: Option<String>,
}

/// An address of the requestor in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub ip: String,
}

/// A node's place in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The node.
    pub id: NodeId,
    /// Its address.
    pub ip: String,
}

/// The daemon's own connection to the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetStatus {
    /// Its node.
    pub node_id: NodeId,
    /// The address that others reach it at directly, where it is known to have one.
    #[serde(default)]
    pub public_ip: Option<String>,
    /// Connections to other nodes and to relays.
    #[serde(default)]
    pub sessions: u64,
}

/// `GET /net-api/v2/net/status`: the daemon's own connection to the network.
#[derive(Debug, Clone)]
pub struct GetNetStatus;
endpoint!(GetNetStatus, "ask for the daemon's connections", Harmless, json NetStatus, |_this| {
    Request::get("/net-api/v2/net/status")
});

/// `GET /net`.
#[derive(Debug, Clone)]
pub struct ListNetworks;
endpoint!(ListNetworks, "list networks", Harmless, list Network, |_this| Request::get(format!("{BASE}/net")));

/// `POST /net`.
#[derive(Debug, Clone)]
pub struct CreateNetwork(pub NewNetwork);
endpoint!(CreateNetwork, "create a network", Twice, json Network, |this| {
    Request::post(format!("{BASE}/net")).json(&this.0)
});

/// `GET /net/{id}`.
#[derive(Debug, Clone)]
pub struct GetNetwork(pub NetworkId);
endpoint!(GetNetwork, "read a network", Harmless, json Network, |this| {
    Request::get(format!("{BASE}/net/{}", this.0))
});

/// `DELETE /net/{id}`.
#[derive(Debug, Clone)]
pub struct RemoveNetwork(pub NetworkId);
endpoint!(RemoveNetwork, "remove a network", Harmless, empty, |this| {
    Request::delete(format!("{BASE}/net/{}", this.0))
});

/// `GET /net/{id}/addresses`.
#[derive(Debug, Clone)]
pub struct ListAddresses(pub NetworkId);
endpoint!(ListAddresses, "list a network's addresses", Harmless, list Address, |this| {
    Request::get(format!("{BASE}/net/{}/addresses", this.0))
});

/// `POST /net/{id}/addresses`: gives the requestor an address.
#[derive(Debug, Clone)]
pub struct AddAddress {
    /// The network.
    pub network: NetworkId,
    /// The address.
    pub address: Address,
}
endpoint!(AddAddress, "take an address in a network", Harmless, empty, |this| Request::post(format!(
    "{BASE}/net/{}/addresses",
    this.network
))
.json(&this.address));

/// `GET /net/{id}/nodes`.
#[derive(Debug, Clone)]
pub struct ListNodes(pub NetworkId);
endpoint!(ListNodes, "list a network's nodes", Harmless, list Node, |this| {
    Request::get(format!("{BASE}/net/{}/nodes", this.0))
});

/// `POST /net/{id}/nodes`: adds a node and announces it. An address keeps its first owner.
#[derive(Debug, Clone)]
pub struct AddNode {
    /// The network.
    pub network: NetworkId,
    /// The node and its address.
    pub node: Node,
}
endpoint!(AddNode, "add a node to a network", Harmless, empty, |this| {
    Request::post(format!("{BASE}/net/{}/nodes", this.network)).json(&this.node)
});

/// `DELETE /net/{id}/nodes/{node}`.
#[derive(Debug, Clone)]
pub struct RemoveNode {
    /// The network.
    pub network: NetworkId,
    /// The node.
    pub node: NodeId,
}
endpoint!(RemoveNode, "remove a node from a network", Harmless, empty, |this| Request::delete(format!(
    "{BASE}/net/{}/nodes/{}",
    this.network, this.node
)));

/// The largest frame that the daemon takes on the WebSocket of [`tcp_path`]. It drops a connection that sends a larger one, or a message in
/// fragments.
pub const LARGEST_FRAME: usize = 65_536;

/// The path of the WebSocket that carries one TCP connection into a network.
pub fn tcp_path(network: &NetworkId, ip: &str, port: u16) -> String {
    format!("{BASE}/net/{network}/tcp/{ip}/{port}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    #[test]
    fn networks_are_read_as_sent() {
        let body = br#"{"id":"n1","ip":"192.168.0.0/24","mask":"255.255.255.0","gateway":"192.168.0.1"}"#;
        let network = GetNetwork(NetworkId::new("n1")).answer(200, body).unwrap();
        assert_eq!(network.gateway.as_deref(), Some("192.168.0.1"));
        let new = NewNetwork { ip: "192.168.7.0".into(), mask: Some("255.255.255.0".into()), gateway: None };
        assert_eq!(
            CreateNetwork(new).request().body.unwrap(),
            br#"{"ip":"192.168.7.0","mask":"255.255.255.0"}"#
        );
        assert_eq!(
            RemoveNetwork(NetworkId::new("n1")).answer(403, b"").unwrap_err().api().unwrap().status,
            403
        );
    }
}
