//! Results as lines: the task's number, on a terminal with the task itself, a tab, and what its commands printed, byte by
//! byte.

use std::borrow::Cow;
use std::io::Write as _;

use golem_core::event::{Event, EventKind};
use serde_json::Value;

use super::SummaryFold;
use super::output::Output;
use super::text::trimmed;
use super::text::{clean, one_line};

/// Writes the results among these events.
///
/// Lines of a result after its first one have no number in front. Where the commands printed nothing, the result
/// itself stands, if there is one: a text as it is, anything else as JSON.
/// A result that is null gets no line if the job prints by itself.
pub(super) fn write_results(
    events: &[Event],
    output: &mut Output,
    fold: Option<&SummaryFold>,
    prints_itself: bool,
) {
    let lines = results(events, output.is_terminal(), fold, prints_itself);
    output.write_bytes(&lines);
}

/// The lines of all results among these events. For a terminal they are text that can't steer it, for everything else
/// the bytes as they were printed.
pub(super) fn results(
    events: &[Event],
    for_terminal: bool,
    fold: Option<&SummaryFold>,
    prints_itself: bool,
) -> Vec<u8> {
    let mut lines = Vec::new();
    for event in events {
        let EventKind::TaskDone { attempt, output, .. } = &event.kind else {
            continue;
        };
        let is_empty = output.result.is_null() && output.stdout.is_empty();
        if output.no_result || (prints_itself && is_empty) {
            continue;
        }
        let name = fold.filter(|_| for_terminal).and_then(|fold| fold.task_name(attempt.task));
        let _infallible = match name {
            Some(name) => write!(lines, "{} ({})\t", attempt.task.0, one_line(name)),
            None => write!(lines, "{}\t", attempt.task.0),
        };
        let printed = trimmed(output.stdout.as_bytes());
        if !printed.is_empty() && for_terminal {
            lines.extend_from_slice(clean(&String::from_utf8_lossy(printed)).as_bytes());
        } else if !printed.is_empty() {
            lines.extend_from_slice(printed);
        } else if let Value::String(result) = &output.result {
            let text = if for_terminal { Cow::Owned(clean(result)) } else { Cow::Borrowed(result.as_str()) };
            lines.extend_from_slice(text.as_bytes());
        } else if !output.result.is_null() {
            let _infallible = write!(lines, "{}", output.result);
        }
        lines.push(b'\n');
    }
    lines
}
