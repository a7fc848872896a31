//! `/activity-api/v1`: activities, their scripts and results, as a requestor uses them.

use axum::Router;
use axum::extract::{Path, State as Ext};
use axum::routing::{any, get, post};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use yagna_api::{ActivityId, AgreementId, BatchId};

use super::extract::{Answer, Params, Payload, null, ok, wants_stream};
use super::wire::Outcome;
use super::{script, streams};
use crate::node::refusal::Refusal;
use crate::node::{Caller, World};

pub(super) fn routes() -> Router<World> {
    Router::new()
        .route("/activity", get(list).post(create))
        .route("/activity/{activity}", axum::routing::delete(destroy))
        .route("/activity/{activity}/exec", post(exec))
        .route("/activity/{activity}/exec/{batch}", get(results))
        .route("/activity/{activity}/state", get(state))
        .route("/activity/{activity}/usage", get(usage))
        .route("/activity/{activity}/command", get(command))
        .route("/activity/{activity}/agreement", get(agreement))
        .route("/activity/{activity}/encrypted", post(encrypted))
        .route("/activity/{activity}/proxy-http/{*path}", any(proxy))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CreateActivityJson {
    Agreement(String),
    #[serde(rename_all = "camelCase")]
    Request {
        agreement_id: String,
        requestor_pub_key: Option<String>,
    },
}

async fn create(Ext(world): Ext<World>, caller: Caller, params: Params, body: Payload) -> Answer {
    let wait = params.timeout(5.0)?;
    let body: CreateActivityJson = body.plain()?;
    let (agreement, key, bare) = match body {
        CreateActivityJson::Agreement(id) => (id, None, true),
        CreateActivityJson::Request { agreement_id, requestor_pub_key } => {
            (agreement_id, requestor_pub_key, false)
        }
    };
    let agreement = AgreementId::new(agreement);
    world.with(|state| state.initiated_agreement(&caller.node, &agreement).map(drop))?;
    if let Some(Err(error)) = key.map(hex::decode) {
        return Err(Refusal::new(400, format!("Bad request: Invalid requestor pub key: {error}")));
    }
    let activity = world.create_activity(&caller.node, &agreement, wait).await?;
    if bare { ok(&activity) } else { ok(&json!({"activityId": activity})) }
}

async fn list(Ext(world): Ext<World>, caller: Caller, params: Params) -> Answer {
    let agreement = AgreementId::new(params.required("agreementId")?);
    ok(&world.with(|state| state.list_activities(&caller.node, &agreement))?)
}

async fn destroy(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(activity): Path<String>,
    params: Params,
) -> Answer {
    let wait = params.timeout(5.0)?;
    world.destroy_activity(&caller.node, &ActivityId::new(activity), wait).await?;
    null()
}

#[derive(Deserialize)]
struct ExeScriptRequest {
    text: String,
}

async fn exec(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(activity): Path<String>,
    params: Params,
    body: Payload,
) -> Answer {
    let wait = params.timeout(5.0)?;
    let body: ExeScriptRequest = body.plain()?;
    let id = ActivityId::new(activity);
    world.with(|state| state.own_activity(&caller.node, &id).map(drop))?;
    let script = script::read(&body.text)?;
    ok(&world.exec(&caller.node, &id, script, wait).await?)
}

async fn results(
    Ext(world): Ext<World>,
    caller: Caller,
    Path((activity, batch)): Path<(String, String)>,
    params: Params,
    headers: HeaderMap,
) -> Answer {
    let (id, batch) = (ActivityId::new(activity), BatchId::new(batch));
    if wants_stream(&headers) {
        world.with(|state| state.own_activity(&caller.node, &id).map(drop))?;
        let unit = world.with(|state| state.unit(&caller.node, &id, "StreamExecBatchResults"));
        let events = unit.map(|unit| unit.map(|unit| unit.events(&batch)));
        return Ok(streams::results(&world, events));
    }
    let wait = params.timeout(0.0)?;
    let command = params.number("commandIndex")?;
    let results = world.results(&caller.node, &id, &batch, wait, command).await?;
    ok(&results.iter().map(Outcome).collect::<Vec<_>>())
}

async fn state(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(activity): Path<String>,
    params: Params,
) -> Answer {
    let wait = params.timeout(5.0)?;
    ok(&world.activity_state(&caller.node, &ActivityId::new(activity), wait).await?)
}

async fn usage(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(activity): Path<String>,
    params: Params,
) -> Answer {
    let wait = params.timeout(5.0)?;
    ok(&world.activity_usage(&caller.node, &ActivityId::new(activity), wait).await?)
}

async fn agreement(Ext(world): Ext<World>, caller: Caller, Path(activity): Path<String>) -> Answer {
    let id = ActivityId::new(activity);
    ok(&world.with(|state| state.own_activity(&caller.node, &id).map(|record| record.agreement.clone()))?)
}

/// The daemon asks an address that nothing binds.
async fn command(Ext(world): Ext<World>, caller: Caller, Path(activity): Path<String>) -> Answer {
    unserved(&world, &caller, &activity, "activity/GetRunningCommand", "")
}

/// Only secret runtimes serve this, and the devnet has none.
async fn encrypted(Ext(world): Ext<World>, caller: Caller, Path(activity): Path<String>) -> Answer {
    let service = format!("exeunit/{activity}/CallEncryptedService");
    unserved(&world, &caller, &activity, &service, "GSB failure: ")
}

/// The devnet's runtimes serve no HTTP over the bus.
async fn proxy(
    Ext(world): Ext<World>,
    caller: Caller,
    Path((activity, _)): Path<(String, String)>,
) -> Answer {
    let service = format!("exeunit/{activity}/GsbHttpCallStreaming");
    unserved(&world, &caller, &activity, &service, "")
}

/// `via` tells of the exe-unit's own bus, where that is what doesn't know the message.
fn unserved(world: &World, caller: &Caller, activity: &str, service: &str, via: &str) -> Answer {
    let id = ActivityId::new(activity);
    let provider = world.with(|state| state.own_activity(&caller.node, &id).map(|it| it.provider.clone()))?;
    Err(Refusal::new(
        500,
        format!(
            "GSB error: Remote service at `/net/{provider}/{service}` error: GSB failure: {via}Bad request: \
             endpoint address not found"
        ),
    ))
}
