//! Sets a run on a devnet up, lets it go, and keeps what came of it.

use std::sync::Arc;
use std::time::Duration;

use golem_core::event::{Event, EventKind, RunEnd};
use golem_core::payload::Payload;
use golem_core::run::RunConfig;
use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::{Devnet, DevnetBuilder};
use golem_devnet::provider::{Behaviour, Prices, ProviderConfig, ProviderHandle};
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::strategy::{LeastExpensive, Strategy};
use golem_sdk::{Handle, Journal, MemoryJournal, PriceCaps, Run, RunError, RunOptions, Timing, Worker};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use yagna_api::{AppSessionId, NodeId};
use yagna_client::{Client, InProcessTransport};

use crate::books;
use crate::hands::Hands;

/// How long the command of a task takes.
pub(crate) const TASK_TAKES: Duration = Duration::from_secs(5);
/// No run of a test may take longer, in virtual time.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An honest provider: 0.036 GLM an hour, 0.36 GLM a CPU hour, nothing to start.
pub(crate) fn honest(name: &str) -> ProviderConfig {
    ProviderConfig::new(name).priced(Prices::per_hour("0", "0.36", "0.036").unwrap())
}

/// The same with other manners.
pub(crate) fn strange(name: &str, behaviour: Behaviour) -> ProviderConfig {
    honest(name).behaving(behaviour)
}

/// Commands of tasks: `work <n>` prints seven times `n` after five seconds.
pub(crate) fn scripted() -> ScriptedRuntime {
    ScriptedRuntime::new().when(|program, args| {
        let n: u64 = args.first().filter(|_| program == "work")?.parse().ok()?;
        Some(ScriptedAnswer::ok().taking(TASK_TAKES).stdout((n * 7).to_string()))
    })
}

/// A run to be.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) devnet: DevnetBuilder,
    pub(crate) tasks: u64,
    pub(crate) config: RunConfig,
    pub(crate) timing: Timing,
    pub(crate) session: &'static str,
    pub(crate) worker: Arc<dyn Worker>,
}

impl Stage {
    /// Twelve tasks for at most four of these providers.
    pub(crate) fn new(providers: impl IntoIterator<Item = ProviderConfig>) -> Self {
        Self::with_runtime(scripted(), providers)
    }

    pub(crate) fn with_runtime(
        runtime: ScriptedRuntime,
        providers: impl IntoIterator<Item = ProviderConfig>,
    ) -> Self {
        let clock = DevnetClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        Self::on(Devnet::builder().clock(clock).runtime(runtime), providers)
    }

    /// In real time, with commands that are processes of this machine.
    pub(crate) fn with_processes(providers: impl IntoIterator<Item = ProviderConfig>) -> Self {
        Self::on(Devnet::builder(), providers).configured(|config| {
            config.selection_window = Duration::from_millis(50);
        })
    }

    fn on(devnet: DevnetBuilder, providers: impl IntoIterator<Item = ProviderConfig>) -> Self {
        let devnet = providers.into_iter().fold(devnet, DevnetBuilder::provider);
        Self {
            devnet,
            tasks: 12,
            config: config(),
            timing: Timing::default(),
            session: "run-1",
            worker: Arc::new(Hands::default()),
        }
    }

    pub(crate) fn tasks(self, tasks: u64) -> Self {
        Self { tasks, ..self }
    }

    pub(crate) fn worker(self, worker: impl Worker + 'static) -> Self {
        Self { worker: Arc::new(worker), ..self }
    }

    pub(crate) fn configured(mut self, change: impl FnOnce(&mut RunConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Lets it go and waits for its end.
    pub(crate) async fn play(self) -> Played {
        self.start().await.end().await
    }

    pub(crate) async fn start(self) -> Live {
        let journal = Arc::new(MemoryJournal::new());
        self.start_with(Arc::clone(&journal) as Arc<dyn Journal>, journal).await
    }

    /// `journal` is what the run writes to, `kept` where its events are found.
    pub(crate) async fn start_with(self, journal: Arc<dyn Journal>, kept: Arc<MemoryJournal>) -> Live {
        let devnet = Arc::new(self.devnet.start().await.unwrap());
        let task = Task { tasks: self.tasks, worker: self.worker, session: self.session };
        let options = options(self.config, self.timing, self.session);
        Live::begin(devnet, task, options, journal, kept)
    }
}

impl Stage {
    /// Starts a run that stands ready for jobs; its own tasks and its worker have no part in it.
    pub(crate) async fn stand(self) -> (Live, Handle) {
        let devnet = Arc::new(self.devnet.start().await.unwrap());
        let options = options(self.config, self.timing, self.session);
        let kept = Arc::new(MemoryJournal::new());
        let journal = Arc::clone(&kept) as Arc<dyn Journal>;
        let run = Run::standing(client(&devnet), Arc::new(devnet.clock()), journal, options);
        let handle = run.handle();
        (Live::of(devnet, run, self.session, kept), handle)
    }
}

/// What a run is to do.
pub(crate) struct Task {
    pub(crate) tasks: u64,
    pub(crate) worker: Arc<dyn Worker>,
    pub(crate) session: &'static str,
}

/// A run that goes on.
pub(crate) struct Live {
    pub(crate) devnet: Arc<Devnet>,
    pub(crate) stopper: CancellationToken,
    pub(crate) kept: Arc<MemoryJournal>,
    session: AppSessionId,
    running: JoinSet<Result<RunEnd, RunError>>,
    begun: Instant,
}

impl Live {
    pub(crate) fn begin(
        devnet: Arc<Devnet>,
        task: Task,
        options: RunOptions,
        journal: Arc<dyn Journal>,
        kept: Arc<MemoryJournal>,
    ) -> Self {
        let data = (0..task.tasks).map(|n| Ok(json!(n)));
        let clock = Arc::new(devnet.clock());
        let run = Run::new(client(&devnet), clock, journal, task.worker, Box::new(data), options);
        Self::of(devnet, run, task.session, kept)
    }

    fn of(devnet: Arc<Devnet>, run: Run, session: &str, kept: Arc<MemoryJournal>) -> Self {
        let session = AppSessionId::new(session);
        let stopper = run.stopper();
        let mut running = JoinSet::new();
        running.spawn(run.run());
        Self { devnet, stopper, kept, session, running, begun: Instant::now() }
    }

    pub(crate) fn provider(&self, name: &str) -> &ProviderHandle {
        self.devnet.provider(name).unwrap()
    }

    /// Waits until the journal shows this.
    pub(crate) async fn until(&self, is: impl Fn(&[Event]) -> bool) {
        wait_for("the journal to show it", || is(&self.kept.events())).await;
    }

    /// Waits until so many events are of this kind.
    pub(crate) async fn until_seen(&self, n: usize, is: impl Fn(&EventKind) -> bool) {
        self.until(|events| events.iter().filter(|event| is(&event.kind)).count() >= n).await;
    }

    /// Waits for the run's end, whatever it is.
    pub(crate) async fn result(mut self) -> (Result<RunEnd, RunError>, Played) {
        let joined = timeout(LONGEST, self.running.join_next()).await;
        assert!(joined.is_ok(), "the run doesn't end: {:#?}", self.kept.events());
        let result = joined.unwrap().unwrap().unwrap();
        let end = result.as_ref().ok().cloned();
        let played = Played {
            devnet: self.devnet,
            session: self.session,
            end,
            events: self.kept.events(),
            took: self.begun.elapsed(),
        };
        (result, played)
    }

    /// Waits for the run's end, which must be one.
    pub(crate) async fn end(self) -> Played {
        let (result, played) = self.result().await;
        result.unwrap();
        played
    }
}

/// A run that is over.
pub(crate) struct Played {
    pub(crate) devnet: Arc<Devnet>,
    pub(crate) session: AppSessionId,
    end: Option<RunEnd>,
    pub(crate) events: Vec<Event>,
    pub(crate) took: Duration,
}

impl Played {
    /// One of several lives.
    pub(crate) fn of(
        devnet: Arc<Devnet>,
        session: &str,
        end: Option<RunEnd>,
        events: Vec<Event>,
        took: Duration,
    ) -> Self {
        Self { devnet, session: AppSessionId::new(session), end, events, took }
    }

    pub(crate) fn end(&self) -> &RunEnd {
        self.end.as_ref().unwrap()
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &EventKind> {
        self.events.iter().map(|event| &event.kind)
    }

    pub(crate) fn count(&self, is: impl Fn(&EventKind) -> bool) -> usize {
        self.kinds().filter(|kind| is(kind)).count()
    }

    pub(crate) fn node(&self, name: &str) -> NodeId {
        self.devnet.provider(name).unwrap().node().clone()
    }

    /// Every task was done, and all that must hold at the end does.
    pub(crate) async fn assert_all_done(&self, tasks: u64) {
        let end = self.end();
        assert_eq!((end.done, end.failed, end.unfinished), (tasks, 0, 0), "{end:?}\n{:#?}", self.events);
        self.assert_sound().await;
    }

    /// What must hold at the end of every run: results once and right, books closed.
    pub(crate) async fn assert_sound(&self) {
        books::assert_results(self);
        books::assert_books_closed(self).await;
        assert_eq!(self.devnet.books().demands, 0, "a demand is still on the market");
    }
}

pub(crate) fn client(devnet: &Devnet) -> Client {
    let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
    Client::new(Arc::new(transport)).with_chance(fastrand::Rng::with_seed(7))
}

pub(crate) fn options(config: RunConfig, timing: Timing, session: &str) -> RunOptions {
    RunOptions::new(config, "erc20", "hoodi", AppSessionId::new(session)).timing(timing)
}

/// The settings of the `golem-tasks` binary, with a small budget.
pub(crate) fn config() -> RunConfig {
    let mut config = RunConfig::new(Payload::default(), "erc20-hoodi-tglm").workers(4);
    config.node_name = Some("scenario".into());
    config.strategy = within("2");
    config.budget = "2".parse().unwrap();
    config.idle_timeout = secs(600);
    config.settle_timeout = secs(120);
    config
}

/// The least expensive for at most so much an hour.
pub(crate) fn within(per_hour: &str) -> Arc<dyn Strategy> {
    Arc::new(LeastExpensive::new(PriceCaps::none().per_hour_at_most(per_hour.parse().unwrap())).cautious())
}

/// The least expensive, whatever that is.
pub(crate) fn at_any_price() -> Arc<dyn Strategy> {
    Arc::new(LeastExpensive::new(PriceCaps::none()).cautious())
}

/// Waits for a condition, a quarter of an hour of virtual time at the most.
pub(crate) async fn wait_for(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + secs(900);
    while !is() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
