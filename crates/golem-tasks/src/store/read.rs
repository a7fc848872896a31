//! Reading runs back, also while another process writes them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use golem_core::event::{FailureKind, Printed, TaskId};
use serde_json::Value;
use yagna_api::NodeId;

use super::database::{Row, Statement, Transaction, damaged};
use super::name::task_name;
use super::payments::{self, PaymentTotals};
use super::summary::{
    ExplainedEnd, FailedTask, LISTED, ProviderSummary, RefusedBill, RunSummary, TaskCounts,
};
use super::{Store, StoreError};

/// Tasks read at once.
const PAGE: i64 = 500;
/// The agreements and activities of a run that failed, by reason.
pub(super) const RENTALS_FAILED: &str = "SELECT f.reason, count(*) AS n FROM (\
     SELECT failure AS reason FROM rentals WHERE run_no = $1 AND failure IS NOT NULL \
     UNION ALL SELECT failure FROM activities WHERE run_no = $1 AND failure IS NOT NULL) AS f \
     GROUP BY f.reason";

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskStatus {
    /// It waits for an attempt.
    Waiting,
    /// It is being tried.
    Running,
    /// It has its result.
    Done,
    /// It failed for good.
    Failed,
    /// It was given up with its job.
    Cancelled,
    /// It wasn't finished when its job's deadline passed.
    Expired,
}

/// A task with what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Its number.
    pub task: TaskId,
    /// Its data.
    pub data: Value,
    /// Its present state.
    pub status: TaskStatus,
    /// The number of its attempts.
    pub attempts: u32,
    /// True if it is done and has no result.
    pub no_result: bool,
    /// Its result, if it is done.
    pub result: Option<Value>,
    /// Standard output of its commands.
    pub stdout: Printed,
    /// Standard error of its commands.
    pub stderr: Printed,
    /// The failure, if it failed.
    pub failure: Option<TaskFailureRow>,
    /// The provider that tried it last.
    pub provider: Option<String>,
    /// The time that its last attempt took, once it has ended.
    pub took: Option<Duration>,
}

/// The reason why a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFailureRow {
    /// The kind of failure.
    pub kind: FailureKind,
    /// In words.
    pub message: String,
}

impl Store {
    /// The id of the run that began last.
    pub async fn latest_run(&self) -> Result<Option<String>, StoreError> {
        let latest = Statement::new("SELECT run_id FROM runs ORDER BY run_no DESC LIMIT 1");
        let row =
            self.database.row(latest).await.map_err(|source| self.failed("find the latest run", source))?;
        row.map(|row| row.text("run_id")).transpose()
    }

    /// Sums up a run so far, all of it as of one moment.
    pub async fn run_summary(&self, run_id: &str) -> Result<RunSummary, StoreError> {
        let failed = |source| self.failed("read the run", source);
        let mut transaction = self.database.read().await.map_err(failed)?;
        let found = Statement::new(
            "SELECT run_no, created_at, ended_at, finish, waiting FROM runs WHERE run_id = $1",
        )
        .text(run_id);
        let run = transaction.row(found).await.map_err(failed)?.ok_or_else(|| self.no_such_run(run_id))?;
        let run_no = run.int("run_no")?;
        let mut summary = RunSummary::new(run_id, run.time("created_at")?);
        summary.waiting = run.optional_json("waiting")?;
        if let Some(end) = run.optional_json("finish")? {
            summary.ended = Some(ExplainedEnd { at: run.time("ended_at")?, end });
        }
        let mut reader = Reader { store: self, transaction: &mut transaction, run_no };
        summary.tasks = reader.task_counts().await?;
        summary.providers = reader.providers().await?;
        summary.cost = summary.providers.iter().map(|provider| provider.cost).sum();
        summary.payments = PaymentTotals::of_all(summary.providers.iter().map(|provider| &provider.payments));
        summary.unsettled = summary.providers.iter().map(|provider| provider.unsettled).sum();
        summary.sort_providers();
        summary.failures = reader.failures().await?;
        (summary.bills_refused, summary.refused_bills) = reader.refused_bills().await?;
        summary.offers_refused = reader.note_counts("offer_refused").await?;
        summary.refused_by_providers = reader.note_counts("refused_by_provider").await?;
        summary.rentals_failed = reader.rentals_failed().await?;
        Ok(summary)
    }

    /// All tasks of a run with their results, in order, read a page at a time.
    ///
    /// A task that comes to its end while the stream is read may be seen in either state.
    pub fn tasks<'a>(
        &'a self,
        run_id: &'a str,
    ) -> impl Stream<Item = Result<TaskRow, StoreError>> + Send + 'a {
        // Pages instead of one long query: that would keep the writer's log from being cleaned up.
        stream::try_unfold(None, move |place: Option<(i64, i64)>| async move {
            let (run_no, after) = match place {
                Some(place) => place,
                None => (self.run_no(run_id).await?, -1),
            };
            let page = self.task_page(run_no, after).await?;
            let next = page.last().map(|(task_no, _)| (run_no, *task_no));
            Ok::<_, StoreError>(next.map(|next| {
                let rows = page.into_iter().map(|(_, row)| Ok(row));
                (stream::iter(rows), Some(next))
            }))
        })
        .try_flatten()
        .boxed()
    }

    pub(super) async fn run_no(&self, run_id: &str) -> Result<i64, StoreError> {
        let found = Statement::new("SELECT run_no FROM runs WHERE run_id = $1").text(run_id);
        let row = self.database.row(found).await.map_err(|source| self.failed("find the run", source))?;
        row.ok_or_else(|| self.no_such_run(run_id))?.int("run_no")
    }

    async fn task_page(&self, run_no: i64, after: i64) -> Result<Vec<(i64, TaskRow)>, StoreError> {
        let page = Statement::new(
            "SELECT t.task_no, t.data, t.status, t.attempt, CAST(t.no_result AS bigint) AS no_result, t.result, t.stdout, t.stdout_bytes, t.stderr, t.stderr_bytes, t.failure_kind, \
             t.failure, a.took_us, r.provider_name FROM tasks AS t \
             LEFT JOIN attempts AS a ON a.run_no = t.run_no AND a.task_no = t.task_no AND a.number = t.attempt \
             LEFT JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
             WHERE t.run_no = $1 AND t.task_no > $2 ORDER BY t.task_no LIMIT $3",
        )
        .int(run_no)
        .int(after)
        .int(PAGE);
        let rows = self.database.rows(page).await.map_err(|source| self.failed("read the tasks", source))?;
        rows.iter().map(|row| Ok((row.int("task_no")?, task_row(row)?))).collect()
    }

    pub(super) fn no_such_run(&self, run_id: &str) -> StoreError {
        StoreError::NoSuchRun { run_id: run_id.to_owned(), place: self.place.clone(), nearest: Vec::new() }
    }
}

/// Reads the parts of a summary in one transaction.
struct Reader<'s, 'c> {
    store: &'s Store,
    transaction: &'c mut Transaction,
    run_no: i64,
}

impl Reader<'_, '_> {
    async fn rows(&mut self, sql: &'static str) -> Result<Vec<Row>, StoreError> {
        self.read(Statement::new(sql).int(self.run_no)).await
    }

    async fn read(&mut self, statement: Statement<'_>) -> Result<Vec<Row>, StoreError> {
        let rows = self.transaction.rows(statement).await;
        rows.map_err(|source| self.store.failed("read the run", source))
    }

    async fn task_counts(&mut self) -> Result<TaskCounts, StoreError> {
        let mut counts = TaskCounts::default();
        let rows =
            self
            .rows("SELECT status, count(*) AS n, sum(no_result) AS no_result FROM tasks WHERE run_no = $1 GROUP BY status")
            .await?;
        for row in rows {
            let n = row.unsigned("n")?;
            match status(&row)? {
                TaskStatus::Waiting => counts.waiting = n,
                TaskStatus::Running => counts.running = n,
                TaskStatus::Done => (counts.done, counts.no_result) = (n, row.unsigned("no_result")?),
                TaskStatus::Failed => counts.failed = n,
                TaskStatus::Cancelled => counts.cancelled = n,
                TaskStatus::Expired => counts.expired = n,
            }
        }
        Ok(counts)
    }

    async fn providers(&mut self) -> Result<Vec<ProviderSummary>, StoreError> {
        let mut providers: HashMap<NodeId, ProviderSummary> = HashMap::new();
        let mut by_rental: HashMap<i64, NodeId> = HashMap::new();
        let rentals = self
            .rows(
                "SELECT rental_no, provider_id, provider_name, approved_at, cost, final_bill FROM rentals \
                 WHERE run_no = $1 ORDER BY rental_no",
            )
            .await?;
        for row in rentals {
            let id: NodeId = row.parsed("provider_id")?;
            let name = row.text("provider_name")?;
            by_rental.insert(row.int("rental_no")?, id.clone());
            let provider =
                providers.entry(id.clone()).or_insert_with(|| ProviderSummary::new(id, String::new()));
            provider.name = name;
            let cost = row.money("cost")?;
            provider.cost = [provider.cost, cost].into_iter().sum();
            if row.optional_time("approved_at")?.is_some() {
                provider.agreements += 1;
                provider.unsettled += u64::from(row.optional_text("final_bill")?.is_none());
            }
        }
        let attempts = self
            .rows(
                "SELECT rental_no, outcome, count(*) AS n, CAST(sum(took_us) AS bigint) AS took_us FROM attempts \
                 WHERE run_no = $1 AND outcome IS NOT NULL GROUP BY rental_no, outcome",
            )
            .await?;
        for row in attempts {
            let rental_no = row.int("rental_no")?;
            let Some(provider) = by_rental.get(&rental_no).and_then(|id| providers.get_mut(id)) else {
                continue; // can't be: every attempt refers to a rental
            };
            let n = row.unsigned("n")?;
            match row.text("outcome")?.as_str() {
                "done" => provider.tasks_done += n,
                "failed" => provider.failed_attempts += n,
                _ => {}
            }
            provider.busy += micros(&row, "took_us")?.unwrap_or_default();
        }
        payments::add(&self.rows(payments::OF_RUN).await?, |id, totals| {
            if let Some(provider) = providers.get_mut(id) {
                provider.payments = Some(totals);
            }
        })?;
        // An agreement that was never approved, with no work done, is no provider of this run.
        Ok(providers.into_values().filter(ProviderSummary::took_part).collect())
    }

    async fn failures(&mut self) -> Result<Vec<FailedTask>, StoreError> {
        let rows = self
            .rows(
                "SELECT t.task_no, t.data, t.attempt, t.failure_kind, t.failure, t.stderr, t.stderr_bytes, r.provider_name, \
                 (SELECT count(*) FROM attempts AS b WHERE b.run_no = t.run_no AND b.task_no = t.task_no \
                 AND b.outcome = 'failed' AND b.number > t.forgiven) AS failures \
                 FROM tasks AS t \
                 LEFT JOIN attempts AS a ON a.run_no = t.run_no AND a.task_no = t.task_no AND a.number = t.attempt \
                 LEFT JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
                 WHERE t.run_no = $1 AND t.status = 'failed' ORDER BY t.task_no LIMIT 10",
            )
            .await?;
        rows.iter()
            .map(|row| {
                let task = row.unsigned("task_no")?;
                Ok(FailedTask {
                    task,
                    name: task_name(task, &row.json("data")?),
                    attempt: attempts(row)?,
                    tried: row.unsigned("failures")?.max(1),
                    provider: row.optional_text("provider_name")?,
                    kind: failure_kind(row)?,
                    message: row.text("failure")?,
                    stderr: row.printed("stderr", "stderr_bytes")?,
                })
            })
            .collect()
    }

    async fn refused_bills(&mut self) -> Result<(u64, Vec<RefusedBill>), StoreError> {
        let rows = self
            .rows(
                "SELECT b.amount, b.reason, r.provider_name, count(*) OVER () AS n FROM bills AS b \
                 LEFT JOIN rentals AS r ON r.run_no = b.run_no AND r.rental_no = b.rental_no \
                 WHERE b.run_no = $1 AND b.status = 'refused' ORDER BY b.decided_at, b.bill_id LIMIT 10",
            )
            .await?;
        let n = rows.first().map(|row| row.unsigned("n")).transpose()?.unwrap_or(0);
        let bills = rows
            .iter()
            .map(|row| {
                Ok(RefusedBill {
                    provider: row.optional_text("provider_name")?,
                    amount: row.money("amount")?,
                    reason: row.optional_text("reason")?.unwrap_or_default(),
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok((n, bills))
    }

    async fn note_counts(&mut self, kind: &'static str) -> Result<BTreeMap<String, u64>, StoreError> {
        let counted = Statement::new(
            "SELECT text AS reason, count(*) AS n FROM notes WHERE run_no = $1 AND kind = $2 GROUP BY text",
        )
        .int(self.run_no)
        .text(kind);
        reason_counts(&self.read(counted).await?)
    }

    async fn rentals_failed(&mut self) -> Result<BTreeMap<String, u64>, StoreError> {
        reason_counts(&self.rows(RENTALS_FAILED).await?)
    }
}

// `LIMIT 10` above.
const _: () = assert!(LISTED == 10);

pub(super) fn reason_counts(rows: &[Row]) -> Result<BTreeMap<String, u64>, StoreError> {
    rows.iter().map(|row| Ok((row.text("reason")?, row.unsigned("n")?))).collect()
}

pub(super) fn task_row(row: &Row) -> Result<TaskRow, StoreError> {
    let status = status(row)?;
    let failure = match status {
        TaskStatus::Failed => {
            Some(TaskFailureRow { kind: failure_kind(row)?, message: row.text("failure")? })
        }
        _ => None,
    };
    Ok(TaskRow {
        task: TaskId(row.unsigned("task_no")?),
        data: row.json("data")?,
        status,
        attempts: attempts(row)?,
        no_result: row.int("no_result")? > 0,
        result: row.optional_json("result")?,
        stdout: row.printed("stdout", "stdout_bytes")?,
        stderr: row.printed("stderr", "stderr_bytes")?,
        failure,
        provider: row.optional_text("provider_name")?,
        took: micros(row, "took_us")?,
    })
}

/// The status of a row's task.
pub(super) fn status(row: &Row) -> Result<TaskStatus, StoreError> {
    match row.text("status")?.as_str() {
        "waiting" => Ok(TaskStatus::Waiting),
        "running" => Ok(TaskStatus::Running),
        "done" => Ok(TaskStatus::Done),
        "failed" => Ok(TaskStatus::Failed),
        "cancelled" => Ok(TaskStatus::Cancelled),
        "expired" => Ok(TaskStatus::Expired),
        other => Err(damaged("status", format!("`{other}` is not a status"))),
    }
}

fn failure_kind(row: &Row) -> Result<FailureKind, StoreError> {
    let word = row.text("failure_kind")?;
    serde_json::from_value(Value::String(word)).map_err(|error| damaged("failure_kind", error))
}

fn attempts(row: &Row) -> Result<u32, StoreError> {
    u32::try_from(row.int("attempt")?).map_err(|error| damaged("attempt", error))
}

fn micros(row: &Row, column: &'static str) -> Result<Option<Duration>, StoreError> {
    let took = row.optional_int(column)?;
    // A clock that was set back must not make an attempt take less than no time.
    Ok(took.map(|took| Duration::from_micros(u64::try_from(took).unwrap_or(0))))
}
