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

/// The time from `earlier` to `later`; zero when they stand the other way round.
#[must_use]
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// A duration for people, as one would write it: `2s`, `1.5s`, `90s`, `10m`, `1h30m`. Rounded to a tenth of a second below ten
/// seconds, to a second above.
#[must_use]
pub fn short(time: Duration) -> String {
    let millis = time.as_millis();
    let seconds = (millis + 500) / 1000;
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 50 {
        return format!("{millis}ms");
    }
    if millis < 9950 {
        let tenths = (millis + 50) / 100;
        return match tenths % 10 {
            0 => format!("{}s", tenths / 10),
            rest => format!("{}.{rest}s", tenths / 10),
        };
    }
    if seconds < 120 || (seconds < 600 && !seconds.is_multiple_of(60)) {
        return format!("{seconds}s");
    }
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, "h"), (minutes, "m"), (seconds, "s")];
    parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_for_people_and_those_that_were_written_stay_as_they_were() {
        for (nanos, text) in [
            (0, "0s"),
            (7_000_000, "7ms"),
            (200_000_000, "0.2s"),
            (1_999_999_208, "2s"),
            (1_500_000_000, "1.5s"),
            (9_960_000_000, "10s"),
        ] {
            assert_eq!(short(Duration::from_nanos(nanos)), text);
        }
        for written in
            ["2s", "50s", "90s", "119s", "150s", "2m", "5m", "10m", "1h", "1h30m", "24h", "10m1s", "1h1s"]
        {
            let time: jiff::SignedDuration = written.parse().unwrap();
            assert_eq!(short(time.unsigned_abs()), written);
        }
    }

    #[test]
    fn spans_never_run_backwards() {
        let start: Timestamp = "2026-11-21T21:17:19.355800Z".parse().unwrap();
        let end = after(start, Duration::from_millis(1500));
        assert_eq!(between(start, end), Duration::from_millis(1500));
        assert_eq!(between(end, start), Duration::ZERO);
        assert_eq!(after(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
    }
}
