//! Price caps: offers that are too expensive, the cheaper of two, and the words in which offers are refused.
//!
//! What is made of that is a matter of the [`crate::strategy`].

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use yagna_api::{Glm, Timestamp};

use crate::offer::{OfferProblem, OfferTerms, plain};
use crate::pricing::{round_up, supply};
use crate::raise::{AboveCap, CappedPrice};

/// The highest prices that are paid. There is no cap unless one is named, and that there is none must be said:
/// [`PriceCaps::none`].
///
/// # Example
/// ```
/// use golem_core::caps::PriceCaps;
/// let caps = PriceCaps::none()
///     .start_at_most("0.1".parse()?)
///     .per_hour_at_most("2".parse()?)
///     .unit_at_most("golem.usage.gib", "0.01".parse()?);
/// # Ok::<(), yagna_api::money::GlmError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PriceCaps {
    /// GLM for starting an activity.
    pub start: Option<Glm>,
    /// GLM an hour at full use, without the start price.
    pub per_hour: Option<Glm>,
    /// GLM for a unit of each of these usage counters, such as a second of `golem.usage.cpu_sec`.
    pub per_unit: BTreeMap<String, Glm>,
}

/// The reasons why we refuse an offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum Refusal {
    /// An hour costs too much.
    #[error("{price} GLM an hour is above the cap of {cap}")]
    TooDear { price: Glm, cap: Glm },
    /// A unit of one usage counter costs too much.
    #[error("{price} GLM for a unit of `{counter}` is above the cap of {cap}")]
    UnitTooDear { counter: String, price: Glm, cap: Glm },
    /// Starting costs too much.
    #[error("{price} GLM for the start is above the cap of {cap}")]
    StartTooDear { price: Glm, cap: Glm },
    /// It charges for something that a clock doesn't bound, so no cap can be kept.
    #[error("it charges for `{counter}`, which has no bound, so no cap can be kept")]
    Unbounded { counter: String },
    /// It can't be paid on our platform.
    #[error("it can't be paid on {wanted}, only on: {offered}")]
    Platform {
        wanted: String,
        /// Its own, or `none`.
        offered: String,
    },
    /// It gives us too little time to accept its debit notes.
    #[error("{} s for accepting a debit note is less than the {} s we need", .offered.as_secs(), .least.as_secs())]
    AcceptTimeout {
        offered: Duration,
        /// The least we need.
        least: Duration,
    },
    /// Its draft gives us less time than we asked for.
    #[error("its draft says {} s for `{term}`, less than the {} s we asked for", .drafted.as_secs(), .asked.as_secs())]
    TermShortened {
        term: &'static str,
        asked: Duration,
        /// The time in its draft.
        drafted: Duration,
    },
    /// Its draft names a term that we left out, or one that can't be read.
    #[error("its draft says something for `{term}` that we didn't agree to")]
    TermAdded { term: &'static str },
    /// A strategy doesn't want it, for a reason in the strategy's own words.
    #[error("{0}")]
    Unwanted(String),
    /// Somebody blocked it by hand, and may have said why. The provider isn't told why.
    #[error("blocked by hand{}", .0.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Blocked(Option<String>),
    /// A strategy's score for it is not a number.
    #[error("the strategy's score is not a number")]
    NoScore,
    /// A strategy panicked over it.
    #[error("the strategy panicked")]
    StrategyPanicked,
    /// Our own demand is over, or says no readable end.
    #[error("the demand ended at {0}")]
    Expired(Timestamp),
    /// Our own demand doesn't say when it ends.
    #[error("the demand doesn't say when it ends")]
    NoExpiration,
    /// The offer can't be read.
    #[error(transparent)]
    Offer(#[from] OfferProblem),
}

impl Refusal {
    /// A strategy's reason, in its own words. The provider is told them too.
    pub fn because(words: impl Into<String>) -> Self {
        Self::Unwanted(words.into())
    }

    /// The reason as the provider is told it, without notes that somebody made for themselves.
    pub fn told(&self) -> String {
        match self {
            Self::Blocked(_) => Self::Blocked(None).to_string(),
            _ => self.to_string(),
        }
    }

    /// A short name that stays the same, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooDear { .. } => "too dear",
            Self::UnitTooDear { .. } => "price of a unit too high",
            Self::StartTooDear { .. } => "start price too high",
            Self::Unbounded { .. } => "price without bound",
            Self::Platform { .. } => "no common payment platform",
            Self::AcceptTimeout { .. } => "accept time-out too short",
            Self::TermShortened { .. } | Self::TermAdded { .. } => "terms changed",
            Self::Unwanted(_) | Self::Blocked(_) => "unwanted",
            Self::NoScore | Self::StrategyPanicked => "strategy failed",
            Self::Expired(_) | Self::NoExpiration => "demand expired",
            Self::Offer(_) => "malformed offer",
        }
    }

    /// In words that all refusals for the same cause share, for telling how many there were.
    pub fn group(&self) -> String {
        match self {
            Self::TooDear { cap, .. } => format!("above the cap of {cap} GLM an hour"),
            Self::StartTooDear { cap, .. } => format!("above the cap of {cap} GLM for the start"),
            Self::UnitTooDear { counter, cap, .. } => {
                format!("above the cap of {cap} GLM for a unit of `{counter}`")
            }
            Self::Unwanted(words) => words.clone(),
            Self::Blocked(_) | Self::NoScore | Self::StrategyPanicked => self.to_string(),
            _ => self.kind().to_owned(),
        }
    }

    /// GLM an hour of the offer, if that was the cause.
    pub fn price_per_hour(&self) -> Option<Glm> {
        self.above_cap().filter(|above| above.of == CappedPrice::PerHour).map(|above| above.price)
    }

    /// The price that is above its cap, if the cap of a price an hour or of a start price was the cause.
    pub fn above_cap(&self) -> Option<AboveCap> {
        let (of, price, cap) = match self {
            Self::TooDear { price, cap } => (CappedPrice::PerHour, price, cap),
            Self::StartTooDear { price, cap } => (CappedPrice::Start, price, cap),
            _ => return None,
        };
        Some(AboveCap { of, price: *price, cap: *cap })
    }
}

impl PriceCaps {
    /// No caps: any price will do, and only the budget bounds what is spent.
    pub fn none() -> Self {
        Self { start: None, per_hour: None, per_unit: BTreeMap::new() }
    }

    /// With this cap for starting an activity.
    #[must_use]
    pub fn start_at_most(self, start: Glm) -> Self {
        Self { start: Some(start), ..self }
    }

    /// With this cap for an hour at full use, the start price left out.
    #[must_use]
    pub fn per_hour_at_most(self, per_hour: Glm) -> Self {
        Self { per_hour: Some(per_hour), ..self }
    }

    /// With this cap for a unit of a usage counter.
    #[must_use]
    pub fn unit_at_most(mut self, counter: impl Into<String>, per_unit: Glm) -> Self {
        self.per_unit.insert(counter.into(), per_unit);
        self
    }

    /// The reason why this offer is too dear, if it is. A price that equals its cap is not.
    ///
    /// With a cap an hour, an offer that charges for a usage counter nobody can check is refused too, unless that
    /// counter has a cap of its own.
    pub fn refuse(&self, offer: &OfferTerms) -> Option<Refusal> {
        self.refuse_hour(offer).or_else(|| self.refuse_unit(offer)).or_else(|| self.refuse_start(offer))
    }

    fn refuse_hour(&self, offer: &OfferTerms) -> Option<Refusal> {
        let cap = self.per_hour?;
        let uncapped = |counter: &&str| !self.per_unit.contains_key(*counter);
        if let Some(counter) = offer.pricing.unbounded_counters().find(uncapped) {
            return Some(Refusal::Unbounded { counter: plain(counter) });
        }
        let price = offer.pricing.per_hour(offer.threads);
        (price > cap).then_some(Refusal::TooDear { price, cap })
    }

    fn refuse_unit(&self, offer: &OfferTerms) -> Option<Refusal> {
        offer.pricing.rates.iter().find_map(|(counter, rate)| {
            let cap = *self.per_unit.get(counter)?;
            let price = round_up(*rate);
            (price > cap).then(|| Refusal::UnitTooDear { counter: plain(counter), price, cap })
        })
    }

    fn refuse_start(&self, offer: &OfferTerms) -> Option<Refusal> {
        let cap = self.start?;
        let price = offer.pricing.start_price();
        (price > cap).then_some(Refusal::StartTooDear { price, cap })
    }
}

/// Expected cost of `expected` at full use, start included: the lower the better.
///
/// Meant for comparing offers: a usage counter nobody knows is taken to grow by one a second.
pub fn expected_cost(offer: &OfferTerms, expected: Duration) -> Glm {
    let pricing = &offer.pricing;
    pricing
        .usage_at_full_use(expected, offer.threads, Decimal::ONE)
        .and_then(|cost| cost.checked_add(pricing.start))
        .map_or_else(supply, round_up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::tests::{issuer, properties};
    use serde_json::{Value, json};
    use yagna_api::properties::name;

    fn offer(prices: &Value) -> OfferTerms {
        let properties = properties().with(name::PRICING_COEFFICIENTS, prices.clone());
        OfferTerms::read(&issuer(), &properties).unwrap()
    }

    fn caps(start: Option<&str>, per_hour: Option<&str>) -> PriceCaps {
        let read = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        PriceCaps { start: read(start), per_hour: read(per_hour), ..PriceCaps::none() }
    }

    #[test]
    fn caps_are_kept_and_say_why() {
        // 0.1 an hour and 0.05 for each of 8 threads: 0.5 an hour; 0.3 for the start.
        let offer = offer(&json!([0.1 / 3600.0, 0.05 / 3600.0, 0.3]));
        for (start, per_hour, kind, text) in [
            (None, None, "", ""),
            (Some("0.3"), Some("0.5"), "", ""),
            (Some("1"), Some("1"), "", ""),
            (None, Some("0.2"), "too dear", "0.5 GLM an hour is above the cap of 0.2"),
            (
                Some("0.299999999999999999"),
                None,
                "start price too high",
                "0.3 GLM for the start is above the cap of 0.299999999999999999",
            ),
            (Some("0"), Some("0"), "too dear", "0.5 GLM an hour is above the cap of 0"),
        ] {
            let refusal = caps(start, per_hour).refuse(&offer);
            assert_eq!(refusal.as_ref().map_or("", Refusal::kind), kind);
            assert_eq!(refusal.map(|refusal| refusal.to_string()).unwrap_or_default(), text);
        }
    }

    #[test]
    fn an_offer_without_bound_has_no_price_an_hour() {
        let properties =
            properties().with(name::USAGE_VECTOR, json!([name::USAGE_DURATION, "golem.usage.gib"]));
        let offer = OfferTerms::read(&issuer(), &properties).unwrap();
        assert_eq!(caps(Some("9"), None).refuse(&offer), None);
        let refusal = caps(None, Some("9")).refuse(&offer).unwrap();
        assert_eq!(refusal.kind(), "price without bound");
    }

    #[test]
    fn the_cheaper_offer_costs_less_in_the_time_it_is_meant_for() {
        let high_start = offer(&json!([0, 0, 0.5]));
        let high_rate = offer(&json!([0.001, 0, 0]));
        let minute = Duration::from_secs(60);
        assert!(expected_cost(&high_rate, minute) < expected_cost(&high_start, minute));
        assert!(expected_cost(&high_rate, 10 * minute) > expected_cost(&high_start, 10 * minute));
        let unknown = OfferTerms::read(
            &issuer(),
            &properties().with(name::USAGE_VECTOR, json!([name::USAGE_DURATION, "golem.usage.gib"])),
        );
        let cost = expected_cost(&unknown.unwrap(), Duration::from_secs(10));
        assert_eq!(cost, "0.003".parse().unwrap());
    }
}
