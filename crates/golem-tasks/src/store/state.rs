//! The state from which a run is resumed: the fold of its events, read from its rows.
//!
//! Tasks, attempts and jobs are read from their tables: of what is over only counts, of what is open the rows. Everything
//! else is kept as it is (`record/kept.rs`). [`RunStore::state`] gives the same value as [`RunState::apply`] makes of the
//! run's events, but for moments of tasks and jobs, which are kept in whole microseconds.
//!
//! Left to others: what follows from it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use golem_core::event::{JobId, RentalId, TaskId};
use golem_core::state::{AttemptScript, OpenJob, OpenTask, Rental, RunState};
use serde::Deserialize;
use serde_json::Value;
use yagna_api::{AppSessionId, Timestamp};

use super::database::{Row, Statement, Transaction, damaged};
use super::read::status;
use super::record::RunStore;
use super::{ExplainedEnd, Store, StoreError, TaskStatus};
use crate::description::RunDescription;

/// A run as it was recorded when it began, and its end.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// The name of the run for people.
    pub run_id: String,
    /// The time at which it began.
    pub created: Timestamp,
    /// The session with which its agreements are confirmed.
    pub app_session: AppSessionId,
    /// The version of the program that began it.
    pub version: String,
    /// The work and its limits.
    pub job: Value,
    /// The time and the reason of its end, if it ended since it was last resumed.
    pub ended: Option<ExplainedEnd>,
}

impl RunRecord {
    /// The work and its limits, read.
    pub(crate) fn description(&self) -> Result<RunDescription, StoreError> {
        RunDescription::deserialize(&self.job)
            .map_err(|source| StoreError::Damaged { column: "job", source: Box::new(source) })
    }
}

/// A task as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTask {
    /// The task.
    pub task: TaskId,
    /// Its data.
    pub data: Value,
    /// Its attempts so far.
    pub attempts: u32,
}

impl Store {
    /// A run as it was recorded when it began; none where no run has that id.
    pub async fn run_record(&self, run_id: &str) -> Result<Option<RunRecord>, StoreError> {
        let found = Statement::new(
            "SELECT created_at, app_session, version, job, ended_at, finish FROM runs WHERE run_id = $1",
        )
        .text(run_id);
        let row = self.database.row(found).await.map_err(|source| self.failed("read the run", source))?;
        let Some(row) = row else { return Ok(None) };
        let end = row.optional_json("finish")?;
        let ended = end.map(|end| Ok::<_, StoreError>(ExplainedEnd { at: row.time("ended_at")?, end }));
        Ok(Some(RunRecord {
            run_id: run_id.to_owned(),
            created: row.time("created_at")?,
            app_session: AppSessionId::new(row.text("app_session")?),
            version: row.text("version")?,
            job: row.json("job")?,
            ended: ended.transpose()?,
        }))
    }
}

impl RunStore {
    /// All that the run knows of its earlier life, as of one moment: what was committed last. It is empty before
    /// anything was.
    ///
    /// It takes time for what is open and, much less, for counting what is over.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the row that each run has is missing.
    pub async fn state(&self) -> Result<RunState, StoreError> {
        let store = self.store();
        let failed = |source| store.failed("read the run", source);
        let mut transaction = store.database.read().await.map_err(failed)?;
        let Some(mut state) = read_kept(store, &mut transaction, self.run_no()).await? else {
            let missing = format!("run `{}` has no row", self.run_id());
            return Err(StoreError::Damaged { column: "states.run_no", source: missing.into() });
        };
        let mut reader = Reader { store, transaction, run_no: self.run_no() };
        let over = reader.jobs(&mut state).await?;
        reader.counts(&mut state).await?;
        reader.tasks(&mut state, &over).await?;
        reader.attempts(&mut state).await?;
        reader.done_by_activities(&mut state.rentals).await?;
        Ok(state)
    }

    /// The data of every task that another one added, one after the other.
    pub async fn added_tasks(&self, mut each: impl FnMut(Value) + Send) -> Result<(), StoreError> {
        let sql = "SELECT task_no, data, attempt FROM tasks WHERE run_no = $1 AND spawned = 1 AND task_no > $2 \
                   ORDER BY task_no LIMIT $3";
        let mut each = |task: StoredTask| each(task.data);
        self.each_task(sql, &mut each).await
    }

    /// The data of every task that came from the source of the run's own job, one after the other in the order in which they
    /// were read.
    pub async fn source_tasks(&self, mut each: impl FnMut(Value) + Send) -> Result<(), StoreError> {
        let sql = "SELECT task_no, data, attempt FROM tasks \
                   WHERE run_no = $1 AND job_no = 0 AND spawned = 0 AND task_no > $2 ORDER BY task_no LIMIT $3";
        let mut each = |task: StoredTask| each(task.data);
        self.each_task(sql, &mut each).await
    }

    /// Every task of the run's own job that failed for good, one after the other.
    pub async fn failed_tasks(&self, mut each: impl FnMut(StoredTask) + Send) -> Result<(), StoreError> {
        let sql = "SELECT task_no, data, attempt FROM tasks \
                   WHERE run_no = $1 AND job_no = 0 AND status = 'failed' AND task_no > $2 ORDER BY task_no LIMIT $3";
        self.each_task(sql, &mut each).await
    }

    /// The number and the data of every task with a result, one after the other.
    pub async fn done_tasks(&self, mut each: impl FnMut(u64, Value) + Send) -> Result<(), StoreError> {
        let sql = "SELECT task_no, data, attempt FROM tasks WHERE run_no = $1 AND status = 'done' AND task_no > $2 \
                   ORDER BY task_no LIMIT $3";
        let mut each = |task: StoredTask| each(task.task.0, task.data);
        self.each_task(sql, &mut each).await
    }

    /// Every task of the run with its status, one after the other.
    pub async fn all_tasks(
        &self,
        mut each: impl FnMut(StoredTask, TaskStatus) + Send,
    ) -> Result<(), StoreError> {
        let sql = "SELECT task_no, data, attempt, status FROM tasks WHERE run_no = $1 AND task_no > $2 \
                   ORDER BY task_no LIMIT $3";
        self.each_row(sql, &mut |task: StoredTask, row: &Row| {
            each(task, status(row)?);
            Ok(())
        })
        .await
    }

    async fn each_task(
        &self,
        sql: &'static str,
        each: &mut (dyn FnMut(StoredTask) + Send),
    ) -> Result<(), StoreError> {
        self.each_row(sql, &mut |task: StoredTask, _: &Row| {
            each(task);
            Ok(())
        })
        .await
    }

    async fn each_row(
        &self,
        sql: &'static str,
        each: &mut (dyn FnMut(StoredTask, &Row) -> Result<(), StoreError> + Send),
    ) -> Result<(), StoreError> {
        const AT_ONCE: i64 = 4096;
        let store = self.store();
        let mut last = -1;
        loop {
            let next = Statement::new(sql).int(self.run_no()).int(last).int(AT_ONCE);
            let rows = store.database.rows(next).await;
            let rows = rows.map_err(|source| store.failed("read the tasks", source))?;
            let Some(newest) = rows.last() else { return Ok(()) };
            last = newest.int("task_no")?;
            for row in &rows {
                let task = StoredTask {
                    task: TaskId(row.unsigned("task_no")?),
                    data: row.json("data")?,
                    attempts: attempt_number(row, "attempt")?,
                };
                each(task, row)?;
            }
        }
    }
}

/// Reads the part of the state that is stored as it is: everything but tasks, jobs and counts. None of a run that was
/// made before it was kept.
pub(super) async fn read_kept(
    store: &Store,
    transaction: &mut Transaction,
    run_no: i64,
) -> Result<Option<RunState>, StoreError> {
    let failed = |source| store.failed("read the run", source);
    let kept = Statement::new("SELECT body FROM states WHERE run_no = $1").int(run_no);
    let Some(row) = transaction.row(kept).await.map_err(failed)? else {
        return Ok(None);
    };
    let mut state: RunState = row.json("body")?;
    let rentals = Statement::new("SELECT rental_no, body FROM open_rentals WHERE run_no = $1").int(run_no);
    for row in transaction.rows(rentals).await.map_err(failed)? {
        state.rentals.insert(rental(&row)?, row.json("body")?);
    }
    let scripts = Statement::new(
        "SELECT rental_no, body FROM scripts WHERE run_no = $1 ORDER BY run_no, rental_no, script_no",
    )
    .int(run_no);
    for row in transaction.rows(scripts).await.map_err(failed)? {
        let script: AttemptScript = row.json("body")?;
        let rental = state.rentals.get_mut(&rental(&row)?);
        let activity = rental.and_then(|rental| rental.activities.last_mut());
        activity.ok_or_else(|| damaged("rental_no", "a script is in no activity"))?.scripts.push(script);
    }
    Ok(Some(state))
}

/// The rental of a row.
pub(super) fn rental(row: &Row) -> Result<RentalId, StoreError> {
    Ok(RentalId(row.unsigned("rental_no")?))
}

/// The number of the attempt that a row is about.
pub(super) fn attempt_number(row: &Row, column: &'static str) -> Result<u32, StoreError> {
    u32::try_from(row.int(column)?).map_err(|error| damaged(column, error))
}

/// Reads the parts of a state in one transaction.
struct Reader<'s> {
    store: &'s Store,
    transaction: Transaction,
    run_no: i64,
}

impl Reader<'_> {
    async fn rows(&mut self, sql: &'static str) -> Result<Vec<Row>, StoreError> {
        let rows = self.transaction.rows(Statement::new(sql).int(self.run_no)).await;
        rows.map_err(|source| self.store.failed("read the run", source))
    }

    /// Jobs that aren't over; answers with those that are. What a run left when it stopped isn't over.
    async fn jobs(&mut self, state: &mut RunState) -> Result<HashSet<JobId>, StoreError> {
        let mut over = HashSet::new();
        let rows = self
            .rows(
                "SELECT job_no, deadline_at, retries, exhausted_at, end_reason FROM jobs WHERE run_no = $1 \
                 ORDER BY job_no",
            )
            .await?;
        for row in rows {
            let job = JobId(row.unsigned("job_no")?);
            state.next_job = job.0.saturating_add(1);
            let reason = row.optional_text("end_reason")?;
            let is_over = reason.as_deref().is_some_and(|reason| reason != "stopped");
            if is_over {
                over.insert(job);
            }
            let can_be_reopened = job == JobId::FIRST && reason.as_deref() == Some("finished");
            if is_over && !can_be_reopened {
                continue;
            }
            let open = OpenJob {
                deadline: row.optional_time("deadline_at")?,
                retries: u32::try_from(row.int("retries")?).map_err(|error| damaged("retries", error))?,
                exhausted: row.optional_time("exhausted_at")?.is_some(),
                ..OpenJob::default()
            };
            if is_over {
                state.first_over = Some(open);
            } else {
                state.jobs.insert(job, open);
            }
        }
        Ok(over)
    }

    async fn counts(&mut self, state: &mut RunState) -> Result<(), StoreError> {
        let rows = self
            .rows(
                "SELECT job_no, status, count(*) AS n, sum(spawned) AS spawned, sum(no_result) AS no_result, max(task_no) AS newest FROM tasks \
                 WHERE run_no = $1 GROUP BY job_no, status",
            )
            .await?;
        for row in rows {
            let n = row.unsigned("n")?;
            state.next_task = state.next_task.max(row.unsigned("newest")?.saturating_add(1));
            let status = row.text("status")?;
            let (done, failed) = match status.as_str() {
                "done" => (n, 0),
                "failed" => (0, n),
                _ => (0, 0),
            };
            state.done += done;
            state.failed += failed;
            state.without_result += row.unsigned("no_result")?;
            let job = JobId(row.unsigned("job_no")?);
            let over = state.first_over.as_mut().filter(|_| job == JobId::FIRST);
            if let Some(job) = state.jobs.get_mut(&job).or(over) {
                job.read += n.saturating_sub(row.unsigned("spawned")?);
                job.done += done;
                job.failed += failed;
            }
        }
        Ok(())
    }

    async fn tasks(&mut self, state: &mut RunState, over: &HashSet<JobId>) -> Result<(), StoreError> {
        let rows = self
            .rows(
                "SELECT task_no, job_no, data, attempt, coalesce(reopened_at, added_at) AS since FROM tasks \
                 WHERE run_no = $1 AND status IN ('waiting', 'running')",
            )
            .await?;
        for row in rows {
            let job = JobId(row.unsigned("job_no")?);
            if over.contains(&job) {
                continue;
            }
            let open = OpenTask {
                job,
                data: Arc::new(row.json("data")?),
                attempts: attempt_number(&row, "attempt")?,
                failures: 0,
                failed_on: BTreeSet::new(),
                lost_on: BTreeSet::new(),
                wants_fresh: false,
                since: row.time("since")?,
                running: None,
            };
            state.tasks.insert(TaskId(row.unsigned("task_no")?), open);
        }
        Ok(())
    }

    /// The attempts of open tasks: those that go on, and those that failed.
    async fn attempts(&mut self, state: &mut RunState) -> Result<(), StoreError> {
        let rows = self
            .rows(
                "SELECT a.task_no, a.number, a.rental_no, a.outcome, a.failure_kind, a.ran_before, a.ended_at, r.provider_id FROM tasks AS t \
                 JOIN attempts AS a ON a.run_no = t.run_no AND a.task_no = t.task_no \
                 JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
                 WHERE t.run_no = $1 AND t.status IN ('waiting', 'running') \
                 AND (a.outcome IS NULL OR (a.number > t.forgiven AND (a.outcome = 'failed' \
                 OR (a.outcome = 'cancelled' AND a.failure_kind = 'lost')))) ORDER BY a.task_no, a.number",
            )
            .await?;
        for row in rows {
            let Some(task) = state.tasks.get_mut(&TaskId(row.unsigned("task_no")?)) else {
                continue;
            };
            if let Some(outcome) = row.optional_text("outcome")? {
                if row.optional_text("failure_kind")?.as_deref() == Some("lost") {
                    task.lost_on.insert(row.parsed("provider_id")?);
                }
                if outcome == "failed" {
                    task.failures += 1;
                    task.failed_on.insert(row.parsed("provider_id")?);
                    task.since = row.time("ended_at")?;
                    let is_last = task.attempts == attempt_number(&row, "number")?;
                    task.wants_fresh = is_last && row.int("ran_before")? > 0;
                }
            } else if task.attempts == attempt_number(&row, "number")? {
                task.running = Some(rental(&row)?);
            }
        }
        Ok(())
    }

    async fn done_by_activities(
        &mut self,
        rentals: &mut BTreeMap<RentalId, Rental>,
    ) -> Result<(), StoreError> {
        if rentals.is_empty() {
            return Ok(());
        }
        let rows = self
            .rows(
                "SELECT rental_no, activity_no, count(*) AS n FROM attempts WHERE run_no = $1 AND outcome = 'done' \
                 AND activity_no IS NOT NULL GROUP BY rental_no, activity_no",
            )
            .await?;
        for row in rows {
            let Some(rental) = rentals.get_mut(&rental(&row)?) else { continue };
            let place = usize::try_from(row.int("activity_no")? - 1);
            let place = place.map_err(|error| damaged("activity_no", error))?;
            if let Some(activity) = rental.activities.get_mut(place) {
                activity.done = row.unsigned("n")?;
            }
        }
        Ok(())
    }
}
