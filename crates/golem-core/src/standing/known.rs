//! The memory of a provider from earlier runs, its fading, and its weight in a choice.

use std::time::Duration;

use yagna_api::time::between;
use yagna_api::{Glm, Timestamp};

/// The knowledge of a provider from earlier runs, as of a moment. Nothing at all by default.
///
/// Numbers are weighted: what has happened just now counts as one, and half as much with each [`HALF_LIFE`](Self::HALF_LIFE)
/// that has passed since.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Known {
    /// Rentals with it that are remembered at all, each counted as one.
    pub rentals: u64,
    /// Agreements that it approved.
    pub approved: f64,
    /// Agreements that it didn't approve, or not in time.
    pub not_approved: f64,
    /// The number of agreements that it didn't approve since it last approved one.
    pub not_approved_in_a_row: f64,
    /// Tasks that it has done.
    pub tasks_done: f64,
    /// Attempts of tasks that failed with it, whoever is to blame.
    pub tasks_failed: f64,
    /// Rentals that it failed in.
    pub failures: f64,
    /// The number of failures since it last did a task.
    pub failures_in_a_row: f64,
    /// GLM that a result cost there. What failed attempts and starts cost is in it.
    pub cost_per_task: Option<Glm>,
    /// GLM that an hour of activity cost there.
    pub cost_per_hour: Option<Glm>,
    /// The speed against others that did tasks of the same runs: 2 is half of the time.
    pub speed: Option<f64>,
    /// The cost of a result against others of the same runs, held against the price of an hour that each had offered: 2
    /// is twice as much as the offer lets expect.
    pub dearness: Option<f64>,
    /// The time of the last contact.
    pub last_seen: Option<Timestamp>,
    /// The moment that the weights are of; they fade no further where there is none.
    pub as_of: Option<Timestamp>,
}

impl Known {
    /// After this time what has happened counts half. Machines of providers are restarted, updated, crowded and
    /// repriced within days: what one did yesterday says much, and what it did a month ago nearly nothing.
    pub const HALF_LIFE: Duration = Duration::from_secs(3 * 24 * 3600);
    /// The age after which an observation counts less than a thousandth, and needn't be remembered.
    pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(10 * Self::HALF_LIFE.as_secs());

    /// So many results are believed half of what they say about price and speed.
    const FEW: f64 = 3.0;
    /// Experience raises or lowers what a result is expected to cost by this factor at most.
    const MOST: f64 = 4.0;
    /// The least weight at which a failure is still held against a provider.
    const STILL_COUNTS: f64 = 0.25;

    /// The weight of an observation after this time: 1 at once, then less and less.
    pub fn weight_after(age: Duration) -> f64 {
        (-age.as_secs_f64() / Self::HALF_LIFE.as_secs_f64()).exp2()
    }

    /// Fades the knowledge until then. Nothing gets fresher where the time lies before.
    #[must_use]
    pub fn faded(self, now: Timestamp) -> Self {
        let Some(as_of) = self.as_of else {
            return self;
        };
        let weight = Self::weight_after(between(as_of, now));
        Self {
            approved: self.approved * weight,
            not_approved: self.not_approved * weight,
            not_approved_in_a_row: self.not_approved_in_a_row * weight,
            tasks_done: self.tasks_done * weight,
            tasks_failed: self.tasks_failed * weight,
            failures: self.failures * weight,
            failures_in_a_row: self.failures_in_a_row * weight,
            as_of: Some(as_of.max(now)),
            ..self
        }
    }

    /// By how much a result will cost more than its offer lets expect, compared with others: 1 where nothing is known,
    /// above that for those who proved dear or slow, below for those who proved cheap or fast.
    ///
    /// What a result did cost is believed before how fast it came, and either the more, the more results there were
    /// lately. It is within a quarter and four.
    pub fn handicap(&self) -> f64 {
        let told = self.dearness.or_else(|| self.speed.map(f64::recip));
        let Some(ratio) = told.filter(|ratio| *ratio > 0.0 && ratio.is_finite()) else {
            return 1.0;
        };
        let belief = self.tasks_done / (self.tasks_done + Self::FEW);
        ratio.clamp(Self::MOST.recip(), Self::MOST).powf(belief)
    }

    /// True if recent failures are still held against it, by more than a little.
    pub fn is_set_back(&self) -> bool {
        self.not_approved_in_a_row + self.failures_in_a_row >= Self::STILL_COUNTS
    }
}
