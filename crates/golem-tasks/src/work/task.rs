//! The interface of a job on an activity: its tasks as they come, and the actions on each.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use golem_core::event::{FailureKind, TaskId, TaskOutput};
use golem_sdk::text::panic_text;
use golem_sdk::{WorkContext, WorkerError};
use serde::Deserialize;
use tokio::time::timeout;

use super::error::failure;
use super::keys::Origin;
use super::shared::Shared;
use super::{Job, TaskError};

/// The tasks for one activity, as they come.
pub struct Tasks<'a, J: Job> {
    inner: &'a mut golem_sdk::Tasks,
    shared: &'a Shared<J>,
}

/// One attempt of one task.
///
/// A task that is dropped without an answer counts as lost when its worker ends.
pub struct Task<J: Job> {
    inner: golem_sdk::Task,
    data: J::Task,
    time_limit: Duration,
    added: Mutex<Vec<J::Task>>,
    ends_run: AtomicBool,
}

impl<J: Job> fmt::Debug for Tasks<'_, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<J: Job> fmt::Debug for Task<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<'a, J: Job> Tasks<'a, J> {
    pub(super) fn new(inner: &'a mut golem_sdk::Tasks, shared: &'a Shared<J>) -> Self {
        Self { inner, shared }
    }

    /// Waits for the next task; `None` when there will be no more, and the worker should end.
    pub async fn next(&mut self) -> Option<Task<J>> {
        self.next_pack(1).await?.pop()
    }

    /// Waits for the next tasks, at least one and at most `room`: short tasks go faster several in one batch.
    ///
    /// `None` when there will be no more.
    pub async fn next_pack(&mut self, room: usize) -> Option<Vec<Task<J>>> {
        loop {
            let pack = self.inner.next_pack(room.max(1)).await?;
            let mut tasks = Vec::with_capacity(pack.len());
            for inner in pack {
                match J::Task::deserialize(inner.data()) {
                    Ok(data) => tasks.push(Task {
                        inner,
                        data,
                        time_limit: self.shared.task_timeout,
                        added: Mutex::default(),
                        ends_run: AtomicBool::default(),
                    }),
                    // Written down by another version of the program: no provider could mend that.
                    Err(error) => {
                        let message = format!("the task as it was written down doesn't fit the job: {error}");
                        inner.failed(failure(FailureKind::Invalid, message)).await;
                    }
                }
            }
            if !tasks.is_empty() {
                return Some(tasks);
            }
        }
    }

    /// The longest time of one attempt at one task.
    pub fn time_limit(&self) -> Duration {
        self.shared.task_timeout
    }

    /// Does one task by [`Job::run`], within its time, and hands in what came of it.
    ///
    /// **Errors**: when nothing more can be done on this activity.
    pub async fn run_one(&self, ctx: &WorkContext, task: Task<J>) -> Result<(), WorkerError> {
        // Commands that a failed task has left in its queue don't concern the next one.
        let mut own = ctx.clone();
        let limit = task.time_limit;
        let run = AssertUnwindSafe(async { self.shared.job.run(&mut own, &task).await }).catch_unwind();
        let outcome = match timeout(limit, run).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(TaskError::Rejected(format!("the job panicked: {}", panic_text(&*panic)))),
            Err(_) => Err(TaskError::Expired(limit)),
        };
        match outcome {
            Ok(result) => self.accept(task, result).await,
            Err(error) => return task.fail(error).await,
        }
        Ok(())
    }

    /// Hands in a task's result, and the tasks that it gives rise to.
    pub async fn accept(&self, task: Task<J>, result: J::Output) {
        match serde_json::to_value(result) {
            Ok(result) => self.hand_in(task, TaskOutput { result, ..TaskOutput::default() }, None).await,
            Err(error) => {
                let message = format!("the result can't be written down: {error}");
                task.inner.failed(failure(FailureKind::Invalid, message)).await;
            }
        }
    }

    /// Hands in all that came of a task, with the time that it took where that isn't the time since it was handed out.
    pub(crate) async fn hand_in(&self, task: Task<J>, output: TaskOutput, took: Option<Duration>) {
        let Task { inner, added, ends_run, .. } = task;
        let output = TaskOutput { ends_run: output.ends_run || ends_run.into_inner(), ..output };
        let added = added.into_inner().unwrap_or_else(PoisonError::into_inner);
        match self.shared.written(added, Origin::Task(inner.index())) {
            Ok(more) => {
                let took = took.unwrap_or_else(|| inner.started().elapsed());
                inner.done_with(output, took, more).await;
            }
            Err(error) => {
                let message = format!("a task that it adds can't be written down: {error}");
                inner.failed(failure(FailureKind::Invalid, message)).await;
            }
        }
    }
}

impl<J: Job> Task<J> {
    /// The data of the task.
    pub fn data(&self) -> &J::Task {
        &self.data
    }

    /// The task, as events and the database name it.
    pub fn id(&self) -> TaskId {
        TaskId(self.index())
    }

    /// Its number in the run, from 0.
    pub fn index(&self) -> u64 {
        self.inner.index()
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt()
    }

    /// The longest time of one attempt.
    pub fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// Adds a task to the run, such as one that this one's result gives rise to.
    ///
    /// It joins the run together with the result: where this attempt fails, nothing is added. So a task that is tried again
    /// adds its tasks once.
    pub fn add(&self, task: J::Task) {
        self.added.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Ends the run with this task's result: it is what was looked for, and what is left needn't be done.
    ///
    /// Nothing more is begun; what others have in hand gets a few seconds. It holds together with the result: where this
    /// try fails, nothing is ended. A run that has ended so isn't gone on with.
    pub fn end_run(&self) {
        self.ends_run.store(true, Ordering::Relaxed);
    }

    /// The attempt came to nothing.
    ///
    /// **Errors**: when nothing more can be done on this activity either.
    pub async fn fail(self, error: TaskError) -> Result<(), WorkerError> {
        let (failure, retry, worker) = error.consequences();
        if retry {
            self.inner.failed(failure).await;
        } else {
            self.inner.failed_for_good(failure).await;
        }
        worker
    }

    /// It was never begun: it costs the task no attempt.
    pub async fn give_back(self) {
        self.inner.give_back().await;
    }
}
