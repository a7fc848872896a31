//! A whole Golem Network in one process: an emulated daemon, a requestor's key for it, and providers that sell.
//!
//! The daemon is [`node`](crate::node)'s business, the providers are [`provider`](crate::provider)'s; this puts them
//! together, serves them over HTTP where asked, and ends them as a whole.

mod builder;
pub(crate) mod crowd;

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use self::builder::DevnetBuilder;
use crate::clock::DevnetClock;
use crate::news::{News, NewsDesk};
use crate::node::{Books, Faults, Requestor, World};
use crate::provider::{Provider, ProviderHandle};

/// The time that open connections may take to end.
const CLOSING: Duration = Duration::from_secs(2);

/// The reasons why there is no devnet, or no access to it.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// Two providers can't have the same name.
    #[error("two providers are called `{0}`")]
    SameName(String),
    /// Two requestors can't have the same app key.
    #[error("two requestors have the same app key")]
    SameKey,
    /// A provider's offer didn't come to the market.
    #[error("provider `{0}` doesn't publish its offer")]
    NoOffer(String),
    /// The address can't be served.
    #[error("the devnet can't listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// A running devnet.
///
/// Dropping it ends everything at once, processes included; [`Devnet::stop`] is the orderly end.
#[derive(Debug)]
pub struct Devnet {
    world: World,
    requestors: Vec<Requestor>,
    platform: String,
    subnet: String,
    providers: Vec<Provider>,
    news: NewsDesk,
    servers: Mutex<JoinSet<()>>,
    closing: CancellationToken,
}

impl Devnet {
    /// Begins to set a devnet up.
    pub fn builder() -> DevnetBuilder {
        DevnetBuilder::new()
    }

    fn new(
        world: World,
        requestors: Vec<Requestor>,
        platform: String,
        subnet: String,
        providers: Vec<Provider>,
        news: NewsDesk,
    ) -> Self {
        Self {
            world,
            requestors,
            platform,
            subnet,
            providers,
            news,
            servers: Mutex::default(),
            closing: CancellationToken::new(),
        }
    }

    /// The daemon's REST API, for use within the process.
    pub fn router(&self) -> Router {
        self.world.router()
    }

    /// Serves the daemon's REST API at an address; with port 0 the system chooses a free one. Returns where it is.
    ///
    /// The registry of images answers there too: it knows every image that has a well-formed name, and has none.
    ///
    /// Cancel safe. Can be called more than once.
    pub async fn listen(&self, address: SocketAddr) -> Result<SocketAddr, DevnetError> {
        let failed = |source| DevnetError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let (world, closing) = (self.world.clone(), self.closing.clone());
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            if let Err(error) = world.serve(listener, closing).await {
                error!(%error, %bound, "the devnet doesn't listen any more");
            }
        });
        info!(%bound, "the devnet listens");
        Ok(bound)
    }

    /// The requestor that every devnet has.
    pub fn requestor(&self) -> &Requestor {
        &self.requestors[0]
    }

    /// The requestors it was built with, at least one.
    pub fn requestors(&self) -> &[Requestor] {
        &self.requestors
    }

    /// Adds another requestor, with its own identity.
    pub fn add_requestor(&self, name: &str) -> Requestor {
        self.world.add_requestor(name)
    }

    /// The payment platform of its providers.
    pub fn payment_platform(&self) -> &str {
        &self.platform
    }

    /// The part of the market where its providers are.
    pub fn subnet(&self) -> &str {
        &self.subnet
    }

    /// A provider by its name.
    pub fn provider(&self, name: &str) -> Option<&ProviderHandle> {
        self.providers().find(|provider| provider.name() == name)
    }

    /// All its providers.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderHandle> {
        self.providers.iter().map(Provider::handle)
    }

    /// Reads the events of its providers from now on.
    pub fn news(&self) -> News {
        self.news.subscribe()
    }

    /// The present state of its books: agreements, activities, bills, money.
    pub fn books(&self) -> Books {
        self.world.books()
    }

    /// The network behind it: more keys for a node, limits to a requestor's funds.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Makes its daemon fail.
    pub fn faults(&self) -> Faults {
        self.world.faults()
    }

    /// Its clock.
    pub fn clock(&self) -> DevnetClock {
        self.world.clock()
    }

    /// Ends it: no more connections, providers gone, every task and every process ended when it returns.
    ///
    /// Takes half a minute at most.
    pub async fn stop(mut self) {
        self.closing.cancel();
        join_all(self.providers.drain(..).map(Provider::stop)).await;
        let mut servers = std::mem::take(&mut *self.servers.lock().unwrap_or_else(PoisonError::into_inner));
        let closed = timeout(CLOSING, async { while servers.join_next().await.is_some() {} }).await;
        if closed.is_err() {
            servers.shutdown().await;
        }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        self.closing.cancel();
        self.providers.clear();
        // A router may live on; what runs for it must not.
        self.world.end();
    }
}
