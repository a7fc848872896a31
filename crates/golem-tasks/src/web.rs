//! The web page: the runs of a database, and one of them live, for any browser.
//!
//! The page is in the program and asks nobody but this server. The server reads the store, as any other process may, and
//! never the engine's state; [`cache`] sees to it that many browsers cost no more than one, and that one costs little.
//! A report is the same page with what the server would answer inside of it.
//!
//! Left to others: what is read (`store`), the JSON that commands have in common (`view::kept`), the metrics (`metrics`).

mod answer;
mod api;
mod assets;
mod cache;
mod charts;
mod control;
mod guard;
mod live;
mod parts;
mod report;
mod shared;
mod tasks;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};
use crate::metrics::{Metrics, Requests};
use crate::store::Store;
use guard::Guard;
pub(crate) use report::report;
use shared::Shared;

/// The time that answers get to come to their end when the page is closed.
const GRACE: Duration = Duration::from_secs(2);

/// The page at an address, before it is served.
pub(crate) struct Page {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
}

/// The subject of a page.
pub(crate) struct Subject {
    /// The database.
    pub(crate) store: Store,
    /// The run at which the page opens; otherwise the list of runs.
    pub(crate) run_id: Option<String>,
    /// The times of this process's own requests, where it works on a run.
    pub(crate) requests: Option<Arc<Requests>>,
}

impl Page {
    /// Prepares the page. Whoever can reach an address that isn't of this machine alone needs the token that is in
    /// [`url`](Self::url), and so does whoever may control runs.
    pub(crate) fn new(listener: TcpListener, control: bool) -> Result<Self, Failure> {
        let address = listener.local_addr().map_err(|error| Failure::new(Exit::BrokeOff, error))?;
        Ok(Self { guard: Guard::new(address, control), listener, address })
    }

    /// The address of the page, with the token where one is needed.
    pub(crate) fn url(&self) -> String {
        let host = match self.address.ip() {
            ip if ip.is_unspecified() => crate::store::Holder::here().host,
            IpAddr::V6(ip) => format!("[{ip}]"),
            IpAddr::V4(ip) => ip.to_string(),
        };
        let token = self.guard.token().map(|token| format!("?token={token}")).unwrap_or_default();
        format!("http://{host}:{}/{token}", self.address.port())
    }

    /// Serves the page until it is told to stop.
    pub(crate) async fn serve(self, subject: Subject, stop: CancellationToken) -> Result<(), Failure> {
        let guard = Arc::new(self.guard);
        let shared = Arc::new(Shared::new(subject, Arc::clone(&guard), stop.clone()));
        let routes = api::routes(shared).layer(from_fn_with_state(guard, guard::check));
        served(self.listener, routes, stop).await
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Serves the metrics of a run, and nothing else.
pub(crate) async fn serve_metrics(
    listener: TcpListener,
    subject: Subject,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let Subject { store, run_id, requests } = subject;
    let metrics = Arc::new(Metrics::new(requests));
    let run_id: Arc<[String]> = run_id.into_iter().collect();
    let scrape = move || {
        let (metrics, store, runs) = (Arc::clone(&metrics), store.clone(), Arc::clone(&run_id));
        async move { answer::metrics(metrics.text(&store, Some(&runs)).await) }
    };
    served(listener, Router::new().route("/metrics", get(scrape)), stop).await
}

async fn served(listener: TcpListener, routes: Router, stop: CancellationToken) -> Result<(), Failure> {
    let serving = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    let serving = async { serving.await.map_err(|error| Failure::new(Exit::BrokeOff, error)) };
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended,
        () = stop.cancelled() => timeout(GRACE, serving).await.unwrap_or(Ok(())),
    }
}
