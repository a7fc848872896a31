//! The transport to a daemon in this very process: no socket, no port, the same bytes.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};
use yagna_api::{AppKey, Request};

use super::handshake::{Handshake, bearer, headers};
use super::{BoxError, Response, SetupError, Socket, SocketAnswer, StreamAnswer, Transport, TransportError};

/// The body of a request as an in-process daemon gets it, and of its answer.
pub type InProcessBody = UnsyncBoxBody<Bytes, InProcessError>;

/// Whatever went wrong inside an in-process daemon.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct InProcessError(BoxError);

impl InProcessError {
    fn new(source: impl Into<BoxError>) -> Self {
        Self(source.into())
    }
}

/// The number of bytes that a WebSocket may hold in each direction before its writer waits: a few chunks of a transfer.
const SOCKET_BUFFER: usize = 256 * 1024;

const ADDRESS: &str = "http://in-process";

type InProcessService =
    BoxCloneSyncService<http::Request<InProcessBody>, http::Response<InProcessBody>, InProcessError>;

/// A daemon that is a [`tower::Service`], such as an axum router.
///
/// A plain request runs the service in the caller's own task: dropping the call drops its handler. A
/// WebSocket is served by tasks that the [`Socket`] owns.
#[derive(Clone)]
pub struct InProcessTransport {
    service: InProcessService,
    bearer: HeaderValue,
}

impl InProcessTransport {
    /// A way to the daemon that `service` is.
    pub fn new<S, R>(service: S, key: &AppKey) -> Result<Self, SetupError>
    where
        S: Service<http::Request<InProcessBody>, Response = http::Response<R>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + 'static,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let service = service
            .map_response(|answer: http::Response<R>| {
                answer.map(|body| body.map_err(InProcessError::new).boxed_unsync())
            })
            .map_err(InProcessError::new);
        Ok(Self { service: BoxCloneSyncService::new(service), bearer: bearer(key)? })
    }

    async fn exchange(&self, request: Request) -> Result<http::Response<InProcessBody>, TransportError> {
        let headers = headers(&request, &self.bearer)?;
        let method =
            Method::from_bytes(request.method.as_str().as_bytes()).map_err(TransportError::unsendable)?;
        let body = Full::new(Bytes::from(request.body.unwrap_or_default()))
            .map_err(|never| match never {})
            .boxed_unsync();
        let mut asked = http::Request::new(body);
        *asked.method_mut() = method;
        *asked.uri_mut() = request.path.parse().map_err(TransportError::unsendable)?;
        *asked.headers_mut() = headers;
        self.service.clone().oneshot(asked).await.map_err(TransportError::lost)
    }

    /// Serves one connection of its own to the service, and asks for a WebSocket on it.
    async fn connect(
        &self,
        path: &str,
        headers: HeaderMap,
    ) -> Result<(http::Response<Incoming>, JoinSet<()>), TransportError> {
        let mut request = http::Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = path.parse().map_err(TransportError::unsendable)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, HeaderValue::from_static("in-process"));
        let service = self.service.clone();
        let serve = service_fn(move |request: http::Request<Incoming>| {
            let request = request.map(|body| body.map_err(InProcessError::new).boxed_unsync());
            service.clone().oneshot(request)
        });
        let (ours, theirs) = tokio::io::duplex(SOCKET_BUFFER);
        let server = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(theirs), serve)
            .with_upgrades();
        let (mut sender, client) =
            hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.map_err(TransportError::lost)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(until_end("server", server));
        tasks.spawn(until_end("client", client.with_upgrades()));
        let response = sender.send_request(request).await.map_err(TransportError::lost)?;
        Ok((response, tasks))
    }
}

impl fmt::Debug for InProcessTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessTransport").finish_non_exhaustive()
    }
}

impl Transport for InProcessTransport {
    fn address(&self) -> &str {
        ADDRESS
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        async move { whole(self.exchange(request).await?).await }.boxed()
    }

    fn open_stream(&self, request: Request) -> BoxFuture<'_, Result<StreamAnswer, TransportError>> {
        async move {
            let (parts, body) = self.exchange(request).await?.into_parts();
            Ok(StreamAnswer {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: body.into_data_stream().map_err(TransportError::lost).boxed(),
            })
        }
        .boxed()
    }

    fn open_socket(
        &self,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> BoxFuture<'_, Result<SocketAnswer, TransportError>> {
        let path = path.to_owned();
        async move {
            let handshake = Handshake::new();
            let headers = handshake.headers(&self.bearer, subprotocol)?;
            let (response, tasks) = self.connect(&path, headers).await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return whole(response).await.map(SocketAnswer::Refused);
            }
            handshake.check(response.headers())?;
            let io = hyper::upgrade::on(response).await.map_err(TransportError::lost)?;
            Ok(SocketAnswer::Open(Socket::over(Box::new(TokioIo::new(io)), tasks).await))
        }
        .boxed()
    }
}

async fn whole<R>(response: http::Response<R>) -> Result<Response, TransportError>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let (parts, body) = response.into_parts();
    Ok(Response {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await.map_err(TransportError::lost)?.to_bytes(),
    })
}

async fn until_end(side: &'static str, connection: impl Future<Output = hyper::Result<()>>) {
    if let Err(error) = connection.await {
        tracing::debug!(side, %error, "an in-process connection broke off");
    }
}
