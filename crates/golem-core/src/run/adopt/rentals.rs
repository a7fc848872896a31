//! The rentals of a run that is resumed: what goes on, what is ended, and whose bills are still to come.

use std::collections::HashSet;

use yagna_api::Timestamp;
use yagna_api::market::{Reason, Terminator};

use crate::event::{ActivityNo, Bill, EventKind, RentalId};
use crate::run::rental::{LiveActivity, LiveRental, Sending, Stage};
use crate::run::rentals::Ending;
use crate::run::{Effect, FoundActivity, FoundAgreement, FoundRental, Replay, Run, Step};
use crate::state::Rental;

impl LiveRental {
    /// The rental of an earlier process, taken for one in the making until it is known how it stands.
    pub(super) fn of(kept: &Rental, now: Timestamp) -> Self {
        Self {
            // The provider's requests for money are counted anew.
            activities: vec![LiveActivity::default(); kept.activities.len()],
            // They are sent again when it is their turn.
            sending: kept.accepting.keys().map(|bill| (bill.clone(), Sending::default())).collect(),
            seen_bills: kept.accepting.keys().cloned().collect(),
            asked_again: kept.undecided.iter().cloned().collect(),
            has_invoice: kept.accepting.keys().any(|bill| matches!(bill, Bill::Invoice(_))),
            ..Self::new(now)
        }
    }
}

impl Run {
    /// Brings a rental from where its state left it to where the daemon says that it is, and decides how it goes on.
    pub(super) fn adopt(
        &mut self,
        now: Timestamp,
        id: RentalId,
        kept: &Rental,
        found: Option<&FoundRental>,
        step: &mut Step,
    ) {
        // The daemon may or may not have taken these; it takes a bill once.
        for bill in kept.accepting.keys() {
            self.send_acceptance(now, bill.clone(), step);
        }
        step.effects.extend(kept.undecided.iter().map(|bill| Effect::FetchBill { bill: bill.clone() }));

        let agreement = found.map_or(&FoundAgreement::None, |found| &found.agreement);
        if kept.approved.is_none() {
            return match agreement {
                FoundAgreement::Approved(agreement) => self.on_approved(now, id, agreement, step),
                _ => self.never_made(now, id, step),
            };
        }
        match (kept.ended, agreement) {
            (Some(at), _) => self.end_at(at, now, id, found, step),
            (None, FoundAgreement::Approved(_)) => self.go_on(now, id, kept, found, step),
            (None, FoundAgreement::Ended { at, by, reason }) => {
                self.ended_meanwhile(*at, id, *by, reason, false, step);
                self.end_at(*at, now, id, found, step);
            }
            (None, FoundAgreement::None) => {
                let reason = Reason::new("the daemon no longer has the agreement");
                self.ended_meanwhile(now, id, Terminator::Requestor, &reason, true, step);
                self.end_at(now, now, id, found, step);
                if let Some(rental) = self.live.rentals.get_mut(&id) {
                    // The daemon can't report an agreement that it doesn't have.
                    rental.has_invoice = false;
                }
            }
        }
    }

    /// Gives up what an earlier life left in an activity; its agreement goes on with another one.
    pub(in crate::run) fn on_activity_unfit(
        &mut self,
        now: Timestamp,
        id: RentalId,
        no: ActivityNo,
        step: &mut Step,
    ) {
        if self.current(id, no).is_some() {
            self.end_activity(now, id, false, step);
        }
    }

    fn never_made(&mut self, now: Timestamp, id: RentalId, step: &mut Step) {
        let reason = "the run was interrupted before it was approved".to_owned();
        step.emit(&mut self.books, now, EventKind::AgreementFailed { rental: id, reason });
        self.forget(id);
    }

    fn ended_meanwhile(
        &mut self,
        at: Timestamp,
        id: RentalId,
        by: Terminator,
        reason: &Reason,
        forgotten: bool,
        step: &mut Step,
    ) {
        let Some(agreement) = self.books.rental(id).and_then(|rental| rental.agreement.clone()) else {
            return;
        };
        let reason = reason.clone();
        step.emit(
            &mut self.books,
            at,
            EventKind::AgreementEnded { rental: id, agreement, by, reason, forgotten },
        );
    }

    /// Leaves of a rental whose agreement ended then only its bills.
    fn end_at(
        &mut self,
        at: Timestamp,
        now: Timestamp,
        id: RentalId,
        found: Option<&FoundRental>,
        step: &mut Step,
    ) {
        self.end_current(at.min(now), id, found, step);
        let Some(kept) = self.books.rental(id) else { return };
        let Some(rental) = self.live.rentals.get_mut(&id) else { return };
        rental.stage = Stage::Closed;
        rental.since = at.min(now);
        rental.owes_nothing |= kept.is_unseen();
    }

    /// Ends the measure of an activity that is over, and gives back what was in its worker's hands.
    fn end_current(&mut self, at: Timestamp, id: RentalId, found: Option<&FoundRental>, step: &mut Step) {
        self.give_up_running(at, id, step);
        let Some(kept) = self.books.rental(id) else { return };
        let Some(current) = kept.current() else { return };
        let seen = current.id.as_ref().and_then(|id| found?.activities.get(id));
        let usage = seen.and_then(|activity| activity.usage.clone());
        // When it ended isn't known for sure, and what the daemon says of its usage may be older than that.
        let ended = at.max(current.meter.started).min(kept.terms.expires.max(current.meter.started));
        step.emit(
            &mut self.books,
            ended,
            EventKind::ActivityEnded { rental: id, usage, failure: None, complete: false },
        );
    }

    /// An agreement in force: its activity is gone on with, or another one takes its place.
    fn go_on(
        &mut self,
        now: Timestamp,
        id: RentalId,
        kept: &Rental,
        found: Option<&FoundRental>,
        step: &mut Step,
    ) {
        let Some(rental) = self.live.rentals.get_mut(&id) else { return };
        rental.stage = Stage::Held;
        rental.idle_since = Some(now);
        let left_alone = !self.live.providers.standings.is_welcome(&kept.provider.id, now);
        let multi_activity = kept.has_multi_activity();
        let Some(current) = kept.current() else {
            if left_alone || (!multi_activity && !kept.activities.is_empty()) {
                self.close(now, id, &Ending::cancelled("the run was interrupted"), step);
            } else if may_run_on(kept, found) {
                self.close(now, id, &Ending::cancelled("its activity couldn't be ended"), step);
            }
            return;
        };
        let known = current.id.clone();
        let seen = known.as_ref().and_then(|id| found?.activities.get(id));
        if seen.is_some_and(|activity| activity.over) {
            self.end_current(now, id, found, step);
            if left_alone || !multi_activity {
                self.close(now, id, &Ending::cancelled("its activity has ended"), step);
            }
            return;
        }
        // One that has an activity is at work, as far as ending it goes.
        rental.stage = Stage::Working;
        if known.is_none() {
            // It may still come to life unseen: only with its agreement it ends for certain.
            self.adopt_activity(now, id, kept, found, step);
            return self.close(now, id, &Ending::cancelled("the run was interrupted"), step);
        }
        if left_alone {
            return self.close(now, id, &Ending::cancelled("its provider failed before"), step);
        }
        match (self.replay(id, kept), seen) {
            (Some(replay), Some(FoundActivity { sound: true, .. })) => {
                self.resume_activity(now, id, kept, replay, step);
            }
            _ => self.end_activity(now, id, false, step),
        }
    }

    /// Takes an activity that the state doesn't know for the one that was being made.
    fn adopt_activity(
        &mut self,
        now: Timestamp,
        id: RentalId,
        kept: &Rental,
        found: Option<&FoundRental>,
        step: &mut Step,
    ) {
        let known: HashSet<_> = kept.activities.iter().filter_map(|activity| activity.id.as_ref()).collect();
        let mut ids = found.into_iter().flat_map(|found| found.activities.keys());
        let Some(activity) = ids.find(|activity| !known.contains(activity)).cloned() else {
            return;
        };
        if !kept.activities.is_empty() {
            step.emit(&mut self.books, now, EventKind::ActivityCreated { rental: id, activity });
        }
    }

    /// The work that the worker of an activity had done and can go on with; none where not all of it is recorded.
    fn replay(&self, id: RentalId, kept: &Rental) -> Option<Replay> {
        let in_hands = self.live.rentals.get(&id)?.in_hands();
        let last = kept.activities.last()?;
        let recorded = if in_hands.is_empty() {
            // Scripts that it had sent before its first task are known; the absence of any isn't.
            !last.setup.is_empty()
        } else {
            !last.scripts.is_empty() && last.scripts.iter().all(|script| script.attempts == in_hands)
        };
        let wanted = self.live.jobs.contains_key(&last.job) && self.goes_on(last.job);
        if !recorded || !wanted {
            return None;
        }
        Some(Replay {
            setup: last.setup.clone(),
            tasks: in_hands
                .into_iter()
                .filter_map(|attempt| self.books.queue.in_hands(&self.books.state, attempt))
                .collect(),
            scripts: last.scripts.iter().map(|tried| tried.script.clone()).collect(),
        })
    }

    fn resume_activity(
        &mut self,
        now: Timestamp,
        id: RentalId,
        kept: &Rental,
        replay: Replay,
        step: &mut Step,
    ) {
        let ready = kept.activities.last().is_some_and(|activity| activity.ready);
        let Some(rental) = self.live.rentals.get_mut(&id) else { return };
        rental.stage = if ready { Stage::Working } else { Stage::Opening };
        rental.idle_since = (ready && rental.running.is_empty()).then_some(now);
        let (no, provider) = (kept.newest(), kept.provider.clone());
        let (Some(agreement), Some(current)) = (kept.agreement.clone(), kept.current()) else { return };
        let (job, Some(activity)) = (current.job, current.id.clone()) else { return };
        if let Some(job) = self.live.jobs.get_mut(&job) {
            job.ever_worked |= ready;
        }
        let replay = Box::new(replay);
        step.effects.push(Effect::ResumeActivity {
            rental: id,
            no,
            job,
            agreement,
            provider,
            activity,
            replay,
        });
    }
}

/// True if the last activity of a rental was given up, and nobody knows whether it has ended.
///
/// An earlier life may have recorded that the activity couldn't be ended, and died before it ended the agreement for that.
fn may_run_on(kept: &Rental, found: Option<&FoundRental>) -> bool {
    kept.activities.last().is_some_and(|last| {
        let seen = last.id.as_ref().and_then(|id| found?.activities.get(id));
        !last.meter.complete && !seen.is_some_and(|activity| activity.over)
    })
}
