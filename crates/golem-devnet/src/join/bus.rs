//! The daemon's bus: one connection that serves exe-units and calls services, and comes back when it is lost.
//!
//! What is bound stays bound: every new connection registers it again. Calls in flight don't survive a connection.

mod calls;
mod registrar;
mod session;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::calls::Link;
use self::session::Greeted;
use super::address::GsbAddress;
use super::wire::WireError;

/// For a connection to stand and both sides to have said hello.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Calls that one service answers at the same time.
const MAX_CALLS: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A way in and out.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The reason why a connection ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the daemon is silent")]
    Silent,
}

/// The reasons why the bus can't be reached.
#[derive(Debug, thiserror::Error)]
pub enum BusDown {
    /// Nobody is there.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// Somebody is there, but doesn't speak as a daemon's bus does.
    #[error("no bus: {0}")]
    Greeting(String),
    /// Nobody answers.
    #[error("no answer in {CONNECT_PATIENCE:?}")]
    Silent,
}

/// The reasons why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection was lost before the answer came.
    #[error("the connection to the daemon's bus was lost")]
    Lost,
    /// There was no connection, or no answer, in time.
    #[error("no answer on the bus in time")]
    Timeout,
    /// Too many calls wait for their answers.
    #[error("too many calls on the bus")]
    Busy,
    /// The bus, or the other side, failed.
    #[error("{text}")]
    Refused {
        /// 400 or 500.
        code: i32,
        /// Its words.
        text: String,
    },
}

/// The reasons why a service isn't bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BindError {
    /// No connection in time.
    #[error("the daemon's bus isn't reached")]
    NoConnection,
    /// The daemon's router doesn't take it.
    #[error("{0}")]
    Refused(String),
}

/// Serves the calls below one address.
pub(crate) trait Handler: Send + Sync + fmt::Debug {
    /// Answers a call of `caller`. Dropped when the service is unbound or the connection is lost.
    fn call(self: Arc<Self>, caller: String, method: String, data: Bytes) -> BoxFuture<'static, Answer>;
}

/// The answers of a service to a call.
pub(crate) enum Answer {
    /// A message.
    Full(Vec<u8>),
    /// Messages, one after the other.
    Stream(BoxStream<'static, Vec<u8>>),
    /// The service is unknown.
    NoEndpoint,
    /// The error of the call.
    Failure(String),
}

/// One connection to a daemon's bus. Clones share it; the last one's drop ends it.
#[derive(Debug, Clone)]
pub(crate) struct Bus(Arc<Life>);

#[derive(Debug)]
struct Life {
    shared: Arc<Shared>,
    /// Aborted when it is dropped.
    _supervisor: JoinSet<()>,
}

/// The state that the connection's tasks share with those who use it.
#[derive(Debug)]
struct Shared {
    address: GsbAddress,
    /// The id of the instance, the same for every connection: the daemon gives up a lost one as soon as we are back.
    instance: Bytes,
    services: Mutex<HashMap<String, Service>>,
    /// Services have come or gone.
    changed: Notify,
    link: watch::Sender<Option<Link>>,
}

#[derive(Debug, Clone)]
struct Service {
    handler: Arc<dyn Handler>,
    registration: Arc<watch::Sender<Registration>>,
    /// Cancelled when it is unbound.
    gone: CancellationToken,
    /// Room for calls at the same time: whoever floods one service holds up no other.
    room: Arc<Semaphore>,
}

impl Service {
    fn new(handler: Arc<dyn Handler>, registration: watch::Sender<Registration>) -> Self {
        let (gone, room) = (CancellationToken::new(), Arc::new(Semaphore::new(MAX_CALLS)));
        Self { handler, registration: Arc::new(registration), gone, room }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Registration {
    Waiting,
    Done,
    Refused(String),
}

impl Bus {
    /// Connects; later losses of the connection are mended in the background.
    pub(crate) async fn connect(address: GsbAddress) -> Result<Self, BusDown> {
        let shared = Arc::new(Shared {
            address,
            instance: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
            services: Mutex::default(),
            changed: Notify::new(),
            link: watch::channel(None).0,
        });
        let first = shared.connect().await?;
        let mut supervisor = JoinSet::new();
        supervisor.spawn(Arc::clone(&shared).live(first));
        Ok(Self(Arc::new(Life { shared, _supervisor: supervisor })))
    }

    /// Calls a service, in the name of `caller` where the daemon looks at that.
    pub(crate) async fn call(
        &self,
        caller: &str,
        address: String,
        data: Vec<u8>,
        patience: Duration,
    ) -> Result<Bytes, CallError> {
        let deadline = Instant::now() + patience;
        let link = self.link(deadline).await.ok_or(CallError::Timeout)?;
        timeout_at(deadline, link.call(caller, address, data)).await.unwrap_or(Err(CallError::Timeout))
    }

    /// Serves an address and all below it until [`Bus::unbind`]; a binding before it at the same address is over.
    pub(crate) async fn bind(
        &self,
        address: String,
        handler: Arc<dyn Handler>,
        patience: Duration,
    ) -> Result<(), BindError> {
        let (registration, mut seen) = watch::channel(Registration::Waiting);
        let service = Service::new(handler, registration);
        let shared = &self.0.shared;
        let old = shared.services().insert(address.clone(), service.clone());
        if let Some(old) = old {
            old.gone.cancel();
        }
        // Whoever gives up waiting leaves nothing bound.
        let mut undo = Undo { shared, address: &address, service: &service, armed: true };
        shared.changed.notify_one();
        let done = seen.wait_for(|state| *state == Registration::Done).map_ok(drop);
        if matches!(timeout(patience, done).await, Ok(Ok(()))) {
            undo.armed = false;
            return Ok(());
        }
        drop(undo);
        let last = seen.borrow().clone();
        Err(match last {
            Registration::Refused(why) => BindError::Refused(why),
            Registration::Waiting | Registration::Done => BindError::NoConnection,
        })
    }

    /// Calls a service that never answers. The call is lost if there is no connection, or if too many calls wait for it.
    pub(crate) fn push(&self, caller: &str, address: String, data: &[u8]) {
        let link = self.0.shared.link.borrow();
        if let Some(link) = &*link {
            link.push(caller, address, Bytes::copy_from_slice(data));
        }
    }

    /// Serves an address no more: calls to it find nobody from now on, and those in flight get no answer.
    pub(crate) fn unbind(&self, address: &str) {
        let old = self.0.shared.services().remove(address);
        if let Some(old) = old {
            old.gone.cancel();
            self.0.shared.changed.notify_one();
        }
    }

    /// The connection, as soon as there is one.
    async fn link(&self, deadline: Instant) -> Option<Link> {
        let mut links = self.0.shared.link.subscribe();
        let found = timeout_at(deadline, links.wait_for(Option::is_some)).await;
        found.ok()?.ok()?.clone()
    }
}

/// Takes a binding back that nobody waits for any more.
struct Undo<'a> {
    shared: &'a Shared,
    address: &'a str,
    service: &'a Service,
    armed: bool,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let mut services = self.shared.services();
        let is_ours = services
            .get(self.address)
            .is_some_and(|now| Arc::ptr_eq(&now.registration, &self.service.registration));
        if is_ours {
            services.remove(self.address);
            self.shared.changed.notify_one();
        }
        self.service.gone.cancel();
    }
}

impl Shared {
    fn services(&self) -> MutexGuard<'_, HashMap<String, Service>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects and says hello.
    async fn connect(&self) -> Result<Greeted, BusDown> {
        let greet = async {
            let stream = open(&self.address).await.map_err(BusDown::Connect)?;
            session::greet(stream, &self.instance).await
        };
        timeout(CONNECT_PATIENCE, greet).await.unwrap_or(Err(BusDown::Silent))
    }

    /// Keeps a connection until it is dropped.
    async fn live(self: Arc<Self>, first: Greeted) {
        let mut connection = Some(first);
        let mut pause = FIRST_PAUSE;
        loop {
            let next = match connection.take() {
                Some(first) => Ok(first),
                None => self.connect().await,
            };
            match next {
                Ok(greeted) => {
                    pause = FIRST_PAUSE;
                    let error: SessionError = session::run(&self, greeted).await;
                    self.disconnected();
                    warn!(address = %self.address, error = &error as &dyn std::error::Error, "the daemon's bus is lost");
                }
                Err(error) => {
                    info!(address = %self.address, error = &error as &dyn std::error::Error, ?pause, "the daemon's bus isn't there");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn disconnected(&self) {
        let link = self.link.send_replace(None);
        if let Some(link) = link {
            link.close();
        }
        for service in self.services().values() {
            service.registration.send_replace(Registration::Waiting);
        }
    }
}

async fn open(address: &GsbAddress) -> io::Result<Box<dyn Stream>> {
    match address {
        GsbAddress::Tcp(place) => {
            let stream = TcpStream::connect(place.as_str()).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        GsbAddress::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        #[cfg(not(unix))]
        GsbAddress::Unix(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

#[cfg(test)]
mod tests;
