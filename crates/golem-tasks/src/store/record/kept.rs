//! The part of a run's state that is stored beside its tables, and how it follows the events.
//!
//! Tasks and jobs are in tables of their own, and their state is read from there. Everything else of a
//! [`RunState`], rentals above all, is kept as what [`RunState::apply`] makes of the events, so that what events mean is said
//! in one place only: a row for the run, one for each rental that isn't settled, one for each script that is under way.
//! Of these a commit writes those that it changes.
//!
//! To know what they change to, whoever writes has the same in memory ([`Kept`]). It grows with what is open, and
//! counts for one commit only: the number that each commit has tells whether anybody else wrote in between.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use golem_core::event::{Attempt, Event, EventKind, JobId, RentalId, TaskId};
use golem_core::state::{OpenTask, Rental, RunState};
use serde_json::Value as Json;

use super::count;
use crate::store::database::{Statement, Transaction, Value, to_json};
use crate::store::state::{attempt_number, read_kept, rental};
use crate::store::{Store, StoreError};

/// The state that the last commit left for the next one. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<(i64, Kept)>>>);

/// The stored part of a run's state, as it is after a commit.
#[derive(Debug)]
pub(super) struct Kept {
    /// The state; its tasks are only those in a worker's hands, without their data.
    state: RunState,
    /// The run's own row as it was written last.
    written: String,
    /// The number of stored scripts of each rental.
    scripts: HashMap<RentalId, usize>,
}

/// The changes that some events make.
#[derive(Default)]
struct Changes {
    of_run: bool,
    rentals: BTreeSet<RentalId>,
    /// Rentals with other scripts than before; `true` where those written before are of no more use.
    scripts: BTreeMap<RentalId, bool>,
}

impl Slot {
    /// The state after that commit, if nothing came since.
    pub(super) fn after(&self, commit: i64) -> Option<Kept> {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        left.filter(|(number, _)| *number == commit).map(|(_, kept)| kept)
    }

    pub(super) fn put(&self, commit: i64, kept: Option<Kept>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = kept.map(|kept| (commit, kept));
    }
}

impl Kept {
    /// Reads what there is; none of a run that was made before anything of this was kept.
    pub(super) async fn read(
        store: &Store,
        transaction: &mut Transaction,
        run_no: i64,
    ) -> Result<Option<Self>, StoreError> {
        let Some(mut state) = read_kept(store, transaction, run_no).await? else {
            return Ok(None);
        };
        let running = Statement::new(
            "SELECT t.task_no, t.attempt, a.rental_no FROM tasks AS t JOIN attempts AS a \
             ON a.run_no = t.run_no AND a.task_no = t.task_no AND a.number = t.attempt \
             WHERE t.run_no = $1 AND t.status = 'running'",
        )
        .int(run_no);
        let rows = transaction.rows(running).await.map_err(|source| store.failed("read the run", source))?;
        for row in rows {
            let task = TaskId(row.unsigned("task_no")?);
            let number = attempt_number(&row, "attempt")?;
            state.tasks.insert(task, in_hands(Attempt { task, number }, rental(&row)?));
        }
        let scripts = state.rentals.keys().map(|rental| (*rental, n_scripts(&state, *rental))).collect();
        let mut kept = Self { state, written: String::new(), scripts };
        kept.written = kept.of_run().map_err(|source| store.failed("read the run", source))?;
        Ok(Some(kept))
    }

    /// Takes events in and writes what they change.
    pub(super) async fn write(
        &mut self,
        transaction: &mut Transaction,
        run_no: i64,
        events: &[Event],
    ) -> Result<(), sqlx::Error> {
        let mut changes = Changes::default();
        for event in events {
            self.apply(event, &mut changes);
        }
        if changes.of_run {
            let body = self.of_run()?;
            if body != self.written {
                let changed = Statement::new("UPDATE states SET body = $2 WHERE run_no = $1");
                transaction.execute(changed.int(run_no).json(body.clone())).await?;
                self.written = body;
            }
        }
        self.write_rentals(transaction, run_no, &changes.rentals).await?;
        self.write_scripts(transaction, run_no, &changes.scripts).await
    }

    fn apply(&mut self, event: &Event, changes: &mut Changes) {
        let task = match &event.kind {
            // These are in columns.
            EventKind::TaskAdded { .. }
            | EventKind::TaskReopened { .. }
            | EventKind::JobAdded { .. }
            | EventKind::JobReopened { .. }
            | EventKind::SourceExhausted { .. }
            | EventKind::JobEnded { .. } => return,
            EventKind::TaskStarted { attempt, rental } => {
                let activity = self.state.rentals.get(rental).and_then(|rental| rental.activities.last());
                if activity.is_some_and(|activity| !activity.over && !activity.was_given) {
                    changes.rentals.insert(*rental);
                }
                self.state.tasks.insert(attempt.task, in_hands(*attempt, *rental));
                Some(attempt.task)
            }
            EventKind::TaskDone { attempt, output, .. } => {
                changes.of_run |= output.ends_run;
                Some(attempt.task)
            }
            EventKind::AttemptFailed { attempt, .. }
            | EventKind::AttemptCancelled { attempt, .. }
            | EventKind::TaskFailed { attempt, .. } => Some(attempt.task),
            EventKind::TaskCancelled { task } | EventKind::TaskExpired { task } => Some(*task),
            EventKind::BatchSent { rental, attempts, .. } => {
                if attempts.is_empty() {
                    changes.rentals.insert(*rental);
                }
                None
            }
            kind => {
                changes.of_run = true;
                changes.rentals.extend(kind.rental());
                None
            }
        };
        let rental = match task {
            Some(task) => self.state.tasks.get(&task).and_then(|task| task.running),
            None => event.kind.rental(),
        };
        let before = rental.map(|rental| n_scripts(&self.state, rental));
        self.state.apply(event);
        if let (Some(rental), Some(before)) = (rental, before) {
            let now = n_scripts(&self.state, rental);
            if now != before {
                *changes.scripts.entry(rental).or_default() |= now < before;
            }
        }
        // A task that is in nobody's hands any more is known from its row.
        if let Some(task) = task
            && self.state.tasks.get(&task).is_some_and(|task| task.running.is_none())
        {
            self.state.tasks.remove(&task);
        }
    }

    /// The run's own row: all but what has rows elsewhere.
    fn of_run(&mut self) -> Result<String, sqlx::Error> {
        let (tasks, rentals) =
            (std::mem::take(&mut self.state.tasks), std::mem::take(&mut self.state.rentals));
        (self.state.done, self.state.failed, self.state.without_result) = (0, 0, 0);
        let body = to_json(&self.state);
        (self.state.tasks, self.state.rentals) = (tasks, rentals);
        body
    }

    async fn write_rentals(
        &self,
        transaction: &mut Transaction,
        run_no: i64,
        changed: &BTreeSet<RentalId>,
    ) -> Result<(), sqlx::Error> {
        let (mut open, mut settled) = (Vec::new(), Vec::new());
        for rental in changed {
            let mut row = vec![Value::int(run_no), Value::int(count(rental.0)?)];
            match self.state.rentals.get(rental) {
                Some(rental) => {
                    row.push(Value::json(to_json(&of_rental(rental))?));
                    open.push(row);
                }
                None => settled.push(row),
            }
        }
        transaction
            .bulk(
                "INSERT INTO open_rentals (run_no, rental_no, body) SELECT column1, column2, column3 FROM {rows} \
                 WHERE true ON CONFLICT (run_no, rental_no) DO UPDATE SET body = excluded.body",
                &open,
            )
            .await?;
        transaction
            .bulk(
                "DELETE FROM open_rentals WHERE (run_no, rental_no) IN (SELECT column1, column2 FROM {rows})",
                &settled,
            )
            .await?;
        Ok(())
    }

    async fn write_scripts(
        &mut self,
        transaction: &mut Transaction,
        run_no: i64,
        changed: &BTreeMap<RentalId, bool>,
    ) -> Result<(), sqlx::Error> {
        let (mut useless, mut sent) = (Vec::new(), Vec::new());
        for (rental, cleared) in changed {
            let key = || Ok::<_, sqlx::Error>(vec![Value::int(run_no), Value::int(count(rental.0)?)]);
            let mut written = self.scripts.remove(rental).unwrap_or(0);
            if *cleared && written > 0 {
                useless.push(key()?);
                written = 0;
            }
            let current = self.state.rentals.get(rental).and_then(|rental| rental.activities.last());
            let Some(scripts) = current.map(|activity| &activity.scripts).filter(|list| !list.is_empty())
            else {
                continue;
            };
            for (number, script) in (1..).zip(scripts).skip(written) {
                let mut row = key()?;
                row.extend([Value::int(number), Value::json(to_json(script)?)]);
                sent.push(row);
            }
            self.scripts.insert(*rental, scripts.len());
        }
        transaction
            .bulk(
                "DELETE FROM scripts WHERE (run_no, rental_no) IN (SELECT column1, column2 FROM {rows})",
                &useless,
            )
            .await?;
        transaction
            .bulk(
                "INSERT INTO scripts (run_no, rental_no, script_no, body) \
                 SELECT column1, column2, column3, column4 FROM {rows}",
                &sent,
            )
            .await?;
        Ok(())
    }
}

/// A rental's row: all but what comes with every task.
fn of_rental(rental: &Rental) -> Rental {
    let mut rental = rental.clone();
    for activity in &mut rental.activities {
        activity.scripts.clear();
        activity.done = 0;
    }
    rental
}

/// A task in a worker's hands, as far as others than its own row depend on it.
fn in_hands(attempt: Attempt, rental: RentalId) -> OpenTask {
    OpenTask {
        // Its job is known from its row.
        job: JobId::FIRST,
        data: Arc::new(Json::Null),
        attempts: attempt.number,
        failures: 0,
        failed_on: BTreeSet::new(),
        lost_on: BTreeSet::new(),
        wants_fresh: false,
        since: yagna_api::Timestamp::UNIX_EPOCH,
        running: Some(rental),
    }
}

fn n_scripts(state: &RunState, rental: RentalId) -> usize {
    let activity = state.rentals.get(&rental).and_then(|rental| rental.activities.last());
    activity.map_or(0, |activity| activity.scripts.len())
}
