//! `/activity-api/v1`: activities, their scripts and results, as a requestor uses them.

use axum::Router;
use axum::extract::{Path, State as Ext};
use axum::routing::{any, get, post};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use yagna_api::activity::Script;
use yagna_api::{ActivityId, AgreementId, BatchId};

use super::extract::{Answer, Params, Payload, null, ok, wants_stream};
use super::streams;
use super::wire::Outcome;
use crate::node::refusal::Refusal;
use crate::node::world::{Caller, World};

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
enum CreateBody {
    Agreement(String),
    #[serde(rename_all = "camelCase")]
    Request {
        agreement_id: String,
        requestor_pub_key: Option<String>,
    },
}

async fn create(Ext(world): Ext<World>, caller: Caller, params: Params, body: Payload) -> Answer {
    let wait = params.timeout(5.0)?;
    let body: CreateBody = body.plain()?;
    let (agreement, key, bare) = match body {
        CreateBody::Agreement(id) => (id, None, true),
        CreateBody::Request { agreement_id, requestor_pub_key } => (agreement_id, requestor_pub_key, false),
    };
    if let Some(Err(error)) = key.map(hex::decode) {
        return Err(Refusal::new(400, format!("Bad request: Invalid requestor pub key: {error}")));
    }
    let activity = world.create_activity(&caller.node, &AgreementId::new(agreement), wait).await?;
    if bare { ok(&activity) } else { ok(&json!({"activityId": activity})) }
}

async fn list(Ext(world): Ext<World>, caller: Caller, params: Params) -> Answer {
    let agreement = AgreementId::new(params.required("agreementId")?);
    let list = world.with(|state| {
        let record = state.own_agreement(&caller.node, &agreement);
        record.map(|(record, _)| record.activities.clone()).unwrap_or_default()
    });
    ok(&list)
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
struct ExecBody {
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
    let body: ExecBody = body.plain()?;
    let id = ActivityId::new(activity);
    world.with(|state| state.own_activity(&caller.node, &id).map(drop))?;
    let script: Script = serde_json::from_str(&body.text)
        .map_err(|error| Refusal::new(400, format!("Bad request: {error:?}")))?;
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
        let unit = world.with(|state| state.unit(&caller.node, &id, "StreamExecBatchResults"))?;
        let events = unit.map(|unit| unit.events(&batch));
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
    params.timeout(5.0)?;
    let id = ActivityId::new(activity);
    ok(&world.with(|state| state.own_activity(&caller.node, &id).map(|record| record.state.clone()))?)
}

async fn usage(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(activity): Path<String>,
    params: Params,
) -> Answer {
    params.timeout(5.0)?;
    let id = ActivityId::new(activity);
    let (usage, now) = world.with(|state| {
        let record = state.own_activity(&caller.node, &id)?;
        Ok::<_, Refusal>((record.usage.clone(), state.now))
    })?;
    match usage {
        Some(usage) => ok(&usage),
        None => ok(&json!({"timestamp": now.as_second()})),
    }
}

async fn agreement(Ext(world): Ext<World>, caller: Caller, Path(activity): Path<String>) -> Answer {
    let id = ActivityId::new(activity);
    ok(&world.with(|state| state.own_activity(&caller.node, &id).map(|record| record.agreement.clone()))?)
}

/// The daemon asks an address that nothing binds.
async fn command(Ext(world): Ext<World>, caller: Caller, Path(activity): Path<String>) -> Answer {
    unserved(&world, &caller, &activity, "activity", "GetRunningCommand")
}

/// Only secret runtimes serve this, and the devnet has none.
async fn encrypted(Ext(world): Ext<World>, caller: Caller, Path(activity): Path<String>) -> Answer {
    let service = format!("exeunit/{activity}");
    unserved(&world, &caller, &activity, &service, "CallEncryptedService")
}

/// The devnet's runtimes serve no HTTP over the bus.
async fn proxy(
    Ext(world): Ext<World>,
    caller: Caller,
    Path((activity, _)): Path<(String, String)>,
) -> Answer {
    let service = format!("exeunit/{activity}");
    unserved(&world, &caller, &activity, &service, "GsbHttpCallStreaming")
}

fn unserved(world: &World, caller: &Caller, activity: &str, service: &str, message: &str) -> Answer {
    let id = ActivityId::new(activity);
    let provider = world.with(|state| state.own_activity(&caller.node, &id).map(|it| it.provider.clone()))?;
    Err(Refusal::new(
        500,
        format!(
            "GSB error: Remote service at `/net/{provider}/{service}/{message}` error: GSB failure: Bad request: \
             endpoint address not found"
        ),
    ))
}
