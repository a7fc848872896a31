//! `/net-api/v1` and `/net-api/v2/vpn`: virtual networks, and TCP connections into them over a WebSocket.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State as Ext};
use axum::routing::{delete, get};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use yagna_api::NetworkId;
use yagna_api::net::NewNetwork;

use super::extract::{Answer, Payload, null, ok};
use crate::node::net::{NetRecord, Target};
use crate::node::refusal::Refusal;
use crate::node::{Caller, World};

/// The time that a connection may take to open.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// The interval at which the daemon pings its client.
const PING: Duration = Duration::from_secs(5);
/// The longest silence of a client.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Router<World> {
    Router::new()
        .route("/net", get(list).post(create))
        .route("/net/{id}", get(read).delete(remove))
        .route("/net/{id}/addresses", get(addresses).post(add_address))
        .route("/net/{id}/nodes", get(nodes).post(add_node))
        .route("/net/{id}/nodes/{node}", delete(remove_node))
        .route("/net/{id}/tcp/{ip}/{port}", get(tcp))
}

async fn list(Ext(world): Ext<World>, caller: Caller) -> Answer {
    let list = world.with(|state| state.networks(&caller.node));
    ok(&list.iter().map(|(id, record)| document(id, record)).collect::<Vec<_>>())
}

async fn create(Ext(world): Ext<World>, caller: Caller, body: Payload) -> Answer {
    let new: NewNetwork = body.plain()?;
    let (id, record) = world.with(|state| state.create_network(&caller.node, &new))?;
    ok(&document(&id, &record))
}

async fn read(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    let id = NetworkId::new(id);
    world.with(|state| ok(&document(&id, state.network(&caller.node, &id)?)))
}

async fn remove(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    world.with(|state| state.remove_network(&caller.node, &NetworkId::new(id)))?;
    null()
}

async fn addresses(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    world.with(|state| {
        let record = state.network(&caller.node, &NetworkId::new(id))?;
        let shown = record.addresses.iter().map(|ip| json!({"ip": format!("{ip}/{}", record.prefix)}));
        ok(&shown.collect::<Vec<_>>())
    })
}

#[derive(Deserialize)]
struct AddressBody {
    ip: String,
}

async fn add_address(
    Ext(world): Ext<World>,
    caller: Caller,
    Path(id): Path<String>,
    body: Payload,
) -> Answer {
    let body: AddressBody = body.plain()?;
    world.with(|state| state.add_address(&caller.node, &NetworkId::new(id), &body.ip))?;
    null()
}

async fn nodes(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>) -> Answer {
    world.with(|state| {
        let record = state.network(&caller.node, &NetworkId::new(id))?;
        ok(&record.nodes.iter().map(|(ip, node)| json!({"id": node, "ip": ip})).collect::<Vec<_>>())
    })
}

#[derive(Deserialize)]
struct NodeBody {
    id: String,
    ip: String,
}

async fn add_node(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>, body: Payload) -> Answer {
    let body: NodeBody = body.plain()?;
    world.with(|state| state.add_net_node(&caller.node, &NetworkId::new(id), &body.id, &body.ip))?;
    null()
}

async fn remove_node(
    Ext(world): Ext<World>,
    caller: Caller,
    Path((id, node)): Path<(String, String)>,
) -> Answer {
    world.with(|state| state.remove_net_node(&caller.node, &NetworkId::new(id), &node))?;
    null()
}

async fn tcp(
    Ext(world): Ext<World>,
    caller: Caller,
    Path((id, ip, port)): Path<(String, String, String)>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer {
    let port: u16 = port.parse().map_err(|_| unparsable(&port, "a u16"))?;
    let target = world.with(|state| state.tcp_target(&caller.node, &NetworkId::new(id), &ip, port))?;
    let stream = match target {
        Target::Nobody => {
            tokio::time::sleep(CONNECT_PATIENCE).await;
            return Err(Refusal::empty(504));
        }
        Target::Closed => return Err(closed()),
        Target::Open(address) => connect(address).await?,
    };
    let upgrade = upgrade.map_err(|_| Refusal::empty(400))?;
    let cut = world.0.faults.watch_cut();
    Ok(upgrade.on_upgrade(move |socket| async move {
        tokio::select! {
            () = carry(socket, stream) => {}
            () = cut => {}
        }
    }))
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Refusal> {
    match tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(_)) => Err(closed()),
        Err(_) => Err(Refusal::empty(504)),
    }
}

/// A part of the path that isn't what it should be.
fn unparsable(text: &str, what: &str) -> Refusal {
    Refusal::text(404, format!("can not parse \"{text}\" to {what}"))
}

fn closed() -> Refusal {
    Refusal::new(400, "Socket closed")
}

/// Carries bytes both ways until the client goes. That the far end closes is not passed on.
async fn carry(mut socket: WebSocket, stream: TcpStream) {
    let (mut from_far, mut to_far) = stream.into_split();
    let mut buffer = vec![0; 64 * 1024];
    let mut far_open = true;
    let mut heard = Instant::now();
    let mut ping = tokio::time::interval(PING);
    loop {
        tokio::select! {
            read = from_far.read(&mut buffer), if far_open => match read {
                Ok(count) if count > 0 => {
                    let piece = Bytes::copy_from_slice(&buffer[..count]);
                    if socket.send(Message::Binary(piece)).await.is_err() {
                        return;
                    }
                }
                _ => far_open = false,
            },
            message = socket.recv() => {
                heard = Instant::now();
                let bytes = match message {
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                };
                if to_far.write_all(&bytes).await.is_err() {
                    far_open = false;
                }
            }
            _ = ping.tick() => {
                let silent = heard.elapsed() >= CLIENT_PATIENCE;
                if silent || socket.send(Message::Ping(Bytes::new())).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn document(id: &NetworkId, record: &NetRecord) -> Value {
    json!({
        "id": id,
        "ip": format!("{}/{}", record.given, record.prefix),
        "mask": record.mask(),
        "gateway": record.gateway,
    })
}
