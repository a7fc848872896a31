//! Agreements: from a negotiated proposal to the end of the rental.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BASE, Reason};
use crate::endpoint::{Endpoint, Repeat, Request, empty_answer, endpoint};
use crate::error::{AnswerError, ApiError};
use crate::id::{AgreementId, AppSessionId, DemandId, NodeId, OfferId, ProposalId};
use crate::properties::Properties;
use crate::time::Timestamp;

/// The state of an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AgreementState {
    /// Created by the requestor, not yet sent.
    Proposal,
    /// Sent; the provider hasn't decided.
    Pending,
    /// Taken back by the requestor while pending.
    Cancelled,
    /// Refused by the provider.
    Rejected,
    /// In force.
    Approved,
    /// Not approved before `validTo`.
    Expired,
    /// Ended by one side.
    Terminated,
}

/// The requestor's half of an agreement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgreementDemand {
    /// The last negotiated terms.
    pub properties: Properties,
    /// The constraints that they ask for.
    pub constraints: String,
    /// The demand it came from.
    pub demand_id: DemandId,
    /// The requestor.
    pub requestor_id: NodeId,
    /// The time at which the agreement was created.
    pub timestamp: Timestamp,
}

/// The provider's half of an agreement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgreementOffer {
    /// The last negotiated terms.
    pub properties: Properties,
    /// The constraints that they ask for.
    pub constraints: String,
    /// The offer it came from.
    pub offer_id: OfferId,
    /// The provider.
    pub provider_id: NodeId,
    /// The time at which the agreement was created.
    pub timestamp: Timestamp,
}

/// A rental between a requestor and a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// Its id, the same on both sides.
    pub agreement_id: AgreementId,
    /// The requestor's half.
    pub demand: AgreementDemand,
    /// The provider's half.
    pub offer: AgreementOffer,
    /// The time at which it expires unless it is approved before.
    pub valid_to: Timestamp,
    /// The time at which it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_date: Option<Timestamp>,
    /// Its present state.
    pub state: AgreementState,
    /// The time at which it was created.
    pub timestamp: Timestamp,
    /// The session that this side gave when it confirmed or approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_session_id: Option<AppSessionId>,
    /// Present once confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_signature: Option<String>,
    /// Present once approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_signature: Option<String>,
    /// Present once approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_signature: Option<String>,
}

/// A line of the list of agreements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgreementSummary {
    /// Its id.
    pub id: AgreementId,
    /// The time at which it was created.
    pub timestamp: Timestamp,
    /// The time at which it was approved.
    pub approved_date: Option<Timestamp>,
    /// This side's part in it.
    pub role: Terminator,
}

/// A side of an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminator {
    /// The one who buys.
    Requestor,
    /// The one who sells.
    Provider,
}

/// The reason of an agreement's end, and the party that ended it.
pub type TerminationReason = Reason;

/// The end of an agreement as one side declared it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terminated {
    /// The party that ended it.
    pub terminator: Terminator,
    /// The daemon's signature; unused.
    #[serde(default)]
    pub signature: String,
    /// The reason, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<TerminationReason>,
}

/// Something that happened to an agreement. Kept by the daemon, read by cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgreementEvent {
    /// The time of the event; unique, and the cursor for the next poll.
    pub event_date: Timestamp,
    /// The agreement that it is about.
    pub agreement_id: AgreementId,
    /// The event itself.
    #[serde(flatten)]
    pub kind: AgreementEventKind,
}

/// The kinds of events of an agreement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "eventType")]
pub enum AgreementEventKind {
    /// The provider approved it.
    #[serde(rename = "AgreementApprovedEvent")]
    Approved,
    /// The provider refused it.
    #[serde(rename = "AgreementRejectedEvent")]
    Rejected {
        /// The reason, if one was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
    /// The requestor took it back.
    #[serde(rename = "AgreementCancelledEvent")]
    Cancelled {
        /// The reason, if one was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
    /// One side ended it.
    #[serde(rename = "AgreementTerminatedEvent")]
    Terminated(Terminated),
}

/// `POST /agreements`: turns a provider's draft into an agreement, not yet sent.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateAgreement {
    /// The provider's draft.
    pub proposal_id: ProposalId,
    /// The time at which it expires unless it is approved.
    pub valid_to: Timestamp,
}
endpoint!(CreateAgreement, "create an agreement", Twice, json AgreementId, |this| {
    Request::post(format!("{BASE}/agreements")).json(this)
});

/// `GET /agreements/{id}`.
#[derive(Debug, Clone)]
pub struct GetAgreement(pub AgreementId);
endpoint!(GetAgreement, "read an agreement", Harmless, json Agreement, |this| {
    Request::get(format!("{BASE}/agreements/{}", this.0))
});

/// `GET /agreements`: this identity's agreements.
#[derive(Debug, Clone, Default)]
pub struct ListAgreements {
    /// Only those that stand here.
    pub state: Option<AgreementState>,
    /// Only those created before.
    pub before: Option<Timestamp>,
    /// Only those created after.
    pub after: Option<Timestamp>,
    /// Only those of this session.
    pub session: Option<AppSessionId>,
}
endpoint!(ListAgreements, "list agreements", Harmless, list AgreementSummary, |this| {
    Request::get(format!("{BASE}/agreements"))
        .query_opt("state", this.state.map(|state| format!("{state:?}")))
        .query_opt("beforeDate", this.before)
        .query_opt("afterDate", this.after)
        .query_opt("appSessionId", this.session.as_ref())
});

/// `POST /agreements/{id}/confirm`: sends an agreement to its provider.
#[derive(Debug, Clone)]
pub struct ConfirmAgreement {
    /// The agreement.
    pub agreement: AgreementId,
    /// The session whose event polls will see this agreement's events.
    pub session: Option<AppSessionId>,
}
endpoint!(ConfirmAgreement, "confirm an agreement", Twice, empty, |this| {
    Request::post(format!("{BASE}/agreements/{}/confirm", this.agreement))
        .query_opt("appSessionId", this.session.as_ref())
        .patience(Duration::from_secs(30))
});

/// `POST /agreements/{id}/wait`: waits for the provider's decision.
#[derive(Debug, Clone)]
pub struct WaitForApproval {
    /// The agreement.
    pub agreement: AgreementId,
    /// The longest time to wait.
    pub wait: Duration,
}

/// The provider's decision, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// In force.
    Approved,
    /// No decision within the time given.
    Undecided,
    /// Refused, cancelled or expired; the daemon's word for it.
    Refused(String),
}

impl Endpoint for WaitForApproval {
    type Answer = Approval;
    const NAME: &'static str = "wait for an agreement's approval";
    const REPEAT: Repeat = Repeat::Harmless;

    fn request(&self) -> Request {
        Request::post(format!("{BASE}/agreements/{}/wait", self.agreement)).timeout(self.wait)
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<Approval, AnswerError> {
        match status {
            408 => Ok(Approval::Undecided),
            410 => Ok(Approval::Refused(ApiError::read(status, body).message)),
            _ => empty_answer(status, body).map(|()| Approval::Approved),
        }
    }
}

/// `POST /agreements/{id}/cancel`: takes a pending agreement back.
#[derive(Debug, Clone)]
pub struct CancelAgreement {
    /// The agreement.
    pub agreement: AgreementId,
    /// The reason.
    pub reason: Option<Reason>,
}
endpoint!(CancelAgreement, "cancel an agreement", Harmless, empty, |this| {
    Request::post(format!("{BASE}/agreements/{}/cancel", this.agreement)).json(&this.reason)
});

/// `POST /agreements/{id}/terminate`: ends an agreement that is in force.
#[derive(Debug, Clone)]
pub struct TerminateAgreement {
    /// The agreement.
    pub agreement: AgreementId,
    /// The reason.
    pub reason: Option<TerminationReason>,
}

impl Endpoint for TerminateAgreement {
    /// True if this call ended it; `false` when it had ended before.
    type Answer = bool;
    const NAME: &'static str = "terminate an agreement";
    const REPEAT: Repeat = Repeat::Harmless;

    fn request(&self) -> Request {
        Request::post(format!("{BASE}/agreements/{}/terminate", self.agreement))
            .json(&self.reason)
            .patience(Duration::from_secs(20))
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<bool, AnswerError> {
        if status == 410 { Ok(false) } else { empty_answer(status, body).map(|()| true) }
    }
}

/// `GET /agreements/{id}/terminate/reason`: who ended an agreement, and why.
#[derive(Debug, Clone)]
pub struct GetTerminationReason(pub AgreementId);
endpoint!(GetTerminationReason, "read why an agreement ended", Harmless, json AgreementEvent, |this| {
    Request::get(format!("{BASE}/agreements/{}/terminate/reason", this.0))
});

/// `GET /agreementEvents`: events after a cursor, oldest first.
#[derive(Debug, Clone)]
pub struct PollAgreementEvents {
    /// Strictly after this; `None` is from the beginning.
    pub after: Option<Timestamp>,
    /// Only those of this session.
    pub session: Option<AppSessionId>,
    /// The longest time to wait for a first event.
    pub wait: Duration,
    /// At most this many, 1 to 100.
    pub max: u8,
}
endpoint!(PollAgreementEvents, "poll agreement events", Harmless, list AgreementEvent, |this| {
    Request::get(format!("{BASE}/agreementEvents"))
        .timeout(this.wait)
        .query("maxEvents", this.max.to_string())
        .query_opt("afterTimestamp", this.after)
        .query_opt("appSessionId", this.session.as_ref())
});
