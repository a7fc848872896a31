//! Follows what the daemon tells: events of demands, agreements and bills.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join;
use golem_core::event::Bill;
use golem_core::run::Input;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use yagna_api::endpoint::Listed;
use yagna_api::market::{AgreementEventKind, DemandEventKind, NewDemand, Subscribe, Unsubscribe};
use yagna_api::payment::{
    BillEventKind, DebitNoteEvent, EventFilter, GetDebitNote, GetInvoice, InvoiceEvent, PollDebitNoteEvents,
    PollInvoiceEvents,
};
use yagna_api::{DebitNoteId, DemandId, Endpoint, InvoiceId, Timestamp};
use yagna_client::{ClientError, Disposition, Polled};

use super::{Engine, Outside};
use crate::text::chain;

/// The pause before something that the daemon couldn't do is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// The longest that a demand's event poll is waited for before the demand is withdrawn all the same.
const POLL_ENDS: Duration = Duration::from_secs(2);

/// Demands whose events are followed.
///
/// A daemon whose demand is withdrawn while its events are polled logs an error; so the poll ends first.
#[derive(Debug, Default)]
pub(super) struct Followed(Mutex<HashMap<DemandId, Following>>);

/// One demand whose events are followed.
#[derive(Debug, Clone, Default)]
struct Following {
    /// Tells the poll to end.
    stop: CancellationToken,
    /// Says that it has.
    ended: CancellationToken,
}

impl Followed {
    fn begin(&self, demand: &DemandId) -> Following {
        let following = Following::default();
        self.demands().insert(demand.clone(), following.clone());
        following
    }

    fn forget(&self, demand: &DemandId) -> Option<Following> {
        self.demands().remove(demand)
    }

    fn demands(&self) -> MutexGuard<'_, HashMap<DemandId, Following>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Since when bills are followed.
#[derive(Debug, Clone, Copy)]
pub(super) enum BillsFrom {
    /// A new run has none.
    Now,
    /// A run that was resumed may have some at the daemon: those are handed in first, and said to be all.
    Past {
        /// `None` is from the beginning.
        debit_notes_after: Option<Timestamp>,
        /// `None` is from the beginning.
        invoices_after: Option<Timestamp>,
    },
}

impl Engine {
    /// Begins to follow agreements of this run's session, from the session's beginning, and its bills from where they
    /// were read before.
    pub(super) fn follow_daemon(&mut self) {
        let outside = self.outside.clone();
        self.followers.spawn(async move { outside.follow_agreements().await });
        let (outside, from) = (self.outside.clone(), self.bills_from);
        self.followers.spawn(async move { outside.follow_bills(from).await });
        let outside = self.outside.clone();
        self.followers.spawn(async move { outside.keep_allocation().await });
        let outside = self.outside.clone();
        self.followers.spawn(async move { outside.compare_clocks().await });
    }
}

impl Outside {
    /// Publishes a demand and follows its events until it is withdrawn or the daemon no longer has it.
    pub(super) async fn publish(&self, demand: NewDemand, expires: Timestamp) {
        let demand = match self.client.call(&Subscribe(demand)).await {
            Ok(demand) => demand,
            Err(error) => {
                return self.tell(Input::PublishFailed { problem: chain(&error) }).await;
            }
        };
        let following = self.followed.begin(&demand);
        // Dropped after the events are: whoever waits for the end of the poll may count on it.
        let _ended = following.ended.drop_guard();
        self.tell(Input::Published { demand: demand.clone(), expires }).await;
        let mut events = self.client.demand_events(demand.clone());
        while let Some(Some(polled)) = following.stop.run_until_cancelled(events.next()).await {
            let input = match polled {
                Polled::Event(event) => match event.kind {
                    DemandEventKind::Proposal { proposal } => {
                        Input::Proposal { demand: demand.clone(), proposal: Box::new(proposal) }
                    }
                    DemandEventKind::Rejected { proposal_id, reason } => {
                        Input::Rejected { ours: proposal_id, reason }
                    }
                },
                Polled::Unreadable(item) => Input::ProposalUnreadable { problem: item.problem },
                Polled::Trouble { error, .. } => {
                    Input::Trouble { doing: "follow the market".into(), problem: chain(&error) }
                }
                Polled::Recovered => Input::Recovered,
                Polled::Gone(_) => Input::DemandLost { demand: demand.clone() },
            };
            self.tell(input).await;
        }
        drop(self.followed.forget(&demand));
    }

    /// Takes a demand off the market, once its events are no longer polled; again while the daemon can't: providers would
    /// go on answering it.
    pub(super) async fn withdraw(&self, demand: DemandId) {
        if let Some(Following { stop, ended }) = self.followed.forget(&demand) {
            stop.cancel();
            drop(timeout(POLL_ENDS, ended.cancelled()).await);
        }
        loop {
            match self.client.call(&Unsubscribe(demand.clone())).await {
                Err(error) if error.disposition() == Disposition::Retry => sleep(AGAIN).await,
                Err(error) => return tracing::debug!(%error, %demand, "a demand couldn't be withdrawn"),
                Ok(_) => return,
            }
        }
    }

    async fn follow_agreements(&self) {
        let mut events = self.client.agreement_events(None, Some(self.options.session.clone()));
        while let Some(polled) = events.next().await {
            match polled {
                Polled::Event(event) => {
                    if let AgreementEventKind::Terminated(ended) = event.kind {
                        let input = Input::AgreementTerminated {
                            agreement: event.agreement_id,
                            by: ended.terminator,
                            reason: ended.reason,
                        };
                        self.tell(input).await;
                    }
                }
                Polled::Unreadable(item) => {
                    tracing::warn!(problem = item.problem, "an agreement event can't be read");
                }
                Polled::Trouble { error, .. } => {
                    let problem = chain(&error);
                    self.tell(Input::Trouble { doing: "follow the agreements".into(), problem }).await;
                }
                Polled::Recovered => self.tell(Input::Recovered).await,
                Polled::Gone(_) => return,
            }
        }
    }

    async fn follow_bills(&self, from: BillsFrom) {
        let BillsFrom::Past { debit_notes_after, invoices_after } = from else {
            let (notes, invoices) = (HashSet::new(), HashSet::new());
            join(self.follow_debit_notes(None, notes), self.follow_invoices(None, invoices)).await;
            return;
        };
        let look = join(self.look_at_debit_notes(debit_notes_after), self.look_at_invoices(invoices_after));
        let (debit_notes, invoices) = look.await;
        self.tell(Input::BillsTold).await;
        join(
            self.follow_debit_notes(debit_notes_after, debit_notes),
            self.follow_invoices(invoices_after, invoices),
        )
        .await;
    }

    /// Hands in the debit notes that the daemon has, and tells which these were.
    pub(super) async fn look_at_debit_notes(&self, after: Option<Timestamp>) -> HashSet<DebitNoteId> {
        let look = self.client.call(&PollDebitNoteEvents(self.bill_filter(after))).await;
        let mut seen = HashSet::new();
        for event in there(look) {
            if event.kind == BillEventKind::Received && seen.insert(event.debit_note_id.clone()) {
                self.take_debit_note(event).await;
            }
        }
        seen
    }

    /// Hands in the invoices that the daemon has, and tells which these were.
    pub(super) async fn look_at_invoices(&self, after: Option<Timestamp>) -> HashSet<InvoiceId> {
        let look = self.client.call(&PollInvoiceEvents(self.bill_filter(after))).await;
        let mut seen = HashSet::new();
        for event in there(look) {
            if event.kind == BillEventKind::Received && seen.insert(event.invoice_id.clone()) {
                self.take_invoice(event).await;
            }
        }
        seen
    }

    async fn take_debit_note(&self, event: DebitNoteEvent) {
        if let Some(note) = self.fetch(&GetDebitNote(event.debit_note_id)).await {
            self.tell(Input::DebitNote { note: Box::new(note), told: Some(event.event_date) }).await;
        }
    }

    async fn take_invoice(&self, event: InvoiceEvent) {
        if let Some(invoice) = self.fetch(&GetInvoice(event.invoice_id)).await {
            self.tell(Input::Invoice { invoice: Box::new(invoice), told: Some(event.event_date) }).await;
        }
    }

    async fn follow_debit_notes(&self, after: Option<Timestamp>, seen: HashSet<DebitNoteId>) {
        let mut events = self.client.debit_note_events(self.bill_filter(after));
        while let Some(polled) = events.next().await {
            match polled {
                Polled::Event(event) if seen.contains(&event.debit_note_id) => {}
                Polled::Event(event) if event.kind == BillEventKind::Received => {
                    self.take_debit_note(event).await;
                }
                Polled::Unreadable(item) => {
                    tracing::warn!(problem = item.problem, "a debit note event can't be read");
                }
                Polled::Trouble { error, .. } => {
                    tracing::debug!(%error, "debit notes can't be followed just now");
                }
                Polled::Event(_) | Polled::Recovered | Polled::Gone(_) => {}
            }
        }
    }

    async fn follow_invoices(&self, after: Option<Timestamp>, seen: HashSet<InvoiceId>) {
        let mut events = self.client.invoice_events(self.bill_filter(after));
        while let Some(polled) = events.next().await {
            match polled {
                Polled::Event(event) if seen.contains(&event.invoice_id) => {}
                Polled::Event(event) if event.kind == BillEventKind::Received => {
                    self.take_invoice(event).await;
                }
                Polled::Unreadable(item) => {
                    tracing::warn!(problem = item.problem, "an invoice event can't be read");
                }
                Polled::Trouble { error, .. } => {
                    tracing::debug!(%error, "invoices can't be followed just now");
                }
                Polled::Event(_) | Polled::Recovered | Polled::Gone(_) => {}
            }
        }
    }

    fn bill_filter(&self, after: Option<Timestamp>) -> EventFilter {
        EventFilter { after, session: Some(self.options.session.clone()), ..EventFilter::default() }
    }

    /// Reads a bill that was told of before, and hands it to the run.
    pub(super) async fn fetch_bill(&self, bill: Bill) {
        let input = match bill.clone() {
            Bill::DebitNote(id) => self
                .fetch(&GetDebitNote(id))
                .await
                .map(|note| Input::DebitNote { note: Box::new(note), told: None }),
            Bill::Invoice(id) => self
                .fetch(&GetInvoice(id))
                .await
                .map(|invoice| Input::Invoice { invoice: Box::new(invoice), told: None }),
        };
        self.tell(input.unwrap_or(Input::BillUnreadable { bill })).await;
    }

    /// Reads a document that an event told of, for as long as it takes: an event is told only once.
    async fn fetch<E: Endpoint>(&self, get: &E) -> Option<E::Answer> {
        loop {
            match self.client.call(get).await {
                Ok(document) => return Some(document),
                Err(error @ ClientError::Answer { .. })
                    if !error.api().is_some_and(yagna_api::ApiError::is_passing) =>
                {
                    tracing::warn!(error = chain(&error), "a bill can't be read");
                    return None;
                }
                Err(error) => {
                    tracing::debug!(%error, "reading a bill again");
                    sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Takes the items that a look found. Where there was trouble the stream that follows brings it.
fn there<T>(look: Result<Listed<T>, ClientError>) -> Vec<T> {
    match look {
        Ok(listed) => listed.items,
        Err(error) => {
            tracing::debug!(error = chain(&error), "there is no first look at bills");
            Vec::new()
        }
    }
}
