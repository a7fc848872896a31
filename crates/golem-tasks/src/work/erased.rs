//! A job whose types are forgotten: what a run needs of it, whoever wrote it. What the job's own code does wrong, panics
//! included, is an error here.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use golem_sdk::payload::PayloadSpec;
use golem_sdk::text::chain;
use golem_sdk::text::panic_text;
use golem_sdk::{TaskSource, Worker};
use serde::Deserialize;
use serde_json::Value;

use super::keys::{Keys, Origin};
use super::pile::{Again, PileError};
use super::{Job, JobWorker};
use crate::exit::{Exit, Failure};
use crate::job::Limits;

/// The interface of a job that a run uses.
pub(crate) trait AnyJob: Send + Sync {
    /// The limits of a run, where nothing else is said.
    fn limits(&self) -> Result<Limits, Failure>;

    /// The number of wanted results, where nothing else is said.
    fn results(&self) -> Result<Option<u64>, Failure>;

    /// Describes the job, to be kept with a run.
    fn describe(&self) -> Result<Value, Failure>;

    /// The machine it needs.
    fn payload(&self) -> Result<PayloadSpec, Failure>;

    /// Its tasks from the first one on.
    fn open(&self) -> Result<Opened, Failure>;

    /// The folders that this task's files are written to.
    fn output_folders(&self, task: &Value) -> Vec<PathBuf>;

    /// Takes note of a task that another one added in an earlier life of the run: its key is taken. To be called before the
    /// tasks are read.
    fn note_added(&self, data: Value);

    /// Looks at the tasks before anything is bought for a run that is kept in these files.
    fn look_through(&self, kept_in: &[PathBuf], is_new: bool) -> Result<(), Failure>;

    /// Begins to read what comes in from outside for a run, and keeps it in this folder.
    fn begin_input(&self, folder: &Path, run_id: &str, is_new: bool) -> Result<(), Failure>;

    /// True if tasks come in from outside while the run goes on.
    fn reads_input(&self) -> bool;

    /// Tells the job the name of the run, before its tasks are read.
    fn note_run(&self, run_id: &str);

    /// True if the job prints what it finds by itself.
    fn prints_itself(&self) -> bool;

    /// True if the pile may hold other tasks when a run is resumed.
    fn may_change(&self) -> bool;

    /// True if what came in from outside broke off in an earlier process, and wasn't given again.
    fn is_input_cut(&self) -> bool;

    /// Takes note of a task that has its result from an earlier life of the run.
    fn note_done(&self, index: u64, data: Value);

    /// The worker that does the tasks. Of two tasks with one key, one from an open pile and one that is added, only one
    /// is done.
    fn worker(&self, limits: &Limits) -> Arc<dyn Worker>;
}

/// A pile that is being read.
pub(crate) struct Opened {
    /// The tasks.
    pub(crate) tasks: TaskSource,
    /// The number of tasks, if it is known.
    pub(crate) total: Option<u64>,
    /// The error by which they couldn't be read on.
    pub(crate) broken: Arc<OnceLock<String>>,
    /// The way to read their source again, if there is one.
    pub(crate) again: Option<Again>,
}

/// A job with its types.
pub(crate) struct Typed<J> {
    job: Arc<J>,
    keys: Arc<Keys>,
}

/// The job's own code panicked.
#[derive(Debug, thiserror::Error)]
#[error("the job panicked while it {doing}: {said}")]
struct Panicked {
    doing: &'static str,
    said: String,
}

/// The pile of work can't be had.
#[derive(Debug, thiserror::Error)]
#[error("the tasks can't be read")]
struct NoPile(#[source] PileError);

impl<J: Job> Typed<J> {
    pub(crate) fn new(job: J) -> Self {
        Self { job: Arc::new(job), keys: Arc::default() }
    }

    /// Asks the job something.
    fn ask<T>(&self, doing: &'static str, ask: impl FnOnce(&J) -> T) -> Result<T, Failure> {
        guarded(doing, || ask(&self.job)).map_err(|panicked| Failure::new(Exit::Bug, panicked))
    }
}

impl<J> fmt::Debug for Typed<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<J>())
    }
}

impl<J: Job> AnyJob for Typed<J> {
    fn limits(&self) -> Result<Limits, Failure> {
        self.ask("named its limits", J::limits)
    }

    fn results(&self) -> Result<Option<u64>, Failure> {
        self.ask("said how many results it wants", J::results)
    }

    fn describe(&self) -> Result<Value, Failure> {
        self.ask("described itself", J::describe)
    }

    fn payload(&self) -> Result<PayloadSpec, Failure> {
        self.ask("named its payload", J::payload)
    }

    fn open(&self) -> Result<Opened, Failure> {
        self.keys.clear();
        let mut pile = self.ask("named its tasks", J::tasks)?;
        let (total, again) = (pile.total(), pile.take_again());
        let mut tasks = pile.open().map_err(|error| Failure::new(Exit::Usage, NoPile(error)))?;
        let (job, keys) = (Arc::clone(&self.job), Arc::clone(&self.keys));
        let broken = Arc::new(OnceLock::new());
        let found = Arc::clone(&broken);
        let next = move || -> Option<Result<Value, String>> {
            if found.get().is_some() {
                return None;
            }
            let read = guarded("read its tasks", || {
                for task in tasks.by_ref() {
                    let task = task.map_err(|error| chain(&*error))?;
                    if job.key(&task).is_none_or(|key| keys.is_new(&key, Origin::Pile)) {
                        let written = serde_json::to_value(task);
                        return written
                            .map(Some)
                            .map_err(|error| format!("a task can't be written down: {error}"));
                    }
                }
                Ok(None)
            });
            read.unwrap_or_else(|panicked| Err(panicked.to_string()))
                .map_err(|problem| found.get_or_init(|| problem).clone())
                .transpose()
        };
        Ok(Opened { tasks: Box::new(std::iter::from_fn(next)), total, broken, again })
    }

    fn output_folders(&self, task: &Value) -> Vec<PathBuf> {
        let Ok(task) = J::Task::deserialize(task) else { return Vec::new() };
        self.ask("named its folders", |job| job.output_folders(&task)).unwrap_or_default()
    }

    fn note_added(&self, data: Value) {
        // One that can't be read any more can't be added once more either.
        let Ok(task) = serde_json::from_value::<J::Task>(data) else { return };
        let key = guarded("named the key of a task", || self.job.key(&task));
        if let Some(key) = key.ok().flatten() {
            // The task that added it is done, and adds nothing again: no other task may have the key.
            self.keys.is_new(&key, Origin::Pile);
        }
    }

    fn look_through(&self, kept_in: &[PathBuf], is_new: bool) -> Result<(), Failure> {
        self.ask("looked through its tasks", |job| job.look_through(kept_in, is_new))?
    }

    fn begin_input(&self, folder: &Path, run_id: &str, is_new: bool) -> Result<(), Failure> {
        self.ask("began to read its input", |job| job.begin_input(folder, run_id, is_new))?
    }

    fn reads_input(&self) -> bool {
        self.job.reads_input()
    }

    fn note_run(&self, run_id: &str) {
        if let Err(panicked) = guarded("heard the name of its run", || self.job.note_run(run_id)) {
            tracing::warn!(error = %panicked, "the job couldn't be told the name of its run");
        }
    }

    fn prints_itself(&self) -> bool {
        self.job.prints_itself()
    }

    fn may_change(&self) -> bool {
        self.job.may_change()
    }

    fn is_input_cut(&self) -> bool {
        self.job.is_input_cut()
    }

    fn note_done(&self, index: u64, data: Value) {
        // Nothing is known of a task that can't be read any more.
        let Ok(task) = serde_json::from_value::<J::Task>(data) else { return };
        if let Err(panicked) = guarded("noted a task that is done", || self.job.note_done(index, &task)) {
            tracing::warn!(error = %panicked, index, "a task that is done couldn't be noted");
        }
    }

    fn worker(&self, limits: &Limits) -> Arc<dyn Worker> {
        let (job, keys) = (Arc::clone(&self.job), Arc::clone(&self.keys));
        Arc::new(JobWorker::within(job, limits.task_timeout, keys))
    }
}

fn guarded<T>(doing: &'static str, ask: impl FnOnce() -> T) -> Result<T, Panicked> {
    // Whoever panicked isn't asked for more.
    catch_unwind(AssertUnwindSafe(ask))
        .map_err(|panic| Panicked { doing, said: panic_text(&*panic).to_owned() })
}
