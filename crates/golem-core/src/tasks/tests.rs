//! A queue follows the events of its tasks: who waits, who is tried next and where, and what is an old outcome.

use proptest::prelude::*;
use yagna_api::{Glm, ProposalId};

use super::*;
use crate::event::{AttemptFailure, Event, Provider, RentalId, TaskOutput};

fn node(n: u8) -> NodeId {
    format!("0x{n:040x}").parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

const JOB: JobId = JobId(0);

/// A queue with the state that it is deduced from.
#[derive(Default)]
struct Piles {
    state: RunState,
    queue: TaskQueue,
}

impl Piles {
    fn emit(&mut self, now: Timestamp, kind: EventKind) {
        let event = Event { at: now, kind };
        self.state.apply(&event);
        self.queue.follow(&self.state, &event.kind);
    }

    fn open(&mut self, job: JobId, retries: u32) {
        self.emit(at(0), EventKind::JobAdded { job, deadline: None, retries });
    }

    fn add(&mut self, job: JobId, data: Value, now: Timestamp) -> TaskId {
        let task = TaskId(self.state.next_task);
        self.emit(now, EventKind::TaskAdded { job, task, data, spawned: false });
        task
    }

    fn exhaust(&mut self, job: JobId) {
        self.emit(at(0), EventKind::SourceExhausted { job });
    }

    fn rental_of(&mut self, provider: &NodeId) -> RentalId {
        let known = self.state.rentals.iter().find(|(_, rental)| rental.provider.id == *provider);
        if let Some((id, _)) = known {
            return *id;
        }
        let rental = RentalId(self.state.next_rental);
        let provider = Provider { id: provider.clone(), name: String::new() };
        let (proposal, terms) = (ProposalId::new("p"), Box::default());
        let (per_hour, start) = (Glm::ONE, Glm::ONE);
        self.emit(at(0), EventKind::AgreementIntended { rental, provider, proposal, per_hour, start, terms });
        rental
    }

    fn take(
        &mut self,
        job: JobId,
        provider: &NodeId,
        room: usize,
        elsewhere: &[NodeId],
        now: Timestamp,
    ) -> Vec<AssignedTask> {
        let rental = self.rental_of(provider);
        let taken = self.queue.take(&self.state, job, provider, room, true, elsewhere, now);
        for task in &taken {
            self.emit(now, EventKind::TaskStarted { attempt: task.attempt, rental });
        }
        taken
    }

    fn done(&mut self, attempt: Attempt) -> Option<JobId> {
        let task = self.queue.current(&self.state, attempt)?;
        let (job, rental) = (task.job, task.running?);
        let (output, took) = (TaskOutput::default(), Duration::ZERO);
        self.emit(at(0), EventKind::TaskDone { attempt, rental, output, took });
        Some(job)
    }

    fn failed(&mut self, attempt: Attempt, kind: FailureKind, retry: bool, now: Timestamp) -> Verdict {
        let rental = self.queue.current(&self.state, attempt).and_then(|task| task.running);
        let verdict = self.queue.verdict(&self.state, attempt, kind, retry);
        let failure = AttemptFailure::new(kind, "");
        match (verdict, rental) {
            (Verdict::Retry, Some(rental)) => {
                self.emit(now, EventKind::AttemptFailed { attempt, rental, failure });
            }
            (Verdict::Final, rental) => self.emit(now, EventKind::TaskFailed { attempt, rental, failure }),
            _ => {}
        }
        verdict
    }

    fn cancelled(&mut self, attempt: Attempt, lost: Option<String>) -> bool {
        let rental = self.queue.current(&self.state, attempt).and_then(|task| task.running);
        if let Some(rental) = rental {
            self.emit(at(0), EventKind::AttemptCancelled { attempt, rental, lost, took: None });
        }
        rental.is_some()
    }

    fn is_finished(&self, job: JobId) -> bool {
        self.queue.is_finished(&self.state, job)
    }

    fn has_use_for(&self, job: JobId, provider: &NodeId) -> bool {
        self.queue.has_use_for(&self.state, job, provider)
    }
}

fn pile(retries: u32) -> Piles {
    let mut queue = Piles::default();
    queue.open(JOB, retries);
    queue
}

#[test]
fn jobs_dont_see_each_others_tasks() {
    let (one, other) = (JobId(1), JobId(2));
    let mut queue = pile(0);
    queue.open(one, 0);
    queue.open(other, 5);
    let first = queue.add(one, "a".into(), at(0));
    let second = queue.add(other, "b".into(), at(0));
    assert_eq!((first, second), (TaskId(0), TaskId(1)), "one count for all");
    queue.exhaust(one);
    let taken = queue.take(one, &node(1), 9, &[], at(0));
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (queue.queue.n_waiting_for(one), queue.queue.n_running_for(one), queue.queue.n_waiting_for(other)),
        (0, 1, 1)
    );
    assert_eq!(queue.failed(taken[0].attempt, FailureKind::Lost, true, at(0)), Verdict::Final, "no retries");
    assert!(queue.is_finished(one) && !queue.is_finished(other));
    let taken = queue.take(other, &node(1), 9, &[], at(0));
    assert_eq!(queue.failed(taken[0].attempt, FailureKind::Lost, true, at(0)), Verdict::Retry);
    assert!(queue.has_use_for(other, &node(2)) && !queue.has_use_for(one, &node(2)));
    assert_eq!(queue.queue.remove(one), Some(vec![]));
    assert_eq!((queue.state.failed, queue.state.next_task), (1, 2), "the run's counts stay");
}

#[test]
fn a_job_that_is_taken_out_leaves_nothing_behind() {
    let mut queue = pile(3);
    for n in 0..3 {
        queue.add(JOB, n.into(), at(0));
    }
    let running = queue.take(JOB, &node(1), 1, &[], at(0)).remove(0).attempt;
    let remains = queue.queue.remove(JOB).unwrap();
    assert_eq!(remains, [TaskId(0), TaskId(1), TaskId(2)]);
    assert!(queue.done(running).is_none() && !queue.cancelled(running, None), "its outcome comes too late");
    assert_eq!(queue.failed(running, FailureKind::Lost, true, at(0)), Verdict::Old);
    assert_eq!((queue.queue.n_waiting(), queue.queue.n_running(), queue.state.done), (0, 0, 0));
    assert_eq!(queue.queue.remove(JOB), None);
}

#[test]
fn a_result_that_no_retry_can_mend_fails_its_task_at_once() {
    let mut queue = pile(9);
    queue.add(JOB, "a".into(), at(0));
    let attempt = queue.take(JOB, &node(1), 1, &[], at(0)).remove(0).attempt;
    assert_eq!(queue.failed(attempt, FailureKind::Rejected, false, at(0)), Verdict::Final);
}

#[test]
fn a_failed_task_goes_to_another_provider() {
    let mut queue = pile(2);
    queue.add(JOB, "a".into(), at(0));
    queue.exhaust(JOB);
    let first = queue.take(JOB, &node(1), 5, &[node(2)], at(0)).remove(0).attempt;
    assert_eq!(queue.failed(first, FailureKind::CommandFailed, true, at(1)), Verdict::Retry);
    assert!(queue.take(JOB, &node(1), 5, &[node(2)], at(1)).is_empty());
    let second = queue.take(JOB, &node(2), 5, &[node(1)], at(1)).remove(0).attempt;
    assert_eq!(second.number, 2);
    assert!(queue.done(first).is_none(), "the outcome of an old attempt is dropped");
    assert_eq!(queue.done(second), Some(JOB));
    assert!(queue.is_finished(JOB));
}

#[test]
fn a_task_with_nowhere_else_to_go_is_tried_again_where_it_failed() {
    let mut queue = pile(2);
    queue.add(JOB, "a".into(), at(0));
    let first = queue.take(JOB, &node(1), 1, &[node(2)], at(0)).remove(0).attempt;
    queue.failed(first, FailureKind::CommandFailed, true, at(0));
    assert_eq!(queue.take(JOB, &node(1), 1, &[], at(1)).len(), 1, "no other provider");
    let mut queue = pile(2);
    queue.add(JOB, "a".into(), at(0));
    let first = queue.take(JOB, &node(1), 1, &[node(2)], at(0)).remove(0).attempt;
    queue.failed(first, FailureKind::CommandFailed, true, at(0));
    assert_eq!(queue.take(JOB, &node(1), 1, &[node(2)], at(20)).len(), 1, "waited long enough");
}

#[test]
fn a_task_that_has_failed_everywhere_doesnt_wait_for_elsewhere() {
    let mut queue = pile(5);
    queue.add(JOB, "a".into(), at(0));
    for n in [1, 2] {
        let attempt = queue.take(JOB, &node(n), 1, &[], at(0)).remove(0).attempt;
        queue.failed(attempt, FailureKind::CommandFailed, true, at(0));
    }
    assert!(queue.take(JOB, &node(1), 1, &[node(2), node(3)], at(0)).is_empty(), "there is a third one");
    assert_eq!(queue.take(JOB, &node(1), 1, &[node(2)], at(0)).len(), 1, "nobody is left who hasn't tried");
}

#[test]
fn attempts_are_bounded_and_cancelled_ones_are_free() {
    let mut queue = pile(1);
    queue.add(JOB, "a".into(), at(0));
    for round in 1..=5 {
        let attempt = queue.take(JOB, &node(1), 1, &[], at(0)).remove(0).attempt;
        assert_eq!(attempt.number, round);
        assert!(queue.cancelled(attempt, None));
    }
    let attempt = queue.take(JOB, &node(1), 1, &[], at(0)).remove(0).attempt;
    assert_eq!(queue.failed(attempt, FailureKind::Lost, true, at(0)), Verdict::Retry);
    let attempt = queue.take(JOB, &node(1), 1, &[], at(0)).remove(0).attempt;
    assert_eq!(queue.failed(attempt, FailureKind::Lost, true, at(0)), Verdict::Final);
    assert_eq!((queue.state.failed, queue.queue.n_waiting()), (1, 0));
}

#[test]
fn what_can_succeed_nowhere_fails_at_once() {
    let mut queue = pile(9);
    queue.add(JOB, "a".into(), at(0));
    let attempt = queue.take(JOB, &node(1), 1, &[], at(0)).remove(0).attempt;
    assert_eq!(queue.failed(attempt, FailureKind::Invalid, true, at(0)), Verdict::Final);
}

#[test]
fn tasks_whose_machine_was_lost_with_others_come_next_and_alone() {
    let mut queue = pile(3);
    for n in 0..4 {
        queue.add(JOB, n.into(), at(0));
    }
    let lost: Vec<_> =
        queue.take(JOB, &node(1), 2, &[], at(0)).into_iter().map(|task| task.attempt).collect();
    for attempt in &lost {
        assert!(queue.cancelled(*attempt, Some("gone".into())));
    }
    let given_back = queue.take(JOB, &node(2), 9, &[], at(0));
    assert_eq!(given_back.len(), 1, "a suspect comes alone");
    assert!(queue.cancelled(given_back[0].attempt, None));
    let failed = queue.take(JOB, &node(3), 1, &[], at(0)).remove(0).attempt;
    assert_eq!(queue.failed(failed, FailureKind::CommandFailed, true, at(1)), Verdict::Retry);
    assert_eq!(queue.queue.n_waiting(), 4, "none is lost");
}

#[test]
fn a_resumed_queue_goes_on_where_the_other_one_was() {
    let mut queue = pile(3);
    for n in 0..5 {
        queue.add(JOB, n.into(), at(0));
    }
    let mut attempts: Vec<_> =
        (1..4).map(|n| queue.take(JOB, &node(n), 1, &[], at(0)).remove(0).attempt).collect();
    for second in [10, 20] {
        let attempt = attempts.pop().unwrap();
        assert_eq!(queue.failed(attempt, FailureKind::CommandFailed, true, at(second)), Verdict::Retry);
    }
    let resumed = TaskQueue::of_state(&queue.state);
    assert_eq!((resumed.n_waiting(), resumed.n_running(), resumed.n_running_for(JOB)), (4, 1, 1));
    let mut piles = Piles { queue: resumed, state: queue.state };
    let next: Vec<_> =
        piles.take(JOB, &node(3), 9, &[], at(30)).iter().map(|task| task.attempt.task.0).collect();
    assert_eq!(next, [2, 1, 3, 4], "what failed first comes first");
}

proptest! {
    /// Whatever happens to attempts, in whatever order and however often outcomes are repeated, each task ends
    /// exactly once and none is lost.
    #[test]
    fn every_task_ends_once(steps in prop::collection::vec((0u8..3, 0u8..4, any::<bool>()), 0..400)) {
        let mut queue = pile(2);
        let total = 20;
        for n in 0..total {
            queue.add(JOB, n.into(), at(0));
        }
        queue.exhaust(JOB);
        let mut open = Vec::new();
        let mut ended = std::collections::HashSet::new();
        let mut old = Vec::new();
        for (provider, what, repeat) in steps {
            open.extend(queue.take(JOB, &node(provider), 1, &[], at(0)).into_iter().map(|task| task.attempt));
            if repeat && let Some(&attempt) = old.last() {
                prop_assert!(queue.done(attempt).is_none());
                prop_assert_eq!(queue.failed(attempt, FailureKind::Lost, true, at(0)), Verdict::Old);
                prop_assert!(!queue.cancelled(attempt, None));
            }
            let Some(attempt) = open.pop() else { continue };
            match what {
                0 => { prop_assert!(queue.done(attempt).is_some()); prop_assert!(ended.insert(attempt.task)); }
                1 => { prop_assert!(queue.cancelled(attempt, None)); }
                _ => if queue.failed(attempt, FailureKind::Lost, true, at(0)) == Verdict::Final {
                    prop_assert!(ended.insert(attempt.task));
                },
            }
            old.push(attempt);
            prop_assert_eq!(queue.state.done + queue.state.failed, ended.len() as u64);
            let unfinished = queue.queue.n_waiting() + queue.queue.n_running();
            prop_assert_eq!(ended.len() + unfinished, total);
        }
    }
}
