//! What programs with jobs of their own do.

use std::collections::BTreeSet;

use golem_tasks::store::{TaskRow, TaskStatus};
use libtest_mimic::Trial;
use serde_json::json;
use tokio::process::Command;

use crate::jobs::VARIABLE;
use crate::stage::{Ended, Home, Running};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("typed_tasks_and_results_are_in_the_database", typed_tasks_and_results_are_in_the_database),
        trial("added_tasks_join_once_with_their_result", added_tasks_join_once_with_their_result),
        trial("of_two_tasks_with_one_key_one_is_done", of_two_tasks_with_one_key_one_is_done),
        trial("keys_are_known_when_a_run_is_resumed", keys_are_known_when_a_run_is_resumed),
        trial(
            "a_pile_that_has_changed_is_refused_and_what_is_new_is_done_once",
            a_pile_that_has_changed_is_refused_and_what_is_new_is_done_once,
        ),
        trial("several_tasks_share_a_batch", several_tasks_share_a_batch),
        trial("so_many_results_end_the_run", so_many_results_end_the_run),
        trial("a_task_that_goes_wrong_is_its_own_trouble", a_task_that_goes_wrong_is_its_own_trouble),
        trial(
            "what_is_wrong_before_the_first_task_costs_nothing",
            what_is_wrong_before_the_first_task_costs_nothing,
        ),
        trial("a_pile_that_breaks_stops_the_run", a_pile_that_breaks_stops_the_run),
        trial("the_program_has_its_own_name", the_program_has_its_own_name),
        trial("a_job_is_checked_without_buying", a_job_is_checked_without_buying),
    ]
}

/// A command of the program that runs this job.
pub(crate) fn program(home: &Home, job: &str, args: &[&str]) -> Command {
    let mut command = home.program(std::env::current_exe().unwrap());
    command.env(VARIABLE, job).args(args);
    command
}

async fn run(home: &Home, job: &str, flags: &[&str]) -> Ended {
    let args = [&["run", "--devnet", "--devnet-seed", "7"], flags].concat();
    Running::start(program(home, job, &args)).end().await
}

async fn typed_tasks_and_results_are_in_the_database() {
    let home = Home::new();
    let ended = run(&home, "lengths", &[]).await;
    ended.assert_code(0);
    ended.assert_says(&["3 of 3 tasks done"]);
    let kept = home.kept().await;
    kept.assert_settled();
    let rows: Vec<_> = kept.tasks.iter().map(|row| (row.data.clone(), row.result.clone())).collect();
    let row = |word: &str| (json!({ "word": word }), Some(json!({ "word": word, "length": word.len() })));
    assert_eq!(rows, ["one", "three", "seventeen"].map(row));
    assert!(ended.out.contains("2\t{\"length\":9,\"word\":\"seventeen\"}\n"), "{}", ended.out);
}

async fn added_tasks_join_once_with_their_result() {
    let home = Home::new();
    let ended = run(&home, "tree", &[]).await;
    ended.assert_code(0);
    let kept = home.kept().await;
    let names: BTreeSet<_> = kept.tasks.iter().map(|row| row.data.to_string()).collect();
    assert_eq!((kept.tasks.len(), names.len()), (1 + 2 + 4 + 8, 1 + 2 + 4 + 8), "{names:?}");
    assert!(kept.tasks.iter().all(|row| row.status == TaskStatus::Done));
    assert!(kept.tasks.iter().any(|row| row.attempts == 2), "some were tried twice");
    assert!(ended.out.contains("\tTLRL\n"), "a text is printed as it is: {}", ended.out);
}

async fn of_two_tasks_with_one_key_one_is_done() {
    let home = Home::new();
    run(&home, "keyed", &[]).await.assert_code(0);
    let kept = home.kept().await;
    let mut places: Vec<_> =
        kept.tasks.iter().map(|row| row.result.clone().unwrap().as_u64().unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, [1, 2, 3, 10, 11, 12, 20, 21, 30]);
}

async fn keys_are_known_when_a_run_is_resumed() {
    let home = Home::new();
    run(&home, "keyed", &["--run-id", "keyed", "--results", "4", "--workers", "1"]).await.assert_code(0);
    let before = home.kept().await;
    assert!(before.summary.tasks.done < 9 && before.tasks.len() > 2, "{:?}", before.summary.tasks);
    let again = run(&home, "keyed", &["--run-id", "keyed"]).await;
    again.assert_code(0);
    again.assert_says(&["run keyed is resumed"]);
    let kept = home.kept().await;
    let mut places: Vec<_> =
        kept.tasks.iter().map(|row| row.result.clone().unwrap().as_u64().unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, [1, 2, 3, 10, 11, 12, 20, 21, 30], "a task was added twice");
}

async fn a_pile_that_has_changed_is_refused_and_what_is_new_is_done_once() {
    let home = Home::new();
    home.write("pile.txt", "ash\nbirch\ncedar\n");
    let flags = ["--run-id", "trees"];
    run(&home, "listed", &flags).await.assert_code(0);

    // Done already, and yet another source: nothing is left out in silence.
    home.write("pile.txt", "birch\ncedar\ndouglas\nelm\n");
    let refused = run(&home, "listed", &flags).await;
    refused.assert_code(2);
    refused.assert_says(&["task 0", "ash", "birch", "--changed-job"]);
    assert_eq!(home.kept().await.tasks.len(), 3, "nothing was done");

    let changed = [&flags[..], &["--changed-job"]].concat();
    run(&home, "listed", &changed).await.assert_code(0);
    let results = |kept: &[TaskRow]| -> Vec<_> {
        let texts = kept.iter().map(|row| row.result.clone().unwrap().as_str().unwrap().to_owned());
        texts.collect()
    };
    let words = ["ASH", "BIRCH", "CEDAR", "DOUGLAS", "ELM"];
    let kept = home.kept().await;
    assert_eq!(results(&kept.tasks), words, "what is new is done once, and what is gone stays");
    assert!(kept.tasks.iter().all(|row| row.attempts == 1), "nothing is done again");

    // What is appended is done too.
    home.write("pile.txt", "birch\ncedar\ndouglas\nelm\nfir\n");
    let appended = run(&home, "listed", &changed).await;
    appended.assert_code(0);
    assert_eq!(results(&home.kept().await.tasks), [&words[..], &["FIR"]].concat());
}

async fn several_tasks_share_a_batch() {
    let home = Home::new();
    run(&home, "packs", &["--workers", "2"]).await.assert_code(0);
    let kept = home.kept().await;
    let results: Vec<_> = kept.tasks.iter().map(|row| row.result.clone().unwrap()).collect();
    assert_eq!(results, (0..40).map(|n| json!(format!("pack {n}"))).collect::<Vec<_>>());
}

async fn so_many_results_end_the_run() {
    let home = Home::new();
    let ended = run(&home, "endless", &["--results", "12"]).await;
    ended.assert_code(0);
    ended.assert_says(&["stopping: the requested number of results is reached", "12 of 12 tasks done in"]);
    assert!(!ended.err.contains("ended early"), "{}", ended.err);
    let kept = home.kept().await;
    kept.assert_settled();
    assert_eq!((kept.tasks.len(), kept.summary.tasks.done), (12, 12), "no more were even read");
}

async fn a_task_that_goes_wrong_is_its_own_trouble() {
    let home = Home::new();
    let ended = run_with_panics(&home, "trouble").await;
    ended.assert_code(1);
    let kept = home.kept().await;
    kept.assert_settled();
    let ends: Vec<_> = kept
        .tasks
        .iter()
        .map(|row| (row.attempts, row.failure.as_ref().map(|failure| failure.message.as_str())))
        .collect();
    assert_eq!(ends[0], (1, None));
    assert_eq!(ends[1], (1, Some("one is not a number")), "there is no second attempt of what can't be done");
    assert_eq!(ends[2], (2, Some("the job panicked: two is too much")));
    assert_eq!(ends[3].0, 2);
    assert!(ends[3].1.unwrap().contains("echo three"), "{ends:?}");
    assert_eq!(kept.tasks[3].stderr.to_text().trim(), "three");
    assert_eq!(ends[4], (1, None));
    assert_eq!(kept.tasks[4].result, Some(json!(4)));
}

async fn what_is_wrong_before_the_first_task_costs_nothing() {
    for (job, code, told) in [
        ("no payload", 70, "error: the job panicked while it named its payload: no image today"),
        ("no file", 2, "error: the tasks can't be read\n  because: words.txt isn't there"),
    ] {
        let home = Home::new();
        let ended = run_with_panics(&home, job).await;
        ended.assert_code(code);
        ended.assert_says(&[told]);
        assert_eq!(home.n_runs().await, 0, "{job}");
    }
}

async fn a_pile_that_breaks_stops_the_run() {
    for (job, told) in [
        ("broken line", "error: the tasks can't be read: line 3 makes no sense"),
        ("no tasks", "the job panicked while it read its tasks: number 3 is one too many"),
    ] {
        let home = Home::new();
        let ended = run_with_panics(&home, job).await;
        ended.assert_code(7);
        ended.assert_says(&[told, "what is done is kept"]);
        assert_eq!(home.kept().await.tasks.len(), 3, "{job}");
    }
}

async fn the_program_has_its_own_name() {
    let home = Home::new();
    let own = std::env::current_exe().unwrap();
    let own = own.file_stem().unwrap().to_str().unwrap();
    let help = Running::start(program(&home, "lengths", &["run", "--help"])).end().await;
    help.assert_code(0);
    assert!(help.out.contains(&format!("Usage: {own} run [OPTIONS]\n")), "{}", help.out);
    assert!(help.out.contains(&format!("\n  {own} run --devnet\n")), "{}", help.out);
    assert!(!help.out.contains("job file") && !help.out.contains("job.toml"), "{}", help.out);
    let help = Running::start(program(&home, "lengths", &["show", "--help"])).end().await;
    help.assert_code(0);
    assert!(help.out.contains(&format!("\n  {own} show --watch\n")), "{}", help.out);
    assert!(!help.out.contains("golem-tasks show"), "{}", help.out);
    let extra = Running::start(program(&home, "lengths", &["run", "job.toml"])).end().await;
    extra.assert_code(2);
    extra.assert_says(&["unexpected argument 'job.toml'"]);
}

async fn a_job_is_checked_without_buying() {
    let home = Home::new();
    let ended = Running::start(program(&home, "lengths", &["check"])).end().await;
    ended.assert_code(0);
    assert!(ended.out.contains("tasks    3\n") && ended.out.contains("{\"word\":\"one\"}"), "{}", ended.out);
    let ended = Running::start(program(&home, "endless", &["check"])).end().await;
    assert!(ended.out.contains("tasks    1000 and more\n"), "{}", ended.out);
    let ended = Running::start(program(&home, "broken line", &["check"])).end().await;
    ended.assert_code(2);
    ended.assert_says(&["the tasks can't be read: line 3 makes no sense"]);
    assert!(!home.database().exists(), "nothing is recorded");
}

/// Of a job whose panics are part of the test: the runtime tells of them too.
async fn run_with_panics(home: &Home, job: &str) -> Ended {
    Running::start(program(home, job, &["run", "--devnet", "--devnet-seed", "7"])).end_with_panics().await
}
