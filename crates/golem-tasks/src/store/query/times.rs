//! The time that a task of a job took in an earlier run of the same job.

use std::time::Duration;

use super::activities::micros;
use crate::description::RunDescription;
use crate::store::database::{Statement, damaged};
use crate::store::{Store, StoreError};

/// Earlier runs that are looked through, the newest first.
const LOOKED_THROUGH: i64 = 100;

/// The time of the tasks of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskTime {
    /// The run.
    pub run_id: String,
    /// The number of its results.
    pub tasks: u64,
    /// The middle one of the times that they took.
    pub middle: Duration,
}

impl Store {
    /// The time that a result took in the newest run that is alike and has results.
    pub(crate) async fn task_time(
        &self,
        is_alike: impl Fn(&RunDescription) -> bool,
    ) -> Result<Option<TaskTime>, StoreError> {
        let failed = |source| self.failed("look for earlier runs of this job", source);
        let mut transaction = self.database.read().await.map_err(failed)?;
        let newest = Statement::new("SELECT run_no, run_id, job FROM runs ORDER BY run_no DESC LIMIT $1");
        for row in transaction.rows(newest.int(LOOKED_THROUGH)).await.map_err(failed)? {
            // A description that can't be read is one of another version, and no reason to fail.
            let description: Option<RunDescription> = row.json("job").ok();
            if !description.is_some_and(|description| is_alike(&description)) {
                continue;
            }
            let run_no = row.int("run_no")?;
            let done = "SELECT count(*) AS n FROM attempts WHERE run_no = $1 AND outcome = 'done'";
            let rows = transaction.rows(Statement::new(done).int(run_no)).await.map_err(failed)?;
            let tasks = rows.first().ok_or_else(|| damaged("n", "there is no row"))?.unsigned("n")?;
            let middle = Statement::new(
                "SELECT took_us FROM attempts WHERE run_no = $1 AND outcome = 'done' ORDER BY took_us LIMIT 1 OFFSET $2",
            );
            let middle = middle.int(run_no).int(i64::try_from(tasks / 2).unwrap_or(i64::MAX));
            if let Some(row_of_it) = transaction.rows(middle).await.map_err(failed)?.first() {
                let middle = micros(row_of_it.optional_int("took_us")?);
                return Ok(Some(TaskTime { run_id: row.text("run_id")?, tasks, middle }));
            }
        }
        Ok(None)
    }
}
