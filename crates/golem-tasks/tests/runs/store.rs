//! What a store promises.

use futures_util::{StreamExt, TryStreamExt};
use golem::journal::Journal;
use golem_core::event::{Event, EventKind, FailureKind, StopReason, TaskId};
use golem_tasks::store::{Dsn, RunStore, Store, StoreError, TaskRow, TaskStatus};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tempfile::TempDir;

use crate::scene::{Scene, eventful, glm, memory_run, new_run};

async fn tasks(run: &RunStore) -> Vec<TaskRow> {
    run.store().tasks(run.run_id()).try_collect().await.unwrap()
}

async fn commit(run: &RunStore, scene: &mut Scene) {
    run.commit(&std::mem::take(&mut scene.events)).await.unwrap();
}

fn file_dsn(folder: &TempDir) -> Dsn {
    Dsn::Sqlite(folder.path().join("not/yet/there/runs.db"))
}

#[tokio::test]
async fn a_run_is_kept_with_its_folder_and_found_again() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&file_dsn(&folder)).await.unwrap();
    assert_eq!(store.latest_run().await.unwrap(), None);
    let run = store.create_run(&new_run("first")).await.unwrap();
    run.commit(&eventful()).await.unwrap();
    store.create_run(&new_run("second")).await.unwrap();
    let summary = store.run_summary("first").await.unwrap();
    store.close().await;

    let again = Store::open(&file_dsn(&folder)).await.unwrap();
    assert_eq!(again.latest_run().await.unwrap().as_deref(), Some("second"));
    assert_eq!(again.run_summary("first").await.unwrap(), summary);
    assert_eq!(again.run_summary("second").await.unwrap().tasks.total(), 0);
    let refused = again.create_run(&new_run("first")).await.unwrap_err();
    assert!(matches!(refused, StoreError::RunExists { .. }), "{refused}");
    let unknown = again.run_summary("third").await.unwrap_err();
    assert!(matches!(unknown, StoreError::NoSuchRun { .. }), "{unknown}");
    let unknown = again.tasks("third").next().await.unwrap().unwrap_err();
    assert!(matches!(unknown, StoreError::NoSuchRun { .. }), "{unknown}");
}

#[tokio::test]
async fn tasks_are_read_with_what_became_of_them() {
    let run = memory_run().await;
    run.commit(&eventful()).await.unwrap();
    let rows = tasks(&run).await;
    let states: Vec<_> = rows.iter().map(|row| (row.task.0, row.status, row.attempts)).collect();
    assert_eq!(
        states,
        [
            (0, TaskStatus::Done, 1),
            (1, TaskStatus::Done, 2),
            (2, TaskStatus::Failed, 1),
            (3, TaskStatus::Failed, 1),
            (4, TaskStatus::Done, 2),
            (5, TaskStatus::Waiting, 0),
        ]
    );
    assert_eq!((rows[1].stdout.as_str(), &rows[1].data), ("seven\neight\n", &json!(10)));
    assert_eq!(rows[1].provider.as_deref(), Some("lively-lynx-1"));
    assert_eq!(rows[1].took.unwrap().as_millis(), 250);
    assert_eq!(rows[2].failure.as_ref().unwrap().kind, FailureKind::CommandFailed);
    assert_eq!(rows[2].took.unwrap().as_millis(), 6000);
    assert!(rows[2].stderr.contains("not found"));
    assert_eq!((&rows[3].provider, rows[3].took), (&None, None));
}

/// Invariant 3: a task's result is recorded once, and an outcome of an old attempt is dropped.
#[tokio::test]
async fn invariant_3_an_outcome_of_an_old_attempt_is_dropped() {
    let run = memory_run().await;
    let mut scene = Scene::new();
    scene.opening().added(0..3).rental(1, 1).rental(2, 2);
    scene.started(0, 1, 1).started(1, 1, 1).started(2, 1, 1);
    scene.cancelled(0, 1, 1);
    commit(&run, &mut scene).await;
    scene.started(0, 2, 2).started(1, 2, 2);
    commit(&run, &mut scene).await;

    // Late news of the first tries, each in a commit of its own.
    scene.done(0, 1, 1, "old");
    commit(&run, &mut scene).await;
    scene.failed(1, 1, Some(1));
    commit(&run, &mut scene).await;
    let running: Vec<_> = tasks(&run).await.iter().map(|row| (row.status, row.attempts)).collect();
    assert_eq!(running, [(TaskStatus::Running, 2), (TaskStatus::Running, 2), (TaskStatus::Running, 1)]);

    scene.done(0, 2, 2, "new").done(1, 2, 2, "other").done(2, 1, 1, "third");
    commit(&run, &mut scene).await;
    // What comes once there is a result changes nothing, whichever try it is of.
    scene.done(0, 1, 1, "old").done(1, 2, 2, "twice").failed(2, 1, Some(1)).started(0, 3, 1);
    commit(&run, &mut scene).await;
    scene.done(0, 3, 1, "once more").failed_once(1, 2, 2);
    commit(&run, &mut scene).await;
    let rows = tasks(&run).await;
    let results: Vec<_> = rows.iter().map(|row| (row.status, row.attempts, row.stdout.as_str())).collect();
    assert_eq!(
        results,
        [(TaskStatus::Done, 2, "new"), (TaskStatus::Done, 2, "other"), (TaskStatus::Done, 1, "third"),]
    );
    let summary = run.store().run_summary(run.run_id()).await.unwrap();
    let done: Vec<_> = summary.providers.iter().map(|provider| provider.tasks_done).collect();
    assert_eq!((summary.tasks.done, done), (3, vec![2, 1]));
}

#[tokio::test]
async fn a_commit_may_hold_several_tries_of_one_task() {
    let together = memory_run().await;
    let one_by_one = memory_run().await;
    let mut scene = Scene::new();
    scene.added(0..2).rental(1, 1);
    scene.started(0, 1, 1).wait(10).failed_once(0, 1, 1).started(0, 2, 1).wait(10).failed_once(0, 2, 1);
    scene.started(0, 3, 1).done(0, 3, 1, "at last").started(1, 1, 1).cancelled(1, 1, 1);
    together.commit(&scene.events).await.unwrap();
    for event in &scene.events {
        one_by_one.commit(std::slice::from_ref(event)).await.unwrap();
    }
    let rows = tasks(&together).await;
    assert_eq!((rows[0].status, rows[0].attempts, rows[0].stdout.as_str()), (TaskStatus::Done, 3, "at last"));
    assert_eq!((rows[1].status, rows[1].attempts), (TaskStatus::Waiting, 1));
    assert_eq!(rows, tasks(&one_by_one).await);
    let summary = together.store().run_summary(together.run_id()).await.unwrap();
    assert_eq!(summary.providers[0].failed_attempts, 2);
    assert_eq!(summary, one_by_one.store().run_summary(one_by_one.run_id()).await.unwrap());
}

#[tokio::test]
async fn a_commit_is_all_or_nothing() {
    let run = memory_run().await;
    let mut scene = Scene::new();
    // The second of two equal deals can't be written.
    scene.added(0..3).rental(1, 1).rental(1, 1);
    let error = run.commit(&scene.events).await.unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");
    assert!(tasks(&run).await.is_empty());
    assert!(run.store().run_summary(run.run_id()).await.unwrap().providers.is_empty());
}

/// Invariant 1 needs that an intent is there once `commit` returns, whatever happens to the process then.
#[tokio::test]
async fn invariant_1_what_was_committed_is_seen_by_another_process_at_once() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&file_dsn(&folder)).await.unwrap();
    let run = store.create_run(&new_run("r")).await.unwrap();
    let mut scene = Scene::new();
    scene.opening().rental(1, 1);
    let intents = scene
        .events
        .iter()
        .position(|event| matches!(event.kind, EventKind::AgreementIntended { .. }))
        .unwrap();
    run.commit(&scene.events[..=intents]).await.unwrap();
    // Another pool reads through the file, as another process does; the writer never closed anything.
    let Dsn::Sqlite(path) = file_dsn(&folder) else { unreachable!() };
    let other = SqlitePoolOptions::new()
        .connect_with(SqliteConnectOptions::new().filename(path).read_only(true))
        .await
        .unwrap();
    let rental: (String, String) =
        sqlx::query_as("SELECT status, proposal_id FROM rental").fetch_one(&other).await.unwrap();
    assert_eq!(rental, ("intended".to_owned(), "R-1".to_owned()));
    let allocation: (String, String) =
        sqlx::query_as("SELECT status, allocation_id FROM allocation").fetch_one(&other).await.unwrap();
    assert_eq!(allocation, ("created".to_owned(), "allocation-1".to_owned()));
}

#[tokio::test]
async fn deals_bills_and_money_have_rows_of_their_own() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&file_dsn(&folder)).await.unwrap();
    let run = store.create_run(&new_run("r")).await.unwrap();
    run.commit(&eventful()).await.unwrap();
    let Dsn::Sqlite(path) = file_dsn(&folder) else { unreachable!() };
    let pool =
        SqlitePoolOptions::new().connect_with(SqliteConnectOptions::new().filename(path)).await.unwrap();
    let rows = |sql: &'static str| {
        let pool = pool.clone();
        async move { sqlx::query_scalar::<_, String>(sql).fetch_all(&pool).await.unwrap() }
    };
    assert_eq!(
        rows("SELECT status || ' ' || platform || ' ' || amount FROM allocation").await,
        ["released erc20-hoodi-tglm 1"]
    );
    assert_eq!(rows("SELECT why FROM demand WHERE ended_at IS NOT NULL").await, ["the run is over"]);
    assert_eq!(
        rows(
            "SELECT rental_no || ' ' || status || ' ' || cost || ' ' || coalesce(ended_by, '-') || ' ' \
             || coalesce(final_bill, '-') || ' ' || (bill_missing_at IS NOT NULL) FROM rental ORDER BY rental_no"
        )
        .await,
        [
            "1 ended 0.00123456 requestor accepted 0",
            "2 ended 0 provider - 1",
            "3 failed 0 - - 0",
        ]
    );
    assert_eq!(
        rows("SELECT activity_id || ' ' || status || ' ' || coalesce(usage, failure) FROM activity ORDER BY rental_no").await,
        ["activity-1 ended [1.5,0.25]", "activity-2 ended the provider vanished"]
    );
    assert_eq!(
        rows("SELECT bill_id || ' ' || kind || ' ' || status FROM bill ORDER BY bill_id").await,
        ["invoice-1 invoice accepted", "note-1 debit_note refused", "stray invoice refused"]
    );
    assert_eq!(
        rows("SELECT outcome FROM attempt ORDER BY task_no, number").await,
        ["done", "failed", "done", "failed", "cancelled", "done"]
    );
    assert_eq!(rows("SELECT status FROM run").await, ["ended"]);
    // Nothing is stored twice: tasks, deals and bills leave no notes.
    assert_eq!(
        rows("SELECT DISTINCT kind FROM note ORDER BY kind").await,
        ["offer_refused", "provider_set_back", "refused_by_provider", "stopping", "trouble"]
    );
}

#[tokio::test]
async fn a_bill_that_was_decided_stays_decided() {
    let run = memory_run().await;
    let mut scene = Scene::new();
    scene.rental(1, 1).rental_ends(1, Some("0.5"));
    commit(&run, &mut scene).await;
    // The daemon tells of the same invoice again, after a restart for example.
    scene.rental_ends(1, Some("0.5"));
    let repeated: Vec<Event> = scene
        .events
        .iter()
        .filter(|event| {
            matches!(event.kind, EventKind::BillReceived { .. } | EventKind::BillAccepting { .. })
        })
        .cloned()
        .collect();
    run.commit(&repeated).await.unwrap();
    let summary = run.store().run_summary(run.run_id()).await.unwrap();
    assert_eq!((summary.cost, summary.unsettled, summary.bills_refused), (glm("0.5"), 0, 0));
}

#[tokio::test]
async fn an_activity_can_follow_another_one_in_the_same_deal() {
    let run = memory_run().await;
    let mut scene = Scene::new();
    scene.rental(1, 1);
    let renewed: Vec<Event> = scene
        .events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::ActivityIntended { .. }))
        .cloned()
        .collect();
    commit(&run, &mut scene).await;
    scene.event(EventKind::ActivityEnded {
        rental: golem_core::event::RentalId(1),
        usage: None,
        failure: Some("it died".to_owned()),
        complete: false,
    });
    commit(&run, &mut scene).await;
    run.commit(&renewed).await.unwrap();
    let summary = run.store().run_summary(run.run_id()).await.unwrap();
    // The failure of the first one is still there: the second one has a row of its own.
    assert_eq!(summary.deals_failed.get("it died"), Some(&1));
}

#[tokio::test]
async fn ten_thousand_tasks_are_written_in_batches_and_counted_right() {
    const TASKS: u64 = 10_000;
    let folder = TempDir::new().unwrap();
    let store = Store::open(&file_dsn(&folder)).await.unwrap();
    let run = store.create_run(&new_run("r")).await.unwrap();
    let mut scene = Scene::new();
    for rental in 1..=10 {
        scene.rental(rental, rental);
    }
    commit(&run, &mut scene).await;
    for first in (0..TASKS).step_by(200) {
        let batch = first..first + 200;
        scene.added(batch.clone());
        for task in batch.clone() {
            scene.started(task, 1, task % 10 + 1);
        }
        // Half of each batch ends in the commit it began in, half in the next one.
        let (now, later): (Vec<_>, Vec<_>) = batch.partition(|task| task % 2 == 0);
        for task in now {
            scene.done(task, 1, task % 10 + 1, "x");
        }
        commit(&run, &mut scene).await;
        for task in later {
            if task % 1000 == 1 {
                scene.failed(task, 1, Some(task % 10 + 1));
            } else {
                scene.done(task, 1, task % 10 + 1, "x");
            }
        }
    }
    commit(&run, &mut scene).await;
    let summary = store.run_summary("r").await.unwrap();
    assert_eq!((summary.tasks.done, summary.tasks.failed, summary.tasks.unfinished()), (9990, 10, 0));
    assert_eq!(summary.failures.len(), 10);
    assert_eq!(summary.failures[1].task, 1001);
    let by_provider: Vec<_> = summary.providers.iter().map(|provider| provider.tasks_done).collect();
    assert_eq!(by_provider, [1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 990]);
    // Read back in pages, in order, none twice.
    let numbers: Vec<_> = store.tasks("r").map_ok(|row| row.task).try_collect().await.unwrap();
    assert_eq!(numbers, (0..TASKS).map(TaskId).collect::<Vec<_>>());
}

/// Invariant 10: a store written by a newer version is refused, never guessed at.
#[tokio::test]
async fn invariant_10_a_store_of_a_newer_version_is_refused_untouched() {
    let folder = TempDir::new().unwrap();
    let dsn = file_dsn(&folder);
    let store = Store::open(&dsn).await.unwrap();
    store.create_run(&new_run("r")).await.unwrap();
    store.close().await;
    let Dsn::Sqlite(path) = &dsn else { unreachable!() };
    let pool =
        SqlitePoolOptions::new().connect_with(SqliteConnectOptions::new().filename(path)).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9001, 'from the future', TRUE, x'00', 1)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let refused = Store::open(&dsn).await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 9001, known: 1, .. }), "{refused:?}");
    let told = refused.to_string();
    assert!(told.contains("newer version of golem-tasks") && told.contains("runs.db"), "{told}");
    assert!(refused.advice().unwrap().contains("update golem-tasks"));
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_untouched() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("theirs.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePoolOptions::new().connect_with(options.clone()).await.unwrap();
    sqlx::query("CREATE TABLE bookmarks (url TEXT)").execute(&pool).await.unwrap();
    pool.close().await;
    let refused = Store::open(&Dsn::Sqlite(path.clone())).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotOurs { .. }), "{refused:?}");
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema").fetch_all(&pool).await.unwrap();
    assert_eq!(tables, ["bookmarks"]);
}

#[tokio::test]
async fn what_is_no_database_at_all_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("job.db");
    std::fs::write(&path, "[payload]\n".repeat(1000)).unwrap();
    let refused = Store::open(&Dsn::Sqlite(path)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused:?}");
    let file = folder.path().join("job.db/runs.db");
    let refused = Store::open(&Dsn::Sqlite(file)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Folder { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_may_begin_with_the_same_new_database() {
    let folder = TempDir::new().unwrap();
    let dsn = file_dsn(&folder);
    let mut openings = tokio::task::JoinSet::new();
    for number in 0..8 {
        let dsn = dsn.clone();
        openings.spawn(async move {
            let store = Store::open(&dsn).await?;
            let run = store.create_run(&new_run(&format!("r{number}"))).await?;
            let mut scene = Scene::new();
            scene.added(0..50).stops(StopReason::Cancelled);
            for event in &scene.events {
                run.apply(std::slice::from_ref(event)).await?;
            }
            Ok::<_, StoreError>(store.run_summary(run.run_id()).await?.tasks.waiting)
        });
    }
    while let Some(done) = openings.join_next().await {
        assert_eq!(done.unwrap().unwrap(), 50);
    }
}
