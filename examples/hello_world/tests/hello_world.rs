//! The first job, run as its reader would run it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what goes wrong here is a failed test")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use golem_tasks::golem_sdk::event::StopReason;
use golem_tasks::store::{Dsn, RunSummary, Store};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn dsn(&self) -> String {
        format!("sqlite:{}", self.0.path().join("runs.db").display())
    }

    fn start(&self, flags: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_hello-world"))
            .args(["run", "--devnet", "--run-id", "hello", "--dsn", &self.dsn()])
            .args(flags)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn summary(&self) -> RunSummary {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = Store::open(&Dsn::parse(&self.dsn()).unwrap()).await.unwrap();
            let summary = store.run_summary("hello").await.unwrap();
            store.close().await;
            summary
        })
    }
}

#[test]
fn it_counts_as_far_as_is_wanted() {
    let home = Home::new();
    let ended = home.start(&["--results", "10"]).wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.contains("10 of 10 tasks done in"), "{said}");
    let printed = String::from_utf8(ended.stdout).unwrap();
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    let expected: Vec<_> = (0..10).map(|n| format!("{n}\tHello, this is task {n}")).collect();
    assert_eq!(lines, expected);
    assert_eq!(home.summary().ended.unwrap().end.why, StopReason::ResultsReached);
}

#[test]
fn it_counts_for_ever_until_ctrl_c() {
    let home = Home::new();
    let mut child = home.start(&["--quiet"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..30 {
        assert!(lines.next().unwrap().unwrap().contains("\tHello, this is task "));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest = lines.count() as u64;
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("The run ended early: it was cancelled"), "{said}");
    let summary = home.summary();
    assert_eq!((summary.tasks.done, summary.tasks.failed, summary.unsettled), (30 + rest, 0, 0));
    assert!(said.contains(&format!("\n{} tasks done, ", summary.tasks.done)), "{said}");
}
