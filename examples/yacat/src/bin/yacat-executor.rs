//! Finds the word of a hash on the Golem Network, with a worker of its own that it sends to the providers.
//!
//! The first task asks a worker how many words fit the mask, and spawns the parts of the search as new tasks. When the
//! word is found, the rest is stopped. A provider that says it has found the word is believed after the hash of that
//! word; one that says its part has no such word is simply believed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks with people")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use golem::core::event::StopReason;
use golem::executor::Tasks;
use golem::payload::Vm;
use golem::{WorkContext, WorkerError};
use golem_examples::{CANCELLED, Failure, Flags, ended};
use yacat::{Hash, Mask};

/// Where the worker is on a provider's machine.
const WORKER: &str = "/golem/work/yacat-worker";
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
    Part { start: u64, end: u64 },
}

/// What came of it.
enum Outcome {
    Keyspace(u64),
    NotThere,
    Found(String),
}

/// What every worker needs to know.
#[derive(Clone)]
struct Search {
    worker: PathBuf,
    mask: Mask,
    hash: Hash,
    parts: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended(crack(Args::parse()).await)
}

async fn crack(args: Args) -> Result<ExitCode, Failure> {
    let worker = match args.worker {
        Some(file) => file,
        None => std::env::current_exe()?.with_file_name("yacat-worker"),
    };
    if !worker.is_file() {
        return Err(no_worker(&worker).into());
    }
    let golem = args.flags.open().await?;
    let executor = golem
        .executor(Vm::image_tag("golem/alpine:latest"))?
        .max_workers(args.workers)
        .budget("1".parse()?)
        .start()
        .await?;

    let search = Search { worker, mask: args.mask, hash: args.hash, parts: args.parts };
    let mut results = executor.submit(move |ctx, tasks| work(ctx, tasks, search.clone()), [Work::Keyspace]);
    let (mut searched, mut parts) = (0, 0);
    let outcome = loop {
        let task = match results.try_next().await {
            Ok(Some(task)) => task,
            Ok(None) => break Ok(None),
            Err(error) => break Err(error),
        };
        match task.result() {
            Outcome::Keyspace(words) => {
                parts = n_parts(*words, args.parts);
                eprintln!("{words} words in {parts} parts");
            }
            Outcome::NotThere => {
                searched += 1;
                let provider = &task.provider().name;
                eprintln!("{searched} of {parts} parts searched, this one by {provider}");
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

/// Searches on one provider. An error ends the deal; what it had in hand is searched elsewhere.
async fn work(
    mut ctx: WorkContext,
    mut tasks: Tasks<Work, Outcome>,
    search: Search,
) -> Result<(), WorkerError> {
    let Search { worker, mask, hash, parts } = search;
    // Once for each provider, with the first batch.
    ctx.send_file(worker, WORKER);
    ctx.run("/bin/chmod", ["+x", WORKER]);
    while let Some(task) = tasks.next().await {
        match *task.data() {
            Work::Keyspace => {
                let asked = ctx.run(WORKER, ["keyspace", &mask.to_string()]);
                let done = ctx.commit(PART_TIMEOUT).await?;
                let Ok(words) = done[asked].stdout().trim().parse::<u64>() else {
                    task.reject_result("the keyspace is no number", true).await;
                    continue;
                };
                let size = words.div_ceil(n_parts(words, parts));
                let part = |start: u64| Work::Part { start, end: start.saturating_add(size).min(words) };
                tasks.add_all((0..n_parts(words, parts)).map(|n| part(n * size))).await;
                task.accept_result(Outcome::Keyspace(words)).await;
            }
            Work::Part { start, end } => {
                let part = [start.to_string(), end.to_string()];
                let args = [&["search".into(), mask.to_string(), hash.to_string()], &part[..]].concat();
                let asked = ctx.run(WORKER, args);
                let done = ctx.commit(PART_TIMEOUT).await?;
                let printed = done[asked].stdout();
                match printed.strip_suffix('\n') {
                    None => task.accept_result(Outcome::NotThere).await,
                    Some(word) if hash.is_of(word.as_bytes()) => {
                        task.accept_result(Outcome::Found(word.to_owned())).await;
                    }
                    Some(_) => task.reject_result("a word that hasn't this hash", true).await,
                }
            }
        }
    }
    Ok(())
}

/// In how many parts so many words are searched: no part is empty.
fn n_parts(words: u64, wanted: u64) -> u64 {
    words.div_ceil(words.div_ceil(wanted).max(1)).max(1)
}

fn no_worker(file: &Path) -> String {
    let file = file.display();
    format!("there is no worker at `{file}`: `cargo build -p yacat` builds it, or name one with `--worker`")
}
