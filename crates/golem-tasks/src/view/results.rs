//! Results as lines of text: the task's number, a tab, and what its commands printed.

use std::fmt::Write as _;

use golem_core::event::{Event, EventKind};
use serde_json::Value;

use super::output::Output;
use super::text::clean;

/// Writes the results among these events.
///
/// Lines of a result after its first one have no number in front. Where the commands printed nothing, the result
/// itself stands, if there is one: a text as it is, anything else as JSON.
pub(super) fn write_results(events: &[Event], output: &mut Output) {
    let text = results(events, output.is_terminal());
    output.write(&text);
}

/// The text of all results among these events.
pub(super) fn results(events: &[Event], for_terminal: bool) -> String {
    let mut text = String::new();
    for event in events {
        let EventKind::TaskDone { attempt, output, .. } = &event.kind else {
            continue;
        };
        let _ = write!(text, "{}\t", attempt.task.0);
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
