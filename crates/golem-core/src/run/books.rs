//! The one place where a run's state changes: an event is applied to it and put into the step at once.

use std::collections::BTreeMap;

use yagna_api::{NodeId, Timestamp};

use super::input::Step;
use crate::event::{Attempt, Event, EventKind, JobId, RentalId};
use crate::state::{OpenTask, Rental, RunState};
use crate::tasks::TaskQueue;

/// The state of a run, and the rentals that it no longer holds.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// The part of the run that survives a crash. [`Step::emit`] alone changes it.
    pub(super) state: RunState,
    /// Settled rentals, and those that never came about, for as long as the run keeps them: a bill may still come for one.
    /// They may be lost in a crash.
    over: BTreeMap<RentalId, Rental>,
    /// The order of the tasks in the state. It follows from the events, and begins anew with each process.
    pub(super) queue: TaskQueue,
}

impl Books {
    pub(super) fn new(state: RunState) -> Self {
        Self { queue: TaskQueue::of_state(&state), state, over: BTreeMap::new() }
    }

    /// A rental, settled or not.
    pub(super) fn rental(&self, id: RentalId) -> Option<&Rental> {
        self.state.rentals.get(&id).or_else(|| self.over.get(&id))
    }

    /// Finds one rental after the other, settled or not, by ascending ids: all of them in one pass.
    pub(super) fn ascending<'b>(&'b self) -> impl FnMut(RentalId) -> Option<&'b Rental> {
        let mut held = self.state.rentals.iter().peekable();
        let mut over = self.over.iter().peekable();
        move |id| {
            while held.next_if(|(other, _)| **other < id).is_some() {}
            while over.next_if(|(other, _)| **other < id).is_some() {}
            let found = held.next_if(|(other, _)| **other == id);
            found.or_else(|| over.next_if(|(other, _)| **other == id)).map(|(_, rental)| rental)
        }
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
        self.queue.follow(&self.state, &event.kind);
    }

    /// The task of an attempt that goes on; none of an old one, whose outcome must be dropped.
    pub(super) fn current(&self, attempt: Attempt) -> Option<&OpenTask> {
        self.queue.current(&self.state, attempt)
    }

    /// True if the job's source has no more tasks. So it is with a job that isn't there.
    pub(super) fn is_exhausted(&self, job: JobId) -> bool {
        self.queue.is_exhausted(&self.state, job)
    }

    /// True if every task of this job is finished, and its source has no more.
    pub(super) fn is_finished(&self, job: JobId) -> bool {
        self.queue.is_finished(&self.state, job)
    }

    /// True if a task of this job waits that this provider hasn't failed at.
    pub(super) fn has_use_for(&self, job: JobId, provider: &NodeId) -> bool {
        self.queue.has_use_for(&self.state, job, provider)
    }

    /// True if any task waits that this provider hasn't failed at.
    pub(super) fn has_any_use_for(&self, provider: &NodeId) -> bool {
        self.queue.has_any_use_for(&self.state, provider)
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
