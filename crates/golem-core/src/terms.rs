//! Negotiation: our counter-proposal to an offer, and the terms that an agreement holds in the end.
//!
//! Prices aren't negotiated; [`crate::caps`] refuses those that are too high.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use yagna_api::market::NewDemand;
use yagna_api::properties::name;
use yagna_api::{Properties, Timestamp};

use crate::caps::Refusal;
use crate::offer::{OfferTerms, plain, whole};

/// By how much debit notes may come early before there are too many.
const NOTES_GRACE: Duration = Duration::from_secs(30);

/// What we agree to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermsPolicy {
    /// The payment platform we pay on.
    pub platform: String,
    /// The least time we need to accept a debit note.
    pub accept_timeout_at_least: Duration,
    /// The least time between two debit notes, where payments during the agreement are wanted.
    pub debit_interval_at_least: Duration,
    /// The least time we need to pay one.
    pub payment_timeout_at_least: Duration,
    /// Do we pay during an agreement, not only at its end?
    pub mid_agreement_payments: bool,
}

impl TermsPolicy {
    /// 30 s to accept a debit note; no payments during the agreement, else at most one debit note a minute and
    /// five hours to pay it.
    pub fn new(platform: impl Into<String>) -> Self {
        Self {
            platform: platform.into(),
            accept_timeout_at_least: Duration::from_secs(30),
            debit_interval_at_least: Duration::from_secs(60),
            payment_timeout_at_least: Duration::from_secs(5 * 60 * 60),
            mid_agreement_payments: false,
        }
    }
}

/// Our answer to an offer, or why there is none.
///
/// The demand as it is, with the payment platform chosen and each negotiable term (its name ends in `?`) settled:
/// left out where the offer doesn't name it, since a provider refuses what it didn't offer; otherwise as offered.
/// Where it gives us too little time, the interval and the payment time-out are raised to what we need, which
/// providers take within limits of their own; but none takes an accept time-out above its own, so too short a
/// one is a refusal.
///
/// A provider's draft is an offer too: where the answer to it equals our last counter-proposal, all is agreed; where
/// it differs, the provider changed its terms, and may be answered again or left.
pub fn counter_terms(
    demand: &NewDemand,
    offer: &OfferTerms,
    policy: &TermsPolicy,
    now: Timestamp,
) -> Result<NewDemand, Refusal> {
    let expires = demand
        .properties
        .get(name::EXPIRATION)
        .and_then(Value::as_i64)
        .and_then(|at| Timestamp::from_millisecond(at).ok())
        .ok_or(Refusal::NoExpiration)?;
    if expires <= now {
        return Err(Refusal::Expired(expires));
    }
    if !offer.platforms.contains(&policy.platform) {
        return Err(no_platform(policy, offer));
    }
    let accept_timeout = seconds(&offer.properties, name::ACCEPT_TIMEOUT);
    let least = policy.accept_timeout_at_least;
    if let Some(offered) = accept_timeout.filter(|offered| *offered < least) {
        return Err(Refusal::AcceptTimeout { offered, least });
    }
    let raised = |property, least: Duration| {
        seconds(&offer.properties, property)
            .filter(|_| policy.mid_agreement_payments)
            .map(|offered| offered.max(least))
    };

    let mut counter = demand.clone();
    let properties = &mut counter.properties;
    properties.set(name::CHOSEN_PLATFORM, policy.platform.as_str());
    settle(properties, name::ACCEPT_TIMEOUT, accept_timeout);
    settle(
        properties,
        name::DEBIT_NOTE_INTERVAL,
        raised(name::DEBIT_NOTE_INTERVAL, policy.debit_interval_at_least),
    );
    settle(properties, name::PAYMENT_TIMEOUT, raised(name::PAYMENT_TIMEOUT, policy.payment_timeout_at_least));
    Ok(counter)
}

/// The terms that were agreed, read from both sides of an agreement.
///
/// Where the sides name different times, the shorter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgreedTerms {
    /// How soon a debit note must be accepted. Counts when either side names it: to be quick can't be wrong.
    pub accept_timeout: Option<Duration>,
    /// How much time lies between two debit notes. Counts when both sides name it.
    pub debit_interval: Option<Duration>,
    /// How much time we have to pay a debit note. Counts when both sides name it; without it no debit note is
    /// to be paid before the agreement ends.
    pub payment_timeout: Option<Duration>,
    /// May there be several activities, one after the other? Only when both sides say so.
    pub multi_activity: bool,
}

impl AgreedTerms {
    /// Reads both sides of an agreement.
    pub fn read(demand: &Properties, offer: &Properties) -> Self {
        let sides = |property| (seconds(demand, property), seconds(offer, property));
        let both = |property| match sides(property) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            _ => None,
        };
        let either = |property| match sides(property) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        Self {
            accept_timeout: either(name::ACCEPT_TIMEOUT),
            debit_interval: both(name::DEBIT_NOTE_INTERVAL),
            payment_timeout: both(name::PAYMENT_TIMEOUT),
            multi_activity: [demand, offer]
                .iter()
                .all(|side| side.get(name::MULTI_ACTIVITY).and_then(Value::as_bool) == Some(true)),
        }
    }

    /// May an activity of this age have sent so many debit notes? Always, where no interval was agreed.
    ///
    /// The one that ends the activity comes out of turn, so one more than the interval allows is fine.
    pub fn allows_notes(&self, notes: u32, age: Duration) -> bool {
        let Some(interval) = self.debit_interval else {
            return true;
        };
        let least = interval.saturating_mul(notes.saturating_sub(1));
        least <= age.saturating_add(NOTES_GRACE)
    }
}

fn no_platform(policy: &TermsPolicy, offer: &OfferTerms) -> Refusal {
    let offered =
        if offer.platforms.is_empty() { "none".to_owned() } else { plain(&offer.platforms.join(", ")) };
    Refusal::Platform { wanted: policy.platform.clone(), offered }
}

/// A term in whole seconds, as providers take it: a whole number that 32 bits hold.
fn seconds(properties: &Properties, property: &str) -> Option<Duration> {
    let whole = whole(properties.get(property)?)?;
    Some(Duration::from_secs(whole.into()))
}

fn settle(properties: &mut Properties, property: &str, value: Option<Duration>) {
    match value {
        Some(value) => properties.set(property, value.as_secs()),
        None => drop(properties.remove(property)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::tests::demand;
    use crate::offer::tests::{issuer, properties};
    use proptest::prelude::*;
    use serde_json::json;

    const PLATFORM: &str = "erc20-hoodi-tglm";

    fn now() -> Timestamp {
        "2026-11-21T21:00:00Z".parse().unwrap()
    }

    fn our_demand() -> NewDemand {
        demand("2026-11-21T22:00:00Z".parse().unwrap())
    }

    fn offer(change: impl FnOnce(&mut Properties)) -> OfferTerms {
        let mut properties = properties();
        change(&mut properties);
        OfferTerms::read(&issuer(), &properties).unwrap()
    }

    fn times(counter: &NewDemand) -> [Option<u64>; 3] {
        [name::ACCEPT_TIMEOUT, name::DEBIT_NOTE_INTERVAL, name::PAYMENT_TIMEOUT]
            .map(|term| counter.properties.get(term).map(|value| value.as_u64().unwrap()))
    }

    #[test]
    fn a_counter_chooses_the_platform_and_echoes_what_is_offered() {
        let mut demand = our_demand();
        demand.properties.set("golem.own", json!([1, 2]));
        let counter = counter_terms(&demand, &offer(|_| ()), &TermsPolicy::new(PLATFORM), now()).unwrap();
        let expected =
            demand.properties.clone().with(name::CHOSEN_PLATFORM, PLATFORM).with(name::ACCEPT_TIMEOUT, 240);
        assert_eq!(counter.properties, expected);
        assert_eq!(counter.constraints, demand.constraints);
    }

    #[test]
    fn payments_during_the_agreement_are_agreed_only_when_wanted() {
        let paying = TermsPolicy { mid_agreement_payments: true, ..TermsPolicy::new(PLATFORM) };
        for (interval, timeout, wanted, expected) in [
            (json!(120), json!(120), true, [Some(240), Some(120), Some(18_000)]),
            (json!(10), json!(40_000), true, [Some(240), Some(60), Some(40_000)]),
            (json!(90.0), json!("120"), true, [Some(240), Some(90), None]),
            (json!(null), json!(-5), true, [Some(240), None, None]),
            (json!(120), json!(120), false, [Some(240), None, None]),
        ] {
            let offer = offer(|offer| {
                offer.set(name::DEBIT_NOTE_INTERVAL, interval);
                offer.set(name::PAYMENT_TIMEOUT, timeout);
            });
            let policy = TermsPolicy { mid_agreement_payments: wanted, ..paying.clone() };
            let counter = counter_terms(&our_demand(), &offer, &policy, now()).unwrap();
            assert_eq!(times(&counter), expected);
        }
    }

    #[test]
    fn what_isnt_offered_isnt_asked_for() {
        let mut demand = our_demand();
        demand.properties.set(name::DEBIT_NOTE_INTERVAL, 120);
        demand.properties.set(name::PAYMENT_TIMEOUT, 18_000);
        let bare = offer(|offer| {
            offer.remove(name::ACCEPT_TIMEOUT);
            offer.remove(name::DEBIT_NOTE_INTERVAL);
            offer.remove(name::PAYMENT_TIMEOUT);
        });
        let policy = TermsPolicy { mid_agreement_payments: true, ..TermsPolicy::new(PLATFORM) };
        let counter = counter_terms(&demand, &bare, &policy, now()).unwrap();
        assert_eq!(times(&counter), [None; 3]);
    }

    #[test]
    fn impossible_terms_are_refused_with_the_reason() {
        let policy = TermsPolicy::new(PLATFORM);
        let refuse = |demand: &NewDemand, offer: &OfferTerms, policy: &TermsPolicy| {
            let refusal = counter_terms(demand, offer, policy, now()).unwrap_err();
            (refusal.kind(), refusal.to_string())
        };
        let hasty = offer(|offer| offer.set(name::ACCEPT_TIMEOUT, 29));
        assert_eq!(
            refuse(&our_demand(), &hasty, &policy),
            (
                "accept time-out too short",
                "29 s for accepting a debit note is less than the 30 s we need".to_owned()
            )
        );
        let just_enough = offer(|offer| offer.set(name::ACCEPT_TIMEOUT, 30));
        assert!(counter_terms(&our_demand(), &just_enough, &policy, now()).is_ok());
        let other = TermsPolicy::new("erc20-polygon-glm");
        assert_eq!(
            refuse(&our_demand(), &offer(|_| ()), &other),
            (
                "no common payment platform",
                "it can't be paid on erc20-polygon-glm, only on: erc20-hoodi-tglm".to_owned()
            )
        );
        let unpaid = offer(|offer| drop(offer.remove(&name::platform_address(PLATFORM))));
        assert_eq!(
            refuse(&our_demand(), &unpaid, &policy).1,
            "it can't be paid on erc20-hoodi-tglm, only on: none"
        );
        let over = demand(now());
        assert_eq!(
            refuse(&over, &offer(|_| ()), &policy),
            ("demand expired", "the demand ended at 2026-11-21T21:00:00Z".to_owned())
        );
        for expiration in [json!("tomorrow"), json!(null), json!(i64::MAX)] {
            let mut endless = our_demand();
            endless.properties.set(name::EXPIRATION, expiration);
            assert_eq!(refuse(&endless, &offer(|_| ()), &policy).0, "demand expired");
        }
    }

    #[test]
    fn agreed_is_what_both_sides_say() {
        let side = |accept, interval, payment| {
            Properties::new()
                .with(name::ACCEPT_TIMEOUT, accept)
                .with(name::DEBIT_NOTE_INTERVAL, interval)
                .with(name::PAYMENT_TIMEOUT, payment)
        };
        let seconds = |s| Some(Duration::from_secs(s));
        let full: Properties = side(json!(240), json!(120), json!(18_000));
        let agreed = AgreedTerms::read(&full, &full);
        assert_eq!(
            agreed,
            AgreedTerms {
                accept_timeout: seconds(240),
                debit_interval: seconds(120),
                payment_timeout: seconds(18_000),
                multi_activity: false,
            }
        );
        let other = side(json!(30), json!(600), json!(600.0));
        assert_eq!(
            AgreedTerms::read(&full, &other),
            AgreedTerms {
                accept_timeout: seconds(30),
                debit_interval: seconds(120),
                payment_timeout: seconds(600),
                multi_activity: false,
            }
        );
        for one_sided in [
            AgreedTerms::read(&full, &Properties::new()),
            AgreedTerms::read(&Properties::new(), &full),
            AgreedTerms::read(&full, &side(json!("240"), json!(null), json!(0.5))),
        ] {
            assert_eq!(one_sided, AgreedTerms { accept_timeout: seconds(240), ..AgreedTerms::default() });
        }
    }

    #[test]
    fn several_activities_are_agreed_only_when_both_sides_say_so() {
        let side = |value: Value| Properties::new().with(name::MULTI_ACTIVITY, value);
        for (ours, theirs, agreed) in [
            (json!(true), json!(true), true),
            (json!(true), json!(false), false),
            (json!(true), json!("true"), false),
            (json!(null), json!(true), false),
        ] {
            assert_eq!(AgreedTerms::read(&side(ours), &side(theirs)).multi_activity, agreed);
        }
        assert!(!AgreedTerms::read(&side(json!(true)), &Properties::new()).multi_activity);
    }

    #[test]
    fn debit_notes_come_no_oftener_than_agreed() {
        let agreed = AgreedTerms { debit_interval: Some(Duration::from_secs(60)), ..AgreedTerms::default() };
        for (notes, age, allowed) in [
            (0, 0, true),
            (1, 0, true),
            (2, 29, false),
            (2, 30, true),
            (11, 569, false),
            (11, 570, true),
            (u32::MAX, 1_000_000, false),
        ] {
            assert_eq!(agreed.allows_notes(notes, Duration::from_secs(age)), allowed, "{notes} in {age} s");
        }
        assert!(AgreedTerms::default().allows_notes(u32::MAX, Duration::ZERO));
    }

    #[test]
    fn a_draft_that_takes_our_terms_settles_them() {
        for mid_agreement_payments in [false, true] {
            let policy = TermsPolicy {
                mid_agreement_payments,
                debit_interval_at_least: Duration::from_secs(300),
                ..TermsPolicy::new(PLATFORM)
            };
            let answer = |offer: &OfferTerms| counter_terms(&our_demand(), offer, &policy, now()).unwrap();
            let counter = answer(&offer(|_| ()));
            // A provider takes over our times, and drops the terms that we left out.
            let draft = offer(|offer| {
                for term in [name::ACCEPT_TIMEOUT, name::DEBIT_NOTE_INTERVAL, name::PAYMENT_TIMEOUT] {
                    match counter.properties.get(term) {
                        Some(value) => offer.set(term, value.clone()),
                        None => drop(offer.remove(term)),
                    }
                }
            });
            assert_eq!(answer(&draft), counter);
            let changed = offer(|offer| offer.set(name::ACCEPT_TIMEOUT, 60));
            assert_ne!(answer(&changed), counter);
        }
    }

    fn term() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<u64>().prop_map(Value::from),
            (0u32..100_000).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,5}".prop_map(Value::from),
            Just(Value::Null),
        ]
    }

    proptest! {
        #[test]
        fn every_counter_keeps_the_demand_and_our_limits(
            accept in term(), interval in term(), payment in term(), wanted: bool, own in "[a-z]{1,8}",
        ) {
            let offer = offer(|offer| {
                offer.set(name::ACCEPT_TIMEOUT, accept);
                offer.set(name::DEBIT_NOTE_INTERVAL, interval);
                offer.set(name::PAYMENT_TIMEOUT, payment);
            });
            let mut demand = our_demand();
            demand.properties.set(format!("golem.own.{own}"), own);
            let policy = TermsPolicy { mid_agreement_payments: wanted, ..TermsPolicy::new(PLATFORM) };
            match counter_terms(&demand, &offer, &policy, now()) {
                Ok(counter) => {
                    for (property, value) in &demand.properties {
                        if property != name::ACCEPT_TIMEOUT {
                            prop_assert_eq!(counter.properties.get(property), Some(value));
                        }
                    }
                    let [accept, interval, payment] = times(&counter);
                    prop_assert!(accept.is_none_or(|s| s >= 30));
                    prop_assert!(interval.is_none_or(|s| wanted && s >= 60));
                    prop_assert!(payment.is_none_or(|s| wanted && s >= 18_000));
                    let agreed = AgreedTerms::read(&counter.properties, &offer.properties);
                    prop_assert_eq!(agreed.payment_timeout.is_some(), payment.is_some());
                }
                Err(refusal) => prop_assert_eq!(refusal.kind(), "accept time-out too short"),
            }
        }
    }
}
