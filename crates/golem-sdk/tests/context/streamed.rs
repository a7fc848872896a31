//! Batches told as they happen: whole, once, in order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use golem_devnet::runtime::{Deployment, Instance, Output, Runtime, RuntimeError, ScriptedRuntime};
use golem_sdk::context::BatchEvent;
use golem_sdk::{Capture, Program, ScriptError, Streamed};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use yagna_api::ActivityId;

use crate::lab::{Lab, secs};
use crate::wire::Meddling;

/// `say a b c` writes each of its arguments after a second; `shout` does it on its standard error, and fails.
#[derive(Debug)]
struct Talkative(ScriptedRuntime);

#[derive(Debug)]
struct Talker(Arc<dyn Instance>);

impl Runtime for Talkative {
    fn create(&self, activity: &ActivityId) -> Result<Arc<dyn Instance>, RuntimeError> {
        Ok(Arc::new(Talker(self.0.create(activity)?)))
    }
}

impl Instance for Talker {
    fn deploy<'a>(&'a self, deployment: &'a Deployment) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.0.deploy(deployment)
    }

    fn start<'a>(&'a self, args: &'a [String]) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.0.start(args)
    }

    fn run<'a>(
        &'a self,
        program: &'a str,
        args: &'a [String],
        output: mpsc::Sender<Output>,
    ) -> BoxFuture<'a, Result<i32, RuntimeError>> {
        Box::pin(async move {
            for arg in args {
                sleep(secs(1)).await;
                let piece = Bytes::copy_from_slice(arg.as_bytes());
                let piece = if program == "shout" { Output::Stderr(piece) } else { Output::Stdout(piece) };
                drop(output.send(piece).await);
            }
            Ok(i32::from(program == "shout"))
        })
    }

    fn open(&self, path: &str) -> Result<std::fs::File, RuntimeError> {
        self.0.open(path)
    }

    fn create(&self, path: &str) -> Result<std::fs::File, RuntimeError> {
        self.0.create(path)
    }

    fn cpu_time(&self) -> Duration {
        self.0.cpu_time()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.0.stop()
    }
}

async fn lab() -> Lab {
    Lab::scripted(Talkative(ScriptedRuntime::new())).await
}

/// An event in short: `0 start`, `0 out a`, `0 late b`, `0 end 0`.
fn short(event: &BatchEvent) -> String {
    match event {
        BatchEvent::Started { command } => format!("{} start", command.place()),
        BatchEvent::Stdout(chunk) if chunk.belated => {
            format!("{} late {}", chunk.command.place(), chunk.text())
        }
        BatchEvent::Stdout(chunk) => format!("{} out {}", chunk.command.place(), chunk.text()),
        BatchEvent::Stderr(chunk) => format!("{} err {}", chunk.command.place(), chunk.text()),
        BatchEvent::Progress { command, .. } => format!("{} progress", command.place()),
        BatchEvent::Finished { command, exit_code, .. } => {
            format!("{} end {}", command.place(), exit_code.unwrap_or(-1))
        }
        other => format!("{other:?}"),
    }
}

async fn all(streamed: &mut Streamed) -> Result<Vec<String>, (Vec<String>, ScriptError)> {
    let mut seen = Vec::new();
    loop {
        match streamed.try_next().await {
            Ok(Some(event)) => seen.push(short(&event)),
            Ok(None) => return Ok(seen),
            Err(error) => return Err((seen, error)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn output_is_told_when_it_is_written() {
    let mut lab = lab().await;
    let first = lab.ctx.run("say", ["a", "ż", "c"]);
    let second = lab.ctx.add(Program::new("say").args(["d", "e"]).capture(Capture::tail(1)));
    let mut streamed = lab.ctx.commit_streamed(secs(60));
    let begun = Instant::now();
    let mut times = Vec::new();
    let mut seen = Vec::new();
    while let Some(event) = streamed.try_next().await.unwrap() {
        times.push(begun.elapsed().as_secs());
        seen.push(short(&event));
    }
    let expected = ["0 start", "0 out a", "0 out ż", "0 out c", "0 end 0", "1 start", "1 out e", "1 end 0"];
    assert_eq!(seen, expected);
    assert_eq!(times, [0, 1, 2, 3, 3, 3, 5, 5]);
    let done = streamed.finish().await.unwrap();
    assert_eq!((done[first].stdout().as_ref(), done[second].stdout().as_ref()), ("ażc", "e"));
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn streamed_output_is_whole_though_the_stream_began_late() {
    // The stream misses some results, and the reader is told all the same.
    let whole = ["0 start", "0 out a", "0 out b", "0 end 0", "1 start", "1 out c", "1 out d", "1 end 0"];
    let late_start = ["0 start", "0 out a", "0 out b", "0 end 0", "1 start", "1 out c", "1 out d", "1 end 0"];
    let late_a = ["0 start", "0 out b", "0 late a", "0 end 0", "1 start", "1 out c", "1 out d", "1 end 0"];
    let late_b = ["0 start", "0 out ab", "0 end 0", "1 start", "1 out c", "1 out d", "1 end 0"];
    let late_c = ["0 start", "0 out ab", "0 end 0", "1 start", "1 out d", "1 late c", "1 end 0"];
    let nothing = ["0 start", "0 out ab", "0 end 0", "1 start", "1 out cd", "1 end 0"];
    let table: [(usize, &[&str]); 9] = [
        (0, &whole),
        (1, &late_start),
        (2, &late_a),
        (3, &late_b),
        (4, &late_b),
        (5, &late_b),
        (6, &late_c),
        (7, &nothing),
        (8, &nothing),
    ];
    let mut lab = lab().await;
    for (late_by, expected) in table {
        lab.wire.meddle(Meddling { late_by, ..Meddling::default() });
        let first = lab.ctx.run("say", ["a", "b"]);
        let second = lab.ctx.run("say", ["c", "d"]);
        let mut streamed = lab.ctx.commit_streamed(secs(60));
        assert_eq!(all(&mut streamed).await.unwrap(), expected, "late by {late_by}");
        let done = streamed.finish().await.unwrap();
        assert_eq!((done[first].stdout().as_ref(), done[second].stdout().as_ref()), ("ab", "cd"));
    }
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_repeats_and_loses_nothing() {
    let mut lab = lab().await;
    for late_by in [0, 1, 2] {
        for breaks_after in 0..8 {
            lab.wire.meddle(Meddling { late_by, breaks_after: Some(breaks_after), silent: false });
            lab.ctx.run("say", ["a", "b", "c"]);
            lab.ctx.run("say", ["d"]);
            let mut streamed = lab.ctx.commit_streamed(secs(60));
            let mut texts = [String::new(), String::new()];
            let mut told = Vec::new();
            while let Some(event) = streamed.try_next().await.unwrap() {
                told.push(short(&event));
                if let BatchEvent::Stdout(chunk) = event {
                    let text = &mut texts[chunk.command.place()];
                    let at = if chunk.belated { 0 } else { text.len() };
                    text.insert_str(at, &chunk.text());
                }
            }
            assert_eq!(texts, ["abc", "d"], "late by {late_by}, broken after {breaks_after}: {told:?}");
            for place in 0..2 {
                for end in ["start", "end 0"] {
                    let line = format!("{place} {end}");
                    assert_eq!(told.iter().filter(|told| **told == line).count(), 1, "{line} in {told:?}");
                }
            }
            streamed.finish().await.unwrap();
        }
    }
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_tells_nothing_is_made_up_for_by_the_results() {
    let mut lab = lab().await;
    lab.wire.meddle(Meddling { silent: true, ..Meddling::default() });
    lab.ctx.run("say", ["a", "b"]);
    lab.ctx.run("shout", ["c"]);
    let mut streamed = lab.ctx.commit_streamed(secs(60));
    let (seen, error) = all(&mut streamed).await.unwrap_err();
    assert_eq!(seen, ["0 start", "0 out ab", "0 end 0", "1 start", "1 err c", "1 end 1"]);
    assert!(matches!(error, ScriptError::CommandFailed(_)), "{error:?}");
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_the_streams_last_word() {
    let mut lab = lab().await;
    let first = lab.ctx.run("say", ["a"]);
    lab.ctx.run("shout", ["no ", "more"]);
    lab.ctx.run("say", ["b"]);
    let mut streamed = lab.ctx.commit_streamed(secs(60));
    let (seen, error) = all(&mut streamed).await.unwrap_err();
    assert_eq!(seen, ["0 start", "0 out a", "0 end 0", "1 start", "1 err no ", "1 err more", "1 end 1"]);
    let ScriptError::CommandFailed(failure) = error else { panic!("{error:?}") };
    assert_eq!((failure.stderr.as_str(), failure.exit_code), ("no more", Some(1)));
    assert_eq!(failure.so_far[first].stdout(), "a");
    assert!(streamed.next().await.is_none());
    assert!(matches!(streamed.finish().await, Err(ScriptError::Told)));

    lab.ctx.run("shout", ["x"]);
    let error = lab.ctx.commit_streamed(secs(60)).finish().await.unwrap_err();
    assert!(matches!(error, ScriptError::CommandFailed(_)), "{error:?}");
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_streamed_batch_that_times_out_has_told_all_that_came() {
    let mut lab = lab().await;
    lab.ctx.run("say", ["a", "b", "c", "d", "e", "f"]);
    let mut streamed = lab.ctx.commit_streamed(Duration::from_millis(3500));
    let begun = Instant::now();
    let (seen, error) = all(&mut streamed).await.unwrap_err();
    assert_eq!(seen, ["0 start", "0 out a", "0 out b", "0 out c"]);
    assert!(matches!(error, ScriptError::Expired(_)), "{error:?}");
    assert!(begun.elapsed() < secs(5), "{:?}", begun.elapsed());
    tokio::time::sleep(secs(10)).await;
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_up_only_itself_and_misses_nothing() {
    let mut lab = lab().await;
    let say = lab.ctx.run("say", ["a", "b", "c"]);
    let mut streamed = lab.ctx.commit_streamed(secs(20));
    let first = streamed.try_next().await.unwrap().unwrap();
    assert_eq!(short(&first), "0 start");
    // Far past the time that the batch was given: it was done long before.
    sleep(secs(300)).await;
    let rest = all(&mut streamed).await.unwrap();
    let text: String = rest.iter().filter_map(|line| line.strip_prefix("0 out ")).collect();
    assert_eq!((text.as_str(), rest.last().unwrap().as_str()), ("abc", "0 end 0"));
    assert_eq!(streamed.finish().await.unwrap()[say].stdout(), "abc");
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn transfers_tell_how_far_they_are() {
    let mut lab = lab().await;
    let sent = lab.ctx.send_bytes(vec![7; 200_000], "/golem/work/bytes");
    let back = lab.ctx.download_bytes("/golem/work/bytes", 200_000);
    let mut streamed = lab.ctx.commit_streamed(secs(60));
    let mut last = None;
    while let Some(event) = streamed.try_next().await.unwrap() {
        if let BatchEvent::Progress { command, progress } = event
            && command == sent
        {
            last = Some((progress.progress, progress.unit));
        }
    }
    assert_eq!(last, Some(((200_000, Some(200_000)), Some("Bytes".to_owned()))));
    assert_eq!(streamed.finish().await.unwrap().bytes(back).unwrap().len(), 200_000);
    lab.end().await;
}
