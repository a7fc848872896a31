//! The requests of requestors about allocations and bills, read as the daemon reads them, with its words for errors:
//! the types' names are part of them.

use std::fmt;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use yagna_api::{AllocationId, Glm, Timestamp};

use super::platform::NamedPlatform;

/// A request for an allocation. Written again, it is what the daemon repeats in its problem documents.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewAllocation {
    pub(crate) address: Option<String>,
    #[serde(deserialize_with = "amount")]
    pub(crate) total_amount: Glm,
    pub(crate) payment_platform: Option<NamedPlatform>,
    #[serde(default, deserialize_with = "time")]
    pub(crate) timeout: Option<Timestamp>,
    #[serde(default)]
    pub(crate) make_deposit: bool,
    pub(crate) deposit: Option<DepositRequest>,
    pub(crate) extend_timeout: Option<u64>,
}

/// Somebody's deposit on a chain.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(crate) struct DepositRequest {
    pub(crate) id: String,
    pub(crate) contract: String,
    pub(crate) validate: Option<serde_json::Value>,
}

/// The changes to an allocation.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AllocationUpdate {
    #[serde(default, deserialize_with = "some_amount")]
    pub(crate) total_amount: Option<Glm>,
    #[serde(default, deserialize_with = "time")]
    pub(crate) timeout: Option<Timestamp>,
    pub(crate) deposit: Option<DepositRequest>,
}

/// The promise to pay a bill.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Acceptance {
    #[serde(deserialize_with = "amount")]
    pub(crate) total_amount_accepted: Glm,
    pub(crate) allocation_id: AllocationId,
}

/// The problem with a text that should be a time.
pub(crate) fn time_problem(text: &str) -> &'static str {
    // A time without its zone ends too early; anything else is wrong somewhere.
    let ends_early = text.len() >= 10 && text.is_ascii() && !text.contains(['z', 'Z', '+']);
    if ends_early || text.is_empty() { "premature end of input" } else { "input contains invalid characters" }
}

/// A number or a text; the daemon's words for all others.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Glm, D::Error> {
    struct Amount;

    impl Visitor<'_> for Amount {
        type Value = Glm;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number or formatted decimal string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Glm, E> {
            text.parse().map_err(|_| {
                E::custom(if text.is_empty() {
                    "Failed to parse empty string"
                } else {
                    "invalid digit found in string"
                })
            })
        }

        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Glm, E> {
            self.visit_str(&value.to_string())
        }

        fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Glm, E> {
            self.visit_str(&value.to_string())
        }

        fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Glm, E> {
            Glm::from_f64(value).ok_or_else(|| E::custom("invalid digit found in string"))
        }
    }

    deserializer.deserialize_any(Amount)
}

fn some_amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Glm>, D::Error> {
    #[derive(Deserialize)]
    struct Wrapped(#[serde(deserialize_with = "amount")] Glm);

    Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    struct Time(Timestamp);

    impl<'de> Deserialize<'de> for Time {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct TimeVisitor;

            impl Visitor<'_> for TimeVisitor {
                type Value = Time;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an RFC 3339 formatted date and time string")
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                    text.parse().map(Time).map_err(|_| E::custom(time_problem(text)))
                }
            }

            deserializer.deserialize_str(TimeVisitor)
        }
    }

    Ok(Option::<Time>::deserialize(deserializer).map_err(D::Error::custom)?.map(|time| time.0))
}
