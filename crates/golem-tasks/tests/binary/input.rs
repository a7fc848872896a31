//! Standard input as a source of tasks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

use crate::again::Network;
use crate::stage::{Home, Running};

fn job(home: &Home, takes: &str) -> PathBuf {
    home.job(&format!("[tasks]\nlines = \"-\"\n[[steps]]\nrun = \"sleep {takes}; echo -n {{{{ task }}}}\"\n"))
}

fn start(network: &Network, home: &Home, words: &[&str]) -> (Running, ChildStdin) {
    let mut command = network.command(home, words);
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    let input = running.input();
    (running, input)
}

async fn results(network: &Network, home: &Home) -> Vec<String> {
    let ended = network.ask(home, &["results"]).await;
    let read = |line: &str| -> String {
        let line: Value = serde_json::from_str(line).unwrap();
        line["stdout"].as_str().unwrap().to_owned()
    };
    let mut all: Vec<_> = ended.out.lines().map(read).collect();
    all.sort();
    all
}

fn input_folder(home: &Home) -> PathBuf {
    let mut folder = home.database().into_os_string();
    folder.push(".input");
    folder.into()
}

fn kept(home: &Home) -> BTreeSet<String> {
    let files =
        std::fs::read_dir(input_folder(home)).map(|files| files.map(|file| file.unwrap().path()).collect());
    let files: Vec<PathBuf> = files.unwrap_or_default();
    #[cfg(unix)]
    for path in &files {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    files.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn tasks_are_done_as_they_come_and_the_run_ends_with_its_input() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = job(&home, "0");
    let (mut running, mut input) = start(&network, &home, &["run", path.to_str().unwrap(), "--run-id", "i"]);
    input.write_all(b"one\ntwo\n\nthr").await.unwrap();
    running.prints(2).await;
    assert_eq!(kept(&home), BTreeSet::from(["i.part".to_owned()]));
    input.write_all(b"ee\n").await.unwrap();
    running.prints(3).await;
    input.write_all(b"four").await.unwrap();
    drop(input);
    let ended = running.end().await;
    ended.assert_code(0);
    ended.assert_says(&["4 tasks done"]);
    assert_eq!(ended.results(), [(0, "one"), (1, "two"), (2, "three"), (3, "four")]);
    assert_eq!(kept(&home), BTreeSet::from(["i.lines".to_owned()]));
    let over = network.ask(&home, &["run", path.to_str().unwrap(), "--run-id", "i"]).await;
    over.assert_code(0);
    over.assert_says(&["nothing is left to do", "4 tasks done"]);
    network.ask(&home, &["runs", "rm", "i"]).await.assert_code(0);
    assert_eq!(kept(&home), BTreeSet::new());

    // What was kept of a run whose database is gone is nothing to another one of its name.
    std::fs::write(input_folder(&home).join("i.lines"), "of another run\n").unwrap();
    let (running, mut input) = start(&network, &home, &["run", path.to_str().unwrap(), "--run-id", "i"]);
    input.write_all(b"five\n").await.unwrap();
    drop(input);
    assert_eq!(running.end().await.results(), [(0, "five")]);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn a_run_that_was_killed_goes_on_without_its_input() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = job(&home, "0.2");
    let run = ["run", path.to_str().unwrap(), "--run-id", "i", "--workers", "3"];
    let (mut running, mut input) = start(&network, &home, &run);
    let lines: Vec<_> = (10..40).map(|n| format!("w{n}")).collect();
    input.write_all((lines.join("\n") + "\n").as_bytes()).await.unwrap();
    drop(input);
    running.prints(3).await;
    running.kill();
    running.end().await;
    network.ask(&home, &run).await.assert_code(0);
    assert_eq!(results(&network, &home).await, lines);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn an_input_that_was_cut_off_is_told_and_may_be_given_again() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = job(&home, "0");
    let run = ["run", path.to_str().unwrap(), "--run-id", "i"];
    let (mut running, mut input) = start(&network, &home, &run);
    input.write_all(b"one\ntwo\n").await.unwrap();
    running.prints(2).await;
    running.kill();
    running.end().await;
    drop(input);

    let cut = network.ask(&home, &run).await;
    cut.assert_code(7);
    cut.assert_says(&[
        "broke off with an earlier process: 2 tasks had come",
        "with the whole input once more",
    ]);

    let (other, mut input) = start(&network, &home, &run);
    input.write_all(b"one\nTWO\nthree\n").await.unwrap();
    drop(input);
    let refused = other.end().await;
    refused.assert_code(7);
    refused.assert_says(&["it isn't what the run has read of it"]);

    let (again, mut input) = start(&network, &home, &run);
    input.write_all(b"one\ntwo\nthree\n").await.unwrap();
    drop(input);
    again.end().await.assert_code(0);
    assert_eq!(results(&network, &home).await, ["one", "three", "two"]);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn json_may_come_too_check_says_what_it_cant_see_and_csv_is_refused() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = home.job("[tasks]\njsonl = \"-\"\n[[steps]]\nrun = \"echo -n {{ task.n }}\"\n");
    let checked = network.ask(&home, &["check", path.to_str().unwrap()]).await;
    checked.assert_code(0);
    assert!(checked.out.contains("the values in standard input, as they come"), "{}", checked.out);
    assert!(checked.out.contains("can't be checked before"), "{}", checked.out);

    let (running, mut input) = start(&network, &home, &["run", path.to_str().unwrap()]);
    input.write_all(b"{\"n\": 1}\n{\"m\": 2}\n{\"n\": 3}\n").await.unwrap();
    drop(input);
    let ended = running.end().await;
    ended.assert_code(1);
    assert_eq!(ended.results(), [(0, "1"), (2, "3")]);
    ended.assert_says(&["task 1", "failed for good at attempt 1"]);

    let (running, mut input) = start(&network, &home, &["run", path.to_str().unwrap()]);
    input.write_all(b"{\"n\": 1}\n{\"n\": \n").await.unwrap();
    drop(input);
    let ended = running.end().await;
    ended.assert_code(7);
    ended.assert_says(&["standard input:2: not a JSON value"]);

    let path = home.job("[tasks]\ncsv = \"-\"\n[[steps]]\nrun = \"true\"\n");
    let refused = network.ask(&home, &["check", path.to_str().unwrap()]).await;
    refused.assert_code(2);
    refused.assert_says(&["`csv` can't be read from standard input", "lines = \"-\""]);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn a_part_of_what_comes_may_be_asked_for_by_numbers_and_by_the_tasks_themselves() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = home.job("[tasks]\nlines = \"-\"\n[[steps]]\nrun = \"echo -n {{ task }}\"\n");
    for (only, results) in [("1,3", [(1, "b"), (3, "d")]), ("a,c", [(0, "a"), (2, "c")])] {
        let (running, mut input) = start(&network, &home, &["run", path.to_str().unwrap(), "--only", only]);
        input.write_all(b"a\nb\nc\nd\n").await.unwrap();
        drop(input);
        let ended = running.end().await;
        ended.assert_code(0);
        assert_eq!(ended.results(), results);
    }
    network.assert_at_rest().await;
}
