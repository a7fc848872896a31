//! The story of one task: what it waited for, and where, when and why each of its attempts ended.

use std::collections::HashMap;
use std::time::Duration;

use golem_core::event::{Printed, Provider};
use serde_json::Value;
use yagna_api::time::between;
use yagna_api::{Glm, Timestamp};

use super::activities::{micros, used_in};
use super::{ExplainedRun, Reader, provider};
use crate::store::database::{Row, Statement, damaged, to_json};
use crate::store::name::task_name;
use crate::store::{Store, StoreError, TaskStatus, read};

/// A task with all that happened to it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskStory {
    /// The task's number.
    pub task: u64,
    /// The task itself, where it is short.
    pub name: Option<String>,
    /// Its present state.
    pub status: TaskStatus,
    /// The time at which it became known.
    pub added: Timestamp,
    /// The time at which it ended.
    pub finished: Option<Timestamp>,
    /// The reason why it failed for good, if it did.
    pub failure: Option<String>,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptStory>,
    /// The wait that goes on.
    pub waits: Option<Wait>,
    /// Its run.
    pub run: ExplainedRun,
}

/// An attempt with its place, its end and its cost.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptStory {
    /// The number of the attempt, from 1.
    pub number: u64,
    /// The wait before it.
    pub waited: Wait,
    /// The provider.
    pub provider: Provider,
    /// The time at which it began.
    pub started: Timestamp,
    /// The time at which its end was known, if it has ended.
    pub ended: Option<Timestamp>,
    /// The time that it took by itself.
    pub took: Option<Duration>,
    /// `done`, `failed`, `cancelled` or `lost`; none while it runs.
    pub outcome: Option<String>,
    /// The kind of failure.
    pub kind: Option<String>,
    /// The reason of its end in words.
    pub reason: Option<String>,
    /// The end of what its commands wrote to standard error.
    pub stderr: Printed,
    /// Tasks that had run on its machine before, where they may be why it failed.
    pub ran_before: u64,
    /// Tasks that shared its script, by number.
    pub neighbours: Vec<u64>,
    /// GLM that it cost: its share of what was accepted for its activity, or an estimate by its provider's price.
    pub cost: Option<Glm>,
    /// True if the cost is an estimate.
    pub is_estimate: bool,
}

/// A time in which a task waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Its length.
    pub time: Duration,
    /// What was waited for.
    pub what: WaitedFor,
}

/// The thing that a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitedFor {
    /// No provider was ready for tasks.
    Provider,
    /// Other tasks came first.
    Turn,
    /// It was to be tried on another provider than before.
    OtherProvider,
    /// It was to be tried on a machine on which nothing had run.
    FreshMachine,
}

impl WaitedFor {
    /// Its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Turn => "turn",
            Self::OtherProvider => "other_provider",
            Self::FreshMachine => "fresh_machine",
        }
    }

    /// The words for it: "waited 3 s for ..".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Provider => "the first provider that was ready",
            Self::Turn => "its turn: the providers had other tasks",
            Self::OtherProvider => "another provider",
            Self::FreshMachine => "a machine on which nothing had run",
        }
    }
}

impl Store {
    /// Tells the story of a task: one with this number, or whose data is this text.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTask`] where the run knows no such task.
    pub async fn task_story(&self, run_id: &str, task: &str) -> Result<TaskStory, StoreError> {
        let mut reader = Reader::new(self, run_id).await?;
        let found = match task.parse::<i64>() {
            Ok(number) => reader.story_rows(number).await?,
            Err(_) => Vec::new(),
        };
        let found = if found.is_empty() { reader.story_rows_named(task).await? } else { found };
        let Some(row) = found.first() else {
            let rows = reader.rows("SELECT count(*) AS n FROM tasks WHERE run_no = $1").await?;
            let known = rows.first().map_or(Ok(0), |row| row.unsigned("n"))?;
            return Err(StoreError::NoSuchTask { task: task.to_owned(), run_id: run_id.to_owned(), known });
        };
        let run = reader.explain(run_id).await?;
        reader.story(row, run).await
    }
}

/// The columns of a task that its story begins with.
const TASK: &str = "SELECT task_no, data, status, added_at, finished_at, reopened_at, failure, {now} AS now FROM tasks \
     WHERE run_no = $1 AND task_no = $2";
const NAMED: &str = "SELECT task_no, data, status, added_at, finished_at, reopened_at, failure, {now} AS now FROM tasks \
     WHERE run_no = $1 AND data = $2 ORDER BY task_no LIMIT 1";

impl Reader<'_> {
    async fn story_rows(&mut self, number: i64) -> Result<Vec<Row>, StoreError> {
        self.read(Statement::new(TASK).int(self.run_no).int(number)).await
    }

    async fn story_rows_named(&mut self, name: &str) -> Result<Vec<Row>, StoreError> {
        let data = to_json(&Value::from(name)).map_err(|source| self.store.failed("read the run", source))?;
        self.read(Statement::new(NAMED).int(self.run_no).json(data)).await
    }

    async fn story(&mut self, row: &Row, run: ExplainedRun) -> Result<TaskStory, StoreError> {
        let (task, now) = (row.unsigned("task_no")?, row.time("now")?);
        let status = read::status(row)?;
        let added = row.time("added_at")?;
        let number = row.int("task_no")?;
        let ready = self.ready_times().await?;
        let mut attempts = self.attempts_told(number, added, &ready).await?;
        self.add_neighbours(number, &mut attempts).await?;
        self.add_costs(number, now, &mut attempts).await?;
        let attempts: Vec<_> = attempts.into_iter().map(|told| told.attempt).collect();
        let since = attempts.last().and_then(|last| last.ended).unwrap_or(added);
        let since = row.optional_time("reopened_at")?.map_or(since, |reopened| reopened.max(since));
        let waits = (status == TaskStatus::Waiting && run.is_live()).then(|| Wait {
            time: between(since, now),
            what: waited_for(since, now, attempts.last(), None, &ready),
        });
        Ok(TaskStory {
            task,
            name: task_name(task, &row.json("data")?),
            status,
            added,
            finished: row.optional_time("finished_at")?,
            failure: row.optional_text("failure")?,
            attempts,
            waits,
            run,
        })
    }

    /// The times in which activities took tasks.
    async fn ready_times(&mut self) -> Result<Vec<(Timestamp, Option<Timestamp>)>, StoreError> {
        let rows = self
            .rows("SELECT ready_at, ended_at FROM activities WHERE run_no = $1 AND ready_at IS NOT NULL")
            .await?;
        rows.iter().map(|row| Ok((row.time("ready_at")?, row.optional_time("ended_at")?))).collect()
    }

    async fn attempts_told(
        &mut self,
        task: i64,
        added: Timestamp,
        ready: &[(Timestamp, Option<Timestamp>)],
    ) -> Result<Vec<Told>, StoreError> {
        let asked = Statement::new(
            "SELECT a.number, a.rental_no, coalesce(a.activity_no, 1) AS activity_no, a.outcome, a.started_at, \
             a.ended_at, a.took_us, a.ran_before, a.failure_kind, coalesce(a.failure, CASE WHEN a.outcome = 'done' \
             THEN NULL ELSE v.failure END) AS failure, a.stderr, a.stderr_bytes, r.provider_id, r.provider_name, \
             r.per_hour FROM attempts AS a JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
             LEFT JOIN activities AS v ON v.run_no = a.run_no AND v.rental_no = a.rental_no \
             AND v.activity_no = coalesce(a.activity_no, 1) \
             WHERE a.run_no = $1 AND a.task_no = $2 ORDER BY a.number",
        );
        let rows = self.read(asked.int(self.run_no).int(task)).await?;
        let mut told: Vec<Told> = Vec::new();
        for row in &rows {
            let started = row.time("started_at")?;
            let before = told.last().map(|told| &told.attempt);
            let since = before.and_then(|before| before.ended).unwrap_or(added);
            let provider = provider(row)?.ok_or_else(|| damaged("provider_name", "there is no value"))?;
            let what = waited_for(since, started, before, Some(&provider), ready);
            let attempt = AttemptStory {
                number: row.unsigned("number")?,
                waited: Wait { time: between(since, started), what },
                provider,
                started,
                ended: row.optional_time("ended_at")?,
                took: row.optional_int("took_us")?.map(|took| micros(Some(took))),
                outcome: row.optional_text("outcome")?,
                kind: row.optional_text("failure_kind")?,
                reason: row.optional_text("failure")?,
                stderr: row.printed("stderr", "stderr_bytes")?,
                ran_before: row.unsigned("ran_before")?,
                neighbours: Vec::new(),
                cost: None,
                is_estimate: false,
            };
            let activity = (row.int("rental_no")?, row.int("activity_no")?);
            told.push(Told { attempt, activity, per_hour: row.money("per_hour")? });
        }
        Ok(told)
    }

    /// Finds the tasks that were in the same activity's hands at the same time.
    async fn add_neighbours(&mut self, task: i64, told: &mut [Told]) -> Result<(), StoreError> {
        let asked = Statement::new(
            "SELECT DISTINCT mine.number, other.task_no FROM attempts AS mine JOIN attempts AS other \
             ON other.run_no = mine.run_no AND other.rental_no = mine.rental_no \
             AND coalesce(other.activity_no, 1) = coalesce(mine.activity_no, 1) AND other.task_no <> mine.task_no \
             AND other.started_at < coalesce(mine.ended_at, {now}) \
             AND coalesce(other.ended_at, {now}) > mine.started_at \
             WHERE mine.run_no = $1 AND mine.task_no = $2 ORDER BY mine.number, other.task_no",
        );
        for row in self.read(asked.int(self.run_no).int(task)).await? {
            let number = row.unsigned("number")?;
            if let Some(told) = told.iter_mut().find(|told| told.attempt.number == number) {
                told.attempt.neighbours.push(row.unsigned("task_no")?);
            }
        }
        Ok(())
    }

    /// Gives each attempt its share of what its activity cost, by the time that it took.
    async fn add_costs(&mut self, task: i64, now: Timestamp, told: &mut [Told]) -> Result<(), StoreError> {
        let costs = self.costs().await?;
        let asked = Statement::new(
            "SELECT rental_no, coalesce(activity_no, 1) AS activity_no, CAST(sum(took_us) AS bigint) AS took_us \
             FROM attempts WHERE run_no = $1 AND rental_no IN (SELECT mine.rental_no FROM attempts AS mine \
             WHERE mine.run_no = $1 AND mine.task_no = $2) GROUP BY rental_no, coalesce(activity_no, 1)",
        );
        let mut took: HashMap<(i64, i64), Duration> = HashMap::new();
        for row in self.read(asked.int(self.run_no).int(task)).await? {
            let key = (row.int("rental_no")?, row.int("activity_no")?);
            took.insert(key, micros(row.optional_int("took_us")?));
        }
        for told in told {
            let attempt = &mut told.attempt;
            let accepted = costs.get(&told.activity).filter(|cost| !cost.is_zero());
            let all = took.get(&told.activity).copied().unwrap_or_default();
            attempt.cost = match (accepted, attempt.took) {
                (Some(cost), Some(took)) => share(*cost, took, all),
                _ => None,
            };
            if attempt.cost.is_none() {
                let until = attempt.ended.unwrap_or(now);
                attempt.cost = used_in(told.per_hour, attempt.started, until);
                attempt.is_estimate = true;
            }
        }
        Ok(())
    }
}

/// An attempt, and what its cost is reckoned by.
struct Told {
    attempt: AttemptStory,
    activity: (i64, i64),
    per_hour: Glm,
}

/// The part of an amount that a time has in all the times.
fn share(amount: Glm, time: Duration, all: Duration) -> Option<Glm> {
    let (time, all) = (u64::try_from(time.as_micros()).ok()?, u64::try_from(all.as_micros()).ok()?);
    let part = amount.to_decimal().checked_mul(time.into())?.checked_div(all.into())?;
    Glm::from_decimal_rounding_down(part)
}

/// What a task waited for between two moments, after `before` and until it came to `provider`.
fn waited_for(
    since: Timestamp,
    until: Timestamp,
    before: Option<&AttemptStory>,
    provider: Option<&Provider>,
    ready: &[(Timestamp, Option<Timestamp>)],
) -> WaitedFor {
    let failed = before.filter(|before| before.outcome.as_deref() != Some("done"));
    match failed {
        Some(before) if before.ran_before > 0 => return WaitedFor::FreshMachine,
        Some(before)
            if before.outcome.as_deref() == Some("failed")
                && provider.is_none_or(|provider| provider.id != before.provider.id) =>
        {
            return WaitedFor::OtherProvider;
        }
        _ => {}
    }
    // Somebody took tasks for a good part of the time: the task's turn hadn't come.
    let half = yagna_api::time::after(since, between(since, until) / 2);
    let was_ready =
        ready.iter().any(|(ready, ended)| *ready <= half && ended.is_none_or(|ended| ended > half));
    if was_ready { WaitedFor::Turn } else { WaitedFor::Provider }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u32) -> Timestamp {
        format!("2026-11-21T12:00:{second:02}Z").parse().unwrap()
    }

    #[test]
    fn a_task_waits_for_a_provider_as_long_as_none_is_ready_and_then_for_its_turn() {
        let ready = [(at(10), Some(at(30)))];
        assert_eq!(waited_for(at(0), at(11), None, None, &ready), WaitedFor::Provider);
        assert_eq!(waited_for(at(0), at(25), None, None, &ready), WaitedFor::Turn);
        assert_eq!(waited_for(at(35), at(40), None, None, &ready), WaitedFor::Provider);
    }

    #[test]
    fn a_share_is_in_proportion_to_the_time() {
        let glm = |text: &str| text.parse::<Glm>().unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(share(glm("0.3"), seconds(2), seconds(6)), Some(glm("0.1")));
        assert_eq!(share(glm("0.3"), seconds(2), Duration::ZERO), None);
    }
}
