//! Negotiation by tables and properties.

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

fn paying(on_the_way: bool) -> TermsPolicy {
    let mid_agreement_payments =
        if on_the_way { MidAgreementPayments::Always } else { MidAgreementPayments::Never };
    TermsPolicy { mid_agreement_payments, ..TermsPolicy::new(PLATFORM) }
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
        let policy = paying(wanted);
        let counter = counter_terms(&our_demand(), &offer, &policy, now()).unwrap();
        assert_eq!(times(&counter), expected);
    }
}

#[test]
fn long_agreements_are_paid_on_the_way_where_the_provider_says_how_often() {
    use MidAgreementPayments::{Always, Auto, Never};
    for (policy, seconds, interval, payment, expected) in [
        (Auto, 18_000, Some(120), Some(120), [Some(120), Some(18_000)]),
        (Auto, 17_999, Some(120), Some(120), [None, None]),
        (Auto, 86_400, Some(10), Some(40_000), [Some(60), Some(40_000)]),
        (Auto, 86_400, None, Some(120), [None, None]),
        (Auto, 86_400, Some(120), None, [Some(120), None]),
        (Never, 86_400, Some(120), Some(120), [None, None]),
        (Always, 600, Some(120), Some(120), [Some(120), Some(18_000)]),
        (Always, 600, None, Some(120), [None, Some(18_000)]),
    ] {
        let offer = offer(|offer| {
            for (term, value) in [(name::DEBIT_NOTE_INTERVAL, interval), (name::PAYMENT_TIMEOUT, payment)] {
                match value {
                    Some(value) => offer.set(term, value),
                    None => drop(offer.remove(term)),
                }
            }
        });
        let policy = TermsPolicy { mid_agreement_payments: policy, ..TermsPolicy::new(PLATFORM) };
        let ours = demand(yagna_api::time::after(now(), Duration::from_secs(seconds)));
        let counter = counter_terms(&ours, &offer, &policy, now()).unwrap();
        assert_eq!(times(&counter)[1..], expected, "{policy:?} {seconds} {interval:?} {payment:?}");
    }
}

#[test]
fn times_beyond_the_ranges_are_brought_into_them() {
    let range = |least, most| TimeRange::between(Duration::from_secs(least), Duration::from_secs(most));
    let policy = TermsPolicy {
        accept_timeout: range(30, 100),
        debit_interval: range(300, 200),
        payment_timeout: range(1000, 1000),
        ..paying(true)
    };
    for (offered, expected) in [
        ([30, 200, 1000], [Some(30), Some(200), Some(1000)]),
        ([100, 300, 999], [Some(100), Some(300), Some(1000)]),
        ([240, 120, 1001], [Some(100), Some(200), Some(1000)]),
        ([u32::MAX, u32::MAX, u32::MAX], [Some(100), Some(300), Some(1000)]),
    ] {
        let offer = offer(|offer| {
            offer.set(name::ACCEPT_TIMEOUT, offered[0]);
            offer.set(name::DEBIT_NOTE_INTERVAL, offered[1]);
            offer.set(name::PAYMENT_TIMEOUT, offered[2]);
        });
        let counter = counter_terms(&our_demand(), &offer, &policy, now()).unwrap();
        assert_eq!(times(&counter), expected);
        // A provider that takes this over has agreed.
        let asked = NegotiatedTimes::of(&counter.properties);
        assert_eq!(check_draft(&asked, &counter.properties), Ok(()));
    }
}

#[test]
fn a_draft_may_give_more_time_or_drop_a_term_but_not_give_less() {
    let secs = |seconds| Some(Duration::from_secs(seconds));
    let asked = NegotiatedTimes {
        accept_timeout: secs(240),
        debit_interval: secs(120),
        payment_timeout: secs(18_000),
    };
    let draft = |accept: Value, interval: Value, payment: Value| {
        [
            (name::ACCEPT_TIMEOUT, accept),
            (name::DEBIT_NOTE_INTERVAL, interval),
            (name::PAYMENT_TIMEOUT, payment),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .fold(Properties::new(), |draft, (term, value)| draft.with(term, value))
    };
    let nothing = NegotiatedTimes::default();
    for (asked, draft, words) in [
        (asked, draft(json!(240), json!(120), json!(18_000)), ""),
        (asked, draft(json!(241), json!(600), json!(86_400)), ""),
        (asked, draft(json!(null), json!(null), json!(null)), ""),
        (asked, draft(json!(239), json!(120), json!(18_000)), "says 239 s"),
        (asked, draft(json!(240), json!(119), json!(18_000)), "says 119 s"),
        (asked, draft(json!(240), json!(120), json!(120)), "less than the 18000 s we asked for"),
        (asked, draft(json!("soon"), json!(120), json!(18_000)), "that we didn't agree to"),
        (nothing, draft(json!(null), json!(120), json!(null)), ""),
        (
            nothing,
            draft(json!(null), json!(null), json!(86_400)),
            "payment-timeout-sec?` that we didn't agree to",
        ),
        (nothing, draft(json!(240), json!(null), json!(null)), "accept-timeout?` that we didn't agree to"),
    ] {
        let said = check_draft(&asked, &draft).map_or_else(|refusal| refusal.to_string(), |()| String::new());
        assert!(said.contains(words) && said.is_empty() == words.is_empty(), "{said:?} {words:?} {draft:?}");
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
    let policy = paying(true);
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
        (2, 0, true),
        (3, 29, false),
        (3, 30, true),
        (12, 569, false),
        (12, 570, true),
        (u32::MAX, 1_000_000, false),
    ] {
        assert_eq!(agreed.allows_notes(notes, Duration::from_secs(age)), allowed, "{notes} in {age} s");
    }
    assert!(AgreedTerms::default().allows_notes(u32::MAX, Duration::ZERO));
    assert!(agreed.allows_payable_notes(u32::MAX, Duration::ZERO));
    let paying = AgreedTerms { payment_timeout: Some(TermsPolicy::LONG), ..agreed };
    assert!(paying.allows_payable_notes(2, Duration::ZERO));
    assert!(!paying.allows_payable_notes(3, TermsPolicy::LONG.saturating_sub(Duration::from_secs(31))));
    assert!(paying.allows_payable_notes(3, TermsPolicy::LONG));
}

#[test]
fn a_draft_that_takes_our_terms_settles_them() {
    for mid_agreement_payments in [false, true] {
        let policy = TermsPolicy {
            debit_interval: TimeRange::at_least(Duration::from_secs(300)),
            ..paying(mid_agreement_payments)
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
        let asked = NegotiatedTimes::of(&counter.properties);
        assert_eq!(check_draft(&asked, &draft.properties), Ok(()));
        let changed = offer(|offer| offer.set(name::ACCEPT_TIMEOUT, 60));
        let refusal = check_draft(&asked, &changed.properties).unwrap_err();
        assert_eq!(refusal.kind(), "terms changed");
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
    fn a_range_holds_its_ends_and_clamps_into_itself(one: u32, other: u32, time: u32) {
        let [one, other, time] = [one, other, time].map(|seconds| Duration::from_secs(seconds.into()));
        let range = TimeRange::between(one, other);
        prop_assert_eq!(range, TimeRange::between(other, one));
        prop_assert!(range.contains(one) && range.contains(other));
        prop_assert!(range.contains(range.clamp(time)));
        prop_assert_eq!(range.clamp(time) == time, range.contains(time));
        prop_assert_eq!(range.clamp(range.clamp(time)), range.clamp(time));
        prop_assert!(TimeRange::at_least(one).contains(time) == (time >= one));
        prop_assert!(TimeRange::at_most(one).contains(time) == (time <= one));
    }

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
        let policy = paying(wanted);
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
