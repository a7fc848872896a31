//! When a call is made again, and after how long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use yagna_api::{AnswerError, ApiError, Repeat};

use crate::error::ClientError;
use crate::transport::TransportError;

/// The number and the pauses of retries after a failure that may pass.
///
/// Between two attempts lies a random share of a delay that doubles each time ("full jitter"), so that many
/// callers don't come back at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest first delay.
    pub first: Duration,
    /// The longest delay of all.
    pub most: Duration,
    /// No attempt begins later than this after the first.
    pub total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(5),
            total: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// One attempt and no more.
    pub const NEVER: Self = Self { first: Duration::ZERO, most: Duration::ZERO, total: Duration::ZERO };

    /// The longest delay after so many failures in a row, the first being 1.
    fn cap(&self, failures: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.most)
    }
}

/// A generator of chance that the clones of a client share.
#[derive(Debug, Clone)]
pub(crate) struct Chance(Arc<Mutex<fastrand::Rng>>);

impl Chance {
    pub(crate) fn new(rng: fastrand::Rng) -> Self {
        Self(Arc::new(Mutex::new(rng)))
    }

    /// The delay after so many failures in a row, the first being 1.
    pub(crate) fn delay(&self, policy: &RetryPolicy, failures: u32) -> Duration {
        let share = self.0.lock().unwrap_or_else(PoisonError::into_inner).f64();
        policy.cap(failures).mul_f64(share)
    }
}

/// True if a request may be sent again after this error.
pub(crate) fn may_repeat(repeat: Repeat, error: &ClientError) -> bool {
    match error {
        ClientError::Transport { source, .. } => match source {
            TransportError::Unreachable { .. } => true,
            TransportError::Lost { .. } => repeat != Repeat::Twice,
            TransportError::Unsendable { .. } => false,
        },
        // The caller's patience is at its end, however the daemon fares.
        ClientError::TimedOut { .. } => false,
        ClientError::Answer { source, .. } => match source.as_ref() {
            AnswerError::Api(error) if repeat == Repeat::Twice => matches!(error.status, 429 | 503),
            AnswerError::Api(error) => ApiError::is_passing(error),
            AnswerError::Unreadable { .. } => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most() {
        let policy = RetryPolicy::default();
        let caps: Vec<_> = (1..=8).map(|n| policy.cap(n).as_millis()).collect();
        assert_eq!(caps, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(policy.cap(u32::MAX), policy.most);
    }

    #[test]
    fn the_same_seed_gives_the_same_delays_and_none_beyond_the_cap() {
        let policy = RetryPolicy::default();
        let draw = |seed| {
            let chance = Chance::new(fastrand::Rng::with_seed(seed));
            (1..40).map(|n| chance.delay(&policy, n)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        for (n, delay) in (1..).zip(draw(7)) {
            assert!(delay <= policy.cap(n), "{n}: {delay:?}");
        }
    }
}
