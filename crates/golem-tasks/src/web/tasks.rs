//! The tasks of a run as the page lists them, and one of them with all its attempts.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use golem_core::event::Printed;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Trouble, json_text, refused};
use super::shared::Shared;
use crate::store::{AttemptRow, ResultRow, TaskOrder, TasksWanted, task_name};

/// Tasks in an answer at most.
const PAGE: usize = 200;
/// Characters of a text in a list.
const SHOWN: usize = 200;
/// Bytes of one output of a task that are shown.
const MOST: usize = 1 << 20;

/// The tasks that are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    status: String,
    text: String,
    provider: String,
    order: String,
    at: usize,
    count: usize,
}

/// A page of a list.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Path(run_id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Trouble> {
    let wanted = TasksWanted {
        status: asked.status,
        text: asked.text,
        provider: asked.provider,
        order: match asked.order.as_str() {
            "slowest" => TaskOrder::Slowest,
            "newest" => TaskOrder::Newest,
            _ => TaskOrder::Number,
        },
    };
    let numbers = shared.numbers(&run_id, wanted).await?;
    let from = asked.at.min(numbers.len());
    let until = from.saturating_add(asked.count.min(PAGE)).min(numbers.len());
    let rows = shared.store().tasks_numbered(&run_id, &numbers[from..until]).await?;
    let rows: Vec<_> = rows.iter().map(row).collect();
    Ok(json_text(json!({ "total": numbers.len(), "at": from, "tasks": rows }).to_string()))
}

/// One task.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    Path((run_id, task)): Path<(String, u64)>,
) -> Result<Response, Trouble> {
    let Some(found) = shared.store().whole_task(&run_id, task).await? else {
        return Ok(refused(StatusCode::NOT_FOUND, "the run has no task of this number"));
    };
    let attempts = shared.store().attempts(&run_id, task).await?;
    let mut told = row(&found);
    told["data"] = found.task.data.clone();
    told["result"] = found.task.result.clone().unwrap_or_default();
    told["stdout"] = printed(&found.task.stdout);
    told["stderr"] = printed(&found.task.stderr);
    told["attempts"] = attempts.iter().map(attempt).collect();
    Ok(json_text(told.to_string()))
}

fn row(row: &ResultRow) -> Value {
    let task = &row.task;
    let output = if task.stdout.is_empty() {
        match &task.result {
            Some(Value::Null) | None => String::new(),
            Some(Value::String(text)) => cut(text),
            Some(result) => cut(&result.to_string()),
        }
    } else {
        cut(&task.stdout.to_text())
    };
    json!({
        "task": task.task,
        "name": task_name(task.task.0, &task.data),
        "status": if task.no_result { "no_result" } else { task.status.word() },
        "attempts_made": task.attempts,
        "provider": row.provider.as_ref().map(|provider| &provider.name),
        "took": task.took.map(|took| took.as_secs_f64()),
        "finished": row.finished,
        "output": output,
        "failure": task.failure.as_ref().map(|failure| json!({ "kind": failure.kind, "message": cut(&failure.message) })),
    })
}

fn attempt(attempt: &AttemptRow) -> Value {
    json!({
        "number": attempt.number,
        "provider": attempt.provider.as_ref().map(|provider| &provider.name),
        "outcome": attempt.outcome,
        "started": attempt.started,
        "ended": attempt.ended,
        "took": attempt.took.map(|took| took.as_secs_f64()),
        "kind": attempt.failure_kind,
        "failure": attempt.failure,
        "stderr": printed(&attempt.stderr),
    })
}

/// The output as text, and its length where that isn't all of it.
fn printed(output: &Printed) -> Value {
    let bytes = output.as_bytes();
    if bytes.len() <= MOST {
        return json!({ "text": output.to_text(), "bytes": bytes.len(), "is_text": output.as_text().is_some() });
    }
    let text = String::from_utf8_lossy(&bytes[..MOST]);
    json!({ "text": text, "bytes": bytes.len(), "cut": true, "is_text": output.as_text().is_some() })
}

fn cut(text: &str) -> String {
    text.trim().chars().take(SHOWN).collect()
}
