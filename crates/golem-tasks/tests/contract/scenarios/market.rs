//! Demands, offers and how they meet.

use golem_devnet::provider::ProviderConfig;
use serde_json::json;
use yagna_api::market::ProposalState;

use crate::deal::{Terms, proposal, publish};
use crate::stage::Scene;

pub(super) async fn a_demand_lives_until_it_is_withdrawn(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let body =
        json!({"properties": {"golem": {"a": [1, 2.0, null, "x"], "b.c": 8.0}}, "constraints": "(a=*)"});
    let published = hand.post("/market-api/v1/demands", &body).await.expect(201);
    stage.look("publish", &published);
    stage.look("list", &hand.get("/market-api/v1/demands").await);
    let path = format!("/market-api/v1/demands/{}", published.id());
    stage.look("a poll ends without events", &hand.get(&format!("{path}/events?timeout=0.1")).await);
    stage.look("withdraw", &hand.delete(&path).await);
    stage.look("withdraw again", &hand.delete(&path).await);
    stage.look("poll a withdrawn demand", &hand.get(&format!("{path}/events?timeout=5")).await);
    stage.look("the list is empty", &hand.get("/market-api/v1/demands").await);
    stage.close().await;
}

pub(super) async fn an_offer_is_found(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let demand = publish(hand, &Terms::usual(&stage)).await;
    let initial = proposal(hand, &demand, ProposalState::Initial).await;
    assert_eq!(&initial.issuer_id, stage.provider("solo").node());
    assert_eq!(initial.prev_proposal_id, None);
    let path = format!("/market-api/v1/demands/{demand}/proposals/{}", initial.proposal_id);
    stage.look("the offer as an initial proposal", &hand.get(&path).await.expect(200));
    stage.close().await;
}
