//! A run to test with: events in order, at times that a test can foresee.

use std::time::Duration;

use golem_core::event::{
    Attempt, AttemptFailure, Bill, Event, EventKind, FailureKind, JobId, Provider, RentalId, RunEnd,
    StopReason, TaskId, TaskOutput,
};
use golem_core::explain::Explanation;
use golem_core::raise::{AboveCap, CappedPrice};
use golem_core::terms::AgreedTerms;
use golem_tasks::store::{Dsn, NewRun, RunStore, Store};
use serde_json::json;
use yagna_api::market::{Reason, Terminator};
use yagna_api::{
    ActivityId, AgreementId, AllocationId, AppSessionId, DebitNoteId, DemandId, Glm, InvoiceId, ProposalId,
    Timestamp,
};

/// When every run of these tests begins.
pub(crate) fn start() -> Timestamp {
    "2026-11-21T12:00:00.1234567Z".parse().unwrap()
}

pub(crate) fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

pub(crate) fn provider(number: u64) -> Provider {
    Provider { id: format!("0x{number:040x}").parse().unwrap(), name: format!("lively-lynx-{number}") }
}

pub(crate) fn attempt(task: u64, number: u32) -> Attempt {
    Attempt { task: TaskId(task), number }
}

pub(crate) fn failure(kind: FailureKind, message: &str, stderr: &str) -> AttemptFailure {
    AttemptFailure { stderr: stderr.into(), ..AttemptFailure::new(kind, message) }
}

pub(crate) fn new_run(run_id: &str) -> NewRun {
    NewRun {
        run_id: run_id.to_owned(),
        created: start(),
        app_session: AppSessionId::new("session-1"),
        job: json!({ "job": "job.toml" }),
    }
}

/// A store in memory with one run.
pub(crate) async fn memory_run() -> RunStore {
    let store = Store::open(&Dsn::Memory).await.unwrap();
    store.create_run(&new_run("brave-otter-0001")).await.unwrap()
}

/// Makes events, one after the other, at times that a test chooses.
#[derive(Debug)]
pub(crate) struct Scene {
    now: Timestamp,
    pub(crate) events: Vec<Event>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { now: start(), events: Vec::new() }
    }

    pub(crate) fn wait(&mut self, millis: u64) -> &mut Self {
        self.now = yagna_api::time::after(self.now, Duration::from_millis(millis));
        self
    }

    pub(crate) fn event(&mut self, kind: EventKind) -> &mut Self {
        self.events.push(Event { at: self.now, kind });
        self
    }

    /// A rental from the intent to a ready activity.
    pub(crate) fn rental(&mut self, number: u64, provider_number: u64) -> &mut Self {
        let rental = RentalId(number);
        let agreement = AgreementId::new(format!("agreement-{number}"));
        self.event(EventKind::AgreementIntended {
            rental,
            provider: provider(provider_number),
            proposal: ProposalId::new(format!("R-{number}")),
            per_hour: glm("0.1"),
            start: glm("0.001"),
            terms: Box::default(),
        })
        .event(EventKind::AgreementCreated { rental, agreement: agreement.clone() })
        .event(EventKind::AgreementApproved { rental, agreement, agreed: AgreedTerms::default() })
        .event(EventKind::ActivityIntended { rental, job: JobId::FIRST })
        .event(EventKind::ActivityCreated { rental, activity: ActivityId::new(format!("activity-{number}")) })
        .event(EventKind::ActivityReady { rental })
    }

    /// The end of a rental, with its invoice accepted if a total is given.
    pub(crate) fn rental_ends(&mut self, number: u64, total: Option<&str>) -> &mut Self {
        let rental = RentalId(number);
        self.event(EventKind::ActivityEnded {
            rental,
            usage: Some(vec![1.5, 0.25]),
            failure: None,
            complete: false,
        })
        .event(EventKind::AgreementEnded {
            rental,
            agreement: AgreementId::new(format!("agreement-{number}")),
            by: Terminator::Requestor,
            reason: Reason::new("all tasks are done"),
            forgotten: false,
        });
        let Some(total) = total else { return self };
        let bill = Bill::Invoice(InvoiceId::new(format!("invoice-{number}")));
        let amount = glm(total);
        self.event(EventKind::BillReceived { rental: Some(rental), bill: bill.clone(), amount, told: None })
            .event(EventKind::BillAccepting {
                rental,
                bill: bill.clone(),
                amount,
                increase: amount,
                measured: None,
            })
            .event(EventKind::BillAccepted { rental, bill, amount, total: amount })
    }

    pub(crate) fn added(&mut self, tasks: std::ops::Range<u64>) -> &mut Self {
        for task in tasks {
            self.event(EventKind::TaskAdded {
                job: JobId::FIRST,
                task: TaskId(task),
                data: json!(task * 10),
                spawned: false,
            });
        }
        self
    }

    pub(crate) fn started(&mut self, task: u64, number: u32, rental: u64) -> &mut Self {
        self.event(EventKind::TaskStarted { attempt: attempt(task, number), rental: RentalId(rental) })
    }

    pub(crate) fn done(&mut self, task: u64, number: u32, rental: u64, stdout: &str) -> &mut Self {
        self.event(EventKind::TaskDone {
            attempt: attempt(task, number),
            rental: RentalId(rental),
            output: TaskOutput { stdout: stdout.into(), ..TaskOutput::default() },
            took: Duration::from_millis(250),
        })
    }

    pub(crate) fn failed_once(&mut self, task: u64, number: u32, rental: u64) -> &mut Self {
        self.event(EventKind::AttemptFailed {
            attempt: attempt(task, number),
            rental: RentalId(rental),
            failure: failure(FailureKind::CommandFailed, "the command ended with exit code 1", "no luck\n"),
        })
    }

    pub(crate) fn failed(&mut self, task: u64, number: u32, rental: Option<u64>) -> &mut Self {
        self.event(EventKind::TaskFailed {
            attempt: attempt(task, number),
            rental: rental.map(RentalId),
            failure: failure(
                FailureKind::CommandFailed,
                "the command ended with exit code 127",
                "line 1\nline 2\nline 3\nline 4\nsh: 1: \u{1b}[31mnosuch: not found\n",
            ),
        })
    }

    pub(crate) fn cancelled(&mut self, task: u64, number: u32, rental: u64) -> &mut Self {
        self.event(EventKind::AttemptCancelled {
            attempt: attempt(task, number),
            rental: RentalId(rental),
            lost: None,
            took: None,
        })
    }

    pub(crate) fn stops(&mut self, why: StopReason) -> &mut Self {
        self.event(EventKind::Stopping { why })
    }

    pub(crate) fn ends(
        &mut self,
        why: StopReason,
        counts: (u64, u64, u64),
        cost: &str,
        unsettled: u64,
    ) -> &mut Self {
        let (done, failed, unfinished) = counts;
        self.event(EventKind::RunEnded {
            end: RunEnd { why, done, failed, unfinished, cost: glm(cost), unsettled },
        })
    }

    /// Money set aside and a demand published.
    pub(crate) fn opening(&mut self) -> &mut Self {
        let allocation = AllocationId::new("allocation-1");
        let expires = yagna_api::time::after(self.now, Duration::from_secs(3600));
        self.event(EventKind::AllocationIntended {
            amount: glm("1"),
            platform: "erc20-hoodi-tglm".to_owned(),
            expires,
        })
        .wait(10)
        .event(EventKind::AllocationCreated { allocation, amount: glm("1"), expires })
        .event(EventKind::DemandPublished { demand: DemandId::new("demand-1"), expires })
        .wait(500)
    }

    pub(crate) fn closing(&mut self) -> &mut Self {
        self.event(EventKind::DemandEnded {
            demand: DemandId::new("demand-1"),
            why: "the run is over".to_owned(),
        })
        .event(EventKind::AllocationReleased { allocation: AllocationId::new("allocation-1") })
    }
}

/// A run in which nearly everything happens that can.
pub(crate) fn eventful() -> Vec<Event> {
    let mut scene = Scene::new();
    scene
        .opening()
        .event(EventKind::OfferReceived { provider: provider(1), per_hour: glm("0.1"), start: glm("0.001") })
        .event(EventKind::OfferReceived { provider: provider(2), per_hour: glm("0.1"), start: glm("0.001") });
    for number in 3..6 {
        scene.event(EventKind::OfferRefused {
            provider: provider(number),
            reason: "0.5 GLM an hour is above the cap of 0.2".to_owned(),
            group: "above the cap of 0.2 GLM an hour".to_owned(),
            above: Some(AboveCap { of: CappedPrice::PerHour, price: glm("0.5"), cap: glm("0.2") }),
        });
    }
    scene
        .event(EventKind::RefusedByProvider { provider: provider(6), reason: None })
        .event(EventKind::RefusedByProvider {
            provider: provider(7),
            reason: Some(Reason::new("No capacity available")),
        })
        .added(0..6)
        .event(EventKind::TermsAgreed { provider: provider(1) })
        .rental(1, 1)
        .rental(2, 2)
        .event(EventKind::AgreementIntended {
            rental: RentalId(3),
            provider: provider(8),
            proposal: ProposalId::new("R-3"),
            per_hour: glm("0.1"),
            start: glm("0.001"),
            terms: Box::default(),
        })
        .wait(2000)
        .event(EventKind::AgreementFailed {
            rental: RentalId(3),
            reason: "the provider didn't approve in time".to_owned(),
        })
        .started(0, 1, 1)
        .started(1, 1, 2)
        .wait(300)
        .done(0, 1, 1, "0\n")
        .failed_once(1, 1, 2)
        .event(EventKind::ProviderSetBack {
            provider: provider(2),
            until: yagna_api::time::after(start(), Duration::from_secs(120)),
            reason: "a task failed there".to_owned(),
        })
        .started(2, 1, 2)
        .started(1, 2, 1)
        .wait(6000)
        .done(1, 2, 1, "seven\neight\n")
        .failed(2, 1, Some(2))
        .failed(3, 1, None)
        .started(4, 1, 2)
        .event(EventKind::Trouble {
            doing: "read the bills".to_owned(),
            problem: "the daemon answered 500".to_owned(),
        })
        .wait(100)
        .cancelled(4, 1, 2)
        .event(EventKind::ActivityEnded {
            rental: RentalId(2),
            usage: None,
            failure: Some("the provider vanished".to_owned()),
            complete: false,
        })
        .event(EventKind::AgreementEnded {
            rental: RentalId(2),
            agreement: AgreementId::new("agreement-2"),
            by: Terminator::Provider,
            reason: Reason::new("NoActivity"),
            forgotten: false,
        })
        .event(EventKind::BillReceived {
            rental: Some(RentalId(2)),
            bill: Bill::DebitNote(DebitNoteId::new("note-1")),
            amount: glm("0.5"),
            told: None,
        })
        .event(EventKind::BillRefused {
            rental: Some(RentalId(2)),
            bill: Bill::DebitNote(DebitNoteId::new("note-1")),
            amount: glm("0.5"),
            reason: "it is more than usage times price".to_owned(),
            measured: None,
            open: false,
        })
        .event(EventKind::BillRefused {
            rental: None,
            bill: Bill::Invoice(InvoiceId::new("stray")),
            amount: glm("7"),
            reason: "it is for no agreement of ours".to_owned(),
            measured: None,
            open: false,
        })
        .started(4, 2, 1)
        .wait(300)
        .done(4, 2, 1, "")
        .event(EventKind::Waiting {
            explanation: Box::new(Explanation {
                waited: Duration::from_secs(30),
                tasks_waiting: 1,
                published: true,
                offers: 5,
                refused_by_us: [("0.5 GLM an hour is above the cap of 0.2".to_owned(), 3)].into(),
                refused_by_them: (1..8).map(|n| (format!("reason {n}"), n)).collect(),
                failures: [("the provider vanished".to_owned(), 1)].into(),
                ..Explanation::default()
            }),
        })
        .wait(60_000)
        .stops(StopReason::NothingRuns)
        .rental_ends(1, Some("0.00123456"))
        .event(EventKind::BillMissing { rental: RentalId(2), agreement: AgreementId::new("agreement-2") })
        .closing()
        .wait(50)
        .ends(StopReason::NothingRuns, (3, 2, 1), "0.00123456", 1);
    scene.events
}
