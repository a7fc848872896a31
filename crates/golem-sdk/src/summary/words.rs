//! Amounts, times and strangers' text in words, for people.

use golem_core::words::{amount, one_line, without_details};
use yagna_api::Glm;

/// Characters of a task's data or a stranger's reason in a line.
const DATA: usize = 200;
/// Characters of a line.
const LINE: usize = 1000;
/// Characters of a provider's name.
const NAME: usize = 64;

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
    one_line(text, LINE)
}

/// A stranger's text or a task's data, as a part of a line.
pub(super) fn part(text: &str) -> String {
    one_line(without_details(text), DATA)
}

/// A provider's name as it gives it, between quotes.
pub(super) fn name(text: &str) -> String {
    format!("'{}'", one_line(text, NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glm(text: &str) -> Glm {
        text.parse().unwrap()
    }

    #[test]
    fn shares_of_amounts_are_exact() {
        assert_eq!(each(glm("1"), 3).map(amount).as_deref(), Some("0.3333"));
        assert_eq!(each(glm("1"), 0), None);
        assert_eq!(left(glm("1"), glm("0.000001")), "0.9999", "not a whole one");
        assert_eq!(left(glm("1"), glm("0.999999")), "0.000001");
        assert_eq!(left(glm("1"), glm("2")), "0");
        assert!(reaches(glm("1"), glm("2"), 50) && !reaches(glm("0.99"), glm("2"), 50));
        assert!(!reaches(glm("1"), Glm::MAX, 90), "no amount is too large to compare");
    }
}
