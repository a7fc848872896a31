//! Linear prices: what an offer charges for usage, and what a span of time can cost by it.
//!
//! Whether that is too dear is decided in [`crate::caps`], whether a bill keeps to it in [`crate::bill`].

use std::time::Duration;

use rust_decimal::{Decimal, RoundingStrategy};
use yagna_api::Glm;
use yagna_api::money::decimal_from_f64;
use yagna_api::properties::name;

/// The total supply of GLM: what no price and no bill can exceed.
pub(crate) const SUPPLY: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);
/// Digits that a price an hour keeps.
const PRICE_DIGITS: u32 = 9;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Linear prices: GLM per unit of each usage counter, in the counters' order, and a start price per activity.
///
/// Time and CPU seconds are known counters: a clock bounds them. Of any other counter nothing is known but
/// what its provider reports, so it has no part in the sums "at full use"; [`Pricing::unbounded_counters`] tells
/// which are charged for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pricing {
    /// The usage counters and the price of a unit of each, in the order of usage vectors.
    pub rates: Vec<(String, Decimal)>,
    /// The price of starting one activity.
    pub start: Decimal,
}

/// The subject of a usage counter, as far as a requestor can check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Seconds of the activity's life.
    Duration,
    /// Seconds of CPU, summed over the threads.
    Cpu,
    /// Something only its provider knows.
    Other,
}

impl Counter {
    pub(crate) fn of(counter: &str) -> Self {
        match counter {
            name::USAGE_DURATION => Self::Duration,
            name::USAGE_CPU => Self::Cpu,
            _ => Self::Other,
        }
    }
}

impl Pricing {
    /// The cost of this usage, the start included; `None` when the vector doesn't fit the counters, holds what is not a
    /// valid amount of use, or costs more than can be counted.
    pub fn cost(&self, usage: &[f64]) -> Option<Decimal> {
        if usage.len() != self.rates.len() {
            return None;
        }
        let usage = usage.iter().map(|used| usage_amount(*used));
        self.rates
            .iter()
            .zip(usage)
            .try_fold(self.start, |sum, ((_, rate), used)| sum.checked_add(rate.checked_mul(used?)?))
    }

    /// The most that an activity of this age can cost: all threads busy all the time.
    ///
    /// Rounded up to the smallest part of a GLM, and never more than GLM's total supply, a billion.
    pub fn cost_at_full_use(&self, age: Duration, threads: u32) -> Glm {
        // The start price is the first summand, as it is where bills are measured: sums of 28 digits depend on their order.
        self.at_full_use(self.start, age, threads, Decimal::ZERO).map_or_else(supply, round_up)
    }

    /// GLM an hour at full use, without the start price.
    ///
    /// Rounded to 9 digits: a price of 0.1 an hour, that travels as a float of so much a second, is 0.1 again.
    pub fn per_hour(&self, threads: u32) -> Glm {
        self.usage_at_full_use(HOUR, threads, Decimal::ZERO)
            .and_then(|cost| cost.round_sf(PRICE_DIGITS))
            .map_or_else(supply, round_up)
    }

    /// GLM for starting an activity.
    pub fn start_price(&self) -> Glm {
        round_up(self.start)
    }

    /// True if CPU time is charged for.
    pub fn depends_on_cpu(&self) -> bool {
        self.rates.iter().any(|(counter, rate)| Counter::of(counter) == Counter::Cpu && !rate.is_zero())
    }

    /// The usage counters that are charged for, though nothing but their provider's report bounds them.
    pub fn unbounded_counters(&self) -> impl Iterator<Item = &str> {
        self.rates
            .iter()
            .filter(|(counter, rate)| Counter::of(counter) == Counter::Other && !rate.is_zero())
            .map(|(counter, _)| counter.as_str())
    }

    /// The cost of `age` with all threads busy and `others` units a second of each other counter, without the
    /// start price; `None` when it can't be counted.
    pub(crate) fn usage_at_full_use(&self, age: Duration, threads: u32, others: Decimal) -> Option<Decimal> {
        self.at_full_use(Decimal::ZERO, age, threads, others)
    }

    /// Adds the cost of full use to `cost`.
    fn at_full_use(
        &self,
        mut cost: Decimal,
        age: Duration,
        threads: u32,
        others: Decimal,
    ) -> Option<Decimal> {
        let seconds = seconds(age);
        for (counter, rate) in &self.rates {
            let a_second = match Counter::of(counter) {
                Counter::Duration => Decimal::ONE,
                Counter::Cpu => threads.into(),
                Counter::Other => others,
            };
            let used = seconds.checked_mul(a_second)?;
            cost = cost.checked_add(rate.checked_mul(used)?)?;
        }
        Some(cost)
    }
}

/// A span of time in seconds, to the nanosecond.
pub(crate) fn seconds(span: Duration) -> Decimal {
    i128::try_from(span.as_nanos())
        .ok()
        .and_then(|nanos| Decimal::try_from_i128_with_scale(nanos, 9).ok())
        .unwrap_or(Decimal::MAX)
}

/// A usage counter's value, if it can be one: finite and not negative.
pub(crate) fn usage_amount(used: f64) -> Option<Decimal> {
    decimal_from_f64(used).filter(|used| *used >= Decimal::ZERO)
}

/// The least payable amount not below `value`, at most GLM's supply.
pub(crate) fn round_up(value: Decimal) -> Glm {
    let payable = value.round_dp_with_strategy(Glm::PLACES, RoundingStrategy::ToPositiveInfinity);
    Glm::from_decimal(payable.min(SUPPLY)).unwrap_or_default()
}

/// As much as there is.
pub(crate) fn supply() -> Glm {
    round_up(SUPPLY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use crate::offer::prices::tests::{offer, usual};

    fn glm(text: &str) -> Glm {
        text.parse().unwrap()
    }

    #[test]
    fn prices_are_read_whole_or_not() {
        let pricing = usual(&json!([1, 0.25, 3.0])).unwrap();
        assert_eq!(
            pricing.rates,
            [
                (name::USAGE_DURATION.to_owned(), Decimal::ONE),
                (name::USAGE_CPU.to_owned(), Decimal::new(25, 2)),
            ]
        );
        assert_eq!(pricing.start_price(), glm("3"));
        assert_eq!(pricing.cost(&[2.0, 4.0]), Some(Decimal::from(6)));
        let tiny = usual(&json!([1e-30, 5e-324, -0.0])).unwrap();
        assert_eq!(tiny.cost(&[1e6, 1e6]), Some(Decimal::ZERO));
    }

    #[test]
    fn an_hour_reads_as_it_was_set() {
        for (hour, cpu, threads, expected) in [
            (0.1, 0.0, 1, "0.1"),
            (0.1, 0.3, 8, "2.5"),
            (1.0 / 3.0, 0.0, 1, "0.333333333"),
            (0.0, 0.0, 64, "0"),
        ] {
            let pricing = usual(&json!([hour / 3600.0, cpu / 3600.0, 5])).unwrap();
            assert_eq!(pricing.per_hour(threads), glm(expected));
        }
    }

    #[test]
    fn full_use_counts_every_thread_and_the_start() {
        let pricing = usual(&json!([0.001, 0.002, 0.5])).unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!(pricing.cost_at_full_use(minute, 4), glm("1.04"));
        assert_eq!(pricing.cost_at_full_use(Duration::ZERO, 4), glm("0.5"));
        assert_eq!(pricing.cost_at_full_use(Duration::from_nanos(1), 0), glm("0.500000000001"));
        let least = usual(&json!([1e-18, 0, 0])).unwrap();
        assert_eq!(least.cost_at_full_use(Duration::from_millis(1), 1), glm("0.000000000000000001"));
        let dearest = usual(&json!([1e9, 1e9, 1e9])).unwrap();
        assert_eq!(dearest.cost_at_full_use(Duration::MAX, u32::MAX), glm("1000000000"));
        assert_eq!(dearest.per_hour(u32::MAX), glm("1000000000"));
    }

    #[test]
    fn counters_nobody_knows_cost_what_is_reported() {
        let counters = json!([name::USAGE_DURATION, "golem.usage.gib"]);
        let pricing = Pricing::read(&offer(&counters, &json!([0.001, 2, 0]))).unwrap();
        assert_eq!(pricing.unbounded_counters().collect::<Vec<_>>(), ["golem.usage.gib"]);
        assert_eq!(pricing.cost(&[0.0, 1.5]), Some(Decimal::from(3)));
        assert_eq!(pricing.cost_at_full_use(Duration::from_secs(10), 1), glm("0.01"));
        let free = Pricing::read(&offer(&counters, &json!([0.001, 0, 0]))).unwrap();
        assert_eq!(free.unbounded_counters().count(), 0);
    }

    #[test]
    fn usage_that_is_none_costs_nothing_known() {
        let pricing = usual(&json!([1e9, 1, 0])).unwrap();
        for usage in [
            &[][..],
            &[1.0],
            &[1.0, 2.0, 3.0],
            &[f64::NAN, 0.0],
            &[f64::INFINITY, 0.0],
            &[-1.0, 0.0],
            &[1e300, 0.0],
            &[1e28, 0.0],
        ] {
            assert_eq!(pricing.cost(usage), None, "{usage:?}");
        }
    }

    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!(name::USAGE_CPU)),
            Just(json!(name::USAGE_DURATION)),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,3}", inner, 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_offer_makes_it_panic(counters in anything(), prices in anything(), age in any::<u64>(), threads: u32) {
            if let Ok(pricing) = Pricing::read(&offer(&counters, &prices)) {
                prop_assert!(!pricing.cost_at_full_use(Duration::from_nanos(age), threads).is_negative());
                prop_assert!(!pricing.per_hour(threads).is_negative());
            }
        }

        #[test]
        fn no_price_and_no_usage_makes_it_panic(
            prices in prop::array::uniform3(any::<f64>()),
            used in prop::array::uniform2(any::<f64>()),
            age in any::<u64>(),
            threads: u32,
        ) {
            if let Ok(pricing) = usual(&json!(prices)) {
                prop_assert!(pricing.cost(&used).is_none_or(|cost| cost >= Decimal::ZERO));
                prop_assert!(!pricing.cost_at_full_use(Duration::from_secs(age), threads).is_negative());
            }
        }

        #[test]
        fn full_use_bounds_every_use(
            prices in prop::array::uniform3(0.0f64..0.1),
            age in 0.0f64..1e7,
            busy in 0.0f64..=1.0,
            threads in 1u32..256,
        ) {
            let pricing = usual(&json!(prices)).unwrap();
            let span = Duration::from_secs_f64(age);
            let cost = pricing.cost(&[span.as_secs_f64(), span.as_secs_f64() * f64::from(threads) * busy]).unwrap();
            let most = pricing.cost_at_full_use(span, threads).to_decimal();
            prop_assert!(cost <= most * Decimal::new(1_000_000_001, 9), "{cost} > {most}");
        }
    }
}
