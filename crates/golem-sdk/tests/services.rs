//! Services on a devnet whose providers really run programs: they come up, are watched, restarted and stopped.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::Devnet;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::payload::Payload;
use golem_sdk::service::{
    EndReason, InstanceError, InstanceInfo, InstanceState, Ready, Restart, RunningService, ServiceParts,
    ServiceSpec,
};
use golem_sdk::{Client, Executor};
use tokio::time::timeout;
use yagna_client::InProcessTransport;

/// A loaded machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

struct Ground {
    devnet: Devnet,
    executor: Executor,
}

impl Ground {
    async fn new(providers: usize) -> Self {
        let devnet = Devnet::builder().providers(providers).start().await.unwrap();
        let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
        let client = Client::new(Arc::new(transport));
        let executor = Executor::builder(Payload::default()).client(client).start().await.unwrap();
        Self { devnet, executor }
    }

    fn start(&self, spec: ServiceSpec) -> RunningService {
        self.executor.service(spec.check_every(Duration::from_millis(200)), ServiceParts::default()).unwrap()
    }

    async fn close(self) {
        let end = timeout(PATIENCE, self.executor.close()).await.unwrap().unwrap();
        assert_eq!(end.unsettled, 0);
        assert_eq!(self.devnet.books().open_agreements().count(), 0);
        self.devnet.stop().await;
    }
}

/// Waits until the instances are like this.
async fn until(
    service: &RunningService,
    what: &str,
    holds: impl Fn(&[InstanceInfo]) -> bool,
) -> Vec<InstanceInfo> {
    let mut changes = service.changes();
    let seen = async {
        loop {
            changes.borrow_and_update();
            let instances = service.instances();
            if holds(&instances) {
                return instances;
            }
            changes.changed().await.unwrap();
        }
    };
    let seen = timeout(PATIENCE, seen).await;
    seen.unwrap_or_else(|_| panic!("it never came that {what}: {:#?}", service.instances()))
}

#[tokio::test]
async fn instances_come_up_run_commands_and_are_stopped_in_order() {
    let ground = Ground::new(3).await;
    let spec =
        ServiceSpec::shell("web", "echo hello; trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done")
            .instances(2)
            .env("WHO", "it's me");
    let web = ground.start(spec);
    timeout(PATIENCE, web.wait_ready(2)).await.unwrap().unwrap();
    let instances = web.instances();
    let names: Vec<_> = instances.iter().map(InstanceInfo::name).collect();
    assert_eq!(names, ["web-1", "web-2"]);
    assert_ne!(instances[0].provider, instances[1].provider);
    let ran = web.exec(1, "echo $WHO; exit 3", LIMIT).await.unwrap();
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "it's me\n"));
    let log = web.log(2, None).await.unwrap();
    assert_eq!((log.text.as_str(), log.next), ("hello\n", 6));
    assert!(matches!(web.exec(3, "true", LIMIT).await, Err(InstanceError::NoSuch { number: 3, .. })));
    let ended = timeout(PATIENCE, web.stop()).await.unwrap();
    assert_eq!(ended, [("web-1".to_owned(), EndReason::Asked), ("web-2".to_owned(), EndReason::Asked)]);
    ground.close().await;
}

#[tokio::test]
async fn a_process_that_dies_is_started_again_on_its_machine() {
    let ground = Ground::new(1).await;
    let web = ground.start(ServiceSpec::shell("web", "exec sleep 1000"));
    timeout(PATIENCE, web.wait_ready(1)).await.unwrap().unwrap();
    let before = web.instances().remove(0);
    web.exec(1, "kill -9 $(cat /tmp/golem-service/pid)", LIMIT).await.unwrap();
    let after = until(&web, "it is ready once more", |instances| {
        instances[0].state == InstanceState::Ready && instances[0].restarts > 0
    })
    .await;
    assert_eq!(after[0].activity, before.activity);
    let Some(EndReason::Exited { code: 137, .. }) = &after[0].last_end else { panic!("{after:?}") };
    web.stop().await;
    ground.close().await;
}

#[tokio::test]
async fn a_service_that_may_not_be_restarted_ends_with_its_process() {
    let ground = Ground::new(1).await;
    let web = ground.start(
        ServiceSpec::shell("web", "echo out of luck; exit 7").restart(Restart::No).ready(Ready::Tcp(1)),
    );
    let error = timeout(PATIENCE, web.wait_ready(1)).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("its process ended with exit code 7"), "{error}");
    let ended = web.instances().remove(0);
    assert_eq!(ended.state, InstanceState::Stopped);
    assert_eq!(ended.last_end, Some(EndReason::Exited { code: 7, log: "out of luck".to_owned() }));
    assert!(matches!(web.exec(1, "true", LIMIT).await, Err(InstanceError::NoMachine { .. })));
    web.stop().await;
    ground.close().await;
}

#[tokio::test]
async fn an_instance_that_is_never_ready_moves_and_says_why() {
    let ground = Ground::new(2).await;
    let spec = ServiceSpec::shell("web", "echo waiting; exec sleep 1000")
        .ready(Ready::Command("echo no luck; exit 4".to_owned()))
        .start_timeout(Duration::from_secs(3))
        .restart(Restart::OnFailure { most: Some(1) });
    let web = ground.start(spec);
    let ended = until(&web, "it is given up", |instances| instances[0].state == InstanceState::Stopped).await;
    let Some(EndReason::NotReady { why, log }) = &ended[0].last_end else { panic!("{ended:?}") };
    assert!(why.starts_with("it was not ready within 3s: its check ends with exit code 4: no luck"), "{why}");
    assert_eq!(log, "no luck");
    web.stop().await;
    ground.close().await;
}

#[tokio::test]
async fn a_stop_is_heard_in_every_state() {
    let ground = Ground::new(1).await;
    let web =
        ground.start(ServiceSpec::shell("web", "exec sleep 1000").ready(Ready::Command("false".to_owned())));
    until(&web, "its process runs", |instances| instances[0].state == InstanceState::Running).await;
    let ended = timeout(PATIENCE, web.stop()).await.unwrap();
    assert_eq!(ended[0].1, EndReason::Asked);
    // Nothing has a machine yet.
    let idle = ground.start(ServiceSpec::shell("idle", "true"));
    timeout(PATIENCE, idle.stop()).await.unwrap();
    ground.close().await;
}

#[tokio::test]
async fn a_machine_that_is_lost_is_replaced() {
    let ground = Ground::new(2).await;
    let web = ground.start(ServiceSpec::shell("web", "exec sleep 1000").restart(Restart::Always));
    timeout(PATIENCE, web.wait_ready(1)).await.unwrap().unwrap();
    let before = web.instances().remove(0);
    let transport = InProcessTransport::new(ground.devnet.router(), &ground.devnet.requestor().key).unwrap();
    let activity = before.activity.clone().unwrap();
    let destroy = yagna_api::activity::DestroyActivity { activity, wait: Duration::from_secs(5) };
    Client::new(Arc::new(transport)).call(&destroy).await.unwrap();
    let after = until(&web, "it is ready elsewhere", |instances| {
        instances[0].state == InstanceState::Ready && instances[0].activity != before.activity
    })
    .await;
    assert!(matches!(after[0].last_end, Some(EndReason::MachineLost { .. })), "{after:?}");
    web.stop().await;
    ground.close().await;
}

/// Every script of a service finds its process running.
fn always_running() -> ScriptedRuntime {
    ScriptedRuntime::new().on_prefix("/bin/sh", &[], ScriptedAnswer::ok().stdout("runs\n--log--\n"))
}

#[tokio::test(start_paused = true)]
async fn an_agreement_that_ends_is_followed_by_another_one_while_the_service_is_up() {
    let devnet = Devnet::builder()
        .clock(DevnetClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()))
        .runtime(always_running())
        .providers(3)
        .start()
        .await
        .unwrap();
    let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
    let executor = Executor::builder(Payload::default())
        .client(Client::new(Arc::new(transport)))
        .clock(Arc::new(devnet.clock()))
        .budget("100")
        .start()
        .await
        .unwrap();
    let mut spec = ServiceSpec::shell("web", "exec httpd");
    spec.check_every = Duration::from_secs(60);
    let web = executor.service(spec, ServiceParts::default()).unwrap();
    web.wait_ready(1).await.unwrap();
    let first = web.instances().remove(0);
    assert!(first.expires.is_some());
    // For a whole day there is an instance that is ready, each on an agreement of its own.
    let mut seen = std::collections::BTreeSet::from([first.activity.clone()]);
    let mut changes = web.changes();
    let day = tokio::time::sleep(Duration::from_secs(24 * 3600));
    tokio::pin!(day);
    loop {
        tokio::select! {
            () = &mut day => break,
            changed = changes.changed() => changed.unwrap(),
        }
        let instances = web.instances();
        assert!(instances.iter().any(|one| one.state == InstanceState::Ready), "{instances:#?}");
        seen.extend(instances.into_iter().map(|one| one.activity));
    }
    assert!(seen.len() > 20, "an agreement lasts an hour: {}", seen.len());
    let ended = web.stop().await;
    assert_eq!(ended, [("web-1".to_owned(), EndReason::Asked)]);
    let end = executor.close().await.unwrap();
    assert_eq!(end.unsettled, 0);
    assert_eq!(devnet.books().open_agreements().count(), 0);
    devnet.stop().await;
}
