//! `errors`: what failed, where and why, the newest first; grouped by reason, or one by one.

use std::fmt::Write as _;

use serde::Serialize;
use yagna_api::Timestamp;

use super::super::json::{self, line};
use super::super::text::{clean, named_task, one_line, plural};
use super::{Head, moment, named};
use crate::store::{ErrorGroup, ErrorKind, ErrorRow};

/// Lines shown of what was written to standard error.
const STDERR_LINES: usize = 4;

/// The failures of a run, by reason.
#[derive(Debug)]
pub(crate) struct Grouped {
    pub(crate) run_id: String,
    pub(crate) groups: Vec<ErrorGroup>,
    /// The number of groups in all.
    pub(crate) total: u64,
}

#[derive(Serialize)]
struct GroupedJson<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    groups_in_all: u64,
    groups: Vec<GroupJson<'a>>,
}

#[derive(Serialize)]
struct GroupJson<'a> {
    reason: &'a str,
    count: u64,
    providers: u64,
    first: Timestamp,
    newest: ErrorJson<'a>,
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    #[serde(rename = "type")]
    of: &'static str,
    about: &'static str,
    at: Timestamp,
    kind: Option<&'a str>,
    reason: &'a str,
    task: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    attempt: Option<u64>,
    provider: Option<json::Provider<'a>>,
    #[serde(flatten)]
    output: json::Outputs<'a>,
}

impl Grouped {
    /// A paragraph for each reason.
    pub(crate) fn text(&self) -> String {
        if self.groups.is_empty() {
            return format!("nothing has failed in run {}\n", self.run_id);
        }
        let width = self.groups.iter().map(|group| group.count.to_string().len()).max().unwrap_or(1);
        let mut text = String::new();
        for group in &self.groups {
            let newest = &group.newest;
            let _ = writeln!(text, "{:>width$}× {}", group.count, what(newest, &group.reason));
            let indent = " ".repeat(width + 2);
            if group.count == 1 {
                let _ = writeln!(text, "{indent}{}{}", moment(newest.at), place(newest));
            } else {
                let _ = write!(text, "{indent}{} to {}", moment(group.first), moment(newest.at));
                if group.providers > 1 {
                    let _ = write!(text, ", on {}", plural(group.providers, "provider"));
                }
                let place = place(newest);
                if !place.is_empty() {
                    let _ = write!(text, "; the newest{place}");
                }
                text.push('\n');
            }
            if group.reason != newest.reason {
                let _ = writeln!(text, "{indent}{}", one_line(&newest.reason));
            }
            stderr(&mut text, newest, &indent);
        }
        let shown = u64::try_from(self.groups.len()).unwrap_or(u64::MAX);
        if self.total > shown {
            let _ = writeln!(text, "… and {}", plural(self.total - shown, "other reason"));
        }
        text
    }

    /// The groups as one JSON object.
    pub(crate) fn json(&self) -> String {
        let groups = self
            .groups
            .iter()
            .map(|group| GroupJson {
                reason: &group.reason,
                count: group.count,
                providers: group.providers,
                first: group.first,
                newest: error(&group.newest),
            })
            .collect();
        line(&GroupedJson { head: Head::of("errors", &self.run_id), groups_in_all: self.total, groups })
    }
}

/// One of them in a line, with the end of its standard error below.
pub(crate) fn each_text(error: &ErrorRow) -> String {
    let mut text = format!("{}{}  {}\n", moment(error.at), place(error), what(error, &error.reason));
    stderr(&mut text, error, "    ");
    text
}

/// One of them as a JSON object.
pub(crate) fn each_json(failed: &ErrorRow) -> String {
    line(&error(failed))
}

fn error(error: &ErrorRow) -> ErrorJson<'_> {
    ErrorJson {
        of: "error",
        about: error.kind.word(),
        at: error.at,
        kind: error.detail.as_deref(),
        reason: &error.reason,
        task: error.attempt.map(|(task, _)| task),
        name: error.task_name.as_deref(),
        attempt: error.attempt.map(|(_, number)| number),
        provider: error.provider.as_ref().map(named),
        output: json::Outputs::of(None, &error.stderr),
    }
}

/// The subject of the error, with this reason.
fn what(error: &ErrorRow, reason: &str) -> String {
    let what = match (error.kind, error.detail.as_deref()) {
        (ErrorKind::Task, Some(kind)) => kind.replace('_', " "),
        (ErrorKind::Task, None) => "a task failed".to_owned(),
        (ErrorKind::Agreement, _) => "no agreement".to_owned(),
        (ErrorKind::Activity, _) => "activity failed".to_owned(),
        (ErrorKind::Bill, Some("invoice")) => "invoice refused".to_owned(),
        (ErrorKind::Bill, _) => "debit note refused".to_owned(),
        (ErrorKind::Run, Some(doing)) => format!("could not {}", one_line(doing)),
        (ErrorKind::Run, None) => "the budget wasn't raised".to_owned(),
    };
    let reason = if reason.is_empty() { "no reason given" } else { reason };
    format!("{what}: {}", one_line(reason))
}

/// The place of the failure: `, task 3, attempt 1, on lively-lynx`.
fn place(error: &ErrorRow) -> String {
    let mut place = String::new();
    if let Some((task, _)) = error.attempt {
        let _ = write!(place, ", {}, attempt {}", named_task(task, error.task_name.as_deref()), error.tried);
    }
    if let Some(provider) = &error.provider {
        let _ = write!(place, ", on {}", one_line(&provider.name));
    }
    place
}

fn stderr(text: &mut String, error: &ErrorRow, indent: &str) {
    let stderr = clean(error.stderr.to_text().trim_end());
    let lines: Vec<_> = stderr.lines().collect();
    for line in &lines[lines.len().saturating_sub(STDERR_LINES)..] {
        let _ = writeln!(text, "{indent}| {line}");
    }
}
