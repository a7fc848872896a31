//! The requests that providers get from their daemon, and the daemon's reaction to their silence.

use std::time::Duration;

use golem_devnet::port::{ActivityEvent, ActivityEventKind, NewDebitNote, NewInvoice, Port as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use yagna_api::activity::{ActivityState, ActivityUsage, State, StatePair};
use yagna_api::{ActivityId, AgreementId, ApiError, Glm, OfferId, Timestamp};

use crate::kit::{FakeUnit, Net};

const BASE: &str = "/activity-api/v1/activity";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets a provider say that its activity has used something.
async fn report(net: &Net, id: &ActivityId) {
    let usage = ActivityUsage { current_usage: Some(vec![1.0]), timestamp: 0 };
    net.port.set_activity_usage(id, usage).await.unwrap();
}

/// An activity that reports usage from the whole second on at which it returns.
async fn reporting(net: &Net) -> (AgreementId, ActivityId) {
    let agreement = net.rental().await;
    let id = net.activity(&agreement, FakeUnit { hangs: true }).await;
    // The devnet's hour begins within a second.
    sleep(Duration::from_nanos(1_000_000_000 - 123_456_789)).await;
    report(net, &id).await;
    (agreement, id)
}

async fn state(net: &Net, id: &ActivityId) -> Value {
    net.get(&format!("{BASE}/{id}/state")).await.expect(200).json()["state"].clone()
}

async fn asked(net: &Net) -> Vec<ActivityEvent> {
    net.port.activity_events(Timestamp::MIN, Duration::ZERO).await.unwrap()
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ApiError>) -> (u16, String) {
    let error = answer.unwrap_err();
    (error.status, error.message)
}

#[tokio::test(start_paused = true)]
async fn offers_withdrawn_are_told_from_those_that_never_were() {
    let net = Net::new();
    let offer = net.offer().await;
    let never = OfferId::new(format!("{}-{}", "0".repeat(32), "0".repeat(64)));
    let lost = |id: &OfferId| (404, format!("Subscription [{id}] not found. Could be unsubscribed."));
    // A poll that waits is told at once.
    let begun = Instant::now();
    let withdraw = async {
        sleep(secs(2)).await;
        net.port.unsubscribe_offer(&offer).await
    };
    let (poll, withdrawn) = tokio::join!(net.port.offer_events(&offer, secs(20)), withdraw);
    withdrawn.unwrap();
    assert_eq!((refused(poll), begun.elapsed()), (lost(&offer), secs(2)));
    // A later one waits in vain.
    let begun = Instant::now();
    assert!(net.port.offer_events(&offer, secs(7)).await.unwrap().is_empty());
    assert_eq!(begun.elapsed(), secs(7));
    assert_eq!(refused(net.port.offer_events(&never, secs(7)).await), lost(&never));
    let again = refused(net.port.unsubscribe_offer(&offer).await);
    assert_eq!(again, (410, format!("Offer [{offer}] already unsubscribed.")));
    let unknown = refused(net.port.unsubscribe_offer(&never).await);
    assert_eq!(unknown, (404, format!("Offer [{never}] not found.")));
}

#[tokio::test(start_paused = true)]
async fn an_offer_runs_out_for_later_polls_only() {
    let net = Net::new();
    let offer = net.offer().await;
    sleep(secs(3590)).await;
    assert!(net.port.offer_events(&offer, secs(20)).await.unwrap().is_empty());
    let expired = format!("Subscription [{offer}] expired.");
    assert_eq!(refused(net.port.offer_events(&offer, secs(20)).await), (404, expired));
    let withdrawal = format!("Can't unsubscribe expired Offer [{offer}].");
    assert_eq!(refused(net.port.unsubscribe_offer(&offer).await), (410, withdrawal));
}

#[tokio::test(start_paused = true)]
async fn unknown_activities_are_the_daemons_own_failure() {
    let net = Net::new();
    let id = ActivityId::new("nope");
    let state = ActivityState { state: StatePair(State::Ready, None), reason: None, error_message: None };
    let message = "DAO error: Not found: agreement id for activity: nope";
    assert_eq!(refused(net.port.set_activity_state(&id, state).await), (500, message.to_owned()));
    let note =
        NewDebitNote { activity: id, total_amount_due: Glm::ZERO, usage: Vec::new(), payment_due_date: None };
    let message = format!("External service error: Activity service error: Service error: {message}");
    assert_eq!(refused(net.port.issue_debit_note(note).await), (500, message));
}

#[tokio::test(start_paused = true)]
async fn a_lower_debit_note_lowers_nothing() {
    let net = Net::new();
    let (agreement, activity) = reporting(&net).await;
    let mut last = None;
    for amount in ["0.1", "0.05"] {
        let note = NewDebitNote {
            activity: activity.clone(),
            total_amount_due: amount.parse().unwrap(),
            usage: vec![1.0],
            payment_due_date: None,
        };
        let note = net.port.issue_debit_note(note).await.unwrap();
        assert_eq!((note.total_amount_due.to_string().as_str(), note.previous_debit_note_id), (amount, last));
        last = Some(note.debit_note_id);
    }
    let invoice = |amount: &str| {
        net.port.issue_invoice(NewInvoice {
            agreement: agreement.clone(),
            activities: vec![activity.clone()],
            amount: amount.parse().unwrap(),
            payment_due_date: "2026-01-02T00:00:00Z".parse().unwrap(),
        })
    };
    let refusal = |so_far, amount| {
        let words = "Requested amount for agreement cannot be lowered. Current amount requested:";
        (400, format!("{words} {so_far} Amount on invoice: {amount}"))
    };
    assert_eq!(refused(invoice("0.01").await), refusal("0.1", "0.01"));
    invoice("0.3").await.unwrap();
    assert_eq!(refused(invoice("0.2").await), refusal("0.3", "0.2"), "an invoice counts as well");
    invoice("0.3").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_exe_unit_is_unresponsive_until_it_reports() {
    let net = Net::new();
    let (_, id) = reporting(&net).await;
    net.set_state(&id, State::Deployed, None).await;
    sleep(Duration::from_millis(5999)).await;
    assert_eq!(state(&net, &id).await, json!(["Deployed", null]));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(state(&net, &id).await, json!(["Unresponsive", null]));
    // Its work shows once it reports.
    net.set_state(&id, State::Ready, None).await;
    assert_eq!(state(&net, &id).await, json!(["Unresponsive", null]));
    sleep(secs(4)).await;
    report(&net, &id).await;
    assert_eq!(state(&net, &id).await, json!(["Ready", null]));
    for _ in 0..20 {
        sleep(secs(5)).await;
        report(&net, &id).await;
    }
    assert_eq!(state(&net, &id).await, json!(["Ready", null]));
    assert_eq!(asked(&net).await.len(), 1, "nobody wants it destroyed");
}

#[tokio::test(start_paused = true)]
async fn a_dead_exe_unit_is_to_be_destroyed() {
    let net = Net::new();
    let (_, id) = reporting(&net).await;
    // Its provider waits all the time; nobody else looks.
    let begun = Instant::now();
    let created = asked(&net).await[0].event_date;
    let events = net.port.activity_events(created, secs(60)).await.unwrap();
    assert_eq!((events[0].kind, &events[0].activity), (ActivityEventKind::Destroy, &id));
    assert_eq!(begun.elapsed(), secs(11));
    // Too late.
    report(&net, &id).await;
    sleep(secs(60)).await;
    report(&net, &id).await;
    assert_eq!(state(&net, &id).await, json!(["Unresponsive", null]));
    assert_eq!(asked(&net).await.len(), 2, "it is asked for once");
    net.delete(&format!("{BASE}/{id}?timeout=1")).await.expect(408);
    net.set_state(&id, State::Terminated, None).await;
    assert_eq!(state(&net, &id).await, json!(["Terminated", null]));
    net.delete(&format!("{BASE}/{id}?timeout=1")).await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn an_activity_that_has_ended_is_left_in_peace() {
    let net = Net::new();
    let (_, id) = reporting(&net).await;
    net.set_state(&id, State::Terminated, None).await;
    sleep(secs(60)).await;
    assert_eq!(state(&net, &id).await, json!(["Terminated", null]));
    assert_eq!(asked(&net).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_daemon_watches_nobody() {
    let net = Net::new();
    let (_, id) = reporting(&net).await;
    let faults = net.world.faults();
    faults.freeze(&net.port.node());
    sleep(secs(30)).await;
    let begun = Instant::now();
    net.delete(&format!("{BASE}/{id}?timeout=4")).await.expect(408);
    assert_eq!(begun.elapsed(), secs(5), "nobody there limits the wait");
    faults.thaw(&net.port.node());
    report(&net, &id).await;
    sleep(secs(3)).await;
    assert_eq!(state(&net, &id).await, json!(["Initialized", null]));
}
