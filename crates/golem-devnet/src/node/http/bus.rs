//! `/gsb-api/v1`: services that a requestor serves over a WebSocket.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State as Ext};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};
use yagna_api::ServicesId;
use yagna_api::gsb::{Listen, SUBPROTOCOL};

use super::extract::{Answer, Payload, json as json_answer, null};
use super::ws::MAX_FRAME;
use crate::node::World;
use crate::node::bus::{BusClosed, BusSocket};
use crate::node::refusal::Refusal;

/// The time that a piece of a file waits for the answer to the one before it.
///
/// Golem's exe-unit sends eight pieces at a time, but a real network brings them some 15 ms apart. There are clients that
/// write them in the order in which their disk finishes (golem-js): without a pause their files are jumbled.
const CHUNK_PACE: Duration = Duration::from_millis(50);

/// The WebSocket's close code for an orderly end.
const NORMAL: u16 = 1000;
/// The WebSocket's close code for a policy that was broken.
const POLICY: u16 = 1008;
/// The WebSocket's close code for data it doesn't take.
const UNSUPPORTED: u16 = 1003;

pub(super) fn routes() -> Router<World> {
    Router::new().route("/services", post(bind)).route("/services/{id}", get(connect).delete(unbind))
}

#[derive(Deserialize)]
struct ServiceRequest {
    listen: Listen,
}

async fn bind(Ext(world): Ext<World>, body: Payload) -> Answer {
    let body: ServiceRequest = body.plain()?;
    let id = world.with(|state| state.bind_services(&body.listen))?;
    let mut answer = json_answer(StatusCode::CREATED, &json!({"listen": body.listen, "servicesId": id}))?;
    if let Ok(location) = HeaderValue::from_str(&format!("/{id}")) {
        answer.headers_mut().insert(LOCATION, location);
    }
    Ok(answer)
}

async fn unbind(Ext(world): Ext<World>, Path(id): Path<String>) -> Answer {
    world.with(|state| state.unbind_services(&ServicesId::new(id)))?;
    null()
}

async fn connect(
    Ext(world): Ext<World>,
    Path(id): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer {
    let id = ServicesId::new(id);
    world.with(|state| state.check_services(&id))?;
    let upgrade = upgrade.map_err(|_| Refusal::new(500, "Actix error: WebSocket upgrade is expected"))?;
    let service = world.connect_bus(&id)?;
    let cut = world.0.faults.watch_cut();
    let upgrade = upgrade.max_frame_size(MAX_FRAME).max_message_size(MAX_FRAME);
    let answer = upgrade.protocols([SUBPROTOCOL]).on_upgrade(move |socket| async move {
        tokio::select! {
            () = serve(socket, service) => {}
            () = cut => {}
        }
    });
    Ok(answer.into_response())
}

async fn serve(mut socket: WebSocket, service: BusSocket) {
    let mut pacing = false;
    let pause = sleep(CHUNK_PACE);
    tokio::pin!(pause);
    loop {
        tokio::select! {
            request = service.next(), if !pacing => {
                let sent = match request {
                    Ok(request) => {
                        if request.is_chunk {
                            pacing = true;
                            pause.as_mut().reset(Instant::now() + CHUNK_PACE);
                        }
                        socket.send(Message::Binary(Bytes::from(request.frame))).await
                    }
                    Err(BusClosed::Replaced) => {
                        let reason = "Closing old WS connection in favour of new WS connection";
                        return close(socket, POLICY, reason).await;
                    }
                    Err(BusClosed::Unbound) => {
                        let reason = format!("Unbinding service: {}", service.address());
                        return close(socket, NORMAL, reason).await;
                    }
                };
                if sent.is_err() {
                    return;
                }
            }
            () = &mut pause, if pacing => pacing = false,
            message = socket.recv() => match message {
                Some(Ok(Message::Binary(frame))) => {
                    if let Err(problem) = service.answer(&frame) {
                        return close(socket, POLICY, problem).await;
                    }
                    pacing = false;
                }
                Some(Ok(Message::Text(_))) => return close(socket, UNSUPPORTED, "Text msg unsupported.").await,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    }
}

async fn close(mut socket: WebSocket, code: u16, reason: impl Into<Utf8Bytes>) {
    // The other end may be gone already, and then needs no farewell.
    drop(socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await);
}
