//! Who gets in, and what the daemon says to requests that are none.

use std::time::Duration;

use golem_devnet::provider::{ApprovalManner, Behaviour, ProviderConfig};
use serde_json::{Value, json};
use yagna_api::market::{BASE, CancelAgreement, ProposalState, Unsubscribe};
use yagna_api::{Method, Request};

use crate::hand::in_time;
use crate::rental::{Terms, draft, proposal, propose, publish};
use crate::stage::Scene;

const ACTIVITY: &str = "/activity-api/v1";
const PAYMENT: &str = "/payment-api/v1";
const NET: &str = "/net-api/v1";
const BUS: &str = "/gsb-api/v1";

pub(super) async fn a_key_opens_the_door(scene: Scene) {
    let stage = scene.open([]).await;
    let (hand, nobody) = (&stage.hand, stage.keyless_hand());
    let key = stage.key();
    stage.look_past("me", &hand.get("/me").await, &["/name"]);
    stage.look("no key", &nobody.get("/me").await);
    stage.look("a wrong key", &stage.hand_with_key("wrong").get("/me").await);
    for (what, value) in [
        ("a scheme in small letters", format!("bearer {key}")),
        ("a scheme in capitals", format!("BEARER {key}")),
        ("another scheme", format!("Basic {key}")),
        ("no scheme", key.to_owned()),
        ("a scheme alone", "Bearer".into()),
        ("a scheme and nothing", "Bearer ".into()),
        ("two blanks", format!("Bearer  {key}")),
        ("blanks after it", format!("Bearer {key}  ")),
        ("nothing", String::new()),
    ] {
        let request = Request::get("/me").header("authorization", value);
        stage.look_past(what, &hand.send(request).await, &["/name"]);
    }
    stage.close().await;
}

pub(super) async fn a_key_may_be_in_the_query(scene: Scene) {
    let stage = scene.open([]).await;
    let (hand, nobody) = (&stage.hand, stage.keyless_hand());
    let key = stage.key();
    let asked = format!("/me?authToken={key}");
    stage.look_past("in the query", &nobody.get(&asked).await, &["/name"]);
    stage.look("a wrong one in the query", &nobody.get("/me?authToken=wrong").await);
    stage.look("none in the query", &nobody.get("/me?authToken=").await);
    stage.look("in small letters", &nobody.get(&format!("/me?authtoken={key}")).await);
    stage.look_past("a wrong one besides", &hand.get("/me?authToken=wrong").await, &["/name"]);
    stage.look("a wrong one before", &stage.hand_with_key("wrong").get(&asked).await);
    let request = Request::get(asked).header("authorization", "Basic x");
    stage.look_past("another scheme before", &hand.send(request).await, &["/name"]);
    let list = format!("{BASE}/demands?authToken={key}");
    stage.look("for a list", &nobody.get(&list).await.keep(|_| false));
    let body = json!({"properties": {}, "constraints": "(a=b)"});
    let demand = nobody.post(&list, &body).await.expect(201).id();
    hand.delete(&format!("{BASE}/demands/{demand}")).await.expect(204);
    stage.close().await;
}

pub(super) async fn some_doors_are_open(scene: Scene) {
    let stage = scene.open([]).await;
    let nobody = stage.keyless_hand();
    let version = nobody.get("/version/get").await;
    let dates = ["/current/insertionTs", "/current/updateTs", "/current/releaseTs"];
    stage.look_past("the version", &version, &dates);
    stage.look_past("with a wrong key", &stage.hand_with_key("wrong").get("/version/get").await, &dates);
    let metrics = nobody.get("/metrics-api/v1/expose").await.expect(200);
    stage.note(&format!("metrics are {}", metrics.content_type));
    for path in [
        "/",
        "/nothing",
        "/healthcheck",
        "/me/",
        "/net-api/v2/net/status",
        "/market-api/v1/demands",
        "/activity-api/v1/activity/x/state",
        "/payment-api/v1/allocations",
        "/net-api/v1/net",
        "/gsb-api/v1/services",
        "/version/nothing",
        "/version",
    ] {
        stage.look(path, &nobody.get(path).await);
    }
    stage.close().await;
}

pub(super) async fn paths_that_lead_nowhere(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let any = "0123456789abcdef0123456789abcdef";
    for (method, path) in [
        (Method::Get, "/".to_owned()),
        (Method::Get, "/nothing".into()),
        (Method::Get, "/me/".into()),
        (Method::Post, "/me".into()),
        (Method::Get, "/Me".into()),
        (Method::Get, "//me".into()),
        (Method::Get, "/me?x=y".into()),
        (Method::Get, BASE.into()),
        (Method::Get, format!("{BASE}/")),
        (Method::Get, format!("{BASE}/nothing")),
        (Method::Get, format!("{BASE}/demands/")),
        (Method::Put, format!("{BASE}/demands")),
        (Method::Delete, format!("{BASE}/demands")),
        (Method::Get, format!("{BASE}/demands/{any}-{any}{any}")),
        (Method::Post, format!("{BASE}/demands/{any}-{any}{any}/events")),
        (Method::Get, format!("{BASE}/agreements/{any}{any}/confirm")),
        (Method::Post, format!("{BASE}/agreements/{any}{any}/terminate/reason")),
        (Method::Get, format!("{BASE}/scan")),
        (Method::Get, "/market-api/v2/demands".into()),
        (Method::Get, format!("{ACTIVITY}/nothing")),
        (Method::Get, format!("{ACTIVITY}/activity")),
        (Method::Put, format!("{ACTIVITY}/activity/{any}/exec")),
        (Method::Get, format!("{PAYMENT}/nothing")),
        (Method::Delete, format!("{PAYMENT}/allocations")),
        (Method::Get, format!("{PAYMENT}/allocations/")),
        (Method::Post, format!("{PAYMENT}/invoices/{any}")),
        (Method::Get, format!("{NET}/nothing")),
        (Method::Put, format!("{NET}/net")),
        (Method::Get, format!("{BUS}/nothing")),
        (Method::Get, format!("{BUS}/services")),
    ] {
        let what = format!("{} {path}", method.as_str());
        let reply = hand.send(Request::new(method, path)).await;
        stage.look_past(&what, &reply, &["/name"]);
    }
    stage.close().await;
}

/// Each API has its own words for a body that it can't read.
pub(super) async fn bodies_that_cant_be_read(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    for path in [
        format!("{BASE}/demands"),
        format!("{ACTIVITY}/activity"),
        format!("{PAYMENT}/allocations"),
        format!("{NET}/net"),
        format!("{BUS}/services"),
    ] {
        let post = |body: &str| {
            let mut request = Request::post(path.clone());
            request.body = Some(body.as_bytes().to_vec());
            request
        };
        for (what, body) in
            [("no JSON", "{"), ("nothing", ""), ("two values", "{} {}"), ("not UTF-8 by far", "\u{0}")]
        {
            stage.look(&format!("{what} to {path}"), &hand.send(post(body)).await);
        }
        for kind in ["text/plain", "application/octet-stream", "application/x-www-form-urlencoded", ""] {
            let request = post("{}").header("content-type", kind);
            stage.look(&format!("{kind:?} to {path}"), &hand.send(request).await);
        }
        for kind in ["application/json; charset=utf-8", "text/json", "application/x+json", "APPLICATION/JSON"]
        {
            let request = post("[").header("content-type", kind);
            stage.look(&format!("{kind:?} to {path}"), &hand.send(request).await);
        }
    }
    // Other APIs stop reading such a body in its midst, and the connection hangs.
    let long = Value::String("x".repeat(2_097_152 - 1));
    stage.look("too long", &hand.post(&format!("{BASE}/demands"), &long).await);
    stage.close().await;
}

/// Two requestors at one daemon: neither sees or moves what is the other's.
pub(super) async fn requestors_are_apart(scene: Scene) {
    let behaviour = Behaviour { approval: ApprovalManner::Never, ..Behaviour::default() };
    let stage = scene.open([ProviderConfig::new("mute").behaving(behaviour)]).await;
    let (hand, other) = (&stage.hand, stage.another_hand().await);
    assert_ne!(hand.node(), other.node());
    let terms = Terms::usual(&stage);
    let demand = publish(hand, &terms).await;
    let draft = draft(hand, &demand, &terms).await;
    let agreement = propose(hand, &draft.proposal_id).await;
    let list = other.get(&format!("{BASE}/demands")).await;
    stage.look("demands", &list.keep(|item| item["demandId"] == demand.as_str()));
    stage.look("withdraw", &other.delete(&format!("{BASE}/demands/{demand}")).await);
    let path = format!("{BASE}/agreements/{agreement}");
    stage.look("agreement", &other.get(&path).await);
    let list = other.get(&format!("{BASE}/agreements")).await;
    stage.look("agreements", &list.keep(|item| item["id"] == agreement.as_str()));
    stage.look("confirm", &other.post_nothing(&format!("{path}/confirm")).await);
    stage.look("wait", &other.post_nothing(&format!("{path}/wait?timeout=0")).await);
    stage.look("cancel", &other.post(&format!("{path}/cancel"), &Value::Null).await);
    stage.look("terminate", &other.post(&format!("{path}/terminate"), &Value::Null).await);
    stage.look("why it ended", &other.get(&format!("{path}/terminate/reason")).await);
    let body = json!({"proposalId": draft.proposal_id, "validTo": in_time(Duration::from_secs(600))});
    stage.look("create", &other.post(&format!("{BASE}/agreements"), &body).await);
    hand.call(&CancelAgreement { agreement: agreement.clone(), reason: None }).await;
    let events = other.get(&format!("{BASE}/agreementEvents?timeout=0&maxEvents=100")).await;
    stage.look("events", &events.keep(|item| item["agreementId"] == agreement.as_str()));
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// What is not kept apart: proposals and the events of a demand, for those who know its id.
pub(super) async fn proposals_are_open_to_who_knows_them(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let (hand, other) = (&stage.hand, stage.another_hand().await);
    let terms = Terms::usual(&stage);
    let demand = publish(hand, &terms).await;
    let initial = proposal(hand, &demand, ProposalState::Initial).await;
    let here = format!("{BASE}/demands/{demand}/proposals/{}", initial.proposal_id);
    stage.look("read", &other.get(&here).await);
    stage.look("refuse", &other.post(&format!("{here}/reject"), &Value::Null).await);
    stage.look("counter", &other.post(&here, &Terms::of(&other, &stage.subnet).json()).await);
    stage.note(&format!("it is {}", hand.get(&here).await.json()["state"]));
    let again = hand.post(&here, &terms.json()).await;
    stage.look("counter by its owner", &again);
    stage.look("events", &other.get(&format!("{BASE}/demands/{demand}/events?timeout=20&maxEvents=1")).await);
    stage.look("nothing is left", &hand.get(&format!("{BASE}/demands/{demand}/events?timeout=0.5")).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}
