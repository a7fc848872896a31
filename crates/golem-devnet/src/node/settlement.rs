//! Payments: accepted bills are paid after a while, if the devnet is told to. What is paid together says `ledger`.

use std::sync::Arc;

use yagna_api::payment::{BillEventKind, BillStatus, Payment, PaymentPart};
use yagna_api::{AgreementId, AppSessionId, Glm, NodeId, PaymentId, Timestamp};

use super::State;
use super::negotiation::Side;
use super::orders::PaymentRecord;
use super::payment::{Bill, BillKind, Paper};

impl State {
    /// Pays a bill: what is due beyond earlier payments. What a paid invoice covers is settled with it.
    pub(crate) fn settle_bill(&mut self, id: &str) {
        let Some(bill) =
            self.bills.records.get(id).filter(|bill| bill.status == BillStatus::Accepted).cloned()
        else {
            return;
        };
        let paid: Glm = self
            .bills
            .payments
            .iter()
            .filter(|payment| self.covers(&bill, &payment.bill))
            .map(|payment| payment.document.amount)
            .sum();
        let rest = bill.amount.checked_sub(paid).unwrap_or(Glm::ZERO);
        if rest > Glm::ZERO {
            self.add_payment(&bill, rest);
        }
        let settled: Vec<_> = self
            .bills
            .order
            .iter()
            .filter(|other| self.covers(&bill, other))
            .filter(|other| self.bills.records[*other].status == BillStatus::Accepted)
            .cloned()
            .collect();
        for id in settled {
            self.set_status(&id, BillStatus::Settled);
            self.tell_bill(&id, &BillEventKind::Settled, &[Side::Requestor, Side::Provider]);
        }
    }

    /// Payments in which the node has a part, after a cursor.
    pub(crate) fn payments_of(
        &self,
        node: &NodeId,
        after: Option<Timestamp>,
        max: usize,
        session: Option<&AppSessionId>,
        wanted: impl Fn(&Payment) -> bool,
    ) -> Vec<PaymentRecord> {
        let from =
            after.map_or(0, |after| self.bills.payments.partition_point(|payment| payment.at <= after));
        self.bills.payments[from..]
            .iter()
            .filter(|payment| payment.is_of(node) && wanted(&payment.document))
            .filter(|payment| session.is_none() || self.session_of(node, payment) == session)
            .take(max)
            .cloned()
            .collect()
    }

    /// One payment in which the node has a part.
    pub(crate) fn payment(&self, node: &NodeId, id: &str) -> Option<PaymentRecord> {
        let found = self.bills.payments.iter().find(|payment| payment.document.payment_id.as_str() == id)?;
        found.is_of(node).then(|| found.clone())
    }

    /// Payments for an invoice and for the debit notes it covers.
    pub(crate) fn payments_for(&self, node: &NodeId, bill: &Bill) -> Vec<PaymentRecord> {
        let for_bill = |payment: &&PaymentRecord| payment.is_of(node) && self.covers(bill, &payment.bill);
        self.bills.payments.iter().filter(for_bill).cloned().collect()
    }

    /// The amount that was paid for an agreement.
    pub(crate) fn paid_for(&self, agreement: &AgreementId) -> Glm {
        let own = |payment: &&PaymentRecord| self.bills.records[&payment.bill].agreement == *agreement;
        self.bills.payments.iter().filter(own).map(|payment| payment.document.amount).sum()
    }

    /// True if paying the bill pays the other one too.
    pub(crate) fn covers(&self, bill: &Bill, other: &str) -> bool {
        let other = &self.bills.records[other];
        match (&bill.kind, &other.kind) {
            (BillKind::Invoice { .. }, _) => bill.agreement == other.agreement,
            (BillKind::DebitNote { activity, .. }, BillKind::DebitNote { activity: of, .. }) => {
                activity == of && other.amount <= bill.amount
            }
            (BillKind::DebitNote { .. }, BillKind::Invoice { .. }) => false,
        }
    }

    fn session_of(&self, node: &NodeId, payment: &PaymentRecord) -> Option<&AppSessionId> {
        let bill = &self.bills.records[&payment.bill];
        let agreement = self.agreements.0.get(&bill.agreement)?;
        agreement.session(agreement.side(node)?)
    }

    fn add_payment(&mut self, bill: &Bill, amount: Glm) {
        let part = PaymentPart {
            agreement_id: (bill.paper() == Paper::Invoice).then(|| bill.agreement.clone()),
            activity_id: match &bill.kind {
                BillKind::DebitNote { activity, .. } => Some(activity.clone()),
                BillKind::Invoice { .. } => None,
            },
            amount,
            allocation_id: bill.allocation.clone(),
        };
        let (agreement_payments, activity_payments) = match bill.paper() {
            Paper::Invoice => (vec![part], Vec::new()),
            Paper::DebitNote => (Vec::new(), vec![part]),
        };
        let at = self.stamp();
        let document = Payment {
            payment_id: PaymentId::new(self.uuid()),
            payer_id: bill.recipient.clone(),
            payee_id: bill.issuer.clone(),
            payer_addr: bill.payer_addr.clone(),
            payee_addr: bill.payee_addr.clone(),
            payment_platform: bill.platform.clone(),
            amount,
            timestamp: at,
            agreement_payments,
            activity_payments,
            details: self.hex(64),
        };
        self.bills.payments.push(PaymentRecord { at, document, bill: Arc::clone(&bill.id) });
    }
}

impl PaymentRecord {
    fn is_of(&self, node: &NodeId) -> bool {
        self.document.payer_id == *node || self.document.payee_id == *node
    }
}
