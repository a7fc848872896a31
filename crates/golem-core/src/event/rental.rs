//! The terms of a rental that records keep, so that another process can check its bills.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use yagna_api::{ActivityId, Timestamp};

use crate::pricing::Pricing;

/// The terms that a rental's bills are measured by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RentalTerms {
    /// The prices of the provider.
    pub pricing: Pricing,
    /// CPU threads of an activity.
    pub threads: u32,
    /// The time at which the agreement ends by itself.
    pub expires: Timestamp,
}

/// The measurements of its activity that a debit note states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The activity.
    pub activity: ActivityId,
    /// Its usage counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Vec<f64>>,
    /// True if the note asked for more than there was.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub overbilled: bool,
}

/// Prices as records have them: exact, in text.
#[derive(Serialize, Deserialize)]
struct PriceRecord {
    rates: Vec<(String, String)>,
    start: String,
}

impl Serialize for Pricing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rates = self.rates.iter().map(|(counter, rate)| (counter.clone(), rate.to_string()));
        PriceRecord { rates: rates.collect(), start: self.start.to_string() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pricing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = PriceRecord::deserialize(deserializer)?;
        let price = |text: &str| Decimal::from_str(text).map_err(D::Error::custom);
        let rates = record.rates.into_iter().map(|(counter, rate)| Ok((counter, price(&rate)?)));
        Ok(Self { rates: rates.collect::<Result<_, D::Error>>()?, start: price(&record.start)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_of_terms_is_text_that_people_can_read() {
        let terms = RentalTerms {
            pricing: Pricing {
                rates: vec![("golem.usage.cpu_sec".into(), Decimal::new(1, 6))],
                start: Decimal::new(25, 2),
            },
            threads: 4,
            expires: "2026-11-21T22:00:00Z".parse().unwrap(),
        };
        let record = serde_json::to_value(&terms).unwrap();
        let pricing = json!({"rates": [["golem.usage.cpu_sec", "0.000001"]], "start": "0.25"});
        assert_eq!(record, json!({"pricing": pricing, "threads": 4, "expires": "2026-11-21T22:00:00Z"}));
        assert_eq!(serde_json::from_value::<RentalTerms>(record).unwrap(), terms);
        for broken in [json!({"rates": [["a", "x"]], "start": "0"}), json!({"rates": [], "start": "1e"})] {
            assert!(serde_json::from_value::<Pricing>(broken).is_err());
        }
    }

    proptest! {
        #[test]
        fn prices_come_back_exactly(prices in prop::collection::vec((any::<i64>(), 0u32..28), 1..4)) {
            let price = |(digits, places): &(i64, u32)| Decimal::new(*digits, *places);
            let rates = prices.iter().map(|given| ("counter".to_owned(), price(given))).collect();
            let pricing = Pricing { rates, start: price(&prices[0]) };
            let record = serde_json::to_string(&pricing).unwrap();
            prop_assert_eq!(serde_json::from_str::<Pricing>(&record).unwrap(), pricing);
        }
    }
}
