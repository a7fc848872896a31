//! The decisions of a run against a market that misbehaves by the roll of a seeded die.

mod choice;
mod faults;
mod jobs;
mod money;
mod ours;
mod resume;
mod waits;
mod world;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use yagna_api::time::between;

use self::choice::remembered::any_known;
use self::faults::{Faults, Spending, Taste};
use self::world::World;
use super::RunConfig;
use crate::event::{Event, EventKind, StopReason};
use crate::halt::Halt;
use crate::properties::cases;
use crate::selection::Selection;

#[test]
fn every_task_is_done_and_every_rental_is_settled() {
    let mut world = World::new(1, 24, Faults::none());
    let end = world.run_to_end();
    assert_eq!((end.why, end.done, end.failed, end.unfinished), (StopReason::AllDone, 24, 0, 0));
    assert_eq!(end.unsettled, 0);
    assert!(!end.cost.is_zero());
    world.assert_nothing_left();
}

#[test]
fn no_more_agreements_are_signed_than_there_is_work_for() {
    let mut world = World::new(2, 2, Faults::none());
    world.run_to_end();
    assert_eq!(world.n_events(|event| matches!(event, EventKind::AgreementIntended { .. })), 2);
}

#[test]
fn a_run_ends_with_as_many_results_as_were_asked_for_and_reads_no_more_tasks_than_that() {
    for seed in 0..20 {
        let faults = Faults { fails: 0.3, ..Faults::none() };
        let mut world = World::configured(seed, 24, faults, |config| config.results = Some(7));
        let end = world.run_to_end();
        assert_eq!((end.why, end.done, end.unfinished), (StopReason::ResultsReached, 7, 0));
        let known = world.n_events(|event| matches!(event, EventKind::TaskAdded { .. }));
        assert_eq!(known as u64, end.done + end.failed, "seed {seed}");
        world.assert_nothing_left();
    }
    let mut world = World::configured(1, 7, Faults::none(), |config| config.results = Some(9));
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 7), "there are no more");
}

#[test]
fn a_run_stops_when_too_many_of_its_tasks_fail_and_ends_what_runs() {
    for seed in 0..20 {
        for (halt, fails) in [("4", 0.9), ("25%", 0.9)] {
            let halt: Halt = halt.parse().unwrap();
            let faults = Faults { fails, ..Faults::none() };
            let mut world = World::configured(seed, 200, faults, |config| {
                (config.halt, config.retries) = (Some(halt), 0);
            });
            let end = world.run_to_end();
            assert_eq!(end.why, StopReason::TooManyFailed, "seed {seed}");
            assert!(halt.is_reached(end.done, end.failed) && end.unfinished > 0, "seed {seed}: {end:?}");
            // Tasks in hand may fail as well; nothing is started after that.
            assert!(end.failed < 4 + u64::from(World::WORKERS) * 8, "seed {seed}: {end:?}");
            world.assert_nothing_left();
        }
        let mut world = World::configured(seed, 40, Faults { fails: 0.3, ..Faults::none() }, |config| {
            config.halt = "40".parse().ok();
        });
        assert_eq!(world.run_to_end().why, StopReason::AllDone, "few of many fail");
    }
}

#[test]
fn of_a_run_only_the_part_that_was_asked_for_is_done_and_no_more_is_read_than_that_takes() {
    for seed in 0..20 {
        let mut selection = Selection::default();
        selection.add_numbers(3..=5);
        selection.add_numbers(9..=9);
        let faults = Faults { fails: 0.2, ..Faults::none() };
        let mut world = World::configured(seed, 600, faults, |config| {
            (config.only, config.retries) = (Some(Arc::new(selection)), 20);
        });
        let end = world.run_to_end();
        assert_eq!((end.why, end.done, end.failed), (StopReason::PartDone, 4, 0), "seed {seed}");
        assert_eq!(end.unfinished, 6, "seed {seed}: the others that come before the last one are known");
        world.assert_nothing_left();
    }
    // Where that is all there is, nothing is left.
    let mut selection = Selection::default();
    selection.add_numbers(0..=6);
    let mut world = World::configured(1, 7, Faults::none(), |config| config.only = Some(Arc::new(selection)));
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 7));
}

#[test]
fn a_run_ends_with_the_result_that_ends_it() {
    for seed in 0..20 {
        let mut world = World::new(seed, 600, Faults { ends_with: Some(9), ..Faults::none() });
        let end = world.run_to_end();
        assert_eq!((end.why, end.failed), (StopReason::ResultsReached, 0), "seed {seed}");
        // Tasks in hand may still be done; nothing is started after that.
        assert!(end.done < 40 && end.unfinished > 200, "seed {seed}: {end:?}");
        world.assert_nothing_left();
    }
}

#[test]
fn a_run_that_finds_only_dear_offers_says_so_and_gives_up() {
    let mut world = World::new(3, 5, Faults { dear: 1.0, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.why, end.unfinished), (StopReason::NothingRuns, 5));
    let told = world.events.iter().rev().find_map(|event| match &event.kind {
        EventKind::Waiting { explanation } => Some(explanation.to_string()),
        _ => None,
    });
    let told = told.expect("a run that waits says why");
    assert!(told.contains("above the cap"), "{told}");
    assert!(told.contains("refused by us"), "{told}");
}

#[test]
fn a_run_without_offers_says_so_and_gives_up() {
    let mut world = World::new(4, 5, Faults { absent: 1.0, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!(end.why, StopReason::NothingRuns);
    assert!(world.n_events(|event| matches!(event, EventKind::Waiting { .. })) > 1, "never a silent wait");
}

#[test]
fn providers_that_never_approve_are_set_back_and_others_do_the_work() {
    let mut world = World::new(5, 24, Faults { never_approves: 0.5, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 24));
    assert!(world.n_events(|event| matches!(event, EventKind::ProviderSetBack { .. })) > 0);
}

#[test]
fn a_provider_that_never_approves_holds_no_finished_run_up() {
    let mut left_waiting = 0;
    for seed in 0..20 {
        let mut world = World::new(seed, 4, Faults { never_approves: 0.5, ..Faults::none() });
        let end = world.run_to_end();
        if end.why != StopReason::AllDone {
            continue;
        }
        let at = |is: fn(&EventKind) -> bool| world.events.iter().rfind(|event| is(&event.kind)).unwrap().at;
        let stopped = at(|kind| matches!(kind, EventKind::Stopping { .. }));
        let late = |event: &&Event| event.at > stopped;
        left_waiting += world
            .events
            .iter()
            .filter(late)
            .filter(|event| matches!(event.kind, EventKind::AgreementFailed { .. }))
            .count();
        let blamed = |event: &Event| matches!(event.kind, EventKind::ProviderSetBack { .. });
        assert!(!world.events.iter().filter(late).any(blamed), "seed {seed}");
        let took = between(stopped, at(|kind| matches!(kind, EventKind::RunEnded { .. })));
        assert!(took < Duration::from_secs(30), "seed {seed}: {took:?}");
    }
    assert!(left_waiting > 0, "no agreement was undecided when its run was done");
}

#[test]
fn a_task_that_fails_everywhere_fails_once_and_the_rest_is_done() {
    let mut world = World::new(6, 10, Faults { poisoned: Some(3), ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.done, end.failed), (9, 1));
    let failed = world.n_events(|event| matches!(event, EventKind::TaskFailed { .. }));
    let tried = world.n_events(|event| matches!(event, EventKind::AttemptFailed { .. }));
    assert_eq!((failed, tried), (1, World::RETRIES as usize));
}

#[test]
fn a_bill_above_what_is_owed_is_refused_and_the_work_goes_on_elsewhere() {
    let mut world = World::new(7, 24, Faults { overbills: 0.4, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 24));
    assert!(world.n_events(|event| matches!(event, EventKind::BillRefused { .. })) > 0);
    let refused_invoices = world.n_events(|event| {
        matches!(event, EventKind::BillRefused { bill: crate::event::Bill::Invoice(_), .. })
    });
    let set_back = world.n_events(
        |event| matches!(event, EventKind::ProviderSetBack { reason, .. } if reason.starts_with("wrong invoice")),
    );
    assert!(refused_invoices > 0);
    assert_eq!(set_back, refused_invoices, "each is held against its provider once, and told");
    for (asked, owed) in &world.accepted_bills {
        assert!(asked <= owed, "{asked} accepted where {owed} was owed");
    }
}

#[test]
fn an_invoice_that_overtakes_a_wrong_debit_note_is_refused_with_it() {
    let mut overtaken = 0;
    for seed in 0..20 {
        let mut world = World::new(seed, 12, Faults { pads_the_end: true, ..Faults::none() });
        world.run_to_end();
        overtaken += world.n_events(|event| {
            matches!(event, EventKind::BillRefused { bill: crate::event::Bill::Invoice(_), .. })
        });
        for (asked, owed) in &world.accepted_bills {
            assert!(asked <= owed, "seed {seed}: {asked} accepted where {owed} was owed");
        }
    }
    assert!(overtaken > 0);
}

#[test]
fn the_budget_holds_and_ends_the_run() {
    let mut world =
        World::configured(8, 10_000, Faults::none(), |config| config.budget = "0.02".parse().unwrap());
    let end = world.run_to_end();
    assert_eq!(end.why, StopReason::BudgetReached);
    assert!(end.done > 0 && end.unfinished > 0, "{end:?}");
    assert!(end.cost <= "0.02".parse().unwrap());
    world.assert_nothing_left();
}

#[test]
fn ctrl_c_ends_rentals_keeps_what_is_done_and_settles() {
    let mut world = World::new(9, 1000, Faults::none());
    world.run_for(Duration::from_secs(60));
    let done = world.n_events(|event| matches!(event, EventKind::TaskDone { .. }));
    world.stop(StopReason::Cancelled);
    let end = world.run_to_end();
    assert_eq!(end.why, StopReason::Cancelled);
    assert!(end.done >= done as u64 && end.unfinished > 0);
    for event in &world.events {
        if let EventKind::AgreementEnded { reason, .. } = &event.kind {
            assert_eq!(reason.message, "the requestor cancelled the run");
        }
    }
    assert_eq!(end.unsettled, 0);
    world.assert_nothing_left();
}

#[test]
fn a_provider_that_never_invoices_holds_nobody_up_for_long() {
    let mut world = World::new(10, 6, Faults { never_invoices: 1.0, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 6));
    assert!(end.unsettled > 0);
    assert_eq!(
        world.n_events(|event| matches!(event, EventKind::BillMissing { .. })),
        usize::try_from(end.unsettled).unwrap()
    );
}

#[test]
fn a_failed_task_is_tried_at_once_on_providers_that_are_free() {
    for workers in [1, 3] {
        let faults = Faults { poisoned: Some(0), ..Faults::none() };
        let mut world = World::configured(13, 1, faults, |config| config.workers = workers);
        let end = world.run_to_end();
        assert_eq!((end.done, end.failed), (0, 1));
        let tried: std::collections::HashSet<_> = world
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::TaskStarted { rental, .. } => Some(*rental),
                _ => None,
            })
            .collect();
        assert_eq!(tried.len(), 1 + World::RETRIES as usize, "each attempt on another provider");
        let took = between(world.events[0].at, world.events[world.events.len() - 1].at);
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
}

#[test]
fn a_set_up_that_fails_everywhere_ends_the_run_soon() {
    let mut world = World::new(14, 5, Faults { never_opens: 1.0, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.why, end.unfinished), (StopReason::NothingRuns, 5));
    let signed = world.n_events(|event| matches!(event, EventKind::AgreementIntended { .. }));
    assert_eq!(signed, 6, "each provider once");
}

#[test]
fn a_budget_that_covers_no_agreement_is_said_to_be_too_small() {
    let mut world =
        World::configured(11, 5, Faults::none(), |config| config.budget = "0.000001".parse().unwrap());
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::BudgetReached, 0));
    let told = world.events.iter().find_map(|event| match &event.kind {
        EventKind::Waiting { explanation } => Some(explanation.to_string()),
        _ => None,
    });
    assert!(told.as_deref().unwrap_or_default().contains("one more agreement, which needs 0.00"), "{told:?}");
}

#[test]
fn providers_whose_results_cost_too_much_are_let_go_after_a_while() {
    let dear_results = |config: &mut RunConfig| config.max_price = "0.00001".parse().ok();
    let mut world = World::configured(12, 2000, Faults::none(), dear_results);
    world.run_for(Duration::from_secs(299));
    let ended = |world: &World| world.n_events(|event| matches!(event, EventKind::AgreementEnded { .. }));
    assert_eq!(ended(&world), 0, "each has its time to show what it can do");
    world.run_for(Duration::from_secs(60));
    assert_eq!(ended(&world), 3);
    assert_eq!(world.n_events(|event| matches!(event, EventKind::ProviderSetBack { .. })), 3);
    let mut world = World::configured(12, 200, Faults::none(), |config| config.max_price = "1".parse().ok());
    assert_eq!(world.run_to_end().done, 200);
}

#[test]
fn an_activity_that_only_runs_and_delivers_nothing_does_not_look_cheap() {
    // Each task takes ten minutes: at the end of the grace nobody has a result, and all that was spent is for none.
    let faults = Faults { slow: true, ..Faults::none() };
    let mut world = World::configured(12, 20, faults, |config| {
        config.max_price = "0.002".parse().ok();
        config.price_grace = Duration::from_secs(120);
        config.workers = 1;
    });
    let ended = |world: &World| {
        world.n_events(|event| {
            matches!(event, EventKind::AgreementEnded { reason, .. } if reason.message.starts_with("a result costs"))
        })
    };
    world.run_for(Duration::from_secs(115));
    assert_eq!(ended(&world), 0, "it has its grace");
    world.run_for(Duration::from_secs(20));
    assert_eq!(ended(&world), 1);
}

#[test]
fn a_long_run_forgets_the_rentals_that_are_over_and_paid() {
    let faults = Faults { terminates: 1.0, repeats: 0.2, ..Faults::none() };
    let mut world = World::configured(11, 4000, faults, |config| config.budget = "100".parse().unwrap());
    let mut most = 0;
    while world.n_events(|event| matches!(event, EventKind::RunEnded { .. })) == 0 {
        world.run_for(Duration::from_secs(600));
        most = most.max(world.n_rentals().1);
    }
    let (all, _) = world.n_rentals();
    assert!(all > 300, "{all} rentals are no long run");
    assert!(most as u64 * 4 < all, "{most} of {all} rentals were remembered");
    let end = world.run_to_end();
    assert_eq!((end.why, end.unsettled), (StopReason::AllDone, 0));
    world.assert_nothing_left();
}

#[test]
fn bills_that_cant_be_accepted_for_now_are_accepted_later() {
    let mut world = World::new(12, 24, Faults { daemon: 0.3, ..Faults::none() });
    let end = world.run_to_end();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 24));
    let told =
        |event: &EventKind| matches!(event, EventKind::Trouble { doing, .. } if doing == "accept a bill");
    assert!(world.n_events(told) > 0);
    assert!(world.n_events(|event| matches!(event, EventKind::BillAccepted { .. })) > 0);
    world.assert_nothing_left();
}

proptest! {
    #![proptest_config(cases(256))]

    /// Whatever goes wrong, in whatever order: the run ends, each task once, nothing is left running, and at no
    /// moment is more promised, in all or in any window, than the budget. The world checks itself after every step.
    #[test]
    fn any_market_is_survived(
        seed in any::<u64>(),
        tasks in 0usize..60,
        faults in Faults::any(),
        taste in Taste::any(),
        spending in Spending::any(),
        known in prop::collection::btree_map(0u8..8, any_known(), 0..8),
        stop_after in prop::option::of(1u64..600),
    ) {
        let mut world = World::configured(seed, tasks, faults, |config| {
            config.strategy = taste.strategy();
            config.known = known.iter().map(|(n, known)| (World::node(*n), *known)).collect();
            spending.set(config);
        });
        if let Some(seconds) = stop_after {
            world.run_for(Duration::from_secs(seconds));
            world.stop(StopReason::Cancelled);
        }
        let end = world.run_to_end();
        prop_assert_eq!(end.done + end.failed + end.unfinished, world.n_known());
        world.assert_nothing_left();
        world.assert_no_window_is_passed();
    }
}
