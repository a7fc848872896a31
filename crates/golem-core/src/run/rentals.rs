//! What happens to deals: signed or not, opened or not, working, closed; and to the tasks in their hands.

use std::time::Duration;

use yagna_api::market::{Agreement, Reason, Terminator};
use yagna_api::time::between;
use yagna_api::{ActivityId, AgreementId, NodeId, Timestamp};

use super::rental::{InvoiceState, Stage};
use super::{Effect, Run, Step};
use crate::bill::Meter;
use crate::event::{Attempt, AttemptFailure, EventKind, FailureKind, RentalId, TaskOutput};
use crate::offer::OfferTerms;
use crate::tasks::Verdict;
use crate::terms::AgreedTerms;

/// Why we end a deal, in the words that providers see and those that programs read.
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

    fn reason(&self) -> Reason {
        Reason::new(self.message.clone()).with("golem.requestor.code", self.code)
    }
}

impl Run {
    /// A provider that fails so many tasks in a row, none of which failed elsewhere, is dropped.
    const MOST_FAILURES: u32 = 2;

    /// Is there a deal with this provider that isn't over?
    pub(super) fn deals_with(&self, provider: &NodeId) -> bool {
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
        let offer = OfferTerms::read(&rental.provider.id, &agreement.offer.properties);
        let same_price = offer.is_ok_and(|offer| {
            offer.pricing == rental.terms.pricing && offer.threads == rental.terms.threads
        });
        step.event(now, EventKind::AgreementApproved { rental: id, agreement: agreement_id });
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
            rental.stage = Stage::Opening;
            rental.meter = Some(Meter::new(now, rental.terms.threads));
            step.event(now, EventKind::ActivityIntended { rental: id });
            step.effects.push(Effect::OpenActivity { rental: id, agreement: Box::new(agreement.clone()) });
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
        let words = format!("agreement not approved: {reason}");
        step.event(now, EventKind::AgreementFailed { rental: id, reason });
        rental.invoice = InvoiceState::Closed;
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
        self.count_failure(words.clone());
        if to_end {
            self.close(now, id, &Ending::failure(words), step);
        } else {
            self.set_back(now, id, words, step);
        }
    }

    pub(super) fn on_activity_created(
        &mut self,
        now: Timestamp,
        id: RentalId,
        activity: ActivityId,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        rental.activity = Some(activity.clone());
        step.event(now, EventKind::ActivityCreated { rental: id, activity });
    }

    pub(super) fn on_worker_ready(&mut self, now: Timestamp, id: RentalId, room: usize, step: &mut Step) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if rental.stage == Stage::Opening {
            rental.stage = Stage::Working;
            rental.since = now;
            self.ever_worked = true;
            step.event(now, EventKind::ActivityReady { rental: id });
        }
        rental.room = Some(room.max(1));
        rental.idle_since = Some(now);
    }

    pub(super) fn on_attempt_done(
        &mut self,
        now: Timestamp,
        id: RentalId,
        attempt: Attempt,
        output: TaskOutput,
        took: Duration,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if rental.running.remove(&attempt).is_none() || !self.queue.done(attempt) {
            return;
        }
        rental.streak = 0;
        rental.done += 1;
        if !self.proven.contains(&rental.provider.id) {
            self.proven.insert(rental.provider.id.clone());
        }
        self.standings.forgive(&rental.provider.id);
        self.last_alive = now;
        step.event(now, EventKind::TaskDone { attempt, rental: id, output, took });
    }

    pub(super) fn on_attempt_failed(
        &mut self,
        now: Timestamp,
        id: RentalId,
        attempt: Attempt,
        failure: AttemptFailure,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if rental.running.remove(&attempt).is_none() {
            return;
        }
        // A task that failed elsewhere too says nothing about this provider.
        let shared = self.queue.failed_elsewhere(attempt.task, &rental.provider.id);
        let kind = failure.kind;
        match self.queue.failed(attempt, kind, now) {
            Verdict::Old => return,
            Verdict::Retry => step.event(now, EventKind::AttemptFailed { attempt, rental: id, failure }),
            Verdict::Final => {
                step.event(now, EventKind::TaskFailed { attempt, rental: Some(id), failure });
            }
        }
        if !shared && kind != FailureKind::Invalid {
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
            || self.market.best_draft(|other| other != provider).is_some()
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
            step.event(now, EventKind::AttemptCancelled { attempt, rental: id });
        }
    }

    pub(super) fn on_worker_ended(
        &mut self,
        now: Timestamp,
        id: RentalId,
        failure: Option<String>,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if !rental.is_live() {
            return;
        }
        match failure {
            None => {
                // What it was given and didn't answer is lost; and one that never took a task while there were some
                // would end the same way the next time.
                let why = "the worker ended without an answer";
                let idle = rental.idle_since.is_none() && !rental.was_given;
                if !rental.running.is_empty() || (idle && self.queue.n_waiting() > 0) {
                    self.count_failure(why.to_owned());
                    self.lose_running(now, id, why, step);
                    return self.close(now, id, &Ending::failure(why), step);
                }
                self.close(now, id, &Ending::success(), step);
            }
            Some(failure) => {
                let opening = rental.stage == Stage::Opening;
                if opening {
                    self.never_opened.insert(rental.provider.id.clone());
                }
                let stage = if opening { "activity didn't start" } else { "worker failed" };
                self.count_failure(format!("{stage}: {failure}"));
                self.lose_running(now, id, &failure, step);
                self.close(now, id, &Ending::failure(failure), step);
            }
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
        };
        step.event(now, ended);
        if matches!(rental.stage, Stage::Opening | Stage::Working) {
            let words = format!("the provider ended the agreement: {}", reason.message);
            self.lose_running(now, id, &words, step);
            self.close(now, id, &Ending::failure(words), step);
        }
    }

    /// Every task in this deal's hands is lost: it will be tried elsewhere.
    fn lose_running(&mut self, now: Timestamp, id: RentalId, why: &str, step: &mut Step) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        let mut lost: Vec<_> = rental.running.drain().map(|(attempt, _)| attempt).collect();
        lost.sort_unstable();
        for attempt in lost {
            let failure =
                AttemptFailure { kind: FailureKind::Lost, message: why.to_owned(), stderr: String::new() };
            match self.queue.failed(attempt, FailureKind::Lost, now) {
                Verdict::Old => {}
                Verdict::Retry => step.event(now, EventKind::AttemptFailed { attempt, rental: id, failure }),
                Verdict::Final => {
                    step.event(now, EventKind::TaskFailed { attempt, rental: Some(id), failure });
                }
            }
        }
    }

    /// Ends a deal: what it was doing is given up.
    pub(super) fn close(&mut self, now: Timestamp, id: RentalId, ending: &Ending, step: &mut Step) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if !rental.is_live() {
            return;
        }
        rental.stage = Stage::Closing;
        rental.since = now;
        rental.room = None;
        rental.failure = ending.blame.then(|| ending.message.clone());
        rental.ending = Some(ending.reason());
        let agreement = rental.agreement.clone().filter(|_| !rental.agreement_over);
        let activity = rental.activity.clone();
        let mut cancelled: Vec<_> = rental.running.drain().map(|(attempt, _)| attempt).collect();
        cancelled.sort_unstable();
        for attempt in cancelled {
            if self.queue.cancelled(attempt) {
                step.event(now, EventKind::AttemptCancelled { attempt, rental: id });
            }
        }
        if ending.blame {
            self.set_back(now, id, ending.message.clone(), step);
        }
        step.effects.push(Effect::Close { rental: id, agreement, activity, reason: ending.reason() });
    }

    pub(super) fn on_closed(
        &mut self,
        now: Timestamp,
        id: RentalId,
        usage: Option<Vec<f64>>,
        failure: Option<String>,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if rental.stage != Stage::Closing {
            return;
        }
        rental.stage = Stage::Closed;
        rental.since = now;
        if let Some(meter) = &mut rental.meter {
            if let Some(usage) = &usage {
                meter.report(usage);
            }
            meter.ended = Some(now);
            meter.complete = usage.is_some() && failure.is_none();
        }
        if rental.activity.is_none() {
            // Nothing ever ran: nothing is owed, and providers send no bill or one of zero.
            rental.invoice = InvoiceState::Closed;
        }
        let ended = rental.failure.clone();
        if rental.meter.is_some() {
            step.event(now, EventKind::ActivityEnded { rental: id, usage, failure: ended });
        }
        if let Some(problem) = failure {
            step.event(now, EventKind::Trouble { doing: "end an agreement".into(), problem });
        }
        if let Some(agreement) = rental.agreement.clone().filter(|_| !rental.agreement_over) {
            rental.agreement_over = true;
            let reason = rental.ending.clone().unwrap_or_default();
            step.event(
                now,
                EventKind::AgreementEnded { rental: id, agreement, by: Terminator::Requestor, reason },
            );
        }
    }

    /// Leaves the deal's provider alone for a while.
    pub(super) fn set_back(&mut self, now: Timestamp, id: RentalId, reason: String, step: &mut Step) {
        let Some(rental) = self.rentals.get(&id) else {
            return;
        };
        let until = self.standings.set_back(&rental.provider.id, now);
        // What it agreed to before it failed is no longer wanted.
        self.market.take_draft(&rental.provider.id);
        step.event(now, EventKind::ProviderSetBack { provider: rental.provider.clone(), until, reason });
    }

    /// How long a deal has been idle, if it is.
    pub(super) fn idle_for(&self, id: RentalId, now: Timestamp) -> Option<Duration> {
        let rental = self.rentals.get(&id)?;
        (rental.stage == Stage::Working && rental.running.is_empty())
            .then(|| rental.idle_since.map(|since| between(since, now)))?
    }
}
