//! A run that is resumed: its state, brought to where the daemon says that its rentals are.
//!
//! Pure like all of the core: the engine asks the daemon first, and carries the effects out afterwards.

mod rentals;

use yagna_api::Timestamp;
use yagna_api::payment::Decoration;

use super::live::jobs::Job;
use super::rental::{LiveRental, RentalView, Stage};
use super::{Effect, Found, Run, RunConfig, Step};
use crate::event::{Attempt, Event, EventKind, JobEndReason, JobId, Resumed, StopReason};
use crate::state::RunState;

impl Run {
    /// Resumes a run, with what it is to do at once.
    ///
    /// Of its jobs those go on whose workers are there: the first one, unless the run stands ready for jobs. The
    /// others are cancelled.
    pub fn resume(
        config: RunConfig,
        decoration: Decoration,
        state: &RunState,
        found: &Found,
        now: Timestamp,
    ) -> (Self, Step) {
        Self::begin_again(config, decoration, state, found, now, None)
    }

    /// Resumes a run only to bring it to an end: nothing more is begun, what runs is ended, and its bills are settled.
    /// Its jobs are left as they are, so that it can still be [resumed](Self::resume).
    ///
    /// It stops for the reason that it stopped for before, or as cancelled.
    pub fn settle(
        config: RunConfig,
        decoration: Decoration,
        state: &RunState,
        found: &Found,
        now: Timestamp,
    ) -> (Self, Step) {
        let before = state.end.as_ref().map(|end| end.why).or(state.stopping);
        let otherwise = match () {
            () if state.has_enough => StopReason::ResultsReached,
            () if state.is_finished() => StopReason::AllDone,
            () => StopReason::Cancelled,
        };
        let why = before.unwrap_or(otherwise);
        Self::begin_again(config, decoration, state, found, now, Some(why))
    }

    fn begin_again(
        config: RunConfig,
        decoration: Decoration,
        state: &RunState,
        found: &Found,
        now: Timestamp,
        only_to_end: Option<StopReason>,
    ) -> (Self, Step) {
        let mut run = Self::of_state(config, decoration, state.clone(), now);
        let mut step = Step::default();
        // It comes first, and what it counts is known last.
        step.emit(&mut run.books, now, EventKind::RunResumed { resumed: Resumed::default() });
        if let Some(why) = only_to_end {
            run.stop(now, why, &mut step);
        }
        run.deduce(state, now);
        for demand in state.demands.keys() {
            run.withdraw(now, demand.clone(), "the run was resumed", &mut step);
        }
        // The daemon may or may not have been asked to; it takes a demand off the market once.
        let withdrawn = state.withdrawn.iter().filter(|(_, expires)| **expires > now);
        step.effects.extend(withdrawn.map(|(demand, _)| Effect::Withdraw { demand: demand.clone() }));
        for (id, kept) in &state.rentals {
            run.adopt(now, *id, kept, found.0.get(id), &mut step);
        }
        if only_to_end.is_none() {
            // While nobody was there more may have been approved than there are workers.
            run.plan_surplus(now, &mut step);
        }
        // Attempts in the hands of rentals that nobody knows of any more.
        for (id, task) in &state.tasks {
            let lost = task.running.filter(|rental| !state.rentals.contains_key(rental));
            if let Some(rental) = lost {
                let attempt = Attempt { task: *id, number: task.attempts };
                let kind = EventKind::AttemptCancelled { attempt, rental, lost: None, took: None };
                step.emit(&mut run.books, now, kind);
            }
        }
        if only_to_end.is_none() {
            let others: Vec<_> = run.live.jobs.keys().copied().filter(|job| !run.goes_on(*job)).collect();
            for job in others {
                run.end_job(now, job, JobEndReason::Cancelled, &mut step);
            }
        }
        let resumed = run.resumed(state);
        step.events[0] = Event { at: now, kind: EventKind::RunResumed { resumed } };
        (run, step)
    }

    /// Deduces from the state what isn't part of it.
    fn deduce(&mut self, state: &RunState, now: Timestamp) {
        self.set_backing(state.left(self.config.budget, now));
        self.live.bills.all_told = false;
        self.live.bills.seen_before = state.recent_bills.keys().cloned().collect();
        for (provider, until) in &state.set_back {
            self.live.providers.standings.keep_back(provider, *until);
        }
        self.set_others_aside();
        for (id, job) in &state.jobs {
            self.live.jobs.insert(*id, Job { ever_worked: job.done > 0, ..Job::default() });
        }
        for (id, rental) in &state.rentals {
            if rental.activities.iter().any(|activity| activity.done > 0) {
                self.live.providers.proven.insert(rental.provider.id.clone());
            }
            if let Some(agreement) = &rental.agreement {
                self.live.by_agreement.insert(agreement.clone(), *id);
            }
            self.live.bills.accepting.extend(rental.accepting.keys().map(|bill| (bill.clone(), *id)));
            self.live.add_rental(*id, &rental.provider.id, LiveRental::of(rental, now));
        }
        for (id, task) in &state.tasks {
            if let Some(rental) = task.running.and_then(|rental| self.live.rentals.get_mut(&rental)) {
                rental.running.insert(Attempt { task: *id, number: task.attempts }, now);
            }
        }
    }

    fn resumed(&self, state: &RunState) -> Resumed {
        let live = self.n_live();
        let over = state.rentals.values().filter(|rental| rental.ended.is_some()).count();
        let unsettled =
            |rental: &RentalView<'_>| rental.live.stage == Stage::Closed && rental.awaits_invoice();
        Resumed {
            tasks: (self.books.queue.n_waiting() + self.books.queue.n_running()) as u64,
            running: self.books.queue.n_running() as u64,
            adopted: live as u64,
            ended: state.rentals.len().saturating_sub(live + over) as u64,
            unsettled: self.rentals().filter(|(_, rental)| unsettled(rental)).count() as u64,
            accepted: self.books.state.accepted,
        }
    }

    /// True if there is a worker for a job of the state.
    fn goes_on(&self, job: JobId) -> bool {
        !self.live.standing && self.live.stopping.is_none() && job == JobId::FIRST
    }
}
