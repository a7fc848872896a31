//! The daemon's documents as it writes them, digits of times included.

use jiff::tz::TimeZone;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use yagna_api::activity::{CommandResult, RuntimeEvent};
use yagna_api::market::{AgreementEventKind, Reason, Terminated};
use yagna_api::payment::{Allocation, BillEventKind, BillStatus, Payment, Rejection};
use yagna_api::{AgreementId, NodeId, Timestamp};

use crate::node::agreement::{AgreementEntry, AgreementRecord};
use crate::node::market::{DemandItem, Listing};
use crate::node::matching::Sheet;
use crate::node::negotiation::{ProposalView, Side};
use crate::node::orders::PaymentRecord;
use crate::node::payment::{Bill, BillEntry, BillKind, Paper};

/// A time with none, 3, 6 or 9 digits of a second: as many as it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct When(pub(crate) Timestamp);

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = digits(self.0);
        serializer.collect_str(&format_args!("{:.digits$}", self.0))
    }
}

/// [`When`] without its zone, as exe-units write times.
pub(super) struct Naive(pub(super) Timestamp);

impl Serialize for Naive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = digits(self.0);
        serializer.collect_str(&format_args!("{:.digits$}", TimeZone::UTC.to_datetime(self.0)))
    }
}

fn digits(time: Timestamp) -> usize {
    match time.subsec_nanosecond() {
        0 => 0,
        nanos if nanos % 1_000_000 == 0 => 3,
        nanos if nanos % 1_000 == 0 => 6,
        _ => 9,
    }
}

/// The outcome of a command.
pub(crate) struct Outcome<'a>(pub(crate) &'a CommandResult);

impl Serialize for Outcome<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let CommandResult { index, result, stdout, stderr, message, is_batch_finished, event_date } = self.0;
        let mut map = fields(serializer)?;
        map.put("index", index)?
            .put("eventDate", &When(*event_date))?
            .put("result", result)?
            .put("stdout", stdout)?
            .put("stderr", stderr)?
            .put("message", message)?
            .put("isBatchFinished", is_batch_finished)?;
        map.0.end()
    }
}

/// An event of a running batch in the form of the wire.
pub(crate) struct Happened<'a>(pub(crate) &'a RuntimeEvent);

impl Serialize for Happened<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RuntimeEvent { batch_id, index, timestamp, kind } = self.0;
        let mut map = fields(serializer)?;
        map.put("batch_id", batch_id)?
            .put("index", index)?
            .put("timestamp", &Naive(*timestamp))?
            .put("kind", kind)?;
        map.0.end()
    }
}

/// A map written field by field; what is `None` is left out.
struct Fields<M>(M);

impl<M: SerializeMap> Fields<M> {
    fn put<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<&mut Self, M::Error> {
        self.0.serialize_entry(name, value)?;
        Ok(self)
    }

    fn put_opt<T: Serialize>(
        &mut self,
        name: &'static str,
        value: Option<&T>,
    ) -> Result<&mut Self, M::Error> {
        match value {
            Some(value) => self.put(name, value),
            None => Ok(self),
        }
    }

    fn sheet(&mut self, sheet: &Sheet) -> Result<&mut Self, M::Error> {
        self.put("properties", &sheet.properties)?.put("constraints", &sheet.constraints)
    }
}

fn fields<S: Serializer>(serializer: S) -> Result<Fields<S::SerializeMap>, S::Error> {
    serializer.serialize_map(None).map(Fields)
}

impl Serialize for ProposalView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = fields(serializer)?;
        map.sheet(&self.sheet)?
            .put("proposalId", &self.id)?
            .put("issuerId", &self.issuer)?
            .put("state", &self.state)?
            .put("timestamp", &When(self.created))?
            .put_opt("prevProposalId", self.prev.as_ref())?;
        map.0.end()
    }
}

impl Serialize for DemandItem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Proposal(at, proposal) => {
                let mut map = fields(serializer)?;
                map.put("eventType", "ProposalEvent")?
                    .put("eventDate", &When(*at))?
                    .put("proposal", &**proposal)?;
                map.0.end()
            }
            Self::Rejected(at, hash, reason) => {
                let mut map = fields(serializer)?;
                map.put("eventType", "ProposalRejectedEvent")?
                    .put("eventDate", &When(*at))?
                    .put("proposalId", &Side::Requestor.id(hash))?
                    .put_opt::<Reason>("reason", reason.as_ref())?;
                map.0.end()
            }
            Self::Raw(value) => value.serialize(serializer),
        }
    }
}

/// An offer or a demand in a list, or as a half of an agreement.
#[derive(Debug)]
pub(crate) struct Half<'a> {
    pub(crate) is_demand: bool,
    pub(crate) id: &'a str,
    pub(crate) owner: &'a NodeId,
    pub(crate) sheet: &'a Sheet,
    pub(crate) created: Timestamp,
}

impl<'a> Half<'a> {
    pub(crate) fn demand(listing: &'a Listing) -> Self {
        Self { is_demand: true, ..Self::offer(listing) }
    }

    pub(crate) fn offer(listing: &'a Listing) -> Self {
        Self {
            is_demand: false,
            id: &listing.id,
            owner: &listing.owner,
            sheet: &listing.sheet,
            created: listing.created,
        }
    }
}

impl Serialize for Half<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (id, owner) =
            if self.is_demand { ("demandId", "requestorId") } else { ("offerId", "providerId") };
        let mut map = fields(serializer)?;
        map.sheet(self.sheet)?
            .put(id, self.id)?
            .put(owner, self.owner)?
            .put("timestamp", &When(self.created))?;
        map.0.end()
    }
}

/// An agreement as one side sees it.
#[derive(Debug)]
pub(crate) struct AgreementView<'a> {
    pub(crate) id: &'a AgreementId,
    pub(crate) record: &'a AgreementRecord,
    pub(crate) side: Side,
    pub(crate) now: Timestamp,
}

impl Serialize for AgreementView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.record;
        let half = |is_demand| Half {
            is_demand,
            id: if is_demand { record.demand.as_str() } else { record.offer.as_str() },
            owner: if is_demand { &record.requestor } else { &record.provider },
            sheet: if is_demand { &record.demand_sheet } else { &record.offer_sheet },
            created: record.created,
        };
        let signed = |yes: bool| yes.then_some("NoSignature");
        let approved = signed(record.approved.is_some());
        let mut map = fields(serializer)?;
        map.put("agreementId", self.id)?
            .put("demand", &half(true))?
            .put("offer", &half(false))?
            .put("validTo", &When(record.valid_to))?
            .put_opt("approvedDate", record.approved.map(When).as_ref())?
            .put("state", &record.state_of(self.side, self.now))?
            .put("timestamp", &When(record.created))?
            .put_opt("appSessionId", record.session(self.side))?
            .put_opt("proposedSignature", signed(record.is_confirmed(self.side)).as_ref())?
            .put_opt("approvedSignature", approved.as_ref())?
            .put_opt("committedSignature", approved.as_ref())?;
        map.0.end()
    }
}

/// An agreement's event.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgreementEventView {
    event_date: When,
    agreement_id: AgreementId,
    #[serde(flatten)]
    kind: AgreementEventKind,
}

impl AgreementEventView {
    pub(crate) fn new(at: Timestamp, entry: &AgreementEntry) -> Self {
        Self { event_date: When(at), agreement_id: entry.agreement.clone(), kind: entry.kind.clone() }
    }

    /// The end of an agreement.
    pub(crate) fn ended(at: Timestamp, agreement: &AgreementId, end: Terminated) -> Self {
        let kind = AgreementEventKind::Terminated(end);
        Self { event_date: When(at), agreement_id: agreement.clone(), kind }
    }
}

/// An allocation.
#[derive(Debug)]
pub(crate) struct AllocationView<'a>(pub(crate) &'a Allocation);

impl Serialize for AllocationView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = self.0;
        let mut map = fields(serializer)?;
        map.put("allocationId", &it.allocation_id)?
            .put("address", &it.address)?
            .put("paymentPlatform", &it.payment_platform)?
            .put("totalAmount", &it.total_amount)?
            .put("spentAmount", &it.spent_amount)?
            .put("remainingAmount", &it.remaining_amount)?
            .put("timestamp", &When(it.timestamp))?
            .put_opt("timeout", it.timeout.map(When).as_ref())?
            .put_opt("createdTs", it.created_ts.map(When).as_ref())?
            .put_opt("updatedTs", it.updated_ts.map(When).as_ref())?
            .put("makeDeposit", &it.make_deposit)?
            .put_opt::<Value>("deposit", it.deposit.as_ref())?
            .put_opt("extendTimeout", it.extend_timeout.as_ref())?;
        map.0.end()
    }
}

impl Serialize for Bill {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = fields(serializer)?;
        let status: &BillStatus = &self.status;
        map.put(id_name(self.paper()), &*self.id)?
            .put("issuerId", &self.issuer)?
            .put("recipientId", &self.recipient)?
            .put("payeeAddr", &self.payee_addr)?
            .put("payerAddr", &self.payer_addr)?
            .put("paymentPlatform", &self.platform)?
            .put("timestamp", &When(self.issued))?
            .put("agreementId", &self.agreement)?;
        match &self.kind {
            BillKind::DebitNote { activity, usage, previous } => map
                .put_opt("previousDebitNoteId", previous.as_deref().as_ref())?
                .put("activityId", activity)?
                .put("totalAmountDue", &self.amount)?
                .put("usageCounterVector", usage)?,
            BillKind::Invoice { activities } => {
                map.put("activityIds", activities)?.put("amount", &self.amount)?
            }
        }
        .put_opt("paymentDueDate", self.due.map(When).as_ref())?
        .put("status", status)?;
        map.0.end()
    }
}

/// A bill's event.
#[derive(Debug)]
pub(crate) struct BillEventView<'a> {
    pub(crate) paper: Paper,
    pub(crate) at: Timestamp,
    pub(crate) entry: &'a BillEntry,
}

impl Serialize for BillEventView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (_, name) = bill_event_names(&self.entry.kind);
        let kind = match self.paper {
            Paper::DebitNote => format!("DebitNote{name}"),
            Paper::Invoice => format!("Invoice{name}"),
        };
        let mut map = fields(serializer)?;
        map.put(id_name(self.paper), &*self.entry.bill)?
            .put("eventDate", &When(self.at))?
            .put("eventType", &kind)?;
        match &self.entry.kind {
            BillEventKind::Rejected { rejection } => {
                map.put_opt::<Rejection>("rejection", rejection.as_ref())?
            }
            BillEventKind::PaymentStatus { property } => {
                map.put_opt::<Value>("property", property.as_ref())?
            }
            _ => &mut map,
        };
        map.0.end()
    }
}

/// An event's name in the headers that filter, and at the end of its type.
pub(crate) fn bill_event_names(kind: &BillEventKind) -> (&'static str, &'static str) {
    match kind {
        BillEventKind::Received => ("RECEIVED", "ReceivedEvent"),
        BillEventKind::Accepted => ("ACCEPTED", "AcceptedEvent"),
        BillEventKind::Rejected { .. } => ("REJECTED", "RejectedEvent"),
        BillEventKind::Cancelled => ("CANCELLED", "CancelledEvent"),
        BillEventKind::Settled => ("SETTLED", "SettledEvent"),
        BillEventKind::PaymentStatus { .. } => ("PAYMENT_EVENT", "PaymentStatusEvent"),
        BillEventKind::PaymentOk => ("PAYMENT_OK", "PaymentOkEvent"),
    }
}

/// A payment, signed by nobody.
impl Serialize for PaymentRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = fields(serializer)?;
        map.put("payload", &PaymentView(&self.document))?.put("signature", &Value::Null)?;
        map.0.end()
    }
}

struct PaymentView<'a>(&'a Payment);

impl Serialize for PaymentView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = self.0;
        let mut map = fields(serializer)?;
        map.put("paymentId", &it.payment_id)?
            .put("payerId", &it.payer_id)?
            .put("payeeId", &it.payee_id)?
            .put("payerAddr", &it.payer_addr)?
            .put("payeeAddr", &it.payee_addr)?
            .put("paymentPlatform", &it.payment_platform)?
            .put("amount", &it.amount)?
            .put("timestamp", &When(it.timestamp))?
            .put("agreementPayments", &it.agreement_payments)?
            .put("activityPayments", &it.activity_payments)?
            .put("details", &it.details)?;
        map.0.end()
    }
}

fn id_name(paper: Paper) -> &'static str {
    match paper {
        Paper::DebitNote => "debitNoteId",
        Paper::Invoice => "invoiceId",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_have_as_many_digits_as_they_need() {
        for text in [
            "2026-11-21T21:17:19Z",
            "2026-11-21T21:17:19.820Z",
            "2026-11-21T21:17:19.355800Z",
            "2026-11-21T21:17:19.355800120Z",
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&When(time)).unwrap(), format!("\"{text}\""));
        }
    }

    #[test]
    fn results_and_events_of_a_batch_have_three_six_or_nine_digits_too() {
        let result = json!({
            "index": 0, "eventDate": "2026-11-21T21:17:19.355800120Z", "result": "Ok", "stdout": "hello\n",
            "stderr": null, "message": null, "isBatchFinished": true,
        });
        let typed: CommandResult = serde_json::from_value(result.clone()).unwrap();
        assert_eq!(serde_json::to_value(Outcome(&typed)).unwrap(), result);
        let event = json!({
            "batch_id": "b1", "index": 2, "timestamp": "2026-11-21T21:17:19.820",
            "kind": {"finished": {"return_code": 1, "message": "ExeScript command exited with code 1"}},
        });
        let typed: RuntimeEvent = serde_json::from_value(event.clone()).unwrap();
        assert_eq!(serde_json::to_value(Happened(&typed)).unwrap(), event);
        let whole = RuntimeEvent { timestamp: "2026-11-21T21:17:19Z".parse().unwrap(), ..typed };
        assert_eq!(serde_json::to_value(Happened(&whole)).unwrap()["timestamp"], "2026-11-21T21:17:19");
    }
}
