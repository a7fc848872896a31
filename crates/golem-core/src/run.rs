//! The decisions of a run: inputs go in, events and effects come out.
//!
//! [`Run::on`] takes one input and the time, and answers with what happened ([`Event`]s, to be stored) and what to
//! do about it ([`Effect`]s, to be sent once the events are stored). It never waits and never fails: what goes
//! wrong outside comes in as an input like everything else.
//!
//! Left to others: talking to a daemon, running scripts, keeping time. The engine in `golem-sdk` does that.

mod activities;
mod adopt;
mod bills;
mod blame;
mod books;
mod choice;
mod config;
mod found;
mod input;
mod jobs;
mod live;
mod market;
mod money;
mod ours;
mod part;
mod pause;
mod plan;
mod rental;
mod rentals;
mod signing;
mod spending;

use std::time::Duration;

use yagna_api::market::NewDemand;
use yagna_api::payment::Decoration;
use yagna_api::time::between;
use yagna_api::{DemandId, Glm, Timestamp};

use self::books::Books;
pub use self::config::{OnBudget, RunConfig};
pub use self::found::{Found, FoundActivity, FoundAgreement, FoundRental, Replay};
pub use self::input::{Effect, Input, JobSpec, NotRaised, OwnFault, Step, WorkerFailure};
use self::live::{Live, Stopping};
use self::rental::{Billing, LiveActivity, RentalView, Stage};
use crate::event::{ActivityNo, Event, EventKind, JobEndReason, RentalId, RunEnd, StopReason};
use crate::state::{Activity, RunState};
use crate::words::without_details;

/// One run, from its first demand to its last bill: one demand and one budget for all of its jobs.
///
/// It is its [state](RunState), which survives a crash, and what may be lost in one. Only an event changes the state, and only
/// where it is recorded.
#[derive(Debug)]
pub struct Run {
    config: RunConfig,
    decoration: Decoration,
    books: Books,
    live: Live,
}

impl Run {
    /// A rental is remembered this long after it ended and was paid: a second bill for it is refused.
    const KEEP_PAID: Duration = Duration::from_secs(10 * 60);
    /// The time for which a rental is kept where nothing was paid: a right bill may follow a wrong one.
    const KEEP_UNPAID: Duration = Duration::from_secs(3600);
    /// A demand is renewed this long after it was published: the daemon forgets it after an hour.
    const RENEW_AFTER: Duration = Duration::from_secs(25 * 60);
    /// Different reasons of failures that are counted apart.
    const MOST_REASONS: usize = 32;

    /// A run that has its allocation and knows how demands speak of it.
    pub fn new(config: RunConfig, decoration: Decoration, now: Timestamp) -> Self {
        Self::of_state(config, decoration, RunState::default(), now)
    }

    fn of_state(config: RunConfig, decoration: Decoration, state: RunState, now: Timestamp) -> Self {
        let live = Live::new(&config, now);
        Self { config, decoration, books: Books::new(state), live }
    }

    /// Takes in events that somebody else has recorded for the run, such as those of its allocation.
    pub fn recorded(&mut self, events: &[Event]) {
        for event in events {
            self.books.apply(event);
        }
    }

    /// Takes one input and decides. The step's events are to be stored before its effects are sent, and both kept in their
    /// order. Once the run has [ended](Run::end) nothing more comes of any input.
    pub fn on(&mut self, now: Timestamp, input: Input) -> Step {
        let mut step = Step::default();
        if self.books.state.end.is_some() {
            return step;
        }
        let is_tick = matches!(input, Input::Tick);
        let ready = if let Input::WorkerReady { rental, .. } = &input { Some(*rental) } else { None };
        self.take(now, input, &mut step);
        if self.live.pace.may_look(now, &self.config, self.live.rentals.len()) || is_tick {
            self.live.pace.begin(now);
            self.plan(now, &mut step);
            if self.books.state.end.is_none() {
                self.plan_growth(now, &mut step);
            }
        } else if let Some(id) = ready {
            self.plan_next_tasks(now, id, &mut step);
        }
        step
    }

    /// The moment at which the run wants a [`Tick`](Input::Tick), where that may be before the next regular one.
    pub fn next_tick(&self) -> Option<Timestamp> {
        self.live.pace.due(&self.config, self.live.rentals.len()).filter(|_| self.books.state.end.is_none())
    }

    /// The end of the run, once it has ended.
    pub fn end(&self) -> Option<&RunEnd> {
        self.books.state.end.as_ref()
    }

    /// GLM that accepted bills promise in all.
    pub fn accepted(&self) -> Glm {
        self.books.state.accepted
    }

    /// True if any agreement is being made, in use or being ended.
    pub fn has_open_rentals(&self) -> bool {
        self.live.rentals.values().any(|rental| rental.stage != Stage::Closed)
    }

    fn take(&mut self, now: Timestamp, input: Input, step: &mut Step) {
        match input {
            Input::Tick => self.forget_settled(now),
            Input::JobAdded { job, spec } => self.on_job_added(now, job, spec, step),
            Input::NoMoreJobs => {
                self.live.standing = false;
                self.live.no_more_jobs = true;
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
                self.live.trouble = None;
                if !self.live.told.is_empty() {
                    self.live.told.clear();
                    step.emit(
                        &mut self.books,
                        now,
                        EventKind::Recovered { what: "the daemon answers again".into() },
                    );
                }
            }

            Input::OwnFault { fault } => self.on_own_fault(now, fault, step),
            Input::OwnProbed { still } => self.live.ours.on_probed(now, still),
            Input::Gap { lasted } => self.on_gap(now, lasted, step),
            Input::LookedAround => self.live.ours.is_looking = false,
            Input::ClockOff { ahead, by } => self.on_clock_off(now, ahead, by, step),

            Input::RaiseBudget { amount } => self.on_raise_budget(now, amount, step),
            Input::BudgetRaised { budget } => self.on_budget_raised(now, budget, step),
            Input::BudgetNotRaised { budget, reason } => {
                self.live.money.raising = None;
                step.emit(&mut self.books, now, EventKind::BudgetNotRaised { budget, reason });
            }
            Input::AllocationGrown { allocation, amount } => {
                self.on_allocation_grown(now, allocation, amount, step);
            }
            Input::AllocationNotGrown { problem } => self.on_allocation_not_grown(now, problem, step),
            Input::AllocationProlonged { allocation, expires } => {
                step.emit(&mut self.books, now, EventKind::AllocationProlonged { allocation, expires });
            }
            Input::AllocationLost { allocation } => self.on_allocation_lost(now, allocation, step),
            Input::Allocated { allocation, amount, expires, decoration } => {
                self.on_allocated(now, allocation, amount, expires, *decoration, step);
            }
            Input::NotAllocated { problem } => self.on_not_allocated(now, problem, step),

            Input::Published { demand, expires } => self.on_published(now, demand, expires, step),
            Input::PublishFailed { problem } => {
                self.live.market.publishing_failed(now);
                self.live.trouble = Some(format!("publish the demand: {problem}"));
                step.emit(
                    &mut self.books,
                    now,
                    EventKind::Trouble { doing: "publish the demand".into(), problem },
                );
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
                if let Some(activity) = self.current_live(rental, no) {
                    activity.report(&usage);
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
            Input::BillsTold => self.live.bills.all_told = true,
            Input::BillUnreadable { bill } => self.on_bill_unreadable(&bill),
            Input::BillAccepted { bill } => self.on_bill_accepted(now, &bill, step),
            Input::BillFailed { bill, problem, passing } => {
                self.on_bill_failed(now, &bill, &problem, passing, step);
            }
        }
    }

    /// A failing daemon is asked again and again: the same trouble is told once.
    fn tell_trouble(&mut self, now: Timestamp, doing: String, problem: String, step: &mut Step) {
        self.live.trouble = Some(format!("{doing}: {problem}"));
        if self.live.told.get(&doing) != Some(&problem) {
            self.live.told.insert(doing.clone(), problem.clone());
            step.emit(&mut self.books, now, EventKind::Trouble { doing, problem });
        }
    }

    /// Begins no more work, for this reason; a second reason changes nothing.
    fn stop(&mut self, now: Timestamp, why: StopReason, step: &mut Step) {
        if self.live.stopping.is_some() {
            return;
        }
        self.live.stopping = Some(Stopping { since: now, settling_since: None, is_told: false });
        step.emit(&mut self.books, now, EventKind::Stopping { why });
        if let Some(demand) = self.live.market.withdraw() {
            self.withdraw(now, demand, "the run is stopping", step);
        }
        let undecided = self.live.rentals.iter().filter(|(_, rental)| rental.stage == Stage::Signing);
        step.effects.extend(undecided.map(|(id, _)| Effect::TakeBack { rental: *id }));
    }

    fn withdraw(&mut self, now: Timestamp, demand: DemandId, why: &str, step: &mut Step) {
        step.emit(
            &mut self.books,
            now,
            EventKind::DemandEnded { demand: demand.clone(), why: why.to_owned() },
        );
        step.effects.push(Effect::Withdraw { demand });
    }

    /// The number of the next rental, from 1.
    fn next_rental(&self) -> RentalId {
        RentalId(self.books.state.next_rental.max(1))
    }

    /// A rental, in its state and beside it.
    fn rental(&self, id: RentalId) -> Option<RentalView<'_>> {
        Some(RentalView { kept: self.books.rental(id)?, live: self.live.rentals.get(&id)? })
    }

    /// All rentals that the run has or still keeps.
    fn rentals(&self) -> impl Iterator<Item = (RentalId, RentalView<'_>)> {
        #[cfg(test)]
        self.live.pace.looks.set(self.live.pace.looks.get() + self.live.rentals.len() as u64);
        let mut kept = self.books.ascending();
        self.live
            .rentals
            .iter()
            .filter_map(move |(id, live)| Some((*id, RentalView { kept: kept(*id)?, live })))
    }

    /// A rental's activity that runs or is being ended, if it is this one: whatever comes of an earlier one comes too late.
    fn current(&self, id: RentalId, no: ActivityNo) -> Option<&Activity> {
        let rental = self.books.rental(id)?;
        rental.current().filter(|_| rental.newest() == no && self.live.rentals.contains_key(&id))
    }

    fn current_live(&mut self, id: RentalId, no: ActivityNo) -> Option<&mut LiveActivity> {
        self.current(id, no)?;
        self.live.rentals.get_mut(&id)?.activities.last_mut()
    }

    /// Forgets rentals that are over and paid: a long run must not grow with every rental it ever made.
    ///
    /// A bill that comes later still is one for an agreement nobody knows, and isn't paid.
    fn forget_settled(&mut self, now: Timestamp) {
        let is_over = |rental: &RentalView<'_>| {
            let keep =
                if rental.billing() == Billing::Accepted { Self::KEEP_PAID } else { Self::KEEP_UNPAID };
            rental.live.stage == Stage::Closed
                && !rental.awaits_invoice()
                && rental.live.sending.is_empty()
                && between(rental.live.since, now) >= keep
        };
        let over: Vec<_> = self.rentals().filter(|(_, rental)| is_over(rental)).map(|(id, _)| id).collect();
        for id in over {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: RentalId) {
        if let Some(rental) = self.books.rental(id) {
            if let Some(agreement) = &rental.agreement {
                self.live.by_agreement.remove(agreement);
            }
            self.live.remove_rental(id, &rental.provider.id);
        }
        self.books.forget(id);
    }

    /// Counts a failure by its reason. Reasons are others' words: there is a bound to how many are kept apart.
    fn count_failure(&mut self, reason: &str) {
        let reason = without_details(reason).to_owned();
        if self.live.failures.len() < Self::MOST_REASONS || self.live.failures.contains_key(&reason) {
            *self.live.failures.entry(reason).or_default() += 1;
        } else {
            *self.live.failures.entry("other reasons".to_owned()).or_default() += 1;
        }
    }

    /// The demand as it would be published now.
    fn demand(&self, expires: Timestamp) -> NewDemand {
        self.config.demand(&self.decoration, expires)
    }
}

#[cfg(test)]
mod tests;
