//! How many tasks to send at once.

use std::time::Duration;

/// Learns how long tasks take, and packs so many that a pack takes a noticeable time, but not long.
#[derive(Debug)]
pub(super) struct Pace {
    packs: bool,
    /// Seconds a task takes, the last ones counting most; `None` before the first.
    each: Option<f64>,
    /// Was a pack done? The first one tells nothing: where a run is taken up, it may have been done long before.
    begun: bool,
}

impl Pace {
    /// A pack should take about this long: results come often enough to watch, requests are few.
    const PACK_TIME: Duration = Duration::from_millis(250);
    /// The most tasks in a pack.
    const MOST: f64 = 64.0;

    pub(super) fn new(packs: bool) -> Self {
        Self { packs, each: None, begun: false }
    }

    pub(super) fn room(&self) -> usize {
        let Some(each) = self.each.filter(|_| self.packs) else {
            return 1;
        };
        let room = (Self::PACK_TIME.as_secs_f64() / each.max(1e-6)).clamp(1.0, Self::MOST);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 64")]
        let room = room as usize;
        room
    }

    pub(super) fn did(&mut self, n: usize, took: Duration) {
        if !std::mem::replace(&mut self.begun, true) {
            return;
        }
        let n = u32::try_from(n.max(1)).unwrap_or(u32::MAX);
        let each = took.as_secs_f64() / f64::from(n);
        self.each = Some(self.each.map_or(each, |before| before * 0.5 + each * 0.5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_tasks_travel_alone_and_short_ones_together() {
        let mut pace = Pace::new(true);
        assert_eq!(pace.room(), 1, "nothing is known yet");
        pace.did(1, Duration::from_micros(1));
        assert_eq!(pace.room(), 1, "the first one may have been done in an earlier life of the run");
        pace.did(1, Duration::from_millis(5));
        assert_eq!(pace.room(), 50);
        pace.did(50, Duration::from_secs(60));
        assert_eq!(pace.room(), 1);
        for _ in 0..40 {
            pace.did(1, Duration::from_micros(1));
        }
        assert_eq!(pace.room(), 64);
        let mut alone = Pace::new(false);
        alone.did(1, Duration::from_micros(1));
        alone.did(1, Duration::from_micros(1));
        assert_eq!(alone.room(), 1);
    }
}
