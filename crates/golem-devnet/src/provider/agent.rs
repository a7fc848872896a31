//! The life of one provider: it comes, does its business, is frozen, goes and comes again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use yagna_api::{Clock, NodeId, Timestamp};

use super::Behaviour;
use super::behaviour::Vanishing;
use super::config::ProviderConfig;
use super::manners::{Manners, Presence};
use super::market::{Market, WITHDRAWAL};
use super::poll::{Input, follow_activities, follow_agreements, follow_debit_notes, follow_invoices};
use super::saboteur::Saboteur;
use super::shared::Shared;
use crate::news::{HappeningKind, NewsDesk, Reporter};
use crate::port::Port;
use crate::runtime::Runtime;

/// The time that a provider may take to end its work.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// So many events may wait for the agent before those who bring them wait.
const INBOX: usize = 256;

/// A provider at work.
///
/// Dropping it ends it as a power cut would; [`Provider::stop`] is the orderly end.
#[derive(Debug)]
pub struct Provider {
    handle: ProviderHandle,
    cancel: CancellationToken,
    life: JoinSet<()>,
}

/// Changes one provider while it runs. Clones are of the same provider.
#[derive(Debug, Clone)]
pub struct ProviderHandle {
    config: Arc<ProviderConfig>,
    node: NodeId,
    manners: Manners,
}

impl Provider {
    /// Puts a provider to work at a daemon. `runtime` runs its commands where its settings name no other.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(
        config: ProviderConfig,
        port: Arc<dyn Port>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        Self::start_with_news(config, port, clock, runtime, NewsDesk::new())
    }

    /// Starts the agent, and reports its events to this desk.
    pub fn start_with_news(
        config: ProviderConfig,
        port: Arc<dyn Port>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
        desk: NewsDesk,
    ) -> Self {
        let manners = Manners::new(config.behaviour.clone());
        let config = Arc::new(config);
        let handle =
            ProviderHandle { config: Arc::clone(&config), node: port.node(), manners: manners.clone() };
        let news = Reporter::new(desk, Arc::clone(&clock), &config.name, port.node());
        let runtime = config.runtime.clone().unwrap_or(runtime);
        let runtime = Saboteur::new(runtime, manners.clone(), news.clone());
        let shared = Arc::new(Shared::new(config, port, clock, manners, runtime, news));
        let cancel = CancellationToken::new();
        let mut life = JoinSet::new();
        life.spawn(live(shared, cancel.clone()));
        Self { handle, cancel, life }
    }

    /// The handle that changes it while it runs.
    pub fn handle(&self) -> &ProviderHandle {
        &self.handle
    }

    /// Ends it: its offer is withdrawn, its exe-units are stopped, its agreements are left to their requestors.
    ///
    /// Returns when all of its tasks and processes have ended, after half a minute at most.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        let name = self.handle.name().to_owned();
        match timeout(STOP_PATIENCE, self.life.join_next()).await {
            Ok(Some(Err(failure))) if failure.is_panic() => {
                error!(provider = %name, %failure, "it has panicked");
            }
            Ok(_) => {}
            Err(_) => error!(provider = %name, "it didn't end in time"),
        }
        self.life.shutdown().await;
    }
}

impl ProviderHandle {
    /// Its display name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The configuration with which it was set up; its behaviour may have changed since.
    pub fn config(&self) -> &ProviderConfig {
        &self.config
    }

    /// Its node.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Its present behaviour.
    pub fn behaviour(&self) -> Behaviour {
        self.manners.behaviour()
    }

    /// Changes how it behaves from now on.
    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        self.manners.change(change);
    }

    /// Cuts its power: its exe-units are gone, and it answers nothing any more.
    pub fn kill(&self) {
        self.manners.set_presence(Presence::Gone);
    }

    /// Kills its agent, which is a process of its own: its exe-units work on and its offer stays on the market, but nobody
    /// answers, makes or ends activities, or sends bills.
    pub fn kill_agent(&self) {
        if !self.manners.presence().is_away() {
            self.manners.set_presence(Presence::Headless);
        }
    }

    /// Starts its daemon again. Exe-units end with their daemon; agreements, the offer and the agent live on.
    pub fn restart_daemon(&self) {
        self.manners.restart_daemon();
    }

    /// Lets it neither hear nor say anything until [`ProviderHandle::thaw`]. Commands that run go on.
    pub fn freeze(&self) {
        if self.manners.presence() == Presence::Here {
            self.manners.set_presence(Presence::Frozen);
        }
    }

    /// Ends a frost; what it missed it hears now.
    pub fn thaw(&self) {
        if self.manners.presence() == Presence::Frozen {
            self.manners.set_presence(Presence::Here);
        }
    }

    /// Brings it, or its agent, back, with a new offer and no memory of what was.
    pub fn restart(&self) {
        if self.manners.presence().is_away() {
            self.manners.set_presence(Presence::Here);
        }
    }

    /// Waits until its offer is on the market, the first one since it came.
    pub async fn published(&self) {
        self.manners.published().await;
    }

    /// True if its power is cut, or its agent is gone.
    pub fn is_gone(&self) -> bool {
        self.manners.presence().is_away()
    }
}

async fn live(shared: Arc<Shared>, cancel: CancellationToken) {
    loop {
        let away = tokio::select! {
            () = business(&shared, &cancel) => None,
            away = shared.manners.away() => Some(away),
        };
        match away {
            None => {
                shared.stop_units("the provider shuts down").await;
                return;
            }
            Some(Presence::Headless) => {
                info!(provider = %shared.config.name, "the provider's agent is gone");
                shared.news.tell(|| HappeningKind::AgentDied);
                // The next agent doesn't know of it.
                drop(shared.replace_offer(None));
            }
            Some(_) => {
                info!(provider = %shared.config.name, "the provider has vanished");
                shared.news.tell(|| HappeningKind::Vanished);
                shared.drop_units().await;
            }
        }
        if cancel.run_until_cancelled(come_back(&shared)).await.is_none() {
            shared.stop_units("the provider shuts down").await;
            return;
        }
    }
}

/// Does business until it is cancelled. Dropping it ends all its tasks.
async fn business(shared: &Arc<Shared>, cancel: &CancellationToken) {
    let (sender, mut inbox) = mpsc::channel(INBOX);
    let mut tasks = JoinSet::new();
    // Events before this life of the agent don't concern it.
    let since = shared.clock.now().checked_sub(Duration::from_secs(1)).unwrap_or(Timestamp::MIN);
    let (ours, to) = (Arc::clone(shared), sender.clone());
    tasks.spawn(async move { follow_agreements(&ours, since, to).await });
    let (ours, to) = (Arc::clone(shared), sender.clone());
    tasks.spawn(async move { follow_activities(&ours, since, to).await });
    let (ours, to) = (Arc::clone(shared), sender.clone());
    tasks.spawn(async move { follow_debit_notes(&ours, since, to).await });
    let (ours, to) = (Arc::clone(shared), sender.clone());
    tasks.spawn(async move { follow_invoices(&ours, since, to).await });
    tasks.spawn(vanish_in_time(shared.manners.clone()));
    let ours = Arc::clone(shared);
    tasks.spawn(async move { lose_units_with_the_daemon(&ours).await });
    let mut market = Market::new(Arc::clone(shared), sender, tasks);
    tokio::select! {
        never = trade(shared, &mut market, &mut inbox) => match never {},
        () = cancel.cancelled() => {}
    }
    if timeout(WITHDRAWAL, market.withdraw()).await.is_err() {
        info!(provider = %shared.config.name, "the offer couldn't be withdrawn in time");
    }
}

async fn trade(shared: &Shared, market: &mut Market, inbox: &mut mpsc::Receiver<Input>) -> Infallible {
    market.publish().await;
    loop {
        let input = tokio::select! {
            input = inbox.recv() => input,
            freed = market.reap() => {
                if freed {
                    market.renegotiate().await;
                }
                continue;
            }
        };
        // A frozen provider hears it later.
        shared.manners.here().await;
        if let Some(input) = input {
            market.on(input).await;
        }
    }
}

/// Waits until the provider is there again: by itself, if that is its way, or because it is told to.
async fn come_back(shared: &Shared) {
    let manners = &shared.manners;
    let gone = Instant::now();
    let mut changes = manners.changes();
    let mut presence = manners.presence();
    loop {
        let back = async {
            match manners.behaviour().returns_after {
                Some(time) => sleep_until(gone + time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = manners.here() => return,
            () = back => return manners.set_presence(Presence::Here),
            () = power_cut(manners), if presence == Presence::Headless => {
                presence = Presence::Gone;
                shared.drop_units().await;
            }
            changed = changes.changed() => changed.expect("the manners hold the sender"),
        }
    }
}

/// Waits until its power is cut, whoever is there to notice.
async fn power_cut(manners: &Manners) {
    manners.wait_for(|presence| presence == Presence::Gone).await;
}

/// Exe-units that lose their daemon end.
async fn lose_units_with_the_daemon(shared: &Shared) {
    let mut restarts = shared.manners.daemon_restarts();
    while restarts.changed().await.is_ok() {
        info!(provider = %shared.config.name, "the provider's daemon is started again");
        shared.kill_units().await;
    }
}

async fn vanish_in_time(manners: Manners) {
    let began = Instant::now();
    let mut changes = manners.changes();
    loop {
        let (time, presence) = match manners.behaviour().vanishes {
            Some(Vanishing::After(time)) => (Some(began + time), Presence::Gone),
            Some(Vanishing::AgentAfter(time)) => (Some(began + time), Presence::Headless),
            Some(Vanishing::AfterCommands(_)) | None => (None, Presence::Here),
        };
        let changed = async { changes.changed().await.is_ok() };
        match time {
            Some(time) => tokio::select! {
                () = sleep_until(time) => return manners.set_presence(presence),
                changed = changed => if !changed { return },
            },
            None => {
                if !changed.await {
                    return;
                }
            }
        }
    }
}
