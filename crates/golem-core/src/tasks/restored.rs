//! A queue as an earlier life of its run left it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use yagna_api::NodeId;

use super::{AssignedTask, Pile, Running, TaskQueue, Waiting};
use crate::event::{Attempt, JobId, TaskId};
use crate::state::{OpenJob, OpenTask, RunState};

impl TaskQueue {
    /// The open jobs and tasks of a past. A task for which `on` names a provider is still being tried there.
    pub(crate) fn of_past(past: &RunState, retries: u32, on: impl Fn(&OpenTask) -> Option<NodeId>) -> Self {
        let mut queue =
            Self { next: past.next_task, done: past.done, failed: past.failed, ..Self::default() };
        for (id, job) in &past.jobs {
            queue.restore_job(*id, job, retries);
        }
        for (id, task) in &past.tasks {
            queue.restore_task(*id, task, on(task));
        }
        for pile in queue.jobs.values_mut() {
            // Who failed first is tried again first.
            pile.again.make_contiguous().sort_by_key(|waiting| (waiting.since, waiting.task));
        }
        queue
    }

    /// A task that is being tried, as its worker has it in its hands.
    pub(crate) fn in_hands(&self, attempt: Attempt) -> Option<AssignedTask> {
        let running = self.running.get(&attempt.task)?;
        (running.waiting.attempts == attempt.number)
            .then(|| AssignedTask { attempt, data: Arc::clone(&running.waiting.data) })
    }

    /// Leaves those of the tasks that wait for another time for which this holds.
    pub(crate) fn set_aside(&mut self, mut is_left: impl FnMut(TaskId, &Value) -> bool) {
        for pile in self.jobs.values_mut() {
            for waiting in [&mut pile.fresh, &mut pile.again] {
                waiting.retain(|waiting| {
                    let left = is_left(waiting.task, &waiting.data);
                    if left {
                        pile.aside.push(waiting.task);
                    }
                    !left
                });
            }
        }
    }

    fn restore_job(&mut self, id: JobId, job: &OpenJob, retries: u32) {
        let pile = Pile {
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            aside: Vec::new(),
            n_running: 0,
            most_failures: job.retries.unwrap_or(retries).saturating_add(1),
            done: job.done,
            failed: job.failed,
            exhausted: job.exhausted,
        };
        self.jobs.insert(id, pile);
    }

    fn restore_task(&mut self, id: TaskId, task: &OpenTask, on: Option<NodeId>) {
        let Some(pile) = self.jobs.get_mut(&task.job) else {
            return;
        };
        let waiting = Waiting {
            task: id,
            data: Arc::new(task.data.clone()),
            attempts: task.attempts,
            failures: task.failures,
            failed_on: task.failed_on.iter().cloned().collect(),
            wants_fresh: false,
            lost_on: task.lost_on.iter().cloned().collect(),
            since: task.since,
        };
        match on {
            Some(on) => {
                pile.n_running += 1;
                self.running.insert(id, Running { job: task.job, waiting, on });
            }
            None if waiting.attempts == 0 => pile.fresh.push_back(waiting),
            None => pile.again.push_back(waiting),
        }
    }
}
