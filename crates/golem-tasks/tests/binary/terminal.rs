//! Words of strangers, on a terminal and in a pipe.

use golem_tasks::store::TaskStatus;

use crate::stage::{Home, Running};

/// Sets a terminal's title, and may do worse.
const STEERS: &str = "\u{1b}]0;stolen\u{7}";

/// Runs the program on a terminal of its own, and gives what it showed there.
async fn on_a_terminal(home: &Home, arguments: &[&str]) -> String {
    let words = std::iter::once(env!("CARGO_BIN_EXE_golem-tasks")).chain(arguments.iter().copied());
    let line: Vec<_> = words.map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    let mut command = home.program("script");
    command.args(["-qec", &line.join(" "), "/dev/null"]).env("TERM", "xterm").env("COLUMNS", "200");
    Running::start(command).end().await.out
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_that_was_printed_or_named_steers_a_terminal_and_a_pipe_gets_the_bytes() {
    let home = Home::new();
    let job = home.job(
        "[tasks]\nvalues = [\"\\u001b]0;stolen\\u0007\", \"fails\"]\n[[steps]]\n\
         run = '''printf '\\033]0;stolen\\007of {{ index }}'; \
         [ {{ index }} = 0 ] || { printf '\\033]0;stolen\\007' >&2; exit 3; }'''\n[limits]\nretries = 0\n",
    );
    let path = job.to_str().unwrap();
    let run = on_a_terminal(&home, &["run", path, "--devnet", "--devnet-seed", "7"]).await;
    assert!(run.contains("stolen") && run.contains("1 of 2 tasks done"), "{run}");
    assert!(!run.contains(STEERS), "{run:?}");
    for command in [
        &["check", path][..],
        &["results"],
        &["results", "--format", "csv"],
        &["errors"],
        &["errors", "--all"],
        &["summary"],
        &["show"],
        &["providers"],
        &["explain"],
        &["explain", "1"],
        &["runs"],
    ] {
        let shown = on_a_terminal(&home, command).await;
        assert!(shown.lines().count() > 1 || shown.contains("stolen"), "{command:?}: {shown}");
        assert!(!shown.contains('\u{7}') && !shown.contains("\u{1b}]"), "{command:?}: {shown:?}");
    }
    let kept = home.kept().await;
    let printed = format!("{STEERS}of 0");
    assert_eq!(kept.tasks[0].status, TaskStatus::Done);
    let ended = home.run(&job, &[]).await;
    assert!(ended.out.contains(&printed), "{:?}", ended.out);
}
