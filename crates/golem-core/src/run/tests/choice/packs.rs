//! Machines that are lost with several tasks in hand: which tasks are charged for it, and which providers blamed. And tasks that
//! fail where others ran before them.

use super::*;
use crate::event::{Attempt, AttemptFailure, FailureKind, TaskOutput};
use crate::tasks::TaskQueue;

/// A run with ten tasks, one worker and any number of providers, each as one rental of the same number.
struct Packs {
    desk: Desk,
    events: Vec<EventKind>,
    effects: Vec<Effect>,
}

impl Packs {
    fn new(change: impl FnOnce(&mut RunConfig)) -> Self {
        let mut desk = Desk::configured(|config| {
            one_worker(config);
            config.retries = 1;
            change(config);
        });
        let data = (3..10).map(|n| json!(n)).collect();
        desk.give(Input::MoreTasks { job: JobId::FIRST, data });
        Self { desk, events: Vec::new(), effects: Vec::new() }
    }

    fn give(&mut self, input: Input) {
        let step = self.desk.give(input);
        self.events.extend(step.events.into_iter().map(|event| event.kind));
        self.effects.extend(step.effects);
    }

    /// The provider of this number signs and gets an activity.
    fn hire(&mut self, n: u8) {
        let offer = properties(n, 0.036);
        self.desk.proposal(n, ProposalState::Draft, offer.clone(), None);
        self.desk.now = after(self.desk.now, secs(2));
        self.give(Input::Tick);
        let mut agreed = agreement(properties(99, 0.0), offer, self.desk.now);
        agreed.agreement_id = AgreementId::new(format!("a{n}"));
        agreed.offer.provider_id = node(n);
        let rental = RentalId(n.into());
        self.give(Input::AgreementCreated { rental, agreement: agreed.agreement_id.clone() });
        self.give(Input::Approved { rental, agreement: Box::new(agreed) });
        self.begin(n, 1);
    }

    /// An activity that was asked for is there.
    fn begin(&mut self, n: u8, no: u32) {
        let (rental, no) = (RentalId(n.into()), ActivityNo(no));
        let activity = ActivityId::new(format!("act{n}-{}", no.0));
        self.give(Input::ActivityCreated { rental, no, activity });
    }

    /// The worker asks for tasks, and gets these.
    fn asks(&mut self, n: u8, no: u32, room: usize) -> Vec<Attempt> {
        self.effects.clear();
        self.give(Input::WorkerReady { rental: RentalId(n.into()), no: ActivityNo(no), room });
        let assigned = self.effects.iter().find_map(|effect| match effect {
            Effect::Assign { tasks, .. } => Some(tasks.iter().map(|task| task.attempt).collect()),
            _ => None,
        });
        assigned.unwrap_or_default()
    }

    fn done(&mut self, n: u8, attempt: Attempt) {
        let (output, took, more) = (TaskOutput::default(), secs(1), Vec::new());
        self.give(Input::AttemptDone { rental: RentalId(n.into()), attempt, output, took, more });
    }

    fn fails(&mut self, n: u8, attempt: Attempt, kind: FailureKind) {
        let failure = AttemptFailure::new(kind, "no");
        self.give(Input::AttemptFailed { rental: RentalId(n.into()), attempt, failure, retry: true });
    }

    /// The machine is gone; the rental is over with it.
    fn loses(&mut self, n: u8) {
        let failure = Some(WorkerFailure::lost("the activity is gone"));
        self.give(Input::WorkerEnded { rental: RentalId(n.into()), no: ActivityNo(1), failure });
        self.give(Input::Closed { rental: RentalId(n.into()), usage: None, failure: None, ended: true });
    }

    fn n(&self, is: impl Fn(&EventKind) -> bool) -> usize {
        self.events.iter().filter(|kind| is(kind)).count()
    }

    fn n_charged(&self) -> usize {
        self.n(|kind| matches!(kind, EventKind::AttemptFailed { .. } | EventKind::TaskFailed { .. }))
    }

    fn is_welcome(&self, n: u8) -> bool {
        self.desk.run.live.providers.standings.is_welcome(&node(n), self.desk.now)
    }
}

fn is_lost(kind: &EventKind) -> bool {
    matches!(kind, EventKind::AttemptCancelled { lost: Some(_), .. })
}

#[test]
fn a_poison_costs_its_own_attempts_and_no_more_machines_than_it_has_and_one() {
    let mut packs = Packs::new(|_| {});
    packs.hire(1);
    let pack = packs.asks(1, 1, 8);
    assert_eq!(pack.len(), 8);
    packs.done(1, pack[0]);
    packs.loses(1);
    assert_eq!((packs.n(is_lost), packs.n_charged()), (7, 0), "nobody knows which of them it was");
    assert!(!packs.is_welcome(1));

    // Each of them is tried alone; the fourth is the one.
    packs.hire(2);
    for innocent in &pack[1..4] {
        let alone = packs.asks(2, 1, 8);
        assert_eq!(alone.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [innocent.task]);
        packs.done(2, alone[0]);
    }
    let poison = packs.asks(2, 1, 8);
    assert_eq!(poison.len(), 1);
    packs.loses(2);
    assert_eq!(packs.n_charged(), 1);
    assert!(packs.is_welcome(1) && packs.is_welcome(2), "it is the task's fault");
    let set_back = packs.n(|kind| matches!(kind, EventKind::ProviderSetBack { .. }));

    packs.hire(3);
    let mut next = packs.asks(3, 1, 8);
    while next.len() == 1 && next[0].task != poison[0].task {
        packs.done(3, next[0]);
        next = packs.asks(3, 1, 8);
    }
    assert_eq!(next.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [poison[0].task]);
    packs.loses(3);
    let failures = packs.events.iter().find_map(|kind| match kind {
        EventKind::TaskFailed { attempt, failure, .. } if attempt.task == poison[0].task => {
            Some(failure.failures)
        }
        _ => None,
    });
    assert_eq!(failures, Some(2), "one retry, and the attempt in the pack doesn't count");
    assert_eq!(packs.n(|kind| matches!(kind, EventKind::ProviderSetBack { .. })), set_back);
    packs.hire(4);
    assert_eq!(packs.asks(4, 1, 8).len(), 2, "what is left travels together again");
}

#[test]
fn a_provider_that_loses_one_task_after_the_other_is_to_blame() {
    let mut packs = Packs::new(|_| {});
    packs.hire(1);
    let alone = packs.asks(1, 1, 1);
    packs.loses(1);
    assert_eq!((packs.n(is_lost), packs.n_charged()), (0, 1), "it was alone there");
    assert!(!packs.is_welcome(1));
    packs.hire(2);
    let again = packs.asks(2, 1, 8);
    assert_eq!(again.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [alone[0].task], "alone again");
    packs.done(2, again[0]);
    assert!(!packs.is_welcome(1), "its task does well elsewhere");
}

#[test]
fn a_worker_that_answers_for_each_task_of_a_lost_pack_charges_none() {
    let mut packs = Packs::new(|_| {});
    packs.hire(1);
    for attempt in packs.asks(1, 1, 3) {
        packs.fails(1, attempt, FailureKind::Lost);
    }
    packs.loses(1);
    assert_eq!((packs.n(is_lost), packs.n_charged()), (3, 0));
    assert!(!packs.is_welcome(1));
}

#[test]
fn a_task_that_failed_on_a_used_machine_is_tried_next_on_a_fresh_one() {
    let mut packs = Packs::new(|config| config.fresh_retries = true);
    packs.hire(1);
    let first = packs.asks(1, 1, 1);
    packs.fails(1, first[0], FailureKind::CommandFailed);
    for _ in 0..8 {
        let next = packs.asks(1, 1, 1);
        packs.done(1, next[0]);
    }
    // The first one failed on a fresh machine: it was tried again at once.
    let used = packs.asks(1, 1, 1);
    assert_eq!(used[0].number, 1);
    packs.fails(1, used[0], FailureKind::CommandFailed);
    let said = packs.events.iter().rev().find_map(|kind| match kind {
        EventKind::AttemptFailed { failure, .. } => Some(failure.message.clone()),
        _ => None,
    });
    assert_eq!(said.as_deref(), Some("no (after `9` other tasks on the same machine)"));
    let state = &packs.desk.run.books.state;
    let after_a_crash = TaskQueue::of_state(&serde_json::from_value(json!(state)).unwrap());
    let wanting = after_a_crash.n_wanting_fresh(state, JobId::FIRST, &node(1), &[], packs.desk.now);
    assert_eq!(wanting.0, 1, "a resumed run knows it too");
    let new = packs.asks(1, 1, 8);
    assert_eq!(new.len(), 1);
    assert_ne!(new[0].task, used[0].task);
    packs.done(1, new[0]);
    assert_eq!(packs.asks(1, 1, 8), [], "what is left wants a fresh machine");
    let closed =
        packs.effects.iter().any(|effect| matches!(effect, Effect::CloseActivity { no: ActivityNo(1), .. }));
    assert!(closed, "{:?}", packs.effects);
    let rental = RentalId(1);
    packs.give(Input::ActivityClosed { rental, no: ActivityNo(1), usage: None, failure: None });
    packs.begin(1, 2);
    let fresh = packs.asks(1, 2, 8);
    assert_eq!(fresh.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [used[0].task]);
    packs.fails(1, fresh[0], FailureKind::CommandFailed);
    let said = packs.events.iter().rev().find_map(|kind| match kind {
        EventKind::TaskFailed { failure, .. } => Some(failure.message.clone()),
        _ => None,
    });
    assert_eq!(said.as_deref(), Some("no"), "nothing ran there before");
}

#[test]
fn a_used_machine_is_better_than_none_where_there_is_no_money_for_a_fresh_one() {
    let mut packs = Packs::new(|config| {
        config.fresh_retries = true;
        // A start of a machine and two minutes of it fit once, and not twice.
        config.budget = "0.002".parse().unwrap();
    });
    packs.hire(1);
    let mut last = Vec::new();
    for _ in 0..10 {
        last = packs.asks(1, 1, 1);
        if last[0].task.0 < 9 {
            packs.done(1, last[0]);
        }
    }
    packs.fails(1, last[0], FailureKind::CommandFailed);
    let again = packs.asks(1, 1, 8);
    assert_eq!(again.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [last[0].task]);
}
