//! Events that are kept: a list in the order of their time, read by cursor.

use yagna_api::Timestamp;

/// Events in the order of their time; no two have the same.
#[derive(Debug)]
pub(crate) struct EventLog<E> {
    entries: Vec<(Timestamp, E)>,
}

impl<E> Default for EventLog<E> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<E> EventLog<E> {
    /// Adds one; its time must be later than all before it.
    pub(crate) fn push(&mut self, at: Timestamp, event: E) {
        debug_assert!(self.entries.last().is_none_or(|(last, _)| *last < at), "event times only grow");
        self.entries.push((at, event));
    }

    /// All strictly after the cursor, oldest first.
    pub(crate) fn after(&self, cursor: Option<Timestamp>) -> impl Iterator<Item = &(Timestamp, E)> {
        let from = cursor.map_or(0, |cursor| self.entries.partition_point(|(at, _)| *at <= cursor));
        self.entries[from..].iter()
    }
}

/// A time cut to whole microseconds, as the daemon stores its events.
pub(crate) fn to_micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// A time cut to whole milliseconds.
pub(crate) fn to_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
