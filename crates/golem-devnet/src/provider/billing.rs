//! The amount that an activity owes: exact sums from prices and usage. Pure.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::Value;
use yagna_api::market::Agreement;
use yagna_api::money::decimal_from_f64;
use yagna_api::properties::name;
use yagna_api::{Glm, Timestamp};

use super::config::ProviderConfig;
use super::negotiation::seconds;

/// The commercial part of an agreement, as its provider reads it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BillingTerms {
    /// Prices by usage counter, in the order of the usage vector, and the start price last.
    pub(crate) coefficients: Vec<f64>,
    /// The interval of debit notes, counted from `since`.
    pub(crate) interval: Duration,
    /// The time for which a debit note may wait for its acceptance, if that was agreed.
    pub(crate) accept_timeout: Option<Duration>,
    /// The time for which a payable debit note may wait for its payment, if that was agreed.
    pub(crate) payment_timeout: Option<Duration>,
    /// The time at which the agreement began.
    pub(crate) since: Timestamp,
}

impl BillingTerms {
    /// Reads an agreement's terms; what can't be read there is taken from the provider's own settings.
    pub(crate) fn of(agreement: &Agreement, config: &ProviderConfig) -> Self {
        let offer = &agreement.offer.properties;
        let agreed = |name| seconds(offer, name).ok().flatten();
        Self {
            coefficients: coefficients(offer.get(name::PRICING_COEFFICIENTS))
                .filter(|list| list.len() == config.counters.len() + super::config::USAGE_VECTOR.len() + 1)
                .unwrap_or_else(|| config.coefficients()),
            // An interval of zero would mean debit notes without end.
            interval: agreed(name::DEBIT_NOTE_INTERVAL)
                .filter(|time| !time.is_zero())
                .unwrap_or(config.limits.debit_note_interval),
            accept_timeout: agreed(name::ACCEPT_TIMEOUT),
            payment_timeout: agreed(name::PAYMENT_TIMEOUT),
            since: agreement.timestamp,
        }
    }

    /// The cost of this usage, rounded down to what can be paid.
    pub(crate) fn cost(&self, usage: &[f64]) -> Glm {
        cost(&self.coefficients, usage)
    }
}

/// Prices times usage plus the start price, rounded down to 18 places.
pub(crate) fn cost(coefficients: &[f64], usage: &[f64]) -> Glm {
    let Some((start, prices)) = coefficients.split_last() else {
        return Glm::ZERO;
    };
    let mut sum = decimal_from_f64(*start).unwrap_or_default();
    for (price, used) in prices.iter().zip(usage) {
        let price = decimal_from_f64(*price).unwrap_or_default();
        let used = decimal_from_f64(*used).unwrap_or_default();
        sum = price.checked_mul(used).and_then(|part| sum.checked_add(part)).unwrap_or(Decimal::MAX);
    }
    Glm::from_decimal_rounding_down(sum).unwrap_or_default()
}

/// The amount of a bill that claims `factor` times what is owed.
pub(crate) fn inflated(amount: Glm, factor: f64) -> Glm {
    decimal_from_f64(factor)
        .and_then(|factor| amount.to_decimal().checked_mul(factor))
        .and_then(Glm::from_decimal_rounding_down)
        .unwrap_or(amount)
}

/// Usage as bills report it: whole microseconds, so that prices times usage is exact.
pub(crate) fn reported(usage: &[f64]) -> Vec<f64> {
    const MICROS: f64 = 1e6;
    usage.iter().map(|counter| (counter * MICROS).floor() / MICROS).collect()
}

/// The time from `now` to the next whole interval after `since`.
pub(crate) fn until_next(since: Timestamp, interval: Duration, now: Timestamp) -> Duration {
    let passed = yagna_api::time::between(since, now).as_nanos();
    let interval = interval.as_nanos().max(1);
    let rest = interval - passed % interval;
    Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX))
}

/// Prices as an offer lists them; none where that can't be read.
pub(crate) fn coefficients(value: Option<&Value>) -> Option<Vec<f64>> {
    value?.as_array()?.iter().map(Value::as_f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_rounded_down() {
        for (coefficients, usage, amount) in [
            ([0.00001, 0.0001, 0.5], [10.0, 2.5], "0.50035"),
            ([0.1, 0.2, 0.0], [0.1, 0.2], "0.05"),
            ([0.002, 0.008, 0.0], [44.094_619, 0.0], "0.088189238"),
            // 21 places, of which three can't be paid.
            ([0.000_002_777_777_778, 0.0, 0.0], [0.999_999, 0.0], "0.000002777775000222"),
            ([0.0, 0.0, 0.0], [1e6, 1e6], "0"),
        ] {
            assert_eq!(cost(&coefficients, &usage).to_string(), amount, "{coefficients:?} {usage:?}");
        }
        assert_eq!(cost(&[], &[1.0]), Glm::ZERO);
        assert_eq!(cost(&[0.1, 0.2, 1.0], &[]), Glm::ONE);
    }

    #[test]
    fn usage_is_reported_in_microseconds_and_never_more_than_it_was() {
        assert_eq!(reported(&[1.234_567_89, 0.0, 0.999_999_9]), [1.234_567, 0.0, 0.999_999]);
    }

    #[test]
    fn notes_come_at_whole_intervals_from_the_agreements_beginning() {
        let since: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let interval = Duration::from_secs(120);
        for (now, left) in [
            ("2026-01-01T00:00:00.5Z", 120_000),
            ("2026-01-01T00:01:00Z", 60_500),
            ("2026-01-01T00:02:00.5Z", 120_000),
            ("2026-01-01T00:05:00Z", 60_500),
        ] {
            assert_eq!(
                until_next(since, interval, now.parse().unwrap()),
                Duration::from_millis(left),
                "{now}"
            );
        }
    }

    #[test]
    fn inflated_bills_stay_payable() {
        assert_eq!(inflated("0.1".parse().unwrap(), 1.5).to_string(), "0.15");
        assert_eq!(
            inflated("0.000000000000000001".parse().unwrap(), 1.5).to_string(),
            "0.000000000000000001"
        );
    }
}
