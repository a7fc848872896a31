//! Amounts, times and strangers' text in words, for people.

use std::time::Duration;

use golem_core::words::without_details;
use yagna_api::Glm;

/// Characters of a task's data or a stranger's reason in a line.
const DATA: usize = 200;
/// Characters of a line.
const LINE: usize = 1000;
/// Characters of a provider's name.
const NAME: usize = 64;

/// `1 task`, `2 tasks`.
pub(super) fn plural(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A duration at the precision people care for.
pub(super) fn duration(time: Duration) -> String {
    let (tenths, seconds) = (time.as_millis() / 100, time.as_secs());
    match seconds {
        0 if tenths == 0 && !time.is_zero() => format!("{:.2} s", time.as_secs_f64()),
        0..60 => format!("{}.{} s", tenths / 10, tenths % 10),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// An amount with as many decimal places as show its first three digits, four at least.
pub(super) fn amount(amount: Glm) -> String {
    let places = match amount.to_string().split_once('.') {
        Some((whole, fraction)) if whole.trim_start_matches('-') == "0" => {
            let zeros = fraction.bytes().take_while(|digit| *digit == b'0').count();
            u32::try_from(zeros).unwrap_or(0) + 3
        }
        _ => 4,
    };
    let rounded = amount.to_decimal().round_dp(places.clamp(4, Glm::PLACES));
    Glm::from_decimal_rounding_down(rounded).unwrap_or(amount).to_string()
}

/// The rest of a budget, rounded down.
pub(super) fn left(budget: Glm, cost: Glm) -> String {
    let left = budget.saturating_sub(cost);
    let shown = left.to_decimal().trunc_with_scale(4);
    match Glm::from_decimal_rounding_down(shown) {
        Some(shown) if !shown.is_zero() => shown.to_string(),
        _ => amount(left),
    }
}

/// The cost of one of `n`, where that can be computed.
pub(super) fn each(sum: Glm, n: u64) -> Option<Glm> {
    Glm::from_decimal_rounding_down(sum.to_decimal().checked_div(n.into())?)
}

/// True if so much of the whole has been used.
pub(super) fn reaches(part: Glm, whole: Glm, percent: u32) -> bool {
    let share = whole.to_decimal().checked_mul(percent.into());
    let used = part.to_decimal().checked_mul(100_u32.into());
    share.zip(used).is_some_and(|(share, used)| used >= share)
}

/// A sum with one of its parts replaced.
pub(super) fn replaced(sum: Glm, old: Glm, new: Glm) -> Glm {
    sum.saturating_sub(old).checked_add(new).unwrap_or(sum)
}

/// A whole line: one line, and no longer than anybody reads.
pub(super) fn line(text: &str) -> String {
    cut(text, LINE)
}

/// A stranger's text or a task's data, as a part of a line.
pub(super) fn part(text: &str) -> String {
    cut(without_details(text), DATA)
}

/// A provider's name as it gives it, between quotes.
pub(super) fn name(text: &str) -> String {
    format!("'{}'", cut(text, NAME))
}

/// One line of bounded length, without what could steer a terminal.
fn cut(text: &str, most: usize) -> String {
    let mut chars = text.trim().chars().map(|c| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    });
    let mut cut: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        cut.pop();
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glm(text: &str) -> Glm {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_show_their_first_digits() {
        assert_eq!(amount(glm("0.000123456789")), "0.000123");
        assert_eq!(amount(glm("2")), "2");
        assert_eq!(amount(glm("0.36")), "0.36");
        assert_eq!(amount(Glm::ZERO), "0");
        assert_eq!(each(glm("1"), 3).map(amount).as_deref(), Some("0.3333"));
        assert_eq!(each(glm("1"), 0), None);
        assert_eq!(left(glm("1"), glm("0.000001")), "0.9999", "not a whole one");
        assert_eq!(left(glm("1"), glm("0.999999")), "0.000001");
        assert_eq!(left(glm("1"), glm("2")), "0");
        assert!(reaches(glm("1"), glm("2"), 50) && !reaches(glm("0.99"), glm("2"), 50));
        assert!(!reaches(glm("1"), Glm::MAX, 90), "no amount is too large to compare");
    }

    #[test]
    fn data_is_capped_and_cannot_steer_a_terminal() {
        assert_eq!(part("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb c");
        let long = part(&"é".repeat(500));
        assert_eq!(long.chars().count(), 200);
        assert!(long.ends_with('…'));
        assert_eq!(part(&"é".repeat(200)).chars().count(), 200);
        assert!(!part(&"é".repeat(200)).contains('…'));
    }

    #[test]
    fn times_are_as_exact_as_people_care() {
        let said = [Duration::ZERO, Duration::from_millis(40), Duration::from_millis(5250)].map(duration);
        assert_eq!(said, ["0.0 s", "0.04 s", "5.2 s"]);
        assert_eq!(duration(Duration::from_secs(125)), "2 min 05 s");
        assert_eq!(duration(Duration::from_secs(7322)), "2 h 02 min");
    }
}
