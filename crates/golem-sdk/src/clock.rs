//! The real hour.

use yagna_api::time::{Clock, Timestamp};

/// Tells the system's time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the SDK learns the real hour")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
