//! Deleting runs.

use golem_core::event::StopReason;
use golem_tasks::store::{Holder, RunStore, Store, StoreError};

use crate::grounds::{Ground, Kind};
use crate::scene::{Scene, new_run};
use crate::writing::tasks;

/// Tables that hold rows of a run.
const TABLES: [&str; 17] = [
    "runs",
    "leases",
    "jobs",
    "allocations",
    "demands",
    "rentals",
    "activities",
    "tasks",
    "attempts",
    "bills",
    "notes",
    "offers",
    "states",
    "open_rentals",
    "scripts",
    "payments",
    "tallies",
];

async fn written(store: &Store, run_id: &str, n_tasks: u64) -> RunStore {
    let run = store.create_run(&new_run(run_id)).await.unwrap();
    let mut scene = Scene::new();
    scene.opening().added(0..n_tasks).rental(1, 1).rental(2, 2);
    for task in 0..n_tasks {
        scene.started(task, 1, 1 + task % 2).done(task, 1, 1 + task % 2, "printed");
    }
    scene.rental_ends(1, Some("0.1"));
    run.apply(&scene.events).await.unwrap();
    run
}

pub(crate) async fn runs_are_deleted_together_and_the_others_stay(ground: Ground) {
    let store = ground.store().await;
    for run_id in ["a", "b", "c"] {
        written(&store, run_id, 3).await;
    }
    store.delete_runs(&["a", "c"]).await.unwrap();
    let left: Vec<_> = store.runs(10).await.unwrap().into_iter().map(|row| (row.run_id, row.done)).collect();
    assert_eq!(left, [("b".to_owned(), 3)]);
    // One that isn't there spoils all.
    let refused = store.delete_runs(&["b", "a"]).await.unwrap_err();
    assert!(matches!(&refused, StoreError::NoSuchRun { run_id, .. } if run_id == "a"), "{refused:?}");
    assert_eq!(store.runs(10).await.unwrap().len(), 1);
    // The id is free again.
    assert_eq!(tasks(&written(&store, "a", 2).await).await.len(), 2);
}

pub(crate) async fn a_run_that_a_live_process_holds_is_not_deleted(ground: Ground) {
    let store = ground.store().await;
    written(&store, "free", 1).await;
    written(&store, "held", 1).await;
    let lease = store.take("held", &Holder::here()).await.unwrap();
    let refused = store.delete_runs(&["free", "held"]).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Held { run_id, .. } if run_id == "held"), "{refused:?}");
    assert_eq!(store.runs(10).await.unwrap().len(), 2, "all of them or none");
    lease.release().await.unwrap();
    // Whoever died holds nothing.
    let mut dead = Holder::here();
    dead.pid = 0x7fff_fff0;
    let lost = store.take("held", &dead).await.unwrap();
    store.delete_runs(&["free", "held"]).await.unwrap();
    assert!(store.runs(10).await.unwrap().is_empty());
    // Of what it still wanted to say nothing comes back.
    let mut scene = Scene::new();
    scene.added(1..2);
    let refused = lost.run().apply(&scene.events).await.unwrap_err();
    assert!(matches!(refused, StoreError::LeaseLost { .. }), "{refused:?}");
}

pub(crate) async fn a_deleted_run_leaves_no_row_however_it_is_deleted(ground: Ground) {
    let store = ground.store().await;
    let mut scene = Scene::new();
    scene.opening().added(0..2).rental(1, 1).started(0, 1, 1).done(0, 1, 1, "x").rental_ends(1, Some("0.1"));
    scene.ends(StopReason::AllDone, (1, 0, 1), "0.1", 0);
    for run_id in ["by us", "by hand"] {
        store.create_run(&new_run(run_id)).await.unwrap().apply(&scene.events).await.unwrap();
        written(&store, &format!("open, {run_id}"), 2).await;
    }
    store.delete_runs(&["by us", "open, by us"]).await.unwrap();
    // As another program does it, which doesn't know of our foreign keys.
    let pragma = if ground.kind == Kind::Sqlite { "PRAGMA foreign_keys = OFF; " } else { "" };
    ground.execute(&format!("{pragma}DELETE FROM runs")).await;
    for table in TABLES {
        let left = ground.texts(&format!("SELECT CAST(count(*) AS text) FROM {table}")).await;
        assert_eq!(left, ["0"], "{table}");
    }
    // Nothing of an earlier run is found in a later one, also where rows of it were left by hand.
    if ground.kind == Kind::Sqlite {
        written(&store, "torn", 3).await;
        ground.execute("DROP TRIGGER runs_deleted; PRAGMA foreign_keys = OFF; DELETE FROM runs").await;
    }
    let next = store.create_run(&new_run("next")).await.unwrap();
    assert_eq!(tasks(&next).await, []);
    assert_eq!(store.run_summary("next").await.unwrap().tasks.done, 0);
}

pub(crate) async fn a_big_run_is_deleted_in_seconds(ground: Ground) {
    let store = ground.store().await;
    let run = store.create_run(&new_run("big")).await.unwrap();
    let mut scene = Scene::new();
    scene.added(0..20_000);
    for rental in 1..=100 {
        scene.rental(rental, rental);
    }
    for task in 0..20_000 {
        scene.started(task, 1, 1 + task % 100).done(task, 1, 1 + task % 100, "");
    }
    run.apply(&scene.events).await.unwrap();
    let deleted = store.delete_runs(&["big"]);
    tokio::time::timeout(std::time::Duration::from_secs(60), deleted).await.unwrap().unwrap();
    assert!(store.runs(1).await.unwrap().is_empty());
}
