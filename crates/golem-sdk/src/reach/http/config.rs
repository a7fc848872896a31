//! The settings of the HTTP proxy.

use std::time::Duration;

use crate::reach::carry::CarryPolicy;
use crate::reach::tunnel::TunnelConfig;

/// The settings of an [`HttpProxy`](crate::reach::HttpProxy).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProxyConfig {
    /// The settings of its connections into networks.
    pub tunnel: TunnelConfig,
    /// The time that an instance may take from the request to the head of its response.
    pub response_timeout: Duration,
    /// The time without a byte after which a response is given up whose end its server marks by closing the connection,
    /// which the network doesn't carry.
    pub close_timeout: Duration,
    /// The rules by which upgraded connections end, such as that of a WebSocket.
    pub policy: CarryPolicy,
    /// The time that an unused connection to an instance is kept for requests that may be repeated.
    pub keep_alive: Duration,
    /// The number of connections of clients at a time; more wait.
    pub most_connections: usize,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            tunnel: TunnelConfig::default(),
            response_timeout: Duration::from_secs(120),
            close_timeout: Duration::from_secs(10),
            policy: CarryPolicy::default(),
            keep_alive: Duration::from_secs(60),
            most_connections: 4096,
        }
    }
}

impl ProxyConfig {
    /// Sets the settings of its connections into networks.
    #[must_use]
    pub fn tunnel(mut self, tunnel: TunnelConfig) -> Self {
        self.tunnel = tunnel;
        self
    }

    /// Sets the time that an instance may take to begin its response.
    #[must_use]
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.response_timeout = time;
        self
    }

    /// Sets the time without a byte after which a response without a marked end is given up.
    #[must_use]
    pub fn close_timeout(mut self, time: Duration) -> Self {
        self.close_timeout = time;
        self
    }

    /// Sets the rules by which upgraded connections end.
    #[must_use]
    pub fn policy(mut self, policy: CarryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the time that an unused connection to an instance is kept.
    #[must_use]
    pub fn keep_alive(mut self, time: Duration) -> Self {
        self.keep_alive = time;
        self
    }

    /// Sets the number of connections of clients at a time.
    #[must_use]
    pub fn most_connections(mut self, most: usize) -> Self {
        self.most_connections = most.max(1);
        self
    }
}
