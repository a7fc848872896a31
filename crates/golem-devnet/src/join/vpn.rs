//! An activity's end of a virtual network on a real daemon's bus.
//!
//! The daemon brings whole Ethernet frames to `/public/vpn/<network>/raw`, and news of nodes to
//! `/public/vpn/<network>/VpnControl`. Our own frames go to `/udp/net/<node>/vpn/<network>/raw`.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::OnceCell;
use yagna_api::NetworkId;

use super::bus::{Answer, Handler};
use super::message::{self, ServiceError};
use crate::port::VpnEnd;

/// The request by which a daemon changes the nodes of a network.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Control {
    #[serde(rename_all = "snake_case")]
    AddNodes { nodes: BTreeMap<String, String> },
    #[serde(rename_all = "snake_case")]
    RemoveNodes { node_ids: Vec<String> },
}

/// The ends of all networks that are served at one daemon.
#[derive(Debug, Default)]
pub(super) struct Served(Mutex<HashMap<NetworkId, Arc<ServedEnds>>>);

/// The ends of one network, by node. The daemon brings what is for any of its nodes to the same address: each end gets all
/// of it, and each machine takes the frames that are for it.
#[derive(Debug, Default)]
pub(super) struct ServedEnds {
    ends: Mutex<BTreeMap<String, Arc<dyn VpnEnd>>>,
    /// Set once the daemon brings the network's calls here. Whoever comes first sees to it, and the others wait for that.
    pub(super) bound: OnceCell<()>,
}

impl Served {
    /// Adds a node's end, unless the node has one in the network. Gives the network's ends.
    pub(super) fn add(
        &self,
        network: &NetworkId,
        node: &str,
        end: Arc<dyn VpnEnd>,
    ) -> Result<Arc<ServedEnds>, Taken> {
        let mut networks = self.lock();
        let ends = networks.entry(network.clone()).or_default();
        if ends.lock().contains_key(node) {
            return Err(Taken);
        }
        ends.lock().insert(node.to_owned(), end);
        Ok(Arc::clone(ends))
    }

    /// Removes a node's end. If it was the last one of the network, `unbind` runs before anyone can add another.
    pub(super) fn remove(&self, network: &NetworkId, node: &str, unbind: impl FnOnce()) {
        let mut networks = self.lock();
        let Some(ends) = networks.get(network) else { return };
        ends.lock().remove(node);
        let is_empty = ends.lock().is_empty();
        if is_empty {
            networks.remove(network);
            unbind();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NetworkId, Arc<ServedEnds>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node has an end in the network already.
#[derive(Debug)]
pub(super) struct Taken;

/// The address at which this node's end of a network is served.
pub(super) fn address(network: &NetworkId) -> String {
    format!("/public/vpn/{network}")
}

/// The address of another node's end.
pub(super) fn remote(network: &NetworkId, node: &str) -> String {
    format!("/udp/net/{node}/vpn/{network}/raw")
}

impl ServedEnds {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<dyn VpnEnd>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<dyn VpnEnd>> {
        self.lock().values().cloned().collect()
    }

    fn control(&self, data: &[u8]) -> Result<(), ServiceError> {
        let bad = |text: String| ServiceError::BadRequest(text);
        match message::read::<Control>(data).map_err(|error| bad(error.to_string()))? {
            Control::AddNodes { nodes } => {
                let read = |(ip, node): (String, String)| {
                    let address: Ipv4Addr =
                        ip.parse().map_err(|_| bad(format!("invalid IP address: {ip}")))?;
                    Ok((address, node))
                };
                let nodes = nodes.into_iter().map(read).collect::<Result<BTreeMap<_, _>, ServiceError>>()?;
                self.all().iter().for_each(|end| end.add_nodes(&nodes));
            }
            Control::RemoveNodes { node_ids } => {
                self.all().iter().for_each(|end| end.remove_nodes(&node_ids));
            }
        }
        Ok(())
    }
}

impl Handler for ServedEnds {
    fn call(self: Arc<Self>, caller: String, method: String, data: Bytes) -> BoxFuture<'static, Answer> {
        async move {
            match method.as_str() {
                "raw" => {
                    self.all().iter().for_each(|end| end.receive(&caller, &data));
                    Answer::Full(Vec::new())
                }
                "VpnControl" => Answer::Full(message::write(&self.control(&data))),
                _ => Answer::NoEndpoint,
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Heard {
        fn note(&self, line: String) {
            self.0.lock().unwrap().push(line);
        }
    }

    impl VpnEnd for Heard {
        fn add_nodes(&self, nodes: &BTreeMap<Ipv4Addr, String>) {
            self.note(format!("added {nodes:?}"));
        }

        fn remove_nodes(&self, nodes: &[String]) {
            self.note(format!("removed {nodes:?}"));
        }

        fn receive(&self, from: &str, frame: &[u8]) {
            self.note(format!("{from}: {frame:?}"));
        }

        fn has_machine(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn frames_and_news_reach_the_end() {
        let heard = Arc::new(Heard::default());
        let (served, network) = (Served::default(), NetworkId::new("n"));
        let end = served.add(&network, "0x1", Arc::clone(&heard) as Arc<dyn VpnEnd>).unwrap();
        assert!(served.add(&network, "0x1", Arc::clone(&heard) as Arc<dyn VpnEnd>).is_err());
        let other = served.add(&network, "0x2", Arc::new(Heard::default())).unwrap();
        assert!(Arc::ptr_eq(&other, &end), "they share the network");
        let mut is_unbound = false;
        served.remove(&network, "0x2", || is_unbound = true);
        assert!(!is_unbound);
        let call = |method: &str, data: Vec<u8>| {
            Arc::clone(&end).call("0xab".to_owned(), method.to_owned(), Bytes::from(data))
        };
        let added = json!({"addNodes": {"network_id": "n", "nodes": {"10.0.0.3": "0xcd"}}});
        let removed = json!({"removeNodes": {"network_id": "n", "node_ids": ["0xcd"]}});
        for (method, data) in [
            ("VpnControl", message::write(&added)),
            ("VpnControl", message::write(&removed)),
            ("raw", vec![1, 2]),
        ] {
            assert!(matches!(call(method, data).await, Answer::Full(_)), "{method}");
        }
        assert_eq!(
            *heard.0.lock().unwrap(),
            [r#"added {10.0.0.3: "0xcd"}"#, r#"removed ["0xcd"]"#, "0xab: [1, 2]"]
        );
        let bad = json!({"addNodes": {"network_id": "n", "nodes": {"ten": "0xcd"}}});
        let Answer::Full(answer) = call("VpnControl", message::write(&bad)).await else {
            panic!("no answer")
        };
        assert_eq!(
            message::read::<Value>(&answer).unwrap(),
            json!({"Err": {"badRequest": "invalid IP address: ten"}})
        );
        assert!(matches!(call("VpnPacket", Vec::new()).await, Answer::NoEndpoint));
        served.remove(&network, "0x1", || is_unbound = true);
        assert!(is_unbound, "it was the last one");
    }
}
