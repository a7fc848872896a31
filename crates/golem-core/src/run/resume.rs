//! A run resumed: made of its past and of what the daemon says has become of its rentals meanwhile.
//!
//! Pure like all of the core: the engine asks the daemon first, and carries the effects out afterwards.

mod deals;

use std::collections::BTreeMap;

use yagna_api::market::{Agreement, Reason, Terminator};
use yagna_api::payment::Decoration;
use yagna_api::{ActivityId, Timestamp};

use super::jobs::Job;
use super::rental::Stage;
use super::{Effect, Run, RunConfig, Step};
use crate::event::{
    Attempt, Event, EventKind, JobEndReason, JobId, RentalId, Resumed, SentScript, StopReason,
};
use crate::state::RunState;
use crate::tasks::{AssignedTask, TaskQueue};

/// What the daemon says of the rentals of a past. One that isn't here is gone.
#[derive(Debug, Clone, Default)]
pub struct Found(pub BTreeMap<RentalId, FoundRental>);

/// What the daemon says of a rental.
#[derive(Debug, Clone)]
pub struct FoundRental {
    /// Its agreement.
    pub agreement: FoundAgreement,
    /// Its activities that aren't known to be over, those that the past doesn't know included. Also the last activity of
    /// the past, where it was given up and its end was never confirmed.
    pub activities: BTreeMap<ActivityId, FoundActivity>,
}

/// What the daemon says of an agreement.
#[derive(Debug, Clone)]
pub enum FoundAgreement {
    /// It is in force.
    Approved(Box<Agreement>),
    /// It was in force, and one side has ended it.
    Ended {
        /// When.
        at: Timestamp,
        /// Who.
        by: Terminator,
        /// Why.
        reason: Reason,
    },
    /// It never came into force, or the daemon no longer has it.
    None,
}

/// What the daemon says of an activity.
#[derive(Debug, Clone, Default)]
pub struct FoundActivity {
    /// Does its provider say that it has ended?
    pub over: bool,
    /// Can it be gone on with? Its provider answers, and nothing runs in it that wasn't recorded.
    pub sound: bool,
    /// What it has used, as far as that is known.
    pub usage: Option<Vec<f64>>,
}

/// What an earlier life of a worker left in its activity.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The scripts that set it up.
    pub setup: Vec<SentScript>,
    /// The tasks in its hands.
    pub tasks: Vec<AssignedTask>,
    /// The scripts that it had sent for them.
    pub scripts: Vec<SentScript>,
}

impl Run {
    /// Resumes a run, with what it is to do at once.
    ///
    /// Of its jobs those go on whose workers are there: the first one, unless the run stands ready for jobs. The
    /// others are cancelled.
    pub fn resume(
        config: RunConfig,
        decoration: Decoration,
        past: &RunState,
        found: &Found,
        now: Timestamp,
    ) -> (Self, Step) {
        Self::begin_again(config, decoration, past, found, now, None)
    }

    /// Resumes a run only to bring it to an end: nothing more is begun, what runs is ended, and its bills are settled.
    /// Its jobs are left as they are, so that it can still be [resumed](Self::resume).
    ///
    /// It stops for the reason that it stopped for before, or as cancelled.
    pub fn settle(
        config: RunConfig,
        decoration: Decoration,
        past: &RunState,
        found: &Found,
        now: Timestamp,
    ) -> (Self, Step) {
        let before = past.end.as_ref().map(|end| end.why).or(past.stopping);
        let otherwise = match () {
            () if past.has_enough => StopReason::ResultsReached,
            () if past.is_finished() => StopReason::AllDone,
            () => StopReason::Cancelled,
        };
        let why = before.unwrap_or(otherwise);
        Self::begin_again(config, decoration, past, found, now, Some(why))
    }

    fn begin_again(
        config: RunConfig,
        decoration: Decoration,
        past: &RunState,
        found: &Found,
        now: Timestamp,
        only_to_end: Option<StopReason>,
    ) -> (Self, Step) {
        let budget = past.budget(config.budget);
        let mut run = Self::new(RunConfig { budget, ..config }, decoration, now);
        let mut step = Step::default();
        if let Some(why) = only_to_end {
            run.stop(now, why, &mut step);
        }
        run.had_job = past.next_job > 0;
        run.has_enough = past.has_enough;
        run.without_result = past.without_result;
        run.next_rental = past.next_rental.max(1);
        run.accepted = past.accepted;
        run.ledger = past.promised.clone();
        run.set_backing(past.left(budget, now));
        run.settled = past.settled();
        run.bills_told = false;
        run.seen_before = past.recent_bills.keys().cloned().collect();
        for (provider, until) in &past.set_back {
            run.standings.keep_back(provider, *until);
        }
        run.queue = TaskQueue::of_past(past, run.config.retries, |task| {
            let deal = past.rentals.get(&task.running?)?;
            Some(deal.provider.id.clone())
        });
        run.set_others_aside();
        run.restore_jobs(past);
        for (id, deal) in &past.rentals {
            run.restore_deal(*id, deal, past, now);
        }
        for demand in past.demands.keys() {
            Self::withdraw(now, demand.clone(), "the run was taken up again", &mut step);
        }
        // Whether the daemon was asked to is unknown; it takes a demand off the market once.
        let withdrawn = past.withdrawn.iter().filter(|(_, expires)| **expires > now);
        step.effects.extend(withdrawn.map(|(demand, _)| Effect::Withdraw { demand: demand.clone() }));
        for (id, deal) in &past.rentals {
            run.resume_deal(now, *id, deal, found.0.get(id), &mut step);
        }
        if only_to_end.is_none() {
            // While nobody was there more may have been approved than there are workers.
            run.plan_surplus(now, &mut step);
        }
        // Attempts in the hands of rentals that nobody knows of any more.
        for (id, task) in &past.tasks {
            let lost = task.running.filter(|rental| !past.rentals.contains_key(rental));
            if let Some(rental) = lost {
                let attempt = Attempt { task: *id, number: task.attempts };
                step.event(now, EventKind::AttemptCancelled { attempt, rental, lost: None, took: None });
            }
        }
        if only_to_end.is_none() {
            let others: Vec<_> = run.jobs.keys().copied().filter(|job| !run.goes_on(*job)).collect();
            for job in others {
                run.end_job(now, job, JobEndReason::Cancelled, &mut step);
            }
        }
        let resumed = run.resumed(past);
        step.events.insert(0, Event { at: now, kind: EventKind::RunResumed { resumed } });
        (run, step)
    }

    fn resumed(&self, past: &RunState) -> Resumed {
        let live = self.rentals.values().filter(|rental| rental.is_live()).count();
        let over = past.rentals.values().filter(|deal| deal.ended.is_some()).count();
        Resumed {
            tasks: (self.queue.n_waiting() + self.queue.n_running()) as u64,
            running: self.queue.n_running() as u64,
            adopted: live as u64,
            ended: past.rentals.len().saturating_sub(live + over) as u64,
            unsettled: self
                .rentals
                .values()
                .filter(|rental| rental.stage == Stage::Closed && rental.awaits_invoice())
                .count() as u64,
            accepted: self.accepted,
        }
    }

    /// Is there a worker for a job of the past?
    fn goes_on(&self, job: JobId) -> bool {
        !self.standing && self.stopping.is_none() && job == JobId::FIRST
    }

    fn restore_jobs(&mut self, past: &RunState) {
        for (id, job) in &past.jobs {
            let ever_worked = job.done > 0;
            self.jobs.insert(*id, Job { deadline: job.deadline, ever_worked, ..Job::default() });
        }
    }
}
