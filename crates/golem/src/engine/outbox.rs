//! Effects that wait until the events they rest on are durable.

use std::future::pending;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use golem_core::event::Event;
use golem_core::run::Effect;

use crate::journal::{Journal, JournalError};

type Committed = Result<(Vec<Event>, Vec<Effect>), JournalError>;

/// Collects events and effects, commits the events in groups, and gives the effects back once they may be sent.
pub(super) struct Outbox {
    journal: Arc<dyn Journal>,
    events: Vec<Event>,
    effects: Vec<Effect>,
    committing: Option<BoxFuture<'static, Committed>>,
}

impl Outbox {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        Self {
            journal,
            events: Vec::new(),
            effects: Vec::new(),
            committing: None,
        }
    }

    pub(super) fn push(&mut self, events: Vec<Event>, effects: Vec<Effect>) {
        self.events.extend(events);
        self.effects.extend(effects);
    }

    pub(super) fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// Begins to commit what has been collected, if nothing is being committed. `false` when there is nothing.
    pub(super) fn commit_next(&mut self) -> bool {
        if self.committing.is_some() {
            return true;
        }
        if self.events.is_empty() && self.effects.is_empty() {
            return false;
        }
        let journal = Arc::clone(&self.journal);
        let events = std::mem::take(&mut self.events);
        let effects = std::mem::take(&mut self.effects);
        self.committing = Some(Box::pin(async move {
            if !events.is_empty() {
                journal.commit(&events).await?;
            }
            Ok((events, effects))
        }));
        true
    }

    /// Waits for the commit that is under way.
    ///
    /// **Cancel safety**: dropping the future leaves the commit under way.
    pub(super) async fn committed(&mut self) -> Committed {
        let Some(committing) = &mut self.committing else {
            return pending().await;
        };
        let committed = committing.await;
        self.committing = None;
        committed
    }
}
