//! Runs whose source of tasks changes: between two processes, while a run goes on, and after it has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::again::Network;
use crate::stage::{Ended, Home};

fn lines(range: std::ops::RangeInclusive<u32>) -> String {
    let lines: Vec<_> = range.map(|n| format!("w{n}")).collect();
    lines.join("\n") + "\n"
}

fn echo(home: &Home, source: &str) -> PathBuf {
    home.job(&format!("[tasks]\n{source}\n[[steps]]\nrun = \"sleep 0.2; echo -n {{{{ task }}}}\"\n"))
}

/// What was printed for each task, by its number.
async fn results(network: &Network, home: &Home) -> BTreeMap<u64, String> {
    let ended = network.ask(home, &["results"]).await;
    let read = |line: &str| -> (u64, String) {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["task"].as_u64().unwrap(), line["stdout"].as_str().unwrap().trim().to_owned())
    };
    let all: Vec<_> = ended.out.lines().map(read).collect();
    let by_number: BTreeMap<_, _> = all.iter().cloned().collect();
    assert_eq!(all.len(), by_number.len(), "a task has one result");
    by_number
}

fn assert_refused(ended: &Ended, network: &Network, agreements: usize, words: &[&str]) {
    ended.assert_code(2);
    ended.assert_says(words);
    ended.assert_says(&["nothing was bought", "--changed-job", "--run-id"]);
    assert_eq!(network.devnet.books().agreements.len(), agreements, "something was bought");
}

#[tokio::test]
async fn a_run_that_was_killed_refuses_a_source_that_lost_what_was_read() {
    let (home, network) = (Home::new(), Network::new().await);
    home.write("l.txt", lines(1..=60));
    let path = echo(&home, "lines = \"l.txt\"");
    let run = ["run", path.to_str().unwrap(), "--run-id", "l1", "--workers", "3"];
    let mut first = network.start(&home, &run);
    first.prints(3).await;
    first.kill();
    first.end().await;
    let agreements = network.devnet.books().agreements.len();
    for (now, words) in [
        (lines(3..=60), "l.txt:1 was `w1` and is `w3` now"),
        (format!("w1\n\nw2 \n{}", lines(3..=60)), "l.txt:3 was `w2` and is `w2 ` now"),
        (lines(1..=40), "`w41` stood at the end of "),
    ] {
        home.write("l.txt", now);
        assert_refused(&network.ask(&home, &run).await, &network, agreements, &["run `l1` has read ", words]);
    }
    // As it was, but for what makes no task.
    home.write("l.txt", format!("\n{}\n\n", lines(1..=60).replace('\n', "\r\n")));
    network.ask(&home, &run).await.assert_code(0);
    assert_eq!(results(&network, &home).await.len(), 60);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn of_a_changed_source_what_is_new_is_done_once_and_what_left_stays() {
    let (home, network) = (Home::new(), Network::new().await);
    home.write("t.csv", "name\na\nb\nb\nc\n");
    let path = home.job("[tasks]\ncsv = \"t.csv\"\n[[steps]]\nrun = \"sleep 0.3; echo {{ task.name }}\"\n");
    let run = ["run", path.to_str().unwrap(), "--run-id", "c", "--workers", "2"];
    network.ask(&home, &run).await.assert_code(0);
    let agreements = network.devnet.books().agreements.len();
    home.write("t.csv", "name\nx\nb\na\ny\nb\nb\nz\n");
    let refused = network.ask(&home, &run).await;
    assert_refused(
        &refused,
        &network,
        agreements,
        &["t.csv:2 was `{\"name\":\"a\"}` and is `{\"name\":\"x\"}` now"],
    );

    let changed = [&run[..], &["--changed-job"]].concat();
    let mut first = network.start(&home, &changed);
    first.prints(1).await;
    first.kill();
    first.end().await;
    // The source is the same as in the life before, so it needs no flag any more.
    let again = network.ask(&home, &run).await;
    again.assert_code(0);
    let mut done: Vec<_> = results(&network, &home).await.into_values().collect();
    done.sort();
    assert_eq!(done, ["a", "b", "b", "b", "c", "x", "y", "z"]);
    let over = network.ask(&home, &run).await;
    over.assert_code(0);
    over.assert_says(&["nothing is left to do", "8 of 8 tasks done"]);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn what_is_added_to_a_source_while_a_run_goes_on_or_after_it_has_ended_is_done() {
    let (home, network) = (Home::new(), Network::new().await);
    home.write("j.jsonl", "1\n2\n3\n");
    let path = home.job("[tasks]\njsonl = \"j.jsonl\"\n[[steps]]\nrun = \"sleep 0.4; echo {{ task }}\"\n");
    let run = ["run", path.to_str().unwrap(), "--run-id", "j", "--workers", "1"];
    let mut first = network.start(&home, &run);
    first.prints(1).await;
    home.write("j.jsonl", "1\n2\n3\n4\n5\n");
    let first = first.end().await;
    first.assert_code(0);
    first.assert_says(&["5 of 5 tasks done"]);

    home.write("j.jsonl", "1\n2\n3\n4\n5\n6\n");
    let again = network.ask(&home, &run).await;
    again.assert_code(0);
    again.assert_says(&["6 of 6 tasks done"]);
    assert_eq!(again.results().len(), 1, "only the new one is done: {}", again.out);
    assert_eq!(results(&network, &home).await.len(), 6);
    let agreements = network.devnet.books().agreements.len();
    network.ask(&home, &run).await.assert_says(&["nothing is left to do"]);
    // A run that ended is compared as well.
    home.write("j.jsonl", "1\n2\n3\n4\n5\n7\n");
    assert_refused(
        &network.ask(&home, &run).await,
        &network,
        agreements,
        &["j.jsonl:6 was `6` and is `7` now"],
    );

    // A range that grows is another job file, which the user has to say.
    let path = home.job("[tasks]\nrange = { end = 3 }\n[[steps]]\nrun = \"echo {{ task }}\"\n");
    let run = ["run", path.to_str().unwrap(), "--run-id", "r"];
    network.ask(&home, &run).await.assert_code(0);
    home.job("[tasks]\nrange = { end = 5 }\n[[steps]]\nrun = \"echo {{ task }}\"\n");
    network.ask(&home, &run).await.assert_code(2);
    let grown = network.ask(&home, &[&run[..], &["--changed-job"]].concat()).await;
    grown.assert_code(0);
    grown.assert_says(&["5 of 5 tasks done"]);
    let tasks: BTreeSet<_> = grown.results().iter().map(|(task, _)| *task).collect();
    assert_eq!(tasks, BTreeSet::from([3, 4]));
    network.assert_at_rest().await;
}

#[tokio::test]
async fn a_runs_own_outputs_are_never_its_inputs() {
    let (home, network) = (Home::new(), Network::new().await);
    std::fs::create_dir(home.path("in")).unwrap();
    for n in 0..12 {
        home.write(&format!("in/{n:02}"), n.to_string());
    }
    let path = home.job(
        "[tasks]\nglob = \"in/*\"\n[[steps]]\nupload = { from = \"{{ task }}\", to = \"/golem/work/x\" }\n\
         [[steps]]\nrun = \"sleep 0.7; cp /golem/work/x /golem/output/y\"\n\
         [[steps]]\ndownload = { from = \"/golem/output/y\", to = \"in/{{ task | basename }}.out\" }\n",
    );
    let run = ["run", path.to_str().unwrap(), "--run-id", "g", "--workers", "3"];
    let mut first = network.start(&home, &run);
    first.prints(3).await;
    first.kill();
    first.end().await;
    let check = network.ask(&home, &["check", path.to_str().unwrap()]).await;
    check.assert_code(0);
    assert!(check.out.contains("tasks    12: files that match in/*"), "{}", check.out);
    assert!(check.out.contains("this job writes them itself"), "{}", check.out);
    home.write("in/00a", "new");
    // One that comes while the run goes on is done, wherever it sorts.
    let refused = network.ask(&home, &run).await;
    refused.assert_code(2);
    refused.assert_says(&["file 2 that matches `in/*` was `in/01` and is `in/00a` now"]);
    std::fs::remove_file(home.path("in/00a")).unwrap();
    let mut again = network.start(&home, &run);
    again.prints(1).await;
    home.write("in/00a", "new");
    let again = again.end().await;
    again.assert_code(0);
    again.assert_says(&["13 of 13 tasks done"]);
    let files = std::fs::read_dir(home.path("in")).unwrap().count();
    assert_eq!(files, 26, "each has one output, and no output has one");
    network.ask(&home, &run).await.assert_says(&["nothing is left to do", "13 of 13 tasks done"]);
    network.assert_at_rest().await;
}
