//! The job in Rust and the job file, both as they are, on devnets.

#![expect(clippy::unwrap_used, reason = "what goes wrong here is a failed test")]

use std::collections::BTreeSet;
use std::path::Path;

use golem_devnet::devnet::Devnet;
use golem_examples::testing::{Ended, Running, Stage};
use golem_tasks::Runner;
use golem_tasks::job::Job;
use serde_json::{Value, json};

const YACAT: &str = env!("CARGO_BIN_EXE_yacat");
const WORKER: &str = env!("CARGO_BIN_EXE_yacat-worker");

/// The MD5 of `q7x` and the SHA-256 of `golem`.
const Q7X: &str = "3b7380df3c1ce716d7e824d41847c028";
const GOLEM: &str = "4c5cddb7859b93eebf26c551518c021a31fa0013b2c03afa5b541cbc8bd079a6";

/// Starts the program where the environment says what to look for.
fn start(stage: &Stage, (mask, hash, parts): (&str, &str, u32), args: &[&str]) -> Running {
    let own = [format!("YACAT_MASK={mask}"), format!("YACAT_HASH={hash}"), format!("YACAT_PARTS={parts}")];
    let mut all: Vec<_> = own.iter().map(String::as_str).collect();
    all.extend(["GOLEM_TASKS_DSN=sqlite:runs.db", YACAT]);
    all.extend(args);
    stage.start("/usr/bin/env", &all)
}

async fn yacat(stage: &Stage, search: (&str, &str, u32), args: &[&str]) -> Ended {
    start(stage, search, args).end().await
}

/// What is kept of the newest run's tasks.
async fn results(stage: &Stage) -> Vec<Value> {
    let ended = yacat(stage, ("?d", Q7X, 1), &["results"]).await;
    ended.assert_code(0);
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_word_ends_the_run_which_isnt_gone_on_with() {
    let stage = Stage::with_devnet(Devnet::builder().providers(3)).await;
    let run = ["run", "--run-id", "night"];
    let search = ("go?l?l?l", GOLEM, 1000);
    let ended = yacat(&stage, search, &run).await;
    ended.assert_code(0);
    assert!(ended.stdout.contains("\tgolem\n"), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("stopping: the requested number of results is reached"),
        "{}",
        ended.stderr
    );
    // It is word 7,552, and 18 words are a part.
    let searched = results(&stage).await.len();
    assert!((380..700).contains(&searched), "{searched} parts were searched");
    stage.assert_closed();

    let agreements = stage.devnet().books().agreements.len();
    yacat(&stage, search, &run).await.assert_code(0);
    assert_eq!(stage.devnet().books().agreements.len(), agreements, "nothing more is bought");
    let other = yacat(&stage, ("go?l?l", GOLEM, 1000), &run).await;
    other.assert_code(2);
    assert!(other.stderr.contains("run `night` was begun with another job"), "{}", other.stderr);
    stage.close().await;
}

#[tokio::test]
async fn a_search_that_was_killed_goes_on_where_it_was() {
    let stage = Stage::with_devnet(Devnet::builder().providers(2)).await;
    let search = ("go?l?l?l", GOLEM, 500);
    let run = ["run", "--run-id", "night", "--workers", "2"];
    let mut running = start(&stage, search, &run);
    running.says("is ready to work").await;
    running.kill().await;

    let ended = yacat(&stage, search, &run).await;
    ended.assert_code(0);
    let kept = results(&stage).await;
    let parts: BTreeSet<_> = kept.iter().map(|row| row["data"]["start"].as_u64().unwrap()).collect();
    assert_eq!(parts.len(), kept.len(), "no part is searched twice");
    let words: Vec<_> = kept.iter().filter(|row| !row["result"].is_null()).collect();
    assert_eq!(words.len(), 1);
    assert_eq!(words[0]["result"], "golem");
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn a_part_without_the_word_is_a_result_too() {
    let stage = Stage::bare();
    let ended = yacat(&stage, ("?l?d?d", Q7X, 4), &["run", "--devnet"]).await;
    ended.assert_code(0);
    assert!(ended.stderr.contains("4 of 4 tasks done"), "{}", ended.stderr);
    let kept = results(&stage).await;
    let expected: Vec<_> =
        [0, 650, 1300, 1950].map(|start| json!({ "start": start, "end": start + 650 })).into();
    assert_eq!(kept.iter().map(|row| row["data"].clone()).collect::<Vec<_>>(), expected);
    assert!(kept.iter().all(|row| row["result"].is_null()), "{kept:?}");
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_bought() {
    let stage = Stage::bare();
    for (search, told) in [
        (("?x", Q7X, 1), "error: YACAT_MASK is wrong: `?x` is no place of a mask"),
        (("?l", "abc", 1), "error: YACAT_HASH is wrong: `abc` is neither an MD5"),
        (("?l", Q7X, 0), "error: YACAT_PARTS is wrong: give a number from 1"),
    ] {
        yacat(&stage, search, &["run", "--devnet"]).await.assert_error(told);
    }
    let args = ["YACAT_WORKER=nowhere", YACAT, "run", "--devnet", "--dsn", "sqlite:runs.db"];
    let ended = stage.run("/usr/bin/env", &args).await;
    ended.assert_code(2);
    assert!(ended.stderr.contains("there is no worker at `nowhere`"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_job_file_searches_all_parts() {
    let stage = Stage::bare();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("job.toml");
    // Where the worker is built depends on who builds it.
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("../../target/debug/yacat-worker", WORKER);
    let job = Job::parse(&text, &stage.path("job.toml")).unwrap();
    let dsn = format!("sqlite:{}", stage.path("runs.db").display());
    let summary = Runner::new(job).dsn(&dsn).devnet(3).run().await.unwrap();
    assert_eq!((summary.tasks.done, summary.tasks.failed), (26, 0));
    let printed: Vec<_> =
        results(&stage).await.iter().map(|row| row["stdout"].as_str().unwrap().to_owned()).collect();
    // It begins with `g`, so it is in the seventh part.
    let expected: Vec<_> = (0..26).map(|part| if part == 6 { "golm\n" } else { "" }).collect();
    assert_eq!(printed, expected);
}
