//! `results`: one task a line, as JSON or CSV.

use golem_core::event::TaskId;
use serde::Serialize;
use serde_json::Value;
use yagna_api::{Glm, Timestamp};

use super::super::json::{self, line, seconds};
use super::super::text::trimmed;
use super::named;
use crate::store::{ResultRow, TaskRow, TaskStatus};

/// The titles of the columns of [`csv`].
pub(crate) const CSV_HEADER: [&str; 12] = [
    "task",
    "status",
    "attempts",
    "data",
    "result",
    "stdout",
    "stderr",
    "failure",
    "provider",
    "cost",
    "took_seconds",
    "finished",
];

/// The places of the columns whose cells are bytes.
const STDOUT: usize = 5;
const STDERR: usize = 6;

#[derive(Serialize)]
struct ResultJson<'a> {
    #[serde(rename = "type")]
    of: &'static str,
    task: TaskId,
    status: &'static str,
    attempt: u32,
    data: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
    #[serde(flatten)]
    output: json::Outputs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<json::Failure<'a>>,
    provider: Option<json::Provider<'a>>,
    cost: Option<Glm>,
    took_seconds: Option<f64>,
    finished: Option<Timestamp>,
}

/// A line of JSON: the `result` of `run --json`, with the task's data and what it cost.
pub(crate) fn json(row: &ResultRow) -> String {
    let task = &row.task;
    let failure = task.failure.as_ref();
    line(&ResultJson {
        of: "result",
        task: task.task,
        status: status(task),
        attempt: task.attempts,
        data: &task.data,
        result: task.result.as_ref(),
        output: json::Outputs::of(task.result.is_some().then_some(&task.stdout), &task.stderr),
        failure: failure.map(|failure| json::Failure { kind: failure.kind, message: &failure.message }),
        provider: row.provider.as_ref().map(named),
        cost: row.cost,
        took_seconds: task.took.map(seconds),
        finished: row.finished,
    })
}

/// The cells of a line of CSV. Data and results that are texts stand as they are, anything else as JSON; what commands
/// wrote stands byte by byte, without the line breaks at its end; what there isn't is empty.
pub(crate) fn csv(row: &ResultRow) -> [Vec<u8>; 12] {
    let task = &row.task;
    let cells = [
        task.task.0.to_string(),
        status(task).to_owned(),
        task.attempts.to_string(),
        cell(&task.data),
        task.result.as_ref().map(cell).unwrap_or_default(),
        String::new(),
        String::new(),
        task.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default(),
        row.provider.as_ref().map(|provider| provider.name.clone()).unwrap_or_default(),
        row.cost.map(|cost| cost.to_string()).unwrap_or_default(),
        task.took.map(|took| seconds(took).to_string()).unwrap_or_default(),
        row.finished.map(|finished| finished.to_string()).unwrap_or_default(),
    ];
    let mut cells = cells.map(String::into_bytes);
    cells[STDOUT] = trimmed(task.stdout.as_bytes()).to_vec();
    cells[STDERR] = trimmed(task.stderr.as_bytes()).to_vec();
    cells
}

pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn status(task: &TaskRow) -> &'static str {
    if task.status == TaskStatus::Done && task.no_result { "no_result" } else { word(task.status) }
}

/// The word for a task's state.
pub(super) fn word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Waiting => "waiting",
        TaskStatus::Running => "running",
        TaskStatus::Done => "done",
        TaskStatus::Failed => "failed",
        TaskStatus::Cancelled => "cancelled",
        TaskStatus::Expired => "expired",
    }
}
