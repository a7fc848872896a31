//! The piles of work, one for each job: which tasks wait, which are being tried and where, which are done.
//!
//! Holds only what isn't finished: memory grows neither with the number of tasks done nor with that of jobs over.
//! Which job a worker goes to is the run's business.

mod restored;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use yagna_api::time::between;
use yagna_api::{NodeId, Timestamp};

use crate::event::{Attempt, FailureKind, JobId, TaskId};

/// A task handed to a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct AssignedTask {
    /// Which attempt at which task.
    pub attempt: Attempt,
    /// The task's data.
    pub data: Arc<Value>,
}

/// What becomes of a task whose try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for another attempt.
    Retry,
    /// It has failed for good.
    Final,
    /// The attempt was an old one: nothing changes.
    Old,
}

/// Tasks of a run that have no end yet, by their jobs.
#[derive(Debug, Default)]
pub struct TaskQueue {
    jobs: BTreeMap<JobId, Pile>,
    running: HashMap<TaskId, Running>,
    next: u64,
    done: u64,
    failed: u64,
}

/// What becomes of a job's tasks when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// Tasks with a result.
    pub done: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Tasks that have neither, in their order.
    pub unfinished: Vec<TaskId>,
}

/// The tasks of one job.
#[derive(Debug)]
struct Pile {
    fresh: VecDeque<Waiting>,
    again: VecDeque<Waiting>,
    /// Tasks that aren't asked for: they are left for another time.
    aside: Vec<TaskId>,
    n_running: usize,
    most_failures: u32,
    done: u64,
    failed: u64,
    exhausted: bool,
}

#[derive(Debug)]
struct Waiting {
    task: TaskId,
    data: Arc<Value>,
    attempts: u32,
    failures: u32,
    failed_on: Vec<NodeId>,
    /// Providers whose machine was lost while it had this task in hand. A task that has any is a suspect: it is tried alone.
    lost_on: Vec<NodeId>,
    /// It failed where other tasks had run before it, and is tried next where none has.
    wants_fresh: bool,
    since: Timestamp,
}

#[derive(Debug)]
struct Running {
    job: JobId,
    waiting: Waiting,
    on: NodeId,
}

impl Waiting {
    /// A machine was lost with this task in hand, perhaps because of it.
    fn is_suspect(&self) -> bool {
        !self.lost_on.is_empty()
    }

    /// It is tried alone: what it does may cost the machine, or must find it as nothing else has left it.
    fn is_loner(&self) -> bool {
        self.is_suspect() || self.wants_fresh
    }

    /// True if this provider may try it: not where it has failed already, while there is one `elsewhere` that it hasn't failed on, unless
    /// it has waited [`TaskQueue::PATIENCE`] for that one.
    fn fits(&self, provider: &NodeId, elsewhere: &[NodeId], now: Timestamp) -> bool {
        !self.failed_on.contains(provider)
            || elsewhere.iter().all(|other| self.failed_on.contains(other))
            || between(self.since, now) >= TaskQueue::PATIENCE
    }

    fn note_lost(&mut self, on: NodeId) {
        if !self.lost_on.contains(&on) {
            self.lost_on.push(on);
        }
    }
}

impl Pile {
    fn n_waiting(&self) -> usize {
        self.fresh.len() + self.again.len()
    }
}

impl TaskQueue {
    /// How long a task waits for a provider it hasn't failed on before it takes one where it has.
    pub const PATIENCE: Duration = Duration::from_secs(20);

    /// A queue without jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a job whose tasks are tried once and at most `retries` times more.
    pub fn open(&mut self, job: JobId, retries: u32) {
        self.jobs.entry(job).or_insert_with(|| Pile {
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            aside: Vec::new(),
            n_running: 0,
            most_failures: retries.saturating_add(1),
            done: 0,
            failed: 0,
            exhausted: false,
        });
    }

    /// Adds a task at the end of its job; tasks are counted from 0. `None` when there is no such job.
    pub fn add(&mut self, job: JobId, data: Value, now: Timestamp) -> Option<TaskId> {
        let pile = self.jobs.get_mut(&job)?;
        let task = TaskId(self.next);
        self.next += 1;
        pile.fresh.push_back(Waiting {
            task,
            data: Arc::new(data),
            attempts: 0,
            failures: 0,
            failed_on: Vec::new(),
            lost_on: Vec::new(),
            wants_fresh: false,
            since: now,
        });
        Some(task)
    }

    /// Adds a task that is left for another time. `None` when there is no such job.
    pub fn add_aside(&mut self, job: JobId) -> Option<TaskId> {
        let pile = self.jobs.get_mut(&job)?;
        let task = TaskId(self.next);
        self.next += 1;
        pile.aside.push(task);
        Some(task)
    }

    /// True if tasks are left for another time.
    pub fn has_aside(&self) -> bool {
        self.jobs.values().any(|pile| !pile.aside.is_empty())
    }

    /// The job's source has no more tasks.
    pub fn exhaust(&mut self, job: JobId) {
        if let Some(pile) = self.jobs.get_mut(&job) {
            pile.exhausted = true;
        }
    }

    /// The job's source has more tasks after all.
    pub fn go_on_reading(&mut self, job: JobId) {
        if let Some(pile) = self.jobs.get_mut(&job) {
            pile.exhausted = false;
        }
    }

    /// Has the job's source no more tasks? So it is with a job that isn't there.
    pub fn is_exhausted(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_none_or(|pile| pile.exhausted)
    }

    /// Takes a job out, with all that waits for it or runs; outcomes that come later are old ones.
    pub fn remove(&mut self, job: JobId) -> Option<Remains> {
        let pile = self.jobs.remove(&job)?;
        let running = self.running.extract_if(|_, running| running.job == job).map(|(task, _)| task);
        let waiting = pile.fresh.iter().chain(&pile.again).map(|waiting| waiting.task);
        let mut unfinished: Vec<_> = running.chain(waiting).chain(pile.aside.iter().copied()).collect();
        unfinished.sort_unstable();
        Some(Remains { done: pile.done, failed: pile.failed, unfinished })
    }

    /// Takes up to `room` of a job's tasks for a provider, retries first.
    ///
    /// A task isn't given to a provider it has failed on while there is one `elsewhere` that it hasn't, unless it
    /// has waited [`Self::PATIENCE`] for that one. A suspect comes alone, whatever the room, and so does a task that wants a
    /// fresh activity, which it is given only where nothing has run in the provider's.
    pub fn take(
        &mut self,
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
            let waiting = &pile.again[place];
            let is_loner = waiting.is_loner();
            if !waiting.fits(provider, elsewhere, now)
                || (waiting.wants_fresh && !is_fresh)
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
            && let Some(waiting) = pile.fresh.pop_front()
        {
            taken.push(waiting);
        }
        pile.n_running += taken.len();
        taken.into_iter().map(|waiting| self.start(job, waiting, provider)).collect()
    }

    fn start(&mut self, job: JobId, mut waiting: Waiting, provider: &NodeId) -> AssignedTask {
        waiting.attempts += 1;
        waiting.wants_fresh = false;
        let assigned = AssignedTask {
            attempt: Attempt { task: waiting.task, number: waiting.attempts },
            data: Arc::clone(&waiting.data),
        };
        self.running.insert(waiting.task, Running { job, waiting, on: provider.clone() });
        assigned
    }

    /// An attempt succeeded: the job of its task. `None` when it was an old one, whose result must be dropped.
    pub fn done(&mut self, attempt: Attempt) -> Option<JobId> {
        let (running, pile) = self.finish(attempt)?;
        pile.done += 1;
        self.done += 1;
        Some(running.job)
    }

    /// An attempt failed. Without `retry` the task has failed for good, whatever attempts it has left.
    pub fn failed(&mut self, attempt: Attempt, kind: FailureKind, retry: bool, now: Timestamp) -> Verdict {
        let Some((Running { mut waiting, on, .. }, pile)) = self.finish(attempt) else {
            return Verdict::Old;
        };
        waiting.failures += 1;
        if kind == FailureKind::Lost {
            waiting.note_lost(on.clone());
        }
        if !retry || waiting.failures >= pile.most_failures || !kind.may_succeed_elsewhere() {
            pile.failed += 1;
            self.failed += 1;
            return Verdict::Final;
        }
        if !waiting.failed_on.contains(&on) {
            waiting.failed_on.push(on);
        }
        waiting.since = now;
        pile.again.push_back(waiting);
        Verdict::Retry
    }

    /// A task that waits is to be tried next where nothing has run before it.
    pub fn want_fresh(&mut self, job: JobId, task: TaskId) {
        let again = self.jobs.get_mut(&job).map(|pile| &mut pile.again);
        // It has just failed: it is the last one.
        if let Some(waiting) =
            again.and_then(|again| again.iter_mut().rev().find(|waiting| waiting.task == task))
        {
            waiting.wants_fresh = true;
        }
    }

    /// Lets a job's tasks be tried in used activities too, because the budget doesn't allow fresh ones.
    pub fn waive_fresh(&mut self, job: JobId) {
        for waiting in self.jobs.get_mut(&job).into_iter().flat_map(|pile| &mut pile.again) {
            waiting.wants_fresh = false;
        }
    }

    /// The number of a job's tasks that wait for a fresh activity and that this provider may try; and whether one of them has
    /// waited for [`Self::PATIENCE`], or nothing else waits that the provider may try.
    pub fn n_wanting_fresh(
        &self,
        job: JobId,
        provider: &NodeId,
        elsewhere: &[NodeId],
        now: Timestamp,
    ) -> (usize, bool) {
        let Some(pile) = self.jobs.get(&job) else {
            return (0, false);
        };
        let fitting = || pile.again.iter().filter(|waiting| waiting.fits(provider, elsewhere, now));
        let wanting = || fitting().filter(|waiting| waiting.wants_fresh);
        let is_urgent = (pile.fresh.is_empty() && fitting().all(|waiting| waiting.wants_fresh))
            || wanting().any(|waiting| between(waiting.since, now) >= Self::PATIENCE);
        (wanting().count(), is_urgent)
    }

    /// An attempt was given up through no fault of the task: it doesn't count. `false` when it was an old one.
    pub fn cancelled(&mut self, attempt: Attempt) -> bool {
        let Some((Running { waiting, .. }, pile)) = self.finish(attempt) else {
            return false;
        };
        // The attempt's number isn't taken back: a late outcome of it must not pass for the next one's.
        pile.again.push_front(waiting);
        true
    }

    /// The machine that tried it and other tasks was lost, and nobody knows by which of them: the attempt doesn't count, and the
    /// task is tried alone from now on. `false` when it was an old one.
    pub fn lost_with_others(&mut self, attempt: Attempt) -> bool {
        let Some((Running { mut waiting, on, .. }, pile)) = self.finish(attempt) else {
            return false;
        };
        waiting.note_lost(on);
        let first = pile.again.iter().position(|other| !other.is_suspect()).unwrap_or(pile.again.len());
        pile.again.insert(first, waiting);
        true
    }

    /// The number of the failed attempts of a task that is being tried.
    pub fn failures(&self, task: TaskId) -> u32 {
        self.running.get(&task).map_or(0, |running| running.waiting.failures)
    }

    /// The other providers whose machines were lost with a task that is being tried.
    pub fn lost_elsewhere(&self, task: TaskId, provider: &NodeId) -> Vec<NodeId> {
        let lost_on = self.running.get(&task).map(|running| running.waiting.lost_on.as_slice());
        lost_on.unwrap_or_default().iter().filter(|on| *on != provider).cloned().collect()
    }

    /// Has this task failed somewhere else than on this provider?
    pub fn failed_elsewhere(&self, task: TaskId, provider: &NodeId) -> bool {
        self.running
            .get(&task)
            .is_some_and(|running| running.waiting.failed_on.iter().any(|on| on != provider))
    }

    fn finish(&mut self, attempt: Attempt) -> Option<(Running, &mut Pile)> {
        if self.running.get(&attempt.task)?.waiting.attempts != attempt.number {
            return None;
        }
        let running = self.running.remove(&attempt.task)?;
        let pile = self.jobs.get_mut(&running.job)?;
        pile.n_running -= 1;
        Some((running, pile))
    }

    /// Does a task of this job wait that this provider hasn't failed at?
    pub fn has_use_for(&self, job: JobId, provider: &NodeId) -> bool {
        self.jobs.get(&job).is_some_and(|pile| {
            !pile.fresh.is_empty() || pile.again.iter().any(|waiting| !waiting.failed_on.contains(provider))
        })
    }

    /// Does any task wait that this provider hasn't failed at?
    pub fn has_any_use_for(&self, provider: &NodeId) -> bool {
        self.jobs.keys().any(|job| self.has_use_for(*job, provider))
    }

    /// The jobs, in the order of their ids.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.jobs.keys().copied()
    }

    /// Tasks of all jobs that wait for a provider.
    pub fn n_waiting(&self) -> usize {
        self.jobs.values().map(Pile::n_waiting).sum()
    }

    /// Tasks of a job that wait for a provider.
    pub fn n_waiting_for(&self, job: JobId) -> usize {
        self.jobs.get(&job).map_or(0, Pile::n_waiting)
    }

    /// Tasks being tried.
    pub fn n_running(&self) -> usize {
        self.running.len()
    }

    /// Tasks of a job being tried.
    pub fn n_running_for(&self, job: JobId) -> usize {
        self.jobs.get(&job).map_or(0, |pile| pile.n_running)
    }

    /// Tasks with a result, those of jobs that are over included.
    pub fn n_done(&self) -> u64 {
        self.done
    }

    /// Tasks that failed for good, those of jobs that are over included.
    pub fn n_failed(&self) -> u64 {
        self.failed
    }

    /// Tasks known so far, finished or not.
    pub fn n_known(&self) -> u64 {
        self.next
    }

    /// Has every task of this job its end, and has its source no more?
    pub fn is_finished(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_none_or(|pile| {
            pile.exhausted && pile.n_waiting() == 0 && pile.n_running == 0 && pile.aside.is_empty()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(n: u8) -> NodeId {
        format!("0x{n:040x}").parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    const JOB: JobId = JobId(0);

    fn pile(retries: u32) -> TaskQueue {
        let mut queue = TaskQueue::new();
        queue.open(JOB, retries);
        queue
    }

    #[test]
    fn jobs_dont_see_each_others_tasks() {
        let (one, other) = (JobId(1), JobId(2));
        let mut queue = pile(0);
        queue.open(one, 0);
        queue.open(other, 5);
        let first = queue.add(one, "a".into(), at(0)).unwrap();
        let second = queue.add(other, "b".into(), at(0)).unwrap();
        assert_eq!((first, second), (TaskId(0), TaskId(1)), "one count for all");
        assert_eq!(queue.add(JobId(3), "c".into(), at(0)), None);
        queue.exhaust(one);
        let taken = queue.take(one, &node(1), 9, true, &[], at(0));
        assert_eq!(taken.len(), 1);
        assert_eq!(
            (queue.n_waiting_for(one), queue.n_running_for(one), queue.n_waiting_for(other)),
            (0, 1, 1)
        );
        assert_eq!(
            queue.failed(taken[0].attempt, FailureKind::Lost, true, at(0)),
            Verdict::Final,
            "no retries"
        );
        assert!(queue.is_finished(one) && !queue.is_finished(other));
        let taken = queue.take(other, &node(1), 9, true, &[], at(0));
        assert_eq!(queue.failed(taken[0].attempt, FailureKind::Lost, true, at(0)), Verdict::Retry);
        assert!(queue.has_use_for(other, &node(2)) && !queue.has_use_for(one, &node(2)));
        assert_eq!(queue.remove(one), Some(Remains { done: 0, failed: 1, unfinished: vec![] }));
        assert_eq!((queue.n_failed(), queue.n_known()), (1, 2), "the run's counts stay");
    }

    #[test]
    fn a_job_that_is_taken_out_leaves_nothing_behind() {
        let mut queue = pile(3);
        for n in 0..3 {
            queue.add(JOB, n.into(), at(0));
        }
        let running = queue.take(JOB, &node(1), 1, true, &[], at(0)).remove(0).attempt;
        let remains = queue.remove(JOB).unwrap();
        assert_eq!(remains.unfinished, [TaskId(0), TaskId(1), TaskId(2)]);
        assert!(queue.done(running).is_none() && !queue.cancelled(running), "its outcome comes too late");
        assert_eq!(queue.failed(running, FailureKind::Lost, true, at(0)), Verdict::Old);
        assert_eq!((queue.n_waiting(), queue.n_running(), queue.n_done()), (0, 0, 0));
        assert_eq!(queue.remove(JOB), None);
    }

    #[test]
    fn a_result_that_no_retry_can_mend_fails_its_task_at_once() {
        let mut queue = pile(9);
        queue.add(JOB, "a".into(), at(0));
        let attempt = queue.take(JOB, &node(1), 1, true, &[], at(0)).remove(0).attempt;
        assert_eq!(queue.failed(attempt, FailureKind::Rejected, false, at(0)), Verdict::Final);
    }

    #[test]
    fn a_failed_task_goes_to_another_provider() {
        let mut queue = pile(2);
        queue.add(JOB, "a".into(), at(0));
        queue.exhaust(JOB);
        let first = queue.take(JOB, &node(1), 5, true, &[node(2)], at(0)).remove(0).attempt;
        assert_eq!(queue.failed(first, FailureKind::CommandFailed, true, at(1)), Verdict::Retry);
        assert!(queue.take(JOB, &node(1), 5, true, &[node(2)], at(1)).is_empty());
        let second = queue.take(JOB, &node(2), 5, true, &[node(1)], at(1)).remove(0).attempt;
        assert_eq!(second.number, 2);
        assert!(queue.done(first).is_none(), "the outcome of an old try is dropped");
        assert_eq!(queue.done(second), Some(JOB));
        assert!(queue.is_finished(JOB));
    }

    #[test]
    fn a_task_with_nowhere_else_to_go_is_tried_again_where_it_failed() {
        let mut queue = pile(2);
        queue.add(JOB, "a".into(), at(0));
        let first = queue.take(JOB, &node(1), 1, true, &[node(2)], at(0)).remove(0).attempt;
        queue.failed(first, FailureKind::CommandFailed, true, at(0));
        assert_eq!(queue.take(JOB, &node(1), 1, true, &[], at(1)).len(), 1, "no other provider");
        let mut queue = pile(2);
        queue.add(JOB, "a".into(), at(0));
        let first = queue.take(JOB, &node(1), 1, true, &[node(2)], at(0)).remove(0).attempt;
        queue.failed(first, FailureKind::CommandFailed, true, at(0));
        assert_eq!(queue.take(JOB, &node(1), 1, true, &[node(2)], at(20)).len(), 1, "waited long enough");
    }

    #[test]
    fn a_task_that_has_failed_everywhere_doesnt_wait_for_elsewhere() {
        let mut queue = pile(5);
        queue.add(JOB, "a".into(), at(0));
        for n in [1, 2] {
            let attempt = queue.take(JOB, &node(n), 1, true, &[], at(0)).remove(0).attempt;
            queue.failed(attempt, FailureKind::CommandFailed, true, at(0));
        }
        assert!(
            queue.take(JOB, &node(1), 1, true, &[node(2), node(3)], at(0)).is_empty(),
            "there is a third one"
        );
        assert_eq!(
            queue.take(JOB, &node(1), 1, true, &[node(2)], at(0)).len(),
            1,
            "nobody is left who hasn't tried"
        );
    }

    #[test]
    fn tries_are_bounded_and_cancelled_ones_are_free() {
        let mut queue = pile(1);
        queue.add(JOB, "a".into(), at(0));
        for round in 1..=5 {
            let attempt = queue.take(JOB, &node(1), 1, true, &[], at(0)).remove(0).attempt;
            assert_eq!(attempt.number, round);
            assert!(queue.cancelled(attempt));
        }
        let attempt = queue.take(JOB, &node(1), 1, true, &[], at(0)).remove(0).attempt;
        assert_eq!(queue.failed(attempt, FailureKind::Lost, true, at(0)), Verdict::Retry);
        let attempt = queue.take(JOB, &node(1), 1, true, &[], at(0)).remove(0).attempt;
        assert_eq!(queue.failed(attempt, FailureKind::Lost, true, at(0)), Verdict::Final);
        assert_eq!((queue.n_failed(), queue.n_waiting()), (1, 0));
    }

    #[test]
    fn what_can_succeed_nowhere_fails_at_once() {
        let mut queue = pile(9);
        queue.add(JOB, "a".into(), at(0));
        let attempt = queue.take(JOB, &node(1), 1, true, &[], at(0)).remove(0).attempt;
        assert_eq!(queue.failed(attempt, FailureKind::Invalid, true, at(0)), Verdict::Final);
    }

    proptest! {
        /// Whatever happens to attempts, in whatever order and however often outcomes are repeated, each task ends
        /// exactly once and none is lost.
        #[test]
        fn every_task_ends_once(steps in prop::collection::vec((0u8..3, 0u8..4, any::<bool>()), 0..400)) {
            let mut queue = pile(2);
            let total = 20;
            for n in 0..total {
                queue.add(JOB, n.into(), at(0));
            }
            queue.exhaust(JOB);
            let mut open = Vec::new();
            let mut ended = std::collections::HashSet::new();
            let mut old = Vec::new();
            for (provider, what, repeat) in steps {
                open.extend(queue.take(JOB, &node(provider), 1, true, &[], at(0)).into_iter().map(|task| task.attempt));
                if repeat && let Some(&attempt) = old.last() {
                    prop_assert!(queue.done(attempt).is_none());
                    prop_assert_eq!(queue.failed(attempt, FailureKind::Lost, true, at(0)), Verdict::Old);
                    prop_assert!(!queue.cancelled(attempt));
                }
                let Some(attempt) = open.pop() else { continue };
                match what {
                    0 => { prop_assert!(queue.done(attempt).is_some()); prop_assert!(ended.insert(attempt.task)); }
                    1 => { prop_assert!(queue.cancelled(attempt)); }
                    _ => if queue.failed(attempt, FailureKind::Lost, true, at(0)) == Verdict::Final {
                        prop_assert!(ended.insert(attempt.task));
                    },
                }
                old.push(attempt);
                prop_assert_eq!(queue.n_done() + queue.n_failed(), ended.len() as u64);
                let unfinished = queue.n_waiting() + queue.n_running();
                prop_assert_eq!(ended.len() + unfinished, total);
            }
        }
    }
}
