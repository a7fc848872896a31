//! Runs that are taken up only to be settled.

use std::sync::Arc;

use golem::core::event::{Bill, EventKind, RunEnd, StopReason};
use golem::run::{nothing_left, nothing_open};
use golem::{MemoryJournal, Run};
use golem_devnet::provider::{Behaviour, InvoiceManner};
use tokio::time::{Instant, sleep};

use super::lives::{Death, Lives};
use crate::books::{assert_books_closed, assert_results};
use crate::stage::{Stage, client, honest, options, secs, strange};

async fn settle(lives: &Lives) -> RunEnd {
    let journal: Arc<MemoryJournal> = Arc::clone(&lives.kept);
    let clock = Arc::new(lives.devnet.clock());
    let options = options(lives.config.clone(), lives.timing, lives.session);
    Run::settling(client(&lives.devnet), clock, journal, lives.past(), options).run().await.unwrap()
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
        let past = lives.past();
        assert!(nothing_open(&past) && nothing_left(&past).is_none(), "{past:#?}");
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
        assert!(nothing_left(&lives.past()).is_some());
    }
    assert!(ended > 2, "nothing ran that had to be ended");
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
    assert!(!nothing_open(&lives.past()));

    sleep(secs(3600)).await;
    let settled = settle(&lives).await;
    assert_eq!((settled.why, settled.done, settled.unsettled), (StopReason::AllDone, 12, 0), "{settled:?}");
    let paid = |kind: &EventKind| matches!(kind, EventKind::BillAccepted { bill: Bill::Invoice(_), .. });
    assert_eq!(lives.count(paid), 1);
    assert!(nothing_left(&lives.past()).is_some());
    assert_eq!(lives.count(|kind| matches!(kind, EventKind::BillMissing { .. })), 2);
    assert_books_closed(&lives.played(settled)).await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_has_forgotten_the_agreements_is_not_waited_for() {
    let stage = || Stage::new(["ada", "bob"].map(honest)).tasks(30).configured(|config| config.workers = 2);
    let lives = Lives::of(stage()).await;
    assert!(lives.live(Some(Death::After(secs(12)))).await.is_none());
    assert!(
        lives.past().deals.values().any(|deal| deal.activities.iter().any(|activity| activity.id.is_some()))
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
    assert!(nothing_left(&elsewhere.past()).is_some(), "{:#?}", elsewhere.past());
}
