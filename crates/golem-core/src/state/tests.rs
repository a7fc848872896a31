//! Small folds of events; whole runs are folded and resumed in the tests of `run`.

use serde_json::json;
use yagna_api::market::{Reason, Terminator};
use yagna_api::{ActivityId, BatchId, DebitNoteId, InvoiceId, ProposalId};

use super::*;
use crate::event::{
    ActivityNo, AttemptFailure, FailureKind, JobEnd, JobEndReason, Measured, Resumed, TaskOutput,
};

const RENTAL: RentalId = RentalId(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

fn node(n: u8) -> NodeId {
    format!("0x{n:040x}").parse().unwrap()
}

fn note(n: u8) -> Bill {
    Bill::DebitNote(DebitNoteId::new(format!("n{n}")))
}

fn invoice() -> Bill {
    Bill::Invoice(InvoiceId::new("i"))
}

fn agreement() -> AgreementId {
    AgreementId::new("a")
}

fn fold(kinds: impl IntoIterator<Item = EventKind>) -> RunState {
    let mut state = RunState::default();
    for (second, kind) in (0..).zip(kinds) {
        state.apply(&Event { at: at(second), kind });
    }
    state
}

fn job_of(tasks: u64) -> Vec<EventKind> {
    let mut kinds = vec![EventKind::JobAdded { job: JobId::FIRST, deadline: None, retries: 2 }];
    kinds.extend((0..tasks).map(|n| EventKind::TaskAdded {
        job: JobId::FIRST,
        task: TaskId(n),
        data: json!(n),
        spawned: false,
    }));
    kinds
}

fn rental_at_work() -> Vec<EventKind> {
    let terms = RentalTerms {
        pricing: crate::pricing::Pricing { rates: Vec::new(), start: rust_decimal::Decimal::ONE },
        threads: 4,
        expires: at(3600),
    };
    vec![
        EventKind::AgreementIntended {
            rental: RENTAL,
            provider: Provider { id: node(1), name: "ada".into() },
            proposal: ProposalId::new("p"),
            per_hour: Glm::ONE,
            start: Glm::ONE,
            terms: Box::new(terms),
        },
        EventKind::AgreementCreated { rental: RENTAL, agreement: agreement() },
        EventKind::AgreementApproved {
            rental: RENTAL,
            agreement: agreement(),
            agreed: AgreedTerms::default(),
        },
        EventKind::ActivityIntended { rental: RENTAL, job: JobId::FIRST },
        EventKind::ActivityCreated { rental: RENTAL, activity: ActivityId::new("act") },
        EventKind::ActivityReady { rental: RENTAL },
    ]
}

fn ended() -> Vec<EventKind> {
    vec![
        EventKind::ActivityEnded { rental: RENTAL, usage: Some(vec![2.0]), failure: None, complete: true },
        EventKind::AgreementEnded {
            rental: RENTAL,
            agreement: agreement(),
            by: Terminator::Requestor,
            reason: Reason::new("done"),
            forgotten: false,
        },
    ]
}

fn started(task: u64, number: u32) -> EventKind {
    EventKind::TaskStarted { attempt: attempt(task, number), rental: RENTAL }
}

fn attempt(task: u64, number: u32) -> Attempt {
    Attempt { task: TaskId(task), number }
}

fn sent(attempts: &[Attempt], digest: &str) -> EventKind {
    let script = SentScript { digest: digest.into(), batch: BatchId::new(digest), served: Vec::new() };
    EventKind::BatchSent { rental: RENTAL, no: ActivityNo(1), attempts: attempts.to_vec(), script }
}

fn received(bill: Bill, told: i64) -> EventKind {
    EventKind::BillReceived { rental: Some(RENTAL), bill, amount: Glm::ONE, told: Some(at(told)) }
}

fn accepting(bill: Bill, amount: &str, activity: Option<&str>) -> EventKind {
    let measured = activity.map(|id| Measured {
        activity: ActivityId::new(id),
        usage: Some(vec![1.0]),
        overbilled: false,
    });
    EventKind::BillAccepting { rental: RENTAL, bill, amount: glm(amount), increase: Glm::ZERO, measured }
}

fn accepted(bill: Bill, amount: &str) -> EventKind {
    EventKind::BillAccepted { rental: RENTAL, bill, amount: glm(amount), total: glm(amount) }
}

fn refused(bill: Bill, open: bool) -> EventKind {
    let reason = "too much".to_owned();
    EventKind::BillRefused { rental: Some(RENTAL), bill, amount: Glm::ONE, reason, measured: None, open }
}

fn running(state: &RunState) -> Vec<Attempt> {
    let running = state.tasks.iter().filter(|(_, task)| task.running == Some(RENTAL));
    running.map(|(id, task)| attempt(id.0, task.attempts)).collect()
}

#[test]
fn tasks_that_are_over_leave_only_numbers() {
    let failure = |kind| AttemptFailure::new(kind, "");
    let mut kinds = job_of(3);
    kinds.extend(rental_at_work());
    kinds.extend([
        EventKind::SourceExhausted { job: JobId::FIRST },
        started(0, 1),
        started(1, 1),
        EventKind::TaskDone {
            attempt: attempt(0, 1),
            rental: RENTAL,
            output: TaskOutput::default(),
            took: Duration::ZERO,
        },
        EventKind::AttemptFailed {
            attempt: attempt(1, 1),
            rental: RENTAL,
            failure: failure(FailureKind::CommandFailed),
        },
        started(1, 2),
        EventKind::AttemptCancelled {
            attempt: attempt(1, 2),
            rental: RENTAL,
            lost: Some("gone".into()),
            took: None,
        },
        started(2, 1),
        EventKind::TaskFailed {
            attempt: attempt(2, 1),
            rental: Some(RENTAL),
            failure: failure(FailureKind::Invalid),
        },
    ]);
    let state = fold(kinds);
    assert_eq!((state.done, state.failed, state.next_task, state.tasks.len()), (1, 1, 3, 1));
    let left = &state.tasks[&TaskId(1)];
    assert_eq!((left.attempts, left.failures, left.running), (2, 1, None));
    assert_eq!((&left.failed_on, &left.lost_on), (&BTreeSet::from([node(1)]), &BTreeSet::from([node(1)])));
    let job = &state.jobs[&JobId::FIRST];
    assert_eq!((job.read, job.exhausted, job.done, job.failed), (3, true, 1, 1));
    assert_eq!(state.rentals[&RENTAL].activities[0].done, 1);
}

#[test]
fn what_a_run_leaves_when_it_stops_is_still_to_be_done_and_what_is_given_up_isnt() {
    let end = |why| JobEnd { why, done: 0, failed: 0, cancelled: 0, expired: 0, unfinished: 2 };
    let ended = |why| EventKind::JobEnded { job: JobId::FIRST, end: end(why) };
    let mut left = job_of(2);
    left.push(ended(JobEndReason::Stopped));
    let state = fold(left);
    assert_eq!((state.tasks.len(), state.is_finished()), (2, false));
    let mut given_up = job_of(2);
    given_up.extend([0, 1].map(|n| EventKind::TaskCancelled { task: TaskId(n) }));
    given_up.push(ended(JobEndReason::Cancelled));
    let state = fold(given_up);
    assert_eq!((state.tasks.len(), state.is_finished(), state.next_task), (0, true, 2));
}

#[test]
fn a_rental_is_forgotten_once_its_invoice_is_accepted() {
    let mut kinds = rental_at_work();
    kinds.extend([received(note(1), 10), accepting(note(1), "0.25", Some("act")), accepted(note(1), "0.25")]);
    kinds.extend(ended());
    let unsettled = fold(kinds.clone());
    let rental = &unsettled.rentals[&RENTAL];
    assert_eq!((rental.accepted, rental.activities[0].meter.noted), (glm("0.25"), glm("0.25")));
    assert_eq!(rental.activities[0].meter.reported, Some(vec![2.0]));
    assert!(rental.activities[0].meter.complete && rental.activities[0].over);
    assert_eq!((unsettled.accepted, unsettled.promised_in_all()), (glm("0.25"), glm("0.25")));

    kinds.extend([received(invoice(), 20), accepting(invoice(), "0.5", None)]);
    let on_its_way = fold(kinds.clone());
    assert_eq!((on_its_way.accepted, on_its_way.promised_in_all()), (glm("0.25"), glm("0.5")));
    assert_eq!(on_its_way.rentals[&RENTAL].accepting.len(), 1, "it may have been accepted, or may not");
    kinds.push(accepted(invoice(), "0.5"));
    let settled = fold(kinds);
    assert!(settled.rentals.is_empty());
    assert_eq!((settled.accepted, settled.promised_in_all()), (glm("0.5"), glm("0.5")));
    assert_eq!(settled.next_rental, 2);
}

#[test]
fn a_bill_that_wasnt_decided_about_is_remembered_and_a_refused_one_keeps_its_rental() {
    let mut kinds = rental_at_work();
    kinds.extend(ended());
    kinds.push(received(invoice(), 5));
    assert_eq!(fold(kinds.clone()).rentals[&RENTAL].undecided, BTreeSet::from([invoice()]));
    let mut wrong = kinds.clone();
    wrong.push(refused(invoice(), false));
    let rental = &fold(wrong).rentals[&RENTAL];
    assert!(rental.undecided.is_empty());
    assert_eq!(rental.invoice, InvoiceState::Refused);
    kinds.push(refused(invoice(), true));
    let rental = &fold(kinds).rentals[&RENTAL];
    assert_eq!(rental.undecided, BTreeSet::from([invoice()]), "it is owed all the same");
    assert_eq!(rental.invoice, InvoiceState::Awaited);
}

#[test]
fn only_bills_that_may_come_again_are_remembered() {
    let state = fold((1..100).map(|n| received(note(n), i64::from(n))).chain([received(invoice(), 7)]));
    assert_eq!((state.debit_notes_told, state.invoices_told), (Some(at(99)), Some(at(7))));
    assert_eq!(state.recent_bills.into_keys().collect::<Vec<_>>(), [note(98), note(99), invoice()]);
    let state = fold([received(note(1), 9), received(note(2), 8)]);
    assert_eq!(state.debit_notes_after(), Some(at(7)), "the latest counts, not the last");
    assert_eq!(state.recent_bills.len(), 2);
}

#[test]
fn scripts_are_kept_while_what_they_were_sent_for_goes_on() {
    let mut kinds = job_of(2);
    kinds.extend(rental_at_work());
    kinds.extend([sent(&[], "start"), started(0, 1), started(1, 1)]);
    let pack = [attempt(0, 1), attempt(1, 1)];
    kinds.extend([sent(&pack, "work"), sent(&pack, "more")]);
    let state = fold(kinds.clone());
    assert_eq!(running(&state), pack);
    let activity = &state.rentals[&RENTAL].activities[0];
    assert_eq!((activity.setup.len(), activity.scripts.len()), (1, 2));
    assert_eq!(activity.scripts[1].attempts, pack);
    kinds.push(EventKind::AttemptCancelled { attempt: pack[0], rental: RENTAL, lost: None, took: None });
    assert_eq!(fold(kinds.clone()).rentals[&RENTAL].activities[0].scripts.len(), 2);
    kinds.push(EventKind::AttemptCancelled { attempt: pack[1], rental: RENTAL, lost: None, took: None });
    // Commands that a worker sends between two tasks aren't sent again.
    kinds.push(sent(&[], "tidy up"));
    let activity = &fold(kinds).rentals[&RENTAL].activities[0];
    assert_eq!((activity.setup.len(), activity.scripts.len()), (1, 0));
}

#[test]
fn intents_of_allocations_end_with_what_came_of_them() {
    let intended = |expires| EventKind::AllocationIntended {
        amount: Glm::ONE,
        platform: "erc20-hoodi-tglm".into(),
        expires: at(expires),
    };
    let created = EventKind::AllocationCreated {
        allocation: AllocationId::new("money"),
        amount: Glm::ONE,
        expires: at(200),
    };
    let state = fold([intended(100), intended(200), created]);
    assert_eq!(state.allocation_intents.len(), 1, "of the other one nothing was heard");
    assert_eq!(state.allocations.len(), 1);
    let state = fold([intended(100), EventKind::RunResumed { resumed: Resumed::default() }]);
    assert!(state.allocation_intents.is_empty());
    let state = fold([EventKind::Stopping { why: StopReason::Cancelled }]);
    assert_eq!(state.stopping, Some(StopReason::Cancelled));
}
