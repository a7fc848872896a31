//! The parts of a run that its engine needs: its first job, and those who read its events.

use std::sync::Arc;

use golem_core::event::{Event, EventKind, JobId, TaskId};
use golem_core::source::SourceMark;
use golem_core::state::RunState;
use serde_json::Value;
use tokio::sync::mpsc;
use yagna_api::Timestamp;

use crate::reading::{Reading, ReadingError};
use crate::worker::Worker;

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

    /// The number of events that this reader has missed since it was last asked.
    pub fn missed(&self) -> u64 {
        self.missed.swap(0, std::sync::atomic::Ordering::Relaxed)
    }
}

/// The job that a run is made with.
pub(crate) struct OneJob {
    pub(crate) worker: Arc<dyn Worker>,
    pub(crate) tasks: Reading,
}

impl OneJob {
    /// Brings the source to where it was read before. True if there is more in it, and the run's end was reached without it.
    pub(crate) fn has_more_than(&mut self, state: &RunState) -> Result<bool, ReadingError> {
        if state.next_job == JobId::FIRST.0 {
            return Ok(false);
        }
        if self.tasks.mark() == SourceMark::default() && state.source.read > 0 {
            self.tasks.go_behind(state.source)?;
        }
        let had_all =
            state.jobs.get(&JobId::FIRST).map_or_else(|| state.first_over.is_some(), |job| job.exhausted);
        Ok(had_all && !state.has_enough && self.tasks.has_more())
    }

    /// The events by which the job has more to do than its state says: new tasks in its source, or tasks that are tried afresh.
    pub(crate) fn reopened(
        &mut self,
        state: &mut RunState,
        retried: Vec<FailedTask>,
        now: Timestamp,
    ) -> Result<Vec<Event>, ReadingError> {
        let job = JobId::FIRST;
        let has_more = self.has_more_than(state)?;
        let retried = if state.has_enough { Vec::new() } else { retried };
        let is_over = !state.jobs.contains_key(&job);
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
            state.apply(event);
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
