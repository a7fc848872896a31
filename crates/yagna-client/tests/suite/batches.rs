//! A batch's output as a stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use yagna_api::activity::{Output, RuntimeEventKind};
use yagna_api::{ActivityId, BatchId};
use yagna_client::{Client, ClientError, TransportError};

use crate::served::{both, in_process};

type Chunk = Result<&'static str, std::io::Error>;

/// A daemon that answers every request with what comes out of a channel.
fn streaming() -> (Router, mpsc::Sender<Chunk>) {
    let (sender, receiver) = mpsc::channel::<Chunk>(8);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let router = Router::new().fallback(move |uri: Uri, headers: HeaderMap| async move {
        assert_eq!(uri.path(), "/activity-api/v1/activity/a/exec/b");
        assert_eq!(headers["accept"], "text/event-stream");
        let chunks = stream::unfold(receiver, |receiver| async {
            let chunk = receiver.lock().await.recv().await?;
            Some((chunk.map(Bytes::from), receiver))
        });
        ([("content-type", "text/event-stream")], Body::from_stream(chunks))
    });
    (router, sender)
}

fn follow(
    client: &Client,
) -> impl futures_util::Stream<Item = Result<yagna_api::activity::RuntimeEvent, ClientError>> + Unpin {
    client.batch_events(ActivityId::new("a"), BatchId::new("b"))
}

const STARTED: &str = r#"{"batch_id":"b","index":0,"timestamp":"2026-11-21T21:17:19.355800","kind":{"started":{"command":{"run":{}}}}}"#;

#[tokio::test]
async fn events_come_as_they_are_sent_and_a_cut_ends_them() {
    for over in 0..2 {
        let (router, sender) = streaming();
        let (_served, clients) = both(router).await;
        let (name, client) = &clients[over];
        let mut events = follow(client);
        sender.send(Ok(":ping\nevent: runtime\nda")).await.unwrap();
        sender.send(Ok("ta: ")).await.unwrap();
        sender.send(Ok(STARTED)).await.unwrap();
        sender.send(Ok("\nid: 0\n\n")).await.unwrap();
        let event = within(events.next()).await.unwrap().unwrap();
        assert_eq!(event.timestamp, "2026-11-21T21:17:19.3558Z".parse().unwrap(), "{name}");
        assert!(matches!(event.kind, RuntimeEventKind::Started { .. }));
        // What isn't known is left out.
        sender
            .send(Ok("event: runtime\ndata: {\"batch_id\":\"b\",\"index\":0,\"timestamp\":\"2026-11-21T21:17:19\",\"kind\":{\"new\":1}}\n\n"))
            .await
            .unwrap();
        sender.send(Ok("event: other\ndata: {}\n\nevent: runtime\ndata: no json\n\n:ping\n")).await.unwrap();
        sender
            .send(Ok("event: runtime\ndata: {\"batch_id\":\"b\",\"index\":0,\"timestamp\":\"2026-11-21T21:17:20\",\"kind\":{\"stdout\":\"hi\"}}\n\n"))
            .await
            .unwrap();
        let event = within(events.next()).await.unwrap().unwrap();
        assert_eq!(event.kind, RuntimeEventKind::StdOut(Output::Text("hi".into())), "{name}");
        if over == 0 {
            sender.send(Err(std::io::Error::other("the exe-unit died"))).await.unwrap();
        } else {
            drop(sender);
        }
        let error = within(events.next()).await.unwrap().unwrap_err();
        assert!(
            matches!(&error, ClientError::Transport { source: TransportError::Lost { .. }, .. }),
            "{name}: {error:?}"
        );
        assert!(within(events.next()).await.is_none(), "{name}");
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("it comes in time")
}

/// A daemon whose stream pings and tells nothing, and whose polls are answered from a list, the last one for ever.
fn silent(polls: Vec<(StatusCode, Value)>) -> Router {
    let polls = Arc::new(Mutex::new(VecDeque::from(polls)));
    Router::new().fallback(move |headers: HeaderMap| {
        let polls = Arc::clone(&polls);
        async move {
            if headers["accept"] == "text/event-stream" {
                let pings = stream::unfold((), |()| async {
                    tokio::time::sleep(Duration::from_secs(15)).await;
                    Some((Ok::<_, Infallible>(Bytes::from(":ping\n")), ()))
                });
                return ([("content-type", "text/event-stream")], Body::from_stream(pings)).into_response();
            }
            let mut polls = polls.lock().unwrap();
            let (status, body) = if polls.len() > 1 { polls.pop_front().unwrap() } else { polls[0].clone() };
            (status, body.to_string()).into_response()
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_followed_as_long_as_its_batch_runs() {
    let done = json!([{
        "index": 0, "result": "Ok", "stdout": null, "stderr": null, "message": null, "isBatchFinished": true,
        "eventDate": "2026-11-21T21:17:19Z",
    }]);
    let running = (StatusCode::OK, json!([]));
    let client = in_process(silent(vec![running.clone(), running.clone(), (StatusCode::OK, done)]));
    let mut events = follow(&client);
    let begun = Instant::now();
    let error = events.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error:?}");
    assert_eq!(begun.elapsed(), Duration::from_secs(180), "each minute it is asked whether it still runs");
    assert!(events.next().await.is_none());

    let lost = json!({"message": "GSB error: Bad request: endpoint address not found"});
    let client = in_process(silent(vec![running, (StatusCode::INTERNAL_SERVER_ERROR, lost)]));
    let mut events = follow(&client);
    let error = events.next().await.unwrap().unwrap_err();
    assert!(error.api().is_some_and(yagna_api::ApiError::is_activity_lost), "{error:?}");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn what_is_no_stream_is_an_error_with_the_daemons_words() {
    let answers: [(Response, Option<u16>); 3] = [
        (
            (StatusCode::NOT_FOUND, json!({"message": "Not found: batch_id = b"}).to_string())
                .into_response(),
            Some(404),
        ),
        ((StatusCode::UNAUTHORIZED, "Invalid application key").into_response(), Some(401)),
        (([("content-type", "application/json")], "[]").into_response(), None),
    ];
    for (answer, status) in answers {
        let answer = Arc::new(Mutex::new(Some(answer)));
        let router = Router::new().fallback(move || {
            let answer = answer.lock().unwrap().take().unwrap();
            async move { Ok::<_, Infallible>(answer) }
        });
        let client = in_process(router);
        let mut events = follow(&client);
        let error = events.next().await.unwrap().unwrap_err();
        assert_eq!(error.api().map(|error| error.status), status, "{error:?}");
        assert!(events.next().await.is_none());
    }
}
