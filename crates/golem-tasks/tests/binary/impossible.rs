//! Tasks that no machine could do: found by `check` and by `run` before anything is bought, or when its turn comes, once.

use std::fmt::Write as _;

use golem_core::event::FailureKind;
use golem_tasks::store::TaskStatus;

use crate::stage::{Ended, Home, Running};

/// One byte more than Linux gives a program in one argument.
const TOO_LONG: usize = 131_072;

async fn check(home: &Home) -> Ended {
    let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    command.arg("check").arg(home.path("job.toml"));
    Running::start(command).end().await
}

/// Asserts that both commands refuse the job in these words, and that nothing is bought.
async fn assert_refused(home: &Home, job: &str, says: &[&str]) {
    let job = home.job(job);
    for ended in [check(home).await, home.run(&job, &[]).await] {
        ended.assert_code(2);
        ended.assert_says(says);
        assert!(ended.err.lines().all(|line| line.len() < 1000), "a line of {}", ended.err.len());
    }
    assert!(!home.database().exists() || home.n_runs().await == 0);
}

#[tokio::test]
async fn an_argument_that_no_program_can_be_given_is_found_with_its_lines_and_the_way_out() {
    let home = Home::new();
    let long = "x".repeat(TOO_LONG);
    home.write("l.txt", format!("a\n\nb\n{long}\n"));
    let place = format!("({}:4)", home.path("l.txt").display());
    let says = |label: &str| format!("line 7, step 1 `{label}`, task 2: it has 131");
    let tasks = "[tasks]\nlines = \"l.txt\"\n[[steps]]\n";
    for (run, label) in [("\": {{ task }}\"", "run"), ("[\"echo\", \"{{ task }}\"]", "run[1]")] {
        let says = [
            "task 2, \"xxxx",
            &place,
            &says(label),
            "at most 131071",
            "\n  try: put what is long",
            "upload_text",
        ];
        assert_refused(&home, &format!("{tasks}run = {run}\n"), &says).await;
    }

    // As long as it may be.
    home.write("l.txt", format!("a\n{}\n", "x".repeat(TOO_LONG - 3)));
    let job = home.job(&format!("{tasks}run = \": {{{{ task }}}}\"\n"));
    check(&home).await.assert_code(0);
    home.run(&job, &[]).await.assert_code(0);
}

#[tokio::test]
async fn a_script_that_no_daemon_takes_is_found_with_its_lines_and_the_way_out() {
    let home = Home::new();
    home.write("l.txt", format!("a\n{}\n", "x".repeat(120_000)));
    let args = "\"{{ task }}\", ".repeat(18);
    let place = format!("({}:2)", home.path("l.txt").display());
    let says =
        ["task 1, \"xxxx", &place, "line 9, step 2 `run[0]`", "at most 2097152 at once", "upload_text"];
    let job = format!(
        "[tasks]\nlines = \"l.txt\"\n[[steps]]\nrun = \"true\"\n[[steps]]\nrun = [\"echo\", {args}]\n"
    );
    assert_refused(&home, &job, &says).await;
    // Steps with scripts of their own are no trouble.
    let half = "\"{{ task }}\", ".repeat(10);
    let step = format!("[[steps]]\nrun = [\"test\", \"-n\", {half}]\n");
    let job = |timeout| format!("[tasks]\nlines = \"l.txt\"\n{step}{timeout}{step}");
    home.job(&job("timeout = \"1m\"\n"));
    check(&home).await.assert_code(0);
    assert_refused(&home, &job(""), &["at most 2097152 at once"]).await;
    // Nor is a set-up that can't be sent bought.
    let long = "y".repeat(120_000);
    let setup = format!("[[setup]]\nrun = [\"echo\", {}]\n", format!("\"{long}\", ").repeat(18));
    let job = format!("[tasks]\nvalues = [1]\n[[steps]]\nrun = \"true\"\n{setup}");
    assert_refused(&home, &job, &["job.toml:9:8: the commands of the steps have 21", "2097152"]).await;
}

#[tokio::test]
async fn zero_bytes_and_names_that_are_too_long_are_found() {
    let home = Home::new();
    home.write("in", "");
    let long = "n".repeat(256);
    let upload = |to: &str| format!("upload = {{ from = \"in\", to = \"/golem/work/{to}\" }}");
    let download = |to: &str| format!("download = {{ from = \"/golem/work/x\", to = \"{to}\" }}");
    for (bad, step, says) in [
        ("b\\u0000", "run = \"echo {{ task }}\"".to_owned(), "step 1 `run`, task 1: it holds a zero byte"),
        ("b\\u0000", "run = [\"echo\", \"{{ task }}\"]".to_owned(), "it holds a zero byte"),
        ("b\\u0000", upload("{{ task }}"), "step 1 `upload.to`, task 1: the path holds a zero byte"),
        ("b\\u0000", download("{{ task }}"), "step 1 `download.to`, task 1: the path holds a zero byte"),
        (&long, upload("{{ task }}"), "a name in the path has 256 bytes, and a name has at most 255"),
        (&long, download("{{ task }}"), "a name in the path has 256 bytes, and a name has at most 255"),
        (&"a/".repeat(2048), upload("{{ task }}x"), "and a path has at most 4095"),
    ] {
        let job = format!("[tasks]\nvalues = [\"a\", \"{bad}\"]\n[[steps]]\n{step}\n");
        assert_refused(&home, &job, &[says, "(item 2 of `values`)", "\n  try: "]).await;
    }
}

#[tokio::test]
async fn an_upload_that_cant_be_read_is_found_wherever_its_task_is() {
    let home = Home::new();
    std::fs::create_dir(home.path("in")).unwrap();
    std::fs::create_dir(home.path("in/folder")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(home.path("in/pipe")).status().unwrap();
    assert!(fifo.success());
    let upload = "[[steps]]\nupload = { from = \"in/{{ task }}\", to = \"/golem/work/in\" }\n";
    let mut list = String::new();
    for n in 0..300 {
        writeln!(list, "{n}").unwrap();
        home.write(&format!("in/{n}"), "");
    }
    std::fs::remove_file(home.path("in/250")).unwrap();
    home.write("l.txt", &list);
    let place = format!("({}:251)", home.path("l.txt").display());
    let says =
        ["task 250, \"250\"", &place, "line 7, step 1 `upload.from`, task 250", "can't be uploaded: No such"];
    assert_refused(&home, &format!("[tasks]\nlines = \"l.txt\"\n{upload}"), &says).await;
    for (name, says) in [("folder", "is a folder: upload an archive"), ("pipe", "is not a regular file")] {
        let job = format!("[tasks]\nvalues = [1, \"{name}\"]\n{upload}");
        assert_refused(&home, &job, &[says, "task 1", "(item 2 of `values`)"]).await;
    }
}

#[tokio::test]
async fn what_wasnt_looked_at_fails_once_when_its_turn_comes_and_sets_nobody_back() {
    let home = Home::new();
    let long = "{% if task == 1200 %}{% for i in range(14000) %}0123456789{% endfor %}{% endif %}";
    let job = home.job(&format!(
        "[tasks]\nrange = {{ start = 0 }}\n[[steps]]\nrun = \": {long}\"\n[limits]\nresults = 1300\nworkers = 2\n"
    ));
    let ended = home.run(&job, &[]).await;
    ended.assert_code(0);
    ended.assert_says(&[
        "task 1200 failed for good at attempt 1: line 7, step 1 `run`, task 1200: it has 140",
    ]);
    let kept = home.kept().await;
    let task = &kept.tasks[1200];
    assert_eq!((task.status, task.attempts), (TaskStatus::Failed, 1));
    assert_eq!(task.failure.as_ref().unwrap().kind, FailureKind::Invalid);
    assert_eq!(kept.tasks.iter().filter(|task| task.status == TaskStatus::Failed).count(), 1);
    assert!(!ended.err.contains("left alone"), "{}", ended.err);
    kept.assert_settled();
}

/// A template that would take years is found like any other mistake, wherever it stands.
#[tokio::test]
async fn a_template_that_never_ends_is_found_with_its_place_and_the_way_out() {
    let home = Home::new();
    let deep = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
    let tasks = "[tasks]\nvalues = [1, 2]\n";
    for (steps, place) in [
        (format!("[[steps]]\nrun = \"echo {deep}\"\n"), "run"),
        (
            format!("[[steps]]\nupload_text = {{ text = \"{deep}\", to = \"/golem/work/a\" }}\n"),
            "upload_text",
        ),
        (format!("[[steps]]\nrun = [\"echo\", \"{deep}\"]\n"), "run = ["),
    ] {
        let says = [place, "too long in the making", "let its loops go over fewer things"];
        assert_refused(&home, &format!("{tasks}{steps}"), &says).await;
    }
}
