//! The state of rentals, their activities and their bills.

use std::collections::{BTreeMap, BTreeSet};

use yagna_api::{ActivityId, Glm, Timestamp};

use super::{AcceptingBill, Activity, AttemptScript, InvoiceState, Rental, RunState, look_back};
use crate::bill::Meter;
use crate::event::{ActivityNo, Bill, EventKind, JobId, Measured, Provider, RentalTerms};

impl Rental {
    fn new(provider: Provider, terms: RentalTerms, intended: Timestamp) -> Self {
        Self {
            provider,
            terms,
            intended,
            agreement: None,
            approved: None,
            ended: None,
            activities: Vec::new(),
            accepting: BTreeMap::new(),
            undecided: BTreeSet::new(),
            accepted: Glm::ZERO,
            invoice: InvoiceState::default(),
        }
    }

    /// Takes in an event that is about this rental.
    pub(crate) fn apply(&mut self, at: Timestamp, kind: &EventKind) {
        match kind {
            EventKind::AgreementCreated { agreement, .. } => self.agreement = Some(agreement.clone()),
            EventKind::AgreementApproved { agreement, agreed, .. } => {
                self.agreement = Some(agreement.clone());
                self.approved = Some(*agreed);
            }
            EventKind::AgreementEnded { forgotten, .. } => {
                self.ended.get_or_insert(at);
                if *forgotten && self.invoice == InvoiceState::Awaited {
                    self.invoice = InvoiceState::Impossible;
                }
            }
            EventKind::ActivityIntended { job, .. } => {
                self.activities.push(Activity::new(*job, Meter::new(at, self.terms.threads)));
            }
            EventKind::ActivityCreated { activity, .. } => {
                if let Some(current) = self.current_mut() {
                    current.id = Some(activity.clone());
                }
            }
            EventKind::ActivityReady { .. } => {
                if let Some(current) = self.current_mut() {
                    current.ready = true;
                }
            }
            EventKind::ActivityEnded { usage, complete, .. } => {
                if let Some(current) = self.current_mut() {
                    current.end(at, usage.as_deref(), *complete);
                }
            }
            EventKind::BatchSent { no, attempts, script, .. } => {
                let is_newest = self.newest() == *no;
                let Some(current) = self.current_mut().filter(|_| is_newest) else { return };
                if !attempts.is_empty() {
                    let (attempts, script) = (attempts.clone(), script.clone());
                    current.scripts.push(AttemptScript { attempts, script });
                } else if !current.was_given {
                    current.setup.push(script.clone());
                }
            }
            _ => self.apply_to_bills(kind),
        }
    }

    fn apply_to_bills(&mut self, kind: &EventKind) {
        match kind {
            EventKind::BillReceived { bill, .. } => {
                self.undecided.insert(bill.clone());
            }
            EventKind::BillAccepting { bill, amount, measured, .. } => {
                self.measure(measured.as_ref());
                self.undecided.remove(bill);
                let activity = measured.as_ref().map(|measured| measured.activity.clone());
                self.accepting.insert(bill.clone(), AcceptingBill { amount: *amount, activity });
            }
            EventKind::BillAccepted { bill, amount, total, .. } => self.accept(bill, *amount, *total),
            EventKind::BillRefused { bill, measured, open, .. } => {
                self.measure(measured.as_ref());
                self.accepting.remove(bill);
                let is_invoice = matches!(bill, Bill::Invoice(_));
                if *open {
                    self.undecided.insert(bill.clone());
                } else {
                    self.undecided.remove(bill);
                }
                match self.invoice {
                    InvoiceState::Awaited if is_invoice && !open => self.invoice = InvoiceState::Refused,
                    InvoiceState::Refused if is_invoice && *open => self.invoice = InvoiceState::Awaited,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// True if nothing more is expected of the rental. It is forgotten then.
    ///
    /// One that was in force does, until an invoice is accepted: some providers send one for nothing.
    pub fn is_settled(&self) -> bool {
        self.ended.is_some()
            && self.activities.iter().all(|activity| activity.over)
            && self.accepting.is_empty()
            && (self.approved.is_none()
                || matches!(self.invoice, InvoiceState::Accepted | InvoiceState::Impossible))
    }

    /// True if there may be several activities, one after the other.
    pub(crate) fn has_multi_activity(&self) -> bool {
        self.approved.is_some_and(|agreed| agreed.multi_activity)
    }

    /// The number of the last activity.
    pub fn newest(&self) -> ActivityNo {
        ActivityNo(u32::try_from(self.activities.len()).unwrap_or(u32::MAX))
    }

    /// The activity that runs or is being ended.
    pub fn current(&self) -> Option<&Activity> {
        self.activities.last().filter(|activity| !activity.over)
    }

    pub(super) fn current_mut(&mut self) -> Option<&mut Activity> {
        self.activities.last_mut().filter(|activity| !activity.over)
    }

    /// True if no activity is known by its id: as far as anybody has said, nothing ever ran.
    pub(crate) fn is_unseen(&self) -> bool {
        self.activities.iter().all(|activity| activity.id.is_none())
    }

    /// The place of an activity by its id. One whose id never came back is taken for it: its provider may have made it all
    /// the same, and only its bills tell of it.
    pub(crate) fn place_of(&self, id: &ActivityId) -> Option<usize> {
        let known = self.activities.iter().position(|activity| activity.id.as_ref() == Some(id));
        known.or_else(|| self.activities.iter().rposition(|activity| activity.id.is_none()))
    }

    /// GLM that accepted bills promise, those being accepted included.
    pub fn promised(&self) -> Glm {
        self.promised_with(None, Glm::ZERO)
    }

    /// The sum promised if this much were accepted too: for the activity at `place`, or else for the whole agreement.
    pub(crate) fn promised_with(&self, place: Option<usize>, amount: Glm) -> Glm {
        let being = |of: Option<&ActivityId>| {
            let its = self.accepting.values().filter(|accepting| accepting.activity.as_ref() == of);
            its.map(|accepting| accepting.amount).max().unwrap_or_default()
        };
        let more = |of: Option<usize>| if of == place { amount } else { Glm::ZERO };
        let notes = self.activities.iter().enumerate().map(|(at, activity)| {
            let asked = activity.id.as_ref().map_or(Glm::ZERO, |id| being(Some(id)));
            activity.meter.noted.max(asked).max(more(Some(at)))
        });
        sum(notes).max(self.accepted).max(being(None)).max(more(None))
    }

    /// GLM accepted in all, once this bill is: the highest debit note of each activity together, or the invoice.
    pub(crate) fn accepted_with(&self, bill: &Bill) -> Glm {
        let Some(AcceptingBill { amount, activity }) = self.accepting.get(bill) else { return self.accepted };
        let total = match activity.as_ref().and_then(|id| self.place_of(id)) {
            Some(place) => sum(self.activities.iter().enumerate().map(|(at, activity)| {
                activity.meter.noted.max(if at == place { *amount } else { Glm::ZERO })
            })),
            None => *amount,
        };
        self.accepted.max(total)
    }

    fn activity(&mut self, id: &ActivityId) -> Option<&mut Activity> {
        let place = self.place_of(id)?;
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

impl Activity {
    fn new(job: JobId, meter: Meter) -> Self {
        Self {
            job,
            id: None,
            meter,
            ready: false,
            was_given: false,
            done: 0,
            over: false,
            setup: Vec::new(),
            scripts: Vec::new(),
        }
    }

    fn end(&mut self, at: Timestamp, usage: Option<&[f64]>, complete: bool) {
        if let Some(usage) = usage {
            self.meter.report(usage);
        }
        self.meter.ended = Some(at);
        self.meter.complete = complete;
        self.over = true;
        self.setup.clear();
        self.scripts.clear();
    }
}

impl RunState {
    /// Takes in an event about a rental, and gives out the rental where nothing more is expected of it.
    pub(super) fn apply_to_rentals(&mut self, at: Timestamp, kind: &EventKind) -> Option<Rental> {
        match kind {
            EventKind::AgreementIntended { rental, provider, terms, .. } => {
                self.next_rental = self.next_rental.max(rental.0.saturating_add(1));
                self.rentals.insert(*rental, Rental::new(provider.clone(), (**terms).clone(), at));
                return None;
            }
            EventKind::BillReceived { bill, told: Some(told), .. } => self.told(bill, *told),
            EventKind::BillAccepting { rental, increase, .. } => {
                self.promised.promise(at, *rental, *increase);
            }
            _ => {}
        }
        let id = kind.rental()?;
        let rental = self.rentals.get_mut(&id)?;
        let accepted = rental.accepted;
        let promised = match kind {
            EventKind::BillRefused { .. } => rental.promised(),
            _ => Glm::ZERO,
        };
        rental.apply(at, kind);
        match kind {
            // Nothing ever ran. Where it may have come about all the same, the daemon's list tells of it.
            EventKind::AgreementFailed { .. } => return self.rentals.remove(&id),
            EventKind::BillAccepted { .. } => {
                let increase = rental.accepted.saturating_sub(accepted);
                self.accepted = self.accepted.checked_add(increase).unwrap_or(Glm::MAX);
            }
            EventKind::BillRefused { .. } => {
                self.promised.take_back(id, promised.saturating_sub(rental.promised()));
            }
            _ => {}
        }
        if matches!(kind, EventKind::BillAccepted { .. } | EventKind::BillRefused { .. })
            && rental.accepting.is_empty()
        {
            self.promised.settle(id);
        }
        if rental.is_settled() { self.rentals.remove(&id) } else { None }
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
}

/// A sum that stops at GLM's supply instead of failing.
fn sum(amounts: impl Iterator<Item = Glm>) -> Glm {
    amounts.fold(Glm::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(Glm::MAX))
}
