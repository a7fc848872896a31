//! Activities from their creation to their end, and the scripts sent to them.

use std::time::Duration;

use golem_devnet::provider::{ApprovalManner, Behaviour, ProviderConfig};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use yagna_api::activity::{Command, Deploy, Empty, GetState, Run, Start, State, StatePair};
use yagna_api::market::{CancelAgreement, CreateAgreement, TerminateAgreement, Unsubscribe};
use yagna_api::{ActivityId, AgreementId, BatchId, DemandId};

use crate::hand::{Hand, Reply, in_time};
use crate::rental::{Terms, agree, create, destroy, draft, exec, leave, publish, ready, results, run, shell};
use crate::stage::{Scene, Stage};

const BASE: &str = "/activity-api/v1/activity";
/// No state takes longer to come.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn an_activity_from_its_begin_to_its_end(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let created = hand.post(&format!("{BASE}?timeout=30"), &json!({"agreementId": agreement})).await;
    stage.look("create", &created);
    let activity = ActivityId::new(created.json()["activityId"].as_str().expect("an id"));
    let path = format!("{BASE}/{activity}");
    stage.look("state at first", &hand.get(&format!("{path}/state")).await);
    stage.look("its agreement", &hand.get(&format!("{path}/agreement")).await);
    stage.look("activities of the agreement", &hand.get(&format!("{BASE}?agreementId={agreement}")).await);
    let deploy = send(hand, &activity, &json!([{"deploy": {}}, {"start": {}}])).await;
    stage.look("deploy and start", &deploy);
    stage.look("their results", &finished(hand, &activity, &deploy).await);
    settled(hand, &activity, State::Ready).await;
    stage.look("state when it is ready", &hand.get(&format!("{path}/state")).await);
    let usage = reported_usage(hand, &activity).await;
    stage.look_past("usage", &usage, &["/currentUsage/0", "/currentUsage/1", "/timestamp"]);
    stage.look("no running command is ever told", &hand.get(&format!("{path}/command")).await);
    let echo = send(hand, &activity, &script(&[shell("echo out; echo err >&2")])).await;
    let echoed = finished(hand, &activity, &echo).await;
    stage.look("a command's result", &echoed);
    stage.look("destroy", &hand.delete(&format!("{path}?timeout=30")).await);
    stage.look("state at last", &hand.get(&format!("{path}/state")).await);
    stage.look("destroy again", &hand.delete(&path).await);
    stage.look("exec after that", &send(hand, &activity, &json!([])).await);
    stage.look("results after that", &hand.get(&format!("{path}/exec/{}?timeout=1", echo.id())).await);
    stage.look("its agreement after that", &hand.get(&format!("{path}/agreement")).await);
    let usage = hand.get(&format!("{path}/usage")).await;
    stage.look_past("usage after that", &usage, &["/currentUsage/0", "/currentUsage/1", "/timestamp"]);
    stage.look("activities after that", &hand.get(&format!("{BASE}?agreementId={agreement}")).await);
    end(stage, &demand, &agreement).await;
}

pub(super) async fn one_activity_follows_another(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let first = hand.post(&format!("{BASE}?timeout=30"), &json!(agreement)).await;
    stage.look("create by the bare id", &first);
    stage.look(
        "a second one",
        &hand.post(&format!("{BASE}?timeout=30"), &json!({"agreementId": agreement})).await,
    );
    stage.look("the first one is still there", &hand.get(&format!("{BASE}/{}/state", first.id())).await);
    destroy(hand, &ActivityId::new(first.id())).await;
    let third = ready(hand, &agreement).await;
    let results = run(hand, &third, vec![shell("echo $((6 * 7))")]).await;
    assert_eq!(results[0].stdout.as_ref().expect("output").to_text(), "42\n");
    let listed = hand.get(&format!("{BASE}?agreementId={agreement}")).await.json();
    stage.note(&format!("{} activities", listed.as_array().expect("a list").len()));
    destroy(hand, &third).await;
    end(stage, &demand, &agreement).await;
}

pub(super) async fn creations_that_are_refused(scene: Scene) {
    let silent = Behaviour { approval: ApprovalManner::Never, ..Behaviour::default() };
    let stage = scene.open([ProviderConfig::new("silent").behaving(silent)]).await;
    let hand = &stage.hand;
    for (what, body) in [
        ("an unknown agreement", json!("0".repeat(64))),
        ("the same as an object", json!({"agreementId": "0".repeat(64)})),
        ("no hex", json!("nope")),
        ("too short", json!({"agreementId": "abcd"})),
        ("too long", json!("0".repeat(65))),
        ("nothing", json!("")),
        ("null", json!(null)),
        ("a number", json!(7)),
        ("no agreement", json!({})),
        ("a wrong field", json!({"agreementId": 7})),
        ("a list", json!(["0".repeat(64)])),
    ] {
        stage.look(what, &hand.post(BASE, &body).await);
    }
    stage.look("no body", &hand.post_nothing(BASE).await);
    let odd = hand.post(&format!("{BASE}?timeout=soon"), &json!("0".repeat(64))).await;
    stage.look("a time that is none", &odd);
    let terms = Terms::usual(&stage);
    let demand = publish(hand, &terms).await;
    let draft = draft(hand, &demand, &terms).await;
    let valid_to = in_time(Duration::from_secs(3600));
    let unconfirmed = hand.call(&CreateAgreement { proposal_id: draft.proposal_id, valid_to }).await;
    stage.look("an agreement that isn't confirmed", &hand.post(BASE, &json!(unconfirmed)).await);
    let confirm = format!("/market-api/v1/agreements/{unconfirmed}/confirm");
    hand.post_nothing(&confirm).await.expect(204);
    stage.look("one that isn't approved", &hand.post(BASE, &json!(unconfirmed)).await);
    stage.look("activities of it", &hand.get(&format!("{BASE}?agreementId={unconfirmed}")).await);
    hand.call(&CancelAgreement { agreement: unconfirmed.clone(), reason: None }).await;
    stage.look("one that is cancelled", &hand.post(BASE, &json!(unconfirmed)).await);
    stage.look(
        "activities of an unknown one",
        &hand.get(&format!("{BASE}?agreementId={}", "0".repeat(64))).await,
    );
    stage.look("activities of nonsense", &hand.get(&format!("{BASE}?agreementId=nope")).await);
    stage.look("activities of nobody", &hand.get(BASE).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn an_ended_agreement_has_no_activities(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let bad_key = json!({"agreementId": agreement, "requestorPubKey": "no hex"});
    stage.look("a key that is none", &hand.post(BASE, &bad_key).await);
    leave(hand, &demand, &agreement).await;
    stage.look("create", &hand.post(BASE, &json!(agreement)).await);
    stage.look("create by an object", &hand.post(BASE, &json!({"agreementId": agreement})).await);
    stage.look("activities", &hand.get(&format!("{BASE}?agreementId={agreement}")).await);
    stage.close().await;
}

/// The agent is frozen, its daemon and its exe-units aren't.
pub(super) async fn a_frozen_agent_neither_creates_nor_destroys(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let provider = stage.provider("solo");
    provider.freeze();
    stage.look("create", &hand.post(&format!("{BASE}?timeout=1"), &json!({"agreementId": agreement})).await);
    provider.thaw();
    let activity = created_in_time(hand, &agreement).await;
    provider.freeze();
    stage.look("exec goes on", &send(hand, &activity, &json!([{"deploy": {}}])).await);
    stage.look("destroy", &hand.delete(&format!("{BASE}/{activity}?timeout=1")).await);
    provider.thaw();
    stage.look("destroy after that", &hand.delete(&format!("{BASE}/{activity}?timeout=30")).await);
    end(stage, &demand, &agreement).await;
}

pub(super) async fn commands_have_their_order(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = create(hand, &agreement).await;
    for (what, command) in [
        ("run before deploy", shell("true")),
        ("start before deploy", Command::Start(Start::default())),
        ("deploy", Command::Deploy(Deploy::default())),
        ("deploy again", Command::Deploy(Deploy::default())),
        ("run before start", shell("true")),
        ("start", Command::Start(Start { args: vec!["a".into()] })),
        ("start again", Command::Start(Start::default())),
        ("deploy after start", Command::Deploy(Deploy::default())),
        ("run at last", shell("true")),
        ("sign", Command::Sign(Empty {})),
    ] {
        let batch = send(hand, &activity, &script(&[command])).await;
        stage.look(what, &finished(hand, &activity, &batch).await);
    }
    destroy(hand, &activity).await;
    end(stage, &demand, &agreement).await;
}

pub(super) async fn a_failed_command_harms_nothing_else(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &agreement).await;
    for (what, command) in [
        ("exit code 7, with output", shell("echo a; echo b >&2; exit 7")),
        ("ended by a signal", shell("kill -KILL $$")),
        (
            "a program that isn't there",
            Command::Run(Run { entry_point: "/bin/nobody".into(), ..Run::default() }),
        ),
        ("no program at all", Command::Run(Run { entry_point: String::new(), ..Run::default() })),
        ("the next one", shell("echo fine")),
    ] {
        let batch = send(hand, &activity, &script(&[command])).await;
        stage.look(what, &finished(hand, &activity, &batch).await);
        settled(hand, &activity, State::Ready).await;
    }
    destroy(hand, &activity).await;
    end(stage, &demand, &agreement).await;
}

pub(super) async fn a_batch_ends_at_its_first_failure(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &agreement).await;
    let commands = [shell("echo 0"), shell("echo 1; exit 3"), shell("echo 2; touch /golem/work/never")];
    let batch = send(hand, &activity, &script(&commands)).await.id();
    let path = format!("{BASE}/{activity}/exec/{batch}");
    stage.look("the failed one", &hand.get(&format!("{path}?timeout=20&commandIndex=1")).await);
    stage.look("the one before it", &hand.get(&format!("{path}?timeout=20&commandIndex=0")).await);
    stage.look("the one after it", &hand.get(&format!("{path}?timeout=0.2&commandIndex=2")).await);
    stage.look("one that isn't there", &hand.get(&format!("{path}?timeout=0.2&commandIndex=9")).await);
    let begin = Instant::now();
    stage.look("all", &hand.get(&format!("{path}?timeout=1")).await);
    assert!(begin.elapsed() > Duration::from_millis(900), "the last command is waited for in vain");
    stage.look("all at once", &hand.get(&path).await);
    let never = run(hand, &activity, vec![shell("test ! -e /golem/work/never")]).await;
    assert_eq!(never[0].exit_code(), Some(0), "the third command was carried out: {never:?}");
    destroy(hand, &activity).await;
    end(stage, &demand, &agreement).await;
}

pub(super) async fn polls_wait_for_what_they_ask(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &agreement).await;
    let commands = [shell("echo 0"), shell("while ! test -e /golem/work/go; do sleep 0.02; done; echo 1")];
    let batch = send(hand, &activity, &script(&commands)).await.id();
    let path = format!("{BASE}/{activity}/exec/{batch}");
    stage.look("the first one", &hand.get(&format!("{path}?timeout=20&commandIndex=0")).await);
    stage.look("what there is", &hand.get(&format!("{path}?timeout=0.1")).await);
    stage.look("what there is at once", &hand.get(&path).await);
    stage.look("the second one", &hand.get(&format!("{path}?timeout=0.1&commandIndex=1")).await);
    stage.look("a time that is none", &hand.get(&format!("{path}?timeout=soon")).await);
    stage.look("an index that is none", &hand.get(&format!("{path}?commandIndex=last")).await);
    stage.look("an index below 0", &hand.get(&format!("{path}?commandIndex=-1")).await);
    let unknown = format!("{BASE}/{activity}/exec/{}?timeout=1", "0".repeat(32));
    stage.look("an unknown batch", &hand.get(&unknown).await);
    stage.look("an odd batch", &hand.get(&format!("{BASE}/{activity}/exec/odd?timeout=1")).await);
    let empty = send(hand, &activity, &json!([])).await.id();
    stage.look("an empty script", &hand.get(&format!("{BASE}/{activity}/exec/{empty}?timeout=5")).await);
    stage.look("a command of it", &hand.get(&format!("{BASE}/{activity}/exec/{empty}?commandIndex=0")).await);
    destroy(hand, &activity).await;
    end(stage, &demand, &agreement).await;
}

pub(super) async fn scripts_that_are_none(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = create(hand, &agreement).await;
    let path = format!("{BASE}/{activity}/exec?timeout=5");
    for text in [
        "",
        "x",
        "[",
        "{}",
        "null",
        "\"deploy\"",
        "[1]",
        "[null]",
        "[\"deploy\"]",
        "[{}]",
        "[{\"bogus\": {}}]",
        "[{\"deploy\": {}, \"start\": {}}]",
        "[{\"deploy\": null}]",
        "[{\"deploy\": 1}]",
        "[{\"start\": {\"args\": 1}}]",
        "[{\"run\": {}}]",
        "[{\"run\": {\"entry_point\": \"a\", \"args\": \"b\"}}]",
        "[{\"run\": {\"entryPoint\": \"a\"}}]",
        "[{\"run\": {\"entry_point\": \"a\", \"args\": [], \"capture\": 1}}]",
        "[{\"run\": {\"entry_point\": \"a\", \"args\": [], \"capture\": {\"stdout\": {}}}}]",
        "[{\"run\": {\"entry_point\": \"a\", \"args\": [], \"capture\": {\"stdout\": {\"never\": {}}}}}]",
        "[{\"run\": {\"entry_point\": \"a\", \"args\": [], \"capture\": {\"stdout\": {\"atEnd\": {\"format\": \"x\"}}}}}]",
        "[{\"run\": {\"entry_point\": \"a\", \"args\": [], \"capture\": {\"stdout\": {\"atEnd\": {\"head\": \"x\"}}}}}]",
        "[{\"transfer\": {}}]",
        "[{\"transfer\": {\"from\": \"a\"}}]",
        "[{\"transfer\": {\"from\": \"a\", \"to\": 1}}]",
        "[{\"deploy\": {\"volumes\": 1}}]",
        "[{\"deploy\": {\"net\": [{}]}}]",
        "[{\"deploy\": {\"progress\": {\"updateInterval\": 1}}}]",
        "[{\"sign\": 1}]",
        "[{\"terminate\": []}]",
    ] {
        stage.look(&format!("`{text}`"), &hand.post(&path, &json!({"text": text})).await);
    }
    for body in
        [json!({}), json!({"text": null}), json!({"text": []}), json!({"text": 1}), json!([]), json!("[]")]
    {
        stage.look(&format!("body {body}"), &hand.post(&path, &body).await);
    }
    stage.look("no body", &hand.post_nothing(&path).await);
    destroy(hand, &activity).await;
    end(stage, &demand, &agreement).await;
}

/// What clients of other languages send.
pub(super) async fn scripts_have_many_forms(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = create(hand, &agreement).await;
    for text in [
        json!([{"deploy": {"net": [], "hosts": {}, "volumes": ["/data"], "env": {"A": "b"}, "other": 1}}]),
        json!([{"start": {"args": []}}]),
        json!([{"run": {"entry_point": "/bin/sh", "args": ["-c", "echo b$A"], "capture": {
            "stdout": {"atEnd": {"format": "string"}}, "stderr": {"atEnd": {"format": "binary"}}}}}]),
        json!([{"run": {"entry_point": "/bin/sh", "args": ["-c", "echo b$A"], "capture": {
            "stdout": {"stream": {}}, "stderr": {"stream": {}}}}}]),
        json!([{"run": {"entry_point": "/bin/sh", "args": ["-c", "echo b$A >&2"], "capture": {
            "stdout": {"stream": {"format": "string"}}, "stderr": {"atEnd": {}}}}}]),
        json!([{"run": {"entry_point": "/bin/sh", "args": ["-c", "echo a > /data/a"], "capture": null}}]),
        json!([{"run": {"entry_point": "/bin/cat", "args": ["/data/a"], "capture": {"stdout": {"atEnd": {}}}, "more": 1}}]),
    ] {
        let batch = send(hand, &activity, &text).await;
        stage.look(&text.to_string(), &finished(hand, &activity, &batch).await);
    }
    destroy(hand, &activity).await;
    end(stage, &demand, &agreement).await;
}

pub(super) async fn one_batch_at_a_time(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &agreement).await;
    let long = exec(hand, &activity, vec![waiting()]).await;
    busy(hand, &activity).await;
    stage.look("state while it runs", &hand.get(&format!("{BASE}/{activity}/state")).await);
    let second = send(hand, &activity, &script(&[shell("echo 2")])).await;
    stage.look("a second batch", &second);
    stage.look("its end", &finished(hand, &activity, &second).await);
    stage.look("the first one goes on", &hand.get(&format!("{BASE}/{activity}/exec/{long}")).await);
    let back = send(hand, &activity, &json!([{"terminate": {}}])).await;
    stage.look("it is taken back", &finished(hand, &activity, &back).await);
    let state = settled(hand, &activity, State::Initialized).await;
    stage.look("state after that", &state);
    let path = format!("{BASE}/{activity}/exec/{long}?timeout=10&commandIndex=0");
    stage.look("the first one's end", &hand.get(&path).await);
    let again =
        run(hand, &activity, vec![Command::Deploy(Deploy::default()), Command::Start(Start::default())])
            .await;
    assert!(again.iter().all(|result| result.exit_code() == Some(0)), "{again:?}");
    destroy(hand, &activity).await;
    end(stage, &demand, &agreement).await;
}

pub(super) async fn an_agreements_end_ends_its_batch(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &agreement).await;
    let batch = exec(hand, &activity, vec![waiting()]).await;
    busy(hand, &activity).await;
    hand.call(&TerminateAgreement { agreement: agreement.clone(), reason: None }).await;
    stage.look("results", &lost(hand, &activity, &batch).await);
    stage.look("exec", &send(hand, &activity, &json!([])).await);
    stage.look("destroy", &hand.delete(&format!("{BASE}/{activity}?timeout=5")).await);
    stage.look("state", &hand.get(&format!("{BASE}/{activity}/state")).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// Its power is cut: the exe-unit is gone from the bus, and nobody tells the daemon a state.
pub(super) async fn a_provider_that_is_gone(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &agreement).await;
    let batch = exec(hand, &activity, vec![waiting()]).await;
    busy(hand, &activity).await;
    stage.provider("solo").kill();
    stage.look("results", &lost(hand, &activity, &batch).await);
    stage.look("exec", &send(hand, &activity, &json!([])).await);
    stage.look("destroy", &hand.delete(&format!("{BASE}/{activity}?timeout=1")).await);
    stage.look("create", &hand.post(&format!("{BASE}?timeout=1"), &json!(agreement)).await);
    leave(hand, &demand, &agreement).await;
    stage.close().await;
}

pub(super) async fn activities_that_are_none(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = create(hand, &agreement).await;
    let other = stage.another_hand().await;
    let unknown = "0".repeat(32);
    for (what, hand, id) in
        [("unknown", hand, unknown.as_str()), ("odd", hand, "odd"), ("another's", &other, activity.as_str())]
    {
        let path = format!("{BASE}/{id}");
        for part in ["state", "usage", "agreement", "command", "exec/0123?timeout=1"] {
            stage.look(&format!("{what}: {part}"), &hand.get(&format!("{path}/{part}")).await);
        }
        stage.look(
            &format!("{what}: exec"),
            &hand.post(&format!("{path}/exec"), &json!({"text": "[]"})).await,
        );
        stage.look(
            &format!("{what}: exec of nonsense"),
            &hand.post(&format!("{path}/exec"), &json!({"text": "x"})).await,
        );
        stage.look(&format!("{what}: secrets"), &hand.post(&format!("{path}/encrypted"), &json!("x")).await);
        stage.look(&format!("{what}: destroy"), &hand.delete(&path).await);
    }
    stage.look("another's: create", &other.post(BASE, &json!(agreement)).await);
    stage.look("another's: list", &other.get(&format!("{BASE}?agreementId={agreement}")).await);
    stage.look(
        "secrets of an open runtime",
        &hand.post(&format!("{BASE}/{activity}/encrypted"), &json!("x")).await,
    );
    stage.look("no such thing", &hand.get(&format!("{BASE}/{activity}")).await);
    stage.look("no such method", &hand.put(&format!("{BASE}/{activity}/usage"), &json!({})).await);
    destroy(hand, &activity).await;
    end(stage, &demand, &agreement).await;
}

/// One provider, and an agreement with it.
async fn hire(scene: Scene) -> (Stage, DemandId, AgreementId) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let (demand, agreement) = agree(&stage.hand, &Terms::usual(&stage)).await;
    (stage, demand, agreement)
}

async fn end(stage: Stage, demand: &DemandId, agreement: &AgreementId) {
    leave(&stage.hand, demand, agreement).await;
    stage.close().await;
}

fn script(commands: &[Command]) -> Value {
    serde_json::to_value(commands).expect("commands are JSON")
}

/// Sends a script as it is.
async fn send(hand: &Hand, activity: &ActivityId, script: &Value) -> Reply {
    let body = json!({"text": script.to_string()});
    hand.post(&format!("{BASE}/{activity}/exec?timeout=20"), &body).await
}

/// The daemon's answer once a batch is done.
async fn finished(hand: &Hand, activity: &ActivityId, batch: &Reply) -> Reply {
    let batch = BatchId::new(batch.id());
    results(hand, activity, &batch).await;
    hand.get(&format!("{BASE}/{activity}/exec/{batch}")).await.expect(200)
}

/// The daemon's answer once an activity is in this state and on its way to no other.
async fn settled(hand: &Hand, activity: &ActivityId, wanted: State) -> Reply {
    let begin = Instant::now();
    loop {
        let seen = hand.call(&GetState(activity.clone())).await;
        if seen.state == StatePair(wanted, None) {
            return hand.get(&format!("{BASE}/{activity}/state")).await;
        }
        assert!(begin.elapsed() < PATIENCE, "no state {wanted:?} within {PATIENCE:?}: {seen:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a command runs.
async fn busy(hand: &Hand, activity: &ActivityId) {
    let begin = Instant::now();
    while hand.call(&GetState(activity.clone())).await.state.1.is_none() {
        assert!(begin.elapsed() < PATIENCE, "no command runs");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The daemon's answer once an activity's exe-unit is gone.
async fn lost(hand: &Hand, activity: &ActivityId, batch: &BatchId) -> Reply {
    let begin = Instant::now();
    loop {
        let reply = hand.get(&format!("{BASE}/{activity}/exec/{batch}")).await;
        // For a moment the bus knows the address still, but nobody behind it.
        if reply.status != 200 && !reply.text.contains("GSB failure: GSB failure:") {
            return reply;
        }
        assert!(begin.elapsed() < PATIENCE, "its exe-unit is still there");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The daemon's answer once the exe-unit has told it of usage.
async fn reported_usage(hand: &Hand, activity: &ActivityId) -> Reply {
    let begin = Instant::now();
    loop {
        let usage = hand.get(&format!("{BASE}/{activity}/usage")).await.expect(200);
        if usage.json()["currentUsage"].is_array() {
            return usage;
        }
        assert!(begin.elapsed() < PATIENCE, "no usage is told");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Creates an activity as soon as the one before, which nobody waited for, is gone.
async fn created_in_time(hand: &Hand, agreement: &AgreementId) -> ActivityId {
    let begin = Instant::now();
    loop {
        let created = hand.post(&format!("{BASE}?timeout=10"), &json!(agreement)).await;
        if created.status == 200 {
            return ActivityId::new(created.id());
        }
        assert!(begin.elapsed() < PATIENCE, "{created:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A command that doesn't end by itself.
fn waiting() -> Command {
    shell("while true; do sleep 1; done")
}
