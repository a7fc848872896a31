//! The state of jobs, tasks and their attempts.

use std::collections::BTreeSet;
use std::sync::Arc;

use yagna_api::Timestamp;

use super::{OpenJob, OpenTask, Rental, RunState};
use crate::event::{Attempt, AttemptFailure, EventKind, FailureKind, JobEndReason, JobId, RentalId, TaskId};

impl RunState {
    pub(super) fn apply_to_tasks(&mut self, at: Timestamp, kind: &EventKind) {
        match kind {
            EventKind::JobAdded { job, deadline, retries } => {
                self.next_job = self.next_job.max(job.0.saturating_add(1));
                let added = OpenJob { deadline: *deadline, retries: *retries, ..OpenJob::default() };
                self.jobs.insert(*job, added);
            }
            EventKind::SourceExhausted { job } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.exhausted = true;
                }
            }
            EventKind::SourceRead { job: JobId::FIRST, mark } => self.source = *mark,
            EventKind::JobReopened { job } => {
                if *job == JobId::FIRST
                    && let Some(over) = self.first_over.take()
                {
                    self.jobs.insert(*job, over);
                }
                if let Some(job) = self.jobs.get_mut(job) {
                    job.exhausted = false;
                }
            }
            // Tasks that a run leaves when it stops are continued when it is resumed.
            EventKind::JobEnded { job, end } if end.why != JobEndReason::Stopped => {
                let over = self.jobs.remove(job);
                if *job == JobId::FIRST && end.why == JobEndReason::Finished {
                    self.first_over = over;
                }
            }
            EventKind::TaskAdded { job, task, data, spawned } => {
                self.next_task = self.next_task.max(task.0.saturating_add(1));
                if let Some(job) = self.jobs.get_mut(job).filter(|_| !spawned) {
                    job.read += 1;
                }
                let added = OpenTask {
                    job: *job,
                    data: Arc::new(data.clone()),
                    attempts: 0,
                    failures: 0,
                    failed_on: BTreeSet::new(),
                    lost_on: BTreeSet::new(),
                    wants_fresh: false,
                    since: at,
                    running: None,
                };
                self.tasks.insert(*task, added);
            }
            EventKind::TaskReopened { job, task, data, attempts } => {
                self.failed = self.failed.saturating_sub(1);
                let Some(of) = self.jobs.get_mut(job) else { return };
                of.failed = of.failed.saturating_sub(1);
                let again = OpenTask {
                    job: *job,
                    data: Arc::new(data.clone()),
                    attempts: *attempts,
                    failures: 0,
                    failed_on: BTreeSet::new(),
                    lost_on: BTreeSet::new(),
                    wants_fresh: false,
                    since: at,
                    running: None,
                };
                self.tasks.insert(*task, again);
            }
            EventKind::TaskStarted { attempt, rental } => {
                if let Some(task) = self.tasks.get_mut(&attempt.task) {
                    task.attempts = attempt.number;
                    task.running = Some(*rental);
                    task.wants_fresh = false;
                }
                self.given(*rental);
            }
            EventKind::TaskDone { attempt, rental, output, .. } => {
                self.has_enough |= output.ends_run;
                self.without_result += u64::from(output.no_result);
                self.end_task(attempt.task, |job| job.done += 1);
                self.done += 1;
                self.counted(*rental);
                self.hands_free(Some(*rental));
            }
            EventKind::AttemptFailed { attempt, rental, failure } => {
                self.on_failed(at, *attempt, *rental, failure);
            }
            EventKind::AttemptCancelled { attempt, rental, lost, .. } => {
                let on = self.rentals.get(rental).map(|rental| rental.provider.id.clone());
                if let Some(task) = self.current(*attempt) {
                    task.running = None;
                    task.lost_on.extend(on.filter(|_| lost.is_some()));
                }
                self.hands_free(Some(*rental));
            }
            EventKind::TaskFailed { attempt, rental, .. } => {
                self.end_task(attempt.task, |job| job.failed += 1);
                self.failed += 1;
                self.hands_free(*rental);
            }
            EventKind::TaskCancelled { task } | EventKind::TaskExpired { task } => {
                let on = self.tasks.remove(task).and_then(|task| task.running);
                self.hands_free(on);
            }
            _ => {}
        }
    }

    fn current(&mut self, attempt: Attempt) -> Option<&mut OpenTask> {
        let task = self.tasks.get_mut(&attempt.task)?;
        (task.running.is_some() && task.attempts == attempt.number).then_some(task)
    }

    fn end_task(&mut self, task: TaskId, count: impl FnOnce(&mut OpenJob)) {
        let job = self.tasks.remove(&task).and_then(|task| self.jobs.get_mut(&task.job));
        if let Some(job) = job {
            count(job);
        }
    }

    fn on_failed(&mut self, at: Timestamp, attempt: Attempt, rental: RentalId, failure: &AttemptFailure) {
        let on = self.rentals.get(&rental).map(|rental| rental.provider.id.clone());
        if let Some(task) = self.current(attempt) {
            task.running = None;
            task.failures += 1;
            task.since = at;
            task.lost_on.extend(on.clone().filter(|_| failure.kind == FailureKind::Lost));
            task.wants_fresh = failure.ran_before > 0;
            task.failed_on.extend(on);
        }
        self.hands_free(Some(rental));
    }

    fn given(&mut self, rental: RentalId) {
        if let Some(current) = self.rentals.get_mut(&rental).and_then(Rental::current_mut) {
            current.was_given = true;
        }
    }

    fn counted(&mut self, rental: RentalId) {
        if let Some(activity) = self.rentals.get_mut(&rental).and_then(|rental| rental.activities.last_mut())
        {
            activity.done += 1;
        }
    }

    /// Once nothing is in a worker's hands, the scripts of what was are of no more use.
    ///
    /// Whatever is in its hands and isn't named by the last script was given to it after that: no script was sent for it.
    fn hands_free(&mut self, rental: Option<RentalId>) {
        let Some(id) = rental else { return };
        let Some(activity) = self.rentals.get_mut(&id).and_then(|rental| rental.activities.last_mut()) else {
            return;
        };
        let Some(last) = activity.scripts.last() else { return };
        let is_in_hands = |attempt: &Attempt| {
            let task = self.tasks.get(&attempt.task);
            task.is_some_and(|task| task.running == Some(id) && task.attempts == attempt.number)
        };
        if !last.attempts.iter().any(is_in_hands) {
            activity.scripts.clear();
        }
    }
}
