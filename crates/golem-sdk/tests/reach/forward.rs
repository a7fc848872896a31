//! Forwarded ports.

use std::time::Duration;

use golem_sdk::reach::{BindError, CarryPolicy, Forward, ForwardConfig, Target, Targets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bytes;
use crate::ground::{Ground, targets, until, within};

/// Longer than it takes on a busy machine that an answer comes.
const REST_OF_ANSWER: Duration = Duration::from_secs(3);

fn config() -> ForwardConfig {
    ForwardConfig::default().policy(CarryPolicy::default().after_last(REST_OF_ANSWER))
}

/// Says its name, and then what it hears.
async fn echo(mut stream: TcpStream, name: &str) {
    stream.write_all(name.as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    // The other end may go away at any time.
    drop(tokio::io::copy(&mut from, &mut to).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_are_shared_out_and_every_byte_arrives() {
    let mut ground = Ground::new().await;
    let a = ground.serve("a", |stream| echo(stream, "a")).await;
    let b = ground.serve("b", |stream| echo(stream, "b")).await;
    let targets = targets([&a, &b]);
    let forward = Forward::bind_with(0, ground.client.clone(), targets.clone(), config()).await.unwrap();
    assert!(forward.local_addr().ip().is_loopback());
    let mut clients = JoinSet::new();
    for seed in 0..20 {
        let address = forward.local_addr();
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let name = stream.read_u8().await.unwrap();
            bytes::send(&mut stream, seed, 100_000).await;
            bytes::expect(&mut stream, seed, 100_000).await;
            (name, stream)
        });
    }
    let held = within(clients.join_all()).await;
    assert_eq!(held.iter().filter(|(name, _)| *name == b'a').count(), 10, "the fewest connections win");
    assert_eq!((targets.connections(&a.target), targets.connections(&b.target)), (10, 10));
    assert_eq!(forward.connections(), 20);
    drop(held);
    until("all connections ended", || forward.connections() == 0).await;
    assert_eq!(targets.connections(&a.target), 0);
}

/// As `printf request | nc`: the client has sent everything, and the answer is still to come.
#[tokio::test]
async fn a_client_that_has_sent_everything_gets_its_answer_and_an_end() {
    let mut ground = Ground::new().await;
    let far = ground
        .serve("far", async |mut stream| {
            let mut request = [0; 7];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"answer to ").await.unwrap();
            stream.write_all(&request).await.unwrap();
        })
        .await;
    let forward = Forward::bind_with(0, ground.client.clone(), targets([&far]), config()).await.unwrap();
    let mut stream = TcpStream::connect(forward.local_addr()).await.unwrap();
    stream.write_all(b"request").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "answer to request");
}

/// A connection that carries nothing for long, such as an ssh session, stays open.
#[tokio::test]
async fn a_silent_connection_stays_open() {
    let mut ground = Ground::new().await;
    let far = ground.serve("far", |stream| echo(stream, "f")).await;
    let short = Duration::from_millis(100);
    let config = ForwardConfig::default().policy(CarryPolicy::default().after_last(short));
    let forward = Forward::bind_with(0, ground.client.clone(), targets([&far]), config).await.unwrap();
    let mut stream = TcpStream::connect(forward.local_addr()).await.unwrap();
    assert_eq!(within(stream.read_u8()).await.unwrap(), b'f');
    assert!(timeout(short * 8, stream.read_u8()).await.is_err(), "nothing comes, and no end either");
    stream.write_all(b"x").await.unwrap();
    assert_eq!(within(stream.read_u8()).await.unwrap(), b'x');
}

#[tokio::test]
async fn an_idle_connection_ends_after_the_policys_time() {
    let mut ground = Ground::new().await;
    let far = ground.serve("far", |stream| echo(stream, "f")).await;
    let config = ForwardConfig::default().policy(CarryPolicy::default().idle(Duration::from_millis(200)));
    let forward = Forward::bind_with(0, ground.client.clone(), targets([&far]), config).await.unwrap();
    let mut stream = TcpStream::connect(forward.local_addr()).await.unwrap();
    let mut heard = Vec::new();
    within(stream.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"f");
}

#[tokio::test]
async fn a_connection_waits_for_a_target_and_goes_past_one_that_refuses() {
    let mut ground = Ground::new().await;
    let nobody = ground.member().await;
    let far = ground.serve("far", |stream| echo(stream, "f")).await;
    let targets = Targets::new();
    let forward = Forward::bind(0, ground.client.clone(), targets.clone()).await.unwrap();
    let mut stream = TcpStream::connect(forward.local_addr()).await.unwrap();
    assert!(timeout(Duration::from_millis(100), stream.read_u8()).await.is_err());
    targets.set([Target::new("nobody", ground.network.clone(), nobody, 80), far.target.clone()]);
    assert_eq!(within(stream.read_u8()).await.unwrap(), b'f');
    for _ in 0..3 {
        let mut stream = TcpStream::connect(forward.local_addr()).await.unwrap();
        assert_eq!(within(stream.read_u8()).await.unwrap(), b'f');
    }
}

#[tokio::test]
async fn a_connection_that_nobody_takes_is_closed() {
    let mut ground = Ground::new().await;
    let nobody = ground.member().await;
    let targets = Targets::new();
    let config = ForwardConfig::default().wait(Duration::from_millis(50));
    let forward = Forward::bind_with(0, ground.client.clone(), targets.clone(), config).await.unwrap();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(forward.local_addr()).await.unwrap();
        let mut heard = Vec::new();
        within(stream.read_to_end(&mut heard)).await.unwrap();
        assert_eq!(heard, b"");
        targets.set([Target::new("nobody", ground.network.clone(), nobody, 80)]);
    }
}

#[tokio::test]
async fn a_port_that_cant_be_listened_at_is_told_with_its_remedy() {
    let ground = Ground::new().await;
    let bind = |at: std::net::SocketAddr| Forward::bind(at, ground.client.clone(), Targets::new());
    let forward = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = bind(forward.local_addr()).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("choose another local port"), "{error}");
    let error = bind("192.0.2.1:0".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, BindError::NotOurs { .. }), "{error:?}");
    let address = forward.local_addr();
    drop(forward);
    until("the port is free again", || std::net::TcpListener::bind(address).is_ok()).await;
}

#[tokio::test]
async fn a_shutdown_gives_open_connections_their_time_and_takes_no_new_ones() {
    let mut ground = Ground::new().await;
    let far = ground.serve("far", |stream| echo(stream, "f")).await;
    let quick = CarryPolicy::default().after_last(Duration::from_millis(100));
    let config = ForwardConfig::default().policy(quick);
    let bind = || Forward::bind_with(0, ground.client.clone(), targets([&far]), config.clone());
    let forward = bind().await.unwrap();
    let address = forward.local_addr();
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(within(stream.read_u8()).await.unwrap(), b'f');
    let mut shutdown = JoinSet::new();
    shutdown.spawn(forward.shutdown(Duration::from_secs(60)));
    until("no more are taken", || std::net::TcpStream::connect(address).is_err()).await;
    stream.write_all(b"x").await.unwrap();
    assert_eq!(within(stream.read_u8()).await.unwrap(), b'x');
    drop(stream);
    within(shutdown.join_next()).await.unwrap().unwrap();

    let forward = bind().await.unwrap();
    let mut stream = TcpStream::connect(forward.local_addr()).await.unwrap();
    assert_eq!(within(stream.read_u8()).await.unwrap(), b'f');
    within(forward.shutdown(Duration::from_millis(50))).await;
    let mut heard = Vec::new();
    drop(within(stream.read_to_end(&mut heard)).await);
    assert_eq!(heard, b"", "it was cut");
}
