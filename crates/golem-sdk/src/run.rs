//! A run: what to give it, how to start and stop it, how it ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use golem_core::event::{Event, EventKind, JobId, RunEnd, TaskId};
use golem_core::run::RunConfig;
use golem_core::source::SourceMark;
use golem_core::state::RunState;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use yagna_api::identity::GetMe;
use yagna_api::{AppSessionId, Clock, NodeId, Timestamp};
use yagna_client::{Client, ClientError};

use crate::account::{lacks_account, remedy};
use crate::context::Witness;
use crate::engine::{Engine, recover};
use crate::jobs::{Door, Handle};
use crate::journal::{Journal, JournalError};
use crate::reading::{Reading, ReadingError};
use crate::worker::Worker;

/// Where tasks come from: their data, in order; each may fail to be read.
pub type TaskSource = Box<dyn Iterator<Item = Result<Value, String>> + Send>;

/// What a run is given beside its work.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What the run is to keep to.
    pub config: RunConfig,
    /// The payment driver, such as `erc20`.
    pub driver: String,
    /// The chain to pay on, such as `hoodi`.
    pub network: String,
    /// The session under which the daemon keeps the run's agreements; the same for the same run, always.
    pub session: AppSessionId,
    /// How long things may take.
    pub timing: Timing,
}

impl RunOptions {
    /// The payment platform's name: `erc20-hoodi-tglm`.
    pub fn platform(&self) -> String {
        platform(&self.driver, &self.network)
    }
}

/// Asks the daemon who we are, once: tells at once whether it is there and takes the key.
///
/// **Errors**: [`RunError::Unreachable`], [`RunError::NotYagna`], [`RunError::Unauthorised`], or what else the daemon said.
pub async fn greet(client: &Client) -> Result<NodeId, RunError> {
    match client.call_once(&GetMe).await {
        Ok(me) => Ok(me.identity),
        Err(source) => Err(RunError::at_greeting(client, source)),
    }
}

/// The end of a run of which nothing is left to be done, awaited or given back: taking it up again would change nothing.
pub fn nothing_left(past: &RunState) -> Option<RunEnd> {
    recover::nothing_left(past)
}

/// Has everything that a run had begun at the daemon its end, and is nothing awaited from there? Then there is nothing to
/// [settle](Run::settling), though there may be tasks left to do.
pub fn nothing_open(past: &RunState) -> bool {
    recover::nothing_open(past)
}

/// The name of the payment platform of a driver on a network: `glm` where it is money, `tglm` elsewhere.
pub fn platform(driver: &str, network: &str) -> String {
    let token = if matches!(network, "mainnet" | "polygon") { "glm" } else { "tglm" };
    format!("{driver}-{network}-{token}")
}

/// How long each phase of a deal may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A provider's decision on an agreement.
    pub approval: Duration,
    /// An activity's creation.
    pub creation: Duration,
    /// Its preparation: fetching the image, starting the runtime.
    pub deployment: Duration,
    /// The end of an agreement. The end of an activity is given four seconds of it at the most: its agreement's end follows, and
    /// ends it for certain.
    pub destruction: Duration,
    /// How often the run looks at the clock.
    pub tick: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            approval: Duration::from_secs(60),
            creation: Duration::from_secs(60),
            deployment: Duration::from_secs(10 * 60),
            destruction: Duration::from_secs(15),
            tick: Duration::from_millis(500),
        }
    }
}

/// Why a run couldn't begin or go on. Its agreements are ended first, as far as the daemon lets it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No daemon answers.
    #[error("no yagna daemon answers at {address}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What happened.
        #[source]
        source: ClientError,
    },
    /// The daemon doesn't accept the app key.
    #[error("the yagna daemon at {address} doesn't accept the app key")]
    Unauthorised {
        /// Which daemon.
        address: String,
        /// What it said.
        #[source]
        source: ClientError,
    },
    /// Something answers at the daemon's address, but not as a yagna daemon does.
    #[error("what answers at {address} is not a yagna daemon")]
    NotYagna {
        /// Where it was looked for.
        address: String,
        /// What was answered.
        #[source]
        source: ClientError,
    },
    /// The money couldn't be set aside.
    #[error("{amount} GLM can't be set aside on {driver}/{network}")]
    Allocation {
        /// How much.
        amount: yagna_api::Glm,
        /// The payment driver.
        driver: String,
        /// The chain.
        network: String,
        /// What the daemon said.
        #[source]
        source: ClientError,
    },
    /// The daemon failed at something that a run can't do without.
    #[error("the daemon failed to prepare the run")]
    Daemon(#[from] ClientError),
    /// The source of the tasks isn't the one that was read, or can't be read.
    #[error(transparent)]
    Source(Box<ReadingError>),
    /// The events couldn't be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A part of the engine broke: a bug.
    #[error("a part of the engine broke: {0}")]
    Broken(String),
}

impl RunError {
    /// Which command mends it, where it is for want of an account on the driver and network, or of funds in it.
    pub fn account_remedy(&self) -> Option<String> {
        match self {
            Self::Allocation { driver, network, source, .. } if lacks_account(source) => {
                Some(remedy(driver, network))
            }
            _ => None,
        }
    }

    pub(crate) fn at_greeting(client: &Client, source: ClientError) -> Self {
        let address = client.address().to_owned();
        if source.is_of_another_program() {
            Self::NotYagna { address, source }
        } else if source.is_unauthorised() {
            Self::Unauthorised { address, source }
        } else if source.is_unreachable() || matches!(source, ClientError::TimedOut { .. }) {
            Self::Unreachable { address, source }
        } else {
            Self::Daemon(source)
        }
    }
}

/// Events as they become durable, in order.
///
/// The queue is bounded and never holds up the run: a reader that falls far behind misses events, and is told how
/// many by [`Events::missed`]. The journal has them all.
#[derive(Debug)]
pub struct Events {
    pub(crate) receiver: mpsc::Receiver<Arc<Vec<Event>>>,
    pub(crate) missed: Arc<std::sync::atomic::AtomicU64>,
}

impl Events {
    /// The next events, at least one; `None` when the run is over.
    ///
    /// **Cancel safety**: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Arc<Vec<Event>>> {
        self.receiver.recv().await
    }

    /// How many events this reader has missed since it was last asked.
    pub fn missed(&self) -> u64 {
        self.missed.swap(0, std::sync::atomic::Ordering::Relaxed)
    }
}

/// One run on the Golem Network: one budget and one place on the market, for one job or for any number.
///
/// An [`Executor`](crate::Executor) is a run with workers and tasks of any type. Whoever wants to store tasks and results,
/// and to go on with them in another process, uses a run itself, with a [`Journal`] that keeps its events;
/// [`crate::jobs`] has an example.
pub struct Run {
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) first: Option<OneJob>,
    pub(crate) door: Door,
    pub(crate) handle: Handle,
    pub(crate) options: RunOptions,
    pub(crate) readers: Vec<Reader>,
    pub(crate) stop: CancellationToken,
    /// Who may want to know of scripts.
    pub(crate) witness: Option<Arc<dyn Witness>>,
    pub(crate) past: Option<Box<RunState>>,
    /// Tasks that failed for good before and are tried afresh.
    pub(crate) retried: Vec<FailedTask>,
    /// Is it taken up only to be brought to an end?
    pub(crate) settles: bool,
}

impl From<ReadingError> for RunError {
    fn from(error: ReadingError) -> Self {
        Self::Source(Box::new(error))
    }
}

/// The job that a run is made with.
pub(crate) struct OneJob {
    pub(crate) worker: Arc<dyn Worker>,
    pub(crate) tasks: Reading,
}

impl OneJob {
    /// Brings the source to where it was read before. True if there is more in it, and the run's end was reached without it.
    pub(crate) fn has_more_than(&mut self, past: &RunState) -> Result<bool, ReadingError> {
        if past.next_job == JobId::FIRST.0 {
            return Ok(false);
        }
        if self.tasks.mark() == SourceMark::default() && past.source.read > 0 {
            self.tasks.go_behind(past.source)?;
        }
        let had_all =
            past.jobs.get(&JobId::FIRST).map_or_else(|| past.first_over.is_some(), |job| job.exhausted);
        Ok(had_all && !past.has_enough && self.tasks.has_more())
    }

    /// The events by which the job has more to do than its past says: new tasks in its source, or tasks that are tried afresh.
    pub(crate) fn reopened(
        &mut self,
        past: &mut RunState,
        retried: Vec<FailedTask>,
        now: Timestamp,
    ) -> Result<Vec<Event>, ReadingError> {
        let job = JobId::FIRST;
        let has_more = self.has_more_than(past)?;
        let retried = if past.has_enough { Vec::new() } else { retried };
        let is_over = !past.jobs.contains_key(&job);
        let reopens = has_more || (is_over && !retried.is_empty());
        let tasks = retried.into_iter().map(|FailedTask { task, data, attempts }| EventKind::TaskReopened {
            job,
            task,
            data,
            attempts,
        });
        let kinds = reopens.then_some(EventKind::JobReopened { job }).into_iter().chain(tasks);
        let events: Vec<_> = kinds.map(|kind| Event { at: now, kind }).collect();
        for event in &events {
            past.apply(event);
        }
        Ok(events)
    }
}

/// A task of an earlier life of a run that failed for good.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedTask {
    /// The task.
    pub task: TaskId,
    /// Its data.
    pub data: Value,
    /// The number of its attempts so far.
    pub attempts: u32,
}

pub(crate) struct Reader {
    pub(crate) sender: mpsc::Sender<Arc<Vec<Event>>>,
    pub(crate) missed: Arc<std::sync::atomic::AtomicU64>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Run {
    /// Batches of events that a reader may be behind before it misses some.
    const READER_QUEUE: usize = 16_384;

    /// Prepares a run with one job; nothing happens before [`Run::run`].
    pub fn new(
        client: Client,
        clock: Arc<dyn Clock>,
        journal: Arc<dyn Journal>,
        worker: Arc<dyn Worker>,
        tasks: TaskSource,
        options: RunOptions,
    ) -> Self {
        let first = Some(OneJob { worker, tasks: Reading::new(tasks) });
        Self::prepared(client, clock, journal, options, first)
    }

    /// Prepares a run that stands ready for jobs, which come by its [`Run::handle`]; nothing happens before
    /// [`Run::run`].
    pub fn standing(
        client: Client,
        clock: Arc<dyn Clock>,
        journal: Arc<dyn Journal>,
        options: RunOptions,
    ) -> Self {
        Self::prepared(client, clock, journal, options, None)
    }

    fn prepared(
        client: Client,
        clock: Arc<dyn Clock>,
        journal: Arc<dyn Journal>,
        mut options: RunOptions,
        first: Option<OneJob>,
    ) -> Self {
        options.config.standing = first.is_none();
        let (door, handle) = Door::new(if first.is_some() { JobId(1) } else { JobId::FIRST });
        Self {
            client,
            clock,
            journal,
            first,
            door,
            handle,
            options,
            readers: Vec::new(),
            stop: CancellationToken::new(),
            witness: None,
            past: None,
            retried: Vec::new(),
            settles: false,
        }
    }

    /// Takes a run up only to bring it to an end: nothing more is begun, what runs at the daemon is ended, and its bills
    /// are settled. What it had left to do stays, so that it can still be [resumed](Self::resumed).
    ///
    /// The run must have the session of the earlier one. Nothing is published: of the payload nothing is used.
    pub fn settling(
        client: Client,
        clock: Arc<dyn Clock>,
        journal: Arc<dyn Journal>,
        past: RunState,
        options: RunOptions,
    ) -> Self {
        Self { settles: true, ..Self::prepared(client, clock, journal, options, None).resumed(past) }
    }

    /// Takes a run up again whose process has ended, however it did. `past` is the fold of its events.
    ///
    /// Its first job is gone on with: the source is compared with what was read of it, and read on from there; where tasks were
    /// added to it, a job that was over is reopened. Jobs that came by a [`Handle`] are
    /// cancelled, for nobody has their workers any more. What had been begun at the daemon is found there, and gone
    /// on with or ended; bills that came meanwhile are settled. A past without anything in it makes a new run.
    ///
    /// The run must have the session of the earlier one.
    #[must_use]
    pub fn resumed(mut self, past: RunState) -> Self {
        self.handle.begin_at(JobId(past.next_job));
        self.past = (!past.is_empty()).then(|| Box::new(past));
        self
    }

    /// Reads the tasks of its own job from here instead. Where the run is [resumed](Self::resumed), and something has been read
    /// of this source already, it is taken as it is, and not compared once more.
    #[must_use]
    pub fn reading(mut self, tasks: Reading) -> Self {
        if let Some(job) = &mut self.first {
            job.tasks = tasks;
        }
        self
    }

    /// Tries these tasks of its own job afresh, which failed for good before: their earlier attempts no longer count. It holds for a run
    /// that is [resumed](Self::resumed) and that no result has ended.
    #[must_use]
    pub fn retrying(mut self, tasks: Vec<FailedTask>) -> Self {
        self.retried = tasks;
        self
    }

    /// A way into the run for further jobs. A run that isn't standing takes them until its last one is over.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// A reader of the run's events, from the first on.
    pub fn events(&mut self) -> Events {
        let (sender, receiver) = mpsc::channel(Self::READER_QUEUE);
        let missed = Arc::default();
        self.readers.push(Reader { sender, missed: Arc::clone(&missed) });
        Events { receiver, missed }
    }

    /// Cancelling this token stops the run in an orderly way: no new work, running tasks get a short grace,
    /// agreements are ended and bills settled, each for a bounded time.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs until every task has its end, or the run is stopped or can't go on. A standing run goes on until it is
    /// closed, or until nobody has a handle of it and its jobs are over.
    ///
    /// **Errors**: [`RunError`] when it can't begin, when its events can't be written down, or when a part of it broke.
    /// What goes wrong with a provider, a task or a bill is an event, never an error.
    ///
    /// **Cancel safety**: dropping the future leaves at once. What was written down stays; agreements are left to
    /// their providers' time-outs, and their bills to a later settlement.
    pub async fn run(mut self) -> Result<RunEnd, RunError> {
        let has_more = match (&mut self.first, self.past.as_deref()) {
            (Some(job), Some(past)) => job.has_more_than(past)?,
            _ => false,
        };
        let over = |past: &RunState| {
            if self.settles {
                past.end.clone().filter(|_| nothing_open(past))
            } else {
                nothing_left(past).filter(|_| !has_more && self.retried.is_empty())
            }
        };
        if let Some(end) = self.past.as_deref().and_then(over) {
            return Ok(end);
        }
        // What it holds is large; whoever waits for a run needn't be.
        let engine = Box::pin(Engine::prepare(self)).await?;
        Box::pin(engine.run()).await
    }
}
