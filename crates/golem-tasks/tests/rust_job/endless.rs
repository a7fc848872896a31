//! Piles without end: they go on until somebody has enough, in constant memory.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use golem_devnet::devnet::Devnet;
use golem_devnet::runtime::ScriptedRuntime;
use libtest_mimic::Trial;
use rustix::process::Signal;
use tokio::process::Command;

use crate::programs::program;
use crate::stage::{Home, PATIENCE, signal, wait_until};
use crate::trial;

/// Tasks that are done before memory is measured for the first time, when caches have filled, and in all.
const WARM: usize = 40_000;
const TASKS: usize = 110_000;
/// What may be added meanwhile, in KiB: less than the tasks would take at a hundred bytes each.
const GROWTH: u64 = 6 << 10;

const JOB: &str = "[payload]\nruntime = \"vm\"\nimage_url = \"http://registry.invalid/image\"\n\
    image_hash = \"9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae\"\n\
    [tasks]\nrange = { start = 7, step = 3 }\n[[steps]]\nrun = \"task {{ task }}\"\n";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_job_in_rust_counts_for_ever_in_constant_memory",
            a_job_in_rust_counts_for_ever_in_constant_memory,
        ),
        trial("a_job_file_counts_for_ever_in_constant_memory", a_job_file_counts_for_ever_in_constant_memory),
    ]
}

async fn a_job_in_rust_counts_for_ever_in_constant_memory() {
    let home = Home::new();
    counts_for_ever(&home, program(&home, "endless", &["run"])).await;
}

async fn a_job_file_counts_for_ever_in_constant_memory() {
    let home = Home::new();
    home.write("job.toml", JOB);
    counts_for_ever(&home, home.command(&home.path("job.toml"), [""; 0])).await;
}

/// Watches the program on providers that answer at once, and stops it by Ctrl+C.
async fn counts_for_ever(home: &Home, mut command: Command) {
    let devnet =
        Devnet::builder().providers(4).seed(1).runtime(ScriptedRuntime::new()).start().await.unwrap();
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let (out, err) = (home.path("out"), home.path("err"));
    let mut child = command
        .args(["--workers", "4", "--budget", "100"])
        .env("YAGNA_API_URL", format!("http://{address}"))
        .env("YAGNA_APPKEY", devnet.requestor().key.expose())
        .stdout(Stdio::from(File::create(&out).unwrap()))
        .stderr(Stdio::from(File::create(&err).unwrap()))
        .spawn()
        .unwrap();
    let id = child.id().unwrap();
    let mut has_done = |tasks: usize| {
        assert!(child.try_wait().unwrap().is_none(), "it ended: {}", std::fs::read_to_string(&err).unwrap());
        lines(&out) >= tasks
    };
    wait_until("the first tasks are done", || has_done(WARM)).await;
    let before = memory(id);
    wait_until("all tasks are done", || has_done(TASKS)).await;
    let after = memory(id);
    assert!(after < before + GROWTH, "it had {before} KiB with {WARM} tasks, and has {after} with {TASKS}");

    signal(id, Signal::INT);
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    let said = std::fs::read_to_string(&err).unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    let kept = home.kept().await;
    kept.assert_settled();
    let done = kept.summary.tasks.done;
    assert_eq!(done, lines(&out) as u64, "what is printed is what is kept");
    assert!(said.contains(&format!("\n{done} tasks done, ")), "{said}");
    assert!(said.contains("The run ended early: it was cancelled"), "{said}");
    assert_eq!(kept.summary.tasks.failed, 0, "{said}");
    devnet.stop().await;
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
}

/// What the process has in memory now, in KiB.
fn memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
