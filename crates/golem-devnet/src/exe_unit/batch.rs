//! A script that was accepted: what came of it so far, by poll and by stream.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use yagna_api::activity::{
    Command, CommandResult, Outcome, Output, Progress, RuntimeEvent, RuntimeEventKind, Script,
};
use yagna_api::{ApiError, BatchId, Timestamp};

use super::capture::Captured;
use crate::port::PortResult;

/// One batch of an activity.
#[derive(Debug)]
pub(super) struct Batch {
    id: BatchId,
    script: Script,
    /// True if streams begin with the events before they were asked for.
    replay: bool,
    log: Mutex<Log>,
    /// Tells that the log has grown.
    seen: watch::Sender<Seen>,
    /// Stops the command that runs, and so the batch.
    pub(super) interrupt: CancellationToken,
}

#[derive(Debug, Default)]
struct Log {
    commands: Vec<CommandLog>,
    events: Vec<Event>,
    finished: bool,
}

#[derive(Debug)]
struct CommandLog {
    stdout: Captured,
    stderr: Captured,
    ended: Option<(i32, Option<String>, Timestamp)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    done: usize,
    told: usize,
    finished: bool,
}

#[derive(Debug, Clone)]
struct Event {
    index: u32,
    timestamp: Timestamp,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// The command itself is in the script already.
    Started,
    Told(RuntimeEventKind),
}

/// The two output streams of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Out,
    Err,
}

impl Batch {
    pub(super) fn new(id: BatchId, script: Script, replay: bool, interrupt: CancellationToken) -> Self {
        let (seen, _) = watch::channel(Seen::default());
        Self { id, script, replay, log: Mutex::default(), seen, interrupt }
    }

    pub(super) fn script(&self) -> &Script {
        &self.script
    }

    /// The command at this index begins.
    pub(super) fn started(&self, index: u32, command: &Command, at: Timestamp) {
        let capture = match command {
            Command::Run(run) => run.capture.as_ref(),
            _ => None,
        };
        let mut log = self.log();
        log.commands.push(CommandLog {
            stdout: Captured::new(capture.and_then(|capture| capture.stdout.as_ref())),
            stderr: Captured::new(capture.and_then(|capture| capture.stderr.as_ref())),
            ended: None,
        });
        self.tell(log, [Event { index, timestamp: at, kind: Kind::Started }]);
    }

    /// It wrote this; tells how much of that stream is kept by now.
    pub(super) fn wrote(&self, index: u32, side: Side, piece: &[u8], at: Timestamp) -> u64 {
        let mut log = self.log();
        let Some(command) = log.commands.get_mut(index as usize) else {
            return 0;
        };
        let captured = command.side(side);
        let told = captured.push(piece);
        let size = captured.size();
        if let Some(output) = told {
            self.tell(log, [Event { index, timestamp: at, kind: Kind::Told(side.event(output)) }]);
        }
        size
    }

    /// It got further.
    pub(super) fn progressed(&self, index: u32, progress: Progress, at: Timestamp) {
        let kind = Kind::Told(RuntimeEventKind::Progress(progress));
        self.tell(self.log(), [Event { index, timestamp: at, kind }]);
    }

    /// It ended: 0 is success, everything else ends the batch.
    pub(super) fn ended(&self, index: u32, return_code: i32, message: Option<String>, at: Timestamp) {
        let mut log = self.log();
        let mut events = Vec::new();
        if let Some(command) = log.commands.get_mut(index as usize) {
            for side in [Side::Out, Side::Err] {
                events.extend(command.side(side).end().map(|rest| side.event(rest)));
            }
            command.ended = Some((return_code, message.clone(), at));
        }
        events.push(RuntimeEventKind::Finished { return_code, message });
        self.tell(log, events.into_iter().map(|kind| Event { index, timestamp: at, kind: Kind::Told(kind) }));
    }

    /// Nothing more will come.
    pub(super) fn finished(&self) {
        let mut log = self.log();
        log.finished = true;
        self.tell(log, []);
    }

    /// Waits for the end of the batch.
    pub(super) async fn wait_finished(&self) {
        // The sender is ours, so this can't fail while we are here.
        drop(self.seen.subscribe().wait_for(|seen| seen.finished).await);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.seen.borrow().finished
    }

    /// The size of the captured output that it holds.
    pub(super) fn output_size(&self) -> u64 {
        self.log().commands.iter().map(|command| command.stdout.size() + command.stderr.size()).sum()
    }

    /// The results up to a command, or of the whole script: as soon as that is done, or what there is after `wait`.
    ///
    /// As with Golem's own exe-unit, a batch that failed early is waited for to the end of `wait`, unless the failed
    /// command is named; and a named command ends the list, as if the batch ended with it.
    pub(super) async fn results(
        &self,
        wait: Duration,
        command: Option<u32>,
    ) -> PortResult<Vec<CommandResult>> {
        let Some(last) = self.script.len().checked_sub(1) else {
            return Ok(Vec::new());
        };
        let last = command.map_or(last, |index| index as usize);
        let mut seen = self.seen.subscribe();
        let reached = tokio::time::timeout(wait, seen.wait_for(|seen| seen.done > last)).await.is_ok();
        if command.is_some() && !reached {
            return Err(ApiError { status: 408, message: "Timeout".to_owned(), problem: None });
        }
        let log = self.log();
        let results =
            log.commands.iter().enumerate().take(last.saturating_add(1)).map_while(|(index, done)| {
                let (code, message, at) = done.ended.as_ref()?;
                let with_output = command.is_none() || index == last;
                Some(CommandResult {
                    index: u32::try_from(index).ok()?,
                    result: if *code == 0 { Outcome::Ok } else { Outcome::Error },
                    stdout: with_output.then(|| done.stdout.output()).flatten(),
                    stderr: with_output.then(|| done.stderr.output()).flatten(),
                    message: message.clone(),
                    is_batch_finished: index == last || *code != 0,
                    event_date: *at,
                })
            });
        Ok(results.collect())
    }

    /// All events, or those from now on; ends with the batch.
    pub(super) fn events(self: &Arc<Self>) -> BoxStream<'static, RuntimeEvent> {
        let next = if self.replay { 0 } else { self.log().events.len() };
        let state = (Arc::clone(self), self.seen.subscribe(), next);
        stream::unfold(state, |(batch, mut seen, next)| async move {
            loop {
                let (event, finished) = {
                    let log = batch.log();
                    (log.events.get(next).cloned(), log.finished)
                };
                match event {
                    Some(event) => {
                        let event = batch.complete(event);
                        return Some((event, (batch, seen, next + 1)));
                    }
                    None if finished => return None,
                    None => seen.changed().await.ok()?,
                }
            }
        })
        .boxed()
    }

    fn complete(&self, event: Event) -> RuntimeEvent {
        let kind = match event.kind {
            Kind::Told(kind) => kind,
            Kind::Started => {
                let command = self.script.get(event.index as usize);
                RuntimeEventKind::Started { command: serde_json::to_value(command).unwrap_or_default() }
            }
        };
        RuntimeEvent { batch_id: self.id.clone(), index: event.index, timestamp: event.timestamp, kind }
    }

    fn tell(&self, mut log: MutexGuard<'_, Log>, events: impl IntoIterator<Item = Event>) {
        log.events.extend(events);
        let done = log.commands.iter().filter(|command| command.ended.is_some()).count();
        let seen = Seen { done, told: log.events.len(), finished: log.finished };
        drop(log);
        self.seen.send_replace(seen);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("nothing panics while it holds this lock")
    }
}

impl CommandLog {
    fn side(&mut self, side: Side) -> &mut Captured {
        match side {
            Side::Out => &mut self.stdout,
            Side::Err => &mut self.stderr,
        }
    }
}

impl Side {
    fn event(self, output: Output) -> RuntimeEventKind {
        match self {
            Self::Out => RuntimeEventKind::StdOut(output),
            Self::Err => RuntimeEventKind::StdErr(output),
        }
    }
}
