//! The product: jobs, as files or in Rust, durable runs, the command line and its views.
//!
//! A Rust program brings its job as a [`Job`]. [`main`] gives it every command of `golem-tasks`, [`Runner`] embeds it
//! instead; `docs/jobs-in-rust.md` is the guide.
//!
//! | module | what it holds |
//! |---|---|
//! | [`work`] | what a job is: [`Job`], [`Pile`], [`Task`], [`TaskError`] |
//! | [`job`] | job files |
//! | [`run`](mod@run) | a job becomes a run |
//! | [`store`] | where runs are kept |
//! | [`view`] | what is seen of a run |
//! | [`cli`], [`exit`] | the command line and how it ends |
//! | [`gftp`] | the program that other SDKs start to move files |

pub mod cli;
mod description;
#[cfg(feature = "devnet")]
pub mod devnet;
pub mod exit;
pub mod gftp;
pub mod job;
mod listen;
mod metrics;
mod options;
pub mod payments;
pub mod run;
mod runner;
mod services;
mod signals;
pub mod store;
pub mod view;
mod web;
pub mod work;

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitCode, Termination};
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use golem_core::event::RunEnd;

pub use golem_sdk;
pub use golem_sdk::payload::{PayloadSpec, Vm};
pub use golem_sdk::{WorkContext, WorkerError};

pub use crate::exit::Failure;
pub use crate::job::Limits;
use crate::options::RunOptions;
pub use crate::runner::Runner;
use crate::view::Terminal;
use crate::work::Typed;
pub use crate::work::{Job, Pile, Task, TaskError, Tasks};

/// Makes a program of a job: one with every command of `golem-tasks`, whose `run` runs this job.
///
/// It reads the command line, shows what happens as `golem-tasks` does, hears Ctrl+C, and returns how the process is to
/// end: the exit codes are in `docs/exit-codes.md`. It brings its own async runtime, so call it from outside of any.
///
/// # Example
/// ```no_run
/// use std::process::ExitCode;
/// # use golem_tasks::{Job, PayloadSpec, Pile, Task, TaskError, Vm, WorkContext};
/// # struct Counting;
/// # impl Job for Counting {
/// #     type Task = u64;
/// #     type Output = u64;
/// #     fn payload(&self) -> PayloadSpec { Vm::image_tag("golem/alpine:latest") }
/// #     fn tasks(&self) -> Pile<u64> { Pile::new(0..) }
/// #     async fn run(&self, _: &mut WorkContext, task: &Task<Self>) -> Result<u64, TaskError> { Ok(*task.data()) }
/// # }
///
/// fn main() -> ExitCode {
///     golem_tasks::main(Counting)
/// }
/// ```
pub fn main(job: impl Job) -> ExitCode {
    cli::main_of(&(Arc::new(Typed::new(job)) as _), start_run).report()
}

/// The program `golem-tasks`: reads the command line, does what it says, and returns how the process is to end.
pub fn program() -> ExitCode {
    cli::main(start_run).report()
}

/// Works like [`main`], with these words for a command line, the first of which is the name of the program, and returns how it
/// ended instead of a process's exit code.
pub fn main_with(job: impl Job, words: impl IntoIterator<Item = OsString>) -> exit::Exit {
    let words: Vec<_> = words.into_iter().collect();
    cli::main_of_with(&(Arc::new(Typed::new(job)) as _), &words, start_run)
}

/// The program `golem-tasks` inside of another program, which may bring jobs that have names.
///
/// The words are the command line, the first one the name of the program. Where the path of a job file would stand, `find`
/// is asked first: it returns the job that has this name, or nothing where it is the path of a job file.
/// `value_name` and `help` explain the argument in `--help`.
///
/// It brings its own async runtime, so call it from outside of any. It takes over the process's signals and standard streams
/// as the program does, but it doesn't end the process.
pub fn program_with<J: Job>(
    words: impl IntoIterator<Item = OsString>,
    value_name: &'static str,
    help: &'static str,
    find: impl Fn(&Path) -> Result<Option<J>, Failure>,
) -> exit::Exit {
    let words: Vec<_> = words.into_iter().collect();
    let find = |name: &Path| -> cli::Found {
        Ok(find(name)?.map(|job| Arc::new(Typed::new(job)) as Arc<dyn work::AnyJob>))
    };
    cli::main_with(&words, Some(&cli::NamedJobs { value_name, help, find: &find }), start_run)
}

fn start_run(options: RunOptions, terminal: Terminal) -> LocalBoxFuture<'static, Result<RunEnd, Failure>> {
    Box::pin(run::run(options, terminal))
}
