//! The knowledge from earlier runs, and its effect on a choice.

use std::collections::BTreeMap;

use proptest::prelude::{prop, prop_assert, proptest};
use proptest::strategy::Strategy as _;

use super::*;
use crate::properties::cases;
use crate::standing::{Known, Memory, Records, RentalOutcome};

/// The run begins with this, and has room for one worker.
fn desk(known: Records) -> Desk {
    Desk::configured(|config| {
        one_worker(config);
        config.strategy = Arc::new(LeastExpensive::usual().cautious());
        config.known = known;
    })
}

/// Who is signed of those that offer an hour for so much.
fn chosen(known: &Records, offers: &[(u8, f64)]) -> NodeId {
    let mut desk = desk(known.clone());
    for (n, per_hour) in offers {
        desk.draft(*n, *per_hour);
    }
    let signed = signed(&desk.wait(2));
    assert_eq!(signed.len(), 1, "there is one place, and somebody for it");
    signed[0].clone()
}

/// The same known, told by so many rentals in all.
fn told_by(known: &BTreeMap<u8, Known>, rentals: u64) -> Records {
    let first = known.keys().next().copied();
    known
        .iter()
        .map(|(n, known)| {
            (node(*n), Known { rentals: if Some(*n) == first { rentals } else { 0 }, ..*known })
        })
        .collect()
}

fn failed_once(days_ago: u32) -> Records {
    let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
    let at = now.checked_sub(secs(24 * 3600) * days_ago).unwrap();
    let mut memory = Memory::new();
    memory
        .add_run([(node(1), RentalOutcome { approved: Some(true), failures: 1, ..RentalOutcome::new(at) })]);
    memory.records(now)
}

#[test]
fn one_that_failed_yesterday_comes_after_others_and_is_forgiven_in_time() {
    let (cheap, dearer) = ((1, 0.1), (2, 0.13));
    for (days_ago, expected) in [(0, 2), (1, 2), (3, 2), (14, 1), (40, 1)] {
        assert_eq!(chosen(&failed_once(days_ago), &[cheap, dearer]), node(expected), "{days_ago} days ago");
    }
    // It is still better than one that asks for more than twice as much, and than nobody.
    assert_eq!(chosen(&failed_once(1), &[cheap, (2, 0.25)]), node(1));
    assert_eq!(chosen(&failed_once(1), &[cheap]), node(1));
}

#[test]
fn what_is_known_fades_while_a_run_goes_on_and_is_forgiven_by_doing_well() {
    let mut desk = desk(failed_once(0));
    let known = |desk: &Desk| desk.run.live.providers.records.at(&node(1), desk.now).known.failures_in_a_row;
    assert!((known(&desk) - 1.0).abs() < 1e-9);
    desk.now = after(desk.now, Known::HALF_LIFE);
    assert!((known(&desk) - 0.5).abs() < 1e-9);
    desk.run.live.providers.records.task_done(&node(1));
    assert!(known(&desk).abs() < 1e-9);
}

#[test]
fn those_who_did_well_are_taken_before_a_slightly_cheaper_stranger() {
    let fast = Known { tasks_done: 30.0, speed: Some(2.0), ..Known::default() };
    let cheap = Known { dearness: Some(0.5), ..fast };
    let slow = Known { speed: Some(0.5), ..fast };
    for (known, per_hour, expected) in
        [(fast, 0.15, 1), (cheap, 0.15, 1), (fast, 0.25, 2), (slow, 0.06, 2), (slow, 0.04, 1)]
    {
        let known = told_by(&[(1, known)].into(), 1);
        assert_eq!(chosen(&known, &[(1, per_hour), (2, 0.1)]), node(expected), "{per_hour}");
    }
}

#[test]
fn of_four_agreements_one_is_made_as_if_nothing_were_known() {
    let well = Known { tasks_done: 100.0, speed: Some(4.0), ..Known::default() };
    let badly = Known { failures_in_a_row: 5.0, ..Known::default() };
    for (known, usually) in [(well, 1), (badly, 2)] {
        let (one, other) = if usually == 1 { (0.1, 0.09) } else { (0.09, 0.1) };
        for rentals in 1..=12 {
            let known = told_by(&[(1, known)].into(), rentals);
            let is_fresh = (rentals + 1) % Run::FRESH_LOOK == 0;
            let expected = if is_fresh { 3 - usually } else { usually };
            assert_eq!(chosen(&known, &[(1, one), (2, other)]), node(expected), "{rentals}");
        }
    }
}

#[test]
fn one_that_is_refused_for_what_is_known_is_never_taken() {
    let known: BTreeMap<_, _> = [(1, Known { failures: 2.0, ..Known::default() })].into();
    for rentals in 1..=4 {
        let mut desk = Desk::configured(|config| {
            one_worker(config);
            config.known = told_by(&known, rentals);
            let strategy = LeastExpensive::usual()
                .refuse_if("it failed before", |candidate| candidate.record.known.failures > 1.0);
            config.strategy = Arc::new(strategy);
        });
        assert_eq!(refused(&desk.draft(1, 0.1)).unwrap().0, "it failed before");
        desk.draft(2, 0.5);
        assert_eq!(signed(&desk.wait(2)), [node(2)]);
    }
}

#[test]
fn one_that_is_blocked_by_hand_is_refused_with_the_reason_that_only_we_see() {
    let blocked = ProviderList::new();
    let strategy = LeastExpensive::usual().except(&blocked);
    let mut desk = Desk::configured(|config| {
        one_worker(config);
        config.strategy = Arc::new(strategy);
    });
    desk.draft(1, 0.1);
    blocked.set_by_hand([(node(1), Some("its disk is full".to_owned())), (node(3), None)]);
    let step = desk.wait(2);
    assert_eq!(signed(&step), []);
    let (noted, told) = refused(&step).unwrap();
    assert_eq!((noted.as_str(), told.as_str()), ("blocked by hand: its disk is full", "blocked by hand"));
    let explained = desk.run.explain(desk.now).to_string();
    assert!(explained.contains("blocked by hand: its disk is full"), "{explained}");
    assert_eq!(refused(&desk.draft(3, 0.1)).unwrap().0, "blocked by hand");
    blocked.set_by_hand([]);
    assert_eq!(signed(&desk.draft(1, 0.1)), [node(1)]);
}

pub(in crate::run::tests) fn any_known() -> impl proptest::strategy::Strategy<Value = Known> {
    let weight = || 0.0..50.0f64;
    let ratio = || prop::option::of(0.01..100.0f64);
    (weight(), weight(), weight(), ratio(), ratio()).prop_map(
        |(done, failures, refusals, speed, dearness)| Known {
            tasks_done: done,
            failures,
            failures_in_a_row: failures,
            not_approved: refusals,
            not_approved_in_a_row: refusals,
            speed,
            dearness,
            ..Known::default()
        },
    )
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn nobody_starves(
        prices in prop::collection::vec(0.01..4.0f64, 2..6), known in prop::collection::vec(any_known(), 6), rentals in 1u64..1000,
    ) {
        let offers: Vec<_> = (1u8..).zip(prices).collect();
        let known: BTreeMap<_, _> = (1u8..).zip(known).take(offers.len() - 1).collect();
        // By their offers alone, as strangers are chosen.
        let best = chosen(&Records::default(), &offers);
        let taken: Vec<_> = (rentals..rentals + Run::FRESH_LOOK).map(|n| chosen(&told_by(&known, n), &offers)).collect();
        prop_assert!(taken.contains(&best), "{:?} {:?}", best, taken);
    }

    #[test]
    fn a_worse_record_is_no_better_and_any_record_comes_to_that_of_a_stranger(known in any_known(), per_hour in 0.01..4.0f64) {
        let offer = crate::offer::OfferTerms::read(&node(1), &properties(1, per_hour)).unwrap();
        let strategy = LeastExpensive::usual().cautious();
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let score = |known: Known| {
            let records: Records = [(node(1), known)].into_iter().collect();
            strategy.appraise(&crate::strategy::Candidate::new(&offer, records.at(&node(1), now), now)).unwrap().get()
        };
        let stranger = score(Known::default());
        let worse = Known { failures_in_a_row: known.failures_in_a_row + 0.5, ..known };
        prop_assert!(score(worse) < score(known) || score(known) <= f64::MIN_POSITIVE);
        let slower = Known { dearness: None, speed: known.speed.map(|speed| speed / 2.0), ..known };
        let as_fast = Known { dearness: None, ..known };
        prop_assert!(score(slower) <= score(as_fast));
        let mut memory = Memory::new();
        memory.add_run([(node(1), RentalOutcome { failures: 3, approved: Some(true), ..RentalOutcome::new(now) })]);
        let late = after(now, Known::FORGOTTEN_AFTER);
        let long_ago = score(memory.known(late)[&node(1)]);
        prop_assert!((long_ago / stranger - 1.0).abs() < 0.01);
    }
}
