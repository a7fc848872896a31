//! Writing: the events of one run, batch by batch, each batch in one transaction.

mod kept;
mod notes;
mod offers;
mod rentals;
mod tasks;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use golem_core::event::{Event, EventKind};
use golem_sdk::journal::{Journal, JournalError};
use serde::Serialize;

use super::database::{Statement, Transaction, to_json};
use super::query::write_tallies;
use super::{Store, StoreError};

/// The place of one run in a store, and the engine's journal for it. Clones write to the same run.
#[derive(Debug, Clone)]
pub struct RunStore {
    store: Store,
    run_id: Arc<str>,
    run_no: i64,
    /// The lease under which this writes; 0 before anybody took one.
    lease_no: i64,
    kept: kept::Slot,
}

impl RunStore {
    pub(super) fn new(store: Store, run_id: &str, run_no: i64, lease_no: i64) -> Self {
        Self { store, run_id: Arc::from(run_id), run_no, lease_no, kept: kept::Slot::default() }
    }

    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The store that the run is kept in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn run_no(&self) -> i64 {
        self.run_no
    }

    pub(super) fn lease_no(&self) -> i64 {
        self.lease_no
    }

    /// Applies these events, all of them or none. Once it returns `Ok`, they survive a kill.
    ///
    /// An outcome of an attempt that is no longer its task's newest, or whose task has its end already, changes
    /// nothing. Dropped half-way, it applies nothing. When somebody else has taken the run since, nothing is applied
    /// and the error is [`StoreError::LeaseLost`].
    pub async fn apply(&self, events: &[Event]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let failed = |source| self.store.failed("write down what happened", source);
        let mut transaction = self.store.database.write().await.map_err(failed)?;
        let commit = self.next_commit(&mut transaction).await?.ok_or_else(|| self.lost())?;
        // Where somebody else wrote in between, or this is the first commit, it is read anew.
        let mut kept = match self.kept.after(commit - 1) {
            Some(kept) => Some(kept),
            None => kept::Kept::read(&self.store, &mut transaction, self.run_no).await?,
        };
        self.write(&mut transaction, events, kept.as_mut()).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.kept.put(commit, kept);
        Ok(())
    }

    /// True if the lease under which this writes is the newest one. It stays so until the transaction is over, and its
    /// holder has been heard of.
    pub(super) async fn is_ours(&self, transaction: &mut Transaction) -> Result<bool, sqlx::Error> {
        let heard = Statement::new("UPDATE leases SET heard_at = {now} WHERE run_no = $1 AND lease_no = $2")
            .int(self.run_no)
            .int(self.lease_no);
        Ok(transaction.execute(heard).await? > 0)
    }

    /// The number of this commit among all of the run; none when the lease isn't the newest any more, as above.
    async fn next_commit(&self, transaction: &mut Transaction) -> Result<Option<i64>, StoreError> {
        let heard = Statement::new(
            "UPDATE leases SET heard_at = {now}, commits = commits + 1 WHERE run_no = $1 AND lease_no = $2 \
             RETURNING commits",
        )
        .int(self.run_no)
        .int(self.lease_no);
        let row = transaction.row(heard).await;
        let row = row.map_err(|source| self.store.failed("write down what happened", source))?;
        row.map(|row| row.int("commits")).transpose()
    }

    pub(super) fn lost(&self) -> StoreError {
        StoreError::LeaseLost { run_id: self.run_id.to_string(), place: self.store.place.clone() }
    }

    async fn write(
        &self,
        transaction: &mut Transaction,
        events: &[Event],
        kept: Option<&mut kept::Kept>,
    ) -> Result<(), sqlx::Error> {
        let (tasks, notes) = (tasks::Pending::default(), Vec::new());
        let offers = offers::Pending::default();
        let mut batch = Batch { transaction, run_no: self.run_no, tasks, notes, offers, ends: false };
        for event in events {
            batch.add(event).await?;
        }
        batch.flush().await?;
        match kept {
            Some(kept) => kept.write(transaction, self.run_no, events).await,
            None => Ok(()),
        }
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
/// What comes in thousands, tasks and their attempts, is collected and written in few statements; rentals and bills are
/// few and written one by one. An attempt's row refers to its rental's, so the rentals come first.
struct Batch<'c, 'e> {
    transaction: &'c mut Transaction,
    run_no: i64,
    tasks: tasks::Pending<'e>,
    notes: Vec<notes::Note<'e>>,
    offers: offers::Pending<'e>,
    /// True if the run ends with it.
    ends: bool,
}

impl<'e> Batch<'_, 'e> {
    async fn add(&mut self, event: &'e Event) -> Result<(), sqlx::Error> {
        if let Some(note) = notes::Note::of(event) {
            self.notes.push(note);
        }
        self.offers.add(event);
        if let Some(change) = tasks::Change::of(event) {
            if !self.tasks.takes(&change) {
                self.tasks.write(self.transaction, self.run_no).await?;
            }
            self.tasks.add(&change);
            return Ok(());
        }
        if matches!(event.kind, EventKind::ActivityIntended { .. }) {
            // An attempt belongs to the activity that was the newest when it began.
            self.tasks.write(self.transaction, self.run_no).await?;
        }
        if rentals::write(self.transaction, self.run_no, event).await? {
            return Ok(());
        }
        self.write_run(event).await
    }

    async fn flush(mut self) -> Result<(), sqlx::Error> {
        self.tasks.write(self.transaction, self.run_no).await?;
        notes::write(self.transaction, self.run_no, &self.notes).await?;
        self.offers.write(self.transaction, self.run_no).await?;
        if self.ends {
            write_tallies(self.transaction, self.run_no).await?;
        }
        Ok(())
    }

    /// Writes the events of the run itself and of its jobs.
    async fn write_run(&mut self, event: &Event) -> Result<(), sqlx::Error> {
        let statement = match &event.kind {
            EventKind::Waiting { explanation } => {
                Statement::new("UPDATE runs SET waiting = $1 WHERE run_no = $2")
                    .json(to_json(explanation)?)
                    .int(self.run_no)
            }
            EventKind::PauseEnded => {
                // The result that it waited for is there.
                Statement::new("UPDATE runs SET waiting = NULL WHERE run_no = $1").int(self.run_no)
            }
            EventKind::Stopping { why } => Statement::new(
                "UPDATE runs SET status = CASE status WHEN 'ended' THEN status ELSE 'stopping' END, \
                 stopping_at = coalesce(stopping_at, $1), stop_reason = coalesce(stop_reason, $2) \
                 WHERE run_no = $3",
            )
            .time(event.at)
            .word(word(why)?)
            .int(self.run_no),
            EventKind::RunResumed { .. } => {
                let goes_on = "UPDATE jobs SET ended_at = NULL, end_reason = NULL, finish = NULL \
                     WHERE run_no = $1 AND end_reason = 'stopped'";
                self.transaction.execute(Statement::new(goes_on).int(self.run_no)).await?;
                Statement::new(
                    "UPDATE runs SET status = 'running', stopping_at = NULL, stop_reason = NULL, ended_at = NULL, \
                     finish = NULL, waiting = NULL WHERE run_no = $1",
                )
                .int(self.run_no)
            }
            EventKind::RunEnded { end } => {
                self.ends = true;
                Statement::new("UPDATE runs SET status = 'ended', finish = $1, ended_at = $2 WHERE run_no = $3")
                    .json(to_json(end)?)
                    .time(event.at)
                    .int(self.run_no)
            }
            EventKind::JobAdded { job, deadline, retries } => Statement::new(
                "INSERT INTO jobs (run_no, job_no, added_at, deadline_at, retries) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT DO NOTHING",
            )
            .int(self.run_no)
            .int(count(job.0)?)
            .time(event.at)
            .time(*deadline)
            .int(i64::from(*retries)),
            EventKind::SourceExhausted { job } => Statement::new(
                "UPDATE jobs SET exhausted_at = coalesce(exhausted_at, $1) WHERE run_no = $2 AND job_no = $3",
            )
            .time(event.at)
            .int(self.run_no)
            .int(count(job.0)?),
            EventKind::JobReopened { job } => Statement::new(
                "UPDATE jobs SET exhausted_at = NULL, ended_at = NULL, end_reason = NULL, finish = NULL \
                 WHERE run_no = $1 AND job_no = $2 AND (end_reason IS NULL OR end_reason IN ('finished', 'stopped'))",
            )
            .int(self.run_no)
            .int(count(job.0)?),
            EventKind::JobEnded { job, end } => Statement::new(
                "UPDATE jobs SET ended_at = $1, end_reason = $2, finish = $3 WHERE run_no = $4 AND job_no = $5",
            )
            .time(event.at)
            .word(word(&end.why)?)
            .json(to_json(end)?)
            .int(self.run_no)
            .int(count(job.0)?),
            // Everything else is about the market only, where it isn't ours to remember.
            _ => return Ok(()),
        };
        self.transaction.execute(statement).await?;
        Ok(())
    }
}

/// The stored form of numbers that count within a run.
fn count(number: u64) -> Result<i64, sqlx::Error> {
    i64::try_from(number).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// The word that a value of a simple kind has in records.
fn word(value: &impl Serialize) -> Result<String, sqlx::Error> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(sqlx::Error::Encode(format!("{other} is no word").into())),
        Err(error) => Err(sqlx::Error::Encode(error.into())),
    }
}
