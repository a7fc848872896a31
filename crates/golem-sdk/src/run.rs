//! A run: what to give it, how to start and stop it, how it ends.

use std::fmt;
use std::sync::Arc;

use golem_core::event::{JobId, RunEnd};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use yagna_api::identity::GetMe;
use yagna_api::{Clock, NodeId};
use yagna_client::Client;

use crate::context::Witness;
use crate::engine::{Engine, recover};
use crate::jobs::{Door, Handle};
use crate::journal::Journal;
use crate::reading::Reading;
use crate::worker::Worker;

mod error;
mod options;
mod parts;

pub use golem_core::run::RunConfig;
pub use golem_core::state::RunState;

pub use self::error::RunError;
pub use self::options::{RunOptions, Timing, platform};
pub use self::parts::{Events, FailedTask};
pub(crate) use self::parts::{OneJob, Reader};
pub use crate::reading::TaskSource;

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
pub fn nothing_left(state: &RunState) -> Option<RunEnd> {
    recover::nothing_left(state)
}

/// True if everything that a run began at the daemon has ended, and nothing is awaited from there. Then there is
/// nothing to [settle](Run::settling), though there may be tasks left to do.
pub fn nothing_open(state: &RunState) -> bool {
    recover::nothing_open(state)
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
    /// The witness that may want to know of scripts.
    pub(crate) witness: Option<Arc<dyn Witness>>,
    pub(crate) state: Option<Box<RunState>>,
    /// Tasks that failed for good before and are tried afresh.
    pub(crate) retried: Vec<FailedTask>,
    /// True if the run is resumed only to be ended.
    pub(crate) settles: bool,
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
            state: None,
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
        state: RunState,
        options: RunOptions,
    ) -> Self {
        Self { settles: true, ..Self::prepared(client, clock, journal, options, None).resumed(state) }
    }

    /// Resumes a run whose process has ended, however it did. `state` is the fold of its events.
    ///
    /// Its first job is gone on with: the source is compared with what was read of it, and read on from there; where tasks were
    /// added to it, a job that was over is reopened. Jobs that came by a [`Handle`] are
    /// cancelled, for nobody has their workers any more. What had been begun at the daemon is found there, and gone
    /// on with or ended; bills that came meanwhile are settled. An empty state makes a new run.
    ///
    /// The run must have the session of the earlier one.
    #[must_use]
    pub fn resumed(mut self, state: RunState) -> Self {
        self.handle.begin_at(JobId(state.next_job));
        self.state = (!state.is_empty()).then(|| Box::new(state));
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

    /// Runs until every task is finished, or the run is stopped or can't go on. A standing run goes on until it is
    /// closed, or until nobody has a handle of it and its jobs are over.
    ///
    /// **Errors**: [`RunError`] when it can't begin, when its events can't be written down, or when a part of it broke.
    /// What goes wrong with a provider, a task or a bill is an event, never an error.
    ///
    /// **Cancel safety**: dropping the future leaves at once. What was written down stays; agreements are left to
    /// their providers' time-outs, and their bills to a later settlement.
    pub async fn run(mut self) -> Result<RunEnd, RunError> {
        let has_more = match (&mut self.first, self.state.as_deref()) {
            (Some(job), Some(state)) => job.has_more_than(state)?,
            _ => false,
        };
        let over = |state: &RunState| {
            if self.settles {
                state.end.clone().filter(|_| nothing_open(state))
            } else {
                nothing_left(state).filter(|_| !has_more && self.retried.is_empty())
            }
        };
        if let Some(end) = self.state.as_deref().and_then(over) {
            return Ok(end);
        }
        // Its state is large; the future that waits for a run needn't be.
        let engine = Box::pin(Engine::prepare(self)).await?;
        Box::pin(engine.run()).await
    }
}
