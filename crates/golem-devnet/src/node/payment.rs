//! Debit notes and invoices: issuing, accepting, refusing, and what is told of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use yagna_api::payment::{BillEventKind, BillStatus, Rejection};
use yagna_api::{ActivityId, AgreementId, AllocationId, AppSessionId, Glm, NodeId, Timestamp};

use super::agreement::AgreementRecord;
use super::events::to_millis;
use super::negotiation::Side;
use super::orders::{Order, PaymentRecord};
use super::refusal::{Form, Refusal};
use super::{Due, State};
use crate::port::{NewDebitNote, NewInvoice};

/// All bills and what was accepted of them.
#[derive(Debug, Default)]
pub(crate) struct Bills {
    pub(crate) records: HashMap<Arc<str>, Bill>,
    pub(crate) order: Vec<Arc<str>>,
    pub(crate) payments: Vec<PaymentRecord>,
    pub(crate) orders: Vec<Order>,
    last_note: HashMap<ActivityId, Arc<str>>,
    /// The highest debit note of an activity.
    requested_for_activity: HashMap<ActivityId, Glm>,
    /// The sum that an agreement's bills ask for: the highest of each activity, or the invoice.
    requested_for_agreement: HashMap<AgreementId, Glm>,
    accepted_for_activity: HashMap<ActivityId, Glm>,
    accepted_for_agreement: HashMap<AgreementId, Glm>,
    /// Agreements whose invoice has been accepted: their debit notes matter no more.
    closed: HashSet<AgreementId>,
}

/// A debit note or an invoice.
#[derive(Debug, Clone)]
pub(crate) struct Bill {
    pub(crate) id: Arc<str>,
    pub(crate) kind: BillKind,
    pub(crate) agreement: AgreementId,
    pub(crate) issuer: NodeId,
    pub(crate) recipient: NodeId,
    pub(crate) payee_addr: String,
    pub(crate) payer_addr: String,
    pub(crate) platform: String,
    pub(crate) issued: Timestamp,
    pub(crate) amount: Glm,
    pub(crate) due: Option<Timestamp>,
    pub(crate) status: BillStatus,
    /// The allocation that pays it, once it is accepted.
    pub(crate) allocation: Option<AllocationId>,
}

/// The subject of a bill.
#[derive(Debug, Clone)]
pub(crate) enum BillKind {
    /// One activity, so far.
    DebitNote { activity: ActivityId, usage: Vec<f64>, previous: Option<Arc<str>> },
    /// The whole agreement.
    Invoice { activities: Vec<ActivityId> },
}

/// The two kinds of bills that a request may be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paper {
    DebitNote,
    Invoice,
}

/// An acceptance that has been paid for, and isn't counted yet.
#[derive(Debug)]
pub(crate) struct BegunAcceptance {
    bill: Bill,
    increase: Glm,
    allocation: AllocationId,
}

impl Bills {
    /// Counts a bill as accepted: an invoice is all of its agreement, a debit note adds to what there is by now.
    fn count(&mut self, bill: &Bill) {
        let for_agreement = self.accepted_for_agreement.entry(bill.agreement.clone()).or_default();
        match &bill.kind {
            BillKind::DebitNote { activity, .. } => {
                let for_activity = self.accepted_for_activity.entry(activity.clone()).or_default();
                let increase = bill.amount.saturating_sub(*for_activity);
                *for_activity = bill.amount.max(*for_activity);
                *for_agreement = for_agreement.checked_add(increase).unwrap_or(*for_agreement);
            }
            BillKind::Invoice { .. } => {
                *for_agreement = bill.amount;
                self.closed.insert(bill.agreement.clone());
            }
        }
    }

    /// The sum that an agreement's bills ask for.
    pub(crate) fn requested(&self, agreement: &AgreementId) -> Glm {
        self.requested_for_agreement.get(agreement).copied().unwrap_or_default()
    }

    /// The accepted part of that sum.
    pub(crate) fn accepted(&self, agreement: &AgreementId) -> Glm {
        self.accepted_for_agreement.get(agreement).copied().unwrap_or_default()
    }
}

impl Bill {
    pub(crate) fn paper(&self) -> Paper {
        match self.kind {
            BillKind::DebitNote { .. } => Paper::DebitNote,
            BillKind::Invoice { .. } => Paper::Invoice,
        }
    }

    /// True if this node may see it. A recipient doesn't know of what hasn't been sent.
    pub(crate) fn is_seen_by(&self, node: &NodeId) -> bool {
        self.issuer == *node || (self.recipient == *node && self.status != BillStatus::Issued)
    }
}

/// A bill's event in one node's log.
#[derive(Debug, Clone)]
pub(crate) struct BillEntry {
    pub(crate) bill: Arc<str>,
    pub(crate) role: Side,
    pub(crate) session: Option<AppSessionId>,
    pub(crate) kind: BillEventKind,
}

impl State {
    /// A bill of this kind that the caller may see.
    pub(crate) fn bill(&self, caller: &NodeId, paper: Paper, id: &str) -> Result<&Bill, Refusal> {
        self.bills
            .records
            .get(id)
            .filter(|bill| bill.paper() == paper && bill.is_seen_by(caller))
            .ok_or_else(|| Refusal::null(404))
    }

    /// All bills of this kind that the caller may see, in whichever role, oldest first.
    pub(crate) fn list_bills(
        &self,
        caller: &NodeId,
        paper: Paper,
        after: Option<Timestamp>,
        max: usize,
    ) -> Vec<Bill> {
        self.bills
            .order
            .iter()
            .map(|id| &self.bills.records[id])
            .filter(|bill| bill.paper() == paper && bill.is_seen_by(caller))
            .filter(|bill| after.is_none_or(|after| bill.issued > after))
            .take(max)
            .cloned()
            .collect()
    }

    /// Makes a debit note. One that is lower than the last lowers nothing.
    pub(crate) fn issue_debit_note(&mut self, issuer: &NodeId, new: NewDebitNote) -> Result<Bill, Refusal> {
        let agreement = match self.provided_activity(issuer, &new.activity) {
            Ok(record) => record.agreement.clone(),
            Err(refusal) => return Err(of_activity_service(refusal)),
        };
        let previous = self.bills.last_note.get(&new.activity).cloned();
        let activity = new.activity.clone();
        let kind = BillKind::DebitNote { activity: new.activity, usage: new.usage, previous };
        let bill = self.issue(issuer, &agreement, kind, new.total_amount_due, new.payment_due_date)?;
        self.bills.last_note.insert(activity.clone(), Arc::clone(&bill.id));
        let highest = self.bills.requested_for_activity.entry(activity).or_default();
        if let Some(more) = bill.amount.checked_sub(*highest).filter(|more| *more > Glm::ZERO) {
            *highest = bill.amount;
            let total = self.bills.requested_for_agreement.entry(agreement).or_default();
            *total = total.checked_add(more).unwrap_or(*total);
        }
        Ok(bill)
    }

    /// Makes an invoice.
    pub(crate) fn issue_invoice(&mut self, issuer: &NodeId, new: NewInvoice) -> Result<Bill, Refusal> {
        let own = self.own_agreement(issuer, &new.agreement).is_ok_and(|(_, side)| side == Side::Provider);
        if !own {
            return Err(Refusal::new(400, format!("Agreement not found: {}", new.agreement)));
        }
        let so_far = self.bills.requested_for_agreement.get(&new.agreement).copied().unwrap_or_default();
        if new.amount < so_far {
            return Err(Refusal::new(
                400,
                format!(
                    "Requested amount for agreement cannot be lowered. Current amount requested: {so_far} Amount on \
                     invoice: {}",
                    new.amount
                ),
            ));
        }
        let kind = BillKind::Invoice { activities: new.activities };
        let bill = self.issue(issuer, &new.agreement, kind, new.amount, Some(new.payment_due_date))?;
        self.bills.requested_for_agreement.insert(new.agreement, bill.amount);
        Ok(bill)
    }

    /// Sends a bill to its recipient. Doing so twice is fine.
    pub(crate) fn send_bill(&mut self, issuer: &NodeId, paper: Paper, id: &str) -> Result<(), Refusal> {
        let bill = self.bill(issuer, paper, id)?;
        if bill.issuer != *issuer {
            return Err(Refusal::null(404));
        }
        if bill.status == BillStatus::Issued {
            let id = Arc::clone(&bill.id);
            self.set_status(&id, BillStatus::Received);
            self.tell_bill(&id, &BillEventKind::Received, &[Side::Requestor]);
        }
        Ok(())
    }

    /// Begins to promise the payment of a bill: takes what it adds out of the allocation. Doing so twice is fine: `None`
    /// where nothing is to be done.
    pub(crate) fn begin_acceptance(
        &mut self,
        caller: &NodeId,
        paper: Paper,
        id: &str,
        amount: Glm,
        allocation: &AllocationId,
    ) -> Result<Option<BegunAcceptance>, Refusal> {
        let bill = self.bill(caller, paper, id)?;
        if bill.recipient != *caller {
            return Err(Refusal::null(404));
        }
        if amount != bill.amount {
            return Err(Refusal::new(400, "Invalid amount accepted"));
        }
        match bill.status {
            BillStatus::Accepted | BillStatus::Settled => return Ok(None),
            BillStatus::Cancelled => {
                let name = if paper == Paper::Invoice { "Invoice" } else { "Debit note" };
                return Err(Refusal::new(400, format!("{name} cancelled")));
            }
            BillStatus::Issued => return Err(Refusal::new(500, "Illegal status: issued")),
            BillStatus::Received | BillStatus::Rejected | BillStatus::Failed => {}
        }
        let bill = bill.clone();
        if paper == Paper::DebitNote && self.bills.closed.contains(&bill.agreement) {
            return Ok(None);
        }
        let increase = self.charge(&bill, allocation)?;
        Ok(Some(BegunAcceptance { bill, increase, allocation: allocation.clone() }))
    }

    /// Promises it, and tells so.
    pub(crate) fn end_acceptance(&mut self, begun: BegunAcceptance, settlement: Option<Duration>) {
        let BegunAcceptance { bill, increase, allocation } = begun;
        if let Some(record) = self.bills.records.get_mut(&bill.id) {
            record.allocation = Some(allocation);
        }
        self.bills.count(&bill);
        self.set_status(&bill.id, BillStatus::Accepted);
        self.tell_bill(&bill.id, &BillEventKind::Accepted, &[Side::Requestor, Side::Provider]);
        if bill.amount == Glm::ZERO {
            self.set_status(&bill.id, BillStatus::Settled);
            self.tell_bill(&bill.id, &BillEventKind::Settled, &[Side::Requestor, Side::Provider]);
        } else if let Some(wait) = settlement {
            // Whatever is accepted is paid in the next cycle, also a debit note without a date. An invoice that adds
            // nothing is settled in it, by what was paid for its debit notes.
            if matches!(bill.kind, BillKind::Invoice { .. }) || increase > Glm::ZERO {
                let (payer, platform) = (bill.recipient.clone(), bill.platform.clone());
                let half = wait / 2;
                self.schedule(half, Due::Cycle { payer, platform, pay_after: wait.saturating_sub(half) });
            }
        }
    }

    /// Refuses an invoice. Doing so twice is fine.
    pub(crate) fn reject_invoice(
        &mut self,
        caller: &NodeId,
        id: &str,
        rejection: Rejection,
    ) -> Result<(), Refusal> {
        let bill = self.bill(caller, Paper::Invoice, id)?;
        if bill.recipient != *caller {
            return Err(Refusal::null(404));
        }
        let id = Arc::clone(&bill.id);
        match bill.status {
            BillStatus::Accepted => Err(Refusal::new(400, "Invoice accepted")),
            BillStatus::Settled => Err(Refusal::new(400, "Invoice settled")),
            BillStatus::Cancelled => Err(Refusal::new(400, "Invoice cancelled")),
            BillStatus::Issued => Err(Refusal::new(500, "Illegal status: issued")),
            BillStatus::Rejected => Ok(()),
            BillStatus::Received | BillStatus::Failed => {
                self.set_status(&id, BillStatus::Rejected);
                let kind = BillEventKind::Rejected { rejection: Some(rejection) };
                self.tell_bill(&id, &kind, &[Side::Requestor, Side::Provider]);
                Ok(())
            }
        }
    }

    /// Events of one kind of bill after a cursor. The limit is applied before `wanted`, as the daemon does it.
    pub(crate) fn bill_events(
        &self,
        node: &NodeId,
        paper: Paper,
        after: Option<Timestamp>,
        max: usize,
        session: Option<&AppSessionId>,
        wanted: impl Fn(&BillEntry) -> bool,
    ) -> Vec<(Timestamp, BillEntry)> {
        let Some(node) = self.nodes.get(node) else {
            return Vec::new();
        };
        let log = match paper {
            Paper::DebitNote => &node.debit_note_log,
            Paper::Invoice => &node.invoice_log,
        };
        log.after(after)
            .filter(|(_, entry)| session.is_none() || entry.session.as_ref() == session)
            .take(max)
            .filter(|(_, entry)| wanted(entry))
            .cloned()
            .collect()
    }

    pub(crate) fn set_status(&mut self, id: &str, status: BillStatus) {
        if let Some(bill) = self.bills.records.get_mut(id) {
            bill.status = status;
        }
    }

    pub(crate) fn tell_bill(&mut self, id: &Arc<str>, kind: &BillEventKind, sides: &[Side]) {
        let at = self.stamp();
        let bill = &self.bills.records[id];
        let paper = bill.paper();
        let agreement = &self.agreements.0[&bill.agreement];
        let entries: Vec<_> = sides
            .iter()
            .map(|side| {
                let node = match side {
                    Side::Requestor => bill.recipient.clone(),
                    Side::Provider => bill.issuer.clone(),
                };
                (node, *side, agreement.session(*side).cloned())
            })
            .collect();
        for (node, role, session) in entries {
            let node = self.node(&node);
            let entry = BillEntry { bill: Arc::clone(id), role, session, kind: kind.clone() };
            match paper {
                Paper::DebitNote => node.debit_note_log.push(at, entry),
                Paper::Invoice => node.invoice_log.push(at, entry),
            }
            node.bill_wake.notify_waiters();
        }
    }

    /// Takes a bill's increase over what was accepted before out of the allocation.
    fn charge(&mut self, bill: &Bill, allocation: &AllocationId) -> Result<Glm, Refusal> {
        let for_agreement =
            self.bills.accepted_for_agreement.get(&bill.agreement).copied().unwrap_or_default();
        let activity = match &bill.kind {
            BillKind::DebitNote { activity, .. } => Some(activity),
            BillKind::Invoice { .. } => None,
        };
        let before = match activity {
            Some(activity) => self.bills.accepted_for_activity.get(activity).copied().unwrap_or_default(),
            None => for_agreement,
        };
        if activity.is_none() && bill.amount < before {
            return Err(Refusal::new(
                400,
                format!(
                    "Invoice is smaller than agreement.total_amount_accepted. invoice_id={}, invoice_amount={}, \
                     total_amount_accepted={before}",
                    bill.id, bill.amount
                ),
            ));
        }
        let increase = bill.amount.checked_sub(before).filter(|rest| *rest > Glm::ZERO).unwrap_or(Glm::ZERO);
        self.spend(&bill.recipient, allocation, increase, &bill.agreement, activity)?;
        Ok(increase)
    }

    fn issue(
        &mut self,
        issuer: &NodeId,
        agreement: &AgreementId,
        kind: BillKind,
        amount: Glm,
        due: Option<Timestamp>,
    ) -> Result<Bill, Refusal> {
        let id: Arc<str> = self.uuid().into();
        let record = &self.agreements.0[agreement];
        let (platform, payer_addr, payee_addr) = addresses(record)?;
        let bill = Bill {
            id: Arc::clone(&id),
            kind,
            agreement: agreement.clone(),
            issuer: issuer.clone(),
            recipient: record.requestor.clone(),
            payee_addr,
            payer_addr,
            platform,
            issued: to_millis(self.now),
            amount,
            due,
            status: BillStatus::Issued,
            allocation: None,
        };
        self.bills.records.insert(Arc::clone(&id), bill.clone());
        self.bills.order.push(id);
        Ok(bill)
    }
}

/// A refusal of the daemon's activity service, as its payment service passes it on.
fn of_activity_service(refusal: Refusal) -> Refusal {
    match refusal.form {
        Form::Message(message) => Refusal::new(
            500,
            format!("External service error: Activity service error: Service error: {message}"),
        ),
        form => Refusal { form, ..refusal },
    }
}

/// The payment platform that was agreed on, and both addresses on it.
fn addresses(record: &AgreementRecord) -> Result<(String, String, String), Refusal> {
    let missing = |name: &str| Refusal::new(400, format!("Missing {name}"));
    let chosen = "golem.com.payment.chosen-platform";
    let platform = record.demand_sheet.properties.text(chosen).ok_or_else(|| missing(chosen))?;
    let name = format!("golem.com.payment.platform.{platform}.address");
    let payer = record.demand_sheet.properties.text(&name).ok_or_else(|| missing(&name))?;
    let payee = record.offer_sheet.properties.text(&name).ok_or_else(|| missing(&name))?;
    Ok((platform.to_owned(), payer.to_owned(), payee.to_owned()))
}
