//! Files there and back, and what becomes of them when something goes wrong.

use std::sync::Arc;

use futures_util::future::join_all;
use golem_sdk::Script;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;
use yagna_api::endpoint::json_answer;
use yagna_api::{AnswerError, Endpoint, Repeat, Request};
use yagna_client::{Client, ClientError, InProcessTransport};

use crate::provider::rent;
use crate::server::{PATIENCE, Stage};

/// Golem's exe-unit asks for so much at once.
const CHUNK: usize = 40 * 1024;

fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut content = vec![0; size];
    rng.fill(&mut content);
    content
}

fn name(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1
}

fn client(stage: &Stage) -> Client {
    let transport = InProcessTransport::new(stage.devnet.router(), &stage.devnet.requestor().key).unwrap();
    Client::new(Arc::new(transport))
}

/// A message to a served file, as any program of the network might send it.
struct Message<'a>(&'a str, &'a str, Value);

impl Endpoint for Message<'_> {
    type Answer = Value;
    const NAME: &'static str = "send a message";
    const REPEAT: Repeat = Repeat::Twice;

    fn request(&self) -> Request {
        let (node, name) = self.0.strip_prefix("gftp://").unwrap().split_once('/').unwrap();
        Request::post(format!("/_gsb/net/{node}/gftp/{name}/{}", self.1)).json(&self.2)
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<Value, AnswerError> {
        json_answer(status, body)
    }
}

async fn send(stage: &Stage, url: &str, component: &str, message: Value) -> Result<Value, ClientError> {
    client(stage).call(&Message(url, component, message)).await
}

#[tokio::test]
async fn files_of_every_size_go_there_and_back() {
    let stage = Stage::new(1).await;
    let mut running = JoinSet::new();
    let providers = rent(&stage, 1, &mut running).await;
    let mut gftp = stage.gftp();
    for (n, size) in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5_000_000].into_iter().enumerate() {
        let sent = content(size, 1);
        let from = gftp.publish(&stage.write(&format!("in{n}"), &sent)).await;
        let back = stage.path(&format!("deep/out{n}"));
        let to = gftp.receive(&back).await;
        providers[0].there_and_back(&from, &to).await.unwrap();
        // Complete as soon as the provider's command is.
        assert!(std::fs::read(&back).unwrap() == sent, "{size} bytes came back changed");
        assert_eq!((gftp.close(&from).await.as_str(), gftp.close(&to).await.as_str()), ("ok", "ok"));
    }
    let left: Vec<_> =
        std::fs::read_dir(stage.path("deep")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 6, "only the files themselves: {left:?}");
    gftp.get("shutdown", json!({})).await;
    assert_eq!(gftp.end().await, (Some(0), String::new()));
    stage.devnet.stop().await;
}

#[tokio::test]
async fn published_files_are_called_by_their_content_and_others_by_chance() {
    let stage = Stage::new(0).await;
    let mut gftp = stage.gftp();
    let node = &stage.devnet.requestor().node;
    // The hashes of nothing and of "abc", as NIST gives them.
    for (content, hash) in [
        ("", "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"),
        ("abc", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
    ] {
        let url = gftp.publish(&stage.write("file", content.as_bytes())).await;
        assert_eq!(url, format!("gftp://{node}/{hash}"));
    }
    let (first, second) = (gftp.receive(&stage.path("a")).await, gftp.receive(&stage.path("b")).await);
    assert_ne!(first, second);
    assert!(name(&first).len() == 65 && first.starts_with(&format!("gftp://{node}/")), "{first}");
    assert!(!stage.path("a").exists(), "nothing has come yet");
    gftp.hang_up();
    assert_eq!(gftp.end().await.0, Some(0));
    assert_eq!(std::fs::read_dir(stage.folder.path()).unwrap().count(), 1, "only `file` is left");
    stage.devnet.stop().await;
}

#[tokio::test]
async fn several_providers_fetch_the_same_file_at_once() {
    let stage = Stage::new(3).await;
    let mut running = JoinSet::new();
    let providers = rent(&stage, 3, &mut running).await;
    let mut gftp = stage.gftp();
    let sent = content(2_000_003, 2);
    let from = gftp.publish(&stage.write("in", &sent)).await;
    let mut back = Vec::new();
    for n in 0..3 {
        let path = stage.path(&format!("out{n}"));
        back.push((gftp.receive(&path).await, path));
    }
    let all = providers.iter().zip(&back).map(|(provider, (to, _))| provider.there_and_back(&from, to));
    for moved in join_all(all).await {
        moved.unwrap();
    }
    for (_, path) in &back {
        assert!(std::fs::read(path).unwrap() == sent, "{} came back changed", path.display());
    }
    stage.devnet.stop().await;
}

#[tokio::test]
async fn what_is_published_twice_is_served_until_it_is_closed_twice() {
    let stage = Stage::new(1).await;
    let mut running = JoinSet::new();
    let providers = rent(&stage, 1, &mut running).await;
    let mut gftp = stage.gftp();
    let first = stage.write("first", b"the same");
    let url = gftp.publish(&first).await;
    assert_eq!(gftp.publish(&stage.write("second", b"the same")).await, url);
    // The first one is written over: the second one still has what was published.
    std::fs::write(&first, b"else").unwrap();
    let to = gftp.receive(&stage.path("out")).await;
    providers[0].there_and_back(&url, &to).await.unwrap();
    assert_eq!(std::fs::read(stage.path("out")).unwrap(), b"the same");

    assert_eq!(gftp.close(&url).await, "ok");
    providers[0].transfer(&url, "container:/golem/work/file").await.unwrap();
    assert_eq!(gftp.close(&url).await, "ok");
    let error = providers[0].transfer(&url, "container:/golem/work/file").await.unwrap_err();
    assert!(error.contains("not found"), "{error}");
    assert_eq!(gftp.close(&url).await, "error");

    // And it can be published once more.
    assert_eq!(gftp.publish(&stage.path("second")).await, url);
    providers[0].transfer(&url, "container:/golem/work/file").await.unwrap();
    stage.devnet.stop().await;
}

#[tokio::test]
async fn the_same_content_of_two_processes_is_served_by_both() {
    let stage = Stage::new(1).await;
    let mut running = JoinSet::new();
    let providers = rent(&stage, 1, &mut running).await;
    let (mut one, mut other) = (stage.gftp(), stage.gftp());
    let path = stage.write("file", b"the same");
    let (first, second) = (one.publish(&path).await, other.publish(&path).await);
    assert_ne!(first, second);
    assert_eq!(other.publish(&path).await, second);
    for url in [&first, &second] {
        providers[0].transfer(url, "container:/golem/work/file").await.unwrap();
    }
    one.get("shutdown", json!({})).await;
    providers[0].transfer(&second, "container:/golem/work/file").await.unwrap();
    assert!(providers[0].transfer(&first, "container:/golem/work/file").await.is_err());
    stage.devnet.stop().await;
}

#[tokio::test]
async fn a_removed_file_is_still_served_and_a_shortened_one_is_a_read_error() {
    let stage = Stage::new(1).await;
    let mut running = JoinSet::new();
    let providers = rent(&stage, 1, &mut running).await;
    let mut gftp = stage.gftp();
    let path = stage.write("gone", b"removed");
    let gone = gftp.publish(&path).await;
    std::fs::remove_file(&path).unwrap();
    let to = gftp.receive(&stage.path("out")).await;
    providers[0].there_and_back(&gone, &to).await.unwrap();
    assert_eq!(std::fs::read(stage.path("out")).unwrap(), b"removed");

    let path = stage.write("short", b"shortened");
    let short = gftp.publish(&path).await;
    std::fs::write(&path, b"shor").unwrap();
    let error = providers[0].transfer(&short, "container:/golem/work/file").await.unwrap_err();
    assert!(error.contains("ReadError"), "{error}");
    stage.devnet.stop().await;
}

#[tokio::test]
async fn an_upload_with_a_wrong_hash_is_refused_and_may_be_repeated() {
    let stage = Stage::new(0).await;
    let mut gftp = stage.gftp();
    let path = stage.path("out");
    let url = gftp.receive(&path).await;
    let chunk = |offset: u64, bytes: &[u8]| json!({"chunk": {"offset": offset, "content": bytes}});
    let hash = "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532";
    let ok = json!({"Ok": null});
    assert_eq!(send(&stage, &url, "UploadChunk", chunk(2, b"x")).await.unwrap(), ok);
    assert_eq!(send(&stage, &url, "UploadChunk", chunk(0, b"ab")).await.unwrap(), ok);
    let refused = send(&stage, &url, "UploadFinished", json!({"hash": hash})).await.unwrap();
    assert!(refused["Err"].get("IntegrityError").is_some(), "{refused}");
    assert!(!path.exists());
    assert_eq!(send(&stage, &url, "UploadChunk", chunk(2, b"c")).await.unwrap(), ok);
    assert_eq!(send(&stage, &url, "UploadFinished", json!({"hash": hash})).await.unwrap(), ok);
    assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    // A place to hand in gives nothing out.
    assert!(send(&stage, &url, "GetMetadata", json!({})).await.is_err());
    stage.devnet.stop().await;
}

#[tokio::test]
async fn past_the_end_there_is_a_read_error() {
    let stage = Stage::new(0).await;
    let mut gftp = stage.gftp();
    let url = gftp.publish(&stage.write("file", b"abc")).await;
    assert_eq!(send(&stage, &url, "GetMetadata", json!({})).await.unwrap(), json!({"Ok": {"fileSize": 3}}));
    let refused = send(&stage, &url, "GetChunk", json!({"offset": 4, "size": 1})).await.unwrap();
    assert!(refused["Err"].get("ReadError").is_some(), "{refused}");
    let refused = send(&stage, &url, "GetChunk", json!({"size": 1})).await.unwrap();
    assert!(refused["Err"].get("ReadError").is_some(), "{refused}");
    stage.devnet.stop().await;
}

#[tokio::test]
async fn files_outlast_a_daemon_that_restarts() {
    let mut stage = Stage::new(1).await;
    let mut gftp = stage.gftp();
    let sent = content(100_000, 3);
    let from = gftp.publish(&stage.write("in", &sent)).await;
    let to = gftp.receive(&stage.path("out")).await;
    stage = stage.restart(1).await;
    let bound = async {
        // Until the files are bound again, nobody knows them.
        while send(&stage, &from, "GetMetadata", json!({})).await.is_err()
            || send(&stage, &to, "UploadChunk", json!({})).await.is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, bound).await.expect("the files are served again");
    let mut running = JoinSet::new();
    let providers = rent(&stage, 1, &mut running).await;
    providers[0].there_and_back(&from, &to).await.unwrap();
    assert!(std::fs::read(stage.path("out")).unwrap() == sent);
    assert_eq!(gftp.close(&from).await, "ok");
    stage.devnet.stop().await;
}

#[tokio::test]
async fn files_are_handed_in_by_upload_and_a_download_says_why_it_cannot_be() {
    let stage = Stage::new(0).await;
    let (mut gftp, mut other) = (stage.gftp(), stage.gftp());
    for size in [0, 1, CHUNK + 1] {
        let sent = content(size, 4);
        let file = stage.write("in", &sent);
        let url = gftp.receive(&stage.path("out")).await;
        let answer = other.get("upload", json!({"url": url, "file": file})).await;
        assert_eq!(answer, json!({"url": url, "file": file}));
        assert!(std::fs::read(stage.path("out")).unwrap() == sent, "{size}");
    }
    let url = gftp.publish(&stage.write("file", b"abc")).await;
    let (code, message) =
        other.fail("download", json!({"url": url, "output_file": stage.path("copy")})).await;
    assert!(code == -32000 && message.contains("can't pass a file's bytes on"), "{code} {message}");
    let url = gftp.publish(&stage.write("empty", b"")).await;
    other.get("download", json!({"url": url, "output_file": stage.path("copy")})).await;
    assert_eq!(std::fs::read(stage.path("copy")).unwrap(), b"");

    gftp.close(&url).await;
    for (method, field) in [("download", "output_file"), ("upload", "file")] {
        let (code, message) = other.fail(method, json!({"url": url, field: stage.path("file")})).await;
        assert!(code == -32000 && message.contains("not found"), "{message}");
        let wrong = json!({"url": "http://0x1/a", field: stage.path("file")});
        let (code, message) = other.fail(method, wrong).await;
        assert!(code == -32000 && message.contains("not a valid address of a file"), "{message}");
    }
    stage.devnet.stop().await;
}

#[tokio::test]
async fn a_script_may_move_a_published_file_before_it_runs() {
    let stage = Stage::new(1).await;
    let mut running = JoinSet::new();
    let providers = rent(&stage, 1, &mut running).await;
    let mut gftp = stage.gftp();
    let from = gftp.publish(&stage.write("in", b"hello")).await;
    let to = gftp.receive(&stage.path("out")).await;
    providers[0].transfer(&from, "container:/golem/work/in").await.unwrap();
    providers[0].run(Script::new().shell("tr a-z A-Z < /golem/work/in > /golem/work/out")).await.unwrap();
    providers[0].transfer("container:/golem/work/out", &to).await.unwrap();
    assert_eq!(std::fs::read(stage.path("out")).unwrap(), b"HELLO");
    stage.devnet.stop().await;
}
