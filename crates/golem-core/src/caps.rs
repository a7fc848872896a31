//! Which offers are too dear, and which of two is the cheaper.

use std::time::Duration;

use rust_decimal::Decimal;
use yagna_api::{Glm, Timestamp};

use crate::offer::{OfferProblem, OfferTerms, plain};
use crate::pricing::{round_up, supply};

/// The highest prices that are paid; no cap where there is none.
///
/// # Example
/// ```
/// use golem_core::caps::PriceCaps;
/// let caps = PriceCaps { per_hour: Some("0.2".parse()?), ..PriceCaps::default() };
/// assert_eq!(caps.start, None);
/// # Ok::<(), yagna_api::money::GlmError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceCaps {
    /// GLM for starting an activity.
    pub start: Option<Glm>,
    /// GLM an hour at full use, without the start price.
    pub per_hour: Option<Glm>,
}

/// Why we refuse an offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An hour costs too much.
    #[error("{price} GLM an hour is above the cap of {cap}")]
    TooDear {
        /// Its price.
        price: Glm,
        /// Our cap.
        cap: Glm,
    },
    /// Starting costs too much.
    #[error("{price} GLM for the start is above the cap of {cap}")]
    StartTooDear {
        /// Its price.
        price: Glm,
        /// Our cap.
        cap: Glm,
    },
    /// It charges for something that a clock doesn't bound, so no cap can be kept.
    #[error("it charges for `{counter}`, which has no bound, so no cap can be kept")]
    Unbounded {
        /// The usage counter.
        counter: String,
    },
    /// It can't be paid on our platform.
    #[error("it can't be paid on {wanted}, only on: {offered}")]
    Platform {
        /// Ours.
        wanted: String,
        /// Its own, or `none`.
        offered: String,
    },
    /// It gives us too little time to accept its debit notes.
    #[error("{} s for accepting a debit note is less than the {} s we need", .offered.as_secs(), .least.as_secs())]
    AcceptTimeout {
        /// Its time.
        offered: Duration,
        /// The least we need.
        least: Duration,
    },
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
    /// A short name that stays the same, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooDear { .. } => "too dear",
            Self::StartTooDear { .. } => "start price too high",
            Self::Unbounded { .. } => "price without bound",
            Self::Platform { .. } => "no common payment platform",
            Self::AcceptTimeout { .. } => "accept time-out too short",
            Self::Expired(_) | Self::NoExpiration => "demand expired",
            Self::Offer(_) => "malformed offer",
        }
    }
}

impl Refusal {
    /// In words that all refusals for the same cause share, for telling how many there were.
    pub fn group(&self) -> String {
        match self {
            Self::TooDear { cap, .. } => format!("above the cap of {cap} GLM an hour"),
            Self::StartTooDear { cap, .. } => format!("above the cap of {cap} GLM for the start"),
            _ => self.kind().to_owned(),
        }
    }

    /// GLM an hour of the offer, if that was the cause.
    pub fn price_per_hour(&self) -> Option<Glm> {
        match self {
            Self::TooDear { price, .. } => Some(*price),
            _ => None,
        }
    }
}

impl PriceCaps {
    /// Why this offer is too dear, if it is. A price that equals its cap is not.
    ///
    /// With a cap an hour, an offer that charges for a usage counter nobody can check is refused too.
    pub fn refuse(&self, offer: &OfferTerms) -> Option<Refusal> {
        if let Some(cap) = self.per_hour {
            if let Some(counter) = offer.pricing.unbounded_counter() {
                let counter = plain(counter);
                return Some(Refusal::Unbounded { counter });
            }
            let price = offer.pricing.per_hour(offer.threads);
            if price > cap {
                return Some(Refusal::TooDear { price, cap });
            }
        }
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
        PriceCaps { start: read(start), per_hour: read(per_hour) }
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
