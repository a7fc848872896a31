//! Long polls as streams of events that outlive a restarted daemon.
//!
//! A stream polls only when its consumer asks for more than the last answer held. Trouble is told but never
//! ends a stream: whether to wait for the daemon is the consumer's decision, made by dropping the stream.

use std::time::Duration;

use async_stream::stream;
use futures_util::stream::BoxStream;
use tokio::time::{Instant, sleep};
use yagna_api::endpoint::{Listed, Unreadable};
use yagna_api::market::{AgreementEvent, DemandEvent, PollAgreementEvents, PollDemandEvents};
use yagna_api::payment::{DebitNoteEvent, EventFilter, InvoiceEvent, PollDebitNoteEvents, PollInvoiceEvents};
use yagna_api::{ApiError, AppSessionId, DemandId, Endpoint, Timestamp};

use self::cursor::{Cursor, CursorEvent};
use crate::client::Client;
use crate::error::ClientError;

mod cursor;

/// The time that one poll waits at the daemon. A frozen daemon is noticed five seconds later.
const POLL_WAIT: Duration = Duration::from_secs(15);

/// The most events one market poll may ask for.
const MARKET_PAGE: u8 = 100;

/// The shortest pause after a poll that failed, or that brought nothing and yet didn't wait.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause of a stream between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A stream of a poll's events. Dropping it between two events loses nothing that was yielded.
pub type EventStream<T> = BoxStream<'static, Polled<T>>;

/// The items of a stream of events.
#[derive(Debug)]
pub enum Polled<T> {
    /// Something happened.
    Event(T),
    /// Something happened that our types don't fit; the events around it are unharmed.
    Unreadable(Unreadable),
    /// A poll failed. The stream goes on by itself.
    Trouble {
        /// The error of the poll.
        error: ClientError,
        /// The time that the stream waits before it polls again.
        next_try_in: Duration,
    },
    /// A poll has succeeded again after trouble.
    Recovered,
    /// The daemon no longer has the demand: withdrawn, expired, or lost in a restart. The stream ends here.
    /// Streams of other events never yield it.
    Gone(ClientError),
}

impl Client {
    /// The events of a demand, taken from the daemon's queue.
    ///
    /// Only one stream per demand may run: each event goes to one poll. Ends after [`Polled::Gone`]; publish
    /// the demand again then.
    pub fn demand_events(&self, demand: DemandId) -> EventStream<DemandEvent> {
        let client = self.clone();
        Box::pin(stream! {
            let poll = PollDemandEvents { demand, wait: POLL_WAIT, max: MARKET_PAGE };
            let mut pace = Pace::new(client.clone());
            loop {
                pace.begin();
                match page(client.call_once(&poll).await) {
                    Ok(listed) => {
                        if pace.recovered() {
                            yield Polled::Recovered;
                        }
                        let anything = !listed.items.is_empty() || !listed.unreadable.is_empty();
                        for event in listed.items {
                            yield Polled::Event(event);
                        }
                        for item in listed.unreadable {
                            yield Polled::Unreadable(item);
                        }
                        pace.rest(anything).await;
                    }
                    Err(error) if error.is_not_found() || error.is_gone() => {
                        yield Polled::Gone(error);
                        return;
                    }
                    Err(error) => {
                        let next_try_in = pace.trouble();
                        yield Polled::Trouble { error, next_try_in };
                        sleep(next_try_in).await;
                    }
                }
            }
        })
    }

    /// The events of agreements strictly after a moment, oldest first; `None` is from the beginning.
    ///
    /// With a session, only those of agreements that were confirmed in it. Each event comes once, whatever
    /// happens to the daemon and its answers. One that the daemon stored late may come after a younger one: to
    /// go on after a restart, keep the latest date, not the last.
    pub fn agreement_events(
        &self,
        after: Option<Timestamp>,
        session: Option<AppSessionId>,
    ) -> EventStream<AgreementEvent> {
        self.follow(Cursor::paged(after, MARKET_PAGE.into()), move |after| PollAgreementEvents {
            after,
            session: session.clone(),
            wait: POLL_WAIT,
            max: MARKET_PAGE,
        })
    }

    /// The events of debit notes strictly after `filter.after`, oldest first.
    ///
    /// As [`agreement_events`](Self::agreement_events); `filter.wait` and `filter.max` are the stream's own
    /// business and not looked at.
    pub fn debit_note_events(&self, filter: EventFilter) -> EventStream<DebitNoteEvent> {
        self.follow(Cursor::new(filter.after), move |after| PollDebitNoteEvents(unlimited(&filter, after)))
    }

    /// The events of invoices strictly after `filter.after`, oldest first.
    ///
    /// As [`agreement_events`](Self::agreement_events); `filter.wait` and `filter.max` are the stream's own
    /// business and not looked at.
    pub fn invoice_events(&self, filter: EventFilter) -> EventStream<InvoiceEvent> {
        self.follow(Cursor::new(filter.after), move |after| PollInvoiceEvents(unlimited(&filter, after)))
    }

    /// Reads a list of events that the daemon keeps, by a cursor over their dates.
    fn follow<E, T>(
        &self,
        mut cursor: Cursor,
        poll: impl Fn(Option<Timestamp>) -> E + Send + 'static,
    ) -> EventStream<T>
    where
        E: Endpoint<Answer = Listed<T>> + 'static,
        T: CursorEvent + Send + 'static,
    {
        let client = self.clone();
        Box::pin(stream! {
            let mut pace = Pace::new(client.clone());
            loop {
                pace.begin();
                let looked_back = cursor.looks_back();
                match page(client.call_once(&poll(cursor.after())).await) {
                    Ok(listed) => {
                        if pace.recovered() {
                            yield Polled::Recovered;
                        }
                        let fresh = cursor.take(listed);
                        let count = fresh.items.len() + fresh.unreadable.len();
                        for event in fresh.items {
                            yield Polled::Event(event);
                        }
                        for item in fresh.unreadable {
                            yield Polled::Unreadable(item);
                        }
                        pace.rest(count > 0 || looked_back).await;
                    }
                    Err(error) => {
                        let next_try_in = pace.trouble();
                        yield Polled::Trouble { error, next_try_in };
                        sleep(next_try_in).await;
                    }
                }
            }
        })
    }
}

/// A time-out, as some proxies and older daemons answer a poll, means that nothing has happened.
fn page<T>(answer: Result<Listed<T>, ClientError>) -> Result<Listed<T>, ClientError> {
    match answer {
        Err(error) if error.api().is_some_and(ApiError::is_timeout) => {
            Ok(Listed { items: Vec::new(), unreadable: Vec::new() })
        }
        other => other,
    }
}

/// The daemon applies its limit before its filters: a page full of others' events would hide ours for ever.
fn unlimited(filter: &EventFilter, after: Option<Timestamp>) -> EventFilter {
    EventFilter { after, wait: POLL_WAIT, max: None, ..filter.clone() }
}

/// The schedule of a stream's polls.
struct Pace {
    client: Client,
    begun: Instant,
    failures: u32,
    /// Polls in a row that brought nothing and yet didn't wait.
    hasty: u32,
}

impl Pace {
    fn new(client: Client) -> Self {
        Self { client, begun: Instant::now(), failures: 0, hasty: 0 }
    }

    fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// True if there was trouble until this success.
    fn recovered(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }

    fn trouble(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.client
            .chance()
            .delay(&self.client.retry_policy(), self.failures)
            .clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }

    /// Pauses only when the poll brought nothing new and yet didn't wait, for no good reason: whatever the
    /// daemon does, it isn't asked in a tight loop.
    async fn rest(&mut self, good_reason: bool) {
        if good_reason || self.begun.elapsed() >= SHORTEST_PAUSE {
            self.hasty = 0;
            return;
        }
        let pause = SHORTEST_PAUSE.saturating_mul(1 << self.hasty.min(8));
        self.hasty = self.hasty.saturating_add(1);
        sleep(pause.min(LONGEST_PAUSE)).await;
    }
}
