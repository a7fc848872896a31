//! What is told of agreements, and the cursor by which it is read.

use std::time::Duration;

use golem_devnet::provider::{ApprovalManner, Behaviour, Limits, ProviderConfig};
use serde_json::json;
use yagna_api::market::{
    AgreementEvent, Approval, BASE, CancelAgreement, ConfirmAgreement, CreateAgreement, PollAgreementEvents,
    Reason, TerminateAgreement, Unsubscribe,
};
use yagna_api::{AgreementId, AppSessionId, Timestamp};

use crate::hand::{Hand, in_time, now};
use crate::rental::{Terms, agree, decision, draft, publish};
use crate::stage::{Scene, Stage};

/// Each kind of event, with all that can be in it.
pub(super) async fn events_have_many_kinds(scene: Scene) {
    let ending = Behaviour {
        terminates: Some((
            Duration::from_millis(100),
            Reason::new("I am tired.").with("golem.provider.code", "X"),
        )),
        ..Behaviour::default()
    };
    let stage = scene
        .open([
            ProviderConfig::new("honest"),
            approving("rejecting", ApprovalManner::Rejects),
            approving("mute", ApprovalManner::Never),
            ProviderConfig::new("tired").behaving(ending),
        ])
        .await;
    let hand = &stage.hand;
    let session = session(&stage);
    let (demand, kept) = propose_to(&stage, "honest", &session).await;
    hand.call(&Unsubscribe(demand)).await;
    assert_eq!(decision(hand, &kept).await, Approval::Approved);
    let reason =
        Reason::new("enough").with("golem.requestor.code", "Success").with("more", json!({"a": [1]}));
    hand.call(&TerminateAgreement { agreement: kept, reason: Some(reason) }).await;
    let (demand, rejected) = propose_to(&stage, "rejecting", &session).await;
    hand.call(&Unsubscribe(demand)).await;
    decision(hand, &rejected).await;
    let (demand, cancelled) = propose_to(&stage, "mute", &session).await;
    let reason = Some(Reason::new("never mind").with("more", 1));
    hand.call(&CancelAgreement { agreement: cancelled, reason }).await;
    hand.call(&Unsubscribe(demand)).await;
    let (demand, without) = propose_to(&stage, "mute", &session).await;
    hand.call(&CancelAgreement { agreement: without, reason: None }).await;
    hand.call(&Unsubscribe(demand)).await;
    let (demand, tired) = propose_to(&stage, "tired", &session).await;
    hand.call(&Unsubscribe(demand)).await;
    assert_eq!(decision(hand, &tired).await, Approval::Approved);
    let events = read(hand, &session, None, 7).await;
    let path = format!("{BASE}/agreementEvents?appSessionId={session}&timeout=0");
    stage.look("all events", &hand.get(&path).await);
    assert!(events.windows(2).all(|pair| pair[0].event_date < pair[1].event_date), "{events:?}");
    stage.close().await;
}

/// A termination without a reason.
pub(super) async fn an_end_needs_no_reason(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let session = session(&stage);
    let (demand, agreement) = propose_to(&stage, "solo", &session).await;
    assert_eq!(decision(hand, &agreement).await, Approval::Approved);
    hand.call(&TerminateAgreement { agreement: agreement.clone(), reason: None }).await;
    stage.look("why it ended", &hand.get(&format!("{BASE}/agreements/{agreement}/terminate/reason")).await);
    read(hand, &session, None, 2).await;
    let path = format!("{BASE}/agreementEvents?appSessionId={session}&timeout=0");
    stage.look("its events", &hand.get(&path).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// Each event is after the cursor that the one before it was: none is lost and none comes twice, whatever connection
/// asks.
pub(super) async fn the_cursor_is_strict(scene: Scene) {
    let limits = Limits { agreements: 9, ..Limits::default() };
    let stage = scene.open([ProviderConfig { limits, ..ProviderConfig::new("solo") }]).await;
    let session = session(&stage);
    let mut all = Vec::new();
    for _ in 0..3 {
        let (demand, agreement) = propose_to(&stage, "solo", &session).await;
        assert_eq!(decision(&stage.hand, &agreement).await, Approval::Approved);
        stage.hand.call(&Unsubscribe(demand)).await;
        all.push(agreement);
    }
    for agreement in &all {
        stage.hand.call(&TerminateAgreement { agreement: agreement.clone(), reason: None }).await;
    }
    let whole = read(&stage.hand, &session, None, 6).await;
    let mut cursor = None;
    for event in &whole {
        let hand = stage.hand_with_key(stage.key());
        let poll = PollAgreementEvents {
            after: cursor,
            session: Some(session.clone()),
            wait: Duration::from_secs(5),
            max: 1,
        };
        let found = hand.call(&poll).await.items;
        assert_eq!(found, std::slice::from_ref(event));
        cursor = Some(event.event_date);
    }
    let rest = |after: Timestamp| PollAgreementEvents {
        after: Some(after),
        session: Some(session.clone()),
        wait: Duration::ZERO,
        max: 100,
    };
    let last = whole[5].event_date;
    assert_eq!(stage.hand.call(&rest(last)).await.items, []);
    let just_before = last.checked_sub(Duration::from_micros(1)).expect("a time long after the first");
    assert_eq!(stage.hand.call(&rest(just_before)).await.items, whole[5..]);
    assert_eq!(stage.hand.call(&rest(whole[2].event_date)).await.items, whole[3..]);
    stage.close().await;
}

pub(super) async fn events_belong_to_sessions(scene: Scene) {
    let limits = Limits { agreements: 9, ..Limits::default() };
    let stage = scene.open([ProviderConfig { limits, ..ProviderConfig::new("solo") }]).await;
    let hand = &stage.hand;
    let begin = now();
    let (first, second) = (session(&stage), AppSessionId::new(format!("{} & more+", session(&stage))));
    let (demand, one) = propose_to(&stage, "solo", &first).await;
    decision(hand, &one).await;
    let (other, two) = propose_to(&stage, "solo", &second).await;
    decision(hand, &two).await;
    let (third, three) = agree(hand, &Terms::usual(&stage)).await;
    let of =
        |events: Vec<AgreementEvent>| events.into_iter().map(|event| event.agreement_id).collect::<Vec<_>>();
    assert_eq!(of(read(hand, &first, None, 1).await), std::slice::from_ref(&one));
    assert_eq!(of(read(hand, &second, None, 1).await), std::slice::from_ref(&two));
    let poll =
        PollAgreementEvents { after: Some(begin), session: None, wait: Duration::from_secs(5), max: 100 };
    assert_eq!(of(hand.call(&poll).await.items), [one.clone(), two.clone(), three.clone()]);
    let path = format!("{BASE}/agreements/{two}");
    let read = hand.get(&path).await.json();
    assert_eq!(read["appSessionId"], second.as_str());
    assert_eq!(hand.get(&format!("{BASE}/agreements/{three}")).await.json().get("appSessionId"), None);
    stage.look("of no session", &hand.get(&format!("{BASE}/agreementEvents?appSessionId=&timeout=0")).await);
    stage.look(
        "of an unknown one",
        &hand.get(&format!("{BASE}/agreementEvents?appSessionId=x&timeout=0")).await,
    );
    for (demand, agreement) in [(demand, one), (other, two), (third, three)] {
        hand.call(&Unsubscribe(demand)).await;
        hand.call(&TerminateAgreement { agreement, reason: None }).await;
    }
    stage.close().await;
}

pub(super) async fn a_poll_is_woken_by_an_event(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let session = session(&stage);
    let poll = PollAgreementEvents {
        after: Some(now()),
        session: Some(session.clone()),
        wait: Duration::from_secs(50),
        max: 10,
    };
    let ((demand, agreement), found) = tokio::join!(propose_to(&stage, "solo", &session), hand.call(&poll));
    assert_eq!(found.items.len(), 1, "{found:?}");
    assert_eq!(found.items[0].agreement_id, agreement);
    hand.call(&Unsubscribe(demand)).await;
    hand.call(&TerminateAgreement { agreement, reason: None }).await;
    stage.close().await;
}

pub(super) async fn polls_for_events_have_limits(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    for query in [
        "maxEvents=0",
        "maxEvents=101",
        "maxEvents=-1",
        "maxEvents=x",
        "maxEvents=100",
        "timeout=x",
        "afterTimestamp=2025-01-01T00:00:00Z",
        "afterTimestamp=2025-01-01T00:00:00.123456789Z",
        "afterTimestamp=2025-01-01T00:00:00%2B00:00",
        "afterTimestamp=2025-01-01T00:00:00+00:00",
        "afterTimestamp=2025-01-01T00:00:00-00:00",
        "afterTimestamp=2025-01-01%2000:00:00Z",
        "afterTimestamp=2025-01-01+00:00:00Z",
        "afterTimestamp=2025-01-01T00:00:00",
        "afterTimestamp=2025-01-01T00:00Z",
        "afterTimestamp=2025-01-01",
        "afterTimestamp=1735689600",
        "afterTimestamp=",
        "afterTimestamp=x",
        "afterTimestamp=2025-13-01T00:00:00Z",
        "afterTimestamp=2025-01-01T00:00:00ZZ",
        "afterTimestamp=2025-01-01t00:00:00z",
        "afterTimestamp=2025-01-01T24:00:00Z",
        "afterTimestamp=2025-01-01T00:00:60Z",
    ] {
        let path = format!("{BASE}/agreementEvents?appSessionId=nobody&{query}");
        let path = if query.starts_with("timeout") { path } else { format!("{path}&timeout=0") };
        stage.look(query, &hand.get(&path).await);
    }
    stage.close().await;
}

/// The events of a session once there are so many of them.
async fn read(
    hand: &Hand,
    session: &AppSessionId,
    after: Option<Timestamp>,
    count: usize,
) -> Vec<AgreementEvent> {
    let (mut events, mut cursor) = (Vec::<AgreementEvent>::new(), after);
    while events.len() < count {
        let poll = PollAgreementEvents {
            after: cursor,
            session: Some(session.clone()),
            wait: Duration::from_secs(20),
            max: 100,
        };
        let found = hand.call(&poll).await;
        assert!(found.unreadable.is_empty(), "{found:?}");
        assert!(!found.items.is_empty(), "no more than {events:?}");
        events.extend(found.items);
        cursor = events.last().map(|event| event.event_date);
    }
    assert_eq!(events.len(), count, "{events:?}");
    events
}

/// A session that no scenario has had before.
fn session(stage: &Stage) -> AppSessionId {
    AppSessionId::new(format!("{}-{}", stage.subnet, now().as_nanosecond()))
}

fn approving(name: &str, approval: ApprovalManner) -> ProviderConfig {
    ProviderConfig::new(name).behaving(Behaviour { approval, ..Behaviour::default() })
}

/// Proposes an agreement to a provider of this name.
async fn propose_to(stage: &Stage, name: &str, session: &AppSessionId) -> (yagna_api::DemandId, AgreementId) {
    let hand = &stage.hand;
    let mut terms = Terms::usual(stage);
    terms.constraints = format!("(&{}(golem.node.id.name={name}))", terms.constraints);
    let demand = publish(hand, &terms).await;
    let draft = draft(hand, &demand, &terms).await;
    let valid_to = in_time(Duration::from_secs(3600));
    let agreement = hand.call(&CreateAgreement { proposal_id: draft.proposal_id, valid_to }).await;
    let session = Some(session.clone());
    hand.call(&ConfirmAgreement { agreement: agreement.clone(), session }).await;
    (demand, agreement)
}
