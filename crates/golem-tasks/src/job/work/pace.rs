//! The number of tasks to send at once.

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

/// Learns how long tasks take and how large they are, and packs so many that they take a noticeable time, but not long, and fit
/// into a request.
///
/// The time of a pack has two parts: the way there and back, which the daemon and the network need whatever is in it, and the
/// time of each task. Packs of different sizes tell them apart; so a size is doubled as long as the time of the tasks allows it.
/// That time is the longer, the longer the way is: a way that takes no tenth of the whole isn't worth more.
#[derive(Debug)]
pub(super) struct Pace {
    packs: bool,
    /// The packs of each size, from one power of two to the next: their mean number of tasks, and their mean time in seconds. The
    /// last ones count most.
    sizes: [Option<(f64, f64)>; Self::SIZES],
    /// Seconds of the last pack, its way included, by the number of its tasks.
    last: f64,
    /// Bytes of a task in its request, the last ones counting most.
    bytes: f64,
    /// A pack was done. The first one tells nothing: where a run is resumed, it may have been done long before.
    begun: bool,
}

impl Pace {
    /// The tasks of a pack should take about this long where their way is short: results come often enough to watch, requests are few.
    const PACK_TIME: f64 = 0.25;
    /// The tasks of a pack should take so many times as long as their way.
    const WORTH_THE_WAY: f64 = 9.0;
    /// The longest that the tasks of a pack should take, however long their way is.
    const LONGEST: f64 = 2.0;
    /// Where nothing tells tasks from their way, tasks that take longer than this are taken for long ones.
    const LONG: f64 = 3.0;
    /// The most tasks in a pack.
    const MOST: f64 = 64.0;
    /// The number of sizes that are told apart: 1, 2 and 3, 4 to 7, and so on up to 64.
    const SIZES: usize = 7;

    pub(super) fn new(packs: bool) -> Self {
        Self { packs, sizes: [None; Self::SIZES], last: f64::INFINITY, bytes: 0.0, begun: false }
    }

    pub(super) fn room(&self) -> usize {
        let largest = self.sizes.iter().flatten().next_back();
        let Some(&(largest, _)) = largest.filter(|_| self.packs) else {
            return 1;
        };
        #[expect(clippy::cast_precision_loss, reason = "exact for any size of a request")]
        let fitting = MOST_BYTES as f64 / self.bytes.max(1.0);
        let wanted = match self.way_and_each() {
            Some((way, each)) => (Self::WORTH_THE_WAY * way).clamp(Self::PACK_TIME, Self::LONGEST) / each,
            None if self.sizes.iter().flatten().all(|(_, time)| *time <= Self::LONG) => f64::INFINITY,
            None => 1.0,
        };
        let room = wanted.min(2.0 * largest).min(fitting).clamp(1.0, Self::MOST);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 64")]
        let room = room as usize;
        room
    }

    /// Seconds that the way of a pack takes, and a task beside it; `None` where packs had one size only.
    ///
    /// They are the line that fits best; a task takes no more than the last pack shows.
    fn way_and_each(&self) -> Option<(f64, f64)> {
        let sizes = || self.sizes.iter().flatten();
        let n = u32::try_from(sizes().count()).map(f64::from).ok().filter(|n| *n > 1.0)?;
        let (tasks, time) = sizes().fold((0.0, 0.0), |(tasks, time), size| (tasks + size.0, time + size.1));
        let (mean_tasks, mean_time) = (tasks / n, time / n);
        let (mut both, mut square) = (0.0, 0.0);
        for (tasks, time) in sizes() {
            both += (tasks - mean_tasks) * (time - mean_time);
            square += (tasks - mean_tasks) * (tasks - mean_tasks);
        }
        let each = (both / square).min(self.last).max(1e-6);
        Some(((mean_time - each * mean_tasks).max(0.0), each))
    }

    pub(super) fn did(&mut self, lesson: Lesson) {
        if !std::mem::replace(&mut self.begun, true) {
            return;
        }
        let n = lesson.n.max(1);
        let size = (n.ilog2() as usize).min(Self::SIZES - 1);
        let tasks = f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let new = (tasks, lesson.took.as_secs_f64());
        self.last = new.1 / new.0;
        let mean = |one: f64, other: f64| one * 0.5 + other * 0.5;
        let known = self.sizes[size].unwrap_or(new);
        self.sizes[size] = Some((mean(known.0, new.0), mean(known.1, new.1)));
        #[expect(clippy::cast_precision_loss, reason = "exact for any size of a request")]
        let bytes = lesson.bytes as f64 / tasks;
        self.bytes = if self.bytes == 0.0 { bytes } else { mean(self.bytes, bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(n: usize, took: Duration) -> Lesson {
        Lesson { n, took, bytes: 100 * n }
    }

    /// Sends packs of tasks that take so many seconds each, on a way of so many, and gives their sizes.
    fn sent(way: f64, each: f64, packs: usize, mut chance: Option<fastrand::Rng>) -> Vec<usize> {
        let mut pace = Pace::new(true);
        let mut sizes = Vec::new();
        for _ in 0..packs {
            let n = pace.room();
            let noise = chance.as_mut().map_or(1.0, |chance| 0.8 + 0.4 * chance.f64());
            let took = Duration::from_secs_f64(way * noise + each * f64::from(u32::try_from(n).unwrap()));
            pace.did(lesson(n, took));
            sizes.push(n);
        }
        sizes
    }

    #[test]
    fn short_tasks_travel_together_however_long_their_way_is() {
        for way in [0.0, 0.01, 0.2, 2.0] {
            assert_eq!(sent(way, 0.001, 9, None), [1, 1, 2, 4, 8, 16, 32, 64, 64], "{way}");
        }
        for seed in 0..200 {
            let sizes = sent(0.22, 0.001, 100, Some(fastrand::Rng::with_seed(seed)));
            let full = sizes.iter().filter(|n| **n == 64).count();
            assert!(full > 75, "seed {seed}: {full} of 100 packs are full: {sizes:?}");
        }
    }

    #[test]
    fn longer_tasks_travel_as_few_as_are_worth_their_way() {
        let near = [(0.02, 12), (0.1, 2), (0.24, 1), (1.0, 1), (60.0, 1)].map(|case| (0.01, case));
        let far = [(0.02, 64), (0.1, 17), (0.24, 7), (1.0, 1), (60.0, 1)].map(|case| (0.2, case));
        let very_far = [(0.1, 20), (1.0, 2), (2.5, 1)].map(|case| (1.5, case));
        for (way, (each, most)) in near.into_iter().chain(far).chain(very_far) {
            let sizes = sent(way, each, 30, None);
            assert!(sizes[20..].iter().all(|n| n.abs_diff(most) <= 1), "{way} + {each}: {sizes:?}");
            let more: usize = sizes.iter().map(|n| n.saturating_sub(most + 1)).sum();
            assert!(more <= most.min(4) + 1, "{way} + {each}: {sizes:?}");
        }
    }

    #[test]
    fn tasks_that_become_longer_travel_alone_again() {
        let mut pace = Pace::new(true);
        for _ in 0..12 {
            pace.did(lesson(pace.room(), Duration::from_millis(20)));
        }
        assert_eq!(pace.room(), 64);
        for _ in 0..8 {
            let n = pace.room();
            pace.did(lesson(n, Duration::from_secs(2) * u32::try_from(n).unwrap()));
        }
        assert_eq!(pace.room(), 1);
    }

    #[test]
    fn large_tasks_travel_as_few_as_fit_into_a_request() {
        let mut pace = Pace::new(true);
        for n in [1, 1, 2, 4, 8] {
            pace.did(Lesson { n, took: Duration::from_micros(1), bytes: 110_000 * n });
        }
        assert_eq!(pace.room(), 9);
        pace.did(Lesson { n: 1, took: Duration::from_micros(1), bytes: 10 * MOST_BYTES });
        assert_eq!(pace.room(), 1);
    }

    #[test]
    fn nothing_is_packed_before_anything_is_known_or_where_that_is_not_wanted() {
        let mut pace = Pace::new(true);
        assert_eq!(pace.room(), 1, "nothing is known yet");
        pace.did(lesson(1, Duration::from_micros(1)));
        assert_eq!(pace.room(), 1, "the first one may have been done in an earlier life of the run");
        let mut alone = Pace::new(false);
        for _ in 0..5 {
            alone.did(lesson(1, Duration::from_micros(1)));
        }
        assert_eq!(alone.room(), 1);
    }
}
