//! The consumers of a run's events.
//!
//! The simplest consumer is a closure that takes `&Event`. One that must know what it missed, look at the clock, or
//! see each script is a type with [`EventConsumer`].

use golem_core::event::Event;
use yagna_api::Timestamp;

/// Hears of each event, in order. It mustn't block: it is called on the async runtime.
///
/// Each consumer has a bounded queue of its own: one that is slow holds nobody up, and misses events where it falls
/// thousands of them behind.
pub trait EventConsumer: Send + 'static {
    /// Something happened.
    fn on_event(&mut self, event: &Event);

    /// So many events never came here, because this consumer was too slow.
    fn on_missed(&mut self, events: u64) {
        tracing::warn!(events, "an event consumer is too slow and has missed events");
    }

    /// A second or so has passed, with events or without.
    fn on_tick(&mut self, _now: Timestamp) {}

    /// True if the consumer wants [details](golem_core::event::EventKind::is_detail) as well, each script and its
    /// commands. They are only made where somebody wants them. Asked once, in the beginning.
    ///
    /// Details come at once, while other events come when they are stored: a script may be told of a moment before the
    /// task that it is for.
    fn wants_details(&self) -> bool {
        false
    }
}

impl<F: FnMut(&Event) + Send + 'static> EventConsumer for F {
    fn on_event(&mut self, event: &Event) {
        self(event);
    }
}

/// Makes a consumer that wants details out of one that doesn't.
pub fn detailed(consumer: impl EventConsumer) -> impl EventConsumer {
    Detailed(consumer)
}

struct Detailed<C>(C);

impl<C: EventConsumer> EventConsumer for Detailed<C> {
    fn on_event(&mut self, event: &Event) {
        self.0.on_event(event);
    }

    fn on_missed(&mut self, events: u64) {
        self.0.on_missed(events);
    }

    fn on_tick(&mut self, now: Timestamp) {
        self.0.on_tick(now);
    }

    fn wants_details(&self) -> bool {
        true
    }
}
