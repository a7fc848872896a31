//! Proposals: answered, refused, and answered again.

use std::time::Duration;

use golem_devnet::provider::{Limits, ProviderConfig};
use serde_json::{Value, json};
use tokio::time::Instant;
use yagna_api::market::{
    BASE, DeleteScan, GetProposal, PollScan, Proposal, ProposalState, Reason, RejectProposal, ScanKind,
    StartScan, TerminateAgreement, Unsubscribe,
};
use yagna_api::properties::name;
use yagna_api::{DemandId, ProposalId};

use super::market::offer_anew;
use crate::hand::in_time;
use crate::rental::{Terms, agree, counter, draft, proposal, publish};
use crate::stage::{Scene, Stage};

pub(super) async fn a_counter_is_answered_by_a_draft(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let (demand, initial) = initial(&stage).await;
    let terms = Terms::usual(&stage).with("golem.more", json!({"a": [1, 2.0]}));
    let countered = hand.post(&path(&demand, &initial.proposal_id), &terms.json()).await;
    stage.look("counter", &countered);
    let ours = ProposalId::new(countered.id());
    let events = format!("{BASE}/demands/{demand}/events?timeout=20");
    stage.look("the draft", &hand.get(&events).await);
    stage.look("the initial proposal", &hand.get(&path(&demand, &initial.proposal_id)).await);
    stage.look("ours", &hand.get(&path(&demand, &ours)).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn a_negotiation_may_go_on(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let terms = Terms::usual(&stage);
    let (demand, initial) = initial(&stage).await;
    let mut last = initial;
    for round in 0..3 {
        let ours = counter(hand, &demand, &last.proposal_id, &terms.clone().with("golem.round", round)).await;
        let draft = proposal(hand, &demand, ProposalState::Draft).await;
        assert_eq!(draft.prev_proposal_id.as_ref(), Some(&ours));
        let read = hand.call(&GetProposal { demand: demand.clone(), proposal: ours }).await;
        assert_eq!(read.prev_proposal_id, Some(last.proposal_id));
        assert_eq!(read.properties.get("golem.round"), Some(&json!(round)));
        last = draft;
    }
    stage.look("the last draft", &hand.get(&path(&demand, &last.proposal_id)).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// Terms that only one side has are given up, terms that both have are the requestor's.
pub(super) async fn both_sides_agree_upon_terms(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let terms = Terms::usual(&stage).with(name::ACCEPT_TIMEOUT, 100).with(name::DEBIT_NOTE_INTERVAL, 60);
    let demand = publish(hand, &terms).await;
    let draft = draft(hand, &demand, &terms).await;
    assert_eq!(draft.properties.get(name::ACCEPT_TIMEOUT), Some(&json!(100)));
    assert_eq!(draft.properties.get(name::DEBIT_NOTE_INTERVAL), Some(&json!(60)));
    assert_eq!(draft.properties.get(name::PAYMENT_TIMEOUT), None);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn a_proposal_is_countered_once(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let terms = Terms::usual(&stage);
    let (demand, initial) = initial(&stage).await;
    let ours = counter(hand, &demand, &initial.proposal_id, &terms).await;
    let draft = proposal(hand, &demand, ProposalState::Draft).await;
    let post = async |id: &ProposalId| hand.post(&path(&demand, id), &terms.json()).await;
    stage.look("the initial proposal again", &post(&initial.proposal_id).await);
    stage.look("our own proposal", &post(&ours).await);
    counter(hand, &demand, &draft.proposal_id, &terms).await;
    stage.look("the draft again", &post(&draft.proposal_id).await);
    stage
        .look("refuse a countered one", &hand.post(&reject(&demand, &draft.proposal_id), &Value::Null).await);
    stage.look("refuse our own", &hand.post(&reject(&demand, &ours), &Value::Null).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn a_counter_must_match(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let usual = Terms::usual(&stage);
    let (demand, initial) = initial(&stage).await;
    let here = path(&demand, &initial.proposal_id);
    for constraints in ["(a=b", "", "((", "(golem.inf.mem.gib>1000)", "(golem.nothing=1)"] {
        let body = json!({"properties": usual.properties, "constraints": constraints});
        stage.look(&format!("constraints {constraints:?}"), &hand.post(&here, &body).await);
    }
    let elsewhere = usual.clone().with(name::SUBNET, "elsewhere");
    stage.look("another subnet", &hand.post(&here, &elsewhere.json()).await);
    let both = Terms { constraints: "(golem.nothing=1)".into(), ..elsewhere };
    stage.look("nothing matches", &hand.post(&here, &both.json()).await);
    for (what, body) in [
        ("no constraints", json!({"properties": {}})),
        ("no properties", json!({"constraints": "()"})),
        ("null", Value::Null),
        ("a list", json!([{}, "()"])),
    ] {
        stage.look(what, &hand.post(&here, &body).await);
    }
    stage.look("no body", &hand.post_nothing(&here).await);
    // None of these was an answer.
    counter(hand, &demand, &initial.proposal_id, &usual).await;
    proposal(hand, &demand, ProposalState::Draft).await;
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn proposals_that_are_none(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let (demand, initial) = initial(&stage).await;
    let id = initial.proposal_id.as_str();
    let terms = Terms::usual(&stage).json();
    for proposal in [
        "R-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".to_owned(),
        id.replace("R-", "P-"),
        id.replace("R-", ""),
        id.replace("R-", "X-"),
        id.replace("R-", "r-"),
        "R-xyz".into(),
        "R-".into(),
        "xyz".into(),
        format!("{}0", id.replace(|digit: char| digit.is_ascii_hexdigit(), "0")),
        demand.to_string(),
    ] {
        let here = format!("{BASE}/demands/{demand}/proposals/{proposal}");
        stage.look(&format!("read {proposal}"), &hand.get(&here).await);
        stage.look(&format!("counter {proposal}"), &hand.post(&here, &terms).await);
        stage.look(&format!("refuse {proposal}"), &hand.post(&format!("{here}/reject"), &Value::Null).await);
    }
    let other = publish(hand, &Terms::usual(&stage)).await;
    let here = path(&other, &initial.proposal_id);
    stage.look("read it at another demand", &hand.get(&here).await);
    stage.look("counter it at another demand", &hand.post(&here, &terms).await);
    stage.look("refuse it at another demand", &hand.post(&format!("{here}/reject"), &Value::Null).await);
    let unknown =
        "0123456789abcdef0123456789abcdef-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for (what, demand) in [("an unknown demand", unknown), ("a malformed demand", "abc")] {
        let here = format!("{BASE}/demands/{demand}/proposals/{id}");
        stage.look(&format!("read it at {what}"), &hand.get(&here).await);
        stage.look(&format!("counter it at {what}"), &hand.post(&here, &terms).await);
        stage
            .look(&format!("refuse it at {what}"), &hand.post(&format!("{here}/reject"), &Value::Null).await);
    }
    hand.call(&Unsubscribe(demand)).await;
    hand.call(&Unsubscribe(other)).await;
    stage.close().await;
}

pub(super) async fn we_refuse_an_initial_proposal(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let (demand, initial) = initial(&stage).await;
    let here = reject(&demand, &initial.proposal_id);
    refuse_in_all_ways(&stage, &here).await;
    stage.look("refused", &hand.get(&path(&demand, &initial.proposal_id)).await);
    // That was not the last word.
    counter(hand, &demand, &initial.proposal_id, &Terms::usual(&stage)).await;
    proposal(hand, &demand, ProposalState::Draft).await;
    stage.look("countered all the same", &hand.get(&path(&demand, &initial.proposal_id)).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn we_refuse_a_draft(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let terms = Terms::usual(&stage);
    let demand = publish(hand, &terms).await;
    let draft = draft(hand, &demand, &terms).await;
    refuse_in_all_ways(&stage, &reject(&demand, &draft.proposal_id)).await;
    let read = GetProposal { demand: demand.clone(), proposal: draft.proposal_id.clone() };
    assert_eq!(hand.call(&read).await.state, ProposalState::Rejected);
    let ours = counter(hand, &demand, &draft.proposal_id, &terms).await;
    let again = proposal(hand, &demand, ProposalState::Draft).await;
    assert_eq!(again.prev_proposal_id, Some(ours));
    let reason = Some(Reason::new("too dear").with("golem.requestor.code", "Price"));
    hand.call(&RejectProposal { demand: demand.clone(), proposal: again.proposal_id, reason }).await;
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

async fn refuse_in_all_ways(stage: &Stage, here: &str) {
    let hand = &stage.hand;
    stage.look("without a body", &hand.post_nothing(here).await);
    for (what, body) in [
        ("without a message", json!({})),
        ("in a word", json!("no")),
        ("with a number", json!({"message": 5})),
        ("with no more than a list", json!(["no"])),
        ("with a reason", json!({"message": "no", "golem.requestor.code": "X", "more": {"a": [1]}})),
        ("with a reason again", json!({"message": "no"})),
        ("without a reason", Value::Null),
    ] {
        stage.look(&format!("refuse {what}"), &hand.post(here, &body).await);
    }
}

/// A provider's reasons to refuse, and what is left of our proposal.
pub(super) async fn we_are_refused(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let usual = Terms::usual(&stage);
    let in_minutes = |minutes: u64| in_time(Duration::from_secs(minutes * 60)).as_millisecond();
    let mut unpaid = usual.clone();
    drop(unpaid.properties.remove(name::CHOSEN_PLATFORM));
    let accepting = |seconds: u64| usual.clone().with(name::ACCEPT_TIMEOUT, seconds);
    for (what, terms) in [
        ("no platform", unpaid),
        ("too short", usual.clone().with(name::EXPIRATION, in_minutes(4))),
        ("too long", usual.clone().with(name::EXPIRATION, in_minutes(40))),
        ("late acceptance", accepting(241)),
        ("hasty acceptance", accepting(4)),
        ("no interval", usual.clone().with(name::DEBIT_NOTE_INTERVAL, 0)),
    ] {
        let demand = publish(hand, &usual).await;
        let initial = proposal(hand, &demand, ProposalState::Initial).await;
        let ours = counter(hand, &demand, &initial.proposal_id, &terms).await;
        let events = format!("{BASE}/demands/{demand}/events?timeout=20");
        stage.look(what, &hand.get(&events).await);
        let read = hand.call(&GetProposal { demand: demand.clone(), proposal: ours }).await;
        assert_eq!(read.state, ProposalState::Rejected, "{what}");
        let answer = hand.post(&path(&demand, &initial.proposal_id), &usual.json()).await;
        stage.look("another try", &answer);
        hand.call(&Unsubscribe(demand)).await;
    }
    stage.close().await;
}

/// A provider that has no room refuses for now; when it has room again it answers the proposal it refused.
pub(super) async fn a_busy_provider_comes_back(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let terms = Terms::usual(&stage);
    let (first, agreement) = agree(hand, &terms).await;
    let second = publish(hand, &terms).await;
    let initial = proposal(hand, &second, ProposalState::Initial).await;
    let ours = counter(hand, &second, &initial.proposal_id, &terms).await;
    let reply = hand.get(&format!("{BASE}/demands/{second}/events?timeout=20")).await;
    stage.look("refused", &reply);
    hand.call(&TerminateAgreement { agreement, reason: None }).await;
    let draft = proposal(hand, &second, ProposalState::Draft).await;
    assert_eq!(draft.prev_proposal_id.as_ref(), Some(&ours));
    let read = hand.call(&GetProposal { demand: second.clone(), proposal: ours }).await;
    stage.note(&format!("the refused one is {:?} now", read.state));
    hand.call(&Unsubscribe(first)).await;
    hand.call(&Unsubscribe(second)).await;
    stage.close().await;
}

/// Many demands of one requestor find the same offer, and each has a negotiation of its own.
pub(super) async fn negotiations_are_apart(scene: Scene) {
    let config = ProviderConfig {
        limits: Limits { agreements: 9, ..Limits::default() },
        ..ProviderConfig::new("solo")
    };
    let stage = scene.open([config]).await;
    let hand = &stage.hand;
    let terms = Terms::usual(&stage);
    let (first, second) = (publish(hand, &terms).await, publish(hand, &terms).await);
    let (one, two) = (draft(hand, &first, &terms).await, draft(hand, &second, &terms).await);
    assert_ne!(one.proposal_id, two.proposal_id);
    hand.get(&path(&second, &one.proposal_id)).await.expect(404);
    hand.call(&Unsubscribe(first)).await;
    hand.call(&Unsubscribe(second)).await;
    stage.close().await;
}

pub(super) async fn an_offer_that_is_gone(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let terms = Terms::usual(&stage);
    let (demand, initial) = initial(&stage).await;
    let other = publish(hand, &terms).await;
    let draft = draft(hand, &other, &terms).await;
    stage.note(&format!("the initial proposal {}, the draft {}", initial.proposal_id, draft.proposal_id));
    offer_anew(stage.provider("solo")).await;
    forgotten(&stage).await;
    stage.look(
        "counter its initial proposal",
        &hand.post(&path(&demand, &initial.proposal_id), &terms.json()).await,
    );
    stage.look("counter its draft", &hand.post(&path(&other, &draft.proposal_id), &terms.json()).await);
    stage.look("refuse its draft", &hand.post(&reject(&other, &draft.proposal_id), &Value::Null).await);
    hand.call(&Unsubscribe(demand)).await;
    hand.call(&Unsubscribe(other)).await;
    stage.close().await;
}

pub(super) async fn a_demand_that_is_gone(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let terms = Terms::usual(&stage);
    let demand = publish(hand, &terms).await;
    let draft = draft(hand, &demand, &terms).await;
    hand.call(&Unsubscribe(demand.clone())).await;
    let here = path(&demand, &draft.proposal_id);
    stage.look("read", &hand.get(&here).await);
    stage.look("counter", &hand.post(&here, &terms.json()).await);
    stage.look("refuse", &hand.post(&format!("{here}/reject"), &Value::Null).await);
    let valid_to = in_time(Duration::from_secs(60));
    let body = json!({"proposalId": draft.proposal_id, "validTo": valid_to});
    stage.look("create an agreement", &hand.post(&format!("{BASE}/agreements"), &body).await);
    stage.close().await;
}

/// Waits until our daemon, too, has heard that no offer but the newest is left.
async fn forgotten(stage: &Stage) {
    let here = format!("({}={})", name::SUBNET, stage.subnet);
    let begin = Instant::now();
    loop {
        let kind = ScanKind::Offer;
        let start = StartScan { kind, idle_secs: 60, constraints: Some(here.clone()) };
        let scan = stage.hand.call(&start).await;
        let poll = PollScan { scan: scan.clone(), wait: Duration::from_millis(50), max: 10, peer: None };
        let found = stage.hand.call(&poll).await.items.len();
        stage.hand.call(&DeleteScan(scan)).await;
        if found == 1 {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{found} offers are there");
    }
}

/// A demand of the stage, and the proposal that it finds.
async fn initial(stage: &Stage) -> (DemandId, Proposal) {
    let demand = publish(&stage.hand, &Terms::usual(stage)).await;
    let initial = proposal(&stage.hand, &demand, ProposalState::Initial).await;
    (demand, initial)
}

fn path(demand: &DemandId, proposal: &ProposalId) -> String {
    format!("{BASE}/demands/{demand}/proposals/{proposal}")
}

fn reject(demand: &DemandId, proposal: &ProposalId) -> String {
    format!("{}/reject", path(demand, proposal))
}
