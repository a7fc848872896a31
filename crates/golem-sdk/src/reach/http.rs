//! A reverse proxy: HTTP on this machine, answered by the instances of a service.
//!
//! The proxy speaks HTTP/1.1 on both sides and passes bodies on as they come. Left to others: TLS, HTTP/2, caching.

mod answer;
mod body;
mod config;
mod content;
mod exchange;
mod headers;
mod pool;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use yagna_client::Client;

pub use self::config::ProxyConfig;
use self::exchange::Exchange;
use self::pool::Pool;
use super::error::BindError;
use super::listen::{Listen, Listener};
use super::targets::Targets;

/// The time that a client may take to send the head of a request, and to send the next one.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// The interval at which idle connections to instances are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// A reverse proxy: a port of this machine whose HTTP requests are answered by a set of targets.
///
/// - Each request goes to the target with the fewest requests at the moment. Connections to targets are kept and used again.
/// - A request whose connection can't be made goes to another target. So does one that may be repeated (GET, HEAD, OPTIONS,
///   TRACE, PUT and DELETE, with a body of at most 64 KiB) and whose connection breaks off before the response begins.
/// - Bodies are passed on as they come, both ways. An `Upgrade`, as of a WebSocket, becomes a connection of bytes.
/// - Targets see `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`. What a client says there itself is
///   believed only if it connects from this machine, as another proxy does.
/// - Without a target the answer is 503 with the [reason](Targets::why_none); 502 if no target can be reached or the
///   connection breaks off; 504 if the response takes too long. All of them say why in a line of text.
///
/// Dropping it closes the port and cuts its connections; [`shutdown`](Self::shutdown) gives them time to end.
#[derive(Debug)]
pub struct HttpProxy(Listener);

impl HttpProxy {
    /// Listens at a port of 127.0.0.1, or at a socket address, and answers from then on.
    ///
    /// **Errors**: [`BindError`] if the address can't be listened at.
    pub async fn bind(at: impl Into<Listen>, client: Client, targets: Targets) -> Result<Self, BindError> {
        Self::bind_with(at, client, targets, ProxyConfig::default()).await
    }

    /// Listens as [`bind`](Self::bind) does, with settings.
    pub async fn bind_with(
        at: impl Into<Listen>,
        client: Client,
        targets: Targets,
        config: ProxyConfig,
    ) -> Result<Self, BindError> {
        let most = config.most_connections;
        let pool = Arc::new(Pool::new(config.keep_alive));
        let exchange = Arc::new(Exchange::new(client, targets.clone(), Arc::clone(&pool), config));
        let serve = move |stream, peer, stop| serve(Arc::clone(&exchange), stream, peer, stop);
        let mut listener = Listener::start(at.into(), most, serve).await?;
        listener.beside(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                pool.sweep(&targets.list());
            }
        });
        Ok(Self(listener))
    }

    /// The address that is listened at.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// The number of open connections of clients.
    pub fn connections(&self) -> usize {
        self.0.connections()
    }

    /// Takes no more connections and requests, gives those under way this time to end, and then cuts them.
    pub async fn shutdown(self, grace: Duration) {
        self.0.shutdown(grace).await;
    }
}

/// The work that carries an upgraded connection, once its request is answered.
type Afterwards = Arc<Mutex<Option<BoxFuture<'static, ()>>>>;

/// Serves one connection of a client, to the end of what it was upgraded to.
async fn serve(exchange: Arc<Exchange>, stream: TcpStream, peer: SocketAddr, stop: CancellationToken) {
    let afterwards = Afterwards::default();
    let service = {
        let afterwards = Arc::clone(&afterwards);
        service_fn(move |request| {
            let (exchange, afterwards) = (Arc::clone(&exchange), Arc::clone(&afterwards));
            async move {
                let (response, upgraded) = exchange.answer(peer, request).await;
                if upgraded.is_some() {
                    *afterwards.lock().unwrap_or_else(PoisonError::into_inner) = upgraded;
                }
                Ok::<_, Infallible>(response)
            }
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, problem = %crate::text::chain(&error), "a client's connection broke off");
    }
    let upgraded = afterwards.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(upgraded) = upgraded {
        upgraded.await;
    }
}
