//! Activities: the handshake, scripts and results, streams, and what a dead exe-unit looks like.

use std::time::Duration;

use axum::body::Body;
use golem_devnet::node::Delays;
use golem_devnet::port::{ActivityEventKind, Port as _};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::time::Instant;
use tower::ServiceExt as _;
use yagna_api::Timestamp;
use yagna_api::activity::{ActivityUsage, State};

use crate::kit::{FakeUnit, Net};

const BASE: &str = "/activity-api/v1/activity";

#[tokio::test(start_paused = true)]
async fn creation_waits_for_the_provider_and_answers_in_the_form_asked_for() {
    let net = Net::new();
    let agreement = net.rental().await;
    let id = net.activity(&agreement, FakeUnit::default()).await;
    assert_eq!(id.as_str().len(), 32);
    let create = net.post(BASE, json!({"agreementId": agreement, "requestorPubKey": "02ab"}));
    let serve = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let events = net.port.activity_events(Timestamp::MIN, Duration::ZERO).await.unwrap();
        net.set_state(&events[1].activity, State::Initialized, None).await;
    };
    let (reply, ()) = tokio::join!(create, serve);
    let second = reply.expect(200).json()["activityId"].as_str().unwrap().to_owned();
    let list = net.get(&format!("{BASE}?agreementId={agreement}")).await.expect(200).json();
    assert_eq!(list, json!([id, second]));
    assert_eq!(net.get(&format!("{BASE}/{id}/agreement")).await.expect(200).json(), json!(agreement));
    net.get(BASE).await.expect(400);
}

#[tokio::test(start_paused = true)]
async fn creation_and_destruction_are_looked_for_every_750_ms() {
    let net = Net::with(Delays { activity_poll: Duration::from_millis(750), ..Delays::none() });
    let agreement = net.rental().await;
    let began = Instant::now();
    let create = net.post(BASE, json!(agreement));
    let serve = async {
        let events = net.port.activity_events(Timestamp::MIN, Duration::from_secs(5)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        net.set_state(&events[0].activity, State::Initialized, None).await;
    };
    let (reply, ()) = tokio::join!(create, serve);
    reply.expect(200);
    assert_eq!(began.elapsed(), Duration::from_millis(750));
}

#[tokio::test(start_paused = true)]
async fn destruction_waits_and_may_be_repeated() {
    let net = Net::new();
    let agreement = net.rental().await;
    let id = net.activity(&agreement, FakeUnit::default()).await;
    let began = Instant::now();
    let path = format!("{BASE}/{id}");
    net.delete(&path).await.expect(408);
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    let destroy_path = format!("{path}?timeout=30");
    let end = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        net.port.unbind_exe_unit(&id).await;
        net.set_state(&id, State::Terminated, None).await;
    };
    let (reply, ()) = tokio::join!(net.delete(&destroy_path), end);
    assert_eq!(reply.expect(200).text, "null");
    assert_eq!(net.delete(&path).await.expect(200).text, "null");
    let events = net.port.activity_events(Timestamp::MIN, Duration::ZERO).await.unwrap();
    assert_eq!(events.len(), 3, "each call asks for it until it has ended");
    // A late report changes nothing of what has ended.
    net.set_state(&id, State::Ready, None).await;
    assert_eq!(net.get(&format!("{path}/state")).await.json(), json!({"state": ["Terminated", null]}));
}

#[tokio::test(start_paused = true)]
async fn scripts_go_to_the_exe_unit_and_results_come_back() {
    let net = Net::new();
    let agreement = net.rental().await;
    let id = net.activity(&agreement, FakeUnit::default()).await;
    let exec = format!("{BASE}/{id}/exec");
    for (text, message) in [
        (r#"[{"bogus":{}}]"#, "Bad request: Error(\"unknown variant `bogus`, expected one of"),
        (r#"["deploy"]"#, "Bad request: Error("),
        ("{}", "Bad request: Error("),
    ] {
        let reply = net.post(&exec, json!({"text": text})).await.expect(400);
        assert!(reply.message().starts_with(message), "{}", reply.text);
    }
    net.post(&exec, json!({"text": "[]"})).await.expect(200);
    let batch = net.post(&exec, json!({"text": r#"[{"deploy":{}},{"start":{}}]"#})).await.expect(200).id();
    assert_eq!(batch.len(), 32);
    let results = net.get(&format!("{exec}/{batch}?timeout=5")).await.expect(200).json();
    assert_eq!(results[0]["isBatchFinished"], true);
    assert_eq!(
        (&results[0]["stdout"], &results[0]["stderr"], &results[0]["message"]),
        (&json!("32"), &json!(null), &json!(null))
    );
    let began = Instant::now();
    net.get(&format!("{exec}/{batch}?timeout=3&commandIndex=9")).await.expect(408);
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    net.get(&format!("{exec}/{batch}?commandIndex=x")).await.expect(400);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_or_dead_exe_unit_is_told_from_a_living_one() {
    let net = Net::new();
    let agreement = net.rental().await;
    let id = net.activity(&agreement, FakeUnit { hangs: true }).await;
    let path = format!("{BASE}/{id}/exec/0");
    let began = Instant::now();
    assert_eq!(net.get(&format!("{path}?timeout=4")).await.expect(408).message(), "Timeout");
    assert_eq!(began.elapsed(), Duration::from_secs(5), "a second more than the exe-unit has");
    net.port.unbind_exe_unit(&id).await;
    net.set_state(&id, State::Terminated, Some("execution aborted")).await;
    for reply in [
        net.get(&format!("{path}?timeout=4")).await,
        net.post(&format!("{BASE}/{id}/exec"), json!({"text": "[]"})).await,
        net.get(&format!("{BASE}/{id}/command")).await,
    ] {
        let message = reply.expect(500).message();
        assert!(
            message.starts_with("GSB error: ") && message.ends_with("endpoint address not found"),
            "{message}"
        );
    }
    let state = net.get(&format!("{BASE}/{id}/state")).await.expect(200).json();
    assert_eq!(
        state,
        json!({"state": ["Terminated", null], "reason": "execution aborted", "errorMessage": "it broke"})
    );
    net.activity(&agreement, FakeUnit::default()).await;
}

#[tokio::test(start_paused = true)]
async fn usage_is_what_the_provider_reported() {
    let net = Net::new();
    let agreement = net.rental().await;
    let id = net.activity(&agreement, FakeUnit::default()).await;
    let path = format!("{BASE}/{id}/usage");
    assert_eq!(net.get(&path).await.expect(200).json(), json!({"timestamp": 1_767_225_600}));
    let usage = ActivityUsage { current_usage: Some(vec![1.5, 0.0]), timestamp: 1_767_225_601 };
    net.port.set_activity_usage(&id, usage.clone()).await.unwrap();
    let shown = json!({"currentUsage": [1.5, 0.0], "timestamp": 1_767_225_601});
    assert_eq!(net.get(&path).await.json(), shown);
    let stranger = net.world.add_provider("stranger");
    stranger.set_activity_usage(&id, ActivityUsage { current_usage: None, ..usage }).await.unwrap();
    assert_eq!(net.get(&path).await.json(), shown, "a stranger's word isn't heard");
    // The same through the bridge, as an exe-unit of a real daemon would.
    let key = net.world.add_key(&net.port.node(), "agent");
    let message =
        json!({"activityId": id, "usage": {"currentUsage": [2.0, 1.0], "timestamp": 1_767_225_602}});
    let line = "POST /_gsb/local/activity/SetActivityUsage";
    assert_eq!(net.call_as(key.expose(), line, Some(&message)).await.expect(200).json(), json!({"Ok": null}));
    assert_eq!(net.get(&path).await.json()["currentUsage"], json!([2.0, 1.0]));
    let reply = net.post("/_gsb/local/nothing/Here", json!({})).await.expect(500);
    assert_eq!(reply.text, "Bad request: endpoint address not found");
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_the_events_then_pings_and_never_ends() {
    let net = Net::new();
    let agreement = net.rental().await;
    let id = net.activity(&agreement, FakeUnit::default()).await;
    let request = Request::get(format!("{BASE}/{id}/exec/b1"))
        .header("authorization", format!("Bearer {}", net.requestor.key.expose()))
        .header("accept", "text/event-stream")
        .body(Body::empty())
        .unwrap();
    let answer = net.world.router().oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let mut text = String::new();
    let began = Instant::now();
    while text.matches(":ping").count() < 3 {
        let frame = body.frame().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    let first = "event: runtime\ndata: {\"batch_id\":\"b1\",\"index\":0,\"timestamp\":\"2026-01-01T00:00:00.123456789\",\"kind\":{\"started\":{\"command\":{\"run\":{}}}}}\nid: 0\n\n";
    assert!(text.contains(first), "{text}");
    assert!(text.contains("\"finished\":{\"return_code\":0,\"message\":null}}}\nid: 1\n\n"), "{text}");
    net.world.faults().restart(Duration::ZERO);
    assert!(body.frame().await.unwrap().is_err(), "a restarted daemon cuts it");
}

#[tokio::test(start_paused = true)]
async fn an_activity_whose_requestor_went_away_is_given_up_in_time() {
    let net = Net::new();
    let agreement = net.rental().await;
    let create = format!("{BASE}?timeout=20");
    let gone = tokio::time::timeout(Duration::from_secs(1), net.post(&create, json!(agreement))).await;
    assert!(gone.is_err());
    let began = Instant::now();
    let created = net.port.activity_events(Timestamp::MIN, Duration::ZERO).await.unwrap();
    let events = net.port.activity_events(created[0].event_date, Duration::from_secs(60)).await.unwrap();
    assert_eq!((events[0].kind, began.elapsed()), (ActivityEventKind::Destroy, Duration::from_secs(19)));
}
