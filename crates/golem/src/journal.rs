//! Where a run's events are made durable before anything follows from them.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use golem_core::event::Event;

/// Keeps the events of one run.
///
/// The engine calls it from one place, one call at a time, in the order of what happened.
pub trait Journal: Send + Sync + fmt::Debug {
    /// Makes these events durable, all of them or none. Once it returns `Ok`, they survive a kill.
    fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>>;
}

/// The events could not be made durable.
///
/// The engine stops the run: it never sends what it couldn't write down.
#[derive(Debug, thiserror::Error)]
#[error("the run's events can't be written to {place}")]
pub struct JournalError {
    /// Where they should have gone.
    pub place: String,
    /// What went wrong there.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// A journal in memory: for tests, and for programs that don't need their runs to survive.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Vec<Event>>);

impl MemoryJournal {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Journal for MemoryJournal {
    fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(events);
            Ok(())
        })
    }
}
