//! A market in miniature: answers a run's effects, late, in another order, or wrongly, as a seeded die says.

mod bills;
mod crash;
mod ends;
mod ours;
mod purse;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use yagna_api::market::{
    Agreement, AgreementDemand, AgreementOffer, AgreementState, NewDemand, Proposal, ProposalState, Reason,
};
use yagna_api::payment::Decoration;
use yagna_api::properties::name;
use yagna_api::time::{after, between};
use yagna_api::{
    ActivityId, AgreementId, AllocationId, BatchId, DemandId, Glm, NodeId, OfferId, Properties, ProposalId,
    Timestamp,
};

pub(super) use self::crash::{Crash, Crashes, fold};
use super::faults::{Faults, Plan};
use crate::budget::Budget;
use crate::caps::PriceCaps;
use crate::event::{
    ActivityNo, Attempt, AttemptFailure, Bill, Event, EventKind, FailureKind, JobEnd, JobId, RentalId,
    RunEnd, SentScript, StopReason, TaskId, TaskOutput,
};
use crate::payload::Payload;
use crate::pricing::Pricing;
use crate::run::rental::{LiveRental, Stage};
use crate::run::{Effect, Input, JobSpec, Run, RunConfig, Step, WorkerFailure};
use crate::strategy::{LeastExpensive, Strategy};
use crate::tasks::AssignedTask;

#[derive(Debug)]
struct Signed {
    provider: NodeId,
    agreement: AgreementId,
    running: bool,
    single: bool,
    dead: bool,
    activities: Vec<Activity>,
    approved: Box<Agreement>,
    /// When it ended, or will by its provider's doing.
    ended: Option<Timestamp>,
}

#[derive(Debug)]
struct Activity {
    no: ActivityNo,
    job: JobId,
    id: ActivityId,
    opened: Timestamp,
    ended: Option<Timestamp>,
    n_notes: u32,
}

pub(super) struct World {
    run: Run,
    now: Timestamp,
    chance: fastrand::Rng,
    faults: Faults,
    budget: Budget,
    /// GLM that may be accepted in all before the allocation is used up.
    set_aside: Glm,
    /// The allocation that there is, if there is one.
    allocation: Option<AllocationId>,
    n_allocations: u32,
    hold: Duration,
    to_load: BTreeMap<JobId, usize>,
    to_spawn: BTreeMap<JobId, usize>,
    jobs: HashMap<TaskId, JobId>,
    pub(super) ended_jobs: BTreeMap<JobId, JobEnd>,
    coming: BTreeMap<(Timestamp, u64), Input>,
    next: u64,
    signed: HashMap<RentalId, Signed>,
    demand: Option<DemandId>,
    /// Demands that the daemon was never asked to take off the market.
    on_market: HashSet<DemandId>,
    offers: HashMap<ProposalId, NodeId>,
    /// What providers ask for.
    pricings: HashMap<NodeId, Pricing>,
    owed: HashMap<Bill, Glm>,
    /// What each bill was to add, by the time of its intent.
    promises: HashMap<Bill, (Timestamp, Glm)>,
    /// The same of those that were accepted.
    pub(super) promised: BTreeMap<(Timestamp, u64), Glm>,
    /// Debit notes that want to be paid on the way.
    payable: HashSet<Bill>,
    /// Acceptances that the daemon has in its hands.
    accepting: HashMap<Bill, RentalId>,
    pub(super) accepted_bills: Vec<(Glm, Glm)>,
    pub(super) events: Vec<Event>,
    ended_tasks: HashSet<TaskId>,
    /// Our own disk is full until then.
    pub(super) full_until: Option<Timestamp>,
    config: RunConfig,
    decoration: Decoration,
    plans: BTreeMap<JobId, Plan>,
    pub(super) crashes: Crashes,
    /// All bills that were ever sent, with the moment from which the daemon tells of them.
    bills: Vec<(Timestamp, Input)>,
}

impl World {
    pub(super) const RETRIES: u32 = 2;
    const PROVIDERS: u8 = 6;
    pub(super) const WORKERS: u32 = 3;
    const PLATFORM: &'static str = "erc20-hoodi-tglm";

    pub(super) fn new(seed: u64, tasks: usize, faults: Faults) -> Self {
        Self::configured(seed, tasks, faults, |_| {})
    }

    /// A world whose run keeps to something else than usual.
    pub(super) fn configured(
        seed: u64,
        tasks: usize,
        faults: Faults,
        change: impl FnOnce(&mut RunConfig),
    ) -> Self {
        let mut world = Self::without_jobs(seed, faults, change);
        world.add_job(JobId::FIRST, &Plan { tasks, ..Plan::default() });
        world
    }

    /// A world whose run stands ready for these jobs.
    pub(super) fn standing(seed: u64, faults: Faults, jobs: &[Plan]) -> Self {
        Self::standing_with(seed, faults, jobs, |_| {})
    }

    /// The same where the run keeps to something else than usual.
    pub(super) fn standing_with(
        seed: u64,
        faults: Faults,
        jobs: &[Plan],
        change: impl FnOnce(&mut RunConfig),
    ) -> Self {
        let mut world = Self::without_jobs(seed, faults, |config| {
            config.standing = true;
            change(config);
        });
        for (job, plan) in (0..).map(JobId).zip(jobs) {
            world.add_job(job, plan);
        }
        world
    }

    fn without_jobs(seed: u64, faults: Faults, change: impl FnOnce(&mut RunConfig)) -> Self {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let mut config = RunConfig {
            strategy: Arc::new(
                LeastExpensive::new(PriceCaps::none().per_hour_at_most("2".parse().unwrap())).cautious(),
            ),
            workers: Self::WORKERS,
            retries: Self::RETRIES,
            fresh_retries: seed % 2 == 1,
            budget: "1".parse().unwrap(),
            idle_timeout: Duration::from_secs(600),
            stop_horizon: Duration::from_secs(30),
            // Every third of the runs that the properties draw looks at everything only from time to time, as runs with
            // many rentals do.
            rentals_at_once: if seed > 1000 && seed.is_multiple_of(3) { 0 } else { 16 },
            pause_per_rental: Duration::from_millis(150),
            ..RunConfig::new(Payload::default(), Self::PLATFORM)
        };
        change(&mut config);
        let (budget, hold) = (config.budget, config.hold);
        let decoration = Self::decoration();
        let mut world = Self {
            run: Run::new(config.clone(), decoration.clone(), now),
            config,
            decoration,
            plans: BTreeMap::new(),
            crashes: Crashes::default(),
            bills: Vec::new(),
            now,
            chance: fastrand::Rng::with_seed(seed),
            faults,
            budget,
            set_aside: budget.at_first(),
            allocation: Some(AllocationId::new("allocation-0")),
            n_allocations: 1,
            hold,
            to_load: BTreeMap::new(),
            to_spawn: BTreeMap::new(),
            jobs: HashMap::new(),
            ended_jobs: BTreeMap::new(),
            coming: BTreeMap::new(),
            next: 0,
            signed: HashMap::new(),
            demand: None,
            offers: HashMap::new(),
            pricings: (0..Self::PROVIDERS)
                .map(|n| (Self::node(n), Pricing::read(&Self::offer(n, false, false)).unwrap()))
                .collect(),
            owed: HashMap::new(),
            promises: HashMap::new(),
            promised: BTreeMap::new(),
            payable: HashSet::new(),
            accepting: HashMap::new(),
            on_market: HashSet::new(),
            accepted_bills: Vec::new(),
            events: Vec::new(),
            full_until: None,
            ended_tasks: HashSet::new(),
        };
        world.give(Input::Tick);
        world
    }

    pub(super) fn add_job(&mut self, job: JobId, plan: &Plan) {
        self.plans.insert(job, *plan);
        self.to_load.insert(job, plan.tasks);
        self.to_spawn.insert(job, plan.spawns);
        let added = after(self.now, Duration::from_secs(plan.at.into()));
        let deadline = plan.deadline.map(|seconds| after(added, Duration::from_secs(seconds.into())));
        // Half of the sources are asked once more at their end.
        let spec = JobSpec { retries: plan.retries, deadline, grows: plan.tasks % 2 == 1 };
        let input = Input::JobAdded { job, spec };
        if plan.at == 0 {
            self.give(input);
        } else {
            self.later(f64::from(plan.at), input);
        }
        if let Some(seconds) = plan.cancelled {
            self.later(f64::from(plan.at + seconds), Input::JobCancelled { job });
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Agreements that are in force or being made, as the run sees it.
    pub(super) fn n_live(&self) -> usize {
        self.run.n_live()
    }

    /// How many activities each rental had.
    pub(super) fn n_activities(&self) -> Vec<usize> {
        let mut signed: Vec<_> = self.signed.iter().collect();
        signed.sort_by_key(|(id, _)| **id);
        signed.into_iter().map(|(_, signed)| signed.activities.len()).collect()
    }

    /// Workers that a job has just now.
    pub(super) fn n_workers(&self, job: JobId) -> usize {
        self.run.shares().get(&job).map_or(0, |share| share.workers)
    }

    pub(super) fn n_events(&self, is: impl Fn(&EventKind) -> bool) -> usize {
        self.events.iter().filter(|event| is(&event.kind)).count()
    }

    /// Rentals there were, and those that are still remembered.
    pub(super) fn n_rentals(&self) -> (u64, usize) {
        assert!(
            self.run.live.by_agreement.len() <= self.run.live.rentals.len(),
            "agreements of forgotten rentals are kept"
        );
        assert!(self.run.live.failures.len() <= Run::MOST_REASONS + 1);
        (self.run.next_rental().0 - 1, self.run.live.rentals.len())
    }

    pub(super) fn n_known(&self) -> u64 {
        self.jobs.len() as u64
    }

    pub(super) fn stop(&mut self, why: StopReason) {
        self.give(Input::Stop { why });
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let until = after(self.now, time);
        while self.now < until && self.run.end().is_none() {
            self.advance();
        }
    }

    pub(super) fn run_to_end(&mut self) -> RunEnd {
        for _ in 0..3_000_000 {
            if let Some(end) = self.run.end() {
                return end.clone();
            }
            self.advance();
        }
        panic!(
            "the run doesn't end: {} stopping {:?} waiting {} running {} live {} events {:?}",
            self.now,
            self.run.live.stopping,
            self.run.books.queue.n_waiting(),
            self.run.books.queue.n_running(),
            self.run.n_live(),
            &self.events[self.events.len() - 12..]
        );
    }

    /// Nothing runs that nobody would stop, and everything owed and asked for rightly was accepted.
    pub(super) fn assert_nothing_left(&self) {
        for (rental, signed) in &self.signed {
            assert!(!signed.running, "{rental:?} still runs");
        }
        assert!(self.accepting.is_empty(), "bills were left half accepted");
        assert!(self.on_market.is_empty(), "demands are left on the market: {:?}", self.on_market);
    }

    fn roll(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.chance.f64() < chance
    }

    fn later(&mut self, seconds: f64, input: Input) {
        let at = after(self.now, Duration::from_secs_f64(seconds));
        self.next += 1;
        self.coming.insert((at, self.next), input);
    }

    fn soon(&mut self, input: Input) {
        let seconds = self.chance.f64() * 2.0;
        self.later(seconds, input);
    }

    pub(super) fn advance(&mut self) {
        // While the run pauses nothing runs that could change by the second.
        let tick =
            after(self.now, Duration::from_secs(if self.run.live.money.paused.is_some() { 15 } else { 1 }));
        match self.coming.first_key_value() {
            Some((&(at, place), _)) if at <= tick => {
                self.now = self.now.max(at);
                let input = self.coming.remove(&(at, place)).unwrap();
                let once =
                    matches!(input, Input::Tasks { .. } | Input::MoreTasks { .. } | Input::JobAdded { .. });
                if self.chance.f64() < self.faults.repeats && !once {
                    let lives = self.crashes.n_happened();
                    self.give(input.clone());
                    if self.crashes.n_happened() > lives {
                        // Messages on their way to a process are lost with it.
                        return;
                    }
                }
                self.give(input);
            }
            _ => {
                self.now = tick;
                self.send_notes();
                self.give(Input::Tick);
            }
        }
    }

    fn give(&mut self, input: Input) {
        if let Input::BillAccepted { bill } | Input::BillFailed { bill, .. } = &input {
            self.accepting.remove(bill);
        }
        if let Input::DemandLost { demand } = &input {
            self.on_market.remove(demand);
        }
        let step = self.run.on(self.now, input);
        self.carry_out(step);
    }

    /// Notes a step's events, then does what follows from them; unless the process dies before either.
    fn carry_out(&mut self, step: Step) {
        let crash = self.crashes.next();
        if crash != Some(Crash::BeforeTheCommit) {
            self.note(&step.events);
        }
        if crash.is_some() {
            return self.resume_again();
        }
        for effect in step.effects {
            self.answer(effect);
        }
        self.check();
    }

    fn note(&mut self, events: &[Event]) {
        for event in events {
            match &event.kind {
                EventKind::TaskAdded { job, task, .. } => {
                    assert!(self.jobs.insert(*task, *job).is_none(), "{task:?} was added twice");
                    assert!(!self.ended_jobs.contains_key(job), "{task:?} was added to a job that is over");
                }
                EventKind::TaskStarted { attempt, .. } => {
                    let job = self.jobs[&attempt.task];
                    assert!(!self.ended_jobs.contains_key(&job), "{attempt:?} is of a job that is over");
                }
                EventKind::TaskDone { attempt: Attempt { task, .. }, .. }
                | EventKind::TaskFailed { attempt: Attempt { task, .. }, .. }
                | EventKind::TaskCancelled { task }
                | EventKind::TaskExpired { task } => {
                    assert!(self.ended_tasks.insert(*task), "{task:?} ended twice");
                    assert!(!self.ended_jobs.contains_key(&self.jobs[task]), "{task:?} outlived its job");
                }
                EventKind::JobEnded { job, end } => self.job_ended(*job, end),
                EventKind::DemandPublished { demand, .. } => drop(self.on_market.insert(demand.clone())),
                EventKind::BudgetRaised { budget } => self.budget = self.budget.raised_to(*budget),
                EventKind::BillAccepted { bill, amount, .. } => {
                    self.accepted_bills.push((*amount, self.owed[bill]));
                    self.count_promise(bill);
                }
                EventKind::BillAccepting { bill, increase, .. } => {
                    self.promises.insert(bill.clone(), (event.at, *increase));
                }
                _ => {}
            }
        }
        self.events.extend_from_slice(events);
    }

    fn job_ended(&mut self, job: JobId, end: &JobEnd) {
        assert!(self.ended_jobs.insert(job, end.clone()).is_none(), "{job:?} ended twice");
        let known = self.jobs.values().filter(|its| **its == job).count() as u64;
        let told = end.done + end.failed + end.cancelled + end.expired;
        assert_eq!(told + end.unfinished, known, "{job:?} {end:?}");
        let ended = self.ended_tasks.iter().filter(|task| self.jobs[task] == job).count() as u64;
        assert_eq!(told, ended, "{job:?} {end:?}");
    }

    /// The invariants of a run, true after every step.
    fn check(&self) {
        self.check_money();
        assert!(self.run.n_live() <= 2 * Self::WORKERS as usize, "too many rentals side by side");
        let approved = |rental: &&LiveRental| rental.is_live() && rental.stage != Stage::Signing;
        let approved = self.run.live.rentals.values().filter(approved).count();
        // One too many is ended at the next look.
        let looks_later = self.run.live.pace.is_owed();
        assert!(approved <= Self::WORKERS as usize || looks_later, "more agreements than workers");
        let slack = Duration::from_secs(2);
        for (id, rental) in self.run.rentals() {
            let open = rental.kept.activities.iter().filter(|activity| !activity.over).count();
            assert!(open <= 1, "{id:?} has {open} activities at once");
            if rental.live.stage == Stage::Held {
                let idle = self.run.idle_for(id, self.now).expect("what is held is idle");
                let held = between(rental.live.since, self.now);
                assert!(held <= self.hold + slack, "{id:?} is held for {held:?}, idle for {idle:?}");
                assert_eq!(open, 0, "{id:?} is held with an activity");
            }
            assert!(rental.job().is_some() || rental.live.running.is_empty(), "{id:?} runs tasks of no job");
        }
    }

    fn answer(&mut self, effect: Effect) {
        let pays =
            matches!(effect, Effect::Sign { .. } | Effect::OpenActivity { .. } | Effect::AcceptBill { .. });
        assert!(!pays || self.run.live.money.can_pay(), "{effect:?} without an allocation");
        match effect {
            Effect::RaiseBudget { by, budget } => {
                self.raise(by, budget);
            }
            Effect::GrowAllocation { by } => self.grow(by),
            Effect::Allocate { amount, .. } => self.allocate(amount),
            Effect::LoadTasks { job, most } => {
                let left = self.to_load.get_mut(&job).expect("only jobs that were added are read");
                let n = (*left).min(most);
                *left -= n;
                let exhausted = *left == 0;
                let data = (0..n).map(|n| json!(n)).collect();
                self.later(0.0, Input::Tasks { job, data, exhausted, mark: None });
            }
            Effect::Publish { expires, .. } => self.publish(expires),
            Effect::Withdraw { demand } => {
                self.on_market.remove(&demand);
                if self.demand.as_ref() == Some(&demand) {
                    self.demand = None;
                }
            }
            Effect::Counter { demand, proposal, terms } => self.negotiate(&demand, &proposal, &terms),
            Effect::RefuseProposal { .. } | Effect::RejectInvoice { .. } => {}
            Effect::Sign { rental, proposal } => self.sign(rental, &proposal),
            Effect::TakeBack { rental } => self.take_back(rental),
            Effect::OpenActivity { rental, no, job, agreement, provider } => {
                let signed = &self.signed[&rental];
                assert!(signed.running && signed.agreement == agreement && signed.provider == provider.id);
                self.open(rental, no, job);
            }
            Effect::CloseActivity { rental, no, gently, .. } => self.close_activity(rental, no, gently),
            Effect::Assign { rental, tasks } => {
                let activity = self.signed[&rental].activities.last().expect("a worker has an activity");
                let (no, job) = (activity.no, activity.job);
                assert!(activity.ended.is_none(), "tasks for an activity that has ended");
                self.work(rental, no, job, tasks, false);
            }
            Effect::ResumeActivity { rental, no, job, activity, replay, .. } => {
                let last = self.signed[&rental].activities.last().unwrap();
                assert!(last.id == activity && last.ended.is_none(), "{activity} isn't there to go on with");
                self.work(rental, no, job, replay.tasks, true);
            }
            Effect::ReadUsage { rental, no, activity } => self.read_usage(rental, no, &activity),
            Effect::FetchBill { bill } => self.tell_again(&bill),
            Effect::Close { rental, .. } => self.close(rental),
            Effect::AcceptBill { bill, .. } => self.accept(bill),
            Effect::ProbeOwn { .. } => self.probe(),
            Effect::LookAround { agreements, .. } => self.look_around(&agreements),
        }
    }

    /// A worker does these tasks, and asks for more.
    fn work(&mut self, rental: RentalId, no: ActivityNo, job: JobId, tasks: Vec<AssignedTask>, again: bool) {
        if !again {
            self.later(0.01, Self::script(rental, no, "work"));
        }
        let lost = self.roll(self.faults.vanishes);
        if let Some(signed) = self.signed.get_mut(&rental) {
            signed.dead = lost && self.faults.dies;
        }
        let mut time = 0.0;
        let mut error = None;
        for task in tasks {
            assert_eq!(self.jobs[&task.attempt.task], job, "a task went to another job's worker");
            time += 1.0 + self.chance.f64() * 10.0 + if self.faults.slow { 600.0 } else { 0.0 };
            if lost {
                continue;
            }
            if self.chance.bool()
                && let Some(left) = self.to_spawn.get_mut(&job).filter(|left| **left > 0)
            {
                *left -= 1;
                self.later(time, Input::MoreTasks { job, data: vec![json!("more")] });
            }
            let fails = self.roll(self.faults.fails)
                || self.faults.poisoned.is_some_and(|poisoned| *task.data == poisoned);
            let input = if let Some(spoilt) = self.spoilt(rental, task.attempt, time) {
                spoilt
            } else if fails {
                let failure = AttemptFailure::new(FailureKind::CommandFailed, "no");
                let failure = AttemptFailure { stderr: "no".into(), ..failure };
                if self.roll(self.faults.errs) {
                    error = Some(WorkerFailure { kind: failure.kind, message: "no".into() });
                }
                Input::AttemptFailed { rental, attempt: task.attempt, failure, retry: true }
            } else {
                let took = Duration::from_secs(1);
                let ends_run = self.faults.ends_with == Some(task.attempt.task.0);
                Input::AttemptDone {
                    rental,
                    attempt: task.attempt,
                    output: TaskOutput { ends_run, ..TaskOutput::default() },
                    took,
                    more: Vec::new(),
                }
            };
            self.later(time, input);
        }
        let after_it = if lost {
            Input::WorkerEnded { rental, no, failure: Some(WorkerFailure::lost("the activity is lost")) }
        } else if error.is_some() {
            Input::WorkerEnded { rental, no, failure: error }
        } else {
            Input::WorkerReady { rental, no, room: 1 + self.chance.usize(0..3) }
        };
        self.later(time + 0.1, after_it);
    }

    fn script(rental: RentalId, no: ActivityNo, digest: &str) -> Input {
        let script = SentScript { digest: digest.into(), batch: BatchId::new(digest), served: Vec::new() };
        Input::BatchSent { rental, no, script }
    }

    pub(super) fn node(n: u8) -> NodeId {
        format!("0x{n:040x}").parse().unwrap()
    }

    fn offer(n: u8, dear: bool, malformed: bool) -> Properties {
        let hour = if dear { 100.0 } else { 0.1 * f64::from(n + 1) };
        let coefficients =
            if malformed { json!(["free", null]) } else { json!([hour / 3600.0, 0.0, 0.001 * f64::from(n)]) };
        Properties::new()
            .with(name::NODE_NAME, format!("provider-{n}"))
            .with(name::PRICING_MODEL, "linear")
            .with(name::PRICING_COEFFICIENTS, coefficients)
            .with(name::USAGE_VECTOR, json!([name::USAGE_DURATION, name::USAGE_CPU]))
            .with(name::PAYMENT_SCHEME, "payu")
            .with(name::CPU_THREADS, 1)
            .with(name::ACCEPT_TIMEOUT, 240)
            .with(name::platform_address(Self::PLATFORM), "0x2")
    }

    fn publish(&mut self, expires: Timestamp) {
        if self.roll(self.faults.daemon) {
            return self.soon(Input::PublishFailed { problem: "500".into() });
        }
        self.next += 1;
        let demand = DemandId::new(format!("d{}", self.next));
        self.demand = Some(demand.clone());
        self.later(0.01, Input::Published { demand: demand.clone(), expires });
        for n in 0..Self::PROVIDERS {
            self.show(&demand, n);
        }
        if self.roll(self.faults.daemon * 0.5) {
            self.later(30.0, Input::DemandLost { demand });
        }
    }

    fn show(&mut self, demand: &DemandId, n: u8) {
        if self.roll(self.faults.absent) {
            return;
        }
        let (dear, malformed) = (self.roll(self.faults.dear), self.roll(self.faults.malformed));
        let proposal = self.proposal(n, ProposalState::Initial, Self::offer(n, dear, malformed), None);
        let time = 0.02 + self.chance.f64();
        self.later(time, Input::Proposal { demand: demand.clone(), proposal: Box::new(proposal) });
    }

    fn proposal(
        &mut self,
        n: u8,
        state: ProposalState,
        properties: Properties,
        answers: Option<ProposalId>,
    ) -> Proposal {
        self.next += 1;
        let proposal_id = ProposalId::new(format!("R-{}", self.next));
        self.offers.insert(proposal_id.clone(), Self::node(n));
        Proposal {
            proposal_id,
            issuer_id: Self::node(n),
            state,
            properties,
            constraints: "()".into(),
            timestamp: self.now,
            prev_proposal_id: answers,
        }
    }

    fn negotiate(&mut self, demand: &DemandId, proposal: &ProposalId, terms: &NewDemand) {
        assert_eq!(terms.properties.text(name::CHOSEN_PLATFORM), Some(Self::PLATFORM));
        if self.roll(self.faults.daemon) {
            return self.soon(Input::CounterFailed { proposal: proposal.clone(), problem: "500".into() });
        }
        self.next += 1;
        let ours = ProposalId::new(format!("R-ours-{}", self.next));
        self.soon(Input::Countered { proposal: proposal.clone(), ours: ours.clone() });
        let node = self.offers[proposal].clone();
        if self.roll(self.faults.refuses) {
            let reason = Some(Reason::new("No capacity available"));
            return self.soon(Input::Rejected { ours, reason });
        }
        let n = (0..Self::PROVIDERS).find(|n| Self::node(*n) == node).unwrap();
        let mut terms = Self::offer(n, false, false);
        if self.roll(self.faults.haggles) {
            terms.set(name::ACCEPT_TIMEOUT, 60);
        }
        let draft = self.proposal(n, ProposalState::Draft, terms, Some(ours));
        self.soon(Input::Proposal { demand: demand.clone(), proposal: Box::new(draft) });
    }

    fn sign(&mut self, rental: RentalId, proposal: &ProposalId) {
        let provider = self.offers[proposal].clone();
        let agreement = AgreementId::new(format!("a{}", rental.0));
        if self.roll(self.faults.daemon) {
            return self.soon(Input::NotApproved { rental, reason: "500".into(), open: false });
        }
        self.later(0.1, Input::AgreementCreated { rental, agreement: agreement.clone() });
        let is_silent = (0..self.faults.silent).any(|n| Self::node(n) == provider);
        if is_silent || self.roll(self.faults.never_approves) {
            let open = self.roll(0.5);
            return self
                .later(60.0, Input::NotApproved { rental, reason: "no answer within 60 s".into(), open });
        }
        let n = (0..Self::PROVIDERS).find(|n| Self::node(*n) == provider).unwrap();
        let single = self.roll(self.faults.single);
        let approved = Agreement {
            agreement_id: agreement.clone(),
            demand: AgreementDemand {
                properties: Properties::new()
                    .with(name::ACCEPT_TIMEOUT, 120)
                    .with(name::MULTI_ACTIVITY, true),
                constraints: "()".into(),
                demand_id: DemandId::new("d"),
                requestor_id: Self::node(99),
                timestamp: self.now,
            },
            offer: AgreementOffer {
                properties: Self::offer(n, false, false).with(name::MULTI_ACTIVITY, !single),
                constraints: "()".into(),
                offer_id: OfferId::new("o"),
                provider_id: provider.clone(),
                timestamp: self.now,
            },
            valid_to: after(self.now, Duration::from_secs(120)),
            approved_date: Some(self.now),
            state: AgreementState::Approved,
            timestamp: self.now,
            app_session_id: None,
            proposed_signature: None,
            approved_signature: None,
            committed_signature: None,
        };
        let approved = Box::new(approved);
        let signed = Signed {
            provider,
            agreement,
            running: true,
            single,
            dead: false,
            activities: Vec::new(),
            approved: approved.clone(),
            ended: None,
        };
        self.signed.insert(rental, signed);
        let time = if self.roll(self.faults.dawdles) { self.chance.f64() * 60.0 } else { 0.2 };
        self.later(time, Input::Approved { rental, agreement: approved });
    }

    /// It is taken back, unless its provider approves it at that very moment.
    fn take_back(&mut self, rental: RentalId) {
        let undecided = self.coming.iter().find_map(|(place, input)| match input {
            Input::NotApproved { rental: id, .. } if *id == rental => Some((*place, false)),
            Input::Approved { rental: id, .. } if *id == rental => Some((*place, true)),
            _ => None,
        });
        let Some((place, approves)) = undecided else { return };
        let Some(input) = self.coming.remove(&place) else { return };
        if approves && self.roll(0.5) {
            self.signed.remove(&rental);
            return self.soon(Input::NotApproved { rental, reason: "not wanted".into(), open: false });
        }
        self.soon(input);
    }

    fn open(&mut self, rental: RentalId, no: ActivityNo, job: JobId) {
        let id = ActivityId::new(format!("act{}-{}", rental.0, no.0));
        let terminates = self.roll(self.faults.terminates);
        if self.roll(self.faults.vanishes) {
            let failure = Some(WorkerFailure::lost("no activity within 60 s"));
            return self.later(60.0, Input::WorkerEnded { rental, no, failure });
        }
        let opened = self.now;
        let signed = self.signed.get_mut(&rental).unwrap();
        assert!(signed.activities.iter().all(|activity| activity.ended.is_some()), "one activity at a time");
        assert!(signed.activities.is_empty() || !signed.single, "one activity only");
        signed.activities.push(Activity { no, job, id: id.clone(), opened, ended: None, n_notes: 0 });
        self.later(1.0, Input::ActivityCreated { rental, no, activity: id });
        self.later(1.5, Self::script(rental, no, "start"));
        let is_first = rental == RentalId(1) && no == ActivityNo(1);
        if (self.faults.opens_once && !is_first) || self.roll(self.faults.never_opens) {
            let kind = if self.roll(self.faults.invalid) {
                FailureKind::Invalid
            } else {
                FailureKind::CommandFailed
            };
            let failure = Some(WorkerFailure { kind, message: "set-up failed".into() });
            return self.later(2.0, Input::WorkerEnded { rental, no, failure });
        }
        self.later(3.0, Input::WorkerReady { rental, no, room: 1 });
        if terminates {
            let time = 2.0 + self.chance.f64() * 60.0;
            self.terminate(rental, time, "shutting down");
        }
    }
}
