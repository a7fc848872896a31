//! Events of debit notes and invoices.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BASE, Rejection};
use crate::endpoint::{Request, endpoint};
use crate::id::{AppSessionId, DebitNoteId, InvoiceId};
use crate::time::Timestamp;

/// The kinds of events of a bill. On the wire the name has the kind of bill in front: `InvoiceReceivedEvent`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "eventType")]
pub enum BillEventKind {
    /// The requestor's daemon has it.
    #[serde(rename = "ReceivedEvent", alias = "DebitNoteReceivedEvent", alias = "InvoiceReceivedEvent")]
    Received,
    /// The requestor has promised to pay it.
    #[serde(rename = "AcceptedEvent", alias = "DebitNoteAcceptedEvent", alias = "InvoiceAcceptedEvent")]
    Accepted,
    /// The requestor has refused it.
    #[serde(rename = "RejectedEvent", alias = "DebitNoteRejectedEvent", alias = "InvoiceRejectedEvent")]
    Rejected {
        /// The reason of the rejection.
        #[serde(default)]
        rejection: Option<Rejection>,
    },
    /// The provider has taken it back.
    #[serde(rename = "CancelledEvent", alias = "DebitNoteCancelledEvent", alias = "InvoiceCancelledEvent")]
    Cancelled,
    /// It has been paid.
    #[serde(rename = "SettledEvent", alias = "DebitNoteSettledEvent", alias = "InvoiceSettledEvent")]
    Settled,
    /// Its payment has a problem.
    #[serde(
        rename = "PaymentStatusEvent",
        alias = "DebitNotePaymentStatusEvent",
        alias = "InvoicePaymentStatusEvent"
    )]
    PaymentStatus {
        /// The kind of problem.
        #[serde(default)]
        property: Option<Value>,
    },
    /// Its payment has no problem any more.
    #[serde(rename = "PaymentOkEvent", alias = "DebitNotePaymentOkEvent", alias = "InvoicePaymentOkEvent")]
    PaymentOk,
}

/// Something that happened to a debit note. Kept by the daemon, read by cursor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DebitNoteEvent {
    /// The debit note.
    pub debit_note_id: DebitNoteId,
    /// The time of the event; the cursor for the next poll.
    pub event_date: Timestamp,
    /// The event itself.
    #[serde(flatten)]
    pub kind: BillEventKind,
}

/// Something that happened to an invoice. Kept by the daemon, read by cursor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvoiceEvent {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// The time of the event; the cursor for the next poll.
    pub event_date: Timestamp,
    /// The event itself.
    #[serde(flatten)]
    pub kind: BillEventKind,
}

/// The choice of events of bills to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Strictly after this; `None` is from the beginning.
    pub after: Option<Timestamp>,
    /// Only those of agreements that this session confirmed.
    pub session: Option<AppSessionId>,
    /// The longest time to wait for a first one. The daemon looks once a second.
    pub wait: Duration,
    /// At most this many; the daemon has no limit of its own.
    pub max: Option<u32>,
    /// As payer, only these kinds: `RECEIVED`, `SETTLED`, .. The daemon's default is `RECEIVED,CANCELLED`.
    pub requestor_events: Option<Vec<&'static str>>,
}

impl EventFilter {
    fn request(&self, list: &str) -> Request {
        let request = Request::get(format!("{BASE}/{list}"))
            .timeout(self.wait)
            .query_opt("afterTimestamp", self.after)
            .query_opt("maxEvents", self.max)
            .query_opt("appSessionId", self.session.as_ref());
        match &self.requestor_events {
            // Without spaces: the daemon would take them for part of the names.
            Some(kinds) => request.header("x-requestor-events", kinds.join(",")),
            None => request,
        }
    }
}

/// `GET /debitNoteEvents`: events after a cursor, oldest first.
#[derive(Debug, Clone, Default)]
pub struct PollDebitNoteEvents(pub EventFilter);
endpoint!(PollDebitNoteEvents, "poll debit note events", Harmless, list DebitNoteEvent, |this| {
    this.0.request("debitNoteEvents")
});

/// `GET /invoiceEvents`: events after a cursor, oldest first.
#[derive(Debug, Clone, Default)]
pub struct PollInvoiceEvents(pub EventFilter);
endpoint!(PollInvoiceEvents, "poll invoice events", Harmless, list InvoiceEvent, |this| {
    this.0.request("invoiceEvents")
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    #[test]
    fn events_of_both_bills_are_read() {
        let body = br#"[{"invoiceId":"i","eventDate":"2026-11-21T21:17:19.355800Z","eventType":"InvoiceReceivedEvent"},
            {"invoiceId":"i","eventDate":"2026-11-21T21:17:20.355800Z","eventType":"InvoiceRejectedEvent",
             "rejection":{"rejectionReason":"BAD_SERVICE","totalAmountAccepted":"0"}},
            {"invoiceId":"i","eventDate":"2026-11-21T21:17:21Z","eventType":"SomethingNew"}]"#;
        let listed = PollInvoiceEvents::default().answer(200, body).unwrap();
        assert_eq!(listed.items[0].kind, BillEventKind::Received);
        assert!(matches!(listed.items[1].kind, BillEventKind::Rejected { rejection: Some(_) }));
        assert_eq!(listed.unreadable.len(), 1);
        let body = br#"[{"debitNoteId":"d","eventDate":"2026-11-21T21:17:19.355800Z","eventType":"DebitNoteSettledEvent"}]"#;
        assert_eq!(
            PollDebitNoteEvents::default().answer(200, body).unwrap().items[0].kind,
            BillEventKind::Settled
        );
    }

    #[test]
    fn polls_carry_cursor_session_and_kinds() {
        let request = PollInvoiceEvents(EventFilter {
            after: Some("2026-11-21T21:17:19.3558Z".parse().unwrap()),
            session: Some(AppSessionId::new("s 1")),
            wait: Duration::from_secs(5),
            max: Some(100),
            requestor_events: Some(vec!["RECEIVED", "SETTLED"]),
        })
        .request();
        assert_eq!(
            request.path,
            "/payment-api/v1/invoiceEvents?timeout=5&afterTimestamp=2026-11-21T21:17:19.3558Z&maxEvents=100&appSessionId=s%201"
        );
        assert_eq!(request.headers, [("x-requestor-events", "RECEIVED,SETTLED".to_owned())]);
    }
}
