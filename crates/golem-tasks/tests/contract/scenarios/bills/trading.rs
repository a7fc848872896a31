//! Rentals that are made for their bills alone.

use std::time::Duration;

use golem_devnet::provider::{Prices, ProviderConfig};
use serde_json::Value;
use tokio::time::Instant;
use yagna_api::market::{ConfirmAgreement, CreateAgreement};
use yagna_api::payment::{EventFilter, GetDebitNote, GetInvoice, PollDebitNoteEvents, PollInvoiceEvents};
use yagna_api::{AgreementId, AppSessionId, DebitNoteId, InvoiceId, Timestamp};

use super::PATIENCE;
use crate::hand::{Hand, Reply, in_time, now};
use crate::rental::{Terms, decision, destroy, draft, leave, publish, ready, run, shell};
use crate::stage::Stage;

/// A rental that is over, and both its bills.
pub(in crate::scenarios) struct Billed {
    pub(in crate::scenarios) agreement: AgreementId,
    pub(in crate::scenarios) note: DebitNoteId,
    pub(in crate::scenarios) invoice: InvoiceId,
    /// Before all its events.
    pub(in crate::scenarios) since: Timestamp,
}

/// A provider that takes the same for every activity, however long it is.
pub(in crate::scenarios) fn flat(name: &str, price: &str) -> ProviderConfig {
    ProviderConfig::new(name).priced(Prices::per_hour(price, "0", "0").expect("prices"))
}

/// A rental of one activity that runs one command, from the demand to the invoice.
pub(in crate::scenarios) async fn trade(stage: &Stage) -> Billed {
    rental(stage, None).await
}

pub(in crate::scenarios) async fn rental(stage: &Stage, session: Option<AppSessionId>) -> Billed {
    let hand = &stage.hand;
    let since = now();
    let terms = Terms::usual(stage);
    let demand = publish(hand, &terms).await;
    let draft = draft(hand, &demand, &terms).await;
    let new =
        CreateAgreement { proposal_id: draft.proposal_id, valid_to: in_time(Duration::from_secs(3600)) };
    let agreement = hand.call(&new).await;
    hand.call(&ConfirmAgreement { agreement: agreement.clone(), session }).await;
    decision(hand, &agreement).await;
    let activity = ready(hand, &agreement).await;
    run(hand, &activity, vec![shell("true")]).await;
    destroy(hand, &activity).await;
    leave(hand, &demand, &agreement).await;
    let invoice = invoice_of(hand, since, &agreement).await;
    let note = notes(hand, since, &agreement, 1).await.remove(0);
    Billed { agreement, note, invoice, since }
}

/// Waits for an agreement's invoice.
pub(in crate::scenarios) async fn invoice_of(
    hand: &Hand,
    since: Timestamp,
    agreement: &AgreementId,
) -> InvoiceId {
    let mut after = since;
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        for event in hand.call(&PollInvoiceEvents(events_after(after))).await.items {
            after = event.event_date;
            if hand.call(&GetInvoice(event.invoice_id.clone())).await.agreement_id == *agreement {
                return event.invoice_id;
            }
        }
    }
    panic!("no invoice within {PATIENCE:?}");
}

/// Waits for an agreement's debit notes.
pub(in crate::scenarios) async fn notes(
    hand: &Hand,
    since: Timestamp,
    agreement: &AgreementId,
    count: usize,
) -> Vec<DebitNoteId> {
    let mut after = since;
    let mut found = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        for event in hand.call(&PollDebitNoteEvents(events_after(after))).await.items {
            after = event.event_date;
            if hand.call(&GetDebitNote(event.debit_note_id.clone())).await.agreement_id == *agreement {
                found.push(event.debit_note_id);
            }
        }
        if found.len() >= count {
            found.truncate(count);
            return found;
        }
    }
    panic!("not {count} debit notes within {PATIENCE:?}");
}

pub(in crate::scenarios) fn events_after(after: Timestamp) -> EventFilter {
    EventFilter { after: Some(after), wait: Duration::from_secs(2), ..EventFilter::default() }
}

/// The bills' ids in a list of events.
pub(in crate::scenarios) fn ids(events: &Reply) -> Vec<String> {
    let events = events.json();
    let id = |event: &Value| {
        ["invoiceId", "debitNoteId"].iter().find_map(|name| event[name].as_str().map(str::to_owned))
    };
    events.as_array().expect("a list").iter().map(|event| id(event).expect("an id")).collect()
}
