//! Bills: each is checked, then accepted in time or refused with its reason.

use std::time::Duration;

use yagna_api::payment::{BillStatus, DebitNote, Invoice, Rejection, RejectionReason};
use yagna_api::time::after;
use yagna_api::{AgreementId, Glm, NodeId, Timestamp};

use super::live::bills::Postponed;
use super::rental::{Billing, Sending, Stage};
use super::rentals::Ending;
use super::spending::add;
use super::{Effect, OnBudget, Run, Step};
use crate::bill::{check_debit_note, check_frequency, check_invoice, is_known};
use crate::event::{Bill, EventKind, Measured, RentalId, StopReason};
use crate::state::AcceptingBill;

/// The part of an accepted debit note that is to be remembered.
struct Note {
    /// The place of its activity among the rental's.
    place: usize,
    /// True if it is to be paid before the agreement ends.
    payable: bool,
    measured: Measured,
}

impl Run {
    /// The first pause before a bill is accepted again; doubled up to eight times as long.
    const BILL_PAUSE: Duration = Duration::from_secs(2);
    /// The time for which the last bill of a lost provider is awaited.
    const OUT_OF_REACH: Duration = Duration::from_secs(10);
    /// The time for which an invoice for more than is known waits for the last debit note, which may have been overtaken.
    const OVERTAKING: Duration = Duration::from_secs(5);

    pub(super) fn on_debit_note(
        &mut self,
        now: Timestamp,
        note: &DebitNote,
        told: Option<Timestamp>,
        step: &mut Step,
    ) {
        let bill = Bill::DebitNote(note.debit_note_id.clone());
        let amount = note.total_amount_due;
        let Some(id) =
            self.receive(now, &note.agreement_id, &note.issuer_id, &bill, amount, note.status, told, step)
        else {
            return;
        };
        let Some(rental) = self.rental(id) else { return };
        let place = rental.kept.place_of(&note.activity_id);
        let is_news = place.is_some() && rental.kept.is_unseen();
        let payable = note.payment_due_date.is_some();
        let Some(live) = self.live.rentals.get_mut(&id) else { return };
        if is_news {
            live.expect_invoice();
        }
        let numbers = place.and_then(|place| live.activities.get_mut(place)).map(|activity| {
            activity.notes = activity.notes.saturating_add(1);
            activity.payable_notes = activity.payable_notes.saturating_add(payable.into());
            (activity.notes, activity.payable_notes)
        });
        let Some(rental) = self.rental(id) else { return };
        let covered = matches!(rental.billing(), Billing::Accepting | Billing::Accepted);
        let measured = |usage: Option<Vec<f64>>, overbilled: bool| {
            place.map(|_| Measured { activity: note.activity_id.clone(), usage, overbilled })
        };
        let problem = match place.zip(numbers) {
            Some((place, (notes, payable_notes))) => {
                let (meter, agreed) = (rental.meter(place), rental.kept.approved.unwrap_or_default());
                check_debit_note(note, &rental.kept.terms.pricing, &meter, &agreed, now)
                    .and_then(|()| check_frequency(notes, payable_notes, &meter, &agreed, now))
                    .err()
                    .map(|problem| {
                        let (usage, overbilled) = (problem.believed(note), problem.is_overbilling());
                        let measured = measured(usage, overbilled);
                        (problem.to_string(), problem.is_harmless(), problem.ending_code(), measured)
                    })
            }
            None if rental.kept.activities.is_empty() => {
                Some(("nothing was ever run".to_owned(), false, "IncorrectAmount", None))
            }
            None => {
                Some(("it is for an activity that isn't ours".to_owned(), false, "IncorrectAmount", None))
            }
        };
        if let Some((reason, harmless, code, measured)) = problem {
            step.emit(
                &mut self.books,
                now,
                EventKind::BillRefused {
                    rental: Some(id),
                    bill,
                    amount,
                    reason: reason.clone(),
                    measured,
                    open: false,
                },
            );
            if !harmless {
                // There is no way to refuse a debit note but to leave it and to end the rental.
                let ending = Ending::overbilled(format!("wrong debit note: {reason}")).with_code(code);
                self.close(now, id, &ending, step);
            }
            return;
        }
        if covered && rental.kept.promised_with(place, amount) > rental.kept.promised() {
            // The invoice said what all of it costs.
            let reason = "it asks for more than the invoice that was accepted".to_owned();
            let measured = measured(note.usage(), false);
            return step.emit(
                &mut self.books,
                now,
                EventKind::BillRefused { rental: Some(id), bill, amount, reason, measured, open: false },
            );
        }
        let measured = measured(note.usage(), false);
        let note = place.zip(measured).map(|(place, measured)| Note { place, payable, measured });
        self.accept(now, id, bill, amount, note, step);
    }

    pub(super) fn on_invoice(
        &mut self,
        now: Timestamp,
        invoice: &Invoice,
        told: Option<Timestamp>,
        step: &mut Step,
    ) {
        let bill = Bill::Invoice(invoice.invoice_id.clone());
        let amount = invoice.amount;
        let (agreement, issuer) = (&invoice.agreement_id, &invoice.issuer_id);
        let id = self.receive(now, agreement, issuer, &bill, amount, invoice.status, told, step);
        if let Some(id) = id {
            self.decide_invoice(now, id, invoice, after(now, Self::OVERTAKING), step);
        }
    }

    /// Accepts an invoice or refuses it; or lets it wait until then, if it asks for more than is known.
    fn decide_invoice(
        &mut self,
        now: Timestamp,
        id: RentalId,
        invoice: &Invoice,
        wait_until: Timestamp,
        step: &mut Step,
    ) {
        let (bill, amount) = (Bill::Invoice(invoice.invoice_id.clone()), invoice.amount);
        let Some(rental) = self.rental(id) else { return };
        let is_live = rental.live.is_live();
        let refusal = if matches!(rental.billing(), Billing::Accepting | Billing::Accepted) {
            let words = "there is an invoice for this agreement already".to_owned();
            Some((RejectionReason::UnsolicitedService, Glm::ZERO, words))
        } else {
            let measures = rental.measures(&invoice.activity_ids);
            let meters: Vec<_> = measures.iter().map(|(activity, meter)| (*activity, &**meter)).collect();
            let pricing = &rental.kept.terms.pricing;
            let checked = check_invoice(invoice, pricing, &meters, now);
            if now < wait_until && checked.is_ok() && !is_known(invoice, pricing, &meters, now) {
                self.live.bills.held.push((wait_until, id, invoice.clone()));
                return;
            }
            checked.err().map(|problem| (problem.rejection_reason(), problem.owed(), problem.to_string()))
        };
        if let Some((rejection_reason, owed, words)) = refusal {
            let reason = words.clone();
            step.emit(
                &mut self.books,
                now,
                EventKind::BillRefused {
                    rental: Some(id),
                    bill,
                    amount,
                    reason,
                    measured: None,
                    open: false,
                },
            );
            step.effects.push(Effect::RejectInvoice {
                invoice: invoice.invoice_id.clone(),
                rejection: Rejection {
                    rejection_reason,
                    total_amount_accepted: owed,
                    message: Some(words.clone()),
                },
            });
            let words = format!("wrong invoice: {words}");
            if is_live {
                self.close(now, id, &Ending::overbilled(words), step);
            } else {
                self.set_back(now, id, words, step);
            }
            return;
        }
        if let Some(rental) = self.live.rentals.get_mut(&id) {
            rental.has_invoice = true;
        }
        self.accept(now, id, bill, amount, None, step);
    }

    /// Takes note of a bill; `None` when there is nothing to decide about it.
    #[expect(clippy::too_many_arguments, reason = "what both kinds of bill have in common")]
    fn receive(
        &mut self,
        now: Timestamp,
        agreement: &AgreementId,
        issuer: &NodeId,
        bill: &Bill,
        amount: Glm,
        status: BillStatus,
        told: Option<Timestamp>,
        step: &mut Step,
    ) -> Option<RentalId> {
        let rental = self.live.by_agreement.get(agreement).copied();
        if rental.is_none() && amount.is_zero() {
            // A zero bill for an agreement that was ended before it was stored, and that nothing ran in: ignore it.
            return None;
        }
        let seen_before = self.live.bills.seen_before.contains(bill);
        // The bill may have come before, and still be undecided.
        let (seen, undecided) = match rental.and_then(|id| self.live.rentals.get_mut(&id)) {
            Some(rental) => (!rental.seen_bills.insert(bill.clone()), rental.asked_again.remove(bill)),
            None => (false, false),
        };
        if undecided {
            // It was told of then.
        } else if seen || seen_before {
            return None;
        } else {
            step.emit(
                &mut self.books,
                now,
                EventKind::BillReceived { rental, bill: bill.clone(), amount, told },
            );
        }
        let stranger = match rental.and_then(|id| self.rental(id)) {
            None => Some("its agreement is none of this run's"),
            Some(rental) if rental.provider() != issuer => Some("it isn't from the agreement's provider"),
            Some(_) => None,
        };
        if let Some(reason) = stranger {
            let reason = reason.to_owned();
            step.emit(
                &mut self.books,
                now,
                EventKind::BillRefused {
                    rental,
                    bill: bill.clone(),
                    amount,
                    reason,
                    measured: None,
                    open: false,
                },
            );
            return None;
        }
        if matches!(status, BillStatus::Cancelled | BillStatus::Failed) {
            return None;
        }
        rental
    }

    /// Accepts a bill, a debit note or else an invoice, if the budget covers it.
    fn accept(
        &mut self,
        now: Timestamp,
        id: RentalId,
        bill: Bill,
        amount: Glm,
        note: Option<Note>,
        step: &mut Step,
    ) {
        let (place, payable) =
            (note.as_ref().map(|note| note.place), note.as_ref().is_some_and(|note| note.payable));
        let measured = note.map(|note| note.measured);
        self.accept_or_postpone(
            now,
            Postponed { id, bill, amount, place, payable, measured, told: false },
            step,
        );
    }

    fn accept_or_postpone(&mut self, now: Timestamp, bill: Postponed, step: &mut Step) {
        let Postponed { id, bill, amount, place, payable, measured, told } = bill;
        // A debit note names all that its activity owes so far, an invoice all of all: only the increase is new.
        let Some(rental) = self.books.rental(id) else { return };
        let increase = rental.promised_with(place, amount).saturating_sub(rental.promised());
        let total = add(self.promised(), increase);
        if let Some(most) = self.budget().total().filter(|most| total > *most) {
            let reason = format!("{increase} GLM more than the budget of {most} GLM covers");
            step.emit(
                &mut self.books,
                now,
                EventKind::BillRefused { rental: Some(id), bill, amount, reason, measured, open: true },
            );
            self.stop(now, StopReason::BudgetReached, step);
            return;
        }
        if !self.windows_hold(now, increase) || total > self.live.money.backed {
            return self.postpone(now, Postponed { id, bill, amount, place, payable, measured, told }, step);
        }
        if let Some(rental) = self.live.rentals.get_mut(&id) {
            rental.sending.insert(bill.clone(), Sending { payable, ..Sending::default() });
        }
        self.live.bills.accepting.insert(bill.clone(), id);
        step.emit(
            &mut self.books,
            now,
            EventKind::BillAccepting { rental: id, bill: bill.clone(), amount, increase, measured },
        );
        self.send_acceptance(now, bill, step);
    }

    /// Asks the daemon to accept a bill, or lets the bill wait for its turn.
    ///
    /// Of one agreement the daemon gets one acceptance at a time: of two at once each is counted as if the other weren't
    /// there, and their amounts are paid both.
    pub(super) fn send_acceptance(&mut self, now: Timestamp, bill: Bill, step: &mut Step) {
        let can_pay = self.live.money.can_pay();
        let Some(&id) = self.live.bills.accepting.get(&bill) else { return };
        let kept = self.books.rental(id).and_then(|rental| rental.accepting.get(&bill));
        let Some(amount) = kept.map(|accepting| accepting.amount) else { return };
        let Some(rental) = self.live.rentals.get_mut(&id) else { return };
        let Some(sending) = rental.sending.get_mut(&bill) else { return };
        if rental.sent.is_some() {
            rental.queued.insert(bill);
        } else if can_pay {
            sending.sent = Some(now);
            rental.sent = Some(bill.clone());
            step.effects.push(Effect::AcceptBill { bill, amount });
        } else {
            self.live.bills.again.insert((now, bill));
        }
    }

    /// The daemon has answered: it is the next one's turn.
    fn send_next(&mut self, now: Timestamp, id: RentalId, answered: &Bill, step: &mut Step) {
        let next =
            self.live.rentals.get_mut(&id).filter(|rental| rental.sent.as_ref() == Some(answered)).and_then(
                |rental| {
                    rental.sent = None;
                    rental.queued.pop_first()
                },
            );
        if let Some(bill) = next {
            self.send_acceptance(now, bill, step);
        }
    }

    /// Keeps a bill that is right until a window of the budget holds it.
    ///
    /// What could be billed was reserved for before the rental was made, so that this is rare: nobody stopped what ran while
    /// the process was dead, or the bill came after so long that nothing was reserved for it any more.
    fn postpone(&mut self, now: Timestamp, bill: Postponed, step: &mut Step) {
        if !bill.told {
            let problem = format!(
                "the budget of {} doesn't hold {} GLM just now; it is accepted as soon as it does",
                self.budget().in_words(),
                bill.amount
            );
            step.emit(
                &mut self.books,
                now,
                EventKind::Trouble { doing: "accept a bill".to_owned(), problem },
            );
        }
        let live = self.live.rentals.get_mut(&bill.id);
        let activity = bill.place.and_then(|place| live?.activities.get_mut(place));
        if let (Some(activity), Some(usage)) = (activity, bill.usage()) {
            activity.report(usage);
        }
        self.live.bills.postponed.push(Postponed { told: true, ..bill });
        if self.config.on_budget == OnBudget::Stop {
            self.stop(now, StopReason::BudgetReached, step);
        }
    }

    /// GLM of bills that were accepted or are being accepted.
    pub(super) fn promised(&self) -> Glm {
        self.books.state.promised_in_all()
    }

    pub(super) fn on_bill_accepted(&mut self, now: Timestamp, bill: &Bill, step: &mut Step) {
        let Some(id) = self.live.bills.accepting.remove(bill) else {
            return;
        };
        let Some(rental) = self.books.rental(id) else { return };
        let Some(amount) = rental.accepting.get(bill).map(|accepting| accepting.amount) else { return };
        let total = rental.accepted_with(bill);
        if let Some(rental) = self.live.rentals.get_mut(&id) {
            rental.sending.remove(bill);
        }
        step.emit(
            &mut self.books,
            now,
            EventKind::BillAccepted { rental: id, bill: bill.clone(), amount, total },
        );
        self.send_next(now, id, bill, step);
    }

    /// Drops a bill that an earlier process left undecided and that can't be read any more.
    pub(super) fn on_bill_unreadable(&mut self, bill: &Bill) {
        for rental in self.live.rentals.values_mut() {
            rental.asked_again.remove(bill);
        }
    }

    /// A bill is told of once: what fails for now is tried again for as long as the run lasts.
    pub(super) fn on_bill_failed(
        &mut self,
        now: Timestamp,
        bill: &Bill,
        problem: &str,
        passing: bool,
        step: &mut Step,
    ) {
        let Some(&id) = self.live.bills.accepting.get(bill) else {
            return;
        };
        let Some(rental) = self.live.rentals.get_mut(&id).filter(|rental| rental.sent.as_ref() == Some(bill))
        else {
            return;
        };
        if passing && let Some(sending) = rental.sending.get_mut(bill) {
            let pause = Self::BILL_PAUSE.saturating_mul(1 << sending.failures.min(3));
            if sending.failures == 0 {
                let (doing, problem) = ("accept a bill".to_owned(), problem.to_owned());
                step.emit(&mut self.books, now, EventKind::Trouble { doing, problem });
            }
            sending.failures += 1;
            sending.sent = None;
            self.live.bills.again.insert((after(now, pause), bill.clone()));
            return self.send_next(now, id, bill, step);
        }
        self.live.bills.accepting.remove(bill);
        let Some(Sending { payable, .. }) = rental.sending.remove(bill) else { return };
        let Some(kept) = self.books.rental(id) else { return };
        let Some(AcceptingBill { amount, activity }) = kept.accepting.get(bill).cloned() else { return };
        let place = activity.and_then(|activity| kept.place_of(&activity));
        if let Some(activity) = place.and_then(|place| rental.activities.get_mut(place)) {
            // It is counted again if it comes again.
            activity.notes = activity.notes.saturating_sub(1);
            activity.payable_notes = activity.payable_notes.saturating_sub(payable.into());
        }
        if matches!(bill, Bill::Invoice(_)) {
            rental.has_invoice = false;
            rental.owes_nothing = false;
        }
        // Should its provider send it again, it is looked at again.
        rental.seen_bills.remove(bill);
        self.live.bills.seen_before.remove(bill);
        let reason = format!("couldn't be accepted: {problem}");
        step.emit(
            &mut self.books,
            now,
            EventKind::BillRefused {
                rental: Some(id),
                bill: bill.clone(),
                amount,
                reason,
                measured: None,
                open: true,
            },
        );
        self.send_next(now, id, bill, step);
    }

    /// Looks again at invoices that wait, and tries again to accept what couldn't be accepted. The
    /// intent was stored the first time.
    pub(super) fn plan_bills(&mut self, now: Timestamp, step: &mut Step) {
        for (until, id, invoice) in std::mem::take(&mut self.live.bills.held) {
            self.decide_invoice(now, id, &invoice, until, step);
        }
        for bill in std::mem::take(&mut self.live.bills.postponed) {
            self.accept_or_postpone(now, bill, step);
        }
        // Once no more is waited for, nothing is begun anew: the end would never come.
        let since = self.live.stopping.and_then(|stopping| stopping.settling_since);
        let over = since.is_some_and(|since| now >= after(since, self.config.settle_timeout));
        while self.live.money.can_pay()
            && !over
            && self.live.bills.again.first().is_some_and(|(time, _)| *time <= now)
            && let Some((_, bill)) = self.live.bills.again.pop_first()
        {
            self.send_acceptance(now, bill, step);
        }
    }

    /// True while a final bill may still come, once every rental is over.
    ///
    /// A provider that was lost is most likely gone: the run waits for it no longer than bills take.
    pub(super) fn is_bill_awaited(&self, now: Timestamp, settling_since: Timestamp) -> bool {
        let most = self.config.settle_timeout;
        self.unsettled().any(|(id, _)| {
            let rental = self.live.rentals.get(&id);
            let gone = rental.is_some_and(|rental| rental.out_of_reach) && self.live.trouble.is_none();
            now < after(settling_since, if gone { most.min(Self::OUT_OF_REACH) } else { most })
        })
    }

    /// Rentals whose final bill hasn't been accepted.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = (RentalId, &AgreementId)> {
        self.rentals().filter_map(|(id, rental)| {
            let agreement = rental.kept.agreement.as_ref()?;
            (rental.live.stage == Stage::Closed && rental.awaits_invoice()).then_some((id, agreement))
        })
    }
}
