//! The tasks of a run that a full-screen view shows: those that are being tried, and single ones with their output.

use golem_core::event::Provider;
use serde_json::Value;
use yagna_api::Timestamp;

use super::{Reader, provider};
use crate::store::database::{Statement, damaged};
use crate::store::name::task_name;
use crate::store::read::task_row;
use crate::store::{Store, StoreError, TaskRow};

/// Tasks at work that are shown at most.
const SHOWN: i64 = 500;

/// A task that is being tried.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskAtWork {
    /// The task's number.
    pub task: u64,
    /// The task itself, where it is short.
    pub name: Option<String>,
    /// The number of the attempt.
    pub attempt: u64,
    /// The provider.
    pub provider: Provider,
    /// The time at which the attempt began.
    pub started: Timestamp,
}

impl Store {
    /// The tasks that are being tried, the oldest attempts first, at most 500; and true if all tasks of the run are known.
    pub async fn tasks_at_work(&self, run_id: &str) -> Result<(Vec<TaskAtWork>, bool), StoreError> {
        let mut reader = Reader::new(self, run_id).await?;
        let asked = Statement::new(
            "SELECT t.task_no, t.data, t.attempt, a.started_at, r.provider_id, r.provider_name FROM tasks AS t \
             JOIN attempts AS a ON a.run_no = t.run_no AND a.task_no = t.task_no AND a.number = t.attempt \
             JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
             WHERE t.run_no = $1 AND t.status = 'running' ORDER BY a.started_at, t.task_no LIMIT $2",
        );
        let rows = reader.read(asked.int(reader.run_no).int(SHOWN)).await?;
        let tasks = rows.iter().map(|row| {
            let (task, data): (u64, Value) = (row.unsigned("task_no")?, row.json("data")?);
            Ok(TaskAtWork {
                task,
                name: task_name(task, &data),
                attempt: row.unsigned("attempt")?,
                provider: provider(row)?.ok_or_else(|| damaged("provider_name", "there is no value"))?,
                started: row.time("started_at")?,
            })
        });
        let tasks = tasks.collect::<Result<Vec<_>, StoreError>>()?;
        let rows = reader
            .rows("SELECT count(*) AS n FROM jobs WHERE run_no = $1 AND exhausted_at IS NULL AND ended_at IS NULL")
            .await?;
        let open = rows.first().map_or(Ok(0), |row| row.unsigned("n"))?;
        Ok((tasks, open == 0))
    }

    /// One task with its result and its output; none where the run has no such task.
    pub async fn task(&self, run_id: &str, task: u64) -> Result<Option<TaskRow>, StoreError> {
        let mut reader = Reader::new(self, run_id).await?;
        let asked = Statement::new(
            "SELECT t.task_no, t.data, t.status, t.attempt, CAST(t.no_result AS bigint) AS no_result, t.result, \
             t.stdout, t.stdout_bytes, t.stderr, t.stderr_bytes, t.failure_kind, t.failure, a.took_us, \
             r.provider_name FROM tasks AS t \
             LEFT JOIN attempts AS a ON a.run_no = t.run_no AND a.task_no = t.task_no AND a.number = t.attempt \
             LEFT JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
             WHERE t.run_no = $1 AND t.task_no = $2",
        );
        let asked = asked.int(reader.run_no).int(i64::try_from(task).unwrap_or(i64::MAX));
        reader.read(asked).await?.first().map(task_row).transpose()
    }
}
