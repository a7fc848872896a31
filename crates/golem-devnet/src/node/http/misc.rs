//! The routes that belong to no API of their own: identity, version, health, metrics, and the bridge to the bus.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::{Path, State as Ext};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};
use yagna_api::activity::{ActivityState, ActivityUsage};
use yagna_api::{ActivityId, NodeId};

use super::extract::{Answer, Payload, ok, status};
use crate::node::refusal::Refusal;
use crate::node::{Caller, World};
use crate::port::{BusError, BusValue};

pub(super) fn routes() -> Router<World> {
    Router::new()
        .route("/me", get(me))
        .route("/version/get", get(version))
        .route("/healthcheck", get(healthcheck))
        .route("/metrics-api/v1/expose", get(metrics))
        .route("/metrics-api/v1/sorted", get(metrics))
        .route("/net-api/v2/net/status", get(net_status))
        .route("/_gsb/{*address}", post(bridge))
}

async fn me(caller: Caller) -> Answer {
    ok(&json!({"identity": caller.node, "name": &*caller.key_name, "role": "manager"}))
}

async fn version() -> Answer {
    ok(&json!({
        "current": {
            "version": "0.17.6",
            "name": "(a98d28015 2026-03-13)",
            "seen": true,
            "releaseTs": "2015-10-13T15:43:00",
            "insertionTs": "2026-03-13T00:00:00",
            "updateTs": null,
        },
        "pending": null,
    }))
}

async fn healthcheck() -> Answer {
    status(StatusCode::OK)
}

async fn metrics(Ext(world): Ext<World>) -> Answer {
    let books = world.books();
    let mut text = String::new();
    let lines = [
        ("devnet_requests", world.0.faults.request_count()),
        ("market_agreements_requestor_created", books.agreements.len() as u64),
        ("market_demands_subscribed", books.demands as u64),
        ("market_offers_subscribed", books.offers as u64),
        ("activity_requestor_created", books.activities.len() as u64),
        ("payment_debit_notes_requestor_received", books.debit_notes.len() as u64),
        ("payment_invoices_requestor_received", books.invoices.len() as u64),
    ];
    for (name, value) in lines {
        writeln!(text, "{name} {value}").expect("writing to a string never fails");
    }
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

async fn net_status(caller: Caller) -> Answer {
    ok(&json!({"nodeId": caller.node, "listenIp": null, "publicIp": null, "sessions": 1}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetState {
    activity_id: ActivityId,
    state: ActivityState,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetUsage {
    activity_id: ActivityId,
    usage: ActivityUsage,
}

/// Sends a message on the bus: to the node's own, where only what a provider reports of its activities is bound, or
/// by `net/<node>/..` to what any node has made public.
async fn bridge(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(address): Path<String>,
    body: Payload,
) -> Answer {
    let done = match address.as_str() {
        "local/activity/SetActivityState" => {
            let message: SetState = body.plain()?;
            world.with(|state| state.set_activity_state(&caller.node, &message.activity_id, message.state))
        }
        "local/activity/SetActivityUsage" => {
            let message: SetUsage = body.plain()?;
            world.with(|state| state.set_activity_usage(&caller.node, &message.activity_id, message.usage));
            Ok(())
        }
        other => return call_node(&world, other, body.plain()?).await,
    };
    match done {
        Ok(()) => ok(&json!({"Ok": null})),
        Err(refusal) => {
            let error = yagna_api::ApiError::from(refusal);
            ok(&json!({"Err": {"service": Value::String(error.message)}}))
        }
    }
}

async fn call_node(world: &World, address: &str, message: Value) -> Answer {
    let nowhere = || Refusal::text(500, "Bad request: endpoint address not found");
    let (node, rest) =
        address.strip_prefix("net/").and_then(|rest| rest.split_once('/')).ok_or_else(nowhere)?;
    let node: NodeId = node.parse().map_err(|_| nowhere())?;
    let (service, component) = rest.rsplit_once('/').ok_or_else(nowhere)?;
    let service = format!("/public/{service}");
    match world.call_service(&node, &service, component, BusValue::Json(message)).await {
        Ok(answer) => ok(&json!({"Ok": to_json(answer)?})),
        Err(BusError::Service { kind, message }) => ok(&json!({"Err": {kind: message}})),
        Err(BusError::NoEndpoint(_)) => Err(nowhere()),
        Err(error) => Err(Refusal::text(500, format!("GSB error: {error}"))),
    }
}

/// The bridge speaks JSON, which has no form for bytes: the daemon fails where they occur.
fn to_json(value: BusValue) -> Result<Value, Refusal> {
    Ok(match value {
        BusValue::Null => Value::Null,
        BusValue::Bool(truth) => truth.into(),
        BusValue::UInt(number) => number.into(),
        BusValue::Text(text) => text.into(),
        BusValue::Bytes(_) => {
            return Err(Refusal::text(
                500,
                "Serde Error: invalid type: byte array, expected any valid JSON value",
            ));
        }
        BusValue::Map(fields) => {
            let fields = fields.into_iter().map(|(name, value)| Ok((name, to_json(value)?)));
            Value::Object(fields.collect::<Result<_, Refusal>>()?)
        }
        BusValue::Json(value) => value,
    })
}
