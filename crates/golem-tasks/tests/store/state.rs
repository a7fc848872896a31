//! What the store gives back of a run is what its events fold to.

use std::collections::HashSet;
use std::time::Duration;

use golem_core::event::{EventKind, StopReason};
use golem_core::state;
use golem_tasks::store::{Holder, RunStatus, RunStore, StoreError};
use serde_json::json;
use tokio::time::Instant;
use yagna_api::{AppSessionId, Timestamp};

use crate::grounds::Ground;
use crate::histories::History;
use crate::scene::{Scene, eventful, new_run, start};

/// The one thing that a store may change: moments of tasks and jobs are kept in whole microseconds.
fn as_kept(mut state: state::RunState) -> state::RunState {
    let whole = |at: Timestamp| Timestamp::from_microsecond(at.as_microsecond()).unwrap();
    for task in state.tasks.values_mut() {
        task.since = whole(task.since);
    }
    for job in state.jobs.values_mut().chain(&mut state.first_over) {
        job.deadline = job.deadline.map(whole);
    }
    state
}

/// Pasts are long: only the lines that differ are shown.
fn assert_same(read: &state::RunState, folded: &state::RunState, after: &str) {
    if read == folded {
        return;
    }
    let (read, folded) = (format!("{read:#?}"), format!("{folded:#?}"));
    let only = |these: &str, those: &str| {
        let those: HashSet<&str> = those.lines().collect();
        these.lines().filter(|line| !those.contains(line)).take(20).collect::<Vec<_>>().join("\n")
    };
    panic!("after {after}\nread:\n{}\nfolded:\n{}", only(&read, &folded), only(&folded, &read));
}

/// Histories of random runs in random commits, with processes that die in between.
#[expect(clippy::print_stdout, reason = "the seed, to play the same again")]
pub(crate) async fn invariant_4_a_state_read_back_is_the_fold_of_the_events(ground: Ground) {
    let given = std::env::var("GOLEM_SEED").ok().map(|seed| seed.parse().unwrap());
    let rounds = std::env::var("GOLEM_SEEDS").ok().map_or(12, |rounds| rounds.parse().unwrap());
    let mut chance = fastrand::Rng::new();
    let (mut rentals, mut scripts, mut settled) = (0, 0, 0);
    let store = ground.store().await;
    for round in 0..given.map_or(rounds, |_| 1) {
        let seed = given.unwrap_or_else(|| chance.u64(..));
        println!("GOLEM_SEED={seed}");
        let mut history = History::new(seed);
        (0..400).for_each(|_| history.step());
        let mut cuts = fastrand::Rng::with_seed(seed);
        let run_id = format!("round-{round}");
        let mut run = store.create_run(&new_run(&run_id)).await.unwrap();
        let mut lease = None;
        let mut fold = state::RunState::default();
        assert_eq!(run.state().await.unwrap(), fold);
        let mut rest = history.events.as_slice();
        while !rest.is_empty() {
            let (commit, others) = rest.split_at(cuts.usize(1..=rest.len().min(30)));
            run.apply(commit).await.unwrap();
            for event in commit {
                fold.apply(event);
            }
            let read = run.state().await.unwrap();
            let so_far = history.events.len() - others.len();
            assert_same(&read, &as_kept(fold.clone()), &format!("{so_far} events, GOLEM_SEED={seed}"));
            rest = others;
            rentals += read.rentals.len();
            scripts += read
                .rentals
                .values()
                .flat_map(|rental| &rental.activities)
                .map(|a| a.scripts.len())
                .sum::<usize>();
            settled = settled.max(read.next_rental.saturating_sub(read.rentals.len() as u64));
            if cuts.u8(0..5) == 0 {
                // Its holder is replaced by one that knows nothing but what is in the store.
                if let Some(lease) = Option::take(&mut lease) {
                    golem_tasks::store::Lease::release(lease).await.unwrap();
                }
                let taken = store.take(&run_id, &Holder::here()).await.unwrap();
                run = taken.run().clone();
                lease = Some(taken);
            }
        }
        if let Some(lease) = lease {
            lease.release().await.unwrap();
        }
    }
    assert!(rentals > 0 && settled > 0, "{rentals} rentals, {settled} settled");
    assert!(given.is_some() || scripts > 0, "no script was under way at any time");
    store.close().await;
}

pub(crate) async fn a_run_with_nearly_everything_is_read_back(ground: Ground) {
    let run = ground.run().await;
    let mut fold = state::RunState::default();
    for event in eventful() {
        run.apply(std::slice::from_ref(&event)).await.unwrap();
        fold.apply(&event);
        assert_same(&run.state().await.unwrap(), &as_kept(fold.clone()), &format!("{event:?}"));
    }
}

/// What was in memory of a commit that never was is forgotten with it.
pub(crate) async fn a_commit_that_failed_left_nothing(ground: Ground) {
    let run = ground.run().await;
    let mut scene = Scene::new();
    scene.opening().added(0..2).rental(1, 1);
    run.apply(&scene.events).await.unwrap();
    let before = run.state().await.unwrap();
    let mut broken = Scene::new();
    // The second rental of the same number is refused by the database.
    broken.started(0, 1, 1).rental_ends(1, Some("1")).rental(1, 1);
    assert!(matches!(run.apply(&broken.events).await, Err(StoreError::Query { .. })));
    assert_eq!(run.state().await.unwrap(), before);
    let mut later = Scene::new();
    later.started(1, 1, 1).done(1, 1, 1, "x").rental_ends(1, None);
    run.apply(&later.events).await.unwrap();
    let mut fold = state::RunState::default();
    scene.events.iter().chain(&later.events).for_each(|event| fold.apply(event));
    assert_eq!(run.state().await.unwrap(), as_kept(fold));
}

/// Several that write at the same time: what one of them has in memory is of no use once another one wrote.
pub(crate) async fn what_several_write_at_once_is_kept_whole(ground: Ground) {
    let run = ground.run().await;
    let mut opening = Scene::new();
    opening.opening().added(0..40);
    run.apply(&opening.events).await.unwrap();
    let mut fold = state::RunState::default();
    opening.events.iter().for_each(|event| fold.apply(event));
    let mut writers = Vec::new();
    for writer in 0..4 {
        let mut scene = Scene::new();
        for rental in writer * 10..(writer + 1) * 10 {
            scene.rental(rental, rental).started(rental, 1, rental);
            if rental % 2 == 0 {
                scene.done(rental, 1, rental, "x").rental_ends(rental, Some("0.5"));
            }
        }
        scene.events.iter().for_each(|event| fold.apply(event));
        let run = run.clone();
        writers.push(async move {
            for commit in scene.events.chunks(3) {
                run.apply(commit).await.unwrap();
            }
        });
    }
    futures_util::future::join_all(writers).await;
    let state = run.state().await.unwrap();
    assert_eq!(state.rentals.len(), 20);
    assert_eq!(state, as_kept(fold));
}

/// A run that is resumed runs, whatever it did before.
pub(crate) async fn a_run_resumed_is_running(ground: Ground) {
    let run = ground.run().await;
    let (store, id) = (run.store().clone(), run.run_id().to_owned());
    assert_eq!(store.run_record("nosuch").await.unwrap(), None);
    run.apply(&eventful()).await.unwrap();
    let record = store.run_record(&id).await.unwrap().unwrap();
    assert_eq!((record.run_id.as_str(), &record.job), (id.as_str(), &json!({ "job": "job.toml" })));
    assert_eq!(record.app_session, AppSessionId::new("session-1"));
    assert_eq!(record.created.as_microsecond(), start().as_microsecond());
    assert_eq!(record.ended.unwrap().end.why, StopReason::NothingRuns);
    assert!(matches!(store.overview(&id).await.unwrap().status, RunStatus::Ended(StopReason::NothingRuns)));

    let mut scene = Scene::new();
    scene.wait(3_600_000).event(EventKind::RunResumed { resumed: golem_core::event::Resumed::default() });
    let lease = store.take(&id, &Holder::here()).await.unwrap();
    lease.run().apply(&std::mem::take(&mut scene.events)).await.unwrap();
    let overview = store.overview(&id).await.unwrap();
    assert!(matches!(overview.status, RunStatus::Running(_)), "{:?}", overview.status);
    assert_eq!((overview.summary.ended, overview.summary.waiting), (None, None));
    assert_eq!(store.run_record(&id).await.unwrap().unwrap().ended, None);

    scene.stops(StopReason::Cancelled);
    lease.run().apply(&std::mem::take(&mut scene.events)).await.unwrap();
    let status = store.overview(&id).await.unwrap().status;
    assert!(matches!(status, RunStatus::Stopping(_, StopReason::Cancelled)), "{status:?}");
    assert_eq!(lease.run().state().await.unwrap().stopping, Some(StopReason::Cancelled));
}

/// 100,000 tasks, of which 90,000 are done, and ten rentals.
pub(crate) async fn a_hundred_thousand_tasks_are_read_back_in_seconds(ground: Ground) {
    const RENTALS: u64 = 10;
    const LIMIT: Duration = Duration::from_secs(5);
    let run: RunStore = ground.run().await;
    let mut fold = state::RunState::default();
    let mut scene = Scene::new();
    scene.opening();
    (1..=RENTALS).for_each(|rental| {
        scene.rental(rental, rental);
    });
    for thousand in 0..100 {
        let tasks = thousand * 1000..(thousand + 1) * 1000;
        scene.wait(10).added(tasks.clone());
        for task in tasks.filter(|task| task % 10 != 9 || task % 100 == 99) {
            let rental = task % RENTALS + 1;
            scene.started(task, 1, rental);
            match task % 100 {
                99 if thousand > 90 => {}
                99 => {
                    scene.failed_once(task, 1, rental);
                }
                _ => {
                    scene.done(task, 1, rental, "rendered\n");
                }
            }
        }
        run.apply(&scene.events).await.unwrap();
        scene.events.iter().for_each(|event| fold.apply(event));
        scene.events.clear();
    }
    let began = Instant::now();
    let state = run.state().await.unwrap();
    let took = began.elapsed();
    assert_eq!((state.done, state.tasks.len()), (90_000, 10_000));
    assert_same(&state, &as_kept(fold), "all of them");
    assert!(took < LIMIT, "{took:?} on {}", ground.kind);
}
