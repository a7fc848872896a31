//! The jobs of a run: when each begins and ends, and how workers are shared between them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use yagna_api::{NodeId, Timestamp};

use super::live::jobs::Job;
use super::rental::Stage;
use super::{Effect, JobSpec, Run, Step};
use crate::event::{EventKind, JobEnd, JobEndReason, JobId, RentalId, StopReason, TaskId};
use crate::source::SourceMark;

/// The share of the run's workers that a job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// Its workers, those being prepared included.
    pub(super) workers: usize,
    /// Its tasks that wait or run.
    pub(super) work: usize,
    /// The number of additional workers that would find something to do.
    pub(super) need: usize,
    starving_since: Option<Timestamp>,
}

impl Share {
    /// Fewer workers for the work come first; of those that have none, whoever has waited longer.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let this = self.workers.saturating_mul(other.work);
        this.cmp(&other.workers.saturating_mul(self.work)).then(self.workers.cmp(&other.workers)).then_with(
            || match (self.starving_since, other.starving_since) {
                (Some(this), Some(other)) => this.cmp(&other),
                (this, other) => other.is_some().cmp(&this.is_some()),
            },
        )
    }

    /// True if this job would still be no worse off than the taker after giving it a worker.
    pub(super) fn spares_for(&self, taker: &Self) -> bool {
        let (mine, theirs) = (self.workers.saturating_sub(1), taker.workers + 1);
        mine > 0 && theirs.saturating_mul(self.work) <= mine.saturating_mul(taker.work)
    }
}

impl Run {
    /// Tasks are read ahead so far that every worker finds its next ones waiting.
    const READ_AHEAD: usize = 256;
    /// The time that a worker stays with its job before it may be moved to another.
    pub(super) const TURN: Duration = Duration::from_secs(30);

    pub(super) fn on_job_added(&mut self, now: Timestamp, job: JobId, spec: JobSpec, step: &mut Step) {
        if let Some(known) = self.live.jobs.get_mut(&job) {
            // One of the run's earlier life.
            known.grows = spec.grows;
            return;
        }
        let retries = spec.retries.unwrap_or(self.config.retries);
        self.live.jobs.insert(job, Job { grows: spec.grows, ..Job::default() });
        step.emit(&mut self.books, now, EventKind::JobAdded { job, deadline: spec.deadline, retries });
    }

    /// Takes in what was read from a job's source.
    pub(super) fn on_tasks(
        &mut self,
        now: Timestamp,
        job: JobId,
        data: Vec<Value>,
        exhausted: bool,
        mark: Option<SourceMark>,
        step: &mut Step,
    ) {
        if let Some(known) = self.live.jobs.get_mut(&job) {
            known.loading = false;
            known.asked_again &= data.is_empty();
            if !exhausted {
                self.books.queue.read_on(job);
            }
            if let Some(mark) = mark {
                step.emit(&mut self.books, now, EventKind::SourceRead { job, mark });
            }
        }
        self.add_tasks(now, job, data, false, step);
        if exhausted && !self.books.is_exhausted(job) {
            step.emit(&mut self.books, now, EventKind::SourceExhausted { job });
        }
    }

    pub(super) fn add_tasks(
        &mut self,
        now: Timestamp,
        job: JobId,
        data: Vec<Value>,
        spawned: bool,
        step: &mut Step,
    ) {
        if !self.live.jobs.contains_key(&job) {
            return;
        }
        for data in data {
            let task = TaskId(self.books.state.next_task);
            let is_left = !self.takes(task, &data);
            step.emit(&mut self.books, now, EventKind::TaskAdded { job, task, data, spawned });
            if is_left {
                self.books.queue.set_last_aside(job);
            }
        }
    }

    pub(super) fn on_source_broken(&mut self, now: Timestamp, job: JobId, problem: String, step: &mut Step) {
        if !self.live.jobs.contains_key(&job) {
            return;
        }
        step.emit(&mut self.books, now, EventKind::Trouble { doing: "read the tasks".into(), problem });
        if self.live.standing || self.live.jobs.len() > 1 {
            self.end_job(now, job, JobEndReason::Broken, step);
        } else {
            self.books.queue.break_off(job);
            self.stop(now, StopReason::Broken, step);
        }
    }

    /// Ends a job: what waits or runs for it is given up, its workers end.
    pub(super) fn end_job(&mut self, now: Timestamp, job: JobId, why: JobEndReason, step: &mut Step) {
        if self.live.jobs.remove(&job).is_none() {
            return;
        }
        let its: Vec<RentalId> =
            self.rentals().filter(|(_, rental)| rental.job() == Some(job)).map(|(id, _)| id).collect();
        for id in its {
            // One that has nothing in its hands will ask, and is told; one that is busy with what nobody wants is
            // stopped.
            let rental = &self.live.rentals[&id];
            let gently = rental.stage == Stage::Working && rental.running.is_empty();
            self.end_activity(now, id, gently, step);
        }
        let Some(unfinished) = self.books.queue.remove(job) else {
            return;
        };
        let (done, failed) = self.books.state.jobs.get(&job).map_or((0, 0), |job| (job.done, job.failed));
        let left = unfinished.len() as u64;
        let mut end = JobEnd { why, done, failed, cancelled: 0, expired: 0, unfinished: 0 };
        match why {
            // The run may be resumed: what it left isn't over.
            JobEndReason::Stopped => end.unfinished = left,
            JobEndReason::Expired => {
                end.expired = left;
                for task in unfinished {
                    step.emit(&mut self.books, now, EventKind::TaskExpired { task });
                }
            }
            JobEndReason::Finished
            | JobEndReason::Cancelled
            | JobEndReason::Broken
            | JobEndReason::NothingRuns => {
                end.cancelled = left;
                for task in unfinished {
                    step.emit(&mut self.books, now, EventKind::TaskCancelled { task });
                }
            }
        }
        step.emit(&mut self.books, now, EventKind::JobEnded { job, end });
    }

    /// Ends the jobs that are finished, and those whose time is over.
    pub(super) fn plan_jobs(&mut self, now: Timestamp, step: &mut Step) {
        let reads = self.live.stopping.is_none() && !self.has_all_results();
        for (id, job) in &mut self.live.jobs {
            if reads && job.grows && !job.loading && !job.asked_again && self.books.is_finished(*id) {
                (job.loading, job.asked_again) = (true, true);
                step.effects.push(Effect::LoadTasks { job: *id, most: Self::READ_AHEAD });
            }
        }
        let over: Vec<_> = self
            .live
            .jobs
            .iter()
            .filter_map(|(id, job)| {
                if self.books.is_finished(*id) && !(reads && job.loading) {
                    Some((*id, JobEndReason::Finished))
                } else {
                    let deadline = self.books.state.jobs.get(id).and_then(|job| job.deadline);
                    let expired = deadline.is_some_and(|deadline| deadline <= now);
                    expired.then_some((*id, JobEndReason::Expired))
                }
            })
            .collect();
        for (job, why) in over {
            self.end_job(now, job, why, step);
        }
    }

    /// Ends the jobs that a run that stops leaves, as soon as nothing more can come of them.
    pub(super) fn leave_jobs(&mut self, now: Timestamp, step: &mut Step) {
        if self.books.queue.n_running() > 0 {
            return;
        }
        while let Some(job) = self.live.jobs.first_key_value().map(|(job, _)| *job) {
            self.end_job(now, job, JobEndReason::Stopped, step);
        }
    }

    /// Gives up jobs that nothing can run for; where they are all there is, the run with them.
    pub(super) fn give_up(&mut self, now: Timestamp, jobs: &[JobId], step: &mut Step) {
        if !self.live.standing && jobs.len() == self.live.jobs.len() {
            return self.stop(now, StopReason::NothingRuns, step);
        }
        for job in jobs {
            self.end_job(now, *job, JobEndReason::NothingRuns, step);
        }
    }

    pub(super) fn plan_loading(&mut self, step: &mut Step) {
        let wanted = self.config.results.map(|wanted| {
            let coming = self.books.queue.n_waiting() + self.books.queue.n_running();
            usize::try_from(wanted.saturating_sub(self.n_results()))
                .map_or(usize::MAX, |n| n.saturating_sub(coming))
        });
        let unread = self.n_unread();
        for (id, job) in &mut self.live.jobs {
            let waiting = self.books.queue.n_waiting_for(*id);
            let most = (Self::READ_AHEAD - waiting.min(Self::READ_AHEAD))
                .min(wanted.unwrap_or(usize::MAX))
                .min(unread);
            if !job.loading && !self.books.is_exhausted(*id) && waiting < Self::READ_AHEAD / 2 && most > 0 {
                job.loading = true;
                step.effects.push(Effect::LoadTasks { job: *id, most });
            }
        }
    }

    /// True if there are as many results as were asked for, or one that ends the run.
    pub(super) fn has_all_results(&self) -> bool {
        self.books.state.has_enough || self.config.results.is_some_and(|wanted| self.n_results() >= wanted)
    }

    /// Tasks with a result.
    fn n_results(&self) -> u64 {
        self.books.state.done.saturating_sub(self.books.state.without_result)
    }

    /// The shares of all jobs.
    pub(super) fn shares(&self) -> BTreeMap<JobId, Share> {
        let share = |job: JobId| {
            let its =
                || self.rentals().map(|(_, rental)| rental).filter(move |rental| rental.job() == Some(job));
            // Those that will take what waits before anybody new could.
            let ready = its().filter(|rental| {
                rental.live.running.is_empty()
                    && (rental.live.stage == Stage::Opening || self.books.has_use_for(job, rental.provider()))
            });
            let (waiting, running) =
                (self.books.queue.n_waiting_for(job), self.books.queue.n_running_for(job));
            let need = if self.may_begin(job) { waiting.saturating_sub(ready.count()) } else { 0 };
            let starving_since = self.live.jobs[&job].starving_since;
            Share { workers: its().count(), work: waiting + running, need, starving_since }
        };
        self.live.jobs.keys().map(|job| (*job, share(*job))).collect()
    }

    /// The job that a held agreement's next activity is for: the one with the fewest workers for its work.
    pub(super) fn job_for(&self, now: Timestamp, id: RentalId) -> Option<JobId> {
        let provider = self.rental(id)?.provider();
        let shares = self.shares();
        let best = |is: &dyn Fn(JobId) -> bool| {
            let needy = shares.iter().filter(|(job, share)| share.need > 0 && is(**job));
            needy.min_by(|one, other| one.1.compare(other.1)).map(|(job, _)| *job)
        };
        best(&|job| self.books.has_use_for(job, provider)).or_else(|| {
            // With nobody else at work or in sight one that has failed before is better than none.
            let alone = self.rentals().all(|(other, rental)| {
                other == id
                    || !Self::counts(rental.live, now)
                    || !self.books.has_any_use_for(rental.provider())
            });
            if alone && !self.has_draft_of_use(now) { best(&|_| true) } else { None }
        })
    }

    /// True if an idle worker of this job could be of more use to another one.
    pub(super) fn is_wanted_elsewhere(&self, job: JobId, provider: &NodeId) -> bool {
        self.live.jobs.len() > 1
            && self.shares().iter().any(|(other, share)| {
                *other != job && share.need > 0 && self.books.has_use_for(*other, provider)
            })
    }
}
