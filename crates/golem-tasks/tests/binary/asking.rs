//! What people ask of runs, of those of other processes too.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{Ended, Home, Running, processes, signal, wait_until};

/// A job of which one task is done and the others go on until they are stopped; and what its processes are known by.
fn endless(home: &Home, number: u32) -> (PathBuf, String) {
    let mark = format!("4000.{number}{:07}", std::process::id());
    assert!(processes(&mark).is_empty(), "`{mark}` is no mark of this test alone");
    let step = format!("run = \"echo begun; if [ {{{{ task }}}} != 0 ]; then sleep {mark}; fi\"");
    (home.job(&format!("[tasks]\nrange = {{ end = 60 }}\n[[steps]]\n{step}\n")), mark)
}

fn start(home: &Home, question: &[&str]) -> Running {
    let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    command.args(question);
    Running::start(command)
}

async fn ask(home: &Home, question: &[&str]) -> Ended {
    start(home, question).end().await
}

#[tokio::test]
async fn cancel_stops_a_run_of_another_process_in_order() {
    let home = Home::new();
    let (job, mark) = endless(&home, 1);
    let mut running = home.start(&job, &["--run-id", "long"]);
    running.prints(1).await;
    wait_until("a task runs", || !processes(&mark).is_empty()).await;
    let runs = ask(&home, &["runs"]).await;
    let holder = format!("running: process {} on ", running.id());
    assert!(runs.out.contains(&holder), "`{holder}` isn't in\n{}", runs.out);

    let asked = ask(&home, &["cancel"]).await;
    asked.assert_code(0);
    asked.assert_says(&[
        &format!("run long: process {} on ", running.id()),
        "has been asked to stop it",
        "run long has ended: it was cancelled; 1 of 60 tasks done, everything is settled",
    ]);
    let ended = running.end().await;
    ended.assert_code(130);
    ended.assert_says(&["cancelled: running tasks get 5 s", "The run ended early: it was cancelled"]);
    assert_eq!(processes(&mark), Vec::<String>::new());
    home.kept().await.assert_settled();

    let again = ask(&home, &["cancel", "--run-id", "long"]).await;
    again.assert_code(0);
    again.assert_says(&["run long has ended already: it was cancelled"]);
    let runs = ask(&home, &["runs"]).await;
    assert!(runs.out.contains("ended: it was cancelled"), "{}", runs.out);
}

#[tokio::test]
async fn a_run_whose_process_was_killed_is_interrupted_and_cannot_be_stopped_in_order() {
    let home = Home::new();
    let (job, mark) = endless(&home, 2);
    let mut running = home.start(&job, &["--run-id", "killed"]);
    running.prints(1).await;
    let id = running.id();
    running.kill();
    assert_eq!(running.end().await.code, None);
    wait_until("every process of it ends", || processes(&mark).is_empty()).await;

    let summary = ask(&home, &["summary"]).await;
    summary.assert_code(0);
    let gone = format!("interrupted: process {id} on ");
    assert!(summary.out.contains(&gone) && summary.out.contains(" is gone"), "{}", summary.out);
    let asked = ask(&home, &["cancel"]).await;
    asked.assert_code(7);
    asked.assert_says(&[
        "run `killed` can't be stopped in order: it is interrupted",
        " agreement",
        "`golem-tasks settle --run-id killed` ends what it left",
    ]);
    // Asking has changed nothing.
    assert!(home.kept().await.summary.ended.is_none());
}

#[tokio::test]
async fn watching_tells_what_changes_and_ends_with_ctrl_c() {
    let home = Home::new();
    let (job, mark) = endless(&home, 3);
    let mut running = home.start(&job, &[]);
    running.says("demand published").await;
    let mut json = start(&home, &["show", "--watch", "--json"]);
    let mut text = start(&home, &["show", "-w"]);
    running.prints(1).await;
    wait_until("a task runs", || !processes(&mark).is_empty()).await;
    text.hears("READY").await;
    json.hears("READY").await;
    for watching in [&text, &json] {
        signal(watching.id(), Signal::INT);
    }
    let text = text.end().await;
    text.assert_code(0);
    assert!(text.out.contains("\n\n") && text.out.contains("state      running: process "), "{}", text.out);
    assert!(!text.out.contains('\u{1b}'), "nothing is painted over where there is no terminal");
    let json = json.end().await;
    json.assert_code(0);
    let lines: Vec<Value> = json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "nothing is told twice");
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["type"], &last["version"], &last["state"]),
        (&"show".into(), &1.into(), &"running".into())
    );
    running.interrupt();
    running.end().await.assert_code(130);
}

#[tokio::test]
async fn results_can_be_read_while_the_run_goes_on() {
    let home = Home::new();
    let job = home.job("[tasks]\nrange = { end = 600 }\n[[steps]]\nrun = \"echo {{ task }}; sleep 0.05\"\n");
    let mut running = home.start(&job, &[]);
    running.prints(10).await;
    let results = ask(&home, &["results"]).await;
    results.assert_code(0);
    let lines: Vec<Value> = results.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 10);
    for line in &lines {
        assert_eq!(line["stdout"].as_str().unwrap().trim_end(), line["task"].to_string());
    }
    // A reader that has seen enough is no failure.
    let mut command = home.program("sh");
    command.arg("-c").arg(format!("{} results --all | head -n 1", env!("CARGO_BIN_EXE_golem-tasks")));
    let head = Running::start(command).end().await;
    assert_eq!((head.out.lines().count(), head.err.as_str()), (1, ""));
    running.interrupt();
    running.end().await.assert_code(130);
}
