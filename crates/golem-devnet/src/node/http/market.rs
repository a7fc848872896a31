//! `/market-api/v1`: demands, proposals, agreements, scans, as a requestor uses them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State as Ext};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use yagna_api::market::{AgreementState, Reason, ScanKind};
use yagna_api::{AgreementId, NodeId, Properties, Timestamp};

use super::extract::{Answer, Params, Payload, json as json_answer, ok, status, wants_stream};
use super::ids::{
    agreement_id, demand_id, no_agreement, no_agreement_to_end, no_agreement_to_wait_for, proposal_in_path,
    proposal_parts,
};
use super::streams;
use super::wire::{AgreementEventView, AgreementView, Half, When};
use crate::node::negotiation::Side;
use crate::node::refusal::Refusal;
use crate::node::rfc3339;
use crate::node::{Caller, State, World};

/// The time for which the daemon of a frozen one's partner waits for a message to be confirmed.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn routes() -> Router<World> {
    Router::new()
        .route("/demands", get(list_demands).post(subscribe))
        .route("/demands/{demand}", axum::routing::delete(unsubscribe))
        .route("/demands/{demand}/events", get(demand_events))
        .route("/demands/{demand}/proposals/{proposal}", get(get_proposal).post(counter))
        .route("/demands/{demand}/proposals/{proposal}/reject", post(reject))
        .route("/agreements", get(list_agreements).post(create_agreement))
        .route("/agreements/{agreement}", get(get_agreement))
        .route("/agreements/{agreement}/confirm", post(confirm))
        .route("/agreements/{agreement}/wait", post(wait))
        .route("/agreements/{agreement}/cancel", post(cancel))
        .route("/agreements/{agreement}/terminate", post(terminate))
        .route("/agreements/{agreement}/terminate/reason", get(termination_reason))
        .route("/agreementEvents", get(agreement_events))
        .route("/scan", post(start_scan))
        .route("/scan/{scan}", axum::routing::delete(end_scan))
        .route("/scan/{scan}/events", get(scan_events))
}

/// The daemon's own name for it is part of its complaints.
#[derive(Deserialize)]
#[serde(expecting = "struct DemandOfferBase")]
struct TermsBody {
    properties: Value,
    constraints: String,
}

async fn subscribe(Ext(world): Ext<World>, caller: Caller, body: Payload) -> Answer {
    let body: TermsBody = body.market()?;
    let properties = published(body.properties);
    let id = world.with(|state| state.subscribe_demand(&caller.node, properties, body.constraints));
    json_answer(StatusCode::CREATED, &id)
}

async fn list_demands(Ext(world): Ext<World>, caller: Caller) -> Answer {
    let list = world.with(|state| state.list_demands(&caller.node));
    ok(&list.iter().map(Half::demand).collect::<Vec<_>>())
}

async fn unsubscribe(Ext(world): Ext<World>, caller: Caller, Path(demand): Path<String>) -> Answer {
    let demand = demand_id(&demand)?;
    world.with(|state| state.unsubscribe_demand(&caller.node, &demand))?;
    status(StatusCode::NO_CONTENT)
}

async fn demand_events(Ext(world): Ext<World>, Path(demand): Path<String>, params: Params) -> Answer {
    let demand = demand_id(&demand)?;
    let deadline = Instant::now() + params.timeout(5.0)?;
    let max = params.max_events()?;
    let (first, wake) = world.with(|state| {
        let first = state.take_demand_events(&demand, max)?;
        let wake = state.market.demands.get(&demand).map(|record| Arc::clone(&record.wake));
        Ok::<_, Refusal>((first, wake))
    })?;
    let Some(wake) = wake.filter(|_| first.is_empty()) else {
        return ok(&first);
    };
    let look = |state: &mut State| match state.take_demand_events(&demand, max) {
        Ok(items) => (!items.is_empty()).then_some(Ok(items)),
        Err(refusal) if !state.market.demands.contains_key(&demand) => Some(Err(refusal)),
        // It expired while we waited: the wait goes on to its end all the same.
        Err(_) => None,
    };
    match world.wait(&wake, deadline, Duration::ZERO, look).await {
        Some(found) => ok(&found?),
        None => ok(&json!([])),
    }
}

async fn get_proposal(Ext(world): Ext<World>, Path((demand, proposal)): Path<(String, String)>) -> Answer {
    let (demand, proposal) = (demand_id(&demand)?, proposal_in_path(&proposal)?);
    ok(&world.with(|state| state.proposal_view(&demand, proposal))?)
}

async fn counter(
    Ext(world): Ext<World>,
    Path((demand, proposal)): Path<(String, String)>,
    body: Payload,
) -> Answer {
    let (demand, proposal) = (demand_id(&demand)?, proposal_in_path(&proposal)?);
    let body: TermsBody = body.market()?;
    let properties = published(body.properties);
    world.message().await;
    let id =
        world.with(|state| state.counter_as_requestor(&demand, proposal, properties, body.constraints))?;
    ok(&id)
}

async fn reject(
    Ext(world): Ext<World>,
    Path((demand, proposal)): Path<(String, String)>,
    body: Payload,
) -> Answer {
    let (demand, proposal) = (demand_id(&demand)?, proposal_in_path(&proposal)?);
    let reason = reason(&body)?;
    world.message().await;
    world.with(|state| state.reject_as_requestor(&demand, proposal, reason))?;
    status(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewAgreementBody {
    proposal_id: String,
    #[serde(deserialize_with = "rfc3339::deserialize")]
    valid_to: Timestamp,
}

async fn create_agreement(Ext(world): Ext<World>, body: Payload) -> Answer {
    let body: NewAgreementBody = body.market()?;
    let proposal = proposal_parts(&body.proposal_id)
        .map_err(|problem| Refusal::new(400, format!("Invalid Agreement id. {problem}")))?;
    ok(&world.with(|state| state.create_agreement(proposal, body.valid_to))?)
}

async fn get_agreement(Ext(world): Ext<World>, caller: Caller, Path(agreement): Path<String>) -> Answer {
    let id = agreement_id(&agreement, no_agreement)?;
    world.with(|state| {
        let (record, side) = state.own_agreement(&caller.node, &id)?;
        ok(&AgreementView { id: &id, record, side, now: state.now })
    })
}

async fn list_agreements(Ext(world): Ext<World>, caller: Caller, params: Params) -> Answer {
    let wanted = match params.text("state")? {
        Some(text) => Some(state_named(&text).ok_or_else(|| {
            let problem = format!("unknown variant `{text}`, expected one of {STATES}");
            Refusal::query(&problem)
        })?),
        None => None,
    };
    let (before, after) = (params.time("beforeDate")?, params.time("afterDate")?);
    let session = params.session()?;
    let list: Vec<_> = world.with(|state| {
        let now = state.now;
        let ids = state.nodes.get(&caller.node).map(|node| node.agreements.as_slice()).unwrap_or_default();
        ids.iter()
            .filter_map(|id| {
                let record = state.agreements.0.get(id)?;
                let side = record.side(&caller.node)?;
                let fits = wanted.is_none_or(|wanted| record.state_of(side, now) == wanted)
                    && before.is_none_or(|before| record.created < before)
                    && after.is_none_or(|after| record.created > after)
                    && (session.is_none() || record.session(side) == session.as_ref());
                let role = if side == Side::Requestor { "Requestor" } else { "Provider" };
                fits.then(|| {
                    json!({
                        "id": id,
                        "timestamp": When(record.created),
                        "approvedDate": record.approved.map(When),
                        "role": role,
                    })
                })
            })
            .collect()
    });
    ok(&list)
}

async fn confirm(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(agreement): Path<String>,
    params: Params,
) -> Answer {
    let (id, session) = (agreement_id(&agreement, no_agreement)?, params.session()?);
    reach_provider(&world, &id).await?;
    world.with(|state| state.confirm_agreement(&caller.node, &id, session))?;
    world.half_a_message().await;
    world.with(|state| state.confirmed(&id));
    status(StatusCode::NO_CONTENT)
}

async fn wait(Ext(world): Ext<World>, Path(agreement): Path<String>, params: Params) -> Answer {
    let id = agreement_id(&agreement, no_agreement_to_wait_for)?;
    let deadline = Instant::now() + params.timeout(5.0)?;
    let first = world.with(|state| state.decision(&id));
    let wake = world.with(|state| state.agreements.0.get(&id).map(|record| Arc::clone(&record.wake)));
    let Some(wake) = wake.filter(|_| first.is_none()) else {
        return first.unwrap_or(Ok(())).and_then(|()| status(StatusCode::NO_CONTENT));
    };
    // A waiting request isn't told that the agreement has expired meanwhile.
    let look = |state: &mut State| state.decision(&id).filter(|_| !state.has_expired(&id));
    if let Some(decision) = world.wait(&wake, deadline, Duration::ZERO, look).await {
        decision.and_then(|()| status(StatusCode::NO_CONTENT))
    } else {
        let shown = Side::Requestor.id(id.as_str());
        Err(Refusal::new(408, format!("Timeout while waiting for Agreement [{shown}] approval.")))
    }
}

async fn cancel(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(agreement): Path<String>,
    body: Payload,
) -> Answer {
    let id = agreement_id(&agreement, no_agreement)?;
    let reason = reason(&body)?;
    reach_provider(&world, &id).await?;
    let closing = world.with(|state| state.cancel_agreement(&caller.node, &id, reason))?;
    world.half_a_message().await;
    world.with(|state| state.closed(&id, closing));
    status(StatusCode::OK)
}

async fn terminate(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(agreement): Path<String>,
    body: Payload,
) -> Answer {
    let reason = reason(&body)?;
    let id = agreement_id(&agreement, no_agreement_to_end)?;
    reach_provider(&world, &id).await?;
    let closing = world.with(|state| state.terminate_agreement(&caller.node, &id, reason))?;
    world.half_a_message().await;
    world.with(|state| state.closed(&id, closing));
    status(StatusCode::OK)
}

async fn termination_reason(Ext(world): Ext<World>, caller: Caller, Path(agreement): Path<String>) -> Answer {
    let id = agreement_id(&agreement, no_agreement_to_end)?;
    let view = world.with(|state| {
        let (record, side) = state.own_agreement(&caller.node, &id)?;
        let known = record.state_of(side, state.now) == AgreementState::Terminated;
        let (at, end) = record.ended.clone().filter(|_| known).ok_or_else(|| {
            Refusal::new(400, format!("Agreement [{}] not terminated yet.", side.id(id.as_str())))
        })?;
        Ok::<_, Refusal>(AgreementEventView::ended(at, &id, end))
    })?;
    ok(&view)
}

async fn agreement_events(Ext(world): Ext<World>, caller: Caller, params: Params) -> Answer {
    let deadline = Instant::now() + params.timeout(5.0)?;
    let max = params.max_events()?;
    let (after, session) = (params.time("afterTimestamp")?, params.session()?);
    let wake = world.with(|state| Arc::clone(&state.node(&caller.node).agreement_wake));
    let look = |state: &mut State| {
        let log = &state.node(&caller.node).agreement_log;
        let found: Vec<_> = log
            .after(after)
            .filter(|(_, entry)| session.is_none() || entry.session == session)
            .take(max)
            .map(|(at, entry)| AgreementEventView::new(*at, entry))
            .collect();
        (!found.is_empty()).then_some(found)
    };
    ok(&world.wait(&wake, deadline, Duration::ZERO, look).await.unwrap_or_default())
}

#[derive(Deserialize)]
struct ScanBody {
    #[serde(rename = "type")]
    kind: ScanKind,
    timeout: Option<u64>,
    constraints: Option<String>,
}

async fn start_scan(Ext(world): Ext<World>, caller: Caller, body: Payload) -> Answer {
    let body: ScanBody = body.market()?;
    let idle = Duration::from_secs(body.timeout.unwrap_or(300));
    let id =
        world.with(|state| state.start_scan(&caller.node, body.kind, idle, body.constraints.as_deref()))?;
    json_answer(StatusCode::CREATED, &id.to_string())
}

async fn scan_events(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(scan): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Answer {
    let deadline = Instant::now() + params.timeout(5.0)?;
    let max = params.number("maxEvents")?.unwrap_or(500);
    let peer = match params.text("peerId")? {
        Some(peer) => Some(peer.parse::<NodeId>().map_err(|_| Refusal::query("invalid format"))?),
        None => None,
    };
    if wants_stream(&headers) {
        // An unknown scan is told before the stream begins.
        let first = world.with(|state| state.scan_more(&caller.node, &scan, max, peer.as_ref()))?;
        return Ok(streams::scan(&world, caller.node, scan, peer, first));
    }
    let found = streams::more_of_scan(&world, &caller.node, &scan, max, peer.as_ref(), deadline).await?;
    ok(&found.iter().map(Half::offer).collect::<Vec<_>>())
}

async fn end_scan(Ext(world): Ext<World>, caller: Caller, Path(scan): Path<String>) -> Answer {
    world.with(|state| state.end_scan(&caller.node, &scan))?;
    status(StatusCode::NO_CONTENT)
}

/// Lets a message to an agreement's provider take its time; to a frozen one it never gets through.
///
/// The way back is the other half of it. As at a real daemon, a request whose sender goes away in between is left off
/// there: the provider's daemon has done its part, and the requestor's never hears of it.
async fn reach_provider(world: &World, id: &AgreementId) -> Result<(), Refusal> {
    let frozen = world
        .with(|state| state.agreements.0.get(id).is_some_and(|record| state.is_frozen(&record.provider)));
    if !frozen {
        world.half_a_message().await;
        return Ok(());
    }
    tokio::time::sleep(MESSAGE_PATIENCE).await;
    let shown = Side::Requestor.id(id.as_str());
    Err(Refusal::new(500, format!("Protocol error: Agreement [{shown}] GSB error: Timeout.")))
}

/// The properties of a published demand. The daemon keeps what names nothing under no name.
fn published(value: Value) -> Properties {
    match value {
        Value::Object(fields) if !fields.is_empty() => Properties::from_value(Value::Object(fields)),
        other => Properties::new().with("", other),
    }
}

/// A reason or `null`; a body there must be.
fn reason(body: &Payload) -> Result<Option<Reason>, Refusal> {
    #[derive(Deserialize)]
    #[serde(expecting = "struct Reason")]
    struct Strict {
        message: String,
        #[serde(flatten)]
        extra: serde_json::Map<String, Value>,
    }
    let strict: Option<Strict> = body.market()?;
    Ok(strict.map(|reason| Reason { message: reason.message, extra: reason.extra }))
}

const STATES: &str = "`Proposal`, `Pending`, `Cancelled`, `Rejected`, `Approved`, `Expired`, `Terminated`";

fn state_named(text: &str) -> Option<AgreementState> {
    serde_json::from_value(text.into()).ok()
}
