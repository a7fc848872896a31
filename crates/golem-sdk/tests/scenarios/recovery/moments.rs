//! The parts of a run that continue after a death, and those that are ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use golem_core::event::{EventKind, Resumed, StopReason};
use golem_devnet::node::{Delays, Fault};
use golem_devnet::provider::Behaviour;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use tokio::time::sleep;
use yagna_api::market::{Reason, Terminator};
use yagna_api::payment::BillStatus;

use super::lives::{Death, Lives};
use crate::books::{assert_books_closed, assert_results};
use crate::hands::Hands;
use crate::stage::{Stage, TASK_TAKES, honest, secs, strange};

/// How often each command of a task was run.
type Runs = Arc<Mutex<HashMap<u64, u32>>>;

/// Commands as usual, counted; and `prepare`, for setting up.
fn counting() -> (ScriptedRuntime, Runs) {
    let runs = Runs::default();
    let counted = Arc::clone(&runs);
    let runtime = ScriptedRuntime::new().when(move |program, args| {
        if program == "prepare" {
            return Some(ScriptedAnswer::ok().taking(secs(2)));
        }
        let n: u64 = args.first().filter(|_| program == "work")?.parse().ok()?;
        *counted.lock().unwrap().entry(n).or_default() += 1;
        Some(ScriptedAnswer::ok().taking(TASK_TAKES).stdout((n * 7).to_string()))
    });
    (runtime, runs)
}

fn resumed(lives: &Lives) -> Vec<Resumed> {
    lives
        .kept
        .events()
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::RunResumed { resumed } => Some(*resumed),
            _ => None,
        })
        .collect()
}

async fn assert_sound(lives: &Lives, end: golem_core::event::RunEnd) {
    let played = lives.played(end);
    assert_results(&played);
    assert_books_closed(&played).await;
}

#[tokio::test(start_paused = true)]
async fn batches_that_run_are_waited_for_and_nothing_is_run_twice() {
    let mut went_on = 0;
    for tenths in (5..300).step_by(7) {
        let (runtime, runs) = counting();
        let mut stage = Stage::with_runtime(runtime, ["ada", "bob"].map(honest)).tasks(8);
        stage.devnet = stage.devnet.delays(Delays::real());
        let stage = stage.worker(Hands { room: 3, setup: Some("prepare"), ..Hands::default() });
        let lives = Lives::of(stage.configured(|config| config.workers = 2)).await;
        let death = Death::After(Duration::from_millis(tenths * 100));
        if let Some(ended) = lives.live(Some(death)).await {
            assert_eq!(ended.unwrap().done, 8);
            continue;
        }
        let activities = lives.devnet.books().activities.len();
        sleep(secs(3)).await;
        let end = lives.live(None).await.unwrap().unwrap();
        assert_eq!((end.why, end.done), (StopReason::AllDone, 8), "{tenths}");
        let resumed = resumed(&lives)[0];
        let twice: Vec<_> =
            runs.lock().unwrap().iter().filter(|(_, times)| **times > 1).map(|(n, _)| *n).collect();
        assert!(twice.is_empty(), "{tenths}: tasks {twice:?} were run twice {:#?}", lives.kept.events());
        if resumed.running > 0 {
            went_on += 1;
            let more = lives.devnet.books().activities.len() - activities;
            assert!(
                more <= 2 - usize::try_from(resumed.adopted).unwrap().min(2),
                "{tenths}: {more} activities"
            );
        }
        assert_sound(&lives, end).await;
    }
    assert!(went_on > 10, "only {went_on} times there was anything to go on with");
}

#[tokio::test(start_paused = true)]
async fn what_was_settled_while_nobody_was_there_isnt_asked_for_again() {
    let lives = Lives::of(Stage::new(["ada"].map(honest)).tasks(3)).await;
    let end = lives.live(None).await.unwrap().unwrap();
    let events = lives.kept.events().len();
    let books = lives.devnet.books();
    assert_eq!(lives.live(None).await.unwrap().unwrap(), end, "it says so");
    assert_eq!(lives.kept.events().len(), events, "and does nothing");
    assert_eq!(lives.devnet.books().allocations.len(), books.allocations.len());
}

#[tokio::test(start_paused = true)]
async fn a_bill_that_comes_while_nobody_is_there_is_settled_by_the_next_life() {
    let late = Behaviour {
        invoicing: golem_devnet::provider::InvoiceManner::After(secs(60)),
        ..Behaviour::default()
    };
    let lives = Lives::of(Stage::new([strange("late", late)]).tasks(2)).await;
    let over = |kind: &EventKind| matches!(kind, EventKind::AgreementEnded { .. });
    let dying = async {
        while lives.count(over) == 0 {
            sleep(Duration::from_millis(200)).await;
        }
    };
    assert!(lives.live_until(None, dying).await.is_none());
    sleep(secs(600)).await;
    assert_eq!(lives.devnet.books().invoices.len(), 1);
    let end = lives.live(None).await.unwrap().unwrap();
    assert_eq!((end.done, end.unsettled), (2, 0));
    assert!(!end.cost.is_zero());
    assert_eq!(lives.devnet.books().agreements.len(), 1, "nothing more was signed");
    assert_sound(&lives, end).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_cancelled_goes_on_with_new_agreements() {
    let stage = Stage::new(["ada", "bob"].map(honest)).tasks(30);
    let lives = Lives::of(stage.configured(|config| config.workers = 2)).await;
    let first = lives.live_and_stop_after(secs(20)).await;
    assert_eq!((first.why, first.done + first.unfinished), (StopReason::Cancelled, 30));
    assert!(first.done > 0 && first.unfinished > 0, "{first:?}");
    let last = lives.live(None).await.unwrap().unwrap();
    assert_eq!((last.why, last.done, last.unfinished), (StopReason::AllDone, 30, 0));
    assert!(last.cost > first.cost);
    assert_sound(&lives, last).await;
}

#[tokio::test(start_paused = true)]
async fn an_agreement_that_ended_meanwhile_is_replaced() {
    let whim = Behaviour { terminates: Some((secs(30), Reason::new("a whim"))), ..Behaviour::default() };
    let lives = Lives::of(Stage::new([strange("ada", whim), honest("bob")]).tasks(6)).await;
    let started = |kind: &EventKind| matches!(kind, EventKind::TaskStarted { .. });
    let dying = async {
        while lives.count(started) < 2 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(lives.live_until(None, dying).await.is_none());
    sleep(secs(60)).await;
    let end = lives.live(None).await.unwrap().unwrap();
    let by_provider = |kind: &EventKind| matches!(kind, EventKind::AgreementEnded { by: Terminator::Provider, reason, .. } if reason.message == "a whim");
    assert_eq!(lives.count(by_provider), 1, "{:#?}", lives.kept.events());
    assert_eq!((end.done, end.failed), (6, 0));
    assert_sound(&lives, end).await;
}

#[tokio::test(start_paused = true)]
async fn money_whose_allocation_was_never_heard_of_is_found_again() {
    let lives = Lives::of(Stage::new(["ada"].map(honest)).tasks(2)).await;
    // The daemon sets it aside; its answer never comes, and the process dies waiting.
    lives.devnet.faults().for_a_while(secs(20), "/allocations", Fault::LoseAnswer);
    let lived = lives.live(Some(Death::After(Duration::from_millis(100)))).await;
    assert!(lived.is_none_or(|ended| ended.is_err()));
    sleep(secs(30)).await;
    let made = lives.devnet.books().allocations.len();
    assert!(made >= 1, "it was set aside");
    let end = lives.live(None).await.unwrap().unwrap();
    assert_eq!(end.done, 2);
    assert_eq!(lives.devnet.books().allocations.len(), made, "nothing more was set aside");
    assert_sound(&lives, end).await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_was_spent_before_counts_in_every_life() {
    let dear =
        |name: &str| honest(name).priced(golem_devnet::provider::Prices::per_hour("0", "0", "1.8").unwrap());
    let stage = Stage::new([dear("ada"), dear("bob")]).tasks(200);
    let lives = Lives::of(stage.configured(|config| {
        config.workers = 2;
        config.budget = "0.5".parse().unwrap();
    }))
    .await;
    let mut end = None;
    for _ in 0..40 {
        end = lives.live(Some(Death::After(secs(45)))).await;
        if end.is_some() {
            break;
        }
        sleep(secs(5)).await;
    }
    let end = match end {
        Some(end) => end.unwrap(),
        None => lives.live(None).await.unwrap().unwrap(),
    };
    assert_eq!(end.why, StopReason::BudgetReached, "{end:?}");
    assert!(end.cost <= "0.5".parse().unwrap(), "{end:?}");
    let books = lives.devnet.books();
    let accepted =
        books.invoices.iter().filter(|row| matches!(row.status, BillStatus::Accepted | BillStatus::Settled));
    assert!(accepted.count() > 0);
    assert_sound(&lives, end).await;
}
