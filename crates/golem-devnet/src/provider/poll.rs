//! Long polls: each of the daemon's event lists is followed by a task of its own that hands events to the agent.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::debug;
use yagna_api::market::{Agreement, AgreementEvent};
use yagna_api::payment::{DebitNoteEvent, InvoiceEvent};
use yagna_api::{AgreementId, ApiError, OfferId, Timestamp};

use super::shared::Shared;
use crate::port::{ActivityEvent, OfferEvent};

/// The time that one poll waits.
const WAIT: Duration = Duration::from_secs(20);
/// The pause after a poll that failed.
const REST: Duration = Duration::from_secs(1);

/// The inputs of the agent.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something happened to an offer.
    Offer(OfferId, OfferEvent),
    /// An offer is no longer on the market.
    OfferLost(OfferId),
    /// Something happened to an agreement.
    Agreement(AgreementEvent),
    /// A requestor asks something of an activity.
    Activity(ActivityEvent),
    /// Something happened to a debit note.
    DebitNote(DebitNoteEvent),
    /// Something happened to an invoice.
    Invoice(InvoiceEvent),
    /// The time to answer a proposed agreement has come.
    Decide(Box<Agreement>),
    /// An agreement is over; its slot is free, though its bill may be open.
    Freed(AgreementId),
}

/// Follows an offer until it is no longer on the market.
pub(crate) async fn follow_offer(shared: &Shared, offer: OfferId, inbox: mpsc::Sender<Input>) {
    loop {
        let began = Instant::now();
        match shared.port.offer_events(&offer, WAIT).await {
            // A daemon doesn't wait for an offer that isn't there any more.
            Ok(events) if events.is_empty() && began.elapsed() < WAIT / 2 => break,
            Ok(events) => {
                for event in events {
                    if inbox.send(Input::Offer(offer.clone(), event)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) if error.is_not_found() || error.is_gone() => break,
            Err(error) => rest("offers", &error).await,
        }
    }
    // Not at once: a daemon that takes no offers shall not be asked without end.
    sleep(REST).await;
    // The agent is gone too when it doesn't listen.
    drop(inbox.send(Input::OfferLost(offer)).await);
}

/// Follows agreement events from `after` on.
pub(crate) async fn follow_agreements(shared: &Shared, mut after: Timestamp, inbox: mpsc::Sender<Input>) {
    loop {
        match shared.port.agreement_events(after, WAIT).await {
            Ok(events) => {
                for event in events {
                    after = event.event_date;
                    if inbox.send(Input::Agreement(event)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => rest("agreements", &error).await,
        }
    }
}

/// Follows activity events from `after` on.
pub(crate) async fn follow_activities(shared: &Shared, mut after: Timestamp, inbox: mpsc::Sender<Input>) {
    loop {
        match shared.port.activity_events(after, WAIT).await {
            Ok(events) => {
                for event in events {
                    after = event.event_date;
                    if inbox.send(Input::Activity(event)).await.is_err() {
                        return;
                    }
                }
            }
            // A real daemon answers so when nothing came.
            Err(error) if error.is_timeout() => {}
            Err(error) => rest("activities", &error).await,
        }
    }
}

/// Follows the events of our debit notes from `after` on.
pub(crate) async fn follow_debit_notes(shared: &Shared, mut after: Timestamp, inbox: mpsc::Sender<Input>) {
    loop {
        match shared.port.debit_note_events(after, WAIT).await {
            Ok(events) => {
                for event in events {
                    after = event.event_date;
                    if inbox.send(Input::DebitNote(event)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => rest("debit notes", &error).await,
        }
    }
}

/// Follows the events of our invoices from `after` on.
pub(crate) async fn follow_invoices(shared: &Shared, mut after: Timestamp, inbox: mpsc::Sender<Input>) {
    loop {
        match shared.port.invoice_events(after, WAIT).await {
            Ok(events) => {
                for event in events {
                    after = event.event_date;
                    if inbox.send(Input::Invoice(event)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => rest("invoices", &error).await,
        }
    }
}

async fn rest(what: &str, error: &ApiError) {
    debug!(%error, "can't follow {what}, trying again");
    sleep(REST).await;
}
