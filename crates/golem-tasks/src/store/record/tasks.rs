//! Tasks and their attempts: thousands a second, so they are written many at a time.
//!
//! Five kinds of changes, written in this order: tasks that are added, tasks that are to be tried afresh, attempts that start, attempts that end, tasks that
//! are given up with their job. A change that must come after one that is still pending for the same task makes the
//! pending ones be written first.

use std::collections::HashMap;
use std::time::Duration;

use golem_core::event::{
    Attempt, AttemptFailure, Event, EventKind, FailureKind, JobId, RentalId, TaskId, TaskOutput,
};
use yagna_api::Timestamp;

use super::{count, to_json};
use crate::store::database::{Transaction, Value};

/// Something that happened to a task.
pub(super) struct Change<'e> {
    task: TaskId,
    at: Timestamp,
    kind: ChangeKind<'e>,
}

enum ChangeKind<'e> {
    Added(Added<'e>),
    /// It is tried afresh after so many attempts.
    Reopened(u32),
    Started(Attempt, RentalId),
    Ended(Attempt, Outcome<'e>),
    /// With its job; the word says how.
    GivenUp(&'static str),
}

#[derive(Clone, Copy)]
struct Added<'e> {
    job: JobId,
    data: &'e serde_json::Value,
    spawned: bool,
}

#[derive(Clone, Copy)]
enum Outcome<'e> {
    Done {
        output: &'e TaskOutput,
        took_us: i64,
    },
    FailedOnce(&'e AttemptFailure),
    FailedForGood {
        failure: &'e AttemptFailure,
        began: bool,
    },
    /// With the reason where its machine was lost.
    Cancelled {
        lost: Option<&'e str>,
        took: Option<Duration>,
    },
}

/// Changes that wait to be written together.
#[derive(Default)]
pub(super) struct Pending<'e> {
    /// The last kind of change of each task among them.
    newest: HashMap<TaskId, Phase>,
    added: Vec<(TaskId, Timestamp, Added<'e>)>,
    reopened: Vec<(Attempt, Timestamp)>,
    started: Vec<(Attempt, Timestamp, RentalId)>,
    ended: Vec<(Attempt, Timestamp, Outcome<'e>)>,
    given_up: Vec<(TaskId, Timestamp, &'static str)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Added,
    Reopened,
    Started,
    Ended,
    GivenUp,
}

impl<'e> Change<'e> {
    /// The change an event makes to a task, if it makes one.
    pub(super) fn of(event: &'e Event) -> Option<Self> {
        let (task, kind) = match &event.kind {
            EventKind::TaskAdded { job, task, data, spawned } => {
                (*task, ChangeKind::Added(Added { job: *job, data, spawned: *spawned }))
            }
            EventKind::TaskReopened { task, attempts, .. } => (*task, ChangeKind::Reopened(*attempts)),
            EventKind::TaskStarted { attempt, rental } => {
                (attempt.task, ChangeKind::Started(*attempt, *rental))
            }
            EventKind::TaskDone { attempt, output, took, .. } => {
                let took_us = in_micros(*took);
                (attempt.task, ChangeKind::Ended(*attempt, Outcome::Done { output, took_us }))
            }
            EventKind::AttemptFailed { attempt, failure, .. } => {
                (attempt.task, ChangeKind::Ended(*attempt, Outcome::FailedOnce(failure)))
            }
            EventKind::AttemptCancelled { attempt, lost, took, .. } => (
                attempt.task,
                ChangeKind::Ended(*attempt, Outcome::Cancelled { lost: lost.as_deref(), took: *took }),
            ),
            EventKind::TaskFailed { attempt, rental, failure } => {
                let began = rental.is_some();
                let outcome = Outcome::FailedForGood { failure, began };
                (attempt.task, ChangeKind::Ended(*attempt, outcome))
            }
            EventKind::TaskCancelled { task } => (*task, ChangeKind::GivenUp("cancelled")),
            EventKind::TaskExpired { task } => (*task, ChangeKind::GivenUp("expired")),
            _ => return None,
        };
        Some(Self { task, at: event.at, kind })
    }

    fn phase(&self) -> Phase {
        match self.kind {
            ChangeKind::Added(..) => Phase::Added,
            ChangeKind::Reopened(_) => Phase::Reopened,
            ChangeKind::Started(..) => Phase::Started,
            ChangeKind::Ended(..) => Phase::Ended,
            ChangeKind::GivenUp(_) => Phase::GivenUp,
        }
    }
}

impl<'e> Pending<'e> {
    /// True if this change may be written together with the pending ones.
    pub(super) fn takes(&self, change: &Change<'e>) -> bool {
        self.newest.get(&change.task).is_none_or(|newest| *newest < change.phase())
    }

    pub(super) fn add(&mut self, change: &Change<'e>) {
        self.newest.insert(change.task, change.phase());
        match change.kind {
            ChangeKind::Added(added) => self.added.push((change.task, change.at, added)),
            ChangeKind::Reopened(attempts) => {
                self.reopened.push((Attempt { task: change.task, number: attempts }, change.at));
            }
            ChangeKind::Started(attempt, rental) => self.started.push((attempt, change.at, rental)),
            ChangeKind::Ended(attempt, outcome) => self.ended.push((attempt, change.at, outcome)),
            ChangeKind::GivenUp(word) => self.given_up.push((change.task, change.at, word)),
        }
    }

    /// Writes all pending changes; none are pending afterwards.
    pub(super) async fn write(
        &mut self,
        transaction: &mut Transaction,
        run_no: i64,
    ) -> Result<(), sqlx::Error> {
        self.newest.clear();
        write_added(transaction, run_no, &self.added).await?;
        self.added.clear();
        write_reopened(transaction, run_no, &self.reopened).await?;
        self.reopened.clear();
        write_started(transaction, run_no, &self.started).await?;
        self.started.clear();
        write_ended(transaction, run_no, &self.ended).await?;
        self.ended.clear();
        write_given_up(transaction, run_no, &self.given_up).await?;
        self.given_up.clear();
        Ok(())
    }
}

async fn write_added(
    transaction: &mut Transaction,
    run_no: i64,
    added: &[(TaskId, Timestamp, Added<'_>)],
) -> Result<(), sqlx::Error> {
    let rows = added
        .iter()
        .map(|(task, at, Added { job, data, spawned })| {
            Ok(vec![
                Value::int(run_no),
                Value::int(count(task.0)?),
                Value::int(count(job.0)?),
                Value::time(*at),
                Value::json(to_json(data)?),
                Value::int(i64::from(*spawned)),
            ])
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    transaction
        .bulk(
            "INSERT INTO tasks (run_no, task_no, job_no, status, added_at, data, spawned) \
             SELECT column1, column2, column3, 'waiting', column4, column5, column6 FROM {rows} WHERE true \
             ON CONFLICT DO NOTHING",
            &rows,
        )
        .await?;
    Ok(())
}

async fn write_reopened(
    transaction: &mut Transaction,
    run_no: i64,
    reopened: &[(Attempt, Timestamp)],
) -> Result<(), sqlx::Error> {
    let rows = reopened
        .iter()
        .map(|(attempt, at)| {
            let mut row = Vec::from(attempt_key(run_no, *attempt)?);
            row.push(Value::time(*at));
            Ok(row)
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    transaction
        .bulk(
            "UPDATE tasks SET status = 'waiting', forgiven = v.column3, reopened_at = v.column4, \
             finished_at = NULL, failure_kind = NULL, failure = NULL, stderr = NULL FROM {rows} \
             WHERE tasks.run_no = v.column1 AND tasks.task_no = v.column2 AND tasks.status = 'failed'",
            &rows,
        )
        .await?;
    Ok(())
}

async fn write_started(
    transaction: &mut Transaction,
    run_no: i64,
    started: &[(Attempt, Timestamp, RentalId)],
) -> Result<(), sqlx::Error> {
    let rows = started
        .iter()
        .map(|(attempt, at, rental)| {
            let [run, task, number] = attempt_key(run_no, *attempt)?;
            Ok(vec![run, task, number, Value::time(*at), Value::int(count(rental.0)?)])
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    // An earlier attempt of which nothing was heard is lost from now on.
    let again: Vec<_> = started
        .iter()
        .zip(&rows)
        .filter(|((attempt, ..), _)| attempt.number > 1)
        .map(|(_, row)| row[..4].to_vec())
        .collect();
    transaction
        .bulk(
            "UPDATE attempts SET outcome = 'lost', ended_at = v.column4, took_us = {took} FROM {rows} \
             WHERE attempts.run_no = v.column1 AND attempts.task_no = v.column2 \
             AND attempts.number < v.column3 AND attempts.outcome IS NULL",
            &again,
        )
        .await?;
    let inserted = transaction
        .bulk(
            "INSERT INTO attempts (run_no, task_no, number, rental_no, activity_no, started_at) \
             SELECT v.column1, v.column2, v.column3, v.column5, (SELECT max(a.activity_no) FROM activities AS a \
             WHERE a.run_no = v.column1 AND a.rental_no = v.column5), v.column4 \
             FROM {rows} JOIN tasks ON tasks.run_no = v.column1 AND tasks.task_no = v.column2 \
             WHERE tasks.attempt < v.column3 AND tasks.status IN ('waiting', 'running')",
            &rows,
        )
        .await?;
    expect("starts of attempts", rows.len(), inserted);
    let keys: Vec<_> = rows.iter().map(|row| row[..3].to_vec()).collect();
    transaction
        .bulk(
            "UPDATE tasks SET status = 'running', attempt = v.column3 FROM {rows} \
             WHERE tasks.run_no = v.column1 AND tasks.task_no = v.column2 AND tasks.attempt < v.column3 \
             AND tasks.status IN ('waiting', 'running')",
            &keys,
        )
        .await?;
    Ok(())
}

async fn write_ended(
    transaction: &mut Transaction,
    run_no: i64,
    ended: &[(Attempt, Timestamp, Outcome<'_>)],
) -> Result<(), sqlx::Error> {
    let mut attempts = Vec::new();
    let (mut done, mut waiting, mut failed, mut left) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (attempt, at, outcome) in ended {
        let key = || attempt_key(run_no, *attempt);
        let [run, task, number] = key()?;
        let (word, took_us, why) = match *outcome {
            Outcome::Done { output, took_us } => {
                let mut row = Vec::from(key()?);
                row.extend([Value::time(*at), Value::json(to_json(&output.result)?)]);
                row.extend(Value::printed(Some(&output.stdout)));
                row.extend(Value::printed(Some(&output.stderr)));
                row.push(Value::int(i64::from(output.no_result)));
                done.push(row);
                ("done", Some(took_us), no_reason())
            }
            Outcome::FailedOnce(failure) => {
                waiting.push(Vec::from(key()?));
                ("failed", took_alone(failure), why(failure))
            }
            Outcome::Cancelled { lost, took } => {
                waiting.push(Vec::from(key()?));
                ("cancelled", took.map(in_micros), lost.map_or_else(no_reason, why_lost))
            }
            Outcome::FailedForGood { failure, began } => {
                let mut row = Vec::from(key()?);
                row.push(Value::time(*at));
                left.push(row.clone());
                row.extend(why(failure));
                failed.push(row);
                if !began {
                    continue;
                }
                ("failed", took_alone(failure), why(failure))
            }
        };
        let mut row = vec![run, task, number, Value::time(*at), Value::text(word), Value::int(took_us)];
        row.extend(why);
        row.push(Value::int(ran_before(outcome)?));
        attempts.push(row);
    }
    let n_ended = transaction
        .bulk(
            "UPDATE attempts SET ended_at = v.column4, outcome = v.column5, \
             took_us = coalesce(v.column6, {took}), failure_kind = v.column7, failure = v.column8, \
             stderr = v.column9, stderr_bytes = v.column10, ran_before = v.column11 FROM {rows} WHERE attempts.run_no = v.column1 AND attempts.task_no = v.column2 \
             AND attempts.number = v.column3 AND attempts.outcome IS NULL",
            &attempts,
        )
        .await?;
    expect("outcomes of attempts", attempts.len(), n_ended);
    let recorded = transaction
        .bulk(
            "UPDATE tasks SET status = 'done', finished_at = v.column4, result = v.column5, stdout = v.column6, \
             stdout_bytes = v.column7, stderr = v.column8, stderr_bytes = v.column9, no_result = v.column10 FROM {rows} WHERE tasks.run_no = v.column1 AND tasks.task_no = v.column2 \
             AND tasks.attempt = v.column3 AND tasks.status = 'running'",
            &done,
        )
        .await?;
    expect("results", done.len(), recorded);
    transaction
        .bulk(
            "UPDATE tasks SET status = 'waiting' FROM {rows} WHERE tasks.run_no = v.column1 \
             AND tasks.task_no = v.column2 AND tasks.attempt = v.column3 AND tasks.status = 'running'",
            &waiting,
        )
        .await?;
    transaction
        .bulk(
            "UPDATE tasks SET status = 'failed', attempt = v.column3, finished_at = v.column4, \
             failure_kind = v.column5, failure = v.column6, stderr = v.column7, stderr_bytes = v.column8 FROM {rows} \
             WHERE tasks.run_no = v.column1 AND tasks.task_no = v.column2 AND tasks.attempt <= v.column3 \
             AND tasks.status IN ('waiting', 'running')",
            &failed,
        )
        .await?;
    // Attempts that still ran when their task was given up have no outcome any more.
    transaction
        .bulk(
            "UPDATE attempts SET outcome = 'lost', ended_at = v.column4, took_us = {took} FROM {rows} \
             WHERE attempts.run_no = v.column1 AND attempts.task_no = v.column2 \
             AND attempts.number <= v.column3 AND attempts.outcome IS NULL",
            &left,
        )
        .await?;
    Ok(())
}

async fn write_given_up(
    transaction: &mut Transaction,
    run_no: i64,
    given_up: &[(TaskId, Timestamp, &'static str)],
) -> Result<(), sqlx::Error> {
    let rows = given_up
        .iter()
        .map(|(task, at, word)| {
            Ok(vec![Value::int(run_no), Value::int(count(task.0)?), Value::text(*word), Value::time(*at)])
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    transaction
        .bulk(
            "UPDATE attempts SET outcome = 'cancelled', ended_at = v.column4, took_us = {took} FROM {rows} \
             WHERE attempts.run_no = v.column1 AND attempts.task_no = v.column2 AND attempts.outcome IS NULL",
            &rows,
        )
        .await?;
    transaction
        .bulk(
            "UPDATE tasks SET status = v.column3, finished_at = v.column4 FROM {rows} \
             WHERE tasks.run_no = v.column1 AND tasks.task_no = v.column2 \
             AND tasks.status IN ('waiting', 'running')",
            &rows,
        )
        .await?;
    Ok(())
}

/// The first three columns of a row about an attempt.
fn attempt_key<'q>(run_no: i64, attempt: Attempt) -> Result<[Value<'q>; 3], sqlx::Error> {
    Ok([Value::int(run_no), Value::int(count(attempt.task.0)?), Value::int(i64::from(attempt.number))])
}

/// The four columns that tell a failure.
fn why(failure: &AttemptFailure) -> [Value<'_>; 4] {
    let [stderr, stderr_bytes] = Value::printed(Some(&failure.stderr));
    [Value::text(failure.kind.word()), Value::text(failure.message.as_str()), stderr, stderr_bytes]
}

/// The four columns of an attempt that was given back because its machine was lost with several tasks in hand.
fn why_lost(reason: &str) -> [Value<'_>; 4] {
    let [stderr, stderr_bytes] = Value::printed(None);
    [Value::text(FailureKind::Lost.word()), Value::text(reason), stderr, stderr_bytes]
}

/// The four columns of an attempt that didn't fail.
fn no_reason<'q>() -> [Value<'q>; 4] {
    let [stderr, stderr_bytes] = Value::printed(None);
    [Value::text(None::<&str>), Value::text(None::<&str>), stderr, stderr_bytes]
}

/// The number of tasks before it on its machine that may be the reason why an attempt failed.
fn ran_before(outcome: &Outcome<'_>) -> Result<i64, sqlx::Error> {
    match outcome {
        Outcome::FailedOnce(failure) => count(failure.ran_before),
        _ => Ok(0),
    }
}

/// The microseconds that a failed attempt took by itself, where they aren't the time since its start.
fn took_alone(failure: &AttemptFailure) -> Option<i64> {
    failure.took.map(in_micros)
}

fn in_micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// Rows that a guard left alone are news of old attempts; they are dropped, but not unseen.
fn expect(what: &str, sent: usize, changed: u64) {
    let dropped = u64::try_from(sent).unwrap_or(u64::MAX).saturating_sub(changed);
    if dropped > 0 {
        tracing::info!(dropped, "{what} that were out of date have been dropped");
    }
}
