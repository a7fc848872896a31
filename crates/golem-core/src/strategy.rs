//! Strategies: which offers a run takes, and which of them first.
//!
//! A [`Strategy`] has one rule: it gives an offer a [`Score`], or refuses it with a reason. It is asked when the offer
//! comes, and again when an agreement is about to be made of it: what has been learned meanwhile counts, about the
//! provider as well as from the user. Small strategies are put together to larger ones.
//!
//! | to | there is |
//! |---|---|
//! | take the cheapest, within caps | [`LeastExpensive`] |
//! | do without some providers, or with some only | [`Strategy::except`], [`Strategy::only`] |
//! | refuse by a condition | [`Strategy::filter`], [`Strategy::refuse_if`] |
//! | change scores | [`Strategy::rescaled`] |
//! | put back those that failed us | [`Strategy::cautious`] |
//! | write a rule down as a closure | [`from_fn`] |
//!
//! Left to others: what is agreed besides the price ([`crate::terms`]), and how long a provider that failed is left
//! alone ([`crate::standing`]).
//!
//! # Example
//! ```
//! use std::time::Duration;
//!
//! use golem_core::caps::PriceCaps;
//! use golem_core::strategy::{LeastExpensive, ProviderList, Strategy};
//!
//! let blocked = ProviderList::from(["mighty-badger"]);
//! let caps = PriceCaps::none().start_at_most("0.1".parse()?).per_hour_at_most("1".parse()?);
//! let strategy = LeastExpensive::new(caps)
//!     .for_use(Duration::from_secs(3600))
//!     .except(&blocked)
//!     .refuse_if("it has fewer than four threads", |candidate| candidate.offer.threads < 4)
//!     // Those that have done work for us before count as if they cost two thirds.
//!     .rescaled(|candidate, score| if candidate.record.tasks_done > 0 { score * 1.5 } else { score })
//!     .cautious();
//! // From now on this one gets no agreement either, also where `strategy` is already at work.
//! blocked.add("0xabcdef0123456789abcdef0123456789abcdef01");
//! # drop(strategy);
//! # Ok::<(), yagna_api::money::GlmError>(())
//! ```

mod adapters;
mod least_expensive;
mod lists;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use yagna_api::{Glm, NodeId, Timestamp};

pub use self::adapters::{Cautious, Filtered, FromFn, Rescaled, from_fn};
pub use self::least_expensive::LeastExpensive;
pub use self::lists::{Except, Only, ProviderList};
use crate::caps::{Refusal, expected_cost};
use crate::offer::OfferTerms;
use crate::standing::Record;

/// Decides about offers.
///
/// It is asked often, and while it answers nothing else goes on: it must neither wait nor look anything up far away.
/// What it goes by may change while it is at work, such as a list that is held elsewhere too; that counts from the
/// next choice on. Where it panics, the offer is refused.
///
/// # Example
/// ```
/// use golem_core::caps::Refusal;
/// use golem_core::strategy::{Candidate, Score, Strategy};
///
/// /// The more threads, the better.
/// struct MostThreads;
///
/// impl Strategy for MostThreads {
///     fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
///         if candidate.record.failures > 3 {
///             return Err(Refusal::because("it has failed too often"));
///         }
///         Score::new(candidate.offer.threads.into())
///     }
/// }
/// ```
#[doc(alias = "MarketStrategy")]
pub trait Strategy: Send + Sync {
    /// The score of an offer, the higher the better, or the reason why it isn't taken at all.
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal>;

    /// Takes these providers only, each by its node id or its name.
    ///
    /// Names aren't unique and anyone may take any: go by ids where it matters.
    fn only(self, providers: impl Into<ProviderList>) -> Only<Self>
    where
        Self: Sized,
    {
        Only::new(self, providers.into())
    }

    /// Takes none of these providers, each by its node id or its name.
    fn except(self, providers: impl Into<ProviderList>) -> Except<Self>
    where
        Self: Sized,
    {
        Except::new(self, providers.into())
    }

    /// Refuses what doesn't meet this condition.
    fn filter<F>(self, is_wanted: F) -> Filtered<Self, F>
    where
        Self: Sized,
        F: Fn(&Candidate<'_>) -> bool + Send + Sync,
    {
        Filtered::new(self, is_wanted, true, "a filter of the requestor's doesn't let it pass")
    }

    /// Refuses what meets this condition, for this reason.
    fn refuse_if<F>(self, reason: impl Into<String>, is_unwanted: F) -> Filtered<Self, F>
    where
        Self: Sized,
        F: Fn(&Candidate<'_>) -> bool + Send + Sync,
    {
        Filtered::new(self, is_unwanted, false, reason)
    }

    /// Makes other scores of this one's. What is not a number is a refusal.
    fn rescaled<F>(self, rescale: F) -> Rescaled<Self, F>
    where
        Self: Sized,
        F: Fn(&Candidate<'_>, f64) -> f64 + Send + Sync,
    {
        Rescaled::new(self, rescale)
    }

    /// Halves the score of a provider for each agreement that it didn't approve, and for each time it failed, until it
    /// does well again. What happened in earlier runs counts less and less.
    fn cautious(self) -> Cautious<Self>
    where
        Self: Sized,
    {
        Cautious::new(self)
    }
}

impl fmt::Debug for dyn Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strategy")
    }
}

/// An offer that is to be decided about.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// The offer of its provider: prices, machine, properties.
    pub offer: &'a OfferTerms,
    /// The record of the provider, from this run and from earlier ones.
    pub record: Record,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Candidate<'a> {
    /// An offer of a provider with this record, at this time.
    pub fn new(offer: &'a OfferTerms, record: Record, now: Timestamp) -> Self {
        Self { offer, record, now }
    }

    /// The provider's node.
    pub fn id(&self) -> &'a NodeId {
        &self.offer.provider
    }

    /// The provider's name for itself.
    pub fn name(&self) -> &'a str {
        &self.offer.name
    }

    /// GLM an hour at full use, without the start price.
    pub fn per_hour(&self) -> Glm {
        self.offer.pricing.per_hour(self.offer.threads)
    }

    /// GLM for the start and so much use with all threads busy.
    pub fn cost_of(&self, use_for: Duration) -> Glm {
        expected_cost(self.offer, use_for)
    }
}

/// The score of an offer: the higher, the better. Any number, but always one.
///
/// Scores are compared with one another only, so their scale is the strategy's own. They had better be positive: a
/// factor that lowers scores can do nothing about a score of 0.
#[derive(Debug, Clone, Copy)]
pub struct Score(f64);

impl Score {
    /// The score of strategies that don't rank: 1.
    pub const NEUTRAL: Self = Self(1.0);

    /// A score; an offer whose score is not a number is refused.
    pub fn new(value: f64) -> Result<Self, Refusal> {
        // There is a zero below zero among floats, and there shouldn't be among scores.
        if value.is_nan() { Err(Refusal::NoScore) } else { Ok(Self(value + 0.0)) }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// This score made lower by a factor from 0 to 1; one below zero gets lower too.
    pub fn lowered(self, factor: f64) -> Result<Self, Refusal> {
        let factor = factor.clamp(0.0, 1.0);
        if self.0.is_infinite() && factor <= 0.0 {
            // Even the best of all is a last resort then; the worst stays the worst.
            return Ok(Self(self.0.min(0.0)));
        }
        Self::new(if self.0 < 0.0 { self.0 / factor } else { self.0 * factor })
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<S: Strategy + ?Sized> Strategy for Arc<S> {
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        (**self).appraise(candidate)
    }
}

impl<S: Strategy + ?Sized> Strategy for Box<S> {
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        (**self).appraise(candidate)
    }
}

#[cfg(test)]
mod tests;
