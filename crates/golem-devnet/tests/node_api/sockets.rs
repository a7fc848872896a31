//! Over real TCP: plain requests, dropped connections, the bus's WebSocket, connections into virtual networks.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use golem_devnet::node::Fault;
use golem_devnet::port::{BusError, BusValue, Port as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use crate::kit::Net;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Served {
    net: Net,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

async fn serve() -> Served {
    let net = Net::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    let world = net.world.clone();
    tasks.spawn(async move { world.serve(listener, CancellationToken::new()).await.unwrap() });
    Served { net, address, _tasks: tasks }
}

impl Served {
    async fn open(&self, path: &str) -> Result<Socket, u16> {
        let key = self.net.requestor.key.expose();
        let url = format!("ws://{}{path}?authToken={key}", self.address);
        match connect_async(url).await {
            Ok((socket, _)) => Ok(socket),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn plain(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let key = self.net.requestor.key.expose();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A dropped connection may show as an end or as an error; either way there is no answer.
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8(answer).unwrap()
    }
}

fn frame(value: &Value) -> Message {
    Message::Binary(flexbuffers::to_vec(value).unwrap().into())
}

async fn next_binary(socket: &mut Socket) -> Vec<u8> {
    loop {
        match tokio::time::timeout(Duration::from_secs(10), socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Binary(bytes) => return bytes.to_vec(),
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

async fn close_reason(socket: &mut Socket) -> (u16, String) {
    loop {
        match tokio::time::timeout(Duration::from_secs(10), socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.to_string()),
            Message::Close(None) => panic!("closed without a word"),
            _ => {}
        }
    }
}

#[derive(Debug, Deserialize)]
struct Request {
    id: String,
    component: String,
    payload: Value,
}

#[tokio::test]
async fn requests_are_answered_and_faults_drop_the_connection() {
    let served = serve().await;
    assert!(served.plain("/me").await.starts_with("HTTP/1.1 200"));
    assert!(served.plain("/nowhere").await.starts_with("HTTP/1.1 404"));
    served.net.world.faults().next(1, "/me", Fault::Drop);
    assert_eq!(served.plain("/me").await, "");
    assert!(served.plain("/me").await.starts_with("HTTP/1.1 200"));
}

/// golem-js 3 writes an upload's pieces in the order in which its disk finishes: eight at once came out jumbled.
#[tokio::test]
async fn pieces_of_a_file_come_one_at_a_time_unless_they_stay_unanswered() {
    const PIECES: u64 = 4;
    let served = serve().await;
    let net = &served.net;
    let listen = json!({"listen": {"on": "/public/gftp/f1", "components": ["UploadChunk"]}});
    net.post("/gsb-api/v1/services", listen).await.expect(201);
    let mut socket = served.open("/gsb-api/v1/services/L3B1YmxpYy9nZnRwL2Yx").await.unwrap();
    let begun = tokio::time::Instant::now();
    let calls = futures_util::future::join_all((0..PIECES).map(|piece| {
        let chunk = BusValue::Map(vec![("offset".into(), BusValue::UInt(piece))]);
        let payload = BusValue::Map(vec![("chunk".into(), chunk)]);
        net.port.call_bus(&net.requestor.node, "/public/gftp/f1", "UploadChunk", payload)
    }));
    let answer_late = async {
        let mut waiting = Vec::new();
        for piece in 0..PIECES {
            let request: Request = flexbuffers::from_slice(&next_binary(&mut socket).await).unwrap();
            assert_eq!(request.payload["chunk"]["offset"], piece);
            waiting.push(request.id);
        }
        let took = begun.elapsed();
        for id in waiting {
            socket.send(frame(&json!({"id": id, "payload": null}))).await.unwrap();
        }
        took
    };
    let (answers, took) = tokio::join!(calls, answer_late);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(took >= Duration::from_millis(150), "{PIECES} unanswered pieces came within {took:?}");
}

#[tokio::test]
async fn services_are_bound_once_and_refused_as_the_daemon_does() {
    let served = serve().await;
    let net = &served.net;
    let listen = json!({"listen": {"on": "/public/gftp/f1", "components": ["GetMetadata", "GetChunk"]}});
    let reply = net.post("/gsb-api/v1/services", listen.clone()).await.expect(201).json();
    assert_eq!(reply["listen"], listen["listen"]);
    assert_eq!(reply["servicesId"], "L3B1YmxpYy9nZnRwL2Yx");
    let again = net.post("/gsb-api/v1/services", listen).await.expect(400);
    assert_eq!(again.message(), "Duplicated service address prefix: /public/gftp/f1");
    net.post("/gsb-api/v1/services", json!({"listen": {"on": "", "components": []}})).await.expect(400);
    let path = "/gsb-api/v1/services/L3B1YmxpYy9nZnRwL2Yx";
    net.get(path).await.expect(500);
    net.get("/gsb-api/v1/services/L3B1").await.expect(404);
    net.get("/gsb-api/v1/services/!!").await.expect(400);
    assert_eq!(net.delete(path).await.expect(200).text, "null");
    net.delete(path).await.expect(404);
}

#[tokio::test]
async fn calls_wait_for_the_socket_and_come_back_with_its_answers() {
    let served = serve().await;
    let net = &served.net;
    let node = net.requestor.node.clone();
    let call = |component: &'static str, payload: BusValue| {
        let (port, node) = (net.port.clone(), node.clone());
        async move { port.call_bus(&node, "/public/gftp/f1", component, payload).await }
    };
    let missing = call("GetChunk", BusValue::Null).await;
    assert_eq!(missing, Err(BusError::NoEndpoint("/public/gftp/f1/GetChunk".into())));
    let listen = json!({"listen": {"on": "/public/gftp/f1", "components": ["GetMetadata", "GetChunk"]}});
    net.post("/gsb-api/v1/services", listen).await.expect(201);
    let path = "/gsb-api/v1/services/L3B1YmxpYy9nZnRwL2Yx";
    let serve_two = async {
        let mut socket = served.open(path).await.unwrap();
        for _ in 0..2 {
            let bytes = next_binary(&mut socket).await;
            let request: Request = flexbuffers::from_slice(&bytes).unwrap();
            let answer = match request.component.as_str() {
                "GetMetadata" => {
                    assert_eq!(request.payload, json!({}));
                    json!({"id": request.id, "payload": {"fileSize": 12}})
                }
                _ => json!({"id": request.id, "error": {"ReadError": "no such chunk"}}),
            };
            socket.send(frame(&answer)).await.unwrap();
        }
        socket
    };
    let chunk = BusValue::Map(vec![("offset".into(), BusValue::UInt(0)), ("size".into(), BusValue::UInt(9))]);
    // Both are asked before there is a socket.
    let (metadata, chunk, mut socket) =
        tokio::join!(call("GetMetadata", BusValue::Null), call("GetChunk", chunk), serve_two);
    assert_eq!(metadata.unwrap().field("fileSize").and_then(BusValue::as_u64), Some(12));
    assert_eq!(chunk, Err(BusError::Service { kind: "ReadError".into(), message: "no such chunk".into() }));

    // A second socket replaces the first.
    let mut second = served.open(path).await.unwrap();
    assert_eq!(
        close_reason(&mut socket).await,
        (1008, "Closing old WS connection in favour of new WS connection".into())
    );
    second.send(Message::Text("hello".into())).await.unwrap();
    assert_eq!(close_reason(&mut second).await.1, "Text msg unsupported.");
    // A socket that goes away takes its requests with it.
    let mut third = served.open(path).await.unwrap();
    let leave = async {
        next_binary(&mut third).await;
        drop(third);
    };
    let (lost, ()) = tokio::join!(call("GetMetadata", BusValue::Null), leave);
    assert_eq!(lost, Err(BusError::Cancelled));
    net.delete(path).await.expect(200);
    assert_eq!(served.open(path).await.err(), Some(404));
}

#[tokio::test]
async fn services_can_be_served_in_process() {
    let net = Net::new();
    let listen = json!({"listen": {"on": "/public/gftp/f1", "components": ["GetMetadata"]}});
    let id = net.post("/gsb-api/v1/services", listen).await.expect(201).json()["servicesId"]
        .as_str()
        .unwrap()
        .to_owned();
    let socket = net.world.bus_socket(&net.requestor.key, &yagna_api::ServicesId::new(&id)).unwrap();
    let serve = async {
        let request: Request = flexbuffers::from_slice(&socket.next_request().await.unwrap()).unwrap();
        assert!(socket.answer(b"junk is refused").is_err());
        let answer = flexbuffers::to_vec(json!({"id": request.id, "payload": {"fileSize": 3}})).unwrap();
        socket.answer(&answer).unwrap();
    };
    let call = net.port.call_bus(&net.requestor.node, "/public/gftp/f1", "GetMetadata", BusValue::Null);
    let (answer, ()) = tokio::join!(call, serve);
    assert_eq!(answer.unwrap().field("fileSize").and_then(BusValue::as_u64), Some(3));
    net.delete(&format!("/gsb-api/v1/services/{id}")).await.expect(200);
    assert_eq!(socket.next_request().await, Err(golem_devnet::node::BusClosed::Unbound));
    assert_eq!(
        net.world.bus_socket(&net.requestor.key, &yagna_api::ServicesId::new("L3B1")).unwrap_err().status,
        404
    );
}

#[tokio::test]
async fn connections_into_a_network_carry_bytes_both_ways() {
    let served = serve().await;
    let net = &served.net;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    net.world.expose_tcp(&net.port.node(), 8080, listener.local_addr().unwrap());
    let id = net.post("/net-api/v1/net", json!({"ip": "192.168.0.0/24"})).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let node = json!({"id": net.port.node(), "ip": "192.168.0.2"});
    net.post(&format!("/net-api/v1/net/{id}/nodes"), node).await.expect(200);
    let base = format!("/net-api/v1/net/{id}/tcp");
    let echo = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream
    };
    let path = format!("{base}/192.168.0.2/8080");
    let talk = async {
        let mut socket = served.open(&path).await.unwrap();
        socket.send(Message::Binary(b"he".as_slice().into())).await.unwrap();
        socket.send(Message::Text("llo".into())).await.unwrap();
        let mut heard = Vec::new();
        while heard.len() < 5 {
            heard.extend(next_binary(&mut socket).await);
        }
        heard
    };
    let (heard, _stream) = tokio::join!(talk, echo);
    assert_eq!(heard, b"hello");
    assert_eq!(served.open(&format!("{base}/192.168.0.2/81")).await.err(), Some(400));
    assert_eq!(served.open(&format!("{base}/192.168.0.2/x")).await.err(), Some(404));
    assert_eq!(served.open("/net-api/v1/net/nope/tcp/192.168.0.2/80").await.err(), Some(403));
    assert_eq!(served.open(&format!("{base}/192.168.0.77/80")).await.err(), Some(504));
}
