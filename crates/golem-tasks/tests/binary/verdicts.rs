//! The meaning of exit codes and output where the job file says so, and a run that stops when too much fails.

use serde_json::Value;

use crate::again::Network;
use crate::stage::{Home, Kept, Running};

fn attempts(kept: &Kept) -> Vec<u32> {
    kept.tasks.iter().map(|task| task.attempts).collect()
}

/// Tasks that end with the exit code that is their number.
fn codes(home: &Home, n: u32, limits: &str) -> std::path::PathBuf {
    home.job(&format!(
        "[tasks]\nrange = {{ end = {n} }}\n[[steps]]\nrun = \"exit {{{{ task }}}}\"\n[limits]\nretries = 1\n{limits}\n"
    ))
}

#[tokio::test]
async fn an_exit_code_decides_whether_a_task_is_tried_again() {
    for (limits, expected) in [
        ("", [1, 2, 2, 2, 2, 2]),
        ("give_up_on = [2, \"4-5\"]", [1, 2, 1, 2, 1, 1]),
        ("retry_on = 3", [1, 1, 1, 2, 1, 1]),
        ("give_up_on = \"1-255\"\nworkers = 2", [1, 1, 1, 1, 1, 1]),
    ] {
        let home = Home::new();
        let ended = home.run(&codes(&home, 6, limits), &[]).await;
        ended.assert_code(1);
        let kept = home.kept().await;
        let failed: Vec<_> =
            kept.tasks.iter().filter_map(|task| Some(task.failure.as_ref()?.message.as_str())).collect();
        assert_eq!(failed.len(), 5, "{limits}");
        assert!(failed[1].contains("exited with code 2"), "{failed:?}");
        // What was given back with its pack counts as an attempt and not as a failure.
        let tried = failures(&home).await;
        let expected: Vec<i64> = expected.iter().skip(1).map(|n| i64::from(*n)).collect();
        assert_eq!(tried, expected, "{limits}");
    }
}

/// The number of times that each task but the first one failed.
async fn failures(home: &Home) -> Vec<i64> {
    let pool = home.pool().await;
    let sql = "SELECT count(*) FROM attempts WHERE outcome = 'failed' GROUP BY task_no ORDER BY task_no";
    let failures = sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap();
    pool.close().await;
    failures
}

#[tokio::test]
async fn a_run_stops_when_too_many_tasks_fail_and_goes_on_when_told_to() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = home.job(
        "[tasks]\nrange = { end = 40 }\n[[steps]]\nrun = \"sleep 0.1; test {{ task }} -gt 9\"\n\
         [limits]\nretries = 0\nhalt = \"50%\"\n",
    );
    let run = ["run", path.to_str().unwrap(), "--run-id", "halted", "--json"];
    let first = network.ask(&home, &run).await;
    first.assert_code(10);
    first.assert_says(&["too many tasks failed (`halt`)", "a higher --halt goes on", "--retry-failed"]);
    let summary: Value = serde_json::from_str(first.out.lines().next_back().unwrap()).unwrap();
    assert_eq!(summary["why"], "too_many_failed");
    let failed = summary["tasks"]["failed"].as_u64().unwrap();
    assert!((3..=10).contains(&failed), "{failed}");
    network.assert_at_rest().await;
    home.kept().await.assert_settled();

    // Nothing has changed, so nothing is begun: no daemon is asked.
    let mut command = network.command(&home, &run);
    command.env("YAGNA_API_URL", "http://127.0.0.1:1");
    let again = Running::start(command).end().await;
    again.assert_code(10);
    again.assert_says(&["run `halted` stops when too many tasks fail (50%)", "--retry-failed"]);

    let on = network.ask(&home, &[&run[..], &["--halt", "11"]].concat()).await;
    on.assert_code(1);
    on.assert_says(&["30 of 40 tasks done", "10 failed"]);
    network.assert_at_rest().await;

    let wrong = network.ask(&home, &[&run[..], &["--halt", "0%"]].concat()).await;
    wrong.assert_code(2);
    wrong.assert_says(&["it must be more than 0"]);
}

#[tokio::test]
async fn a_search_ends_with_its_hit_and_a_miss_is_no_failure() {
    let home = Home::new();
    let path = home.job(
        "[tasks]\nrange = { end = 60 }\n[[steps]]\nrun = \"test {{ task }} -eq 20 && echo HIT {{ task }}\"\n\
         [limits]\nworkers = 2\nno_result_on = 1\nstop_when = \"stdout matches '^HIT'\"\n",
    );
    let ended = home.run(&path, &["--json"]).await;
    ended.assert_code(0);
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let with = |status: &str| lines.iter().filter(|line| line["status"] == status).collect::<Vec<_>>();
    assert_eq!(with("done").len(), 1);
    assert_eq!((&with("done")[0]["task"], &with("done")[0]["stdout"]), (&20.into(), &"HIT 20\n".into()));
    let summary = lines.last().unwrap();
    assert_eq!(summary["why"], "results_reached");
    assert_eq!(summary["tasks"]["no_result"], with("no_result").len());
    assert!(with("no_result").len() >= 20, "{summary}");
    assert_eq!(summary["tasks"]["failed"], 0);
    assert!(!ended.err.contains("gets no tasks for"), "nobody is set back: {}", ended.err);
    ended.assert_says(&[" of them without a result"]);
    let kept = home.kept().await;
    kept.assert_settled();
    assert!(attempts(&kept).iter().all(|attempts| *attempts <= 1), "a miss isn't tried again");

    let ask = |words: &[&str]| {
        let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
        command.args(words);
        Running::start(command)
    };
    let results = ask(&["results"]).end().await;
    assert_eq!(results.out.lines().count(), 1);
    results.assert_says(&["1 result written; ", " without a result"]);
    let all = ask(&["results", "--all", "--format", "csv"]).end().await;
    assert!(all.out.lines().filter(|line| line.contains(",no_result,")).count() >= 20, "{}", all.out);
    // It is what was looked for: nothing more is wanted.
    let id = summary["run"].as_str().unwrap();
    let over = home.run(&path, &["--run-id", id]).await;
    over.assert_code(0);
    over.assert_says(&["nothing is left to do"]);
}

#[tokio::test]
async fn a_run_ends_with_an_exit_code_and_with_so_many_results() {
    let home = Home::new();
    let path = codes(&home, 200, "stop_when = \"exit code is 7\"\nno_result_on = \"1-255\"");
    // A code can't mean both.
    let both = home.run(&path, &[]).await;
    both.assert_code(2);
    both.assert_says(&["exit code 7 is in `no_result_on` already"]);
    let path = codes(&home, 200, "stop_when = \"exit code is 7\"\nno_result_on = [\"1-6\", \"8-255\"]");
    let ended = home.run(&path, &[]).await;
    ended.assert_code(0);
    assert!(ended.results().iter().any(|(task, _)| *task == 7), "{}", ended.out);
    assert!(home.kept().await.tasks.len() < 200 || home.kept().await.summary.tasks.unfinished() > 0);

    let home = Home::new();
    let path = home.job(
        "[tasks]\nrange = { end = 50 }\n[[steps]]\nrun = \"test $(({{ task }} % 10)) -eq 0 && echo {{ task }}\"\n\
         [limits]\nno_result_on = 1\nresults = 3\n",
    );
    let ended = home.run(&path, &[]).await;
    ended.assert_code(0);
    assert_eq!(ended.results(), [(0, "0"), (10, "10"), (20, "20")]);
}
