//! The jobs of a run as the engine has them: whose worker, which source, who hears of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use golem_core::event::{Attempt, Event, EventKind, JobId, TaskId};
use golem_core::run::{Input, JobSpec};
use golem_core::source::SourceMark;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use yagna_api::time::after;

use super::{Engine, Outside};
use crate::jobs::{Command, JobOptions, JobSource, Outlet, Submission, TaskStream};
use crate::reading::{Loaded, Reading, TaskSource};
use crate::worker::Worker;

/// A job that isn't over.
pub(super) struct JobHands {
    pub(super) worker: Arc<dyn Worker>,
    source: Source,
    /// The number of tasks that were asked for while its reader was too far behind.
    postponed: Option<usize>,
    /// True while a look at a source is on its way into which more may come.
    looks_again: Arc<AtomicBool>,
}

/// The time between two looks at a source into which more may come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

enum Source {
    /// The run's own one.
    Own(Box<Reading>),
    Iterator(TaskSource),
    /// A task of its own reads it; the guard ends that with the job.
    Stream {
        ask: mpsc::Sender<usize>,
        _reading: DropGuard,
    },
}

/// The readers of each job's events.
#[derive(Default)]
pub(super) struct Outlets {
    jobs: HashMap<JobId, Outlet>,
    /// The jobs of the tasks that have no end yet.
    tasks: HashMap<TaskId, JobId>,
}

impl Outlets {
    pub(super) fn get(&self, job: JobId) -> Option<&Outlet> {
        self.jobs.get(&job)
    }

    fn abandoned(&self) -> Vec<JobId> {
        self.jobs.iter().filter(|(_, outlet)| outlet.is_abandoned()).map(|(job, _)| *job).collect()
    }

    /// Passes an event on to whoever hears of its job.
    pub(super) fn pass_on(&mut self, event: &Event) {
        if self.jobs.is_empty() {
            return;
        }
        let (job, is_end) = match &event.kind {
            EventKind::TaskAdded { job, task, .. } => {
                if self.jobs.contains_key(job) {
                    self.tasks.insert(*task, *job);
                }
                (Some(*job), false)
            }
            EventKind::JobAdded { job, .. }
            | EventKind::JobEnded { job, .. }
            | EventKind::ActivityIntended { job, .. } => (Some(*job), false),
            EventKind::TaskStarted { attempt: Attempt { task, .. }, .. }
            | EventKind::AttemptFailed { attempt: Attempt { task, .. }, .. }
            | EventKind::AttemptCancelled { attempt: Attempt { task, .. }, .. } => {
                (self.tasks.get(task).copied(), false)
            }
            EventKind::TaskDone { attempt: Attempt { task, .. }, .. }
            | EventKind::TaskFailed { attempt: Attempt { task, .. }, .. }
            | EventKind::TaskCancelled { task }
            | EventKind::TaskExpired { task } => (self.tasks.remove(task), true),
            _ => return,
        };
        let Some(job) = job else { return };
        if let Some(outlet) = self.jobs.get(&job) {
            outlet.send(event.clone());
        }
        if !is_end && matches!(event.kind, EventKind::JobEnded { .. }) {
            self.jobs.remove(&job);
            self.tasks.retain(|_, its| *its != job);
        }
    }
}

impl Engine {
    /// Begins the job that the run was made with, or goes on with it.
    pub(super) fn begin_own_job(&mut self, worker: Arc<dyn Worker>, tasks: Reading) {
        let spec = JobSpec { grows: tasks.grows(), ..JobSpec::default() };
        let source = Source::Own(Box::new(tasks));
        self.jobs
            .insert(JobId::FIRST, JobHands { worker, source, postponed: None, looks_again: Arc::default() });
        self.decide(Input::JobAdded { job: JobId::FIRST, spec });
    }

    /// Begins a job.
    pub(super) fn begin_job(
        &mut self,
        job: JobId,
        worker: Arc<dyn Worker>,
        source: JobSource,
        options: JobOptions,
    ) {
        let source = match source {
            JobSource::Iterator(tasks) => Source::Iterator(tasks),
            JobSource::Stream(tasks) => {
                // One question at a time: the next is asked when the last is answered.
                let (ask, asked) = mpsc::channel(1);
                let (outside, ended) = (self.outside.clone(), CancellationToken::new());
                let reading = ended.clone().drop_guard();
                self.followers.spawn(async move {
                    ended.run_until_cancelled(outside.read_tasks(job, tasks, asked)).await;
                });
                Source::Stream { ask, _reading: reading }
            }
        };
        self.jobs.insert(job, JobHands { worker, source, postponed: None, looks_again: Arc::default() });
        let deadline = options.timeout.map(|timeout| after(self.outside.clock.now(), timeout));
        self.decide(Input::JobAdded {
            job,
            spec: JobSpec { retries: options.retries, deadline, grows: false },
        });
    }

    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Submit(submission) => {
                let Submission { job, worker, source, options, outlet } = *submission;
                self.outlets.jobs.insert(job, outlet);
                self.begin_job(job, worker, source, options);
            }
            Command::Add { job, tasks } => self.decide(Input::MoreTasks { job, data: tasks }),
            Command::Raise(raise) => self.want_budget(raise),
            Command::Cancel(job) => self.decide(Input::JobCancelled { job }),
        }
    }

    /// Looks after jobs whose readers have gone or caught up.
    pub(super) fn look_after_readers(&mut self) {
        for job in self.outlets.abandoned() {
            self.decide(Input::JobCancelled { job });
        }
        self.load_postponed();
    }

    /// Reads on where the journal or a reader had to catch up first.
    pub(super) fn load_postponed(&mut self) {
        let postponed: Vec<_> =
            self.jobs.iter_mut().filter_map(|(job, hands)| Some((*job, hands.postponed.take()?))).collect();
        for (job, most) in postponed {
            self.load(job, most);
        }
    }

    pub(super) fn load(&mut self, job: JobId, most: usize) {
        let is_full = self.outbox.is_full() || self.outlets.get(job).is_some_and(Outlet::is_full);
        let Some(hands) = self.jobs.get_mut(&job) else {
            return;
        };
        if is_full {
            hands.postponed = Some(most);
            return;
        }
        let tasks = match &mut hands.source {
            Source::Own(reading) => {
                let Loaded { data, mark, exhausted, broken, pending } = reading.load(most);
                if data.is_empty() && pending {
                    hands.postponed = Some(most);
                    let looks_again = Arc::clone(&hands.looks_again);
                    if !looks_again.swap(true, Ordering::Relaxed) {
                        let wake = Arc::clone(&self.door.wake);
                        self.followers.spawn(async move {
                            sleep(LOOK_EVERY).await;
                            looks_again.store(false, Ordering::Relaxed);
                            wake.notify_one();
                        });
                    }
                    return;
                }
                if data.is_empty() && !exhausted && broken.is_none() {
                    // Only what the run has already so far: other things come first, then it is read on.
                    hands.postponed = Some(most);
                    self.door.wake.notify_one();
                    return;
                }
                return self.take_in(job, data, exhausted, Some(mark), broken);
            }
            Source::Iterator(tasks) => tasks,
            Source::Stream { ask, .. } => {
                // Its answer to the last question was the last input: there is room for this one.
                ask.try_send(most).ok();
                return;
            }
        };
        let mut data = Vec::new();
        let mut exhausted = false;
        let mut broken = None;
        while data.len() < most {
            match tasks.next() {
                Some(Ok(task)) => data.push(task),
                Some(Err(problem)) => {
                    broken = Some(problem);
                    break;
                }
                None => {
                    exhausted = true;
                    break;
                }
            }
        }
        self.take_in(job, data, exhausted, None, broken);
    }

    fn take_in(
        &mut self,
        job: JobId,
        data: Vec<Value>,
        exhausted: bool,
        mark: Option<SourceMark>,
        broken: Option<String>,
    ) {
        // Where nothing came, the run would ask for more first, find none behind the break, and take it for the end.
        if !data.is_empty() || broken.is_none() {
            self.decide(Input::Tasks { job, data, exhausted, mark });
        }
        if let Some(problem) = broken {
            self.decide(Input::SourceBroken { job, problem });
        }
    }
}

impl Outside {
    /// Reads tasks as they are asked for, until there are no more: waits for one, then takes what is there.
    async fn read_tasks(&self, job: JobId, mut tasks: TaskStream, mut asked: mpsc::Receiver<usize>) {
        while let Some(most) = asked.recv().await {
            let mut data = Vec::new();
            let mut exhausted = false;
            let mut broken = None;
            let mut next = Some(tasks.next().await);
            while let Some(read) = next {
                match read {
                    Some(Ok(task)) => data.push(task),
                    Some(Err(problem)) => broken = Some(problem),
                    None => exhausted = true,
                }
                let go_on = !exhausted && broken.is_none() && data.len() < most;
                next = if go_on { tasks.next().now_or_never() } else { None };
            }
            self.tell(Input::Tasks { job, data, exhausted, mark: None }).await;
            if let Some(problem) = broken {
                return self.tell(Input::SourceBroken { job, problem }).await;
            }
            if exhausted {
                return;
            }
        }
    }
}
