//! Runs that are resumed only to be settled.

use std::sync::Arc;
use std::time::Duration;

use golem_core::event::{Bill, EventKind, RunEnd, StopReason};
use golem_devnet::node::{Delays, Fault};
use golem_devnet::provider::{Behaviour, InvoiceManner};
use golem_sdk::run::{nothing_left, nothing_open};
use golem_sdk::{MemoryJournal, Run};
use tokio::time::{Instant, sleep, timeout};
use yagna_api::ApiError;
use yagna_api::market::{AgreementState, ListAgreements, TerminateAgreement};

use super::lives::{Death, Lives};
use crate::books::{assert_books_closed, assert_results};
use crate::stage::{Stage, client, honest, options, secs, strange};

async fn settle(lives: &Lives) -> RunEnd {
    let journal: Arc<MemoryJournal> = Arc::clone(&lives.kept);
    let clock = Arc::new(lives.devnet.clock());
    let options = options(lives.config.clone(), lives.timing, lives.session);
    Run::settling(client(&lives.devnet), clock, journal, lives.state(), options).run().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_run_left_is_ended_and_paid_and_its_tasks_stay() {
    let mut ended = 0;
    for seconds in [3, 6, 9, 12, 20] {
        let stage = Stage::new(["ada", "bob"].map(honest)).tasks(30).configured(|config| config.workers = 2);
        let lives = Lives::of(stage).await;
        assert!(lives.live(Some(Death::After(secs(seconds)))).await.is_none());
        let begun = lives.devnet.books().activities.len();
        sleep(secs(5)).await;
        let end = settle(&lives).await;
        assert_eq!((end.why, end.failed, end.unsettled), (StopReason::Cancelled, 0, 0), "{seconds} {end:?}");
        assert_eq!(lives.devnet.books().activities.len(), begun, "nothing is begun");
        assert_books_closed(&lives.played(end.clone())).await;
        let state = lives.state();
        assert!(nothing_open(&state) && nothing_left(&state).is_none(), "{state:#?}");
        ended += begun;

        // Once more changes nothing, and asks nobody.
        let events = lives.kept.events().len();
        assert_eq!(settle(&lives).await, end);
        assert_eq!(lives.kept.events().len(), events);

        let end = lives.live(None).await.unwrap().unwrap();
        assert_eq!((end.why, end.done, end.unfinished), (StopReason::AllDone, 30, 0), "{seconds}");
        let played = lives.played(end);
        assert_results(&played);
        assert_books_closed(&played).await;
        assert!(nothing_left(&lives.state()).is_some());
    }
    assert!(ended > 2, "nothing ran that had to be ended");
}

/// The request for an agreement's end died with its sender when the provider had heard of it: the daemon lists the agreement
/// for good, and refuses to end it.
#[tokio::test(start_paused = true)]
async fn an_agreement_that_is_over_for_its_provider_alone_counts_as_ended() {
    let mut stage = Stage::new(["ada", "bob"].map(honest)).tasks(30).configured(|config| config.workers = 2);
    stage.devnet = stage.devnet.delays(Delays::real());
    let lives = Lives::of(stage).await;
    assert!(lives.live(Some(Death::After(secs(9)))).await.is_none());
    let client = client(&lives.devnet);
    let held = ListAgreements { state: Some(AgreementState::Approved), ..ListAgreements::default() };
    let held = client.call_once(&held).await.unwrap().items;
    assert!(!held.is_empty(), "nothing was agreed in time");
    for listed in &held {
        let end = TerminateAgreement { agreement: listed.id.clone(), reason: None };
        assert!(
            timeout(Duration::from_millis(3), client.call_once(&end)).await.is_err(),
            "it had time enough"
        );
        let refused = client.call_once(&end).await.unwrap_err();
        assert!(refused.api().is_some_and(ApiError::binds_no_provider), "{refused:?}");
    }
    let begun = Instant::now();
    let end = settle(&lives).await;
    assert_eq!((end.why, end.failed, end.unsettled), (StopReason::Cancelled, 0, 0), "{end:?}");
    assert!(begun.elapsed() < secs(20), "it took {:?}", begun.elapsed());
    let told =
        |kind: &EventKind| matches!(kind, EventKind::Trouble { doing, .. } if doing == "end an agreement");
    assert_eq!(lives.count(told), 0);
    let ended = |kind: &EventKind| matches!(kind, EventKind::AgreementEnded { .. });
    assert_eq!(lives.count(ended), held.len());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_could_set_no_money_aside_is_settled_without_any() {
    for fault in [Fault::Status(500), Fault::Status(400), Fault::LoseAnswer] {
        let lives = Lives::of(Stage::new(["ada"].map(honest))).await;
        lives.devnet.faults().always("POST /payment-api/v1/allocations", fault);
        assert!(lives.live(None).await.is_some_and(|ended| ended.is_err()), "{fault:?}");
        assert!(!nothing_open(&lives.state()), "it isn't known what came of the wish");
        if matches!(fault, Fault::LoseAnswer) {
            // It was set aside, and is found and given back.
            lives.devnet.faults().clear();
        }
        let end = settle(&lives).await;
        assert_eq!((end.why, end.done, end.unsettled), (StopReason::Cancelled, 0, 0), "{fault:?} {end:?}");
        assert!(nothing_open(&lives.state()), "{fault:?}");
        assert_eq!(lives.count(|kind| matches!(kind, EventKind::AllocationIntended { .. })), 1, "{fault:?}");
        lives.devnet.faults().clear();
        assert_books_closed(&lives.played(end)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_bill_that_came_after_the_end_is_settled_later() {
    let late = Behaviour { invoicing: InvoiceManner::After(secs(1800)), ..Behaviour::default() };
    let lives = Lives::of(Stage::new([strange("late", late)])).await;
    let end = lives.live(None).await.unwrap().unwrap();
    assert_eq!((end.why, end.done, end.unsettled), (StopReason::AllDone, 12, 1), "{end:?}");

    // Too early: it is waited for, and stays open.
    let early = settle(&lives).await;
    assert_eq!((early.why, early.unsettled), (StopReason::AllDone, 1), "{early:?}");
    assert!(!nothing_open(&lives.state()));

    sleep(secs(3600)).await;
    let settled = settle(&lives).await;
    assert_eq!((settled.why, settled.done, settled.unsettled), (StopReason::AllDone, 12, 0), "{settled:?}");
    let paid = |kind: &EventKind| matches!(kind, EventKind::BillAccepted { bill: Bill::Invoice(_), .. });
    assert_eq!(lives.count(paid), 1);
    assert!(nothing_left(&lives.state()).is_some());
    assert_eq!(lives.count(|kind| matches!(kind, EventKind::BillMissing { .. })), 2);
    assert_books_closed(&lives.played(settled)).await;
}

/// A run of one rental whose invoice came while nobody was there to see it.
async fn with_a_late_bill() -> Lives {
    let late = Behaviour { invoicing: InvoiceManner::After(secs(1800)), ..Behaviour::default() };
    let mut lives = Lives::of(Stage::new([strange("late", late)])).await;
    lives.config.settle_timeout = Duration::ZERO;
    let end = lives.live(None).await.unwrap().unwrap();
    assert_eq!((end.why, end.done, end.unsettled), (StopReason::AllDone, 12, 1), "{end:?}");
    let begun = Instant::now();
    let early = settle(&lives).await;
    assert_eq!((early.why, early.unsettled), (StopReason::AllDone, 1), "{early:?}");
    assert!(begun.elapsed() < secs(5), "it waited {:?} for what isn't there", begun.elapsed());
    sleep(secs(3600)).await;
    lives
}

#[tokio::test(start_paused = true)]
async fn without_any_time_to_wait_what_the_daemon_has_is_settled_all_the_same() {
    let lives = with_a_late_bill().await;
    let begun = Instant::now();
    let settled = settle(&lives).await;
    assert_eq!((settled.done, settled.unsettled), (12, 0), "{settled:?}");
    assert!(begun.elapsed() < secs(5), "{:?}", begun.elapsed());
    assert!(nothing_left(&lives.state()).is_some());
    assert_books_closed(&lives.played(settled)).await;
}

#[tokio::test(start_paused = true)]
async fn without_any_time_to_wait_an_acceptance_is_not_left_half_known() {
    let lives = with_a_late_bill().await;
    // The daemon accepts it, and nobody hears of it for a while.
    lives.devnet.faults().for_a_while(secs(10), "/accept", Fault::LoseAnswer);
    let settled = settle(&lives).await;
    assert_eq!((settled.done, settled.unsettled), (12, 0), "{settled:?}");
    assert!(lives.state().rentals.values().all(|rental| rental.accepting.is_empty()));
    assert!(nothing_left(&lives.state()).is_some());
    assert_books_closed(&lives.played(settled)).await;
}

#[tokio::test(start_paused = true)]
async fn without_any_time_to_wait_a_daemon_that_shows_no_bills_holds_nobody_up_for_ever() {
    let lives = with_a_late_bill().await;
    lives.devnet.faults().always("invoiceEvents", Fault::Status(500));
    let begun = Instant::now();
    let settled = settle(&lives).await;
    assert_eq!((settled.done, settled.unsettled), (12, 1), "{settled:?}");
    assert!(begun.elapsed() < secs(60), "{:?}", begun.elapsed());
    lives.devnet.faults().clear();
    assert_eq!(settle(&lives).await.unsettled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_has_forgotten_the_agreements_is_not_waited_for() {
    let stage = || Stage::new(["ada", "bob"].map(honest)).tasks(30).configured(|config| config.workers = 2);
    let lives = Lives::of(stage()).await;
    assert!(lives.live(Some(Death::After(secs(12)))).await.is_none());
    assert!(
        lives
            .state()
            .rentals
            .values()
            .any(|rental| rental.activities.iter().any(|activity| activity.id.is_some()))
    );

    let mut elsewhere = Lives::of(stage()).await;
    elsewhere.kept = Arc::clone(&lives.kept);
    let begun = Instant::now();
    let end = elsewhere.live(None).await.unwrap().unwrap();
    assert_eq!(
        (end.why, end.done, end.unfinished, end.unsettled),
        (StopReason::AllDone, 30, 0, 0),
        "{end:?}"
    );
    assert!(begun.elapsed() < elsewhere.config.settle_timeout, "{:?}", begun.elapsed());
    assert_eq!(lives.count(|kind| matches!(kind, EventKind::AgreementEnded { forgotten: true, .. })), 2);
    assert!(nothing_left(&elsewhere.state()).is_some(), "{:#?}", elsewhere.state());
}
