//! Tasks that failed for good are tried again, and nothing else is.

use std::path::PathBuf;

use serde_json::Value;

use crate::again::Network;
use crate::stage::{Ended, Home};

/// Asks whether the file `mended`, which is sent first, says so.
const MENDED: &str = "[[steps]]\nupload = { from = \"mended\", to = \"/golem/work/mended\" }\n";

/// Ten tasks of which those with a number above 6 fail until the file `mended` says `yes`.
fn job(home: &Home, wait: &str) -> PathBuf {
    home.write("mended", "no");
    home.job(&format!(
        "[tasks]\nrange = {{ end = 10 }}\n{MENDED}[[steps]]\n\
         run = \"{wait} {{{{ 'grep -q yes /golem/work/mended' if task > 6 else 'true' }}}} && echo {{{{ task }}}}\"\n\
         [limits]\nretries = 1\nworkers = 3\n"
    ))
}

async fn lines(network: &Network, home: &Home, words: &[&str]) -> Vec<Value> {
    let told = network.ask(home, words).await;
    told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn last_line(ended: &Ended) -> &str {
    ended.err.lines().next_back().unwrap()
}

#[tokio::test]
async fn what_failed_is_tried_again_with_fresh_attempts_and_nothing_else_is() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = job(&home, "");
    let run = ["run", path.to_str().unwrap(), "--run-id", "failed"];
    let first = network.ask(&home, &run).await;
    first.assert_code(1);
    let again = [&run[..], &["--retry-failed"]].concat();
    let command = last_line(&first);
    assert!(command.starts_with("To try again what failed: "), "{command}");
    assert!(command.ends_with(&again.join(" ")), "{command}");

    // Without the flag it is said at once, by whatever daemon, and the flag is named.
    let over = network.ask(&home, &run).await;
    over.assert_code(1);
    over.assert_says(&["nothing is left to do", "7 of 10 tasks done", "3 failed"]);
    assert_eq!(last_line(&over), command);

    // Nothing is mended: each is tried as often as a new one.
    let vain = network.ask(&home, &again).await;
    vain.assert_code(1);
    vain.assert_says(&[
        "3 tasks that failed: tried again with fresh attempts",
        "7 of 10 tasks done",
        "3 failed",
    ]);
    assert_eq!(vain.out, "");
    let attempts =
        |kept: &crate::stage::Kept| kept.tasks.iter().map(|task| task.attempts).collect::<Vec<_>>();
    assert_eq!(attempts(&home.kept().await), [1, 1, 1, 1, 1, 1, 1, 4, 4, 4]);

    home.write("mended", "yes");
    let mended = network.ask(&home, &again).await;
    mended.assert_code(0);
    mended.assert_says(&["10 of 10 tasks done"]);
    assert!(!mended.err.contains("To try again"), "{}", mended.err);
    assert_eq!(mended.results(), [(7, "7"), (8, "8"), (9, "9")]);
    let kept = home.kept().await;
    assert_eq!(attempts(&kept), [1, 1, 1, 1, 1, 1, 1, 5, 5, 5]);
    kept.assert_settled();
    network.assert_at_rest().await;

    // All that looks into it afterwards tells the same.
    let results = lines(&network, &home, &["results"]).await;
    let numbers: Vec<_> = results.iter().map(|line| line["task"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    let summary = lines(&network, &home, &["summary", "--json"]).await.remove(0);
    assert_eq!((&summary["tasks"]["done"], &summary["tasks"]["failed"]), (&10.into(), &0.into()));
    assert_eq!(summary["failures"], Value::Array(Vec::new()));
    let nothing = network.ask(&home, &again).await;
    nothing.assert_code(0);
    nothing.assert_says(&["no task of the run has failed: there is nothing to try again"]);
}

#[tokio::test]
async fn a_retry_that_is_killed_goes_on_with_and_without_the_flag() {
    for flag in [&["--retry-failed"][..], &[]] {
        let (home, network) = (Home::new(), Network::new().await);
        let path = job(&home, "sleep 0.3;");
        let run = ["run", path.to_str().unwrap(), "--run-id", "killed", "--workers", "1", "--retries", "0"];
        network.ask(&home, &run).await.assert_code(1);
        home.write("mended", "yes");
        let mut again = network.start(&home, &[&run[..], &["--retry-failed"]].concat());
        again.prints(1).await;
        again.kill();
        again.end().await;
        let last = network.ask(&home, &[&run[..], flag].concat()).await;
        last.assert_code(0);
        last.assert_says(&["10 of 10 tasks done"]);
        let kept = home.kept().await;
        assert_eq!(kept.summary.tasks.done, 10);
        assert!(kept.tasks.iter().all(|task| task.attempts <= 3), "{:?}", kept.tasks);
        network.assert_at_rest().await;
    }
}

#[tokio::test]
async fn a_run_that_was_stopped_does_what_failed_and_what_was_left() {
    let (home, network) = (Home::new(), Network::new().await);
    home.write("list", "bad\na\nb\nc\nd\n");
    home.write("mended", "no");
    let path = home.job(&format!(
        "[tasks]\nlines = \"list\"\n{MENDED}[[steps]]\n\
         run = \"sleep 0.3; {{{{ 'grep -q yes /golem/work/mended' if task == 'bad' else 'true' }}}} && echo {{{{ task }}}}\"\n\
         [limits]\nretries = 0\n"
    ));
    let run = ["run", path.to_str().unwrap(), "--run-id", "stopped"];
    let mut first = network.start(&home, &run);
    first.says("task 0 (bad) failed for good").await;
    first.prints(1).await;
    first.interrupt();
    let first = first.end().await;
    first.assert_code(130);
    assert!(last_line(&first).ends_with("--run-id stopped --retry-failed"), "{}", first.err);
    home.write("mended", "yes");
    // What is new in the source is done as well, once.
    home.write("list", "bad\na\nb\nc\nd\ne\n");
    let again = network.ask(&home, &[&run[..], &["--retry-failed", "--changed-job"]].concat()).await;
    again.assert_code(0);
    again.assert_says(&["6 of 6 tasks done"]);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn a_run_that_isnt_there_has_nothing_to_try_again() {
    let home = Home::new();
    let path = home.job("[tasks]\nrange = { end = 1 }\n[[steps]]\nrun = \"true\"\n");
    let ended = home.run(&path, &["--run-id", "slip", "--retry-failed"]).await;
    ended.assert_code(2);
    ended.assert_says(&["there is no run `slip`", "leave --retry-failed out"]);
    assert_eq!(home.n_runs().await, 0);
}
