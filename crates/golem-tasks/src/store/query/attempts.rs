//! The attempts of tasks, one by one.

use std::time::Duration;

use golem_core::event::{Printed, Provider};
use serde_json::Value;
use yagna_api::Timestamp;

use super::activities::micros;
use super::provider;
use crate::store::database::{Row, Statement};
use crate::store::{Store, StoreError, TaskStatus, read};

/// Attempts read at once.
const PAGE: i64 = 500;

/// One attempt of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Its number, from 1.
    pub number: u64,
    /// The provider.
    pub provider: Option<Provider>,
    /// The outcome: `done`, `failed`, `cancelled` or `lost`; none while it runs.
    pub outcome: Option<String>,
    /// The time at which it began.
    pub started: Timestamp,
    /// The time at which it ended.
    pub ended: Option<Timestamp>,
    /// The time that it took.
    pub took: Option<Duration>,
    /// The kind of failure, in the words of the database.
    pub failure_kind: Option<String>,
    /// The failure, in words.
    pub failure: Option<String>,
    /// The end of what its commands wrote to standard error.
    pub stderr: Printed,
}

/// The last attempt of a task that was begun, with the task.
#[derive(Debug, Clone, PartialEq)]
pub struct LastAttempt {
    /// The number of the task.
    pub task: u64,
    /// The task's data.
    pub data: Value,
    /// The state of the task.
    pub status: TaskStatus,
    /// The failure of the task, in words.
    pub failure: Option<String>,
    /// The bytes that its commands wrote to standard output.
    pub printed: u64,
    /// The attempt.
    pub attempt: AttemptRow,
}

impl Store {
    /// The attempts of one task, in order.
    pub async fn attempts(&self, run_id: &str, task: u64) -> Result<Vec<AttemptRow>, StoreError> {
        let attempts = Statement::new(
            "SELECT a.number, a.outcome, a.started_at, a.ended_at, a.took_us, a.failure_kind, a.failure, a.stderr, \
             a.stderr_bytes, r.provider_id, r.provider_name FROM attempts AS a \
             JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
             WHERE a.run_no = $1 AND a.task_no = $2 ORDER BY a.number",
        )
        .int(self.run_no(run_id).await?)
        .int(i64::try_from(task).unwrap_or(i64::MAX));
        let rows = self.database.rows(attempts).await;
        rows.map_err(|source| self.failed("read the attempts", source))?.iter().map(attempt).collect()
    }

    /// The last attempts of the tasks with a number above `after`, at most some hundreds, in the order of the tasks.
    pub async fn last_attempts(
        &self,
        run_id: &str,
        after: Option<u64>,
    ) -> Result<Vec<LastAttempt>, StoreError> {
        let page = Statement::new(
            "SELECT t.task_no, t.data, t.status, t.failure AS task_failure, \
             CAST(coalesce(length(t.stdout), length(t.stdout_bytes), 0) AS bigint) AS printed, \
             a.number, a.outcome, a.started_at, a.ended_at, a.took_us, a.failure_kind, a.failure, a.stderr, \
             a.stderr_bytes, r.provider_id, r.provider_name FROM tasks AS t \
             JOIN attempts AS a ON a.run_no = t.run_no AND a.task_no = t.task_no AND a.number = t.attempt \
             JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
             WHERE t.run_no = $1 AND t.task_no > $2 ORDER BY t.task_no LIMIT $3",
        )
        .int(self.run_no(run_id).await?)
        .int(after.map_or(-1, |after| i64::try_from(after).unwrap_or(i64::MAX)))
        .int(PAGE);
        let rows = self.database.rows(page).await;
        rows.map_err(|source| self.failed("read the attempts", source))?
            .iter()
            .map(|row| {
                Ok(LastAttempt {
                    task: row.unsigned("task_no")?,
                    data: row.json("data")?,
                    status: read::status(row)?,
                    failure: row.optional_text("task_failure")?,
                    printed: row.unsigned("printed")?,
                    attempt: attempt(row)?,
                })
            })
            .collect()
    }
}

fn attempt(row: &Row) -> Result<AttemptRow, StoreError> {
    Ok(AttemptRow {
        number: row.unsigned("number")?,
        provider: provider(row)?,
        outcome: row.optional_text("outcome")?,
        started: row.time("started_at")?,
        ended: row.optional_time("ended_at")?,
        took: row.optional_int("took_us")?.map(|took| micros(Some(took))),
        failure_kind: row.optional_text("failure_kind")?,
        failure: row.optional_text("failure")?,
        stderr: row.printed("stderr", "stderr_bytes")?,
    })
}
