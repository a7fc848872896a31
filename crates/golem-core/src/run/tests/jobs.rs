//! Several jobs in one run: what they share and what they don't.

use std::time::Duration;

use proptest::prelude::*;
use yagna_api::time::between;

use super::faults::{Faults, Plan};
use super::world::World;
use crate::event::{EventKind, JobEnd, JobEndReason, JobId, StopReason, TaskId};
use crate::properties::cases;

fn tasks(tasks: usize) -> Plan {
    Plan { tasks, ..Plan::default() }
}

fn at(at: u32, plan: Plan) -> Plan {
    Plan { at, ..plan }
}

fn end(world: &World, job: u64) -> &JobEnd {
    world.ended_jobs.get(&JobId(job)).expect("the job ends")
}

fn n_agreements(world: &World) -> usize {
    world.n_events(|event| matches!(event, EventKind::AgreementIntended { .. }))
}

#[test]
fn a_second_job_takes_the_agreements_of_the_first() {
    let mut world = World::standing(1, Faults::none(), &[tasks(12), at(45, tasks(12))]);
    world.run_for(Duration::from_secs(200));
    for job in [0, 1] {
        assert_eq!((end(&world, job).why, end(&world, job).done), (JobEndReason::Finished, 12));
    }
    assert_eq!(n_agreements(&world), 3, "no agreement is made for the second job");
    world.stop(StopReason::Closed);
    let end = world.run_to_end();
    assert_eq!((end.why, end.done, end.unsettled), (StopReason::Closed, 24, 0));
    assert_eq!(world.n_activities(), [2, 2, 2], "each rental has an activity for each job");
    let accepted = |event: &EventKind| {
        matches!(event, EventKind::BillAccepted { bill: crate::event::Bill::Invoice(_), .. })
    };
    assert_eq!(world.n_events(accepted), 3, "one invoice covers all activities of an agreement");
    world.assert_nothing_left();
}

#[test]
fn an_invoice_for_several_activities_that_overtakes_a_wrong_debit_note_is_refused_with_it() {
    let mut covering_two = 0;
    for seed in 0..20 {
        let faults = Faults { pads_the_end: true, ..Faults::none() };
        let mut world = World::standing(seed, faults, &[tasks(12), at(45, tasks(12))]);
        world.run_for(Duration::from_secs(200));
        world.stop(StopReason::Closed);
        world.run_to_end();
        covering_two += world.n_activities().iter().filter(|activities| **activities > 1).count();
        let refused = world.n_events(|event| {
            matches!(event, EventKind::BillRefused { bill: crate::event::Bill::Invoice(_), .. })
        });
        assert_eq!(refused, world.n_activities().iter().filter(|activities| **activities > 0).count());
        for (asked, owed) in &world.accepted_bills {
            assert!(asked <= owed, "seed {seed}: {asked} accepted where {owed} was owed");
        }
    }
    assert!(covering_two > 0);
}

#[test]
fn an_agreement_for_one_activity_isnt_used_for_a_second_one() {
    let faults = Faults { single: 1.0, ..Faults::none() };
    let mut world = World::standing(2, faults, &[tasks(12), at(90, tasks(12))]);
    world.run_for(Duration::from_secs(300));
    assert_eq!((end(&world, 0).done, end(&world, 1).done), (12, 12));
    assert_eq!(n_agreements(&world), 6);
    let blamed = world.n_events(|event| matches!(event, EventKind::ProviderSetBack { .. }));
    assert_eq!(blamed, 0, "that it takes one only is no fault");
    world.stop(StopReason::Closed);
    world.run_to_end();
    world.assert_nothing_left();
}

#[test]
fn a_standing_run_with_nothing_to_do_soon_holds_no_agreement() {
    let mut world = World::standing(3, Faults::none(), &[tasks(6)]);
    let begun = world.now();
    let ended = |world: &World| world.ended_jobs.get(&JobId(0)).map(|_| between(begun, world.now()));
    while ended(&world).is_none() {
        world.run_for(Duration::from_secs(1));
    }
    assert!(world.n_live() > 0, "kept for the next job");
    world.run_for(Duration::from_secs(36));
    assert_eq!(world.n_live(), 0, "but not for long");
    world.run_for(Duration::from_secs(3600));
    let waiting = world.n_events(|event| matches!(event, EventKind::Waiting { .. }));
    assert_eq!(waiting, 0, "nothing waits, so nothing is to be explained or given up");
    world.add_job(JobId(1), &tasks(6));
    world.run_for(Duration::from_secs(120));
    assert_eq!(end(&world, 1).done, 6, "it is as good as new");
    world.stop(StopReason::Closed);
    assert_eq!(world.run_to_end().why, StopReason::Closed);
    world.assert_nothing_left();
}

#[test]
fn a_cancelled_job_leaves_the_other_alone() {
    let cancelled = Plan { tasks: 500, cancelled: Some(40), ..Plan::default() };
    let mut world = World::standing(4, Faults::none(), &[cancelled, tasks(40)]);
    world.run_for(Duration::from_secs(600));
    let first = end(&world, 0);
    assert_eq!(first.why, JobEndReason::Cancelled);
    assert!(first.done > 0 && first.cancelled > 0, "{first:?}");
    let told = world.n_events(|event| matches!(event, EventKind::TaskCancelled { .. }));
    assert_eq!(told as u64, first.cancelled, "each task that is given up is told of");
    assert_eq!((end(&world, 1).why, end(&world, 1).done), (JobEndReason::Finished, 40));
    let tried_twice = |event: &EventKind| {
        matches!(event, EventKind::AttemptCancelled { attempt, .. } | EventKind::AttemptFailed { attempt, .. }
            if told_job(&world, attempt.task) == JobId(1))
    };
    assert_eq!(world.n_events(tried_twice), 0, "the other job's attempts run on");
    world.stop(StopReason::Closed);
    world.run_to_end();
    world.assert_nothing_left();
}

fn told_job(world: &World, of: TaskId) -> JobId {
    let added = world.events.iter().find_map(|event| match event.kind {
        EventKind::TaskAdded { job, task, .. } if task == of => Some(job),
        _ => None,
    });
    added.expect("every task was added")
}

#[test]
fn a_deadline_ends_its_job_and_tells_what_is_unfinished() {
    let late = Plan { tasks: 5000, deadline: Some(60), ..Plan::default() };
    let mut world = World::standing(5, Faults::none(), &[late, tasks(10)]);
    let begun = world.now();
    while !world.ended_jobs.contains_key(&JobId(0)) {
        world.run_for(Duration::from_secs(1));
    }
    let took = between(begun, world.now());
    assert!(took >= Duration::from_secs(60) && took <= Duration::from_secs(62), "{took:?}");
    let ended = end(&world, 0).clone();
    assert_eq!(ended.why, JobEndReason::Expired);
    assert!(ended.done > 0 && ended.expired > 0 && ended.cancelled == 0);
    let told = world.n_events(|event| matches!(event, EventKind::TaskExpired { .. }));
    assert_eq!(told as u64, ended.expired);
    world.run_for(Duration::from_secs(120));
    assert_eq!(end(&world, 1).done, 10, "the run goes on");
    world.stop(StopReason::Closed);
    world.run_to_end();
    world.assert_nothing_left();
}

#[test]
fn results_that_add_tasks_keep_their_job_open() {
    let plan = Plan { tasks: 4, spawns: 9, ..Plan::default() };
    let mut world = World::standing(5, Faults::none(), &[plan]);
    world.run_for(Duration::from_secs(600));
    let ended = end(&world, 0);
    assert_eq!((ended.why, ended.failed), (JobEndReason::Finished, 0));
    assert!(ended.done > 4, "{ended:?}");
}

#[test]
fn workers_are_shared_between_jobs_by_their_work() {
    let mut world = World::standing(7, Faults::none(), &[tasks(4000), at(60, tasks(4000))]);
    world.run_for(Duration::from_secs(55));
    assert_eq!((world.n_workers(JobId(0)), world.n_workers(JobId(1))), (3, 0));
    world.run_for(Duration::from_secs(60));
    assert!(world.n_workers(JobId(1)) >= 1, "a new job isn't kept waiting by a long one");
    let done = |world: &World| {
        world.n_events(|event| matches!(event, EventKind::TaskDone { attempt, .. } if told_job(world, attempt.task) == JobId(1)))
    };
    assert!(done(&world) > 0);
    let before = world.n_events(|event| matches!(event, EventKind::ActivityIntended { .. }));
    world.run_for(Duration::from_secs(300));
    let moved = world.n_events(|event| matches!(event, EventKind::ActivityIntended { .. })) - before;
    assert!(moved <= 2, "{moved} workers were moved to and fro");
}

#[test]
fn a_single_worker_takes_turns() {
    let plans = [tasks(1000), at(20, tasks(10))];
    let mut world = World::standing_with(8, Faults::none(), &plans, |config| config.workers = 1);
    world.run_for(Duration::from_secs(300));
    assert_eq!(end(&world, 1).done, 10);
    assert!(!world.ended_jobs.contains_key(&JobId(0)));
}

#[test]
fn a_job_whose_set_up_fails_everywhere_is_given_up_and_the_run_goes_on() {
    let mut world = World::standing(9, Faults { never_opens: 1.0, ..Faults::none() }, &[tasks(5)]);
    world.run_for(Duration::from_secs(300));
    let ended = end(&world, 0);
    assert_eq!((ended.why, ended.cancelled), (JobEndReason::NothingRuns, 5));
    world.run_for(Duration::from_secs(300));
    world.stop(StopReason::Closed);
    assert_eq!(world.run_to_end().why, StopReason::Closed);
}

#[test]
fn jobs_that_a_stop_leaves_are_told_at_once() {
    let mut world = World::standing(10, Faults::none(), &[tasks(500), tasks(500)]);
    world.run_for(Duration::from_secs(60));
    world.stop(StopReason::Closed);
    world.run_for(Duration::from_secs(10));
    for job in [0, 1] {
        let ended = end(&world, job);
        assert_eq!(ended.why, JobEndReason::Stopped);
        assert!(ended.unfinished > 0);
    }
    let end = world.run_to_end();
    assert_eq!(end.why, StopReason::Closed);
    world.assert_nothing_left();
}

#[test]
fn jobs_share_one_budget() {
    let plans = [tasks(10_000), tasks(10_000)];
    let small = |config: &mut crate::run::RunConfig| config.budget = "0.03".parse().unwrap();
    let mut world = World::standing_with(11, Faults::none(), &plans, small);
    let end = world.run_to_end();
    assert_eq!(end.why, StopReason::BudgetReached);
    assert!(end.cost <= "0.03".parse().unwrap() && end.done > 0);
    world.assert_nothing_left();
}

proptest! {
    #![proptest_config(cases(256))]

    /// Whatever goes wrong with whatever jobs: each has one end that counts all its tasks, none runs after it, and
    /// the run ends when it is closed. The world checks itself after every step.
    #[test]
    fn any_jobs_on_any_market_are_survived(
        seed in any::<u64>(),
        plans in prop::collection::vec(Plan::any(), 0..5),
        faults in Faults::any(),
        close_after in 1u64..1200,
    ) {
        let mut world = World::standing(seed, faults, &plans);
        world.run_for(Duration::from_secs(close_after));
        world.stop(StopReason::Closed);
        let end = world.run_to_end();
        prop_assert_eq!(end.done + end.failed + end.unfinished, world.n_known());
        let added = world.n_events(|event| matches!(event, EventKind::JobAdded { .. }));
        prop_assert_eq!(world.ended_jobs.len(), added);
        world.assert_nothing_left();
    }
}
