//! The pace of writes, which the daemon doesn't set.
//!
//! The daemon takes whatever comes and keeps in its memory what the network can't carry yet. Nothing tells a client how much
//! that is, so the only protection is a limit of the rate, after a burst that the daemon's memory can bear.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A limit for the bytes that are sent to the daemon: so many at once, and so many a second from then on.
///
/// Clones share one limit: give clones of one value to everything that sends through the same daemon.
#[derive(Debug, Clone)]
pub struct Pacing(Option<Arc<Bucket>>);

#[derive(Debug)]
struct Bucket {
    burst: u64,
    per_second: u64,
    /// The moment at which all that was sent so far will have been passed on at the rate.
    passed_on: Mutex<Option<Instant>>,
}

impl Pacing {
    /// The bytes that may be sent at once, unless told otherwise.
    pub const BURST: u64 = 64 * 1024 * 1024;
    /// The bytes a second after that, unless told otherwise: about the best that was measured between two machines of the
    /// network.
    pub const PER_SECOND: u64 = 32 * 1024 * 1024;

    /// A limit of `burst` bytes at once and `per_second` bytes a second after that. A rate of 0 counts as 1.
    pub fn new(burst: u64, per_second: u64) -> Self {
        let bucket = Bucket { burst, per_second: per_second.max(1), passed_on: Mutex::new(None) };
        Self(Some(Arc::new(bucket)))
    }

    /// No limit: for daemons that are known to push back, or in tests.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// Counts bytes that are being sent, and says how long the sender has to pause after them.
    pub(super) fn count(&self, bytes: usize) -> Duration {
        let Some(bucket) = &self.0 else { return Duration::ZERO };
        let now = Instant::now();
        let mut passed_on = bucket.passed_on.lock().unwrap_or_else(PoisonError::into_inner);
        let from = passed_on.filter(|at| *at > now).unwrap_or(now);
        let at = from + bucket.time_for(u64::try_from(bytes).unwrap_or(u64::MAX));
        *passed_on = Some(at);
        (at - now).saturating_sub(bucket.time_for(bucket.burst))
    }
}

impl Bucket {
    fn time_for(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4))
    }
}

impl Default for Pacing {
    fn default() -> Self {
        Self::new(Self::BURST, Self::PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_keeps_to_the_rate() {
        let pacing = Pacing::new(1000, 100);
        assert_eq!(pacing.count(600), Duration::ZERO);
        assert_eq!(pacing.clone().count(400), Duration::ZERO, "clones share the burst");
        assert_eq!(pacing.count(100), Duration::from_secs(1));
        assert_eq!(pacing.count(50), Duration::from_millis(1500));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(pacing.count(50), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(pacing.count(1000), Duration::ZERO, "rest brings back the burst and no more");
        assert_eq!(pacing.count(1), Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits_and_a_rate_of_nothing_still_moves() {
        assert_eq!(Pacing::unlimited().count(usize::MAX), Duration::ZERO);
        assert_eq!(Pacing::new(0, 0).count(3), Duration::from_secs(3));
    }
}
