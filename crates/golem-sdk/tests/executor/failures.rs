//! Failures, and the things that they may not do to the rest. Each test is named after a complaint about an older SDK,
//! or after what its users fear.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream;
use golem_core::event::{EventKind, FailureKind};
use golem_devnet::runtime::ScriptedAnswer;
use golem_sdk::executor::{EndCause, Tasks};
use golem_sdk::{WorkContext, WorkerError};
use tokio::time::Instant;

use crate::stage::{Outcome, Stage, do_one, honest, scripted, secs, seven_times, sevens};

#[tokio::test(start_paused = true)]
async fn rejecting_with_one_worker_never_deadlocks() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            let result = seven_times(&ctx, *task.data()).await?;
            // Each task's second attempt is good.
            if task.attempt() == 1 {
                task.reject_result("not yet", true).await;
            } else {
                task.accept_result(result).await;
            }
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..5)).await;
    outcome.assert_sevens(0..5);
    assert!(outcome.done.iter().all(|task| task.attempts() == 2));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn rejecting_is_bounded_and_costs_the_others_nothing() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1).retries(2)).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            if *task.data() == 3 {
                task.reject_result("never good", true).await;
            } else {
                do_one(&ctx, task).await?;
            }
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..6)).await;
    assert_eq!(outcome.done.len(), 5);
    let error = outcome.error();
    assert!(matches!(error.cause(), EndCause::TasksFailed), "{error:?}");
    let [failed] = error.failed() else { panic!("{error:?}") };
    assert_eq!((*failed.data(), failed.attempts()), (3, 3));
    assert_eq!(failed.failure().kind, FailureKind::Rejected);
    assert_eq!(failed.provider().unwrap().name, "ada");
    assert_eq!(error.unfinished().len(), 0);
    assert!(!error.more_in_source());
    let said = error.to_string();
    assert!(said.contains("1 failed") && said.contains("never good"), "{said}");
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_rejected_for_good_is_tried_once() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let worker = |_: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            task.reject_result("no such word", false).await;
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..4)).await;
    assert_eq!(outcome.error().failed().len(), 4);
    assert!(outcome.error().failed().iter().all(|failed| failed.attempts() == 1));
    assert_eq!(stage.count(|kind| matches!(kind, EventKind::ProviderSetBack { .. })), 0);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_dropped_without_an_answer_is_tried_again_and_counted() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1).retries(2)).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            match *task.data() {
                // Dropped each time.
                1 => drop(task),
                2 if task.attempt() == 1 => {}
                _ => do_one(&ctx, task).await?,
            }
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..4)).await;
    let mut done: Vec<_> = outcome.done.iter().map(|task| (*task.data(), task.attempts())).collect();
    done.sort_unstable();
    assert_eq!(done, [(0, 1), (2, 2), (3, 1)]);
    let [failed] = outcome.error().failed() else { panic!("{:?}", outcome.error()) };
    assert_eq!((*failed.data(), failed.attempts()), (1, 3));
    assert!(failed.failure().message.contains("without an answer"), "{failed:?}");
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_provider_is_not_picked_again_and_again() {
    let runtime = scripted().when(|program, _| (program == "setup").then(ScriptedAnswer::ok));
    let stage = Stage::on(runtime, ["ada", "bob", "eve"].map(honest), |builder| builder).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            if ctx.provider().name == "eve" {
                return Err(WorkerError::other("eve's disk is full"));
            }
            do_one(&ctx, task).await?;
        }
        Ok(())
    };
    Outcome::of(stage.executor.submit(worker, 0..30)).await.assert_sevens(0..30);
    let eve = stage.devnet.provider("eve").unwrap().node().clone();
    let with_eve = stage.devnet.books().agreements.iter().filter(|row| row.provider == eve).count();
    assert!((1..=2).contains(&with_eve), "{with_eve} agreements");
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_fails_alone() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&panics);
    let worker = move |ctx: WorkContext, mut tasks: Tasks<u64, String>| {
        let counted = Arc::clone(&counted);
        async move {
            while let Some(task) = tasks.next().await {
                let n = *task.data();
                let is_unlucky = n == 5 && counted.fetch_add(1, Ordering::Relaxed) == 0;
                assert!(!is_unlucky, "number {n} is unlucky");
                do_one(&ctx, task).await?;
            }
            Ok(())
        }
    };
    let other = stage.executor.submit(sevens, 100..110);
    let outcome = Outcome::of(stage.executor.submit(worker, 0..10)).await;
    outcome.assert_sevens(0..10);
    Outcome::of(other).await.assert_sevens(100..110);
    let said = stage.count(|kind| {
        matches!(kind, EventKind::AttemptFailed { failure, .. }
            if failure.message.contains("the worker panicked: number 5 is unlucky"))
    });
    assert_eq!(said, 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_always_panics_fails_its_tasks_and_not_the_executor() {
    let stage = Stage::with(&["ada", "bob"], |builder| builder.retries(1)).await;
    let worker = |_: WorkContext, mut tasks: Tasks<u64, String>| async move {
        let task = tasks.next().await;
        assert!(task.is_none(), "this worker always panics");
        Ok(())
    };
    let begun = Instant::now();
    let outcome = Outcome::of(stage.executor.submit(worker, 0..2)).await;
    assert_eq!(outcome.error().failed().len(), 2, "{:?}", outcome.error());
    assert!(begun.elapsed() < secs(1800), "{:?}", begun.elapsed());
    Outcome::of(stage.executor.submit(sevens, 0..3)).await.assert_sevens(0..3);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_ends_its_own_job() {
    let stage = Stage::new(&["ada"]).await;
    let tasks = (0..20).inspect(|n| assert!(*n < 3, "the source is broken at {n}"));
    let broken = stage.executor.submit(sevens, tasks);
    let other = stage.executor.submit(sevens, 0..4);
    let broken = Outcome::of(broken).await;
    let EndCause::SourceFailed { problem } = broken.error().cause() else { panic!("{:?}", broken.error()) };
    assert!(problem.contains("the source is broken at 3"), "{problem}");
    assert_eq!(broken.done.len() + broken.error().unfinished().len(), 3, "{:?}", broken.error());
    Outcome::of(other).await.assert_sevens(0..4);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_ends_its_job_and_says_why() {
    let stage = Stage::new(&["ada"]).await;
    let tasks = stream::iter([Ok(0), Ok(1), Err("the disk is gone"), Ok(2)]);
    let outcome = Outcome::of(stage.executor.submit_try_stream(sevens, tasks)).await;
    let error = outcome.error();
    assert!(matches!(error.cause(), EndCause::SourceFailed { problem } if problem == "the disk is gone"));
    assert!(error.more_in_source());
    stage.close().await;
}
