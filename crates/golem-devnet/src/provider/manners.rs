//! The switches of a running provider: its behaviour, and its presence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::Behaviour;

/// The presence of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It works.
    Here,
    /// It neither hears nor says anything, but what runs goes on.
    Frozen,
    /// Its agent is gone. What runs goes on, and its offer stays on the market.
    Headless,
    /// It is gone, and all that ran with it.
    Gone,
}

impl Presence {
    /// True if nobody is there who would do business.
    pub(crate) fn is_away(self) -> bool {
        matches!(self, Self::Headless | Self::Gone)
    }
}

/// The switches of one provider, shared by its tasks, its runtime and its handles.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    behaviour: Arc<watch::Sender<Behaviour>>,
    presence: Arc<watch::Sender<Presence>>,
    commands: Arc<AtomicU64>,
    published: Arc<watch::Sender<bool>>,
    /// The number of times that its daemon was started again.
    daemons: Arc<watch::Sender<u64>>,
}

impl Manners {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour: Arc::new(watch::Sender::new(behaviour)),
            presence: Arc::new(watch::Sender::new(Presence::Here)),
            commands: Arc::default(),
            published: Arc::new(watch::Sender::new(false)),
            daemons: Arc::new(watch::Sender::new(0)),
        }
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        self.behaviour.borrow().clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        self.behaviour.send_modify(change);
    }

    /// Tells of each later change of the behaviour.
    pub(crate) fn changes(&self) -> watch::Receiver<Behaviour> {
        self.behaviour.subscribe()
    }

    pub(crate) fn presence(&self) -> Presence {
        *self.presence.borrow()
    }

    pub(crate) fn set_presence(&self, presence: Presence) {
        if presence.is_away() {
            self.commands.store(0, Ordering::Relaxed);
            self.published.send_replace(false);
        }
        self.presence.send_replace(presence);
    }

    /// Counts a command, and gives the number of commands before it since the provider came.
    pub(crate) fn count_command(&self) -> u64 {
        self.commands.fetch_add(1, Ordering::Relaxed)
    }

    /// Says that the provider's offer is on the market.
    pub(crate) fn set_published(&self) {
        self.published.send_replace(true);
    }

    /// Waits until the provider's offer is on the market.
    pub(crate) async fn published(&self) {
        let mut published = self.published.subscribe();
        published
            .wait_for(|published| *published)
            .await
            .expect("the sender lives as long as the manners that wait for it");
    }

    /// Waits until the provider is there and listens.
    pub(crate) async fn here(&self) {
        self.wait_for(|presence| presence == Presence::Here).await;
    }

    /// Waits until the provider or its agent is gone, and says which.
    pub(crate) async fn away(&self) -> Presence {
        self.wait_for(Presence::is_away).await
    }

    /// Says that its daemon is started again.
    pub(crate) fn restart_daemon(&self) {
        self.daemons.send_modify(|times| *times += 1);
    }

    /// Tells of each later start of its daemon.
    pub(crate) fn daemon_restarts(&self) -> watch::Receiver<u64> {
        self.daemons.subscribe()
    }

    pub(crate) async fn wait_for(&self, wanted: impl Fn(Presence) -> bool) -> Presence {
        let mut presence = self.presence.subscribe();
        let found = presence.wait_for(|presence| wanted(*presence)).await;
        *found.expect("the sender lives as long as the manners that wait for it")
    }
}
