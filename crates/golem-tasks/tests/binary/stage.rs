//! A home of its own for each test, the program started in it, and what it said and left behind.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::TryStreamExt;
use golem_tasks::store::{Dsn, RunSummary, Store, TaskRow};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// No run of these tests takes a tenth of this; it is for machines that are busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const PAYLOAD: &str = "[payload]\n\
    image_url = \"http://registry.invalid/image\"\n\
    image_hash = \"9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae\"\n";

/// A folder that the program takes for its user's home.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["home", "data", "job"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// A path beside the job file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("job").join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Writes a job file: a payload, and the rest as given.
    pub(crate) fn job(&self, rest: &str) -> PathBuf {
        self.write("job.toml", format!("{PAYLOAD}{rest}"));
        self.path("job.toml")
    }

    /// Where runs are kept, and where those that aren't on a devnet are by default.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("data/golem-tasks/runs.db")
    }

    /// `golem-tasks run` in this home.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, job: &Path, flags: impl IntoIterator<Item = I>) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_golem-tasks"));
        command.arg("run").arg(job).args(flags);
        command
    }

    /// Any program in this home, with nothing of this machine's environment that could change what it does. Signals that the
    /// tests were told to ignore, as `nohup` does, are heard by it all the same.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = if cfg!(target_os = "linux") {
            // `env` becomes the program: its process is the same.
            let mut command = Command::new("env");
            command.arg("--default-signal=HUP,INT,PIPE,TERM").arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path().join("home"))
            .env("XDG_DATA_HOME", self.folder.path().join("data"))
            // Runs on a devnet have a database of their own unless one is named.
            .env("GOLEM_TASKS_DSN", format!("sqlite:{}", self.database().display()))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts a job on a devnet that is the same every time.
    pub(crate) fn start(&self, job: &Path, flags: &[&str]) -> Running {
        Running::start(self.command(job, ["--devnet", "--devnet-seed", "7"].iter().chain(flags)))
    }

    /// Runs a job on a devnet to its end.
    pub(crate) async fn run(&self, job: &Path, flags: &[&str]) -> Ended {
        self.start(job, flags).end().await
    }

    pub(crate) async fn store(&self) -> Store {
        assert!(self.database().is_file(), "there is no database");
        Store::open(&Dsn::Sqlite(self.database())).await.unwrap()
    }

    /// What is kept of the one run in the database.
    pub(crate) async fn kept(&self) -> Kept {
        let store = self.store().await;
        let run_id = store.latest_run().await.unwrap().expect("a run is recorded");
        let summary = store.run_summary(&run_id).await.unwrap();
        let tasks = store.tasks(&run_id).try_collect().await.unwrap();
        store.close().await;
        Kept { summary, tasks, rentals: self.rentals().await }
    }

    /// How many runs are recorded.
    pub(crate) async fn n_runs(&self) -> i64 {
        let pool = self.pool().await;
        let n = sqlx::query_scalar("SELECT count(*) FROM runs").fetch_one(&pool).await.unwrap();
        pool.close().await;
        n
    }

    pub(crate) async fn pool(&self) -> SqlitePool {
        SqlitePool::connect_with(SqliteConnectOptions::new().filename(self.database())).await.unwrap()
    }

    async fn rentals(&self) -> Vec<RentalRow> {
        let pool = self.pool().await;
        let rentals = sqlx::query_as::<_, (String, Option<String>)>("SELECT status, final_bill FROM rentals")
            .fetch_all(&pool)
            .await
            .unwrap();
        pool.close().await;
        rentals.into_iter().map(|(status, final_bill)| RentalRow { status, final_bill }).collect()
    }
}

/// What a database says about a run.
pub(crate) struct Kept {
    pub(crate) summary: RunSummary,
    pub(crate) tasks: Vec<TaskRow>,
    pub(crate) rentals: Vec<RentalRow>,
}

#[derive(Debug)]
pub(crate) struct RentalRow {
    pub(crate) status: String,
    pub(crate) final_bill: Option<String>,
}

impl Kept {
    /// At least one agreement was made, and each one is over and paid for.
    pub(crate) fn assert_settled(&self) {
        assert!(!self.rentals.is_empty(), "nothing was bought");
        for rental in &self.rentals {
            assert_eq!(rental.status, "ended", "{rental:?}");
            assert_eq!(rental.final_bill.as_deref(), Some("accepted"), "{rental:?}");
        }
        assert_eq!(self.summary.unsettled, 0);
    }
}

/// The program at work.
pub(crate) struct Running {
    child: Child,
    started: Instant,
    out: watch::Receiver<String>,
    err: watch::Receiver<String>,
    readers: JoinSet<()>,
}

/// What the program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let mut readers = JoinSet::new();
        let mut follow = |from: Box<dyn AsyncRead + Send + Unpin>| {
            let (sender, receiver) = watch::channel(String::new());
            readers.spawn(collect(from, sender));
            receiver
        };
        let out = follow(Box::new(child.stdout.take().unwrap()));
        let err = follow(Box::new(child.stderr.take().unwrap()));
        Self { child, started, out, err, readers }
    }

    /// Waits until standard error has this in it.
    pub(crate) async fn says(&mut self, what: &str) {
        let said = timeout(PATIENCE, self.err.wait_for(|text| text.contains(what))).await;
        let heard = said.is_ok_and(|said| said.is_ok());
        assert!(heard, "it never said `{what}`:\n{}", *self.err.borrow());
    }

    /// Waits until standard output has this in it.
    pub(crate) async fn hears(&mut self, what: &str) {
        let told = timeout(PATIENCE, self.out.wait_for(|text| text.contains(what))).await;
        let heard = told.is_ok_and(|told| told.is_ok());
        assert!(heard, "it never printed `{what}`:\n{}", *self.out.borrow());
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        self.out.borrow().clone()
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.err.borrow().clone()
    }

    /// Waits until standard output has so many lines.
    pub(crate) async fn prints(&mut self, lines: usize) {
        let printed = timeout(PATIENCE, self.out.wait_for(|text| text.lines().count() >= lines)).await;
        let seen = printed.is_ok_and(|printed| printed.is_ok());
        assert!(seen, "it never printed {lines} lines:\n{}", *self.err.borrow());
    }

    /// Its standard input, where that was made a pipe.
    pub(crate) fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("it has a pipe")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn interrupt(&self) {
        signal(self.id(), Signal::INT);
    }

    pub(crate) fn kill(&self) {
        signal(self.id(), Signal::KILL);
    }

    /// Waits for its end.
    pub(crate) async fn end(self) -> Ended {
        let ended = self.end_with_panics().await;
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
        ended
    }

    /// Waits for the end of a program that may tell of panics.
    pub(crate) async fn end_with_panics(mut self) -> Ended {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            panic!("it doesn't end:\n{}", *self.err.borrow());
        };
        let took = self.started.elapsed();
        while let Some(read) = self.readers.join_next().await {
            read.unwrap();
        }
        let (out, err) = (self.out.borrow().clone(), self.err.borrow().clone());
        Ended { code: status.unwrap().code(), out, err, took }
    }
}

impl Ended {
    pub(crate) fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "stderr:\n{}\nstdout:\n{}", self.err, self.out);
    }

    /// Asserts that standard error has all of these in it.
    pub(crate) fn assert_says(&self, all: &[&str]) {
        for what in all {
            assert!(self.err.contains(what), "`{what}` isn't said in\n{}", self.err);
        }
    }

    /// Results as they were printed, by their tasks' numbers.
    pub(crate) fn results(&self) -> Vec<(u64, &str)> {
        let mut results: Vec<_> = self
            .out
            .lines()
            .map(|line| {
                let (task, text) = line.split_once('\t').unwrap_or_else(|| panic!("no result: {line:?}"));
                (task.parse().unwrap(), text)
            })
            .collect();
        results.sort_unstable();
        results
    }
}

async fn collect(from: Box<dyn AsyncRead + Send + Unpin>, to: watch::Sender<String>) {
    let mut from = BufReader::new(from);
    let mut part = vec![0; 1 << 16];
    let mut all = Vec::new();
    loop {
        let n = from.read(&mut part).await.unwrap_or(0);
        if n == 0 {
            return;
        }
        all.extend_from_slice(&part[..n]);
        to.send_replace(String::from_utf8_lossy(&all).into_owned());
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(id: u32, signal: Signal) {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Processes of this machine that have this in their command line.
pub(crate) fn processes(with: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(with)).collect()
}

/// Waits for something that nobody tells.
pub(crate) async fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let waiting = async {
        while !is() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{what}: it doesn't come to be");
}
