//! The executor: tasks in, finished tasks out, on as many providers as wanted.
//!
//! An [`Executor`] has a payload, a budget and a time-out. It is handed jobs by [`Executor::submit`]: a worker function
//! and tasks of any type. What comes back is a stream of finished tasks, in the order in which they are done. How
//! providers are found, what they may cost and how they are paid is the business of the run beneath it, [`crate::run`];
//! what a worker does on its provider is that of [`crate::context`].
//!
//! # A first program
//!
//! On the Golem Network it needs a running `yagna` daemon and its key in `YAGNA_APPKEY`; here, the client of a devnet is
//! all the difference.
//! ```
//! # use std::sync::Arc;
//! use std::time::Duration;
//!
//! use golem_sdk::payload::Payload;
//! use golem_sdk::executor::Executor;
//! # use golem_devnet::devnet::Devnet;
//! # use yagna_client::{Client, InProcessTransport};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(2).start().await?;
//! # let client = Client::new(Arc::new(InProcessTransport::new(devnet.router(), &devnet.requestor().key)?));
//! let executor = Executor::builder(Payload::default())
//!     .max_workers(2)
//!     .budget("0.5")
//!     .timeout(Duration::from_secs(600))
//!     .client(client)
//!     .start()
//!     .await?;
//! let mut squares = executor.submit(
//!     async |mut ctx, mut tasks| {
//!         // What is done here is done once for each provider.
//!         while let Some(task) = tasks.next().await {
//!             let square = ctx.shell(format!("echo $(( {n} * {n} ))", n = task.data()));
//!             let done = ctx.commit(Duration::from_secs(60)).await?;
//!             match done[square].stdout().trim() {
//!                 "" => task.reject_result("nothing came of it", true).await,
//!                 printed => task.accept_result(printed.to_owned()).await,
//!             }
//!         }
//!         Ok(())
//!     },
//!     0..8,
//! );
//! while let Some(task) = squares.try_next().await? {
//!     println!("{} squared is {}, says {}", task.data(), task.result(), task.provider().name);
//! #   assert_eq!(task.result(), &(task.data() * task.data()).to_string());
//! }
//! let summary = executor.close().await?;
//! println!("{} tasks for {} GLM", summary.done, summary.cost);
//! # assert_eq!((summary.done, summary.failed), (8, 0));
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Tasks that give rise to tasks
//!
//! A worker may [add tasks](Tasks::add) to its own job. A job that is fed from outside takes a stream, by
//! [`Executor::submit_stream`]: the results of one job may be the tasks of another, and what the reader of results finds
//! may go back into the stream. Here, the first task says how many parts there are:
//! ```
//! # use std::sync::Arc;
//! # use golem_sdk::payload::Payload;
//! # use golem_sdk::executor::Executor;
//! # use golem_devnet::devnet::Devnet;
//! # use yagna_client::{Client, InProcessTransport};
//! enum Part {
//!     Plan,
//!     Work(u32),
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(1).start().await?;
//! # let client = Client::new(Arc::new(InProcessTransport::new(devnet.router(), &devnet.requestor().key)?));
//! # let executor = Executor::builder(Payload::default()).client(client).start().await?;
//! let mut done = executor.submit(
//!     async |_ctx, mut tasks| {
//!         while let Some(task) = tasks.next().await {
//!             let result = match task.data() {
//!                 Part::Plan => {
//!                     tasks.add_all((1..=4).map(Part::Work)).await;
//!                     0
//!                 }
//!                 Part::Work(n) => n * 10,
//!             };
//!             task.accept_result(result).await;
//!         }
//!         Ok(())
//!     },
//!     [Part::Plan],
//! );
//! let mut sum = 0;
//! while let Some(task) = done.try_next().await? {
//!     sum += task.result();
//! }
//! assert_eq!(sum, 100);
//! executor.close().await?;
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # When things fail
//!
//! - A task that fails, is rejected with `retry`, is dropped by its worker or whose provider is lost is tried again,
//!   elsewhere where that can be, up to [`ExecutorBuilder::retries`] times. Then it has failed for good; the others go
//!   on.
//! - A task that isn't answered is tried again too; whether it was the worker that forgot it or its provider that went
//!   makes no difference.
//! - A worker that returns an error or panics is ended, and with it the rental; its provider gets no tasks for a while.
//! - A job that doesn't get all its tasks done ends with a [`SubmitError`]. It comes after the last result and says
//!   why, which tasks failed, and which weren't finished.
//! - An executor that can't start says in its [`StartError`] what is missing and which command mends it.
//!
//! # How it ends
//!
//! [`Executor::close`] ends all jobs, ends every agreement, and waits until the bills are settled, for a bounded time.
//! An executor that is dropped does the same in the background, for as long as the async runtime lives: a `main` that
//! returns at once leaves agreements to their providers' time-outs, so close it. Dropping the stream of a job, or an
//! error in the loop that reads it, cancels that job only.
//!
//! With [`ExecutorBuilder::stop_on_ctrl_c`] a first Ctrl+C ends everything in order: the streams end with
//! [`EndCause::Cancelled`], and [`Executor::close`] settles. Without it, a program selects on its own signal and calls
//! [`Executor::stop`].

mod builder;
mod consumers;
mod error;
mod job;
mod map;
mod source;
mod submitted;
mod supervise;
mod table;
mod tasks;
mod watch;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use crate::payload::PayloadSpec;
use futures_util::{Stream, StreamExt};
use golem_core::event::RunEnd;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use yagna_api::{Clock, Glm};

pub use self::builder::ExecutorBuilder;
use self::consumers::Consumers;
pub use self::error::{CloseError, EndCause, StartError, SubmitError, TaskFailure};
pub use self::job::Job;
pub use self::map::{MapFailure, Mapped, Mapping, NotMapped};
pub use self::submitted::{Ended, Finished, Outcomes, Submitted};
pub use self::tasks::{Task, Tasks};
use self::watch::Watch;
use crate::budget::{Budget, BudgetError};
use crate::consumer::EventConsumer;
use crate::context::WorkContext;
use crate::jobs::Handle;
use crate::run::Events;
use crate::text::chain;
use crate::worker::WorkerError;

/// Runs jobs on the Golem Network, any number at once, within one budget and one time-out.
///
/// Dropping it ends everything in the background: jobs at once, agreements and bills within a bounded time.
#[doc(alias = "Golem")]
#[derive(Debug)]
pub struct Executor {
    handle: Handle,
    watch: Arc<Watch>,
    consumers: Arc<Consumers>,
    stop: CancellationToken,
    leave: CancellationToken,
    /// Taken by `close`.
    running: Option<JoinHandle<Result<RunEnd, CloseError>>>,
    driver: String,
    network: String,
    limits: Limits,
    implicit_start: bool,
    clock: Arc<dyn Clock>,
}

/// The limits that hold for all jobs together.
#[derive(Debug, Clone, Copy)]
struct Limits {
    timeout: Duration,
    /// `None` where the time-out is for ever.
    deadline: Option<Instant>,
}

impl Executor {
    /// Begins to set one up, for work on this payload.
    pub fn builder(payload: impl Into<PayloadSpec>) -> ExecutorBuilder {
        ExecutorBuilder::new(payload.into())
    }

    /// The payment driver, in lower case.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The chain that is paid on, in lower case.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The clock that the executor goes by.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Streams the events from now on. The queue is bounded and holds nobody up: a reader that falls far behind misses
    /// events, and is told how many.
    pub fn events(&self) -> Events {
        self.watch.events(false)
    }

    /// Hands a job in: the worker function does the tasks of an iterator. It begins at once, read or not.
    ///
    /// The worker is called once for each activity, that is once for each provider and job; it asks for tasks until
    /// there are none, and answers each. What it returns as an error ends the rental with its provider. It is dropped, at
    /// any await, when its rental ends otherwise.
    ///
    /// The iterator is read as tasks are wanted, and must not wait for others. Jobs share the providers by how much
    /// work they have.
    #[doc(alias = "execute_tasks")]
    pub fn submit<T, R, F, Work, I>(&self, worker: F, tasks: I) -> Submitted<T, R>
    where
        T: Send + Sync + 'static,
        R: Send + 'static,
        F: Fn(WorkContext, Tasks<T, R>) -> Work + Send + Sync + 'static,
        Work: Future<Output = Result<(), WorkerError>> + Send + 'static,
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        self.job(tasks).submit(worker)
    }

    /// Hands a job in whose tasks come from a stream, as they are wanted. Otherwise as [`Executor::submit`].
    pub fn submit_stream<T, R, F, Work, S>(&self, worker: F, tasks: S) -> Submitted<T, R>
    where
        T: Send + Sync + 'static,
        R: Send + 'static,
        F: Fn(WorkContext, Tasks<T, R>) -> Work + Send + Sync + 'static,
        Work: Future<Output = Result<(), WorkerError>> + Send + 'static,
        S: Stream<Item = T> + Send + 'static,
    {
        self.job_of_stream(tasks).submit(worker)
    }

    /// Hands a job in whose tasks come from a stream that may fail: its first error ends the job with
    /// [`EndCause::SourceFailed`]. Otherwise as [`Executor::submit`].
    pub fn submit_try_stream<T, R, F, Work, S, E>(&self, worker: F, tasks: S) -> Submitted<T, R>
    where
        T: Send + Sync + 'static,
        R: Send + 'static,
        F: Fn(WorkContext, Tasks<T, R>) -> Work + Send + Sync + 'static,
        Work: Future<Output = Result<(), WorkerError>> + Send + 'static,
        S: Stream<Item = Result<T, E>> + Send + 'static,
        E: Display + 'static,
    {
        self.job_of_try_stream(tasks).submit(worker)
    }

    /// Begins to make a job of an iterator's tasks, for what [`Executor::submit`] leaves out: how its tasks are
    /// described, retries and a time-out of its own.
    pub fn job<T, I>(&self, tasks: I) -> Job<'_, T>
    where
        T: Send + Sync + 'static,
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        Job::new(self, job::Source::Iterator(Box::new(tasks.into_iter())))
    }

    /// Begins to make a job of a stream's tasks.
    pub fn job_of_stream<T, S>(&self, tasks: S) -> Job<'_, T>
    where
        T: Send + Sync + 'static,
        S: Stream<Item = T> + Send + 'static,
    {
        Job::new(self, job::Source::Stream(tasks.map(Ok).boxed()))
    }

    /// Begins to make a job of the tasks of a stream that may fail, as [`Executor::submit_try_stream`] does.
    pub fn job_of_try_stream<T, S, E>(&self, tasks: S) -> Job<'_, T>
    where
        T: Send + Sync + 'static,
        S: Stream<Item = Result<T, E>> + Send + 'static,
        E: Display + 'static,
    {
        let tasks = tasks.map(|task| task.map_err(|error| error.to_string()));
        Job::new(self, job::Source::Stream(tasks.boxed()))
    }

    /// GLM that may be spent, as it is now.
    pub fn budget(&self) -> Budget {
        self.watch.budget()
    }

    /// Raises the budget in all by so much while it runs, and returns what it is then: the daemon sets more aside first.
    /// Limits for any hour or day stay as they are.
    ///
    /// Several at once add up. A job that has ended because the budget was reached isn't revived: raise it before.
    ///
    /// **Errors**: [`BudgetError`]: not enough in the account, a daemon that can't, an executor that is stopping.
    /// Nothing has changed then.
    ///
    /// **Cancel safety**: where the future is dropped, the budget may be raised all the same.
    pub async fn add_budget(&self, amount: Glm) -> Result<Glm, BudgetError> {
        self.handle.add_budget(amount).await
    }

    /// A handle of its run: for what outlives a borrow of the executor, such as raising its budget from another task.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Calls this with each event from now on; otherwise as [`ExecutorBuilder::event_consumer`]. An executor that has
    /// ended has nothing more to tell.
    pub fn add_event_consumer(&self, consumer: impl EventConsumer) {
        self.consumers.add(Box::new(consumer));
    }

    /// Stops it in order, as a first Ctrl+C does: no new work, a few seconds for what runs, agreements ended, bills
    /// settled. The streams of its jobs end with [`EndCause::Cancelled`]. It doesn't wait: [`Executor::close`] does.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Leaves at once: agreements are left to their providers' time-outs, their bills stay unsettled.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    /// Ends it: jobs that still go on end with [`EndCause::Closed`], agreements are ended, and the bills are settled, for
    /// a bounded time. Returns how it all went.
    ///
    /// **Errors**: [`CloseError`] when its run broke, or was left at once.
    ///
    /// **Cancel safety**: where the future is dropped, all this goes on in the background.
    pub async fn close(mut self) -> Result<RunEnd, CloseError> {
        self.handle.close();
        self.ended().await
    }

    /// Works with it, and then ends it as [`Executor::close`] does, whatever came of the work: an error, or a `?` in the
    /// loop that reads a stream, leaves nothing open. Returns what the work gave, and how it all went.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use golem_sdk::payload::Payload;
    /// # use golem_sdk::Executor;
    /// # use golem_devnet::devnet::Devnet;
    /// # use yagna_client::{Client, InProcessTransport};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let devnet = Devnet::builder().providers(2).start().await?;
    /// # let client = Client::new(Arc::new(InProcessTransport::new(devnet.router(), &devnet.requestor().key)?));
    /// # let executor = Executor::builder(Payload::default()).client(client).start().await?;
    /// let (sum, end) = executor
    ///     .scope(async |executor| {
    ///         let mut doubled = executor.submit(
    ///             async |_ctx, mut tasks| {
    ///                 while let Some(task) = tasks.next().await {
    ///                     let twice = task.data() * 2;
    ///                     task.accept_result(twice).await;
    ///                 }
    ///                 Ok(())
    ///             },
    ///             1..=4,
    ///         );
    ///         let mut sum = 0;
    ///         while let Some(task) = doubled.try_next().await? {
    ///             sum += task.result();
    ///         }
    ///         Ok::<_, Box<dyn std::error::Error>>(sum)
    ///     })
    ///     .await?;
    /// assert_eq!((sum, end.done), (20, 4));
    /// # devnet.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// **Errors**: the work's own; if it has none, [`CloseError`] as `close` has it.
    ///
    /// **Cancel safety**: where the future is dropped, so is the work, and the end goes on in the background.
    pub async fn scope<T, E>(self, work: impl AsyncFnOnce(&Self) -> Result<T, E>) -> Result<(T, RunEnd), E>
    where
        E: From<CloseError>,
    {
        let outcome = work(&self).await;
        match (outcome, self.close().await) {
            (Ok(value), Ok(end)) => Ok((value, end)),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), Ok(_)) => Err(error),
            (Err(error), Err(unclosed)) => {
                tracing::warn!(error = %chain(&unclosed), "the executor didn't end in order");
                Err(error)
            }
        }
    }

    /// Waits until there is money, or until it is clear that there will be none.
    async fn prepared(&mut self) -> Result<(), StartError> {
        let watch = Arc::clone(&self.watch);
        tokio::select! {
            biased;
            () = watch.prepared.cancelled() => Ok(()),
            ended = self.ended() => Err(match ended {
                Err(CloseError::Run(error)) => error.into(),
                _ => StartError::ShuttingDown,
            }),
        }
    }

    async fn ended(&mut self) -> Result<RunEnd, CloseError> {
        let Some(running) = &mut self.running else {
            return Err(CloseError::ShutDown);
        };
        let ended = running.await;
        self.running = None;
        ended.unwrap_or(Err(CloseError::ShutDown))
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.handle.close();
    }
}
