//! The HTTP proxy where all goes well.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use golem_sdk::reach::{HttpProxy, Targets};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::bytes::Pieces;
use crate::ground::{Ground, Place, targets, until, within};

const MIB: usize = 1024 * 1024;

pub(crate) async fn proxy(ground: &Ground, targets: &Targets) -> HttpProxy {
    HttpProxy::bind(0, ground.client.clone(), targets.clone()).await.unwrap()
}

pub(crate) fn browser() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

pub(crate) fn url(proxy: &HttpProxy, path: &str) -> String {
    format!("http://{}{path}", proxy.local_addr())
}

/// Answers with the request as the instance received it.
async fn seen(request: Request) -> String {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut headers: Vec<_> =
        parts.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
    headers.sort();
    let body = String::from_utf8(body.to_vec()).unwrap();
    format!("{} {} {:?}\n{}\n{body}", parts.method, parts.uri, parts.version, headers.concat())
}

async fn one_web(ground: &mut Ground, router: Router) -> (Place, HttpProxy) {
    let web = ground.web("web-1", router).await;
    let proxy = proxy(ground, &targets([&web])).await;
    (web, proxy)
}

#[tokio::test]
async fn requests_and_responses_pass_with_the_headers_that_belong_to_them() {
    let mut ground = Ground::new().await;
    let headers = [("x-own", "1"), ("connection", "x-private"), ("x-private", "2"), ("set-cookie", "a=b")];
    let router = Router::new()
        .route("/teapot", any(async move || (StatusCode::IM_A_TEAPOT, headers, "short and stout")))
        .route("/nothing", any(async || StatusCode::NO_CONTENT))
        .fallback(seen);
    let (web, proxy) = one_web(&mut ground, router).await;
    let browser = browser();
    let request = browser.put(url(&proxy, "/a/b?c=d%20e")).body("text");
    let text = within(request.header("x-own", "yes").send()).await.unwrap().text().await.unwrap();
    let host = proxy.local_addr();
    let expected = format!(
        "PUT /a/b?c=d%20e HTTP/1.1\naccept: */*\nconnection: keep-alive\ncontent-length: 4\nhost: {host}\nx-forwarded-for: \
         127.0.0.1\nx-forwarded-host: {host}\nx-forwarded-proto: http\nx-own: yes\n\ntext"
    );
    assert_eq!(text, expected);
    let response = within(browser.get(url(&proxy, "/teapot")).send()).await.unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["x-own"], "1");
    assert_eq!(response.headers()["set-cookie"], "a=b");
    assert!(!response.headers().contains_key("x-private"));
    assert_eq!(response.text().await.unwrap(), "short and stout");
    let response = within(browser.head(url(&proxy, "/teapot")).send()).await.unwrap();
    assert_eq!(response.headers()["content-length"], "15");
    assert_eq!(within(browser.get(url(&proxy, "/nothing")).send()).await.unwrap().status(), 204);
    assert_eq!(web.connections(), 1, "one connection carried all of it");
}

#[tokio::test]
async fn an_old_client_is_served_too() {
    let mut ground = Ground::new().await;
    let (web, proxy) = one_web(&mut ground, Router::new().fallback(seen)).await;
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    stream.write_all(b"GET /old HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!("host: {}\n", web.target.address())), "{answer}");
    assert!(answer.contains("GET /old HTTP/1.1"), "{answer}");
}

/// Both bodies are far larger than any buffer, and the response is on its way before the request has ended.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_stream_both_ways_at_once_and_arrive_whole() {
    let mut ground = Ground::new().await;
    let (result, mut results) = mpsc::channel(1);
    let handler = async move |request: Request| {
        let declared = request.headers().get("content-length").cloned();
        let (pieces, read) = mpsc::channel::<Vec<u8>>(4);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut body = request.into_body().into_data_stream();
            let mut expected = Pieces::new(1, 6 * MIB).flatten();
            while let Some(piece) = body.next().await {
                assert!(piece.unwrap().iter().all(|byte| expected.next() == Some(*byte)));
            }
            assert_eq!(expected.next(), None);
            result.send(declared).await.unwrap();
        });
        tasks.spawn(async move {
            for piece in Pieces::new(2, 6 * MIB) {
                pieces.send(piece).await.unwrap();
            }
        });
        tasks.detach_all();
        let stream = futures_util::stream::unfold(read, async |mut read| Some((read.recv().await?, read)));
        Body::from_stream(stream.map(Ok::<_, std::convert::Infallible>))
    };
    let (_web, proxy) = one_web(&mut ground, Router::new().route("/both", post(handler))).await;
    let upload = futures_util::stream::iter(Pieces::new(1, 6 * MIB)).map(Ok::<_, std::io::Error>);
    let request = browser().post(url(&proxy, "/both")).body(reqwest::Body::wrap_stream(upload));
    let response = within(request.send()).await.unwrap();
    assert_eq!(response.headers().get("content-length"), None);
    let mut expected = Pieces::new(2, 6 * MIB).flatten();
    let mut stream = response.bytes_stream();
    while let Some(piece) = within(stream.try_next()).await.unwrap() {
        assert!(piece.iter().all(|byte| expected.next() == Some(*byte)));
    }
    assert_eq!(expected.next(), None);
    assert_eq!(within(results.recv()).await.unwrap(), None, "the request was chunked");
}

#[tokio::test]
async fn a_response_is_passed_on_as_it_comes() {
    let mut ground = Ground::new().await;
    let (pieces, read) = mpsc::channel::<&'static str>(4);
    let read = Arc::new(tokio::sync::Mutex::new(Some(read)));
    let handler = async move || {
        let read = read.lock().await.take().unwrap();
        let stream = futures_util::stream::unfold(read, async |mut read| Some((read.recv().await?, read)));
        (
            [("content-type", "text/event-stream")],
            Body::from_stream(stream.map(Ok::<_, std::convert::Infallible>)),
        )
    };
    let (_web, proxy) = one_web(&mut ground, Router::new().route("/events", get(handler))).await;
    let response = within(browser().get(url(&proxy, "/events")).send()).await.unwrap();
    let mut stream = response.bytes_stream();
    for piece in ["data: one\n\n", "data: two\n\n"] {
        pieces.send(piece).await.unwrap();
        assert_eq!(within(stream.try_next()).await.unwrap().unwrap(), piece);
    }
    drop(pieces);
    assert_eq!(within(stream.try_next()).await.unwrap(), None);
}

#[tokio::test]
async fn a_websocket_is_carried_and_counts_as_a_connection() {
    let mut ground = Ground::new().await;
    let handler = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            socket.send(Message::Text("welcome".into())).await.unwrap();
            while let Some(Ok(message)) = socket.recv().await {
                if matches!(message, Message::Text(_) | Message::Binary(_))
                    && socket.send(message).await.is_err()
                {
                    return;
                }
            }
        })
    };
    let web = ground.web("web-1", Router::new().route("/socket", any(handler))).await;
    let targets = targets([&web]);
    let proxy = proxy(&ground, &targets).await;
    let url = format!("ws://{}/socket", proxy.local_addr());
    let (mut socket, response) = within(tokio_tungstenite::connect_async(url)).await.unwrap();
    assert_eq!(response.status(), 101);
    let next = async |socket: &mut tokio_tungstenite::WebSocketStream<_>| {
        within(socket.next()).await.unwrap().unwrap().into_data()
    };
    assert_eq!(next(&mut socket).await, "welcome");
    for piece in Pieces::new(3, MIB / 2) {
        socket.send(piece.clone().into()).await.unwrap();
        assert_eq!(next(&mut socket).await, piece);
    }
    assert_eq!(targets.connections(&web.target), 1);
    drop(socket);
    until("the connection ended", || proxy.connections() == 0).await;
    assert_eq!(targets.connections(&web.target), 0);
}

#[tokio::test]
async fn the_least_busy_instance_answers_and_a_removed_one_drains() {
    let mut ground = Ground::new().await;
    let gate = Arc::new(Notify::new());
    let named = |name: &'static str| {
        let gate = Arc::clone(&gate);
        let slow = async move || {
            gate.notified().await;
            name
        };
        Router::new().route("/", get(async move || name)).route("/slow", get(slow))
    };
    let a = ground.web("a", named("a")).await;
    let b = ground.web("b", named("b")).await;
    let targets = targets([&a]);
    let proxy = proxy(&ground, &targets).await;
    let browser = browser();
    let mut slow = JoinSet::new();
    slow.spawn(browser.get(url(&proxy, "/slow")).send());
    until("the slow one is under way", || targets.connections(&a.target) == 1).await;
    targets.set([a.target.clone(), b.target.clone()]);
    let ask = async || {
        let response = within(browser.get(url(&proxy, "/")).send()).await.unwrap();
        response.text().await.unwrap()
    };
    for _ in 0..5 {
        assert_eq!(ask().await, "b");
    }
    targets.set([b.target.clone()]);
    assert!(tokio::time::timeout(Duration::from_millis(50), targets.drained()).await.is_err());
    gate.notify_one();
    let response = within(slow.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(response.text().await.unwrap(), "a", "what a removed one was doing is finished");
    within(targets.drained()).await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let mut ground = Ground::new().await;
    let endless = async || {
        let stream = futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(vec![0_u8; 1000]));
        Body::from_stream(stream).into_response()
    };
    let web = ground.web("web-1", Router::new().route("/", get(endless))).await;
    let targets = targets([&web]);
    let proxy = proxy(&ground, &targets).await;
    let mut response = within(browser().get(url(&proxy, "/")).send()).await.unwrap();
    within(response.chunk()).await.unwrap().unwrap();
    assert_eq!(targets.connections(&web.target), 1);
    drop(response);
    until("nobody is asked any more", || targets.connections(&web.target) == 0).await;
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish_and_takes_no_more() {
    let mut ground = Ground::new().await;
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let slow = async move || {
        opened.notified().await;
        "done"
    };
    let web = ground.web("web-1", Router::new().route("/", get(slow))).await;
    let targets = targets([&web]);
    let proxy = proxy(&ground, &targets).await;
    let (address, asked) = (proxy.local_addr(), url(&proxy, "/"));
    let mut tasks = JoinSet::new();
    tasks.spawn(browser().get(asked).send());
    until("it is under way", || targets.connections(&web.target) == 1).await;
    let mut shutdown = JoinSet::new();
    shutdown.spawn(proxy.shutdown(Duration::from_secs(60)));
    until("no more are taken", || std::net::TcpStream::connect(address).is_err()).await;
    gate.notify_one();
    let response = within(tasks.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(response.text().await.unwrap(), "done");
    within(shutdown.join_next()).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_forwarded_address_is_the_clients() {
    let mut ground = Ground::new().await;
    let handler = async |headers: HeaderMap| headers["x-forwarded-for"].to_str().unwrap().to_owned();
    let (_web, proxy) = one_web(&mut ground, Router::new().route("/", get(handler))).await;
    let request = browser().get(url(&proxy, "/")).header("x-forwarded-for", "192.0.2.7");
    let text = within(request.send()).await.unwrap().text().await.unwrap();
    assert_eq!(text, "192.0.2.7, 127.0.0.1", "another proxy of this machine is believed");
}
