//! Agreements: every state, every refusal, and the events.

use std::time::Duration;

use golem_devnet::port::Port as _;
use serde_json::json;
use tokio::time::Instant;
use yagna_api::market::Reason;
use yagna_api::{AgreementId, Timestamp};

use crate::kit::Net;

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
