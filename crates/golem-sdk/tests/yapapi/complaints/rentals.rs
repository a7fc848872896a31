//! Rentals: how soon they are made, when they end, and whom they hold up.

use golem_core::event::{EventKind, FailureKind};
use golem_devnet::node::Fault;
use golem_devnet::provider::{ApprovalManner, Behaviour};
use golem_devnet::runtime::ScriptedAnswer;
use golem_sdk::executor::Tasks;
use golem_sdk::{WorkContext, WorkerError};
use tokio::time::{Instant, sleep};
use yagna_api::market::Reason;
use yagna_api::time::between;

use crate::played::Played;
use crate::stage::{Outcome, Stage, honest, scripted, secs, sevens};

/// Does `work <n>`, for as long as it takes.
async fn patient(mut ctx: WorkContext, mut tasks: Tasks<u64, String>) -> Result<(), WorkerError> {
    while let Some(task) = tasks.next().await {
        let work = ctx.run("work", [task.data().to_string()]);
        let done = ctx.commit(secs(3600)).await?;
        task.accept_result(done[work].stdout().into_owned()).await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_ends_its_agreement_is_noticed_at_once_and_its_task_moves() {
    let bye = Some((secs(40), Reason::new("maintenance")));
    let hangs = golem_devnet::runtime::ScriptedRuntime::new()
        .when(|program, _| (program == "work").then(ScriptedAnswer::hang));
    let mut moody = honest("moody").behaving(Behaviour { terminates: bye, ..Behaviour::default() });
    moody.runtime = Some(std::sync::Arc::new(hangs));
    let stage = Stage::on(scripted(), [moody, honest("ada")], |builder| builder.max_workers(2)).await;
    Outcome::of(stage.executor.submit(patient, 0..20)).await.assert_sevens(0..20);
    let played = Played::of(stage).await;
    let by = |is: &dyn Fn(&EventKind) -> bool| played.events.iter().find(|event| is(&event.kind)).unwrap().at;
    let ended = by(
        &|kind| matches!(kind, EventKind::AgreementEnded { reason, .. } if reason.message == "maintenance"),
    );
    let lost = by(&|kind| {
        matches!(kind, EventKind::AttemptFailed { failure, .. }
            if failure.kind == FailureKind::Lost && failure.message.contains("maintenance"))
    });
    let approved = by(&|kind| matches!(kind, EventKind::AgreementApproved { .. }));
    assert!(between(approved, ended) < secs(45), "it was told {:?} late", between(approved, ended));
    assert!(between(ended, lost) < secs(1) && between(lost, ended) < secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_deployment_does_not_eat_the_time_of_tasks() {
    // An image of many gigabytes; a task has a minute.
    let runtime = scripted().deploying(ScriptedAnswer::ok().taking(secs(240)));
    let stage = Stage::on(runtime, [honest("ada")], |builder| builder.max_workers(1)).await;
    Outcome::of(stage.executor.submit(sevens, 0..4)).await.assert_sevens(0..4);
    let played = Played::of(stage).await;
    assert_eq!(played.count(|kind| matches!(kind, EventKind::AttemptFailed { .. })), 0);
    assert_eq!(played.books.agreements.len(), 1);
    played.assert_all_paid();
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_keeps_no_agreement_while_the_slowest_task_goes_on() {
    let runtime = golem_devnet::runtime::ScriptedRuntime::new().when(|program, args| {
        let n: u64 = args.first().filter(|_| program == "work")?.parse().ok()?;
        let takes = if n == 0 { secs(1800) } else { secs(5) };
        Some(ScriptedAnswer::ok().taking(takes).stdout((n * 7).to_string()))
    });
    let stage = Stage::on(runtime, ["ada", "bob", "eve"].map(honest), |builder| builder).await;
    Outcome::of(stage.executor.submit(patient, 0..9)).await.assert_sevens(0..9);
    let played = Played::of(stage).await;
    played.assert_all_paid();
    let mut early = 0;
    for rental in ["ada", "bob", "eve"].into_iter().flat_map(|name| played.rentals_with(name)) {
        let its = |kind: &EventKind, ended: bool| match kind {
            EventKind::TaskDone { rental: of, .. } => !ended && *of == rental,
            EventKind::AgreementEnded { rental: of, .. } => ended && *of == rental,
            _ => false,
        };
        let last = |ended| played.events.iter().rfind(|event| its(&event.kind, ended)).map(|event| event.at);
        let (done, ended) = (last(false).unwrap(), last(true).unwrap());
        let idle = between(done, ended);
        assert!(idle < secs(60), "it was kept for {idle:?} with nothing to do");
        let whole = between(played.events[0].at, ended);
        early += usize::from(whole < secs(120));
    }
    assert_eq!(early, 2, "all but the one with the slow task ended long before it");
}

#[tokio::test(start_paused = true)]
async fn twenty_providers_are_at_work_within_seconds_though_some_are_silent() {
    let honest_ones = (0..20).map(|n| honest(&format!("p{n}")));
    let silent = (0..3).map(|n| {
        let approval = ApprovalManner::Never;
        honest(&format!("silent{n}")).behaving(Behaviour { approval, ..Behaviour::default() })
    });
    let stage =
        Stage::on(scripted(), silent.chain(honest_ones), |builder| builder.max_workers(23).budget("20"))
            .await;
    let begun = Instant::now();
    let submitted = stage.executor.submit(sevens, 0..200);
    stage.until_seen(20, |kind| matches!(kind, EventKind::ActivityReady { .. })).await;
    assert!(begun.elapsed() < secs(10), "{:?}", begun.elapsed());
    Outcome::of(submitted).await.assert_sevens(0..200);
    assert!(begun.elapsed() < secs(75), "{:?}", begun.elapsed());
    Played::of(stage).await.assert_all_paid();
}

#[tokio::test(start_paused = true)]
async fn an_activity_that_cannot_be_created_is_not_asked_for_again_and_again() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let faults = stage.devnet.faults();
    faults.always("POST /activity-api/v1/activity?", Fault::Status(400));
    let before = faults.request_count();
    let submitted = stage.executor.submit(sevens, 0..6);
    let failed = |kind: &EventKind| matches!(kind, EventKind::ActivityEnded { failure: Some(_), .. });
    stage.until_seen(1, failed).await;
    sleep(secs(20)).await;
    let (n, asked) = (stage.devnet.books().agreements.len(), faults.request_count() - before);
    assert!((1..=2).contains(&n), "{n} agreements were made for nothing");
    assert!(asked < 200, "{asked} requests in vain");
    faults.clear();
    let outcome = Outcome::of(submitted).await;
    if outcome.error.is_some() {
        // It was given up, with the reason; whoever tries again finds all well.
        assert!(outcome.error().to_string().contains("activity didn't start"), "{}", outcome.error());
        Outcome::of(stage.executor.submit(sevens, 0..6)).await.assert_sevens(0..6);
    } else {
        outcome.assert_sevens(0..6);
    }
    stage.close().await;
}

/// Longer than the few seconds that a daemon waits when nobody says how long.
#[tokio::test(start_paused = true)]
async fn an_activity_that_is_created_slowly_is_waited_for() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    let submitted = stage.executor.submit(sevens, 0..4);
    stage.until_seen(1, |kind| matches!(kind, EventKind::AgreementApproved { .. })).await;
    let ada = stage.devnet.provider("ada").unwrap();
    ada.freeze();
    sleep(secs(40)).await;
    ada.thaw();
    Outcome::of(submitted).await.assert_sevens(0..4);
    let played = Played::of(stage).await;
    assert_eq!((played.books.agreements.len(), played.books.activities.len()), (1, 1));
    played.assert_all_paid();
}

#[tokio::test(start_paused = true)]
async fn an_activity_that_is_never_created_is_given_up_and_leaves_no_ghost() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let submitted = stage.executor.submit(sevens, 0..24);
    stage.until_seen(1, |kind| matches!(kind, EventKind::AgreementApproved { .. })).await;
    let bob = stage.devnet.provider("bob").unwrap().clone();
    bob.freeze();
    let begun = Instant::now();
    Outcome::of(submitted).await.assert_sevens(0..24);
    assert!(begun.elapsed() < secs(240), "{:?}", begun.elapsed());
    // It learns of the missed events now, and acts upon them: that must come to nothing.
    bob.thaw();
    let played = Played::of(stage).await;
    assert_eq!(played.end.done, 24);
    assert!(played.agreements_with("bob").len() <= 2, "{:#?}", played.books.agreements);
}
