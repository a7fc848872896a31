//! Money: allocations that last, bills that are accepted in time.

use futures_util::{StreamExt, TryStreamExt, stream};
use golem_core::event::{Bill, EventKind};
use golem_devnet::provider::Behaviour;
use golem_devnet::runtime::ScriptedAnswer;
use golem_sdk::executor::Tasks;
use golem_sdk::{Timing, WorkContext};
use tokio::time::{Instant, sleep};
use yagna_api::Clock as _;
use yagna_api::payment::ReleaseAllocation;
use yagna_api::time::between;

use crate::played::{Played, is_accepted};
use crate::stage::{Outcome, Stage, client, honest, scripted, secs, sevens, wait_for};

#[tokio::test(start_paused = true)]
async fn an_allocation_lasts_as_long_as_its_executor() {
    let mut timing = Timing::default();
    timing.tick = secs(5);
    let stage = Stage::with(&["ada"], |builder| {
        builder
            .max_workers(1)
            .timeout(secs(30 * 3600))
            .timing(timing)
            .configure(|config| config.expiration = secs(3600))
    })
    .await;
    // Now and then there is a task, for a day.
    let tasks = stream::iter(0..13).then(|n| async move {
        sleep(secs(2 * 3600)).await;
        n
    });
    let done: Vec<_> = stage.executor.submit_stream(sevens, tasks).try_collect().await.unwrap();
    assert_eq!(done.len(), 13);
    let expires = stage.journal.events().into_iter().find_map(|event| match event.kind {
        EventKind::AllocationCreated { expires, .. } => Some(expires),
        _ => None,
    });
    let past = between(expires.unwrap(), stage.devnet.clock().now());
    assert!(past > secs(1800), "it never had to be prolonged: {past:?}");
    let played = Played::of(stage).await;
    played.assert_all_paid();
    assert_eq!(played.books.allocations.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_allocation_that_is_gone_at_the_end_harms_nobody() {
    let stage = Stage::new(&["ada"]).await;
    Outcome::of(stage.executor.submit(sevens, 0..4)).await.assert_sevens(0..4);
    let settled = || {
        let books = stage.devnet.books();
        books.open_agreements().next().is_none() && books.invoices.iter().any(is_accepted)
    };
    wait_for("the bills to be settled", settled).await;
    let allocation = stage.devnet.books().allocations[0].id.clone();
    client(&stage.devnet).call(&ReleaseAllocation(allocation)).await.unwrap();
    Played::of(stage).await.assert_all_paid();
}

/// Each activity ends with a debit note that comes out of turn.
#[tokio::test(start_paused = true)]
async fn the_last_debit_note_of_an_activity_is_accepted() {
    let chatty = Behaviour { debit_notes_every: Some(secs(60)), ..Behaviour::default() };
    let stage =
        Stage::on(scripted(), [honest("ada").behaving(chatty)], |builder| builder.max_workers(1)).await;
    // Activities of all lengths, each of which ends soon after a note or just before one.
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        for _ in 0..3 {
            let Some(task) = tasks.next().await else { break };
            sleep(secs(task.data() % 23)).await;
            crate::stage::do_one(&ctx, task).await?;
        }
        Ok(())
    };
    Outcome::of(stage.executor.submit(worker, 0..40)).await.assert_sevens(0..40);
    let played = Played::of(stage).await;
    played.assert_all_paid();
    assert!(played.books.activities.len() >= 10);
    assert!(played.books.debit_notes.len() > played.books.activities.len());
    let refused = played.count(|kind| matches!(kind, EventKind::BillRefused { .. }));
    assert_eq!(refused, 0, "{:#?}", played.events);
}

/// A worker that computes for an hour at home, a consumer of events that is in no hurry, a reader that never reads.
#[tokio::test(start_paused = true)]
async fn bills_are_accepted_in_time_whatever_user_code_does() {
    let runtime = scripted().on("nap", &[], ScriptedAnswer::ok().taking(secs(1800)));
    let stage = Stage::on(runtime, ["ada", "bob"].map(honest), |builder| {
        builder.max_workers(2).timeout(secs(6 * 3600)).configure(|config| config.expiration = secs(7 * 3600))
    })
    .await;
    let _unread = stage.executor.events();
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            ctx.run("nap", [""; 0]);
            ctx.commit(secs(3600)).await?;
            sleep(secs(1800)).await;
            let result = (task.data() * 7).to_string();
            task.accept_result(result).await;
        }
        Ok(())
    };
    let begun = Instant::now();
    let submitted = stage.executor.submit(worker, 0..4);
    // Nobody reads meanwhile.
    let done = |kind: &EventKind| matches!(kind, EventKind::TaskDone { .. });
    while stage.count(done) < 4 {
        assert!(begun.elapsed() < secs(5 * 3600), "they take too long");
        sleep(secs(10)).await;
    }
    Outcome::of(submitted).await.assert_sevens(0..4);
    let played = Played::of(stage).await;
    played.assert_all_paid();
    let mut notes = 0;
    for event in &played.events {
        let EventKind::BillReceived { bill: bill @ Bill::DebitNote(_), .. } = &event.kind else { continue };
        let accepted = played
            .events
            .iter()
            .find(|other| matches!(&other.kind, EventKind::BillAccepted { bill: its, .. } if its == bill));
        let took = accepted.map(|accepted| between(event.at, accepted.at));
        assert!(took.is_some_and(|took| took < secs(30)), "{bill:?} was accepted after {took:?}");
        notes += 1;
    }
    assert!(notes > 40, "{notes} notes in hours");
    assert_eq!(played.books.agreements.len(), 2, "nobody gave us up: {:#?}", played.books.agreements);
}
