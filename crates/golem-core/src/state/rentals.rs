//! The past of rentals, their activities and their bills.

use std::collections::{BTreeMap, BTreeSet};

use yagna_api::{ActivityId, Glm, Timestamp};

use super::{AcceptingBill, Activity, AttemptScript, InvoiceState, Rental, RunState, look_back};
use crate::bill::Meter;
use crate::event::{Bill, EventKind, Measured, RentalId};

impl Rental {
    /// Has it nothing more to expect? Then it is forgotten.
    ///
    /// One that was in force does, until an invoice is accepted: some providers send one for nothing.
    pub fn is_settled(&self) -> bool {
        self.ended.is_some()
            && self.activities.iter().all(|activity| activity.over)
            && self.accepting.is_empty()
            && (self.approved.is_none()
                || matches!(self.invoice, InvoiceState::Accepted | InvoiceState::Impossible))
    }

    /// GLM that accepted bills promise, those being accepted included.
    pub fn promised(&self) -> Glm {
        let being = |of: Option<&ActivityId>| {
            let its = self.accepting.values().filter(|accepting| accepting.activity.as_ref() == of);
            its.map(|accepting| accepting.amount).max().unwrap_or_default()
        };
        let notes = self.activities.iter().map(|activity| {
            let asked = activity.id.as_ref().map_or(Glm::ZERO, |id| being(Some(id)));
            activity.meter.noted.max(asked)
        });
        let notes = notes.fold(Glm::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(Glm::MAX));
        notes.max(self.accepted).max(being(None))
    }

    fn activity(&mut self, id: &ActivityId) -> Option<&mut Activity> {
        let known = self.activities.iter().position(|activity| activity.id.as_ref() == Some(id));
        // One whose id never came back is taken for it, as the run does.
        let place = known.or_else(|| self.activities.iter().rposition(|activity| activity.id.is_none()))?;
        let activity = &mut self.activities[place];
        activity.id.get_or_insert_with(|| id.clone());
        Some(activity)
    }

    fn measure(&mut self, measured: Option<&Measured>) {
        let Some(measured) = measured else { return };
        let Some(activity) = self.activity(&measured.activity) else { return };
        if let Some(usage) = &measured.usage {
            activity.meter.report(usage);
        }
        activity.meter.overbilled |= measured.overbilled;
    }

    fn accept(&mut self, bill: &Bill, amount: Glm, total: Glm) {
        let accepting = self.accepting.remove(bill);
        match accepting.and_then(|accepting| accepting.activity) {
            Some(id) => {
                if let Some(activity) = self.activity(&id) {
                    activity.meter.accepted(amount);
                }
            }
            None if matches!(bill, Bill::Invoice(_)) => {
                self.invoice = InvoiceState::Accepted;
                if let [only] = self.activities.as_mut_slice() {
                    only.meter.accepted(amount);
                }
            }
            None => {}
        }
        self.accepted = self.accepted.max(total);
    }
}

impl RunState {
    pub(super) fn apply_to_deals(&mut self, at: Timestamp, kind: &EventKind) {
        match kind {
            EventKind::AgreementIntended { rental, provider, terms, .. } => {
                self.next_rental = self.next_rental.max(rental.0.saturating_add(1));
                let deal = Rental {
                    provider: provider.clone(),
                    terms: terms.as_deref().cloned(),
                    intended: at,
                    agreement: None,
                    approved: None,
                    ended: None,
                    activities: Vec::new(),
                    accepting: BTreeMap::new(),
                    undecided: BTreeSet::new(),
                    accepted: Glm::ZERO,
                    invoice: InvoiceState::default(),
                };
                self.rentals.insert(*rental, deal);
            }
            EventKind::AgreementCreated { rental, agreement } => {
                if let Some(deal) = self.rentals.get_mut(rental) {
                    deal.agreement = Some(agreement.clone());
                }
            }
            EventKind::AgreementApproved { rental, agreement, agreed } => {
                if let Some(deal) = self.rentals.get_mut(rental) {
                    deal.agreement = Some(agreement.clone());
                    deal.approved = Some(agreed.unwrap_or_default());
                }
            }
            // Nothing ever ran. Where it may have come about all the same, the daemon's list tells of it.
            EventKind::AgreementFailed { rental, .. } => {
                self.rentals.remove(rental);
            }
            EventKind::AgreementEnded { rental, forgotten, .. } => {
                if let Some(deal) = self.rentals.get_mut(rental) {
                    deal.ended.get_or_insert(at);
                    if *forgotten && deal.invoice == InvoiceState::Awaited {
                        deal.invoice = InvoiceState::Impossible;
                    }
                }
                self.forget_if_settled(*rental);
            }
            EventKind::ActivityIntended { .. }
            | EventKind::ActivityCreated { .. }
            | EventKind::ActivityReady { .. }
            | EventKind::ActivityEnded { .. }
            | EventKind::BatchSent { .. } => self.apply_to_activities(at, kind),
            _ => self.apply_to_bills(at, kind),
        }
    }

    fn apply_to_activities(&mut self, at: Timestamp, kind: &EventKind) {
        match kind {
            EventKind::ActivityIntended { rental, job } => {
                let Some(deal) = self.rentals.get_mut(rental) else { return };
                let threads = deal.terms.as_ref().map_or(1, |terms| terms.threads);
                deal.activities.push(Activity {
                    job: *job,
                    id: None,
                    meter: Meter::new(at, threads),
                    ready: false,
                    was_given: false,
                    done: 0,
                    over: false,
                    setup: Vec::new(),
                    scripts: Vec::new(),
                });
            }
            EventKind::ActivityCreated { rental, activity } => {
                if let Some(current) = self.current_activity(*rental) {
                    current.id = Some(activity.clone());
                }
            }
            EventKind::ActivityReady { rental } => {
                if let Some(current) = self.current_activity(*rental) {
                    current.ready = true;
                }
            }
            EventKind::ActivityEnded { rental, usage, complete, .. } => {
                if let Some(current) = self.current_activity(*rental) {
                    if let Some(usage) = usage {
                        current.meter.report(usage);
                    }
                    current.meter.ended = Some(at);
                    current.meter.complete = *complete;
                    current.over = true;
                    current.setup.clear();
                    current.scripts.clear();
                }
                self.forget_if_settled(*rental);
            }
            EventKind::BatchSent { rental, no, attempts, script } => {
                let Some(deal) = self.rentals.get_mut(rental) else { return };
                let is_newest = deal.activities.len() == no.0 as usize;
                let Some(current) = deal.activities.last_mut().filter(|last| is_newest && !last.over) else {
                    return;
                };
                if !attempts.is_empty() {
                    let (attempts, script) = (attempts.clone(), script.clone());
                    current.scripts.push(AttemptScript { attempts, script });
                } else if !current.was_given {
                    current.setup.push(script.clone());
                }
            }
            _ => {}
        }
    }

    fn apply_to_bills(&mut self, at: Timestamp, kind: &EventKind) {
        match kind {
            EventKind::BillReceived { rental, bill, told, .. } => {
                if let Some(told) = told {
                    self.told(bill, *told);
                }
                if let Some(deal) = rental.and_then(|rental| self.rentals.get_mut(&rental)) {
                    deal.undecided.insert(bill.clone());
                }
            }
            EventKind::BillAccepting { rental, bill, amount, increase, measured } => {
                self.promised.promise(at, *rental, *increase);
                let Some(deal) = self.rentals.get_mut(rental) else { return };
                deal.measure(measured.as_ref());
                deal.undecided.remove(bill);
                let activity = measured.as_ref().map(|measured| measured.activity.clone());
                deal.accepting.insert(bill.clone(), AcceptingBill { amount: *amount, activity });
            }
            EventKind::BillAccepted { rental, bill, amount, total } => {
                if let Some(deal) = self.rentals.get_mut(rental) {
                    let before = deal.accepted;
                    deal.accept(bill, *amount, *total);
                    let increase = deal.accepted.saturating_sub(before);
                    self.accepted = self.accepted.checked_add(increase).unwrap_or(Glm::MAX);
                    if deal.accepting.is_empty() {
                        self.promised.settle(*rental);
                    }
                    // Old records don't say what a bill adds.
                    self.promised.promised(at, self.accepted.saturating_sub(self.promised.total()));
                }
                self.forget_if_settled(*rental);
            }
            EventKind::BillRefused { rental: Some(rental), bill, measured, open, .. } => {
                let Some(deal) = self.rentals.get_mut(rental) else { return };
                deal.measure(measured.as_ref());
                let promised = deal.promised();
                deal.accepting.remove(bill);
                self.promised.take_back(*rental, promised.saturating_sub(deal.promised()));
                if deal.accepting.is_empty() {
                    self.promised.settle(*rental);
                }
                if *open {
                    deal.undecided.insert(bill.clone());
                } else {
                    deal.undecided.remove(bill);
                    if matches!(bill, Bill::Invoice(_)) && deal.invoice == InvoiceState::Awaited {
                        deal.invoice = InvoiceState::Refused;
                    }
                }
                self.forget_if_settled(*rental);
            }
            _ => {}
        }
    }

    /// Notes when the daemon told of a bill, and forgets those that it won't tell of again.
    fn told(&mut self, bill: &Bill, told: Timestamp) {
        let is_invoice = matches!(bill, Bill::Invoice(_));
        let newest = if is_invoice { &mut self.invoices_told } else { &mut self.debit_notes_told };
        *newest = (*newest).max(Some(told));
        let since = newest.map(look_back);
        self.recent_bills.insert(bill.clone(), told);
        self.recent_bills
            .retain(|bill, told| matches!(bill, Bill::Invoice(_)) != is_invoice || Some(*told) > since);
    }

    pub(super) fn given(&mut self, rental: RentalId) {
        if let Some(current) = self.current_activity(rental) {
            current.was_given = true;
        }
    }

    pub(super) fn counted(&mut self, rental: RentalId) {
        if let Some(activity) = self.rentals.get_mut(&rental).and_then(|deal| deal.activities.last_mut()) {
            activity.done += 1;
        }
    }

    fn current_activity(&mut self, rental: RentalId) -> Option<&mut Activity> {
        self.rentals.get_mut(&rental)?.activities.last_mut().filter(|activity| !activity.over)
    }

    fn forget_if_settled(&mut self, rental: RentalId) {
        if self.rentals.get(&rental).is_some_and(Rental::is_settled) {
            self.rentals.remove(&rental);
        }
    }
}
