//! Tasks on their way: put back, handed on, waited for; each ends once.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use golem_core::event::EventKind;
use golem_sdk::executor::Tasks;
use golem_sdk::{WorkContext, WorkerError};
use tokio::time::sleep;

use crate::played::Played;
use crate::stage::{Outcome, Stage, do_one, secs, seven_times};

#[tokio::test(start_paused = true)]
async fn none_one_or_a_hundred_tasks_that_are_put_back_at_random_each_end_once() {
    for (seed, tasks) in [0, 1, 100].into_iter().enumerate() {
        let names = ["ada", "bob", "eve", "joe", "kim"];
        let stage = Stage::with(&names, |builder| builder.max_workers(5).retries(20)).await;
        let chance = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed as u64)));
        let worker = move |_: WorkContext, mut tasks: Tasks<u64, String>| {
            let chance = Arc::clone(&chance);
            async move {
                while let Some(task) = tasks.next().await {
                    let (pause, puts_back) = {
                        let mut chance = chance.lock().unwrap();
                        (chance.u64(1..8), chance.u8(0..3) == 0)
                    };
                    sleep(secs(pause)).await;
                    if puts_back {
                        task.reject_result("put back", true).await;
                    } else {
                        let result = (task.data() * 7).to_string();
                        task.accept_result(result).await;
                    }
                }
                Ok(())
            }
        };
        Outcome::of(stage.executor.submit(worker, 0..tasks)).await.assert_sevens(0..tasks);
        let played = Played::of(stage).await;
        assert_eq!(played.end.done, tasks, "seed {seed}");
        let put_back = played.count(|kind| matches!(kind, EventKind::AttemptFailed { .. }));
        assert!(tasks < 100 || put_back > 10, "seed {seed}: only {put_back} were put back");
        played.assert_all_paid();
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_in_the_hands_of_a_worker_that_ends_go_to_the_next() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let has_left = Arc::new(AtomicUsize::new(0));
    let worker = move |ctx: WorkContext, mut tasks: Tasks<u64, String>| {
        let has_left = Arc::clone(&has_left);
        async move {
            while let Some(pack) = tasks.next_pack(3).await {
                if has_left.fetch_add(1, Ordering::Relaxed) == 0 {
                    // With all of them in its hands.
                    return Ok(());
                }
                for task in pack {
                    do_one(&ctx, task).await?;
                }
            }
            Ok(())
        }
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..12)).await;
    outcome.assert_sevens(0..12);
    let again = outcome.done.iter().filter(|task| task.attempts() == 2).count();
    assert!((1..=3).contains(&again), "{again} were tried again");
    Played::of(stage).await.assert_all_paid();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_put_back_does_not_wait_for_a_source_that_blocks() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    let (feed, fed) = tokio::sync::mpsc::channel(4);
    feed.send(5).await.unwrap();
    let tasks = stream::unfold(fed, |mut fed| async move { Some((fed.recv().await?, fed)) });
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            if task.attempt() == 1 {
                task.reject_result("once more", true).await;
            } else {
                do_one(&ctx, task).await?;
            }
        }
        Ok(())
    };
    let mut submitted = stage.executor.submit_stream(worker, tasks);
    let begun = tokio::time::Instant::now();
    // The source neither has another task nor ends.
    let first = submitted.try_next().await.unwrap().unwrap();
    assert_eq!((*first.data(), first.attempts()), (5, 2));
    assert!(begun.elapsed() < secs(60), "{:?}", begun.elapsed());
    drop(feed);
    assert!(submitted.try_next().await.unwrap().is_none());
    Played::of(stage).await.assert_all_paid();
}

/// Sources, workers and readers are each fast, slow, or both in turn.
#[tokio::test(start_paused = true)]
async fn any_pace_of_source_worker_and_reader_brings_each_task_once() {
    let paces: [fn(u64) -> u64; 3] = [|_| 0, |_| 4, |n| n % 4 * 3];
    for (source, worker_pace, reader) in
        (0..27).map(|n: usize| (paces[n % 3], paces[n / 3 % 3], paces[n / 9 % 3]))
    {
        let stage = Stage::with(&["ada", "bob", "eve"], |builder| builder.max_workers(3)).await;
        let tasks = stream::iter(0..8).then(move |n| async move {
            sleep(secs(source(n))).await;
            n
        });
        let worker = move |_: WorkContext, mut tasks: Tasks<u64, u64>| async move {
            while let Some(task) = tasks.next().await {
                let n = *task.data();
                sleep(secs(worker_pace(n))).await;
                task.accept_result(n * 7).await;
            }
            Ok(())
        };
        let mut submitted = stage.executor.submit_stream(worker, tasks);
        let mut results = Vec::new();
        while let Some(task) = submitted.try_next().await.unwrap() {
            sleep(secs(reader(*task.data()))).await;
            results.push(*task.result());
        }
        results.sort_unstable();
        assert_eq!(results, (0..8).map(|n| n * 7).collect::<Vec<_>>());
        stage.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_ends_early_takes_no_more_and_is_followed_by_another() {
    let stage = Stage::with(&["ada", "bob"], |builder| builder.max_workers(2)).await;
    let called = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&called);
    let worker = move |ctx: WorkContext, mut tasks: Tasks<u64, String>| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if let Some(task) = tasks.next().await {
                do_one(&ctx, task).await?;
            }
            Ok(())
        }
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..9)).await;
    outcome.assert_sevens(0..9);
    assert!(outcome.done.iter().all(|task| task.attempts() == 1), "no task was taken to be thrown away");
    assert!(called.load(Ordering::Relaxed) >= 9);
    let played = Played::of(stage).await;
    played.assert_all_paid();
    assert_eq!(played.count(|kind| matches!(kind, EventKind::ProviderSetBack { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn each_job_has_an_id_of_its_own() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, u64>| async move {
        while let Some(task) = tasks.next().await {
            let result = seven_times(&ctx, *task.data()).await?.parse();
            let result = result.map_err(|_| WorkerError::other("no number"))?;
            task.accept_result(result).await;
        }
        Ok(())
    };
    let jobs: Vec<_> = (0..4).map(|n| stage.executor.submit(worker, [n])).collect();
    for job in jobs {
        job.try_collect::<Vec<_>>().await.unwrap();
    }
    let played = Played::of(stage).await;
    let job = |kind: &EventKind| match kind {
        EventKind::JobAdded { job, .. } => Some(job.0),
        _ => None,
    };
    let mut ids: Vec<_> = played.kinds().filter_map(job).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    // Each task tells which it belongs to.
    let mut of: Vec<_> = played
        .kinds()
        .filter_map(|kind| match kind {
            EventKind::TaskAdded { job, task, .. } => Some((task.0, job.0)),
            _ => None,
        })
        .collect();
    of.sort_unstable();
    let mut jobs: Vec<_> = of.iter().map(|(_, job)| *job).collect();
    jobs.sort_unstable();
    assert_eq!(jobs, ids);
}
