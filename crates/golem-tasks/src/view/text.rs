//! Numbers, amounts and durations in words, and text from strangers made safe to show.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
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

/// `1 task`, `2 tasks`.
pub(crate) fn plural(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A duration at the precision people care for.
pub(crate) fn duration(time: Duration) -> String {
    let tenths = (time.as_millis() + 50) / 100;
    let seconds =
        if tenths < 600 { tenths / 10 } else { u128::from((time + Duration::from_millis(500)).as_secs()) };
    match seconds {
        _ if time.is_zero() => "0 s".to_owned(),
        0 => format!("{:.2} s", time.as_secs_f64()),
        1..60 if tenths.is_multiple_of(10) => format!("{} s", tenths / 10),
        1..60 => format!("{}.{} s", tenths / 10, tenths % 10),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// The number of decimal places that these amounts need so that each shows its first three digits.
pub(super) fn money_places(amounts: impl IntoIterator<Item = Glm>) -> u32 {
    amounts.into_iter().map(places_of).max().unwrap_or(4).clamp(4, Glm::PLACES)
}

/// An amount with exactly so many decimal places, rounded.
pub(super) fn money(amount: Glm, places: u32) -> String {
    let width = usize::try_from(places).unwrap_or(18);
    format!("{:.width$}", amount.to_decimal().round_dp(places))
}

/// An amount alone.
pub(crate) fn one_amount(amount: Glm) -> String {
    Glm::from_decimal_rounding_down(amount.to_decimal().round_dp(money_places([amount])))
        .unwrap_or(amount)
        .to_string()
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

/// Text from strangers without what could steer a terminal; line breaks and tabs stay.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// True for characters that are commands to a terminal: control characters, and those that turn the direction of text.
fn steers(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The bytes without the line breaks at their end.
pub(crate) fn trimmed(bytes: &[u8]) -> &[u8] {
    let last = bytes.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    &bytes[..last.map_or(0, |last| last + 1)]
}

/// Text from strangers in one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = clean(text).replace('\n', " ");
    if let Some((end, _)) = line.char_indices().nth(LINE) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Decimal places up to the third digit that isn't a leading zero.
fn places_of(amount: Glm) -> u32 {
    if amount.is_zero() {
        return 0;
    }
    let text = amount.to_string();
    let Some((whole, places)) = text.split_once('.') else {
        return 0;
    };
    if whole.trim_start_matches('-') != "0" {
        return 3;
    }
    let zeros = places.bytes().take_while(|digit| *digit == b'0').count();
    u32::try_from(zeros).unwrap_or(0) + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (millis, text) in [
            (0, "0 s"),
            (204, "0.20 s"),
            (1_999, "2 s"),
            (30_000, "30 s"),
            (12_300, "12.3 s"),
            (59_960, "1 min 00 s"),
            (61_000, "1 min 01 s"),
            (7_440_000, "2 h 04 min"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

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

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\tc\nd\r"), "a\u{fffd}[2Jb\tc\nd\u{fffd}");
    }
}
