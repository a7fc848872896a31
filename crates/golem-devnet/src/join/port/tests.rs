//! The way to a daemon: what can be wrong with it, and how that is told.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::devnet::Devnet;
use crate::join::GsbAddress;
use crate::join::wire::{Body, Call, FULL, Hello, OK, PacketReader, Reply};

fn nowhere() -> GsbAddress {
    GsbAddress::Unix("/nowhere/bus.sock".into())
}

fn error(connected: Result<DaemonPort, JoinError>) -> String {
    let error = connected.unwrap_err();
    let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
    format!("{error}{cause}")
}

/// A bus that takes every usage report, and hands the reports out.
async fn bus(tasks: &mut JoinSet<()>) -> (GsbAddress, tokio::sync::mpsc::Receiver<Call>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = GsbAddress::Tcp(listener.local_addr().unwrap().to_string());
    let (told, calls) = tokio::sync::mpsc::channel(16);
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.into_split();
        let mut reader = PacketReader::new(reader);
        while let Ok(packet) = reader.next().await {
            let answer = match packet {
                Body::Hello(_) => Body::Hello(Hello::default()),
                Body::Call(call) => {
                    let data = message::write(&Ok::<(), ServiceError>(())).into();
                    let reply = Reply { request: call.request.clone(), code: OK, kind: FULL, data };
                    told.send(call).await.unwrap();
                    Body::Reply(reply)
                }
                _ => continue,
            };
            writer.write_all(&answer.into_frame()).await.unwrap();
        }
    });
    (address, calls)
}

async fn serve(tasks: &mut JoinSet<()>, router: Router) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

#[tokio::test]
async fn what_is_in_the_way_is_told() {
    let devnet = Devnet::builder().start().await.unwrap();
    let api = format!("http://{}", devnet.listen(([127, 0, 0, 1], 0).into()).await.unwrap());
    let key = devnet.requestor().key.clone();
    let at =
        |api: &str, key: &AppKey| DaemonAddress { api: api.to_owned(), gsb: nowhere(), key: key.clone() };

    let no_bus = error(DaemonPort::connect(at(&api, &key)).await);
    assert_eq!(
        no_bus,
        "the daemon's bus isn't reached at unix:/nowhere/bus.sock; set GSB_URL to where the daemon has it: \
         no connection"
    );
    let wrong_key = error(DaemonPort::connect(at(&api, &AppKey::new("wrong"))).await);
    assert_eq!(wrong_key, format!("the daemon at {api} refuses the app key"));
    assert!(!wrong_key.contains("wrong"), "no key in any text");
    for text in ["127.0.0.1:7465", "ftp://127.0.0.1", "http://me:pw@127.0.0.1", ""] {
        let wrong = error(DaemonPort::connect(at(text, &key)).await);
        assert_eq!(wrong, format!("`{text}` is not a valid address of a daemon: expected http://host:port"));
    }

    let mut tasks = JoinSet::new();
    let other = serve(&mut tasks, Router::new().route("/version/get", get(|| async { "hello" }))).await;
    let no_daemon = error(DaemonPort::connect(at(&other, &key)).await);
    assert!(
        no_daemon.starts_with(&format!("no daemon at {other}: it answers 200: the answer can't be read")),
        "{no_daemon}"
    );
    let old = r#"{"current": {"version": "0.12.3"}}"#;
    let old = serve(&mut tasks, Router::new().route("/version/get", get(move || async move { old }))).await;
    let too_old = error(DaemonPort::connect(at(&old, &key)).await);
    assert_eq!(too_old, "the daemon has version 0.12.3, and at least 0.15 is needed: install a newer yagna");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let nobody = error(DaemonPort::connect(at(&gone, &key)).await);
    assert!(nobody.starts_with(&format!("no daemon at {gone}: no answer: ")), "{nobody}");
    devnet.stop().await;
}

#[tokio::test]
async fn a_joined_port_knows_its_identity_and_reports_usage_on_the_bus() {
    let devnet = Devnet::builder().start().await.unwrap();
    let api = format!("http://{}/", devnet.listen(([127, 0, 0, 1], 0).into()).await.unwrap());
    let mut tasks = JoinSet::new();
    let (gsb, mut calls) = bus(&mut tasks).await;
    let key = devnet.requestor().key.clone();
    let port = DaemonPort::connect(DaemonAddress { api, gsb, key }).await.unwrap();
    let other = devnet.add_requestor("other");
    let second = port.with_key(&other.key).await.unwrap();
    assert_ne!(port.node(), second.node());
    let refused = port.with_key(&AppKey::new("wrong")).await.unwrap_err();
    assert!(matches!(refused, JoinError::Key { .. }));

    let usage = ActivityUsage { current_usage: Some(vec![1.0, 0.5]), timestamp: 3 };
    second.set_activity_usage(&ActivityId::new("act"), usage).await.unwrap();
    let call = calls.recv().await.unwrap();
    assert_eq!((call.caller.as_str(), call.address.as_str()), ("local", "/local/activity/SetActivityUsage"));
    assert_eq!(
        message::read::<serde_json::Value>(&call.data).unwrap(),
        serde_json::json!({"activityId": "act", "timeout": null,
                           "usage": {"currentUsage": [1.0, 0.5], "timestamp": 3}})
    );
    devnet.stop().await;
}

/// A daemon of a few answers.
async fn daemon(tasks: &mut JoinSet<()>, more: Router) -> DaemonPort {
    let me = serde_json::json!({"identity": "0xabcdef0123456789abcdef0123456789abcdef01"}).to_string();
    let version = serde_json::json!({"current": {"version": "0.17.6"}}).to_string();
    let router = more.route("/me", get(|| async { me })).route("/version/get", get(|| async { version }));
    let api = serve(tasks, router).await;
    let (gsb, _) = bus(tasks).await;
    DaemonPort::connect(DaemonAddress { api, gsb, key: AppKey::new("k") }).await.unwrap()
}

#[tokio::test]
async fn an_approval_whose_answer_was_lost_is_an_approval() {
    let agreement = serde_json::json!({
        "agreementId": "a1", "state": "Approved", "validTo": "2026-11-21T21:17:19Z",
        "timestamp": "2026-11-21T21:17:19Z",
        "demand": {"properties": {}, "constraints": "()", "demandId": "d", "timestamp": "2026-11-21T21:17:19Z",
                   "requestorId": "0xabcdef0123456789abcdef0123456789abcdef02"},
        "offer": {"properties": {}, "constraints": "()", "offerId": "o", "timestamp": "2026-11-21T21:17:19Z",
                  "providerId": "0xabcdef0123456789abcdef0123456789abcdef01"},
    });
    let cancelled = agreement.to_string().replace("Approved", "Cancelled");
    let refuse = || async { (StatusCode::GONE, r#"{"message":"no"}"#) };
    let approve = axum::routing::post(refuse);
    let mut tasks = JoinSet::new();
    let port = daemon(
        &mut tasks,
        Router::new()
            .route("/market-api/v1/agreements/a1/approve", approve.clone())
            .route("/market-api/v1/agreements/a1", get(move || async move { agreement.to_string() }))
            .route("/market-api/v1/agreements/a2/approve", approve)
            .route("/market-api/v1/agreements/a2", get(move || async move { cancelled })),
    )
    .await;
    assert_eq!(port.approve_agreement(&AgreementId::new("a1"), None).await, Ok(()));
    let late = port.approve_agreement(&AgreementId::new("a2"), None).await.unwrap_err();
    assert!(late.is_gone());
}

#[tokio::test]
async fn one_event_that_cant_be_read_spoils_only_itself() {
    let events = serde_json::json!([
        {"activityId": "x", "agreementId": "a", "eventDate": "2026-11-21T21:17:19Z", "eventType": {"Sing": {}}},
        {"activityId": "y", "agreementId": "a", "eventDate": "2026-11-21T21:17:20Z",
         "eventType": {"DestroyActivity": {}}},
    ])
    .to_string();
    let silence = || async { (StatusCode::REQUEST_TIMEOUT, r#"{"message":"Timeout"}"#) };
    let mut tasks = JoinSet::new();
    let port = daemon(
        &mut tasks,
        Router::new().route(
            "/activity-api/v1/events",
            get(move |query: axum::extract::RawQuery| async move {
                let from_the_beginning = query.0.unwrap_or_default().contains("afterTimestamp=1970");
                if from_the_beginning { Ok(events) } else { Err(silence().await) }
            }),
        ),
    )
    .await;
    let wait = Duration::from_secs(1);
    let seen = port.activity_events(Timestamp::UNIX_EPOCH, wait).await.unwrap();
    let seen: Vec<_> = seen.iter().map(|event| event.activity.as_str()).collect();
    assert_eq!(seen, ["y"]);
    let later = "2026-11-21T21:17:20Z".parse().unwrap();
    assert_eq!(port.activity_events(later, wait).await.map(|events| events.len()), Ok(0));
}

#[test]
fn versions_are_compared_as_numbers() {
    for (version, old) in [
        ("0.9.0", true),
        ("0.14.9", true),
        ("0.15.0", false),
        ("0.17.6", false),
        ("1.0", false),
        ("x", false),
    ] {
        assert_eq!(is_too_old(version), old, "{version}");
    }
}
