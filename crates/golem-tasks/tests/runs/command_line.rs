//! The command line as its users meet it.

use std::fs;
use std::process::{Command, Output};

use golem_tasks::cli;
use tempfile::TempDir;

fn golem_tasks(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_golem-tasks"))
        .args(args)
        .env_remove("YAGNA_APPKEY")
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_help_teaches() {
    insta::assert_snapshot!(cli::help(None).unwrap());
}

#[test]
fn the_help_of_run_teaches() {
    insta::assert_snapshot!(cli::help(Some("run")).unwrap());
}

#[test]
fn the_help_of_what_looks_into_the_database_teaches() {
    let commands = [
        "show",
        "summary",
        "runs",
        "wait",
        "cost",
        "results",
        "errors",
        "providers",
        "cancel",
        "web",
        "report",
    ];
    let helps = commands.map(|command| cli::help(Some(command)).unwrap());
    insta::assert_snapshot!(helps.join("\n--------\n\n"));
    for help in helps {
        assert!(help.contains("--dsn") && help.contains("Examples:\n  golem-tasks "), "{help}");
    }
}

#[test]
fn examples_and_notes_fit_into_a_terminal_of_80_columns() {
    let commands = [
        "run",
        "each",
        "init",
        "completions",
        "man",
        "market",
        "doctor",
        "wait",
        "cost",
        "check",
        "resume",
        "summary",
        "show",
        "runs",
        "results",
        "errors",
        "cancel",
        "settle",
        "providers",
        "web",
        "report",
    ];
    let commands = commands.into_iter().map(Some).chain([None, Some("install"), Some("devnet")]);
    for (command, help) in commands.map(|command| (command, cli::help(command).unwrap())) {
        let Some((_, after)) = help.split_once("\nExamples:\n") else { continue };
        let wide: Vec<_> = after.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{command:?}: {wide:#?}");
    }
}

#[test]
fn what_people_type_most_comes_first_in_the_help_of_run_and_help_itself_last() {
    let help = cli::help(Some("run")).unwrap();
    let place = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text} isn't in {help}"));
    let headings =
        ["\nOptions:", "\nLimits", "\nNetwork and daemon:", "\nResuming", "\nHelp and logs:", "\nExamples:"];
    assert!(headings.map(place).is_sorted(), "{help}");
    assert!(["--devnet\n", "--budget <", "--workers <", "\nLimits"].map(place).is_sorted(), "{help}");
}

#[test]
fn commands_that_people_type_from_habit_are_aliases_of_ours() {
    let of = |command: &str| text(&golem_tasks(&[command, "--help"]).stdout);
    for (alias, command) in [("status", "summary"), ("ls", "runs"), ("list", "runs"), ("stop", "cancel")] {
        assert_eq!(of(alias), of(command), "{alias}");
    }
    let all = cli::help(None).unwrap();
    assert!(["[alias: status]", "[alias: ls]", "[alias: stop]"].iter().all(|alias| all.contains(alias)));
}

#[test]
fn commands_of_other_programs_are_refused_with_what_to_type_instead() {
    for (typed, instead) in [
        ("log", "`logs NAME` the output of a service"),
        ("retry", "`resume --retry-failed`"),
        ("watch", "`show --watch`"),
        ("rm", "`runs rm RUN`"),
        ("version", "`--version`"),
    ] {
        let refused = golem_tasks(&[typed]);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{typed}");
        assert!(
            told.contains(&format!("unrecognized subcommand '{typed}'")) && told.contains(instead),
            "{told}"
        );
    }
    let told = text(&golem_tasks(&["rusn"]).stderr);
    assert!(told.contains("similar subcommand") && told.contains("'run'"), "{told}");
}

#[test]
fn shells_complete_commands_and_every_command_has_a_manual_page() {
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef golem-tasks"), ("fish", "complete -c golem-tasks")]
    {
        let printed = golem_tasks(&["completions", shell]);
        assert_eq!(printed.status.code(), Some(0), "{shell}");
        let script = text(&printed.stdout);
        let all = [mark, "max-price-per-hour", "providers", "each"];
        assert!(all.iter().all(|what| script.contains(what)), "{shell}: {script}");
    }
    let page = text(&golem_tasks(&["man", "run"]).stdout);
    assert!(
        page.contains(".TH golem-tasks-run 1") && page.contains("budget") && page.contains("Examples"),
        "{page}"
    );
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let written = golem_tasks(&["man", "--output", pages.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    for page in ["golem-tasks.1", "golem-tasks-run.1", "golem-tasks-each.1", "golem-tasks-devnet.1"] {
        assert!(pages.join(page).is_file(), "{page}");
    }
    let refused = golem_tasks(&["man", "walk"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("`walk` is not a command"));
}

#[test]
fn help_and_version_go_to_stdout() {
    for args in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let output = golem_tasks(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_wrong_command_line_is_refused_on_stderr() {
    for args in [&["run"][..], &["run", "job.toml", "--nonsense"], &["walk"]] {
        let output = golem_tasks(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_job_file_that_is_missing_or_wrong_is_told_once() {
    let folder = TempDir::new().unwrap();
    let job = folder.path().join("job.toml");
    let job = job.to_str().unwrap();
    for command in [&["check", job][..], &["run", job, "--devnet"]] {
        let output = golem_tasks(command);
        assert_eq!(output.status.code(), Some(2));
        let told = text(&output.stderr);
        assert!(told.starts_with("error: can't read the job file"), "{told}");
        assert!(told.contains("\n  because: No such file"), "{told}");
    }
    fs::write(job, "[payload]\nimage_tag = 7\n").unwrap();
    let output = golem_tasks(&["check", job]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("job.toml:2:") && told.matches("error:").count() == 1, "{told}");
}

#[test]
fn the_example_is_right() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello_world/job.toml");
    let output = golem_tasks(&["check", example]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("tasks    24: the numbers 0 to 23"), "{told}");
    assert!(told.contains("echo -n $(( 0 * 7 ))"), "{told}");
}

#[test]
fn without_a_daemon_key_nothing_is_begun() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello_world/job.toml");
    let output = golem_tasks(&["run", example]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let told = text(&output.stderr);
    assert!(told.contains("YAGNA_APPKEY isn't set") && told.contains("--devnet"), "{told}");
}

#[test]
fn a_log_file_that_cannot_be_written_is_told() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("no/such/folder/log");
    let output = golem_tasks(&["check", "job.toml", "--log-file", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("can't write the log"));
}
