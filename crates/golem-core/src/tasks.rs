//! The piles of work, one for each job: the order in which tasks wait, and which are being tried.
//!
//! Tasks themselves, with their attempts and failures, are in the [state](RunState). A queue is deduced from it: it follows the
//! events that change it, and begins anew with each process. Which job a worker goes to is the run's business.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use yagna_api::time::between;
use yagna_api::{NodeId, Timestamp};

use crate::event::{Attempt, EventKind, FailureKind, JobId, TaskId};
use crate::state::{OpenTask, RunState};

/// A task handed to a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct AssignedTask {
    /// The attempt, with the number of its task.
    pub attempt: Attempt,
    /// The task's data.
    pub data: Arc<Value>,
}

/// The fate of a task whose attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It waits for another attempt.
    Retry,
    /// It has failed for good.
    Final,
    /// The attempt was an old one: nothing changes.
    Old,
}

/// The order of a run's tasks that have no end yet, by their jobs.
#[derive(Debug, Default)]
pub(crate) struct TaskQueue {
    jobs: BTreeMap<JobId, Pile>,
    running: HashMap<TaskId, JobId>,
}

/// The tasks of one job.
#[derive(Debug, Default)]
struct Pile {
    fresh: VecDeque<TaskId>,
    again: VecDeque<TaskId>,
    /// Those of `again` that failed where other tasks had run before them, and are tried next where none has.
    wants_fresh: HashSet<TaskId>,
    /// Tasks that aren't asked for: they are left for another time.
    aside: Vec<TaskId>,
    n_running: usize,
    source: Source,
}

/// The source of a job in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Source {
    /// It is as the state says.
    #[default]
    AsRecorded,
    /// It has more tasks after all, though it had no more before.
    ReadOn,
    /// It failed: nothing more is read from it for now.
    Broken,
}

impl OpenTask {
    /// True if a machine was lost with this task in hand, perhaps because of it. It is tried alone from then on.
    fn is_suspect(&self) -> bool {
        !self.lost_on.is_empty()
    }

    /// True if this provider may try it: not where it has failed already, while there is one `elsewhere` that it hasn't failed on, unless
    /// it has waited [`TaskQueue::PATIENCE`] for that one.
    fn fits(&self, provider: &NodeId, elsewhere: &[NodeId], now: Timestamp) -> bool {
        !self.failed_on.contains(provider)
            || elsewhere.iter().all(|other| self.failed_on.contains(other))
            || between(self.since, now) >= TaskQueue::PATIENCE
    }
}

impl Pile {
    fn n_waiting(&self) -> usize {
        self.fresh.len() + self.again.len()
    }

    /// True if the task is tried alone: what it does may cost the machine, or must find it as nothing else has left it.
    fn is_loner(&self, id: TaskId, task: &OpenTask) -> bool {
        task.is_suspect() || self.wants_fresh.contains(&id)
    }
}

impl TaskQueue {
    /// The time that a task waits for a provider it hasn't failed on before it takes one where it has.
    pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

    /// The queue of a run that is resumed. A task is still being tried where its rental is known.
    pub(crate) fn of_state(state: &RunState) -> Self {
        let mut queue = Self::default();
        for job in state.jobs.keys() {
            queue.jobs.insert(*job, Pile::default());
        }
        for (id, task) in &state.tasks {
            let Some(pile) = queue.jobs.get_mut(&task.job) else { continue };
            if task.wants_fresh {
                pile.wants_fresh.insert(*id);
            }
            match task.running.filter(|rental| state.rentals.contains_key(rental)) {
                Some(_) => {
                    pile.n_running += 1;
                    queue.running.insert(*id, task.job);
                }
                None if task.attempts == 0 => pile.fresh.push_back(*id),
                None => pile.again.push_back(*id),
            }
        }
        for pile in queue.jobs.values_mut() {
            // The task that failed first is retried first.
            pile.again.make_contiguous().sort_by_key(|id| (state.tasks[id].since, *id));
        }
        queue
    }

    /// Follows an event that was applied to the state.
    pub(crate) fn follow(&mut self, state: &RunState, kind: &EventKind) {
        match kind {
            EventKind::JobAdded { job, .. } => drop(self.jobs.entry(*job).or_default()),
            EventKind::SourceExhausted { job } => {
                if let Some(pile) = self.jobs.get_mut(job) {
                    pile.source = Source::AsRecorded;
                }
            }
            EventKind::TaskAdded { job, task, .. } => {
                if let Some(pile) = self.jobs.get_mut(job) {
                    pile.fresh.push_back(*task);
                }
            }
            EventKind::TaskStarted { attempt, .. } => {
                let Some(OpenTask { job, .. }) = state.tasks.get(&attempt.task) else { return };
                if let Some(pile) = self.jobs.get_mut(job) {
                    pile.n_running += 1;
                    pile.wants_fresh.remove(&attempt.task);
                    self.running.insert(attempt.task, *job);
                }
            }
            EventKind::TaskDone { attempt, .. } | EventKind::TaskFailed { attempt, .. } => {
                self.stop(attempt.task);
            }
            EventKind::AttemptFailed { attempt, failure, .. } => {
                if let Some(pile) = self.stop(attempt.task) {
                    if failure.ran_before > 0 {
                        pile.wants_fresh.insert(attempt.task);
                    }
                    pile.again.push_back(attempt.task);
                }
            }
            EventKind::AttemptCancelled { attempt, lost, .. } => {
                let Some(pile) = self.stop(attempt.task) else { return };
                let is_suspect = |id: &TaskId| state.tasks.get(id).is_some_and(OpenTask::is_suspect);
                let place = match lost {
                    None => 0,
                    // It is tried alone from now on.
                    Some(_) => pile.again.iter().position(|id| !is_suspect(id)).unwrap_or(pile.again.len()),
                };
                pile.again.insert(place, attempt.task);
            }
            _ => {}
        }
    }

    fn stop(&mut self, task: TaskId) -> Option<&mut Pile> {
        let job = self.running.remove(&task)?;
        let pile = self.jobs.get_mut(&job)?;
        pile.n_running -= 1;
        Some(pile)
    }

    /// Leaves the task that was added last for another time.
    pub(crate) fn set_last_aside(&mut self, job: JobId) {
        if let Some(pile) = self.jobs.get_mut(&job) {
            pile.aside.extend(pile.fresh.pop_back());
        }
    }

    /// Leaves those of the tasks that wait for another time for which this holds.
    pub(crate) fn set_aside(&mut self, state: &RunState, mut is_left: impl FnMut(TaskId, &Value) -> bool) {
        for pile in self.jobs.values_mut() {
            for waiting in [&mut pile.fresh, &mut pile.again] {
                waiting.retain(|id| {
                    let left = state.tasks.get(id).is_some_and(|task| is_left(*id, &task.data));
                    if left {
                        pile.aside.push(*id);
                    }
                    !left
                });
            }
        }
    }

    /// True if tasks are left for another time.
    pub(crate) fn has_aside(&self) -> bool {
        self.jobs.values().any(|pile| !pile.aside.is_empty())
    }

    /// The job's source has more tasks after all, though the state may say that it had no more.
    pub(crate) fn read_on(&mut self, job: JobId) {
        if let Some(pile) = self.jobs.get_mut(&job) {
            pile.source = Source::ReadOn;
        }
    }

    /// Nothing more is read from the job's source in this process.
    pub(crate) fn break_off(&mut self, job: JobId) {
        if let Some(pile) = self.jobs.get_mut(&job) {
            pile.source = Source::Broken;
        }
    }

    /// True if the job's source has no more tasks. So it is with a job that isn't there.
    pub(crate) fn is_exhausted(&self, state: &RunState, job: JobId) -> bool {
        self.jobs.get(&job).is_none_or(|pile| match pile.source {
            Source::AsRecorded => state.jobs.get(&job).is_none_or(|job| job.exhausted),
            Source::ReadOn => false,
            Source::Broken => true,
        })
    }

    /// Takes a job out, with all that waits for it or runs; outcomes that come later are old ones. The answer is what has no end.
    pub(crate) fn remove(&mut self, job: JobId) -> Option<Vec<TaskId>> {
        let pile = self.jobs.remove(&job)?;
        let running = self.running.extract_if(|_, its| *its == job).map(|(task, _)| task);
        let mut unfinished: Vec<_> = running.chain(pile.fresh).chain(pile.again).chain(pile.aside).collect();
        unfinished.sort_unstable();
        Some(unfinished)
    }

    /// Takes up to `room` of a job's tasks for a provider, retries first. Each is to be started.
    ///
    /// A task isn't given to a provider it has failed on while there is one `elsewhere` that it hasn't, unless it
    /// has waited [`Self::PATIENCE`] for that one. A suspect comes alone, whatever the room, and so does a task that wants a
    /// fresh activity, which it is given only where nothing has run in the provider's.
    #[expect(clippy::too_many_arguments, reason = "all of it decides which task fits")]
    pub(crate) fn take(
        &mut self,
        state: &RunState,
        job: JobId,
        provider: &NodeId,
        room: usize,
        is_fresh: bool,
        elsewhere: &[NodeId],
        now: Timestamp,
    ) -> Vec<AssignedTask> {
        let Some(pile) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        let mut alone = false;
        let mut place = 0;
        while taken.len() < room && place < pile.again.len() {
            let id = pile.again[place];
            let Some(task) = state.tasks.get(&id) else {
                pile.again.remove(place);
                continue;
            };
            let is_loner = pile.is_loner(id, task);
            if !task.fits(provider, elsewhere, now)
                || (pile.wants_fresh.contains(&id) && !is_fresh)
                || (is_loner && !taken.is_empty())
            {
                place += 1;
                continue;
            }
            taken.extend(pile.again.remove(place));
            alone = is_loner;
            if alone {
                break;
            }
        }
        while !alone
            && taken.len() < room
            && let Some(id) = pile.fresh.pop_front()
        {
            taken.push(id);
        }
        let assigned = |task: TaskId| {
            let OpenTask { attempts, data, .. } = state.tasks.get(&task)?;
            Some(AssignedTask { attempt: Attempt { task, number: attempts + 1 }, data: Arc::clone(data) })
        };
        taken.into_iter().filter_map(assigned).collect()
    }

    /// The task of an attempt that goes on; none of an old one, whose outcome must be dropped.
    pub(crate) fn current<'s>(&self, state: &'s RunState, attempt: Attempt) -> Option<&'s OpenTask> {
        let task = state.tasks.get(&attempt.task).filter(|task| task.attempts == attempt.number)?;
        self.running.contains_key(&attempt.task).then_some(task)
    }

    /// A task that is being tried, as its worker has it in its hands.
    pub(crate) fn in_hands(&self, state: &RunState, attempt: Attempt) -> Option<AssignedTask> {
        let data = Arc::clone(&self.current(state, attempt)?.data);
        Some(AssignedTask { attempt, data })
    }

    /// Decides what becomes of a task whose attempt failed. Without `retry` it has failed for good, whatever attempts it has left.
    pub(crate) fn verdict(
        &self,
        state: &RunState,
        attempt: Attempt,
        kind: FailureKind,
        retry: bool,
    ) -> Verdict {
        let Some(task) = self.current(state, attempt) else { return Verdict::Old };
        let retries = state.jobs.get(&task.job).map_or(0, |job| job.retries);
        if retry && task.failures < retries && kind.may_succeed_elsewhere() {
            Verdict::Retry
        } else {
            Verdict::Final
        }
    }

    /// True if any task waits for a fresh activity.
    pub(crate) fn wants_any_fresh(&self) -> bool {
        self.jobs.values().any(|pile| !pile.wants_fresh.is_empty())
    }

    /// True if a task of this job waits that was tried before.
    pub(crate) fn has_failed_tasks(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|pile| !pile.again.is_empty())
    }

    /// Lets a job's tasks be tried in used activities too, because the budget doesn't allow fresh ones.
    pub(crate) fn waive_fresh(&mut self, job: JobId) {
        if let Some(pile) = self.jobs.get_mut(&job) {
            pile.wants_fresh.clear();
        }
    }

    /// The number of a job's tasks that wait for a fresh activity and that this provider may try; and whether one of them has
    /// waited for [`Self::PATIENCE`], or nothing else waits that the provider may try.
    pub(crate) fn n_wanting_fresh(
        &self,
        state: &RunState,
        job: JobId,
        provider: &NodeId,
        elsewhere: &[NodeId],
        now: Timestamp,
    ) -> (usize, bool) {
        let Some(pile) = self.jobs.get(&job).filter(|pile| !pile.wants_fresh.is_empty()) else {
            return (0, false);
        };
        let again = || pile.again.iter().filter_map(|id| Some((id, state.tasks.get(id)?)));
        let fitting = || again().filter(|(_, task)| task.fits(provider, elsewhere, now));
        let wanting = || fitting().filter(|(id, _)| pile.wants_fresh.contains(id));
        let is_urgent = (pile.fresh.is_empty() && fitting().all(|(id, _)| pile.wants_fresh.contains(id)))
            || wanting().any(|(_, task)| between(task.since, now) >= Self::PATIENCE);
        (wanting().count(), is_urgent)
    }

    /// True if a task of this job waits that this provider hasn't failed at.
    pub(crate) fn has_use_for(&self, state: &RunState, job: JobId, provider: &NodeId) -> bool {
        let has_failed =
            |id: &TaskId| state.tasks.get(id).is_some_and(|task| task.failed_on.contains(provider));
        self.jobs.get(&job).is_some_and(|pile| !pile.fresh.is_empty() || !pile.again.iter().all(has_failed))
    }

    /// True if any task waits that this provider hasn't failed at.
    pub(crate) fn has_any_use_for(&self, state: &RunState, provider: &NodeId) -> bool {
        self.jobs.keys().any(|job| self.has_use_for(state, *job, provider))
    }

    /// Tasks of all jobs that wait for a provider.
    pub(crate) fn n_waiting(&self) -> usize {
        self.jobs.values().map(Pile::n_waiting).sum()
    }

    /// Tasks of a job that wait for a provider.
    pub(crate) fn n_waiting_for(&self, job: JobId) -> usize {
        self.jobs.get(&job).map_or(0, Pile::n_waiting)
    }

    /// Tasks being tried.
    pub(crate) fn n_running(&self) -> usize {
        self.running.len()
    }

    /// Tasks of a job being tried.
    pub(crate) fn n_running_for(&self, job: JobId) -> usize {
        self.jobs.get(&job).map_or(0, |pile| pile.n_running)
    }

    /// True if every task of this job is finished, and its source has no more.
    pub(crate) fn is_finished(&self, state: &RunState, job: JobId) -> bool {
        self.is_exhausted(state, job)
            && self
                .jobs
                .get(&job)
                .is_none_or(|pile| pile.n_waiting() == 0 && pile.n_running == 0 && pile.aside.is_empty())
    }
}

#[cfg(test)]
mod tests;
