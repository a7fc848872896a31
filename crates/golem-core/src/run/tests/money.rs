//! A budget that rises, and an allocation that is lost, in the simulated market.

use std::time::Duration;

use super::faults::Faults;
use super::world::World;
use crate::event::{EventKind, StopReason};

fn at(world: &World, is: fn(&EventKind) -> bool) -> yagna_api::Timestamp {
    world.events.iter().find(|event| is(&event.kind)).expect("it happened").at
}

#[test]
fn a_lost_allocation_is_made_anew_from_what_is_left_and_every_bill_is_accepted() {
    for seed in 0..20 {
        // The daemon fails half of the time: it is asked again.
        let faults = Faults { daemon: 0.5, ..Faults::none() };
        let mut world = World::new(seed, 24, faults);
        world.run_for(Duration::from_secs(30));
        world.lose_allocation();
        let end = world.run_to_end();
        assert_eq!((end.why, end.done), (StopReason::AllDone, 24), "seed {seed}");
        let lost = at(&world, |kind| matches!(kind, EventKind::AllocationLost { .. }));
        let made = at(&world, |kind| matches!(kind, EventKind::AllocationCreated { .. }));
        assert_eq!(world.n_events(|kind| matches!(kind, EventKind::AllocationIntended { .. })), 1);
        let between = |at| lost < at && at < made;
        assert!(
            !world.events.iter().any(|event| between(event.at)
                && matches!(
                    event.kind,
                    EventKind::AgreementIntended { .. } | EventKind::ActivityIntended { .. }
                )),
            "seed {seed}: something was signed without money"
        );
        world.assert_nothing_left();
    }
}

#[test]
fn a_raised_budget_lets_work_go_on_that_the_old_one_forbids() {
    let tight = |config: &mut crate::run::RunConfig| config.budget = "0.012".parse().unwrap();
    let mut world = World::configured(3, 200, Faults::none(), tight);
    let end = world.run_to_end();
    assert_eq!(end.why, StopReason::BudgetReached);

    let mut world = World::configured(3, 200, Faults::none(), tight);
    world.run_for(Duration::from_secs(5));
    world.raise_budget("1".parse().unwrap());
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 200));
    let intended = at(&world, |kind| matches!(kind, EventKind::BudgetIntended { .. }));
    assert!(intended <= at(&world, |kind| matches!(kind, EventKind::BudgetRaised { .. })));
}

#[test]
fn a_raise_that_is_refused_changes_nothing() {
    let faults = Faults { daemon: 1.0, ..Faults::none() };
    let mut world = World::new(4, 4, faults);
    let before = world.budget();
    world.raise_budget("1".parse().unwrap());
    world.run_to_end();
    assert_eq!(world.n_events(|kind| matches!(kind, EventKind::BudgetNotRaised { .. })), 1);
    assert_eq!(world.budget(), before);
}
