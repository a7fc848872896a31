//! An activity's end of a virtual network on a real daemon's bus.
//!
//! The daemon brings whole Ethernet frames to `/public/vpn/<network>/raw`, and news of nodes to
//! `/public/vpn/<network>/VpnControl`. Our own frames go to `/udp/net/<node>/vpn/<network>/raw`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use yagna_api::NetworkId;

use super::bus::{Answer, Handler};
use super::message::{self, ServiceError};
use crate::port::VpnEnd;

/// What a daemon says of a network's nodes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Control {
    #[serde(rename_all = "snake_case")]
    AddNodes { nodes: BTreeMap<String, String> },
    #[serde(rename_all = "snake_case")]
    RemoveNodes { node_ids: Vec<String> },
}

/// An end, as the bus calls it.
#[derive(Debug)]
pub(super) struct ServedEnd(pub(super) Arc<dyn VpnEnd>);

/// The address at which this node's end of a network is served.
pub(super) fn address(network: &NetworkId) -> String {
    format!("/public/vpn/{network}")
}

/// The address of another node's end.
pub(super) fn remote(network: &NetworkId, node: &str) -> String {
    format!("/udp/net/{node}/vpn/{network}/raw")
}

impl ServedEnd {
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
                self.0.add_nodes(&nodes);
            }
            Control::RemoveNodes { node_ids } => self.0.remove_nodes(&node_ids),
        }
        Ok(())
    }
}

impl Handler for ServedEnd {
    fn call(self: Arc<Self>, caller: String, method: String, data: Bytes) -> BoxFuture<'static, Answer> {
        async move {
            match method.as_str() {
                "raw" => {
                    self.0.receive(&caller, &data);
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
    use std::sync::Mutex;

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
        let end = Arc::new(ServedEnd(Arc::clone(&heard) as Arc<dyn VpnEnd>));
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
    }
}
