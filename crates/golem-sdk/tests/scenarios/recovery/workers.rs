//! Workers of all kinds, run again from their beginning.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use golem_core::event::{EventKind, TaskOutput};
use golem_devnet::node::Delays;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::{Tasks, WorkContext, Worker, WorkerError};
use tokio::time::sleep;

use super::lives::{Death, Lives};
use crate::books::{assert_books_closed, assert_results};
use crate::stage::{Stage, honest, secs};

/// How a worker goes about its scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Two commits a task.
    Commits,
    /// The same, followed as they happen.
    Streams,
    /// Never the same script twice.
    Whims,
}

/// Does a task in two scripts, after setting itself up in one.
#[derive(Debug)]
struct Stepper {
    manner: Manner,
    whim: AtomicU64,
}

impl Stepper {
    async fn step(&self, ctx: &WorkContext, program: &str, n: u64) -> Result<String, WorkerError> {
        let mut ctx = ctx.clone();
        let whim = match self.manner {
            Manner::Whims => self.whim.fetch_add(1, Ordering::Relaxed),
            Manner::Commits | Manner::Streams => 0,
        };
        let command = ctx.run(program, [n.to_string(), whim.to_string()]);
        let done = match self.manner {
            Manner::Streams => ctx.commit_streamed(secs(60)).finish().await?,
            Manner::Commits | Manner::Whims => ctx.commit(secs(60)).await?,
        };
        Ok(done[command].stdout().into_owned())
    }
}

impl Worker for Stepper {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            let mut own = ctx.clone();
            own.run("prepare", [""; 0]);
            own.commit(secs(60)).await?;
            while let Some(task) = tasks.next().await {
                let n = task.index();
                self.step(ctx, "begin", n).await?;
                let stdout = self.step(ctx, "work", n).await?;
                task.done(TaskOutput { stdout: stdout.into(), ..TaskOutput::default() }).await;
            }
            Ok(())
        })
    }
}

type Runs = Arc<Mutex<HashMap<(String, u64), u32>>>;

fn counting() -> (ScriptedRuntime, Runs) {
    let runs = Runs::default();
    let counted = Arc::clone(&runs);
    let runtime = ScriptedRuntime::new().when(move |program, args| {
        let n: u64 = args.first()?.parse().ok()?;
        *counted.lock().unwrap().entry((program.to_owned(), n)).or_default() += 1;
        Some(ScriptedAnswer::ok().taking(secs(3)).stdout((n * 7).to_string()))
    });
    (runtime, runs)
}

/// The number of attempts that continued, over many moments of death.
async fn dies_at_any_moment(manner: Manner) -> u64 {
    let mut went_on = 0;
    for tenths in (11..).step_by(9) {
        let (runtime, runs) = counting();
        let mut stage = Stage::with_runtime(runtime, ["ada", "bob"].map(honest)).tasks(6);
        stage.devnet = stage.devnet.delays(Delays::real());
        let stage = stage.worker(Stepper { manner, whim: AtomicU64::new(0) });
        let lives = Lives::of(stage.configured(|config| config.workers = 2)).await;
        let death = Death::After(Duration::from_millis(tenths * 100));
        if lives.live(Some(death)).await.is_some() {
            return went_on;
        }
        sleep(secs(1)).await;
        let end = lives.live(None).await.unwrap().unwrap();
        let shown = || format!("{manner:?} {tenths} {:#?}", lives.kept.events());
        assert_eq!((end.done, end.failed), (6, 0), "{}", shown());
        let blamed = |kind: &EventKind| {
            matches!(kind, EventKind::AttemptFailed { .. } | EventKind::ProviderSetBack { .. })
        };
        assert_eq!(lives.count(blamed), 0, "nobody is to blame: {}", shown());
        let cancelled = lives.count(|kind| matches!(kind, EventKind::AttemptCancelled { .. }));
        if manner != Manner::Whims && cancelled == 0 {
            let runs = runs.lock().unwrap();
            assert!(runs.values().all(|times| *times == 1), "{runs:?} {}", shown());
        }
        let resumed = lives.kept.events().iter().find_map(|event| match &event.kind {
            EventKind::RunResumed { resumed } => Some(*resumed),
            _ => None,
        });
        went_on += resumed.unwrap().running.saturating_sub(cancelled as u64);
        let played = lives.played(end);
        assert_results(&played);
        assert_books_closed(&played).await;
    }
    went_on
}

#[tokio::test(start_paused = true)]
async fn scripts_of_a_task_are_gone_on_with_one_after_the_other() {
    let went_on = dies_at_any_moment(Manner::Commits).await;
    assert!(went_on > 20, "only {went_on} attempts went on");
}

#[tokio::test(start_paused = true)]
async fn scripts_that_were_followed_as_they_happened_are_followed_again() {
    let went_on = dies_at_any_moment(Manner::Streams).await;
    assert!(went_on > 20, "only {went_on} attempts went on");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_something_else_this_time_gets_another_activity() {
    dies_at_any_moment(Manner::Whims).await;
}
