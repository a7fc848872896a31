//! Strategies by tables and properties.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use serde_json::json;
use yagna_api::properties::name;
use yagna_api::{Glm, NodeId, Timestamp};

use super::{Candidate, LeastExpensive, ProviderList, Score, Strategy, from_fn};
use crate::caps::{PriceCaps, Refusal, expected_cost};
use crate::offer::OfferTerms;
use crate::offer::tests::{issuer, properties};
use crate::standing::{Record, Records};

fn now() -> Timestamp {
    "2026-11-21T21:00:00Z".parse().unwrap()
}

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

/// Prices a second, a CPU second (there are 8 threads), and for the start.
fn offer(second: f64, cpu: f64, start: f64) -> OfferTerms {
    let prices = properties().with(name::PRICING_COEFFICIENTS, json!([second, cpu, start]));
    OfferTerms::read(&issuer(), &prices).unwrap()
}

fn appraise(strategy: &dyn Strategy, offer: &OfferTerms, record: Record) -> Result<f64, Refusal> {
    strategy.appraise(&Candidate::new(offer, record, now())).map(Score::get)
}

fn of_stranger(strategy: &dyn Strategy, offer: &OfferTerms) -> Result<f64, Refusal> {
    appraise(strategy, offer, Record::default())
}

fn neutral() -> impl Strategy {
    from_fn(|_| Ok(Score::NEUTRAL))
}

#[test]
fn of_all_prices_those_within_the_caps_are_taken_and_the_cheaper_come_first() {
    let prices = [0.0, 1e-9, 1e-6, 0.0001, 0.01, 0.5, 3.0];
    let caps = PriceCaps::none()
        .start_at_most(glm("0.5"))
        .per_hour_at_most(glm("1"))
        .unit_at_most(name::USAGE_CPU, glm("0.000001"));
    for minutes in [1, 10, 600] {
        let use_for = Duration::from_secs(60 * minutes);
        let strategy = LeastExpensive::new(caps.clone()).for_use(use_for);
        let mut taken = Vec::new();
        let mut n = 0;
        for second in prices {
            for cpu in prices {
                for start in prices {
                    n += 1;
                    let offer = offer(second, cpu, start);
                    let fits =
                        start <= 0.5 && cpu <= 0.000_001 && second * 3600.0 + cpu * 8.0 * 3600.0 <= 1.0;
                    let appraised = of_stranger(&strategy, &offer);
                    assert_eq!(appraised.is_ok(), fits, "{second} {cpu} {start}: {appraised:?}");
                    if let Ok(score) = appraised {
                        taken.push((expected_cost(&offer, use_for), Score::new(score).unwrap()));
                    }
                }
            }
        }
        assert_eq!((n, taken.len()), (343, 4 * 3 * 6));
        taken.sort_by_key(|(cost, _)| *cost);
        for pair in taken.windows(2) {
            let [(cheap, high), (dear, low)] = pair else { unreachable!("pairs are pairs") };
            assert_eq!(cheap.cmp(dear), low.cmp(high), "{cheap} {high} {dear} {low}");
        }
    }
}

#[test]
fn caps_must_be_said_and_the_usual_ones_are_real() {
    let dear = offer(1.0, 1.0, 100.0);
    assert!(of_stranger(&LeastExpensive::new(PriceCaps::none()), &dear).is_ok());
    let refusal = of_stranger(&LeastExpensive::usual(), &dear).unwrap_err();
    assert_eq!(refusal.to_string(), "32400 GLM an hour is above the cap of 5");
    let dear_start = offer(0.0, 0.0, 0.51);
    let refusal = of_stranger(&LeastExpensive::usual(), &dear_start).unwrap_err();
    assert_eq!(refusal.to_string(), "0.51 GLM for the start is above the cap of 0.5");
    assert!(of_stranger(&LeastExpensive::usual(), &offer(0.001, 0.0, 0.5)).is_ok());
}

#[test]
fn a_counter_that_nothing_bounds_is_taken_where_it_has_a_cap_of_its_own() {
    let counters = json!([name::USAGE_DURATION, "golem.usage.gib"]);
    let properties = properties()
        .with(name::USAGE_VECTOR, counters)
        .with(name::PRICING_COEFFICIENTS, json!([0.0001, 0.02, 0]));
    let offer = OfferTerms::read(&issuer(), &properties).unwrap();
    let hourly = PriceCaps::none().per_hour_at_most(Glm::ONE);
    for (caps, kind) in [
        (hourly.clone(), "price without bound"),
        (hourly.clone().unit_at_most("golem.usage.gib", glm("0.02")), ""),
        (hourly.clone().unit_at_most("golem.usage.gib", glm("0.01")), "price of a unit too high"),
        (hourly.unit_at_most("golem.usage.other", glm("0.01")), "price without bound"),
        (PriceCaps::none().unit_at_most("golem.usage.gib", glm("0.01")), "price of a unit too high"),
    ] {
        let refusal = of_stranger(&LeastExpensive::new(caps), &offer).err();
        assert_eq!(refusal.as_ref().map_or("", Refusal::kind), kind, "{refusal:?}");
    }
}

#[test]
fn half_the_score_is_as_good_as_double_the_cost() {
    let strategy = LeastExpensive::new(PriceCaps::none());
    let (cheap, dear) = (offer(0.01, 0.0, 0.0), offer(0.025, 0.0, 0.0));
    let failed = Record { failures_in_a_row: 1, ..Record::default() };
    let cautious = strategy.cautious();
    assert!(appraise(&cautious, &cheap, failed).unwrap() > of_stranger(&cautious, &dear).unwrap());
    let twice = Record { failures_in_a_row: 2, ..Record::default() };
    assert!(appraise(&cautious, &cheap, twice).unwrap() < of_stranger(&cautious, &dear).unwrap());
}

#[test]
fn caution_counts_what_went_wrong_and_forgives_on_success() {
    let provider = issuer();
    let offer = offer(0.0, 0.0, 0.0);
    let strategy = neutral().cautious().by(0.5, 0.25);
    // n: not approved, a: approved, f: failed, t: an attempt failed, d: a task done.
    for (history, expected) in [
        ("", 1.0),
        ("n", 0.5),
        ("nn", 0.25),
        ("nna", 1.0),
        ("nnan", 0.5),
        ("f", 0.25),
        ("ff", 0.0625),
        ("ffd", 1.0),
        ("ffdf", 0.25),
        // An approval is no work, and work no approval.
        ("fa", 0.25),
        ("nfa", 0.25),
        ("nfd", 0.5),
        ("nf", 0.125),
        ("nfad", 1.0),
        // A task may fail through its own fault.
        ("tttt", 1.0),
    ] {
        let mut records = Records::default();
        for letter in history.chars() {
            match letter {
                'n' => records.not_approved(&provider),
                'a' => records.approved(&provider),
                'f' => records.failed(&provider),
                't' => records.task_failed(&provider),
                _ => records.task_done(&provider),
            }
        }
        let score = appraise(&strategy, &offer, records.of(&provider)).unwrap();
        assert_eq!(Score::new(score), Score::new(expected), "{history}");
        let stranger: NodeId = format!("0x{:040x}", 1).parse().unwrap();
        assert_eq!(records.of(&stranger), Record::default(), "it is its own record");
    }
    let record = Record { failures_in_a_row: u32::MAX, ..Record::default() };
    assert_eq!(Score::new(appraise(&strategy, &offer, record).unwrap()), Score::new(0.0));
}

#[test]
fn filters_are_asked_each_time() {
    let offer = offer(0.0, 0.0, 0.0);
    assert!(of_stranger(&neutral().filter(|_| true), &offer).is_ok());
    assert!(of_stranger(&neutral().filter(|_| false), &offer).is_err());
    let open = AtomicBool::new(true);
    let strategy = neutral().filter(|_| open.load(Ordering::Relaxed));
    for is_open in [true, false, true] {
        open.store(is_open, Ordering::Relaxed);
        assert_eq!(of_stranger(&strategy, &offer).is_ok(), is_open);
    }
    let strategy = neutral()
        .refuse_if("it is too small", |candidate| candidate.offer.threads < 4)
        .refuse_if("it has no GPU", |candidate| candidate.offer.properties.get("golem.gpu").is_none());
    let refusal = of_stranger(&strategy, &offer).unwrap_err();
    assert_eq!((refusal.to_string().as_str(), refusal.kind()), ("it has no GPU", "unwanted"));
    assert_eq!(refusal.group(), "it has no GPU");
}

#[test]
fn lists_go_by_id_or_name_and_can_be_changed_meanwhile() {
    let offer = offer(0.0, 0.0, 0.0);
    for (item, is_it) in [
        ("mighty-badger", true),
        (" mighty-badger ", true),
        ("Mighty-Badger", false),
        ("0xabcdef0123456789abcdef0123456789abcdef01", true),
        ("0XABCDEF0123456789ABCDEF0123456789ABCDEF01", true),
        ("0xabcdef0123456789abcdef0123456789abcdef02", false),
        ("abcdef0123456789abcdef0123456789abcdef01", false),
        ("", false),
    ] {
        assert_eq!(of_stranger(&neutral().only([item]), &offer).is_ok(), is_it, "{item}");
        assert_eq!(of_stranger(&neutral().except([item]), &offer).is_err(), is_it, "{item}");
    }
    let list = ProviderList::new();
    let (only, except) = (neutral().only(&list), neutral().except(&list));
    assert!(of_stranger(&only, &offer).is_err() && of_stranger(&except, &offer).is_ok());
    assert!(list.add(issuer()) && !list.add(issuer()));
    assert!(of_stranger(&only, &offer).is_ok() && of_stranger(&except, &offer).is_err());
    assert_eq!(list.entries(), [issuer().as_str()]);
    assert!(list.remove(issuer()) && !list.remove(issuer()));
    assert!(of_stranger(&only, &offer).is_err() && of_stranger(&except, &offer).is_ok());
}

#[test]
fn put_together_each_has_its_say_and_the_first_reason_stands() {
    let list = ProviderList::new();
    let strategy: Arc<dyn Strategy> = Arc::new(
        LeastExpensive::new(PriceCaps::none().per_hour_at_most(Glm::ONE))
            .rescaled(
                |candidate, score| if candidate.name() == "mighty-badger" { score * 10.0 } else { score },
            )
            .cautious()
            .except(&list),
    );
    let boxed: Box<dyn Strategy> = Box::new(Arc::clone(&strategy).filter(|_| true));
    let (cheap, dear) = (offer(0.0001, 0.0, 0.0), offer(0.1, 0.0, 0.0));
    let plain = of_stranger(&LeastExpensive::new(PriceCaps::none()), &cheap).unwrap();
    let score = of_stranger(&*boxed, &cheap).unwrap();
    assert!((score - plain * 10.0).abs() < 1e-9, "{score} {plain}");
    let refusal = of_stranger(&*boxed, &dear).unwrap_err();
    assert_eq!(refusal.price_per_hour(), Some(glm("360")), "a price is a price however deep its cap is");
    list.add("mighty-badger");
    let refusal = of_stranger(&*boxed, &dear).unwrap_err();
    assert_eq!(refusal.to_string(), "it is on the list of blocked providers");
}

#[test]
fn a_score_that_is_no_number_is_a_refusal() {
    let offer = offer(0.0, 0.0, 0.0);
    assert_eq!(Score::new(f64::NAN), Err(Refusal::NoScore));
    assert_eq!(of_stranger(&neutral().rescaled(|_, _| f64::NAN), &offer), Err(Refusal::NoScore));
    assert_eq!(
        of_stranger(&neutral().rescaled(|_, score| score / 0.0 - score / 0.0), &offer),
        Err(Refusal::NoScore)
    );
    assert_eq!(Score::new(-0.0).unwrap(), Score::new(0.0).unwrap());
}

#[test]
fn a_factor_of_nothing_makes_a_last_resort_of_any_score() {
    for (score, lowered) in [
        (3.0, 0.0),
        (0.0, 0.0),
        (-3.0, f64::NEG_INFINITY),
        (f64::INFINITY, 0.0),
        (f64::NEG_INFINITY, f64::NEG_INFINITY),
    ] {
        assert_eq!(Score::new(score).unwrap().lowered(0.0), Score::new(lowered), "{score}");
    }
    assert_eq!(Score::NEUTRAL.lowered(7.0), Ok(Score::NEUTRAL), "no factor raises");
    assert_eq!(Score::NEUTRAL.lowered(f64::NAN), Err(Refusal::NoScore));
}

fn score() -> impl proptest::strategy::Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("a number", |value| !value.is_nan()),
        -10.0..10.0f64,
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(0.0),
    ]
}

proptest! {
    #[test]
    fn scores_are_totally_ordered_and_lowered_never_rise(one in score(), other in score(), factor in 0.01..=1.0f64) {
        let (a, b) = (Score::new(one).unwrap(), Score::new(other).unwrap());
        prop_assert_eq!(a.cmp(&b), one.partial_cmp(&other).unwrap());
        let (low_a, low_b) = (a.lowered(factor).unwrap(), b.lowered(factor).unwrap());
        prop_assert!(low_a <= a && low_b <= b);
        prop_assert!(a < b || low_a >= low_b, "lowering alike keeps the order");
    }

    #[test]
    fn the_order_is_that_of_the_expected_cost(
        one in prop::array::uniform3(0.0..0.01f64), other in prop::array::uniform3(0.0..0.01f64), minutes in 0u64..1000,
    ) {
        let use_for = Duration::from_secs(60 * minutes);
        let strategy = LeastExpensive::new(PriceCaps::none()).for_use(use_for);
        let [a, b] = [one, other].map(|[second, cpu, start]| offer(second, cpu, start));
        let score = |offer| Score::new(of_stranger(&strategy, offer).unwrap()).unwrap();
        let (cost_a, cost_b) = (expected_cost(&a, use_for), expected_cost(&b, use_for));
        prop_assert!(cost_a > cost_b || score(&a) >= score(&b), "{} {}", cost_a, cost_b);
        prop_assert!(cost_a < cost_b || score(&a) <= score(&b), "{} {}", cost_a, cost_b);
    }
}
