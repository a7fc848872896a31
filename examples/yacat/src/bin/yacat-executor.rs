//! Finds the word of a hash by an executor: tasks and results live in this program's memory, and it decides what follows.
//!
//! `main.rs` beside it does the same as a job, whose tasks and results are in a database. This one shows what needs none:
//! flags and exit codes of one's own, results that are read one by one and give rise to more work, and a pile whose size
//! a worker tells. Its first task asks how many words fit the mask, and spawns the parts of the search as new tasks. When
//! the word is found, the rest is stopped.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks with people")]

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use golem_examples::{CANCELLED, Failure, Flags, ended};
use golem_sdk::event::StopReason;
use golem_sdk::executor::Tasks;
use golem_sdk::payload::Vm;
use golem_sdk::{WorkContext, WorkerError};
use yacat::{Hash, Mask, Search, WORKER, parts, worker_file};

/// How long a part of the search may take.
const PART_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// The exit code when no word of the mask has the hash.
const NOT_FOUND: u8 = 1;

/// Find the word of a hash on the Golem Network
///
/// Prints the word and ends with 0, or with 1 when no word of the mask has this hash.
#[derive(Debug, Parser)]
struct Args {
    /// Which words to try: ?l is a small letter, ?u a capital, ?d a digit, ?s a special character, ?a any of them
    #[arg(long)]
    mask: Mask,
    /// The MD5 or SHA-256 of the word, in hexadecimal digits
    #[arg(long)]
    hash: Hash,
    /// How many parts the search has
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    parts: u64,
    /// How many providers may search at the same time
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    workers: u32,
    /// The program to send to providers [default: yacat-worker beside this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

/// What is asked of a worker.
#[derive(Debug)]
enum Work {
    /// How many words are there? It is answered by new tasks.
    Keyspace,
    /// Is the word among these?
    Part(Range<u64>),
}

/// What came of it.
enum Outcome {
    Keyspace(u64),
    NotThere,
    Found(String),
}

/// What every worker needs to know.
#[derive(Clone)]
struct Order {
    worker: PathBuf,
    search: Search,
    parts: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended(crack(Args::parse()).await)
}

async fn crack(args: Args) -> Result<ExitCode, Failure> {
    let worker = worker_file(args.worker.as_deref(), "`--worker`")?;
    let golem = args.flags.open().await?;
    let executor = golem
        .executor(Vm::image_tag("golem/alpine:latest"))?
        .max_workers(args.workers)
        .budget("1")
        .start()
        .await?;

    let search = Search { mask: args.mask, hash: args.hash };
    let order = Order { worker, search, parts: args.parts };
    let mut results = executor.submit(move |ctx, tasks| work(ctx, tasks, order.clone()), [Work::Keyspace]);
    let (mut searched, mut n_parts) = (0, 0);
    let outcome = loop {
        let task = match results.try_next().await {
            Ok(Some(task)) => task,
            Ok(None) => break Ok(None),
            Err(error) => break Err(error),
        };
        match task.result() {
            Outcome::Keyspace(words) => {
                n_parts = parts(*words, args.parts).len();
                eprintln!("{words} words in {n_parts} parts");
            }
            Outcome::NotThere => {
                searched += 1;
                let provider = &task.provider().name;
                eprintln!("{searched} of {n_parts} parts searched, this one by {provider}");
            }
            Outcome::Found(word) => break Ok(Some(word.clone())),
        }
    };
    // The rest needn't be searched.
    drop(results);
    let end = executor.close().await?;
    eprintln!("searched for {} GLM", end.cost);
    if end.why == StopReason::Cancelled {
        return Ok(ExitCode::from(CANCELLED));
    }
    if let Some(word) = outcome? {
        println!("{word}");
        Ok(ExitCode::SUCCESS)
    } else {
        eprintln!("not in this space: no word of the mask has this hash");
        Ok(ExitCode::from(NOT_FOUND))
    }
}

/// Searches on one provider. An error ends the rental; what it had in hand is searched elsewhere.
async fn work(
    mut ctx: WorkContext,
    mut tasks: Tasks<Work, Outcome>,
    order: Order,
) -> Result<(), WorkerError> {
    let Order { worker, search, parts: wanted } = order;
    // Once for each provider, with the first batch.
    ctx.send_file(worker, WORKER);
    ctx.run("/bin/chmod", ["+x", WORKER]);
    while let Some(task) = tasks.next().await {
        match task.data() {
            Work::Keyspace => {
                let asked = ctx.run(WORKER, ["keyspace", &search.mask.to_string()]);
                let done = ctx.commit(PART_TIMEOUT).await?;
                let Ok(words) = done[asked].stdout().trim().parse::<u64>() else {
                    task.reject_result("the keyspace is not a number", true).await;
                    continue;
                };
                tasks.add_all(parts(words, wanted).map(Work::Part)).await;
                task.accept_result(Outcome::Keyspace(words)).await;
            }
            Work::Part(part) => {
                let asked = ctx.run(WORKER, search.args(part));
                let done = ctx.commit(PART_TIMEOUT).await?;
                match search.found(&done[asked].stdout()) {
                    Ok(None) => task.accept_result(Outcome::NotThere).await,
                    Ok(Some(word)) => task.accept_result(Outcome::Found(word)).await,
                    Err(lie) => task.reject_result(lie.to_string(), true).await,
                }
            }
        }
    }
    Ok(())
}
