//! The questions of people about runs, those of other processes included.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use golem_devnet::devnet::Devnet;
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

#[tokio::test]
async fn providers_that_are_blocked_by_hand_are_never_signed_with_again() {
    let home = Home::new();
    let job = home.job("[tasks]\nrange = { end = 24 }\n[[steps]]\nrun = \"echo {{ task }}; sleep 0.05\"\n");
    // One network for both runs: its providers keep their ids.
    let devnet = Devnet::builder().providers(3).seed(7).start().await.unwrap();
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let run = async |flags: &[&str]| {
        let mut command = home.command(&job, flags);
        command.env("YAGNA_APPKEY", devnet.requestor().key.expose());
        command.env("YAGNA_API_URL", format!("http://{address}"));
        Running::start(command).end().await
    };
    run(&["--run-id", "first", "--workers", "3"]).await.assert_code(0);
    let providers = async |question: &[&str]| -> Vec<Value> {
        let told = ask(&home, question).await;
        told.assert_code(0);
        let told: Value = serde_json::from_str(&told.out).unwrap();
        told["providers"].as_array().unwrap().clone()
    };
    let known = providers(&["providers", "--json"]).await;
    assert_eq!(known.len(), 3, "{known:?}");
    assert_eq!(known.iter().map(|row| row["tasks_done"].as_u64().unwrap()).sum::<u64>(), 24);
    assert!(known.iter().all(|row| row["standing"] == "ok" && row["last_seen"].is_string()), "{known:?}");
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let (name, id) = (text(&known[0], "name"), text(&known[1], "id"));
    let blocked = ask(&home, &["providers", "block", &name, &id, "--reason", "they are too loud"]).await;
    blocked.assert_code(0);

    let ended = run(&["--run-id", "second", "--json"]).await;
    ended.assert_code(0);
    let summary: Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    assert_eq!(summary["offers_refused"]["blocked by hand: they are too loud"], 2, "{summary}");
    let met = providers(&["providers", "--run-id", "second", "--json"]).await;
    let met: Vec<_> = met.iter().map(|row| text(row, "id")).collect();
    assert_eq!(met, [text(&known[2], "id")], "{known:?}");

    let listed = ask(&home, &["providers"]).await;
    assert_eq!(listed.out.matches("blocked: they are too loud").count(), 2, "{}", listed.out);
    ask(&home, &["providers", "unblock", &name, &id]).await.assert_code(0);
    assert!(!ask(&home, &["providers"]).await.out.contains("blocked"));
    // The knowledge goes with its runs, and is of both.
    let known = providers(&["providers", "--json"]).await;
    assert_eq!(known.iter().map(|row| row["tasks_done"].as_u64().unwrap()).sum::<u64>(), 48);
    devnet.stop().await;
}
