//! Tables are made and brought up to date, and only ours are touched.

use std::process::{Command, Output};

use golem_core::event::StopReason;
use golem_tasks::store::{Dsn, Installed, Store, StoreError};

use crate::grounds::{Ground, Kind};
use crate::scene::{Scene, new_run};

pub(crate) async fn it_is_said_what_was_done(ground: Ground) {
    let Installed { place, before, now } = Store::install(&ground.dsn()).await.unwrap();
    assert_eq!((before, now), (None, 1));
    assert_eq!(place, ground.store().await.place());
    assert!(!place.contains(":golem@"), "{place}");
    assert_eq!(Store::install(&ground.dsn()).await.unwrap(), Installed { place, before: Some(1), now: 1 });
}

pub(crate) async fn the_program_installs_by_flag_or_variable_and_says_so(ground: Ground) {
    let program = |flags: &[&str], dsn: &str| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_golem-tasks"));
        command
            .arg("install")
            .args(flags)
            .env_clear()
            .env("HOME", ground.folder())
            .env("GOLEM_TASKS_DSN", dsn);
        command.output().unwrap()
    };
    let said = |output: Output| String::from_utf8(output.stdout).unwrap();
    let dsn = ground.dsn_text();
    let first = said(program(&["--dsn", &dsn], "sqlite:not/this/one.db"));
    assert!(
        first.starts_with("the tables for runs have been made in ") && first.ends_with("(version 1)\n"),
        "{first}"
    );
    let second = said(program(&[], &dsn));
    assert!(second.contains(" are up to date (version 1)"), "{second}");
    assert!(!format!("{first}{second}").contains(":golem@"), "{first}{second}");
    let wrong = program(&["--dsn", "dbnam=golem password=secret"], &dsn);
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{told}");
    assert!(told.contains("did you mean `dbname`?") && !told.contains("secret"), "{told}");
}

pub(crate) async fn several_processes_may_begin_with_the_same_new_database(ground: Ground) {
    let mut openings = tokio::task::JoinSet::new();
    for number in 0..8 {
        let dsn = ground.dsn();
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

/// Invariant 10: a store written by a newer version is refused, never guessed at.
pub(crate) async fn invariant_10_a_store_of_a_newer_version_is_refused_untouched(ground: Ground) {
    let store = ground.store().await;
    store.create_run(&new_run("r")).await.unwrap();
    store.close().await;
    let checksum = if ground.kind == Kind::Postgres { "'\\x00'" } else { "x'00'" };
    ground
        .execute(&format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9001, 'from the future', TRUE, {checksum}, 1)"
        ))
        .await;
    let refused = Store::open(&ground.dsn()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 9001, known: 1, .. }), "{refused:?}");
    let told = refused.to_string();
    assert!(told.contains("newer version of golem-tasks"), "{told}");
    assert!(refused.advice().unwrap().contains("update golem-tasks"));
    assert_eq!(ground.texts("SELECT run_id FROM runs").await, ["r"]);
}

pub(crate) async fn a_database_of_another_program_is_refused_untouched(ground: Ground) {
    let (make, list) = match ground.kind {
        Kind::Postgres => (
            "CREATE SCHEMA tasks; CREATE TABLE tasks.bookmarks (url text)",
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'tasks'",
        ),
        _ => ("CREATE TABLE bookmarks (url TEXT)", "SELECT name FROM sqlite_schema"),
    };
    ground.execute(make).await;
    let refused = Store::open(&ground.dsn()).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotOurs { .. } | StoreError::SchemaNotOurs { .. }), "{refused:?}");
    assert!(refused.advice().is_some());
    assert_eq!(ground.texts(list).await, ["bookmarks"]);
}

pub(crate) async fn what_is_no_database_at_all_is_refused(ground: Ground) {
    let path = ground.folder().join("job.db");
    std::fs::write(&path, "[payload]\n".repeat(1000)).unwrap();
    let refused = Store::open(&Dsn::Sqlite(path)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Trouble { .. }), "{refused:?}");
    let refused = Store::open(&Dsn::Sqlite(ground.folder().join("job.db/runs.db"))).await.unwrap_err();
    assert!(matches!(refused, StoreError::Folder { .. }), "{refused:?}");
}
