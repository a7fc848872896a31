//! Prices above a cap, and the raise of a cap that would let in the providers that a run lacks.

use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use yagna_api::Glm;

/// Digits that a suggested cap has.
const DIGITS: u32 = 3;

/// A price that has a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CappedPrice {
    /// GLM an hour at full use.
    #[serde(rename = "max_price_per_hour")]
    PerHour,
    /// GLM for the start.
    #[serde(rename = "max_start_price")]
    Start,
}

/// A price that is above its cap: the reason why an offer was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboveCap {
    /// The price that was too high.
    pub of: CappedPrice,
    /// The price itself.
    pub price: Glm,
    /// Its cap.
    pub cap: Glm,
}

/// The raise of a cap by which more providers fit.
///
/// # Example
/// ```
/// use golem_core::raise::{AboveCap, CappedPrice, Raise};
///
/// let refused = |price: &str| {
///     Ok::<_, yagna_api::money::GlmError>(AboveCap {
///         of: CappedPrice::PerHour,
///         price: price.parse()?,
///         cap: "0.02".parse()?,
///     })
/// };
/// let raise = Raise::for_missing([refused("0.5")?, refused("0.0309")?, refused("0.025")?], 2);
/// assert_eq!(raise.unwrap().to_string(), "raise max_price_per_hour from 0.02 to 0.0309: 2 more providers");
/// # Ok::<(), yagna_api::money::GlmError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// The price whose cap is to be raised.
    pub of: CappedPrice,
    /// The cap as it is.
    pub from: Glm,
    /// The cap that lets them in.
    pub to: Glm,
    /// The number of providers that are let in.
    pub providers: u64,
}

impl CappedPrice {
    /// The key of its cap in a job file.
    pub fn key(self) -> &'static str {
        match self {
            Self::PerHour => "max_price_per_hour",
            Self::Start => "max_start_price",
        }
    }
}

impl Raise {
    /// The lowest cap that lets in as many of these providers as are missing, at least one; all of them where there are fewer.
    ///
    /// Where several caps refused providers, this is the cap that refused the most. It is rounded up to three digits.
    pub fn for_missing(refused: impl IntoIterator<Item = AboveCap>, missing: u64) -> Option<Self> {
        let mut refused: Vec<AboveCap> = refused.into_iter().collect();
        let count = |of| refused.iter().filter(|above| above.of == of).count();
        let of = if count(CappedPrice::Start) > count(CappedPrice::PerHour) {
            CappedPrice::Start
        } else {
            CappedPrice::PerHour
        };
        refused.retain(|above| above.of == of);
        refused.sort_by_key(|above| above.price);
        let last = refused.len().checked_sub(1)?;
        let place = usize::try_from(missing.saturating_sub(1)).unwrap_or(last).min(last);
        let to = rounded_up(refused[place].price);
        let providers = refused.iter().filter(|above| above.price <= to).count() as u64;
        Some(Self { of, from: refused[place].cap, to, providers })
    }
}

impl fmt::Display for Raise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let providers = if self.providers == 1 { "provider" } else { "providers" };
        let (key, from, to) = (self.of.key(), plain(self.from), plain(self.to));
        write!(f, "raise {key} from {from} to {to}: {} more {providers}", self.providers)
    }
}

fn rounded_up(price: Glm) -> Glm {
    let rounded = price.to_decimal().round_sf_with_strategy(DIGITS, RoundingStrategy::AwayFromZero);
    rounded.and_then(|price| Glm::from_decimal(price).ok()).map_or(price, |rounded| rounded.max(price))
}

fn plain(price: Glm) -> Decimal {
    price.to_decimal().normalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn above(of: CappedPrice, price: &str) -> AboveCap {
        AboveCap { of, price: price.parse().unwrap(), cap: "0.02".parse().unwrap() }
    }

    #[test]
    fn the_raise_is_the_lowest_that_lets_in_as_many_as_are_missing() {
        let prices = ["0.5", "0.021", "0.0300000001", "0.0299", "0.03"];
        let refused = || prices.map(|price| above(CappedPrice::PerHour, price));
        for (missing, to, providers) in [
            (0, "0.021", 1),
            (1, "0.021", 1),
            (2, "0.0299", 2),
            (4, "0.0301", 4),
            (5, "0.5", 5),
            (99, "0.5", 5),
        ] {
            let raise = Raise::for_missing(refused(), missing).unwrap();
            assert_eq!((raise.to, raise.providers), (to.parse().unwrap(), providers), "{missing}");
        }
        assert_eq!(Raise::for_missing([], 3), None);
    }

    #[test]
    fn the_cap_that_keeps_most_away_is_raised() {
        let refused = [
            above(CappedPrice::PerHour, "1"),
            above(CappedPrice::Start, "2"),
            above(CappedPrice::Start, "3"),
        ];
        let raise = Raise::for_missing(refused, 1).unwrap();
        assert_eq!(raise.to_string(), "raise max_start_price from 0.02 to 2: 1 more provider");
        assert_eq!(serde_json::to_value(raise).unwrap()["of"], raise.of.key());
    }
}
