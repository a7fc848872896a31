//! Waits that nobody should have to wait.

use std::time::Duration;

use yagna_api::time::between;

use super::faults::Faults;
use super::world::World;
use crate::event::{Event, EventKind, StopReason};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// From the first event of all to the first of a kind.
fn until(mut events: impl Iterator<Item = Event>, is: fn(&EventKind) -> bool) -> Duration {
    let begun = events.next().unwrap().at;
    between(begun, events.find(|event| is(&event.kind)).expect("it happened").at)
}

fn is_set_back(kind: &EventKind) -> bool {
    matches!(kind, EventKind::ProviderSetBack { .. })
}

#[test]
fn a_silent_provider_holds_a_workers_place_for_seconds_only() {
    let begins = |kind: &EventKind| matches!(kind, EventKind::TaskStarted { .. });
    // Beside four that are silent two are signed as soon as the first three are too slow.
    let mut world = World::new(1, 12, Faults { silent: 4, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 12));
    let began = until(world.events.iter().cloned(), begins);
    assert!(began < secs(20), "work began after {began:?}");
    // With a single worker it takes agreements that are taken back.
    let mut said = 0;
    for seed in 1..6 {
        let faults = Faults { silent: 3, ..Faults::none() };
        let mut world = World::configured(seed, 12, faults, |config| config.workers = 1);
        assert_eq!(world.run_to_end().done, 12);
        let began = until(world.events.iter().cloned(), begins);
        assert!(began < secs(45), "work began after {began:?}");
        said += world.n_events(|kind| {
            matches!(kind, EventKind::AgreementFailed { reason, .. } if reason.starts_with("no answer within 20 s"))
        });
    }
    assert!(said > 0, "what was taken back is told as what it is");
}

#[test]
fn what_is_approved_beyond_what_is_wanted_is_ended_and_costs_nothing() {
    let mut surplus = 0;
    for seed in 0..20 {
        let mut world = World::new(seed, 40, Faults { dawdles: 0.7, ..Faults::none() });
        let end = world.run_to_end();
        assert_eq!((end.why, end.done, end.unsettled), (StopReason::AllDone, 40, 0), "seed {seed}");
        surplus += world.n_events(|kind| {
            matches!(kind, EventKind::AgreementEnded { reason, .. } if reason.message == "others were faster")
        });
        world.assert_nothing_left();
    }
    assert!(surplus > 0, "none came too late");
}

#[test]
fn the_bill_of_a_provider_that_was_lost_is_awaited_briefly_and_all_others_as_ever() {
    let mut unsettled = 0;
    for seed in 0..10 {
        let mut world = World::new(seed, 24, Faults { vanishes: 0.1, dies: true, ..Faults::none() });
        let end = world.run_to_end();
        unsettled += end.unsettled;
        let ends = |kind: &EventKind| matches!(kind, EventKind::Stopping { .. });
        let stopped = world.events.iter().find(|event| ends(&event.kind)).unwrap().at;
        let took = between(stopped, world.now());
        assert!(took < secs(30), "seed {seed}: {took:?}");
    }
    assert!(unsettled > 0, "nobody was lost");
    let mut world = World::new(1, 6, Faults { never_invoices: 1.0, ..Faults::none() });
    world.run_to_end();
    let stopped =
        world.events.iter().find(|event| matches!(event.kind, EventKind::Stopping { .. })).unwrap().at;
    assert!(between(stopped, world.now()) >= secs(60), "one that answers may bill late");
}

#[test]
fn a_set_up_that_fails_with_all_who_take_part_is_given_up_though_others_are_in_sight() {
    let mut world = World::new(3, 5, Faults { never_opens: 1.0, silent: 4, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.why, end.unfinished), (StopReason::NothingRuns, 5));
    let took = until(world.events.iter().cloned(), |kind| matches!(kind, EventKind::Stopping { .. }));
    assert!(took < secs(240), "{took:?}");
}

#[test]
fn a_set_up_that_fails_for_our_own_reasons_is_given_up_at_once_and_nobody_is_blamed() {
    let mut world = World::new(3, 5, Faults { never_opens: 1.0, invalid: 1.0, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.why, end.unfinished), (StopReason::NothingRuns, 5));
    assert_eq!(world.n_events(is_set_back), 0);
    let opened = world.n_events(|kind| matches!(kind, EventKind::ActivityIntended { .. }));
    assert!((2..=5).contains(&opened), "{opened} activities for nothing");
    let took = until(world.events.iter().cloned(), |kind| matches!(kind, EventKind::Stopping { .. }));
    assert!(took < secs(30), "{took:?}");
    world.assert_nothing_left();
}

#[test]
fn workers_that_cant_begin_for_our_own_reasons_arent_called_for_ever_while_another_works() {
    let faults = Faults { opens_once: true, invalid: 1.0, slow: true, ..Faults::none() };
    let mut world = World::new(1, 6, faults);
    let end = world.run_to_end();
    assert!(end.done > 0, "the first one works: {end:?}");
    assert_eq!(world.n_events(is_set_back), 0);
    let opened = world.n_events(|kind| matches!(kind, EventKind::ActivityIntended { .. }));
    // Each result gives hope for two more, and as many as there are workers begin at once.
    assert!(opened as u64 <= (end.done + 1) * 5, "{opened} activities for {} results", end.done);
    world.assert_nothing_left();
}

#[test]
fn work_that_fails_with_everybody_uses_up_its_attempts_without_a_pause() {
    let mut world = World::new(5, 12, Faults { fails: 1.0, errs: 1.0, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.why, end.failed), (StopReason::AllDone, 12));
    let attempts = world.n_events(|kind| matches!(kind, EventKind::TaskStarted { .. }));
    assert_eq!(attempts, 12 * (1 + World::RETRIES as usize), "each had all of its attempts");
    let took = until(world.events.iter().cloned(), |kind| matches!(kind, EventKind::Stopping { .. }));
    assert!(took < secs(240), "{took:?}");
    assert!(world.n_events(is_set_back) <= 6);
}
