//! The prices of an offer, read once and strictly.

use rust_decimal::Decimal;
use serde_json::Value;
use yagna_api::Properties;
use yagna_api::money::decimal_from_f64;
use yagna_api::properties::name;

use super::{OfferProblem, plain};
use crate::pricing::{Pricing, SUPPLY};

impl Pricing {
    /// Reads an offer's prices; whole numbers are as good as decimals.
    ///
    /// **Errors**: prices that aren't linear or by usage, that don't fit their counters, or that are no prices.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    ///
    /// use golem_core::pricing::Pricing;
    /// use serde_json::json;
    /// use yagna_api::Properties;
    ///
    /// let offer = Properties::new()
    ///     .with("golem.com.pricing.model", "linear")
    ///     .with("golem.com.scheme", "payu")
    ///     .with("golem.com.usage.vector", json!(["golem.usage.duration_sec", "golem.usage.cpu_sec"]))
    ///     .with("golem.com.pricing.model.linear.coeffs", json!([0.0001, 0.0002, 0.05]));
    /// let pricing = Pricing::read(&offer)?;
    /// // Ten seconds with half a minute of CPU, and the start.
    /// assert_eq!(pricing.cost(&[10.0, 30.0]).map(|cost| cost.to_string()), Some("0.0570".to_owned()));
    /// assert_eq!(pricing.cost_at_full_use(Duration::from_secs(10), 4).to_string(), "0.059");
    /// assert_eq!(pricing.per_hour(4).to_string(), "3.24");
    /// # Ok::<(), golem_core::offer::OfferProblem>(())
    /// ```
    pub fn read(offer: &Properties) -> Result<Self, OfferProblem> {
        expect_text(offer, name::PRICING_MODEL, "linear", OfferProblem::Model)?;
        expect_text(offer, name::PAYMENT_SCHEME, "payu", OfferProblem::Scheme)?;
        let counters = list(offer, name::USAGE_VECTOR)?;
        let prices = list(offer, name::PRICING_COEFFICIENTS)?;
        if prices.len() != counters.len() + 1 {
            return Err(OfferProblem::Length { prices: prices.len(), counters: counters.len() });
        }
        let counters = counters.iter().map(|counter| {
            counter.as_str().ok_or_else(|| OfferProblem::Counter(plain(&counter.to_string())))
        });
        let mut rates = Vec::with_capacity(prices.len());
        for (counter, value) in counters.zip(prices) {
            rates.push((counter?.to_owned(), price(value)?));
        }
        let start =
            prices.last().map(price).transpose()?.ok_or(OfferProblem::Missing(name::PRICING_COEFFICIENTS))?;
        Ok(Self { rates, start })
    }
}

fn expect_text(
    offer: &Properties,
    property: &'static str,
    wanted: &str,
    other: fn(String) -> OfferProblem,
) -> Result<(), OfferProblem> {
    let value = offer.get(property).ok_or(OfferProblem::Missing(property))?;
    match value.as_str() {
        Some(text) if text == wanted => Ok(()),
        Some(text) => Err(other(plain(text))),
        None => Err(other(plain(&value.to_string()))),
    }
}

fn list<'a>(offer: &'a Properties, property: &'static str) -> Result<&'a [Value], OfferProblem> {
    let value = offer.get(property).ok_or(OfferProblem::Missing(property))?;
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(OfferProblem::NoList(property)),
    }
}

fn price(value: &Value) -> Result<Decimal, OfferProblem> {
    let shown = || plain(&value.to_string());
    let number = match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => Decimal::from(whole),
        (None, Some(number)) if number.is_finite() => {
            decimal_from_f64(number).ok_or_else(|| OfferProblem::TooHigh(shown()))?
        }
        _ => return Err(OfferProblem::NoPrice(shown())),
    };
    if number < Decimal::ZERO {
        Err(OfferProblem::Negative(shown()))
    } else if number > SUPPLY {
        Err(OfferProblem::TooHigh(shown()))
    } else {
        Ok(number.normalize())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// The properties of an offer with these usage counters and prices.
    pub(crate) fn offer(counters: &Value, prices: &Value) -> Properties {
        Properties::new()
            .with(name::PRICING_MODEL, "linear")
            .with(name::PAYMENT_SCHEME, "payu")
            .with(name::USAGE_VECTOR, counters.clone())
            .with(name::PRICING_COEFFICIENTS, prices.clone())
    }

    /// The pricing of an offer with the usual counters.
    pub(crate) fn usual(prices: &Value) -> Result<Pricing, OfferProblem> {
        Pricing::read(&offer(&json!([name::USAGE_DURATION, name::USAGE_CPU]), prices))
    }

    #[test]
    fn each_fault_of_an_offer_has_its_name() {
        type Fault = fn(&OfferProblem) -> bool;
        let cases: [(Value, Fault); 14] = [
            (json!([1, 2]), |p| matches!(p, OfferProblem::Length { prices: 2, counters: 2 })),
            (json!([1, 2, 3, 4]), |p| matches!(p, OfferProblem::Length { .. })),
            (json!([]), |p| matches!(p, OfferProblem::Length { prices: 0, .. })),
            (json!(null), |p| matches!(p, OfferProblem::NoList(_))),
            (json!("0.1"), |p| matches!(p, OfferProblem::NoList(_))),
            (json!(0.1), |p| matches!(p, OfferProblem::NoList(_))),
            (json!(["0.1", 0, 0]), |p| matches!(p, OfferProblem::NoPrice(_))),
            (json!([0.1, "NaN", 0]), |p| matches!(p, OfferProblem::NoPrice(_))),
            (json!([0.1, 0, null]), |p| matches!(p, OfferProblem::NoPrice(_))),
            (json!([[0.1], 0, 0]), |p| matches!(p, OfferProblem::NoPrice(_))),
            (json!([-0.1, 0, 0]), |p| matches!(p, OfferProblem::Negative(_))),
            (json!([0, 0, -1]), |p| matches!(p, OfferProblem::Negative(_))),
            (json!([1e300, 0, 0]), |p| matches!(p, OfferProblem::TooHigh(_))),
            (json!([u64::MAX, 0, 0]), |p| matches!(p, OfferProblem::TooHigh(_))),
        ];
        for (prices, fault) in cases {
            let problem = usual(&prices).unwrap_err();
            assert!(fault(&problem), "{prices}: {problem:?}");
            assert!(!problem.to_string().is_empty());
        }
        let counters = offer(&json!([1, name::USAGE_CPU]), &json!([1, 2, 3]));
        assert_eq!(Pricing::read(&counters), Err(OfferProblem::Counter("1".to_owned())));
        let good = offer(&json!([]), &json!([1]));
        assert!(Pricing::read(&good).is_ok());
        for property in
            [name::PRICING_MODEL, name::PAYMENT_SCHEME, name::USAGE_VECTOR, name::PRICING_COEFFICIENTS]
        {
            let mut without = good.clone();
            without.remove(property);
            assert_eq!(Pricing::read(&without), Err(OfferProblem::Missing(property)));
        }
        let model = good.clone().with(name::PRICING_MODEL, "quadratic");
        assert_eq!(Pricing::read(&model), Err(OfferProblem::Model("quadratic".to_owned())));
        let scheme = good.with(name::PAYMENT_SCHEME, 7);
        assert_eq!(Pricing::read(&scheme), Err(OfferProblem::Scheme("7".to_owned())));
    }
}
