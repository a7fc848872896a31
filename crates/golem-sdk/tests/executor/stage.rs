//! An executor on a devnet, and its orderly end.

use std::sync::Arc;
use std::time::Duration;

use golem_core::event::{EventKind, RunEnd};
use golem_core::payload::Payload;
use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::{Devnet, DevnetBuilder};
use golem_devnet::provider::{Prices, ProviderConfig};
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::executor::{
    CloseError, Executor, ExecutorBuilder, Finished, SubmitError, Submitted, Task, Tasks,
};
use golem_sdk::{ExecutionEnd, LeastExpensive, MemoryJournal, PriceCaps, Script, WorkContext, WorkerError};
use tokio::time::{Instant, sleep, timeout};
use yagna_client::{Client, InProcessTransport};

/// How long the command of a task takes.
pub(crate) const TASK_TAKES: Duration = Duration::from_secs(5);

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An honest provider: 0.036 GLM an hour, 0.36 GLM a CPU hour, nothing to start.
pub(crate) fn honest(name: &str) -> ProviderConfig {
    ProviderConfig::new(name).priced(Prices::per_hour("0", "0.36", "0.036").unwrap())
}

/// Commands of tasks: `work <n>` prints seven times `n` after five seconds.
pub(crate) fn scripted() -> ScriptedRuntime {
    ScriptedRuntime::new().when(|program, args| {
        let n: u64 = args.first().filter(|_| program == "work")?.parse().ok()?;
        Some(ScriptedAnswer::ok().taking(TASK_TAKES).stdout((n * 7).to_string()))
    })
}

/// Runs `work <n>` for a task.
pub(crate) async fn seven_times(ctx: &WorkContext, n: u64) -> Result<String, WorkerError> {
    let done = ctx.execute(Script::new().run("work", [n.to_string()]), secs(60)).await?;
    match done.end {
        ExecutionEnd::Done => Ok(done.results[0].stdout.as_ref().unwrap().to_text().into_owned()),
        end => Err(WorkerError::other(format!("`work {n}` ended as {end:?}"))),
    }
}

/// The simplest worker: seven times each number.
pub(crate) async fn sevens(ctx: WorkContext, mut tasks: Tasks<u64, String>) -> Result<(), WorkerError> {
    while let Some(task) = tasks.next().await {
        do_one(&ctx, task).await?;
    }
    Ok(())
}

pub(crate) async fn do_one(ctx: &WorkContext, task: Task<u64, String>) -> Result<(), WorkerError> {
    let result = seven_times(ctx, *task.data()).await?;
    task.accept_result(result).await;
    Ok(())
}

/// What came of a job, read to its end.
pub(crate) struct Outcome<T, R> {
    pub(crate) done: Vec<Finished<T, R>>,
    pub(crate) error: Option<SubmitError<T>>,
}

impl<T: Send + Sync + 'static, R: Send + 'static> Outcome<T, R> {
    pub(crate) async fn of(mut submitted: Submitted<T, R>) -> Self {
        let mut done = Vec::new();
        let reading = async {
            loop {
                match submitted.try_next().await {
                    Ok(Some(finished)) => done.push(finished),
                    Ok(None) => return None,
                    Err(error) => return Some(error),
                }
            }
        };
        let error = timeout(secs(4 * 3600), reading).await.expect("the job doesn't end");
        assert!(matches!(submitted.try_next().await, Ok(None)), "the end is the end");
        Self { done, error }
    }

    #[track_caller]
    pub(crate) fn error(&self) -> &SubmitError<T> {
        self.error.as_ref().unwrap()
    }
}

impl Outcome<u64, String> {
    /// Each of these numbers was done, once and right.
    #[track_caller]
    pub(crate) fn assert_sevens(&self, numbers: impl IntoIterator<Item = u64>) {
        assert!(self.error.is_none(), "{:?}", self.error);
        let mut done: Vec<u64> = self.done.iter().map(|task| *task.data()).collect();
        done.sort_unstable();
        assert_eq!(done, numbers.into_iter().collect::<Vec<_>>());
        for task in &self.done {
            assert_eq!(*task.result(), (task.data() * 7).to_string());
        }
    }
}

/// A devnet, an executor on it, and what the executor wrote down.
pub(crate) struct Stage {
    pub(crate) devnet: Arc<Devnet>,
    pub(crate) executor: Executor,
    pub(crate) journal: Arc<MemoryJournal>,
}

pub(crate) fn devnet(
    runtime: ScriptedRuntime,
    providers: impl IntoIterator<Item = ProviderConfig>,
) -> DevnetBuilder {
    let clock = DevnetClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let devnet = Devnet::builder().clock(clock).runtime(runtime);
    providers.into_iter().fold(devnet, DevnetBuilder::provider)
}

pub(crate) fn client(devnet: &Devnet) -> Client {
    let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
    Client::new(Arc::new(transport)).with_chance(fastrand::Rng::with_seed(7))
}

/// An executor to be on this devnet, with four workers and 2 GLM.
pub(crate) fn builder(devnet: &Devnet) -> ExecutorBuilder {
    Executor::builder(Payload::default())
        .client(client(devnet))
        .clock(Arc::new(devnet.clock()))
        .driver("erc20")
        .network("hoodi")
        .subnet_tag("public")
        .max_workers(4)
        .budget("2")
        .strategy(LeastExpensive::new(per_hour("4")))
        .configure(|config| config.settle_timeout = secs(120))
}

/// A cap for an hour, and none for anything else.
pub(crate) fn per_hour(glm: &str) -> PriceCaps {
    PriceCaps::none().per_hour_at_most(glm.parse().unwrap())
}

impl Stage {
    pub(crate) async fn new(names: &[&str]) -> Self {
        Self::with(names, |builder| builder).await
    }

    /// With other settings.
    pub(crate) async fn with(
        names: &[&str],
        change: impl FnOnce(ExecutorBuilder) -> ExecutorBuilder,
    ) -> Self {
        Self::on(scripted(), names.iter().map(|name| honest(name)), change).await
    }

    pub(crate) async fn on(
        runtime: ScriptedRuntime,
        providers: impl IntoIterator<Item = ProviderConfig>,
        change: impl FnOnce(ExecutorBuilder) -> ExecutorBuilder,
    ) -> Self {
        Self::at(Arc::new(devnet(runtime, providers).start().await.unwrap()), change).await
    }

    /// On a devnet that runs already.
    pub(crate) async fn at(
        devnet: Arc<Devnet>,
        change: impl FnOnce(ExecutorBuilder) -> ExecutorBuilder,
    ) -> Self {
        let journal = Arc::new(MemoryJournal::new());
        let builder = builder(&devnet).journal(Arc::clone(&journal) as _);
        let executor = change(builder).start().await.unwrap();
        Self { devnet, executor, journal }
    }

    pub(crate) fn count(&self, is: impl Fn(&EventKind) -> bool) -> usize {
        self.journal.events().iter().filter(|event| is(&event.kind)).count()
    }

    /// Waits until so many events are of this kind.
    pub(crate) async fn until_seen(&self, n: usize, is: impl Fn(&EventKind) -> bool) {
        wait_for("the journal to show it", || self.count(&is) >= n).await;
    }

    /// Closes the executor, which must end soon with nothing left open.
    pub(crate) async fn close(self) -> RunEnd {
        self.try_close().await.unwrap()
    }

    pub(crate) async fn try_close(self) -> Result<RunEnd, CloseError> {
        let begun = Instant::now();
        let ended = self.executor.close().await;
        assert!(begun.elapsed() < secs(200), "closing took {:?}", begun.elapsed());
        assert_all_ended(&self.devnet).await;
        ended
    }
}

/// Nothing is left open in the books.
pub(crate) async fn assert_all_ended(devnet: &Devnet) {
    // The other side hears of the end a moment later.
    wait_for("every activity to end", || devnet.books().running_activities().next().is_none()).await;
    let books = devnet.books();
    assert_eq!(books.open_agreements().count(), 0, "{:#?}", books.agreements);
    assert_eq!(books.demands, 0, "a demand is still on the market");
    assert!(books.allocations.iter().all(|row| row.released), "{:#?}", books.allocations);
}

/// Waits for a condition, a quarter of an hour of virtual time at the most.
pub(crate) async fn wait_for(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + secs(900);
    while !is() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
