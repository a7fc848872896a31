//! Faults on purpose, and event cursors under random interleavings.

use std::time::Duration;

use golem_devnet::node::Fault;
use golem_devnet::port::Port as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kit::{FakeUnit, Net};

#[tokio::test(start_paused = true)]
async fn chosen_requests_fail_and_then_no_more() {
    let net = Net::new();
    let faults = net.world.faults();
    faults.next(2, "POST /market-api/v1/demands", Fault::Status(503));
    net.get("/market-api/v1/demands").await.expect(200);
    for _ in 0..2 {
        net.post("/market-api/v1/demands", net.demand_body()).await.expect(503);
    }
    net.demand().await;
    faults.next(1, "/me", Fault::Drop);
    assert_eq!(net.get("/me").await.text, "BROKEN");
    net.get("/me").await.expect(200);
    faults.next(1, "POST /market-api/v1/demands", Fault::LoseAnswer);
    assert_eq!(net.post("/market-api/v1/demands", net.demand_body()).await.text, "BROKEN");
    assert_eq!(
        net.get("/market-api/v1/demands").await.json().as_array().unwrap().len(),
        2,
        "it was carried out"
    );
    faults.for_a_while(Duration::from_secs(10), "", Fault::Status(500));
    net.get("/me").await.expect(500);
    tokio::time::sleep(Duration::from_secs(9)).await;
    net.get("/me").await.expect(500);
    tokio::time::sleep(Duration::from_secs(1)).await;
    net.get("/me").await.expect(200);
    faults.always("/me", Fault::Freeze);
    assert!(tokio::time::timeout(Duration::from_secs(1000), net.get("/me")).await.is_err());
    net.get("/version/get").await.expect(200);
    let thaw = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        faults.clear();
    };
    let (frozen, ()) = tokio::join!(net.get("/me"), thaw);
    assert_eq!(frozen.text, "BROKEN");
    net.get("/me").await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_demands_and_scans_and_nothing_else() {
    let net = Net::new();
    let allocation = net.allocation("1").await;
    let agreement = net.rental().await;
    let activity = net.activity(&agreement, FakeUnit::default()).await;
    let demand = net.demand().await;
    let scan = net.post("/market-api/v1/scan", json!({"type": "offer"})).await.expect(201).id();
    let poll = format!("/market-api/v1/demands/{demand}/events?timeout=60");
    let restart = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        net.world.faults().restart(Duration::from_secs(8));
    };
    let began = Instant::now();
    let (cut, ()) = tokio::join!(net.get(&poll), restart);
    assert_eq!((cut.text.as_str(), began.elapsed()), ("BROKEN", Duration::from_secs(1)));
    assert_eq!(net.get("/me").await.text, "BROKEN");
    tokio::time::sleep(Duration::from_secs(8)).await;
    net.get(&poll).await.expect(404);
    net.get(&format!("/market-api/v1/scan/{scan}/events?timeout=0")).await.expect(404);
    assert_eq!(net.get(&format!("/market-api/v1/agreements/{agreement}")).await.json()["state"], "Approved");
    net.get(&format!("/payment-api/v1/allocations/{allocation}")).await.expect(200);
    net.get(&format!("/activity-api/v1/activity/{activity}/state")).await.expect(200);
    let events = net.get("/market-api/v1/agreementEvents?timeout=0").await.json();
    assert_eq!(events.as_array().unwrap().len(), 1);
    net.offer().await;
    let fresh = net.demand().await;
    assert_eq!(net.events(&fresh, "0").await.len(), 1, "offers are the providers' own");
}

#[tokio::test(start_paused = true)]
async fn malformed_events_come_in_their_turn() {
    let net = Net::new();
    let demand = net.demand().await;
    net.offer().await;
    net.world
        .faults()
        .inject_event_for(&net.requestor.node, &json!({"eventType": "Nonsense", "proposal": 7}));
    net.offer().await;
    let kinds: Vec<_> =
        net.events(&demand, "0").await.iter().map(|event| event["eventType"].clone()).collect();
    assert_eq!(kinds, ["ProposalEvent", "Nonsense", "ProposalEvent"]);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_provider_answers_nothing_until_it_thaws() {
    let net = Net::new();
    let agreement = net.rental().await;
    let activity = net.activity(&agreement, FakeUnit::default()).await;
    net.world.faults().freeze(&net.port.node());
    let began = Instant::now();
    let path = format!("/activity-api/v1/activity/{activity}/exec");
    net.post(&format!("{path}?timeout=5"), json!({"text": "[]"})).await.expect(408);
    assert_eq!(began.elapsed(), Duration::from_secs(6));
    net.get(&format!("{path}/b?timeout=5")).await.expect(408);
    let terminate = format!("/market-api/v1/agreements/{agreement}/terminate");
    let hung = tokio::time::timeout(Duration::from_secs(100), net.post(&terminate, json!(null))).await;
    assert!(hung.is_err());
    let thaw = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        net.world.faults().thaw(&net.port.node());
    };
    let (offer, ()) = tokio::join!(net.port.subscribe_offer(net.offer_terms()), thaw);
    offer.unwrap();
    net.post(&path, json!({"text": "[]"})).await.expect(200);
    net.post(&terminate, json!(null)).await.expect(200);
}

/// Readers with cursors of their own, at random times and page sizes, while events come: each sees all, once.
#[tokio::test(start_paused = true)]
async fn cursors_lose_and_repeat_nothing_whatever_the_interleaving() {
    for seed in 0..20 {
        let net = Net::new();
        let mut random = fastrand::Rng::with_seed(seed);
        let writer = async {
            let mut random = fastrand::Rng::with_seed(seed + 1000);
            for _ in 0..8 {
                let id = net.rental_in(if random.bool() { "a" } else { "b" }).await;
                if random.bool() {
                    tokio::time::sleep(Duration::from_micros(random.u64(0..3_000_000))).await;
                }
                if random.bool() {
                    net.port.terminate_agreement(&id, None).await.unwrap();
                }
            }
            tokio::time::sleep(Duration::from_secs(20)).await;
        };
        let read = |session: &'static str, mut random: fastrand::Rng| {
            let net = &net;
            async move {
                let (mut seen, mut cursor) = (Vec::<Value>::new(), String::new());
                for _ in 0..60 {
                    let (max, wait) = (random.u32(1..5), random.u32(0..3));
                    let path = format!(
                        "/market-api/v1/agreementEvents?timeout={wait}&maxEvents={max}{session}{cursor}"
                    );
                    let page = net.get(&path).await.expect(200).json().as_array().unwrap().clone();
                    if let Some(last) = page.last() {
                        cursor = format!("&afterTimestamp={}", last["eventDate"].as_str().unwrap());
                    }
                    seen.extend(page);
                    tokio::time::sleep(Duration::from_millis(random.u64(0..500))).await;
                }
                seen
            }
        };
        let (r1, r2, r3) = (random.fork(), random.fork(), random.fork());
        let ((), all, of_a, of_b) =
            tokio::join!(writer, read("", r1), read("&appSessionId=a", r2), read("&appSessionId=b", r3));
        let truth = net.get("/market-api/v1/agreementEvents?timeout=0&maxEvents=100").await.json();
        assert_eq!(Value::Array(all), truth, "seed {seed}");
        assert_eq!(of_a.len() + of_b.len(), truth.as_array().unwrap().len(), "seed {seed}");
    }
}
