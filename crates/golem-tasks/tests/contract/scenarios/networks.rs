//! Machines in virtual networks, and the requestor's connections to them.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use golem_devnet::provider::ProviderConfig;
use golem_devnet::runtime::{ProcessRuntime, Runtime as _};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::bytes::Bytes;
use yagna_api::activity::{Command, Deploy, DeployNetwork, Start};
use yagna_api::net::BASE;

use crate::rental::{Terms, agree, create, destroy, leave, run, shell};
use crate::stage::Scene;

const MACHINE: &str = "192.168.21.2";
const PATIENCE: Duration = Duration::from_secs(60);
/// Echoes what comes to port 80, in whichever language the machine has.
const SERVER: &str = r#"if command -v perl; then
setsid perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 80, Listen => 9) or die;
while ($c = $s->accept) { while (sysread($c, $b, 65536)) { syswrite($c, $b) } }'
else setsid python3 -c 'import socket
s = socket.create_server(("", 80))
while True:
    c = s.accept()[0]
    while b := c.recv(65536): c.sendall(b)'
fi >/dev/null 2>&1 &"#;

/// A machine of a provider answers as the daemon's own emulation of TCP tells it.
pub(super) async fn a_machine_is_reached_by_its_requestor(scene: Scene) {
    if ProcessRuntime::default().vpn().await.is_err() {
        return;
    }
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let made = hand.post(&format!("{BASE}/net"), &json!({"ip": "192.168.21.0/24"})).await.expect(200).json();
    let id = made["id"].as_str().expect("an id");
    let net = format!("{BASE}/net/{id}");
    let node = stage.provider("solo").node().to_string();
    let place = json!({"id": node, "ip": MACHINE});
    hand.post(&format!("{net}/nodes"), &place).await.expect(200);
    let (demand, agreement) = agree(hand, &Terms::usual(&stage)).await;
    let activity = create(hand, &agreement).await;
    let network = DeployNetwork {
        id: id.to_owned(),
        ip: "192.168.21.0".to_owned(),
        mask: Some("255.255.255.0".to_owned()),
        gateway: Some("192.168.21.1".to_owned()),
        node_ip: MACHINE.to_owned(),
        nodes: [(MACHINE.to_owned(), node)].into(),
    };
    let deploy = Deploy { net: vec![network], ..Deploy::default() };
    let results = run(hand, &activity, vec![Command::Deploy(deploy), Command::Start(Start::default())]).await;
    assert!(results.len() == 2 && results[1].is_batch_finished, "{results:?}");

    let refused = hand.socket(&format!("{net}/tcp/{MACHINE}/81"), None).await;
    stage.look("nothing listens", &refused.expect_err("a refusal"));
    let nobody = hand.socket(&format!("{net}/tcp/192.168.21.77/80"), None).await;
    stage.look("nobody is there", &nobody.expect_err("a refusal"));

    run(hand, &activity, vec![shell(SERVER)]).await;
    let began = Instant::now();
    let mut socket = loop {
        match hand.socket(&format!("{net}/tcp/{MACHINE}/80"), None).await {
            Ok(socket) => break socket,
            Err(refused) => assert!(began.elapsed() < PATIENCE, "{refused:?}"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    for size in [5, 1000, 65_536] {
        let bytes = vec![b'x'; size];
        socket.send(Bytes::from(bytes.clone())).await.expect("it is sent");
        let echo = async {
            let mut heard = Vec::new();
            while heard.len() < size {
                heard.extend(socket.next().await.expect("an answer").expect("an answer"));
            }
            heard
        };
        assert!(timeout(PATIENCE, echo).await.expect("an echo") == bytes, "{size} bytes come back as others");
    }
    stage.note("what is sent comes back");
    stage.look("remove the network", &hand.delete(&net).await);
    let end = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(PATIENCE, end).await.expect("the connection ends with its network");
    stage.note(&format!("the connection ends, close frame: {:?}", socket.close_reason()));
    destroy(hand, &activity).await;
    leave(hand, &demand, &agreement).await;
    stage.close().await;
}
