//! Results as lines of text: the task's number, on a terminal with the task itself, a tab, and what its commands printed.

use std::fmt::Write as _;

use golem_core::event::{Event, EventKind};
use serde_json::Value;

use super::SummaryFold;
use super::output::Output;
use super::text::{clean, one_line};

/// Writes the results among these events.
///
/// Lines of a result after its first one have no number in front. Where the commands printed nothing, the result
/// itself stands, if there is one: a text as it is, anything else as JSON.
pub(super) fn write_results(events: &[Event], output: &mut Output, fold: Option<&SummaryFold>) {
    let text = results(events, output.is_terminal(), fold);
    output.write(&text);
}

/// The text of all results among these events.
pub(super) fn results(events: &[Event], for_terminal: bool, fold: Option<&SummaryFold>) -> String {
    let mut text = String::new();
    for event in events {
        let EventKind::TaskDone { attempt, output, .. } = &event.kind else {
            continue;
        };
        let name = fold.filter(|_| for_terminal).and_then(|fold| fold.task_name(attempt.task));
        let _ = match name {
            Some(name) => write!(text, "{} ({})\t", attempt.task.0, one_line(name)),
            None => write!(text, "{}\t", attempt.task.0),
        };
        let printed = output.stdout.trim_end_matches(['\r', '\n']);
        if !printed.is_empty() && for_terminal {
            text.push_str(&clean(printed));
        } else if !printed.is_empty() {
            text.push_str(printed);
        } else if let Value::String(result) = &output.result {
            text.push_str(&if for_terminal { clean(result) } else { result.clone() });
        } else if !output.result.is_null() {
            let _ = write!(text, "{}", output.result);
        }
        text.push('\n');
    }
    text
}
