//! A first job in Rust: it counts for ever, and each number is greeted by a machine of the Golem Network.
//!
//! On the emulated network inside it, until Ctrl+C or until ten results are there:
//!
//! ```sh
//! cargo run -p hello-world -- run --devnet
//! cargo run -p hello-world -- run --devnet --results 10
//! ```
//!
//! `job.toml` beside it is such a job without any code.

use std::process::ExitCode;

use golem_tasks::{Job, PayloadSpec, Pile, Task, TaskError, Vm, WorkContext};

struct HelloWorld;

impl Job for HelloWorld {
    /// What is written down of a task, and of its result.
    type Task = u64;
    type Output = String;

    /// The machine: a small Linux with a shell, by its image's hash in Golem's registry.
    fn payload(&self) -> PayloadSpec {
        Vm::image_hash("9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae")
    }

    /// The pile of work: numbers without end, read as they are wanted.
    fn tasks(&self) -> Pile<u64> {
        Pile::new(0..)
    }

    /// One task: a command on the machine, and what it prints is the result.
    async fn run(&self, ctx: &mut WorkContext, task: &Task<Self>) -> Result<String, TaskError> {
        let hello = ctx.shell(format!("echo Hello, this is task {}", task.data()));
        let done = ctx.commit(task.time_limit()).await?;
        Ok(done[hello].stdout().trim().to_owned())
    }
}

fn main() -> ExitCode {
    golem_tasks::main(HelloWorld)
}
