//! Runs that are started again: killed before, stopped, over, or another process's.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use golem_devnet::devnet::Devnet;
use golem_devnet::node::{AgreementRow, Delays};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;
use yagna_api::market::AgreementState;

use crate::stage::{Ended, Home, Running, processes, wait_until};

/// A job of ten tasks.
fn job(home: &Home) -> PathBuf {
    home.job("[tasks]\nrange = { end = 10 }\n[[steps]]\nrun = \"sleep 0.4; echo {{ task }}\"\n")
}

/// A network in a process that outlives the runs: this one.
pub(crate) struct Network {
    pub(crate) devnet: Devnet,
    url: String,
}

impl Network {
    pub(crate) async fn new() -> Self {
        Self::seeded(7).await
    }

    async fn seeded(seed: u64) -> Self {
        let devnet = Devnet::builder().providers(3).seed(seed).delays(Delays::none()).start().await.unwrap();
        let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        Self { devnet, url: format!("http://{address}") }
    }

    pub(crate) fn command(&self, home: &Home, words: &[&str]) -> Command {
        let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
        let key = self.devnet.requestor().key.expose().to_owned();
        command.args(words).env("YAGNA_APPKEY", key).env("YAGNA_API_URL", &self.url);
        command
    }

    pub(crate) fn start(&self, home: &Home, words: &[&str]) -> Running {
        Running::start(self.command(home, words))
    }

    pub(crate) async fn ask(&self, home: &Home, words: &[&str]) -> Ended {
        self.start(home, words).end().await
    }

    /// Nothing is in force, runs or is set aside any more.
    pub(crate) async fn assert_at_rest(&self) {
        let open = |row: &AgreementRow| row.state == AgreementState::Approved;
        wait_until("every agreement ends", || !self.devnet.books().agreements.iter().any(open)).await;
        let books = self.devnet.books();
        assert!(books.allocations.iter().all(|row| row.released), "{:#?}", books.allocations);
    }
}

fn assert_all_results(ended: &Ended, home_results: &str) {
    ended.assert_code(0);
    let lines: Vec<Value> = home_results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let results: BTreeMap<u64, &str> = lines
        .iter()
        .map(|line| (line["task"].as_u64().unwrap(), line["stdout"].as_str().unwrap().trim()))
        .collect();
    assert_eq!(lines.len(), 10);
    for (task, stdout) in results {
        assert_eq!(stdout, task.to_string());
    }
}

/// The tasks at work whose batch was recorded.
async fn tasks_of_known_batches(home: &Home) -> Vec<u64> {
    let pool = home.pool().await;
    let bodies: Vec<String> = sqlx::query_scalar("SELECT body FROM scripts").fetch_all(&pool).await.unwrap();
    pool.close().await;
    let scripts = bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap());
    let attempts = scripts.flat_map(|script| script["attempts"].as_array().unwrap().clone());
    attempts.map(|attempt| attempt["task"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_killed_run_goes_on_where_it_was_and_nothing_is_done_twice() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = job(&home);
    let run = ["run", path.to_str().unwrap(), "--run-id", "again", "--workers", "3"];
    let mut first = network.start(&home, &run);
    first.prints(3).await;
    while tasks_of_known_batches(&home).await.is_empty() {
        sleep(Duration::from_millis(20)).await;
    }
    first.kill();
    let before = first.end().await;
    assert_eq!(before.code, None);
    let done_before = before.results().len();
    let known = tasks_of_known_batches(&home).await;

    let again = network.ask(&home, &run).await;
    again.assert_says(&["run again is resumed, kept in ", " to do", "10 of 10 tasks done in "]);
    let results = network.ask(&home, &["results"]).await;
    assert_all_results(&again, &results.out);
    // Results on their way when it was killed may be printed in both lives; a result is recorded once.
    assert!(again.results().len() <= 10 - done_before + 3, "{}", again.out);
    let attempts: Vec<_> = home.kept().await.tasks.iter().map(|task| task.attempts).collect();
    let is_once = |task: &u64| attempts[usize::try_from(*task).unwrap()] == 1;
    assert!(
        before.results().iter().all(|(task, _)| is_once(task)),
        "what was done was done again: {attempts:?}"
    );
    // One that was just being handed to a worker is begun anew; those whose batch was known go on.
    assert!(known.iter().all(is_once), "of {known:?} some were begun twice: {attempts:?}");
    assert!(attempts.iter().all(|attempts| *attempts <= 2), "{attempts:?}");
    network.assert_at_rest().await;
    home.kept().await.assert_settled();

    // Once more: nothing is left, and no daemon is asked.
    let mut command = network.command(&home, &run);
    command.env("YAGNA_API_URL", "http://127.0.0.1:1");
    let over = Running::start(command).end().await;
    over.assert_code(0);
    over.assert_says(&["run again ended earlier and nothing is left to do", "10 of 10 tasks done in "]);
    assert_eq!(over.out, "");
}

#[tokio::test]
async fn a_stopped_run_goes_on_with_what_was_left() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = job(&home);
    let run = ["run", path.to_str().unwrap(), "--run-id", "stopped", "--workers", "2", "--json"];
    let mut first = network.start(&home, &run);
    first.prints(3).await;
    first.interrupt();
    first.end().await.assert_code(130);
    network.assert_at_rest().await;

    let again = network.ask(&home, &run).await;
    let hello: Value = serde_json::from_str(again.out.lines().next().unwrap()).unwrap();
    assert_eq!((&hello["run"], &hello["resumed"]), (&"stopped".into(), &true.into()));
    let results = network.ask(&home, &["results"]).await;
    assert_all_results(&again, &results.out);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn what_a_killed_run_left_is_ended_by_settle_and_can_still_be_done() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = job(&home);
    let run = ["run", path.to_str().unwrap(), "--run-id", "left", "--workers", "2"];
    let mut first = network.start(&home, &run);
    first.prints(2).await;
    first.kill();
    first.end().await;
    assert!(network.devnet.books().agreements.iter().any(|row| row.state == AgreementState::Approved));

    let settled = network.ask(&home, &["settle"]).await;
    settled.assert_code(0);
    settled.assert_says(&[
        "run left is resumed to be settled",
        " left to do, for another time",
        "everything is settled",
    ]);
    assert!(!settled.err.contains("cancelled: running tasks get"), "nobody cancelled it: {}", settled.err);
    assert!(settled.out.contains("run left: ") && settled.out.contains(" left to do"), "{}", settled.out);
    network.assert_at_rest().await;
    home.kept().await.assert_settled();
    let nothing = network.ask(&home, &["settle", "--json"]).await;
    nothing.assert_code(0);
    let told: Value = serde_json::from_str(&nothing.out).unwrap();
    assert_eq!(
        (&told["run"], &told["accepted_now"], &told["unsettled"]),
        (&"left".into(), &"0".into(), &0.into())
    );
    assert_eq!(nothing.err, "everything is settled\n");

    let again = network.ask(&home, &run).await;
    let results = network.ask(&home, &["results"]).await;
    assert_all_results(&again, &results.out);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn a_run_that_another_process_works_on_is_refused_with_its_name() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = job(&home);
    let run = ["run", path.to_str().unwrap(), "--run-id", "held", "--workers", "1"];
    let mut first = network.start(&home, &run);
    first.prints(1).await;
    let second = network.ask(&home, &run).await;
    second.assert_code(9);
    second.assert_says(&["run `held` in ", &format!("is held by process {} on ", first.id())]);
    let settle = network.ask(&home, &["settle"]).await;
    settle.assert_says(&[&format!("run held is left to process {}", first.id())]);
    first.end().await.assert_code(0);
}

#[tokio::test]
async fn another_job_under_the_same_id_is_refused_unless_it_is_meant() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = home.job("[tasks]\nrange = { end = 2 }\n[[steps]]\nrun = \"echo {{ task }}; test {{ task }} != 1\"\n[limits]\nretries = 0\n");
    let run = ["run", path.to_str().unwrap(), "--run-id", "job"];
    network.ask(&home, &run).await.assert_code(1);
    let changed = home
        .job("[tasks]\nrange = { end = 4 }\n[[steps]]\nrun = \"echo {{ task }}\"\n[limits]\nretries = 0\n");
    assert_eq!(changed, path);

    let refused = network.ask(&home, &run).await;
    refused.assert_code(2);
    refused.assert_says(&["run `job` was begun with another job", "--run-id", "--changed-job"]);
    let devnet = network.ask(&home, &[&run[..], &["--devnet"]].concat()).await;
    devnet.assert_code(2);
    devnet.assert_says(&["run `job` was begun on a network that isn't emulated", "leave --devnet out"]);
    let elsewhere = network.ask(&home, &[&run[..], &["--network", "polygon"]].concat()).await;
    elsewhere.assert_code(2);
    elsewhere.assert_says(&["run `job` pays by erc20 on hoodi", "--network hoodi"]);
    // Tasks that came into it since are done, and those that failed for good have failed.
    let over = network.ask(&home, &[&run[..], &["--changed-job"]].concat()).await;
    over.assert_code(1);
    over.assert_says(&["3 of 4 tasks done", "1 failed"]);
}

#[tokio::test]
async fn a_run_on_the_built_in_devnet_goes_on_on_a_new_one() {
    let home = Home::new();
    let path = job(&home);
    let mut first = home.start(&path, &["--run-id", "built-in"]);
    first.prints(3).await;
    first.kill();
    first.end().await;
    wait_until("its commands end", || processes("sleep 0.4").is_empty()).await;
    let again = home.run(&path, &["--run-id", "built-in"]).await;
    again.assert_code(0);
    assert!(again.took.as_secs() < 40, "bills of a network that is gone aren't waited for: {:?}", again.took);
    let kept = home.kept().await;
    assert_eq!((kept.summary.tasks.done, kept.summary.unsettled), (10, 0));
    let over = home.run(&path, &["--run-id", "built-in"]).await;
    over.assert_says(&["ended earlier and nothing is left to do"]);
}

#[tokio::test]
async fn a_run_that_cannot_be_settled_here_keeps_no_other_from_it() {
    let (home, one, other) = (Home::new(), Network::seeded(8).await, Network::new().await);
    let path = job(&home);
    for (network, id) in [(&one, "elsewhere"), (&other, "here")] {
        let run = ["run", path.to_str().unwrap(), "--run-id", id];
        let mut first = network.start(&home, &run);
        first.prints(1).await;
        first.kill();
        first.end().await;
    }
    // The oldest comes first, and belongs to another requestor.
    let settled = other.ask(&home, &["settle"]).await;
    settled.assert_code(2);
    settled.assert_says(&["run elsewhere can't be settled now", "run `elsewhere` belongs to 0x"]);
    assert!(settled.out.contains("run here: "), "{}", settled.out);
    assert!(!settled.err.contains("everything is settled\n"), "{}", settled.err);
    other.assert_at_rest().await;
    assert!(one.devnet.books().agreements.iter().any(|row| row.state == AgreementState::Approved));
    one.ask(&home, &["settle"]).await.assert_code(0);
    one.assert_at_rest().await;
}

#[tokio::test]
async fn resume_repeats_the_command_line_that_the_run_was_started_with() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = job(&home);
    let run = [
        "run",
        path.to_str().unwrap(),
        "--run-id",
        "again",
        "--workers",
        "2",
        "--quiet",
        "--on-budget",
        "stop",
    ];
    let mut first = network.start(&home, &run);
    first.prints(2).await;
    first.kill();
    first.end().await;

    // Its id by its beginning, and a flag that wins over the old one.
    let resumed = network.ask(&home, &["resume", "ag", "--on-budget", "pause", "--json"]).await;
    resumed.assert_code(0);
    assert_eq!(resumed.err, "", "it is as quiet as it was");
    let hello: Value = serde_json::from_str(resumed.out.lines().next().unwrap()).unwrap();
    assert_eq!((&hello["run"], &hello["resumed"]), (&"again".into(), &true.into()));
    let results = network.ask(&home, &["results"]).await;
    assert_all_results(&resumed, &results.out);
    network.assert_at_rest().await;

    // The newest run, which is over by now; the program says so instead of beginning another one.
    let mut command = network.command(&home, &["resume"]);
    command.env("YAGNA_API_URL", "http://127.0.0.1:1");
    Running::start(command).end().await.assert_code(0);

    let unknown = network.ask(&home, &["resume", "nobody"]).await;
    unknown.assert_code(2);
    unknown.assert_says(&["nobody", "golem-tasks runs"]);
    let wrong = network.ask(&home, &["resume", "again", "--budgett", "3"]).await;
    wrong.assert_code(2);
    wrong.assert_says(&["unexpected argument '--budgett'", "--budget"]);
}
