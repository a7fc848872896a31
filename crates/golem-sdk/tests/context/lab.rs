//! One activity on a devnet, handed to a test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use golem_core::event::{RunEnd, TaskOutput};
use golem_core::payload::Payload;
use golem_core::run::RunConfig;
use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::{Devnet, DevnetBuilder};
use golem_devnet::provider::{Prices, ProviderConfig};
use golem_devnet::runtime::Runtime;
use golem_sdk::{MemoryJournal, Run, RunError, RunOptions, Tasks, WorkContext, Worker, WorkerError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use yagna_api::AppSessionId;
use yagna_client::{Client, InProcessTransport};

use crate::wire::Wire;

/// The only provider's name.
pub(crate) const ADA: &str = "ada";
/// Longer than any test takes, in virtual time.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A devnet with one provider and a run that keeps an activity there open.
pub(crate) struct Lab {
    pub(crate) devnet: Devnet,
    pub(crate) wire: Arc<Wire>,
    pub(crate) ctx: WorkContext,
    done: Option<oneshot::Sender<()>>,
    running: JoinSet<Result<RunEnd, RunError>>,
}

impl Lab {
    /// In virtual time: the test must have paused the clock.
    pub(crate) async fn scripted(runtime: impl Runtime + 'static) -> Self {
        let clock = DevnetClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        Self::open(Devnet::builder().clock(clock).runtime(runtime)).await
    }

    /// In real time, with commands that are processes of this machine.
    pub(crate) async fn with_processes() -> Self {
        Self::open(Devnet::builder()).await
    }

    async fn open(devnet: DevnetBuilder) -> Self {
        let prices = Prices::per_hour("0.5", "0.36", "0.036").unwrap();
        let devnet = devnet.provider(ProviderConfig::new(ADA).priced(prices)).start().await.unwrap();
        let inner = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
        let wire = Arc::new(Wire::new(inner));
        let client = Client::new(Arc::clone(&wire) as _).with_chance(fastrand::Rng::with_seed(7));
        let (ready, mut opened) = mpsc::channel(1);
        let (done, over) = oneshot::channel();
        let worker = Door { ready, over: Mutex::new(Some(over)) };
        let mut config = RunConfig::new(Payload::default(), devnet.payment_platform());
        config.workers = 1;
        config.retries = 0;
        config.budget = "100".parse().unwrap();
        config.expiration = secs(3 * 3600);
        config.selection_window = Duration::from_millis(50);
        let options = RunOptions::new(config, "erc20", "hoodi", AppSessionId::new("lab"));
        let clock = Arc::new(devnet.clock());
        let tasks = Box::new(std::iter::once(Ok(0.into())));
        let run = Run::new(client, clock, Arc::new(MemoryJournal::new()), Arc::new(worker), tasks, options);
        let mut running = JoinSet::new();
        running.spawn(run.run());
        let ctx = timeout(secs(60), opened.recv()).await.unwrap().unwrap();
        Self { devnet, wire, ctx, done: Some(done), running }
    }

    /// Ends the run, which must have done its task and paid for it.
    pub(crate) async fn end(mut self) {
        drop(self.done.take());
        let end = timeout(LONGEST, self.running.join_next()).await.unwrap().unwrap().unwrap().unwrap();
        assert_eq!((end.done, end.failed), (1, 0), "{end:?}");
        self.devnet.stop().await;
    }
}

/// Waits for a condition, a minute at the most.
pub(crate) async fn wait_for(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + secs(60);
    while !is() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A worker who hands its context out and keeps the activity open meanwhile.
#[derive(Debug)]
struct Door {
    ready: mpsc::Sender<WorkContext>,
    over: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Worker for Door {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                let over = self.over.lock().unwrap().take().unwrap();
                self.ready.send(ctx.clone()).await.unwrap();
                drop(over.await);
                task.done(TaskOutput::default()).await;
            }
            Ok(())
        })
    }
}
