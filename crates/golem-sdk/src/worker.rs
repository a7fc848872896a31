//! Workers: what is done on each provider, and the tasks handed to it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use golem_core::event::{ActivityNo, Attempt, AttemptFailure, FailureKind, JobId, RentalId, TaskOutput};
use golem_core::run::{Input, WorkerFailure};
use golem_core::tasks::AssignedTask;
use serde_json::Value;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::time::Instant;
use yagna_api::activity::Deploy;

use crate::context::{ScriptError, Scripts, WorkContext};
use crate::error::Error;
use crate::text::chain;

/// Does tasks on a provider's machine. [`crate::jobs`] has an example; whoever can do without a trait hands a function to
/// an [`Executor`](crate::Executor).
///
/// [`Worker::work`] is called once for each activity. What it does before it asks for its first task is done once
/// per provider; then it asks for tasks until there are none. What it does after the last one must be short: it has
/// as long as a run that stops gives to running tasks. It is dropped, at any await, when its rental ends otherwise.
pub trait Worker: Send + Sync {
    /// Works on one activity until there is nothing more to do.
    ///
    /// An error ends the rental with this provider, who is then left alone for a while; tasks in its hands are tried
    /// elsewhere. It isn't held against the provider where nobody could have done better: of a script that can't be sent
    /// ([`FailureKind::Invalid`]), of a task that has failed elsewhere too, of words that all providers there are say.
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>>;

    /// True if each activity is deployed and started before [`Worker::work`] is called. Otherwise the worker does so
    /// itself, first of all, by [`WorkContext::deploy`] and [`WorkContext::start`]: with networks and
    /// arguments.
    fn implicit_start(&self) -> bool {
        true
    }

    /// The way in which activities are deployed that are started before [`Worker::work`] is called: with volumes, for example.
    fn deployment(&self) -> Deploy {
        Deploy::default()
    }
}

impl fmt::Debug for dyn Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

/// The reason why a worker can't continue on its provider.
///
/// The operator `?` makes one of every error type, and keeps the error with its causes. Like [`Error`], it doesn't
/// implement [`std::error::Error`] itself.
#[non_exhaustive]
pub enum WorkerError {
    /// A script couldn't be carried out.
    Script(ScriptError),
    /// The preparation before the first task failed.
    Setup {
        /// The error in words.
        message: String,
    },
    /// Any other error.
    Other(Error),
}

impl WorkerError {
    /// An error in the worker's own words.
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other(Error::msg(message))
    }

    /// The error and its causes in one line.
    pub fn in_a_line(&self) -> String {
        match self {
            Self::Script(error) => chain(error),
            Self::Setup { .. } => self.to_string(),
            Self::Other(error) => error.in_a_line(),
        }
    }

    /// The failure as the run is told of it.
    pub(crate) fn to_failure(&self) -> WorkerFailure {
        let kind = match self {
            Self::Script(error) => error.kind(),
            Self::Setup { .. } | Self::Other(_) => FailureKind::CommandFailed,
        };
        WorkerFailure { kind, message: self.in_a_line() }
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for WorkerError {
    fn from(error: E) -> Self {
        Error::from(error).into()
    }
}

impl From<Error> for WorkerError {
    fn from(error: Error) -> Self {
        error.downcast().map_or_else(Self::Other, Self::Script)
    }
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(error) => error.fmt(f),
            Self::Setup { message } => write!(f, "set-up failed: {message}"),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(error) => f.debug_tuple("Script").field(error).finish(),
            Self::Setup { message } => f.debug_struct("Setup").field("message", message).finish(),
            Self::Other(error) => error.fmt(f),
        }
    }
}

/// The tasks for one worker.
#[derive(Debug)]
pub struct Tasks {
    pub(crate) rental: RentalId,
    pub(crate) no: ActivityNo,
    pub(crate) job: JobId,
    pub(crate) assigned: mpsc::Receiver<Vec<AssignedTask>>,
    pub(crate) inputs: mpsc::Sender<Input>,
    /// Tasks that an earlier process had given to the worker of this activity.
    pub(crate) again: Vec<AssignedTask>,
    pub(crate) scripts: Arc<Scripts>,
}

impl Tasks {
    /// Waits for the next task; `None` when there will be no more.
    ///
    /// **Cancel safety**: as that of [`Tasks::next_pack`].
    pub async fn next(&mut self) -> Option<Task> {
        if self.again.len() > 1 {
            // They were handed over together; this worker takes them one by one.
            self.scripts.in_hands();
            let first = self.again.remove(0);
            return Some(self.hand_over(first, Instant::now()));
        }
        self.next_pack(1).await?.pop()
    }

    /// Waits for the next tasks, at least one and at most `room`: short tasks go faster several at a time.
    ///
    /// `None` when there will be no more.
    ///
    /// **Cancel safety**: tasks handed over while this future is dropped are given back when the rental ends.
    pub async fn next_pack(&mut self, room: usize) -> Option<Vec<Task>> {
        let assigned = if self.again.is_empty() {
            self.scripts.live();
            let ready = Input::WorkerReady { rental: self.rental, no: self.no, room };
            self.inputs.send(ready).await.ok()?;
            self.assigned.recv().await?
        } else {
            // Tasks that were packed together once are packed together again.
            self.scripts.in_hands();
            std::mem::take(&mut self.again)
        };
        let started = Instant::now();
        Some(assigned.into_iter().map(|task| self.hand_over(task, started)).collect())
    }

    fn hand_over(&self, task: AssignedTask, started: Instant) -> Task {
        Task {
            attempt: task.attempt,
            data: task.data,
            started,
            rental: self.rental,
            inputs: self.inputs.clone(),
        }
    }

    /// The job that the tasks belong to.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// Adds tasks to the job, such as those that a result gives rise to. Done before that result is handed in, they
    /// never come too late.
    ///
    /// **Cancel safety**: where the future is dropped, all of them have been added or none.
    pub async fn add(&self, tasks: Vec<Value>) {
        // The engine only stops listening when the run is over, and then nothing is begun any more.
        self.inputs.send(Input::MoreTasks { job: self.job, data: tasks }).await.ok();
    }
}

/// One attempt of one task, in a worker's hands. It must be answered: [`Task::done`], [`Task::failed`], [`Task::reject`] or
/// [`Task::give_back`]. A task that is dropped counts as lost when the worker ends.
///
/// **Cancel safety** of all answers: where the future is dropped the answer may be lost, as if the task had been.
#[derive(Debug)]
#[must_use = "a task must be answered"]
pub struct Task {
    attempt: Attempt,
    data: Arc<Value>,
    started: Instant,
    rental: RentalId,
    inputs: mpsc::Sender<Input>,
}

impl Task {
    /// The task's number in the run, from 0.
    pub fn index(&self) -> u64 {
        self.attempt.task.0
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// The task's data.
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// Since when it has been in the worker's hands.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Hands in its result: the task is done, and took as long as it was in the worker's hands.
    pub async fn done(self, output: TaskOutput) {
        let took = self.started.elapsed();
        self.done_after(output, took).await;
    }

    /// Hands in its result, with the time that it took alone where several tasks were done together.
    pub async fn done_after(self, output: TaskOutput, took: Duration) {
        self.done_with(output, took, Vec::new()).await;
    }

    /// Hands in its result and the tasks that it gives rise to. They join the job together with the result, so a task
    /// that is tried again adds them once.
    pub async fn done_with(self, output: TaskOutput, took: Duration, more: Vec<Value>) {
        let input = Input::AttemptDone { rental: self.rental, attempt: self.attempt, output, took, more };
        self.answer(input).await;
    }

    /// This attempt failed. The task is tried again, elsewhere where that can be, while it has attempts left; one whose failure is
    /// [`FailureKind::Invalid`] isn't, for it would fail everywhere.
    pub async fn failed(self, failure: AttemptFailure) {
        self.fail(failure, true).await;
    }

    /// This attempt failed, and no other one would do better: the task has failed for good. Its provider isn't set back for it.
    pub async fn failed_for_good(self, failure: AttemptFailure) {
        self.fail(failure, false).await;
    }

    /// The result is no good. With `retry` the task is tried again, while it has attempts left; without it has failed
    /// for good, which is not held against the provider.
    pub async fn reject(self, reason: impl Into<String>, retry: bool) {
        let failure = AttemptFailure::new(FailureKind::Rejected, reason);
        self.fail(failure, retry).await;
    }

    async fn fail(self, failure: AttemptFailure, retry: bool) {
        let input = Input::AttemptFailed { rental: self.rental, attempt: self.attempt, failure, retry };
        self.answer(input).await;
    }

    /// It was never begun: it costs the task no attempt.
    pub async fn give_back(self) {
        let input = Input::AttemptCancelled { rental: self.rental, attempt: self.attempt };
        self.answer(input).await;
    }

    /// Waits until its answer can be handed in at once; `None` when nobody wants it any more.
    ///
    /// **Cancel safety**: nothing has been said where the future is dropped.
    pub(crate) async fn room(&self) -> Option<OwnedPermit<Input>> {
        self.inputs.clone().reserve_owned().await.ok()
    }

    /// Hands in its result, which took so long, at once.
    pub(crate) fn done_now(self, room: OwnedPermit<Input>, output: TaskOutput, took: Duration) {
        let (rental, attempt) = (self.rental, self.attempt);
        room.send(Input::AttemptDone { rental, attempt, output, took, more: Vec::new() });
    }

    /// Says at once that its result is no good.
    pub(crate) fn reject_now(self, room: OwnedPermit<Input>, reason: String, retry: bool) {
        let failure = AttemptFailure::new(FailureKind::Rejected, reason);
        let (rental, attempt) = (self.rental, self.attempt);
        room.send(Input::AttemptFailed { rental, attempt, failure, retry });
    }

    async fn answer(self, input: Input) {
        // The engine only stops listening when the run is over, and then nobody wants the answer.
        self.inputs.send(input).await.ok();
    }
}
