//! Ordinary work: how much is bought for it, how tasks travel, what a worker may do wrong, how a run is stopped.

use futures_util::future::BoxFuture;
use golem_core::event::{EventKind, FailureKind, StopReason};
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::{Tasks, WorkContext, Worker, WorkerError};

use crate::books::{n_agreements, n_done_by};
use crate::hands::Hands;
use crate::stage::{Stage, honest, scripted, secs};

#[tokio::test(start_paused = true)]
async fn an_honest_market_does_everything_and_is_paid() {
    let played = Stage::new(["ada", "bob", "eve"].map(honest)).play().await;
    played.assert_all_done(12).await;
    assert_eq!(played.end().unsettled, 0);
    assert!(!played.end().cost.is_zero());
}

#[tokio::test(start_paused = true)]
async fn no_tasks_at_all_buy_nothing() {
    let played = Stage::new([honest("ada")]).tasks(0).play().await;
    played.assert_all_done(0).await;
    assert!(played.devnet.books().agreements.is_empty());
    assert!(played.took < secs(5), "{:?}", played.took);
}

#[tokio::test(start_paused = true)]
async fn packs_of_tasks_travel_in_one_script() {
    let mut n_requests = Vec::new();
    for room in [1, 10] {
        let stage = Stage::new(["ada", "bob"].map(honest)).tasks(100);
        let played = stage.worker(Hands { room, ..Hands::default() }).play().await;
        played.assert_all_done(100).await;
        n_requests.push(played.devnet.faults().request_count());
    }
    assert!(
        n_requests[1] * 3 < n_requests[0] * 2,
        "{n_requests:?} requests for 100 tasks one by one and in packs"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_the_middle_of_a_pack_fails_only_that_task() {
    let runtime = ScriptedRuntime::new().when(|program, args| {
        let n: u64 = args.first().filter(|_| program == "work")?.parse().ok()?;
        let answer = if n % 10 == 4 { ScriptedAnswer::exit(1).stderr("bad") } else { ScriptedAnswer::ok() };
        Some(answer.taking(secs(1)).stdout((n * 7).to_string()))
    });
    let stage = Stage::with_runtime(runtime, ["ada", "bob"].map(honest))
        .tasks(40)
        .worker(Hands { room: 8, ..Hands::default() })
        .configured(|config| config.retries = 1);
    let played = stage.play().await;
    let end = played.end();
    assert_eq!((end.why, end.done, end.failed), (StopReason::AllDone, 36, 4));
    played.assert_sound().await;
    for kind in played.kinds() {
        if let EventKind::AttemptFailed { attempt, .. } | EventKind::TaskFailed { attempt, .. } = kind {
            assert_eq!(attempt.task.0 % 10, 4, "{attempt:?} didn't fail by itself");
        }
    }
    assert!(played.count(|kind| matches!(kind, EventKind::AttemptCancelled { .. })) > 0);
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_fails_on_one_provider_leaves_the_work_to_the_others() {
    let mut broken = honest("broken");
    let runtime = ScriptedRuntime::new().on("prepare", &[""; 0], ScriptedAnswer::exit(2));
    broken.runtime = Some(std::sync::Arc::new(runtime));
    let hands = Hands { setup: Some("prepare"), ..Hands::default() };
    let played = Stage::new([broken, honest("ada")]).worker(hands).play().await;
    played.assert_all_done(12).await;
    assert_eq!(n_done_by(&played, "broken"), 0);
    let told = played.kinds().any(
        |kind| matches!(kind, EventKind::ProviderSetBack { reason, .. } if reason.contains("set-up failed")),
    );
    assert!(told);
    assert_eq!(played.count(|kind| matches!(kind, EventKind::AttemptFailed { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_fails_everywhere_ends_the_run_with_the_reason() {
    let runtime = ScriptedRuntime::new().on("prepare", &[""; 0], ScriptedAnswer::exit(2));
    let hands = Hands { setup: Some("prepare"), ..Hands::default() };
    let played = Stage::with_runtime(runtime, ["ada", "bob"].map(honest)).worker(hands).play().await;
    assert_eq!((played.end().why, played.end().done), (StopReason::NothingRuns, 0));
    played.assert_sound().await;
    let told = played.kinds().filter_map(|kind| match kind {
        EventKind::Waiting { explanation } => Some(explanation.to_string()),
        _ => None,
    });
    assert!(told.last().unwrap().contains("activity didn't start"));
    assert!(
        played.devnet.books().agreements.len() < 20,
        "providers that fail are left alone for longer and longer"
    );
}

#[tokio::test(start_paused = true)]
async fn a_script_that_expires_ends_its_rental_and_the_task_is_tried_elsewhere() {
    let mut stuck = honest("stuck");
    let hangs = ScriptedRuntime::new().when(|program, _| (program == "work").then(ScriptedAnswer::hang));
    stuck.runtime = Some(std::sync::Arc::new(hangs));
    let hands = Hands { limit: secs(15), ..Hands::default() };
    let played = Stage::new([stuck, honest("ada"), honest("bob")]).tasks(30).worker(hands).play().await;
    played.assert_all_done(30).await;
    assert_eq!(n_done_by(&played, "stuck"), 0);
    let expired = played.count(
        |kind| matches!(kind, EventKind::AttemptFailed { failure, .. } if failure.kind == FailureKind::Expired),
    );
    assert_eq!(expired, n_agreements(&played, "stuck"));
}

/// Takes a task and goes away without a word, on every provider.
#[derive(Debug)]
struct Rude {
    takes: bool,
}

impl Worker for Rude {
    fn work<'a>(
        &'a self,
        _ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            if self.takes {
                drop(tasks.next().await);
            }
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_a_worker_drops_count_as_lost_and_end() {
    let played = Stage::new(["ada", "bob"].map(honest))
        .tasks(3)
        .worker(Rude { takes: true })
        .configured(|config| config.retries = 2)
        .play()
        .await;
    let end = played.end();
    assert_eq!((end.why, end.done, end.failed), (StopReason::AllDone, 0, 3));
    played.assert_sound().await;
    assert_eq!(played.devnet.books().agreements.len(), 9, "three attempts of three tasks");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_never_takes_a_task_doesnt_buy_for_ever() {
    let played = Stage::new(["ada", "bob"].map(honest)).tasks(3).worker(Rude { takes: false }).play().await;
    assert_eq!((played.end().why, played.end().unfinished), (StopReason::NothingRuns, 3));
    played.assert_sound().await;
    let n = played.devnet.books().agreements.len();
    assert!(n < 20, "{n} agreements for nothing");
}

/// Panics at its first task.
#[derive(Debug)]
struct Bomb;

impl Worker for Bomb {
    fn work<'a>(
        &'a self,
        _ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            let task = tasks.next().await;
            panic!("a bug in a worker, at {task:?}");
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_ends_the_run_but_leaves_nothing_running() {
    let live = Stage::new(["ada", "bob"].map(honest)).worker(Bomb).start().await;
    let (result, played) = live.result().await;
    assert!(matches!(result, Err(golem_sdk::RunError::Broken(_))), "{result:?}");
    played.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_keeps_what_is_done_ends_the_agreements_and_settles_in_bounded_time() {
    let live = Stage::new(["ada", "bob", "eve"].map(honest)).tasks(200).start().await;
    live.until_seen(20, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
    live.stopper.cancel();
    let at = live.devnet.clock();
    let before = yagna_api::Clock::now(&at);
    let played = live.end().await;
    let end = played.end();
    assert_eq!((end.why, end.failed, end.unsettled), (StopReason::Cancelled, 0, 0));
    assert!(end.done >= 20 && end.done <= 26, "the tasks that ran are finished, no more: {end:?}");
    assert!(end.unfinished > 0);
    played.assert_sound().await;
    let took = yagna_api::time::between(before, yagna_api::Clock::now(&at));
    assert!(took < secs(60), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_any_moment_leaves_nothing_behind() {
    let moments: [fn(&EventKind) -> bool; 9] = [
        |kind| matches!(kind, EventKind::AllocationCreated { .. }),
        |kind| matches!(kind, EventKind::TaskAdded { .. }),
        |kind| matches!(kind, EventKind::DemandPublished { .. }),
        |kind| matches!(kind, EventKind::TermsAgreed { .. }),
        |kind| matches!(kind, EventKind::AgreementIntended { .. }),
        |kind| matches!(kind, EventKind::AgreementCreated { .. }),
        |kind| matches!(kind, EventKind::ActivityIntended { .. }),
        |kind| matches!(kind, EventKind::ActivityCreated { .. }),
        |kind| matches!(kind, EventKind::TaskStarted { .. }),
    ];
    for is in moments {
        let mut stage = Stage::new(["ada", "bob"].map(honest));
        stage.devnet = stage.devnet.delays(golem_devnet::node::Delays::real());
        let live = stage.start().await;
        live.until_seen(1, is).await;
        live.stopper.cancel();
        let played = live.end().await;
        assert_eq!(played.end().why, StopReason::Cancelled);
        played.assert_sound().await;
        assert_eq!(played.end().unsettled, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_breaks_ends_the_run_with_what_is_done() {
    let stage = Stage::with_runtime(scripted(), [honest("ada")]);
    let devnet = std::sync::Arc::new(stage.devnet.start().await.unwrap());
    let journal = std::sync::Arc::new(golem_sdk::MemoryJournal::new());
    let source = (0..5).map(|n| Ok(serde_json::json!(n))).chain([Err("line 6 is no JSON".to_owned())]);
    let run = golem_sdk::Run::new(
        crate::stage::client(&devnet),
        std::sync::Arc::new(devnet.clock()),
        std::sync::Arc::clone(&journal) as _,
        stage.worker,
        Box::new(source),
        crate::stage::options(stage.config, stage.timing, "run-1"),
    );
    let end = run.run().await.unwrap();
    assert_eq!(end.why, StopReason::Broken);
    let told = journal.events().iter().any(
        |event| matches!(&event.kind, EventKind::Trouble { problem, .. } if problem.contains("line 6 is no JSON")),
    );
    assert!(told);
    assert!(devnet.books().allocations.iter().all(|row| row.released));
}
