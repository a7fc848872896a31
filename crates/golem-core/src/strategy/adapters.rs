//! Strategies around others: conditions, other scores, caution; and closures.

use std::fmt;

use super::{Candidate, Score, Strategy};
use crate::caps::Refusal;

/// A strategy with a condition; see [`Strategy::filter`] and [`Strategy::refuse_if`].
#[derive(Clone)]
pub struct Filtered<S, F> {
    strategy: S,
    condition: F,
    /// The value that the condition must have.
    wanted: bool,
    reason: String,
}

impl<S, F> Filtered<S, F> {
    pub(super) fn new(strategy: S, condition: F, wanted: bool, reason: impl Into<String>) -> Self {
        Self { strategy, condition, wanted, reason: reason.into() }
    }
}

impl<S: Strategy, F> Strategy for Filtered<S, F>
where
    F: Fn(&Candidate<'_>) -> bool + Send + Sync,
{
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        if (self.condition)(candidate) == self.wanted {
            self.strategy.appraise(candidate)
        } else {
            Err(Refusal::because(self.reason.clone()))
        }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Filtered<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filtered")
            .field("strategy", &self.strategy)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// A strategy with other scores; see [`Strategy::rescaled`].
#[derive(Clone)]
pub struct Rescaled<S, F> {
    strategy: S,
    rescale: F,
}

impl<S, F> Rescaled<S, F> {
    pub(super) fn new(strategy: S, rescale: F) -> Self {
        Self { strategy, rescale }
    }
}

impl<S: Strategy, F> Strategy for Rescaled<S, F>
where
    F: Fn(&Candidate<'_>, f64) -> f64 + Send + Sync,
{
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        let score = self.strategy.appraise(candidate)?;
        Score::new((self.rescale)(candidate, score.get()))
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Rescaled<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rescaled").field("strategy", &self.strategy).finish_non_exhaustive()
    }
}

/// A strategy that puts providers back which didn't approve an agreement or failed, until they do well again.
///
/// One factor lowers the score for each agreement that the provider didn't approve since it last approved one, another
/// for each time it failed since it last did a task. What is [known](crate::standing::Known) from earlier runs counts with
/// its weight: what weighs half lowers the score by the factor's root.
#[doc(alias = "DecreaseScoreForUnconfirmedAgreement")]
#[derive(Debug, Clone)]
pub struct Cautious<S> {
    strategy: S,
    not_approved: f64,
    failed: f64,
}

impl<S> Cautious<S> {
    /// A half for each.
    pub fn new(strategy: S) -> Self {
        Self { strategy, not_approved: 0.5, failed: 0.5 }
    }

    /// With these factors, from 0 (a last resort) to 1 (no matter): for an agreement that wasn't approved, and for a
    /// failure.
    #[must_use]
    pub fn by(self, not_approved: f64, failed: f64) -> Self {
        Self { not_approved, failed, ..self }
    }
}

impl<S: Strategy> Strategy for Cautious<S> {
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        let score = self.strategy.appraise(candidate)?;
        let record = candidate.record;
        score
            .lowered(power(
                self.not_approved,
                record.not_approved_in_a_row,
                record.known.not_approved_in_a_row,
            ))?
            .lowered(power(self.failed, record.failures_in_a_row, record.known.failures_in_a_row))
    }
}

/// The factor, as often as something happened in this run and, by its weight, in earlier ones.
fn power(factor: f64, times: u32, known: f64) -> f64 {
    factor.clamp(0.0, 1.0).powf(f64::from(times) + known.max(0.0))
}

/// A closure as a strategy.
///
/// # Example
/// ```
/// use golem_core::caps::Refusal;
/// use golem_core::strategy::{Score, from_fn};
/// let no_strangers = from_fn(|candidate| {
///     if candidate.name().starts_with("lab-") { Ok(Score::NEUTRAL) } else { Err(Refusal::because("it isn't ours")) }
/// });
/// # drop(no_strangers);
/// ```
pub fn from_fn<F>(appraise: F) -> FromFn<F>
where
    F: Fn(&Candidate<'_>) -> Result<Score, Refusal> + Send + Sync,
{
    FromFn(appraise)
}

/// A closure as a strategy; see [`from_fn`].
#[derive(Clone)]
pub struct FromFn<F>(F);

impl<F> Strategy for FromFn<F>
where
    F: Fn(&Candidate<'_>) -> Result<Score, Refusal> + Send + Sync,
{
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        (self.0)(candidate)
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn(..)")
    }
}
