//! The cheapest first, within caps.

use std::time::Duration;

use yagna_api::Glm;

use super::{Candidate, Score, Strategy};
use crate::caps::{PriceCaps, Refusal};
use crate::defaults;

/// Added to every cost, so that an offer for nothing has a score too, and one that can be lowered.
const LEAST_COST: f64 = 0.001;

/// The least expensive offers first, none above the caps.
///
/// What is compared is the cost of one activity in the time that it is meant for, all threads busy, the start
/// included. Of providers that are known from earlier runs it is corrected by how much a result really cost there, or
/// how fast it came, beside others ([`Known::handicap`]); caps are held against the offer alone. The score is one by that cost:
/// half the score is as good as double the cost.
///
/// [`Known::handicap`]: crate::standing::Known::handicap
#[doc(alias = "LeastExpensiveLinearPayuMS")]
#[derive(Debug, Clone)]
pub struct LeastExpensive {
    caps: PriceCaps,
    use_for: Duration,
}

impl LeastExpensive {
    /// The time for which an activity is assumed to be used, unless another one is set.
    pub const USE: Duration = Duration::from_secs(10 * 60);

    /// Within these caps.
    pub fn new(caps: PriceCaps) -> Self {
        Self { caps, use_for: Self::USE }
    }

    /// Within the caps of those who name none, [`defaults::price_caps`]: 0.5 GLM for the start, 5 GLM an hour at full use.
    pub fn usual() -> Self {
        Self::new(defaults::price_caps())
    }

    /// For activities that are used this long; ten minutes unless told otherwise. The longer, the less the price of the
    /// start counts.
    #[must_use]
    pub fn for_use(self, use_for: Duration) -> Self {
        Self { use_for, ..self }
    }
}

impl Strategy for LeastExpensive {
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        if let Some(refusal) = self.caps.refuse(candidate.offer) {
            return Err(refusal);
        }
        let cost = float(candidate.cost_of(self.use_for)) + LEAST_COST;
        // Offers that cost nothing still differ by their speed.
        Score::new(1.0 / (cost * candidate.record.known.handicap()))
    }
}

/// The nearest float, so that of two amounts the larger never becomes the smaller.
fn float(amount: Glm) -> f64 {
    // Only text is converted without rounding twice; that of an amount is always a number.
    amount.to_string().parse().unwrap_or(f64::INFINITY)
}
