//! Money: exact decimals of up to 18 places, never a float.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Serialize, Serializer};

/// An amount of GLM, exact to 18 places.
///
/// **Wire form**: a JSON string such as `"1.5"`; numbers are accepted when read, since some daemons and clients
/// send them. **Range**: more than ±10 billion GLM, above the total supply; arithmetic beyond it saturates only
/// by way of the `checked_*` methods' `None`, never silently. **Size**: 16 bytes; it is a whole number of the smallest units, so
/// sums and comparisons cost as little as those of numbers.
///
/// # Example
/// ```
/// use yagna_api::Glm;
/// let price: Glm = "0.000000000000000001".parse()?;
/// let total = price.checked_add("2".parse()?).unwrap();
/// assert_eq!(total.to_string(), "2.000000000000000001");
/// # Ok::<(), yagna_api::money::GlmError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
// Aligned as other numbers are: amounts are in the middle of many events, which would grow by their padding.
#[repr(Rust, packed(4))]
pub struct Glm(i128);

/// A text that is not a valid amount of GLM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlmError {
    /// Not a decimal number.
    #[error("`{0}` is not a valid amount of GLM: expected a decimal number such as 0.05")]
    NotANumber(String),
    /// More places than the chain can pay.
    #[error("`{0}` has more than 18 decimal places, the smallest part of a GLM")]
    TooManyPlaces(String),
    /// Larger than any amount of GLM can be.
    #[error("`{0}` is out of range for an amount of GLM")]
    OutOfRange(String),
}

impl Glm {
    /// Decimal places of the smallest unit.
    pub const PLACES: u32 = 18;
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Ten billion, more than there will ever be: stands for "out of range" in comparisons.
    pub const MAX: Self = Self(10_000_000_000 * Self::UNITS);
    /// One GLM.
    pub const ONE: Self = Self(Self::UNITS);
    /// The smallest part of a GLM.
    pub const LEAST: Self = Self(1);
    /// The smallest units in one GLM.
    const UNITS: i128 = 10_i128.pow(Self::PLACES);

    /// The exact amount of a decimal, unless it has more than 18 places or is out of range.
    pub fn from_decimal(value: Decimal) -> Result<Self, GlmError> {
        if value.abs() > Self::MAX.to_decimal() {
            return Err(GlmError::OutOfRange(value.to_string()));
        }
        let value = value.normalize();
        let Some(missing) = Self::PLACES.checked_sub(value.scale()) else {
            return Err(GlmError::TooManyPlaces(value.to_string()));
        };
        Ok(Self(value.mantissa() * 10_i128.pow(missing)))
    }

    /// The nearest payable amount not above `value`: what lies beyond 18 places is dropped.
    ///
    /// `None` when out of range.
    pub fn from_decimal_rounding_down(value: Decimal) -> Option<Self> {
        Self::from_decimal(value.round_dp_with_strategy(Self::PLACES, RoundingStrategy::ToNegativeInfinity))
            .ok()
    }

    /// The amount of a price given as a JSON number, read through its shortest decimal form: `0.1` is 0.1.
    ///
    /// `None` when it isn't finite or out of range; places beyond 18 are dropped.
    pub fn from_f64(value: f64) -> Option<Self> {
        decimal_from_f64(value).and_then(Self::from_decimal_rounding_down)
    }

    /// The amount as a decimal, for prices times usage.
    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(self.0, Self::PLACES)
    }

    /// The sum, unless out of range.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::within_range(self.0 + other.0)
    }

    /// The difference, unless out of range; it may be negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::within_range(self.0 - other.0)
    }

    /// The difference, or zero where it would be negative or out of range.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        self.checked_sub(other).unwrap_or_default().max(Self::ZERO)
    }

    /// Below zero?
    pub fn is_negative(self) -> bool {
        self < Self::ZERO
    }

    /// Exactly zero?
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    fn within_range(units: i128) -> Option<Self> {
        (units.abs() <= Self::MAX.0).then_some(Self(units))
    }
}

/// The exact decimal that a JSON number's shortest form writes.
pub fn decimal_from_f64(value: f64) -> Option<Decimal> {
    if !value.is_finite() {
        return None;
    }
    let text = format!("{value}");
    Decimal::from_str(&text).ok().or_else(|| Decimal::from_scientific(&format!("{value:e}")).ok())
}

impl FromStr for Glm {
    type Err = GlmError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let value = if text.contains(['e', 'E']) {
            Decimal::from_scientific(text)
        } else {
            Decimal::from_str_exact(text)
        };
        match value {
            Ok(value) => Self::from_decimal(value),
            Err(rust_decimal::Error::Underflow) => Err(GlmError::TooManyPlaces(text.to_owned())),
            Err(
                rust_decimal::Error::ExceedsMaximumPossibleValue
                | rust_decimal::Error::LessThanMinimumPossibleValue,
            ) => Err(GlmError::OutOfRange(text.to_owned())),
            Err(_) => Err(GlmError::NotANumber(text.to_owned())),
        }
    }
}

impl fmt::Display for Glm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_decimal().normalize(), f)
    }
}

impl fmt::Debug for Glm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} GLM")
    }
}

impl Sum for Glm {
    /// # Panics
    /// When the sum exceeds ten times the total supply of GLM.
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, |sum, next| sum.checked_add(next).expect("a sum within ten times GLM's supply"))
    }
}

impl Serialize for Glm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Glm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AmountVisitor;

        impl Visitor<'_> for AmountVisitor {
            type Value = Glm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount of GLM as a decimal string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Glm, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Glm, E> {
                Glm::from_decimal(value.into()).map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Glm, E> {
                Glm::from_decimal(value.into()).map_err(E::custom)
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Glm, E> {
                decimal_from_f64(value)
                    .ok_or_else(|| E::custom(GlmError::OutOfRange(value.to_string())))
                    .and_then(|value| Glm::from_decimal(value).map_err(E::custom))
            }
        }

        deserializer.deserialize_any(AmountVisitor).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_read_as_the_daemon_writes_them() {
        for (text, shown) in [
            ("1.500000000000000", "1.5"),
            ("10.0", "10"),
            ("1e3", "1000"),
            ("0", "0"),
            ("-0.5", "-0.5"),
            ("0.000000000000000001", "0.000000000000000001"),
            ("1000000000.000000000000000001", "1000000000.000000000000000001"),
        ] {
            assert_eq!(text.parse::<Glm>().unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(serde_json::from_str::<Glm>("1.5").unwrap(), "1.50".parse().unwrap());
        assert_eq!(serde_json::from_str::<Glm>("3").unwrap(), "3".parse().unwrap());
        assert_eq!(serde_json::to_string(&"0.10".parse::<Glm>().unwrap()).unwrap(), "\"0.1\"");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        assert!(matches!("1,5".parse::<Glm>(), Err(GlmError::NotANumber(_))));
        assert!(matches!("".parse::<Glm>(), Err(GlmError::NotANumber(_))));
        assert!(matches!("0.0000000000000000001".parse::<Glm>(), Err(GlmError::TooManyPlaces(_))));
        assert!(matches!("99999999999".parse::<Glm>(), Err(GlmError::OutOfRange(_))));
    }

    #[test]
    fn prices_come_through_their_shortest_form() {
        assert_eq!(Glm::from_f64(0.1).unwrap().to_string(), "0.1");
        assert_eq!(Glm::from_f64(1e-18).unwrap().to_string(), "0.000000000000000001");
        assert_eq!(Glm::from_f64(1e-20).unwrap(), Glm::ZERO);
        assert_eq!(Glm::from_f64(f64::NAN), None);
        assert_eq!(Glm::from_f64(1e300), None);
    }

    proptest! {
        #[test]
        fn parse_and_print_round_trip(whole in 0u64..1_000_000_000, atto in 0u64..1_000_000_000_000_000_000) {
            let text = format!("{whole}.{atto:018}");
            let amount: Glm = text.parse().unwrap();
            prop_assert_eq!(amount.to_string().parse::<Glm>().unwrap(), amount);
            let json = serde_json::to_string(&amount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Glm>(&json).unwrap(), amount);
        }
    }
}
