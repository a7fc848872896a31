//! Tasks and their tries: thousands a second, so they are written many at a time.
//!
//! Three kinds of changes, written in this order: tasks that are added, tries that start, tries that end. A change
//! that must come after one that is still pending for the same task makes the pending ones be written first.

use std::collections::HashMap;

use golem_core::event::{
    Attempt, AttemptFailure, Event, EventKind, FailureKind, RentalId, TaskId, TaskOutput,
};
use serde_json::Value;
use sqlx::SqliteConnection;

use super::super::bulk::bulk;
use super::{count, json, micros};

/// Something that happened to a task.
pub(super) struct Change<'e> {
    task: TaskId,
    at: i64,
    kind: ChangeKind<'e>,
}

enum ChangeKind<'e> {
    Added(&'e Value),
    Started(Attempt, RentalId),
    Ended(Attempt, Outcome<'e>),
}

#[derive(Clone, Copy)]
enum Outcome<'e> {
    Done { output: &'e TaskOutput, took_us: i64 },
    FailedOnce(&'e AttemptFailure),
    FailedForGood { failure: &'e AttemptFailure, began: bool },
    Cancelled,
}

/// Changes that wait to be written together.
#[derive(Default)]
pub(super) struct Pending<'e> {
    /// The last kind of change of each task among them.
    newest: HashMap<TaskId, Phase>,
    added: Vec<(TaskId, i64, &'e Value)>,
    started: Vec<(Attempt, i64, RentalId)>,
    ended: Vec<(Attempt, i64, Outcome<'e>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Added,
    Started,
    Ended,
}

impl<'e> Change<'e> {
    /// The change an event makes to a task, if it makes one.
    pub(super) fn of(event: &'e Event) -> Option<Self> {
        let (task, kind) = match &event.kind {
            EventKind::TaskAdded { task, data, .. } => (*task, ChangeKind::Added(data)),
            EventKind::TaskStarted { attempt, rental } => {
                (attempt.task, ChangeKind::Started(*attempt, *rental))
            }
            EventKind::TaskDone { attempt, output, took, .. } => {
                let took_us = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
                (attempt.task, ChangeKind::Ended(*attempt, Outcome::Done { output, took_us }))
            }
            EventKind::AttemptFailed { attempt, failure, .. } => {
                (attempt.task, ChangeKind::Ended(*attempt, Outcome::FailedOnce(failure)))
            }
            EventKind::AttemptCancelled { attempt, .. } => {
                (attempt.task, ChangeKind::Ended(*attempt, Outcome::Cancelled))
            }
            EventKind::TaskFailed { attempt, rental, failure } => {
                let began = rental.is_some();
                let outcome = Outcome::FailedForGood { failure, began };
                (attempt.task, ChangeKind::Ended(*attempt, outcome))
            }
            _ => return None,
        };
        Some(Self { task, at: micros(event.at), kind })
    }

    fn phase(&self) -> Phase {
        match self.kind {
            ChangeKind::Added(_) => Phase::Added,
            ChangeKind::Started(..) => Phase::Started,
            ChangeKind::Ended(..) => Phase::Ended,
        }
    }
}

impl<'e> Pending<'e> {
    /// May this change be written together with the pending ones?
    pub(super) fn takes(&self, change: &Change<'e>) -> bool {
        self.newest.get(&change.task).is_none_or(|newest| *newest < change.phase())
    }

    pub(super) fn add(&mut self, change: &Change<'e>) {
        self.newest.insert(change.task, change.phase());
        match change.kind {
            ChangeKind::Added(data) => self.added.push((change.task, change.at, data)),
            ChangeKind::Started(attempt, rental) => self.started.push((attempt, change.at, rental)),
            ChangeKind::Ended(attempt, outcome) => self.ended.push((attempt, change.at, outcome)),
        }
    }

    /// Writes all pending changes; none are pending afterwards.
    pub(super) async fn write(
        &mut self,
        connection: &mut SqliteConnection,
        run_no: i64,
    ) -> Result<(), sqlx::Error> {
        self.newest.clear();
        write_added(connection, run_no, &self.added).await?;
        self.added.clear();
        write_started(connection, run_no, &self.started).await?;
        self.started.clear();
        write_ended(connection, run_no, &self.ended).await?;
        self.ended.clear();
        Ok(())
    }
}

async fn write_added(
    connection: &mut SqliteConnection,
    run_no: i64,
    added: &[(TaskId, i64, &Value)],
) -> Result<(), sqlx::Error> {
    let rows = added
        .iter()
        .map(|(task, at, data)| Ok((count(task.0)?, *at, data.to_string())))
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    bulk(
        connection,
        "INSERT INTO task (run_no, task_no, status, added_at, data) ",
        &rows,
        |(task, at, data), columns| {
            columns.push_bind(run_no);
            columns.push_bind(*task);
            columns.push_bind("waiting");
            columns.push_bind(*at);
            columns.push_bind(data);
        },
        " ON CONFLICT DO NOTHING",
    )
    .await?;
    Ok(())
}

async fn write_started(
    connection: &mut SqliteConnection,
    run_no: i64,
    started: &[(Attempt, i64, RentalId)],
) -> Result<(), sqlx::Error> {
    let rows = started
        .iter()
        .map(|(attempt, at, rental)| {
            Ok((count(attempt.task.0)?, i64::from(attempt.number), *at, count(rental.0)?))
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    // An earlier try of which nothing was heard is lost from now on.
    let again: Vec<_> = rows.iter().filter(|(_, number, ..)| *number > 1).copied().collect();
    bulk(
        connection,
        "UPDATE attempt SET outcome = 'lost', ended_at = v.column4, took_us = v.column4 - attempt.started_at \
         FROM (",
        &again,
        |(task, number, at, _), columns| {
            columns.push_bind(run_no);
            columns.push_bind(*task);
            columns.push_bind(*number);
            columns.push_bind(*at);
        },
        ") AS v WHERE attempt.run_no = v.column1 AND attempt.task_no = v.column2 AND attempt.number < v.column3 \
         AND attempt.outcome IS NULL",
    )
    .await?;
    let inserted = bulk(
        connection,
        "INSERT INTO attempt (run_no, task_no, number, rental_no, started_at) \
         SELECT v.column1, v.column2, v.column3, v.column4, v.column5 FROM (",
        &rows,
        |(task, number, at, rental), columns| {
            columns.push_bind(run_no);
            columns.push_bind(*task);
            columns.push_bind(*number);
            columns.push_bind(*rental);
            columns.push_bind(*at);
        },
        ") AS v JOIN task ON task.run_no = v.column1 AND task.task_no = v.column2 \
         WHERE task.attempt < v.column3 AND task.status IN ('waiting', 'running')",
    )
    .await?;
    expect("starts of tries", rows.len(), inserted);
    bulk(
        connection,
        "UPDATE task SET status = 'running', attempt = v.column3 FROM (",
        &rows,
        |(task, number, ..), columns| {
            columns.push_bind(run_no);
            columns.push_bind(*task);
            columns.push_bind(*number);
        },
        ") AS v WHERE task.run_no = v.column1 AND task.task_no = v.column2 AND task.attempt < v.column3 \
         AND task.status IN ('waiting', 'running')",
    )
    .await?;
    Ok(())
}

async fn write_ended(
    connection: &mut SqliteConnection,
    run_no: i64,
    ended: &[(Attempt, i64, Outcome<'_>)],
) -> Result<(), sqlx::Error> {
    let mut tries = Vec::new();
    let (mut done, mut waiting, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (attempt, at, outcome) in ended {
        let (task, number) = (count(attempt.task.0)?, i64::from(attempt.number));
        let (word, took_us, failure) = match *outcome {
            Outcome::Done { output, took_us } => {
                done.push((task, number, *at, json(&output.result)?, output));
                ("done", Some(took_us), None)
            }
            Outcome::FailedOnce(failure) => {
                waiting.push((task, number));
                ("failed", None, Some(failure))
            }
            Outcome::Cancelled => {
                waiting.push((task, number));
                ("cancelled", None, None)
            }
            Outcome::FailedForGood { failure, began } => {
                failed.push((task, number, *at, failure));
                if !began {
                    continue;
                }
                ("failed", None, Some(failure))
            }
        };
        tries.push((task, number, *at, word, took_us, failure));
    }
    let ended = bulk(
        connection,
        "UPDATE attempt SET outcome = v.column4, ended_at = v.column5, \
         took_us = coalesce(v.column6, v.column5 - attempt.started_at), \
         failure_kind = v.column7, failure = v.column8, stderr = v.column9 FROM (",
        &tries,
        |(task, number, at, word, took_us, failure), columns| {
            columns.push_bind(run_no);
            columns.push_bind(*task);
            columns.push_bind(*number);
            columns.push_bind(*word);
            columns.push_bind(*at);
            columns.push_bind(*took_us);
            columns.push_bind(failure.map(|failure| kind_word(failure.kind)));
            columns.push_bind(failure.map(|failure| failure.message.as_str()));
            columns.push_bind(failure.and_then(|failure| some_text(&failure.stderr)));
        },
        ") AS v WHERE attempt.run_no = v.column1 AND attempt.task_no = v.column2 AND attempt.number = v.column3 \
         AND attempt.outcome IS NULL",
    )
    .await?;
    expect("outcomes of tries", tries.len(), ended);
    let recorded = bulk(
        connection,
        "UPDATE task SET status = 'done', finished_at = v.column4, result = v.column5, stdout = v.column6, \
         stderr = v.column7 FROM (",
        &done,
        |(task, number, at, result, output), columns| {
            columns.push_bind(run_no);
            columns.push_bind(*task);
            columns.push_bind(*number);
            columns.push_bind(*at);
            columns.push_bind(result);
            columns.push_bind(some_text(&output.stdout));
            columns.push_bind(some_text(&output.stderr));
        },
        ") AS v WHERE task.run_no = v.column1 AND task.task_no = v.column2 AND task.attempt = v.column3 \
         AND task.status = 'running'",
    )
    .await?;
    expect("results", done.len(), recorded);
    bulk(
        connection,
        "UPDATE task SET status = 'waiting' FROM (",
        &waiting,
        |(task, number), columns| {
            columns.push_bind(run_no);
            columns.push_bind(*task);
            columns.push_bind(*number);
        },
        ") AS v WHERE task.run_no = v.column1 AND task.task_no = v.column2 AND task.attempt = v.column3 \
         AND task.status = 'running'",
    )
    .await?;
    bulk(
        connection,
        "UPDATE task SET status = 'failed', attempt = v.column3, finished_at = v.column4, \
         failure_kind = v.column5, failure = v.column6, stderr = v.column7 FROM (",
        &failed,
        |(task, number, at, failure), columns| {
            columns.push_bind(run_no);
            columns.push_bind(*task);
            columns.push_bind(*number);
            columns.push_bind(*at);
            columns.push_bind(kind_word(failure.kind));
            columns.push_bind(failure.message.as_str());
            columns.push_bind(some_text(&failure.stderr));
        },
        ") AS v WHERE task.run_no = v.column1 AND task.task_no = v.column2 AND task.attempt <= v.column3 \
         AND task.status IN ('waiting', 'running')",
    )
    .await?;
    // Tries that still ran when their task was given up have no outcome any more.
    bulk(
        connection,
        "UPDATE attempt SET outcome = 'lost', ended_at = v.column4, took_us = v.column4 - attempt.started_at \
         FROM (",
        &failed,
        |(task, number, at, _), columns| {
            columns.push_bind(run_no);
            columns.push_bind(*task);
            columns.push_bind(*number);
            columns.push_bind(*at);
        },
        ") AS v WHERE attempt.run_no = v.column1 AND attempt.task_no = v.column2 AND attempt.number <= v.column3 \
         AND attempt.outcome IS NULL",
    )
    .await?;
    Ok(())
}

/// The word that a kind of failure has everywhere outside the program.
pub(in super::super) fn kind_word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::CommandFailed => "command_failed",
        FailureKind::Expired => "expired",
        FailureKind::Lost => "lost",
        FailureKind::TransferFailed => "transfer_failed",
        FailureKind::Rejected => "rejected",
        FailureKind::Invalid => "invalid",
    }
}

fn some_text(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Rows that a guard left alone are news of old tries; they are dropped, but not unseen.
fn expect(what: &str, sent: usize, changed: u64) {
    let dropped = u64::try_from(sent).unwrap_or(u64::MAX).saturating_sub(changed);
    if dropped > 0 {
        tracing::info!(dropped, "{what} that were out of date have been dropped");
    }
}
