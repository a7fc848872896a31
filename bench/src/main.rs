//! How fast a run is, the devnet included: tasks a second from a file on disk to results in SQLite.
//!
//! `cargo run --release --package golem-bench -- [tasks] [providers]`, or with one of these first:
//! - `store [--dsn DSN] [tasks]`: the database alone;
//! - `executor [--commit] [tasks] [providers]`: the SDK's executor alone, as `bench/python.py` measures Python's;
//! - `reach`: the HTTP proxy to an instance on the devnet: small requests, large bodies, idle connections;
//! - `daemon [--rounds N] [--only TEXT]`: the program on two real daemons, next to a client that only sends scripts;
//! - `workers 50,200,1000 [--rounds N] [--only TEXT]`: the program with so many providers of a devnet over HTTP.
//!
//! Without one the tasks are empty, the providers scripted: nothing is measured but the way of a task through the job
//! file's source, the engine, loopback HTTP, the emulated daemon, an exe-unit and back into the database. Everything runs
//! in this one process. Figures go to stdout, one `name value unit` a line.

mod executor;
mod floor;
mod ground;
#[path = "../../crates/golem-tasks/tests/contract/namespace.rs"]
mod namespace;
mod program;
mod reach;
#[path = "../../crates/golem-tasks/tests/contract/rig.rs"]
mod rig;
mod store;
mod table;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitCode, Termination as _};
use std::sync::Arc;
use std::time::Duration;

use golem_devnet::devnet::Devnet;
use golem_devnet::runtime::ScriptedRuntime;
use golem_sdk::event::{RunEnd, StopReason};
use golem_sdk::payload::Payload;
use golem_sdk::run::RunConfig;
use golem_sdk::{Run, RunOptions, SystemClock};
use golem_tasks::job::Job;
use golem_tasks::store::{Dsn, NewRun, Store};
use golem_tasks::work::JobWorker;
use tokio::time::Instant;
use yagna_api::{AppSessionId, Clock};
use yagna_client::{Client, HttpTransport, Url};

type Failure = Box<dyn Error + Send + Sync>;

const JOB: &str = r#"
[payload]
runtime = "scripted"

[tasks]
lines = "tasks.txt"

[[steps]]
run = "task {{ task }}"

[limits]
workers = 1000
"#;

/// Starts what is asked for. This program is also the programs that it measures: they are processes of their own.
fn main() -> ExitCode {
    match std::env::var(program::AS).as_deref() {
        Ok("program") => golem_tasks::program(),
        Ok(reach::FAR) => on_runtime(reach::far::serve()),
        Ok(_) => on_runtime(be_the_floor(std::env::args().skip(1))),
        Err(_) => {
            let is_daemon = std::env::args().nth(1).is_some_and(|first| first == "daemon");
            if is_daemon && namespace::third_ground().is_ok() && !namespace::is_inside() {
                return namespace::enter();
            }
            on_runtime(measure_all(std::env::args().skip(1)))
        }
    }
}

fn on_runtime(work: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(work).report(),
        Err(error) => Err::<(), _>(error).report(),
    }
}

/// The bare floor as a process: where to work and what to do come as arguments, the time it took goes to stdout.
#[expect(clippy::print_stdout, reason = "who started this reads it there")]
async fn be_the_floor(mut arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut next = || arguments.next().ok_or("the floor has too few arguments");
    let floor = floor::Floor {
        api_url: next()?,
        key: next()?,
        subnet: next()?,
        workers: next()?.parse()?,
        tasks: next()?.parse()?,
        per_script: next()?.parse()?,
        line: next()?,
    };
    println!("{}", floor.run().await?.as_secs_f64());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
async fn measure_all(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut arguments = arguments.peekable();
    if arguments.next_if(|first| first == "store").is_some() {
        return measure_store(arguments).await;
    }
    if arguments.next_if(|first| first == "reach").is_some() {
        return reach::measure().await;
    }
    if arguments.next_if(|first| first == "executor").is_some() {
        let commit = arguments.next_if(|flag| flag == "--commit").is_some();
        let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
        return executor::measure(number(10_000)?, number(10)?, commit).await;
    }
    if arguments.next_if(|first| first == "daemon").is_some() {
        return table::daemon(namespace::third_ground()?, &options(arguments)?).await;
    }
    if arguments.next_if(|first| first == "workers").is_some() {
        let counts = arguments.next().ok_or("which numbers of workers? such as: workers 50,200,1000")?;
        let counts = counts.split(',').map(str::parse).collect::<Result<Vec<_>, _>>()?;
        return table::workers(&counts, &options(arguments)?).await;
    }
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let tasks = number(10_000)?;
    let providers = number(10)?;

    let folder = tempfile::tempdir()?;
    let mut lines = String::new();
    for n in 0..tasks {
        writeln!(lines, "{n}")?;
    }
    fs::write(folder.path().join("tasks.txt"), lines)?;
    let job = folder.path().join("job.toml");
    fs::write(&job, JOB)?;
    let before = peak_memory();

    let (end, took, stored) = measure(&Job::load(&job)?, folder.path(), providers).await?;
    if end.why != StopReason::AllDone || end.done != tasks as u64 || stored != end.done {
        return Err(format!("the run ended otherwise: {end:?}, {stored} results stored").into());
    }
    let per_second = f64::from(u32::try_from(tasks)?) / took.as_secs_f64();
    println!("tasks {tasks} tasks");
    println!("providers {providers} providers");
    println!("wall_time {:.3} s", took.as_secs_f64());
    println!("throughput {per_second:.0} tasks/s");
    if let (Some(before), Some(peak)) = (before, peak_memory()) {
        println!("peak_memory {:.1} MiB", peak / 1024.0);
        println!("of_it_before_the_run {:.1} MiB", before / 1024.0);
    }
    Ok(())
}

/// Reads how much is to be measured.
fn options(mut arguments: impl Iterator<Item = String>) -> Result<table::Options, Failure> {
    let mut options = table::Options { rounds: 3, only: String::new() };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("`{argument}` needs a value"))?;
        match argument.as_str() {
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--only" => options.only = value,
            _ => return Err(format!("`{argument}` isn't an option: --rounds and --only are").into()),
        }
    }
    Ok(options)
}

/// The database alone: the one that `--dsn` names, or else a SQLite file that is gone afterwards.
async fn measure_store(mut arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let mut dsn = Dsn::Sqlite(folder.path().join("runs.db"));
    let mut tasks = 100_000;
    while let Some(argument) = arguments.next() {
        if argument == "--dsn" {
            dsn = arguments.next().ok_or("--dsn names no database")?.parse()?;
        } else {
            tasks = argument.parse()?;
        }
    }
    store::measure(&dsn, tasks).await
}

/// The run from its first request to its end; settling the bills belongs to it.
async fn measure(
    job: &Job,
    folder: &std::path::Path,
    providers: usize,
) -> Result<(RunEnd, Duration, u64), Failure> {
    let runtime = ScriptedRuntime::new();
    let devnet = Devnet::builder().providers(providers).seed(1).runtime(runtime).start().await?;
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let url: Url = format!("http://{address}").parse()?;
    let client = Client::new(Arc::new(HttpTransport::new(&url, &devnet.requestor().key)?));

    let store = Store::open(&Dsn::Sqlite(folder.join("runs.db"))).await?;
    let session = AppSessionId::new("bench");
    let recorded = store
        .create_run(&NewRun {
            run_id: "bench".to_owned(),
            created: SystemClock.now(),
            app_session: session.clone(),
            job: serde_json::Value::Null,
        })
        .await?;
    let options = RunOptions::new(config(job, u32::try_from(providers)?)?, "erc20", "hoodi", session);
    let tasks = job.tasks.open()?.map(|task| task.map(|task| task.value).map_err(|error| error.to_string()));
    let worker = Arc::new(JobWorker::new(Arc::new(job.clone())));
    let run = Run::new(client, Arc::new(SystemClock), Arc::new(recorded), worker, Box::new(tasks), options);
    let started = Instant::now();
    let end = run.run().await?;
    let took = started.elapsed();
    let stored = store.run_summary("bench").await?.tasks.done;
    store.close().await;
    devnet.stop().await;
    Ok((end, took, stored))
}

fn config(job: &Job, workers: u32) -> Result<RunConfig, Failure> {
    // The devnet's providers offer `vm`; what they really run by is the devnet's business.
    let mut payload = Payload::default();
    payload.min_mem_gib = 0.1;
    payload.min_storage_gib = 0.1;
    let mut config = RunConfig::new(payload, "erc20-hoodi-tglm");
    config.workers = workers;
    config.retries = job.limits.retries;
    config.budget = "100".parse()?;
    config.selection_window = Duration::from_millis(100);
    config.stop_horizon = Duration::from_secs(30);
    Ok(config)
}

/// The most memory this process ever had, in KiB, where the system tells.
fn peak_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
