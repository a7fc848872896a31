//! `/net-api/v1` and `/net-api/v2/vpn`: virtual networks, and TCP connections into them over a WebSocket.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State as Ext};
use axum::routing::{delete, get};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use yagna_api::NetworkId;
use yagna_api::net::NewNetwork;

use super::extract::{Answer, Payload, null, ok};
use super::tunnel;
use super::ws::Upgrade;
use crate::node::net::{NetRecord, Target};
use crate::node::refusal::Refusal;
use crate::node::{Caller, World};
use crate::vpn::GateError;

/// The time that a connection may take to open.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// The interval at which an address where nobody is yet is looked at again.
const LOOK: Duration = Duration::from_millis(200);

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
        let id = NetworkId::new(id);
        let record = state.network(&caller.node, &id)?;
        let nodes = record.nodes.nodes(&id);
        ok(&nodes.iter().map(|(ip, node)| json!({"id": node, "ip": ip})).collect::<Vec<_>>())
    })
}

#[derive(Deserialize)]
struct NodeBody {
    id: String,
    ip: String,
}

async fn add_node(Ext(world): Ext<World>, caller: Caller, Path(id): Path<String>, body: Payload) -> Answer {
    let body: NodeBody = body.plain()?;
    world.add_net_node(&caller.node, &NetworkId::new(id), &body.id, &body.ip)?;
    null()
}

async fn remove_node(
    Ext(world): Ext<World>,
    caller: Caller,
    Path((id, node)): Path<(String, String)>,
) -> Answer {
    world.remove_net_node(&caller.node, &NetworkId::new(id), &node)?;
    null()
}

async fn tcp(
    Ext(world): Ext<World>,
    caller: Caller,
    Path((id, ip, port)): Path<(String, String, String)>,
    upgrade: Result<Upgrade, Refusal>,
) -> Answer {
    let port: u16 = port.parse().map_err(|_| unparsable(&port, "a u16"))?;
    let until = Instant::now() + CONNECT_PATIENCE;
    let (record, stream) = connect(&world, &caller, &NetworkId::new(id), (&ip, port), until).await?;
    let (answer, opened) = upgrade?.accept();
    let (cut, gone) = (world.0.faults.watch_cut(), record.gone());
    world.carry(async move {
        let carried = async {
            if let Ok((receiver, sender)) = opened.await {
                tunnel::carry(receiver, sender, stream).await;
            }
        };
        tokio::select! {
            () = carried => {}
            () = cut => {}
            () = gone.cancelled() => {}
        }
    });
    Ok(answer)
}

/// Connects into a network.
async fn connect(
    world: &World,
    caller: &Caller,
    id: &NetworkId,
    (ip, port): (&str, u16),
    until: Instant,
) -> Result<(NetRecord, TcpStream), Refusal> {
    loop {
        let (record, target) = world.tcp_target(&caller.node, id, ip, port)?;
        let connected = match target {
            Target::Closed => Err(closed()),
            Target::Open(address) => match timeout_at(until, TcpStream::connect(address)).await {
                Ok(connected) => connected.map_err(|_| closed()),
                Err(_) => Err(Refusal::empty(504)),
            },
            Target::Machine(address) => match timeout_at(until, world.gateway(id, &record)).await {
                Err(_) => Err(Refusal::empty(504)),
                Ok(Ok(gateway)) => gateway.connect(address, until).await.map_err(|error| match error {
                    GateError::Refused => closed(),
                    GateError::Silent => Refusal::empty(504),
                }),
                Ok(Err(reason)) => {
                    warn!(reason, "no way into a virtual network");
                    tokio::time::sleep_until(until).await;
                    Err(Refusal::empty(504))
                }
            },
            Target::Nobody => {
                // A machine may come into the network meanwhile.
                if Instant::now() + LOOK < until {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                tokio::time::sleep_until(until).await;
                Err(Refusal::empty(504))
            }
        };
        return Ok((record, connected?));
    }
}

/// A part of the path that isn't what it should be.
fn unparsable(text: &str, what: &str) -> Refusal {
    Refusal::text(404, format!("can not parse \"{text}\" to {what}"))
}

fn closed() -> Refusal {
    Refusal::new(400, "Socket closed")
}

fn document(id: &NetworkId, record: &NetRecord) -> Value {
    json!({
        "id": id,
        "ip": format!("{}/{}", record.given, record.prefix),
        "mask": record.mask(),
        "gateway": record.gateway,
    })
}
