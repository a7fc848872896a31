//! Services on the bus: round trips, a WebSocket that breaks, a daemon that forgets.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use yagna_api::gsb::Listen;
use yagna_client::{BusFault, BusSession, BusValue, Client, RetryPolicy};

use crate::served::{both, in_process};

/// The daemon's side of one bound address.
#[derive(Default)]
struct Service {
    /// Requests of providers that no WebSocket has taken yet, each with its waiter.
    queue: Mutex<VecDeque<(Bytes, String, oneshot::Sender<BusValue>)>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<BusValue>>>,
    asked: Notify,
    cut: Notify,
    sockets: Mutex<usize>,
}

/// As much of a daemon as has to do with the bus.
#[derive(Default)]
struct Bus {
    services: Mutex<HashMap<String, Arc<Service>>>,
    bound: Mutex<Vec<Value>>,
    subprotocols: Mutex<Vec<Option<String>>>,
}

impl Bus {
    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/gsb-api/v1/services", post(bind))
            .route("/gsb-api/v1/services/{id}", get(connect).delete(unbind))
            .with_state(self.clone())
    }

    fn service(&self, id: &str) -> Arc<Service> {
        self.services.lock().unwrap()[id].clone()
    }
}

impl Service {
    /// What a provider does: it sends a request and waits for the answer.
    fn ask(&self, id: &str, component: &str, payload: BusValue) -> oneshot::Receiver<BusValue> {
        let frame = BusValue::map([("id", id.into()), ("component", component.into()), ("payload", payload)]);
        self.ask_raw(id, frame.encode())
    }

    fn ask_raw(&self, id: &str, frame: Bytes) -> oneshot::Receiver<BusValue> {
        let (sender, receiver) = oneshot::channel();
        self.queue.lock().unwrap().push_back((frame, id.to_owned(), sender));
        self.asked.notify_one();
        receiver
    }
}

async fn bind(State(bus): State<Arc<Bus>>, Json(body): Json<Value>) -> Response {
    let on = body["listen"]["on"].as_str().unwrap().to_owned();
    let id = on.replace('/', "_");
    let mut services = bus.services.lock().unwrap();
    if services.contains_key(&id) {
        let words = json!({"message": format!("Duplicated service address prefix: {on}.")});
        return (StatusCode::BAD_REQUEST, Json(words)).into_response();
    }
    services.insert(id.clone(), Arc::default());
    bus.bound.lock().unwrap().push(body["listen"].clone());
    (StatusCode::CREATED, Json(json!({"listen": body["listen"], "servicesId": id}))).into_response()
}

async fn unbind(State(bus): State<Arc<Bus>>, Path(id): Path<String>) -> Response {
    match bus.services.lock().unwrap().remove(&id) {
        Some(_) => "null".into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn connect(State(bus): State<Arc<Bus>>, Path(id): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    let service = bus.services.lock().unwrap().get(&id).cloned();
    let Some(service) = service else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let upgrade = upgrade.protocols(["gsb+flexbuffers"]);
    let chosen = upgrade.selected_protocol().map(|chosen| chosen.to_str().unwrap().to_owned());
    bus.subprotocols.lock().unwrap().push(chosen);
    upgrade.on_upgrade(|socket| serve(service, socket))
}

async fn serve(service: Arc<Service>, mut socket: WebSocket) {
    *service.sockets.lock().unwrap() += 1;
    loop {
        let next = service.queue.lock().unwrap().pop_front();
        if let Some((frame, id, waiter)) = next {
            service.waiting.lock().unwrap().insert(id, waiter);
            if socket.send(Message::Binary(frame)).await.is_err() {
                break;
            }
            continue;
        }
        tokio::select! {
            () = service.asked.notified() => {}
            () = service.cut.notified() => break,
            message = socket.recv() => match message {
                Some(Ok(Message::Binary(frame))) => {
                    let reply = BusValue::decode(&frame).unwrap();
                    let id = reply.get("id").unwrap().as_text().unwrap();
                    if let Some(waiter) = service.waiting.lock().unwrap().remove(id) {
                        drop(waiter.send(reply.clone()));
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    let frame = CloseFrame { code: 1003, reason: "Text msg unsupported.".into() };
                    drop(socket.send(Message::Close(Some(frame))).await);
                    break;
                }
                _ => break,
            },
        }
    }
    // A closed WebSocket drops what waits for its answers.
    service.waiting.lock().unwrap().clear();
}

fn listen(on: &str) -> Listen {
    Listen { on: on.to_owned(), components: vec!["GetMetadata".into(), "GetChunk".into()] }
}

fn patient(client: &Client) -> Client {
    client.clone().with_retry(RetryPolicy {
        first: Duration::from_millis(1),
        most: Duration::from_millis(20),
        total: Duration::from_secs(20),
    })
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("it comes in time")
}

/// Serves a file until dropped, as a requestor does.
async fn serve_file(session: &mut BusSession, file: &Bytes) {
    loop {
        let request = within(session.next()).await.unwrap();
        let answer = match request.component.as_str() {
            "GetMetadata" => Ok(BusValue::map([("fileSize", (file.len() as u64).into())])),
            "GetChunk" => {
                let number = |name| request.payload.get(name).and_then(BusValue::as_u64).unwrap();
                let offset = usize::try_from(number("offset")).unwrap();
                let end = (offset + usize::try_from(number("size")).unwrap()).min(file.len());
                if offset > file.len() {
                    Err(BusFault::new("ReadError", "past the end"))
                } else {
                    let content = BusValue::from(file.slice(offset..end));
                    Ok(BusValue::map([("offset", (offset as u64).into()), ("content", content)]))
                }
            }
            other => Err(BusFault::new("InternalError", other)),
        };
        assert!(session.reply(&request.id, answer).await);
    }
}

#[tokio::test]
async fn files_go_through_whole_over_both_transports() {
    let bus = Arc::new(Bus::default());
    let (_served, clients) = both(bus.router()).await;
    let mut rng = fastrand::Rng::with_seed(9);
    let file: Bytes = (0..3_000_000).map(|_| rng.u8(..)).collect();
    for (n, (name, client)) in clients.into_iter().enumerate() {
        let on = format!("/public/gftp/{n}");
        let mut session = client.serve_bus(listen(&on)).await.unwrap();
        assert_eq!(session.address(), on);
        assert_eq!(bus.bound.lock().unwrap()[n]["components"], json!(["GetMetadata", "GetChunk"]));
        assert_eq!(bus.subprotocols.lock().unwrap()[n].as_deref(), Some("gsb+flexbuffers"), "{name}");
        let service = bus.service(session.services().as_str());
        let provider = async {
            let size = service.ask("m", "GetMetadata", BusValue::map::<&str>([])).await.unwrap();
            assert_eq!(size.get("payload").unwrap().get("fileSize").unwrap().as_u64(), Some(3_000_000));
            // All chunks are asked for at once, and one of them is big.
            let mut asked = Vec::new();
            let (mut at, mut sizes) = (0, vec![1_048_576_u64]);
            while at < file.len() as u64 {
                let size = sizes.pop().unwrap_or(40_960);
                let chunk = BusValue::map([("offset", at.into()), ("size", size.into())]);
                asked.push(service.ask(&format!("c{at}"), "GetChunk", chunk));
                at += size;
            }
            let mut got = Vec::new();
            for answer in asked {
                let answer = answer.await.unwrap();
                let payload = answer.get("payload").unwrap();
                assert_eq!(payload.get("offset").unwrap().as_u64(), Some(got.len() as u64));
                assert!(matches!(payload.get("content"), Some(BusValue::Bytes(_))));
                got.extend(payload.get("content").unwrap().to_bytes().unwrap());
            }
            assert!(got == file, "{name}: the file differs");
            let chunk = BusValue::map([("offset", 9_000_000_u64.into()), ("size", 1_u64.into())]);
            let answer = service.ask("past", "GetChunk", chunk).await.unwrap();
            assert_eq!(answer.get("error"), Some(&BusValue::map([("ReadError", "past the end".into())])));
            assert_eq!(answer.get("payload"), None);
        };
        tokio::select! {
            () = within(provider) => {}
            () = serve_file(&mut session, &file) => unreachable!(),
        }
        session.close().await.unwrap();
        assert!(bus.services.lock().unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn uploads_may_come_as_bytes_or_as_numbers() {
    #[derive(Serialize)]
    struct Chunk {
        offset: u64,
        content: Vec<u8>,
    }
    #[derive(Serialize)]
    struct Payload {
        chunk: Chunk,
    }
    #[derive(Serialize)]
    struct Frame {
        id: &'static str,
        component: &'static str,
        payload: Payload,
    }
    let bus = Arc::new(Bus::default());
    let mut session = in_process(bus.router()).serve_bus(listen("/public/up")).await.unwrap();
    let service = bus.service(session.services().as_str());
    let content: Vec<u8> = (0..40_960_u32).map(|n| (n % 253).to_le_bytes()[0]).collect();
    let numbers = Frame {
        id: "n",
        component: "UploadChunk",
        payload: Payload { chunk: Chunk { offset: 7, content: content.clone() } },
    };
    let first = service.ask_raw("n", flexbuffers::to_vec(&numbers).unwrap().into());
    let chunk = BusValue::map([("offset", 7_u64.into()), ("content", content.clone().into())]);
    let second = service.ask("b", "UploadChunk", BusValue::map([("chunk", chunk)]));
    for answer in [first, second] {
        let request = within(session.next()).await.unwrap();
        let chunk = request.payload.get("chunk").unwrap();
        assert_eq!(chunk.get("offset").unwrap().as_u64(), Some(7));
        assert_eq!(chunk.get("content").unwrap().to_bytes().unwrap(), content);
        assert!(session.reply(&request.id, Ok(BusValue::Null)).await);
        // The daemon wants a payload even when there is nothing to say.
        assert_eq!(within(answer).await.unwrap().get("payload"), Some(&BusValue::Null));
        assert!(!session.reply(&request.id, Ok(BusValue::Null)).await, "a request is answered once");
    }
}

#[tokio::test]
async fn a_malformed_request_fails_only_itself() {
    let bus = Arc::new(Bus::default());
    let mut session = in_process(bus.router()).serve_bus(listen("/public/x")).await.unwrap();
    let service = bus.service(session.services().as_str());
    let _garbage = service.ask_raw("g", Bytes::from_static(b"\x01\x02\xff\xff"));
    let headless = service.ask_raw("h", BusValue::map([("id", BusValue::from("h"))]).encode());
    let _good = service.ask("good", "GetMetadata", BusValue::Null);
    assert_eq!(within(session.next()).await.unwrap().id, "good");
    let refused = within(headless).await.unwrap();
    assert!(refused.get("error").unwrap().get("InternalError").is_some());
}

#[tokio::test]
async fn a_broken_socket_is_opened_again_and_late_answers_are_dropped() {
    let bus = Arc::new(Bus::default());
    let (_served, clients) = both(bus.router()).await;
    for (n, (name, client)) in clients.into_iter().enumerate() {
        let mut session = patient(&client).serve_bus(listen(&format!("/public/{n}"))).await.unwrap();
        let service = bus.service(session.services().as_str());
        let lost = service.ask("lost", "GetMetadata", BusValue::Null);
        let request = within(session.next()).await.unwrap();
        service.cut.notify_one();
        assert!(within(lost).await.is_err(), "{name}: the daemon drops what waits");
        // Asked while no WebSocket is there.
        let kept = service.ask("kept", "GetMetadata", BusValue::Null);
        assert_eq!(within(session.next()).await.unwrap().id, "kept", "{name}");
        assert!(!session.reply(&request.id, Ok(BusValue::Null)).await, "{name}: nobody waits for it");
        assert!(session.reply("kept", Ok(BusValue::UInt(1))).await, "{name}");
        assert_eq!(within(kept).await.unwrap().get("payload"), Some(&BusValue::UInt(1)), "{name}");
        assert_eq!(*service.sockets.lock().unwrap(), 2, "{name}");
        session.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_daemon_that_has_lost_the_services_gets_them_again() {
    let bus = Arc::new(Bus::default());
    let client = patient(&in_process(bus.router()));
    let mut session = client.serve_bus(listen("/public/x")).await.unwrap();
    let before = bus.service(session.services().as_str());
    bus.services.lock().unwrap().clear();
    before.cut.notify_one();
    let provider = async {
        let bound = async {
            while bus.services.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        within(bound).await;
        let service = bus.service("_public_x");
        within(service.ask("after", "GetMetadata", BusValue::Null)).await
    };
    let requestor = async {
        assert_eq!(within(session.next()).await.unwrap().id, "after");
        assert!(session.reply("after", Ok(BusValue::Null)).await);
    };
    let ((), answer) = tokio::join!(requestor, provider);
    answer.unwrap();
    assert_eq!(bus.bound.lock().unwrap().len(), 2);
    // Closing a session that the daemon doesn't know any more is no error.
    bus.services.lock().unwrap().clear();
    session.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_never_holds_is_given_up_after_the_policys_time() {
    let bus = Arc::new(Bus::default());
    let mut session = in_process(bus.router()).serve_bus(listen("/public/x")).await.unwrap();
    let service = bus.service(session.services().as_str());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            service.cut.notify_one();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let begun = tokio::time::Instant::now();
    let error = session.next().await.unwrap_err();
    assert_eq!(error.disposition(), yagna_client::Disposition::Retry, "{error:?}");
    assert!(begun.elapsed() <= Duration::from_secs(31), "{:?}", begun.elapsed());
    assert!((8..200).contains(&bus.subprotocols.lock().unwrap().len()));
    // After the error it may be tried once more, and works when the trouble is over.
    tasks.shutdown().await;
    let service = bus.service("_public_x");
    let _answer = service.ask("at last", "GetMetadata", BusValue::Null);
    assert_eq!(session.next().await.unwrap().id, "at last");
}

#[tokio::test]
async fn many_sessions_serve_at_the_same_time() {
    let bus = Arc::new(Bus::default());
    let (_served, clients) = both(bus.router()).await;
    let mut tasks = JoinSet::new();
    for n in 0..60 {
        let (_, client) = &clients[n % 2];
        let (client, bus) = (client.clone(), bus.clone());
        tasks.spawn(async move {
            let mut session = client.serve_bus(listen(&format!("/public/{n}"))).await.unwrap();
            let service = bus.service(session.services().as_str());
            for id in 0..20 {
                let answer = service.ask(&id.to_string(), "GetChunk", BusValue::UInt(id));
                let request = within(session.next()).await.unwrap();
                assert!(session.reply(&request.id, Ok(request.payload)).await);
                let answer = within(answer).await.unwrap();
                assert_eq!(answer.get("payload").unwrap().as_u64(), Some(id));
            }
            session.close().await.unwrap();
        });
    }
    tasks.join_all().await;
    assert!(bus.services.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_plain_socket_carries_frames_both_ways_and_tells_why_it_was_closed() {
    async fn echo(mut socket: WebSocket) {
        socket.send(Message::Ping(Bytes::from_static(b"p"))).await.unwrap();
        while let Some(Ok(message)) = socket.recv().await {
            match message {
                Message::Binary(frame) if frame.is_empty() => {
                    let frame = CloseFrame { code: 1008, reason: "enough".into() };
                    socket.send(Message::Close(Some(frame))).await.unwrap();
                }
                Message::Binary(frame) => {
                    let text = format!("{frame:?}");
                    socket.send(Message::Text(text.into())).await.unwrap();
                }
                Message::Pong(pong) => socket.send(Message::Binary(pong)).await.unwrap(),
                _ => {}
            }
        }
    }
    let router =
        Router::new().route("/tcp", get(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) }));
    let (_served, clients) = both(router).await;
    for (name, client) in clients {
        let mut socket = client.socket("open a socket", "/tcp", None).await.unwrap();
        // The ping was answered without our doing.
        assert_eq!(within(socket.next()).await.unwrap().unwrap(), "p", "{name}");
        socket.send(Bytes::from_static(b"hi")).await.unwrap();
        assert_eq!(within(socket.next()).await.unwrap().unwrap(), "b\"hi\"", "{name}");
        socket.send(Bytes::new()).await.unwrap();
        assert!(within(socket.next()).await.is_none(), "{name}");
        assert_eq!(socket.close_reason(), Some((1008, "enough")), "{name}");
        let error = client.socket("open a socket", "/nowhere", None).await.unwrap_err();
        assert!(error.is_not_found(), "{name}");
    }
}
