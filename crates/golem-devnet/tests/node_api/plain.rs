//! The identity and the version of a node.

use serde_json::{Value, json};

use crate::kit::Net;

#[tokio::test(start_paused = true)]
async fn identity_and_version_are_told() {
    let net = Net::new();
    let me = net.get("/me").await.expect(200).json();
    assert_eq!(me, json!({"identity": net.requestor.node, "name": "requestor", "role": "manager"}));
    let version = net.get("/version/get").await.json();
    assert_eq!((&version["current"]["version"], &version["pending"]), (&json!("0.17.6"), &Value::Null));
    net.get("/healthcheck").await.expect(200);
}
