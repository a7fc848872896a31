//! The rentals of a past: what goes on, what is ended, and whose bills are still to come.

use std::collections::{HashMap, HashSet};

use yagna_api::market::{Agreement, Reason, Terminator};
use yagna_api::{ActivityId, NodeId, Properties, Timestamp};

use super::{FoundActivity, FoundAgreement, FoundRental, Replay};
use crate::event::{ActivityNo, Attempt, EventKind, Provider, RentalId};
use crate::offer::OfferTerms;
use crate::pricing::Pricing;
use crate::run::rental::{Accepting, Activity, Billing, Rental, Stage};
use crate::run::rentals::Ending;
use crate::run::{Effect, Run, Step};
use crate::state::{self, InvoiceState, RunState};

impl Run {
    /// Puts a rental where its past left it.
    pub(super) fn restore_deal(
        &mut self,
        id: RentalId,
        deal: &state::Rental,
        past: &RunState,
        now: Timestamp,
    ) {
        let rental = restored(deal, past.running_at(id), now);
        if rental.activities.iter().any(|activity| activity.done > 0) {
            self.proven.insert(rental.provider.id.clone());
        }
        if let Some(agreement) = &rental.agreement {
            self.by_agreement.insert(agreement.clone(), id);
        }
        self.accepting.extend(rental.accepting.keys().map(|bill| (bill.clone(), id)));
        self.rentals.insert(id, rental);
    }

    /// Brings a rental from where its past left it to where the daemon says that it is, and decides how it goes on.
    pub(super) fn resume_deal(
        &mut self,
        now: Timestamp,
        id: RentalId,
        deal: &state::Rental,
        found: Option<&FoundRental>,
        step: &mut Step,
    ) {
        // Whether the daemon took these is unknown; it takes a bill once.
        for bill in deal.accepting.keys() {
            self.send_acceptance(now, bill.clone(), step);
        }
        step.effects.extend(deal.undecided.iter().map(|bill| Effect::FetchBill { bill: bill.clone() }));

        let agreement = found.map_or(&FoundAgreement::None, |found| &found.agreement);
        if deal.approved.is_none() {
            return match agreement {
                FoundAgreement::Approved(agreement) => self.on_approved(now, id, agreement, step),
                _ => self.never_made(now, id, step),
            };
        }
        match (deal.ended, agreement) {
            (Some(at), _) => self.end_at(at, now, id, found, step),
            (None, FoundAgreement::Approved(agreement)) => {
                self.learn_terms(id, deal, agreement);
                self.go_on(now, id, deal, found, step);
            }
            (None, FoundAgreement::Ended { at, by, reason }) => {
                self.ended_meanwhile(*at, id, *by, reason, false, step);
                self.end_at(*at, now, id, found, step);
            }
            (None, FoundAgreement::None) => {
                let reason = Reason::new("the daemon no longer has the agreement");
                self.ended_meanwhile(now, id, Terminator::Requestor, &reason, true, step);
                self.end_at(now, now, id, found, step);
                if let Some(rental) = self.rentals.get_mut(&id).filter(|rental| rental.awaits_invoice()) {
                    // What it doesn't have it can't tell of.
                    rental.invoice = Billing::Closed;
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
        let current = self.rentals.get_mut(&id).and_then(|rental| rental.current_is(no));
        if current.is_some() {
            self.end_activity(now, id, false, step);
        }
    }

    fn never_made(&mut self, now: Timestamp, id: RentalId, step: &mut Step) {
        let reason = "the run was interrupted before it was approved".to_owned();
        step.event(now, EventKind::AgreementFailed { rental: id, reason });
        if let Some(agreement) = self.rentals.remove(&id).and_then(|rental| rental.agreement) {
            self.by_agreement.remove(&agreement);
        }
    }

    /// Old records don't hold the terms; the agreement does.
    fn learn_terms(&mut self, id: RentalId, deal: &state::Rental, agreement: &Agreement) {
        if deal.terms.is_none()
            && let Some(rental) = self.rentals.get_mut(&id)
            && let Ok(terms) = OfferTerms::read(&rental.provider.id, &agreement.offer.properties)
        {
            for activity in &mut rental.activities {
                activity.meter.threads = terms.threads;
            }
            rental.terms = terms;
        }
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
        let Some(rental) = self.rentals.get_mut(&id) else { return };
        let Some(agreement) = rental.agreement.clone() else { return };
        rental.agreement_over = true;
        let reason = reason.clone();
        step.event(at, EventKind::AgreementEnded { rental: id, agreement, by, reason, forgotten });
    }

    /// What is left of a rental whose agreement ended then: bills.
    fn end_at(
        &mut self,
        at: Timestamp,
        now: Timestamp,
        id: RentalId,
        found: Option<&FoundRental>,
        step: &mut Step,
    ) {
        self.end_current(at.min(now), id, found, step);
        let Some(rental) = self.rentals.get_mut(&id) else { return };
        rental.agreement_over = true;
        rental.stage = Stage::Closed;
        rental.since = at.min(now);
        if rental.activities.iter().all(|activity| activity.id.is_none()) {
            rental.invoice = Billing::Closed;
        }
    }

    /// Ends the measure of an activity that is over, and gives back what was in its worker's hands.
    fn end_current(&mut self, at: Timestamp, id: RentalId, found: Option<&FoundRental>, step: &mut Step) {
        self.give_up_running(at, id, step);
        let Some(rental) = self.rentals.get_mut(&id) else { return };
        let Some(current) = rental.current() else { return };
        let seen = current.id.as_ref().and_then(|id| found?.activities.get(id));
        let usage = seen.and_then(|activity| activity.usage.clone());
        // When it ended isn't known for sure, and what the daemon says of its usage may be older than that.
        let ended = at.max(current.meter.started).min(rental.expires.max(current.meter.started));
        rental.end_activity(usage.as_ref(), false, ended);
        step.event(ended, EventKind::ActivityEnded { rental: id, usage, failure: None, complete: false });
    }

    /// An agreement in force: its activity is gone on with, or another one takes its place.
    fn go_on(
        &mut self,
        now: Timestamp,
        id: RentalId,
        deal: &state::Rental,
        found: Option<&FoundRental>,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else { return };
        rental.stage = Stage::Held;
        rental.idle_since = Some(now);
        let left_alone = !self.standings.is_welcome(&rental.provider.id, now);
        let multi_activity = rental.agreed.multi_activity;
        let Some(current) = rental.current() else {
            if left_alone || (!multi_activity && !rental.activities.is_empty()) {
                self.close(now, id, &Ending::cancelled("the run was interrupted"), step);
            } else if may_run_on(rental, found) {
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
            self.adopt(now, id, deal, found, step);
            return self.close(now, id, &Ending::cancelled("the run was interrupted"), step);
        }
        if left_alone {
            return self.close(now, id, &Ending::cancelled("its provider failed before"), step);
        }
        match (self.replay(id, deal), seen) {
            (Some(replay), Some(FoundActivity { sound: true, .. })) => {
                self.take_up(now, id, deal, replay, step);
            }
            _ => self.end_activity(now, id, false, step),
        }
    }

    /// Takes an activity that the past doesn't know for the one that was being made.
    fn adopt(
        &mut self,
        now: Timestamp,
        id: RentalId,
        deal: &state::Rental,
        found: Option<&FoundRental>,
        step: &mut Step,
    ) {
        let known: HashSet<_> = deal.activities.iter().filter_map(|activity| activity.id.as_ref()).collect();
        let mut ids = found.into_iter().flat_map(|found| found.activities.keys());
        let Some(activity) = ids.find(|activity| !known.contains(activity)).cloned() else {
            return;
        };
        if let Some(current) = self.rentals.get_mut(&id).and_then(|rental| rental.activities.last_mut()) {
            current.id = Some(activity.clone());
            step.event(now, EventKind::ActivityCreated { rental: id, activity });
        }
    }

    /// What there is to go on with; nothing where not all is known that its worker had done.
    fn replay(&self, id: RentalId, deal: &state::Rental) -> Option<Replay> {
        let rental = self.rentals.get(&id)?;
        let past = deal.activities.last()?;
        let recorded = if rental.running.is_empty() {
            // What it had sent before its first task is known; that it had sent nothing isn't.
            !past.setup.is_empty()
        } else {
            let running = sorted(&rental.running);
            !past.scripts.is_empty() && past.scripts.iter().all(|script| script.attempts == running)
        };
        let wanted = self.jobs.contains_key(&past.job) && self.goes_on(past.job);
        if !recorded || !wanted {
            return None;
        }
        Some(Replay {
            setup: past.setup.clone(),
            tasks: sorted(&rental.running)
                .into_iter()
                .filter_map(|attempt| self.queue.in_hands(attempt))
                .collect(),
            scripts: past.scripts.iter().map(|tried| tried.script.clone()).collect(),
        })
    }

    fn take_up(
        &mut self,
        now: Timestamp,
        id: RentalId,
        deal: &state::Rental,
        replay: Replay,
        step: &mut Step,
    ) {
        let ready = deal.activities.last().is_some_and(|activity| activity.ready);
        let Some(rental) = self.rentals.get_mut(&id) else { return };
        rental.stage = if ready { Stage::Working } else { Stage::Opening };
        rental.idle_since = (ready && rental.running.is_empty()).then_some(now);
        let no = rental.newest();
        let provider = rental.provider.clone();
        let (Some(agreement), Some(current)) = (rental.agreement.clone(), rental.current()) else { return };
        let (job, Some(activity)) = (current.job, current.id.clone()) else { return };
        if let Some(job) = self.jobs.get_mut(&job) {
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

fn sorted(running: &HashMap<Attempt, Timestamp>) -> Vec<Attempt> {
    let mut running: Vec<_> = running.keys().copied().collect();
    running.sort_unstable();
    running
}

/// True if the last activity of a rental was given up, and nobody knows whether it has ended.
///
/// An earlier life may have recorded that the activity couldn't be ended, and died before it ended the agreement for that.
fn may_run_on(rental: &Rental, found: Option<&FoundRental>) -> bool {
    rental.activities.last().is_some_and(|last| {
        let seen = last.id.as_ref().and_then(|id| found?.activities.get(id));
        !last.meter.complete && !seen.is_some_and(|activity| activity.over)
    })
}

/// A rental as its past left it, in the making until it is known how it stands.
fn restored(deal: &state::Rental, running: Vec<Attempt>, now: Timestamp) -> Rental {
    let expires = deal.terms.as_ref().map_or(now, |terms| terms.expires);
    let mut rental = Rental::new(deal.provider.clone(), terms(deal), expires, now);
    rental.agreement.clone_from(&deal.agreement);
    rental.agreed = deal.approved.unwrap_or_default();
    rental.approved = deal.approved.is_some();
    rental.activities = deal.activities.iter().map(activity).collect();
    rental.running = running.into_iter().map(|attempt| (attempt, now)).collect();
    rental.accepted = deal.accepted;
    rental.undecided.extend(deal.undecided.iter().cloned());
    for (bill, accepting) in &deal.accepting {
        let place = accepting.activity.as_ref().and_then(|id| place(deal, id));
        // It is sent again when it is its turn.
        let sent = None;
        let restored =
            Accepting { amount: accepting.amount, activity: place, payable: false, failures: 0, sent };
        rental.accepting.insert(bill.clone(), restored);
        rental.seen_bills.insert(bill.clone());
    }
    let invoiced = deal.accepting.keys().any(|bill| matches!(bill, crate::event::Bill::Invoice(_)));
    rental.invoice = match deal.invoice {
        InvoiceState::Accepted => Billing::Accepted,
        _ if invoiced => Billing::Accepting,
        InvoiceState::Awaited => Billing::Awaited,
        InvoiceState::Refused | InvoiceState::Impossible => Billing::Closed,
    };
    rental
}

fn terms(deal: &state::Rental) -> OfferTerms {
    let Provider { id, name }: &Provider = &deal.provider;
    let (id, name): (NodeId, String) = (id.clone(), name.clone());
    let unknown = Pricing { rates: Vec::new(), start: rust_decimal::Decimal::ZERO };
    let (pricing, threads) = match &deal.terms {
        Some(terms) => (terms.pricing.clone(), terms.threads),
        None => (unknown, 1),
    };
    OfferTerms { provider: id, name, pricing, threads, platforms: Vec::new(), properties: Properties::new() }
}

fn activity(past: &state::Activity) -> Activity {
    Activity {
        job: past.job,
        id: past.id.clone(),
        meter: past.meter.clone(),
        // How often its provider asked for money counts anew.
        notes: 0,
        payable_notes: 0,
        done: past.done,
        failed: 0,
        was_given: past.was_given,
        usage_asked: None,
        closing: false,
        over: past.over,
    }
}

fn place(deal: &state::Rental, id: &ActivityId) -> Option<usize> {
    deal.activities.iter().position(|activity| activity.id.as_ref() == Some(id))
}
