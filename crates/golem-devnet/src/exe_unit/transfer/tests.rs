//! Files of every size over a bus that answers out of order, and over a web server on this machine.

use std::future::IntoFuture as _;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use yagna_api::ActivityId;
use yagna_api::activity::{Command, Outcome, Progress, ProgressArgs, RuntimeEventKind};

use super::super::testing::{FakePort, REQUESTOR, Stand, run};
use super::*;
use crate::runtime::{Deployment, ProcessRuntime, Runtime as _, ScriptedRuntime};

/// Empty, the edges of a chunk, of a read, and one of many chunks.
const SIZES: [usize; 8] =
    [0, 1, 40 * 1024 - 1, 40 * 1024, 40 * 1024 + 1, 64 * 1024 + 1, 9 * 40 * 1024, 20_000_003];

fn content(size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(size as u64);
    let mut bytes = vec![0; size];
    random.fill(&mut bytes);
    bytes
}

async fn instance() -> Arc<dyn Instance> {
    let instance = ScriptedRuntime::new().create(&ActivityId::new("a")).unwrap();
    instance.deploy(&Deployment::default()).await.unwrap();
    instance
}

async fn moved(instance: &Arc<dyn Instance>, port: &FakePort, from: &str, to: &str) -> Result<(), String> {
    let command = Transfer { from: from.to_owned(), to: to.to_owned(), ..Transfer::default() };
    let tell = |_: Progress| {};
    let done = transfer(&**instance, port, &command, &mut Meter::new(None, &tell)).await;
    done.map_err(|error| error.to_string())
}

fn stored(instance: &Arc<dyn Instance>, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    instance.open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn files_of_every_size_come_and_go_over_the_bus() {
    let (instance, port) = (instance().await, FakePort::default());
    for size in SIZES {
        let original = content(size);
        port.offered.lock().unwrap().insert("down".to_owned(), original.clone());
        port.received.lock().unwrap().clear();
        moved(&instance, &port, &format!("gftp://{REQUESTOR}/down"), "container:/golem/resource/f")
            .await
            .unwrap();
        assert!(stored(&instance, "/golem/resource/f") == original, "{size} bytes arrive");
        moved(&instance, &port, "container:/golem/resource/f", &format!("gftp://{REQUESTOR}/up"))
            .await
            .unwrap();
        assert!(port.received.lock().unwrap()["up"].content() == original, "{size} bytes are sent");
    }
    assert_eq!(*port.flight.most.lock().unwrap(), IN_FLIGHT, "many at once, but not too many");
}

#[tokio::test]
async fn a_shorter_file_replaces_a_longer_one() {
    let (instance, port) = (instance().await, FakePort::default());
    for size in [100_000, 10] {
        port.offered.lock().unwrap().insert("f".to_owned(), content(size));
        moved(&instance, &port, &format!("gftp://{REQUESTOR}/f"), "container:///golem/f").await.unwrap();
        assert_eq!(stored(&instance, "/golem/f").len(), size);
    }
    moved(&instance, &port, "container:/golem/f", "container:/golem/work/copy").await.unwrap();
    assert_eq!(stored(&instance, "/golem/work/copy"), content(10));
}

#[tokio::test]
async fn what_cannot_be_moved_says_why() {
    let (instance, port) = (instance().await, FakePort::default());
    instance.create("/golem/f").unwrap().write_all(b"x").unwrap();
    let up = &format!("gftp://{REQUESTOR}/up");
    for (from, to, words) in [
        ("container:/golem/none", up.as_str(), "`/golem/none` doesn't exist in the activity"),
        ("container:/golem", up, "not a regular file"),
        ("container:golem/f", up, "expected container:/path"),
        ("ftp://host/f", "container:/golem/g", "`ftp://host/f` is not a valid place for a file"),
        ("gftp://nobody/f", "container:/golem/g", "is not a valid place for a file"),
        (&format!("gftp://{REQUESTOR}/"), "container:/golem/g", "is not a valid place for a file"),
        (&format!("gftp://{REQUESTOR}/none"), "container:/golem/g", "endpoint address not found"),
        ("container:/golem/f", &format!("gftp://{REQUESTOR}/refusing"), "IntegrityError: wrong hash"),
        ("http://127.0.0.1:1/f", "container:/golem/g", "error sending request"),
    ] {
        let error = moved(&instance, &port, from, to).await.unwrap_err();
        assert!(error.contains(words), "{from} -> {to}: {error}");
    }
    let packed = Transfer {
        from: "container:/golem/f".to_owned(),
        to: up.clone(),
        format: Some("tar.gz".to_owned()),
        ..Transfer::default()
    };
    let tell = |_: Progress| {};
    let error = transfer(&*instance, &port, &packed, &mut Meter::new(None, &tell)).await.unwrap_err();
    assert!(error.to_string().contains("archives are not supported"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_read_to_its_end_is_brought_with_a_hash_that_fits_before_it_fails() {
    let (instance, port) = (instance().await, FakePort::default());
    let to = format!("gftp://{REQUESTOR}/up");
    for missing in ["container:/golem/none", "container:/golem"] {
        port.received.lock().unwrap().clear();
        moved(&instance, &port, missing, &to).await.unwrap_err();
        assert_eq!(port.received.lock().unwrap()["up"].content(), b"", "{missing}");
    }
    port.received.lock().unwrap().clear();
    let Place::Gftp(gftp) = place(&to, &port).unwrap() else { panic!("{to}") };
    let beginning = Bytes::from(content(100_000));
    let broken = TransferError::Io(std::io::Error::other("the disk is gone"));
    let source = stream::iter([Ok(beginning.clone()), Err(broken)]).boxed();
    let tell = |_: Progress| {};
    let error = gftp.upload(source, &mut Meter::new(None, &tell)).await.unwrap_err();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    assert_eq!(port.received.lock().unwrap()["up"].content(), beginning);
}

/// A server that has `/file`, takes `/put`, refuses `/refused`, and says 404 for the rest.
async fn web(file: Vec<u8>) -> (String, Arc<Mutex<Vec<u8>>>, AbortOnDropHandle<()>) {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let store = Arc::clone(&taken);
    let router = Router::new()
        .route("/file", get(move || async move { file }))
        .route(
            "/put",
            axum::routing::put(move |body: axum::body::Bytes| async move {
                *store.lock().unwrap() = body.to_vec();
            }),
        )
        .route("/refused", axum::routing::put(|_: axum::body::Bytes| async { http::StatusCode::FORBIDDEN }))
        .fallback(|| async { (http::StatusCode::NOT_FOUND, "no such page") })
        .layer(axum::extract::DefaultBodyLimit::disable());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let tasks = tokio_util::task::TaskTracker::new();
    let server = tasks.spawn(async move {
        axum::serve(listener, router).into_future().await.unwrap();
    });
    (url, taken, AbortOnDropHandle::new(server))
}

#[tokio::test]
async fn files_come_from_the_web_and_go_there() {
    let (instance, port) = (instance().await, FakePort::default());
    let original = content(3_000_001);
    let (url, taken, _server) = web(original.clone()).await;
    moved(&instance, &port, &format!("{url}/file"), "container:/golem/f").await.unwrap();
    assert!(stored(&instance, "/golem/f") == original);
    moved(&instance, &port, "container:/golem/f", &format!("{url}/put")).await.unwrap();
    assert!(*taken.lock().unwrap() == original);
    let refused = moved(&instance, &port, "container:/golem/f", &format!("{url}/refused")).await.unwrap_err();
    assert!(refused.contains("refused the file: status 403"), "{refused}");
    // The real exe-unit calls this a success, and so do we.
    moved(&instance, &port, &format!("{url}/none"), "container:/golem/g").await.unwrap();
    assert_eq!(stored(&instance, "/golem/g"), b"no such page");
}

#[tokio::test]
async fn a_script_moves_files_past_its_programs_and_tells_how_far_it_is() {
    let stand = Stand::ready(&ProcessRuntime::default()).await;
    let original = content(100_000);
    stand.port.offered.lock().unwrap().insert("in".to_owned(), original.clone());
    let command = |from: &str, to: &str| {
        Command::Transfer(Transfer {
            from: from.to_owned(),
            to: to.to_owned(),
            progress: Some(ProgressArgs { update_interval: None, update_step: Some(50_000) }),
            ..Transfer::default()
        })
    };
    let batch = stand
        .exec(vec![
            command(&format!("gftp://{REQUESTOR}/in"), "container:/golem/work/in"),
            run("/bin/sh", &["-c", "cat in in > out"]),
            command("container:/golem/work/out", &format!("gftp://{REQUESTOR}/out")),
            command("container:/golem/work/none", &format!("gftp://{REQUESTOR}/none")),
        ])
        .await;
    let results = stand.all(&batch).await;
    let outcomes: Vec<Outcome> = results.iter().map(|result| result.result).collect();
    assert_eq!(outcomes, [Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Error], "{results:?}");
    let message = results[3].message.as_deref().unwrap();
    assert_eq!(
        message,
        "Local service error: Transfer error: `/golem/work/none` doesn't exist in the activity"
    );
    assert!(stand.port.received.lock().unwrap()["out"].content() == original.repeat(2));
    let progress: Vec<(u64, (u64, Option<u64>))> = stand
        .events(&batch)
        .await
        .into_iter()
        .filter(|event| event.index == 0)
        .filter_map(|event| match event.kind {
            RuntimeEventKind::Progress(progress) => Some((progress.step.0, progress.progress)),
            _ => None,
        })
        .collect();
    assert_eq!(progress, [(0, (81_920, Some(100_000))), (1, (100_000, Some(100_000)))]);
    stand.unit.stop(None).await;
}

#[test]
fn chunks_are_full_however_pieces_come() {
    for piece in [1, 1000, 40 * 1024, 100_000] {
        let original = content(200_001);
        let mut chunker = Chunker::default();
        let mut chunks = Vec::new();
        for piece in original.chunks(piece) {
            chunker.push(Bytes::copy_from_slice(piece));
            while let Some(chunk) = chunker.next() {
                chunks.push(chunk);
            }
        }
        assert!(chunks.iter().all(|chunk| chunk.len() == 40 * 1024));
        chunks.push(chunker.rest());
        assert!(chunks.concat() == original);
    }
}

#[test]
fn answers_are_read_whichever_way_they_are_written() {
    let json = BusValue::Json(serde_json::json!({"fileSize": 7, "content": [1, 2, 255], "bad": [256]}));
    assert_eq!(field(&json, "fileSize").and_then(|size| whole(&size)), Some(7));
    assert_eq!(field(&json, "content").and_then(bytes), Some(Bytes::from_static(&[1, 2, 255])));
    assert_eq!(field(&json, "bad").and_then(bytes), None);
    assert_eq!(field(&json, "none"), None);
    assert_eq!(bytes(BusValue::Bytes(vec![1])), Some(Bytes::from_static(&[1])));
}
