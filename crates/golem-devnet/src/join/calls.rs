//! The provider's part of the daemon's REST API: requests and the shapes of their answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use yagna_api::activity::{self, ActivityState};
use yagna_api::market::{self, Agreement, Proposal, Reason};
use yagna_api::payment;
use yagna_api::{
    ActivityId, AgreementId, AppSessionId, DebitNoteId, InvoiceId, OfferId, ProposalId, Request, Timestamp,
};

use crate::port::{ActivityEvent, ActivityEventKind, NewDebitNote, NewInvoice, OfferEvent, Terms};

/// The most events that one poll returns.
const MAX_EVENTS: &str = "100";
/// For what goes to the requestor's daemon and back.
const REMOTE: Duration = Duration::from_secs(60);
/// For the requestor's daemon to take an approval, and to tell that it did.
const APPROVAL: Duration = Duration::from_secs(20);
/// For a bill to reach the requestor's daemon.
const SENDING: Duration = Duration::from_secs(30);

/// An event of an offer, as the daemon sends it.
#[derive(Deserialize)]
#[serde(tag = "eventType")]
pub(super) enum OfferItem {
    #[serde(rename = "ProposalEvent")]
    Proposal { proposal: Proposal },
    #[serde(rename = "ProposalRejectedEvent", rename_all = "camelCase")]
    Rejected {
        proposal_id: ProposalId,
        #[serde(default)]
        reason: Option<Reason>,
    },
    #[serde(rename = "AgreementEvent")]
    Agreement { agreement: Box<Agreement> },
}

impl From<OfferItem> for OfferEvent {
    fn from(item: OfferItem) -> Self {
        match item {
            OfferItem::Proposal { proposal } => Self::Proposal(proposal),
            OfferItem::Rejected { proposal_id, reason } => Self::Rejected { proposal: proposal_id, reason },
            OfferItem::Agreement { agreement } => Self::Agreement(agreement),
        }
    }
}

/// An event of an activity, as the daemon sends it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActivityItem {
    event_date: Timestamp,
    activity_id: ActivityId,
    agreement_id: AgreementId,
    event_type: ActivityItemKind,
}

#[derive(Deserialize)]
enum ActivityItemKind {
    #[serde(rename = "CreateActivity")]
    Create {},
    #[serde(rename = "DestroyActivity")]
    Destroy {},
}

impl From<ActivityItem> for ActivityEvent {
    fn from(item: ActivityItem) -> Self {
        let kind = match item.event_type {
            ActivityItemKind::Create {} => ActivityEventKind::Create,
            ActivityItemKind::Destroy {} => ActivityEventKind::Destroy,
        };
        Self { event_date: item.event_date, activity: item.activity_id, agreement: item.agreement_id, kind }
    }
}

pub(super) fn subscribe_offer(offer: &Terms) -> Request {
    Request::post(format!("{}/offers", market::BASE)).json(offer)
}

pub(super) fn unsubscribe_offer(offer: &OfferId) -> Request {
    Request::delete(format!("{}/offers/{offer}", market::BASE))
}

pub(super) fn offer_events(offer: &OfferId, wait: Duration) -> Request {
    Request::get(format!("{}/offers/{offer}/events", market::BASE))
        .timeout(wait)
        .query("maxEvents", MAX_EVENTS)
}

pub(super) fn counter_proposal(offer: &OfferId, proposal: &ProposalId, terms: &Terms) -> Request {
    Request::post(format!("{}/offers/{offer}/proposals/{proposal}", market::BASE))
        .json(terms)
        .patience(REMOTE)
}

pub(super) fn reject_proposal(offer: &OfferId, proposal: &ProposalId, reason: Option<&Reason>) -> Request {
    Request::post(format!("{}/offers/{offer}/proposals/{proposal}/reject", market::BASE))
        .json(&reason)
        .patience(REMOTE)
}

pub(super) fn get_agreement(agreement: &AgreementId) -> Request {
    Request::get(format!("{}/agreements/{agreement}", market::BASE))
}

pub(super) fn approve_agreement(agreement: &AgreementId, session: Option<&AppSessionId>) -> Request {
    Request::post(format!("{}/agreements/{agreement}/approve", market::BASE))
        .timeout(APPROVAL)
        .query_opt("appSessionId", session)
}

pub(super) fn reject_agreement(agreement: &AgreementId, reason: Option<&Reason>) -> Request {
    Request::post(format!("{}/agreements/{agreement}/reject", market::BASE)).json(&reason).patience(REMOTE)
}

pub(super) fn terminate_agreement(agreement: &AgreementId, reason: Option<&Reason>) -> Request {
    Request::post(format!("{}/agreements/{agreement}/terminate", market::BASE)).json(&reason).patience(REMOTE)
}

pub(super) fn agreement_events(after: Timestamp, wait: Duration) -> Request {
    Request::get(format!("{}/agreementEvents", market::BASE))
        .timeout(wait)
        .query("maxEvents", MAX_EVENTS)
        .query("afterTimestamp", after.to_string())
}

pub(super) fn activity_events(after: Timestamp, wait: Duration) -> Request {
    Request::get(format!("{}/events", activity::BASE))
        .timeout(wait)
        .query("maxEvents", MAX_EVENTS)
        .query("afterTimestamp", after.to_string())
}

pub(super) fn set_activity_state(activity: &ActivityId, state: &ActivityState) -> Request {
    Request::put(format!("{}/activity/{activity}/state", activity::BASE)).json(state)
}

pub(super) fn issue_debit_note(note: &NewDebitNote) -> Request {
    let mut body = json!({
        "activityId": note.activity,
        "totalAmountDue": note.total_amount_due,
        "usageCounterVector": note.usage,
    });
    if let Some(due) = note.payment_due_date {
        body["paymentDueDate"] = Value::String(due.to_string());
    }
    Request::post(format!("{}/debitNotes", payment::BASE)).json(&body)
}

pub(super) fn send_debit_note(note: &DebitNoteId) -> Request {
    Request::post(format!("{}/debitNotes/{note}/send", payment::BASE)).timeout(SENDING)
}

pub(super) fn issue_invoice(invoice: &NewInvoice) -> Request {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        agreement_id: &'a AgreementId,
        activity_ids: &'a [ActivityId],
        amount: yagna_api::Glm,
        payment_due_date: Timestamp,
    }
    Request::post(format!("{}/invoices", payment::BASE)).json(&Body {
        agreement_id: &invoice.agreement,
        activity_ids: &invoice.activities,
        amount: invoice.amount,
        payment_due_date: invoice.payment_due_date,
    })
}

pub(super) fn send_invoice(invoice: &InvoiceId) -> Request {
    Request::post(format!("{}/invoices/{invoice}/send", payment::BASE)).timeout(SENDING)
}

/// The fate of our bills, and nothing about bills that this identity got as a requestor.
pub(super) fn bill_events(list: &str, after: Timestamp, wait: Duration) -> Request {
    Request::get(format!("{}/{list}", payment::BASE))
        .timeout(wait)
        .query("afterTimestamp", after.to_string())
        .query("maxEvents", MAX_EVENTS)
        .header("x-requestor-events", "")
        .header("x-provider-events", "ACCEPTED,REJECTED,SETTLED,CANCELLED")
}

#[cfg(test)]
mod tests {
    use yagna_api::Glm;

    use super::*;

    fn body(request: &Request) -> Value {
        serde_json::from_slice(request.body.as_ref().unwrap()).unwrap()
    }

    #[test]
    fn requests_have_the_daemons_shape() {
        let (offer, proposal) = (OfferId::new("o-1"), ProposalId::new("P-2"));
        let agreement = AgreementId::new("a1");
        let reject = reject_proposal(&offer, &proposal, None);
        assert_eq!(reject.path, "/market-api/v1/offers/o-1/proposals/P-2/reject");
        assert_eq!(body(&reject), Value::Null);
        let approve = approve_agreement(&agreement, Some(&AppSessionId::new("s 1")));
        assert_eq!(approve.path, "/market-api/v1/agreements/a1/approve?timeout=20&appSessionId=s%201");
        let after: Timestamp = "2026-11-21T21:17:19.3558Z".parse().unwrap();
        let events = activity_events(after, Duration::from_secs(20));
        assert_eq!(
            events.path,
            "/activity-api/v1/events?timeout=20&maxEvents=100&afterTimestamp=2026-11-21T21:17:19.3558Z"
        );
        let end =
            terminate_agreement(&agreement, Some(&Reason::new("over").with("golem.provider.code", "X")));
        assert_eq!(body(&end), json!({"message": "over", "golem.provider.code": "X"}));
    }

    #[test]
    fn bills_have_the_daemons_shape() {
        let note = NewDebitNote {
            activity: ActivityId::new("act"),
            total_amount_due: "0.5".parse::<Glm>().unwrap(),
            usage: vec![1.5, 0.25],
            payment_due_date: None,
        };
        let bare = json!({"activityId": "act", "totalAmountDue": "0.5", "usageCounterVector": [1.5, 0.25]});
        assert_eq!(body(&issue_debit_note(&note)), bare);
        let due = "2026-11-21T21:17:19Z";
        let payable = NewDebitNote { payment_due_date: Some(due.parse().unwrap()), ..note };
        assert_eq!(body(&issue_debit_note(&payable))["paymentDueDate"], due);
        let invoice = NewInvoice {
            agreement: AgreementId::new("a1"),
            activities: vec![ActivityId::new("act")],
            amount: "0.8".parse().unwrap(),
            payment_due_date: due.parse().unwrap(),
        };
        assert_eq!(
            body(&issue_invoice(&invoice)),
            json!({"agreementId": "a1", "activityIds": ["act"], "amount": "0.8", "paymentDueDate": due})
        );
    }

    #[test]
    fn events_are_read_as_sent() {
        let rejected: OfferItem = serde_json::from_value(json!({
            "eventType": "ProposalRejectedEvent", "eventDate": "2026-11-21T21:17:19.820Z", "proposalId": "P-1",
            "reason": {"message": "no", "golem.proposal.rejection.is-final": true}
        }))
        .unwrap();
        assert!(matches!(
            OfferEvent::from(rejected),
            OfferEvent::Rejected { proposal, reason: Some(reason) }
                if proposal.as_str() == "P-1" && reason.is_final() == Some(true)
        ));
        for (kind, meant) in [
            (json!({"CreateActivity": {}}), ActivityEventKind::Create),
            (json!({"CreateActivity": {"requestorPubKey": "02ab"}}), ActivityEventKind::Create),
            (json!({"DestroyActivity": {}}), ActivityEventKind::Destroy),
        ] {
            let item: ActivityItem = serde_json::from_value(json!({
                "activityId": "act", "agreementId": "a1", "eventType": kind,
                "eventDate": "2026-11-21T21:17:19.355800Z"
            }))
            .unwrap();
            let event = ActivityEvent::from(item);
            assert_eq!((event.kind, event.agreement.as_str()), (meant, "a1"));
        }
    }
}
