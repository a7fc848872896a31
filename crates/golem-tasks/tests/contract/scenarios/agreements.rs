//! Agreements: made, decided, ended.

use std::time::Duration;

use golem_devnet::provider::{ApprovalManner, Behaviour, Limits, ProviderConfig};
use serde_json::{Value, json};
use tokio::time::Instant;
use yagna_api::market::{
    AgreementState, Approval, BASE, CancelAgreement, ConfirmAgreement, CreateAgreement, GetAgreement,
    GetTerminationReason, ListAgreements, Proposal, ProposalState, Reason, RejectProposal,
    TerminateAgreement, Terminator, Unsubscribe,
};
use yagna_api::{AgreementId, AppSessionId, DemandId, ProposalId};

use crate::hand::{Hand, in_time, now};
use crate::rental::{Terms, agree, counter, decision, draft, proposal, propose, publish};
use crate::stage::{Scene, Stage};

pub(super) async fn an_agreement_from_its_begin_to_its_end(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let (demand, draft) = drafted(&stage).await;
    let created = create(hand, &draft.proposal_id).await;
    stage.look("create", &created);
    let path = format!("{BASE}/agreements/{}", created.id());
    let (wait, terminate) = (format!("{path}/wait?timeout=20"), format!("{path}/terminate"));
    let (confirm, cancel) = (format!("{path}/confirm?appSessionId=ours"), format!("{path}/cancel"));
    let reason = format!("{path}/terminate/reason");
    stage.look("created", &hand.get(&path).await);
    stage.look("wait before it is confirmed", &hand.post_nothing(&wait).await);
    stage.look("terminate before it is confirmed", &hand.post(&terminate, &Value::Null).await);
    stage.look("why it ended before it began", &hand.get(&reason).await);
    stage.look("confirm", &hand.post_nothing(&confirm).await);
    stage.look("wait", &hand.post_nothing(&wait).await);
    stage.look("wait again", &hand.post_nothing(&format!("{path}/wait?timeout=0")).await);
    stage.look("confirm when it is approved", &hand.post_nothing(&confirm).await);
    stage.look("cancel when it is approved", &hand.post(&cancel, &Value::Null).await);
    stage.look("approved", &hand.get(&path).await);
    let read = format!("{BASE}/demands/{demand}/proposals/{}", draft.proposal_id);
    assert_eq!(hand.get(&read).await.json()["state"], "Accepted");
    stage.look("why it ended before it did", &hand.get(&reason).await);
    stage.look("terminate without a body", &hand.post_nothing(&terminate).await);
    stage.look("terminate without a message", &hand.post(&terminate, &json!({"code": "x"})).await);
    let why = json!({"message": "enough", "golem.requestor.code": "Success", "more": {"a": [1]}});
    stage.look("terminate", &hand.post(&terminate, &why).await);
    stage.look("why it ended", &hand.get(&reason).await);
    stage.look("terminate again", &hand.post(&terminate, &why).await);
    stage.look("wait when it is over", &hand.post_nothing(&wait).await);
    stage.look("confirm when it is over", &hand.post_nothing(&confirm).await);
    stage.look("cancel when it is over", &hand.post(&cancel, &Value::Null).await);
    stage.look("terminated", &hand.get(&path).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn agreements_that_cant_be_made(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let terms = Terms::usual(&stage);
    let demand = publish(hand, &terms).await;
    let initial = proposal(hand, &demand, ProposalState::Initial).await;
    stage.look("of an initial proposal", &create(hand, &initial.proposal_id).await);
    let ours = counter(hand, &demand, &initial.proposal_id, &terms).await;
    stage.look("of a countered initial proposal", &create(hand, &initial.proposal_id).await);
    stage.look("of our own proposal", &create(hand, &ours).await);
    let first = proposal(hand, &demand, ProposalState::Draft).await;
    counter(hand, &demand, &first.proposal_id, &terms).await;
    stage.look("of a countered draft", &create(hand, &first.proposal_id).await);
    let draft = proposal(hand, &demand, ProposalState::Draft).await;
    for id in [
        "zz".to_owned(),
        String::new(),
        "R-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into(),
        draft.proposal_id.as_str().replace("R-", "P-"),
        draft.proposal_id.as_str().replace("R-", ""),
    ] {
        let what =
            if id.starts_with("P-") { "of a provider's name for it".into() } else { format!("of {id:?}") };
        stage.look(&what, &create(hand, &ProposalId::new(id)).await);
    }
    let path = format!("{BASE}/agreements");
    let id = &draft.proposal_id;
    for (what, body) in [
        ("without an end", json!({"proposalId": id})),
        ("with null for an end", json!({"proposalId": id, "validTo": null})),
        ("with an end in no zone", json!({"proposalId": id, "validTo": "2030-01-01T00:00:00"})),
        ("with a day for an end", json!({"proposalId": id, "validTo": "2030-01-01"})),
        ("with a number for an end", json!({"proposalId": id, "validTo": 1_900_000_000})),
        ("without a proposal", json!({"validTo": "2030-01-01T00:00:00Z"})),
        ("with nothing", json!({})),
    ] {
        stage.look(what, &hand.post(&path, &body).await);
    }
    stage.look("without a body", &hand.post_nothing(&path).await);
    hand.call(&RejectProposal { demand: demand.clone(), proposal: id.clone(), reason: None }).await;
    stage.look("of a refused draft", &create(hand, id).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn a_draft_makes_one_agreement(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let (demand, draft) = drafted(&stage).await;
    let agreement = AgreementId::new(create(hand, &draft.proposal_id).await.expect(200).id());
    stage.look("a second one", &create(hand, &draft.proposal_id).await);
    hand.call(&ConfirmAgreement { agreement: agreement.clone(), session: None }).await;
    assert_eq!(decision(hand, &agreement).await, Approval::Approved);
    stage.look("a second one when it is approved", &create(hand, &draft.proposal_id).await);
    let here = format!("{BASE}/demands/{demand}/proposals/{}", draft.proposal_id);
    stage.look("refuse the draft", &hand.post(&format!("{here}/reject"), &Value::Null).await);
    stage.note(&format!("the draft is {}", hand.get(&here).await.json()["state"]));
    hand.call(&TerminateAgreement { agreement, reason: None }).await;
    stage.look("a second one when it is over", &create(hand, &draft.proposal_id).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// A draft that was made into an agreement can still be answered. That spoils the agreement.
pub(super) async fn an_agreement_is_spoilt_by_a_counter(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let (demand, draft) = drafted(&stage).await;
    stage.note(&format!("the draft {}", draft.proposal_id));
    let id = create(hand, &draft.proposal_id).await.expect(200).id();
    let here = format!("{BASE}/demands/{demand}/proposals/{}", draft.proposal_id);
    stage.look("counter the draft", &hand.post(&here, &Terms::usual(&stage).json()).await);
    proposal(hand, &demand, ProposalState::Draft).await;
    let path = format!("{BASE}/agreements/{id}");
    stage.look("confirm", &hand.post_nothing(&format!("{path}/confirm")).await);
    stage.note(&format!("it is {}", hand.get(&path).await.json()["state"]));
    stage.look("confirm again", &hand.post_nothing(&format!("{path}/confirm")).await);
    stage.look("refuse the draft", &hand.post(&format!("{here}/reject"), &Value::Null).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// An end may be in any zone, with any number of digits.
pub(super) async fn the_end_of_validity_has_many_forms(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    for valid_to in [
        "2030-01-01T12:00:00Z",
        "2030-01-01T12:00:00.123456789Z",
        "2030-01-01T12:00:00+02:00",
        "2030-01-01 12:00:00Z",
        "2030-01-01t12:00:00z",
        "2030-01-01T12:00Z",
        "2030-01-01T12:00:00+0200",
    ] {
        let (demand, draft) = drafted(&stage).await;
        let body = json!({"proposalId": draft.proposal_id, "validTo": valid_to});
        let created = hand.post(&format!("{BASE}/agreements"), &body).await;
        if created.status == 200 {
            let read = hand.get(&format!("{BASE}/agreements/{}", created.id())).await.json();
            let read: yagna_api::Timestamp =
                read["validTo"].as_str().expect("a time").parse().expect("a time");
            stage.note(&format!("{valid_to} is {}", read.as_nanosecond()));
        } else {
            stage.look(valid_to, &created);
        }
        hand.call(&Unsubscribe(demand)).await;
    }
    stage.close().await;
}

pub(super) async fn agreements_that_are_none(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for id in [hex.to_owned(), format!("R-{hex}"), "zz".into(), hex[1..].into(), hex.replace('0', "g")] {
        let path = format!("{BASE}/agreements/{id}");
        stage.look(&format!("read {id}"), &hand.get(&path).await);
        stage.look(&format!("confirm {id}"), &hand.post_nothing(&format!("{path}/confirm")).await);
        stage.look(&format!("wait for {id}"), &hand.post_nothing(&format!("{path}/wait?timeout=0")).await);
        stage.look(&format!("cancel {id}"), &hand.post(&format!("{path}/cancel"), &Value::Null).await);
        stage.look(&format!("terminate {id}"), &hand.post(&format!("{path}/terminate"), &Value::Null).await);
        stage.look(&format!("why {id} ended"), &hand.get(&format!("{path}/terminate/reason")).await);
    }
    let path = format!("{BASE}/agreements/{hex}");
    stage.look("wait for long", &hand.post_nothing(&format!("{path}/wait?timeout=long")).await);
    stage.look("cancel without a body", &hand.post_nothing(&format!("{path}/cancel")).await);
    stage.close().await;
}

pub(super) async fn an_agreement_is_cancelled(scene: Scene) {
    let stage = scene.open([never()]).await;
    let hand = &stage.hand;
    let (demand, draft) = drafted(&stage).await;
    let id = create(hand, &draft.proposal_id).await.expect(200).id();
    let path = format!("{BASE}/agreements/{id}");
    let (cancel, wait) = (format!("{path}/cancel"), format!("{path}/wait?timeout=0.2"));
    stage.look("cancel before it is confirmed", &hand.post(&cancel, &Value::Null).await);
    hand.call(&ConfirmAgreement { agreement: AgreementId::new(id), session: None }).await;
    stage.look("pending", &hand.get(&path).await);
    stage.look("confirm again", &hand.post_nothing(&format!("{path}/confirm")).await);
    stage.look("nobody answers", &hand.post_nothing(&wait).await);
    stage.look("nobody answers at once", &hand.post_nothing(&format!("{path}/wait?timeout=0")).await);
    stage.look("terminate", &hand.post(&format!("{path}/terminate"), &Value::Null).await);
    stage.look("cancel without a body", &hand.post_nothing(&cancel).await);
    stage.look("cancel", &hand.post(&cancel, &json!({"message": "too late", "golem.more": 1})).await);
    stage.look("wait", &hand.post_nothing(&wait).await);
    stage.look("cancel again", &hand.post(&cancel, &Value::Null).await);
    stage.look("cancelled", &hand.get(&path).await);
    stage.look("why it ended", &hand.get(&format!("{path}/terminate/reason")).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// Who waits for a decision when it is taken back, knows at once.
pub(super) async fn a_cancel_ends_the_wait(scene: Scene) {
    let stage = scene.open([never()]).await;
    let hand = &stage.hand;
    let (demand, draft) = drafted(&stage).await;
    let agreement = propose(hand, &draft.proposal_id).await;
    let begin = Instant::now();
    let cancel = async {
        // Nothing tells that a call waits. One that comes too late gets the same answer.
        tokio::time::sleep(Duration::from_millis(300)).await;
        hand.call(&CancelAgreement { agreement: agreement.clone(), reason: None }).await;
    };
    let (decision, ()) = tokio::join!(decision(hand, &agreement), cancel);
    assert_eq!(decision, Approval::Refused("Cancelled".into()));
    assert!(begin.elapsed() < Duration::from_secs(15), "it took {:?}", begin.elapsed());
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn an_agreement_is_rejected(scene: Scene) {
    let behaviour = Behaviour { approval: ApprovalManner::Rejects, ..Behaviour::default() };
    let stage = scene.open([ProviderConfig::new("solo").behaving(behaviour)]).await;
    let hand = &stage.hand;
    let (demand, draft) = drafted(&stage).await;
    let agreement = propose(hand, &draft.proposal_id).await;
    let path = format!("{BASE}/agreements/{agreement}");
    stage.look("wait", &hand.post_nothing(&format!("{path}/wait?timeout=20")).await);
    stage.look("wait again", &hand.post_nothing(&format!("{path}/wait?timeout=0")).await);
    stage.look("rejected", &hand.get(&path).await);
    stage.look("cancel", &hand.post(&format!("{path}/cancel"), &Value::Null).await);
    stage.look("terminate", &hand.post(&format!("{path}/terminate"), &Value::Null).await);
    stage.look("why it ended", &hand.get(&format!("{path}/terminate/reason")).await);
    stage.look("another one", &create(hand, &draft.proposal_id).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// Of two agreements with a provider that has room for one, the second is refused.
pub(super) async fn the_second_comes_too_late(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let (first, one) = drafted(&stage).await;
    let (second, two) = drafted(&stage).await;
    let one = propose(hand, &one.proposal_id).await;
    assert_eq!(decision(hand, &one).await, Approval::Approved);
    let two = propose(hand, &two.proposal_id).await;
    let reply = hand.post_nothing(&format!("{BASE}/agreements/{two}/wait?timeout=20")).await;
    stage.look("wait for the second", &reply);
    hand.call(&TerminateAgreement { agreement: one, reason: None }).await;
    for demand in [first, second] {
        hand.call(&Unsubscribe(demand)).await;
    }
    stage.close().await;
}

pub(super) async fn an_agreement_expires(scene: Scene) {
    let stage = scene.open([never()]).await;
    let hand = &stage.hand;
    let (demand, draft) = drafted(&stage).await;
    let valid_to = in_time(Duration::from_secs(2));
    let create = CreateAgreement { proposal_id: draft.proposal_id, valid_to };
    let agreement = hand.call(&create).await;
    hand.call(&ConfirmAgreement { agreement: agreement.clone(), session: None }).await;
    let path = format!("{BASE}/agreements/{agreement}");
    stage.look("wait", &hand.post_nothing(&format!("{path}/wait?timeout=4")).await);
    stage.look("wait again", &hand.post_nothing(&format!("{path}/wait?timeout=0")).await);
    stage.look("expired", &hand.get(&path).await);
    stage.look("cancel", &hand.post(&format!("{path}/cancel"), &Value::Null).await);
    stage.look("terminate", &hand.post(&format!("{path}/terminate"), &Value::Null).await);
    stage.look("why it ended", &hand.get(&format!("{path}/terminate/reason")).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn an_agreement_is_born_expired(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let (demand, draft) = drafted(&stage).await;
    let create = CreateAgreement { proposal_id: draft.proposal_id, valid_to: now() };
    let agreement = hand.call(&create).await;
    let path = format!("{BASE}/agreements/{agreement}");
    stage.look("read", &hand.get(&path).await);
    stage.look("confirm", &hand.post_nothing(&format!("{path}/confirm")).await);
    stage.look("wait", &hand.post_nothing(&format!("{path}/wait?timeout=0")).await);
    stage.look("cancel", &hand.post(&format!("{path}/cancel"), &Value::Null).await);
    stage.look("terminate", &hand.post(&format!("{path}/terminate"), &Value::Null).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn a_provider_ends_the_agreement(scene: Scene) {
    let reason = Reason::new("I am tired.").with("golem.provider.code", "NoActivity");
    let behaviour =
        Behaviour { terminates: Some((Duration::from_millis(200), reason)), ..Behaviour::default() };
    let stage = scene.open([ProviderConfig::new("solo").behaving(behaviour)]).await;
    let hand = &stage.hand;
    let (demand, agreement) = agree(hand, &Terms::usual(&stage)).await;
    until(hand, &agreement, AgreementState::Terminated).await;
    let path = format!("{BASE}/agreements/{agreement}");
    stage.look("terminated", &hand.get(&path).await);
    stage.look("why it ended", &hand.get(&format!("{path}/terminate/reason")).await);
    stage.look("terminate it, too", &hand.post(&format!("{path}/terminate"), &Value::Null).await);
    stage.look("wait", &hand.post_nothing(&format!("{path}/wait?timeout=0")).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// When an agreement has ended, its offer is shown anew to the demand, whoever ended it.
pub(super) async fn an_offer_comes_back(scene: Scene) {
    let reason = Reason::new("I am tired.");
    let behaviour =
        Behaviour { terminates: Some((Duration::from_millis(200), reason)), ..Behaviour::default() };
    let stage =
        scene.open([ProviderConfig::new("kept"), ProviderConfig::new("left").behaving(behaviour)]).await;
    let hand = &stage.hand;
    let terms = Terms::usual(&stage);
    for who in ["kept", "left"] {
        let mut terms = terms.clone();
        terms.constraints = format!("(&{}(golem.node.id.name={who}))", terms.constraints);
        let (demand, agreement) = agree(hand, &terms).await;
        let by = if who == "kept" {
            hand.call(&TerminateAgreement { agreement: agreement.clone(), reason: None }).await;
            Terminator::Requestor
        } else {
            Terminator::Provider
        };
        let again = proposal(hand, &demand, ProposalState::Initial).await;
        assert_eq!(&again.issuer_id, stage.provider(who).node());
        let end = hand.call(&GetTerminationReason(agreement)).await;
        let yagna_api::market::AgreementEventKind::Terminated(end) = end.kind else { panic!("{end:?}") };
        assert_eq!(end.terminator, by);
        counter(hand, &demand, &again.proposal_id, &terms).await;
        proposal(hand, &demand, ProposalState::Draft).await;
        hand.call(&Unsubscribe(demand)).await;
    }
    stage.close().await;
}

pub(super) async fn agreements_are_listed(scene: Scene) {
    let limits = Limits { agreements: 9, ..Limits::default() };
    let stage = scene.open([ProviderConfig { limits, ..ProviderConfig::new("solo") }]).await;
    let hand = &stage.hand;
    let list = format!("{BASE}/agreements");
    let session = AppSessionId::new(format!("{}-{}", stage.subnet, now().as_nanosecond()));
    let (begin, terms) = (now(), Terms::usual(&stage));
    let (demand, first) = drafted(&stage).await;
    let proposed = AgreementId::new(create(hand, &first.proposal_id).await.expect(200).id());
    let (other, second) = drafted(&stage).await;
    let approved = AgreementId::new(create(hand, &second.proposal_id).await.expect(200).id());
    hand.call(&ConfirmAgreement { agreement: approved.clone(), session: Some(session.clone()) }).await;
    decision(hand, &approved).await;
    let (third, ended) = agree(hand, &terms).await;
    hand.call(&TerminateAgreement { agreement: ended.clone(), reason: None }).await;
    let ids = [proposed, approved.clone(), ended];
    let mine = |value: &Value| ids.iter().any(|id| value["id"] == id.as_str());
    stage.look("all", &hand.get(&list).await.keep(mine));
    for state in ["Proposal", "Approved", "Terminated", "Pending", "Rejected", "Cancelled", "Expired"] {
        stage.look(state, &hand.get(&format!("{list}?state={state}")).await.keep(mine));
    }
    stage.look("of a session", &hand.get(&format!("{list}?appSessionId={session}")).await);
    stage.look("of no session", &hand.get(&format!("{list}?appSessionId=")).await.keep(mine));
    let count = async |filter: ListAgreements| {
        let listed = hand.call(&filter).await;
        listed.items.iter().filter(|item| ids.contains(&item.id)).count()
    };
    assert_eq!(count(ListAgreements { after: Some(begin), ..Default::default() }).await, 3);
    assert_eq!(count(ListAgreements { before: Some(begin), ..Default::default() }).await, 0);
    let both = ListAgreements { after: Some(begin), before: Some(now()), ..Default::default() };
    assert_eq!(count(both).await, 3);
    for query in [
        "state=approved",
        "state=",
        "state=Any",
        "beforeDate=2030-01-01T00:00:00",
        "afterDate=x",
        "beforeDate=2030-01-01T00:00:00+00:00",
    ] {
        stage.look(query, &hand.get(&format!("{list}?{query}")).await);
    }
    hand.call(&TerminateAgreement { agreement: approved, reason: None }).await;
    for demand in [demand, other, third] {
        hand.call(&Unsubscribe(demand)).await;
    }
    stage.close().await;
}

/// A provider that never answers a proposed agreement.
fn never() -> ProviderConfig {
    let behaviour = Behaviour { approval: ApprovalManner::Never, ..Behaviour::default() };
    ProviderConfig::new("mute").behaving(behaviour)
}

/// A demand of the stage, and a draft from the only provider.
async fn drafted(stage: &Stage) -> (DemandId, Proposal) {
    let terms = Terms::usual(stage);
    let demand = publish(&stage.hand, &terms).await;
    let draft = draft(&stage.hand, &demand, &terms).await;
    (demand, draft)
}

async fn create(hand: &Hand, proposal: &ProposalId) -> crate::hand::Reply {
    let valid_to = in_time(Duration::from_secs(3600));
    hand.post(&format!("{BASE}/agreements"), &json!({"proposalId": proposal, "validTo": valid_to})).await
}

async fn until(hand: &Hand, agreement: &AgreementId, state: AgreementState) {
    let begin = Instant::now();
    loop {
        let found = hand.call(&GetAgreement(agreement.clone())).await.state;
        if found == state {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{found:?} instead of {state:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
