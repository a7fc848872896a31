//! Services that requestors bind on the daemon's bus and serve over a WebSocket.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeError, Engine as _};
use tokio::sync::{Notify, oneshot};
use yagna_api::gsb::Listen;
use yagna_api::{ApiError, AppKey, NodeId, ServicesId};

use super::flex;
use super::refusal::Refusal;
use super::{State, World};
use crate::port::{BusError, BusValue};

/// The time that a call waits for its answer.
const CALL_PATIENCE: Duration = Duration::from_secs(60);

/// The call that brings a piece of a file.
const CHUNK: &str = "UploadChunk";

/// The most unanswered calls that a service may have.
const MAX_PENDING: usize = 4096;

type Reply = Result<BusValue, BusError>;

/// All bound services. As at a real daemon they belong to nobody: any of its keys may serve and unbind them.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    services: HashMap<ServicesId, Service>,
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
    /// The request, as FlexBuffers.
    pub(crate) frame: Vec<u8>,
    /// True if it brings a piece of a file.
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
        if !self.with(|state| state.keys.contains_key(key.expose())) {
            return Err(Refusal::text(401, "Invalid application key").into());
        }
        Ok(self.connect_bus(services)?)
    }

    pub(crate) fn connect_bus(&self, id: &ServicesId) -> Result<BusSocket, Refusal> {
        let address = address_of(id)?;
        let (session, wake) = self.with(|state| {
            state.bus.sessions += 1;
            let session = state.bus.sessions;
            let service = state.bus.services.get_mut(id).ok_or_else(|| no_service(&address))?;
            service.session = Some(session);
            service.wake.notify_waiters();
            Ok::<_, Refusal>((session, Arc::clone(&service.wake)))
        })?;
        Ok(BusSocket { world: self.clone(), id: id.clone(), address, session, wake })
    }
}

/// The reasons why a socket serves no more.
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
    id: ServicesId,
    address: String,
    session: u64,
    wake: Arc<Notify>,
}

impl fmt::Debug for BusSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusSocket").field("services", &self.id).finish_non_exhaustive()
    }
}

impl BusSocket {
    /// The address it serves.
    pub fn address(&self) -> &str {
        &self.address
    }

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

    /// Hands in an answer. One that nobody waits for is dropped; what is no answer at all is refused with the words
    /// that the WebSocket is closed with.
    pub fn answer(&self, frame: &[u8]) -> Result<(), String> {
        let unreadable = |what: &str| Err(format!("Failed to read response. Err: {what}"));
        let Some(answer @ BusValue::Map(_)) = flex::decode(frame) else {
            return unreadable("Missing root map.");
        };
        let Some(BusValue::Text(id)) = answer.field("id") else {
            return unreadable("Missing response id.");
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
            (_, None) => {
                return unreadable(&format!("Missing 'payload' and 'error' fields. Id: {id}."));
            }
        };
        self.world.with(|state| {
            let pending = state.bus.services.get_mut(&self.id).and_then(|service| service.pending.remove(id));
            if let Some(pending) = pending {
                // A caller that has given up needs no answer.
                drop(pending.reply.send(reply));
            }
        });
        Ok(())
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
                // Calls that this socket took and didn't answer will get no answer: their callers learn that now.
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
    pub(crate) fn bind_services(&mut self, listen: &Listen) -> Result<ServicesId, Refusal> {
        if listen.on.is_empty() {
            let problem = "Invalid service address prefix: Cannot bind service. Empty prefix.";
            return Err(Refusal::new(400, problem));
        }
        let id = ServicesId::new(URL_SAFE_NO_PAD.encode(&listen.on));
        if self.bus.services.contains_key(&id) {
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
        self.bus.services.insert(id.clone(), service);
        Ok(id)
    }

    /// Unbinds an address: its callers get no answers any more.
    pub(crate) fn unbind_services(&mut self, id: &ServicesId) -> Result<(), Refusal> {
        let address = address_of(id)?;
        let service = self.bus.services.remove(id);
        let service = service.ok_or_else(|| no_service(&format!("Cannot find service: {address}")))?;
        service.wake.notify_waiters();
        Ok(())
    }

    /// Checks that these services are bound.
    pub(crate) fn check_services(&self, id: &ServicesId) -> Result<(), Refusal> {
        let address = address_of(id)?;
        if self.bus.services.contains_key(id) { Ok(()) } else { Err(no_service(&address)) }
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
        // Services are reached by any of the requestors' identities, and by nobody else's.
        if !self.keys.values().any(|caller| caller.node == *node) {
            return Err(no_endpoint());
        }
        let key = ServicesId::new(URL_SAFE_NO_PAD.encode(address));
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

/// A services id is the address in base64url; anything else is a bad request.
fn address_of(id: &ServicesId) -> Result<String, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(id.as_str()).map_err(|error| {
        let problem = match error {
            DecodeError::InvalidByte(offset, byte) => format!("Invalid byte {byte}, offset {offset}."),
            DecodeError::InvalidLength(_) => "Encoded text cannot have a 6-bit remainder.".to_owned(),
            DecodeError::InvalidLastSymbol(offset, byte) => {
                format!("Invalid last symbol {byte}, offset {offset}.")
            }
            DecodeError::InvalidPadding => "Invalid padding".to_owned(),
        };
        let problem =
            format!("Service address should be encoded in base64. Unable to decode. Err: {problem}");
        Refusal::new(400, problem)
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let problem = format!("Service address should be a string. Unable to parse address. Err: {error}");
        Refusal::new(400, problem)
    })
}

fn no_service(what: &str) -> Refusal {
    Refusal::new(404, format!("Service prefix not found: {what}"))
}
