//! A program measured from outside: what it needs of the machine, and when its results were there.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::ground::Ground;

/// The variable that makes this program another one: `program` is `golem-tasks`, `floor` is the bare floor.
pub(crate) const AS: &str = "GOLEM_BENCH_AS";

/// The time between two looks at a process's memory.
const LOOK: Duration = Duration::from_millis(20);

/// No program that is measured takes longer.
const LONGEST: Duration = Duration::from_secs(600);

/// A job for `golem-tasks`, and how it is run.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// The steps of its job file.
    pub(crate) steps: String,
    /// Its number of tasks.
    pub(crate) tasks: usize,
    /// Providers at work at the same time.
    pub(crate) workers: usize,
}

/// The figures of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// The time from the start of the process to the first result.
    pub(crate) first: Duration,
    /// The time from the first script, or the first result, to the last result.
    pub(crate) working: Duration,
    /// The time from the last result to the end of the process.
    pub(crate) exit: Duration,
    /// Time on a processor, in the kernel and outside.
    pub(crate) cpu: Duration,
    /// The most memory that it had, in KiB.
    pub(crate) memory: u64,
    /// The results.
    pub(crate) done: u32,
}

impl Figures {
    /// Results a second while it worked.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.done) / self.working.as_secs_f64().max(1e-9)
    }

    /// The most memory that it had, in MiB.
    pub(crate) fn mebibytes(&self) -> f64 {
        f64::from(u32::try_from(self.memory).unwrap_or(u32::MAX)) / 1024.0
    }

    /// Time on a processor for each task, in milliseconds.
    pub(crate) fn cpu_a_task(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / f64::from(self.done)
    }
}

/// Runs this work by `golem-tasks`, as a process of its own.
pub(crate) async fn golem_tasks(ground: &Ground, work: &Work) -> Result<Figures, Failure> {
    let folder = tempfile::tempdir()?;
    let job = folder.path().join("job.toml");
    fs::write(folder.path().join("file"), vec![3; crate::ground::FILE_LEN])?;
    fs::write(
        &job,
        format!(
            "[payload]\nimage_url = \"http://127.0.0.1:1/image\"\nimage_hash = \"{}\"\nmin_mem_gib = 0.1\n\
             min_storage_gib = 0.1\n[tasks]\nrange = {{ start = 0, end = {} }}\n{}\n",
            "0".repeat(56),
            work.tasks,
            work.steps
        ),
    )?;
    let database = folder.path().join("runs.db");
    let mut command = itself("program")?;
    command.arg("run").arg(&job).arg("--quiet");
    command.args(["--workers", &work.workers.to_string(), "--budget", "1000"]);
    command.arg("--dsn").arg(format!("sqlite:{}", database.display()));
    command.args(["--subnet", &ground.subnet]).current_dir(folder.path());
    command.env("YAGNA_API_URL", &ground.api_url).env("YAGNA_APPKEY", ground.key.expose());
    // Results go where nobody reads them.
    command.stdout(Stdio::null());
    let (mut figures, started, ended) = measured(command).await?;

    let options = SqliteConnectOptions::new().filename(&database).read_only(true);
    let mut connection = options.connect().await?;
    let row =
        sqlx::query("SELECT count(*), min(ended_at), max(ended_at) FROM attempts WHERE outcome = 'done'")
            .fetch_one(&mut connection)
            .await?;
    connection.close().await?;
    let (done, first, last): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let moment = |micros: i64| UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs());
    figures.done = u32::try_from(done)?;
    figures.first = moment(first).duration_since(started).unwrap_or_default();
    figures.working = moment(last).duration_since(moment(first)).unwrap_or_default();
    figures.exit = ended.duration_since(moment(last)).unwrap_or_default();
    if usize::try_from(done)? != work.tasks {
        return Err(format!("{done} of {} tasks are done", work.tasks).into());
    }
    Ok(figures)
}

/// Runs the same number of tasks by the bare floor, as a process of its own.
pub(crate) async fn floor(
    ground: &Ground,
    line: &str,
    tasks: usize,
    workers: usize,
    per_script: usize,
) -> Result<Figures, Failure> {
    let out = tempfile::NamedTempFile::new()?;
    let mut command = itself("floor")?;
    command.args([&ground.api_url, ground.key.expose(), &ground.subnet]);
    command.args([workers, tasks, per_script].map(|number| number.to_string()));
    command.arg(line).stdout(out.reopen()?);
    let (mut figures, ..) = measured(command).await?;
    figures.working = Duration::from_secs_f64(fs::read_to_string(out.path())?.trim().parse()?);
    figures.done = u32::try_from(tasks)?;
    Ok(figures)
}

fn itself(role: &str) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("YAGNA_") || name.to_string_lossy().starts_with("GOLEM_") {
            command.env_remove(name);
        }
    }
    command.env(AS, OsString::from(role)).stdin(Stdio::null());
    Ok(command)
}

/// Runs it to its end.
async fn measured(mut command: Command) -> Result<(Figures, SystemTime, SystemTime), Failure> {
    let started = now();
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    let deadline = Instant::now() + LONGEST;
    let mut memory = 0;
    let (ended, cpu) = loop {
        if let Ok(text) = fs::read_to_string(process.join("status")) {
            memory = memory.max(field(&text, "VmHWM:").unwrap_or(0));
        }
        // The process stays to be looked at until it is waited for.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        if waitid(WaitId::Pid(pid), options)?.is_some() {
            let ended = now();
            let stat = fs::read_to_string(process.join("stat"))?;
            break (ended, cpu(&stat).ok_or("the system tells no times")?);
        }
        if Instant::now() > deadline {
            child.kill()?;
        }
        sleep(LOOK).await;
    };
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("the program ended with {status}").into());
    }
    Ok((Figures { cpu, memory, ..Figures::default() }, started, ended))
}

#[expect(clippy::disallowed_methods, reason = "databases tell the system's time")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find(|line| line.starts_with(name))?.split_whitespace().nth(1)?.parse().ok()
}

/// The time on a processor, from `/proc/PID/stat`, in hundredths of a second.
fn cpu(stat: &str) -> Option<Duration> {
    // The program's name, in brackets, may have spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}
