//! How many tasks to send at once.

use std::time::Duration;

/// A script with several tasks takes so many bytes in its request at the most. Daemons refuse requests above 2 MiB.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// The lesson of a pack: the number of its tasks, their time and their bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lesson {
    pub(super) n: usize,
    pub(super) took: Duration,
    pub(super) bytes: usize,
}

/// Learns how long tasks take and how large they are, and packs so many that a pack takes a noticeable time, but not long,
/// and fits into a request.
#[derive(Debug)]
pub(super) struct Pace {
    packs: bool,
    /// Seconds a task takes, the last ones counting most; `None` before the first.
    each: Option<f64>,
    /// Bytes of a task in its request, likewise.
    bytes: f64,
    /// A pack was done. The first one tells nothing: where a run is resumed, it may have been done long before.
    begun: bool,
}

impl Pace {
    /// A pack should take about this long: results come often enough to watch, requests are few.
    const PACK_TIME: Duration = Duration::from_millis(250);
    /// The most tasks in a pack.
    const MOST: f64 = 64.0;

    pub(super) fn new(packs: bool) -> Self {
        Self { packs, each: None, bytes: 0.0, begun: false }
    }

    pub(super) fn room(&self) -> usize {
        let Some(each) = self.each.filter(|_| self.packs) else {
            return 1;
        };
        #[expect(clippy::cast_precision_loss, reason = "exact for any size of a request")]
        let fitting = MOST_BYTES as f64 / self.bytes.max(1.0);
        let room = (Self::PACK_TIME.as_secs_f64() / each.max(1e-6)).min(fitting).clamp(1.0, Self::MOST);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 64")]
        let room = room as usize;
        room
    }

    pub(super) fn did(&mut self, lesson: Lesson) {
        if !std::mem::replace(&mut self.begun, true) {
            return;
        }
        let n = f64::from(u32::try_from(lesson.n.max(1)).unwrap_or(u32::MAX));
        let each = lesson.took.as_secs_f64() / n;
        self.each = Some(self.each.map_or(each, |before| before * 0.5 + each * 0.5));
        #[expect(clippy::cast_precision_loss, reason = "exact for any size of a request")]
        let bytes = lesson.bytes as f64 / n;
        self.bytes = if self.bytes == 0.0 { bytes } else { self.bytes * 0.5 + bytes * 0.5 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(n: usize, took: Duration) -> Lesson {
        Lesson { n, took, bytes: 100 * n }
    }

    #[test]
    fn large_tasks_travel_as_few_as_fit_into_a_request() {
        let mut pace = Pace::new(true);
        for _ in 0..3 {
            pace.did(Lesson { n: 1, took: Duration::from_micros(1), bytes: 110_000 });
        }
        assert_eq!(pace.room(), 9);
        pace.did(Lesson { n: 1, took: Duration::from_micros(1), bytes: 10 * MOST_BYTES });
        assert_eq!(pace.room(), 1);
    }

    #[test]
    fn long_tasks_travel_alone_and_short_ones_together() {
        let mut pace = Pace::new(true);
        assert_eq!(pace.room(), 1, "nothing is known yet");
        pace.did(lesson(1, Duration::from_micros(1)));
        assert_eq!(pace.room(), 1, "the first one may have been done in an earlier life of the run");
        pace.did(lesson(1, Duration::from_millis(5)));
        assert_eq!(pace.room(), 50);
        pace.did(lesson(50, Duration::from_secs(60)));
        assert_eq!(pace.room(), 1);
        for _ in 0..40 {
            pace.did(lesson(1, Duration::from_micros(1)));
        }
        assert_eq!(pace.room(), 64);
        let mut alone = Pace::new(false);
        alone.did(lesson(1, Duration::from_micros(1)));
        alone.did(lesson(1, Duration::from_micros(1)));
        assert_eq!(alone.room(), 1);
    }
}
