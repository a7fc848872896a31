//! One run, killed several times and resumed, or stopped by Ctrl+C, and what it leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;
use yagna_api::Glm;
use yagna_api::payment::{CreateAllocation, NewAllocation};

use crate::check::{Evidence, Expected, Findings, check};
use crate::ground::Ground;
use crate::life::{Life, Moment, Said, comes_true};
use crate::network::Network;
use crate::record::Record;

/// No life that nobody cuts short takes a fifth of this.
const PATIENCE: Duration = Duration::from_secs(150);
/// What the other side hears of an end it hears within this.
const ECHO: Duration = Duration::from_secs(30);
/// How often a run is started once more for bills that came after its end.
const MORE_STARTS: u32 = 3;
/// How `settle` ends when something is still awaited.
const NOT_SETTLED: i32 = 8;
const BUDGET: &str = "2";

/// What is done to a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    /// So many kills, each followed by a new start; then it runs to its end.
    Kills(u32),
    /// Ctrl+C at some moment.
    Interrupt,
    /// Nothing.
    LetBe,
}

/// A run, and where it plays.
pub(crate) struct Round<'n> {
    network: &'n Network,
    requestor: usize,
    ground: Ground,
    folder: PathBuf,
    random: Rng,
    run_id: String,
    mark: String,
    tasks: u64,
    /// About how long a run takes that nobody disturbs.
    length: Duration,
    workers: u32,
    lives: u32,
    /// How often it was really killed.
    pub(crate) kills: u32,
    /// How often another process was refused while this one held the run.
    pub(crate) refusals: u32,
    wrong: Vec<String>,
}

impl<'n> Round<'n> {
    /// A run of its own database, made from this seed.
    pub(crate) fn new(
        network: &'n Network,
        requestor: usize,
        ground: Ground,
        folder: &Path,
        seed: u64,
    ) -> Self {
        let mut random = Rng::with_seed(seed);
        let (tasks, workers) = (random.u64(15..70), random.u32(1..5));
        let pause = random.u64(10..200);
        let mark = format!("kills-{}-{requestor}-{seed:x}", std::process::id());
        let job = job(&mark, tasks, pause);
        std::fs::write(folder.join("job.toml"), job).unwrap();
        Self {
            network,
            requestor,
            ground,
            folder: folder.to_owned(),
            random,
            run_id: format!("round-{seed:x}"),
            mark,
            tasks,
            length: Duration::from_millis(2500 + tasks * (pause + 30) / u64::from(workers)),
            workers,
            lives: 0,
            kills: 0,
            refusals: 0,
            wrong: Vec::new(),
        }
    }

    /// Plays it, and says what doesn't hold at its end.
    pub(crate) async fn play(&mut self, plan: Plan) -> Vec<String> {
        let bystander = self.bystander().await;
        let complete = match plan {
            Plan::Kills(kills) => {
                for _ in 0..kills {
                    if self.killed_life().await {
                        break;
                    }
                }
                self.last_life().await
            }
            Plan::Interrupt => self.interrupted_life().await,
            Plan::LetBe => self.last_life().await,
        };
        let expected = Expected {
            requestor: self.network.identity(self.requestor).await,
            tasks: self.tasks,
            complete,
            budget: BUDGET.parse().unwrap(),
            bystander,
            mark: self.mark.clone(),
            kills: self.kills,
        };
        let mut starts = 0;
        loop {
            let findings = self.findings(&expected).await;
            if findings.late.is_empty() || starts == MORE_STARTS {
                self.wrong.extend(findings.wrong.into_iter().chain(findings.late));
                break;
            }
            starts += 1;
            self.settling_life(starts % 2 == 1).await;
        }
        std::mem::take(&mut self.wrong)
    }

    /// Something else of the same requestor, which no run may touch.
    async fn bystander(&self) -> String {
        let new = NewAllocation {
            total_amount: Glm::ONE,
            payment_platform: Some(Value::from("erc20-hoodi-tglm")),
            address: None,
            timeout: None,
            make_deposit: false,
            deposit: None,
            extend_timeout: None,
        };
        let made = self.network.client(self.requestor).call(&CreateAllocation(new)).await.unwrap();
        made.allocation_id.to_string()
    }

    /// A life that is killed, unless it ends before. Did it come to its end?
    async fn killed_life(&mut self) -> bool {
        // The later lives have less to do.
        let length = self.length * 4 / (4 + self.lives);
        let moment = Moment::any(&mut self.random, length);
        let with_rival = self.random.u8(0..4) == 0;
        // Another command that resumes a run; there must be one.
        let settles = self.random.u8(0..6) == 0 && Record::read(&self.ground, &self.run_id).await.is_some();
        let mut life = if settles { self.start("settle") } else { self.start("run") };
        life.wait_for(&moment).await;
        if with_rival && !settles {
            self.rival(&mut life).await;
        }
        let killed = life.signal(Signal::KILL);
        self.kills += u32::from(killed);
        let (status, said) = life.end(PATIENCE).await;
        self.look_at(&said);
        let code = status.and_then(|status| status.code());
        // One that ended just before has ended well, or has said why not.
        if !killed && code != Some(0) && !(settles && code == Some(NOT_SETTLED)) {
            self.wrong(format!(
                "it ended with {code:?} before it was killed at {moment:?}:\n{}",
                said.tail()
            ));
        }
        !killed && !settles
    }

    /// A life for bills that came after the last one: of the command for that, or once more of the same.
    async fn settling_life(&mut self, settles: bool) {
        if !settles {
            self.last_life().await;
            return;
        }
        let (status, said) = self.start_patient("settle", "2s").end(PATIENCE).await;
        self.look_at(&said);
        let code = status.and_then(|status| status.code());
        if !matches!(code, Some(0 | NOT_SETTLED)) {
            self.wrong(format!("`settle` ended with {code:?}:\n{}", said.tail()));
        }
    }

    /// A life that nobody disturbs. Did it end well?
    async fn last_life(&mut self) -> bool {
        let (status, said) = self.start("run").end(PATIENCE).await;
        self.look_at(&said);
        match status.map(|status| status.code()) {
            Some(Some(0)) => true,
            Some(code) => {
                self.wrong(format!("it ended with {code:?}:\n{}", said.tail()));
                false
            }
            None => {
                self.wrong(format!("it doesn't end:\n{}", said.tail()));
                false
            }
        }
    }

    /// A life that is stopped in an orderly way. Did it come to its end all the same?
    async fn interrupted_life(&mut self) -> bool {
        // Before it listens, Ctrl+C ends it as any program.
        let began =
            Moment::Said { what: "demand published", times: 1, then: Duration::ZERO, at_last: PATIENCE };
        let moment = Moment::any(&mut self.random, self.length);
        let mut life = self.start("run");
        life.wait_for(&began).await;
        life.wait_for(&moment).await;
        life.signal(Signal::INT);
        let (status, said) = life.end(PATIENCE).await;
        self.look_at(&said);
        match status.map(|status| status.code()) {
            Some(Some(0)) => true,
            Some(Some(130)) => false,
            code => {
                self.wrong(format!(
                    "stopped by Ctrl+C at {moment:?} it ended with {code:?}:\n{}",
                    said.tail()
                ));
                false
            }
        }
    }

    /// Another process that wants the same run while this one works on it.
    async fn rival(&mut self, life: &mut Life) {
        // From then on it holds the run.
        let holds = Moment::Said {
            what: "\"type\":\"run\"",
            times: 1,
            then: Duration::ZERO,
            at_last: Duration::from_secs(10),
        };
        life.wait_for(&holds).await;
        if !life.has_said("\"type\":\"run\"") || !life.runs() {
            return;
        }
        let holder = life.id();
        let name = self.folder.join(format!("life-{:02}-rival", self.lives));
        let (status, said) = Life::start(self.command("run", "0s"), &name).end(Duration::from_secs(30)).await;
        if !life.runs() {
            return;
        }
        let refused = status.is_some_and(|status| status.code().is_some_and(|code| code != 0));
        self.refusals += u32::from(refused);
        if !refused || !said.has(&format!("process {holder} ")) {
            self.wrong(format!(
                "while process {holder} held the run, another one was told (it ended with {status:?}):\n{}",
                said.tail()
            ));
        }
    }

    fn start(&mut self, name: &str) -> Life {
        // What comes later than that is left to another life.
        let patience = ["0s", "1s", "4s"][self.random.usize(0..3)];
        self.start_patient(name, patience)
    }

    fn start_patient(&mut self, name: &str, patience: &str) -> Life {
        self.lives += 1;
        Life::start(self.command(name, patience), &self.folder.join(format!("life-{:02}", self.lives)))
    }

    fn look_at(&mut self, said: &Said) {
        let life = self.lives;
        if said.has("panicked") {
            self.wrong(format!("life {life} panicked:\n{}", said.tail()));
        }
        // Whoever held it before is dead.
        if said.has("is held by") {
            self.wrong(format!("life {life} wasn't let in:\n{}", said.tail()));
        }
    }

    /// A command that takes the run up, and waits so long for late bills.
    fn command(&self, name: &str, patience: &str) -> Command {
        let mut command = self.program(name);
        command.args(["--json", "--settle-timeout", patience]);
        if name == "run" {
            command.args(["--workers", &self.workers.to_string(), "--budget", BUDGET]);
            command.arg(self.folder.join("job.toml"));
        }
        command
            .env("YAGNA_API_URL", self.network.url())
            .env("YAGNA_APPKEY", self.network.key(self.requestor));
        command
    }

    /// A command of the program about this run.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_golem-tasks"));
        command.arg(name).args(["--run-id", &self.run_id, "--dsn", &self.ground.dsn()]);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("RUST_BACKTRACE", "1")
            .current_dir(&self.folder);
        command
    }

    /// What doesn't hold, once the other side has heard of the end.
    async fn findings(&self, expected: &Expected) -> Findings {
        let mut findings = Findings::default();
        comes_true(ECHO, async || {
            findings = match self.evidence().await {
                Ok(evidence) => check(&evidence, expected),
                Err(missing) => Findings { wrong: vec![missing], ..Findings::default() },
            };
            findings.wrong.is_empty()
        })
        .await;
        findings
    }

    async fn evidence(&self) -> Result<Evidence, String> {
        let record = Record::read(&self.ground, &self.run_id).await.ok_or("the run isn't in the database")?;
        let mut summary = self.program("summary");
        let summary = summary.arg("--json").output().await.unwrap();
        if !summary.status.success() {
            return Err(format!("`summary` failed: {}", String::from_utf8_lossy(&summary.stderr)));
        }
        let (books, text) = self.network.books().await;
        std::fs::write(self.folder.join("books.json"), text).unwrap();
        let files = (0..self.tasks).filter_map(|task| {
            let file = self.folder.join(format!("out/{task}.txt"));
            std::fs::read_to_string(file).ok().map(|text| (task, text))
        });
        Ok(Evidence {
            books,
            record,
            files: files.collect::<BTreeMap<_, _>>(),
            processes: processes(&self.mark),
            summary: serde_json::from_slice(&summary.stdout).map_err(|error| error.to_string())?,
        })
    }

    fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }
}

/// Each execution makes a token that nobody has seen before; the result and the file must have the same one.
fn job(mark: &str, tasks: u64, pause: u64) -> String {
    let pause = format!("{}.{:03}", pause / 1000, pause % 1000);
    format!(
        r#"[payload]
image_url = "http://registry.invalid/image"
image_hash = "9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae"

[tasks]
range = {{ end = {tasks} }}

[[steps]]
run = "m={mark}.{{{{ task }}}}.; cat /proc/sys/kernel/random/uuid > /golem/output/{{{{ task }}}}; sleep {pause}; echo {{{{ task }}}} $(( {{{{ task }}}} * 7 )) $(cat /golem/output/{{{{ task }}}})"

[[steps]]
download = {{ from = "/golem/output/{{{{ task }}}}", to = "out/{{{{ task }}}}.txt" }}

[limits]
retries = 30
task_timeout = "20s"
"#
    )
}

/// Processes of this machine that have this in their command line.
fn processes(with: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(with)).collect()
}
