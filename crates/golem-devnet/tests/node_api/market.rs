//! Demands, offers, proposals, scans.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use golem_devnet::port::{OfferEvent, Port as _, Terms};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use yagna_api::Properties;
use yagna_api::market::{ProposalState, Reason};

use crate::kit::{Net, as_provider};

#[tokio::test(start_paused = true)]
async fn demands_are_listed_flat_and_withdrawn_once() {
    let net = Net::new();
    let id = net.demand().await;
    let (first, second) = id.split_once('-').unwrap();
    assert_eq!((first.len(), second.len()), (32, 64));
    let list = net.get("/market-api/v1/demands").await.expect(200).json();
    assert_eq!(list[0]["demandId"], json!(id));
    assert_eq!(list[0]["requestorId"], json!(net.requestor.node));
    assert_eq!(list[0]["properties"]["golem.srv.comp.expiration"], json!(1_800_000_000_000_u64));
    assert_eq!(list[0]["timestamp"], "2026-01-01T00:00:00.123456789Z");
    let other = net.world.add_requestor("other");
    let path = format!("DELETE /market-api/v1/demands/{id}");
    let foreign = net.call_as(other.key.expose(), &path, None).await.expect(404);
    assert_eq!(foreign.message(), format!("Demand [{id}] not found."));
    assert_eq!(net.call(&path, None).await.expect(204).text, "");
    net.call(&path, None).await.expect(404);
    net.call("DELETE /market-api/v1/demands/abc", None).await.expect(400);
    assert_eq!(net.get("/market-api/v1/demands").await.json(), json!([]));
}

#[tokio::test(start_paused = true)]
async fn anything_can_be_published_but_only_what_suits_is_proposed() {
    let net = Net::new();
    net.offer().await;
    for (properties, constraints) in [
        (json!("text"), "()"),
        (json!([1]), "()"),
        (json!({"golem.srv.comp.expiration": 1}), "(((("),
        (json!({"golem.srv.comp.expiration": 1}), ""),
        (json!({"golem.srv.comp.expiration": 1}), "(golem.runtime.name=wasm)"),
        (json!({}), "(golem.runtime.name=vm)"),
    ] {
        let body = json!({"properties": properties, "constraints": constraints});
        let id = net.post("/market-api/v1/demands", body).await.expect(201).id();
        assert_eq!(net.events(&id, "0").await, [] as [serde_json::Value; 0], "{properties} {constraints}");
    }
    // An offer of one's own never matches.
    let own = net.world.add_key(&net.port.node(), "own");
    let id = net
        .call_as(own.expose(), "POST /market-api/v1/demands", Some(&net.demand_body()))
        .await
        .expect(201)
        .id();
    assert!(net.events(&id, "0").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn initial_proposals_come_whichever_side_is_first_and_are_taken() {
    let net = Net::new();
    let early = net.demand().await;
    net.offer().await;
    let late = net.demand().await;
    for demand in [early, late] {
        let events = net.events(&demand, "0").await;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["eventType"], "ProposalEvent");
        assert_eq!(events[0]["eventDate"], "2026-01-01T00:00:00.123Z");
        let proposal = &events[0]["proposal"];
        assert_eq!(proposal["state"], "Initial");
        assert_eq!(proposal["issuerId"], json!(net.port.node()));
        assert_eq!(proposal["properties"]["golem.inf.mem.gib"].to_string(), "8.0");
        assert!(proposal.get("prevProposalId").is_none());
        let id = proposal["proposalId"].as_str().unwrap();
        assert!(id.starts_with("R-") && id.len() == 66);
        let read = net.get(&format!("/market-api/v1/demands/{demand}/proposals/{id}")).await.expect(200);
        assert_eq!(&read.json(), proposal);
        assert!(net.events(&demand, "0").await.is_empty(), "events are taken");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_waits_for_events_for_its_timeout_and_for_the_demands_end() {
    let net = Net::new();
    let demand = net.demand().await;
    let began = Instant::now();
    assert!(net.events(&demand, "2.5").await.is_empty());
    assert_eq!(began.elapsed(), Duration::from_millis(2500));
    let path = format!("/market-api/v1/demands/{demand}/events");
    assert_eq!(net.get(&path).await.expect(200).text, "[]");
    assert_eq!(began.elapsed(), Duration::from_millis(7500), "five seconds by default");
    for timeout in ["0", "-3"] {
        assert!(net.events(&demand, timeout).await.is_empty());
    }
    assert_eq!(began.elapsed(), Duration::from_millis(7500));
    // Two polls wait; one event goes to one of them, and both hear of the end.
    let offer = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        net.offer().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        net.delete(&format!("/market-api/v1/demands/{demand}")).await.expect(204);
    };
    let poll = || net.get(&path);
    let (one, two, ()) = tokio::join!(poll(), poll(), offer);
    let (got, ended) = if one.status == 200 { (one, two) } else { (two, one) };
    assert_eq!(got.json().as_array().unwrap().len(), 1);
    assert_eq!(
        ended.expect(404).message(),
        format!("Subscription [{demand}] not found. Could be unsubscribed.")
    );
    assert_eq!(began.elapsed(), Duration::from_millis(9500));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_dropped_takes_nothing() {
    let net = Net::new();
    let demand = net.demand().await;
    for _ in 0..20 {
        let poll = net.events(&demand, "60");
        assert!(tokio::time::timeout(Duration::from_millis(100), poll).await.is_err());
    }
    net.offer().await;
    assert_eq!(net.events(&demand, "0").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_asked_for_is_taken() {
    let net = Net::new();
    let demand = net.demand().await;
    for _ in 0..25 {
        net.offer().await;
    }
    for (query, count) in [("maxEvents=3&timeout=0", 3), ("timeout=0", 20), ("maxEvents=100&timeout=0", 2)] {
        let reply = net.get(&format!("/market-api/v1/demands/{demand}/events?{query}")).await.expect(200);
        assert_eq!(reply.json().as_array().unwrap().len(), count, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn subscriptions_end_after_an_hour() {
    let net = Net::new();
    let demand = net.demand().await;
    net.offer().await;
    let initial = net.events(&demand, "0").await[0]["proposal"]["proposalId"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_secs(3590)).await;
    let path = format!("/market-api/v1/demands/{demand}/events?timeout=60");
    assert_eq!(net.get(&path).await.expect(200).text, "[]", "a poll that waits goes on to its end");
    assert_eq!(net.get(&path).await.expect(404).message(), format!("Subscription [{demand}] expired."));
    assert_eq!(
        net.counter(&demand, &initial).await.expect(410).message(),
        format!("Subscription [{demand}] expired.")
    );
    assert_eq!(net.get("/market-api/v1/demands").await.json(), json!([]));
    net.delete(&format!("/market-api/v1/demands/{demand}")).await.expect(404);
    let fresh = net.demand().await;
    assert!(net.events(&fresh, "0").await.is_empty(), "the offer is as old");
}

#[tokio::test(start_paused = true)]
async fn counters_go_both_ways_and_only_once() {
    let net = Net::new();
    let (demand, offer) = (net.demand().await, net.offer().await);
    let initial = net.events(&demand, "0").await[0]["proposal"]["proposalId"].as_str().unwrap().to_owned();
    let ours = net.counter(&demand, &initial).await.expect(200).id();
    let events = net.offer_events(&offer).await;
    let OfferEvent::Proposal(seen) = &events[0] else { panic!("{events:?}") };
    assert_eq!(seen.proposal_id, as_provider(&ours));
    assert_eq!(seen.state, ProposalState::Draft);
    assert_eq!(seen.prev_proposal_id, Some(as_provider(&initial)));
    assert_eq!(seen.issuer_id, net.requestor.node);
    let theirs = net.port.counter_proposal(&offer, &seen.proposal_id, net.offer_terms()).await.unwrap();
    let draft = net.events(&demand, "0").await[0]["proposal"].clone();
    assert_eq!(draft["state"], "Draft");
    assert_eq!(draft["prevProposalId"], json!(ours));
    assert_eq!(as_provider(draft["proposalId"].as_str().unwrap()), theirs);

    let again = net.counter(&demand, &initial).await.expect(410);
    assert_eq!(
        again.message(),
        format!("Proposal [{initial}] already has counter proposal. Can't counter for the second time.")
    );
    let own = net.counter(&demand, &ours).await.expect(400);
    assert_eq!(own.message(), format!("Can't react to own Proposal [{ours}]."));
    let unknown = format!("R-{}", "0".repeat(64));
    let reply = net.counter(&demand, &unknown).await.expect(404);
    assert!(reply.message().starts_with(&format!("Proposal [{unknown}] not found (subscription [Some(")));
    for (bad, problem) in [("R-xyz", "contains non hexadecimal"), ("nonsense", "has invalid format")] {
        let reply = net.counter(&demand, bad).await.expect(400);
        assert!(reply.content_type.starts_with("text/plain") && reply.text.contains(problem), "{reply:?}");
    }
    let path = format!("/market-api/v1/demands/{demand}/proposals/{}", draft["proposalId"].as_str().unwrap());
    let mut body = net.demand_body();
    body["constraints"] = json!("(golem.runtime.name=wasm)");
    let reply = net.post(&path, body.clone()).await.expect(400);
    assert!(reply.message().contains("doesn't match previous Proposal"), "{}", reply.text);
    assert!(reply.message().ends_with("Mismatched constraints - Offer: [], Demand: []"), "{}", reply.text);
    body["constraints"] = json!("(&(golem.runtime.name=vm)(golem.nothing=1))");
    let reply = net.post(&path, body.clone()).await.expect(400);
    assert!(reply.message().ends_with(r#"Offer: ["golem.nothing"], Demand: []"#), "{}", reply.text);
    body["constraints"] = json!("((");
    let reply = net.post(&path, body).await.expect(400);
    assert!(
        reply.message().contains("Error parsing Demand constraints: Incomplete expression"),
        "{}",
        reply.text
    );
    // Nothing of that used it up.
    net.port.unsubscribe_offer(&offer).await.unwrap();
    let reply = net.counter(&demand, draft["proposalId"].as_str().unwrap()).await.expect(500);
    assert!(reply.message().starts_with("Failed to send response for Proposal"), "{}", reply.text);
}

#[tokio::test(start_paused = true)]
async fn rejections_are_told_and_not_the_end() {
    let net = Net::new();
    let (demand, offer) = (net.demand().await, net.offer().await);
    let initial = net.events(&demand, "0").await[0]["proposal"]["proposalId"].as_str().unwrap().to_owned();
    let path = format!("/market-api/v1/demands/{demand}/proposals/{initial}");
    let reply = net.post_empty(&format!("{path}/reject")).await.expect(400);
    assert_eq!(reply.message(), "Content type error");
    net.post(&format!("{path}/reject"), json!({"reason": "x"})).await.expect(400);
    for body in [json!(null), json!({"message": "no", "more": 1})] {
        net.post(&format!("{path}/reject"), body).await.expect(204);
    }
    assert_eq!(net.get(&path).await.json()["state"], "Rejected");
    let ours = net.counter(&demand, &initial).await.expect(200).id();
    let events = net.offer_events(&offer).await;
    assert!(
        matches!(&events[..], [OfferEvent::Proposal(_)]),
        "an Initial's rejection isn't told: {events:?}"
    );
    net.post(&format!("/market-api/v1/demands/{demand}/proposals/{ours}/reject"), json!(null))
        .await
        .expect(400);

    let reason = Reason::new("no capacity").with("golem.proposal.rejection.is-final", false);
    net.port.reject_proposal(&offer, &as_provider(&ours), Some(reason)).await.unwrap();
    let event = net.events(&demand, "0").await[0].clone();
    assert_eq!(event["eventType"], "ProposalRejectedEvent");
    assert_eq!(event["proposalId"], json!(ours));
    assert_eq!(
        event["reason"],
        json!({"message": "no capacity", "golem.proposal.rejection.is-final": false})
    );
    // Later its slot frees, and it answers the counter that it had rejected.
    net.port.counter_proposal(&offer, &as_provider(&ours), net.offer_terms()).await.unwrap();
    let draft = net.events(&demand, "0").await[0]["proposal"].clone();
    assert_eq!((&draft["state"], &draft["prevProposalId"]), (&json!("Draft"), &json!(ours)));
    let path =
        format!("/market-api/v1/demands/{demand}/proposals/{}/reject", draft["proposalId"].as_str().unwrap());
    net.post(&path, json!({"message": "too dear"})).await.expect(204);
    let events = net.offer_events(&offer).await;
    let [OfferEvent::Rejected { proposal, reason: Some(reason) }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (proposal, reason.message.as_str()),
        (&as_provider(draft["proposalId"].as_str().unwrap()), "too dear")
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_knows_a_proposal_may_answer_it() {
    let net = Net::new();
    let (demand, _offer) = (net.demand().await, net.offer().await);
    let other = net.world.add_requestor("other");
    let initial = net.events(&demand, "0").await[0]["proposal"]["proposalId"].as_str().unwrap().to_owned();
    let line = format!("POST /market-api/v1/demands/{demand}/proposals/{initial}");
    net.call_as(other.key.expose(), &line, Some(&net.demand_body())).await.expect(200);
    let list = net.call_as(other.key.expose(), "GET /market-api/v1/demands", None).await;
    assert_eq!(list.json(), json!([]));
    // Reading isn't checked, as on the real daemon.
    let line = format!("GET /market-api/v1/demands/{demand}/events?timeout=0");
    net.call_as(other.key.expose(), &line, None).await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn scans_show_each_offer_once() {
    let net = Net::new();
    net.offer().await;
    let bad =
        net.post("/market-api/v1/scan", json!({"type": "offer", "constraints": "(("})).await.expect(400);
    assert!(bad.message().starts_with("Invalid constraint. "));
    let body = json!({"type": "offer", "timeout": 30, "constraints": "(golem.runtime.name=vm)"});
    let scan = net.post("/market-api/v1/scan", body).await.expect(201).id();
    let path = format!("/market-api/v1/scan/{scan}/events?timeout=2");
    let found = net.get(&path).await.expect(200).json();
    assert_eq!(found[0]["providerId"], json!(net.port.node()));
    let wasm =
        Terms { properties: Properties::new().with("golem.runtime.name", "wasm"), constraints: "()".into() };
    let more = async {
        net.port.subscribe_offer(wasm).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        net.offer().await
    };
    let (found, offer) = tokio::join!(net.get(&path), more);
    assert_eq!(found.json()[0]["offerId"], json!(offer));
    assert_eq!(found.json().as_array().unwrap().len(), 1);
    let elsewhere = format!("{path}&peerId={}", net.requestor.node);
    assert_eq!(net.get(&elsewhere).await.expect(200).text, "[]");
    assert_eq!(
        net.get("/market-api/v1/scan/999/events").await.expect(404).message(),
        "Iterator with id \"999\" not found"
    );
    tokio::time::sleep(Duration::from_secs(31)).await;
    net.get(&path).await.expect(404);
    let scan = net.post("/market-api/v1/scan", json!({"type": "demand"})).await.expect(201).id();
    net.delete(&format!("/market-api/v1/scan/{scan}")).await.expect(204);
    net.delete(&format!("/market-api/v1/scan/{scan}")).await.expect(404);
}

/// Many polls at once on several threads, some of them dropped: each event goes to exactly one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn polls_at_the_same_time_share_the_events_without_loss() {
    const OFFERS: usize = 200;
    let net = Arc::new(Net::new());
    let demand: Arc<str> = net.demand().await.into();
    let mut polls = JoinSet::new();
    for poller in 0..8_u64 {
        let (net, demand) = (Arc::clone(&net), Arc::clone(&demand));
        polls.spawn(async move {
            let mut random = fastrand::Rng::with_seed(poller);
            let mut seen = Vec::new();
            loop {
                let path = format!("/market-api/v1/demands/{demand}/events?timeout=0.2&maxEvents=3");
                let patience = Duration::from_micros(random.u64(50..300_000));
                // The answer of a poll that is done is never thrown away: the time-out looks at it first.
                let Ok(reply) = tokio::time::timeout(patience, net.get(&path)).await else { continue };
                if reply.status == 404 {
                    return seen;
                }
                let events = reply.expect(200).json();
                let id =
                    |event: &serde_json::Value| event["proposal"]["proposalId"].as_str().unwrap().to_owned();
                seen.extend(events.as_array().unwrap().iter().map(id));
            }
        });
    }
    for _ in 0..OFFERS {
        net.offer().await;
        tokio::task::yield_now().await;
    }
    let mut left = 0;
    loop {
        let events = net.events(&demand, "0").await;
        if events.is_empty() {
            break;
        }
        left += events.len();
    }
    net.delete(&format!("/market-api/v1/demands/{demand}")).await.expect(204);
    let seen: Vec<String> = polls.join_all().await.into_iter().flatten().collect();
    let unique: BTreeSet<_> = seen.iter().collect();
    assert_eq!((unique.len(), seen.len() + left), (seen.len(), OFFERS));
}
