//! Budgets over time and budgets that rise, an allocation that grows and one that is lost, in the simulated market.

use std::time::Duration;

use yagna_api::Glm;
use yagna_api::time::between;

use super::faults::Faults;
use super::world::{Crash, Crashes, World};
use crate::event::{Event, EventKind, StopReason};
use crate::run::{NotRaised, OnBudget, RunConfig};

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
fn a_bill_accepted_while_a_new_allocation_is_made_counts_against_it() {
    // The world checks after every step that no more is accepted than was set aside.
    for seed in 0..60 {
        let faults = Faults { loses_money: 0.5, rushes: 0.05, ..Faults::none() };
        let mut world = World::configured(seed, 60, faults, pausing("0.028/h"));
        world.run_for(Duration::from_secs(2 * 3600));
        assert!(world.n_events(|kind| matches!(kind, EventKind::BillAccepted { .. })) > 0, "seed {seed}");
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

fn pausing(budget: &str) -> impl FnOnce(&mut RunConfig) {
    let budget = budget.parse().unwrap();
    move |config| {
        config.budget = budget;
        config.on_budget = OnBudget::Pause;
    }
}

#[test]
fn a_run_that_pauses_goes_on_each_time_its_hour_frees_and_passes_it_in_none() {
    let mut world = World::configured(5, 1500, Faults::none(), pausing("0.05/h"));
    world.run_for(Duration::from_secs(6 * 3600));
    let start = world.events[0].at;
    let n_done = |hour: u64| {
        let of_hour = |event: &&Event| between(start, event.at).as_secs() / 3600 == hour;
        let done = |event: &&Event| matches!(event.kind, EventKind::TaskDone { .. });
        world.events.iter().filter(of_hour).filter(done).count()
    };
    for hour in 0..6 {
        assert!(n_done(hour) > 5, "{} tasks were done in hour {hour}", n_done(hour));
    }
    let pauses = world.n_events(|kind| matches!(kind, EventKind::Paused { .. }));
    let ended = world.n_events(|kind| matches!(kind, EventKind::PauseEnded));
    assert!(pauses >= 6 && (pauses - ended) <= 1, "{pauses} pauses, {ended} ended");
    assert!(pauses < 60, "{pauses} pauses: it goes on for a few seconds at a time");
    world.assert_no_window_is_passed();
    let told = world.events.iter().find_map(|event| match &event.kind {
        EventKind::Waiting { explanation } => Some(explanation.to_string()),
        _ => None,
    });
    assert!(told.as_deref().unwrap_or_default().contains("the run continues at 2026-11-21T0"), "{told:?}");
    world.stop(StopReason::Cancelled);
    world.run_to_end();
    world.assert_nothing_left();
}

#[test]
fn a_run_that_pauses_is_told_in_time_when_it_goes_on() {
    let mut world = World::configured(7, 1500, Faults::none(), pausing("0.05/h"));
    world.run_for(Duration::from_secs(3 * 3600));
    let mut until = None;
    let mut checked = 0;
    for event in &world.events {
        match &event.kind {
            EventKind::Paused { until: told, missing } => {
                assert!(!missing.is_zero() && *told > event.at);
                until = Some(*told);
            }
            EventKind::PauseEnded => {
                let late = between(until.expect("a pause begins before it ends"), event.at);
                assert!(late < Duration::from_secs(60), "{late:?} later than told");
                // A quarter is free: it doesn't go on for a few seconds at a time.
                let begin = event.at.checked_sub(Duration::from_secs(3600)).unwrap();
                let within = world.promised.range((begin, 0)..(event.at, 0));
                let within: Glm = within.map(|(_, increase)| *increase).sum();
                assert!(within <= "0.0375".parse().unwrap(), "{within} GLM of 0.05 in the hour before");
                checked += 1;
            }
            _ => {}
        }
    }
    assert!(checked >= 2);
}

#[test]
fn a_run_stops_at_its_hour_unless_it_is_to_pause() {
    let hourly = |config: &mut RunConfig| config.budget = "0.05/h".parse().unwrap();
    let mut world = World::configured(5, 1500, Faults::none(), hourly);
    let end = world.run_to_end();
    assert_eq!(end.why, StopReason::BudgetReached);
    assert!(end.done > 5 && end.cost <= "0.05".parse().unwrap(), "{end:?}");
    assert_eq!(world.n_events(|kind| matches!(kind, EventKind::Paused { .. })), 0);
    world.assert_nothing_left();
}

#[test]
fn a_total_that_is_used_up_ends_a_run_that_pauses() {
    let mut world = World::configured(5, 1500, Faults::none(), pausing("0.12,0.05/h"));
    let end = world.run_to_end();
    assert_eq!(end.why, StopReason::BudgetReached);
    assert!(end.cost > "0.06".parse().unwrap() && end.cost <= "0.12".parse().unwrap(), "{end:?}");
    let took = between(world.events[0].at, world.now());
    assert!(took > Duration::from_secs(3600), "{took:?} for more than two hours' budget");
    world.assert_no_window_is_passed();
}

#[test]
fn a_window_too_small_for_any_agreement_is_not_waited_for() {
    let mut world = World::configured(5, 10, Faults::none(), pausing("0.000001/h"));
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::BudgetReached, 0));
    assert_eq!(world.n_events(|kind| matches!(kind, EventKind::Paused { .. })), 0);
}

#[test]
fn windows_too_small_for_any_task_are_not_spent_on_it_for_ever() {
    let faults = Faults { slow: true, ..Faults::none() };
    let mut world = World::configured(5, 10, faults, pausing("0.008/h"));
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::BudgetReached, 0));
    assert!(world.n_events(|kind| matches!(kind, EventKind::Paused { .. })) >= 5);
}

#[test]
fn what_is_set_aside_follows_the_window_and_is_never_more_than_it_allows() {
    // The world checks the amounts.
    let mut world = World::configured(5, 1500, Faults { daemon: 0.2, ..Faults::none() }, pausing("0.05/h"));
    world.run_for(Duration::from_secs(6 * 3600));
    assert!(world.n_events(|kind| matches!(kind, EventKind::AllocationAmended { .. })) > 3);
    assert!(world.run().accepted() > "0.15".parse().unwrap(), "{}", world.run().accepted());
}

#[test]
fn a_raised_total_leaves_the_windows_as_they_are() {
    let mut world = World::configured(5, 1500, Faults::none(), pausing("0.06,0.05/h"));
    world.run_for(Duration::from_secs(60));
    world.raise_budget("1".parse().unwrap());
    world.run_for(Duration::from_secs(2 * 3600));
    assert_eq!(world.budget().to_string(), "1.06,0.05/h");
    assert!(world.run().accepted() > "0.06".parse().unwrap());
    world.assert_no_window_is_passed();
}

#[test]
fn windows_alone_have_no_total_to_be_raised() {
    let world = World::configured(5, 1, Faults::none(), pausing("0.05/h"));
    assert_eq!(world.run().raised_by("1".parse().unwrap()), Err(NotRaised::NotLimitedInAll));
}

#[test]
fn a_window_holds_over_a_process_that_dies_again_and_again() {
    let mut slept = 0;
    for seed in 0..10 {
        let mut world = World::configured(seed, 400, Faults::none(), pausing("0.05/h"));
        world.crashes = Crashes::after_steps((1..12).map(|n| (n * 70 + seed, Crash::AfterTheCommit)));
        world.run_for(Duration::from_secs(4 * 3600));
        assert!(world.crashes.happened());
        slept += world.n_events(|kind| matches!(kind, EventKind::Paused { .. }));
        world.assert_no_window_is_passed();
        assert!(world.run().accepted() > "0.05".parse().unwrap(), "{seed}: it goes on each hour");
    }
    assert!(slept > 10);
}
