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

/// The view leaves the terminal as it found it, whoever ends it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn top_needs_a_terminal_and_leaves_it_as_it_was() {
    let home = Home::new();
    let job = home.job("[tasks]\nvalues = [\"one\"]\n[[steps]]\nrun = \"echo {{ task }}\"\n");
    home.run(&job, &["--run-id", "seen"]).await.assert_code(0);
    let program = env!("CARGO_BIN_EXE_golem-tasks");
    let mut command = home.program(program);
    command.arg("top");
    let refused = Running::start(command).end().await;
    refused.assert_code(2);
    refused.assert_says(&["`top` needs a terminal", "show --watch"]);

    // The terminal's size, and its settings before and after.
    let line = format!("stty cols 80 rows 24; stty -g; {program} top; echo; echo code $?; stty -g");
    let mut command = home.program("script");
    command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").stdin(std::process::Stdio::piped());
    let mut running = Running::start(command);
    let mut keys = running.input();
    running.hears("1 of 1 done").await;
    tokio::io::AsyncWriteExt::write_all(&mut keys, b"q").await.unwrap();
    running.hears("code 0").await;
    drop(keys);
    let shown = running.end().await.out;
    assert!(shown.contains("\u{1b}[?1049h") && shown.contains("\u{1b}[?1049l"), "{shown:?}");
    let settings: Vec<_> = shown
        .lines()
        .map(str::trim)
        .filter(|line| line.matches(':').count() > 10 && !line.contains(' '))
        .collect();
    assert!(settings.len() == 2 && settings[0] == settings[1], "{shown:?}");
}
