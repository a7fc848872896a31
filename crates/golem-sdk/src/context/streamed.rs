//! A batch told of as it happens, without loss: the daemon's stream of events, joined with its results.
//!
//! The stream of events begins when it can, doesn't repeat what came before, and may break off; the results of ended
//! commands are whole, but come late. [`join`] puts the two together; here both are read.
//!
//! Everything happens while the reader waits for the next event. A slow reader so holds up nothing but itself: the
//! provider works on, and what the reader is too late for is in the results.

mod join;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::time::{Instant, sleep_until};
use yagna_api::ApiError;
use yagna_api::activity::{CommandResult, PollResults, Progress, RuntimeEvent};
use yagna_client::ClientError;

use self::join::Join;
use super::batch::Batch;
use super::error::ScriptError;
use super::handle::{Command, QueueId};
use super::launch::{FIRST_POLL, Launched, next_wait};
use super::outcome::{ExecutionEnd, ended};
use super::{DEFAULT_LIMIT, Inner, Queue, WorkContext};

/// The pauses before a broken stream of events is opened again, and before results are asked for again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Something that happened in a batch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BatchEvent {
    /// A command begins.
    Started {
        /// The command.
        command: Command,
    },
    /// It wrote to its standard output. What is captured only at its end comes in one piece then.
    Stdout(Chunk),
    /// It wrote to its standard error.
    Stderr(Chunk),
    /// A deployment or a transfer got further.
    Progress {
        /// The command.
        command: Command,
        /// The progress.
        progress: Progress,
    },
    /// A command has ended.
    Finished {
        /// The command.
        command: Command,
        /// Its exit code: 0 is success, `None` a failure without one.
        exit_code: Option<i32>,
        /// The provider's message about it, if there is one.
        message: Option<String>,
    },
}

/// A piece of a command's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The command.
    pub command: Command,
    /// The output. A character is never cut, unless [binary](crate::Program::binary_output) output was asked for.
    pub bytes: Bytes,
    /// It was written before all that has been told of this output so far: the daemon's stream began late, and this is
    /// what it had missed. All other pieces follow one another.
    pub belated: bool,
}

impl Chunk {
    /// As text; what is no UTF-8 becomes replacement characters.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// A batch as it happens: a stream of its events, then its end.
///
/// Every command's start and end and all captured output are told, each once. The stream ends after the last command, or
/// with the error that [`WorkContext::commit`] would have given. Dropping it leaves the batch running on the provider.
#[must_use = "nothing is sent before it is read"]
pub struct Streamed {
    told: BoxStream<'static, Result<Told, ScriptError>>,
    end: End,
}

#[derive(Debug)]
enum End {
    NotYet,
    Done(Batch),
    Failed,
}

enum Told {
    Event(BatchEvent),
    End(Batch),
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("end", &self.end).finish_non_exhaustive()
    }
}

impl WorkContext {
    /// Sends what is queued as one batch and tells what happens as it happens; `None` gives it [`DEFAULT_LIMIT`].
    ///
    /// It is sent when the stream is first read, and its time begins then. Outputs are
    /// [streamed](crate::Capture::stream) where nothing else was asked for, and transfers tell every second how far
    /// they are. All else is as with [`WorkContext::commit`].
    ///
    /// # Example
    /// ```
    /// # use std::time::Duration;
    /// # use futures_util::TryStreamExt;
    /// # use golem_sdk::{BatchEvent, ScriptError, WorkContext};
    /// async fn follow(ctx: &mut WorkContext) -> Result<String, ScriptError> {
    ///     let render = ctx.run("/bin/render", ["--frame", "7"]);
    ///     let mut streamed = ctx.commit_streamed(Duration::from_secs(600));
    ///     while let Some(event) = streamed.try_next().await? {
    ///         match event {
    ///             BatchEvent::Stdout(chunk) => eprint!("{}", chunk.text()),
    ///             BatchEvent::Finished { command, .. } if command == render => eprintln!("rendered"),
    ///             _ => {}
    ///         }
    ///     }
    ///     let done = streamed.finish().await?;
    ///     Ok(done[render].stdout().into_owned())
    /// }
    /// ```
    pub fn commit_streamed(&mut self, limit: impl Into<Option<Duration>>) -> Streamed {
        let queue = std::mem::replace(&mut self.queue, Queue::new());
        let limit = limit.into().unwrap_or(DEFAULT_LIMIT);
        let follower = Follower { inner: Arc::clone(&self.inner), phase: Phase::Queued(queue, limit) };
        let told = stream::unfold(follower, |mut follower| async move {
            follower.next().await.map(|told| (told, follower))
        });
        Streamed { told: Box::pin(told), end: End::NotYet }
    }
}

impl Streamed {
    /// Waits for the end of the batch, passing over what hasn't been read, and gives its results.
    ///
    /// **Errors**: as [`WorkContext::commit`]; [`ScriptError::Told`] when the stream has given the error already.
    pub async fn finish(mut self) -> Result<Batch, ScriptError> {
        while let Some(event) = self.next().await {
            event?;
        }
        match self.end {
            End::Done(batch) => Ok(batch),
            End::NotYet | End::Failed => Err(ScriptError::Told),
        }
    }
}

impl Stream for Streamed {
    type Item = Result<BatchEvent, ScriptError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !matches!(self.end, End::NotYet) {
            return Poll::Ready(None);
        }
        self.told.poll_next_unpin(cx).map(|told| match told {
            Some(Ok(Told::Event(event))) => Some(Ok(event)),
            Some(Ok(Told::End(batch))) => {
                self.end = End::Done(batch);
                None
            }
            Some(Err(error)) => {
                self.end = End::Failed;
                Some(Err(error))
            }
            None => None,
        })
    }
}

struct Follower {
    inner: Arc<Inner>,
    phase: Phase,
}

enum Phase {
    Queued(Queue, Duration),
    Going(Box<Going>),
    Over,
}

/// The result of a look at the results.
struct Looked {
    answer: Result<Option<Vec<CommandResult>>, ClientError>,
    /// It came long before the time that it was given.
    is_hasty: bool,
    /// That time.
    was_given: Duration,
}

/// A batch that was sent, and both ways to learn of it.
struct Going {
    inner: Arc<Inner>,
    launched: Launched,
    join: Join,
    ready: VecDeque<BatchEvent>,
    /// The stream of events, while it holds.
    events: Option<BoxStream<'static, Result<RuntimeEvent, ClientError>>>,
    /// The time at which it is opened again, and the pause before the time after that.
    reopen: Instant,
    reopen_pause: Duration,
    /// An event that must not be reported before the results have been looked at.
    held: Option<RuntimeEvent>,
    looking: bool,
    look: BoxFuture<'static, Looked>,
    wait: Duration,
    /// Didn't the last poll's answer come in time?
    is_late: bool,
    results: Vec<CommandResult>,
    end: Option<Result<ExecutionEnd, ScriptError>>,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Told, ScriptError>> {
        loop {
            match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Over => return None,
                Phase::Queued(queue, _) if queue.script.is_empty() => {
                    let batch = Batch { queue: queue.id, results: Vec::new(), downloads: Vec::new() };
                    return Some(Ok(Told::End(batch)));
                }
                Phase::Queued(queue, limit) => {
                    let join = Join::new(&queue.script.steps);
                    match self.inner.launch(queue, limit, true).await {
                        Ok(launched) => {
                            let going = Going::new(Arc::clone(&self.inner), launched, join);
                            self.phase = Phase::Going(Box::new(going));
                        }
                        Err(error) => return Some(Err(error)),
                    }
                }
                Phase::Going(mut going) => {
                    if let Some(event) = going.next().await {
                        self.phase = Phase::Going(going);
                        return Some(Ok(Told::Event(event)));
                    }
                    return Some(going.conclude().await.map(Told::End));
                }
            }
        }
    }
}

/// The source that answered first.
enum News {
    Event(Option<Result<RuntimeEvent, ClientError>>),
    Looked(Looked),
    Reopen,
    Deadline,
}

impl Going {
    fn new(inner: Arc<Inner>, launched: Launched, join: Join) -> Self {
        let events = inner.client.batch_events(inner.activity.clone(), launched.batch.clone());
        let look = ask(&inner, &launched, FIRST_POLL);
        Self {
            inner,
            launched,
            join,
            ready: VecDeque::new(),
            events: Some(events),
            reopen: Instant::now(),
            reopen_pause: FIRST_PAUSE,
            held: None,
            looking: false,
            look,
            wait: FIRST_POLL,
            is_late: false,
            results: Vec::new(),
            end: None,
        }
    }

    /// The next event; `None` when the batch has ended, one way or the other.
    async fn next(&mut self) -> Option<BatchEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.end.is_some() {
                return None;
            }
            match self.news().await {
                News::Event(Some(Ok(event))) => self.on_event(event),
                News::Event(Some(Err(error))) => {
                    tracing::debug!(%error, batch = %self.launched.batch, "a batch's events broke off");
                    self.on_cut();
                }
                News::Event(None) => self.on_cut(),
                News::Looked(looked) => self.on_looked(looked).await,
                News::Reopen => {
                    let (inner, batch) = (&self.inner, self.launched.batch.clone());
                    self.events = Some(inner.client.batch_events(inner.activity.clone(), batch));
                }
                News::Deadline => self.on_deadline().await,
            }
        }
    }

    async fn news(&mut self) -> News {
        let deadline = self.launched.deadline;
        if Instant::now() >= deadline {
            return News::Deadline;
        }
        let (connected, listening) = (self.events.is_some(), !self.looking);
        let event = async {
            match &mut self.events {
                Some(events) => events.next().await,
                None => None,
            }
        };
        tokio::select! {
            biased;
            event = event, if connected && listening => News::Event(event),
            looked = &mut self.look => News::Looked(looked),
            () = sleep_until(self.reopen), if !connected => News::Reopen,
            () = sleep_until(deadline) => News::Deadline,
        }
    }

    fn on_event(&mut self, event: RuntimeEvent) {
        self.reopen_pause = FIRST_PAUSE;
        let queue = self.launched.queue();
        if self.join.needs_results(&event) {
            // In the results is what the stream hasn't told. They are looked at once, before anything else is told.
            self.held = Some(event);
            self.looking = true;
            self.look = ask(&self.inner, &self.launched, Duration::ZERO);
            return;
        }
        self.join.on_event(event, |told| self.ready.push_back(told.of(queue)));
        if self.join.is_over() {
            self.looking = true;
            self.look = ask(&self.inner, &self.launched, Duration::ZERO);
        }
    }

    fn on_cut(&mut self) {
        self.events = None;
        self.join.on_cut();
        self.reopen = Instant::now() + self.reopen_pause;
        self.reopen_pause = (self.reopen_pause * 2).min(LONGEST_PAUSE);
    }

    async fn on_looked(&mut self, looked: Looked) {
        let mut pause = Duration::ZERO;
        let was_late = std::mem::replace(&mut self.is_late, false);
        match looked.answer {
            Ok(None) => {
                self.is_late = looked.was_given > Duration::ZERO;
                // A time-out that comes at once, as a proxy may give it, isn't asked for again at once.
                if looked.is_hasty || !self.is_late {
                    pause = FIRST_PAUSE;
                }
            }
            Ok(Some(results)) => {
                // A poll that brings nothing and doesn't wait either isn't repeated at once.
                if looked.is_hasty && results.len() <= self.results.len() {
                    pause = FIRST_PAUSE;
                }
                self.take(results);
            }
            Err(error) if error.api().is_some_and(ApiError::is_activity_lost) => {
                self.end = Some(Err(self.inner.lost(&error).await));
                return;
            }
            Err(error) => {
                tracing::debug!(%error, batch = %self.launched.batch, "polling results again");
                pause = FIRST_PAUSE;
            }
        }
        self.looking = false;
        if let Some(event) = self.held.take() {
            let queue = self.launched.queue();
            self.join.on_event(event, |told| self.ready.push_back(told.of(queue)));
        }
        if self.end.is_none() {
            let left = self.launched.deadline.saturating_duration_since(Instant::now());
            if self.is_late {
                self.wait = next_wait(self.wait, true, was_late);
            }
            let asked = ask(&self.inner, &self.launched, self.wait.min(left));
            self.look = Box::pin(async move {
                tokio::time::sleep(pause).await;
                asked.await
            });
            if !self.is_late {
                self.wait = next_wait(self.wait, false, was_late);
            }
        }
    }

    /// A reader who comes late must not be told that the batch was.
    async fn on_deadline(&mut self) {
        let look = self.inner.look(&self.launched.batch, Duration::ZERO);
        match self.inner.client.call_once(&look).await {
            Ok(results) => self.take(results),
            Err(error) if error.api().is_some_and(ApiError::is_activity_lost) => {
                self.end = Some(Err(self.inner.lost(&error).await));
            }
            Err(error) => {
                tracing::debug!(%error, batch = %self.launched.batch, "the last look at a batch failed");
            }
        }
        if self.end.is_none() {
            let queue = self.launched.queue();
            self.join.on_expired(|told| self.ready.push_back(told.of(queue)));
            self.end = Some(Ok(ExecutionEnd::Expired));
        }
    }

    fn take(&mut self, results: Vec<CommandResult>) {
        let queue = self.launched.queue();
        self.join.on_results(&results, |told| self.ready.push_back(told.of(queue)));
        self.end = ended(&results, self.launched.n_commands()).map(Ok);
        // An answer that came empty because its time was over takes nothing back.
        if results.len() >= self.results.len() {
            self.results = results;
        }
    }

    async fn conclude(self) -> Result<Batch, ScriptError> {
        let followed = match self.end {
            Some(Ok(end)) => Ok((self.results, end)),
            Some(Err(error)) => Err(error),
            None => Ok((self.results, ExecutionEnd::Expired)),
        };
        self.launched.conclude(followed).await
    }
}

/// Asks for the results so far, as soon as the batch has ended or after `wait`.
fn ask(inner: &Arc<Inner>, launched: &Launched, wait: Duration) -> BoxFuture<'static, Looked> {
    let (inner, look) = (Arc::clone(inner), PollResults(inner.look(&launched.batch, wait)));
    Box::pin(async move {
        let begun = Instant::now();
        let answer = inner.client.call(&look).await;
        Looked { answer, is_hasty: begun.elapsed() < wait / 2, was_given: wait }
    })
}

impl join::Told {
    /// As an event of the commands of this queue.
    fn of(self, queue: QueueId) -> BatchEvent {
        let command = |place| Command { queue, place };
        match self {
            Self::Started { place } => BatchEvent::Started { command: command(place) },
            Self::Piece { place, side, bytes, belated } => {
                let chunk = Chunk { command: command(place), bytes, belated };
                match side {
                    join::Side::Out => BatchEvent::Stdout(chunk),
                    join::Side::Err => BatchEvent::Stderr(chunk),
                }
            }
            Self::Progress { place, progress } => BatchEvent::Progress { command: command(place), progress },
            Self::Finished { place, exit_code, message } => {
                BatchEvent::Finished { command: command(place), exit_code, message }
            }
        }
    }
}
