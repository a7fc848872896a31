//! Trouble of the requestor's own: it costs no task an attempt and sets no provider back.

use std::time::Duration;

use yagna_api::market::Terminator;

use super::faults::Faults;
use super::world::World;
use crate::event::{EventKind, StopReason};
use crate::run::Run;

fn n_blamed(world: &World) -> usize {
    world.n_events(|kind| {
        matches!(
            kind,
            EventKind::AttemptFailed { .. }
                | EventKind::TaskFailed { .. }
                | EventKind::ProviderSetBack { .. }
        )
    })
}

fn n_told(world: &World, words: &str) -> usize {
    world.n_events(|kind| match kind {
        EventKind::Trouble { doing, problem } => format!("{doing}: {problem}").contains(words),
        EventKind::Recovered { what } => what.contains(words),
        _ => false,
    })
}

#[test]
fn a_full_disk_blames_nobody_and_the_run_goes_on_when_there_is_room_again() {
    for seed in 0..20 {
        let mut world = World::new(seed, 30, Faults::none());
        world.run_for(Duration::from_secs(20));
        world.fill_disk(Duration::from_secs(5 * 60));
        world.run_for(Duration::from_secs(30));
        let started = |world: &World| world.n_events(|kind| matches!(kind, EventKind::TaskStarted { .. }));
        let before = started(&world);
        world.run_for(Duration::from_secs(4 * 60));
        assert_eq!(started(&world), before, "seed {seed}: new work is begun");
        let end = world.run_to_end();
        assert_eq!((end.why, end.done, end.failed), (StopReason::AllDone, 30, 0), "seed {seed}");
        assert_eq!(n_blamed(&world), 0, "seed {seed}: {:#?}", world.events);
        assert_eq!(n_told(&world, "the disk is full"), 1, "seed {seed}: one line says what is wrong");
        assert_eq!(n_told(&world, "trouble is over"), 1, "seed {seed}");
        world.assert_nothing_left();
    }
}

#[test]
fn a_disk_that_stays_full_ends_the_run_and_its_tasks_are_left() {
    let mut world = World::new(1, 30, Faults::none());
    world.run_for(Duration::from_secs(20));
    let done = world.n_events(|kind| matches!(kind, EventKind::TaskDone { .. }));
    world.fill_disk(Duration::from_secs(24 * 3600));
    let end = world.run_to_end();
    assert_eq!((end.why, end.failed), (StopReason::OwnTrouble, 0));
    assert!(end.done >= done as u64 && end.unfinished > 0, "{end:?}");
    assert_eq!(n_blamed(&world), 0);
    let at = |is: fn(&EventKind) -> bool| world.events.iter().find(|event| is(&event.kind)).unwrap().at;
    let told = at(|kind| matches!(kind, EventKind::Trouble { .. }));
    let stopped = at(|kind| matches!(kind, EventKind::Stopping { .. }));
    let waited = yagna_api::time::between(told, stopped);
    assert!(
        waited >= Run::OWN_PATIENCE && waited < Run::OWN_PATIENCE + Duration::from_secs(60),
        "{waited:?}"
    );
    // Nothing was left running while nothing could be done.
    let working = at(|kind| matches!(kind, EventKind::ActivityEnded { .. }));
    assert!(yagna_api::time::between(told, working) < Duration::from_secs(120));
    world.assert_nothing_left();
}

#[test]
fn trouble_that_comes_back_before_anything_succeeds_is_the_same_trouble() {
    let mut world = World::new(3, 30, Faults::none());
    world.run_for(Duration::from_secs(20));
    world.fill_disk(Duration::from_secs(24 * 3600));
    world.run_for(Duration::from_secs(60));
    for _ in 0..200 {
        // There seems to be room whenever it is looked, and there is none for any task.
        world.full_until = None;
        world.run_for(Duration::from_millis(1500));
        world.fill_disk(Duration::from_secs(24 * 3600));
        world.run_for(Duration::from_secs(10));
        if world.n_events(|kind| matches!(kind, EventKind::RunEnded { .. })) > 0 {
            break;
        }
    }
    assert_eq!(world.n_events(|kind| matches!(kind, EventKind::AttemptFailed { .. })), 0);
}

#[test]
fn what_fails_while_the_process_stands_still_is_held_against_nobody() {
    let mut given_back = 0;
    for seed in 0..20 {
        let mut world = World::new(seed, 40, Faults::none());
        world.run_for(Duration::from_secs(15));
        world.stand_still(Duration::from_secs(85));
        let end = world.run_to_end();
        assert_eq!((end.why, end.done, end.failed), (StopReason::AllDone, 40, 0), "seed {seed}");
        assert_eq!(n_blamed(&world), 0, "seed {seed}: {:#?}", world.events);
        assert_eq!(n_told(&world, "stood still for 85 s"), 1);
        given_back += world.n_events(|kind| matches!(kind, EventKind::AttemptCancelled { .. }));
    }
    assert!(given_back > 20, "only {given_back} attempts ran while it stood still");
}

#[test]
fn agreements_that_ended_while_the_process_stood_still_are_found_by_asking() {
    let mut found = 0;
    for seed in 0..20 {
        let mut world = World::new(seed, 60, Faults::none());
        world.run_for(Duration::from_secs(15));
        let missed = world.miss_ends(Duration::from_secs(85));
        world.run_for(Duration::from_secs(3));
        let ended =
            world.n_events(|kind| matches!(kind, EventKind::AgreementEnded { by: Terminator::Provider, .. }));
        assert_eq!(ended, missed, "seed {seed}: {:#?}", world.events);
        let end = world.run_to_end();
        assert_eq!((end.why, end.done, end.failed), (StopReason::AllDone, 60, 0), "seed {seed}");
        assert_eq!(n_blamed(&world), 0, "seed {seed}: {:#?}", world.events);
        found += missed;
    }
    assert!(found > 20, "only {found} agreements ended while it stood still");
}

#[test]
fn what_is_lost_long_after_a_gap_is_lost_as_ever() {
    let mut blamed = 0;
    for seed in 0..20 {
        let mut world = World::new(seed, 40, Faults { fails: 0.3, ..Faults::none() });
        world.stand_still(Duration::from_secs(85));
        world.run_to_end();
        blamed += n_blamed(&world);
    }
    assert!(blamed > 20, "nothing is held against anybody any more: {blamed}");
}
