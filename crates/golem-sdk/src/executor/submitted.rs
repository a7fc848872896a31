//! The reader's side of a job: finished tasks in the order in which they are done, and why it ended early.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, Stream, StreamExt};
use golem_core::event::{
    Attempt, AttemptFailure, EventKind, JobEnd, JobEndReason, Provider, RentalId, StopReason, TaskId,
};

use super::error::{EndCause, SubmitError, TaskFailure};
use super::source::Rest;
use super::table::Table;
use super::watch::Watch;
use crate::jobs::{JobEvents, RunOver};
use crate::label;

/// A task that is done.
pub struct Finished<T, R> {
    id: TaskId,
    attempts: u32,
    data: Arc<T>,
    result: R,
    took: Duration,
    provider: Provider,
}

impl<T, R> Finished<T, R> {
    /// The task, as events name it.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Its data.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// Its result, as the worker handed it in.
    pub fn result(&self) -> &R {
        &self.result
    }

    /// Its result, to be kept.
    pub fn into_result(self) -> R {
        self.result
    }

    /// The time of the attempt that made the result.
    pub fn running_time(&self) -> Duration {
        self.took
    }

    /// The number of attempts, the one that made the result included.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The provider that did it.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }
}

impl<T: fmt::Debug, R: fmt::Debug> fmt::Debug for Finished<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("id", &self.id.0)
            .field("data", &self.data)
            .field("result", &self.result)
            .field("running_time", &self.took)
            .field("provider", &self.provider.name)
            .finish_non_exhaustive()
    }
}

/// The tasks of a job as they are finished, in that order.
///
/// It ends without an error only when every task has a result. Otherwise its last item is the error that says why not,
/// and lists the tasks that failed and those that weren't finished; it comes after every result that there is, so that
/// one task that fails costs no other its result.
///
/// Dropping it cancels the job: what runs is stopped, and the agreements serve other jobs or are ended. A reader that
/// is slow loses nothing and holds nobody up: the source is read no further until it has caught up.
#[must_use = "dropping it cancels the job"]
pub struct Submitted<T, R>(BoxStream<'static, Result<Finished<T, R>, SubmitError<T>>>);

impl<T, R> fmt::Debug for Submitted<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Submitted")
    }
}

impl<T, R> Stream for Submitted<T, R> {
    type Item = Result<Finished<T, R>, SubmitError<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl<T: Send + Sync + 'static, R: Send + 'static> Submitted<T, R> {
    pub(super) fn new(reading: Reading<T, R>) -> Self {
        let reading = stream::unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            loop {
                return match reading.next().await {
                    Ok(Some(Ended::Done(finished))) => Some((Ok(finished), Some(reading))),
                    // The error at the end lists it.
                    Ok(Some(Ended::Failed(_))) => continue,
                    Ok(None) => None,
                    Err(error) => Some((Err(error), None)),
                };
            }
        });
        Self(reading.fuse().boxed())
    }

    /// The next finished task; `None` once every one is.
    ///
    /// **Errors**: [`SubmitError`], once and last, when there are tasks without a result.
    ///
    /// **Cancel safety**: dropping the future loses nothing.
    pub async fn try_next(&mut self) -> Result<Option<Finished<T, R>>, SubmitError<T>> {
        self.0.next().await.transpose()
    }
}

/// A task that has come to its end.
#[derive(Debug)]
pub enum Ended<T, R> {
    /// It has its result.
    Done(Finished<T, R>),
    /// It failed for good.
    Failed(TaskFailure<T>),
}

/// The tasks of a job as they come to their end, each when it does: those with a result, and those that failed for good.
/// [`Job::submit_outcomes`](super::Job::submit_outcomes) makes it; otherwise it is as [`Submitted`].
#[must_use = "dropping it cancels the job"]
pub struct Outcomes<T, R>(Option<Reading<T, R>>);

impl<T, R> fmt::Debug for Outcomes<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outcomes")
    }
}

impl<T: Send + Sync + 'static, R: Send + 'static> Outcomes<T, R> {
    pub(super) fn new(reading: Reading<T, R>) -> Self {
        Self(Some(reading))
    }

    /// The next task that has come to its end; `None` once every one has its result.
    ///
    /// **Errors**: [`SubmitError`], once and last, when there are tasks without a result. It lists those that failed once more.
    ///
    /// **Cancel safety**: dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Ended<T, R>>, SubmitError<T>> {
        let Some(reading) = &mut self.0 else { return Ok(None) };
        let next = reading.next().await;
        if !matches!(next, Ok(Some(_))) {
            self.0 = None;
        }
        next
    }
}

/// The things that it takes to read a job.
pub(super) struct Reading<T, R> {
    pub(super) job: Handed,
    pub(super) table: Arc<Table<T, R>>,
    pub(super) rest: Arc<dyn Rest<T>>,
    pub(super) watch: Arc<Watch>,
    pub(super) timeout: Duration,
    /// The keys of unfinished tasks in the table.
    pub(super) keys: HashMap<TaskId, u64>,
    pub(super) failed: Vec<TaskFailure<T>>,
}

/// A job that is handed in, or is about to be because the run has other commands to obey first.
pub(super) enum Handed {
    Soon(BoxFuture<'static, Result<JobEvents, RunOver>>),
    In(JobEvents),
    Refused,
}

impl Handed {
    /// Hands it in, at once unless too many wait.
    pub(super) fn now(mut handing: BoxFuture<'static, Result<JobEvents, RunOver>>) -> Self {
        match (&mut handing).now_or_never() {
            Some(Ok(events)) => Self::In(events),
            Some(Err(RunOver)) => Self::Refused,
            None => Self::Soon(handing),
        }
    }
}

impl<T: Send + Sync + 'static, R: Send + 'static> Reading<T, R> {
    /// The next task that has come to its end; `None` once every one is done.
    pub(super) async fn next(&mut self) -> Result<Option<Ended<T, R>>, SubmitError<T>> {
        loop {
            let event = match &mut self.job {
                Handed::Soon(handing) => {
                    self.job = handing.await.map_or(Handed::Refused, Handed::In);
                    continue;
                }
                Handed::In(events) => events.next().await,
                Handed::Refused => {
                    let cause = self.why_stopped(None).await;
                    return Err(self.ended_early(cause));
                }
            };
            let Some(event) = event else {
                let problem = self.watch.broken().await;
                let cause = self.why_stopped(problem).await;
                return Err(self.ended_early(cause));
            };
            match event.kind {
                EventKind::TaskAdded { task, data, .. } => {
                    if let Some(key) = label::key(&data) {
                        self.keys.insert(task, key);
                    }
                }
                EventKind::TaskDone { attempt, took, .. } => {
                    if let Some(finished) = self.finished(attempt, took) {
                        return Ok(Some(Ended::Done(finished)));
                    }
                }
                EventKind::TaskFailed { attempt, rental, failure } => {
                    if let Some(failed) = self.failed(attempt, rental, failure) {
                        return Ok(Some(Ended::Failed(failed)));
                    }
                }
                EventKind::JobEnded { end, .. } => return self.ended(&end).await.map(|()| None),
                _ => {}
            }
        }
    }

    fn finished(&mut self, attempt: Attempt, took: Duration) -> Option<Finished<T, R>> {
        let key = self.keys.remove(&attempt.task)?;
        let ended = self.table.end(key, attempt.number)?;
        let (result, provider) = ended.made?;
        let Attempt { task: id, number: attempts } = attempt;
        Some(Finished { id, attempts, data: ended.data, result, took, provider })
    }

    fn failed(
        &mut self,
        attempt: Attempt,
        rental: Option<RentalId>,
        failure: AttemptFailure,
    ) -> Option<TaskFailure<T>> {
        let key = self.keys.remove(&attempt.task)?;
        let ended = self.table.end(key, attempt.number)?;
        let provider = ended.tried.filter(|_| rental.is_some());
        let Attempt { task: id, number: attempts } = attempt;
        let failed = TaskFailure { id, data: ended.data, attempts, failure, provider };
        self.failed.push(failed.clone());
        Some(failed)
    }

    async fn ended(&mut self, end: &JobEnd) -> Result<(), SubmitError<T>> {
        let cause = match end.why {
            JobEndReason::Finished if self.failed.is_empty() => return Ok(()),
            JobEndReason::Finished => EndCause::TasksFailed,
            JobEndReason::Cancelled => EndCause::Cancelled,
            JobEndReason::Expired => EndCause::TimedOut { timeout: self.timeout },
            JobEndReason::Broken => {
                let problem = self.rest.problem().unwrap_or_else(|| "the source broke".to_owned());
                EndCause::SourceFailed { problem }
            }
            JobEndReason::NothingRuns => EndCause::NothingRuns { explanation: self.watch.explanation() },
            // It stopped with its run.
            _ => self.why_stopped(None).await,
        };
        Err(self.ended_early(cause))
    }

    async fn why_stopped(&mut self, problem: Option<String>) -> EndCause {
        if let Some(problem) = problem {
            return EndCause::Broken { problem };
        }
        match self.watch.stopping() {
            Some(StopReason::BudgetReached) => EndCause::BudgetReached { budget: self.watch.budget() },
            Some(StopReason::Cancelled) => EndCause::Cancelled,
            Some(StopReason::TooManyFailed) => EndCause::TasksFailed,
            Some(StopReason::NothingRuns) => EndCause::NothingRuns { explanation: self.watch.explanation() },
            Some(StopReason::Broken | StopReason::OwnTrouble) => {
                let problem = self.watch.broken().await.unwrap_or_else(|| "it doesn't say why".to_owned());
                EndCause::Broken { problem }
            }
            // It had done what it was to do.
            _ => EndCause::Closed,
        }
    }

    fn ended_early(&mut self, cause: EndCause) -> SubmitError<T> {
        let mut unfinished = self.table.take_rest();
        // Where each task has its end, so has the source.
        let mut more_in_source = false;
        if !matches!(cause, EndCause::TasksFailed) {
            let (rest, more) = self.rest.take_rest();
            unfinished.extend(rest.into_iter().map(Arc::new));
            more_in_source = more;
        }
        SubmitError { cause, failed: std::mem::take(&mut self.failed), unfinished, more_in_source }
    }
}
