//! Calls: what goes over the wire, what is repeated, when it ends.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use yagna_api::identity::GetMe;
use yagna_api::market::{ListAgreements, NewDemand, Subscribe};
use yagna_api::{DemandId, Endpoint, Properties, Request};
use yagna_client::{ClientError, Disposition, RetryPolicy, TransportError};

use crate::double::{Fate, Harmless, Scripted, Takes, Twice};
use crate::served::{KEY, Served, both, in_process, over_http};

type Seen = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

async fn record(State(seen): State<Seen>, uri: Uri, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    seen.lock().unwrap().push((uri.to_string(), headers, body));
    (StatusCode::CREATED, r#""d1""#)
}

#[tokio::test]
async fn requests_arrive_the_same_over_both_transports() {
    let seen = Seen::default();
    let (_served, clients) = both(Router::new().fallback(record).with_state(seen.clone())).await;
    let demand = NewDemand { properties: Properties::default(), constraints: "()".into() };
    for (name, client) in clients {
        let id = client.call(&Subscribe(demand.clone())).await.unwrap();
        assert_eq!(id, DemandId::new("d1"), "{name}");
        let (uri, headers, body) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(uri, "/market-api/v1/demands", "{name}");
        assert_eq!(headers["authorization"], format!("Bearer {KEY}"), "{name}");
        assert_eq!(headers["accept"], "application/json", "{name}");
        assert_eq!(headers["content-type"], "application/json", "{name}");
        assert_eq!(body, Subscribe(demand.clone()).request().body.unwrap(), "{name}");
        // Queries keep their encoding to the letter.
        let list = ListAgreements {
            after: Some("2026-11-21T21:17:19.355800123Z".parse().unwrap()),
            session: Some(yagna_api::AppSessionId::new("a b+c")),
            ..ListAgreements::default()
        };
        drop(client.call(&list).await);
        let (uri, headers, body) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(uri, list.request().path, "{name}");
        assert!(!headers.contains_key("content-type") && body.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_path_in_the_address_goes_before_every_request() {
    let seen = Seen::default();
    let served = Served::start(Router::new().fallback(record).with_state(seen.clone())).await;
    for base in ["/yagna", "/yagna/", "/yagna?x=1#y"] {
        let client = over_http(&format!("http://user:pass@{}{base}", served.address));
        assert_eq!(client.address(), format!("{}/yagna", served.url()));
        client.call(&Harmless).await.unwrap();
        let (uri, headers, _) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(uri, "/yagna/probe", "{base}");
        assert_eq!(headers.get_all("authorization").iter().count(), 1);
    }
    for bad in ["ftp://127.0.0.1/", "unix:/run/yagna.sock"] {
        let problem = yagna_client::HttpTransport::new(&bad.parse().unwrap(), &crate::served::key());
        assert!(matches!(problem, Err(yagna_client::SetupError::Address(_))), "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_repeated_depends_on_what_a_second_sending_would_do() {
    use Fate::{Lost, Status, Unreachable};
    // How often each kind of request is sent when it meets this first and a good answer then.
    let table = [
        (Unreachable, 2, 2, 2),
        (Lost, 2, 2, 1),
        (Status(429), 2, 2, 2),
        (Status(503), 2, 2, 2),
        (Status(500), 2, 2, 1),
        (Status(502), 2, 2, 1),
        (Status(400), 1, 1, 1),
        (Status(401), 1, 1, 1),
        (Status(404), 1, 1, 1),
        (Status(408), 1, 1, 1),
        (Status(409), 1, 1, 1),
        (Status(410), 1, 1, 1),
        (Status(504), 1, 1, 1),
    ];
    for (fate, harmless, takes, twice) in table {
        let daemon = Scripted::new([fate, Status(200)]);
        drop(daemon.client().call(&Harmless).await);
        assert_eq!(daemon.sent(), harmless, "harmless after {fate:?}");
        let daemon = Scripted::new([fate, Status(200)]);
        drop(daemon.client().call(&Takes).await);
        assert_eq!(daemon.sent(), takes, "takes after {fate:?}");
        let daemon = Scripted::new([fate, Status(200)]);
        drop(daemon.client().call(&Twice).await);
        assert_eq!(daemon.sent(), twice, "twice after {fate:?}");
        let daemon = Scripted::new([fate, Status(200)]);
        assert!(daemon.client().call_once(&Harmless).await.is_err());
        assert_eq!(daemon.sent(), 1, "once after {fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn repeating_ends_after_the_policys_time_with_the_last_error() {
    let daemon = Scripted::new([Fate::Lost, Fate::Lost, Fate::Status(503)]);
    let begun = Instant::now();
    let error = daemon.client().call(&Harmless).await.unwrap_err();
    assert_eq!(error.api().unwrap().status, 503);
    assert!(begun.elapsed() <= Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!((8..100).contains(&daemon.sent()), "{}", daemon.sent());
    // The same seed waits the same times.
    let again = Scripted::new([Fate::Lost, Fate::Lost, Fate::Status(503)]);
    let (first, begun) = (begun.elapsed(), Instant::now());
    drop(again.client().call(&Harmless).await);
    assert_eq!((again.sent(), begun.elapsed()), (daemon.sent(), first));
    // A client that never repeats, and one that does for ever.
    let daemon = Scripted::new([Fate::Lost]);
    drop(daemon.client().with_retry(RetryPolicy::NEVER).call(&Harmless).await);
    assert_eq!(daemon.sent(), 1);
    let stubborn = RetryPolicy { total: Duration::MAX, ..RetryPolicy::default() };
    let daemon = Scripted::new(std::iter::repeat_n(Fate::Unreachable, 5000).chain([Fate::Status(200)]));
    daemon.client().with_retry(stubborn).call(&Twice).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_frozen_daemon_is_not_waited_for() {
    let daemon = Scripted::new([Fate::Never]);
    let begun = Instant::now();
    let error = daemon.client().call(&Harmless).await.unwrap_err();
    let waited = Duration::from_secs(15);
    assert!(matches!(error, ClientError::TimedOut { waited: told, .. } if told == waited), "{error:?}");
    assert_eq!((begun.elapsed(), daemon.sent()), (waited, 1));
    assert_eq!(error.to_string(), "could not probe the daemon: no answer within 15s");
    // A deadline of the caller's holds for all attempts together.
    let daemon = Scripted::new([Fate::Lost, Fate::Lost, Fate::Never]);
    let begun = Instant::now();
    let deadline = Duration::from_secs(2);
    let error = daemon.client().call_within(&Harmless, deadline).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { waited, .. } if waited == deadline), "{error:?}");
    assert_eq!((begun.elapsed(), daemon.sent()), (deadline, 3));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_callers_deadline() {
    let daemon = Scripted::new([Fate::Lost]);
    let begun = Instant::now();
    let deadline = Duration::from_secs(2);
    let error = daemon.client().call_within(&Harmless, deadline).await.unwrap_err();
    // The last error says more than that the time is up.
    assert!(matches!(error, ClientError::Transport { .. }), "{error:?}");
    assert!(begun.elapsed() <= deadline && daemon.sent() > 2);
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let ports = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let seen = ports.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = over_http(&format!("http://{}", listener.local_addr().unwrap()));
    let router = Router::new().fallback(
        move |axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<std::net::SocketAddr>| async move {
            seen.lock().unwrap().insert(peer.port());
        },
    );
    let mut tasks = JoinSet::new();
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    tasks.spawn(async move { axum::serve(listener, service).await.unwrap() });
    for _ in 0..50 {
        client.call(&Twice).await.unwrap();
    }
    assert_eq!(ports.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn tls_is_tried_where_the_address_asks_for_it() {
    let served = Served::start(Router::new().fallback(|| async {})).await;
    let client = over_http(&format!("https://{}", served.address)).with_retry(RetryPolicy::NEVER);
    let error = client.call(&Harmless).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    let error = client.socket("open a socket", "/x", None).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_from_one_that_was_never_made() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            // Takes the request, and answers half of it.
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
        }
    });
    let hasty = RetryPolicy {
        first: Duration::from_millis(1),
        most: Duration::from_millis(1),
        total: Duration::from_millis(50),
    };
    let client = over_http(&url).with_retry(hasty);
    let error = client.call(&Twice).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Transport { source: TransportError::Lost { .. }, .. }),
        "{error:?}"
    );
    assert!(!error.is_unreachable());
    assert_eq!(accepted.load(Ordering::SeqCst), 1, "a request with effects isn't repeated");
    assert!(client.call(&Harmless).await.is_err());
    assert!(accepted.load(Ordering::SeqCst) > 2, "a harmless one is");
    tasks.shutdown().await;
    let error = client.call(&Twice).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert_eq!(error.disposition(), Disposition::Retry);
    assert_eq!(chain(&error)[..2], ["could not probe the daemon".to_owned(), format!("no daemon at {url}")]);
}

#[tokio::test]
async fn errors_know_what_they_are_and_say_everything_once() {
    let table: [(u16, &str, Disposition); 12] = [
        (401, "Invalid application key", Disposition::UserMustAct),
        (400, r#"{"type":"/x/validation-error","detail":"no funds"}"#, Disposition::UserMustAct),
        (400, r#"{"message":"Json deserialize error: x"}"#, Disposition::Bug),
        (413, "too large", Disposition::Bug),
        (400, r#"{"message":"Can't react to own Proposal"}"#, Disposition::GiveUpOnThis),
        (404, r#"{"message":null}"#, Disposition::GiveUpOnThis),
        (409, "", Disposition::GiveUpOnThis),
        (410, "", Disposition::GiveUpOnThis),
        (408, r#"{"message":"Timeout"}"#, Disposition::Retry),
        (503, "", Disposition::Retry),
        (500, r#"{"message":"GSB error: endpoint address not found"}"#, Disposition::GiveUpOnThis),
        (200, "not json", Disposition::Bug),
    ];
    for (status, body, disposition) in table {
        let status = StatusCode::from_u16(status).unwrap();
        let router = Router::new().fallback(move || async move { (status, body) });
        let client = in_process(router).with_retry(RetryPolicy::NEVER);
        let error = client.call(&GetMe).await.unwrap_err();
        assert_eq!(error.disposition(), disposition, "{status} {body}");
        assert_eq!(error.is_unauthorised(), status == 401);
        assert_eq!(error.is_not_found(), status == 404);
        assert_eq!(error.is_gone(), status == 410);
        let chain = chain(&error);
        for (at, words) in chain.iter().enumerate() {
            assert!(!chain[at + 1..].iter().any(|source| words.contains(source)), "{chain:?}");
        }
    }
}

pub(crate) fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut chain = vec![error.to_string()];
    let mut error = error;
    while let Some(source) = error.source() {
        chain.push(source.to_string());
        error = source;
    }
    chain
}

#[tokio::test]
async fn a_call_that_is_dropped_drops_its_handler() {
    struct Guard(mpsc::Sender<&'static str>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.try_send("dropped").unwrap();
        }
    }
    let (events, mut told) = mpsc::channel(4);
    let router = Router::new().fallback(move || {
        let events = events.clone();
        async move {
            events.send("begun").await.unwrap();
            let _guard = Guard(events);
            std::future::pending::<()>().await;
        }
    });
    let (_served, clients) = both(router).await;
    for (name, client) in clients {
        {
            let call = client.call(&Harmless);
            let socket = client.socket("open a socket", "/socket", None);
            tokio::pin!(call, socket);
            for _ in 0..2 {
                tokio::select! {
                    answer = &mut call => panic!("{name}: {answer:?}"),
                    answer = &mut socket => panic!("{name}: {answer:?}"),
                    begun = told.recv() => assert_eq!(begun, Some("begun"), "{name}"),
                }
            }
        }
        for _ in 0..2 {
            let dropped = timeout(Duration::from_secs(10), told.recv()).await;
            assert_eq!(dropped, Ok(Some("dropped")), "{name}");
        }
    }
}

#[tokio::test]
async fn hundreds_of_calls_can_wait_at_the_same_time() {
    const CALLS: usize = 300;
    let barrier = Arc::new(tokio::sync::Barrier::new(CALLS));
    let router = Router::new().fallback(move || {
        let barrier = barrier.clone();
        // Answers only when all are there.
        async move {
            barrier.wait().await;
        }
    });
    let (_served, clients) = both(router).await;
    for (name, client) in clients {
        let mut calls = JoinSet::new();
        for _ in 0..CALLS {
            let client = client.clone();
            calls.spawn(async move { client.call(&Twice).await });
        }
        for answer in calls.join_all().await {
            assert!(answer.is_ok(), "{name}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_http_has_no_form_for_is_a_bug_and_not_sent() {
    struct Odd;
    impl Endpoint for Odd {
        type Answer = ();
        const NAME: &'static str = "send something odd";
        const REPEAT: yagna_api::Repeat = yagna_api::Repeat::Harmless;
        fn request(&self) -> Request {
            Request::get("/x").header("x-odd", "line\nbreak")
        }
        fn answer(&self, _: u16, _: &[u8]) -> Result<(), yagna_api::AnswerError> {
            panic!("it was sent")
        }
    }
    let (_served, clients) = both(Router::new()).await;
    for (name, client) in clients {
        let error = client.call(&Odd).await.unwrap_err();
        assert_eq!(error.disposition(), Disposition::Bug, "{name}: {error:?}");
    }
}
