//! Files that are on their way when the process dies.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use golem_core::event::{EventKind, TaskOutput};
use golem_devnet::node::Delays;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::{ExecutionEnd, Script, Source, Tasks, WorkContext, Worker, WorkerError};
use tempfile::TempDir;
use tokio::time::sleep;

use super::lives::{Death, Lives};
use crate::books::{assert_books_closed, assert_results};
use crate::stage::{Stage, honest, secs};

const SIZE: usize = 300_000;

fn content(n: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(n);
    (0..SIZE).map(|_| random.u8(..)).collect()
}

/// Sends a file, lets a command have it for a while, and takes it home twice.
#[derive(Debug)]
struct Porter {
    folder: TempDir,
    committed: bool,
}

impl Porter {
    fn new(committed: bool) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), committed }
    }

    fn home(&self, n: u64) -> PathBuf {
        self.folder.path().join(format!("{n}.out"))
    }

    async fn execute(&self, ctx: &WorkContext, n: u64) -> Result<Bytes, WorkerError> {
        let script = Script::new()
            .upload(Source::Bytes(content(n)), format!("/golem/input/{n}"))
            .run("work", [n.to_string()])
            .download_bytes(format!("/golem/input/{n}"), 1 << 20)
            .download_file(format!("/golem/input/{n}"), self.home(n));
        let execution = ctx.execute(script, secs(600)).await?;
        assert_eq!(execution.end, ExecutionEnd::Done, "{n}: {:?}", execution.results);
        assert_eq!(execution.results.len(), 4);
        Ok(execution.download(2).unwrap().clone())
    }

    async fn commit(&self, ctx: &WorkContext, n: u64) -> Result<Bytes, WorkerError> {
        let mut ctx = ctx.clone();
        let (from, to) = (format!("/golem/input/{n}"), self.home(n));
        ctx.send_bytes(content(n), from.clone());
        let work = ctx.run("work", [n.to_string()]);
        let bytes = ctx.download_bytes(from.clone(), 1 << 20);
        let file = ctx.download_file(from, &to);
        let done = ctx.commit(secs(600)).await?;
        assert_eq!(done[work].stdout(), (n * 7).to_string());
        assert_eq!(done.file(file)?, to);
        Ok(done.bytes(bytes)?.clone())
    }
}

impl Worker for Porter {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                let n = task.index();
                let bytes =
                    if self.committed { self.commit(ctx, n).await? } else { self.execute(ctx, n).await? };
                assert!(bytes == content(n), "{n}: something else came home");
                assert!(std::fs::read(self.home(n)).unwrap() == content(n), "{n}: another file came home");
                let stdout = (n * 7).to_string();
                task.done(TaskOutput { stdout: stdout.into(), ..TaskOutput::default() }).await;
            }
            Ok(())
        })
    }
}

fn runtime() -> ScriptedRuntime {
    ScriptedRuntime::new().when(|program, args| {
        let n: u64 = args.first().filter(|_| program == "work")?.parse().ok()?;
        Some(ScriptedAnswer::ok().taking(secs(5)).stdout((n * 7).to_string()))
    })
}

async fn dies_after(tenths: u64, gap: u64, committed: bool) -> Option<u64> {
    let mut stage =
        Stage::with_runtime(runtime(), ["ada"].map(honest)).tasks(2).worker(Porter::new(committed));
    stage.devnet = stage.devnet.delays(Delays::real());
    let lives = Lives::of(stage).await;
    let death = Death::After(Duration::from_millis(tenths * 100));
    if lives.live(Some(death)).await.is_some() {
        return None;
    }
    sleep(secs(gap)).await;
    let end = lives.live(None).await.unwrap().unwrap();
    assert_eq!((end.done, end.failed), (2, 0), "{tenths} {gap} {:#?}", lives.kept.events());
    let failed = |kind: &EventKind| matches!(kind, EventKind::AttemptFailed { .. });
    assert_eq!(lives.count(failed), 0, "{tenths} {gap} {:#?}", lives.kept.events());
    let cancelled = lives.count(|kind| matches!(kind, EventKind::AttemptCancelled { .. }));
    let running =
        lives.count(|kind| matches!(kind, EventKind::RunResumed { resumed } if resumed.running > 0));
    assert!(cancelled == 0 || running == 0, "{tenths} {gap} {:#?}", lives.kept.events());
    let played = lives.played(end);
    assert_results(&played);
    assert_books_closed(&played).await;
    Some(running as u64)
}

async fn dies_at_any_moment(committed: bool) {
    // While it runs, when it has ended, and long after.
    for gap in [2, 20, 60] {
        let mut went_on = 0;
        for tenths in (1..).step_by(13) {
            match dies_after(tenths, gap, committed).await {
                Some(running) => went_on += running,
                None => break,
            }
        }
        assert!(went_on > 3, "only {went_on} times there was anything to go on with");
    }
}

#[tokio::test(start_paused = true)]
async fn files_of_a_script_that_was_on_its_way_come_home() {
    dies_at_any_moment(false).await;
}

#[tokio::test(start_paused = true)]
async fn files_of_a_commit_that_was_on_its_way_come_home() {
    dies_at_any_moment(true).await;
}
