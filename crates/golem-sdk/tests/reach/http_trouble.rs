//! The HTTP proxy where instances are missing, refuse, break off, are slow or speak an old protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use golem_devnet::node::{Faults, World};
use golem_sdk::reach::{HttpProxy, ProxyConfig, Target, Targets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::ground::{Ground, targets, until, within};
use crate::http::{browser, proxy, url};

/// The status and text of an answer.
async fn told(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = within(request.send()).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Reads the head of a request.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Cuts every WebSocket of the daemon, as it does with that of a connection that was reset.
fn cut(world: &World) {
    let faults: Faults = world.faults();
    faults.clear();
}

#[tokio::test]
async fn without_a_target_the_reason_is_told() {
    let ground = Ground::new().await;
    let targets = Targets::new();
    let proxy = proxy(&ground, &targets).await;
    let browser = browser();
    let (status, text) = told(browser.get(url(&proxy, "/"))).await;
    assert_eq!(
        (status, text.as_str()),
        (503, "503 Service Unavailable: no instance of the service is ready\n")
    );
    targets.why_none("web-1 is starting, for 20s so far");
    let response = within(browser.post(url(&proxy, "/")).body("x").send()).await.unwrap();
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(
        response.text().await.unwrap(),
        "503 Service Unavailable: web-1 is starting, for 20s so far\n"
    );
}

#[tokio::test]
async fn an_instance_that_refuses_is_passed_over_for_any_method() {
    let mut ground = Ground::new().await;
    let dead = ground.member().await;
    let web = ground.web("web-2", Router::new().route("/", any(async |text: String| text))).await;
    let targets = Targets::new();
    targets.set([Target::new("web-1", ground.network.clone(), dead, 80)]);
    let proxy = proxy(&ground, &targets).await;
    let browser = browser();
    let (status, text) = told(browser.get(url(&proxy, "/"))).await;
    assert_eq!(status, 502);
    assert!(text.contains("web-1 can't be reached: nothing listens on 192.168.0.2:80"), "{text}");
    targets.set([Target::new("web-1", ground.network.clone(), dead, 80), web.target.clone()]);
    for _ in 0..4 {
        assert_eq!(told(browser.post(url(&proxy, "/")).body("hello")).await, (200, "hello".to_owned()));
    }
    let large = "x".repeat(300_000);
    assert_eq!(told(browser.post(url(&proxy, "/")).body(large.clone())).await, (200, large));
}

/// A first request is broken off after its head; what follows depends on whether it may be repeated.
#[tokio::test]
async fn a_request_that_breaks_off_before_its_response_is_repeated_where_that_is_safe() {
    let mut ground = Ground::new().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let (world, count) = (ground.world.clone(), Arc::clone(&asked));
    let flaky = ground
        .serve("flaky", move |mut stream| {
            let (world, count) = (world.clone(), Arc::clone(&count));
            async move {
                let head = read_head(&mut stream).await;
                count.fetch_add(1, Ordering::SeqCst);
                if !head.is_empty() {
                    cut(&world);
                }
            }
        })
        .await;
    let good = ground.web("good", Router::new().route("/", any(async || "good"))).await;
    let browser = browser();
    let both = targets([&flaky, &good]);
    let proxy_of_both = proxy(&ground, &both).await;
    assert_eq!(told(browser.get(url(&proxy_of_both, "/"))).await, (200, "good".to_owned()));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it was asked first");
    let alone = proxy(&ground, &targets([&flaky])).await;
    let (status, text) = told(browser.post(url(&alone, "/")).body("pay")).await;
    assert_eq!(status, 502);
    assert!(text.contains("flaky (192.168.0.2:80) broke off before its response"), "{text}");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "nothing is paid twice");
    assert_eq!(told(browser.put(url(&alone, "/")).body("put")).await.0, 502);
    assert_eq!(asked.load(Ordering::SeqCst), 3, "there is nobody else to ask");
}

#[tokio::test]
async fn a_kept_connection_that_is_dead_costs_no_request() {
    let mut ground = Ground::new().await;
    let web = ground.web("web-1", Router::new().route("/", any(async || "here"))).await;
    let proxy = proxy(&ground, &targets([&web])).await;
    let browser = browser();
    assert_eq!(told(browser.get(url(&proxy, "/"))).await.1, "here");
    assert_eq!(told(browser.get(url(&proxy, "/"))).await.1, "here");
    assert_eq!(web.connections(), 1);
    cut(&ground.world);
    assert_eq!(told(browser.get(url(&proxy, "/"))).await.1, "here");
    assert_eq!(told(browser.post(url(&proxy, "/")).body("x")).await.1, "here");
    assert_eq!(web.connections(), 2);
}

#[tokio::test]
async fn a_response_that_takes_too_long_is_a_gateway_timeout() {
    let mut ground = Ground::new().await;
    let never = async || std::future::pending::<&'static str>().await;
    let web = ground.web("web-1", Router::new().route("/", get(never))).await;
    let config = ProxyConfig::default().response_timeout(Duration::from_millis(200));
    let targets = targets([&web]);
    let proxy = HttpProxy::bind_with(0, ground.client.clone(), targets.clone(), config).await.unwrap();
    let (status, text) = told(browser().get(url(&proxy, "/"))).await;
    assert_eq!(status, 504);
    assert!(text.contains("web-1 (192.168.0.2:80) has not begun its response within 0.2s"), "{text}");
    assert_eq!(targets.connections(&web.target), 0);
}

/// As a server of HTTP/1.0 that ends its response by closing the connection, which nobody hears of.
#[tokio::test]
async fn a_response_that_ends_by_closing_is_refused_in_words_or_cut() {
    let mut ground = Ground::new().await;
    let old = ground
        .serve("old", async |mut stream| {
            let head = read_head(&mut stream).await;
            let body = if head.starts_with("GET /long ") { 200_000 } else { 100 };
            stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-type: text/html\r\n\r\n").await.unwrap();
            stream.write_all(&vec![b'x'; body]).await.unwrap();
        })
        .await;
    let config = ProxyConfig::default().close_timeout(Duration::from_millis(500));
    let proxy = HttpProxy::bind_with(0, ground.client.clone(), targets([&old]), config).await.unwrap();
    let (status, text) = told(browser().get(url(&proxy, "/"))).await;
    assert_eq!(status, 504);
    assert!(text.contains("old (192.168.0.2:80) ends its response by closing the connection"), "{text}");
    assert!(text.contains("Content-Length"), "{text}");
    let response = within(browser().get(url(&proxy, "/long")).send()).await.unwrap();
    assert_eq!(response.status(), 200);
    within(response.bytes()).await.expect_err("what may not be whole isn't passed off as whole");
}

#[tokio::test]
async fn a_response_that_breaks_off_in_the_middle_is_no_whole_one() {
    let mut ground = Ground::new().await;
    let world = ground.world.clone();
    let broken = ground
        .serve("broken", move |mut stream| {
            let world = world.clone();
            async move {
                read_head(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
                // The client has seen these bytes once it says so by another connection.
                let mut next = [0];
                drop(stream.read(&mut next).await);
                cut(&world);
            }
        })
        .await;
    let targets = targets([&broken]);
    let proxy = proxy(&ground, &targets).await;
    let mut response = within(browser().get(url(&proxy, "/")).send()).await.unwrap();
    assert_eq!(within(response.chunk()).await.unwrap().unwrap(), "half");
    cut(&ground.world);
    within(response.chunk()).await.unwrap_err();
    until("it is over", || targets.connections(&broken.target) == 0).await;
}

#[tokio::test]
async fn what_isnt_for_a_reverse_proxy_is_refused() {
    let ground = Ground::new().await;
    let proxy = proxy(&ground, &Targets::new()).await;
    let ask = async |request: &str| {
        let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        drop(within(stream.read_to_string(&mut answer)).await);
        answer
    };
    let answer = ask("CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
    let answer = ask("this is not HTTP\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
