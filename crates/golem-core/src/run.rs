//! The decisions of a run: inputs go in, events and effects come out.
//!
//! [`Run::on`] takes one input and the time, and answers with what happened ([`Event`]s, to be stored) and what to
//! do about it ([`Effect`]s, to be sent once the events are stored). It never waits and never fails: what goes
//! wrong outside comes in as an input like everything else.
//!
//! Left to others: talking to a daemon, running scripts, keeping time. The engine in `golem-sdk` does that.

mod activities;
mod bills;
mod blame;
mod choice;
mod config;
mod input;
mod jobs;
mod market;
mod money;
mod ours;
mod part;
mod pause;
mod plan;
mod rental;
mod rentals;
mod resume;
mod signing;
mod spending;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use yagna_api::market::NewDemand;
use yagna_api::payment::{Decoration, Invoice};
use yagna_api::time::between;
use yagna_api::{AgreementId, AllocationId, DemandId, Glm, NodeId, Timestamp};

use self::bills::Postponed;
pub use self::config::RunConfig;
pub use self::input::{Effect, Input, Step, WorkerFailure};
use self::jobs::Job;
pub use self::jobs::JobSpec;
use self::market::Market;
use self::money::Backing;
pub use self::money::NotRaised;
use self::ours::Ours;
pub use self::ours::OwnFault;
use self::part::Part;
pub use self::pause::OnBudget;
use self::pause::{Pause, Vain};
use self::rental::{Billing, Rental, Stage};
pub use self::resume::{Found, FoundActivity, FoundAgreement, FoundRental, Replay};
use self::spending::Growth;
use crate::budget::Ledger;
use crate::event::{Bill, Event, EventKind, JobEndReason, JobId, RentalId, RunEnd, StopReason};
use crate::standing::{Records, Standings};
use crate::tasks::TaskQueue;
use crate::words::without_details;

/// One run, from its first demand to its last bill: one demand and one budget for all of its jobs.
#[derive(Debug)]
pub struct Run {
    config: RunConfig,
    decoration: Decoration,
    backing: Backing,
    /// The allocation that was made in place of a lost one: news of those before it may come late, and twice.
    anew: Option<AllocationId>,
    queue: TaskQueue,
    /// Jobs that aren't over.
    jobs: BTreeMap<JobId, Job>,
    /// Was there ever a job?
    had_job: bool,
    /// Did a result end it?
    has_enough: bool,
    part: Option<Part>,
    /// Tasks that are done and have no result.
    without_result: u64,
    /// May more jobs come, so that it goes on without one?
    standing: bool,
    market: Market,
    standings: Standings,
    records: Records,
    rentals: BTreeMap<RentalId, Rental>,
    /// Rentals by agreement, for as long as the rentals are kept: bills may come late.
    by_agreement: HashMap<AgreementId, RentalId>,
    next_rental: u64,
    /// Agreements that were taken back since a provider last approved one.
    taken_back: usize,
    /// Whose bills are being accepted.
    accepting: HashMap<Bill, RentalId>,
    /// Bills that couldn't be accepted, and when to try again.
    bills_again: BTreeSet<(Timestamp, Bill)>,
    /// Bills that an earlier life of the run decided about, and that may be told of once more.
    seen_before: HashSet<Bill>,
    /// Invoices that wait for debit notes they may have overtaken, and until when.
    held_invoices: Vec<(Timestamp, RentalId, Invoice)>,
    /// Have all bills come that the daemon had when the run began or was resumed?
    bills_told: bool,
    /// Bills that are right and that the budget's windows don't hold just now.
    postponed: Vec<Postponed>,
    /// What the bills of forgotten rentals promise.
    settled: Glm,
    /// Providers that have done a task.
    proven: HashSet<NodeId>,
    /// What accepted bills promise in all.
    accepted: Glm,
    /// What was promised when.
    ledger: Ledger,
    /// What may have been promised in all before the allocation is used up.
    backed: Glm,
    growth: Growth,
    /// By how much the allocation grows with the budget that is being raised.
    raising: Option<Glm>,
    /// A wish for more budget that waits until the allocation has grown.
    raise_waits: Option<Glm>,
    paused: Option<Pause>,
    vain: Vain,
    stopping: Option<Stopping>,
    /// When something last ran, or when the run began.
    last_alive: Timestamp,
    last_explained: Option<Timestamp>,
    /// Did the budget forbid an agreement at the last look?
    budget_blocks: bool,
    /// Whether an agreement was ended for want of money, and none was raised since.
    ended_for_money: bool,
    /// GLM that the agreement would have needed that the budget last forbade.
    needed: Option<Glm>,
    trouble: Option<String>,
    /// The last trouble told of each thing we do, until it is over.
    told: BTreeMap<String, String>,
    failures: BTreeMap<String, u64>,
    ours: Ours,
    end: Option<RunEnd>,
}

#[derive(Debug, Clone, Copy)]
struct Stopping {
    why: StopReason,
    since: Timestamp,
    /// Since when every rental is over and only bills are awaited.
    settling_since: Option<Timestamp>,
    /// Was it told that rentals are still being ended?
    is_told: bool,
}

impl Run {
    /// A rental is remembered this long after it ended and was paid: a second bill for it is refused.
    const KEEP_PAID: Duration = Duration::from_secs(10 * 60);
    /// The same where nothing was paid: a right bill may follow a wrong one.
    const KEEP_UNPAID: Duration = Duration::from_secs(3600);
    /// A demand is renewed this long after it was published: the daemon forgets it after an hour.
    const RENEW_AFTER: Duration = Duration::from_secs(25 * 60);
    /// Different reasons of failures that are counted apart.
    const MOST_REASONS: usize = 32;

    /// A run that has its allocation and knows how demands speak of it.
    pub fn new(config: RunConfig, decoration: Decoration, now: Timestamp) -> Self {
        Self {
            queue: TaskQueue::new(),
            jobs: BTreeMap::new(),
            had_job: false,
            has_enough: false,
            part: config.only.clone().map(Part::new),
            without_result: 0,
            standing: config.standing,
            backed: config.budget.at_first(),
            records: config.known.clone(),
            config,
            decoration,
            backing: Backing::There,
            anew: None,
            market: Market::default(),
            standings: Standings::default(),
            rentals: BTreeMap::new(),
            by_agreement: HashMap::new(),
            next_rental: 1,
            taken_back: 0,
            accepting: HashMap::new(),
            bills_again: BTreeSet::new(),
            seen_before: HashSet::new(),
            held_invoices: Vec::new(),
            bills_told: true,
            postponed: Vec::new(),
            settled: Glm::ZERO,
            proven: HashSet::new(),
            accepted: Glm::ZERO,
            ledger: Ledger::default(),
            growth: Growth::default(),
            raising: None,
            raise_waits: None,
            paused: None,
            vain: Vain::default(),
            stopping: None,
            last_alive: now,
            last_explained: None,
            budget_blocks: false,
            ended_for_money: false,
            needed: None,
            trouble: None,
            told: BTreeMap::new(),
            failures: BTreeMap::new(),
            ours: Ours::default(),
            end: None,
        }
    }

    /// Takes one input and decides. The step's events are to be stored before its effects are sent, and both kept in their
    /// order. Once the run has [ended](Run::end) nothing more comes of any input.
    pub fn on(&mut self, now: Timestamp, input: Input) -> Step {
        let mut step = Step::default();
        if self.end.is_some() {
            return step;
        }
        self.take(now, input, &mut step);
        self.plan(now, &mut step);
        if self.end.is_none() {
            self.plan_growth(now, &mut step);
        }
        step
    }

    /// How the run ended, once it has.
    pub fn end(&self) -> Option<&RunEnd> {
        self.end.as_ref()
    }

    /// What accepted bills promise in all.
    pub fn accepted(&self) -> Glm {
        self.accepted
    }

    /// Is any agreement being made, in use or being ended?
    pub fn has_open_rentals(&self) -> bool {
        self.rentals.values().any(|rental| rental.stage != Stage::Closed)
    }

    fn take(&mut self, now: Timestamp, input: Input, step: &mut Step) {
        match input {
            Input::Tick => self.forget_settled(now),
            Input::JobAdded { job, spec } => self.on_job_added(now, job, spec, step),
            Input::NoMoreJobs => {
                self.standing = false;
                self.had_job = true;
            }
            Input::JobCancelled { job } => self.end_job(now, job, JobEndReason::Cancelled, step),
            Input::Tasks { job, data, exhausted, mark } => {
                self.on_tasks(now, job, data, exhausted, mark, step);
            }
            Input::MoreTasks { job, data } => self.add_tasks(now, job, data, true, step),
            Input::SourceBroken { job, problem } => self.on_source_broken(now, job, problem, step),
            Input::Stop { why } => self.stop(now, why, step),
            Input::Trouble { doing, problem } => self.tell_trouble(now, doing, problem, step),
            Input::Recovered => {
                self.trouble = None;
                if !self.told.is_empty() {
                    self.told.clear();
                    step.event(now, EventKind::Recovered { what: "the daemon answers again".into() });
                }
            }

            Input::OwnFault { fault } => self.on_own_fault(now, fault, step),
            Input::OwnProbed { still } => self.on_own_probed(now, still),
            Input::Gap { lasted } => self.on_gap(now, lasted, step),
            Input::ClockOff { ahead, by } => self.on_clock_off(now, ahead, by, step),

            Input::RaiseBudget { amount } => self.on_raise_budget(now, amount, step),
            Input::BudgetRaised { budget } => self.on_budget_raised(now, budget, step),
            Input::BudgetNotRaised { budget, reason } => {
                self.raising = None;
                step.event(now, EventKind::BudgetNotRaised { budget, reason });
            }
            Input::AllocationGrown { allocation, amount } => {
                self.on_allocation_grown(now, allocation, amount, step);
            }
            Input::AllocationNotGrown { problem } => self.on_allocation_not_grown(now, problem, step),
            Input::AllocationProlonged { allocation, expires } => {
                step.event(now, EventKind::AllocationProlonged { allocation, expires });
            }
            Input::AllocationLost { allocation } => self.on_allocation_lost(now, allocation, step),
            Input::Allocated { allocation, amount, expires, decoration } => {
                self.on_allocated(now, allocation, amount, expires, *decoration, step);
            }
            Input::NotAllocated { problem } => self.on_not_allocated(now, problem, step),

            Input::Published { demand, expires } => self.on_published(now, demand, expires, step),
            Input::PublishFailed { problem } => {
                self.market.publishing_failed(now);
                self.trouble = Some(format!("publish the demand: {problem}"));
                step.event(now, EventKind::Trouble { doing: "publish the demand".into(), problem });
            }
            Input::DemandLost { demand } => self.on_demand_lost(now, &demand, step),
            Input::Proposal { demand, proposal } => self.on_proposal(now, &demand, *proposal, step),
            Input::ProposalUnreadable { problem } => self.on_unreadable(now, problem, step),
            Input::Rejected { ours, reason } => self.on_rejected(now, &ours, reason, step),
            Input::Countered { proposal, ours } => self.on_countered(now, &proposal, &ours, step),
            Input::CounterFailed { proposal, problem } => {
                self.on_counter_failed(now, &proposal, &problem, step);
            }

            Input::AgreementCreated { rental, agreement } => {
                self.on_agreement_created(now, rental, agreement, step);
            }
            Input::Approved { rental, agreement } => self.on_approved(now, rental, &agreement, step),
            Input::NotApproved { rental, reason, open } => {
                self.on_not_approved(now, rental, reason, open, step);
            }
            Input::ActivityCreated { rental, no, activity } => {
                self.on_activity_created(now, rental, no, activity, step);
            }
            Input::WorkerReady { rental, no, room } => self.on_worker_ready(now, rental, no, room, step),
            Input::BatchSent { rental, no, script } => self.on_batch_sent(now, rental, no, script, step),
            Input::AttemptDone { rental, attempt, output, took, more } => {
                if let Some(job) = self.on_attempt_done(now, rental, attempt, output, took, step) {
                    self.add_tasks(now, job, more, true, step);
                }
            }
            Input::AttemptFailed { rental, attempt, failure, retry } => {
                self.on_attempt_failed(now, rental, attempt, failure, retry, step);
            }
            Input::AttemptCancelled { rental, attempt } => {
                self.on_attempt_cancelled(now, rental, attempt, step);
            }
            Input::WorkerEnded { rental, no, failure } => {
                self.on_worker_ended(now, rental, no, failure, step);
            }
            Input::ActivityUnfit { rental, no } => self.on_activity_unfit(now, rental, no, step),
            Input::Usage { rental, no, usage } => {
                let rental = self.rentals.get_mut(&rental);
                if let Some(activity) = rental.and_then(|rental| rental.current_is(no)) {
                    activity.meter.report(&usage);
                }
            }
            Input::ActivityClosed { rental, no, usage, failure } => {
                self.on_activity_closed(now, rental, no, usage, failure, step);
            }
            Input::Closed { rental, usage, failure, ended } => {
                self.on_closed(now, rental, usage, failure, ended, step);
            }
            Input::EndedLate { rental } => self.on_ended_late(now, rental, step),
            Input::AgreementTerminated { agreement, by, reason } => {
                self.on_agreement_terminated(now, &agreement, by, reason, step);
            }

            Input::DebitNote { note, told } => self.on_debit_note(now, &note, told, step),
            Input::Invoice { invoice, told } => self.on_invoice(now, &invoice, told, step),
            Input::BillsTold => self.bills_told = true,
            Input::BillUnreadable { bill } => self.on_bill_unreadable(&bill),
            Input::BillAccepted { bill } => self.on_bill_accepted(now, &bill, step),
            Input::BillFailed { bill, problem, passing } => {
                self.on_bill_failed(now, &bill, &problem, passing, step);
            }
        }
    }

    /// A failing daemon is asked again and again: the same trouble is told once.
    fn tell_trouble(&mut self, now: Timestamp, doing: String, problem: String, step: &mut Step) {
        self.trouble = Some(format!("{doing}: {problem}"));
        if self.told.get(&doing) != Some(&problem) {
            self.told.insert(doing.clone(), problem.clone());
            step.event(now, EventKind::Trouble { doing, problem });
        }
    }

    /// Begins no more work, for this reason; a second reason changes nothing.
    fn stop(&mut self, now: Timestamp, why: StopReason, step: &mut Step) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping { why, since: now, settling_since: None, is_told: false });
        step.event(now, EventKind::Stopping { why });
        if let Some(demand) = self.market.withdraw() {
            Self::withdraw(now, demand, "the run is stopping", step);
        }
        let undecided = self.rentals.iter().filter(|(_, rental)| rental.stage == Stage::Signing);
        step.effects.extend(undecided.map(|(id, _)| Effect::TakeBack { rental: *id }));
    }

    fn withdraw(now: Timestamp, demand: DemandId, why: &str, step: &mut Step) {
        step.event(now, EventKind::DemandEnded { demand: demand.clone(), why: why.to_owned() });
        step.effects.push(Effect::Withdraw { demand });
    }

    /// Forgets rentals that are over and paid: a long run must not grow with every rental it ever made.
    ///
    /// A bill that comes later still is one for an agreement nobody knows, and isn't paid.
    fn forget_settled(&mut self, now: Timestamp) {
        let over = self.rentals.extract_if(.., |_, rental| {
            let keep = if rental.invoice == Billing::Accepted { Self::KEEP_PAID } else { Self::KEEP_UNPAID };
            rental.stage == Stage::Closed
                && !rental.awaits_invoice()
                && rental.accepting.is_empty()
                && between(rental.since, now) >= keep
        });
        for (_, rental) in over {
            self.settled = self.settled.checked_add(rental.accepted).unwrap_or(Glm::MAX);
            if let Some(agreement) = &rental.agreement {
                self.by_agreement.remove(agreement);
            }
        }
    }

    /// Counts a failure by its reason. Reasons are others' words: there is a bound to how many are kept apart.
    fn count_failure(&mut self, reason: &str) {
        let reason = without_details(reason).to_owned();
        if self.failures.len() < Self::MOST_REASONS || self.failures.contains_key(&reason) {
            *self.failures.entry(reason).or_default() += 1;
        } else {
            *self.failures.entry("other reasons".to_owned()).or_default() += 1;
        }
    }

    /// The demand as it would be published now.
    fn demand(&self, expires: Timestamp) -> NewDemand {
        self.config.demand(&self.decoration, expires)
    }
}

impl Step {
    pub(crate) fn event(&mut self, at: Timestamp, kind: EventKind) {
        self.events.push(Event { at, kind });
    }
}

#[cfg(test)]
mod tests;
