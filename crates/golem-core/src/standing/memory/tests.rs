//! The memory of providers, tested by tables and properties, with a clock that is moved.

use proptest::prelude::*;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn node(n: u8) -> NodeId {
    format!("0x{n:040x}").parse().unwrap()
}

fn start() -> Timestamp {
    "2026-11-01T00:00:00Z".parse().unwrap()
}

fn days(n: u32) -> Timestamp {
    yagna_api::time::after(start(), DAY * n)
}

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

fn rental(day: u32) -> RentalOutcome {
    RentalOutcome { approved: Some(true), ..RentalOutcome::new(days(day)) }
}

fn failed(day: u32) -> RentalOutcome {
    RentalOutcome { failures: 1, ..rental(day) }
}

fn worked(day: u32, tasks: u64, millis: u64, cost: &str) -> RentalOutcome {
    RentalOutcome {
        tasks_done: tasks,
        task_took: Some(Duration::from_millis(millis)),
        cost: glm(cost),
        per_hour: glm("0.1"),
        active: Duration::from_secs(1800),
        ..rental(day)
    }
}

fn is(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 1e-9
}

fn known_of(rentals: &[RentalOutcome], now: Timestamp) -> Known {
    let mut memory = Memory::new();
    for rental in rentals {
        memory.add_run([(node(1), *rental)]);
    }
    memory.known(now).remove(&node(1)).unwrap_or_default()
}

#[test]
fn what_happened_counts_half_after_three_days_and_next_to_nothing_after_a_month() {
    for (day, weight) in [(0, 1.0), (3, 0.5), (6, 0.25), (30, 1.0 / 1024.0)] {
        let known = known_of(&[failed(0)], days(day));
        assert!(is(known.failures_in_a_row, weight) && is(known.approved, weight), "{day}: {known:?}");
    }
    assert!(known_of(&[failed(0)], days(1)).is_set_back());
    assert!(!known_of(&[failed(0)], days(7)).is_set_back());
    assert_eq!(known_of(&[failed(0)], start()).last_seen, Some(start()));
    // A clock that was set back makes nothing count more than once.
    assert!(is(known_of(&[failed(5)], start()).failures, 1.0));
}

#[test]
fn doing_well_forgives_what_went_before() {
    let not_approved = |day| RentalOutcome { approved: Some(false), ..rental(day) };
    let did = |day| worked(day, 1, 1000, "0");
    for (rentals, failures, not_approvals) in [
        (vec![failed(0), failed(0)], 2.0, 0.0),
        (vec![failed(0), did(1)], 0.0, 0.0),
        // In whatever order the runs are read.
        (vec![did(1), failed(0)], 0.0, 0.0),
        // The tasks came before the failure.
        (vec![RentalOutcome { failures: 1, ..did(3) }], 1.0, 0.0),
        (vec![not_approved(0), not_approved(3)], 0.0, 1.5),
        (vec![not_approved(0), rental(1), not_approved(3)], 0.0, 1.0),
        (vec![RentalOutcome::new(days(3))], 0.0, 0.0),
    ] {
        let known = known_of(&rentals, days(3));
        let expected = if failures > 1.0 { failures / 2.0 } else { failures };
        assert!(is(known.failures_in_a_row, expected), "{rentals:?}: {known:?}");
        assert!(is(known.not_approved_in_a_row, not_approvals), "{rentals:?}: {known:?}");
        assert_eq!(known.rentals, rentals.len() as u64);
    }
}

#[test]
fn speed_and_price_are_those_beside_others_of_the_same_run() {
    let mut memory = Memory::new();
    // Short tasks in one run, long ones in the other; node 1 is twice as fast as 2 in both, and charges the same for an hour.
    memory.add_run([(node(1), worked(0, 20, 500, "0.01")), (node(2), worked(0, 21, 1000, "0.021"))]);
    memory.add_run([(node(1), worked(0, 2, 50_000, "0.1")), (node(2), worked(0, 3, 100_000, "0.3"))]);
    // Alone in a run.
    memory.add_run([(node(3), worked(0, 5, 77, "7"))]);
    let known = memory.known(start());
    let (one, two, three) = (known[&node(1)], known[&node(2)], known[&node(3)]);
    assert!(is(one.speed.unwrap(), 2.0) && is(one.dearness.unwrap(), 0.5), "{one:?}");
    assert!(is(two.speed.unwrap(), 1.0) && is(two.dearness.unwrap(), 1.0), "{two:?}");
    assert!(one.handicap() < 0.6 && is(two.handicap(), 1.0));
    assert_eq!((three.speed, three.dearness, three.cost_per_task), (None, None, Some(glm("1.4"))));
    assert!(is(three.handicap(), 1.0));
    assert_eq!(one.cost_per_task, Some(glm("0.005")));
    assert_eq!(one.cost_per_hour, Some(glm("0.11")));
}

#[test]
fn a_price_is_held_against_the_offer_it_was_made_with() {
    let mut memory = Memory::new();
    // Twice the price for the same work: that is in its offer, and no surprise.
    let dear = RentalOutcome { per_hour: glm("0.2"), ..worked(0, 10, 1000, "0.02") };
    // As cheap as others by its offer, and three times as dear in the end.
    let surprising = worked(0, 10, 1000, "0.03");
    memory.add_run([(node(1), dear), (node(2), surprising), (node(3), worked(0, 11, 1000, "0.011"))]);
    let known = memory.known(start());
    assert!(is(known[&node(1)].dearness.unwrap(), 1.0));
    assert!(is(known[&node(2)].dearness.unwrap(), 3.0));
    assert!(known[&node(2)].handicap() > 2.0 && known[&node(2)].handicap() < 3.0);
}

fn any_rental() -> impl Strategy<Value = RentalOutcome> {
    let numbers = (0u32..40, prop::option::of(any::<bool>()), 0u64..1000, 0u64..100, 0u32..4);
    let amounts =
        (0u64..10_u64.pow(12), 0u64..10_u64.pow(9), 0u64..100_000, prop::option::of(0u64..10_000_000));
    (numbers, amounts).prop_map(
        |((day, approved, tasks_done, tasks_failed, failures), (cost, price, active, took))| {
            let glm = |n: u64| Glm::from_decimal(Decimal::new(i64::try_from(n).unwrap(), 9)).unwrap();
            RentalOutcome {
                approved,
                tasks_done,
                tasks_failed,
                failures,
                cost: glm(cost),
                per_hour: glm(price),
                active: Duration::from_secs(active),
                task_took: took.map(Duration::from_micros),
                ..RentalOutcome::new(days(day))
            }
        },
    )
}

proptest! {
    #[test]
    fn whatever_happened_experience_stays_in_bounds_and_fades(
        runs in prop::collection::vec(prop::collection::vec((1u8..5, any_rental()), 0..6), 0..6), later in 0u32..100,
    ) {
        let mut memory = Memory::new();
        for run in &runs {
            memory.add_run(run.iter().map(|(n, rental)| (node(*n), *rental)));
        }
        for (provider, known) in memory.known(days(40)) {
            let of_it = || runs.iter().flatten().filter(|(n, _)| node(*n) == provider).map(|(_, rental)| rental);
            let handicap = known.handicap();
            prop_assert!((0.25..=4.0).contains(&handicap), "{}", handicap);
            prop_assert!(known.failures_in_a_row <= known.failures + 1e-9);
            prop_assert!(known.not_approved_in_a_row <= known.not_approved + 1e-9);
            prop_assert!(known.tasks_done <= of_it().map(|rental| number(rental.tasks_done)).sum::<f64>() + 1e-9);
            prop_assert_eq!(known.last_seen, of_it().map(|rental| rental.at).max());
            for each in [known.speed, known.dearness].into_iter().flatten() {
                prop_assert!(each > 0.0 && each.is_finite());
            }
            // Fading what is known is knowing it later.
            let faded = known.faded(days(40 + later));
            let read_later = memory.known(days(40 + later))[&provider];
            prop_assert!((faded.failures_in_a_row - read_later.failures_in_a_row).abs() < 1e-6);
            prop_assert!((faded.tasks_done - read_later.tasks_done).abs() < 1e-6);
            prop_assert!(faded.failures_in_a_row <= known.failures_in_a_row);
            prop_assert!((faded.handicap() - 1.0).abs() <= (handicap - 1.0).abs() + 1e-9, "trust only wanes");
        }
    }
}
