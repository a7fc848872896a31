//! The first example of the guide, run by the program as its users run it.
//!
//! Within this process no other program reaches the devnet: on that ground the program brings its own, which has honest
//! providers only.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use golem_devnet::provider::{Behaviour, Prices, ProviderConfig, Vanishing};
use golem_tasks::store::{Dsn, RunSummary, Store, TaskRow, TaskStatus};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use yagna_api::Glm;
use yagna_api::payment::{BillStatus, Invoice};

use super::restarts::settled_invoices;
use crate::hand::now;
use crate::rig::Side;
use crate::stage::{Scene, Stage};

const HELLO_WORLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello_world/job.toml");
/// Real daemons take a second or more for each activity's begin and end.
const PATIENCE: Duration = Duration::from_secs(100);

pub(super) async fn hello_world(scene: Scene) {
    let stage = scene.open(["ada", "bob", "eve"].map(honest)).await;
    let begun = now();
    let ended = run(&stage, &[]).await;
    ended.assert_all_done();
    assert_eq!((ended.summary.unsettled, ended.summary.bills_refused), (0, 0));
    assert!(ended.summary.cost > Glm::ZERO);
    if stage.environment().is_some() {
        let invoices = settled_invoices(&stage.hand, begun).await;
        assert_eq!(sum(&invoices), ended.summary.cost, "what is accepted isn't what is kept");
    }
    stage.close().await;
}

pub(super) async fn hello_world_with_a_provider_that_fails(scene: Scene) {
    let fails = Behaviour { fails_commands: Some(3), ..Behaviour::default() };
    let stage = scene.open([honest("ada"), honest("bob"), honest("eve").behaving(fails)]).await;
    let begun = now();
    let ended = run(&stage, &[]).await;
    ended.assert_all_done();
    let failed: u64 = ended.summary.providers.iter().map(|provider| provider.failed_attempts).sum();
    assert!(failed > 0, "no task went to the provider that fails: {:?}", ended.summary.providers);
    let invoices = settled_invoices(&stage.hand, begun).await;
    assert_eq!(sum(&invoices), ended.summary.cost);
    assert_eq!(ended.summary.unsettled, 0);
    stage.close().await;
}

pub(super) async fn hello_world_with_a_provider_that_vanishes(scene: Scene) {
    let vanishes = Behaviour { vanishes: Some(Vanishing::AfterCommands(3)), ..Behaviour::default() };
    let stage = scene.open([honest("ada"), honest("bob"), honest("eve").behaving(vanishes)]).await;
    let begun = now();
    let ended = run(&stage, &["--settle-timeout", "3s"]).await;
    ended.assert_all_done();
    assert!(stage.provider("eve").is_gone(), "no task went to the provider that vanishes");
    // It never bills again, and is paid what it had billed.
    let invoices = settled_invoices(&stage.hand, begun).await;
    let vanished = stage.provider("eve").node();
    assert!(invoices.iter().all(|invoice| invoice.issuer_id != *vanished), "{invoices:?}");
    assert_eq!(ended.summary.unsettled, 1);
    assert_eq!(sum(&invoices), ended.summary.cost);
    stage.close().await;
}

pub(super) async fn hello_world_on_providers_of_the_program(scene: Scene) {
    let stage = scene.open([]).await;
    let rig = stage.rig().expect("this ground has daemons");
    let begun = now();
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(rig.lend(Side::Sellers).await);
    }
    let home = TempDir::with_prefix("golem-program-").expect("a temporary folder");
    let ready = home.path().join("ready");
    let daemon = rig.daemon(Side::Sellers);
    let mut providers = program(home.path());
    providers
        .args(["devnet", "--quiet", "--providers", "3", "--network", "hoodi", "--subnet", &stage.subnet])
        .args(["--join", &daemon.api_url(), "--gsb-url", &daemon.bus_url(), "--env-file"])
        .arg(&ready)
        .args(keys.iter().flat_map(|lease| ["--app-key", lease.key.expose()]))
        .stdout(Stdio::null());
    let mut providers = providers.spawn().expect("it starts");
    let there = async {
        while !ready.is_file() {
            assert!(matches!(providers.try_wait(), Ok(None)), "the providers have gone");
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, there).await.expect("the providers come");
    let ended = run(&stage, &[]).await;
    ended.assert_all_done();
    assert_eq!(ended.summary.unsettled, 0);
    let invoices = settled_invoices(&stage.hand, begun).await;
    assert_eq!(sum(&invoices), ended.summary.cost);
    let id = providers.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
    kill_process(id, Signal::INT).expect("it runs");
    let status = timeout(PATIENCE, providers.wait()).await.expect("it ends in time").expect("its end");
    assert!(status.success(), "{status}");
    stage.close().await;
}

/// What the program said and kept.
struct Ended {
    output: Output,
    summary: RunSummary,
    tasks: Vec<TaskRow>,
}

impl Ended {
    /// It ended well, every result was printed and is kept, and all are right.
    fn assert_all_done(&self) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&self.output.stdout), text(&self.output.stderr));
        assert_eq!(self.output.status.code(), Some(0), "{err}\n{out}");
        let mut printed: Vec<_> = out.lines().collect();
        let number = |line: &&str| line.split('\t').next().and_then(|task| task.parse::<u64>().ok());
        printed.sort_unstable_by_key(number);
        let expected: Vec<_> = (0..24).map(|task| format!("{task}\t{}", task * 7)).collect();
        assert_eq!(printed, expected, "{err}");
        let kept: Vec<_> =
            self.tasks.iter().map(|task| (task.status, task.stdout.as_text().expect("it is text"))).collect();
        let expected: Vec<_> = (0..24).map(|task| (task * 7).to_string()).collect();
        let expected: Vec<_> = expected.iter().map(|text| (TaskStatus::Done, text.as_str())).collect();
        assert_eq!(kept, expected);
    }
}

/// Runs the example on the stage.
async fn run(stage: &Stage, flags: &[&str]) -> Ended {
    let home = TempDir::with_prefix("golem-program-").expect("a temporary folder");
    let registry = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let registry_url = format!("http://{}", registry.local_addr().expect("it is bound"));
    let mut background = JoinSet::new();
    background.spawn(serve_images(registry));
    let mut command = program(home.path());
    command.args(["run", HELLO_WORLD]).args(flags).env("GOLEM_REGISTRY_URL", registry_url);
    match stage.environment() {
        Some(environment) => command.envs(environment),
        None => command.args(["--devnet", "--devnet-seed", "7"]),
    };
    let output = timeout(PATIENCE, command.output()).await.expect("it ends in time").expect("it starts");
    // Runs on an emulated network of the program's own have a database of their own.
    let database = if stage.environment().is_some() { "runs.db" } else { "devnet.db" };
    let (summary, tasks) = kept(&home.path().join("golem-tasks").join(database), &output).await;
    Ended { output, summary, tasks }
}

/// The program, with nothing of this machine's environment that could change what it does.
pub(super) fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_golem-tasks"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("XDG_DATA_HOME", home)
        .current_dir(home)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn kept(database: &Path, output: &Output) -> (RunSummary, Vec<TaskRow>) {
    assert!(database.is_file(), "nothing is kept: {output:?}");
    let store = Store::open(&Dsn::Sqlite(database.to_owned())).await.expect("a database");
    let run_id = store.latest_run().await.expect("a sound database").expect("a run");
    let summary = store.run_summary(&run_id).await.expect("a summary");
    let tasks = store.tasks(&run_id).try_collect().await.expect("all tasks");
    store.close().await;
    (summary, tasks)
}

/// Stands in for Golem's registry, which knows the example's image by its hash. Nobody fetches the image itself: the
/// providers run commands on this machine.
async fn serve_images(listener: TcpListener) {
    while let Ok((connection, _)) = listener.accept().await {
        let mut connection = BufReader::new(connection);
        let mut line = String::new();
        let asked = connection.read_line(&mut line).await.is_ok();
        let hash = line.split_once("hash=").and_then(|(_, rest)| rest.split(['&', ' ']).next());
        let Some(hash) = hash.filter(|_| asked) else { continue };
        let image = "http://127.0.0.1:1/image";
        let body = json!({"http": image, "https": image, "sha3": hash, "size": 1}).to_string();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        // Who has gone meanwhile needs no answer.
        drop(connection.write_all(answer.as_bytes()).await);
    }
}

fn honest(name: &str) -> ProviderConfig {
    ProviderConfig::new(name).priced(Prices::per_hour("0.001", "0.36", "0.036").expect("prices"))
}

fn sum(invoices: &[Invoice]) -> Glm {
    assert!(invoices.iter().all(|invoice| invoice.status == BillStatus::Accepted), "{invoices:?}");
    invoices.iter().map(|invoice| invoice.amount).sum()
}
