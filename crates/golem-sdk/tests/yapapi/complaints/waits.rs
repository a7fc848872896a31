//! Waits that users notice: for providers that say nothing, for bills that never come, for work that can't succeed.

use golem_core::event::{EventKind, FailureKind};
use golem_devnet::provider::{ApprovalManner, Behaviour, Prices, ProviderConfig};
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::executor::{EndCause, Tasks};
use golem_sdk::{WorkContext, WorkerError};
use tokio::time::Instant;
use yagna_api::time::between;

use crate::played::Played;
use crate::stage::{Outcome, Stage, honest, scripted, secs, sevens};

fn approving(name: &str, approval: ApprovalManner) -> ProviderConfig {
    // Cheaper than the honest ones.
    let cheap = ProviderConfig::new(name).priced(Prices::per_hour("0", "0.2", "0.02").unwrap());
    cheap.behaving(Behaviour { approval, ..Behaviour::default() })
}

fn is_set_back(kind: &EventKind) -> bool {
    matches!(kind, EventKind::ProviderSetBack { .. })
}

/// Does `work <n>`, and hands on whatever fails.
async fn strict(mut ctx: WorkContext, mut tasks: Tasks<u64, String>) -> Result<(), WorkerError> {
    while let Some(task) = tasks.next().await {
        let work = ctx.run("work", [task.data().to_string()]);
        let done = ctx.commit(secs(60)).await?;
        task.accept_result(done[work].stdout().into_owned()).await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_dozen_silent_providers_that_are_cheaper_cost_no_minutes() {
    let silent = (0..12).map(|n| approving(&format!("silent{n}"), ApprovalManner::Never));
    let stage = Stage::on(scripted(), silent.chain(["ada", "bob"].map(honest)), |builder| builder).await;
    let begun = Instant::now();
    let submitted = stage.executor.submit(sevens, 0..12);
    stage.until_seen(1, |kind| matches!(kind, EventKind::TaskStarted { .. })).await;
    assert!(begun.elapsed() < secs(45), "work began after {:?}", begun.elapsed());
    Outcome::of(submitted).await.assert_sevens(0..12);
    assert!(begun.elapsed() < secs(90), "{:?}", begun.elapsed());
    let played = Played::of(stage).await;
    played.assert_all_paid();
    let blamed = played.kinds().filter_map(|kind| match kind {
        EventKind::ProviderSetBack { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(blamed.into_iter().all(|reason| reason.contains("no answer within")), "{:#?}", played.events);
}

#[tokio::test(start_paused = true)]
async fn providers_that_are_all_slow_to_approve_are_waited_for_and_none_is_paid_for_nothing() {
    let slow = (0..14).map(|n| approving(&format!("slow{n}"), ApprovalManner::After(secs(35))));
    let stage = Stage::on(scripted(), slow, |builder| builder.max_workers(2)).await;
    let begun = Instant::now();
    Outcome::of(stage.executor.submit(sevens, 0..20)).await.assert_sevens(0..20);
    assert!(begun.elapsed() < secs(180), "{:?}", begun.elapsed());
    let played = Played::of(stage).await;
    played.assert_all_paid();
    assert!(played.books.activities.len() <= 2, "{:#?}", played.books.activities);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_died_is_not_waited_for_until_the_last_bill_is_overdue() {
    let stage = Stage::new(&["ada", "bob", "eve"]).await;
    let submitted = stage.executor.submit(sevens, 0..30);
    stage.until_seen(6, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
    stage.devnet.provider("eve").unwrap().clone().kill();
    Outcome::of(submitted).await.assert_sevens(0..30);
    let begun = Instant::now();
    let end = stage.executor.close().await.unwrap();
    assert_eq!((end.done, end.unsettled), (30, 1), "its invoice never comes: {end:?}");
    assert!(begun.elapsed() < secs(30), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_missing_everywhere_fails_every_task_within_its_retries_and_soon() {
    let runtime = ScriptedRuntime::new()
        .when(|program, _| (program == "work").then(|| ScriptedAnswer::exit(127).stderr("not found\n")));
    let stage = Stage::on(runtime, ["ada", "bob"].map(honest), |builder| builder.retries(3)).await;
    let begun = Instant::now();
    let outcome = Outcome::of(stage.executor.submit(strict, 0..8)).await;
    let error = outcome.error();
    assert!(matches!(error.cause(), EndCause::TasksFailed), "{error:?}");
    assert_eq!((error.failed().len(), error.unfinished().count()), (8, 0));
    for failed in error.failed() {
        assert_eq!((failed.attempts(), failed.failure().kind), (4, FailureKind::CommandFailed));
    }
    assert!(begun.elapsed() < secs(180), "{:?}", begun.elapsed());
    let played = Played::of(stage).await;
    played.assert_all_paid();
    assert!(played.count(is_set_back) <= 2, "{}", played.count(is_set_back));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_everywhere_sets_back_no_more_than_the_first_who_tried_it() {
    let runtime = scripted().when(|program, args| {
        (program == "work" && args == ["poison"]).then(|| ScriptedAnswer::exit(1).stderr("bad input\n"))
    });
    let stage = Stage::on(runtime, ["ada", "bob", "eve"].map(honest), |builder| builder.retries(3)).await;
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            let arg = if *task.data() == 3 { "poison".to_owned() } else { task.data().to_string() };
            let work = ctx.run("work", [arg]);
            let done = ctx.commit(secs(60)).await?;
            task.accept_result(done[work].stdout().into_owned()).await;
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..30)).await;
    let [failed] = outcome.error().failed() else { panic!("{:?}", outcome.error()) };
    assert_eq!((outcome.done.len(), *failed.data(), failed.attempts()), (29, 3, 4));
    let played = Played::of(stage).await;
    assert!(played.count(is_set_back) <= 1, "{}", played.count(is_set_back));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_deploys_nowhere_ends_its_job_in_a_minute_or_two() {
    let full = || Behaviour { fails_deploy: true, ..Behaviour::default() };
    let dear =
        |n: u64| ProviderConfig::new(format!("dear{n}")).priced(Prices::per_hour("0", "0", "100").unwrap());
    let providers = ["ada", "bob"].map(|name| honest(name).behaving(full()));
    // Those who can't be dealt with anyway give no hope.
    let others = (0..4).map(dear).chain([approving("silent", ApprovalManner::Never)]);
    let stage = Stage::on(scripted(), providers.into_iter().chain(others), |builder| builder).await;
    let begun = Instant::now();
    let outcome = Outcome::of(stage.executor.submit(sevens, 0..4)).await;
    let error = outcome.error();
    assert!(matches!(error.cause(), EndCause::NothingRuns { .. }), "{error:?}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert_eq!(error.unfinished().count(), 4);
    assert!(begun.elapsed() < secs(150), "{:?}", begun.elapsed());
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_local_file_that_is_missing_is_held_against_no_provider() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let in_tasks = |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            ctx.send_file("/no/such/file", "/golem/work/in");
            ctx.commit(secs(60)).await?;
            task.accept_result(String::new()).await;
        }
        Ok(())
    };
    let begun = Instant::now();
    let outcome = Outcome::of(stage.executor.submit(in_tasks, 0..4)).await;
    let failed = outcome.error().failed();
    assert_eq!(failed.len(), 4, "{:?}", outcome.error());
    for failed in failed {
        assert_eq!((failed.attempts(), failed.failure().kind), (1, FailureKind::Invalid));
    }
    let in_set_up = |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        ctx.send_file("/no/such/file", "/golem/work/in");
        ctx.commit(secs(60)).await?;
        while let Some(task) = tasks.next().await {
            task.accept_result(String::new()).await;
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(in_set_up, 0..4)).await;
    assert!(matches!(outcome.error().cause(), EndCause::NothingRuns { .. }), "{:?}", outcome.error());
    assert!(outcome.error().to_string().contains("/no/such/file"), "{}", outcome.error());
    assert!(begun.elapsed() < secs(60), "{:?}", begun.elapsed());
    // And the providers are at once there for others.
    let begun = Instant::now();
    Outcome::of(stage.executor.submit(sevens, 0..4)).await.assert_sevens(0..4);
    assert!(begun.elapsed() < secs(25), "{:?}", begun.elapsed());
    let played = Played::of(stage).await;
    assert_eq!(played.count(is_set_back), 0);
    let (first, last) = (played.events[0].at, played.events[played.events.len() - 1].at);
    assert!(between(first, last) < secs(300));
}
