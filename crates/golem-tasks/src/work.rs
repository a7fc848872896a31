//! Jobs: which machine, which pile of work, and what is done for each task. A job file is one, a Rust program brings its
//! own by [`Job`].
//!
//! Left to others: running a job durably ([`crate::run`]), giving it a command line ([`crate::main`]) or embedding it
//! ([`crate::Runner`]).

mod erased;
mod error;
mod keys;
mod pile;
mod shared;
mod task;
mod worker;

use std::future::Future;
use std::path::{Path, PathBuf};

use golem_sdk::payload::PayloadSpec;
use golem_sdk::{WorkContext, WorkerError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use yagna_api::activity::Deploy;

pub(crate) use erased::{AnyJob, Opened, Typed};
pub use error::TaskError;
pub(crate) use pile::Again;
pub use pile::Pile;
pub use task::{Task, Tasks};
pub use worker::JobWorker;

use crate::exit::Failure;
use crate::job::Limits;

/// A pile of work: the machine it needs, its tasks, and how each of them is done.
///
/// Tasks and results live in the database of runs, so they are what `serde` can write down. A task is written down when
/// it is read, a result once and for all when it is there. What an attempt leaves behind in memory is gone when it fails.
///
/// # Example
///
/// Squares, counted for ever, of which three are wanted. `main` is all that it takes to run this as a program,
/// [`crate::Runner`] runs it inside of another one:
/// ```
/// use golem_tasks::{Job, PayloadSpec, Pile, Runner, Task, TaskError, Vm, WorkContext};
///
/// struct Squares;
///
/// impl Job for Squares {
///     type Task = u64;
///     type Output = u64;
///
///     fn payload(&self) -> PayloadSpec {
///         Vm::image_tag("golem/alpine:latest")
///     }
///
///     fn tasks(&self) -> Pile<u64> {
///         Pile::new(1..)
///     }
///
///     async fn run(&self, ctx: &mut WorkContext, task: &Task<Self>) -> Result<u64, TaskError> {
///         let square = ctx.shell(format!("echo $(( {n} * {n} ))", n = task.data()));
///         let done = ctx.commit(task.time_limit()).await?;
///         done[square].stdout().trim().parse().map_err(TaskError::other)
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let dsn = format!("sqlite:{}", folder.path().join("runs.db").display());
/// let summary = Runner::new(Squares).devnet(2).dsn(dsn).results(3).run().await?;
/// assert_eq!((summary.tasks.done, summary.tasks.failed), (3, 0));
/// # Ok(())
/// # }
/// ```
pub trait Job: Send + Sync + Sized + 'static {
    /// The data of a task, as it is stored.
    type Task: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The result of a task, as it is stored.
    type Output: Serialize + Send + 'static;

    /// The machine that the work needs. Asked for once a run, before anything is bought.
    fn payload(&self) -> PayloadSpec;

    /// The pile of work from its first task on, finite or endless. Asked for at the start of a run, and again where a run
    /// is checked or resumed: it should give the same tasks each time.
    fn tasks(&self) -> Pile<Self::Task>;

    /// Does one task, and returns its result.
    ///
    /// It may be called several times for the same task, when an attempt fails or its provider is lost; only one result is
    /// kept. It is dropped, at any await, when its time is up ([`Limits::task_timeout`]) or its rental ends. A panic fails
    /// this attempt only.
    fn run(
        &self,
        ctx: &mut WorkContext,
        task: &Task<Self>,
    ) -> impl Future<Output = Result<Self::Output, TaskError>> + Send;

    /// Prepares each activity before its first task: nothing unless overridden. An error ends the rental.
    fn set_up(&self, _ctx: &mut WorkContext) -> impl Future<Output = Result<(), WorkerError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Works on one activity: [`Job::set_up`], then [`Job::run`] for one task after the other.
    ///
    /// Override it to do several short tasks in one batch, by [`Tasks::next_pack`]: a batch takes the daemon some
    /// milliseconds, however short its commands are.
    fn work(
        &self,
        ctx: &mut WorkContext,
        tasks: &mut Tasks<'_, Self>,
    ) -> impl Future<Output = Result<(), WorkerError>> + Send {
        async move {
            self.set_up(ctx).await?;
            while let Some(task) = tasks.next().await {
                tasks.run_one(ctx, task).await?;
            }
            Ok(())
        }
    }

    /// The number of wanted results: the run ends when they are there. All of them unless overridden; `--results` wins.
    fn results(&self) -> Option<u64> {
        None
    }

    /// The folders that a task's files are written to. Those of the first task are tried out before anything is bought:
    /// none unless overridden.
    fn output_folders(&self, _task: &Self::Task) -> Vec<PathBuf> {
        Vec::new()
    }

    /// The key of a task: of two tasks with one key, whether from the pile or added by other tasks, the first one is
    /// done and the second one dropped. Unless overridden each task is another one.
    ///
    /// Each key that was seen takes some 40 bytes of memory, however long it is.
    fn key(&self, _task: &Self::Task) -> Option<String> {
        None
    }

    /// The limits of a run, where no flag says otherwise.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Called once before anything is bought: looks at the tasks of a new run as far as they can be read at once, and says
    /// why they can't be done together. `kept_in` are the files of the database of runs.
    #[doc(hidden)]
    fn look_through(&self, _kept_in: &[PathBuf], _is_new: bool) -> Result<(), Failure> {
        Ok(())
    }

    /// Called once by the process that holds a run: begins to read what comes in from outside, and keeps it in this folder.
    #[doc(hidden)]
    fn begin_input(&self, _folder: &Path, _run_id: &str, _is_new: bool) -> Result<(), Failure> {
        Ok(())
    }

    /// True if tasks come in from outside while the run goes on, so that they can't be looked at before.
    #[doc(hidden)]
    fn reads_input(&self) -> bool {
        false
    }

    /// True if each activity is deployed and started before [`Job::work`] is called. Otherwise that does so by itself.
    #[doc(hidden)]
    fn starts_machines(&self) -> bool {
        true
    }

    /// The way in which activities are deployed before their first task: without anything special unless overridden.
    fn deployment(&self) -> Deploy {
        Deploy::default()
    }

    /// Called before the tasks are read, with the name of the run.
    #[doc(hidden)]
    fn note_run(&self, _run_id: &str) {}

    /// True if the job prints what it finds by itself: no line is printed for a result that is null.
    #[doc(hidden)]
    fn prints_itself(&self) -> bool {
        false
    }

    /// True if the pile may hold other tasks when a run is resumed, such as only those that are left: each one that the run
    /// has read before is left out, and the others are done.
    #[doc(hidden)]
    fn may_change(&self) -> bool {
        false
    }

    /// True if what came in from outside broke off in an earlier process, and wasn't given again.
    #[doc(hidden)]
    fn is_input_cut(&self) -> bool {
        false
    }

    /// Called for each task with a result when a run is resumed, before any of its tasks is handed out.
    #[doc(hidden)]
    fn note_done(&self, _index: u64, _task: &Self::Task) {}

    /// Describes the job beside its tasks, for people and never with secrets: the name of its type, unless overridden.
    fn describe(&self) -> Value {
        Value::from(std::any::type_name::<Self>())
    }
}
