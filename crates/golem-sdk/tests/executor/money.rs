//! The money behind an executor: raised while it runs, lost at the daemon, prolonged.

use std::sync::Arc;

use golem_core::event::EventKind;
use golem_devnet::node::Fault;
use golem_sdk::BudgetError;
use golem_sdk::executor::EndCause;
use tokio::time::sleep;
use yagna_api::payment::ReleaseAllocation;
use yagna_api::{AllocationId, Glm};

use crate::stage::{Outcome, Stage, client, secs, sevens, wait_for};

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

/// What the daemon has set aside, in the order in which it was made.
fn amounts(stage: &Stage) -> Vec<(AllocationId, Glm, bool)> {
    let rows = stage.devnet.books().allocations;
    rows.into_iter().map(|row| (row.id, row.total, row.released)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_raised_budget_is_written_down_set_aside_and_then_spent() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1).budget("0.02")).await;
    assert_eq!(stage.executor.budget().to_string(), "0.02");
    // Two wishes at once add up.
    let (one, other) =
        tokio::join!(stage.executor.add_budget(glm("0.5")), stage.executor.add_budget(glm("0.25")));
    assert_eq!((one.unwrap(), other.unwrap()), (glm("0.52"), glm("0.77")));
    assert_eq!(stage.executor.budget().to_string(), "0.77");
    assert_eq!(amounts(&stage)[0].1, glm("0.77"));
    let kinds: Vec<_> = stage.journal.events().iter().map(|event| event.kind.name()).collect();
    let place = |name| kinds.iter().position(|kind| *kind == name).unwrap();
    assert!(place("allocation_created") < place("budget_intended"));
    assert!(place("budget_intended") < place("budget_raised"));
    Outcome::of(stage.executor.submit(sevens, 0..8)).await.assert_sevens(0..8);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_the_account_does_not_have_is_refused_and_nothing_changes() {
    let stage = Stage::new(&["ada"]).await;
    stage.devnet.world().set_funds(&stage.devnet.requestor().node, glm("3"));
    let error = stage.executor.add_budget(glm("10")).await.unwrap_err();
    let BudgetError::NotEnoughFunds { amount, available, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*amount, glm("10"));
    assert!(available.is_some(), "{error:?}");
    assert!(error.to_string().contains("yagna payment fund"), "{error}");
    assert_eq!((stage.executor.budget(), amounts(&stage)[0].1), (glm("2").into(), glm("2")));
    assert_eq!(stage.count(|kind| matches!(kind, EventKind::BudgetNotRaised { .. })), 1);
    // The amount that is there can be had.
    assert_eq!(stage.executor.add_budget(glm("1")).await.unwrap(), glm("3"));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_raise_whose_answer_is_lost_counts_once() {
    let stage = Stage::new(&["ada"]).await;
    stage.devnet.faults().next(1, "PUT /payment-api/v1/allocations/", Fault::LoseAnswer);
    assert_eq!(stage.executor.add_budget(glm("1")).await.unwrap(), glm("3"));
    assert_eq!(amounts(&stage)[0].1, glm("3"));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_executor_takes_no_more_budget_and_says_what_it_had() {
    let stage = Stage::with(&["ada"], |builder| {
        builder.max_workers(1).budget(glm("0.001")).configure(|config| config.settle_timeout = secs(10))
    })
    .await;
    stage.executor.add_budget(glm("0.001")).await.unwrap();
    let outcome = Outcome::of(stage.executor.submit(sevens, 0..4)).await;
    let EndCause::BudgetReached { budget } = outcome.error().cause() else { panic!("{:?}", outcome.error) };
    assert_eq!(budget.to_string(), "0.002");
    let error = stage.executor.add_budget(glm("1")).await.unwrap_err();
    assert!(matches!(error, BudgetError::Stopping | BudgetError::RunOver), "{error:?}");
    stage.close().await;
}

/// Somebody else releases the allocation.
async fn release_from_outside(stage: &Stage) -> AllocationId {
    let (allocation, ..) = amounts(stage).into_iter().find(|(.., released)| !released).unwrap();
    assert!(client(&stage.devnet).call(&ReleaseAllocation(allocation.clone())).await.unwrap());
    allocation
}

#[tokio::test(start_paused = true)]
async fn an_allocation_released_from_outside_is_made_anew_and_the_bills_are_paid_from_it() {
    let stage = Stage::with(&["ada", "bob"], |builder| builder.max_workers(2)).await;
    let submitted = stage.executor.submit(sevens, 0..40);
    stage.until_seen(8, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
    let lost = release_from_outside(&stage).await;
    Outcome::of(submitted).await.assert_sevens(0..40);
    stage.until_seen(1, |kind| matches!(kind, EventKind::AllocationLost { .. })).await;
    stage.until_seen(2, |kind| matches!(kind, EventKind::AllocationCreated { .. })).await;
    assert_eq!(stage.count(|kind| matches!(kind, EventKind::AllocationIntended { .. })), 2);
    let (devnet, journal) = (Arc::clone(&stage.devnet), Arc::clone(&stage.journal));
    let end = stage.close().await;
    assert_eq!((end.done, end.unsettled), (40, 0));
    assert!(!end.cost.is_zero());
    let told = journal.events().into_iter().find_map(|event| match event.kind {
        EventKind::AllocationLost { allocation } => Some(allocation),
        _ => None,
    });
    assert_eq!(told, Some(lost));
    assert_eq!(devnet.books().allocations.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_no_new_allocation_can_be_made_nothing_is_signed_and_it_is_tried_again() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    stage.devnet.faults().for_a_while(secs(200), "POST /payment-api/v1/allocations", Fault::Status(500));
    release_from_outside(&stage).await;
    stage.until_seen(1, |kind| matches!(kind, EventKind::AllocationLost { .. })).await;
    let error = stage.executor.add_budget(glm("1")).await.unwrap_err();
    assert!(matches!(error, BudgetError::AllocationLost), "{error:?}");
    let submitted = stage.executor.submit(sevens, 0..2);
    // Offers come and terms are agreed meanwhile.
    stage.until_seen(1, |kind| matches!(kind, EventKind::TermsAgreed { .. })).await;
    sleep(secs(30)).await;
    assert_eq!(stage.count(|kind| matches!(kind, EventKind::AgreementIntended { .. })), 0);
    let is_told = |kind: &EventKind| matches!(kind, EventKind::Trouble { doing, .. } if doing.contains("set money aside"));
    assert!(stage.count(is_told) > 0);
    Outcome::of(submitted).await.assert_sevens(0..2);
    assert_eq!(stage.executor.add_budget(glm("1")).await.unwrap(), glm("3"));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_allocations_end_is_moved_ahead_and_that_is_told() {
    let stage = Stage::with(&["ada"], |builder| builder.timeout(secs(3600))).await;
    let created = stage.journal.events().into_iter().find_map(|event| match event.kind {
        EventKind::AllocationCreated { expires, .. } => Some(expires),
        _ => None,
    });
    sleep(secs(3 * 3600)).await;
    let journal = Arc::clone(&stage.journal);
    let prolonged = || {
        let events = journal.events();
        let ends = events.iter().filter_map(|event| match &event.kind {
            EventKind::AllocationProlonged { expires, .. } => Some(*expires),
            _ => None,
        });
        ends.collect::<Vec<_>>()
    };
    wait_for("the end to be moved", || prolonged().len() >= 2).await;
    let prolonged = prolonged();
    assert!(Some(prolonged[0]) > created && prolonged.is_sorted(), "{prolonged:?} after {created:?}");
    stage.close().await;
}
