//! Histories of runs as they may come about: everything in its order, but when, how often and how it goes is chance.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use golem_core::event::{
    ActivityNo, Attempt, AttemptFailure, Bill, Event, EventKind, FailureKind, JobEnd, JobEndReason, JobId,
    Measured, RentalId, RentalTerms, Resumed, RunEnd, SentScript, StopReason, TaskId, TaskOutput,
};
use golem_core::pricing::Pricing;
use golem_core::source::{SourceDigest, SourceMark};
use golem_core::terms::AgreedTerms;
use serde_json::json;
use yagna_api::market::{Reason, Terminator};
use yagna_api::{
    ActivityId, AgreementId, AllocationId, BatchId, DebitNoteId, DemandId, Glm, InvoiceId, ProposalId,
    Timestamp,
};

use crate::scene::{failure, provider, start};

/// A run that happens by chance.
#[derive(Debug)]
pub(crate) struct History {
    chance: fastrand::Rng,
    now: Timestamp,
    pub(crate) events: Vec<Event>,
    jobs: BTreeSet<JobId>,
    tasks: BTreeMap<TaskId, Task>,
    failed: Vec<(TaskId, Task)>,
    first_ended: bool,
    rentals: BTreeMap<RentalId, Rental>,
    allocations: Vec<AllocationId>,
    demands: Vec<DemandId>,
    counted: u64,
    stopping: bool,
    ended: bool,
}

#[derive(Debug)]
struct Task {
    job: JobId,
    attempts: u32,
    running: Option<RentalId>,
}

#[derive(Debug, Default)]
struct Rental {
    agreement: Option<AgreementId>,
    approved: bool,
    ended: bool,
    activities: Vec<Option<ActivityId>>,
    phase: Phase,
    open: Vec<Bill>,
    accepting: Vec<Bill>,
    total: u64,
}

/// Where the newest activity of a rental is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Default)]
enum Phase {
    #[default]
    None,
    Intended,
    Created,
    Ready,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chance: fastrand::Rng::with_seed(seed),
            now: start(),
            events: Vec::new(),
            jobs: BTreeSet::new(),
            tasks: BTreeMap::new(),
            failed: Vec::new(),
            first_ended: false,
            rentals: BTreeMap::new(),
            allocations: Vec::new(),
            demands: Vec::new(),
            counted: 0,
            stopping: false,
            ended: false,
        }
    }

    /// Something happens: one event, or a few that come together.
    pub(crate) fn step(&mut self) {
        if self.ended {
            return self.resume();
        }
        match self.chance.u8(0..100) {
            0..3 => self.money(),
            3..6 => self.market(),
            6..12 => self.job(),
            12..25 => self.add(),
            25..32 => self.sign(),
            32..45 => self.activity(),
            45..60 => self.begin(),
            60..70 => self.send(),
            70..82 => self.finish(),
            82..95 => self.bill(),
            95..97 => self.end_rental(),
            97 => self.stop(),
            98 => self.resume(),
            _ => self.end(),
        }
    }

    fn push(&mut self, kind: EventKind) {
        self.now = self.now.checked_add(Duration::from_nanos(self.chance.u64(0..3_000_000_000))).unwrap();
        if self.chance.u8(0..20) == 0 {
            // A clock that is set back.
            self.now = self.now.checked_sub(Duration::from_millis(500)).unwrap();
        }
        self.events.push(Event { at: self.now, kind });
    }

    fn number(&mut self) -> u64 {
        self.counted += 1;
        self.counted
    }

    fn later(&mut self) -> Timestamp {
        self.now.checked_add(Duration::from_nanos(self.chance.u64(1..3_600_000_000_000))).unwrap()
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.chance.usize(..of.len())].clone())
    }

    fn money(&mut self) {
        let (number, expires) = (self.number(), self.later());
        let amount = glm(self.chance.u64(1..1_000_000));
        match (self.chance.u8(0..4), self.one(&self.allocations.clone())) {
            (0, Some(allocation)) => {
                self.allocations.retain(|held| *held != allocation);
                let event = if self.chance.bool() {
                    EventKind::AllocationReleased { allocation }
                } else {
                    EventKind::AllocationLost { allocation }
                };
                self.push(event);
            }
            (1, Some(allocation)) => self.push(EventKind::AllocationProlonged { allocation, expires }),
            (2, _) => {
                self.push(EventKind::BudgetIntended { budget: amount });
                let event = if self.chance.bool() {
                    EventKind::BudgetRaised { budget: amount }
                } else {
                    EventKind::BudgetNotRaised { budget: amount, reason: "too poor".to_owned() }
                };
                self.push(event);
            }
            _ => {
                let platform = "erc20-hoodi-tglm".to_owned();
                self.push(EventKind::AllocationIntended { amount, platform, expires });
                if self.chance.u8(0..4) > 0 {
                    let allocation = AllocationId::new(format!("allocation-{number}"));
                    self.allocations.push(allocation.clone());
                    self.push(EventKind::AllocationCreated { allocation, amount, expires });
                }
            }
        }
    }

    fn market(&mut self) {
        let (number, expires) = (self.number(), self.later());
        match (self.chance.u8(0..4), self.one(&self.demands.clone())) {
            (0, Some(demand)) => {
                self.demands.retain(|published| *published != demand);
                self.push(EventKind::DemandEnded { demand, why: "it is old".to_owned() });
            }
            (1, _) => {
                let (provider, until) = (provider(self.chance.u64(0..5)), self.later());
                self.push(EventKind::ProviderSetBack { provider, until, reason: "it failed".to_owned() });
            }
            (2, _) => {
                let (doing, problem) = ("read\0bills".to_owned(), "500".to_owned());
                self.push(EventKind::Trouble { doing, problem });
            }
            _ => {
                let demand = DemandId::new(format!("demand-{number}"));
                self.demands.push(demand.clone());
                self.push(EventKind::DemandPublished { demand, expires });
            }
        }
    }

    fn job(&mut self) {
        let open: Vec<JobId> = self.jobs.iter().copied().collect();
        match (self.chance.u8(0..9), self.one(&open)) {
            (0, Some(job)) => self.push(EventKind::SourceExhausted { job }),
            (1, Some(job)) => self.end_job(job),
            (2, Some(job)) => self.read(job),
            (3, Some(_)) => self.reopen(),
            (4, Some(job)) => self.push(EventKind::JobReopened { job }),
            _ if self.jobs.len() < 3 => {
                let began = self.events.iter().any(|event| matches!(event.kind, EventKind::JobAdded { .. }));
                let job = if began { JobId(self.number()) } else { JobId::FIRST };
                self.jobs.insert(job);
                let deadline = Some(self.later()).filter(|_| self.chance.bool());
                let retries = self.chance.u32(0..4);
                self.push(EventKind::JobAdded { job, deadline, retries });
            }
            _ => {}
        }
    }

    fn read(&mut self, job: JobId) {
        let mut mark = SourceMark::at_start(self.counted);
        for item in 0..self.chance.u8(0..4) {
            mark.take(SourceDigest::of(&json!(item)));
        }
        self.push(EventKind::SourceRead { job, mark });
    }

    /// The first job is reopened, and a task that failed is tried afresh.
    fn reopen(&mut self) {
        if std::mem::take(&mut self.first_ended) {
            self.jobs.insert(JobId::FIRST);
            self.push(EventKind::JobReopened { job: JobId::FIRST });
        }
        let open: Vec<usize> =
            (0..self.failed.len()).filter(|place| self.jobs.contains(&self.failed[*place].1.job)).collect();
        if let Some(place) = self.one(&open) {
            let (task, of) = self.failed.swap_remove(place);
            let (job, attempts) = (of.job, of.attempts);
            let data = json!({ "frame": task.0, "scale": 1e16, "text": "\u{0}é" });
            self.push(EventKind::TaskReopened { job, task, data, attempts });
            self.tasks.insert(task, Task { running: None, ..of });
        }
    }

    /// A job ends, with all that is still to be done of it.
    fn end_job(&mut self, job: JobId) {
        let left: Vec<TaskId> =
            self.tasks.iter().filter(|(_, task)| task.job == job).map(|(id, _)| *id).collect();
        let expires = self.chance.bool();
        let why = match left.is_empty() {
            true => JobEndReason::Finished,
            false if expires => JobEndReason::Expired,
            false => JobEndReason::Cancelled,
        };
        for task in left {
            self.give_back(task);
            self.tasks.remove(&task);
            self.push(if expires {
                EventKind::TaskExpired { task }
            } else {
                EventKind::TaskCancelled { task }
            });
        }
        self.jobs.remove(&job);
        self.first_ended |= job == JobId::FIRST && why == JobEndReason::Finished;
        self.push(EventKind::JobEnded { job, end: job_end(why) });
    }

    /// An attempt is given up; sometimes it isn't said, where its task is given up too.
    fn give_back(&mut self, task: TaskId) {
        let Some((number, Some(rental))) = self.tasks.get(&task).map(|task| (task.attempts, task.running))
        else {
            return;
        };
        if self.chance.bool() {
            self.tasks.get_mut(&task).unwrap().running = None;
            self.push(EventKind::AttemptCancelled {
                attempt: Attempt { task, number },
                rental,
                lost: None,
                took: None,
            });
        }
    }

    fn add(&mut self) {
        let jobs: Vec<JobId> = self.jobs.iter().copied().collect();
        let Some(job) = self.one(&jobs) else { return };
        for _ in 0..self.chance.u8(1..4) {
            let task = TaskId(self.number());
            self.tasks.insert(task, Task { job, attempts: 0, running: None });
            let data = json!({ "frame": task.0, "scale": 1e16, "text": "\u{0}é" });
            let spawned = self.chance.u8(0..4) == 0;
            self.push(EventKind::TaskAdded { job, task, data, spawned });
        }
    }

    fn sign(&mut self) {
        let rental = RentalId(self.number());
        let pricing = Pricing {
            rates: vec![("golem.usage.cpu_sec".to_owned(), "0.000012345678901234".parse().unwrap())],
            start: "1.50".parse().unwrap(),
        };
        let terms = RentalTerms { pricing, threads: self.chance.u32(1..9), expires: self.later() };
        let provider = provider(self.chance.u64(0..5));
        self.push(EventKind::AgreementIntended {
            rental,
            provider,
            proposal: ProposalId::new(format!("R-{}", rental.0)),
            per_hour: glm(7),
            start: glm(3),
            terms: Box::new(terms),
        });
        self.rentals.insert(rental, Rental::default());
    }

    /// A rental comes about or fails; its activities come and go.
    fn activity(&mut self) {
        let rentals: Vec<RentalId> =
            self.rentals.iter().filter(|(_, entry)| !entry.ended).map(|(id, _)| *id).collect();
        let Some(rental) = self.one(&rentals) else { return };
        let entry = &self.rentals[&rental];
        let id = AgreementId::new(format!("agreement-{}", rental.0));
        match (entry.agreement.is_some(), entry.approved, entry.phase) {
            (false, ..) => {
                self.rentals.get_mut(&rental).unwrap().agreement = Some(id.clone());
                self.push(EventKind::AgreementCreated { rental, agreement: id });
            }
            (_, false, _) if self.chance.u8(0..4) == 0 => {
                self.rentals.remove(&rental);
                self.push(EventKind::AgreementFailed { rental, reason: "not in time".to_owned() });
            }
            (_, false, _) => {
                self.rentals.get_mut(&rental).unwrap().approved = true;
                let agreed = AgreedTerms {
                    debit_interval: Some(Duration::from_secs(120)),
                    multi_activity: true,
                    ..AgreedTerms::default()
                };
                let agreed = if self.chance.bool() { agreed } else { AgreedTerms::default() };
                self.push(EventKind::AgreementApproved { rental, agreement: id, agreed });
            }
            (.., Phase::None) => {
                let jobs: Vec<JobId> = self.jobs.iter().copied().collect();
                let job = self.one(&jobs).unwrap_or(JobId::FIRST);
                let entry = self.rentals.get_mut(&rental).unwrap();
                entry.activities.push(None);
                entry.phase = Phase::Intended;
                self.push(EventKind::ActivityIntended { rental, job });
            }
            (.., Phase::Intended) if self.chance.u8(0..4) > 0 => {
                let activity = ActivityId::new(format!("activity-{}", self.number()));
                let entry = self.rentals.get_mut(&rental).unwrap();
                *entry.activities.last_mut().unwrap() = Some(activity.clone());
                entry.phase = Phase::Created;
                self.push(EventKind::ActivityCreated { rental, activity });
            }
            (.., Phase::Created) if self.chance.u8(0..4) > 0 => {
                self.rentals.get_mut(&rental).unwrap().phase = Phase::Ready;
                self.push(EventKind::ActivityReady { rental });
            }
            (.., phase) if phase != Phase::Ready || self.chance.u8(0..8) == 0 => self.end_activity(rental),
            _ => {}
        }
    }

    fn end_activity(&mut self, rental: RentalId) {
        // Attempts end before their activity or just after it.
        let first = self.chance.bool();
        if first {
            self.fail_all_at(rental);
        }
        self.rentals.get_mut(&rental).unwrap().phase = Phase::None;
        let usage = Some(vec![self.chance.f64() * 1000.0, 3.0]).filter(|_| self.chance.bool());
        let failure = Some("it died".to_owned()).filter(|_| self.chance.bool());
        let complete = self.chance.bool();
        self.push(EventKind::ActivityEnded { rental, usage, failure, complete });
        if !first {
            self.fail_all_at(rental);
        }
    }

    fn fail_all_at(&mut self, rental: RentalId) {
        let running: Vec<TaskId> =
            self.tasks.iter().filter(|(_, task)| task.running == Some(rental)).map(|(id, _)| *id).collect();
        for task in running {
            self.outcome(task, rental, false);
        }
    }

    fn begin(&mut self) {
        let ready: Vec<RentalId> =
            self.rentals.iter().filter(|(_, entry)| entry.phase == Phase::Ready).map(|(id, _)| *id).collect();
        let waiting: Vec<TaskId> =
            self.tasks.iter().filter(|(_, task)| task.running.is_none()).map(|(id, _)| *id).collect();
        let (Some(rental), Some(id)) = (self.one(&ready), self.one(&waiting)) else { return };
        let task = self.tasks.get_mut(&id).unwrap();
        task.attempts += 1;
        task.running = Some(rental);
        let attempt = Attempt { task: id, number: task.attempts };
        self.push(EventKind::TaskStarted { attempt, rental });
    }

    fn send(&mut self) {
        let rentals: Vec<RentalId> = self
            .rentals
            .iter()
            .filter(|(_, entry)| entry.phase >= Phase::Created)
            .map(|(id, _)| *id)
            .collect();
        let Some(rental) = self.one(&rentals) else { return };
        let no = u32::try_from(self.rentals[&rental].activities.len()).unwrap();
        // News of an activity that is over comes late.
        let no = ActivityNo(if self.chance.u8(0..10) == 0 { no - 1 } else { no });
        let running = self.tasks.iter().filter(|(_, task)| task.running == Some(rental));
        let attempts: Vec<_> =
            running.map(|(task, of)| Attempt { task: *task, number: of.attempts }).collect();
        let number = self.number();
        let served =
            (0..self.chance.u32(0..3)).map(|place| (place, format!("file-{number}-{place}"))).collect();
        let script = SentScript {
            digest: format!("{number:x}"),
            batch: BatchId::new(format!("batch-{number}")),
            served,
        };
        self.push(EventKind::BatchSent { rental, no, attempts, script });
    }

    fn finish(&mut self) {
        let running: Vec<(TaskId, RentalId)> =
            self.tasks.iter().filter_map(|(id, task)| Some((*id, task.running?))).collect();
        let Some((task, rental)) = self.one(&running) else {
            // One that never began, because it can't even be written down.
            let waiting: Vec<TaskId> = self.tasks.keys().copied().collect();
            if let (Some(task), 0) = (self.one(&waiting), self.chance.u8(0..4)) {
                let of = self.tasks.remove(&task).unwrap();
                let number = of.attempts;
                self.failed.push((task, of));
                let failure = failure(FailureKind::Invalid, "no such file", "");
                self.push(EventKind::TaskFailed { attempt: Attempt { task, number }, rental: None, failure });
            }
            return;
        };
        self.outcome(task, rental, true);
    }

    fn outcome(&mut self, task: TaskId, rental: RentalId, well: bool) {
        let attempt = Attempt { task, number: self.tasks[&task].attempts };
        let lost = failure(FailureKind::Lost, "nothing was heard", "");
        match self.chance.u8(if well { 0 } else { 5 }..8) {
            0..5 => {
                self.tasks.remove(&task);
                let ends_run = self.chance.u8(0..50) == 0;
                let no_result = self.chance.u8(0..4) == 0;
                let output =
                    TaskOutput { result: json!([1.0, "x"]), ends_run, no_result, ..TaskOutput::default() };
                self.push(EventKind::TaskDone { attempt, rental, output, took: Duration::from_millis(5) });
            }
            5 => {
                self.tasks.get_mut(&task).unwrap().running = None;
                let failure = AttemptFailure { ran_before: self.chance.u64(0..3), ..lost };
                self.push(EventKind::AttemptFailed { attempt, rental, failure });
            }
            6 => {
                self.tasks.get_mut(&task).unwrap().running = None;
                let lost = self.chance.bool().then(|| "nothing was heard".to_owned());
                self.push(EventKind::AttemptCancelled { attempt, rental, lost, took: None });
            }
            _ => {
                let of = self.tasks.remove(&task).unwrap();
                self.failed.push((task, of));
                self.push(EventKind::TaskFailed { attempt, rental: Some(rental), failure: lost });
            }
        }
    }

    fn bill(&mut self) {
        let rentals: Vec<RentalId> =
            self.rentals.iter().filter(|(_, entry)| entry.approved).map(|(id, _)| *id).collect();
        let Some(rental) = self.one(&rentals) else { return };
        let entry = &self.rentals[&rental];
        let (open, accepting) = (entry.open.clone(), entry.accepting.clone());
        let amount = glm(self.chance.u64(1..1_000_000));
        match (self.chance.u8(0..6), self.one(&open), self.one(&accepting)) {
            (0 | 1, Some(bill), _) => self.accept(rental, bill, amount),
            (2, Some(bill), _) => self.refuse(rental, bill, amount),
            (3 | 4, _, Some(bill)) => {
                let entry = self.rentals.get_mut(&rental).unwrap();
                entry.accepting.retain(|known| *known != bill);
                entry.total += 1000;
                let total = glm(entry.total);
                self.push(EventKind::BillAccepted { rental, bill, amount, total });
            }
            (5, _, Some(bill)) => self.accept(rental, bill, amount),
            _ => {
                let number = self.number();
                let bill = if self.chance.u8(0..3) > 0 {
                    Bill::DebitNote(DebitNoteId::new(format!("note-{number}")))
                } else {
                    Bill::Invoice(InvoiceId::new(format!("invoice-{number}")))
                };
                let told = Some(self.now).filter(|_| self.chance.u8(0..5) > 0);
                if self.chance.u8(0..8) == 0 {
                    // A stranger's, or one for a rental that was settled long ago.
                    self.push(EventKind::BillReceived { rental: None, bill, amount, told });
                    return;
                }
                self.rentals.get_mut(&rental).unwrap().open.push(bill.clone());
                self.push(EventKind::BillReceived { rental: Some(rental), bill, amount, told });
            }
        }
    }

    fn measured(&mut self, rental: RentalId, bill: &Bill) -> Option<Measured> {
        let known: Vec<_> = self.rentals[&rental].activities.iter().flatten().cloned().collect();
        let activity = self.one(&known).filter(|_| matches!(bill, Bill::DebitNote(_)))?;
        let usage = Some(vec![self.chance.f64() * 1e4, 0.1]).filter(|_| self.chance.bool());
        Some(Measured { activity, usage, overbilled: self.chance.u8(0..5) == 0 })
    }

    fn accept(&mut self, rental: RentalId, bill: Bill, amount: Glm) {
        let measured = self.measured(rental, &bill);
        let entry = self.rentals.get_mut(&rental).unwrap();
        entry.open.retain(|known| *known != bill);
        entry.accepting.retain(|known| *known != bill);
        entry.accepting.push(bill.clone());
        let increase = if self.chance.bool() { amount } else { Glm::ZERO };
        self.push(EventKind::BillAccepting { rental, bill, amount, increase, measured });
    }

    fn refuse(&mut self, rental: RentalId, bill: Bill, amount: Glm) {
        let measured = self.measured(rental, &bill);
        let open = self.chance.u8(0..3) == 0;
        if !open {
            self.rentals.get_mut(&rental).unwrap().open.retain(|known| *known != bill);
        }
        let reason = "too much".to_owned();
        self.push(EventKind::BillRefused { rental: Some(rental), bill, amount, reason, measured, open });
    }

    fn end_rental(&mut self) {
        let rentals: Vec<RentalId> = self
            .rentals
            .iter()
            .filter(|(_, entry)| entry.approved && !entry.ended)
            .map(|(id, _)| *id)
            .collect();
        let Some(rental) = self.one(&rentals) else { return };
        if self.rentals[&rental].phase != Phase::None {
            self.end_activity(rental);
        }
        let entry = self.rentals.get_mut(&rental).unwrap();
        entry.ended = true;
        let agreement = entry.agreement.clone().unwrap();
        let (by, reason) = (Terminator::Provider, Reason::new("NoActivity"));
        let forgotten = self.chance.u8(0..6) == 0;
        self.push(EventKind::AgreementEnded { rental, agreement: agreement.clone(), by, reason, forgotten });
        if forgotten {
            return;
        }
        match self.chance.u8(0..4) {
            0 => self.push(EventKind::BillMissing { rental, agreement }),
            1 => {}
            _ => {
                let bill = Bill::Invoice(InvoiceId::new(format!("final-{}", rental.0)));
                let (amount, told) = (glm(5), Some(self.now));
                self.push(EventKind::BillReceived { rental: Some(rental), bill: bill.clone(), amount, told });
                self.accept(rental, bill, amount);
            }
        }
    }

    fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopping, true) {
            self.push(EventKind::Stopping { why: StopReason::Cancelled });
        }
    }

    fn end(&mut self) {
        self.stop();
        let jobs: Vec<JobId> = self.jobs.iter().copied().collect();
        for job in jobs {
            // What runs is given back, and left for another life.
            let running: BTreeSet<TaskId> = self
                .tasks
                .iter()
                .filter(|(_, of)| of.job == job && of.running.is_some())
                .map(|(id, _)| *id)
                .collect();
            for task in running {
                let task_now = self.tasks.get_mut(&task).unwrap();
                let (number, rental) = (task_now.attempts, task_now.running.take().unwrap());
                let took = self.chance.bool().then(|| Duration::from_millis(3));
                self.push(EventKind::AttemptCancelled {
                    attempt: Attempt { task, number },
                    rental,
                    lost: None,
                    took,
                });
            }
            self.push(EventKind::JobEnded { job, end: job_end(JobEndReason::Stopped) });
        }
        self.ended = true;
        let end = RunEnd {
            why: StopReason::Cancelled,
            done: 1,
            failed: 2,
            unfinished: 3,
            cost: glm(9),
            unsettled: 1,
        };
        self.push(EventKind::RunEnded { end });
    }

    /// Another process takes the run up, whether it had ended or not.
    fn resume(&mut self) {
        (self.stopping, self.ended) = (false, false);
        self.push(EventKind::RunResumed { resumed: Resumed::default() });
    }
}

/// Billionths of billionths, so that every place counts.
fn glm(units: u64) -> Glm {
    format!("0.{units:018}").parse().unwrap()
}

fn job_end(why: JobEndReason) -> JobEnd {
    JobEnd { why, done: 0, failed: 0, cancelled: 0, expired: 0, unfinished: 0 }
}
