//! Time as an input: whoever needs the hour is handed a [`Clock`].

use std::fmt;
use std::time::Duration;

pub use jiff::Timestamp;

/// Tells the hour. The real one reads the system's clock; a devnet's can run as fast as its tasks do.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now, UTC.
    fn now(&self) -> Timestamp;
}

/// `start` moved by `by`, held at the end of time where it would pass it.
#[must_use]
pub fn after(start: Timestamp, by: Duration) -> Timestamp {
    start.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// How long from `earlier` to `later`; zero when they stand the other way round.
#[must_use]
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_never_run_backwards() {
        let start: Timestamp = "2026-11-21T21:17:19.355800Z".parse().unwrap();
        let end = after(start, Duration::from_millis(1500));
        assert_eq!(between(start, end), Duration::from_millis(1500));
        assert_eq!(between(end, start), Duration::ZERO);
        assert_eq!(after(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
    }
}
