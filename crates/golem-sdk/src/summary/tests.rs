use std::collections::BTreeSet;
use std::time::Duration;

use golem_core::event::{
    ActivityNo, Attempt, AttemptFailure, Bill, Event, EventKind, FailureKind, JobEnd, JobEndReason, JobId,
    Provider, RentalId, Resumed, RunEnd, SentScript, StopReason, TaskId, TaskOutput,
};
use golem_core::source::SourceMark;
use golem_core::terms::AgreedTerms;
use serde_json::{Value, json};
use tracing::Level;
use yagna_api::market::{Reason, Terminator};
use yagna_api::time::after;
use yagna_api::{
    ActivityId, AgreementId, AllocationId, BatchId, DebitNoteId, DemandId, Glm, InvoiceId, NodeId,
    ProposalId, Timestamp,
};

use super::notes::REMEMBERED;
use super::{Line, LogSummary};
use crate::consumer::EventConsumer as _;
use crate::log::{log_event, log_event_repr, only, repr, words};

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

fn provider(n: u64) -> Provider {
    Provider { id: format!("0x{n:040x}").parse::<NodeId>().unwrap(), name: format!("p{n}") }
}

fn failure(kind: FailureKind) -> AttemptFailure {
    AttemptFailure { stderr: "first\nlast\n".into(), ..AttemptFailure::new(kind, "no such file") }
}

/// One event of each kind, about these things.
fn one_of_each(n: u64) -> Vec<EventKind> {
    let (rental, provider, job, task) = (RentalId(n), provider(n), JobId(n % 3), TaskId(n));
    let attempt = Attempt { task, number: 1 };
    let batch = BatchId::new("batch");
    let agreement = AgreementId::new(format!("agreement-{n}"));
    let invoice = Bill::Invoice(InvoiceId::new(format!("invoice-{n}")));
    let note = Bill::DebitNote(DebitNoteId::new(format!("note-{n}")));
    let (amount, per_hour, start_price) = (glm("0.25"), glm("0.5"), glm("0.01"));
    let reason = Reason::new("bye").with("golem.provider.code", "Shutdown");
    let job_end =
        JobEnd { why: JobEndReason::Expired, done: 1, failed: 1, cancelled: 0, expired: 1, unfinished: 0 };
    let run_end =
        RunEnd { why: StopReason::AllDone, done: 1, failed: 1, unfinished: 0, cost: amount, unsettled: 1 };
    vec![
        EventKind::AllocationIntended {
            amount: glm("1"),
            platform: "erc20-hoodi-tglm".into(),
            expires: after(start(), Duration::from_secs(3600)),
        },
        EventKind::AllocationCreated {
            allocation: AllocationId::new("allocation"),
            amount: glm("1"),
            expires: after(start(), Duration::from_secs(3600)),
        },
        EventKind::DemandPublished { demand: DemandId::new("demand"), expires: start() },
        EventKind::Trouble { doing: "publish the demand".into(), problem: "it is gone".into() },
        EventKind::OfferReceived { provider: provider.clone(), per_hour, start: start_price },
        EventKind::OfferRefused {
            provider: provider.clone(),
            reason: "too dear".into(),
            group: String::new(),
            above: None,
        },
        EventKind::RefusedByProvider { provider: provider.clone(), reason: Some(Reason::new("No capacity")) },
        EventKind::TermsAgreed { provider: provider.clone() },
        EventKind::AgreementIntended {
            rental,
            provider: provider.clone(),
            proposal: ProposalId::new("proposal"),
            per_hour,
            start: start_price,
            terms: Box::default(),
        },
        EventKind::AgreementCreated { rental, agreement: agreement.clone() },
        EventKind::AgreementApproved { rental, agreement: agreement.clone(), agreed: AgreedTerms::default() },
        EventKind::JobAdded { job, deadline: None, retries: 3 },
        EventKind::ActivityIntended { rental, job },
        EventKind::ActivityCreated { rental, activity: ActivityId::new("activity") },
        EventKind::ActivityReady { rental },
        EventKind::TaskAdded { job, task, data: json!({ "frame": n }), spawned: false },
        EventKind::TaskStarted { attempt, rental },
        EventKind::AttemptFailed { attempt, rental, failure: failure(FailureKind::Lost) },
        EventKind::AttemptCancelled { attempt, rental, lost: None, took: None },
        EventKind::TaskDone {
            attempt,
            rental,
            output: TaskOutput::default(),
            took: Duration::from_millis(5250),
        },
        EventKind::TaskFailed { attempt, rental: Some(rental), failure: failure(FailureKind::CommandFailed) },
        EventKind::TaskCancelled { task },
        EventKind::TaskExpired { task },
        EventKind::SourceRead { job, mark: SourceMark::at_start(n) },
        EventKind::SourceExhausted { job },
        EventKind::JobReopened { job },
        EventKind::TaskReopened { job, task, data: json!({ "frame": n }), attempts: 2 },
        EventKind::BatchSent {
            rental,
            no: ActivityNo(1),
            attempts: vec![attempt],
            script: SentScript {
                digest: "d1".into(),
                batch: BatchId::new("batch"),
                served: vec![(0, "file".into())],
            },
        },
        EventKind::BillReceived { rental: Some(rental), bill: note.clone(), amount, told: None },
        EventKind::BillAccepting { rental, bill: note, amount, increase: amount, measured: None },
        EventKind::BillAccepted { rental, bill: invoice.clone(), amount, total: amount },
        EventKind::BillRefused {
            rental: None,
            bill: invoice,
            amount,
            reason: "not ours".into(),
            measured: None,
            open: false,
        },
        EventKind::BillMissing { rental, agreement: agreement.clone() },
        EventKind::ActivityEnded {
            rental,
            usage: Some(vec![1.0]),
            failure: Some("it broke".into()),
            complete: false,
        },
        EventKind::ProviderSetBack {
            provider,
            until: after(start(), Duration::from_secs(30)),
            reason: "lost".into(),
        },
        EventKind::AgreementEnded { rental, agreement, by: Terminator::Provider, reason, forgotten: false },
        EventKind::AgreementFailed { rental, reason: "no answer".into() },
        EventKind::Waiting { explanation: Box::default() },
        EventKind::JobEnded { job, end: job_end },
        EventKind::RunResumed { resumed: Resumed::default() },
        EventKind::Stopping { why: StopReason::AllDone },
        EventKind::DemandEnded { demand: DemandId::new("demand"), why: "no more work".into() },
        EventKind::RunEnded { end: run_end },
        EventKind::AllocationReleased { allocation: AllocationId::new("allocation") },
        EventKind::AllocationProlonged { allocation: AllocationId::new("allocation"), expires: start() },
        EventKind::AllocationAmended { allocation: AllocationId::new("allocation"), amount: glm("2") },
        EventKind::AllocationLost { allocation: AllocationId::new("allocation") },
        EventKind::Paused { until: start(), missing: glm("0.5") },
        EventKind::PauseEnded,
        EventKind::Recovered { what: "the daemon answers again".into() },
        EventKind::BudgetIntended { budget: glm("2") },
        EventKind::BudgetRaised { budget: glm("2") },
        EventKind::BudgetNotRaised { budget: glm("2"), reason: "not enough funds".into() },
        EventKind::ScriptSent {
            rental,
            activity: ActivityId::new("activity"),
            batch: batch.clone(),
            commands: vec!["deploy".into(), "start".into()],
        },
        EventKind::CommandFinished {
            rental,
            batch: batch.clone(),
            place: 1,
            command: "start".into(),
            failure: Some("no".into()),
            stdout: String::new(),
            stderr: "no".into(),
        },
        EventKind::ScriptFinished { rental, batch, failure: None },
    ]
}

fn at(seconds: u64, kind: EventKind) -> Event {
    Event { at: after(start(), Duration::from_secs(seconds)), kind }
}

/// All lines of these events, a second apart.
fn lines(kinds: impl IntoIterator<Item = EventKind>) -> Vec<Line> {
    let mut summary = LogSummary::new();
    (0..).zip(kinds).flat_map(|(second, kind)| summary.on(&at(second, kind))).collect()
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

/// What must be in the record of each kind, so that it can be told what it was about.
fn ids_of(name: &str) -> &'static [&'static str] {
    match name {
        "allocation_intended" => &["platform"],
        "allocation_created"
        | "allocation_released"
        | "allocation_prolonged"
        | "allocation_amended"
        | "allocation_lost" => &["allocation"],
        "demand_published" | "demand_ended" => &["demand"],
        "offer_received" | "offer_refused" | "refused_by_provider" | "terms_agreed" | "provider_set_back" => {
            &["provider"]
        }
        "agreement_intended" => &["rental", "provider", "proposal"],
        "agreement_created" | "agreement_approved" | "agreement_ended" | "bill_missing" => {
            &["rental", "agreement"]
        }
        "script_sent" => &["rental", "activity", "batch"],
        "command_finished" => &["rental", "batch", "place"],
        "script_finished" => &["rental", "batch"],
        "budget_intended" | "budget_raised" | "budget_not_raised" => &["budget"],
        "activity_created" => &["rental", "activity"],
        "agreement_failed" | "activity_ready" | "activity_ended" => &["rental"],
        "activity_intended" => &["rental", "job"],
        "job_added" | "source_exhausted" | "job_reopened" | "job_ended" => &["job"],
        "source_read" => &["job", "mark"],
        "task_added" | "task_reopened" => &["job", "task"],
        "task_cancelled" | "task_expired" => &["task"],
        "task_started" | "task_done" | "attempt_failed" | "attempt_cancelled" | "task_failed" => {
            &["attempt", "rental"]
        }
        "batch_sent" => &["rental", "no", "attempts", "script"],
        "bill_received" | "bill_accepting" | "bill_accepted" | "bill_refused" => &["rental", "bill"],
        // These are about the run, which is whoever reads it.
        "trouble" | "waiting" | "paused" | "pause_ended" | "recovered" | "run_resumed" | "stopping"
        | "run_ended" => &[],
        other => panic!("what is `{other}` about?"),
    }
}

#[test]
fn each_event_has_its_own_time() {
    let events: Vec<_> = (0..).zip(one_of_each(1)).map(|(second, kind)| at(second, kind)).collect();
    let kinds: BTreeSet<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, EventKind::NAMES.iter().copied().collect(), "every kind is looked at");
    let times: BTreeSet<_> = events.iter().map(|event| event.at).collect();
    assert_eq!(times.len(), events.len());
    for event in &events {
        let line = repr(event);
        assert!(!line.contains(char::is_control), "{line}");
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["at"], event.at.to_string());
        assert_eq!(record["kind"]["event"], event.kind.name());
        for id in ids_of(event.kind.name()) {
            assert!(record["kind"].get(id).is_some(), "{id} in {line}");
        }
        let read: Event = serde_json::from_str(&line).unwrap();
        assert_eq!(&read, event);
        let said = words(event);
        assert!(said.starts_with(&event.at.to_string()) && !said.contains('\n'), "{said}");
        log_event(event);
        log_event_repr(event);
    }
}

#[test]
fn a_summary_never_goes_silent() {
    for seed in 0..200 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut kinds: Vec<_> = (0..6).flat_map(|n| one_of_each(n % 4)).collect();
        chance.shuffle(&mut kinds);
        let mut summary = LogSummary::new();
        for kind in kinds {
            // Clocks may jump, back too.
            let event = at(chance.u64(0..100_000), kind);
            for line in summary.on(&event) {
                assert!(
                    !line.text.is_empty() && !line.text.contains(char::is_control),
                    "seed {seed}: {line:?}"
                );
            }
        }
        let late = 1_000_000;
        let after_all = summary.on(&at(
            late,
            EventKind::AgreementCreated { rental: RentalId(77), agreement: AgreementId::new("agreement") },
        ));
        assert!(
            texts(&after_all)[0].starts_with("Agreement proposed to provider"),
            "seed {seed}: {after_all:?}"
        );
        let silence = summary.tick(at(late + 31, EventKind::Stopping { why: StopReason::AllDone }).at);
        assert!(texts(&silence)[0].contains(" done"), "seed {seed}: {silence:?}");
        assert_eq!(summary.tick(at(late + 32, EventKind::Stopping { why: StopReason::AllDone }).at), []);
    }
}

#[test]
fn every_kind_is_told_of_by_itself() {
    // Events that are reported only once something came of them, or in a count.
    let quiet = [
        "allocation_intended",
        "agreement_intended",
        "activity_intended",
        "budget_intended",
        "task_added",
        "bill_accepting",
        "terms_agreed",
        // Kept for whoever takes the run up.
        "source_read",
        "source_exhausted",
        "job_reopened",
        "task_reopened",
        "batch_sent",
    ];
    for kind in one_of_each(1) {
        let (name, mut summary) = (kind.name(), LogSummary::new());
        // Without the job, its end says nothing.
        let _began = summary.on(&at(0, EventKind::JobAdded { job: JobId(1), deadline: None, retries: 3 }));
        assert_eq!(summary.on(&at(1, kind)).is_empty(), quiet.contains(&name), "{name}");
    }
}

#[test]
fn what_a_summary_remembers_is_bounded() {
    let mut summary = LogSummary::new();
    let most = REMEMBERED as u64;
    for n in 0..most + 500 {
        let kinds = [
            EventKind::OfferRefused {
                provider: provider(n),
                reason: format!("reason {n}"),
                group: String::new(),
                above: None,
            },
            EventKind::TermsAgreed { provider: provider(n) },
            EventKind::AgreementIntended {
                rental: RentalId(n),
                provider: provider(n),
                proposal: ProposalId::new("proposal"),
                per_hour: glm("1"),
                start: Glm::ZERO,
                terms: Box::default(),
            },
            EventKind::AgreementApproved {
                rental: RentalId(n),
                agreement: AgreementId::new("agreement"),
                agreed: AgreedTerms::default(),
            },
            EventKind::TaskAdded { job: JobId(n), task: TaskId(n), data: json!(n), spawned: false },
            EventKind::ActivityIntended { rental: RentalId(n), job: JobId(n) },
        ];
        for kind in kinds {
            let _said = summary.on(&at(n, kind));
        }
    }
    assert_eq!(summary.tasks.values().count(), REMEMBERED);
    assert_eq!(summary.rentals.values().count(), REMEMBERED);
    assert_eq!(summary.jobs.values().count(), REMEMBERED);
    assert_eq!(summary.market.agreed.count(), most);
    assert_eq!(summary.tally.agreements, most + 500, "the count itself is right");
    let refusals = summary.refusals().unwrap();
    assert!(refusals.len() < 400, "{refusals}");
    assert!(refusals.contains("10495× for other reasons"), "{refusals}");
}

#[test]
fn refusals_are_counted_with_their_reasons_and_by_whom() {
    let refused = |n, reason: &str| EventKind::OfferRefused {
        provider: provider(n),
        reason: reason.into(),
        group: String::new(),
        above: None,
    };
    let mut summary = LogSummary::new();
    let mut said = Vec::new();
    for kind in [
        refused(1, "too dear"),
        refused(2, "too dear"),
        refused(3, "on the block list"),
        EventKind::RefusedByProvider { provider: provider(4), reason: None },
        EventKind::TermsAgreed { provider: provider(5) },
        EventKind::TermsAgreed { provider: provider(5) },
    ] {
        said.extend(summary.on(&at(0, kind)));
    }
    assert!(said.iter().all(|line| line.level == Level::DEBUG), "{said:?}");
    let counted = summary.tick(at(3, EventKind::Stopping { why: StopReason::AllDone }).at);
    assert_eq!(
        texts(&counted),
        [
            "Received proposals from 1 provider so far",
            "Offers refused so far: 3 by us (2× too dear, 1× on the block list), 1 by providers (no reason given)",
        ]
    );
    assert_eq!(summary.tick(at(9, EventKind::Stopping { why: StopReason::AllDone }).at), []);
}

#[test]
fn a_flood_of_the_same_trouble_is_told_of_now_and_then() {
    let mut summary = LogSummary::new();
    let trouble =
        |doing: &str| EventKind::Trouble { doing: doing.into(), problem: "it makes no sense".into() };
    let mut levels = Vec::new();
    for (second, doing) in
        [(0, "read an offer"), (1, "read an offer"), (2, "accept a bill"), (3, "read an offer")]
    {
        levels.extend(summary.on(&at(second, trouble(doing))).into_iter().map(|line| line.level));
    }
    assert_eq!(levels, [Level::WARN, Level::DEBUG, Level::WARN, Level::WARN]);
    let again = [4, 5, 6, 7].map(|second| summary.on(&at(second, trouble("read an offer")))[0].level);
    assert_eq!(again, [Level::DEBUG, Level::DEBUG, Level::WARN, Level::DEBUG]);
}

#[test]
fn the_use_of_the_budget_is_told_of_before_it_ends() {
    let mut kinds: Vec<_> = one_of_each(1).into_iter().skip(1).take(1).collect();
    for n in 0..4 {
        kinds.push(EventKind::AgreementIntended {
            rental: RentalId(n),
            provider: provider(n),
            proposal: ProposalId::new("proposal"),
            per_hour: glm("1"),
            start: Glm::ZERO,
            terms: Box::default(),
        });
    }
    let note = |rental, total: &str| EventKind::BillAccepted {
        rental: RentalId(rental),
        bill: Bill::DebitNote(DebitNoteId::new("note")),
        amount: glm(total),
        total: glm(total),
    };
    kinds.extend([note(0, "0.2"), note(0, "0.4"), note(1, "0.1"), note(2, "0.1"), note(3, "0.35")]);
    let all = lines(kinds);
    let loud: Vec<_> = all.iter().filter(|line| line.text.contains('%')).collect();
    assert_eq!(loud.len(), 2, "{all:?}");
    assert_eq!(
        (loud[0].level, loud[0].text.as_str()),
        (Level::INFO, "50 % of the budget is used, 0.5 GLM left")
    );
    assert_eq!(
        (loud[1].level, loud[1].text.as_str()),
        (Level::WARN, "90 % of the budget is used, 0.05 GLM left")
    );
}

#[test]
fn a_provider_that_leaves_is_told_of_with_its_reason() {
    let kinds = one_of_each(1);
    let wanted = ["agreement_intended", "agreement_ended", "bill_refused", "attempt_failed", "task_failed"];
    let told = lines(kinds.into_iter().filter(|kind| wanted.contains(&kind.name())));
    let told: Vec<_> = told.iter().map(|line| (line.level, line.text.as_str())).collect();
    assert_eq!(
        told,
        [
            (Level::WARN, "Task 1 failed on p1 (attempt 1) and will be retried: no such file"),
            (Level::DEBUG, "It wrote to standard error: last"),
            (Level::ERROR, "Task 1 failed for good at attempt 1: no such file"),
            (Level::DEBUG, "It wrote to standard error: last"),
            (Level::WARN, "Invoice of a stranger over 0.25 GLM refused: not ours"),
            (Level::WARN, "Agreement with p1 ended by the provider: bye"),
        ]
    );
}

#[test]
fn a_filter_lets_only_its_kinds_through() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = std::sync::Arc::clone(&seen);
    let mut bills = only(&["bill_accepted", "bill_refused"], move |event: &Event| {
        told.lock().unwrap().push(event.kind.name());
    })
    .unwrap();
    for kind in one_of_each(1) {
        bills.on_event(&at(0, kind));
    }
    assert_eq!(*seen.lock().unwrap(), ["bill_accepted", "bill_refused"]);
    let unknown = only(&["bill_accepted", "BillLost"], |_: &Event| ()).err().unwrap();
    assert_eq!(unknown.kind, "BillLost");
    assert!(unknown.to_string().contains("bill_accepted, bill_refused"), "{unknown}");
}

#[test]
fn a_record_cannot_steer_a_terminal() {
    let event = at(
        0,
        EventKind::TaskAdded {
            job: JobId(0),
            task: TaskId(0),
            data: json!("a\u{9b}2J\u{7f}\n"),
            spawned: false,
        },
    );
    let line = repr(&event);
    assert!(!line.contains(char::is_control), "{line}");
    assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    assert!(!words(&event).contains(char::is_control));
}

#[test]
fn an_executors_task_is_called_by_its_description_and_not_by_its_number_in_the_table() {
    let mut summary = LogSummary::new();
    let mut said = |task: u64, data: Value| {
        let kinds = [
            EventKind::TaskAdded { job: JobId(0), task: TaskId(task), data, spawned: false },
            EventKind::TaskStarted {
                attempt: Attempt { task: TaskId(task), number: 1 },
                rental: RentalId(1),
            },
        ];
        kinds.into_iter().flat_map(|kind| summary.on(&at(0, kind))).map(|line| line.text).collect::<Vec<_>>()
    };
    let described = said(3, crate::label::of(17, Some("frame 17".to_owned())));
    assert!(described[0].ends_with(", task data: frame 17 (task 3)"), "{described:?}");
    let silent = said(4, crate::label::of(18, None));
    assert!(silent[0].ends_with(" (task 4)") && !silent[0].contains("task data"), "{silent:?}");
}

#[test]
fn unpaid_agreements_are_counted_once_when_only_bills_are_awaited() {
    let rental = |n| {
        let rental = RentalId(n);
        let agreement = AgreementId::new("agreement");
        vec![
            EventKind::AgreementIntended {
                rental,
                provider: provider(n),
                proposal: ProposalId::new("proposal"),
                per_hour: glm("1"),
                start: Glm::ZERO,
                terms: Box::default(),
            },
            EventKind::AgreementApproved { rental, agreement, agreed: AgreedTerms::default() },
            EventKind::ActivityCreated { rental, activity: ActivityId::new("activity") },
        ]
    };
    let end = |n| EventKind::AgreementEnded {
        rental: RentalId(n),
        agreement: AgreementId::new("agreement"),
        by: Terminator::Requestor,
        reason: Reason::default(),
        forgotten: false,
    };
    let stopping = EventKind::Stopping { why: StopReason::AllDone };
    let kinds: Vec<_> =
        rental(1).into_iter().chain(rental(2)).chain([stopping, end(1), end(2), end(2)]).collect();
    let all = lines(kinds);
    let unpaid: Vec<_> = all.iter().filter(|line| line.text.contains("still unpaid")).collect();
    assert_eq!(unpaid.len(), 1, "{all:?}");
    assert_eq!(unpaid[0].text, "2 agreements still unpaid, waiting for invoices...");
}
