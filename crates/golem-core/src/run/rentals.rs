//! The course of rentals: signed or not, held, working, closed; and of the tasks in their hands.
//!
//! What happens to their activities is in `activities`.

use std::time::Duration;

use yagna_api::market::{Agreement, Reason, Terminator};
use yagna_api::time::between;
use yagna_api::{AgreementId, NodeId, Timestamp};

use super::books::Books;
use super::rental::{RentalView, Stage};
use super::{Effect, Run, Step};
use crate::event::{Attempt, AttemptFailure, EventKind, FailureKind, JobId, RentalId, TaskId, TaskOutput};
use crate::offer::OfferTerms;
use crate::tasks::Verdict;
use crate::terms::AgreedTerms;
use crate::words::after_others;

/// The reason for ending a rental, in words for providers and in a code for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    message: String,
    code: &'static str,
    /// True if the provider gets no tasks for a while.
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

    /// True if a rental with this provider isn't over.
    pub(super) fn rents_from(&self, provider: &NodeId) -> bool {
        let rentals = self.live.by_provider.get(provider).into_iter().flatten();
        rentals.filter_map(|id| self.live.rentals.get(id)).any(|rental| rental.stage != Stage::Closed)
    }

    pub(super) fn on_agreement_created(
        &mut self,
        now: Timestamp,
        id: RentalId,
        agreement: AgreementId,
        step: &mut Step,
    ) {
        if !self.live.rentals.contains_key(&id) {
            return;
        }
        self.live.by_agreement.insert(agreement.clone(), id);
        step.emit(&mut self.books, now, EventKind::AgreementCreated { rental: id, agreement });
    }

    pub(super) fn on_approved(
        &mut self,
        now: Timestamp,
        id: RentalId,
        agreement: &Agreement,
        step: &mut Step,
    ) {
        let stopping = self.live.stopping.is_some();
        let Some(rental) = self.rental(id).filter(|rental| rental.live.stage == Stage::Signing) else {
            return;
        };
        let offer = OfferTerms::read(rental.provider(), &agreement.offer.properties);
        let terms = &rental.kept.terms;
        let same_price =
            offer.is_ok_and(|offer| offer.pricing == terms.pricing && offer.threads == terms.threads);
        let is_over = rental.kept.ended.is_some();
        let provider = rental.kept.provider.id.clone();
        self.live.providers.records.approved(&provider);
        self.live.market.signed.insert(provider.clone());
        let Some(rental) = self.live.rentals.get_mut(&id) else { return };
        let agreement_id = agreement.agreement_id.clone();
        self.live.by_agreement.insert(agreement_id.clone(), id);
        rental.since = now;
        self.live.taken_back = 0;
        let agreed = AgreedTerms::read(&agreement.demand.properties, &agreement.offer.properties);
        step.emit(
            &mut self.books,
            now,
            EventKind::AgreementApproved { rental: id, agreement: agreement_id, agreed },
        );
        if is_over {
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
        let Some(rental) = self.rental(id).filter(|rental| rental.live.stage == Stage::Signing) else {
            return;
        };
        let to_end = open && rental.kept.agreement.is_some();
        let provider = rental.kept.provider.id.clone();
        let ours = self.is_own_fault(id, &reason, now);
        let Some(rental) = self.live.rentals.get_mut(&id) else { return };
        let reason = match rental.taken_back {
            Some(waited) => format!("no answer within {} s: {reason}", waited.as_secs()),
            None => reason,
        };
        let words = format!("agreement not approved: {reason}");
        step.emit(&mut self.books, now, EventKind::AgreementFailed { rental: id, reason });
        if self.live.stopping.is_none() && !ours {
            self.live.providers.records.not_approved(&provider);
        }
        if !to_end {
            rental.stage = Stage::Closed;
            rental.since = now;
        }
        if self.live.stopping.is_some() {
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
        let provider = self.books.rental(id)?.provider.id.clone();
        let rental = self.live.rentals.get_mut(&id)?;
        let known = rental.running.remove(&attempt).is_some();
        let job = self.books.current(attempt).filter(|_| known)?.job;
        rental.streak = 0;
        rental.failed_shared = false;
        self.live.providers.standings.forgive(&provider);
        self.live.providers.records.task_done(&provider);
        self.live.providers.proven.insert(provider);
        if let Some(job) = self.live.jobs.get_mut(&job) {
            job.failings.forget();
        }
        self.live.last_alive = now;
        step.emit(&mut self.books, now, EventKind::TaskDone { attempt, rental: id, output, took });
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
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        let Some(began) = rental.running.remove(&attempt) else {
            return;
        };
        let kind = failure.kind;
        if kind == FailureKind::OwnTrouble || self.live.ours.cost_by_silence(began, kind, now) {
            if kind == FailureKind::OwnTrouble {
                self.on_own_failure(now, &failure.message, step);
            }
            return self.give_attempt_back(now, id, attempt, step);
        }
        let Some(rental) = self.live.rentals.get_mut(&id) else {
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
        let Some(rental) = self.rental(id) else { return };
        let provider = rental.kept.provider.id.clone();
        // A task that failed elsewhere too says nothing about this provider.
        let shared = self.failed_elsewhere(attempt.task, &provider);
        if let Some(rental) = self.live.rentals.get_mut(&id) {
            rental.failed_shared |= shared;
            if let Some(activity) = rental.activities.last_mut() {
                activity.failed += 1;
            }
        }
        let failures = self.books.current(attempt).map_or(0, |task| task.failures) + 1;
        let message = match ran_before {
            0 => failure.message,
            n => format!("{}{}", failure.message.trim_end(), after_others(n)),
        };
        let failure = AttemptFailure { message, failures, ran_before, ..failure };
        if self.fail(now, id, attempt, failure, retry, step) == Verdict::Old {
            return;
        }
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        self.live.providers.records.task_failed(&provider);
        // One that no other could mend neither.
        if !shared && retry && kind != FailureKind::Invalid {
            rental.streak += 1;
        }
        let streak = rental.streak;
        // Where nobody has ever succeeded, the tasks are to blame as likely as the providers.
        let others_succeed =
            self.live.providers.proven.len() > usize::from(self.live.providers.proven.contains(&provider));
        let others_failed =
            self.rentals().any(|(_, other)| *other.provider() != provider && other.live.streak > 0);
        if streak >= Self::MOST_FAILURES
            && (others_succeed || !others_failed)
            && self.others_to_turn_to(&provider)
        {
            self.close(now, id, &Ending::failure(format!("failed {streak} tasks in a row")), step);
        }
    }

    /// Records that an attempt failed: its task waits for another one, or has failed for good.
    fn fail(
        &mut self,
        now: Timestamp,
        id: RentalId,
        attempt: Attempt,
        failure: AttemptFailure,
        retry: bool,
        step: &mut Step,
    ) -> Verdict {
        let Books { state, queue, .. } = &self.books;
        let verdict = queue.verdict(state, attempt, failure.kind, retry);
        let kind = match verdict {
            Verdict::Old => return verdict,
            Verdict::Retry => EventKind::AttemptFailed { attempt, rental: id, failure },
            Verdict::Final => EventKind::TaskFailed { attempt, rental: Some(id), failure },
        };
        step.emit(&mut self.books, now, kind);
        verdict
    }

    /// True if this task has failed somewhere else than on this provider.
    pub(super) fn failed_elsewhere(&self, task: TaskId, provider: &NodeId) -> bool {
        let task = self.books.state.tasks.get(&task);
        task.is_some_and(|task| task.failed_on.iter().any(|on| on != provider))
    }

    /// True if there is any other provider to work with.
    fn others_to_turn_to(&self, provider: &NodeId) -> bool {
        self.rentals().any(|(_, rental)| rental.live.is_live() && rental.provider() != provider)
            || self.live.market.drafts().any(|draft| draft.terms.provider != *provider)
    }

    pub(super) fn on_attempt_cancelled(
        &mut self,
        now: Timestamp,
        id: RentalId,
        attempt: Attempt,
        step: &mut Step,
    ) {
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        if rental.running.remove(&attempt).is_some() && self.books.current(attempt).is_some() {
            // Its worker never began with it.
            let took = Some(Duration::ZERO);
            step.emit(
                &mut self.books,
                now,
                EventKind::AttemptCancelled { attempt, rental: id, lost: None, took },
            );
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
        let Some(&id) = self.live.by_agreement.get(agreement) else {
            return;
        };
        let Some(rental) = self.rental(id) else { return };
        if by == Terminator::Requestor || rental.kept.ended.is_some() {
            return;
        }
        let stage = rental.live.stage;
        let reason = reason.unwrap_or_else(|| Reason::new("no reason given"));
        let ended = EventKind::AgreementEnded {
            rental: id,
            agreement: agreement.clone(),
            by,
            reason: reason.clone(),
            forgotten: false,
        };
        step.emit(&mut self.books, now, ended);
        if matches!(stage, Stage::Opening | Stage::Working) {
            let words = format!("the provider ended the agreement: {}", reason.message);
            let ending = self.ending_of_loss(id, words.clone());
            self.lose_running(now, id, &words, step);
            self.close(now, id, &ending, step);
        } else if stage == Stage::Held {
            // It did nothing for us, and owed us nothing.
            self.close(now, id, &Ending::cancelled("the provider ended the agreement"), step);
        }
    }

    /// Every task in this rental's hands is lost: it will be tried elsewhere. Of several together nobody knows which one the loss
    /// is due to: their attempts don't count, and each is tried alone next.
    pub(super) fn lose_running(&mut self, now: Timestamp, id: RentalId, why: &str, step: &mut Step) {
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        let mut lost: Vec<_> = rental.running.drain().collect();
        lost.sort_unstable();
        let n_lost = lost.len();
        let is_alone = n_lost == 1 && !rental.lost_several;
        for (attempt, began) in lost {
            if self.live.ours.cost_by_silence(began, FailureKind::Lost, now) {
                self.give_attempt_back(now, id, attempt, step);
                continue;
            }
            if !is_alone {
                let took = between(began, now) / u32::try_from(n_lost).unwrap_or(u32::MAX).max(1);
                self.give_back_suspect(now, id, attempt, (why, Some(took)), step);
                continue;
            }
            let failures = self.books.current(attempt).map_or(0, |task| task.failures) + 1;
            let failure = AttemptFailure { failures, ..AttemptFailure::new(FailureKind::Lost, why) };
            self.fail(now, id, attempt, failure, true, step);
        }
    }

    /// The reason for which a rental ends whose machine is lost. Where a single task was in its hands that has cost other providers theirs, the
    /// task is to blame: those providers are forgiven, and this one isn't set back.
    pub(super) fn ending_of_loss(&mut self, id: RentalId, words: String) -> Ending {
        let running = self.live.rentals.get(&id).map(|rental| rental.running.keys().collect::<Vec<_>>());
        if let Some([only]) = running.as_deref() {
            self.note_lone_loss(id, only.task);
        }
        let is_excused = self.live.rentals.get(&id).is_some_and(|rental| rental.lost_to_task);
        if is_excused { Ending::cancelled(words) } else { Ending::failure(words) }
    }

    /// A machine was lost with this task alone in its hands: where the task has cost others theirs, they are forgiven.
    fn note_lone_loss(&mut self, id: RentalId, task: TaskId) {
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        if rental.lost_several || rental.lost_to_task {
            return;
        }
        let Some(provider) = self.books.rental(id).map(|rental| &rental.provider.id) else { return };
        let lost_on = self.books.state.tasks.get(&task).map(|task| &task.lost_on);
        let others: Vec<_> = lost_on.into_iter().flatten().filter(|on| *on != provider).cloned().collect();
        rental.lost_to_task = !others.is_empty();
        for other in &others {
            self.live.providers.standings.forgive(other);
            self.live.providers.records.forgive_loss(other);
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
        if self.books.current(attempt).is_some() {
            let lost = Some(why.to_owned());
            step.emit(&mut self.books, now, EventKind::AttemptCancelled { attempt, rental: id, lost, took });
        }
    }

    /// The number of tasks that have run in a rental's activity, where what they left there may be the reason of a failure of this
    /// kind.
    fn ran_before(&self, id: RentalId, kind: FailureKind) -> u64 {
        let may_matter = matches!(kind, FailureKind::CommandFailed | FailureKind::TransferFailed);
        let ran = self.rental(id).map_or(0, |RentalView { kept, live }| {
            let failed = live.activities.last().map_or(0, |activity| activity.failed);
            kept.current().map_or(0, |activity| activity.done + failed)
        });
        if may_matter && self.config.fresh_retries { ran } else { 0 }
    }

    /// Ends a rental: what it was doing is given up.
    pub(super) fn close(&mut self, now: Timestamp, id: RentalId, ending: &Ending, step: &mut Step) {
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        if !rental.is_live() {
            return;
        }
        // A wrong bill is wrong whatever we did meanwhile.
        let blame = ending.blame
            && (ending.code == "IncorrectAmount" || !self.is_own_fault(id, &ending.message, now));
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        rental.stage = Stage::Closing;
        rental.since = now;
        rental.room = None;
        rental.failure = blame.then(|| ending.message.clone());
        rental.ending = Some(ending.reason());
        let Some(RentalView { kept, live }) = self.rental(id) else { return };
        let agreement = kept.agreement.clone().filter(|_| kept.ended.is_none());
        let current = kept.current();
        // Where the activity is being ended already, the agreement follows once it is.
        let waits = current.is_some() && live.is_closing_activity();
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
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        let mut cancelled: Vec<_> = rental.running.drain().map(|(attempt, _)| attempt).collect();
        cancelled.sort_unstable();
        for attempt in cancelled {
            if self.books.current(attempt).is_some() {
                step.emit(
                    &mut self.books,
                    now,
                    EventKind::AttemptCancelled { attempt, rental: id, lost: None, took: None },
                );
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
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        let Some(kept) = self.books.rental(id) else { return };
        let was_open = kept.current().is_some();
        if rental.stage != Stage::Closing || (was_open && rental.is_closing_activity()) {
            return;
        }
        rental.stage = Stage::Closed;
        rental.since = now;
        // The end of the activity is requested again and again meanwhile, and its provider may come back.
        rental.out_of_reach &= failure.is_none();
        // Nothing ever ran: nothing is owed, and providers send no bill or one of zero.
        rental.owes_nothing |= kept.is_unseen();
        let ended = rental.failure.clone();
        if was_open {
            let complete = usage.is_some() && failure.is_none();
            step.emit(
                &mut self.books,
                now,
                EventKind::ActivityEnded { rental: id, usage, failure: ended, complete },
            );
        }
        if let Some(problem) = failure {
            step.emit(&mut self.books, now, EventKind::Trouble { doing: "end an agreement".into(), problem });
        }
        if is_ended {
            self.on_ended_late(now, id, step);
        }
    }

    /// Tells that an agreement is over that we have ended. One that nobody has confirmed isn't told of so.
    pub(super) fn on_ended_late(&mut self, now: Timestamp, id: RentalId, step: &mut Step) {
        let Some(RentalView { kept, live }) = self.rental(id) else { return };
        if let Some(agreement) = kept.agreement.clone().filter(|_| kept.ended.is_none()) {
            let reason = live.ending.clone().unwrap_or_default();
            let by = Terminator::Requestor;
            let ended = EventKind::AgreementEnded { rental: id, agreement, by, reason, forgotten: false };
            step.emit(&mut self.books, now, ended);
        }
    }

    /// Leaves the rental's provider alone for a while.
    pub(super) fn set_back(&mut self, now: Timestamp, id: RentalId, reason: String, step: &mut Step) {
        let Some(rental) = self.books.rental(id) else { return };
        let provider = rental.provider.clone();
        let until = self.live.providers.standings.set_back(&provider.id, now);
        if rental.approved.is_some() {
            // That it approved no agreement is on its record already.
            self.live.providers.records.failed(&provider.id);
        }
        // Terms that it agreed to before it failed are no longer wanted.
        self.live.market.take_draft(&provider.id);
        step.emit(&mut self.books, now, EventKind::ProviderSetBack { provider, until, reason });
    }

    /// The time for which a rental has had nothing to do, if it has nothing to do.
    pub(super) fn idle_for(&self, id: RentalId, now: Timestamp) -> Option<Duration> {
        let rental = self.live.rentals.get(&id)?;
        let idle = matches!(rental.stage, Stage::Working | Stage::Held) && rental.running.is_empty();
        idle.then(|| rental.idle_since.map(|since| between(since, now)))?
    }
}
