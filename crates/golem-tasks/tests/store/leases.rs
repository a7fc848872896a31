//! Who holds a run.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitCode, Stdio};

use golem_tasks::store::{Holder, StoreError};
use tokio::task::JoinSet;

use crate::grounds::{Ground, Kind};
use crate::scene::{Scene, new_run};
use crate::writing::tasks;

/// Names the database to a process of this program that only takes a run and waits.
pub(crate) const CHILD: &str = "GOLEM_STORE_TEST_CHILD";

pub(crate) async fn a_run_is_held_by_one(ground: Ground) {
    let store = ground.store().await;
    let unheld = store.create_run(&new_run("r")).await.unwrap();
    let here = Holder::here();
    assert_eq!(store.holder("r").await.unwrap(), None);
    let lease = store.take("r", &here).await.unwrap();
    assert_eq!(lease.number(), 1);
    let refused = store.take("r", &here).await.unwrap_err();
    let StoreError::Held { by, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(by.holder, here);
    let told = format!("{refused} {}", refused.advice().unwrap());
    assert!(told.contains(&format!("process {} on {}", here.pid, here.host)), "{told}");
    assert!(told.contains("`golem-tasks cancel r`"), "{told}");

    let mut scene = Scene::new();
    scene.added(0..2);
    // Whoever wrote before the run was taken can't any more.
    let lost = unheld.apply(&scene.events).await.unwrap_err();
    assert!(matches!(lost, StoreError::LeaseLost { .. }), "{lost:?}");
    lease.run().apply(&scene.events).await.unwrap();
    lease.renew().await.unwrap();
    lease.release().await.unwrap();
    assert_eq!(store.holder("r").await.unwrap(), None);
    let next = store.take("r", &here).await.unwrap();
    assert_eq!(next.number(), 2);
    assert_eq!(tasks(next.run()).await.len(), 2);
    let unknown = store.take("nobody's", &here).await.unwrap_err();
    assert!(matches!(unknown, StoreError::NoSuchRun { .. }), "{unknown:?}");
}

pub(crate) async fn a_dead_holder_is_replaced_at_once(ground: Ground) {
    let store = ground.store().await;
    store.create_run(&new_run("r")).await.unwrap();
    // No process has this pid: it is above every system's limit.
    let mut dead = Holder::here();
    dead.pid = 0x7fff_fff0;
    let lost = store.take("r", &dead).await.unwrap();
    let lease = store.take("r", &Holder::here()).await.unwrap();
    assert_eq!(lease.number(), 2);
    let mut scene = Scene::new();
    scene.added(0..1);
    let refused = lost.run().apply(&scene.events).await.unwrap_err();
    assert!(matches!(refused, StoreError::LeaseLost { .. }), "{refused:?}");
    assert!(matches!(lost.renew().await.unwrap_err(), StoreError::LeaseLost { .. }));
    // Giving up what one has no more takes nothing from the other.
    lost.release().await.unwrap();
    lease.run().apply(&scene.events).await.unwrap();
}

pub(crate) async fn a_silent_holder_elsewhere_is_replaced_and_can_write_no_more(ground: Ground) {
    let store = ground.store().await;
    store.create_run(&new_run("r")).await.unwrap();
    let here = Holder::here();
    let mut elsewhere = here.clone();
    "far-away".clone_into(&mut elsewhere.host);
    let first = store.take("r", &elsewhere).await.unwrap();
    ground.execute("UPDATE leases SET machine = 'another', process = 'any'").await;
    let refused = store.take("r", &here).await.unwrap_err();
    assert!(refused.to_string().contains("on far-away"), "{refused}");
    silent(&ground, 29).await;
    assert!(matches!(store.take("r", &here).await.unwrap_err(), StoreError::Held { .. }));
    silent(&ground, 40).await;
    // Whoever commits has been heard of.
    let mut scene = Scene::new();
    scene.added(0..1);
    first.run().apply(&scene.events).await.unwrap();
    assert!(matches!(store.take("r", &here).await.unwrap_err(), StoreError::Held { .. }));
    silent(&ground, 40).await;
    let second = store.take("r", &here).await.unwrap();
    let mut scene = Scene::new();
    scene.added(1..3);
    assert!(matches!(first.run().apply(&scene.events).await.unwrap_err(), StoreError::LeaseLost { .. }));
    assert_eq!(tasks(second.run()).await.len(), 1);
}

/// Moves the moment a holder was last heard of into the past.
async fn silent(ground: &Ground, seconds: u32) {
    let earlier = match ground.kind {
        Kind::Postgres => format!("clock_timestamp() - interval '{seconds} seconds'"),
        _ => format!("CAST(unixepoch('subsec') * 1000000 AS INTEGER) - {seconds}000000"),
    };
    ground.execute(&format!("UPDATE leases SET heard_at = {earlier}")).await;
}

pub(crate) async fn the_lease_of_a_killed_process_is_free_at_once(ground: Ground) {
    let store = ground.store().await;
    store.create_run(&new_run("r")).await.unwrap();
    let mut child = Held::start(&ground);
    let refused = store.take("r", &Holder::here()).await.unwrap_err();
    let StoreError::Held { by, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(by.holder.pid, child.process.id());
    child.process.kill().unwrap();
    child.process.wait().unwrap();
    let lease = store.take("r", &Holder::here()).await.unwrap();
    assert_eq!(lease.number(), 2);
    // One that ends in order leaves nothing to find out.
    lease.release().await.unwrap();
    let mut child = Held::start(&ground);
    child.process.stdin.take().unwrap().write_all(b"end\n").unwrap();
    assert!(child.process.wait().unwrap().success());
    assert_eq!(store.holder("r").await.unwrap(), None);
}

pub(crate) async fn of_many_that_ask_at_once_one_gets_the_run(ground: Ground) {
    ground.store().await.create_run(&new_run("r")).await.unwrap();
    let mut asking = JoinSet::new();
    for _ in 0..6 {
        let ground = ground.clone();
        asking.spawn(async move { ground.store().await.take("r", &Holder::here()).await });
    }
    let answers = asking.join_all().await;
    let held = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Held { .. }))).count();
    assert_eq!((held, answers.iter().filter(|answer| answer.is_ok()).count()), (5, 1), "{answers:?}");
}

/// A process that holds the run; killed when dropped.
struct Held {
    process: Child,
}

impl Held {
    /// Starts it and waits until it holds the run.
    fn start(ground: &Ground) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, ground.dsn_text())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n");
        Self { process }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// What that process does: takes the run, says so, and releases it when told to.
#[expect(clippy::print_stdout, reason = "its standard output is how it speaks with the test")]
pub(crate) fn child(dsn: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lease = runtime.block_on(async {
        let store = golem_tasks::store::Store::open(&dsn.parse().unwrap()).await.unwrap();
        store.take("r", &Holder::here()).await.unwrap()
    });
    println!("held");
    let mut told = String::new();
    std::io::stdin().read_line(&mut told).unwrap();
    runtime.block_on(lease.release()).unwrap();
    ExitCode::SUCCESS
}
