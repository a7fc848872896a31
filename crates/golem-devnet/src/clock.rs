//! The devnet's clock: tokio's own time on a calendar, so that a paused tokio clock makes it virtual.

use tokio::time::Instant;
use yagna_api::time::{Clock, Timestamp, after};

/// Tells the time of a devnet.
///
/// It starts at a given hour and runs with tokio's clock: in real time outside tests, and as fast as the tasks
/// allow where tokio's clock is paused.
#[derive(Debug, Clone)]
pub struct DevnetClock {
    epoch: Timestamp,
    started: Instant,
}

impl DevnetClock {
    /// Starts now, at the given hour.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self { epoch, started: Instant::now() }
    }

    /// Starts now, at the system's hour.
    #[expect(clippy::disallowed_methods, reason = "the one place where the devnet learns the real hour")]
    pub fn real() -> Self {
        Self::starting_at(Timestamp::now())
    }
}

impl Clock for DevnetClock {
    fn now(&self) -> Timestamp {
        after(self.epoch, self.started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_hour_passes_at_once_when_tokio_is_paused() {
        let clock = DevnetClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), "2026-01-01T01:00:00Z".parse().unwrap());
    }
}
