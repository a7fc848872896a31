//! Services on the daemon's bus: what a requestor serves to its providers, such as the files of a transfer.
//!
//! A [`BusSession`] owns one bound address and its WebSocket. What the requests mean belongs to whoever serves.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep, timeout};
use yagna_api::gsb::{BindServices, Listen, SUBPROTOCOL, UnbindServices, socket_path};
use yagna_api::{Repeat, ServicesId};

use self::value::{BusValue, BusValueError};
use crate::client::Client;
use crate::error::ClientError;
use crate::retry::may_repeat;
use crate::transport::{Socket, TransportError};

mod decode;
pub(crate) mod value;

const OPERATION: &str = "serve the bus";

/// The time that the daemon may take to read one reply.
const REPLY_DEADLINE: Duration = Duration::from_secs(30);

/// The time that a close may take; the daemon forgets the socket anyway.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// A connection that held so long was a good one.
const STEADY: Duration = Duration::from_secs(5);

/// A request that came over the bus.
#[derive(Debug, Clone, PartialEq)]
pub struct BusRequest {
    /// The id that the reply names.
    pub id: String,
    /// The name of the served message, such as `GetChunk`.
    pub component: String,
    /// Its content.
    pub payload: BusValue,
}

/// A refusal of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusFault {
    /// The variant of the service's error type: `ReadError`, `WriteError`, `IntegrityError`, `InternalError`.
    pub kind: String,
    /// In words.
    pub message: String,
}

impl BusFault {
    /// A refusal of a kind, in words.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into() }
    }
}

/// An address on the bus that this process serves.
///
/// Requests come and pings are answered only while [`next`](Self::next) is awaited. A session that is dropped
/// without [`close`](Self::close) leaves its address bound in the daemon until that restarts.
#[derive(Debug)]
pub struct BusSession {
    client: Client,
    listen: Listen,
    services: ServicesId,
    socket: Option<Socket>,
    /// Requests that came over the present socket and have no reply yet: the daemon drops them when it closes.
    unanswered: HashSet<String>,
    connected: Instant,
    /// Since when, and how often in a row, no connection has held.
    broken: Option<(Instant, u32)>,
}

impl Client {
    /// Binds an address on the bus and opens the WebSocket that serves it.
    pub async fn serve_bus(&self, listen: Listen) -> Result<BusSession, ClientError> {
        let bound = self.call(&BindServices(listen.clone())).await?;
        let mut session = BusSession {
            client: self.clone(),
            listen,
            services: bound.services_id,
            socket: None,
            unanswered: HashSet::new(),
            connected: Instant::now(),
            broken: None,
        };
        session.connect().await?;
        Ok(session)
    }

    /// Serves an address that an earlier process bound: what was asked there meanwhile is answered now. It is bound
    /// anew where the daemon no longer has it.
    pub async fn serve_bus_again(&self, listen: Listen) -> Result<BusSession, ClientError> {
        // The daemon makes the id of the address.
        let services = ServicesId::new(URL_SAFE_NO_PAD.encode(&listen.on));
        let mut session = BusSession {
            client: self.clone(),
            listen,
            services,
            socket: None,
            unanswered: HashSet::new(),
            connected: Instant::now(),
            broken: None,
        };
        session.connect().await?;
        Ok(session)
    }
}

impl BusSession {
    /// The address that is served.
    pub fn address(&self) -> &str {
        &self.listen.on
    }

    /// The id the daemon knows the services by.
    pub fn services(&self) -> &ServicesId {
        &self.services
    }

    /// The next request.
    ///
    /// A broken WebSocket is opened again, and the address bound again if the daemon has lost it, within the
    /// client's [`RetryPolicy`](crate::RetryPolicy); after an error it may be tried once more. Cancel safe: a
    /// request is never lost by dropping the future.
    pub async fn next(&mut self) -> Result<BusRequest, ClientError> {
        loop {
            let Some(socket) = &mut self.socket else {
                self.connect().await?;
                continue;
            };
            match socket.next().await {
                Some(Ok(frame)) => {
                    self.broken = None;
                    match read(&frame) {
                        Ok(request) => {
                            self.unanswered.insert(request.id.clone());
                            return Ok(request);
                        }
                        Err(problem) => self.refuse(problem).await,
                    }
                }
                Some(Err(error)) => self.on_break(&error),
                None => {
                    let (code, words) = socket.close_reason().unwrap_or((1006, ""));
                    let error =
                        TransportError::lost(format!("the daemon closed the WebSocket: {code} {words}"));
                    self.on_break(&error);
                }
            }
        }
    }

    /// Answers a request. `false` when nobody waits for the answer any more, as after a broken WebSocket.
    pub async fn reply(&mut self, id: &str, answer: Result<BusValue, BusFault>) -> bool {
        if !self.unanswered.remove(id) {
            return false;
        }
        let (name, content) = match answer {
            Ok(payload) => ("payload", payload),
            Err(fault) => ("error", BusValue::map([(fault.kind, fault.message.into())])),
        };
        let frame = BusValue::map([("id", id.into()), (name, content)]).encode();
        self.send(frame).await
    }

    /// Unbinds the address and closes the WebSocket.
    pub async fn close(mut self) -> Result<(), ClientError> {
        let unbound = self.client.call(&UnbindServices(self.services.clone())).await;
        if let Some(mut socket) = self.socket.take() {
            // The daemon may have closed it already; there is nothing left to lose.
            drop(timeout(CLOSE_DEADLINE, socket.close()).await);
        }
        unbound.map(drop)
    }

    async fn send(&mut self, frame: Bytes) -> bool {
        let Some(socket) = &mut self.socket else {
            return false;
        };
        let error = match timeout(REPLY_DEADLINE, socket.send(frame)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error,
            Err(_) => TransportError::lost("the daemon doesn't read its WebSocket"),
        };
        self.on_break(&error);
        false
    }

    /// One malformed request fails only itself.
    async fn refuse(&mut self, problem: Misread) {
        tracing::warn!(address = self.listen.on, problem = %problem.reason, "a request on the bus can't be read");
        if let Some(id) = problem.id {
            let fault = BusValue::map([("InternalError", BusValue::from("the request can't be read"))]);
            let frame = BusValue::map([("id", id.into()), ("error", fault)]).encode();
            self.send(frame).await;
        }
    }

    fn on_break(&mut self, error: &TransportError) {
        let lasted = self.connected.elapsed();
        tracing::debug!(address = self.listen.on, ?lasted, %error, "the bus session's WebSocket broke off");
        self.socket = None;
        self.unanswered.clear();
        if lasted >= STEADY {
            self.broken = None;
        }
        self.count_break();
    }

    fn count_break(&mut self) {
        let (_, times) = self.broken.get_or_insert_with(|| (Instant::now(), 0));
        *times = times.saturating_add(1);
    }

    /// Opens the WebSocket, again and again while that may help.
    async fn connect(&mut self) -> Result<(), ClientError> {
        let policy = self.client.retry_policy();
        let mut last = None;
        loop {
            // A socket that broke before is part of the same trouble as an attempt that fails.
            if let Some((since, times)) = self.broken {
                let pause = self.client.chance().delay(&policy, times);
                if times > 1 && since.elapsed() + pause > policy.total {
                    self.broken = None;
                    return Err(last.unwrap_or_else(|| {
                        let error = TransportError::lost("no WebSocket to the daemon holds");
                        ClientError::transport(OPERATION, error)
                    }));
                }
                sleep(pause).await;
            }
            let path = socket_path(&self.services);
            match self.client.socket(OPERATION, &path, Some(SUBPROTOCOL)).await {
                Ok(socket) => {
                    self.socket = Some(socket);
                    self.connected = Instant::now();
                    return Ok(());
                }
                Err(error) => {
                    self.count_break();
                    if error.is_not_found() {
                        self.bind_again().await?;
                    } else if !may_repeat(Repeat::Harmless, &error) {
                        return Err(error);
                    }
                    last = Some(error);
                }
            }
        }
    }

    /// The daemon has restarted and lost the services.
    async fn bind_again(&mut self) -> Result<(), ClientError> {
        match self.client.call(&BindServices(self.listen.clone())).await {
            Ok(bound) => {
                self.services = bound.services_id;
                Ok(())
            }
            // An answer was lost, and the address is ours already: nobody else knows it.
            Err(error) if error.api().is_some_and(|error| error.message.contains("Duplicated service")) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// A request that can't be read.
struct Misread {
    id: Option<String>,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    Value(#[from] BusValueError),
    #[error("it has no id or no component")]
    Head,
}

fn read(frame: &Bytes) -> Result<BusRequest, Misread> {
    let value = BusValue::decode(frame).map_err(|error| Misread { id: None, reason: error.into() })?;
    let id = value.get("id").and_then(BusValue::as_text).map(str::to_owned);
    let component = value.get("component").and_then(BusValue::as_text).map(str::to_owned);
    match (id, component, value) {
        (Some(id), Some(component), BusValue::Map(mut entries)) => {
            Ok(BusRequest { id, component, payload: entries.remove("payload").unwrap_or_default() })
        }
        (id, _, _) => Err(Misread { id, reason: Reason::Head }),
    }
}
