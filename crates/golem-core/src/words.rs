//! Strangers' reasons in words: without what they carry for programs.

/// A reason without the JSON document at its end: `Interrupted by signal: 15` of
/// `Interrupted by signal: 15: {"batches_done":2}`. Exe-units add their counters so, which differ each time.
///
/// # Example
/// ```
/// use golem_core::words::without_details;
///
/// assert_eq!(without_details(r#"killed: 9: {"batches_done":2,"usage":[1.5]}"#), "killed: 9");
/// assert_eq!(without_details("killed: {9}"), "killed: {9}");
/// ```
pub fn without_details(reason: &str) -> &str {
    let reason = reason.trim_end();
    let starts = reason.char_indices().filter(|(_, c)| matches!(c, '{' | '['));
    for (start, _) in starts {
        let is_document = serde_json::from_str::<serde_json::Value>(&reason[start..]).is_ok();
        let words = reason[..start]
            .trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | ';' | '-'));
        if is_document && !words.is_empty() {
            return words;
        }
    }
    reason
}

/// The words by which a failure names the number of tasks that had run on its machine before.
pub(crate) fn after_others(n: u64) -> String {
    let tasks = if n == 1 { "other task" } else { "other tasks" };
    format!("{AFTER}{n}` {tasks} on the same machine)")
}

const AFTER: &str = " (after `";

/// A failure's reason without what it says of the tasks that had run on its machine before.
///
/// # Example
/// ```
/// use golem_core::words::without_others;
///
/// assert_eq!(without_others("exited with code 7 (after `3` other tasks on the same machine)"), "exited with code 7");
/// assert_eq!(without_others("exited with code 7"), "exited with code 7");
/// ```
pub fn without_others(reason: &str) -> &str {
    match reason.rsplit_once(AFTER) {
        Some((before, after)) if after.ends_with("on the same machine)") => before,
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_document_at_the_end_is_left_out() {
        for (reason, words) in [
            (
                r#"Interrupted by signal: 15: {"batches_done":2,"state":["Ready",null]}"#,
                "Interrupted by signal: 15",
            ),
            (r#"exited [1, 2] {"a": {"b": 1}} "#, "exited [1, 2]"),
            ("lost; [1.5,2]", "lost"),
            (r#"no {"a":1} at its end"#, r#"no {"a":1} at its end"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("no space left on device", "no space left on device"),
            ("", ""),
        ] {
            assert_eq!(without_details(reason), words, "{reason}");
        }
    }
}
