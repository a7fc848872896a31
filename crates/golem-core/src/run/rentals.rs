//! What happens to rentals: signed or not, held, working, closed; and to the tasks in their hands.
//!
//! What happens to their activities is in `activities`.

use std::time::Duration;

use yagna_api::market::{Agreement, Reason, Terminator};
use yagna_api::time::between;
use yagna_api::{AgreementId, NodeId, Timestamp};

use super::rental::{Billing, Stage};
use super::{Effect, Run, Step};
use crate::event::{Attempt, AttemptFailure, EventKind, FailureKind, JobId, RentalId, TaskId, TaskOutput};
use crate::offer::OfferTerms;
use crate::tasks::Verdict;
use crate::terms::AgreedTerms;
use crate::words::after_others;

/// Why we end a rental, in the words that providers see and those that programs read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    message: String,
    code: &'static str,
    /// Is the provider to be left alone for a while?
    blame: bool,
}

impl Ending {
    pub(super) fn success() -> Self {
        Self { message: "all work is done".into(), code: "Success", blame: false }
    }

    pub(super) fn cancelled(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: "Cancelled", blame: false }
    }

    pub(super) fn failure(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: "ProviderFailed", blame: true }
    }

    pub(super) fn overbilled(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: "IncorrectAmount", blame: true }
    }

    pub(super) fn with_code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    fn reason(&self) -> Reason {
        Reason::new(self.message.clone()).with("golem.requestor.code", self.code)
    }
}

impl Run {
    /// A provider that fails so many tasks in a row, none of which failed elsewhere, is dropped.
    const MOST_FAILURES: u32 = 2;

    /// Is there a rental with this provider that isn't over?
    pub(super) fn rents_from(&self, provider: &NodeId) -> bool {
        self.rentals.values().any(|rental| rental.provider.id == *provider && rental.stage != Stage::Closed)
    }

    pub(super) fn on_agreement_created(
        &mut self,
        now: Timestamp,
        id: RentalId,
        agreement: AgreementId,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        rental.agreement = Some(agreement.clone());
        self.by_agreement.insert(agreement.clone(), id);
        step.event(now, EventKind::AgreementCreated { rental: id, agreement });
    }

    pub(super) fn on_approved(
        &mut self,
        now: Timestamp,
        id: RentalId,
        agreement: &Agreement,
        step: &mut Step,
    ) {
        let stopping = self.stopping.is_some();
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if rental.stage != Stage::Signing {
            return;
        }
        let agreement_id = agreement.agreement_id.clone();
        self.by_agreement.insert(agreement_id.clone(), id);
        rental.agreement = Some(agreement_id.clone());
        rental.agreed = AgreedTerms::read(&agreement.demand.properties, &agreement.offer.properties);
        rental.since = now;
        rental.approved = true;
        self.taken_back = 0;
        self.records.approved(&rental.provider.id);
        let offer = OfferTerms::read(&rental.provider.id, &agreement.offer.properties);
        let same_price = offer.is_ok_and(|offer| {
            offer.pricing == rental.terms.pricing && offer.threads == rental.terms.threads
        });
        let agreed = Some(rental.agreed);
        step.event(now, EventKind::AgreementApproved { rental: id, agreement: agreement_id, agreed });
        if rental.agreement_over {
            // The provider's termination overtook the news of its approval.
            self.close(now, id, &Ending::failure("the agreement ended before it was used"), step);
        } else if !same_price {
            self.close(
                now,
                id,
                &Ending::failure("the agreement's price isn't the one that was offered"),
                step,
            );
        } else if stopping {
            self.close(now, id, &Ending::cancelled("the run is stopping"), step);
        } else {
            rental.stage = Stage::Held;
            rental.idle_since = Some(now);
        }
    }

    pub(super) fn on_not_approved(
        &mut self,
        now: Timestamp,
        id: RentalId,
        reason: String,
        open: bool,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if rental.stage != Stage::Signing {
            return;
        }
        let ours = self.is_own_fault(id, &reason, now);
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        let reason = match rental.taken_back {
            Some(waited) => format!("no answer within {} s: {reason}", waited.as_secs()),
            None => reason,
        };
        let words = format!("agreement not approved: {reason}");
        step.event(now, EventKind::AgreementFailed { rental: id, reason });
        rental.invoice = Billing::Closed;
        if self.stopping.is_none() && !ours {
            self.records.not_approved(&rental.provider.id);
        }
        let to_end = open && rental.agreement.is_some();
        if !to_end {
            rental.stage = Stage::Closed;
            rental.since = now;
        }
        if self.stopping.is_some() {
            // It was taken back, and nobody is to blame for that.
            if to_end {
                self.close(now, id, &Ending::cancelled("the run is stopping"), step);
            }
            return;
        }
        self.count_failure(&words);
        if to_end {
            let ending = if ours { Ending::cancelled(words) } else { Ending::failure(words) };
            self.close(now, id, &ending, step);
        } else if !ours {
            self.set_back(now, id, words, step);
        }
    }

    /// The job whose task is done; none when the attempt was an old one.
    pub(super) fn on_attempt_done(
        &mut self,
        now: Timestamp,
        id: RentalId,
        attempt: Attempt,
        output: TaskOutput,
        took: Duration,
        step: &mut Step,
    ) -> Option<JobId> {
        let rental = self.rentals.get_mut(&id)?;
        let known = rental.running.remove(&attempt).is_some();
        let job = if known { self.queue.done(attempt) } else { None }?;
        rental.streak = 0;
        rental.failed_shared = false;
        if let Some(activity) = rental.activities.last_mut() {
            activity.done += 1;
        }
        if !self.proven.contains(&rental.provider.id) {
            self.proven.insert(rental.provider.id.clone());
        }
        self.standings.forgive(&rental.provider.id);
        self.records.task_done(&rental.provider.id);
        if let Some(job) = self.jobs.get_mut(&job) {
            job.failings.forget();
        }
        self.last_alive = now;
        self.has_enough |= output.ends_run;
        self.without_result += u64::from(output.no_result);
        step.event(now, EventKind::TaskDone { attempt, rental: id, output, took });
        self.own_trouble_is_over(now, step);
        Some(job)
    }

    pub(super) fn on_attempt_failed(
        &mut self,
        now: Timestamp,
        id: RentalId,
        attempt: Attempt,
        failure: AttemptFailure,
        retry: bool,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        let Some(began) = rental.running.remove(&attempt) else {
            return;
        };
        let kind = failure.kind;
        if kind == FailureKind::OwnTrouble || self.cost_by_silence(began, kind, now) {
            if kind == FailureKind::OwnTrouble {
                self.on_own_failure(now, &failure.message, step);
            }
            return self.give_attempt_back(now, id, attempt, step);
        }
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if kind == FailureKind::Lost {
            if rental.lost_several || !rental.running.is_empty() {
                rental.lost_several = true;
                return self.give_back_suspect(now, id, attempt, (&failure.message, failure.took), step);
            }
            self.note_lone_loss(id, attempt.task);
        }
        let ran_before = if retry { self.ran_before(id, kind) } else { 0 };
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if let Some(activity) = rental.activities.last_mut() {
            activity.failed += 1;
        }
        let job = rental.job();
        // A task that failed elsewhere too says nothing about this provider.
        let shared = self.queue.failed_elsewhere(attempt.task, &rental.provider.id);
        rental.failed_shared |= shared;
        let failures = self.queue.failures(attempt.task) + 1;
        let message = match ran_before {
            0 => failure.message,
            n => format!("{}{}", failure.message.trim_end(), after_others(n)),
        };
        let failure = AttemptFailure { message, failures, ..failure };
        match self.queue.failed(attempt, kind, retry, now) {
            Verdict::Old => return,
            Verdict::Retry => {
                if let Some(job) = job.filter(|_| ran_before > 0) {
                    self.queue.want_fresh(job, attempt.task);
                }
                step.event(now, EventKind::AttemptFailed { attempt, rental: id, failure });
            }
            Verdict::Final => {
                step.event(now, EventKind::TaskFailed { attempt, rental: Some(id), failure });
            }
        }
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        self.records.task_failed(&rental.provider.id);
        // One that no other could mend neither.
        if !shared && retry && kind != FailureKind::Invalid {
            rental.streak += 1;
        }
        let streak = rental.streak;
        let provider = rental.provider.id.clone();
        // Where nobody has ever succeeded, the tasks are to blame as likely as the providers.
        let others_succeed = self.proven.len() > usize::from(self.proven.contains(&provider));
        let others_failed =
            self.rentals.values().any(|other| other.provider.id != provider && other.streak > 0);
        if streak >= Self::MOST_FAILURES
            && (others_succeed || !others_failed)
            && self.others_to_turn_to(&provider)
        {
            self.close(now, id, &Ending::failure(format!("failed {streak} tasks in a row")), step);
        }
    }

    /// Is there any other provider to work with?
    fn others_to_turn_to(&self, provider: &NodeId) -> bool {
        self.rentals.values().any(|rental| rental.is_live() && rental.provider.id != *provider)
            || self.market.drafts().any(|draft| draft.terms.provider != *provider)
    }

    pub(super) fn on_attempt_cancelled(
        &mut self,
        now: Timestamp,
        id: RentalId,
        attempt: Attempt,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if rental.running.remove(&attempt).is_some() && self.queue.cancelled(attempt) {
            // Its worker never began with it.
            let took = Some(Duration::ZERO);
            step.event(now, EventKind::AttemptCancelled { attempt, rental: id, lost: None, took });
        }
    }

    pub(super) fn on_agreement_terminated(
        &mut self,
        now: Timestamp,
        agreement: &AgreementId,
        by: Terminator,
        reason: Option<Reason>,
        step: &mut Step,
    ) {
        let Some(&id) = self.by_agreement.get(agreement) else {
            return;
        };
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if by == Terminator::Requestor || rental.agreement_over {
            return;
        }
        rental.agreement_over = true;
        let reason = reason.unwrap_or_else(|| Reason::new("no reason given"));
        let ended = EventKind::AgreementEnded {
            rental: id,
            agreement: agreement.clone(),
            by,
            reason: reason.clone(),
            forgotten: false,
        };
        step.event(now, ended);
        if matches!(rental.stage, Stage::Opening | Stage::Working) {
            let words = format!("the provider ended the agreement: {}", reason.message);
            let ending = self.ending_of_loss(id, words.clone());
            self.lose_running(now, id, &words, step);
            self.close(now, id, &ending, step);
        } else if rental.stage == Stage::Held {
            // It did nothing for us, and owed us nothing.
            self.close(now, id, &Ending::cancelled("the provider ended the agreement"), step);
        }
    }

    /// Every task in this rental's hands is lost: it will be tried elsewhere. Of several together nobody knows which one the loss
    /// is due to: their attempts don't count, and each is tried alone next.
    pub(super) fn lose_running(&mut self, now: Timestamp, id: RentalId, why: &str, step: &mut Step) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        let mut lost: Vec<_> = rental.running.drain().collect();
        lost.sort_unstable();
        let n_lost = lost.len();
        let is_alone = n_lost == 1 && !rental.lost_several;
        for (attempt, began) in lost {
            if self.cost_by_silence(began, FailureKind::Lost, now) {
                self.give_attempt_back(now, id, attempt, step);
                continue;
            }
            if !is_alone {
                let took = between(began, now) / u32::try_from(n_lost).unwrap_or(u32::MAX).max(1);
                self.give_back_suspect(now, id, attempt, (why, Some(took)), step);
                continue;
            }
            let failures = self.queue.failures(attempt.task) + 1;
            let failure = AttemptFailure { failures, ..AttemptFailure::new(FailureKind::Lost, why) };
            match self.queue.failed(attempt, FailureKind::Lost, true, now) {
                Verdict::Old => {}
                Verdict::Retry => step.event(now, EventKind::AttemptFailed { attempt, rental: id, failure }),
                Verdict::Final => {
                    step.event(now, EventKind::TaskFailed { attempt, rental: Some(id), failure });
                }
            }
        }
    }

    /// The reason for which a rental ends whose machine is lost. Where a single task was in its hands that has cost other providers theirs, the
    /// task is to blame: those providers are forgiven, and this one isn't set back.
    pub(super) fn ending_of_loss(&mut self, id: RentalId, words: String) -> Ending {
        let running = self.rentals.get(&id).map(|rental| rental.running.keys().collect::<Vec<_>>());
        if let Some([only]) = running.as_deref() {
            self.note_lone_loss(id, only.task);
        }
        let is_excused = self.rentals.get(&id).is_some_and(|rental| rental.lost_to_task);
        if is_excused { Ending::cancelled(words) } else { Ending::failure(words) }
    }

    /// A machine was lost with this task alone in its hands: where the task has cost others theirs, they are forgiven.
    fn note_lone_loss(&mut self, id: RentalId, task: TaskId) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if rental.lost_several || rental.lost_to_task {
            return;
        }
        let others = self.queue.lost_elsewhere(task, &rental.provider.id);
        rental.lost_to_task = !others.is_empty();
        for other in &others {
            self.standings.forgive(other);
            self.records.forgive_loss(other);
        }
    }

    /// Gives back an attempt whose machine was lost with other tasks in hand as well; its task is tried alone from now on.
    fn give_back_suspect(
        &mut self,
        now: Timestamp,
        id: RentalId,
        attempt: Attempt,
        (why, took): (&str, Option<Duration>),
        step: &mut Step,
    ) {
        if self.queue.lost_with_others(attempt) {
            let lost = Some(why.to_owned());
            step.event(now, EventKind::AttemptCancelled { attempt, rental: id, lost, took });
        }
    }

    /// The number of tasks that have run in a rental's activity, where what they left there may be the reason of a failure of this
    /// kind.
    fn ran_before(&self, id: RentalId, kind: FailureKind) -> u64 {
        let may_matter = matches!(kind, FailureKind::CommandFailed | FailureKind::TransferFailed);
        let activity = self.rentals.get(&id).and_then(|rental| rental.current());
        let ran = activity.map_or(0, |activity| activity.done + activity.failed);
        if may_matter && self.config.fresh_retries { ran } else { 0 }
    }

    /// Ends a rental: what it was doing is given up.
    pub(super) fn close(&mut self, now: Timestamp, id: RentalId, ending: &Ending, step: &mut Step) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if !rental.is_live() {
            return;
        }
        // A wrong bill is wrong whatever we did meanwhile.
        let blame = ending.blame
            && (ending.code == "IncorrectAmount" || !self.is_own_fault(id, &ending.message, now));
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        rental.stage = Stage::Closing;
        rental.since = now;
        rental.room = None;
        rental.failure = blame.then(|| ending.message.clone());
        rental.ending = Some(ending.reason());
        let agreement = rental.agreement.clone().filter(|_| !rental.agreement_over);
        let current = rental.current();
        // Where the activity is being ended already, the agreement follows once it is.
        let waits = current.is_some_and(|activity| activity.closing);
        let activity = current.and_then(|activity| activity.id.clone());
        self.give_up_running(now, id, step);
        if blame {
            self.set_back(now, id, ending.message.clone(), step);
        }
        if !waits {
            step.effects.push(Effect::Close { rental: id, agreement, activity, reason: ending.reason() });
        }
    }

    /// Every task in this rental's hands is given up through no fault of its own.
    pub(super) fn give_up_running(&mut self, now: Timestamp, id: RentalId, step: &mut Step) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        let mut cancelled: Vec<_> = rental.running.drain().map(|(attempt, _)| attempt).collect();
        cancelled.sort_unstable();
        for attempt in cancelled {
            if self.queue.cancelled(attempt) {
                step.event(now, EventKind::AttemptCancelled { attempt, rental: id, lost: None, took: None });
            }
        }
    }

    pub(super) fn on_closed(
        &mut self,
        now: Timestamp,
        id: RentalId,
        usage: Option<Vec<f64>>,
        failure: Option<String>,
        is_ended: bool,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if rental.stage != Stage::Closing || rental.current().is_some_and(|activity| activity.closing) {
            return;
        }
        rental.stage = Stage::Closed;
        rental.since = now;
        // What couldn't be ended is ended again and again meanwhile, and its provider may come back.
        rental.out_of_reach &= failure.is_none();
        let was_open = rental.end_activity(usage.as_ref(), failure.is_none(), now);
        if rental.activities.iter().all(|activity| activity.id.is_none()) {
            // Nothing ever ran: nothing is owed, and providers send no bill or one of zero.
            rental.invoice = Billing::Closed;
        }
        let ended = rental.failure.clone();
        if was_open {
            let complete = usage.is_some() && failure.is_none();
            step.event(now, EventKind::ActivityEnded { rental: id, usage, failure: ended, complete });
        }
        if let Some(problem) = failure {
            step.event(now, EventKind::Trouble { doing: "end an agreement".into(), problem });
        }
        if is_ended {
            self.on_ended_late(now, id, step);
        }
    }

    /// Tells that an agreement is over that we have ended. One that nobody has confirmed isn't told of so.
    pub(super) fn on_ended_late(&mut self, now: Timestamp, id: RentalId, step: &mut Step) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if let Some(agreement) = rental.agreement.clone().filter(|_| !rental.agreement_over) {
            rental.agreement_over = true;
            let reason = rental.ending.clone().unwrap_or_default();
            let by = Terminator::Requestor;
            let ended = EventKind::AgreementEnded { rental: id, agreement, by, reason, forgotten: false };
            step.event(now, ended);
        }
    }

    /// Leaves the rental's provider alone for a while.
    pub(super) fn set_back(&mut self, now: Timestamp, id: RentalId, reason: String, step: &mut Step) {
        let Some(rental) = self.rentals.get(&id) else {
            return;
        };
        let until = self.standings.set_back(&rental.provider.id, now);
        if rental.approved {
            // That it approved no agreement is on its record already.
            self.records.failed(&rental.provider.id);
        }
        // What it agreed to before it failed is no longer wanted.
        self.market.take_draft(&rental.provider.id);
        step.event(now, EventKind::ProviderSetBack { provider: rental.provider.clone(), until, reason });
    }

    /// How long a rental has had nothing to do, if it has.
    pub(super) fn idle_for(&self, id: RentalId, now: Timestamp) -> Option<Duration> {
        let rental = self.rentals.get(&id)?;
        let idle = matches!(rental.stage, Stage::Working | Stage::Held) && rental.running.is_empty();
        idle.then(|| rental.idle_since.map(|since| between(since, now)))?
    }
}
