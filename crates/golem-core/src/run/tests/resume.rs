//! A run that is resumed, after its process died at any step.

use std::time::Duration;

use proptest::prelude::*;
use yagna_api::time::between;

use super::faults::{Faults, Spending};
use super::world::{Crash, Crashes, World, fold};
use crate::event::{EventKind, StopReason};
use crate::properties::cases;
use crate::run::RunConfig;

const TASKS: usize = 8;

fn crashing(seed: u64, faults: Faults, crashes: impl IntoIterator<Item = (u64, Crash)>) -> World {
    let mut world = World::new(seed, TASKS, faults);
    world.crashes = Crashes::after_steps(crashes);
    world
}

#[test]
fn invariant_4_a_run_that_dies_at_any_step_is_resumed_and_ends_as_if_nothing_had_happened() {
    let chatty = Faults { repeats: 0.3, ..Faults::none() };
    let mut steps = 0;
    for crash in [Crash::BeforeTheCommit, Crash::AfterTheCommit] {
        for step in 1.. {
            let mut world = crashing(step, chatty.clone(), [(step, crash)]);
            let end = world.run_to_end();
            if !world.crashes.happened() {
                break;
            }
            steps += 1;
            assert_eq!((end.why, end.done, end.failed), (StopReason::AllDone, 8, 0), "{crash:?} {step}");
            assert_eq!((end.unfinished, end.unsettled), (0, 0), "{crash:?} {step}");
            world.assert_nothing_left();
            world.assert_paid_once();
        }
    }
    assert!(steps > 200, "{steps} steps are no run");
}

#[test]
fn a_run_that_dies_over_and_over_still_comes_to_its_end() {
    let every = |n| (0..200).map(move |_| (n, Crash::AfterTheCommit));
    for n in [20, 35, 60] {
        let mut world = crashing(n, Faults::none(), every(n));
        let end = world.run_to_end();
        assert_eq!(end.done, 8, "{n}");
        world.assert_nothing_left();
        world.assert_paid_once();
    }
}

#[test]
fn attempts_that_go_on_where_they_were_are_not_begun_anew() {
    let (mut kept, mut tried_again) = (0, 0);
    for seed in 0..40 {
        let mut world = crashing(seed, Faults::none(), [(60, Crash::AfterTheCommit)]);
        world.run_to_end();
        kept += world.n_events(|kind| match kind {
            EventKind::RunResumed { resumed } => resumed.running > 0,
            _ => false,
        });
        tried_again += world.n_events(|kind| matches!(kind, EventKind::AttemptCancelled { .. }));
        assert_eq!(world.n_events(|kind| matches!(kind, EventKind::AttemptFailed { .. })), 0, "{seed}");
    }
    assert!(kept > 10 && tried_again > 0, "{kept} {tried_again}");
}

#[test]
fn a_run_that_was_stopped_goes_on_with_what_was_left() {
    let mut world = World::new(3, 30, Faults::none());
    world.run_for(Duration::from_secs(20));
    world.stop(StopReason::Cancelled);
    let end = world.run_to_end();
    assert!(end.unfinished > 0, "{end:?}");
    world.start_again();
    let end = world.run_to_end();
    assert_eq!((end.why, end.done, end.unfinished), (StopReason::AllDone, 30, 0));
    world.assert_nothing_left();
    world.assert_paid_once();
}

#[test]
fn a_result_that_ends_the_run_ends_it_whenever_the_process_dies() {
    let ends = Faults { ends_with: Some(2), ..Faults::none() };
    for step in 1.. {
        let mut world = World::new(step, 600, ends.clone());
        world.crashes = Crashes::after_steps([(step, Crash::AfterTheCommit)]);
        let end = world.run_to_end();
        if !world.crashes.happened() {
            break;
        }
        assert_eq!((end.why, end.failed), (StopReason::ResultsReached, 0), "{step}");
        assert!(end.unfinished > 200, "{step}: {end:?}");
        world.assert_nothing_left();
        world.assert_paid_once();
    }
    let mut world = World::new(1, 600, ends);
    let end = world.run_to_end();
    assert!(fold(&world.events).is_finished(), "there is nothing to go on with");
    world.start_again();
    let again = world.run_to_end();
    assert_eq!((again.why, again.done), (end.why, end.done), "nothing more is done");
}

#[test]
fn an_activity_that_could_not_be_ended_takes_its_agreement_with_it_though_the_process_dies_before_that() {
    let clings = Faults { clings: 1.0, ..Faults::none() };
    let mut met = 0;
    for seed in 0..6 {
        for steps in 1..60 {
            // The first resume ends what it finds unsound, in vain; the second one comes before what follows from that.
            let mut world =
                crashing(seed, clings.clone(), [(45, Crash::AfterTheCommit), (steps, Crash::AfterTheCommit)]);
            let end = world.run_to_end();
            assert_eq!((end.why, end.done), (StopReason::AllDone, 8), "{seed} {steps}");
            world.assert_nothing_left();
            world.assert_paid_once();
            met += world
                .events
                .windows(2)
                .filter(|pair| {
                    matches!(pair[0].kind, EventKind::Trouble { .. })
                        && matches!(pair[1].kind, EventKind::RunResumed { .. })
                })
                .count();
        }
    }
    assert!(met > 0, "no process died right after an activity couldn't be ended");
}

fn crash() -> impl Strategy<Value = (u64, Crash)> {
    (1u64..300, prop_oneof![Just(Crash::BeforeTheCommit), Just(Crash::AfterTheCommit)])
}

proptest! {
    #![proptest_config(cases(192))]

    /// Whatever goes wrong, and however often the process dies on top: each task ends once, nothing is left running,
    /// no bill is counted twice, and no more is promised than the budget.
    #[test]
    fn invariant_4_any_market_is_survived_by_a_process_that_dies(
        seed in any::<u64>(),
        tasks in 0usize..40,
        faults in Faults::any(),
        spending in Spending::any(),
        crashes in prop::collection::vec(crash(), 1..6),
    ) {
        let mut world = World::configured(seed, tasks, faults, |config| spending.set(config));
        world.crashes = Crashes::after_steps(crashes);
        let end = world.run_to_end();
        prop_assert_eq!(end.done + end.failed + end.unfinished, world.n_known());
        world.assert_nothing_left();
        world.assert_no_window_is_passed();
        if spending.is_ample() {
            world.assert_paid_once();
        }
    }
}

#[test]
fn a_run_that_is_only_settled_is_ended_and_paid_and_can_still_be_resumed() {
    let (mut left, mut gone_on_with) = (0, 0);
    for step in (1..200).step_by(3) {
        let mut world = World::new(step, TASKS, Faults::none());
        for _ in 0..step {
            if world.run().end().is_none() {
                world.advance();
            }
        }
        let began = world.events.iter().filter(|event| begins(&event.kind)).count();
        world.settle();
        let end = world.run_to_end();
        assert_eq!(end.unsettled, 0, "{step}: {end:?}");
        world.assert_nothing_left();
        world.assert_paid_once();
        assert_eq!(
            world.events.iter().filter(|event| begins(&event.kind)).count(),
            began,
            "{step}: work was begun"
        );
        let state = world.state();
        assert_eq!(state.end.as_ref(), Some(&end));
        if state.is_finished() {
            continue;
        }
        left += 1;
        gone_on_with += u32::from(end.done > 0);
        world.start_again();
        let end = world.run_to_end();
        assert_eq!((end.why, end.done, end.unfinished), (StopReason::AllDone, 8, 0), "{step}");
        world.assert_nothing_left();
        world.assert_paid_once();
    }
    assert!(left > 20 && gone_on_with > 5, "{left} {gone_on_with}");
}

#[test]
fn whatever_the_settle_time_out_is_bills_are_settled_that_the_daemon_has() {
    let (mut there, mut unsettled) = (0, 0);
    for step in (1..200).step_by(3) {
        let at_once = |config: &mut RunConfig| config.settle_timeout = Duration::ZERO;
        let mut world = World::configured(step, TASKS, Faults::none(), at_once);
        for _ in 0..step {
            if world.run().end().is_none() {
                world.advance();
            }
        }
        let n_accepted =
            |world: &World| world.n_events(|kind| matches!(kind, EventKind::BillAccepted { .. }));
        let before = n_accepted(&world);
        world.settle();
        let begun = world.now();
        let end = world.run_to_end();
        world.assert_decided(begun);
        there += n_accepted(&world) - before;
        unsettled += end.unsettled;
        // A note comes each 30 seconds, also while nobody is there, and they are accepted one after the other.
        assert!(
            between(begun, world.now()) < Duration::from_secs(60),
            "{step}: it waits for what isn't there"
        );
        assert!(world.state().rentals.values().all(|rental| rental.accepting.is_empty()), "{step}");
    }
    assert!(there > 20 && unsettled > 0, "{there} {unsettled}");
}

/// Does it begin anything that costs?
fn begins(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::DemandPublished { .. }
            | EventKind::AgreementIntended { .. }
            | EventKind::ActivityIntended { .. }
            | EventKind::TaskStarted { .. }
    )
}
