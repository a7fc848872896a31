//! Beginning without a job file, and what scripts ask afterwards: `each`, `init`, `wait`, `cost`, `runs`; and what
//! is asked before: `market`, `doctor`.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use yagna_api::Glm;

use crate::stage::{Ended, Home, Running};

const PROGRAM: &str = env!("CARGO_BIN_EXE_golem-tasks");

async fn golem_tasks(home: &Home, words: &[&str]) -> Ended {
    let mut command = home.program(PROGRAM);
    command.args(words);
    Running::start(command).end().await
}

fn json(ended: &Ended) -> Value {
    ended.assert_code(0);
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("no JSON: {}", ended.out))
}

#[tokio::test]
async fn a_pile_in_one_line_is_a_run_like_any_other() {
    let home = Home::new();
    let command = "printf '%s|{{ x }}' {}";
    let words =
        ["each", "--devnet", "--run-id", "pile", command, ":::", "it's", "$HOME", "a b", "{{ index }}"];
    let ended = golem_tasks(&home, &words).await;
    ended.assert_code(0);
    let expected = ["it's|{{ x }}", "$HOME|{{ x }}", "a b|{{ x }}", "{{ index }}|{{ x }}"];
    assert_eq!(
        ended.results(),
        expected.iter().enumerate().map(|(n, text)| (n as u64, *text)).collect::<Vec<_>>()
    );
    // It is resumed by its id alone, which does nothing more.
    let again = golem_tasks(&home, &["resume", "pile", "--devnet", "--dsn", &dsn(&home)]).await;
    again.assert_code(0);
    assert_eq!(home.kept().await.summary.tasks.done, 4);
}

fn dsn(home: &Home) -> String {
    format!("sqlite:{}", home.database().display())
}

#[tokio::test]
async fn lines_of_standard_input_are_a_pile_too() {
    let home = Home::new();
    let mut command = home.program(PROGRAM);
    command.args(["each", "--devnet", "--quiet", "echo -n"]).stdin(Stdio::piped());
    let mut running = Running::start(command);
    running.input().write_all(b"one\ntwo words\n").await.unwrap();
    let ended = running.end().await;
    ended.assert_code(0);
    assert_eq!(ended.results(), [(0, "one"), (1, "two words")]);
}

#[tokio::test]
async fn a_pile_that_is_none_is_refused_with_what_to_type() {
    let home = Home::new();
    for (words, says) in [
        (&["each", "--devnet", "echo", "a"][..], "`a` stands where `:::` should be"),
        (&["each", "--devnet", "echo", ":::"], "there are no arguments"),
        (&["each", "--devnet", " ", ":::", "a"], "the command is empty"),
    ] {
        let ended = golem_tasks(&home, words).await;
        ended.assert_code(2);
        ended.assert_says(&[says, "try: "]);
    }
    assert!(!home.database().exists(), "nothing was begun");
}

#[tokio::test]
async fn a_job_file_to_begin_with_runs_as_it_is_and_none_is_overwritten() {
    let home = Home::new();
    home.write("words.txt", "red\ngreen\n");
    let file = home.path("first.toml");
    let file = file.to_str().unwrap();
    let run = "echo -n {{ task | upper }}";
    let written = golem_tasks(
        &home,
        &["init", file, "--lines", "words.txt", "--run", run, "--budget", "2", "--workers", "2"],
    )
    .await;
    written.assert_code(0);
    written.assert_says(&["is written", "--devnet"]);
    let ended = home.run(std::path::Path::new(file), &[]).await;
    ended.assert_code(0);
    assert_eq!(ended.results(), [(0, "RED"), (1, "GREEN")]);

    let refused = golem_tasks(&home, &["init", file]).await;
    refused.assert_code(2);
    refused.assert_says(&["is there already", "--force"]);
    golem_tasks(&home, &["init", file, "--force", "--range", "3"]).await.assert_code(0);
    assert!(String::from_utf8(home.read("first.toml")).unwrap().contains("range = { start = 0, end = 3 }"));

    // A file that is still to come is named, and the job file is there all the same.
    let early = home.path("early.toml");
    let told = golem_tasks(&home, &["init", early.to_str().unwrap(), "--lines", "later.txt"]).await;
    told.assert_code(0);
    told.assert_says(&["later.txt", "golem-tasks check"]);
    assert!(early.is_file());
}

#[tokio::test]
async fn a_script_waits_for_a_run_and_gets_its_exit_code() {
    let home = Home::new();
    let job = home.job("[tasks]\nrange = { end = 2 }\n[[steps]]\nrun = \"sleep 1; exit {{ task }}\"\n[limits]\nretries = 0\n");
    let mut run = home.start(&job, &["--run-id", "half"]);
    run.says("kept in").await;
    let waited = golem_tasks(&home, &["wait", "half"]).await;
    let ended = run.end().await;
    ended.assert_code(1);
    waited.assert_code(1);
    waited.assert_says(&["run half has ended: ", "1 of 2 tasks done"]);
    assert_eq!(waited.out, "");
    golem_tasks(&home, &["wait"]).await.assert_code(1);
    golem_tasks(&home, &["wait", "whole"]).await.assert_code(2);
}

/// Kills a run, `gone`, while it works.
async fn leave_a_killed_run(home: &Home) {
    let job = home.job("[tasks]\nrange = { end = 2 }\n[[steps]]\nrun = \"sleep 60\"\n");
    let mut run = home.start(&job, &["--run-id", "gone"]);
    run.says("ready to work").await;
    run.kill();
    run.end().await;
}

#[tokio::test]
async fn a_run_that_nobody_works_on_is_not_waited_for() {
    let home = Home::new();
    leave_a_killed_run(&home).await;
    let waited = golem_tasks(&home, &["wait", "gone"]).await;
    waited.assert_code(7);
    waited.assert_says(&["doesn't go on: it is interrupted", "golem-tasks resume gone"]);
    let of =
        async |state| json(&golem_tasks(&home, &["runs", "--json", "--state", state]).await)["runs"].clone();
    assert_eq!(of("interrupted").await[0]["run"], "gone");
    assert_eq!(of("ended").await.as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn costs_are_summed_up_by_run_by_provider_and_by_day() {
    let home = Home::new();
    let nothing = json(&golem_tasks(&home, &["cost", "--json"]).await);
    assert_eq!((&nothing["cost"], &nothing["rows"]), (&"0".into(), &Value::Array(Vec::new())));
    let job = home.job("[tasks]\nrange = { end = 6 }\n[[steps]]\nrun = \"sleep 0.2; echo {{ task }}\"\n");
    let mut costs = Vec::new();
    for run in ["first", "second"] {
        home.run(&job, &["--run-id", run]).await.assert_code(0);
        costs.push(home.kept().await.summary.cost);
    }
    let total: Glm = costs.iter().copied().sum();
    let glm = |value: &Value| value.as_str().unwrap().parse::<Glm>().unwrap();
    let cost = async |words: &[&str]| json(&golem_tasks(&home, &[&["cost", "--json"], words].concat()).await);
    let by_run = cost(&[]).await;
    assert_eq!(glm(&by_run["cost"]), total);
    let rows = by_run["rows"].as_array().unwrap();
    let runs: Vec<_> = rows.iter().map(|row| (row["run"].as_str().unwrap(), glm(&row["cost"]))).collect();
    assert_eq!(runs, [("second", costs[1]), ("first", costs[0])]);
    for by in ["provider", "day"] {
        let sums = cost(&["--by", by, "--since", "1d"]).await;
        let rows = sums["rows"].as_array().unwrap();
        assert_eq!(rows.iter().map(|row| glm(&row["cost"])).sum::<Glm>(), total, "{sums}");
        assert!(!rows.is_empty() && rows.iter().all(|row| !row[by].is_null()), "{sums}");
    }
    let text = golem_tasks(&home, &["cost"]).await;
    text.assert_code(0);
    assert!(
        ["run_id", "first", "second", "total"].iter().all(|what| text.out.contains(what)),
        "{}",
        text.out
    );
    let runs = json(&golem_tasks(&home, &["runs", "--json", "--since", "1h", "--limit", "1"]).await);
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_market_is_listed_the_least_expensive_first() {
    let home = Home::new();
    let words = ["market", "--devnet", "--devnet-providers", "5", "--for", "1s"];
    let table = golem_tasks(&home, &words).await;
    table.assert_code(0);
    table.assert_says(&["5 offers in the subnet `public`", "(p50)"]);
    assert_eq!(table.out.lines().count(), 6, "{}", table.out);
    let market = json(&golem_tasks(&home, &[&words[..], &["--json"]].concat()).await);
    let prices: Vec<Glm> = market["offers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|offer| offer["per_hour"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(prices.len() == 5 && prices.is_sorted() && prices[0] > Glm::ZERO, "{market}");
    assert!(market["offers"][0]["threads"].as_u64().unwrap() > 0);

    let none = golem_tasks(&home, &[&words[..], &["--min-threads", "999"]].concat()).await;
    none.assert_code(0);
    none.assert_says(&["no such offers are known", "--for 1m"]);
    assert_eq!(none.out, "");
    golem_tasks(&home, &["market"]).await.assert_code(2);
}

#[tokio::test]
async fn the_doctor_finds_a_devnet_in_good_health_and_a_missing_daemon_not() {
    let home = Home::new();
    let well = golem_tasks(&home, &["doctor", "--devnet"]).await;
    well.assert_code(0);
    assert!(well.out.contains("\nA run can begin.\n"), "{}", well.out);
    let checks = json(&golem_tasks(&home, &["doctor", "--devnet", "--json"]).await);
    let checks = checks["checks"].as_array().unwrap().clone();
    let names: Vec<_> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in
        ["daemon", "key", "clock", "network", "money", "payments", "market", "database", "disk", "files"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(checks.iter().all(|check| check["state"] == "ok"), "{checks:#?}");

    // Port 9 has nobody.
    let ill = golem_tasks(&home, &["doctor", "--api-url", "http://127.0.0.1:9", "--app-key", "k"]).await;
    ill.assert_code(5);
    for what in [
        "error    daemon",
        "yagna service run",
        "-        key",
        "ok       database",
        "No run can begin: 1 error",
    ] {
        assert!(ill.out.contains(what), "`{what}` in {}", ill.out);
    }
}

#[tokio::test]
async fn the_doctor_tells_of_runs_that_left_something() {
    let home = Home::new();
    leave_a_killed_run(&home).await;
    let dsn = dsn(&home);
    let left = golem_tasks(&home, &["doctor", "--devnet", "--dsn", &dsn]).await;
    left.assert_code(0);
    for what in
        ["warning  leftovers", "1 earlier run may still have", "golem-tasks settle", "see the warnings"]
    {
        assert!(left.out.contains(what), "`{what}` in {}", left.out);
    }
}
