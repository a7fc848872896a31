//! The pile of work: which tasks wait, which are being tried and where, which are done.
//!
//! Holds only what isn't finished: memory doesn't grow with the number of tasks done.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use yagna_api::time::between;
use yagna_api::{NodeId, Timestamp};

use crate::event::{Attempt, FailureKind, TaskId};

/// A task handed to a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct AssignedTask {
    /// Which try of which task.
    pub attempt: Attempt,
    /// The task's data.
    pub data: Arc<Value>,
}

/// What becomes of a task whose try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for another try.
    Retry,
    /// It has failed for good.
    Final,
    /// The try was an old one: nothing changes.
    Old,
}

/// Tasks of a run that have no end yet.
#[derive(Debug)]
pub struct TaskQueue {
    fresh: VecDeque<Waiting>,
    again: VecDeque<Waiting>,
    running: HashMap<TaskId, Running>,
    most_failures: u32,
    next: u64,
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
    since: Timestamp,
}

#[derive(Debug)]
struct Running {
    waiting: Waiting,
    on: NodeId,
}

impl TaskQueue {
    /// How long a task waits for a provider it hasn't failed on before it takes one where it has.
    pub const PATIENCE: Duration = Duration::from_secs(20);

    /// An empty queue whose tasks are tried once and at most `retries` times more.
    pub fn new(retries: u32) -> Self {
        Self {
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            running: HashMap::new(),
            most_failures: retries.saturating_add(1),
            next: 0,
            done: 0,
            failed: 0,
            exhausted: false,
        }
    }

    /// Adds a task at the end; tasks are counted from 0.
    pub fn add(&mut self, data: Value, now: Timestamp) -> TaskId {
        let task = TaskId(self.next);
        self.next += 1;
        self.fresh.push_back(Waiting {
            task,
            data: Arc::new(data),
            attempts: 0,
            failures: 0,
            failed_on: Vec::new(),
            since: now,
        });
        task
    }

    /// No more tasks will come.
    pub fn close(&mut self) {
        self.exhausted = true;
    }

    /// Will no more tasks come?
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Takes up to `room` tasks for a provider, retries first.
    ///
    /// A task isn't given to a provider it has failed on while there is one `elsewhere` that it hasn't, unless it
    /// has waited [`Self::PATIENCE`] for that one.
    pub fn take(
        &mut self,
        provider: &NodeId,
        room: usize,
        elsewhere: &[NodeId],
        now: Timestamp,
    ) -> Vec<AssignedTask> {
        let mut taken = Vec::new();
        let mut place = 0;
        while taken.len() < room && place < self.again.len() {
            let waiting = &self.again[place];
            let fits = !waiting.failed_on.contains(provider)
                || elsewhere.iter().all(|other| waiting.failed_on.contains(other))
                || between(waiting.since, now) >= Self::PATIENCE;
            if !fits {
                place += 1;
                continue;
            }
            if let Some(waiting) = self.again.remove(place) {
                taken.push(self.start(waiting, provider));
            }
        }
        while taken.len() < room
            && let Some(waiting) = self.fresh.pop_front()
        {
            taken.push(self.start(waiting, provider));
        }
        taken
    }

    fn start(&mut self, mut waiting: Waiting, provider: &NodeId) -> AssignedTask {
        waiting.attempts += 1;
        let assigned = AssignedTask {
            attempt: Attempt { task: waiting.task, number: waiting.attempts },
            data: Arc::clone(&waiting.data),
        };
        self.running.insert(waiting.task, Running { waiting, on: provider.clone() });
        assigned
    }

    /// A try succeeded. `false` when it was an old one, whose result must be dropped.
    pub fn done(&mut self, attempt: Attempt) -> bool {
        if self.finish(attempt).is_none() {
            return false;
        }
        self.done += 1;
        true
    }

    /// A try failed.
    pub fn failed(&mut self, attempt: Attempt, kind: FailureKind, now: Timestamp) -> Verdict {
        let Some(Running { mut waiting, on }) = self.finish(attempt) else {
            return Verdict::Old;
        };
        waiting.failures += 1;
        if waiting.failures >= self.most_failures || !kind.may_succeed_elsewhere() {
            self.failed += 1;
            return Verdict::Final;
        }
        if !waiting.failed_on.contains(&on) {
            waiting.failed_on.push(on);
        }
        waiting.since = now;
        self.again.push_back(waiting);
        Verdict::Retry
    }

    /// A try was given up through no fault of the task: it doesn't count. `false` when it was an old one.
    pub fn cancelled(&mut self, attempt: Attempt) -> bool {
        let Some(Running { waiting, .. }) = self.finish(attempt) else {
            return false;
        };
        // The try's number isn't taken back: a late outcome of it must not pass for the next one's.
        self.again.push_front(waiting);
        true
    }

    /// Has this task failed somewhere else than on this provider?
    pub fn failed_elsewhere(&self, task: TaskId, provider: &NodeId) -> bool {
        self.running
            .get(&task)
            .is_some_and(|running| running.waiting.failed_on.iter().any(|on| on != provider))
    }

    fn finish(&mut self, attempt: Attempt) -> Option<Running> {
        let running = self.running.get(&attempt.task)?;
        if running.waiting.attempts != attempt.number {
            return None;
        }
        self.running.remove(&attempt.task)
    }

    /// Does a task wait that this provider hasn't failed at?
    pub fn has_use_for(&self, provider: &NodeId) -> bool {
        !self.fresh.is_empty() || self.again.iter().any(|waiting| !waiting.failed_on.contains(provider))
    }

    /// Tasks that wait for a provider.
    pub fn n_waiting(&self) -> usize {
        self.fresh.len() + self.again.len()
    }

    /// Tasks being tried.
    pub fn n_running(&self) -> usize {
        self.running.len()
    }

    /// Tasks with a result.
    pub fn n_done(&self) -> u64 {
        self.done
    }

    /// Tasks that failed for good.
    pub fn n_failed(&self) -> u64 {
        self.failed
    }

    /// Tasks known so far, finished or not.
    pub fn n_known(&self) -> u64 {
        self.next
    }

    /// Has every task its end, and will no more come?
    pub fn is_finished(&self) -> bool {
        self.exhausted && self.n_waiting() == 0 && self.running.is_empty()
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

    #[test]
    fn a_failed_task_goes_to_another_provider() {
        let mut queue = TaskQueue::new(2);
        queue.add("a".into(), at(0));
        queue.close();
        let first = queue.take(&node(1), 5, &[node(2)], at(0)).remove(0).attempt;
        assert_eq!(queue.failed(first, FailureKind::CommandFailed, at(1)), Verdict::Retry);
        assert!(queue.take(&node(1), 5, &[node(2)], at(1)).is_empty());
        let second = queue.take(&node(2), 5, &[node(1)], at(1)).remove(0).attempt;
        assert_eq!(second.number, 2);
        assert!(!queue.done(first), "the outcome of an old try is dropped");
        assert!(queue.done(second));
        assert!(queue.is_finished());
    }

    #[test]
    fn a_task_with_nowhere_else_to_go_is_tried_again_where_it_failed() {
        let mut queue = TaskQueue::new(2);
        queue.add("a".into(), at(0));
        let first = queue.take(&node(1), 1, &[node(2)], at(0)).remove(0).attempt;
        queue.failed(first, FailureKind::CommandFailed, at(0));
        assert_eq!(queue.take(&node(1), 1, &[], at(1)).len(), 1, "no other provider");
        let mut queue = TaskQueue::new(2);
        queue.add("a".into(), at(0));
        let first = queue.take(&node(1), 1, &[node(2)], at(0)).remove(0).attempt;
        queue.failed(first, FailureKind::CommandFailed, at(0));
        assert_eq!(queue.take(&node(1), 1, &[node(2)], at(20)).len(), 1, "waited long enough");
    }

    #[test]
    fn a_task_that_has_failed_everywhere_doesnt_wait_for_elsewhere() {
        let mut queue = TaskQueue::new(5);
        queue.add("a".into(), at(0));
        for n in [1, 2] {
            let attempt = queue.take(&node(n), 1, &[], at(0)).remove(0).attempt;
            queue.failed(attempt, FailureKind::CommandFailed, at(0));
        }
        assert!(queue.take(&node(1), 1, &[node(2), node(3)], at(0)).is_empty(), "there is a third one");
        assert_eq!(queue.take(&node(1), 1, &[node(2)], at(0)).len(), 1, "nobody is left who hasn't tried");
    }

    #[test]
    fn tries_are_bounded_and_cancelled_ones_are_free() {
        let mut queue = TaskQueue::new(1);
        queue.add("a".into(), at(0));
        for round in 1..=5 {
            let attempt = queue.take(&node(1), 1, &[], at(0)).remove(0).attempt;
            assert_eq!(attempt.number, round);
            assert!(queue.cancelled(attempt));
        }
        let attempt = queue.take(&node(1), 1, &[], at(0)).remove(0).attempt;
        assert_eq!(queue.failed(attempt, FailureKind::Lost, at(0)), Verdict::Retry);
        let attempt = queue.take(&node(1), 1, &[], at(0)).remove(0).attempt;
        assert_eq!(queue.failed(attempt, FailureKind::Lost, at(0)), Verdict::Final);
        assert_eq!((queue.n_failed(), queue.n_waiting()), (1, 0));
    }

    #[test]
    fn what_can_succeed_nowhere_fails_at_once() {
        let mut queue = TaskQueue::new(9);
        queue.add("a".into(), at(0));
        let attempt = queue.take(&node(1), 1, &[], at(0)).remove(0).attempt;
        assert_eq!(queue.failed(attempt, FailureKind::Invalid, at(0)), Verdict::Final);
    }

    proptest! {
        /// Whatever happens to tries, in whatever order and however often outcomes are repeated, each task ends
        /// exactly once and none is lost.
        #[test]
        fn every_task_ends_once(steps in prop::collection::vec((0u8..3, 0u8..4, any::<bool>()), 0..400)) {
            let mut queue = TaskQueue::new(2);
            let total = 20;
            for n in 0..total {
                queue.add(n.into(), at(0));
            }
            queue.close();
            let mut open = Vec::new();
            let mut ended = std::collections::HashSet::new();
            let mut old = Vec::new();
            for (provider, what, repeat) in steps {
                open.extend(queue.take(&node(provider), 1, &[], at(0)).into_iter().map(|task| task.attempt));
                if repeat && let Some(&attempt) = old.last() {
                    prop_assert!(!queue.done(attempt));
                    prop_assert_eq!(queue.failed(attempt, FailureKind::Lost, at(0)), Verdict::Old);
                    prop_assert!(!queue.cancelled(attempt));
                }
                let Some(attempt) = open.pop() else { continue };
                match what {
                    0 => { prop_assert!(queue.done(attempt)); prop_assert!(ended.insert(attempt.task)); }
                    1 => { prop_assert!(queue.cancelled(attempt)); }
                    _ => if queue.failed(attempt, FailureKind::Lost, at(0)) == Verdict::Final {
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
