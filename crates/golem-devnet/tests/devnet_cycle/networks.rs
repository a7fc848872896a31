//! Virtual networks with real machines: who reaches whom, and the daemon's habits. Where the machine allows no
//! namespaces with networks, the tests say so and pass.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use golem_devnet::devnet::Devnet;
use golem_devnet::provider::{Limits, ProviderConfig};
use golem_devnet::runtime::{ProcessRuntime, Runtime as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::MINUTE;
use crate::requestor::{Buyer, run, text};

const PATIENCE: Duration = Duration::from_secs(60);

/// Echoes what comes. A line `fin` makes it say no more, a line `rst` makes it reset the connection.
const PERL_SERVER: &str = r#"use IO::Socket::INET; $SIG{CHLD} = "IGNORE";
$s = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 9, ReuseAddr => 1) or die "$!";
while ($c = $s->accept) {
    if (!fork) {
        while (sysread($c, $b, 65536)) {
            if ($b =~ /^rst/) { setsockopt($c, 1, 13, pack("ii", 1, 0)); exit }
            if ($b =~ /^fin/) { shutdown($c, 1); next }
            for ($n = 0; $n < length $b; ) { $n += syswrite($c, $b, length($b) - $n, $n) }
        }
        exit
    }
    close $c
}"#;
const PYTHON_SERVER: &str = r#"import socket, struct, sys, threading
s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(("", int(sys.argv[1]))); s.listen(9)
def serve(c):
    while b := c.recv(65536):
        if b.startswith(b"rst"): c.setsockopt(1, 13, struct.pack("ii", 1, 0)); c.close(); return
        if b.startswith(b"fin"): c.shutdown(1); continue
        c.sendall(b)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()"#;
const PERL_CLIENT: &str = r#"use IO::Socket::INET;
$c = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Timeout => 8) or die "$@\n";
syswrite($c, "hello"); sysread($c, $b, 99); print $b;"#;
const PYTHON_CLIENT: &str = r#"import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=8)
c.sendall(b"hello"); print(c.recv(99).decode(), end="")"#;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A devnet with a network, and a requestor who is about to rent machines for it.
struct Lan {
    devnet: Devnet,
    buyer: Buyer,
    address: SocketAddr,
    id: String,
}

/// A machine that is rented.
struct Machine {
    activity: String,
    agreement: String,
}

impl Lan {
    /// One with providers of these names; `None` where machines can't be in networks.
    #[expect(clippy::print_stderr, reason = "a test that is left out says so")]
    async fn new(names: &[&str]) -> Option<Self> {
        if let Err(reason) = ProcessRuntime::default().vpn().await {
            eprintln!("not tested: no virtual networks here ({reason})");
            return None;
        }
        let providers = names.iter().map(|name| ProviderConfig {
            limits: Limits { agreements: 2, ..Limits::default() },
            ..ProviderConfig::new(*name)
        });
        let builder = Devnet::builder().runtime(ProcessRuntime::default());
        let devnet = providers.fold(builder, golem_devnet::devnet::DevnetBuilder::provider).start().await;
        let devnet = devnet.unwrap();
        let buyer = Buyer::of(&devnet);
        let address = devnet.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let network = buyer.post("/net-api/v1/net", json!({"ip": "192.168.7.0/24"})).await.ok();
        Some(Self { id: text(&network["id"]), devnet, buyer, address })
    }

    fn node(&self, name: &str) -> String {
        self.devnet.provider(name).unwrap().node().to_string()
    }

    async fn announce(&self, name: &str, ip: &str) {
        let node = json!({"id": self.node(name), "ip": ip});
        assert_eq!(self.buyer.post(&format!("/net-api/v1/net/{}/nodes", self.id), node).await.status, 200);
    }

    /// Rents a machine of a provider and deploys it.
    async fn deploy(&self, name: &str, ip: &str, nodes: &[(&str, &str)], hosts: Value) -> Machine {
        let demand = self.buyer.demand(&self.buyer.properties(20 * MINUTE)).await;
        let offer = self
            .buyer
            .event(&demand, |event| {
                event["proposal"]["state"] == "Initial"
                    && event["proposal"]["properties"]["golem.node.id.name"] == name
            })
            .await;
        self.buyer.counter(&demand, &text(&offer["proposal"]["proposalId"])).await;
        let draft = self.buyer.proposal(&demand, "Draft").await;
        let agreement = self.buyer.propose(&draft).await;
        assert_eq!(self.buyer.decision(&agreement, 60).await.status, 204);
        let activity = self.buyer.activity(&agreement).await;
        let nodes: serde_json::Map<_, _> =
            nodes.iter().map(|(ip, name)| ((*ip).to_owned(), json!(self.node(name)))).collect();
        let deploy = json!({"deploy": {
            "net": [{"id": self.id, "ip": "192.168.7.0", "mask": "255.255.255.0", "gateway": null,
                "nodeIp": ip, "nodes": nodes}],
            "hosts": hosts,
            "hostname": format!("{name}-host"),
        }});
        let results = self.buyer.run(&activity, json!([deploy])).await;
        assert_eq!(results[0]["result"], "Ok", "{results:?}");
        Machine { activity, agreement }
    }

    async fn start(&self, machine: &Machine) -> Value {
        self.buyer.run(&machine.activity, json!([{"start": {"args": []}}])).await.remove(0)
    }

    /// Rents a machine whose deployment knows all these nodes, and starts it.
    async fn member(&self, name: &str, ip: &str, nodes: &[(&str, &str)]) -> Machine {
        self.announce(name, ip).await;
        let machine = self.deploy(name, ip, nodes, json!({})).await;
        let started = self.start(&machine).await;
        assert_eq!(started["result"], "Ok", "{started:?}");
        machine
    }

    async fn shell(&self, machine: &Machine, line: &str) -> Value {
        self.buyer.run(&machine.activity, json!([run("/bin/sh", &["-c", line])])).await.remove(0)
    }

    /// Lets a machine serve a port from now on.
    async fn serve(&self, machine: &Machine, port: u16) {
        let (perl, python) = (quoted(PERL_SERVER), quoted(PYTHON_SERVER));
        let line = format!(
            "if command -v perl; then setsid perl -e {perl} {port}; else setsid python3 -c {python} {port}; fi \
             >/dev/null 2>&1 &"
        );
        assert_eq!(self.shell(machine, &line).await["result"], "Ok");
    }

    /// Lets a machine call another one, and gives the result of that.
    async fn call(&self, machine: &Machine, to: &str, port: u16) -> Value {
        let (perl, python) = (quoted(PERL_CLIENT), quoted(PYTHON_CLIENT));
        let line = format!(
            "if command -v perl >/dev/null; then perl -e {perl} {to} {port}; else python3 -c {python} {to} {port}; fi"
        );
        self.shell(machine, &line).await
    }

    /// Calls until the other machine answers.
    async fn call_until_answered(&self, machine: &Machine, to: &str, port: u16) {
        let began = Instant::now();
        loop {
            let result = self.call(machine, to, port).await;
            if result["stdout"] == "hello" {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{result:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn open(&self, ip: &str, port: u16) -> Result<Socket, (u16, String)> {
        let request = format!("/net-api/v1/net/{}/tcp/{ip}/{port}", self.id);
        let key = self.devnet.requestor().key.expose();
        let url = format!("ws://{}{request}?authToken={key}", self.address);
        match timeout(PATIENCE, connect_async(url)).await.unwrap() {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(answer)) => {
                let body = answer.body().clone().unwrap_or_default();
                Err((answer.status().as_u16(), String::from_utf8(body).unwrap()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects as soon as something listens.
    async fn open_until_served(&self, ip: &str, port: u16) -> Socket {
        let began = Instant::now();
        loop {
            match self.open(ip, port).await {
                Ok(socket) => return socket,
                Err(refused) => assert!(began.elapsed() < PATIENCE, "{refused:?}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn end(self) {
        self.devnet.stop().await;
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Sends bytes in one frame, and waits until they come back.
async fn echo(socket: &mut Socket, bytes: &[u8]) {
    socket.send(Message::Binary(bytes.to_vec().into())).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < bytes.len() {
        match timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Binary(piece) => heard.extend(piece),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, bytes);
}

/// Waits for the end of a connection. The daemon never says that it closes one.
async fn ended(mut socket: Socket) {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("the connection ends") {
            None | Some(Err(_)) => return,
            Some(Ok(Message::Close(frame))) => panic!("closed with {frame:?}"),
            Some(Ok(_)) => {}
        }
    }
}

const ADA: (&str, &str) = ("192.168.7.2", "ada");
const BOB: (&str, &str) = ("192.168.7.3", "bob");

#[tokio::test]
async fn members_talk_by_address_and_by_name() {
    let Some(lan) = Lan::new(&["ada", "bob"]).await else { return };
    let ada = lan.member("ada", ADA.0, &[ADA]).await;
    lan.serve(&ada, 80).await;
    lan.announce("bob", BOB.0).await;
    let bob = lan.deploy("bob", BOB.0, &[ADA, BOB], json!({"ada": ADA.0})).await;
    assert_eq!(lan.start(&bob).await["result"], "Ok");
    lan.call_until_answered(&bob, ADA.0, 80).await;
    lan.call_until_answered(&bob, "ada", 80).await;
    // Both have their own port 80, and nothing but the network.
    lan.serve(&bob, 80).await;
    lan.call_until_answered(&ada, BOB.0, 80).await;
    let seen = lan
        .shell(&bob, "cat /proc/sys/kernel/hostname; tail -n +2 /proc/net/route | awk '{print $1, $2}'; grep -c bob-host /etc/hosts")
        .await;
    assert_eq!(seen["stdout"], "bob-host\neth0 0007A8C0\n1\n", "{seen:?}");
    let outside = lan.call(&bob, "127.0.0.1", lan.address.port()).await;
    assert_eq!(outside["result"], "Error", "the host's loopback is another one: {outside:?}");
    // A name can be added later.
    let added = lan.shell(&bob, "echo '192.168.7.2 database' >>/etc/hosts").await;
    assert_eq!(added["result"], "Ok", "{added:?}");
    lan.call_until_answered(&bob, "database", 80).await;
    lan.end().await;
}

#[tokio::test]
async fn the_requestor_reaches_a_member_with_the_daemons_habits() {
    let Some(lan) = Lan::new(&["ada"]).await else { return };
    // It doesn't know the requestor, and learns it from the first frame.
    let ada = lan.member("ada", ADA.0, &[ADA]).await;
    let refused = lan.open(ADA.0, 80).await.unwrap_err();
    assert_eq!(refused, (400, r#"{"message":"Socket closed"}"#.to_owned()));
    lan.serve(&ada, 80).await;
    let mut socket = lan.open_until_served(ADA.0, 80).await;
    echo(&mut socket, b"hello").await;
    echo(&mut socket, &vec![7; 65_536]).await;

    let nobody = lan.open("192.168.7.77", 80).await.unwrap_err();
    assert_eq!(nobody, (504, String::new()));
    lan.announce("ada", "192.168.7.8").await;
    let elsewhere = lan.open("192.168.7.8", 80).await.unwrap_err();
    assert_eq!(elsewhere.0, 504, "the machine has only the address that it was deployed with");

    // The end of the far side's data isn't told; the connection goes on.
    socket.send(Message::Binary(b"fin".as_slice().into())).await.unwrap();
    socket.send(Message::Ping(b"still there".as_slice().into())).await.unwrap();
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Pong(said) => break assert_eq!(said, b"still there".as_slice()),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(socket);
    for bad in [
        Message::Binary(vec![0; 65_537].into()),
        Message::Frame(Frame::message(b"begun".as_slice(), OpCode::Data(Data::Binary), false)),
        Message::Binary(b"rst".as_slice().into()),
    ] {
        let mut socket = lan.open_until_served(ADA.0, 80).await;
        echo(&mut socket, b"x").await;
        // The connection may end while the frame is on its way.
        drop(socket.send(bad).await);
        ended(socket).await;
    }
    lan.end().await;
}

#[tokio::test]
async fn a_member_does_not_reach_a_peer_that_it_was_not_told_of() {
    let Some(lan) = Lan::new(&["ada", "bob"]).await else { return };
    lan.announce("ada", ADA.0).await;
    let ada = lan.deploy("ada", ADA.0, &[ADA], json!({})).await;
    // The announcement comes before `start`: nobody hears it.
    let bob = lan.member("bob", BOB.0, &[ADA, BOB]).await;
    assert_eq!(lan.start(&ada).await["result"], "Ok");
    lan.serve(&bob, 80).await;
    drop(lan.open_until_served(BOB.0, 80).await);
    let lost = lan.call(&ada, BOB.0, 80).await;
    assert_eq!(lost["result"], "Error", "{lost:?}");
    // The same request once more announces it again.
    lan.announce("bob", BOB.0).await;
    lan.call_until_answered(&ada, BOB.0, 80).await;
    lan.end().await;
}

#[tokio::test]
async fn a_provider_has_one_activity_in_a_network() {
    let Some(lan) = Lan::new(&["ada"]).await else { return };
    let first = lan.member("ada", ADA.0, &[ADA]).await;
    let second = lan.deploy("ada", BOB.0, &[ADA], json!({})).await;
    let taken = lan.start(&second).await;
    assert_eq!(taken["result"], "Error");
    assert!(text(&taken["message"]).contains("another activity of this provider"), "{taken:?}");
    for machine in [&first, &second] {
        lan.buyer.destroy(&machine.activity).await;
        lan.buyer.terminate(&machine.agreement).await;
    }
    let third = lan.member("ada", ADA.0, &[ADA]).await;
    lan.serve(&third, 80).await;
    drop(lan.open_until_served(ADA.0, 80).await);
    lan.end().await;
}

#[tokio::test]
async fn a_network_that_is_gone_takes_its_connections_along() {
    let Some(mut lan) = Lan::new(&["ada", "bob"]).await else { return };
    let ada = lan.member("ada", ADA.0, &[ADA, BOB]).await;
    let bob = lan.member("bob", BOB.0, &[ADA, BOB]).await;
    lan.serve(&ada, 80).await;
    let mut socket = lan.open_until_served(ADA.0, 80).await;
    echo(&mut socket, b"x").await;
    assert_eq!(lan.buyer.delete(&format!("/net-api/v1/net/{}", lan.id)).await.status, 200);
    ended(socket).await;
    assert_eq!(lan.open(ADA.0, 80).await.unwrap_err().0, 404);
    // The machines were not told.
    lan.call_until_answered(&bob, ADA.0, 80).await;

    let network = lan.buyer.post("/net-api/v1/net", json!({"ip": "192.168.7.0/24"})).await.ok();
    lan.id = text(&network["id"]);
    lan.devnet.faults().lose_networks();
    let lost = lan.buyer.get(&format!("/net-api/v1/net/{}", lan.id)).await;
    assert_eq!((lost.status, &lost.body["message"]), (404, &json!("Network not found")));
    lan.end().await;
}
