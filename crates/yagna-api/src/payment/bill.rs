//! Debit notes and invoices: what providers ask for.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::BASE;
use crate::endpoint::{Request, endpoint};
use crate::id::{ActivityId, AgreementId, AllocationId, DebitNoteId, InvoiceId, NodeId};
use crate::money::Glm;
use crate::time::Timestamp;

/// The state of a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BillStatus {
    /// Made by the provider, not yet sent.
    Issued,
    /// Received by the requestor.
    Received,
    /// Promised to be paid.
    Accepted,
    /// Refused.
    Rejected,
    /// Paid.
    Settled,
    /// Could not be paid.
    Failed,
    /// Taken back by the provider.
    Cancelled,
}

/// A bill for an activity that runs: the sum of all it owes so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DebitNote {
    /// Its id.
    pub debit_note_id: DebitNoteId,
    /// The provider.
    pub issuer_id: NodeId,
    /// The requestor.
    pub recipient_id: NodeId,
    /// The address that receives the payment.
    pub payee_addr: String,
    /// The address that pays.
    pub payer_addr: String,
    /// `driver-network-token`.
    pub payment_platform: String,
    /// The one before it, of the same activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_debit_note_id: Option<DebitNoteId>,
    /// The time at which it was issued.
    pub timestamp: Timestamp,
    /// The agreement.
    pub agreement_id: AgreementId,
    /// The activity.
    pub activity_id: ActivityId,
    /// All that the activity owes so far, not what is new.
    pub total_amount_due: Glm,
    /// The usage it is computed from, in the order of the agreement's usage vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_counter_vector: Option<Value>,
    /// The time by which it must be paid, when payments during the agreement were agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_due_date: Option<Timestamp>,
    /// Its present state.
    pub status: BillStatus,
}

impl DebitNote {
    /// The usage counters, if the provider gave them as a list of numbers.
    pub fn usage(&self) -> Option<Vec<f64>> {
        self.usage_counter_vector.as_ref()?.as_array()?.iter().map(Value::as_f64).collect()
    }
}

/// The bill for a whole agreement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// Its id.
    pub invoice_id: InvoiceId,
    /// The provider.
    pub issuer_id: NodeId,
    /// The requestor.
    pub recipient_id: NodeId,
    /// The address that receives the payment.
    pub payee_addr: String,
    /// The address that pays.
    pub payer_addr: String,
    /// `driver-network-token`.
    pub payment_platform: String,
    /// The time at which it was issued.
    pub timestamp: Timestamp,
    /// The agreement.
    pub agreement_id: AgreementId,
    /// The activities it is for.
    #[serde(default)]
    pub activity_ids: Vec<ActivityId>,
    /// All that the agreement owes, accepted debit notes included.
    pub amount: Glm,
    /// The time by which it must be paid.
    pub payment_due_date: Timestamp,
    /// Its present state.
    pub status: BillStatus,
}

/// A promise to pay a bill: exactly its amount, from an allocation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acceptance {
    /// Must equal the bill's amount.
    pub total_amount_accepted: Glm,
    /// The allocation that pays it.
    pub allocation_id: AllocationId,
}

/// The reasons why an invoice is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RejectionReason {
    /// For something we never asked for.
    UnsolicitedService,
    /// For something that wasn't done.
    BadService,
    /// For more than is owed.
    IncorrectAmount,
}

/// The refusal of an invoice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// The reason.
    pub rejection_reason: RejectionReason,
    /// The amount that would have been accepted.
    pub total_amount_accepted: Glm,
    /// More of why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The time that the daemon may take to pass an answer on to the provider's daemon.
const ACCEPT_WAIT: Duration = Duration::from_secs(15);

/// `GET /debitNotes`: all of this identity, as payer and as payee.
#[derive(Debug, Clone, Default)]
pub struct ListDebitNotes {
    /// Only those issued later.
    pub after: Option<Timestamp>,
    /// At most this many.
    pub max: Option<u32>,
}
endpoint!(ListDebitNotes, "list debit notes", Harmless, list DebitNote, |this| {
    Request::get(format!("{BASE}/debitNotes")).query_opt("afterTimestamp", this.after).query_opt("maxItems", this.max)
});

/// `GET /debitNotes/{id}`.
#[derive(Debug, Clone)]
pub struct GetDebitNote(pub DebitNoteId);
endpoint!(GetDebitNote, "read a debit note", Harmless, json DebitNote, |this| {
    Request::get(format!("{BASE}/debitNotes/{}", this.0))
});

/// `POST /debitNotes/{id}/accept`. There is no way to refuse one: it is left unaccepted.
#[derive(Debug, Clone)]
pub struct AcceptDebitNote {
    /// The debit note.
    pub debit_note: DebitNoteId,
    /// The promise.
    pub acceptance: Acceptance,
}
endpoint!(AcceptDebitNote, "accept a debit note", Harmless, empty, |this| {
    Request::post(format!("{BASE}/debitNotes/{}/accept", this.debit_note))
        .timeout(ACCEPT_WAIT)
        .json(&this.acceptance)
});

/// `GET /invoices`: all of this identity, as payer and as payee.
#[derive(Debug, Clone, Default)]
pub struct ListInvoices {
    /// Only those issued later.
    pub after: Option<Timestamp>,
    /// At most this many.
    pub max: Option<u32>,
}
endpoint!(ListInvoices, "list invoices", Harmless, list Invoice, |this| {
    Request::get(format!("{BASE}/invoices")).query_opt("afterTimestamp", this.after).query_opt("maxItems", this.max)
});

/// `GET /invoices/{id}`.
#[derive(Debug, Clone)]
pub struct GetInvoice(pub InvoiceId);
endpoint!(GetInvoice, "read an invoice", Harmless, json Invoice, |this| {
    Request::get(format!("{BASE}/invoices/{}", this.0))
});

/// `POST /invoices/{id}/accept`.
#[derive(Debug, Clone)]
pub struct AcceptInvoice {
    /// The invoice.
    pub invoice: InvoiceId,
    /// The promise.
    pub acceptance: Acceptance,
}
endpoint!(AcceptInvoice, "accept an invoice", Harmless, empty, |this| {
    Request::post(format!("{BASE}/invoices/{}/accept", this.invoice))
        .timeout(ACCEPT_WAIT)
        .json(&this.acceptance)
});

/// `POST /invoices/{id}/reject`.
#[derive(Debug, Clone)]
pub struct RejectInvoice {
    /// The invoice.
    pub invoice: InvoiceId,
    /// The reason.
    pub rejection: Rejection,
}
endpoint!(RejectInvoice, "refuse an invoice", Harmless, empty, |this| {
    Request::post(format!("{BASE}/invoices/{}/reject", this.invoice))
        .timeout(ACCEPT_WAIT)
        .json(&this.rejection)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bills_are_read_as_sent() {
        let note: DebitNote = serde_json::from_str(
            r#"{"debitNoteId":"d","issuerId":"0xabcdef0123456789abcdef0123456789abcdef01","recipientId":"0xabcdef0123456789abcdef0123456789abcdef02",
            "payeeAddr":"0x1","payerAddr":"0x2","paymentPlatform":"erc20-holesky-tglm","timestamp":"2026-11-21T21:17:19.355Z","agreementId":"a",
            "activityId":"b","totalAmountDue":"0.5","usageCounterVector":[1.5,0],"status":"RECEIVED"}"#,
        )
        .unwrap();
        assert_eq!(note.usage(), Some(vec![1.5, 0.0]));
        assert_eq!((note.status, note.payment_due_date), (BillStatus::Received, None));
        let invoice: Invoice = serde_json::from_str(
            r#"{"invoiceId":"i","issuerId":"0xabcdef0123456789abcdef0123456789abcdef01","recipientId":"0xabcdef0123456789abcdef0123456789abcdef02",
            "payeeAddr":"0x1","payerAddr":"0x2","paymentPlatform":"erc20-holesky-tglm","timestamp":"2026-11-21T21:17:19.355Z","agreementId":"a",
            "activityIds":["b"],"amount":"0.800000000000000000","paymentDueDate":"2026-11-22T21:17:19.355Z","status":"SETTLED"}"#,
        )
        .unwrap();
        assert_eq!((invoice.amount, invoice.status), ("0.8".parse().unwrap(), BillStatus::Settled));
    }

    #[test]
    fn refusals_have_the_daemons_words() {
        let rejection = Rejection {
            rejection_reason: RejectionReason::IncorrectAmount,
            total_amount_accepted: Glm::ZERO,
            message: None,
        };
        let text = r#"{"rejectionReason":"INCORRECT_AMOUNT","totalAmountAccepted":"0"}"#;
        assert_eq!(serde_json::to_string(&rejection).unwrap(), text);
    }
}
