//! A port of this machine, forwarded to a service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use yagna_api::time::short;
use yagna_client::Client;

use super::carry::{CarryPolicy, carry};
use super::error::BindError;
use super::listen::{Listen, Listener};
use super::targets::{Lease, Targets};
use super::tunnel::{Tunnel, TunnelConfig, connect_with};

/// The settings of a [`Forward`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ForwardConfig {
    /// The settings of its connections into networks.
    pub tunnel: TunnelConfig,
    /// The rules by which connections end.
    pub policy: CarryPolicy,
    /// The time that a connection waits for a target where there is none.
    pub wait: Duration,
    /// The number of connections at a time; more wait.
    pub most_connections: usize,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            tunnel: TunnelConfig::default(),
            policy: CarryPolicy::default(),
            wait: Duration::from_secs(15),
            most_connections: 4096,
        }
    }
}

impl ForwardConfig {
    /// Sets the settings of its connections into networks.
    #[must_use]
    pub fn tunnel(mut self, tunnel: TunnelConfig) -> Self {
        self.tunnel = tunnel;
        self
    }

    /// Sets the rules by which connections end.
    #[must_use]
    pub fn policy(mut self, policy: CarryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the time that a connection waits for a target.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the number of connections at a time.
    #[must_use]
    pub fn most_connections(mut self, most: usize) -> Self {
        self.most_connections = most.max(1);
        self
    }
}

/// A port of this machine, each connection to which is carried to one of a set of targets.
///
/// A connection goes to the target with the fewest connections; where that can't be reached, to another one. Where there is no
/// target it waits for one for a while. A connection that can't be carried is closed, and a warning in the log says why.
///
/// Dropping it closes the port and cuts its connections; [`shutdown`](Self::shutdown) gives them time to end.
#[derive(Debug)]
pub struct Forward(Listener);

impl Forward {
    /// Listens at a port of 127.0.0.1, or at a socket address, and carries connections from then on.
    ///
    /// **Errors**: [`BindError`] if the address can't be listened at.
    pub async fn bind(at: impl Into<Listen>, client: Client, targets: Targets) -> Result<Self, BindError> {
        Self::bind_with(at, client, targets, ForwardConfig::default()).await
    }

    /// Listens as [`bind`](Self::bind) does, with settings.
    pub async fn bind_with(
        at: impl Into<Listen>,
        client: Client,
        targets: Targets,
        config: ForwardConfig,
    ) -> Result<Self, BindError> {
        let most = config.most_connections;
        let shared = Arc::new(Shared { client, targets, config });
        let serve = move |stream, peer, stop| Arc::clone(&shared).serve(stream, peer, stop);
        Listener::start(at.into(), most, serve).await.map(Self)
    }

    /// The address that is listened at.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.0.connections()
    }

    /// Takes no more connections, gives open ones this time to end, and then cuts them.
    pub async fn shutdown(self, grace: Duration) {
        self.0.shutdown(grace).await;
    }
}

struct Shared {
    client: Client,
    targets: Targets,
    config: ForwardConfig,
}

impl Shared {
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, stop: CancellationToken) {
        let opened = tokio::select! {
            opened = self.open() => opened,
            () = stop.cancelled() => return,
        };
        let (tunnel, lease) = match opened {
            Ok(opened) => opened,
            Err(problem) => {
                tracing::warn!(%peer, %problem, "a connection can't be forwarded");
                return;
            }
        };
        let carried = carry(stream, tunnel, self.config.policy).await;
        tracing::debug!(
            %peer,
            target = %lease.target(),
            up = carried.up,
            down = carried.down,
            end = %carried.end,
            "a forwarded connection ended"
        );
    }

    /// Connects to a target, or says why that can't be done.
    async fn open(&self) -> Result<(Tunnel, Lease), String> {
        if timeout(self.config.wait, self.targets.ready()).await.is_err() {
            let waited = short(self.config.wait);
            return Err(format!("{}; waited {waited} for one", self.targets.reason()));
        }
        let mut tried = Vec::new();
        let mut problem = None;
        while let Some(lease) = self.targets.choose(|target| !tried.contains(target)) {
            let target = lease.target();
            let connected =
                connect_with(&self.client, &target.network, target.ip, target.port, &self.config.tunnel);
            match connected.await {
                Ok(tunnel) => {
                    lease.worked();
                    return Ok((tunnel, lease));
                }
                Err(error) => {
                    lease.failed();
                    problem = Some(format!("{}: {}", target.name, crate::text::chain(&error)));
                    tried.push(target.clone());
                }
            }
        }
        Err(problem.unwrap_or_else(|| self.targets.reason()))
    }
}
