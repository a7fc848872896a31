//! The one place where a run's state changes: an event is applied to it and put into the step at once.

use std::collections::BTreeMap;

use yagna_api::Timestamp;

use super::Step;
use crate::event::{Event, EventKind, RentalId};
use crate::state::{Rental, RunState};

/// The state of a run, and the rentals that it no longer holds.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// What survives a crash. [`Step::emit`] alone changes it.
    pub(super) state: RunState,
    /// Settled rentals, and those that never came about, for as long as the run keeps them: a bill may still come for one.
    /// They may be lost in a crash.
    over: BTreeMap<RentalId, Rental>,
}

impl Books {
    pub(super) fn new(state: RunState) -> Self {
        Self { state, over: BTreeMap::new() }
    }

    /// A rental, settled or not.
    pub(super) fn rental(&self, id: RentalId) -> Option<&Rental> {
        self.state.rentals.get(&id).or_else(|| self.over.get(&id))
    }

    /// Drops a rental that the state no longer holds.
    pub(super) fn forget(&mut self, id: RentalId) {
        self.over.remove(&id);
    }

    /// Takes an event in.
    pub(super) fn apply(&mut self, event: &Event) {
        let about = event.kind.rental();
        if let Some(over) = about.and_then(|id| self.over.get_mut(&id)) {
            over.apply(event.at, &event.kind);
        }
        if let Some((id, over)) = about.zip(self.state.settling(event)) {
            self.over.insert(id, over);
        }
    }
}

impl Step {
    /// Records what has happened: applies it to the state, and puts it into the step.
    pub(super) fn emit(&mut self, books: &mut Books, at: Timestamp, kind: EventKind) {
        let event = Event { at, kind };
        books.apply(&event);
        self.events.push(event);
    }
}
