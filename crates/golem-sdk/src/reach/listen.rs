//! Listening on this machine: addresses, the accept loop, and its end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::error::BindError;

/// The pause after the system couldn't give a connection, as when too many files are open.
const NO_CONNECTION: Duration = Duration::from_millis(200);

/// A place to listen at. A port alone means 127.0.0.1: only programs of this machine can connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(SocketAddr);

impl From<u16> for Listen {
    fn from(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

/// A listener with its accept loop and its connections, which all end with it.
#[derive(Debug)]
pub(super) struct Listener {
    local: SocketAddr,
    stop: CancellationToken,
    open: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

/// Counts a connection as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Listener {
    /// Listens, and hands each connection to `serve` in a task of its own. The token that `serve` gets is cancelled when
    /// connections should come to an end.
    pub(super) async fn start<F, S>(at: Listen, most: usize, serve: S) -> Result<Self, BindError>
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(TcpStream, SocketAddr, CancellationToken) -> F + Send + 'static,
    {
        let listener = TcpListener::bind(at.0).await.map_err(|error| BindError::of(at.0, error))?;
        let local = listener.local_addr().map_err(|error| BindError::of(at.0, error))?;
        let (stop, open) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, most, stop.clone(), Arc::clone(&open), serve));
        Ok(Self { local, stop, open, tasks })
    }

    /// The address that is listened at.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The number of open connections.
    pub(super) fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Runs a task beside the accept loop, as long as the listener lives.
    pub(super) fn beside(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! { () = task => {}, () = stop.cancelled() => {} }
        });
    }

    /// Takes no more connections, gives open ones this time to end, and then cuts them.
    pub(super) async fn shutdown(mut self, grace: Duration) {
        self.stop.cancel();
        // Those that are cut off are dropped with the loop that owns them.
        drop(timeout(grace, async { while self.tasks.join_next().await.is_some() {} }).await);
        self.tasks.shutdown().await;
    }
}

async fn accept<F, S>(
    listener: TcpListener,
    most: usize,
    stop: CancellationToken,
    open: Arc<AtomicUsize>,
    serve: S,
) where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream, SocketAddr, CancellationToken) -> F,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok((stream, peer)) => {
                    // Small answers are not to wait for larger ones.
                    drop(stream.set_nodelay(true));
                    let (counted, served) = (Open::new(&open), serve(stream, peer, stop.clone()));
                    connections.spawn(async move {
                        let _counted = counted;
                        served.await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted at the moment");
                    sleep(NO_CONNECTION).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
