//! Connections to instances, kept for the next request.
//!
//! The network doesn't carry that a server closes an unused connection, so a kept connection may be dead without a sign.
//! Requests that may be repeated use it anyway, and are repeated on a fresh one where it breaks off; others use it only
//! within the time for which the server surely keeps it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::content::Body;
use crate::reach::targets::{Lease, Target};
use crate::reach::tunnel::Tunnel;

/// The unused connections of one target.
const MOST_IDLE: usize = 64;
/// The time for which any server keeps an unused connection.
const SURELY_KEPT: Duration = Duration::from_millis(900);
/// The time in which a connection is ready again after a response.
const READY: Duration = Duration::from_secs(1);

/// A connection to an instance.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) sender: SendRequest<Body>,
    /// True if it has carried a request before.
    pub(super) is_used: bool,
    /// The time for which its server keeps it unused.
    pub(super) kept_for: Duration,
    /// The task that moves its bytes lives as long as it.
    _driver: JoinSet<()>,
}

impl Upstream {
    /// Speaks HTTP over a tunnel.
    pub(super) async fn over(tunnel: Tunnel) -> hyper::Result<Self> {
        let target = tunnel.target();
        let (sender, connection) = http1::handshake(TokioIo::new(tunnel)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%target, problem = %crate::text::chain(&error), "a connection to an instance broke off");
            }
        });
        Ok(Self { sender, is_used: false, kept_for: SURELY_KEPT, _driver: driver })
    }
}

/// The unused connections of a proxy.
#[derive(Debug)]
pub(super) struct Pool {
    keep_alive: Duration,
    idle: Mutex<HashMap<Target, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    upstream: Upstream,
    since: Instant,
}

impl Pool {
    pub(super) fn new(keep_alive: Duration) -> Self {
        Self { keep_alive, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<Target, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept connection to a target: any that may be alive for a request that may be repeated, else one that surely is.
    pub(super) async fn take(&self, target: &Target, may_repeat: bool) -> Option<Upstream> {
        loop {
            let mut upstream = self.pop(target, may_repeat)?;
            if let Ok(Ok(())) = timeout(READY, upstream.sender.ready()).await {
                return Some(upstream);
            }
        }
    }

    fn pop(&self, target: &Target, may_repeat: bool) -> Option<Upstream> {
        let mut idle = self.idle();
        let kept = idle.get_mut(target)?;
        // The one that was used last is the most likely to be alive.
        let last = kept.pop()?;
        let unused = last.since.elapsed();
        if unused >= self.keep_alive {
            kept.clear();
            return None;
        }
        if may_repeat || unused < last.upstream.kept_for {
            return Some(last.upstream);
        }
        kept.push(last);
        None
    }

    fn put(&self, target: &Target, upstream: Upstream) {
        if upstream.sender.is_closed() {
            return;
        }
        let mut idle = self.idle();
        let kept = idle.entry(target.clone()).or_default();
        if kept.len() >= MOST_IDLE {
            kept.remove(0);
        }
        kept.push(Idle { upstream, since: Instant::now() });
    }

    /// Closes what has been unused for too long, what its server has closed, and what goes to targets that aren't there.
    pub(super) fn sweep(&self, targets: &[Target]) {
        let mut idle = self.idle();
        idle.retain(|target, kept| {
            kept.retain(|idle| idle.since.elapsed() < self.keep_alive && !idle.upstream.sender.is_closed());
            !kept.is_empty() && targets.contains(target)
        });
    }
}

/// A connection that carries a response, and its place in the pool.
#[derive(Debug)]
pub(super) struct Kept {
    pool: Arc<Pool>,
    upstream: Upstream,
    lease: Lease,
}

impl Kept {
    pub(super) fn new(pool: Arc<Pool>, upstream: Upstream, lease: Lease) -> Self {
        Self { pool, upstream, lease }
    }

    /// Gives the connection back for another request.
    pub(super) fn give_back(self) {
        let Self { pool, mut upstream, lease } = self;
        upstream.is_used = true;
        if !lease.is_removed() {
            pool.put(lease.target(), upstream);
        }
    }
}
