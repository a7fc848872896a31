//! The arguments of a worker function: its tasks, and each task with the user's own data.

use std::fmt;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use golem_core::event::{AttemptFailure, FailureKind, Provider, TaskId, TaskOutput};
use tokio::sync::mpsc;

use super::table::Table;
use crate::context::WorkContext;
use crate::label;
use crate::text::panic_text;
use crate::worker::{self, Worker, WorkerError};

/// The tasks for one worker, as they come.
pub struct Tasks<T, R> {
    inner: worker::Tasks,
    table: Arc<Table<T, R>>,
    provider: Provider,
    dropped: Dropped,
}

impl<T, R> fmt::Debug for Tasks<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("provider", &self.provider.name).finish_non_exhaustive()
    }
}

impl<T, R> Tasks<T, R> {
    /// Waits for the next task; `None` when there will be no more, and the worker should end.
    ///
    /// **Cancel safety**: a task that is on its way while this future is dropped is tried again elsewhere when the
    /// worker has ended.
    pub async fn next(&mut self) -> Option<Task<T, R>> {
        self.next_pack(1).await?.pop()
    }

    /// Waits for the next tasks, at least one and at most `room`: short tasks go faster several in one batch.
    ///
    /// `None` when there will be no more.
    ///
    /// **Cancel safety**: as that of [`Tasks::next`].
    pub async fn next_pack(&mut self, room: usize) -> Option<Vec<Task<T, R>>> {
        loop {
            self.dropped.answer().await;
            let pack = self.inner.next_pack(room.max(1)).await?;
            let pack: Vec<_> = pack.into_iter().filter_map(|task| self.known(task)).collect();
            if !pack.is_empty() {
                return Some(pack);
            }
        }
    }

    /// Adds a task to the job, such as one that a result gives rise to.
    ///
    /// Done before that result is accepted, it never comes too late. To a job that is over it comes too late, and
    /// nothing happens.
    ///
    /// **Cancel safety**: where the future is dropped, the task has been added or it hasn't.
    pub async fn add(&self, data: T) {
        self.add_all([data]).await;
    }

    /// Adds several tasks to the job, as [`Tasks::add`] does: all of them or, where the future is dropped, none.
    pub async fn add_all(&self, data: impl IntoIterator<Item = T>) {
        let keys = data.into_iter().map(|data| self.table.enter(data)).collect();
        self.inner.add(keys).await;
    }

    /// The user's side of a task.
    fn known(&self, inner: worker::Task) -> Option<Task<T, R>> {
        let key = label::key(inner.data());
        let handed = key.and_then(|key| Some((key, self.table.hand_out(key, &self.provider)?)));
        let Some((key, data)) = handed else {
            // It got its end while it was on its way; the run drops the answer.
            self.dropped.push(inner);
            return None;
        };
        Some(Task {
            inner: Some(inner),
            key,
            data,
            table: Arc::clone(&self.table),
            provider: self.provider.clone(),
            dropped: self.dropped.clone(),
        })
    }
}

/// One attempt of one task, in a worker's hands.
///
/// It is answered once, by [`Task::accept_result`] or [`Task::reject_result`]; both consume it. One that is dropped
/// without an answer has failed this attempt and is tried again elsewhere, while it has attempts left.
#[must_use = "a task that is dropped without an answer is tried again"]
pub struct Task<T, R> {
    /// Taken by the answer.
    inner: Option<worker::Task>,
    key: u64,
    data: Arc<T>,
    table: Arc<Table<T, R>>,
    provider: Provider,
    dropped: Dropped,
}

impl<T: fmt::Debug, R> fmt::Debug for Task<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("id", &self.id().0).field("data", &self.data).finish_non_exhaustive()
    }
}

impl<T, R> Task<T, R> {
    /// The task, as events name it.
    pub fn id(&self) -> TaskId {
        TaskId(self.inner().index())
    }

    /// Its data.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.inner().attempt()
    }

    /// For how long it has been in this worker's hands.
    pub fn running_time(&self) -> Duration {
        self.inner().started().elapsed()
    }

    /// Hands in its result: the task is done.
    ///
    /// Of a task that has its end already, because its job is over or its agreement was, nothing more comes.
    ///
    /// **Cancel safety**: where the future is dropped before it is done, the task was dropped without an answer.
    pub async fn accept_result(mut self, result: R) {
        let took = self.running_time();
        // The task stays here until its answer can't be lost any more.
        let room = self.inner().room().await;
        if let (Some(inner), Some(room)) = (self.inner.take(), room) {
            self.table.keep(self.key, inner.attempt(), result, self.provider.clone());
            inner.done_now(room, TaskOutput::default(), took);
        }
    }

    /// The result is no good. With `retry` the task is tried again, elsewhere where that can be, while it has attempts
    /// left; without it, or after its last attempt, it has failed for good, and the [`SubmitError`](super::SubmitError) at
    /// the end of its job lists it with the reason. It doesn't wait for another
    /// worker, not in a job that has but one.
    ///
    /// **Cancel safety**: as that of [`Task::accept_result`].
    #[doc(alias = "reject_task")]
    pub async fn reject_result(mut self, reason: impl Into<String>, retry: bool) {
        let room = self.inner().room().await;
        if let (Some(inner), Some(room)) = (self.inner.take(), room) {
            inner.reject_now(room, reason.into(), retry);
        }
    }

    /// This attempt failed, as a script may: [`ScriptError::to_failure`](crate::ScriptError::to_failure) tells how. The task is tried
    /// again, elsewhere where that can be, while it has attempts left and another provider may do better.
    ///
    /// **Cancel safety**: where the future is dropped, the answer may be lost, as if the task had been.
    pub async fn failed(mut self, failure: AttemptFailure) {
        if let Some(inner) = self.inner.take() {
            inner.failed(failure).await;
        }
    }

    fn inner(&self) -> &worker::Task {
        self.inner.as_ref().expect("only an answer takes it, and that consumes the task")
    }
}

impl<T, R> Drop for Task<T, R> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            self.dropped.push(inner);
        }
    }
}

/// Tasks that were dropped without an answer, until they can be given one.
#[derive(Clone, Default)]
struct Dropped(Arc<Mutex<Vec<worker::Task>>>);

impl Dropped {
    fn push(&self, task: worker::Task) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    async fn answer(&self) {
        self.fail(&AttemptFailure::new(FailureKind::Lost, "the worker dropped it without an answer")).await;
    }

    async fn fail(&self, failure: &AttemptFailure) {
        let dropped = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for task in dropped {
            task.failed(failure.clone()).await;
        }
    }
}

/// A worker function, as the run wants its workers.
pub(super) struct Hands<T, R, F> {
    pub(super) worker: F,
    pub(super) table: Arc<Table<T, R>>,
    /// True if its activity is deployed and started for it.
    pub(super) implicit_start: bool,
}

impl<T, R, F> fmt::Debug for Hands<T, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hands")
    }
}

impl<T, R, F, Work> Worker for Hands<T, R, F>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(WorkContext, Tasks<T, R>) -> Work + Send + Sync + 'static,
    Work: Future<Output = Result<(), WorkerError>> + Send,
{
    fn implicit_start(&self) -> bool {
        self.implicit_start
    }

    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut worker::Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        let dropped = Dropped::default();
        let tasks = Tasks {
            inner: take(tasks),
            table: Arc::clone(&self.table),
            provider: ctx.provider().clone(),
            dropped: dropped.clone(),
        };
        // The call itself is the user's code too.
        let work = AssertUnwindSafe(async move { (self.worker)(ctx.clone(), tasks).await });
        Box::pin(async move {
            match work.catch_unwind().await {
                Ok(Ok(())) => {
                    dropped.answer().await;
                    Ok(())
                }
                Ok(Err(error)) => {
                    // Its tasks in hand fail with the same reason; if it is lost, so is everything that the rental has.
                    if let WorkerError::Script(script) = &error
                        && script.kind() != FailureKind::Lost
                    {
                        dropped.fail(&script.to_failure()).await;
                    }
                    Err(error)
                }
                Err(panic) => {
                    Err(WorkerError::other(format!("the worker panicked: {}", panic_text(&*panic))))
                }
            }
        })
    }
}

/// Takes the tasks out, so that the user's function can own them; nothing more comes by what is left.
fn take(tasks: &mut worker::Tasks) -> worker::Tasks {
    let (_, nothing) = mpsc::channel(1);
    worker::Tasks {
        rental: tasks.rental,
        no: tasks.no,
        job: tasks.job,
        assigned: mem::replace(&mut tasks.assigned, nothing),
        inputs: tasks.inputs.clone(),
        again: mem::take(&mut tasks.again),
        scripts: Arc::clone(&tasks.scripts),
    }
}

#[cfg(test)]
mod tests;
