//! Effects that wait until the events they rest on are durable.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use golem_core::event::{Event, EventKind};
use golem_core::run::Effect;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::journal::{Journal, JournalError};

/// Events that may wait for a commit before no more tasks are read: work can be quicker than the journal, and what waits is
/// held in memory.
const MOST_EVENTS: usize = 4096;

/// Events of tasks at work, on which no effect waits, are gathered for so long, and up to so many, before they are committed: a
/// worker that tells of a result asks for its next task in the same moment, and hears of its script's batch a little later.
const GATHERING: (Duration, usize) = (Duration::from_millis(5), 64);

/// Collects events and effects, commits the events in groups, and gives the effects back once they may be sent.
pub(super) struct Outbox {
    journal: Arc<dyn Journal>,
    events: Vec<Event>,
    effects: Vec<Effect>,
    /// The moment at which the oldest of these events came.
    since: Option<Instant>,
    /// True if one of these events isn't to wait for others.
    is_urgent: bool,
    committing: Option<Committing>,
    /// The commit that is under way: it goes on whatever the engine does meanwhile.
    work: JoinSet<Result<(), JournalError>>,
}

struct Committing {
    events: Arc<Vec<Event>>,
    effects: Vec<Effect>,
}

impl Outbox {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        Self {
            journal,
            events: Vec::new(),
            effects: Vec::new(),
            since: None,
            is_urgent: false,
            committing: None,
            work: JoinSet::new(),
        }
    }

    pub(super) fn push(&mut self, events: Vec<Event>, effects: Vec<Effect>) {
        if !events.is_empty() {
            self.since.get_or_insert_with(Instant::now);
            self.is_urgent |= !events.iter().all(|event| is_work(&event.kind));
        }
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

    /// The moment at which what has been gathered is to be committed, where that is to wait.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.filter(|_| self.committing.is_none()).map(|since| since + GATHERING.0)
    }

    /// Begins to commit what has been collected, if nothing is being committed and more need not be waited for.
    pub(super) fn commit_in_time(&mut self) {
        let may_wait = !self.is_urgent && self.effects.is_empty() && self.events.len() < GATHERING.1;
        if !may_wait || self.due().is_some_and(|due| due <= Instant::now()) {
            self.commit_next();
        }
    }

    /// Begins to commit what has been collected, if nothing is being committed. `false` when there is nothing.
    pub(super) fn commit_next(&mut self) -> bool {
        if self.committing.is_some() {
            return true;
        }
        if self.events.is_empty() && self.effects.is_empty() {
            return false;
        }
        self.since = None;
        self.is_urgent = false;
        let journal = Arc::clone(&self.journal);
        let events = Arc::new(std::mem::take(&mut self.events));
        let effects = std::mem::take(&mut self.effects);
        let to_commit = Arc::clone(&events);
        self.work.spawn(async move {
            if to_commit.is_empty() { Ok(()) } else { journal.commit(&to_commit).await }
        });
        self.committing = Some(Committing { events, effects });
        true
    }

    /// Waits for the commit that is under way. After an error its effects are still held here.
    ///
    /// **Cancel safety**: dropping the future leaves the commit under way.
    pub(super) async fn committed(&mut self) -> Result<(Arc<Vec<Event>>, Vec<Effect>), JournalError> {
        let Some(done) = self.work.join_next().await else {
            return pending().await;
        };
        let result = match done {
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
        self.work.abort_all();
        self.events.clear();
        self.since = None;
        self.is_urgent = false;
        effects
    }
}

/// True if an event is one of the many of tasks at work.
fn is_work(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::TaskStarted { .. }
            | EventKind::TaskDone { .. }
            | EventKind::BatchSent { .. }
            | EventKind::ScriptSent { .. }
            | EventKind::CommandFinished { .. }
            | EventKind::ScriptFinished { .. }
    )
}
