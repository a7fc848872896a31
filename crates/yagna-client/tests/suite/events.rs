//! Streams of events: nothing lost, nothing repeated, whatever happens to the daemon and to the answers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response as Answer};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use yagna_api::payment::EventFilter;
use yagna_api::{AppSessionId, DemandId, Request, Timestamp};
use yagna_client::{
    Client, EventStream, InProcessTransport, Polled, Response, SocketAnswer, StreamAnswer, Transport,
    TransportError,
};

use crate::served::{Served, in_process, key};

/// A daemon that keeps events and answers polls as yagna does.
#[derive(Default)]
struct Keeper {
    kept: Mutex<Vec<Value>>,
    stored: Notify,
    queries: Mutex<Vec<(HashMap<String, String>, HeaderMap)>>,
}

impl Keeper {
    fn store(&self, event: Value) {
        self.kept.lock().unwrap().push(event);
        self.stored.notify_waiters();
    }

    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/payment-api/v1/invoiceEvents", get(poll))
            .route("/payment-api/v1/debitNoteEvents", get(poll))
            .route("/market-api/v1/agreementEvents", get(poll))
            .with_state(self.clone())
    }

    fn page(&self, after: Option<Timestamp>, max: usize) -> Vec<Value> {
        let kept = self.kept.lock().unwrap();
        let after = |event: &&Value| {
            let date: Option<Timestamp> = event["eventDate"].as_str().and_then(|date| date.parse().ok());
            date.is_none() || date > after
        };
        kept.iter().filter(after).take(max).cloned().collect()
    }
}

async fn poll(
    State(keeper): State<Arc<Keeper>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Json<Vec<Value>> {
    let wait = Duration::from_secs_f64(query["timeout"].parse().unwrap());
    let after = query.get("afterTimestamp").map(|after| after.parse().unwrap());
    let max = query.get("maxEvents").map_or(usize::MAX, |max| max.parse().unwrap());
    keeper.queries.lock().unwrap().push((query, headers));
    let end = Instant::now() + wait;
    loop {
        let stored = keeper.stored.notified();
        tokio::pin!(stored);
        stored.as_mut().enable();
        let page = keeper.page(after, max);
        if !page.is_empty() || timeout_at(end, stored).await.is_err() {
            return Json(page);
        }
    }
}

fn invoice(id: usize) -> Value {
    let date = Timestamp::from_microsecond(1_700_000_000_000_000 + i64::try_from(id).unwrap() * 7).unwrap();
    json!({"invoiceId": format!("i{id}"), "eventDate": date.to_string(), "eventType": "InvoiceReceivedEvent"})
}

fn agreement(id: usize) -> Value {
    let date = Timestamp::from_microsecond(1_700_000_000_000_000 + i64::try_from(id).unwrap() * 7).unwrap();
    json!({"agreementId": format!("a{id}"), "eventDate": date.to_string(), "eventType": "AgreementApprovedEvent"})
}

/// Loses requests, answers and patience on the way to a daemon.
#[derive(Debug)]
struct Rough {
    smooth: InProcessTransport,
    rng: Mutex<fastrand::Rng>,
}

impl Transport for Rough {
    fn address(&self) -> &'static str {
        "http://rough"
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let fate = self.rng.lock().unwrap().u32(0..10);
        async move {
            match fate {
                0 => Err(TransportError::Unreachable {
                    address: self.address().to_owned(),
                    source: "refused".into(),
                }),
                1 => Err(TransportError::lost("cut before")),
                2 => std::future::pending().await,
                3 => {
                    Ok(Response { status: 500, headers: HeaderMap::new(), body: "database is locked".into() })
                }
                4 => {
                    self.smooth.send(request).await?;
                    Err(TransportError::lost("cut after"))
                }
                _ => self.smooth.send(request).await,
            }
        }
        .boxed()
    }

    fn open_stream(&self, request: Request) -> BoxFuture<'_, Result<StreamAnswer, TransportError>> {
        self.smooth.open_stream(request)
    }

    fn open_socket(
        &self,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> BoxFuture<'_, Result<SocketAnswer, TransportError>> {
        self.smooth.open_socket(path, subprotocol)
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_comes_once_and_in_order_over_a_rough_connection() {
    const EVENTS: usize = 400;
    for seed in 0..8 {
        let keeper = Arc::new(Keeper::default());
        let rough = Rough {
            smooth: InProcessTransport::new(keeper.router(), &key()).unwrap(),
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
        };
        let client = Client::new(Arc::new(rough)).with_chance(fastrand::Rng::with_seed(seed));
        let mut invoices = client.invoice_events(EventFilter::default());
        let mut agreements = client.agreement_events(None, None);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut rng = fastrand::Rng::with_seed(seed + 100);
            let mut id = 0;
            while id < EVENTS {
                for _ in 0..rng.usize(1..150).min(EVENTS - id) {
                    let mut event = if id % 2 == 0 { invoice(id) } else { agreement(id) };
                    if id % 20 > 17 {
                        event["eventType"] = json!("SomethingNew");
                    }
                    keeper.store(event);
                    id += 1;
                }
                sleep(Duration::from_secs_f64(rng.f64() * 40.0)).await;
            }
        });
        // Both kinds are in one list here: to each stream, the other's events are unreadable ones.
        let (mut seen_invoices, mut odd, mut troubled, mut troubles) = (Vec::new(), 0, false, 0);
        while seen_invoices.len() + odd < EVENTS {
            match invoices.next().await.unwrap() {
                Polled::Event(event) => seen_invoices.push(event.invoice_id.to_string()),
                Polled::Unreadable(_) => odd += 1,
                Polled::Trouble { next_try_in, .. } => {
                    assert!((Duration::from_millis(50)..=Duration::from_secs(5)).contains(&next_try_in));
                    (troubled, troubles) = (true, troubles + 1);
                }
                Polled::Recovered => assert!(std::mem::take(&mut troubled), "recovered from nothing"),
                Polled::Gone(error) => panic!("{error:?}"),
            }
        }
        let readable = (0..EVENTS).filter(|id| id % 20 <= 17);
        let expected: Vec<_> = readable.clone().filter(|id| id % 2 == 0).map(|id| format!("i{id}")).collect();
        assert_eq!(seen_invoices, expected, "seed {seed}");
        assert!(troubles > 0, "seed {seed}");
        let (mut seen_agreements, mut odd) = (Vec::new(), 0);
        while seen_agreements.len() + odd < EVENTS {
            match agreements.next().await.unwrap() {
                Polled::Event(event) => seen_agreements.push(event.agreement_id.to_string()),
                Polled::Unreadable(_) => odd += 1,
                _ => {}
            }
        }
        let expected: Vec<_> = readable.filter(|id| id % 2 == 1).map(|id| format!("a{id}")).collect();
        assert_eq!(seen_agreements, expected, "seed {seed}");
        // And nothing comes after the last.
        for quiet in [
            next_event(&mut invoices).now_or_never().is_none(),
            next_event(&mut agreements).now_or_never().is_none(),
        ] {
            assert!(quiet, "seed {seed}");
        }
        let more = timeout(Duration::from_secs(600), next_event(&mut agreements)).await;
        assert!(more.is_err(), "seed {seed}: {more:?}");
    }
}

/// The next event or unreadable item.
async fn next_event<T: std::fmt::Debug>(stream: &mut EventStream<T>) -> Polled<T> {
    loop {
        match stream.next().await.unwrap() {
            Polled::Trouble { .. } | Polled::Recovered => {}
            other => return other,
        }
    }
}

#[tokio::test]
async fn a_stream_outlives_a_restarted_daemon() {
    let keeper = Arc::new(Keeper::default());
    let served = Served::start(keeper.router()).await;
    let mut stream = served.client().invoice_events(EventFilter::default());
    keeper.store(invoice(0));
    let first = within(stream.next()).await;
    assert!(matches!(first, Some(Polled::Event(event)) if event.invoice_id.as_str() == "i0"));
    let address = served.stop().await;
    keeper.store(invoice(1));
    let trouble = within(stream.next()).await;
    assert!(
        matches!(&trouble, Some(Polled::Trouble { error, .. }) if error.disposition() == yagna_client::Disposition::Retry),
        "{trouble:?}"
    );
    let _served = Served::start_again(address, keeper.router());
    loop {
        match within(stream.next()).await.unwrap() {
            Polled::Trouble { .. } => {}
            Polled::Recovered => break,
            other => panic!("{other:?}"),
        }
    }
    let second = within(stream.next()).await;
    assert!(matches!(second, Some(Polled::Event(event)) if event.invoice_id.as_str() == "i1"));
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("it comes in time")
}

#[tokio::test(start_paused = true)]
async fn polls_ask_for_what_the_daemon_needs_to_hear() {
    let keeper = Arc::new(Keeper::default());
    let client = in_process(keeper.router());
    keeper.store(invoice(3));
    let after: Timestamp = "2023-01-01T00:00:00Z".parse().unwrap();
    let filter = EventFilter {
        after: Some(after),
        session: Some(AppSessionId::new("s")),
        wait: Duration::ZERO,
        max: Some(1),
        requestor_events: Some(vec!["RECEIVED", "SETTLED"]),
    };
    let first = next_event(&mut client.invoice_events(filter.clone())).await;
    assert!(matches!(first, Polled::Event(_)));
    let (query, headers) = keeper.queries.lock().unwrap().pop().unwrap();
    assert_eq!(query["timeout"], "15");
    assert_eq!(query["afterTimestamp"], "2023-01-01T00:00:00Z");
    assert_eq!(query["appSessionId"], "s");
    // The daemon applies its limit before its filters: one page of others' events would hide ours for ever.
    assert!(!query.contains_key("maxEvents"));
    assert_eq!(headers["x-requestor-events"], "RECEIVED,SETTLED");
    let debit_note = next_event(&mut client.debit_note_events(filter)).await;
    assert!(matches!(debit_note, Polled::Unreadable(_)));
    let other = next_event(&mut client.agreement_events(None, Some(AppSessionId::new("s")))).await;
    assert!(matches!(other, Polled::Unreadable(_)));
    let (query, _) = keeper.queries.lock().unwrap().pop().unwrap();
    assert_eq!((query["maxEvents"].as_str(), query["appSessionId"].as_str()), ("100", "s"));
    assert!(!query.contains_key("afterTimestamp"));
}

/// A daemon whose answers to polls of demand `d` are written down.
fn demands(answers: impl IntoIterator<Item = (u16, Value)>) -> (Router, Arc<AtomicUsize>) {
    let answers: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(answers.into_iter().collect()));
    let polls = Arc::new(AtomicUsize::new(0));
    let count = polls.clone();
    let answer = move |Path(demand): Path<String>, Query(query): Query<HashMap<String, String>>| {
        assert_eq!((demand.as_str(), query["maxEvents"].as_str()), ("d", "100"));
        count.fetch_add(1, Ordering::SeqCst);
        let next = answers.lock().unwrap().pop_front();
        async move {
            match next {
                Some((status, body)) => (StatusCode::from_u16(status).unwrap(), Json(body)).into_response(),
                None => Answer::new("[]".into()),
            }
        }
    };
    (Router::new().route("/market-api/v1/demands/{d}/events", get(answer)), polls)
}

fn rejected(id: &str) -> Value {
    json!({"eventType": "ProposalRejectedEvent", "eventDate": "2026-11-21T21:17:19.820Z", "proposalId": id})
}

#[tokio::test(start_paused = true)]
async fn a_demand_that_is_gone_ends_its_stream_and_trouble_does_not() {
    let odd = json!({"eventType": "PropertyQueryEvent", "eventDate": "2026-11-21T21:17:19.820Z"});
    let (router, _) = demands([
        (200, json!([rejected("R-1"), odd, rejected("R-2")])),
        (500, json!({"message": "database is locked"})),
        (401, json!("Invalid application key")),
        (408, json!({"message": "Timeout"})),
        (200, json!([rejected("R-2")])),
        (404, json!({"message": "Subscription [d] expired."})),
    ]);
    let mut seen = Vec::new();
    let mut stream = in_process(router).demand_events(DemandId::new("d"));
    while let Some(polled) = stream.next().await {
        seen.push(match polled {
            Polled::Event(event) => {
                serde_json::to_value(&event).unwrap()["proposalId"].as_str().unwrap().to_owned()
            }
            Polled::Unreadable(item) => item.value["eventType"].as_str().unwrap().to_owned(),
            Polled::Trouble { error, .. } => format!("trouble {}", error.api().unwrap().status),
            Polled::Recovered => "recovered".to_owned(),
            Polled::Gone(error) => error.api().unwrap().message.clone(),
        });
    }
    let expected = [
        "R-1",
        "R-2",
        "PropertyQueryEvent",
        "trouble 500",
        "trouble 401",
        "recovered",
        // Taken from the queue twice, so it is two events.
        "R-2",
        "Subscription [d] expired.",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_polled_ahead_of_the_consumer() {
    let (router, polls) = demands((0..3).map(|_| (200, json!([rejected("R-1"), rejected("R-2")]))));
    let mut stream = in_process(router).demand_events(DemandId::new("d"));
    for (taken, polled) in [(0, 0), (1, 1), (1, 1), (1, 2), (1, 2), (1, 3)] {
        for _ in 0..taken {
            assert!(matches!(stream.next().await, Some(Polled::Event(_))));
        }
        sleep(Duration::from_secs(60)).await;
        assert_eq!(polls.load(Ordering::SeqCst), polled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_answers_nothing_at_once_is_not_asked_in_a_tight_loop() {
    let (router, polls) = demands([]);
    let mut stream = in_process(router).demand_events(DemandId::new("d"));
    assert!(timeout(Duration::from_secs(60), stream.next()).await.is_err());
    let polls = polls.load(Ordering::SeqCst);
    assert!((10..30).contains(&polls), "{polls}");
}
