//! The tasks of a run as people look through them: searched, in some order, a page at a time.

use super::provider;
use crate::store::database::Statement;
use crate::store::read::task_row;
use crate::store::{ResultRow, Store, StoreError, TaskStatus};

/// Tasks read by their numbers at once.
const AT_ONCE: usize = 20;
/// Tasks by their numbers, with the first 400 characters of what they printed.
const NUMBERED: &str = "SELECT t.task_no, t.data, t.status, t.attempt, CAST(t.no_result AS bigint) AS no_result, t.result, \
     substr(t.stdout, 1, 400) AS stdout, substr(t.stdout_bytes, 1, 400) AS stdout_bytes, \
     substr(t.stderr, 1, 400) AS stderr, substr(t.stderr_bytes, 1, 400) AS stderr_bytes, t.failure_kind, t.failure, \
     t.finished_at, a.took_us, r.provider_id, r.provider_name FROM tasks AS t \
     LEFT JOIN attempts AS a ON a.run_no = t.run_no AND a.task_no = t.task_no AND a.number = t.attempt \
     LEFT JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
     WHERE t.run_no = $1 AND t.task_no IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
     $19, $20, $21)";

/// The order of tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TaskOrder {
    /// By their numbers.
    #[default]
    Number,
    /// Those whose last attempt took longest first.
    Slowest,
    /// Those that finished last first; those that haven't at the end.
    Newest,
}

/// The tasks that are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TasksWanted {
    /// Only those in this state, in the words of the database; in any where it is empty.
    pub status: String,
    /// Only those with this text in their data, result, output or failure, in whatever letters; any where it is empty.
    pub text: String,
    /// Only those that this provider tried last, by its id; any where it is empty.
    pub provider: String,
    /// The order.
    pub order: TaskOrder,
}

/// Tasks of run `$1` in the state `$2` whose text is like `$3`, tried last by provider `$4`.
macro_rules! tasks {
    ($order:literal) => {
        concat!(
            "SELECT t.task_no FROM tasks AS t \
             LEFT JOIN attempts AS a ON a.run_no = t.run_no AND a.task_no = t.task_no AND a.number = t.attempt \
             WHERE t.run_no = $1 AND ($2 = '' OR t.status = $2) AND ($3 = '' \
             OR lower(CAST(t.data AS text)) LIKE $3 ESCAPE '!' OR lower(CAST(t.result AS text)) LIKE $3 ESCAPE '!' \
             OR lower(t.stdout) LIKE $3 ESCAPE '!' OR lower(t.stderr) LIKE $3 ESCAPE '!' \
             OR lower(t.failure) LIKE $3 ESCAPE '!' OR CAST(t.task_no AS text) = $5) \
             AND ($4 = '' OR EXISTS (SELECT 1 FROM rentals AS r WHERE r.run_no = a.run_no \
             AND r.rental_no = a.rental_no AND r.provider_id = $4)) ORDER BY ",
            $order
        )
    };
}

impl Store {
    /// The numbers of the tasks that are looked for, in order. Together with [`Store::tasks_numbered`] any page of any number
    /// of tasks is at hand.
    pub async fn task_numbers(&self, run_id: &str, wanted: &TasksWanted) -> Result<Vec<u64>, StoreError> {
        let run_no = self.run_no(run_id).await?;
        let text = wanted.text.trim();
        let plain = wanted.status.is_empty() && text.is_empty() && wanted.provider.is_empty();
        let statement = if plain && wanted.order == TaskOrder::Number {
            Statement::new("SELECT t.task_no FROM tasks AS t WHERE t.run_no = $1 ORDER BY t.task_no")
                .int(run_no)
        } else {
            Statement::new(match wanted.order {
                TaskOrder::Number => tasks!("t.task_no"),
                TaskOrder::Slowest => tasks!("coalesce(a.took_us, -1) DESC, t.task_no"),
                TaskOrder::Newest => {
                    tasks!("CASE WHEN t.finished_at IS NULL THEN 1 ELSE 0 END, t.finished_at DESC, t.task_no")
                }
            })
            .int(run_no)
            .text(wanted.status.as_str())
            .word(pattern(text))
            .text(wanted.provider.as_str())
            .text(text)
        };
        let mut numbers = Vec::new();
        let found = self.database.each(statement, |row| {
            numbers.push(row.unsigned("task_no")?);
            Ok(())
        });
        found.await.map_err(|source| self.failed("look for tasks", source))??;
        Ok(numbers)
    }

    /// The tasks with these numbers, in this order. Of what they printed only the beginning is read.
    pub async fn tasks_numbered(&self, run_id: &str, numbers: &[u64]) -> Result<Vec<ResultRow>, StoreError> {
        let run_no = self.run_no(run_id).await?;
        let mut found = Vec::with_capacity(numbers.len());
        for some in numbers.chunks(AT_ONCE) {
            let statement = Statement::new(NUMBERED).int(run_no);
            // The places that are left over name no task.
            let all = some.iter().map(|number| i64::try_from(*number).unwrap_or(-1));
            let all = all.chain(std::iter::repeat(-1)).take(AT_ONCE);
            let rows = self.database.rows(all.fold(statement, Statement::int)).await;
            for row in rows.map_err(|source| self.failed("read the tasks", source))? {
                let finished = row.optional_time("finished_at")?;
                found.push(ResultRow {
                    task: task_row(&row)?,
                    provider: provider(&row)?,
                    finished,
                    cost: None,
                });
            }
        }
        let place = |row: &ResultRow| numbers.iter().position(|number| *number == row.task.task.0);
        found.sort_by_key(place);
        Ok(found)
    }

    /// One task as a whole.
    pub async fn whole_task(&self, run_id: &str, number: u64) -> Result<Option<ResultRow>, StoreError> {
        let one = Statement::new(
            "SELECT t.task_no, t.data, t.status, t.attempt, CAST(t.no_result AS bigint) AS no_result, t.result, \
             t.stdout, t.stdout_bytes, t.stderr, t.stderr_bytes, t.failure_kind, t.failure, t.finished_at, a.took_us, \
             r.provider_id, r.provider_name FROM tasks AS t \
             LEFT JOIN attempts AS a ON a.run_no = t.run_no AND a.task_no = t.task_no AND a.number = t.attempt \
             LEFT JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
             WHERE t.run_no = $1 AND t.task_no = $2",
        )
        .int(self.run_no(run_id).await?)
        .int(i64::try_from(number).unwrap_or(-1));
        let row = self.database.row(one).await.map_err(|source| self.failed("read the task", source))?;
        row.map(|row| {
            let finished = row.optional_time("finished_at")?;
            Ok(ResultRow { task: task_row(&row)?, provider: provider(&row)?, finished, cost: None })
        })
        .transpose()
    }
}

impl TaskStatus {
    /// The word for it in the database.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// The pattern for a text anywhere; none for an empty text.
fn pattern(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_looked_for_as_it_is() {
        assert_eq!(pattern(""), "");
        assert_eq!(pattern("Frame_7%!"), "%frame!_7!%!!%");
    }
}
