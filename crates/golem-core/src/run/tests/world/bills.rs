//! The bills of the miniature market's providers: debit notes on the way, invoices at the end, right or wrong.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::json;
use yagna_api::payment::{BillStatus, DebitNote, Invoice};
use yagna_api::time::{after, between};
use yagna_api::{ActivityId, DebitNoteId, Glm, InvoiceId};

use super::{Signed, World};
use crate::event::{ActivityNo, Bill, RentalId};
use crate::pricing::round_up;
use crate::run::Input;

impl World {
    /// What the rental's provider may rightly ask for one of its activities by now.
    pub(super) fn due(&self, signed: &Signed, place: usize) -> (Vec<f64>, Glm) {
        let pricing = &self.pricings[&signed.provider];
        let activity = &signed.activities[place];
        let age = between(activity.opened, activity.ended.unwrap_or(self.now)).as_secs_f64();
        let usage = vec![age, age * 0.5];
        let due = Glm::from_decimal_rounding_down(pricing.cost(&usage).unwrap()).unwrap();
        (usage, due)
    }

    /// The daemon is asked what an activity has used so far, and may not answer.
    pub(super) fn read_usage(&mut self, rental: RentalId, no: ActivityNo, activity: &ActivityId) {
        let signed = &self.signed[&rental];
        let place = signed.activities.iter().position(|known| known.id == *activity).expect("it was opened");
        let usage = self.due(signed, place).0;
        if !self.roll(self.faults.daemon) {
            self.soon(Input::Usage { rental, no, usage });
        }
    }

    /// The daemon is asked to accept a bill. It must not have another one of the same agreement in its hands.
    pub(super) fn accept(&mut self, bill: Bill) {
        assert!(!self.payable.contains(&bill), "no payments on the way were agreed");
        let rental = self.run.live.bills.accepting[&bill];
        let other = self.accepting.iter().find(|(_, of)| **of == rental);
        assert!(other.is_none(), "{bill:?} is accepted together with {other:?}: both would be paid");
        self.accepting.insert(bill.clone(), rental);
        if self.roll(self.faults.loses_money)
            && let Some(allocation) = self.allocation.take()
        {
            self.soon(Input::AllocationLost { allocation });
        }
        let input = if self.allocation.is_none() {
            Input::BillFailed { bill, problem: "gone".into(), passing: true }
        } else if self.roll(self.faults.daemon) {
            Input::BillFailed { bill, problem: "500".into(), passing: self.roll(0.7) }
        } else {
            Input::BillAccepted { bill }
        };
        self.soon(input);
    }

    /// Every provider sends a debit note for its activity each 30 seconds.
    pub(super) fn send_notes(&mut self) {
        let mut rentals: Vec<_> = self.signed.keys().copied().collect();
        rentals.sort_unstable();
        for rental in rentals {
            let signed = &self.signed[&rental];
            let Some(activity) = signed.activities.last() else { continue };
            let age = between(activity.opened, self.now).as_secs();
            if !signed.running || activity.ended.is_some() || age / 30 <= u64::from(activity.n_notes) {
                continue;
            }
            let place = signed.activities.len() - 1;
            let (usage, due) = self.due(signed, place);
            self.signed.get_mut(&rental).unwrap().activities[place].n_notes += 1;
            let asked = self.asked(due);
            let note = self.debit_note(rental, place, &usage, due, asked);
            self.soon(note);
        }
    }

    pub(super) fn debit_note(
        &mut self,
        rental: RentalId,
        place: usize,
        usage: &[f64],
        due: Glm,
        asked: Glm,
    ) -> Input {
        let payable = self.roll(self.faults.rushes);
        let signed = &self.signed[&rental];
        self.next += 1;
        let note = DebitNote {
            debit_note_id: DebitNoteId::new(format!("n{}", self.next)),
            issuer_id: signed.provider.clone(),
            recipient_id: Self::node(99),
            payee_addr: "0x2".into(),
            payer_addr: "0x1".into(),
            payment_platform: Self::PLATFORM.into(),
            previous_debit_note_id: None,
            timestamp: self.now,
            agreement_id: signed.agreement.clone(),
            activity_id: signed.activities[place].id.clone(),
            total_amount_due: asked,
            usage_counter_vector: Some(json!(usage)),
            payment_due_date: payable.then(|| after(self.now, Duration::from_secs(86_400))),
            status: BillStatus::Received,
        };
        let bill = Bill::DebitNote(note.debit_note_id.clone());
        if payable && !asked.is_zero() {
            self.payable.insert(bill.clone());
        }
        self.owed.insert(bill, due);
        let note = Input::DebitNote { note: Box::new(note), told: Some(self.now) };
        self.bills.push((self.now, note.clone()));
        note
    }

    pub(super) fn asked(&mut self, due: Glm) -> Glm {
        if self.roll(self.faults.overbills) {
            due.checked_add(due).unwrap().checked_add("0.5".parse().unwrap()).unwrap()
        } else {
            due
        }
    }

    pub(super) fn close(&mut self, rental: RentalId) {
        let Some(signed) = self.signed.get_mut(&rental) else {
            return self.later(1.0, Input::Closed { rental, usage: None, failure: None, ended: true });
        };
        signed.running = false;
        let now = self.now;
        signed.ended = Some(signed.ended.map_or(now, |ended| ended.min(now)));
        let was_open = signed.activities.last_mut().is_some_and(|activity| activity.ended.is_none());
        for activity in &mut signed.activities {
            activity.ended.get_or_insert(now);
        }
        let signed = &self.signed[&rental];
        let sends_none = signed.activities.is_empty() || signed.dead;
        let dues: Vec<_> = (0..signed.activities.len()).map(|place| self.due(signed, place)).collect();
        let due = dues.iter().fold(Glm::ZERO, |sum, (_, due)| sum.checked_add(*due).unwrap());
        let usage = dues.last().map(|(usage, _)| usage.clone()).filter(|_| was_open);
        let (agreement_id, issuer_id) = (signed.agreement.clone(), signed.provider.clone());
        let activity_ids: Vec<_> = signed.activities.iter().map(|activity| activity.id.clone()).collect();
        self.later(1.0, Input::Closed { rental, usage, failure: None, ended: true });
        if sends_none || self.roll(self.faults.never_invoices) {
            return;
        }
        let padded = |due: Glm| round_up(due.to_decimal() * Decimal::new(103, 2));
        let amount = if self.faults.pads_the_end { padded(due) } else { self.asked(due) };
        self.next += 1;
        let invoice = Invoice {
            invoice_id: InvoiceId::new(format!("i{}", self.next)),
            issuer_id,
            recipient_id: Self::node(99),
            payee_addr: "0x2".into(),
            payer_addr: "0x1".into(),
            payment_platform: Self::PLATFORM.into(),
            timestamp: self.now,
            agreement_id,
            activity_ids,
            amount,
            payment_due_date: after(self.now, Duration::from_secs(86_400)),
            status: BillStatus::Received,
        };
        self.owed.insert(Bill::Invoice(invoice.invoice_id.clone()), due);
        let time = 1.1 + self.chance.f64() * 5.0;
        let told = after(self.now, Duration::from_secs_f64(time));
        let input = Input::Invoice { invoice: Box::new(invoice), told: Some(told) };
        self.bills.push((told, input.clone()));
        self.later(time, input);
        if self.faults.pads_the_end {
            let (usage, due) = dues.last().expect("there was an activity");
            let note = self.debit_note(rental, dues.len() - 1, usage, *due, padded(*due));
            self.later(time + 2.0, note);
        }
        if let Some(demand) = self.demand.clone() {
            let provider = self.signed[&rental].provider.clone();
            let n = (0..Self::PROVIDERS).find(|n| Self::node(*n) == provider).unwrap();
            self.show(&demand, n);
        }
    }
}
