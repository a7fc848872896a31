//! One connection into a network: bytes, frames, pings, pace, and every way to fail.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use golem_sdk::reach::{Pacing, ReachError, TunnelConfig, TunnelEnd, connect, connect_with};
use golem_sdk::{AppKey, NetworkId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::bytes;
use crate::ground::{Ground, client, until, within};
use crate::strict::{BINARY, CLOSE, PING, PONG, Strict};

const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn large_random_bodies_go_both_ways_at_once_and_arrive_whole() {
    let mut ground = Ground::new().await;
    let place = ground
        .serve("far", async |stream| {
            let (mut from, mut to) = stream.into_split();
            tokio::join!(bytes::send(&mut to, 1, 10 * MIB), bytes::expect(&mut from, 2, 10 * MIB));
            bytes::send(&mut to, 3, 5).await;
            bytes::expect(&mut from, 4, 1).await;
        })
        .await;
    let target = &place.target;
    let tunnel = within(connect(&ground.client, &target.network, target.ip, target.port)).await.unwrap();
    assert_eq!(tunnel.target(), target.address());
    let (mut from, mut to) = tokio::io::split(tunnel);
    within(async { tokio::join!(bytes::expect(&mut from, 1, 10 * MIB), bytes::send(&mut to, 2, 10 * MIB)) })
        .await;
    within(bytes::expect(&mut from, 3, 5)).await;
    assert_eq!(from.unsplit(to).end(), None);
}

/// The daemon doesn't pass the client's end on: the far side gets what was sent, and learns of the end when it sends.
#[tokio::test]
async fn the_far_side_gets_all_bytes_and_no_end_of_a_client_that_closes() {
    let mut ground = Ground::new().await;
    let (heard, mut hearing) = tokio::sync::mpsc::channel(1);
    let place = ground
        .serve("far", move |mut stream| {
            let heard = heard.clone();
            async move {
                bytes::expect(&mut stream, 1, MIB).await;
                let told = tokio::time::timeout(Duration::from_secs(1), stream.read_u8()).await.is_ok();
                // The connection ends by this.
                while stream.write_all(b"hello?").await.is_ok() {}
                heard.send(told).await.unwrap();
            }
        })
        .await;
    let target = &place.target;
    let mut tunnel = within(connect(&ground.client, &target.network, target.ip, target.port)).await.unwrap();
    within(bytes::send(&mut tunnel, 1, MIB)).await;
    within(tunnel.shutdown()).await.unwrap();
    drop(tunnel);
    assert!(!within(hearing.recv()).await.unwrap(), "the far side was told of the end");
}

#[tokio::test]
async fn writes_are_cut_into_frames_that_the_daemon_takes() {
    let mut strict = Strict::open(&TunnelConfig::default()).await;
    within(bytes::send(&mut strict.tunnel, 5, 3 * MIB + 17)).await;
    until("all bytes came", || strict.received() == 3 * MIB + 17).await;
    let frames = strict.frames.lock().unwrap().clone();
    let data: Vec<_> = frames.iter().filter(|frame| frame.kind == BINARY).collect();
    assert!(data.iter().all(|frame| frame.is_last && frame.payload.len() <= 65_536));
    assert_eq!(data.len() + frames.iter().filter(|frame| frame.kind == PING).count(), frames.len());
    let all: Vec<u8> = data.iter().flat_map(|frame| frame.payload.clone()).collect();
    within(bytes::expect(&mut all.as_slice(), 5, 3 * MIB + 17)).await;
}

#[tokio::test]
async fn a_flush_waits_until_the_bytes_have_left() {
    let mut strict = Strict::open(&TunnelConfig::default()).await;
    within(strict.tunnel.write_all(&vec![7; 200_000])).await.unwrap();
    within(strict.tunnel.shutdown()).await.unwrap();
    let error = strict.tunnel.write_all(&[8]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe, "writing is over");
    let (frames, send) = (strict.frames.clone(), strict.send.clone());
    drop(strict.tunnel);
    until("all bytes came", || {
        frames.lock().unwrap().iter().map(|frame| frame.payload.len()).sum::<usize>() >= 200_000
    })
    .await;
    drop(send);
}

/// The daemon drops a client that it hasn't heard for ten seconds.
#[tokio::test]
async fn pings_are_answered_and_sent_whether_or_not_anybody_reads() {
    let strict = Strict::open(&TunnelConfig::default().buffer(1000).patience(Duration::from_secs(60))).await;
    within(strict.send.send((PING, b"are you there".to_vec()))).await.unwrap();
    until("the ping was answered", || strict.count(PONG) == 1).await;
    for _ in 0..3 {
        within(strict.send.send((BINARY, vec![0; 1000]))).await.unwrap();
    }
    until("the client pings though nobody reads", || strict.count(PING) >= 2).await;
    assert_eq!(strict.tunnel.end(), None);
}

#[tokio::test]
async fn a_reader_that_is_stuck_loses_the_connection_and_is_told_why() {
    let patience = Duration::from_millis(300);
    let mut strict = Strict::open(&TunnelConfig::default().buffer(64 * 1024).patience(patience)).await;
    for _ in 0..4 {
        within(strict.send.send((BINARY, vec![9; 60_000]))).await.unwrap();
    }
    until("it is given up", || strict.tunnel.end().is_some()).await;
    assert!(matches!(strict.tunnel.end(), Some(TunnelEnd::Stuck { .. })));
    let mut read = Vec::new();
    let error = within(strict.tunnel.read_to_end(&mut read)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("its reader on this machine has taken nothing for 0.3s"), "{error}");
    assert_eq!(read, vec![9; 120_000], "what came before is still there");
    assert_eq!(within(strict.tunnel.write_all(&[1])).await.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_slow_reader_keeps_the_connection() {
    let patience = Duration::from_secs(2);
    let mut strict = Strict::open(&TunnelConfig::default().buffer(1000).patience(patience)).await;
    for piece in 0..20_u8 {
        within(strict.send.send((BINARY, vec![piece; 2000]))).await.unwrap();
    }
    // In all it takes longer than the patience, and no pause does.
    for piece in 0..20_u8 {
        tokio::time::sleep(patience / 10).await;
        let mut read = vec![0; 2000];
        within(strict.tunnel.read_exact(&mut read)).await.unwrap();
        assert_eq!(read, vec![piece; 2000]);
    }
    assert_eq!(strict.tunnel.end(), None);
}

#[tokio::test]
async fn a_cut_connection_is_a_reset_and_a_closed_one_an_end() {
    let mut cut = Strict::open(&TunnelConfig::default()).await;
    within(cut.send.send((BINARY, b"last words".to_vec()))).await.unwrap();
    drop(cut.send);
    let mut read = Vec::new();
    let error = within(cut.tunnel.read_to_end(&mut read)).await.unwrap_err();
    assert_eq!(read, b"last words");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(error.to_string().contains("192.168.0.2:80 was reset"), "{error}");

    let mut closed = Strict::open(&TunnelConfig::default()).await;
    within(closed.send.send((BINARY, b"bye".to_vec()))).await.unwrap();
    within(closed.send.send((CLOSE, 1000_u16.to_be_bytes().to_vec()))).await.unwrap();
    let mut read = Vec::new();
    within(closed.tunnel.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read, b"bye");
    assert_eq!(within(closed.tunnel.write_all(&[1])).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn writes_keep_to_the_pace_that_clones_share() {
    let config = TunnelConfig::default().pacing(Pacing::new(100_000, 1_000_000));
    let began = Instant::now();
    let (mut first, mut second) = tokio::join!(Strict::open(&config), Strict::open(&config));
    within(async {
        tokio::join!(bytes::send(&mut first.tunnel, 1, 300_000), bytes::send(&mut second.tunnel, 2, 300_000))
    })
    .await;
    // A frame of each may be on its way before the pause for it.
    assert!(began.elapsed() >= Duration::from_millis(350), "{:?}", began.elapsed());
    until("all bytes came", || first.received() + second.received() == 600_000).await;
}

#[tokio::test]
async fn each_refusal_is_told_in_words() {
    let mut ground = Ground::new().await;
    let ip = ground.member().await;
    let error = connect(&ground.client, &ground.network, ip, 80).await.unwrap_err();
    assert!(matches!(error, ReachError::Refused { .. }), "{error:?}");
    assert!(error.is_passing());
    assert!(error.to_string().starts_with("nothing listens on 192.168.0.2:80: "), "{error}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");

    let nobody = Ipv4Addr::new(192, 168, 0, 77);
    let error = within(connect(&ground.client, &ground.network, nobody, 80)).await.unwrap_err();
    assert!(matches!(error, ReachError::NoAnswer { .. }), "{error:?}");
    assert!(error.to_string().contains("not a member of the network"), "{error}");

    let error = connect(&ground.client, &NetworkId::new("other"), ip, 80).await.unwrap_err();
    assert!(matches!(error, ReachError::UnknownNetwork { .. }), "{error:?}");
    assert!(!error.is_passing());
    assert!(error.to_string().contains("forgets all networks when it restarts"), "{error}");
    // A requestor without any network gets another answer from the daemon.
    let stranger = client(&ground.url, &ground.world.add_requestor("stranger").key);
    let error = connect(&stranger, &ground.network, ip, 80).await.unwrap_err();
    assert!(matches!(error, ReachError::UnknownNetwork { .. }), "{error:?}");

    for (ip, port) in [(ip, 0), (Ipv4Addr::LOCALHOST, 80), (Ipv4Addr::UNSPECIFIED, 80)] {
        let error = connect(&ground.client, &ground.network, ip, port).await.unwrap_err();
        assert!(matches!(error, ReachError::Invalid { .. }), "{error:?}");
    }
    let keyless = client(&ground.url, &AppKey::new("wrong"));
    let error = connect(&keyless, &ground.network, ip, 80).await.unwrap_err();
    assert!(matches!(&error, ReachError::Daemon { source, .. } if source.is_unauthorised()), "{error:?}");
    let gone = client("http://127.0.0.1:1", &ground.requestor.key);
    let error = connect_with(&gone, &ground.network, ip, 80, &TunnelConfig::default()).await.unwrap_err();
    assert!(matches!(&error, ReachError::Daemon { source, .. } if source.is_unreachable()), "{error:?}");
    assert!(error.is_passing());
}
