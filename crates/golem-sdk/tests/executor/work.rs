//! Work that gets done: jobs at once, tasks of tasks, streams of tasks, readers of all kinds.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, TryStreamExt, stream};
use golem_core::event::{Event, EventKind};
use golem_sdk::executor::Tasks;
use golem_sdk::{Script, WorkContext};
use tokio::time::sleep;

use crate::stage::{Outcome, Stage, TASK_TAKES, do_one, secs, seven_times, sevens};

#[tokio::test(start_paused = true)]
async fn tasks_come_back_finished_with_all_that_belongs_to_them() {
    let stage = Stage::new(&["ada", "bob"]).await;
    assert_eq!((stage.executor.driver(), stage.executor.network()), ("erc20", "hoodi"));
    let outcome = Outcome::of(stage.executor.submit(sevens, 0..20)).await;
    outcome.assert_sevens(0..20);
    let ids: BTreeSet<_> = outcome.done.iter().map(golem_sdk::executor::Finished::id).collect();
    assert_eq!(ids.len(), 20);
    for task in &outcome.done {
        assert!(task.running_time() >= TASK_TAKES && task.running_time() < secs(10), "{task:?}");
        assert!(["ada", "bob"].contains(&task.provider().name.as_str()), "{task:?}");
        assert_eq!(task.attempts(), 1);
    }
    let end = stage.close().await;
    assert_eq!((end.done, end.failed, end.unfinished, end.unsettled), (20, 0, 0, 0));
}

/// Neither can be written down or copied: they never leave the process.
struct Frame(u64);
struct Picture(Mutex<String>);

#[tokio::test(start_paused = true)]
async fn data_and_results_are_of_the_users_own_types() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<Frame, Picture>| async move {
        while let Some(task) = tasks.next().await {
            let picture = seven_times(&ctx, task.data().0).await?;
            task.accept_result(Picture(Mutex::new(picture))).await;
        }
        Ok(())
    };
    let done: Vec<_> = stage.executor.submit(worker, (0..6).map(Frame)).try_collect().await.unwrap();
    assert_eq!(done.len(), 6);
    for task in done {
        let n = task.data().0;
        assert_eq!(task.into_result().0.into_inner().unwrap(), (n * 7).to_string());
    }
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn two_jobs_at_once_share_one_allocation_and_its_agreements() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let first = stage.executor.submit(sevens, 0..12);
    let second = stage.executor.submit(sevens, 100..112);
    let (first, second) = tokio::join!(Outcome::of(first), Outcome::of(second));
    first.assert_sevens(0..12);
    second.assert_sevens(100..112);
    let books = stage.devnet.books();
    assert_eq!(books.allocations.len(), 1, "one budget");
    assert!(books.agreements.len() <= 4, "{:#?}", books.agreements);
    assert_eq!(stage.close().await.done, 24);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_nobody_reads_yet_goes_on() {
    let stage = Stage::new(&["ada"]).await;
    let submitted = stage.executor.submit(sevens, 0..3);
    stage.until_seen(3, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
    Outcome::of(submitted).await.assert_sevens(0..3);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_worker_does_before_its_first_task_is_done_once_per_provider() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let worker = move |ctx: WorkContext, mut tasks: Tasks<u64, String>| {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Ordering::Relaxed);
            while let Some(task) = tasks.next().await {
                do_one(&ctx, task).await?;
            }
            Ok(())
        }
    };
    Outcome::of(stage.executor.submit(worker, 0..20)).await.assert_sevens(0..20);
    assert_eq!(begun.load(Ordering::Relaxed), stage.devnet.books().activities.len());
    assert_eq!(begun.load(Ordering::Relaxed), 2);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn results_spawn_tasks() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            let n = *task.data();
            if n < 10 {
                tasks.add(n * 2 + 10).await;
                tasks.add_all([n * 2 + 11]).await;
            }
            do_one(&ctx, task).await?;
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..4)).await;
    outcome.assert_sevens((0..4).chain(10..18));
    assert_eq!(stage.close().await.done, 12);
}

#[tokio::test(start_paused = true)]
async fn results_that_the_caller_reads_spawn_tasks_by_the_stream_they_come_from() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    let (feed, fed) = tokio::sync::mpsc::channel(16);
    feed.send(1).await.unwrap();
    let tasks = stream::unfold(fed, |mut fed| async move { Some((fed.recv().await?, fed)) });
    let mut submitted = stage.executor.submit_stream(sevens, tasks);
    let (mut feed, mut open, mut results) = (Some(feed), 1, Vec::new());
    while let Some(task) = submitted.try_next().await.unwrap() {
        open -= 1;
        let n = *task.data();
        results.push(n);
        if n < 8 {
            for next in [n * 2, n * 2 + 1] {
                feed.as_ref().unwrap().send(next).await.unwrap();
                open += 1;
            }
        }
        if open == 0 {
            // No more can come: the stream ends, and with it the job.
            feed = None;
        }
    }
    results.sort_unstable();
    assert_eq!(results, (1..16).collect::<Vec<_>>());
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn several_tasks_may_share_a_batch() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(pack) = tasks.next_pack(4).await {
            let script =
                pack.iter().fold(Script::new(), |script, task| script.run("work", [task.data().to_string()]));
            let done = ctx.execute(script, secs(60)).await?;
            for (task, result) in pack.into_iter().zip(&done.results) {
                task.accept_result(result.stdout.as_ref().unwrap().to_text().into_owned()).await;
            }
        }
        Ok(())
    };
    Outcome::of(stage.executor.submit(worker, 0..10)).await.assert_sevens(0..10);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn tasks_come_from_a_stream_that_takes_its_time() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let tasks = stream::iter(0..8).then(|n| async move {
        sleep(secs(3)).await;
        n
    });
    Outcome::of(stage.executor.submit_stream(sevens, tasks)).await.assert_sevens(0..8);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn every_consumer_hears_of_everything_in_order_and_a_broken_one_harms_nobody() {
    let heard: [Arc<Mutex<Vec<_>>>; 2] = Default::default();
    let [one, other] = heard.clone();
    let stage = Stage::with(&["ada"], |builder| {
        builder
            .event_consumer(move |event: &Event| one.lock().unwrap().push(event.clone()))
            .event_consumer(|_: &Event| panic!("a consumer that breaks"))
            .event_consumer(move |event: &Event| other.lock().unwrap().push(event.clone()))
    })
    .await;
    let mut events = stage.executor.events();
    Outcome::of(stage.executor.submit(sevens, 0..4)).await.assert_sevens(0..4);
    let journal = Arc::clone(&stage.journal);
    stage.close().await;
    let all = journal.events();
    for heard in heard {
        assert_eq!(*heard.lock().unwrap(), all);
    }
    let mut late = Vec::new();
    while let Some(more) = events.next().await {
        late.extend_from_slice(&more);
    }
    assert!(all.ends_with(&late) && late.len() > 4, "{late:#?}");
}

#[tokio::test(start_paused = true)]
async fn who_never_reads_events_misses_some_is_told_so_and_holds_nobody_up() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    let mut events = stage.executor.events();
    let worker = |_: WorkContext, mut tasks: Tasks<u64, u64>| async move {
        // One at a time, with a pause that no events are gathered over: each makes a batch of events at least.
        while let Some(task) = tasks.next().await {
            let n = *task.data();
            sleep(std::time::Duration::from_millis(10)).await;
            task.accept_result(n).await;
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..6000)).await;
    assert!(outcome.error.is_none() && outcome.done.len() == 6000, "{:?}", outcome.error);
    let written = stage.journal.events().len() as u64;
    let missed = events.missed();
    assert!(missed > 0 && missed < written, "{missed} of {written}");
    stage.close().await;
    let mut n_read = 0;
    while let Some(more) = events.next().await {
        n_read += more.len() as u64;
    }
    assert!(
        n_read > 0 && n_read + missed <= written + 1000,
        "{n_read} read, {missed} missed, {written} written"
    );
}
