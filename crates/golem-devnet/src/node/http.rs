//! The REST API over a [`World`](super::World): routes, keys, faults, and the server.
//!
//! Handlers only read requests and write answers; what the daemon does is in the modules beside this one.

mod activity;
mod bus;
mod extract;
mod ids;
mod ledger;
mod market;
mod misc;
mod net;
mod payment;
mod registry;
mod script;
mod streams;
mod tunnel;
mod wire;
mod ws;

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::World;
use super::faults::Fault;
use super::refusal::Refusal;

impl World {
    /// The whole API as a service, for use in this process.
    ///
    /// Where a connection would be dropped, the answer's body fails at once; [`World::serve`] drops it really.
    pub fn router(&self) -> Router {
        Router::new()
            .merge(misc::routes())
            .nest("/market-api/v1", market::routes())
            .nest("/activity-api/v1", activity::routes())
            .nest("/payment-api/v1", payment::routes().merge(ledger::routes()))
            .nest("/net-api/v1", net::routes())
            .nest("/net-api/v2/vpn", net::routes())
            .nest("/gsb-api/v1", bus::routes())
            .fallback(nothing_here)
            .method_not_allowed_fallback(nothing_here)
            .layer(from_fn_with_state(self.clone(), gate))
            .with_state(self.clone())
    }

    /// Serves the API, and the registry of images beside it, to every connection of a listener until told to stop;
    /// open connections are then dropped.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let router = self.router().merge(registry::routes().with_state(self.clone()));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        connections.spawn(serve_connection(socket, router.clone()));
                    }
                    // A client that gave up before it was accepted is no reason to stop.
                    Err(error) if is_of_one_connection(&error) => {}
                    // Out of open files or memory: others are closed meanwhile, and it goes on.
                    Err(error) => {
                        tracing::warn!(%error, "the devnet can't take a connection just now");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(connections);
        // WebSockets are connections no more; nobody else would end them.
        self.0.faults.cut_all();
        Ok(())
    }
}

/// Before a connection is taken again after that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Marks an answer that must not reach its client: the connection is dropped instead.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection is dropped on purpose")]
struct Dropped;

async fn serve_connection(socket: TcpStream, router: Router) {
    // Small answers shall not wait for more to come; where that can't be set they come a little later.
    drop(socket.set_nodelay(true));
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let answer: Result<Response, Infallible> = router.oneshot(request.map(Body::new)).await;
            match answer {
                Ok(answer) if answer.extensions().get::<Dropped>().is_some() => Err(Dropped),
                Ok(answer) => Ok(answer),
                Err(never) => match never {},
            }
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service).with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the devnet ended early");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Lets a request in: faults first, then the key.
async fn gate(State(world): State<World>, mut request: Request, next: Next) -> Response {
    let faults = &world.0.faults;
    let cut = faults.cut();
    let fault = faults.hit(|| format!("{} {}", request.method(), request.uri()));
    match fault {
        Some(Fault::Status(status)) => return Refusal::new(status, "a fault of the devnet").into_response(),
        Some(Fault::Drop) => return dropped(),
        Some(Fault::Freeze) => {
            cut.await;
            return dropped();
        }
        Some(Fault::LoseAnswer) | None => {}
    }
    let open = ["/version/get", "/metrics-api", "/dashboard"];
    if !open.iter().any(|path| request.uri().path().starts_with(path)) {
        match extract::authorise(&world, &request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
            }
            Err(refusal) => return refusal.into_response(),
        }
    }
    let answer = tokio::select! {
        biased;
        () = cut => dropped(),
        answer = next.run(request) => answer,
    };
    if fault == Some(Fault::LoseAnswer) { dropped() } else { answer }
}

async fn nothing_here() -> StatusCode {
    StatusCode::NOT_FOUND
}

fn dropped() -> Response {
    let broken = stream::once(async { Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset)) });
    let mut answer = Response::new(Body::from_stream(broken));
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer.extensions_mut().insert(Dropped);
    answer
}
