//! The results of a run, streamed in the order of its tasks, each with its share of what was paid.

use std::collections::HashMap;

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use golem_core::event::Provider;
use yagna_api::{Glm, Timestamp};

use super::{Reader, provider};
use crate::store::database::{Row, Statement};
use crate::store::read::task_row;
use crate::store::{Store, StoreError, TaskRow, TaskStatus};

/// Tasks read at once: few, for each may have printed much.
const PAGE: i64 = 100;

/// A task with what became of it, who did that, and for how much.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// The task.
    pub task: TaskRow,
    /// The provider that tried it last.
    pub provider: Option<Provider>,
    /// The time at which it finished.
    pub finished: Option<Timestamp>,
    /// GLM that its result cost, as far as bills were accepted when reading began; see [`Store::results`].
    pub cost: Option<Glm>,
}

impl Store {
    /// The tasks of a run with a result, or all of its tasks, in order, in memory that doesn't grow with them.
    ///
    /// What an activity cost is shared among its results by the time that the attempts took which made them. So the
    /// start price and failed attempts are paid by the results too. All of this is as of the moment at which reading
    /// begins; a task that comes to its end while the stream is read may or may not be in it.
    pub fn results<'a>(
        &'a self,
        run_id: &'a str,
        all: bool,
    ) -> impl Stream<Item = Result<ResultRow, StoreError>> + Send + 'a {
        stream::try_unfold(None, move |place: Option<Place>| async move {
            let mut place = match place {
                Some(place) => place,
                None => self.first(run_id).await?,
            };
            let rows = self.result_page(&mut place, all).await?;
            if rows.is_empty() {
                return Ok::<_, StoreError>(None);
            }
            Ok(Some((stream::iter(rows.into_iter().map(Ok)), Some(place))))
        })
        .try_flatten()
        .boxed()
    }

    /// Reads the results of a run whose database is damaged, as far as that is possible, in order, after task `after`
    /// if there is one. What a result cost and who did it isn't looked for. At the end, how many tasks can't be read;
    /// their number is known as far as the newest task can be found.
    ///
    /// # Errors
    /// When the run itself, or any of its tasks, can't be found.
    pub async fn salvage(
        &self,
        run_id: &str,
        after: Option<u64>,
        all: bool,
        mut each: impl FnMut(&ResultRow) -> bool,
    ) -> Result<u64, StoreError> {
        let run_no = self.run_no(run_id).await?;
        let last = self.last_task(run_no).await?;
        let mut task_no = after.map_or(0, |after| i64::try_from(after).unwrap_or(i64::MAX).saturating_add(1));
        let mut unread = 0;
        while task_no <= last {
            match self.salvaged(run_no, task_no).await {
                Ok(Some(row)) if all || (row.task.status == TaskStatus::Done && !row.task.no_result) => {
                    if !each(&row) {
                        break;
                    }
                }
                Ok(_) => {}
                Err(error) if error.is_damage() => unread += 1,
                Err(error) => return Err(error),
            }
            task_no += 1;
        }
        Ok(unread)
    }

    /// The number of the newest task that can be found. Damage on the way to it hides those behind.
    async fn last_task(&self, run_no: i64) -> Result<i64, StoreError> {
        let failed = |source| self.failed("find the tasks", source);
        for sql in [
            "SELECT max(task_no) AS task_no FROM tasks WHERE run_no = $1",
            "SELECT max(task_no) AS task_no FROM attempts WHERE run_no = $1",
        ] {
            let row = self.database.row(Statement::new(sql).int(run_no)).await.map_err(failed);
            match row.and_then(|row| row.map(|row| row.optional_int("task_no")).transpose()) {
                Ok(last) => return Ok(last.flatten().unwrap_or(-1)),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        // Both ends are lost: doubled until nothing answers, among those that answer at all.
        let (mut last, mut step) = (-1, 1);
        while step < i64::from(u32::MAX) {
            if matches!(self.salvaged(run_no, step - 1).await, Ok(Some(_))) {
                last = step * 2;
            }
            step *= 2;
        }
        Ok(last)
    }

    async fn salvaged(&self, run_no: i64, task_no: i64) -> Result<Option<ResultRow>, StoreError> {
        let one = Statement::new(
            "SELECT t.task_no, t.data, t.status, t.attempt, CAST(t.no_result AS bigint) AS no_result, t.result, t.stdout, t.stdout_bytes, t.stderr, \
             t.stderr_bytes, t.failure_kind, t.failure, t.finished_at, CAST(NULL AS bigint) AS took_us, \
             CAST(NULL AS text) AS provider_name \
             FROM tasks AS t WHERE t.run_no = $1 AND t.task_no = $2",
        )
        .int(run_no)
        .int(task_no);
        let row = self.database.row(one).await.map_err(|source| self.failed("read the results", source))?;
        row.map(|row| {
            let finished = row.optional_time("finished_at")?;
            Ok(ResultRow { task: task_row(&row)?, provider: None, finished, cost: None })
        })
        .transpose()
    }

    async fn first(&self, run_id: &str) -> Result<Place, StoreError> {
        let mut reader = Reader::new(self, run_id).await?;
        let activities = reader.activities().await?;
        let newest = reader
            .rows("SELECT max(finished_at) AS finished_at FROM tasks WHERE run_no = $1 AND status = 'done'")
            .await?;
        let until = newest.first().map(|row| row.optional_time("finished_at")).transpose()?.flatten();
        let shares = activities
            .into_iter()
            .map(|activity| {
                let took = i64::try_from(activity.results_took.as_micros()).unwrap_or(i64::MAX);
                let rate = Rate { cost: activity.cost, results: activity.results, took };
                ((activity.rental.0, activity.number), rate)
            })
            .collect();
        Ok(Place { run_no: reader.run_no, after: -1, until, shares })
    }

    async fn result_page(&self, place: &mut Place, all: bool) -> Result<Vec<ResultRow>, StoreError> {
        let page = Statement::new(
            "SELECT t.task_no, t.data, t.status, t.attempt, CAST(t.no_result AS bigint) AS no_result, t.result, t.stdout, t.stdout_bytes, t.stderr, t.stderr_bytes, t.failure_kind, \
             t.failure, t.finished_at, a.took_us, a.rental_no, coalesce(a.activity_no, 1) AS activity_no, \
             r.provider_id, r.provider_name FROM tasks AS t \
             LEFT JOIN attempts AS a ON a.run_no = t.run_no AND a.task_no = t.task_no AND a.number = t.attempt \
             LEFT JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
             WHERE t.run_no = $1 AND t.task_no > $2 AND ((t.status = 'done' AND t.no_result = 0) OR $3 = 1) ORDER BY t.task_no LIMIT $4",
        )
        .int(place.run_no)
        .int(place.after)
        .int(i64::from(all))
        .int(PAGE);
        let rows =
            self.database.rows(page).await.map_err(|source| self.failed("read the results", source))?;
        if let Some(last) = rows.last() {
            place.after = last.int("task_no")?;
        }
        rows.iter().map(|row| place.result(row)).collect()
    }
}

/// The position of reading, and the costs that are known.
struct Place {
    run_no: i64,
    after: i64,
    /// Results that came later weren't counted.
    until: Option<Timestamp>,
    /// By the rental and the number of the activity there.
    shares: HashMap<(u64, u64), Rate>,
}

/// The sum of the costs of an activity's results, and of their times.
struct Rate {
    cost: Glm,
    results: u64,
    took: i64,
}

impl Place {
    fn result(&self, row: &Row) -> Result<ResultRow, StoreError> {
        let task = task_row(row)?;
        let finished = row.optional_time("finished_at")?;
        let counted = task.result.is_some() && finished.is_some() && finished <= self.until;
        let cost = match row.optional_int("rental_no")?.and_then(|rental_no| u64::try_from(rental_no).ok()) {
            Some(rental_no) if counted => {
                let rate = self.shares.get(&(rental_no, row.unsigned("activity_no")?));
                rate.and_then(|rate| rate.share(row.optional_int("took_us").ok()??))
            }
            _ => None,
        };
        Ok(ResultRow { provider: provider(row)?, finished, cost, task })
    }
}

impl Rate {
    /// The cost of a result whose attempt took so many microseconds.
    fn share(&self, took: i64) -> Option<Glm> {
        if self.cost.is_zero() {
            return None;
        }
        let (part, whole) =
            if self.took > 0 { (took.max(0), self.took) } else { (1, i64::try_from(self.results).ok()?) };
        let share = self.cost.to_decimal().checked_div(whole.into())?.checked_mul(part.into())?;
        Glm::from_decimal_rounding_down(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_activity_cost_is_shared_by_time() {
        let rate = Rate { cost: "0.4".parse().unwrap(), results: 3, took: 8_000_000 };
        assert_eq!(rate.share(2_000_000), Some("0.1".parse().unwrap()));
        assert_eq!(rate.share(-5), Some(Glm::ZERO));
        let quick = Rate { took: 0, results: 4, ..rate };
        assert_eq!(quick.share(0), Some("0.1".parse().unwrap()));
        let free = Rate { cost: Glm::ZERO, ..quick };
        assert_eq!(free.share(10), None, "nothing was accepted yet");
    }
}
