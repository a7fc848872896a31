//! Time that this process missed, and a clock that is far from the daemon's.

use std::time::Duration;

use golem_core::run::Input;
use tokio::time::{Instant, sleep};
use yagna_api::Timestamp;
use yagna_api::time::between;

use super::Outside;

/// The loop decides something at least at every tick. A pause that is so much longer is one of the whole process.
const GAP: Duration = Duration::from_secs(10);

/// Clocks that are further apart than this are told of.
const APART: Duration = Duration::from_secs(60);

/// The interval at which the clocks are compared.
const COMPARING: Duration = Duration::from_secs(60);

/// Notices when the loop has stood still: a stopped process, or a suspended machine.
///
/// A stopped process misses time of both clocks, a suspended machine only of the one on the wall.
#[derive(Debug)]
pub(super) struct Pulse {
    tick: Duration,
    last: Option<(Instant, Timestamp)>,
}

impl Pulse {
    pub(super) fn new(tick: Duration) -> Self {
        Self { tick, last: None }
    }

    /// The loop is at work; the answer is how long it stood still, if it did.
    pub(super) fn beat(&mut self, now: Timestamp) -> Option<Duration> {
        self.beat_at(Instant::now(), now)
    }

    fn beat_at(&mut self, instant: Instant, now: Timestamp) -> Option<Duration> {
        let (last, then) = self.last.replace((instant, now))?;
        let missed = (instant - last).max(between(then, now));
        (missed >= self.tick + GAP).then_some(missed)
    }
}

impl Outside {
    /// Compares the clocks from time to time, as far as the daemon tells its own.
    pub(super) async fn compare_clocks(&self) {
        loop {
            if let Some((told, at)) = self.client.daemon_time() {
                let daemons = yagna_api::time::after(told, at.elapsed());
                let ours = self.clock.now();
                let by = between(daemons, ours).max(between(ours, daemons));
                if by > APART {
                    return self.tell(Input::ClockOff { ahead: ours > daemons, by }).await;
                }
            }
            sleep(COMPARING).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_what_either_clock_missed() {
        let tick = Duration::from_secs(1);
        let (start, noon) = (Instant::now(), Timestamp::from_second(1_800_000_000).unwrap());
        let mut pulse = Pulse::new(tick);
        let (mut instant, mut now) = (start, noon);
        let mut after = |monotonic: u64, wall: u64| {
            instant += Duration::from_secs(monotonic);
            now = yagna_api::time::after(now, Duration::from_secs(wall));
            pulse.beat_at(instant, now)
        };
        assert_eq!(after(0, 0), None, "nothing came before");
        assert_eq!(after(1, 1), None);
        assert_eq!(after(8, 8), None, "a busy machine");
        assert_eq!(after(85, 85), Some(Duration::from_secs(85)), "a stopped process");
        assert_eq!(after(1, 3600), Some(Duration::from_secs(3600)), "a suspended machine");
        assert_eq!(after(1, 1), None);
    }
}
