//! The journal, where a run's events are made durable before anything follows from them.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use golem_core::event::Event;

/// Keeps the events of one run.
///
/// The engine calls it from one place, one call at a time, in the order of what happened. It waits for the answer before
/// it sends what follows from the events, so a slow journal makes a slow run; events that come meanwhile are committed
/// together.
///
/// # Example
///
/// A file with an event on each line:
/// ```
/// use futures_util::future::BoxFuture;
/// use golem_sdk::event::Event;
/// use golem_sdk::{Journal, JournalError};
/// use tokio::fs::File;
/// use tokio::io::AsyncWriteExt;
/// use tokio::sync::Mutex;
///
/// struct Lines(Mutex<File>);
///
/// impl Journal for Lines {
///     fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>> {
///         Box::pin(async move {
///             let write = async {
///                 let mut lines = Vec::new();
///                 for event in events {
///                     serde_json::to_writer(&mut lines, event)?;
///                     lines.push(b'\n');
///                 }
///                 let mut file = self.0.lock().await;
///                 file.write_all(&lines).await?;
///                 file.sync_data().await
///             };
///             let failed = |source: std::io::Error| JournalError {
///                 place: "the file of events".to_owned(),
///                 source: source.into(),
///             };
///             write.await.map_err(failed)
///         })
///     }
/// }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use golem_sdk::event::{EventKind, StopReason};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("events.jsonl");
/// # let journal = Lines(Mutex::new(File::create(&path).await?));
/// # let event = Event { at: "2026-01-01T12:00:00Z".parse()?, kind: EventKind::Stopping { why: StopReason::AllDone } };
/// # journal.commit(&[event.clone()]).await?;
/// # let back: Event = serde_json::from_str(&tokio::fs::read_to_string(&path).await?)?;
/// # assert_eq!(back, event);
/// # Ok(())
/// # }
/// ```
pub trait Journal: Send + Sync {
    /// Makes these events durable, all of them or none. Once it returns `Ok`, they survive a kill.
    ///
    /// **Errors**: [`JournalError`] ends the run: see there.
    fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>>;
}

impl fmt::Debug for dyn Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal")
    }
}

/// The events could not be made durable.
///
/// The engine stops the run: it never sends what it couldn't write down.
#[derive(Debug, thiserror::Error)]
#[error("the run's events can't be written to {place}")]
pub struct JournalError {
    /// The place where they should be stored.
    pub place: String,
    /// The error at that place.
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
