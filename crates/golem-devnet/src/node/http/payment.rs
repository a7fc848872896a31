//! `/payment-api/v1`: accounts, allocations, bills and payments, as a requestor uses them.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State as Ext};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use yagna_api::AllocationId;
use yagna_api::payment::Rejection;

use super::extract::{Answer, Params, Payload, json as json_answer, null, ok};
use super::wire::{AllocationView, BillEventView, bill_event_names};
use crate::node::allocation::platform::{is_network, platform_parts};
use crate::node::allocation::request::{Acceptance, AllocationUpdate, NewAllocation};
use crate::node::negotiation::Side;
use crate::node::payment::{BillEntry, Paper};
use crate::node::refusal::Refusal;
use crate::node::{Caller, State, World};

/// The platforms on which providers of a devnet can be paid.
const PROVIDER_PLATFORMS: [&str; 3] = ["erc20-holesky-tglm", "erc20-hoodi-tglm", "erc20-polygon-glm"];

pub(super) fn routes() -> Router<World> {
    Router::new()
        .route("/requestorAccounts", get(requestor_accounts))
        .route("/providerAccounts", get(provider_accounts))
        .route("/allocations", get(list_allocations).post(create_allocation))
        .route("/allocations/{id}", get(get_allocation).put(amend_allocation).delete(release_allocation))
        .route("/allocations/{id}/expenditures", get(expenditures))
        .route("/demandDecorations", get(decorations))
        .route("/debitNotes", get(list_debit_notes))
        .route("/debitNotes/{id}", get(get_debit_note))
        .route("/debitNotes/{id}/accept", post(accept_debit_note))
        .route("/debitNotes/{id}/reject", post(not_implemented))
        .route("/debitNotes/{id}/payments", get(not_implemented))
        .route("/debitNoteEvents", get(debit_note_events))
        .route("/invoices", get(list_invoices))
        .route("/invoices/{id}", get(get_invoice))
        .route("/invoices/{id}/accept", post(accept_invoice))
        .route("/invoices/{id}/reject", post(reject_invoice))
        .route("/invoices/{id}/payments", get(invoice_payments))
        .route("/invoiceEvents", get(invoice_events))
        .route("/payments", get(payments))
        .route("/payments/status", get(payment_status))
        .route("/payments/{id}", get(payment))
        .route("/payActivities", get(nothing_listed))
        .route("/batchCycles", get(nothing_listed))
}

async fn requestor_accounts(Ext(world): Ext<World>, caller: Caller) -> Answer {
    let platforms: BTreeSet<String> = world.with(|state| {
        let own = state.allocations.senders.iter().filter(|(node, _)| *node == caller.node);
        own.map(|(_, platform)| platform.clone()).collect()
    });
    let list: Vec<_> =
        platforms.iter().map(|platform| account(platform, caller.node.as_str(), true)).collect();
    ok(&list)
}

async fn provider_accounts(Ext(world): Ext<World>) -> Answer {
    let sellers: BTreeSet<_> =
        world.with(|state| state.market.offers.values().map(|offer| offer.owner.clone()).collect());
    let of_one = |node| PROVIDER_PLATFORMS.iter().map(move |platform| account(platform, node, false));
    let list: Vec<_> = sellers.iter().flat_map(|node| of_one(node.as_str())).collect();
    ok(&list)
}

fn account(platform: &str, address: &str, send: bool) -> Value {
    let (driver, network, token) = platform_parts(platform);
    json!({
        "platform": platform, "address": address, "driver": driver, "network": network, "token": token,
        "send": send, "receive": !send,
    })
}

async fn create_allocation(Ext(world): Ext<World>, caller: Caller, body: Payload) -> Answer {
    let request: NewAllocation = body.plain()?;
    let allocation = world.with(|state| state.create_allocation(&caller.node, &request))?;
    json_answer(StatusCode::CREATED, &AllocationView(&allocation))
}

async fn list_allocations(Ext(world): Ext<World>, caller: Caller, params: Params) -> Answer {
    let (after, max) = (params.time("afterTimestamp")?, params.number("maxItems")?.unwrap_or(usize::MAX));
    let list = world.with(|state| state.list_allocations(&caller.node, after, max));
    ok(&list.iter().map(AllocationView).collect::<Vec<_>>())
}

async fn get_allocation(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    let id = AllocationId::new(id);
    let document =
        world.with(|state| state.allocation(&caller.node, &id).map(|record| record.document.clone()))?;
    ok(&AllocationView(&document))
}

async fn amend_allocation(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(id): Path<String>,
    body: Payload,
) -> Answer {
    let change: AllocationUpdate = body.plain()?;
    let document =
        world.with(|state| state.amend_allocation(&caller.node, &AllocationId::new(id), &change))?;
    ok(&AllocationView(&document))
}

async fn release_allocation(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    world.with(|state| state.release_allocation(&caller.node, &AllocationId::new(id)))?;
    null()
}

async fn expenditures(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    ok(&world.with(|state| state.expenditures(&caller.node, &AllocationId::new(id)))?)
}

async fn decorations(Ext(world): Ext<World>, caller: Caller, params: Params) -> Answer {
    params.required("allocationIds")?;
    let raw = params.raw("allocationIds")?.unwrap_or_default();
    if raw.contains(['%', '+']) {
        let text = params.required("allocationIds")?;
        return Err(Refusal::query(&format!("invalid type: string {text:?}, expected a borrowed string")));
    }
    let ids: Vec<_> = raw.split(',').collect();
    ok(&world.with(|state| state.decorations(&caller.node, &ids))?)
}

async fn list_debit_notes(world: Ext<World>, caller: Caller, params: Params) -> Answer {
    list_bills(&world, &caller, &params, Paper::DebitNote)
}

async fn list_invoices(world: Ext<World>, caller: Caller, params: Params) -> Answer {
    list_bills(&world, &caller, &params, Paper::Invoice)
}

fn list_bills(world: &World, caller: &Caller, params: &Params, paper: Paper) -> Answer {
    let (after, max) = (params.time("afterTimestamp")?, params.number("maxItems")?.unwrap_or(usize::MAX));
    ok(&world.with(|state| state.list_bills(&caller.node, paper, after, max)))
}

async fn get_debit_note(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    ok(&world.with(|state| state.bill(&caller.node, Paper::DebitNote, &id).cloned())?)
}

async fn get_invoice(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    ok(&world.with(|state| state.bill(&caller.node, Paper::Invoice, &id).cloned())?)
}

async fn accept_debit_note(
    world: Ext<World>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
    body: Payload,
) -> Answer {
    accept(&world, &caller, Paper::DebitNote, &id, &params, &body).await
}

async fn accept_invoice(
    world: Ext<World>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
    body: Payload,
) -> Answer {
    accept(&world, &caller, Paper::Invoice, &id, &params, &body).await
}

async fn accept(
    world: &World,
    caller: &Caller,
    paper: Paper,
    id: &str,
    params: &Params,
    body: &Payload,
) -> Answer {
    params.timeout(15.0)?;
    let body: Acceptance = body.plain()?;
    let (acceptance, settlement) = (world.0.delays.acceptance, world.0.delays.settlement);
    let (amount, allocation) = (body.total_amount_accepted, body.allocation_id);
    let begun = world.with(|state| state.begin_acceptance(&caller.node, paper, id, amount, &allocation))?;
    if let Some(begun) = begun {
        if !acceptance.is_zero() {
            sleep(acceptance).await;
        }
        world.with(|state| state.end_acceptance(begun, settlement));
    }
    null()
}

async fn reject_invoice(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
    body: Payload,
) -> Answer {
    params.timeout(15.0)?;
    let rejection: Rejection = body.plain()?;
    world.with(|state| state.reject_invoice(&caller.node, &id, rejection))?;
    null()
}

async fn debit_note_events(world: Ext<World>, caller: Caller, params: Params, headers: HeaderMap) -> Answer {
    bill_events(&world, &caller, &params, &headers, Paper::DebitNote).await
}

async fn invoice_events(world: Ext<World>, caller: Caller, params: Params, headers: HeaderMap) -> Answer {
    bill_events(&world, &caller, &params, &headers, Paper::Invoice).await
}

async fn bill_events(
    world: &World,
    caller: &Caller,
    params: &Params,
    headers: &HeaderMap,
    paper: Paper,
) -> Answer {
    let deadline = Instant::now() + params.timeout(5.0)?;
    let (after, session) = (params.time("afterTimestamp")?, params.session()?);
    let max = params.number::<u32>("maxEvents")?.map_or(usize::MAX, |max| max as usize);
    let as_requestor = wanted(headers, "x-requestor-events", "RECEIVED,CANCELLED");
    let as_provider = wanted(headers, "x-provider-events", "ACCEPTED,REJECTED,SETTLED,CANCELLED");
    let fits = |entry: &BillEntry| {
        let (name, _) = bill_event_names(&entry.kind);
        let names = if entry.role == Side::Requestor { &as_requestor } else { &as_provider };
        names.split(',').any(|wanted| wanted == name)
    };
    if max == 0 {
        return ok(&json!([]));
    }
    let wake = world.with(|state| Arc::clone(&state.node(&caller.node).bill_wake));
    let look = |state: &mut State| {
        let found = state.bill_events(&caller.node, paper, after, max, session.as_ref(), fits);
        (!found.is_empty()).then_some(found)
    };
    let step = world.0.delays.payment_poll;
    let found = world.wait(&wake, deadline, step, look).await.unwrap_or_default();
    let views: Vec<_> = found.iter().map(|(at, entry)| BillEventView { paper, at: *at, entry }).collect();
    ok(&views)
}

fn wanted(headers: &HeaderMap, name: &str, default: &str) -> String {
    match headers.get(name) {
        Some(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        None => default.to_owned(),
    }
}

async fn invoice_payments(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    let list = world.with(|state| {
        let bill = state.bill(&caller.node, Paper::Invoice, &id)?;
        Ok::<_, Refusal>(state.payments_for(&caller.node, bill))
    })?;
    ok(&list)
}

async fn payments(Ext(world): Ext<World>, caller: Caller, params: Params) -> Answer {
    let deadline = Instant::now() + params.timeout(5.0)?;
    let (after, session) = (params.time("afterTimestamp")?, params.session()?);
    let max = params.number::<u32>("maxEvents")?.map_or(usize::MAX, |max| max as usize);
    let (network, driver) = (params.text("network")?, params.text("driver")?);
    let unknown = network.as_deref().is_some_and(|network| !is_network(network))
        || driver.as_deref().is_some_and(|driver| driver != "erc20");
    if unknown {
        return Err(Refusal::new(500, "Matching variant not found"));
    }
    let wake = world.with(|state| Arc::clone(&state.node(&caller.node).bill_wake));
    let look = |state: &mut State| {
        let found = state.payments_of(&caller.node, after, max, session.as_ref(), |payment| {
            let (of_driver, of_network, _) = platform_parts(&payment.payment_platform);
            network.as_deref().is_none_or(|network| network == of_network)
                && driver.as_deref().is_none_or(|driver| driver == of_driver)
        });
        (!found.is_empty()).then_some(found)
    };
    let step = world.0.delays.payment_poll;
    ok(&world.wait(&wake, deadline, step, look).await.unwrap_or_default())
}

async fn payment(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    match world.with(|state| state.payment(&caller.node, &id)) {
        Some(payment) => ok(&payment),
        None => Err(Refusal::null(404)),
    }
}

async fn payment_status(params: Params) -> Answer {
    let (network, driver) = (params.text("network")?, params.text("driver")?);
    if let Some(driver) = driver.filter(|driver| driver != "erc20") {
        return Err(Refusal::new(404, format!("Requested driver not registered {driver}")));
    }
    if let Some(network) = network.filter(|network| !is_network(network)) {
        return Err(Refusal::new(404, format!("Requested network not supported {network}")));
    }
    ok(&json!([]))
}

/// Lists that the devnet keeps no more than empty: nothing in a run depends on them.
async fn nothing_listed() -> Answer {
    ok(&json!([]))
}

async fn not_implemented() -> Answer {
    Err(Refusal::null(501))
}
