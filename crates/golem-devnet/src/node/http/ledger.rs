//! `/payment-api/v1`: what agreements owe, and payment orders.

use axum::Router;
use axum::extract::{Path, State as Ext};
use axum::routing::{get, post};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::extract::{Answer, Params, ok};
use super::wire::Naive;
use crate::node::ledger::Ledger;
use crate::node::negotiation::Side;
use crate::node::orders::Order;
use crate::node::payment::{Bill, BillKind};
use crate::node::{Caller, State, World};

pub(super) fn routes() -> Router<World> {
    Router::new()
        .route("/payAgreements", get(ledgers))
        .route("/payAgreements/{id}", get(ledger))
        .route("/payAgreements/{id}/orders", get(agreement_orders))
        .route("/allocations/{id}/orders", get(allocation_orders))
        .route("/batchOrders", get(orders))
        .route("/batchOrders/{id}", get(order))
        .route("/batchCycle/{platform}/now", post(cycle_now))
}

async fn ledgers(Ext(world): Ext<World>, caller: Caller, params: Params) -> Answer {
    let (after, max) = (params.time("afterTimestamp")?, params.number("maxItems")?.unwrap_or(usize::MAX));
    ok(&world.with(|state| state.ledgers(&caller.node, after, max)))
}

async fn ledger(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    ok(&world.with(|state| state.ledger(&caller.node, &id)))
}

async fn agreement_orders(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    let is_for = |bill: &Bill| bill.agreement.as_str() == id;
    ok(&world.with(|state| items(state, &caller, is_for)))
}

async fn allocation_orders(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    let is_for = |bill: &Bill| bill.allocation.as_ref().is_some_and(|allocation| allocation.as_str() == id);
    ok(&world.with(|state| items(state, &caller, is_for)))
}

async fn orders(Ext(world): Ext<World>, caller: Caller, params: Params) -> Answer {
    let (after, max) = (params.time("afterTimestamp")?, params.number("maxItems")?.unwrap_or(usize::MAX));
    ok(&world.with(|state| {
        let wanted = state.orders_of(&caller.node).filter(|order| after.is_none_or(|after| order.at > after));
        wanted.take(max).map(|order| order_json(state, order)).collect::<Vec<_>>()
    }))
}

async fn order(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    ok(&world.with(|state| {
        let found = state.orders_of(&caller.node).find(|order| order.id == id);
        found.map(|order| order_json(state, order))
    }))
}

/// Begins a payment cycle before its time.
async fn cycle_now(Ext(world): Ext<World>, caller: Caller, Path(platform): Path<String>) -> Answer {
    let pay_after = world.0.delays.settlement.map(|whole| whole / 2);
    world.with(|state| state.order_payments(&caller.node, &platform, pay_after));
    ok(&json!({"resolveTimeMs": 0.0, "sendTimeMs": 0.0}))
}

fn items(state: &State, caller: &Caller, is_for: impl Fn(&Bill) -> bool) -> Vec<Value> {
    let mut list = Vec::new();
    for order in state.orders_of(&caller.node) {
        for item in &order.items {
            let bill = &state.bills.records[&item.bill];
            if !is_for(bill) || item.amount.is_zero() {
                continue;
            }
            let (invoice, activity, note) = match &bill.kind {
                BillKind::Invoice { .. } => (Some(&bill.id), None, None),
                BillKind::DebitNote { activity, .. } => (None, Some(activity), Some(&bill.id)),
            };
            list.push(json!({
                "createdTs": Naive(order.at), "updatedTs": Naive(order.at), "orderId": order.id,
                "ownerId": order.owner, "payeeAddr": bill.payee_addr, "allocationId": bill.allocation,
                "amount": item.amount, "agreementId": bill.agreement, "invoiceId": invoice.map(AsRef::as_ref),
                "activityId": activity, "debitNoteId": note.map(AsRef::as_ref),
            }));
        }
    }
    list
}

fn order_json(state: &State, order: &Order) -> Value {
    json!({
        "id": order.id, "createdTs": Naive(order.at), "updatedTs": Naive(order.at), "ownerId": order.owner,
        "payerAddr": order.payer_addr, "platform": order.platform, "totalAmount": order.total(),
        "paidAmount": state.paid_of(order),
    })
}

impl Serialize for Ledger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.agreement)?;
        map.serialize_entry("ownerId", &self.owner)?;
        map.serialize_entry("role", if self.side == Side::Requestor { "R" } else { "P" })?;
        map.serialize_entry("peerId", &self.peer)?;
        map.serialize_entry("payeeAddr", &self.payee_addr)?;
        map.serialize_entry("payerAddr", &self.payer_addr)?;
        map.serialize_entry("paymentPlatform", &self.platform)?;
        map.serialize_entry("totalAmountDue", &self.due)?;
        map.serialize_entry("totalAmountAccepted", &self.accepted)?;
        map.serialize_entry("totalAmountScheduled", &self.scheduled)?;
        map.serialize_entry("totalAmountPaid", &self.paid)?;
        map.serialize_entry("appSessionId", &self.session)?;
        map.serialize_entry("createdTs", &Naive(self.created))?;
        map.serialize_entry("updatedTs", &Naive(self.updated))?;
        map.end()
    }
}
