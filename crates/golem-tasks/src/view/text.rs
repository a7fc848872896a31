//! Numbers, amounts and durations in words, and text from strangers made safe to show.

use golem_core::words;
pub(super) use golem_core::words::money_places;
pub(crate) use golem_core::words::{amount as one_amount, clean, duration, plural};
use serde_json::Value;
use std::fmt::Write as _;
use yagna_api::{Glm, Timestamp};

use crate::store::TaskCounts;

/// Characters of a line about an event.
const LINE: usize = 500;

/// Characters shown of a command or a task.
const SHOWN: usize = 100;

/// A command or a task in one line, cut where it is long.
pub(crate) fn short(text: &str) -> String {
    let line = text.replace('\n', "⏎");
    if line.chars().count() <= SHOWN {
        return line;
    }
    line.chars().take(SHOWN).chain(['…']).collect()
}

/// The progress of the tasks: `3 of 24 tasks done, 1 failed, 2 running`.
pub(super) fn progress(tasks: TaskCounts, total: Option<u64>) -> String {
    let mut text = match total {
        Some(total) => format!("{} of {} done", tasks.done, plural(total.max(tasks.total()), "task")),
        // So many were read ahead, which says nothing.
        None => format!("{} done", plural(tasks.done, "task")),
    };
    if tasks.failed > 0 {
        let _ = write!(text, ", {} failed", tasks.failed);
    }
    if tasks.running > 0 {
        let _ = write!(text, ", {} running", tasks.running);
    }
    text
}

/// `task 12`, or `task 12 (scenes/shot 02.blend)`.
pub(crate) fn named_task(task: u64, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("task {task} ({})", one_line(name)),
        None => format!("task {task}"),
    }
}

/// A task's data as it stands in a message: a text as it is, anything else as JSON, at a length that fits a line.
pub(crate) fn quoted(data: &Value) -> String {
    const SHOWN: usize = 80;
    let whole = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
    let line = one_line(&whole);
    if line.chars().count() <= SHOWN {
        return format!("`{line}`");
    }
    format!("`{}…`", line.chars().take(SHOWN).collect::<String>())
}

/// An amount with exactly so many decimal places, rounded.
pub(super) fn money(amount: Glm, places: u32) -> String {
    let width = usize::try_from(places).unwrap_or(18);
    format!("{:.width$}", amount.to_decimal().round_dp(places))
}

/// An amount for a table: what was accepted, or our own estimate where that is more, marked as one.
pub(super) fn used_money(accepted: Glm, estimate: Glm, places: u32) -> String {
    if estimate > accepted { format!("~{}", money(estimate, places)) } else { money(accepted, places) }
}

/// The amount used so far: the accepted one, or our own estimate where that is more, marked as one.
pub(crate) fn used(accepted: Glm, estimate: Glm) -> String {
    if estimate <= accepted {
        return one_amount(accepted);
    }
    let places = money_places([estimate]).saturating_sub(1);
    let rounded = Glm::from_decimal_rounding_down(estimate.to_decimal().round_dp(places)).unwrap_or(estimate);
    format!("~{rounded}")
}

/// The time of an event after the start: `+12.3s`.
pub(super) fn since(start: Timestamp, at: Timestamp) -> String {
    format!("+{:.1}s", yagna_api::time::between(start, at).as_secs_f64())
}

/// The bytes without the line breaks at their end.
pub(crate) fn trimmed(bytes: &[u8]) -> &[u8] {
    let last = bytes.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    &bytes[..last.map_or(0, |last| last + 1)]
}

/// Text from strangers in one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    words::one_line(text, LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_shows_three_digits_of_the_smallest_amount() {
        let glm = |text: &str| text.parse::<Glm>().unwrap();
        assert_eq!(money_places([]), 4);
        assert_eq!(money_places([glm("0.25"), glm("3")]), 4);
        assert_eq!(money_places([glm("0.000123456"), glm("3")]), 6);
        assert_eq!(money(glm("0.000123456"), 6), "0.000123");
        assert_eq!(money(glm("3"), 6), "3.000000");
        assert_eq!(money(glm("0.0000005"), 18), "0.000000500000000000");
        assert_eq!(one_amount(glm("0.000123456789")), "0.000123");
        assert_eq!(one_amount(Glm::ZERO), "0");
    }
}
