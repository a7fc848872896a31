//! One run in several lives, on one network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, pending};
use golem_core::event::{Event, EventKind, RunEnd};
use golem_core::run::RunConfig;
use golem_core::state::RunState;
use golem_devnet::devnet::Devnet;
use golem_sdk::{Journal, JournalError, MemoryJournal, Run, RunError, TaskSource, Timing, Worker};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::stage::{Played, Stage, client, options, secs};

/// No life of a test may take longer, in virtual time.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// When a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// At this commit, before it is durable.
    BeforeCommit(u64),
    /// At this commit, once it is durable, before anything follows from it.
    AfterCommit(u64),
    /// After so long.
    After(Duration),
}

/// A journal that its process doesn't outlive.
#[derive(Debug)]
struct Dying {
    kept: Arc<MemoryJournal>,
    death: Option<Death>,
    commits: AtomicU64,
    dead: CancellationToken,
}

impl Journal for Dying {
    fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let commit = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
            if self.death != Some(Death::BeforeCommit(commit)) {
                self.kept.commit(events).await?;
            }
            if [Some(Death::BeforeCommit(commit)), Some(Death::AfterCommit(commit))].contains(&self.death) {
                self.dead.cancel();
                pending::<()>().await;
            }
            Ok(())
        })
    }
}

/// One run that may have several lives.
pub(crate) struct Lives {
    pub(crate) devnet: Arc<Devnet>,
    pub(crate) kept: Arc<MemoryJournal>,
    pub(crate) config: RunConfig,
    pub(super) timing: Timing,
    pub(super) session: &'static str,
    worker: Arc<dyn Worker>,
    tasks: u64,
    begun: Instant,
}

impl Lives {
    pub(crate) async fn of(stage: Stage) -> Self {
        Self {
            devnet: Arc::new(stage.devnet.start().await.unwrap()),
            kept: Arc::new(MemoryJournal::new()),
            config: stage.config,
            timing: stage.timing,
            session: stage.session,
            worker: stage.worker,
            tasks: stage.tasks,
            begun: Instant::now(),
        }
    }

    pub(crate) fn state(&self) -> RunState {
        let mut state = RunState::default();
        for event in self.kept.events() {
            state.apply(&event);
        }
        state
    }

    /// A life that ends by this death, or `Some` if it comes to its own end before.
    pub(crate) async fn live(&self, death: Option<Death>) -> Option<Result<RunEnd, RunError>> {
        self.live_until(death, pending()).await
    }

    /// A life that is cancelled after a while, and comes to its end.
    pub(crate) async fn live_and_stop_after(&self, time: Duration) -> RunEnd {
        let run = self.run(None, &CancellationToken::new());
        let stopper = run.stopper();
        let stopping = async {
            sleep(time).await;
            stopper.cancel();
        };
        tokio::join!(run.run(), stopping).0.unwrap()
    }

    /// A life that ends by this death, or with this, or comes to its own end before.
    pub(crate) async fn live_until(
        &self,
        death: Option<Death>,
        end: impl Future<Output = ()>,
    ) -> Option<Result<RunEnd, RunError>> {
        let dead = CancellationToken::new();
        let run = self.run(death, &dead);
        let after = match death {
            Some(Death::After(after)) => after,
            _ => LONGEST,
        };
        tokio::select! {
            biased;
            () = dead.cancelled() => None,
            () = end => None,
            ended = timeout(after, run.run()) => {
                assert!(ended.is_ok() || after < LONGEST, "the run doesn't end: {:#?}", self.kept.events());
                ended.ok()
            }
        }
    }

    pub(super) fn run(&self, death: Option<Death>, dead: &CancellationToken) -> Run {
        let kept = Arc::clone(&self.kept);
        let journal = Dying { kept, death, commits: AtomicU64::new(0), dead: dead.clone() };
        let source: TaskSource = Box::new((0..self.tasks).map(|n| Ok(json!(n))));
        let options = options(self.config.clone(), self.timing, self.session);
        let (clock, worker) = (Arc::new(self.devnet.clock()), Arc::clone(&self.worker));
        let run = Run::new(client(&self.devnet), clock, Arc::new(journal), worker, source, options);
        run.resumed(self.state())
    }

    /// Lives until the run has come to its own end, whatever the daemon does meanwhile.
    pub(crate) async fn live_on(&self) -> RunEnd {
        for _ in 0..50 {
            match self.live(None).await {
                Some(Ok(end)) => return end,
                // The daemon failed when the life began.
                Some(Err(error)) => tracing::debug!(%error, "not resumed"),
                None => {}
            }
            sleep(secs(30)).await;
        }
        panic!("the run can't be resumed");
    }

    pub(crate) fn played(&self, end: RunEnd) -> Played {
        let (devnet, events) = (Arc::clone(&self.devnet), self.kept.events());
        Played::of(devnet, self.session, Some(end), events, self.begun.elapsed())
    }

    pub(crate) fn count(&self, is: impl Fn(&EventKind) -> bool) -> usize {
        self.kept.events().iter().filter(|event| is(&event.kind)).count()
    }
}
