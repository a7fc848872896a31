//! Payments on the chain.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BASE;
use crate::endpoint::{Request, endpoint};
use crate::id::{ActivityId, AgreementId, AllocationId, AppSessionId, InvoiceId, NodeId, PaymentId};
use crate::money::Glm;
use crate::time::Timestamp;

/// The part of a payment that is for one agreement or activity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPart {
    /// The agreement, when it is for an invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement_id: Option<AgreementId>,
    /// The activity, when it is for a debit note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<ActivityId>,
    /// The amount.
    pub amount: Glm,
    /// From which allocation; only the payer sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<AllocationId>,
}

/// A payment on the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Its id.
    pub payment_id: PaymentId,
    /// The node that paid.
    pub payer_id: NodeId,
    /// The node that was paid.
    pub payee_id: NodeId,
    /// From this address.
    pub payer_addr: String,
    /// To this address.
    pub payee_addr: String,
    /// `driver-network-token`.
    pub payment_platform: String,
    /// The amount.
    pub amount: Glm,
    /// The time of the payment.
    pub timestamp: Timestamp,
    /// For which agreements.
    #[serde(default)]
    pub agreement_payments: Vec<PaymentPart>,
    /// For which activities.
    #[serde(default)]
    pub activity_payments: Vec<PaymentPart>,
    /// The driver's details of it, such as the transaction's hash.
    #[serde(default)]
    pub details: String,
}

/// A payment with its payer's signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// The payment.
    pub payload: Payment,
    /// The signature, if there is one.
    #[serde(default)]
    pub signature: Option<Vec<u8>>,
    /// The exact bytes that were signed.
    #[serde(default)]
    pub signed_bytes: Option<Vec<u8>>,
}

/// `GET /payments`: payments after a cursor.
#[derive(Debug, Clone, Default)]
pub struct PollPayments {
    /// Strictly after this.
    pub after: Option<Timestamp>,
    /// The longest time to wait for a first one.
    pub wait: Duration,
    /// At most this many.
    pub max: Option<u32>,
    /// Only those of agreements that this session confirmed.
    pub session: Option<AppSessionId>,
    /// Only on this chain.
    pub network: Option<String>,
    /// Only by this driver.
    pub driver: Option<String>,
}
endpoint!(PollPayments, "poll payments", Harmless, list Signed, |this| {
    Request::get(format!("{BASE}/payments"))
        .timeout(this.wait)
        .query_opt("afterTimestamp", this.after)
        .query_opt("maxEvents", this.max)
        .query_opt("appSessionId", this.session.as_ref())
        .query_opt("network", this.network.as_ref())
        .query_opt("driver", this.driver.as_ref())
});

/// `GET /payments/{id}`.
#[derive(Debug, Clone)]
pub struct GetPayment(pub PaymentId);
endpoint!(GetPayment, "read a payment", Harmless, json Signed, |this| {
    Request::get(format!("{BASE}/payments/{}", this.0))
});

/// `GET /invoices/{id}/payments`: what was paid for an invoice.
#[derive(Debug, Clone)]
pub struct ListInvoicePayments(pub InvoiceId);
endpoint!(ListInvoicePayments, "list an invoice's payments", Harmless, list Signed, |this| {
    Request::get(format!("{BASE}/invoices/{}/payments", this.0))
});
