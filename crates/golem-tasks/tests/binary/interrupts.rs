//! Ctrl+C, and the kill that can't be heard.

use std::path::PathBuf;
use std::time::Duration;

use golem_tasks::store::TaskStatus;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};

use crate::stage::{Home, PATIENCE, processes, signal, wait_until};

/// A job that goes on until it is stopped, and what its processes can be known by.
fn endless(home: &Home, mark: &str) -> PathBuf {
    assert!(processes(mark).is_empty(), "`{mark}` is no mark of this test alone");
    home.job(&format!("[tasks]\nrange = {{ end = 60 }}\n[[steps]]\nrun = \"echo begun; sleep {mark}\"\n"))
}

/// A time to sleep that no other process of this machine sleeps.
fn mark(number: u32) -> String {
    format!("3000.{number}{:07}", std::process::id())
}

#[tokio::test]
async fn ctrl_c_ends_and_settles_what_was_begun() {
    let (home, mark) = (Home::new(), mark(1));
    let job = endless(&home, &mark);
    let running = home.start(&job, &[]);
    wait_until("a task runs", || !processes(&mark).is_empty()).await;
    running.interrupt();
    let ended = running.end().await;
    ended.assert_code(130);
    ended.assert_says(&[
        "0 of 60 tasks done, 60 unfinished",
        "The run ended early: it was cancelled",
        "Kept as run",
    ]);
    assert_eq!(processes(&mark), Vec::<String>::new());
    home.kept().await.assert_settled();
}

#[tokio::test]
async fn other_signals_that_ask_for_an_end_count_like_ctrl_c() {
    for (number, first, second) in [(5, Signal::TERM, Signal::HUP), (6, Signal::HUP, Signal::TERM)] {
        let (home, mark) = (Home::new(), mark(number));
        let job = endless(&home, &mark);
        let running = home.start(&job, &[]);
        wait_until("a task runs", || !processes(&mark).is_empty()).await;
        signal(running.id(), first);
        let ended = running.end().await;
        ended.assert_code(130);
        ended.assert_says(&["The run ended early: it was cancelled"]);
        home.kept().await.assert_settled();

        let mut running = home.start(&job, &[]);
        wait_until("a task runs", || !processes(&mark).is_empty()).await;
        signal(running.id(), first);
        running.says("Ctrl+C again leaves at once").await;
        signal(running.id(), second);
        let ended = running.end().await;
        ended.assert_code(130);
        ended.assert_says(&["left at once"]);
        wait_until("every process of it ends", || processes(&mark).is_empty()).await;
    }
}

#[tokio::test]
async fn ctrl_c_keeps_what_is_done_and_lets_running_tasks_finish() {
    let home = Home::new();
    let job = home.job("[tasks]\nrange = { end = 600 }\n[[steps]]\nrun = \"echo {{ task }}; sleep 0.5\"\n");
    let mut running = home.start(&job, &[]);
    running.prints(3).await;
    running.interrupt();
    let ended = running.end().await;
    ended.assert_code(130);
    let kept = home.kept().await;
    kept.assert_settled();
    let done = kept.summary.tasks.done;
    assert!((3..600).contains(&done), "{done}");
    assert_eq!(ended.results().len() as u64, done, "what is printed is what is kept");
    assert_eq!(kept.summary.tasks.running, 0);
}

#[tokio::test]
async fn a_second_ctrl_c_leaves_at_once() {
    let (home, mark) = (Home::new(), mark(2));
    let job = endless(&home, &mark);
    let mut running = home.start(&job, &[]);
    wait_until("a task runs", || !processes(&mark).is_empty()).await;
    running.interrupt();
    running.says("cancelled: running tasks get 5 s").await;
    let before = Instant::now();
    running.interrupt();
    let ended = running.end().await;
    let took = before.elapsed();
    ended.assert_code(130);
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    ended.assert_says(&["left at once", "Kept as run"]);
    wait_until("every process of it ends", || processes(&mark).is_empty()).await;
    // It can be read by whoever resumes it: the tasks and what was bought.
    let kept = home.kept().await;
    assert!(kept.summary.ended.is_none());
    assert_eq!(kept.summary.tasks.done, 0);
    assert!(!kept.rentals.is_empty());
}

#[tokio::test]
async fn ctrl_c_before_any_provider_is_ready_leaves_nothing_open() {
    let (home, mark) = (Home::new(), mark(3));
    let job = endless(&home, &mark);
    for moment in ["demand published", "approved"] {
        let mut running = home.start(&job, &[]);
        running.says(moment).await;
        running.interrupt();
        let ended = running.end().await;
        ended.assert_code(130);
        ended.assert_says(&["The run ended early: it was cancelled"]);
        assert!(!ended.err.contains("ready to work"), "{}", ended.err);
        assert_eq!(ended.out, "");
        let kept = home.kept().await;
        assert_eq!(kept.summary.unsettled, 0, "{}", ended.err);
        assert!(kept.rentals.iter().all(|rental| matches!(rental.status.as_str(), "ended" | "failed")));
        assert_eq!(kept.rentals.is_empty(), moment == "demand published", "{:?}", kept.rentals);
    }
    assert_eq!(processes(&mark), Vec::<String>::new());
}

/// Invariant 4: the process may be killed at any instruction.
#[tokio::test]
async fn invariant_4_what_was_printed_before_a_kill_is_kept_and_the_next_run_works() {
    let home = Home::new();
    let job = home.job("[tasks]\nrange = { end = 600 }\n[[steps]]\nrun = \"echo {{ task }}; sleep 0.02\"\n");
    let mut running = home.start(&job, &["--run-id", "killed"]);
    running.prints(20).await;
    running.kill();
    let killed = running.end().await;
    assert_eq!(killed.code, None, "it was killed by a signal");
    let kept = home.kept().await;
    assert!(kept.summary.ended.is_none() && !kept.rentals.is_empty());
    let printed = killed.results();
    assert!(printed.len() >= 20);
    for (task, text) in printed {
        let row = &kept.tasks[usize::try_from(task).unwrap()];
        assert_eq!((row.status, row.stdout.to_text().trim_end()), (TaskStatus::Done, text), "task {task}");
    }

    let job = home.job("[tasks]\nvalues = [1]\n[[steps]]\nrun = \"echo {{ task }}\"\n");
    home.run(&job, &["--run-id", "next"]).await.assert_code(0);
    assert_eq!(home.n_runs().await, 2);
}

#[tokio::test]
async fn ctrl_c_is_heard_while_nobody_reads_the_output() {
    let home = Home::new();
    // More than a pipe holds, so that the program can't go on printing.
    let job = home.job("[tasks]\nrange = { end = 600 }\n[[steps]]\nrun = \"head -c 60000 /dev/zero | tr '\\\\0' x; sleep 0.2\"\n");
    let mut command = home.command(&job, ["--devnet", "--devnet-seed", "7"]);
    let mut child = command.spawn().unwrap();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    wait_until("results are kept that can't be printed", || {
        std::fs::metadata(home.database().with_extension("db-wal")).is_ok_and(|log| log.len() > 600_000)
    })
    .await;
    signal(child.id().unwrap(), Signal::INT);
    let pool = home.pool().await;
    timeout(PATIENCE, async {
        let mut ended = 0;
        while ended == 0 {
            sleep(Duration::from_millis(50)).await;
            let query = sqlx::query_scalar("SELECT count(*) FROM runs WHERE status = 'ended'");
            ended = query.fetch_one(&pool).await.unwrap();
        }
    })
    .await
    .expect("the run is stopped though its display is stuck");
    pool.close().await;
    drop((out, err));
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(130));
    home.kept().await.assert_settled();
}
