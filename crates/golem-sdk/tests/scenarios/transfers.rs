//! Files to providers and back, on both runtimes.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use golem_core::event::{AttemptFailure, EventKind, FailureKind, StopReason, TaskOutput};
use golem_devnet::provider::Behaviour;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::{ExecutionEnd, Script, ScriptError, Source, Tasks, WorkContext, Worker, WorkerError};
use tempfile::TempDir;

use crate::books::n_done_by;
use crate::stage::{Stage, honest, secs, strange};

/// Around the size of a chunk, nothing, next to nothing, and much.
const SIZES: [usize; 6] = [0, 1, 40 * 1024 - 1, 40 * 1024, 40 * 1024 + 1, 5_000_000];

/// Bytes that no two sizes have in common.
fn content(size: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(size as u64);
    (0..size).map(|_| random.u8(..)).collect()
}

/// Carries a file there and back: from memory and from a file, into memory and into a file.
#[derive(Debug)]
struct Courier {
    folder: TempDir,
}

impl Courier {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for size in SIZES {
            std::fs::write(folder.path().join(format!("{size}.in")), content(size)).unwrap();
        }
        Self { folder }
    }

    async fn carry(&self, ctx: &WorkContext, n: u64) -> Result<(), WorkerError> {
        let size = SIZES[usize::try_from(n).unwrap() % SIZES.len()];
        let expected = content(size);
        let brought: PathBuf = self.folder.path().join(format!("results/{n}/{size}.out"));
        let script = Script::new()
            .upload_file(self.folder.path().join(format!("{size}.in")), "/golem/input/file")
            .upload(Source::Bytes(expected.clone()), format!("/golem/input/{n}/bytes"))
            .download_bytes("/golem/input/file", 6_000_000)
            .download_file(format!("/golem/input/{n}/bytes"), &brought);
        let execution = ctx.execute(script, secs(60)).await?;
        assert_eq!(execution.end, ExecutionEnd::Done, "{size}: {:?}", execution.results);
        assert!(execution.download(2).is_some_and(|bytes| *bytes == expected), "{size} bytes into memory");
        assert!(std::fs::read(&brought).unwrap() == expected, "{size} bytes into a file");
        let left = std::fs::read_dir(brought.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "a partial file is left behind");
        Ok(())
    }
}

impl Worker for Courier {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                self.carry(ctx, task.index()).await?;
                let stdout = (task.index() * 7).to_string();
                task.done(TaskOutput { stdout: stdout.into(), ..TaskOutput::default() }).await;
            }
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn every_size_goes_there_and_back_on_the_scripted_runtime() {
    let played = Stage::new(["ada", "bob", "eve"].map(honest)).worker(Courier::new()).play().await;
    played.assert_all_done(12).await;
    assert_eq!(played.count(|kind| matches!(kind, EventKind::AttemptFailed { .. })), 0);
    // All of them took the same files.
    assert!(["ada", "bob", "eve"].iter().all(|name| n_done_by(&played, name) > 0));
}

#[tokio::test]
async fn every_size_goes_there_and_back_on_the_process_runtime() {
    let stage = Stage::with_processes(["ada", "bob", "eve"].map(honest)).worker(Courier::new());
    let played = tokio::time::timeout(secs(60), stage.play()).await.unwrap();
    played.assert_all_done(12).await;
    assert_eq!(played.count(|kind| matches!(kind, EventKind::AttemptFailed { .. })), 0);
}

/// What goes wrong with a transfer, and what the worker is told.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    NoSuchSource,
    SourceIsFolder,
    NothingToBring,
    TooLarge,
    NoRoom,
}

#[derive(Debug)]
struct Clumsy {
    mishap: Mishap,
    folder: TempDir,
}

impl Clumsy {
    async fn fail(&self, ctx: &WorkContext) -> String {
        let folder = self.folder.path();
        let script = match self.mishap {
            Mishap::NoSuchSource => Script::new().upload_file(folder.join("missing"), "/golem/input/x"),
            Mishap::SourceIsFolder => Script::new().upload_file(folder, "/golem/input/x"),
            Mishap::NothingToBring => Script::new().download_file("/golem/output/x", folder.join("x")),
            Mishap::TooLarge => Script::new()
                .upload_text("x".repeat(1001), "/golem/input/x")
                .download_bytes("/golem/input/x", 1000),
            Mishap::NoRoom => {
                std::fs::write(folder.join("file"), "no folder").unwrap();
                Script::new().download_file("/golem/input/x", folder.join("file/x"))
            }
        };
        match ctx.execute(script, secs(30)).await {
            Err(ScriptError::Transfer(error)) => golem_sdk::text::chain(&error),
            Err(error) => panic!("{error:?}"),
            Ok(execution) => {
                let ExecutionEnd::Failed { index } = execution.end else {
                    panic!("it ended as {:?}", execution.end);
                };
                assert!(execution.download(index).is_none());
                assert!(!folder.join("x").exists(), "half a file has its name");
                execution.results[index].message.clone().unwrap_or_default()
            }
        }
    }
}

impl Worker for Clumsy {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                let message = self.fail(ctx).await;
                let kind = FailureKind::TransferFailed;
                task.failed(AttemptFailure::new(kind, message)).await;
                // A failure with one file says nothing about the next one.
                let script =
                    Script::new().upload_text("fine", "/golem/input/y").download_bytes("/golem/input/y", 4);
                let execution = ctx.execute(script, secs(30)).await?;
                assert_eq!(execution.download(1).map(|bytes| &bytes[..]), Some(&b"fine"[..]));
            }
            Ok(())
        })
    }
}

async fn assert_told(mishap: Mishap, words: &str) {
    let worker = Clumsy { mishap, folder: tempfile::tempdir().unwrap() };
    let stage = Stage::new([honest("ada")]).tasks(1).worker(worker).configured(|config| config.retries = 0);
    let played = stage.play().await;
    assert_eq!((played.end().why, played.end().failed), (StopReason::AllDone, 1));
    played.assert_sound().await;
    let told = played.kinds().find_map(|kind| match kind {
        EventKind::TaskFailed { failure, .. } => Some(failure.message.clone()),
        _ => None,
    });
    assert!(told.as_deref().is_some_and(|told| told.contains(words)), "{mishap:?}: {told:?}");
    assert!(played.took < Duration::from_secs(60), "{:?}", played.took);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cant_be_read_names_itself() {
    assert_told(Mishap::NoSuchSource, "missing can't be read: No such file").await;
    assert_told(Mishap::SourceIsFolder, "it isn't a regular file").await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cant_be_written_names_itself() {
    assert_told(Mishap::NoRoom, "file/x can't be written").await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_isnt_there_fails_its_command() {
    assert_told(Mishap::NothingToBring, "/golem/output/x").await;
}

#[tokio::test(start_paused = true)]
async fn a_download_larger_than_its_limit_is_an_error_and_never_cut_off() {
    assert_told(Mishap::TooLarge, "larger than the 1000 bytes").await;
}

/// Has its command print much, and hands in how much of it came.
#[derive(Debug)]
struct Talker {
    follows: bool,
}

const SAID: usize = 2_000_000;

impl Worker for Talker {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            let mut ctx = ctx.clone();
            while let Some(task) = tasks.next().await {
                let talk = ctx.run("talk", [""; 0]);
                let done = if self.follows {
                    ctx.commit_streamed(secs(300)).finish().await?
                } else {
                    ctx.commit(secs(300)).await?
                };
                assert_eq!(done[talk].stdout().len(), SAID);
                let stdout = (task.index() * 7).to_string();
                task.done(TaskOutput { stdout: stdout.into(), ..TaskOutput::default() }).await;
            }
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn results_that_travel_longer_than_the_daemon_waits_arrive() {
    for follows in [false, true] {
        let talk = ScriptedAnswer::ok().taking(secs(3)).stdout("x".repeat(SAID));
        let runtime = ScriptedRuntime::new().on("talk", &[], talk);
        // Half a minute for each result.
        let slow = Behaviour { bandwidth: Some(66_666), ..Behaviour::default() };
        let stage = Stage::with_runtime(runtime, [strange("ada", slow)]).tasks(2).worker(Talker { follows });
        let played = stage.play().await;
        played.assert_all_done(2).await;
        assert_eq!(played.count(|kind| matches!(kind, EventKind::AttemptFailed { .. })), 0);
        assert!(played.took < secs(300), "{:?}: each poll let them travel anew", played.took);
    }
}
