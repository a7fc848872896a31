//! The words of the progress bar: as many as fit beside it, the most important ones first.

use std::time::Duration;

use yagna_api::time::short;

/// Time that must have passed before a rate means something.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// The facts about a run that the bar shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Told {
    /// Tasks that came to their end since somebody looks.
    pub(super) ended: u64,
    /// For how long that has been.
    pub(super) looked: Duration,
    /// Tasks that have no end yet, if it is known how many there are.
    pub(super) left: Option<u64>,
    pub(super) running: u64,
    /// Tasks that failed for good.
    pub(super) failed: u64,
    /// Attempts that failed.
    pub(super) failed_attempts: u64,
    pub(super) providers: u64,
    /// The amount used so far, marked if it is an estimate.
    pub(super) cost: String,
    pub(super) budget: Option<String>,
}

impl Told {
    /// The words, within so many characters.
    pub(super) fn words(&self, room: usize) -> String {
        let many = |n: u64, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
        let cost = match &self.budget {
            Some(budget) => format!("{} of {budget}", self.cost),
            None => format!("{} GLM", self.cost),
        };
        // The parts in their order, each with its rank: the highest goes first where there is no room.
        let parts = [
            (2, (self.failed > 0).then(|| format!("{} failed", self.failed))),
            (4, Some(format!("{} running", self.running))),
            (1, self.time_left().map(|left| format!("about {} left", short(left)))),
            (3, Some(cost)),
            (6, self.rate()),
            (
                5,
                (self.failed_attempts > 0)
                    .then(|| many(self.failed_attempts, "failed attempt", "failed attempts")),
            ),
            (7, Some(many(self.providers, "provider", "providers"))),
        ];
        let mut parts: Vec<(u8, String)> =
            parts.into_iter().filter_map(|(rank, part)| Some((rank, part?))).collect();
        loop {
            let text: String = parts.iter().map(|(_, part)| format!(", {part}")).collect::<Vec<_>>().concat();
            if text.chars().count() <= room || parts.len() <= 1 {
                return text;
            }
            let last = parts.iter().map(|(rank, _)| *rank).max();
            parts.retain(|(rank, _)| Some(*rank) != last);
        }
    }

    /// The time that the rest takes at the pace so far.
    fn time_left(&self) -> Option<Duration> {
        let left = self.left.filter(|left| *left > 0)?;
        if self.ended == 0 || self.looked < FIRST_LOOK {
            return None;
        }
        let millis = self.looked.as_millis().checked_mul(u128::from(left))? / u128::from(self.ended);
        let time = Duration::from_millis(u64::try_from(millis).ok()?);
        Some(if time > MINUTE {
            Duration::from_secs(time.as_secs() / 10 * 10)
        } else {
            Duration::from_secs(time.as_secs().max(1))
        })
    }

    /// Tasks a second, or a minute or an hour where they are fewer.
    fn rate(&self) -> Option<String> {
        if self.ended == 0 || self.looked < FIRST_LOOK {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
        let a_second = self.ended as f64 / self.looked.as_secs_f64();
        let (rate, unit) = [(1.0, "s"), (60.0, "min"), (3600.0, "h")]
            .into_iter()
            .map(|(seconds, unit)| (a_second * seconds, unit))
            .find(|(rate, unit)| *rate >= 1.0 || *unit == "h")?;
        Some(if rate < 10.0 { format!("{rate:.1}/{unit}") } else { format!("{rate:.0}/{unit}") })
    }
}

/// Longer times are rounded to tens of seconds.
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        Told {
            ended: 30,
            looked: Duration::from_secs(60),
            left: Some(90),
            running: 4,
            failed: 1,
            failed_attempts: 3,
            providers: 4,
            cost: "~0.02".to_owned(),
            budget: Some("1 GLM".to_owned()),
        }
    }

    #[test]
    fn the_bar_tells_the_pace_the_time_left_failures_and_the_cost_of_the_budget() {
        let all =
            ", 1 failed, 4 running, about 3m left, ~0.02 of 1 GLM, 30/min, 3 failed attempts, 4 providers";
        assert_eq!(told().words(200), all);
        let endless = Told { left: None, budget: None, ended: 240, failed: 0, failed_attempts: 1, ..told() };
        assert_eq!(endless.words(200), ", 4 running, ~0.02 GLM, 4.0/s, 1 failed attempt, 4 providers");
        let begun = Told { looked: Duration::from_secs(1), ..told() };
        assert!(!begun.words(200).contains("left") && !begun.words(200).contains("/min"));
    }

    #[test]
    fn where_there_is_little_room_the_least_important_words_go_first() {
        assert_eq!(told().words(60), ", 1 failed, 4 running, about 3m left, ~0.02 of 1 GLM");
        assert_eq!(told().words(30), ", 1 failed, about 3m left");
        assert_eq!(told().words(0), ", about 3m left");
        for room in 16..120 {
            assert!(told().words(room).chars().count() <= room, "{room}");
        }
    }
}
