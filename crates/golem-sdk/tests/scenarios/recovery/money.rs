//! The money of a run that dies: raised before, or lost at the daemon.

use std::time::Duration;

use golem_core::event::{EventKind, StopReason};
use golem_devnet::node::Fault;
use golem_devnet::provider::{Prices, ProviderConfig};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use yagna_api::Glm;
use yagna_api::payment::ReleaseAllocation;

use super::lives::Lives;
use crate::books::{assert_books_closed, assert_results};
use crate::stage::{Stage, client, honest, secs};

const CREATE: &str = "POST /payment-api/v1/allocations";

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

/// 1.8 GLM an hour.
fn dear(name: &str) -> ProviderConfig {
    honest(name).priced(Prices::per_hour("0", "0", "1.8").unwrap())
}

async fn until(is: impl Fn() -> bool) {
    while !is() {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Somebody else releases the run's money once a task is done.
async fn lose_the_allocation(lives: &Lives) {
    until(|| lives.count(|kind| matches!(kind, EventKind::TaskDone { .. })) > 0).await;
    let allocation = lives.devnet.books().allocations[0].id.clone();
    assert!(client(&lives.devnet).call(&ReleaseAllocation(allocation)).await.unwrap());
}

async fn assert_sound(lives: &Lives, end: golem_core::event::RunEnd) {
    let played = lives.played(end);
    assert_results(&played);
    assert_books_closed(&played).await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_was_raised_is_raised_in_the_next_life_too() {
    let stage = Stage::new(["ada", "bob"].map(dear)).tasks(40);
    let lives = Lives::of(stage.configured(|config| {
        config.workers = 2;
        config.budget = glm("0.05").into();
    }))
    .await;
    let run = lives.run(None, &CancellationToken::new());
    let handle = run.handle();
    let raising = async {
        let raised = handle.add_budget(glm("0.5")).await.unwrap();
        until(|| lives.count(|kind| matches!(kind, EventKind::TaskDone { .. })) > 0).await;
        raised
    };
    let raised = tokio::select! {
        raised = raising => raised,
        ended = run.run() => panic!("{ended:?}"),
    };
    assert_eq!(raised, glm("0.55"));
    sleep(secs(5)).await;
    let end = lives.live(None).await.unwrap().unwrap();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 40), "{end:?}");
    assert!(end.cost > glm("0.05"), "{end:?}");
    let totals: Vec<_> = lives.devnet.books().allocations.iter().map(|row| row.total).collect();
    assert_eq!(totals, [glm("0.55")]);
    assert_sound(&lives, end).await;
}

#[tokio::test(start_paused = true)]
async fn money_made_anew_whose_answer_was_lost_is_found_in_the_same_life() {
    let lives = Lives::of(Stage::new(["ada"].map(honest))).await;
    let losing = async {
        lose_the_allocation(&lives).await;
        lives.devnet.faults().next(1, CREATE, Fault::LoseAnswer);
    };
    let (end, ()) = tokio::join!(lives.live(None), losing);
    let end = end.unwrap().unwrap();
    assert_eq!((end.done, end.unsettled), (12, 0));
    assert_eq!(lives.count(|kind| matches!(kind, EventKind::AllocationLost { .. })), 1);
    assert!(lives.count(|kind| matches!(kind, EventKind::Trouble { .. })) > 0, "its answer was lost");
    assert_eq!(lives.devnet.books().allocations.len(), 2);
    assert_sound(&lives, end).await;
}

#[tokio::test(start_paused = true)]
async fn money_made_anew_that_was_never_heard_of_is_found_in_the_next_life() {
    let lives = Lives::of(Stage::new(["ada"].map(honest))).await;
    let dying = async {
        lose_the_allocation(&lives).await;
        lives.devnet.faults().next(1, CREATE, Fault::LoseAnswer);
        until(|| lives.devnet.books().allocations.len() == 2).await;
    };
    assert!(lives.live_until(None, dying).await.is_none());
    let state = lives.state();
    assert_eq!((state.allocations.len(), state.allocation_intents.len()), (0, 1));
    sleep(secs(5)).await;
    let end = lives.live(None).await.unwrap().unwrap();
    assert_eq!((end.done, end.unsettled), (12, 0));
    assert_eq!(lives.devnet.books().allocations.len(), 2, "nothing more was set aside");
    assert_sound(&lives, end).await;
}
