//! Any jobs in any manners, from a seed: each task has one end, and nothing is left open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use golem_sdk::executor::{Executor, Tasks};
use golem_sdk::{WorkContext, WorkerError};
use tokio::time::sleep;

use crate::stage::{Outcome, Stage, secs, seven_times};

/// What a worker does with a task.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Accept,
    RejectOnce,
    RejectForGood,
    DropOnce,
    FailOnce,
    PanicOnce,
    Spawn,
}

const MANNERS: [Manner; 7] = [
    Manner::Accept,
    Manner::RejectOnce,
    Manner::RejectForGood,
    Manner::DropOnce,
    Manner::FailOnce,
    Manner::PanicOnce,
    Manner::Spawn,
];

/// A job that was read to its end, or given up.
#[derive(Debug, Default)]
struct Account {
    seed: u64,
    is_dropped: bool,
    given: Vec<u64>,
    done: Vec<u64>,
    failed: Vec<u64>,
    unfinished: Vec<u64>,
}

/// Numbers of tasks say what is done with them.
fn manner(n: u64) -> Manner {
    // Most tasks are peaceful.
    if n.is_multiple_of(3) { MANNERS[(n / 3 % 7) as usize] } else { Manner::Accept }
}

async fn work(
    ctx: WorkContext,
    mut tasks: Tasks<u64, String>,
    spawned: Arc<Mutex<Vec<u64>>>,
) -> Result<(), WorkerError> {
    while let Some(task) = tasks.next().await {
        let (n, is_first) = (*task.data(), task.attempt() == 1);
        match manner(n) {
            Manner::RejectOnce if is_first => task.reject_result("once", true).await,
            Manner::RejectForGood => task.reject_result("for good", false).await,
            Manner::DropOnce if is_first => drop(task),
            Manner::FailOnce if is_first => return Err(WorkerError::other("once")),
            Manner::PanicOnce => {
                assert!(!is_first, "once");
                task.accept_result((n * 7).to_string()).await;
            }
            Manner::Spawn => {
                let result = seven_times(&ctx, n).await?;
                // Its like, and peaceful: no further ones come of it.
                let new = n * 1000 + 1;
                let is_new = {
                    let mut spawned = spawned.lock().unwrap_or_else(PoisonError::into_inner);
                    let is_new = !spawned.contains(&new);
                    if is_new {
                        spawned.push(new);
                    }
                    is_new
                };
                if is_new {
                    tasks.add(new).await;
                }
                task.accept_result(result).await;
            }
            _ => {
                let result = seven_times(&ctx, n).await?;
                task.accept_result(result).await;
            }
        }
    }
    Ok(())
}

async fn one_job(executor: &Executor, seed: u64) -> Account {
    let mut chance = fastrand::Rng::with_seed(seed);
    sleep(secs(chance.u64(0..60))).await;
    let given: Vec<u64> = (0..chance.u64(0..40)).collect();
    let spawned = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&spawned);
    let worker = move |ctx, tasks| work(ctx, tasks, Arc::clone(&shared));
    let mut submitted = if chance.bool() {
        executor.submit(worker, given.clone())
    } else {
        let pause = secs(chance.u64(0..8));
        let tasks = stream::iter(given.clone()).then(move |n| async move {
            sleep(pause).await;
            n
        });
        executor.submit_stream(worker, tasks)
    };
    if chance.u8(0..4) == 0 {
        for _ in 0..chance.u64(0..10) {
            if !matches!(submitted.try_next().await, Ok(Some(_))) {
                break;
            }
        }
        drop(submitted);
        return Account { seed, is_dropped: true, ..Account::default() };
    }
    let outcome = Outcome::of(submitted).await;
    for task in &outcome.done {
        assert_eq!(*task.result(), (task.data() * 7).to_string(), "seed {seed}");
    }
    let mut all = given;
    all.extend_from_slice(&spawned.lock().unwrap());
    let (failed, unfinished) = outcome.error.as_ref().map_or_else(Default::default, |error| {
        let failed = error.failed().iter().map(|failure| *failure.data()).collect();
        (failed, error.unfinished().copied().collect())
    });
    let done = outcome.done.iter().map(|task| *task.data()).collect();
    Account { seed, is_dropped: false, given: all, done, failed, unfinished }
}

#[expect(clippy::print_stdout, reason = "shown where the test fails")]
async fn play(seed: u64) {
    println!("seed {seed}");
    let stage = Stage::with(&["ada", "bob", "eve", "joe"], |builder| builder.max_workers(3)).await;
    let jobs = (0..4).map(|job| one_job(&stage.executor, seed * 100 + job));
    for account in join_all(jobs).await {
        if account.is_dropped {
            continue;
        }
        let mut ends: BTreeMap<u64, u32> = BTreeMap::new();
        for n in account.done.iter().chain(&account.failed).chain(&account.unfinished) {
            *ends.entry(*n).or_default() += 1;
        }
        let wanted: BTreeMap<u64, u32> = account.given.iter().map(|n| (*n, 1)).collect();
        assert_eq!(ends, wanted, "job {}: {account:?}", account.seed);
        assert!(account.unfinished.is_empty(), "{account:?}");
        let rejected: Vec<_> =
            account.failed.iter().filter(|n| !matches!(manner(**n), Manner::RejectForGood)).collect();
        assert!(rejected.is_empty(), "{rejected:?} had attempts left: {account:?}");
    }
    let end = stage.close().await;
    assert!(end.cost <= "2".parse().unwrap(), "seed {seed}: {end:?}");
}

#[tokio::test(start_paused = true)]
async fn any_jobs_in_any_manners_have_each_task_ended_once() {
    for seed in 0..12 {
        play(seed).await;
    }
}
