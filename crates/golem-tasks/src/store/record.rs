//! Writing: the events of one run, batch by batch, each batch in one transaction.

mod deals;
mod notes;
mod tasks;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use golem::journal::{Journal, JournalError};
use golem_core::event::{Event, EventKind};
use sqlx::SqliteConnection;
use yagna_api::Timestamp;

use super::{Store, StoreError};

/// The place of one run in a store, and the engine's journal for it. Clones write to the same run.
#[derive(Debug, Clone)]
pub struct RunStore {
    store: Store,
    run_id: Arc<str>,
    run_no: i64,
}

impl RunStore {
    pub(super) fn new(store: Store, run_id: String, run_no: i64) -> Self {
        Self { store, run_id: Arc::from(run_id), run_no }
    }

    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The store that the run is kept in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Applies these events, all of them or none. Once it returns `Ok`, they survive a kill.
    ///
    /// An outcome of an attempt that is no longer its task's newest, or whose task has its end already, changes
    /// nothing. Dropped half-way, it applies nothing.
    pub async fn apply(&self, events: &[Event]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        self.try_apply(events).await.map_err(|source| self.store.failed("write down what happened", source))
    }

    async fn try_apply(&self, events: &[Event]) -> Result<(), sqlx::Error> {
        // IMMEDIATE: a transaction that began as a reader can't wait for another writer, it fails.
        let mut transaction = self.store.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut batch = Batch {
            connection: &mut transaction,
            run_no: self.run_no,
            tasks: tasks::Pending::default(),
            notes: Vec::new(),
        };
        for event in events {
            batch.add(event).await?;
        }
        batch.flush().await?;
        transaction.commit().await
    }
}

impl Journal for RunStore {
    fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.apply(events)
                .await
                .map_err(|source| JournalError { place: self.store.place.clone(), source: Box::new(source) })
        })
    }
}

/// One commit under way.
///
/// What comes in thousands, tasks and their tries, is collected and written in few statements; deals and bills are
/// few and written one by one. A try's row refers to its deal's, so the deals come first.
struct Batch<'c, 'e> {
    connection: &'c mut SqliteConnection,
    run_no: i64,
    tasks: tasks::Pending<'e>,
    notes: Vec<notes::Note<'e>>,
}

impl<'e> Batch<'_, 'e> {
    async fn add(&mut self, event: &'e Event) -> Result<(), sqlx::Error> {
        if let Some(note) = notes::Note::of(event) {
            self.notes.push(note);
        }
        if let Some(change) = tasks::Change::of(event) {
            if !self.tasks.takes(&change) {
                self.tasks.write(self.connection, self.run_no).await?;
            }
            self.tasks.add(&change);
            return Ok(());
        }
        if deals::write(self.connection, self.run_no, event).await? {
            return Ok(());
        }
        self.write_run(event).await
    }

    async fn flush(mut self) -> Result<(), sqlx::Error> {
        self.tasks.write(self.connection, self.run_no).await?;
        notes::write(self.connection, self.run_no, &self.notes).await
    }

    /// What happens to the run itself.
    async fn write_run(&mut self, event: &Event) -> Result<(), sqlx::Error> {
        let query = match &event.kind {
            EventKind::Waiting { explanation } => {
                sqlx::query("UPDATE run SET waiting = ? WHERE run_no = ?").bind(json(explanation)?)
            }
            EventKind::Stopping { .. } => {
                sqlx::query("UPDATE run SET status = ? WHERE run_no = ? AND status = 'running'")
                    .bind("stopping")
            }
            EventKind::RunEnded { end } => {
                sqlx::query("UPDATE run SET status = 'ended', finish = ?, ended_at = ? WHERE run_no = ?")
                    .bind(json(end)?)
                    .bind(micros(event.at))
            }
            // Everything else is a note or is about the market only, where it isn't ours to remember.
            _ => return Ok(()),
        };
        query.bind(self.run_no).execute(&mut *self.connection).await?;
        Ok(())
    }
}

/// How instants are stored.
fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// How numbers that count within a run are stored.
fn count(number: u64) -> Result<i64, sqlx::Error> {
    i64::try_from(number).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn json(value: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}
