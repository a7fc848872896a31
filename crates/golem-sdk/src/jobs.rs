//! Jobs for a run that goes on: how they are handed in, what is heard of them, how they are given up.
//!
//! A [`Handle`] reaches into the run by a bounded channel. What happens to a job comes back as a [`JobEvents`] that
//! misses nothing: where its reader is slow, the job's source is read no further until it has caught up.
//!
//! # Example
//!
//! Two jobs, one after the other, on the same agreement:
//! ```
//! use std::sync::Arc;
//!
//! use futures_util::future::BoxFuture;
//! use golem_sdk::event::{EventKind, TaskOutput};
//! use golem_sdk::payload::Payload;
//! use golem_sdk::run::RunConfig;
//! use golem_sdk::{
//!     JobOptions, JobSource, MemoryJournal, Run, RunOptions, SystemClock, Tasks, WorkContext, Worker,
//!     WorkerError,
//! };
//! use golem_devnet::devnet::Devnet;
//! use yagna_client::{Client, InProcessTransport};
//!
//! #[derive(Debug)]
//! struct Echo;
//!
//! impl Worker for Echo {
//!     fn work<'a>(
//!         &'a self,
//!         _ctx: &'a WorkContext,
//!         tasks: &'a mut Tasks,
//!     ) -> BoxFuture<'a, Result<(), WorkerError>> {
//!         Box::pin(async move {
//!             while let Some(task) = tasks.next().await {
//!                 let result = task.data().clone();
//!                 task.done(TaskOutput { result, ..TaskOutput::default() }).await;
//!             }
//!             Ok(())
//!         })
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let devnet = Devnet::builder().providers(1).start().await?;
//! let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key)?;
//! let run = Run::standing(
//!     Client::new(Arc::new(transport)),
//!     Arc::new(SystemClock),
//!     Arc::new(MemoryJournal::new()),
//!     RunOptions::new(RunConfig::new(Payload::default(), devnet.payment_platform()).workers(1), "erc20", "hoodi", yagna_api::AppSessionId::new("echoes")),
//! );
//! let handle = run.handle();
//! let two_jobs = async {
//!     for n in [2, 3] {
//!         let tasks = JobSource::Iterator(Box::new((0..n).map(|n| Ok(n.into()))));
//!         let mut job = handle.submit(Arc::new(Echo), tasks, JobOptions::default()).await?;
//!         while let Some(event) = job.next().await {
//!             if let EventKind::JobEnded { end, .. } = event.kind {
//!                 assert_eq!(end.done, n);
//!             }
//!         }
//!     }
//!     handle.close();
//!     Ok::<(), golem_sdk::RunOver>(())
//! };
//! let (end, jobs) = tokio::join!(run.run(), two_jobs);
//! jobs?;
//! assert_eq!(end?.done, 5);
//! assert_eq!(devnet.books().agreements.len(), 1);
//! devnet.stop().await;
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::BoxStream;
use golem_core::event::{Event, JobId};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use yagna_api::Glm;

use crate::budget::BudgetError;
use crate::reading::TaskSource;
use crate::worker::Worker;

/// Commands that may wait for a run.
const COMMAND_QUEUE: usize = 64;
/// Events of a job that may wait for its reader before its source is left alone.
const MAILBOX: usize = 4096;

/// Tasks as they come: their data, in order; each may fail to be read.
pub type TaskStream = BoxStream<'static, Result<Value, String>>;

/// The source of a job's tasks.
#[non_exhaustive]
pub enum JobSource {
    /// From something that has them at hand; it is read by the run itself and must not wait for others.
    Iterator(TaskSource),
    /// From something that may have to wait for them.
    Stream(TaskStream),
}

impl fmt::Debug for JobSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iterator(_) => "Iterator",
            Self::Stream(_) => "Stream",
        })
    }
}

/// The settings of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobOptions {
    /// The number of retries of a failed task; as the run says where this says nothing.
    pub retries: Option<u32>,
    /// The time that the job may take from its start: tasks that aren't finished then have expired.
    pub timeout: Option<Duration>,
}

impl JobOptions {
    /// With this number of retries for a task that failed.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        Self { retries: Some(retries), ..self }
    }

    /// With this limit for the whole job, from when the run hears of it.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }
}

/// The run is over, or was never started: it takes no jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run is over")]
pub struct RunOver;

/// A way into a run, cheap to clone.
///
/// A standing run goes on until it is closed, or until every handle is dropped and its jobs are over.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    next_job: Arc<AtomicU64>,
    wake: Arc<Notify>,
    closed: CancellationToken,
}

impl Handle {
    /// Hands a job in: the worker does the source's tasks, on providers that the run's jobs share.
    ///
    /// **Errors**: [`RunOver`] when the run has ended.
    ///
    /// **Cancel safety**: a future that is dropped has handed in nothing.
    pub async fn submit(
        &self,
        worker: Arc<dyn Worker>,
        source: JobSource,
        options: JobOptions,
    ) -> Result<JobEvents, RunOver> {
        let place = self.commands.reserve().await.map_err(|_| RunOver)?;
        let job = JobId(self.next_job.fetch_add(1, Ordering::Relaxed));
        let mailbox = Arc::new(Mailbox { wake: Arc::clone(&self.wake), ..Mailbox::default() });
        let outlet = Outlet(Arc::clone(&mailbox));
        place.send(Command::Submit(Box::new(Submission { job, worker, source, options, outlet })));
        Ok(JobEvents { job, mailbox, detached: false })
    }

    /// Adds tasks to a job that isn't over; to one that is they come too late, and nothing happens.
    ///
    /// **Errors**: [`RunOver`] when the run has ended.
    ///
    /// **Cancel safety**: where the future is dropped, all of them have been added or none.
    pub async fn add(&self, job: JobId, tasks: Vec<Value>) -> Result<(), RunOver> {
        self.send(Command::Add { job, tasks }).await
    }

    /// Gives a job up: what waits is dropped, what runs is stopped. The other jobs go on. Its [`JobEvents`] end with the
    /// event that says so.
    ///
    /// **Errors**: [`RunOver`] when the run has ended.
    ///
    /// **Cancel safety**: where the future is dropped, the job may go on.
    pub async fn cancel(&self, job: JobId) -> Result<(), RunOver> {
        self.send(Command::Cancel(job)).await
    }

    /// Raises the run's budget by so much, and returns what it is then.
    ///
    /// It is written down first, then the daemon sets more aside; the budget counts as raised only once it has. Several
    /// at once add up. A run that has stopped because its budget is reached isn't revived: raise it before.
    ///
    /// **Errors**: [`BudgetError`], and nothing has changed then.
    ///
    /// **Cancel safety**: where the future is dropped, the budget may be raised all the same.
    pub async fn add_budget(&self, amount: Glm) -> Result<Glm, BudgetError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Raise(Raise { amount, answer })).await.map_err(|RunOver| BudgetError::RunOver)?;
        answered.await.unwrap_or(Err(BudgetError::RunOver))
    }

    /// Gives jobs numbers from this one on, if it gave none above it.
    pub(crate) fn begin_at(&self, job: JobId) {
        self.next_job.fetch_max(job.0, Ordering::Relaxed);
    }

    /// Closes the run: it begins no more work, gives what runs a short grace, ends its agreements and settles. At
    /// once, whatever else waits; a second time changes nothing.
    pub fn close(&self) {
        self.closed.cancel();
    }

    async fn send(&self, command: Command) -> Result<(), RunOver> {
        self.commands.send(command).await.map_err(|_| RunOver)
    }
}

/// The events of one job, in order, as they become durable: the outcomes of its tasks, and its end.
///
/// Dropping it gives the job up, for nobody would learn of its results; [`JobEvents::detach`] lets it go on.
#[derive(Debug)]
pub struct JobEvents {
    job: JobId,
    mailbox: Arc<Mailbox>,
    detached: bool,
}

impl JobEvents {
    /// The job.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// The next event; `None` after the job's end. Where the run broke, there is no event that says how it ended.
    ///
    /// **Cancel safety**: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let news = self.mailbox.news.notified();
            match self.mailbox.take() {
                Taken::Event(event) => return Some(*event),
                Taken::Over => return None,
                Taken::Nothing => news.await,
            }
        }
    }

    /// Lets the job go on though nobody reads of it any more.
    pub fn detach(mut self) {
        self.detached = true;
        self.mailbox.detached.store(true, Ordering::Relaxed);
        self.mailbox.lock().events.clear();
        self.mailbox.wake.notify_one();
    }
}

impl Drop for JobEvents {
    fn drop(&mut self) {
        if !self.detached {
            self.mailbox.abandoned.store(true, Ordering::Relaxed);
            self.mailbox.wake.notify_one();
        }
    }
}

/// A wish for more budget, and who made it.
#[derive(Debug)]
pub(crate) struct Raise {
    pub(crate) amount: Glm,
    pub(crate) answer: oneshot::Sender<Result<Glm, BudgetError>>,
}

/// The requests of a handle to the run.
#[derive(Debug)]
pub(crate) enum Command {
    Submit(Box<Submission>),
    Add { job: JobId, tasks: Vec<Value> },
    Cancel(JobId),
    Raise(Raise),
}

#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) job: JobId,
    pub(crate) worker: Arc<dyn Worker>,
    pub(crate) source: JobSource,
    pub(crate) options: JobOptions,
    pub(crate) outlet: Outlet,
}

/// The run's side of its handles.
#[derive(Debug)]
pub(crate) struct Door {
    /// Nothing more comes once every handle is gone.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Some job's reader has caught up or gone.
    pub(crate) wake: Arc<Notify>,
    pub(crate) closed: CancellationToken,
}

impl Door {
    /// A door and a handle to it; the first job that is handed in gets this id.
    pub(crate) fn new(first: JobId) -> (Self, Handle) {
        let (sender, commands) = mpsc::channel(COMMAND_QUEUE);
        let (wake, closed) = (Arc::new(Notify::new()), CancellationToken::new());
        let next_job = Arc::new(AtomicU64::new(first.0));
        let handle = Handle { commands: sender, next_job, wake: Arc::clone(&wake), closed: closed.clone() };
        (Self { commands, wake, closed }, handle)
    }
}

#[derive(Debug, Default)]
struct Mailbox {
    inner: Mutex<Letters>,
    news: Notify,
    wake: Arc<Notify>,
    abandoned: AtomicBool,
    detached: AtomicBool,
}

#[derive(Debug, Default)]
struct Letters {
    events: VecDeque<Event>,
    over: bool,
}

enum Taken {
    Event(Box<Event>),
    Nothing,
    Over,
}

impl Mailbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Letters> {
        // Nothing is done under the lock that could leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Taken {
        let mut letters = self.lock();
        let Some(event) = letters.events.pop_front() else {
            return if letters.over { Taken::Over } else { Taken::Nothing };
        };
        if letters.events.len() == MAILBOX / 2 {
            self.wake.notify_one();
        }
        Taken::Event(Box::new(event))
    }
}

/// The run's end of a job's events; when it is dropped there will be no more.
#[derive(Debug)]
pub(crate) struct Outlet(Arc<Mailbox>);

impl Outlet {
    pub(crate) fn send(&self, event: Event) {
        if !self.0.detached.load(Ordering::Relaxed) {
            self.0.lock().events.push_back(event);
            self.0.news.notify_one();
        }
    }

    /// True if the reader is so far behind that no more tasks should be read.
    pub(crate) fn is_full(&self) -> bool {
        self.0.lock().events.len() > MAILBOX / 2
    }

    /// True if the reader has gone, and with it whoever wanted the results.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.abandoned.load(Ordering::Relaxed)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.news.notify_one();
    }
}
