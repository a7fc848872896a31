//! Effects that wait until the events they rest on are durable.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use golem_core::event::Event;
use golem_core::run::Effect;
use tokio_util::task::AbortOnDropHandle;

use crate::journal::{Journal, JournalError};

/// Events that may wait for a commit before no more tasks are read: work can be quicker than the journal, and what waits is
/// held in memory.
const MOST_EVENTS: usize = 4096;

/// Collects events and effects, commits the events in groups, and gives the effects back once they may be sent.
pub(super) struct Outbox {
    journal: Arc<dyn Journal>,
    events: Vec<Event>,
    effects: Vec<Effect>,
    committing: Option<Committing>,
}

struct Committing {
    events: Arc<Vec<Event>>,
    effects: Vec<Effect>,
    /// It goes on by itself, whatever the engine does meanwhile.
    done: AbortOnDropHandle<Result<(), JournalError>>,
}

impl Outbox {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal, events: Vec::new(), effects: Vec::new(), committing: None }
    }

    pub(super) fn push(&mut self, events: Vec<Event>, effects: Vec<Effect>) {
        self.events.extend(events);
        self.effects.extend(effects);
    }

    /// True if so much waits that no more work should be started before it is durable.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() > MOST_EVENTS
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
        let events = Arc::new(std::mem::take(&mut self.events));
        let effects = std::mem::take(&mut self.effects);
        let to_commit = Arc::clone(&events);
        let done = AbortOnDropHandle::new(tokio::spawn(async move {
            if to_commit.is_empty() { Ok(()) } else { journal.commit(&to_commit).await }
        }));
        self.committing = Some(Committing { events, effects, done });
        true
    }

    /// Waits for the commit that is under way. After an error its effects are still held here.
    ///
    /// **Cancel safety**: dropping the future leaves the commit under way.
    pub(super) async fn committed(&mut self) -> Result<(Arc<Vec<Event>>, Vec<Effect>), JournalError> {
        let Some(committing) = &mut self.committing else {
            return pending().await;
        };
        let result = match (&mut committing.done).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(error) => Err(JournalError { place: "the journal".to_owned(), source: error.into() }),
            },
        };
        let (events, effects) =
            self.committing.take().map(|done| (done.events, done.effects)).unwrap_or_default();
        match result {
            Ok(()) => Ok((events, effects)),
            Err(error) => {
                self.effects.splice(0..0, effects);
                Err(error)
            }
        }
    }

    /// Gives up: what was never sent, because the events it rests on aren't durable.
    pub(super) fn abandon(&mut self) -> Vec<Effect> {
        let mut effects = self.committing.take().map(|committing| committing.effects).unwrap_or_default();
        effects.append(&mut self.effects);
        self.events.clear();
        effects
    }
}
