//! Numbers, amounts, durations and strangers' text in words, for people.

use std::time::Duration;

use yagna_api::Glm;

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

/// `1 task`, `2 tasks`.
pub fn plural(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A duration at the precision people care for.
pub fn duration(time: Duration) -> String {
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

/// The number of decimal places that these amounts need so that each shows its first three digits; four at least.
pub fn money_places(amounts: impl IntoIterator<Item = Glm>) -> u32 {
    amounts.into_iter().map(places_of).max().unwrap_or(4).clamp(4, Glm::PLACES)
}

/// An amount with as many decimal places as show its first three digits, four at least.
pub fn amount(amount: Glm) -> String {
    let rounded = amount.to_decimal().round_dp(money_places([amount]));
    Glm::from_decimal_rounding_down(rounded).unwrap_or(amount).to_string()
}

/// Text from strangers without what could steer a terminal; line breaks and tabs stay.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Text from strangers in one line of at most this number of characters, without what could steer a terminal.
pub fn one_line(text: &str, most: usize) -> String {
    let mut line: String = clean(text.trim_matches(['\n', '\r'])).replace(['\n', '\t'], " ");
    if line.chars().nth(most).is_some() {
        line = line.chars().take(most.saturating_sub(1)).chain(['…']).collect();
    }
    line
}

/// True for characters that are commands to a terminal: control characters, and those that turn the direction of text.
fn steers(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
    fn amounts_show_their_first_digits() {
        let glm = |text: &str| text.parse::<Glm>().unwrap();
        for (exact, shown) in [("0.000123456789", "0.000123"), ("2", "2"), ("0.36", "0.36"), ("0", "0")] {
            assert_eq!(amount(glm(exact)), shown);
        }
        assert_eq!(money_places([]), 4);
        assert_eq!(money_places([glm("0.000123456"), glm("3")]), 6);
    }

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\tc\nd\r"), "a\u{fffd}[2Jb\tc\nd\u{fffd}");
        assert_eq!(one_line("a\u{1b}[2Jb\nc", 200), "a\u{fffd}[2Jb c");
        let long = one_line(&"é".repeat(500), 200);
        assert!(long.chars().count() == 200 && long.ends_with('…'));
        assert!(!one_line(&"é".repeat(200), 200).contains('…'));
    }

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
