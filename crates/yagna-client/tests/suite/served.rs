//! A router as a daemon: in process, and behind a port that can be closed and opened again.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use yagna_api::AppKey;
use yagna_client::{Client, HttpTransport, InProcessTransport};

pub(crate) const KEY: &str = "s3cr3t-k3y-0123456789";

pub(crate) fn key() -> AppKey {
    AppKey::new(KEY)
}

pub(crate) fn in_process(router: Router) -> Client {
    let transport = InProcessTransport::new(router, &key()).unwrap();
    Client::new(Arc::new(transport)).with_chance(fastrand::Rng::with_seed(2))
}

/// A router behind a port, until it is dropped or stopped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    tasks: JoinSet<()>,
}

impl Served {
    pub(crate) async fn start(router: Router) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap(), router)
    }

    fn listen(listener: TcpListener, router: Router) -> Self {
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                    .with_upgrades();
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, tasks }
    }

    /// Closes the port and cuts every connection.
    pub(crate) async fn stop(mut self) -> SocketAddr {
        self.tasks.shutdown().await;
        self.address
    }

    /// Opens a port that was closed.
    pub(crate) fn start_again(address: SocketAddr, router: Router) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        Self::listen(socket.listen(64).unwrap(), router)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self) -> Client {
        over_http(&self.url())
    }
}

pub(crate) fn over_http(url: &str) -> Client {
    let transport = HttpTransport::new(&url.parse().unwrap(), &key()).unwrap();
    Client::new(Arc::new(transport)).with_chance(fastrand::Rng::with_seed(2))
}

/// The same router both ways.
pub(crate) async fn both(router: Router) -> (Served, [(&'static str, Client); 2]) {
    let served = Served::start(router.clone()).await;
    let clients = [("http", served.client()), ("in process", in_process(router))];
    (served, clients)
}
