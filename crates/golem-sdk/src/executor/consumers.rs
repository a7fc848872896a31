//! The consumers of an executor's events, each called in a task of its own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use yagna_api::Clock;

use super::watch::Watch;
use crate::consumer::EventConsumer;
use crate::run::Events;

/// The interval at which a consumer is told the time.
const TICK: Duration = Duration::from_secs(1);

/// Those that are called.
pub(super) struct Consumers {
    /// `None` once the executor's end waits for them.
    called: Mutex<Option<JoinSet<()>>>,
    watch: Arc<Watch>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
}

impl fmt::Debug for Consumers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumers").finish_non_exhaustive()
    }
}

impl Consumers {
    /// None yet. They will be called on the runtime that this is called on.
    pub(super) fn new(watch: Arc<Watch>, clock: Arc<dyn Clock>) -> Self {
        Self { called: Mutex::new(Some(JoinSet::new())), watch, clock, runtime: Handle::current() }
    }

    /// Calls it with what happens from now on. An executor that has ended has nothing to tell.
    pub(super) fn add(&self, consumer: Box<dyn EventConsumer>) {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(called) = called.as_mut() {
            let events = self.watch.events(consumer.wants_details());
            called.spawn_on(call(consumer, events, Arc::clone(&self.clock)), &self.runtime);
        }
    }

    /// All of them, to be waited for; nobody is added any more.
    pub(super) fn take(&self) -> JoinSet<()> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

async fn call(mut consumer: Box<dyn EventConsumer>, mut events: Events, clock: Arc<dyn Clock>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            happened = events.next() => {
                let Some(happened) = happened else { break };
                for event in happened.iter() {
                    consumer.on_event(event);
                }
            }
            _ = tick.tick() => consumer.on_tick(clock.now()),
        }
        let missed = events.missed();
        if missed > 0 {
            consumer.on_missed(missed);
        }
        // One that always has something to do must let others have their turn.
        tokio::task::yield_now().await;
    }
}
