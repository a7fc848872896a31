//! Finds the word of a hash on the Golem Network, as a job: with all commands of golem-tasks, and a database of what was
//! searched, so that it goes on where it was whatever happened to it.
//!
//! ```sh
//! cargo build -p yacat                                          # the worker too, which is sent to the providers
//! cargo run -p yacat -- run --devnet
//! YACAT_MASK='go?l?l?l' YACAT_HASH=.. cargo run -p yacat -- run --devnet --run-id golem
//! cargo run -p yacat -- results
//! ```
//!
//! A task is a part of the keyspace. Its result is the word, or nothing where the part doesn't have it; the word ends the
//! run. `job.toml` beside it is this job without any code, `bin/yacat-executor.rs` does the same without a database.

#![expect(clippy::print_stderr, reason = "what is wrong before there is a job is told here")]

use std::env;
use std::error::Error;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use golem_tasks::{Job, Limits, PayloadSpec, Pile, Task, TaskError, Vm, WorkContext, WorkerError};
use serde_json::Value;
use yacat::{NoWorker, Search, WORKER, parts, worker_file};

/// What is searched unless the environment says otherwise: the MD5 of a word of four small letters, in 32 parts.
const MASK: &str = "?l?l?l?l";
const HASH: &str = "40e5a1382c5778889ab63df304a360b3";
const PARTS: &str = "32";
/// How long sending the worker may take.
const SHIPPING: Duration = Duration::from_secs(60);
/// The exit code for a wrong command line or environment.
const WRONG: u8 = 2;

struct Yacat {
    search: Search,
    parts: u64,
    /// The worker to send, if not the one beside this program.
    worker: Option<PathBuf>,
}

impl Yacat {
    fn of_environment() -> Result<Self, String> {
        let search = Search { mask: setting("YACAT_MASK", MASK)?, hash: setting("YACAT_HASH", HASH)? };
        let parts: u64 = setting("YACAT_PARTS", PARTS)?;
        if !(1..=1_000_000).contains(&parts) {
            return Err("YACAT_PARTS is wrong: give a number from 1 to 1000000".to_owned());
        }
        Ok(Self { search, parts, worker: env::var_os("YACAT_WORKER").map(PathBuf::from) })
    }

    fn worker(&self) -> Result<PathBuf, NoWorker> {
        worker_file(self.worker.as_deref(), "YACAT_WORKER")
    }
}

impl Job for Yacat {
    /// The words of a part by their numbers, and the one of them that is the right one.
    type Task = Range<u64>;
    type Output = Option<String>;

    fn payload(&self) -> PayloadSpec {
        // A small Linux.
        Vm::image_hash("9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae")
    }

    fn tasks(&self) -> Pile<Range<u64>> {
        match self.worker() {
            Ok(_) => Pile::new(parts(self.search.mask.keyspace(), self.parts)),
            // Told before anything is bought.
            Err(error) => Pile::broken(error),
        }
    }

    /// No part is searched twice.
    fn key(&self, part: &Range<u64>) -> Option<String> {
        Some(format!("{}-{}", part.start, part.end))
    }

    /// Once on each provider: the worker is sent.
    async fn set_up(&self, ctx: &mut WorkContext) -> Result<(), WorkerError> {
        let worker = self.worker().map_err(|error| WorkerError::other(error.to_string()))?;
        ctx.send_file(worker, WORKER);
        ctx.run("/bin/chmod", ["+x", WORKER]);
        ctx.commit(SHIPPING).await?;
        Ok(())
    }

    async fn run(&self, ctx: &mut WorkContext, part: &Task<Self>) -> Result<Option<String>, TaskError> {
        let asked = ctx.run(WORKER, self.search.args(part.data()));
        let done = ctx.commit(part.time_limit()).await?;
        // Who lies has failed, and the part is searched by another one.
        let word = self.search.found(&done[asked].stdout()).map_err(TaskError::other)?;
        if word.is_some() {
            // The other parts needn't be searched.
            part.end_run();
        }
        Ok(word)
    }

    fn limits(&self) -> Limits {
        Limits::default().workers(3)
    }

    /// A run is only gone on with where it looks for the same word in the same parts.
    fn describe(&self) -> Value {
        let Search { mask, hash } = &self.search;
        format!("yacat: {hash} among {mask} in {} parts", self.parts).into()
    }
}

fn main() -> ExitCode {
    match Yacat::of_environment() {
        Ok(job) => golem_tasks::main(job),
        Err(wrong) => {
            eprintln!("error: {wrong}");
            ExitCode::from(WRONG)
        }
    }
}

/// A variable of the environment, or what it is otherwise.
fn setting<T: FromStr<Err: Error>>(name: &str, otherwise: &str) -> Result<T, String> {
    let text = env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    text.parse().map_err(|error| format!("{name} is wrong: {error}"))
}
