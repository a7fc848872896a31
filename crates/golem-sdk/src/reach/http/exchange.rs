//! One request and its response: which instance answers, what is tried again, and what the client is told otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use yagna_api::time::short;
use yagna_client::Client;

use super::answer::Refusal;
use super::body::{REPEATABLE, Reply, Upload};
use super::config::ProxyConfig;
use super::content::{Body, whole};
use super::headers;
use super::pool::{Kept, Pool, Upstream};
use crate::reach::carry::{CarryPolicy, carry};
use crate::reach::targets::{Lease, Target, Targets};
use crate::reach::tunnel::{Tunnel, connect_with};

/// The bytes of a response without a marked end that are kept back, so that a failure can still be told in words.
const HELD_BACK: usize = 64 * 1024;

/// The task that carries the bytes of an upgraded connection.
pub(super) type Upgrading = Option<BoxFuture<'static, ()>>;

/// The parts that all requests of a proxy share.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Client,
    targets: Targets,
    pool: Arc<Pool>,
    config: ProxyConfig,
}

/// A request of a client, as it is sent to instances.
struct Asked {
    parts: Parts,
    peer: SocketAddr,
    upgrade: Option<HeaderValue>,
    upload: Upload,
}

/// The outcome of sending a request to one target.
enum Sent {
    /// A response has begun.
    Response(Response<Incoming>, Upstream),
    /// Another target, or a fresh connection, may answer.
    Again(Refusal, Retry),
    /// Nobody else may be asked.
    Over(Refusal),
}

/// The decision whether, and to which target, a request is sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// To the same target by a fresh connection: the kept one was dead.
    Fresh,
    /// To another target.
    Elsewhere,
}

impl Exchange {
    pub(super) fn new(client: Client, targets: Targets, pool: Arc<Pool>, config: ProxyConfig) -> Self {
        Self { client, targets, pool, config }
    }

    /// The response to a request, and the task that follows where it becomes a connection of bytes.
    pub(super) async fn answer(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> (Response<Body>, Upgrading) {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        match self.exchange(peer, request).await {
            Ok((response, upgrading)) => {
                tracing::debug!(%peer, %method, path, status = response.status().as_u16(), "a request was answered");
                (response, upgrading)
            }
            Err(refusal) => {
                tracing::debug!(%peer, %method, path, reason = refusal.reason(), "a request was refused");
                (refusal.response(), None)
            }
        }
    }

    async fn exchange(
        &self,
        peer: SocketAddr,
        mut request: Request<Incoming>,
    ) -> Result<(Response<Body>, Upgrading), Refusal> {
        if request.method() == Method::CONNECT {
            return Err(Refusal::not_implemented(
                "CONNECT isn't for this proxy, which only answers for a service",
            ));
        }
        let upgrade = headers::upgrade(request.headers());
        let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (parts, incoming) = request.into_parts();
        let upload = upload(&parts.method, incoming).await?;
        let mut asked = Asked { parts, peer, upgrade, upload };
        let (response, upstream, lease) = self.send(&mut asked).await?;
        match (response.status(), client_side) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(client_side)) => {
                Ok(self.upgraded(response, upstream, lease, client_side))
            }
            (StatusCode::SWITCHING_PROTOCOLS, None) => Err(Refusal::bad_gateway(format!(
                "{} changed the protocol, and wasn't asked to",
                lease.target()
            ))),
            _ => Ok((self.reply(&asked.parts.method, response, upstream, lease).await?, None)),
        }
    }

    /// Sends a request to one target after the other, until one answers.
    async fn send(&self, asked: &mut Asked) -> Result<(Response<Incoming>, Upstream, Lease), Refusal> {
        let mut tried: Vec<Target> = Vec::new();
        let mut last = None;
        loop {
            let Some(lease) = self.targets.choose(|target| !tried.contains(target)) else {
                return Err(last.unwrap_or_else(|| Refusal::unavailable(self.targets.reason())));
            };
            let may_repeat = headers::is_idempotent(&asked.parts.method) && asked.upload.is_whole();
            let kept = self.pool.take(lease.target(), may_repeat).await;
            let mut sent = self.send_to(asked, lease.target(), kept).await;
            if let Sent::Again(_, Retry::Fresh) = sent {
                sent = self.send_to(asked, lease.target(), None).await;
            }
            match sent {
                Sent::Response(response, upstream) => {
                    lease.worked();
                    return Ok((response, upstream, lease));
                }
                Sent::Over(refusal) => return Err(refusal),
                Sent::Again(refusal, _) => {
                    tracing::debug!(target = %lease.target(), reason = refusal.reason(), "another target is tried");
                    lease.failed();
                    tried.push(lease.target().clone());
                    last = Some(refusal);
                }
            }
        }
    }

    async fn send_to(&self, asked: &mut Asked, target: &Target, kept: Option<Upstream>) -> Sent {
        let mut upstream = match kept {
            Some(upstream) => upstream,
            None => match self.connect(target).await {
                Ok(upstream) => upstream,
                Err(refusal) => return Sent::Again(refusal, Retry::Elsewhere),
            },
        };
        let Some(body) = asked.upload.take() else {
            return Sent::Over(Refusal::bad_gateway(format!(
                "the connection to {target} broke off, and the request can't be sent again: its body has been passed on"
            )));
        };
        let mut parts = asked.parts.clone();
        let address = target.address().to_string();
        headers::to_instance(&mut parts, asked.peer, &address, asked.upgrade.as_ref());
        let response = upstream.sender.try_send_request(Request::from_parts(parts, body));
        let mut error = match timeout(self.config.response_timeout, response).await {
            Ok(Ok(response)) => return Sent::Response(response, upstream),
            Ok(Err(error)) => error,
            Err(_) => {
                return Sent::Over(Refusal::timeout(format!(
                    "{target} has not begun its response within {}",
                    short(self.config.response_timeout)
                )));
            }
        };
        let unsent = error.take_message();
        let refusal = Refusal::bad_gateway(format!(
            "{target} broke off before its response: {}",
            crate::text::chain(&error.into_error())
        ));
        let never_sent = unsent.is_some();
        if let Some(request) = unsent {
            asked.upload.give_back(request.into_body());
        }
        let may_repeat =
            never_sent || (headers::is_idempotent(&asked.parts.method) && asked.upload.is_whole());
        match (may_repeat, upstream.is_used) {
            (true, true) => Sent::Again(refusal, Retry::Fresh),
            (true, false) => Sent::Again(refusal, Retry::Elsewhere),
            (false, _) => Sent::Over(refusal),
        }
    }

    async fn connect(&self, target: &Target) -> Result<Upstream, Refusal> {
        let tunnel =
            connect_with(&self.client, &target.network, target.ip, target.port, &self.config.tunnel).await;
        let tunnel = tunnel.map_err(|error| {
            Refusal::bad_gateway(format!("{} can't be reached: {}", target.name, crate::text::chain(&error)))
        })?;
        Upstream::over(tunnel).await.map_err(|error| {
            Refusal::bad_gateway(format!("{target} can't be spoken to: {}", crate::text::chain(&error)))
        })
    }

    /// Passes a response on.
    async fn reply(
        &self,
        method: &Method,
        response: Response<Incoming>,
        mut upstream: Upstream,
        lease: Lease,
    ) -> Result<Response<Body>, Refusal> {
        let (mut parts, incoming) = response.into_parts();
        if let Some(time) = headers::kept_for(&parts.headers) {
            // A second for the way of the last response and of the next request.
            upstream.kept_for = time.saturating_sub(Duration::from_secs(1));
        }
        let ends_by_closing =
            headers::ends_by_closing(method, &parts) && incoming.size_hint().exact().is_none();
        headers::to_client(&mut parts);
        let target = lease.target().to_string();
        let kept = Kept::new(Arc::clone(&self.pool), upstream, lease);
        let body = if ends_by_closing {
            let streams = parts.headers.get(CONTENT_TYPE).is_some_and(is_event_stream);
            self.without_end(incoming, kept, &target, streams).await?.boxed_unsync()
        } else {
            Reply::new(incoming, kept).boxed_unsync()
        };
        Ok(Response::from_parts(parts, body))
    }

    /// A response whose end its server marks by closing the connection. Its beginning is kept back, so that a short one can
    /// be refused in words when its end never shows.
    async fn without_end(
        &self,
        mut incoming: Incoming,
        kept: Kept,
        target: &str,
        streams: bool,
    ) -> Result<Reply, Refusal> {
        let limit = self.config.close_timeout;
        let words = format!(
            "{target} ends its response by closing the connection (HTTP/1.0, or without a Content-Length), which Golem's \
             network doesn't carry, and nothing has come for {}: let the server speak HTTP/1.1 and send a Content-Length or \
             chunks",
            short(limit)
        );
        let mut begun = BytesMut::new();
        while !streams && begun.len() < HELD_BACK {
            match timeout(limit, incoming.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        begun.extend_from_slice(&bytes);
                    }
                }
                Ok(None) => break,
                Ok(Some(Err(_))) | Err(_) => return Err(Refusal::timeout(words)),
            }
        }
        Ok(Reply::new(incoming, kept).with_silence(limit, words).beginning_with(begun.freeze()))
    }

    /// Passes the consent to an upgrade on, with the task that carries the bytes then.
    fn upgraded(
        &self,
        mut response: Response<Incoming>,
        upstream: Upstream,
        lease: Lease,
        client_side: OnUpgrade,
    ) -> (Response<Body>, Upgrading) {
        let far_side = hyper::upgrade::on(&mut response);
        let policy = self.config.policy;
        let carrying = async move {
            let target = lease.target();
            match tokio::try_join!(client_side, far_side) {
                Ok((near, far)) => carry_upgraded(near, far, target, policy).await,
                Err(error) => {
                    let problem = crate::text::chain(&error);
                    tracing::debug!(%target, problem, "an upgraded connection broke off at once");
                }
            }
            drop(upstream);
        };
        let (mut parts, _) = response.into_parts();
        headers::to_client_upgraded(&mut parts);
        (Response::from_parts(parts, whole(Bytes::new())), Some(carrying.boxed()))
    }
}

async fn carry_upgraded(near: Upgraded, far: Upgraded, target: &Target, policy: CarryPolicy) {
    let Ok(far) = far.downcast::<TokioIo<Tunnel>>() else {
        tracing::error!(%target, "an upgraded connection is not a tunnel");
        return;
    };
    let mut tunnel = far.io.into_inner();
    tunnel.unread(far.read_buf);
    let carried = carry(TokioIo::new(near), tunnel, policy).await;
    let (up, down, end) = (carried.up, carried.down, carried.end);
    tracing::debug!(%target, up, down, %end, "an upgraded connection ended");
}

fn is_event_stream(content_type: &HeaderValue) -> bool {
    content_type.as_bytes().starts_with(b"text/event-stream")
}

/// The body of a request: read at once where it is small and the request may have to be repeated.
async fn upload(method: &Method, incoming: Incoming) -> Result<Upload, Refusal> {
    let length = incoming.size_hint().exact();
    if length == Some(0) {
        return Ok(Upload::Whole(Bytes::new()));
    }
    if headers::is_idempotent(method) && length.is_some_and(|length| length <= REPEATABLE) {
        let collected = incoming.collect().await.map_err(|error| {
            Refusal::bad_request(format!("the request broke off: {}", crate::text::chain(&error)))
        })?;
        return Ok(Upload::Whole(collected.to_bytes()));
    }
    Ok(Upload::Once(incoming.map_err(Into::into).boxed_unsync()))
}
