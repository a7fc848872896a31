//! Payment orders, and the ledger of agreements: what was asked for, accepted, scheduled and paid.
//!
//! Accepted bills wait until the daemon's next payment cycle, which puts all of one payer and platform into one order.
//! The order is paid by `settlement`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use yagna_api::payment::BillStatus;
use yagna_api::{ActivityId, AgreementId, AllocationId, Glm, NodeId, Timestamp};

use super::negotiation::Side;
use super::orders::{Order, OrderItem};
use super::payment::{Bill, BillKind, Paper};
use super::{Due, State};

/// One agreement's money, as one of its sides sees it.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    pub(crate) agreement: AgreementId,
    pub(crate) owner: NodeId,
    pub(crate) side: Side,
    pub(crate) peer: NodeId,
    pub(crate) payee_addr: String,
    pub(crate) payer_addr: String,
    pub(crate) platform: String,
    pub(crate) due: Glm,
    pub(crate) accepted: Glm,
    pub(crate) scheduled: Glm,
    pub(crate) paid: Glm,
    pub(crate) session: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

impl Order {
    pub(crate) fn total(&self) -> Glm {
        self.items.iter().map(|item| item.amount).sum()
    }
}

impl State {
    /// A payment cycle: orders what was accepted of this payer's on this platform and isn't ordered yet. Gives the
    /// order's id, unless there is nothing to pay. With `pay_after` it is paid then; without, never.
    pub(crate) fn order_payments(
        &mut self,
        payer: &NodeId,
        platform: &str,
        pay_after: Option<Duration>,
    ) -> Option<String> {
        let waiting: Vec<Bill> = self
            .bills
            .order
            .iter()
            .map(|id| &self.bills.records[id])
            .filter(|bill| bill.status == BillStatus::Accepted && bill.recipient == *payer)
            .filter(|bill| bill.platform == platform)
            .cloned()
            .collect();
        // Activities first, then invoices, which pay what is left of their agreements.
        let (notes, invoices): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|bill| bill.paper() == Paper::DebitNote);
        let mut order = Order {
            id: String::new(),
            at: self.now,
            owner: payer.clone(),
            payer_addr: String::new(),
            platform: platform.to_owned(),
            items: Vec::new(),
        };
        for bill in notes.into_iter().chain(invoices) {
            let before = self.ordered_for(&bill, &order);
            let amount = bill.amount.saturating_sub(before);
            // Amounts that others pay for are settled with them; that takes a place in an order, too, but no money.
            if amount > Glm::ZERO || !self.is_ordered(&bill) {
                order.payer_addr.clone_from(&bill.payer_addr);
                order.items.push(OrderItem { bill: Arc::clone(&bill.id), amount });
            }
        }
        if order.items.is_empty() {
            return None;
        }
        let id = self.uuid();
        order.id.clone_from(&id);
        self.bills.orders.push(order);
        if let Some(wait) = pay_after {
            self.schedule(wait, Due::Pay(id.clone()));
        }
        Some(id)
    }

    /// Pays all that is in an order.
    pub(crate) fn pay_order(&mut self, id: &str) {
        let Some(order) = self.bills.orders.iter().find(|order| order.id == id).cloned() else {
            return;
        };
        for item in order.items {
            self.settle_bill(&item.bill);
        }
    }

    /// A payer's orders, the newest first.
    pub(crate) fn orders_of(&self, owner: &NodeId) -> impl Iterator<Item = &Order> {
        let own = move |order: &&Order| order.owner == *owner && !order.total().is_zero();
        self.bills.orders.iter().rev().filter(own)
    }

    /// The part of an order that is paid.
    pub(crate) fn paid_of(&self, order: &Order) -> Glm {
        let paid = |item: &&OrderItem| self.bills.records[&item.bill].status == BillStatus::Settled;
        order.items.iter().filter(paid).map(|item| item.amount).sum()
    }

    /// The amount that was ordered out of an allocation for an agreement, or for one activity of it.
    pub(crate) fn scheduled_for(
        &self,
        allocation: &AllocationId,
        agreement: &AgreementId,
        activity: Option<&ActivityId>,
    ) -> Glm {
        let wanted = |item: &&OrderItem| {
            let bill = &self.bills.records[&item.bill];
            bill.agreement == *agreement
                && bill.allocation.as_ref() == Some(allocation)
                && match &bill.kind {
                    BillKind::Invoice { .. } => activity.is_none(),
                    BillKind::DebitNote { activity: of, .. } => activity == Some(of),
                }
        };
        self.bills.orders.iter().flat_map(|order| &order.items).filter(wanted).map(|item| item.amount).sum()
    }

    /// The ledgers of all agreements of which a node has bills, the oldest first.
    pub(crate) fn ledgers(&self, node: &NodeId, after: Option<Timestamp>, max: usize) -> Vec<Ledger> {
        let mut ledgers: Vec<Ledger> = Vec::new();
        let mut places = HashMap::new();
        for bill in self.bills.order.iter().map(|id| &self.bills.records[id]) {
            if !bill.is_seen_by(node) {
                continue;
            }
            let place = *places.entry(&bill.agreement).or_insert_with(|| {
                ledgers.push(self.ledger_begun_by(node, bill));
                ledgers.len() - 1
            });
            ledgers[place].updated = bill.issued;
        }
        ledgers.retain(|ledger| after.is_none_or(|after| ledger.created > after));
        ledgers.truncate(max);
        ledgers
    }

    /// The ledger of one agreement of which a node has bills.
    pub(crate) fn ledger(&self, node: &NodeId, agreement: &str) -> Option<Ledger> {
        let all = self.bills.order.iter().map(|id| &self.bills.records[id]);
        let mut own = all.filter(|bill| bill.agreement.as_str() == agreement && bill.is_seen_by(node));
        own.next().map(|first| self.ledger_begun_by(node, first))
    }

    fn ledger_begun_by(&self, node: &NodeId, bill: &Bill) -> Ledger {
        let side = if bill.recipient == *node { Side::Requestor } else { Side::Provider };
        let peer = if side == Side::Requestor { &bill.issuer } else { &bill.recipient };
        let id = &bill.agreement;
        let of_orders = |item: &&OrderItem| self.bills.records[&item.bill].agreement == *id;
        let session = self.agreements.0.get(id).and_then(|record| record.session(side));
        let whole = Timestamp::from_second(bill.issued.as_second()).unwrap_or(bill.issued);
        Ledger {
            agreement: id.clone(),
            owner: node.clone(),
            side,
            peer: peer.clone(),
            payee_addr: bill.payee_addr.clone(),
            payer_addr: bill.payer_addr.clone(),
            platform: bill.platform.clone(),
            due: self.bills.requested(id),
            accepted: self.bills.accepted(id),
            // Only who pays knows of orders.
            scheduled: if side == Side::Requestor {
                let items = self.bills.orders.iter().flat_map(|order| &order.items);
                items.filter(of_orders).map(|item| item.amount).sum()
            } else {
                Glm::ZERO
            },
            paid: self.paid_for(id),
            session: session.map(ToString::to_string),
            created: whole,
            updated: bill.issued,
        }
    }

    fn is_ordered(&self, bill: &Bill) -> bool {
        self.bills.orders.iter().flat_map(|order| &order.items).any(|item| item.bill == bill.id)
    }

    /// The amount that was ordered earlier for the same debt as a bill.
    fn ordered_for(&self, bill: &Bill, newest: &Order) -> Glm {
        let items = self.bills.orders.iter().chain([newest]).flat_map(|order| &order.items);
        items.filter(|item| self.covers(bill, &item.bill)).map(|item| item.amount).sum()
    }
}
