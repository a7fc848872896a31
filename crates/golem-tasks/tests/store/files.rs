//! What can be the matter with the file of a SQLite database.

use std::fs;
use std::path::PathBuf;

use futures_util::TryStreamExt as _;
use golem_tasks::store::{Dsn, RunStore, Store, StoreError, Trouble};

use crate::grounds::Ground;
use crate::scene::{Scene, new_run};

fn path(ground: &Ground) -> PathBuf {
    let Dsn::Sqlite(path) = ground.dsn() else { panic!("it is in a file") };
    path
}

fn beside(path: &std::path::Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn trouble(error: &StoreError) -> &Trouble {
    let StoreError::Trouble { trouble, .. } = error else { panic!("{error:?}") };
    assert!(error.advice().is_some(), "{error}");
    trouble
}

async fn with_results(run: &RunStore, n: u64) {
    let mut scene = Scene::new();
    scene.rental(1, 1).added(0..n);
    for task in 0..n {
        scene.started(task, 1, 1).done(task, 1, 1, &format!("printed by {task}, {}", "x".repeat(500)));
    }
    run.apply(&scene.events).await.unwrap();
}

pub(crate) async fn a_file_that_goes_away_under_a_run_is_noticed_at_the_next_commit(ground: Ground) {
    let path = path(&ground);
    for (what, run_id) in [("deleted", "a"), ("moved", "b"), ("replaced", "c"), ("without its journal", "d")]
    {
        let run = ground.store().await.create_run(&new_run(run_id)).await.unwrap();
        let mut scene = Scene::new();
        scene.added(0..1);
        run.apply(&scene.events).await.unwrap();
        match what {
            "deleted" => fs::remove_file(&path).unwrap(),
            "moved" => fs::rename(&path, beside(&path, ".moved")).unwrap(),
            "replaced" => {
                fs::copy(&path, beside(&path, ".new")).unwrap();
                fs::rename(beside(&path, ".new"), &path).unwrap();
            }
            _ => fs::remove_file(beside(&path, "-wal")).unwrap(),
        }
        let mut scene = Scene::new();
        scene.added(1..2);
        let refused = run.apply(&scene.events).await.unwrap_err();
        assert_eq!(trouble(&refused), &Trouble::Vanished, "{what}: {refused}");
        if what != "without its journal" {
            let refused = run.store().run_summary(run_id).await.unwrap_err();
            assert_eq!(trouble(&refused), &Trouble::Vanished, "{what}: {refused}");
        }
        run.store().close().await;
        for end in ["", "-wal", "-shm", ".moved"] {
            drop(fs::remove_file(beside(&path, end)));
        }
    }
}

pub(crate) async fn what_is_only_read_needs_no_right_to_write(ground: Ground) {
    let path = path(&ground);
    let store = ground.store().await;
    with_results(&store.create_run(&new_run("r")).await.unwrap(), 3).await;
    let copy = path.parent().unwrap().join("copy.db");
    let read = async |path: &PathBuf| {
        let store = Store::open_to_read(&Dsn::Sqlite(path.clone())).await.unwrap();
        let results: Vec<_> = store.results("r", false).try_collect().await.unwrap();
        let done = store.runs(1).await.unwrap()[0].done;
        store.close().await;
        (results.len(), done)
    };
    // While it is written.
    assert_eq!(read(&path).await, (3, 3));
    // With what is in its journal only, and nothing that may be written: a folder is in the way of SQLite's own file,
    // whoever runs this.
    fs::copy(&path, &copy).unwrap();
    fs::copy(beside(&path, "-wal"), beside(&copy, "-wal")).unwrap();
    fs::create_dir(beside(&copy, "-shm")).unwrap();
    assert!(fs::metadata(beside(&copy, "-wal")).unwrap().len() > 0);
    assert_eq!(read(&copy).await, (3, 3));
    store.close().await;
    // All of it in the file itself.
    fs::copy(&path, &copy).unwrap();
    fs::remove_file(beside(&copy, "-wal")).unwrap();
    let mut rights = fs::metadata(&copy).unwrap().permissions();
    rights.set_readonly(true);
    fs::set_permissions(&copy, rights).unwrap();
    assert_eq!(read(&copy).await, (3, 3));
    // What isn't there isn't made.
    let nowhere = path.parent().unwrap().join("nowhere.db");
    let refused = Store::open_to_read(&Dsn::Sqlite(nowhere.clone())).await.unwrap_err();
    assert!(matches!(refused, StoreError::NothingYet { .. }), "{refused}");
    assert!(!nowhere.exists());
}

pub(crate) async fn what_is_the_matter_with_a_file_is_named(ground: Ground) {
    let path = path(&ground);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(
        &path,
        "these are no runs, but some notes that are long enough to be read as a page".repeat(100),
    )
    .unwrap();
    for refused in [Store::open(&ground.dsn()).await, Store::open_to_read(&ground.dsn()).await] {
        let refused = refused.unwrap_err();
        assert_eq!(trouble(&refused), &Trouble::NotADatabase, "{refused}");
    }
    fs::remove_file(&path).unwrap();

    let store = ground.store().await;
    let run = store.create_run(&new_run("r")).await.unwrap();
    with_results(&run, 400).await;
    store.close().await;
    damage(&path);
    let store = Store::open_to_read(&ground.dsn()).await.unwrap();
    let failed = store.results("r", true).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(trouble(&failed), &Trouble::Damaged, "{failed}");
    assert!(failed.advice().unwrap().contains(".recover"), "{failed}");
    // The rest is there.
    let mut read = 0;
    let unread = store
        .salvage("r", None, false, |row| {
            assert!(row.task.stdout.to_text().starts_with(&format!("printed by {},", row.task.task.0)));
            read += 1;
            true
        })
        .await
        .unwrap();
    assert!(unread > 0 && read > 100, "{read} {unread}");
    assert_eq!(read + unread, 400);
    store.close().await;
}

/// Overwrites some of the pages that hold what tasks printed.
fn damage(path: &std::path::Path) {
    const PAGE: usize = 4096;
    let mut bytes = fs::read(path).unwrap();
    let pages = bytes.chunks_mut(PAGE).skip(1);
    let holding = pages.filter(|page| page.windows(11).any(|text| text == b"printed by "));
    let mut spoiled = 0;
    for page in holding.skip(20).take(3) {
        page.fill(0xa5);
        spoiled += 1;
    }
    assert_eq!(spoiled, 3);
    fs::write(path, bytes).unwrap();
}

pub(crate) async fn whoever_keeps_it_locked_is_told_apart_from_a_file_that_cant_be_locked(ground: Ground) {
    use sqlx::Connection as _;
    let store = ground.store().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path(&ground));
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let refused = store.create_run(&new_run("r")).await.unwrap_err();
    // It is this process that holds it, so nobody else is named.
    assert_eq!(trouble(&refused), &Trouble::Locked { processes: Vec::new() }, "{refused}");
    held.rollback().await.unwrap();
    store.create_run(&new_run("r")).await.unwrap();
}
