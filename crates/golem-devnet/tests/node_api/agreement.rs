//! Agreements: every state, every refusal, and the events.

use std::time::Duration;

use golem_devnet::port::{OfferEvent, Port as _};
use serde_json::{Value, json};
use tokio::time::Instant;
use yagna_api::market::{AgreementState, Reason};
use yagna_api::{AgreementId, AppSessionId, Timestamp};

use crate::kit::{Net, as_provider};

fn path(id: &AgreementId) -> String {
    format!("/market-api/v1/agreements/{id}")
}

/// A draft and an agreement made of it, not yet confirmed.
async fn proposed(net: &Net) -> (AgreementId, String) {
    let (demand, offer) = (net.demand().await, net.offer().await);
    let (draft, _) = net.draft(&demand, &offer).await;
    let id = AgreementId::new(net.create(&draft).await.expect(200).id());
    net.port.unsubscribe_offer(&offer).await.unwrap();
    (id, draft)
}

#[tokio::test(start_paused = true)]
async fn only_a_providers_open_draft_becomes_an_agreement() {
    let net = Net::new();
    let (demand, offer) = (net.demand().await, net.offer().await);
    let unknown = format!("R-{}", "0".repeat(64));
    net.create(&unknown).await.expect(400);
    assert_eq!(
        net.create("zz").await.expect(400).message(),
        "Invalid Agreement id. Id [zz] has invalid format."
    );
    let initial = net.events(&demand, "0").await[0]["proposal"]["proposalId"].as_str().unwrap().to_owned();
    let reply = net.create(&initial).await.expect(400);
    assert!(reply.message().contains(
        "No negotiation with Provider took place. (You should counter Proposal at least one time)"
    ));
    let ours = net.counter(&demand, &initial).await.id();
    assert!(net.create(&ours).await.expect(400).message().contains("own Proposal"));
    net.port.counter_proposal(&offer, &as_provider(&ours), net.offer_terms()).await.unwrap();
    let draft = net.events(&demand, "0").await[0]["proposal"]["proposalId"].as_str().unwrap().to_owned();
    let id = net.create(&draft).await.expect(200).id();
    assert_eq!(id.len(), 64);
    let reply = net.create(&draft).await.expect(409);
    assert_eq!(reply.message(), format!("Can't create second Agreement for Proposal [{draft}]."));

    let (rejected, _) = net.draft(&net.demand().await, &offer).await;
    let all = net.get("/market-api/v1/demands").await.json();
    let latest = all.as_array().unwrap().last().unwrap()["demandId"].as_str().unwrap().to_owned();
    net.post(&format!("/market-api/v1/demands/{latest}/proposals/{rejected}/reject"), json!(null))
        .await
        .expect(204);
    assert!(net.create(&rejected).await.expect(400).message().contains("rejected Proposal"));

    let demand = net.demand().await;
    let (countered, _) = net.draft(&demand, &offer).await;
    net.counter(&demand, &countered).await.expect(200);
    assert!(net.create(&countered).await.expect(400).message().contains("already countered"));
}

#[tokio::test(start_paused = true)]
async fn an_agreement_reads_as_it_grows() {
    let net = Net::new();
    let (demand, offer) = (net.demand().await, net.offer().await);
    let (draft, _) = net.draft(&demand, &offer).await;
    let id = AgreementId::new(net.create(&draft).await.id());
    let read = net.get(&path(&id)).await.expect(200).json();
    assert_eq!(read["agreementId"], json!(id));
    assert_eq!((&read["state"], &read["validTo"]), (&json!("Proposal"), &json!("2026-01-01T01:00:00Z")));
    assert_eq!(
        (&read["demand"]["demandId"], &read["demand"]["requestorId"]),
        (&json!(demand), &json!(net.requestor.node))
    );
    assert_eq!(
        (&read["offer"]["offerId"], &read["offer"]["providerId"]),
        (&json!(offer), &json!(net.port.node()))
    );
    assert_eq!(read["offer"]["properties"]["golem.inf.mem.gib"].to_string(), "8.0");
    for absent in ["approvedDate", "appSessionId", "proposedSignature", "approvedSignature"] {
        assert_eq!(read.get(absent), None, "{absent}");
    }
    net.post_empty(&format!("{}/confirm?appSessionId=mine", path(&id))).await.expect(204);
    let read = net.get(&path(&id)).await.json();
    assert_eq!((&read["state"], &read["appSessionId"]), (&json!("Pending"), &json!("mine")));
    assert_eq!(read["proposedSignature"], "NoSignature");
    let events = net.offer_events(&offer).await;
    let [OfferEvent::Agreement(seen)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&seen.agreement_id, seen.state, &seen.app_session_id), (&id, AgreementState::Pending, &None));
    net.port.approve_agreement(&id, Some(AppSessionId::new("theirs"))).await.unwrap();
    let read = net.get(&path(&id)).await.json();
    assert_eq!((&read["state"], &read["appSessionId"]), (&json!("Approved"), &json!("mine")));
    assert_eq!(
        (&read["approvedSignature"], &read["committedSignature"]),
        (&json!("NoSignature"), &json!("NoSignature"))
    );
    assert_eq!(read["approvedDate"], "2026-01-01T00:00:00.123456789Z");

    for (query, count) in [
        ("", 1),
        ("?state=Approved", 1),
        ("?state=Pending", 0),
        ("?appSessionId=mine", 1),
        ("?appSessionId=theirs", 0),
        ("?afterDate=2026-01-02T00:00:00Z", 0),
        ("?beforeDate=2026-01-02T00:00:00Z", 1),
    ] {
        let list = net.get(&format!("/market-api/v1/agreements{query}")).await.expect(200).json();
        assert_eq!(list.as_array().unwrap().len(), count, "{query}");
    }
    let list = net.get("/market-api/v1/agreements").await.json();
    assert_eq!((&list[0]["id"], &list[0]["role"]), (&json!(id), &json!("Requestor")));
    let bad = net.get("/market-api/v1/agreements?state=approved").await.expect(400);
    assert!(bad.content_type.starts_with("text/plain"));
}

#[tokio::test(start_paused = true)]
async fn every_call_in_every_state_has_its_status() {
    type Step = &'static str;
    // The requests that bring an agreement into the state, and the status of each call then made, on an agreement of
    // its own.
    let calls: [Step; 5] = ["confirm", "wait?timeout=0", "cancel", "terminate", "terminate/reason"];
    let table: [(AgreementState, &[Step], [u16; 5]); 7] = [
        (AgreementState::Proposal, &[], [204, 400, 500, 409, 400]),
        (AgreementState::Pending, &["confirm"], [410, 408, 200, 410, 400]),
        (AgreementState::Approved, &["confirm", "approve"], [410, 204, 410, 200, 400]),
        (AgreementState::Rejected, &["confirm", "reject"], [410, 410, 410, 410, 400]),
        (AgreementState::Cancelled, &["confirm", "cancel"], [410, 410, 410, 410, 400]),
        (AgreementState::Terminated, &["confirm", "approve", "terminate"], [410, 400, 410, 410, 200]),
        (AgreementState::Expired, &["confirm", "sleep"], [410, 410, 410, 410, 400]),
    ];
    for (state, steps, statuses) in table {
        for (call, status) in calls.into_iter().zip(statuses) {
            let net = Net::new();
            let (id, _) = proposed(&net).await;
            for step in steps {
                match *step {
                    "approve" => net.port.approve_agreement(&id, None).await.unwrap(),
                    "reject" => net.port.reject_agreement(&id, Some(Reason::new("full"))).await.unwrap(),
                    "sleep" => tokio::time::sleep(Duration::from_secs(3601)).await,
                    step => drop(net.post(&format!("{}/{step}", path(&id)), json!(null)).await),
                }
            }
            assert_eq!(net.get(&path(&id)).await.json()["state"], json!(state), "{steps:?}");
            let line = match call {
                "terminate/reason" => format!("GET {}/{call}", path(&id)),
                call => format!("POST {}/{call}", path(&id)),
            };
            let reply = net.call(&line, Some(json!(null))).await;
            assert_eq!(reply.status, status, "{call} in {state:?}: {}", reply.text);
            let message = if status >= 400 { reply.message() } else { String::new() };
            let words = match (state, call) {
                (AgreementState::Rejected, "wait?timeout=0") => "Rejected",
                (AgreementState::Cancelled, "wait?timeout=0") => "Cancelled",
                (AgreementState::Expired, "wait?timeout=0") => "expired.",
                (AgreementState::Proposal, "wait?timeout=0") => {
                    "should be confirmed, before waiting for approval."
                }
                (AgreementState::Terminated, "wait?timeout=0") => "terminated.",
                (AgreementState::Pending, "wait?timeout=0") => "Timeout while waiting for Agreement [R-",
                (AgreementState::Pending, "confirm") => {
                    "Can't update Agreement state from Pending to Pending."
                }
                _ => "",
            };
            assert!(message.contains(words), "{call} in {state:?}: {message}");
            if status == 200 && call != "terminate/reason" {
                assert_eq!(reply.text, "", "{call}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ids_bodies_and_owners_are_checked() {
    let net = Net::new();
    let (id, _) = proposed(&net).await;
    let unknown = AgreementId::new("0".repeat(64));
    let malformed = AgreementId::new(format!("R-{}", "0".repeat(64)));
    for (line, status) in [
        ("GET ", 404),
        ("POST /confirm", 404),
        ("POST /wait", 404),
        ("POST /cancel", 404),
        ("POST /terminate", 404),
    ] {
        let (method, tail) = line.split_once(' ').unwrap();
        net.call(&format!("{method} {}{tail}", path(&unknown)), Some(json!(null))).await.expect(status);
        let bad = if tail == "/terminate" { 500 } else { 400 };
        net.call(&format!("{method} {}{tail}", path(&malformed)), Some(json!(null))).await.expect(bad);
    }
    net.post_empty(&format!("{}/terminate", path(&id))).await.expect(400);
    let other = net.world.add_requestor("other");
    net.call_as(other.key.expose(), &format!("GET {}", path(&id)), None).await.expect(404);
    net.call_as(other.key.expose(), &format!("POST {}/confirm", path(&id)), None).await.expect(404);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_decision_or_its_timeout() {
    let net = Net::new();
    let (id, _) = proposed(&net).await;
    net.post_empty(&format!("{}/confirm", path(&id))).await.expect(204);
    let began = Instant::now();
    net.post_empty(&format!("{}/wait?timeout=3", path(&id))).await.expect(408);
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    let approve = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        net.port.approve_agreement(&id, None).await.unwrap();
    };
    let wait_path = format!("{}/wait?timeout=60", path(&id));
    let (reply, ()) = tokio::join!(net.post_empty(&wait_path), approve);
    reply.expect(204);
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    assert_eq!(net.port.approve_agreement(&id, None).await.unwrap_err().status, 410);
    // A cancelled one can't be approved any more.
    let (id, _) = proposed(&net).await;
    net.post_empty(&format!("{}/confirm", path(&id))).await.expect(204);
    net.post(&format!("{}/cancel", path(&id)), json!(null)).await.expect(200);
    let refusal = net.port.approve_agreement(&id, None).await.unwrap_err();
    assert_eq!((refusal.status, refusal.message.as_str()), (410, "Cancelled"));
    // One that is never decided expires while we wait, but we are told only when we ask anew.
    let (id, _) = proposed(&net).await;
    net.post_empty(&format!("{}/confirm", path(&id))).await.expect(204);
    net.post_empty(&format!("{}/wait?timeout=4000", path(&id))).await.expect(408);
    assert_eq!(began.elapsed(), Duration::from_secs(4005));
    let reply = net.post_empty(&format!("{}/wait?timeout=100000", path(&id))).await.expect(410);
    assert!(reply.message().ends_with("expired."), "{}", reply.text);
    assert_eq!(began.elapsed(), Duration::from_secs(4005));
}

#[tokio::test(start_paused = true)]
async fn after_its_end_the_offer_is_proposed_anew() {
    for by_provider in [false, true] {
        let net = Net::new();
        let (demand, offer) = (net.demand().await, net.offer().await);
        let (draft, _) = net.draft(&demand, &offer).await;
        let id = AgreementId::new(net.create(&draft).await.id());
        net.post_empty(&format!("{}/confirm", path(&id))).await.expect(204);
        net.port.approve_agreement(&id, None).await.unwrap();
        let reason = json!({"message": "done", "golem.requestor.code": "Success"});
        if by_provider {
            let reason = Reason::new("done").with("golem.provider.code", "NoActivity");
            net.port.terminate_agreement(&id, Some(reason)).await.unwrap();
        } else {
            net.post(&format!("{}/terminate", path(&id)), reason).await.expect(200);
        }
        let events = net.events(&demand, "0").await;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["proposal"]["state"], "Initial");
        let told = net.get(&format!("{}/terminate/reason", path(&id))).await.expect(200).json();
        assert_eq!(told["eventType"], "AgreementTerminatedEvent");
        assert_eq!(told["terminator"], if by_provider { "Provider" } else { "Requestor" });
        assert_eq!(told["reason"]["message"], "done");
        let code = if by_provider { "golem.provider.code" } else { "golem.requestor.code" };
        assert!(told["reason"][code].is_string(), "{told}");
        let events = net.get("/market-api/v1/agreementEvents").await.json();
        assert_eq!(events[1], told);
        let seen = net.port.agreement_events(Timestamp::MIN, Duration::ZERO).await.unwrap();
        assert_eq!(seen.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_kept_filtered_and_read_by_a_strict_cursor() {
    let net = Net::new();
    let mut ids = Vec::new();
    for at in 0..6 {
        let id = net.rental_in(if at % 2 == 0 { "even" } else { "odd" }).await;
        ids.push(id);
    }
    // All at the same moment of the clock: the stamps tell them apart.
    let all = net.get("/market-api/v1/agreementEvents?timeout=0").await.json();
    let dates: Vec<_> =
        all.as_array().unwrap().iter().map(|event| event["eventDate"].as_str().unwrap().to_owned()).collect();
    assert_eq!(dates.len(), 6);
    assert!(dates.is_sorted() && dates.windows(2).all(|pair| pair[0] != pair[1]), "{dates:?}");
    for max in 1..=7 {
        let mut cursor = String::new();
        let mut seen = Vec::new();
        // One page more than there are events: a cursor that stands still shall fail, not hang.
        for _ in 0..=dates.len() {
            let path = format!("/market-api/v1/agreementEvents?timeout=0&maxEvents={max}{cursor}");
            let page = net.get(&path).await.expect(200).json().as_array().unwrap().clone();
            let Some(last) = page.last() else { break };
            cursor = format!("&afterTimestamp={}", last["eventDate"].as_str().unwrap());
            seen.extend(page);
        }
        assert_eq!(Value::Array(seen), all, "pages of {max}");
    }
    let even = net.get("/market-api/v1/agreementEvents?timeout=0&appSessionId=even").await.json();
    assert_eq!(even.as_array().unwrap().len(), 3);
    assert!(
        even.as_array()
            .unwrap()
            .iter()
            .all(|event| ids.iter().step_by(2).any(|id| event["agreementId"] == json!(id)))
    );
    let other = net.world.add_requestor("other");
    let none = net.call_as(other.key.expose(), "GET /market-api/v1/agreementEvents?timeout=0", None).await;
    assert_eq!(none.json(), json!([]));
    // A poll at the end waits for the next event.
    let began = Instant::now();
    let last = dates.last().unwrap();
    let poll = format!("/market-api/v1/agreementEvents?timeout=30&afterTimestamp={last}");
    let end = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        net.port.terminate_agreement(&ids[0], None).await.unwrap();
    };
    let (reply, ()) = tokio::join!(net.get(&poll), end);
    assert_eq!(reply.json()[0]["eventType"], "AgreementTerminatedEvent");
    assert_eq!(began.elapsed(), Duration::from_secs(4));
}
