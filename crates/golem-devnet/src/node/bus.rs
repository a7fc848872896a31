//! Services that requestors bind on the daemon's bus and serve over a WebSocket.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::{Notify, oneshot};
use yagna_api::gsb::Listen;
use yagna_api::{ApiError, AppKey, NodeId, ServicesId};

use super::flex;
use super::refusal::Refusal;
use super::world::{State, World};
use crate::port::{BusError, BusValue};

/// How long a call waits for its answer.
const CALL_PATIENCE: Duration = Duration::from_secs(60);

/// The call that brings a piece of a file.
const CHUNK: &str = "UploadChunk";

/// How many unanswered calls a service may have.
const MAX_PENDING: usize = 4096;

type Reply = Result<BusValue, BusError>;

/// All bound services, by node and id.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    services: HashMap<(NodeId, ServicesId), Service>,
    sessions: u64,
}

#[derive(Debug)]
struct Service {
    on: String,
    components: Vec<String>,
    /// Requests that no socket has taken yet.
    outbox: VecDeque<Request>,
    pending: HashMap<String, Pending>,
    /// The socket that serves it now.
    session: Option<u64>,
    wake: Arc<Notify>,
}

/// A request on its way to whoever serves it.
#[derive(Debug)]
pub(crate) struct Request {
    id: String,
    /// What it asks for, as FlexBuffers.
    pub(crate) frame: Vec<u8>,
    /// Does it bring a piece of a file?
    pub(crate) is_chunk: bool,
}

#[derive(Debug)]
struct Pending {
    reply: oneshot::Sender<Reply>,
    taken_by: Option<u64>,
}

impl World {
    /// Calls a service that a node has bound.
    pub(crate) async fn call_service(
        &self,
        node: &NodeId,
        address: &str,
        component: &str,
        payload: BusValue,
    ) -> Result<BusValue, BusError> {
        let (reply, answer) = oneshot::channel();
        self.with(|state| state.submit(node, address, component, &payload, reply))?;
        match tokio::time::timeout(CALL_PATIENCE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(BusError::Cancelled),
            Err(_) => Err(BusError::Timeout),
        }
    }

    /// Serves bound services from within this process, as the WebSocket does from outside.
    pub fn bus_socket(&self, key: &AppKey, services: &ServicesId) -> Result<BusSocket, ApiError> {
        let caller = self.with(|state| state.keys.get(key.expose()).map(|caller| caller.node.clone()));
        let caller = caller.ok_or_else(|| Refusal::text(401, "Invalid application key"))?;
        Ok(self.connect_bus(&caller, services)?)
    }

    pub(crate) fn connect_bus(&self, caller: &NodeId, services: &ServicesId) -> Result<BusSocket, Refusal> {
        let id = (caller.clone(), services.clone());
        let (session, wake) = self.with(|state| {
            state.bus.sessions += 1;
            let session = state.bus.sessions;
            let service = state.bus.services.get_mut(&id).ok_or_else(|| no_service(services))?;
            service.session = Some(session);
            service.wake.notify_waiters();
            Ok::<_, Refusal>((session, Arc::clone(&service.wake)))
        })?;
        Ok(BusSocket { world: self.clone(), id, session, wake })
    }
}

/// Why a socket serves no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusClosed {
    /// A newer socket serves these services.
    Replaced,
    /// They have been unbound.
    Unbound,
}

/// A connection that serves bound services: requests come out, answers go in, as FlexBuffers.
///
/// Dropping it leaves the services bound: later requests wait for the next socket.
pub struct BusSocket {
    world: World,
    id: (NodeId, ServicesId),
    session: u64,
    wake: Arc<Notify>,
}

impl fmt::Debug for BusSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusSocket").field("services", &self.id.1).finish_non_exhaustive()
    }
}

impl BusSocket {
    /// Waits for the next request. Cancel safe.
    pub async fn next_request(&self) -> Result<Vec<u8>, BusClosed> {
        self.next().await.map(|request| request.frame)
    }

    /// [`BusSocket::next_request`], with what the daemon knows of it.
    pub(crate) async fn next(&self) -> Result<Request, BusClosed> {
        loop {
            let woken = self.wake.notified();
            if let Some(found) = self.world.with(|state| self.take(state)) {
                return found;
            }
            woken.await;
        }
    }

    /// Hands in an answer. What is no answer to a waiting request is dropped.
    pub fn answer(&self, frame: &[u8]) {
        let Some(answer) = flex::decode(frame) else { return };
        let Some(BusValue::Text(id)) = answer.field("id") else {
            return;
        };
        let reply = match (answer.field("error"), answer.field("payload")) {
            (Some(BusValue::Map(fields)), _) => {
                let (kind, message) = match fields.first() {
                    Some((kind, BusValue::Text(message))) => (kind.clone(), message.clone()),
                    Some((kind, _)) => (kind.clone(), String::new()),
                    None => ("InternalError".to_owned(), String::new()),
                };
                Err(BusError::Service { kind, message })
            }
            (_, Some(payload)) => Ok(payload.clone()),
            (_, None) => Ok(BusValue::Null),
        };
        self.world.with(|state| {
            let pending = state.bus.services.get_mut(&self.id).and_then(|service| service.pending.remove(id));
            if let Some(pending) = pending {
                // A caller that has given up needs no answer.
                drop(pending.reply.send(reply));
            }
        });
    }

    fn take(&self, state: &mut State) -> Option<Result<Request, BusClosed>> {
        let Some(service) = state.bus.services.get_mut(&self.id) else {
            return Some(Err(BusClosed::Unbound));
        };
        if service.session != Some(self.session) {
            return Some(Err(BusClosed::Replaced));
        }
        let request = service.outbox.pop_front()?;
        if let Some(pending) = service.pending.get_mut(&request.id) {
            pending.taken_by = Some(self.session);
        }
        Some(Ok(request))
    }
}

impl Drop for BusSocket {
    fn drop(&mut self) {
        self.world.with(|state| {
            if let Some(service) = state.bus.services.get_mut(&self.id) {
                // What this socket took and didn't answer, nobody will: its callers learn that now.
                service.pending.retain(|_, pending| pending.taken_by != Some(self.session));
                if service.session == Some(self.session) {
                    service.session = None;
                }
            }
        });
    }
}

impl State {
    /// Binds an address.
    pub(crate) fn bind_services(&mut self, owner: &NodeId, listen: &Listen) -> Result<ServicesId, Refusal> {
        if listen.on.is_empty() {
            return Err(Refusal::new(400, "Empty service address"));
        }
        let id = ServicesId::new(URL_SAFE_NO_PAD.encode(&listen.on));
        let key = (owner.clone(), id.clone());
        if self.bus.services.contains_key(&key) {
            return Err(Refusal::new(400, format!("Duplicated service address prefix: {}", listen.on)));
        }
        let service = Service {
            on: listen.on.clone(),
            components: listen.components.clone(),
            outbox: VecDeque::new(),
            pending: HashMap::new(),
            session: None,
            wake: Arc::default(),
        };
        self.bus.services.insert(key, service);
        Ok(id)
    }

    /// Unbinds an address: its callers get no answers any more.
    pub(crate) fn unbind_services(&mut self, owner: &NodeId, id: &ServicesId) -> Result<(), Refusal> {
        check_services_id(id)?;
        let service = self.bus.services.remove(&(owner.clone(), id.clone())).ok_or_else(|| no_service(id))?;
        service.wake.notify_waiters();
        Ok(())
    }

    /// Has the node bound these?
    pub(crate) fn has_services(&self, owner: &NodeId, id: &ServicesId) -> bool {
        self.bus.services.contains_key(&(owner.clone(), id.clone()))
    }

    fn submit(
        &mut self,
        node: &NodeId,
        address: &str,
        component: &str,
        payload: &BusValue,
        reply: oneshot::Sender<Reply>,
    ) -> Result<(), BusError> {
        let no_endpoint = || BusError::NoEndpoint(format!("{address}/{component}"));
        if self.is_frozen(node) {
            return Err(BusError::Timeout);
        }
        let id = self.uuid();
        let key = (node.clone(), ServicesId::new(URL_SAFE_NO_PAD.encode(address)));
        let service = self.bus.services.get_mut(&key).ok_or_else(no_endpoint)?;
        if service.on != address || !service.components.iter().any(|known| known == component) {
            return Err(no_endpoint());
        }
        service.pending.retain(|_, pending| !pending.reply.is_closed());
        if service.pending.len() >= MAX_PENDING {
            return Err(BusError::Cancelled);
        }
        let frame = flex::encode_request(&id, component, payload);
        service.pending.insert(id.clone(), Pending { reply, taken_by: None });
        service.outbox.push_back(Request { id, frame, is_chunk: component == CHUNK });
        service.wake.notify_waiters();
        Ok(())
    }
}

/// A services id is base64url; anything else is a bad request.
pub(crate) fn check_services_id(id: &ServicesId) -> Result<(), Refusal> {
    match URL_SAFE_NO_PAD.decode(id.as_str()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::new(400, format!("Invalid service id: {error}"))),
    }
}

fn no_service(id: &ServicesId) -> Refusal {
    Refusal::new(404, format!("Services not found: {id}"))
}
