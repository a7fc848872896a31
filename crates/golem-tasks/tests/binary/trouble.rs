//! Runs that can't do what was asked of them, and how they say it.

use std::fmt::Write as _;

use golem_core::event::FailureKind;
use golem_tasks::store::TaskStatus;
use serde_json::Value;

use crate::stage::{Home, Running, processes};

const TWO_TASKS: &str = "[tasks]\nvalues = [1, 2]\n[[steps]]\nrun = \"echo {{ task }}\"\n";

#[tokio::test]
async fn a_task_that_fails_everywhere_is_shown_and_the_others_are_done() {
    let home = Home::new();
    let job = home.job(
        "[tasks]\nrange = { end = 6 }\n[[steps]]\n\
         run = \"[ {{ task }} != 4 ] || { echo no such luck >&2; exit 3; }; echo {{ task }}\"\n\
         [limits]\nretries = 2\n",
    );
    let ended = home.run(&job, &[]).await;
    ended.assert_code(1);
    assert_eq!(ended.results(), [(0, "0"), (1, "1"), (2, "2"), (3, "3"), (5, "5")]);
    ended.assert_says(&[
        "5 of 6 tasks done, 1 failed",
        "Failed tasks:\n  task 4, attempt 3, on ",
        // Where others ran on the same machine before, that is said as well.
        "exited with code 3",
        "\n    | no such luck\n",
    ]);
    let kept = home.kept().await;
    let failed = &kept.tasks[4];
    assert_eq!(
        (failed.status, failed.attempts, failed.stderr.as_text().unwrap()),
        (TaskStatus::Failed, 3, "no such luck\n")
    );
    assert_eq!(failed.failure.as_ref().unwrap().kind, FailureKind::CommandFailed);
    kept.assert_settled();

    let ended = home.run(&job, &["--json", "--retries", "0"]).await;
    ended.assert_code(1);
    let lines = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let failed: Vec<_> = lines.filter(|line| line["status"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{}", ended.out);
    assert_eq!((&failed[0]["task"], &failed[0]["attempt"]), (&4.into(), &1.into()));
    assert_eq!(failed[0]["failure"]["kind"], "command_failed");
    assert_eq!(failed[0]["stderr"], "no such luck\n");
}

#[tokio::test]
async fn a_step_that_takes_too_long_expires_and_its_process_is_gone() {
    let home = Home::new();
    let mark = format!("30.{:07}1", std::process::id());
    let job = home.job(&format!(
        "[tasks]\nvalues = [0]\n[[steps]]\nrun = \"sleep {mark}\"\ntimeout = \"1s\"\n[limits]\nretries = 1\n"
    ));
    let mut running = home.start(&job, &[]);
    running.says("ready to work").await;
    let ended = running.end().await;
    ended.assert_code(1);
    ended.assert_says(&[
        "task 0 failed on ",
        "will be retried: step 1 ran into its limit of 1s",
        "task 0 failed for good at attempt 2: step 1 ran into its limit of 1s",
    ]);
    assert_eq!(processes(&mark), Vec::<String>::new());
    let kept = home.kept().await;
    assert_eq!(kept.tasks[0].failure.as_ref().unwrap().kind, FailureKind::Expired);
    // The provider that was still at it isn't asked again.
    assert_eq!(kept.rentals.len(), 2, "{:?}", kept.rentals);
    kept.assert_settled();
}

#[tokio::test]
async fn providers_that_are_all_too_dear_are_counted_with_the_reason() {
    let home = Home::new();
    let job = home.job(TWO_TASKS);
    for style in [&[][..], &["--quiet"]] {
        let flags = [&["--max-price-per-hour", "0.0001", "--idle-timeout", "2s"], style].concat();
        let ended = home.run(&job, &flags).await;
        ended.assert_code(3);
        ended.assert_says(&[
            "0 of 2 tasks done, 2 unfinished",
            "Why nothing ran:\n  2 tasks waiting",
            "3 offers seen, the cheapest asks 0.127 GLM an hour",
            "Offers refused by us:\n  3× above the cap of 0.0001 GLM an hour",
        ]);
        let kept = home.kept().await;
        assert!(kept.rentals.is_empty() && kept.summary.cost.is_zero());
    }
    // Another process explains it from the database.
    let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    command.arg("explain");
    let explained = Running::start(command).end().await;
    explained.assert_code(0);
    let (seen, advice) =
        ("seen        3\nfitting     0  3 refused by us", "try: raise max_price_per_hour from 0.0001 to ");
    assert!(explained.out.contains(seen) && explained.out.contains(advice), "{}", explained.out);
}

#[tokio::test]
async fn a_budget_that_is_too_small_says_what_is_needed() {
    let home = Home::new();
    let job = home.job(TWO_TASKS);
    for style in [&[][..], &["--quiet"]] {
        let ended = home.run(&job, &[&["--budget", "0.000001"], style].concat()).await;
        ended.assert_code(4);
        ended.assert_says(&[
            "The run ended early: the budget is exhausted",
            "Why no more was bought:\n",
            "0.000001 GLM of the budget are left, too little for one more agreement, which needs 0.00",
        ]);
        assert!(home.kept().await.rentals.is_empty());
    }
}

#[tokio::test]
async fn a_source_that_breaks_in_the_middle_is_named_with_its_line() {
    const GOOD: usize = 700;
    let home = Home::new();
    let mut lines = String::new();
    for n in 0..GOOD {
        writeln!(lines, "{{\"n\":{n}}}").unwrap();
    }
    lines.push_str("{\"n\":\n{\"n\":0}\n");
    home.write("tasks.jsonl", &lines);
    let job = home.job("[tasks]\njsonl = \"tasks.jsonl\"\n[[steps]]\nrun = [\"echo\", \"{{ task.n }}\"]\n");
    for style in [&[][..], &["--quiet"]] {
        let ended = home.run(&job, style).await;
        ended.assert_code(7);
        let place =
            format!("error: the tasks can't be read: {}:{}: ", home.path("tasks.jsonl").display(), GOOD + 1);
        ended.assert_says(&[&place, "not a JSON value", "\n  try: ", "The run ended early"]);
        let kept = home.kept().await;
        kept.assert_settled();
        let results = ended.results();
        assert!(!results.is_empty() && results.len() as u64 == kept.summary.tasks.done);
        for (task, text) in results {
            assert_eq!(text, task.to_string());
        }
    }
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused() {
    let home = Home::new();
    let job = home.job(TWO_TASKS);
    std::fs::create_dir_all(home.database().parent().unwrap()).unwrap();
    std::fs::write(home.database(), "").unwrap();
    home.store().await.close().await;
    let pool = home.pool().await;
    let step = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                VALUES (9001, 'from the future', TRUE, x'00', 1)";
    sqlx::query(step).execute(&pool).await.unwrap();
    pool.close().await;
    let ended = home.run(&job, &[]).await;
    ended.assert_code(6);
    ended.assert_says(&[
        "error: the runs at ",
        "newer version of golem-tasks",
        "\n  try: update golem-tasks",
    ]);
    assert_eq!((ended.out.as_str(), home.n_runs().await), ("", 0));
}

#[tokio::test]
async fn a_database_that_is_none_is_refused() {
    let home = Home::new();
    let job = home.job(TWO_TASKS);
    home.write("runs.db", "this is a letter to my aunt, and no database at all\n".repeat(100));
    let dsn = format!("sqlite:{}", home.path("runs.db").display());
    let ended = home.run(&job, &["--dsn", &dsn]).await;
    ended.assert_code(6);
    assert_eq!(ended.err.matches("error: ").count(), 1, "{}", ended.err);
    ended.assert_says(&[&home.path("runs.db").display().to_string()]);
    assert!(home.read("runs.db").starts_with(b"this is a letter"));
}

#[tokio::test]
async fn a_set_up_that_fails_everywhere_is_why_nothing_ran() {
    let home = Home::new();
    let job = home.job(&format!("{TWO_TASKS}[[setup]]\nrun = \"echo no such tool >&2; exit 9\"\n"));
    let ended = home.run(&job, &["--quiet", "--idle-timeout", "4s"]).await;
    ended.assert_code(3);
    ended.assert_says(&[
        "0 of 2 tasks done, 2 unfinished",
        "Agreements and activities that failed:\n",
        "set-up failed: step 1 (`echo no such tool >&2; exit 9`) exited with code 9: no such tool",
    ]);
    home.kept().await.assert_settled();
}

#[tokio::test]
async fn quiet_json_leaves_standard_error_to_errors() {
    let home = Home::new();
    let job =
        home.job("[tasks]\nvalues = [0, 1]\n[[steps]]\nrun = \"exit {{ task }}\"\n[limits]\nretries = 0\n");
    let ended = home.run(&job, &["--json", "--quiet"]).await;
    ended.assert_code(1);
    assert_eq!(ended.err, "");
    let lines = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let kinds: Vec<_> = lines.map(|line| line["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["run", "result", "result", "summary"]);
}

#[tokio::test]
async fn output_that_cannot_be_written_is_told_once_and_the_run_goes_on() {
    let home = Home::new();
    let job = home.job(TWO_TASKS);
    for style in ["--quiet", "--json"] {
        let mut command = home.command(&job, ["--devnet", "--devnet-seed", "7", style]);
        command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let ended = command.spawn().unwrap().wait_with_output().await.unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(7), "{told}");
        assert_eq!(told.matches("error: standard output can't be written").count(), 1, "{told}");
        assert_eq!(told.matches("No space left on device").count(), 1, "{told}");
        let kept = home.kept().await;
        assert_eq!(kept.summary.tasks.done, 2);
        kept.assert_settled();
    }
}
