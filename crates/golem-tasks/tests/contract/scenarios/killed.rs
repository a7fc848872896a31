//! The program is killed in the middle of a run, or stopped, and started again with the same words: then the daemon's own
//! books must say that nothing was left, forgotten or paid twice.
//!
//! What happens at random moments is another suite's matter (`tests/kills`, on the devnet); these are the moments at which
//! a real daemon and ours could differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use golem_devnet::provider::{Prices, ProviderConfig};
use golem_tasks::store::{Dsn, RunSummary, Store, TaskRow, TaskStatus};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use yagna_api::activity::{GetState, ListActivities, State};
use yagna_api::market::{
    AgreementState, AgreementSummary, CancelAgreement, ListAgreements, ListDemands, TerminateAgreement,
    Terminator,
};
use yagna_api::payment::{BillStatus, Invoice, ListAllocations, ListInvoices};
use yagna_api::{ApiError, Glm, Timestamp};
use yagna_client::ClientError;

use super::program::program;
use crate::hand::now;
use crate::stage::{Scene, Stage};

const TASKS: u64 = 8;
/// Nobody fetches the image: the providers run commands on this machine.
const JOB: &str = r#"
[payload]
image_url = "http://127.0.0.1:1/image"
image_hash = "5f5a6d2c8e1b4f7093d6c2a1e8b7f4053c9d6e2a1b8f7c4d50e3a6b9"
[tasks]
range = { end = 8 }
[[steps]]
run = "sleep 0.3; echo {{ task }} $(cat /proc/sys/kernel/random/uuid)"
[limits]
workers = 2
budget = "1"
"#;
/// Real daemons take a second or more for each activity's begin and end.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn before_an_agreement(scene: Scene) {
    killed(scene, "received", 1).await;
}

pub(super) async fn when_an_agreement_is_approved(scene: Scene) {
    killed(scene, " approved (", 1).await;
}

pub(super) async fn when_an_activity_is_ready(scene: Scene) {
    killed(scene, " is ready to work", 1).await;
}

pub(super) async fn while_batches_run(scene: Scene) {
    let play = Play::begin(scene).await;
    let first = play.cut_short("\t", 3, Signal::KILL).await;
    assert_eq!(first.code(), None, "it came to its end first: {first:?}");
    let known = tasks_of_known_batches(play.home.path()).await;
    let killed = play.finish().await;
    // What was known to run is waited for. Of a pack that was just being handed over nobody knows.
    for task in &killed.tasks {
        assert!(task.attempts <= 2, "{task:?} of {:#?}", killed.tasks);
        let number = task.task.0;
        assert!(task.attempts == 1 || !known.contains(&number), "{task:?} ran when its process was killed");
    }
}

pub(super) async fn when_the_last_task_is_done(scene: Scene) {
    killed(scene, "stopping", 1).await;
}

pub(super) async fn when_an_agreement_is_ended(scene: Scene) {
    killed(scene, " ended by us", 1).await;
}

pub(super) async fn while_bills_are_accepted(scene: Scene) {
    killed(scene, " accepted: ", 1).await;
}

pub(super) async fn what_it_left_is_settled(scene: Scene) {
    let play = Play::begin(scene).await;
    play.cut_short("\t", 3, Signal::KILL).await;
    assert!(!play.listed_agreements().await.is_empty(), "nothing was left to be settled");
    let settled = play.start(&["settle", "--run-id", "life"]).end().await;
    assert_eq!(settled.code(), Some(0), "{settled:?}");
    assert!(settled.says("resumed to be settled") && settled.says("everything is settled"), "{settled:?}");
    assert!(settled.says(" left to do"), "{settled:?}");
    assert!(play.open_agreements().await.is_empty(), "{settled:?}");
    play.finish().await;
}

pub(super) async fn what_ctrl_c_stopped_goes_on(scene: Scene) {
    let play = Play::begin(scene).await;
    let stopped = play.cut_short("\t", 3, Signal::INT).await;
    assert_eq!(stopped.code(), Some(130), "{stopped:?}");
    assert!(play.open_agreements().await.is_empty(), "{stopped:?}");
    play.finish().await;
}

/// Kills the program when it has said something for the nth time, and lets it begin again and come to its end.
async fn killed(scene: Scene, moment: &'static str, times: usize) -> Kept {
    let play = Play::begin(scene).await;
    let first = play.cut_short(moment, times, Signal::KILL).await;
    assert_eq!(first.code(), None, "it came to its end first: {first:?}");
    play.finish().await
}

/// One run on a stage.
struct Play {
    stage: Stage,
    home: TempDir,
    begun: Timestamp,
}

/// What is kept of it in the end.
struct Kept {
    summary: RunSummary,
    tasks: Vec<TaskRow>,
}

impl Play {
    async fn begin(scene: Scene) -> Self {
        let stage = scene.far_apart().open(["ada", "bob", "eve"].map(honest)).await;
        let home = TempDir::with_prefix("golem-killed-").expect("a temporary folder");
        std::fs::write(home.path().join("job.toml"), JOB).expect("a file in its folder");
        Self { stage, home, begun: now() }
    }

    fn start(&self, words: &[&str]) -> Life {
        let mut command = program(self.home.path());
        let environment = self.stage.environment().expect("these grounds have addresses");
        command.args(words).envs(environment).stdout(Stdio::piped()).stderr(Stdio::piped());
        Life::start(command)
    }

    fn run(&self) -> Life {
        self.start(&["run", "job.toml", "--run-id", "life"])
    }

    /// Sends a signal when it has said something for the nth time.
    async fn cut_short(&self, moment: &'static str, times: usize, signal: Signal) -> Ended {
        let mut life = self.run();
        life.says(moment, times).await;
        life.signal(signal);
        life.end().await
    }

    /// Agreements of this requestor's that hold, or may come to, as far as its daemon knows.
    async fn listed_agreements(&self) -> Vec<AgreementSummary> {
        let mut open = Vec::new();
        for state in [AgreementState::Approved, AgreementState::Pending] {
            let list =
                ListAgreements { state: Some(state), after: Some(self.begun), ..ListAgreements::default() };
            let listed = self.stage.hand.call(&list).await.items;
            open.extend(listed.into_iter().filter(|listed| listed.role == Terminator::Requestor));
        }
        open
    }

    /// The same without those that are over for their providers. A request to end one that died with its sender leaves
    /// the daemon listing it for good.
    async fn open_agreements(&self) -> Vec<AgreementSummary> {
        let mut open = Vec::new();
        for listed in self.listed_agreements().await {
            let agreement = listed.id.clone();
            let terminate = TerminateAgreement { agreement: agreement.clone(), reason: None };
            let ended = match self.stage.hand.try_call(&terminate).await {
                Ok(false) => self.stage.hand.try_call(&CancelAgreement { agreement, reason: None }).await,
                ended => ended.map(drop),
            };
            let is_over =
                ended.as_ref().err().and_then(ClientError::api).is_some_and(ApiError::binds_no_provider);
            if !is_over {
                open.push(listed);
            }
        }
        open
    }

    /// Lets the run come to its end, and holds what it kept against what the daemon says.
    async fn finish(self) -> Kept {
        let ended = self.run().end().await;
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        // At the last of these moments the run may have come to its end before the signal has.
        let goes_on = ["run life is resumed", "run life ended earlier and nothing is left to do"];
        assert!(goes_on.iter().any(|words| ended.says(words)), "{ended:?}");
        let kept = kept(self.home.path()).await;
        kept.assert_every_result_once(&ended);
        assert_eq!(kept.summary.unsettled, 0, "{ended:?}");

        let open = self.open_agreements().await;
        assert!(open.is_empty(), "{open:?} after {ended:?}");
        let hand = &self.stage.hand;
        let demands = hand.call(&ListDemands).await.items;
        assert!(demands.iter().all(|demand| demand.timestamp < self.begun), "{demands:?} after {ended:?}");
        let allocations = hand.call(&ListAllocations::default()).await.items;
        assert!(allocations.iter().all(|allocation| allocation.timestamp < self.begun), "{allocations:?}");

        let invoices = self.invoices().await;
        let accepted: Glm = invoices.iter().map(|invoice| invoice.amount).sum();
        assert_eq!(accepted, kept.summary.cost, "{invoices:?}");
        assert!(!accepted.is_zero());
        // Debit notes are accepted too: the daemon must not have counted both.
        let payments = kept.summary.payments.clone().expect("the daemon was asked for them");
        assert_eq!(payments.accepted, accepted, "{payments:?}");
        let summary = self.start(&["summary"]).end().await;
        assert!(summary.says("payments ") && summary.says("ended: all tasks are finished"), "{summary:?}");
        let over = self.run().end().await;
        assert_eq!(over.code(), Some(0), "{over:?}");
        assert!(over.says("nothing is left to do"), "{over:?}");
        self.stage.close().await;
        kept
    }

    /// The invoices of the run: one for each agreement in which anything ran, each accepted.
    async fn invoices(&self) -> Vec<Invoice> {
        let hand = &self.stage.hand;
        let invoices = hand.call(&ListInvoices { after: Some(self.begun), max: None }).await.items;
        for invoice in &invoices {
            // Where nothing is to be paid the daemon settles at once.
            let wanted = if invoice.amount.is_zero() { BillStatus::Settled } else { BillStatus::Accepted };
            assert_eq!(invoice.status, wanted, "{invoice:?}");
        }
        let mut billed = BTreeMap::<_, u32>::new();
        for invoice in &invoices {
            *billed.entry(invoice.agreement_id.clone()).or_default() += 1;
        }
        let all = ListAgreements { after: Some(self.begun), ..ListAgreements::default() };
        for agreement in hand.call(&all).await.items {
            if agreement.role != Terminator::Requestor {
                continue;
            }
            let activities = hand.call(&ListActivities(agreement.id.clone())).await;
            for activity in &activities {
                let state = hand.call(&GetState(activity.clone())).await.state.0;
                assert_eq!(state, State::Terminated, "{activity} of {agreement:?}");
            }
            let invoices = billed.get(&agreement.id).copied().unwrap_or_default();
            assert!(invoices == 1 || (invoices == 0 && activities.is_empty()), "{invoices} of {agreement:?}");
        }
        invoices
    }
}

impl Kept {
    /// Every task is done, each by an execution of its own; and nothing else was printed.
    fn assert_every_result_once(&self, ended: &Ended) {
        let mut tokens = BTreeSet::new();
        for (number, task) in (0..TASKS).zip(&self.tasks) {
            assert_eq!(task.status, TaskStatus::Done, "{task:?}");
            let printed = task.stdout.to_text();
            let words: Vec<_> = printed.split_whitespace().collect();
            assert_eq!((words.len(), words[0]), (2, number.to_string().as_str()), "{task:?}");
            assert!(
                tokens.insert(words[1].to_owned()),
                "two tasks have the result of one execution: {task:?}"
            );
        }
        assert_eq!((self.tasks.len() as u64, self.summary.tasks.done), (TASKS, TASKS));
        for line in ended.out.lines() {
            let (_, printed) = line.split_once('\t').expect("a task and its result");
            let token = printed.split_whitespace().nth(1).expect("two words");
            assert!(tokens.contains(token), "{line} isn't what is kept");
        }
    }
}

async fn kept(home: &Path) -> Kept {
    let database: PathBuf = home.join("golem-tasks/runs.db");
    let store = Store::open(&Dsn::Sqlite(database)).await.expect("a database");
    let summary = store.run_summary("life").await.expect("a summary");
    let tasks = store.tasks("life").try_collect().await.expect("all tasks");
    store.close().await;
    Kept { summary, tasks }
}

/// The tasks at work whose batch was recorded.
async fn tasks_of_known_batches(home: &Path) -> BTreeSet<u64> {
    let options =
        SqliteConnectOptions::new().filename(home.join("golem-tasks/runs.db")).create_if_missing(false);
    let pool = SqlitePool::connect_with(options).await.expect("a database");
    let bodies: Vec<String> =
        sqlx::query_scalar("SELECT body FROM scripts").fetch_all(&pool).await.expect("its scripts");
    pool.close().await;
    let scripts = bodies.iter().map(|body| serde_json::from_str::<Value>(body).expect("a document"));
    let attempts = scripts.flat_map(|script| script["attempts"].as_array().expect("a list").clone());
    attempts.map(|attempt| attempt["task"].as_u64().expect("a number")).collect()
}

/// The program at work.
struct Life {
    child: Child,
    said: watch::Receiver<Vec<(bool, String)>>,
    readers: JoinSet<()>,
}

/// What it said until its end.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    out: String,
    err: String,
}

impl Life {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let (sender, said) = watch::channel(Vec::new());
        let mut readers = JoinSet::new();
        readers.spawn(collect(true, child.stdout.take().expect("it is piped"), sender.clone()));
        readers.spawn(collect(false, child.stderr.take().expect("it is piped"), sender));
        Self { child, said, readers }
    }

    /// Waits until it has said this so many times.
    async fn says(&mut self, what: &str, times: usize) {
        let enough =
            |said: &Vec<(bool, String)>| said.iter().filter(|(_, line)| line.contains(what)).count() >= times;
        let heard = timeout(PATIENCE, self.said.wait_for(enough)).await.is_ok_and(|heard| heard.is_ok());
        assert!(heard, "it doesn't say {what:?} {times} times: {:#?}", self.said.borrow());
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        kill_process(id.expect("nobody has waited for its end"), signal).expect("it is our child");
    }

    async fn end(mut self) -> Ended {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it doesn't end: {:#?}", self.said.borrow()));
        while let Some(read) = self.readers.join_next().await {
            read.expect("reading doesn't panic");
        }
        let text = |is_out| {
            let said = self.said.borrow();
            let lines = said.iter().filter(|(out, _)| *out == is_out).map(|(_, line)| line.as_str());
            lines.collect::<Vec<_>>().join("\n")
        };
        Ended { status: status.expect("it has an end"), out: text(true), err: text(false) }
    }
}

impl Ended {
    fn code(&self) -> Option<i32> {
        self.status.code()
    }

    fn says(&self, what: &str) -> bool {
        self.out.contains(what) || self.err.contains(what)
    }
}

async fn collect(is_out: bool, from: impl AsyncRead + Unpin, to: watch::Sender<Vec<(bool, String)>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        to.send_modify(|said| said.push((is_out, line)));
    }
}

fn honest(name: &str) -> ProviderConfig {
    ProviderConfig::new(name).priced(Prices::per_hour("0.001", "0.36", "0.036").expect("prices"))
}
