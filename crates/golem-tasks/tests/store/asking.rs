//! What people ask of a database of runs: by the program itself, as they do, and by the store.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures_util::TryStreamExt;
use golem_core::event::{Bill, EventKind, JobId, RentalId};
use golem_core::explain::Explanation;
use golem_tasks::store::{Ask, ErrorKind, Holder, RunStatus, RunStore, Store, StoreError};
use serde_json::{Value, json};
use tokio::process::Command;
use yagna_api::{ActivityId, DebitNoteId, Glm};

use crate::grounds::{Ground, Kind};
use crate::scene::{Scene, eventful, glm, new_run};

/// What the program wrote, and its exit code.
pub(crate) struct Told {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

pub(crate) async fn ask(ground: &Ground, question: &[&str]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_golem-tasks"));
    command
        .args(question)
        .env("GOLEM_TASKS_DSN", ground.dsn_text())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Told { out: text(output.stdout), err: text(output.stderr), code: output.status.code() }
}

/// What it answers to all is well.
pub(crate) async fn answer(ground: &Ground, question: &[&str]) -> String {
    let told = ask(ground, question).await;
    assert_eq!(told.code, Some(0), "{question:?}: {}", told.err);
    // What isn't among the results is said, where there is something.
    let said = told.err.lines().filter(|line| !line.ends_with("left out: --all writes every task"));
    assert_eq!(said.count(), 0, "{question:?}: {}", told.err);
    told.out
}

async fn filled(store: &Store, run_id: &str, scene: &Scene) -> RunStore {
    let run = store.create_run(&new_run(run_id)).await.unwrap();
    run.apply(&scene.events).await.unwrap();
    run
}

fn noted(scene: &mut Scene, rental: u64, note: &str, amount: &str) {
    let (rental, bill, amount) = (RentalId(rental), Bill::DebitNote(DebitNoteId::new(note)), glm(amount));
    scene
        .event(EventKind::BillReceived { rental: Some(rental), bill: bill.clone(), amount, told: None })
        .event(EventKind::BillAccepting {
            rental,
            bill: bill.clone(),
            amount,
            increase: amount,
            measured: None,
        })
        .event(EventKind::BillAccepted { rental, bill, amount, total: amount });
}

/// The same answers, to the letter, from both databases.
pub(crate) async fn the_program_answers_the_same_on_every_database(ground: Ground) {
    let store = ground.store().await;
    let run = store.create_run(&new_run("brave-otter-0001")).await.unwrap();
    run.apply(&eventful()).await.unwrap();
    for (name, questions) in [
        ("show", &[&["show"][..], &["show", "--json"]][..]),
        ("summary", &[&["summary"], &["summary", "--json"]]),
        ("runs", &[&["runs"], &["runs", "--json"]]),
        (
            "results",
            &[
                &["results"],
                &["results", "--all"],
                &["results", "--format", "csv"],
                &["results", "--all", "--format", "csv"],
            ],
        ),
        (
            "errors",
            &[&["errors"], &["errors", "--json"], &["errors", "--all"], &["errors", "--all", "--json"]],
        ),
        (
            "providers",
            &[
                &["providers", "--run-id", "brave-otter-0001"],
                &["providers", "--run-id", "brave-otter-0001", "--json"],
            ],
        ),
    ] {
        let mut text = String::new();
        for question in questions {
            let answer = answer(&ground, question).await;
            text.extend(["$ golem-tasks ", &question.join(" "), "\n", &answer, "\n"]);
        }
        insta::assert_snapshot!(format!("asked_{name}"), text);
    }
    store.close().await;
}

pub(crate) async fn a_run_without_anything_is_shown_as_such(ground: Ground) {
    ground.store().await.create_run(&new_run("new")).await.unwrap();
    assert_eq!(answer(&ground, &["show"]).await, "run new has no activities so far\n");
    assert_eq!(answer(&ground, &["errors"]).await, "nothing has failed in run new\n");
    assert_eq!(answer(&ground, &["errors", "--all"]).await, "nothing has failed in run new\n");
    let of_run = answer(&ground, &["providers", "--run-id", "new"]).await;
    assert_eq!(of_run, "run new has dealt with no provider so far\n");
    assert_eq!(answer(&ground, &["providers"]).await, "no run has dealt with any provider so far\n");
    assert_eq!(answer(&ground, &["results"]).await, "");
    assert_eq!(answer(&ground, &["results", "--format", "csv"]).await.lines().count(), 1);
    let summary = answer(&ground, &["summary"]).await;
    assert!(summary.contains("interrupted: nobody works on it") && summary.contains("0 done"), "{summary}");
}

pub(crate) async fn a_run_that_pauses_says_until_when(ground: Ground) {
    let store = ground.store().await;
    store.create_run(&new_run("paused")).await.unwrap();
    let lease = store.take("paused", &Holder::here()).await.unwrap();
    let run = lease.run();
    let until = "2026-11-22T12:34:56.7Z".parse().unwrap();
    let mut scene = Scene::new();
    let missing = glm("0.25");
    let explanation =
        Explanation { paused_until: Some(until), budget_missing: Some(missing), ..Explanation::default() };
    scene
        .event(EventKind::Paused { until, missing })
        .event(EventKind::Waiting { explanation: Box::new(explanation) });
    run.apply(&scene.events).await.unwrap();
    for question in ["show", "summary", "runs"] {
        let text = answer(&ground, &[question]).await;
        assert!(text.contains("paused until 2026-11-22 12:34:56Z"), "{question}: {text}");
        let json: Value = serde_json::from_str(&answer(&ground, &[question, "--json"]).await).unwrap();
        let of_run = json.pointer("/runs/0").unwrap_or(&json);
        assert_eq!((&of_run["state"], &of_run["paused_until"]), (&json!("running"), &json!(until)), "{json}");
    }
    let mut scene = Scene::new();
    scene.event(EventKind::PauseEnded);
    run.apply(&scene.events).await.unwrap();
    for question in ["show", "summary", "runs"] {
        let text = answer(&ground, &[question]).await;
        assert!(!text.contains("paused until"), "{question}: {text}");
        let json: Value = serde_json::from_str(&answer(&ground, &[question, "--json"]).await).unwrap();
        let of_run = json.pointer("/runs/0").unwrap_or(&json);
        assert_eq!((&of_run["state"], &of_run["paused_until"]), (&json!("running"), &Value::Null), "{json}");
    }
    lease.release().await.unwrap();
    store.close().await;
}

pub(crate) async fn a_run_that_is_not_there_is_told_with_those_that_look_like_it(ground: Ground) {
    let told = ask(&ground, &["show"]).await;
    assert_eq!((told.code, told.out.as_str()), (Some(2), ""));
    for question in ["runs", "providers"] {
        let told = ask(&ground, &[question]).await;
        assert_eq!((told.code, told.out.as_str()), (Some(0), ""), "{question}");
        assert!(told.err.contains("there are no runs yet"), "{question}: {}", told.err);
    }
    assert_eq!(ask(&ground, &["runs", "prune", "--older-than", "1d"]).await.code, Some(0));
    assert!(
        told.err.contains("there are no runs yet") && told.err.contains("run JOB.toml --devnet"),
        "{}",
        told.err
    );
    // Asking made nothing.
    if ground.kind == Kind::Sqlite {
        assert!(!ground.folder().join("not").exists());
    } else {
        let schemas = ground.texts("SELECT nspname::text FROM pg_namespace WHERE nspname = 'tasks'").await;
        assert!(schemas.is_empty(), "{schemas:?}");
    }
    let store = ground.store().await;
    assert!(matches!(store.choose_run(None).await, Err(StoreError::NothingYet { .. })));
    // A list of nothing is no failure, with tables or without.
    for (question, json) in [
        ("runs", json!({ "type": "runs", "version": 1, "runs": [] })),
        ("providers", json!({ "type": "known_providers", "version": 1, "providers": [] })),
    ] {
        assert_eq!(ask(&ground, &[question]).await.code, Some(0), "{question}");
        let told: Value = serde_json::from_str(&answer(&ground, &[question, "--json"]).await).unwrap();
        assert_eq!(told, json);
    }
    for run_id in ["brave-otter-4821", "brave-otter-4823", "calm-wren-0007"] {
        store.create_run(&new_run(run_id)).await.unwrap();
    }
    assert_eq!(store.choose_run(None).await.unwrap(), "calm-wren-0007");
    for question in ["show", "summary", "results", "errors", "providers", "cancel"] {
        let told = ask(&ground, &[question, "--run-id", "brave-oter-4821"]).await;
        assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{question}");
        let nearest = "did you mean `brave-otter-4821` or `brave-otter-4823`?";
        assert!(told.err.contains(nearest), "{question}: {}", told.err);
    }
    for question in [&["show", "brave-otter"][..], &["cancel", "brave-otter-482"], &["runs", "rm", "b"]] {
        let told = ask(&ground, question).await;
        assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{question:?}");
        let candidates = "name the one that is meant: brave-otter-4823, brave-otter-4821";
        assert!(told.err.contains(candidates), "{question:?}: {}", told.err);
    }
    assert!(answer(&ground, &["show", "calm"]).await.starts_with("run calm-wren-0007 "));
    assert!(answer(&ground, &["providers", "--run-id", "c"]).await.starts_with("run calm-wren-0007 "));
    // An id that is whole is that run, whatever else begins like it.
    store.create_run(&new_run("calm")).await.unwrap();
    assert_eq!(store.choose_run(Some("calm")).await.unwrap(), "calm");
    assert_eq!(answer(&ground, &["runs", "rm", "calm"]).await, "removed calm\n");
    let runs = answer(&ground, &["runs", "--limit", "2"]).await;
    let first: Vec<_> = runs.lines().map(|line| line.split_whitespace().next().unwrap_or("")).collect();
    assert_eq!(first, ["run_id", "calm-wren-0007", "brave-otter-4823"]);
}

pub(crate) async fn what_a_rental_cost_is_shared_by_its_activities_and_their_results(ground: Ground) {
    let store = ground.store().await;
    let mut scene = Scene::new();
    scene.opening().added(0..4).rental(1, 1).started(0, 1, 1).wait(10).done(0, 1, 1, "a").started(1, 1, 1);
    noted(&mut scene, 1, "n1", "0.1");
    noted(&mut scene, 1, "n2", "0.3");
    scene
        .wait(10)
        .failed_once(1, 1, 1)
        .event(EventKind::ActivityEnded {
            complete: false,
            rental: RentalId(1),
            usage: None,
            failure: Some("it died".to_owned()),
        })
        .event(EventKind::ActivityIntended { rental: RentalId(1), job: JobId::FIRST })
        .event(EventKind::ActivityCreated { rental: RentalId(1), activity: ActivityId::new("second") })
        .event(EventKind::ActivityReady { rental: RentalId(1) });
    scene.started(1, 2, 1).done(1, 2, 1, "b").started(2, 1, 1).done(2, 1, 1, "c");
    let run = filled(&store, "r", &scene).await;
    let rows = store.activities("r").await.unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row.cost, row.attempts, row.failed, row.results)).collect();
    assert_eq!(seen, [(glm("0.3"), 2, 1, 1), (Glm::ZERO, 2, 0, 2)]);
    assert_eq!(rows[0].stop_reason.as_deref(), Some("it died"));
    assert_eq!(rows[1].activity, Some(ActivityId::new("second")));
    let costs = async || -> Vec<Option<Glm>> {
        let rows: Vec<_> = store.results("r", true).try_collect().await.unwrap();
        rows.into_iter().map(|row| row.cost).collect()
    };
    assert_eq!(
        costs().await,
        [Some(glm("0.3")), None, None, None],
        "nothing was accepted for the second yet"
    );

    let mut scene = Scene::new();
    scene.rental_ends(1, Some("0.5"));
    run.apply(&scene.events).await.unwrap();
    let rows = store.activities("r").await.unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row.cost, row.cost_per_result())).collect();
    assert_eq!(seen, [(glm("0.3"), Some(glm("0.3"))), (glm("0.2"), Some(glm("0.1")))]);
    let sum: Glm = rows.iter().map(|row| row.cost).sum();
    assert_eq!(sum, store.overview("r").await.unwrap().summary.cost);
    assert_eq!(costs().await, [Some(glm("0.3")), Some(glm("0.1")), Some(glm("0.1")), None]);
    let providers = store.providers("r").await.unwrap();
    assert_eq!(providers[0].did.tasks_done, 3);
    assert_eq!(providers[0].took_on_average(), Some(Duration::from_millis(250)));
    assert_eq!(providers[0].rentals_failed, 1);
}

pub(crate) async fn every_error_is_told_once_the_newest_first(ground: Ground) {
    let store = ground.store().await;
    let mut scene = Scene::new();
    scene.opening().added(0..700).rental(1, 1).rental(2, 2);
    // Many at one moment, more than are read at once, then one more.
    for task in 0..650 {
        scene.started(task, 1, task % 2 + 1);
    }
    scene.wait(100);
    for task in 0..650 {
        scene.failed(task, 1, Some(task % 2 + 1));
    }
    scene.failed(699, 1, None).wait(100).started(650, 1, 1).wait(1).failed_once(650, 1, 1);
    filled(&store, "r", &scene).await;
    let errors: Vec<_> = store.errors("r").try_collect().await.unwrap();
    assert_eq!(errors.len(), 652);
    assert_eq!(errors[0].attempt, Some((650, 1)));
    assert!(errors.windows(2).all(|pair| pair[0].at >= pair[1].at));
    let mut tasks: Vec<_> = errors.iter().map(|error| error.attempt.unwrap().0).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, (0..=650).chain([699]).collect::<Vec<_>>());
    assert!(errors.iter().all(|error| error.kind == ErrorKind::Task));
    assert_eq!(errors.iter().filter(|error| error.provider.is_none()).count(), 1);

    let (groups, total) = store.error_groups("r", 1).await.unwrap();
    assert_eq!((groups.len(), total), (1, 2));
    assert_eq!((groups[0].count, groups[0].newest.attempt), (1, Some((650, 1))));
    let (groups, _) = store.error_groups("r", 50).await.unwrap();
    assert_eq!((groups[1].count, groups[1].providers), (651, 2));
}

pub(crate) async fn results_are_streamed_in_the_order_of_the_tasks(ground: Ground) {
    let store = ground.store().await;
    let mut scene = Scene::new();
    scene.opening().added(0..250).rental(1, 1);
    for task in (0..250).rev().filter(|task| task % 5 != 0) {
        scene.started(task, 1, 1).done(task, 1, 1, &format!("of {task}"));
    }
    filled(&store, "r", &scene).await;
    let done: Vec<_> = store.results("r", false).try_collect().await.unwrap();
    let tasks: Vec<_> = done.iter().map(|row| row.task.task.0).collect();
    assert_eq!(tasks, (0..250).filter(|task| task % 5 != 0).collect::<Vec<_>>());
    assert_eq!(done[7].task.stdout, "of 9");
    let all: Vec<_> = store.results("r", true).try_collect().await.unwrap();
    assert_eq!(all.len(), 250);
    assert!(all[0].provider.is_none() && all[0].task.result.is_none() && all[1].provider.is_some());
}

pub(crate) async fn results_are_written_whole_or_not_at_all(ground: Ground) {
    let store = ground.store().await;
    let mut scene = Scene::new();
    scene.opening().added(0..2).rental(1, 1).started(0, 1, 1).done(0, 1, 1, "one, \"two\"\nthree");
    filled(&store, "r", &scene).await;
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.csv");
    std::fs::write(&file, "an older one").unwrap();
    assert_eq!(answer(&ground, &["results", "--output", file.to_str().unwrap()]).await, "");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with("task,status,") && text.contains("\n0,done,1,0,,\"one, \"\"two\"\"\nthree\","),
        "{text}"
    );
    assert_eq!(names(folder.path()), ["results.csv"]);
    let told = ask(&ground, &["results", "--output", folder.path().to_str().unwrap()]).await;
    assert_eq!(told.code, Some(7));
    assert!(told.err.starts_with("error: can't write `"), "{}", told.err);
    assert_eq!(names(folder.path()), ["results.csv"]);
    // Something that isn't a file is written to, never replaced.
    answer(&ground, &["results", "--output", "/dev/null"]).await;
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
}

pub(crate) async fn whoever_holds_a_run_hears_that_it_is_to_be_cancelled(ground: Ground) {
    let store = ground.store().await;
    store.create_run(&new_run("r")).await.unwrap();
    assert!(matches!(store.ask_to_cancel("r").await, Ok(Ask::Nobody(RunStatus::Interrupted(None)))));
    let lease = store.take("r", &Holder::here()).await.unwrap();
    assert!(!lease.is_asked_to_cancel().await.unwrap());
    assert!(matches!(store.overview("r").await.unwrap().status, RunStatus::Running(_)));
    for _ in 0..2 {
        assert_eq!(store.ask_to_cancel("r").await.unwrap(), Ask::Asked);
        assert!(lease.is_asked_to_cancel().await.unwrap());
    }
    // Who resumes it afterwards isn't meant.
    lease.release().await.unwrap();
    let lease = store.take("r", &Holder::here()).await.unwrap();
    assert!(!lease.is_asked_to_cancel().await.unwrap());
    assert!(matches!(store.ask_to_cancel("nosuch").await, Err(StoreError::NoSuchRun { .. })));
    let mut scene = Scene::new();
    scene.ends(golem_core::event::StopReason::Cancelled, (0, 0, 0), "0", 0);
    lease.run().apply(&scene.events).await.unwrap();
    assert!(matches!(store.ask_to_cancel("r").await, Ok(Ask::Nobody(RunStatus::Ended(_)))));
}
