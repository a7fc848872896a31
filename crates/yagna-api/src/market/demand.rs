//! Demands, the proposals that answer them, and the events that bring those.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::BASE;
use crate::endpoint::{Endpoint, Repeat, Request, empty_answer, endpoint, json_answer};
use crate::error::AnswerError;
use crate::id::{DemandId, NodeId, ProposalId};
use crate::properties::Properties;
use crate::time::Timestamp;

/// The demand that a requestor publishes, or sends back as a counter-proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewDemand {
    /// The properties of the requestor's work.
    pub properties: Properties,
    /// The constraints on an offer, in the constraint language.
    pub constraints: String,
}

/// A demand as the daemon lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    /// Its subscription.
    pub demand_id: DemandId,
    /// The requestor that published it.
    pub requestor_id: NodeId,
    /// Its properties.
    pub properties: Properties,
    /// Its constraints.
    pub constraints: String,
    /// The time at which it was published.
    pub timestamp: Timestamp,
}

/// The state of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProposalState {
    /// Made by the market from an offer that matches; its provider doesn't know of us yet.
    Initial,
    /// Part of a negotiation: the provider's answer to our counter-proposal, or ours to it.
    Draft,
    /// Refused by the other side or by us.
    Rejected,
    /// Became an agreement.
    Accepted,
    /// Its offer or demand has run out.
    Expired,
}

/// One side's terms in a negotiation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// Its id.
    pub proposal_id: ProposalId,
    /// The node that issued it.
    pub issuer_id: NodeId,
    /// Its present state.
    pub state: ProposalState,
    /// The properties that the issuer states.
    pub properties: Properties,
    /// The constraints that the issuer asks for.
    pub constraints: String,
    /// The time at which it was made.
    pub timestamp: Timestamp,
    /// The proposal that it answers: ours, when it is a provider's draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_proposal_id: Option<ProposalId>,
}

/// The reason why something was refused or ended: a message and whatever else its author added.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Reason {
    /// For people.
    #[serde(default)]
    pub message: String,
    /// For programs, such as `golem.proposal.rejection.is-final`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Reason {
    /// A reason in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), extra: Map::new() }
    }

    /// Adds a field for programs.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(key.into(), value.into());
        self
    }

    /// The provider's code, such as `NoActivity` or `DebitNotesDeadline`.
    pub fn provider_code(&self) -> Option<&str> {
        self.extra.get("golem.provider.code")?.as_str()
    }

    /// True if the provider said that trying again is useless. `None` when it didn't say.
    pub fn is_final(&self) -> Option<bool> {
        self.extra.get("golem.proposal.rejection.is-final")?.as_bool()
    }
}

/// Something that happened to a demand. Taken from the daemon by the poll that returns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DemandEvent {
    /// The time of the event.
    pub event_date: Timestamp,
    /// The event itself.
    #[serde(flatten)]
    pub kind: DemandEventKind,
}

/// The kinds of events of a demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "eventType")]
pub enum DemandEventKind {
    /// An offer matches, or its provider answered our counter-proposal.
    #[serde(rename = "ProposalEvent")]
    Proposal {
        /// The provider's side.
        proposal: Proposal,
    },
    /// The provider refused our proposal.
    #[serde(rename = "ProposalRejectedEvent", rename_all = "camelCase")]
    Rejected {
        /// OUR proposal.
        proposal_id: ProposalId,
        /// Its reason, if it gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
}

/// `POST /demands`: publishes a demand.
#[derive(Debug, Clone)]
pub struct Subscribe(pub NewDemand);
endpoint!(Subscribe, "publish a demand", Harmless, json DemandId, |this| {
    // A demand published twice only means one that nobody polls; it runs out by itself.
    Request::post(format!("{BASE}/demands")).json(&this.0)
});

/// `GET /demands`: one's own demands that haven't expired.
#[derive(Debug, Clone)]
pub struct ListDemands;
endpoint!(ListDemands, "list demands", Harmless, list Demand, |_this| Request::get(format!("{BASE}/demands")));

/// `DELETE /demands/{id}`: takes a demand off the market.
#[derive(Debug, Clone)]
pub struct Unsubscribe(pub DemandId);

impl Endpoint for Unsubscribe {
    /// True if the subscription still existed.
    type Answer = bool;
    const NAME: &'static str = "withdraw a demand";
    const REPEAT: Repeat = Repeat::Harmless;

    fn request(&self) -> Request {
        Request::delete(format!("{BASE}/demands/{}", self.0))
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<bool, AnswerError> {
        if status == 404 { Ok(false) } else { empty_answer(status, body).map(|()| true) }
    }
}

/// `GET /demands/{id}/events`: waits for events and takes them.
#[derive(Debug, Clone)]
pub struct PollDemandEvents {
    /// The demand.
    pub demand: DemandId,
    /// The longest time to wait for a first event.
    pub wait: Duration,
    /// At most this many, 1 to 100.
    pub max: u8,
}
endpoint!(PollDemandEvents, "poll a demand's events", Takes, list DemandEvent, |this| {
    Request::get(format!("{BASE}/demands/{}/events", this.demand))
        .timeout(this.wait)
        .query("maxEvents", this.max.to_string())
});

/// `GET /demands/{d}/proposals/{p}`: one proposal of either side.
#[derive(Debug, Clone)]
pub struct GetProposal {
    /// The demand it belongs to.
    pub demand: DemandId,
    /// The proposal.
    pub proposal: ProposalId,
}
endpoint!(GetProposal, "read a proposal", Harmless, json Proposal, |this| {
    Request::get(format!("{BASE}/demands/{}/proposals/{}", this.demand, this.proposal))
});

/// `POST /demands/{d}/proposals/{p}`: answers a provider's proposal with our terms.
///
/// The call waits until the provider's daemon has taken the message, a minute at most.
#[derive(Debug, Clone)]
pub struct CounterProposal {
    /// The demand it belongs to.
    pub demand: DemandId,
    /// The provider's proposal.
    pub proposal: ProposalId,
    /// Our terms.
    pub terms: NewDemand,
}

impl Endpoint for CounterProposal {
    /// Our new proposal.
    type Answer = ProposalId;
    const NAME: &'static str = "send a counter-proposal";
    const REPEAT: Repeat = Repeat::Twice;

    fn request(&self) -> Request {
        Request::post(format!("{BASE}/demands/{}/proposals/{}", self.demand, self.proposal))
            .json(&self.terms)
            .patience(Duration::from_secs(60))
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<ProposalId, AnswerError> {
        json_answer(status, body)
    }
}

/// `POST /demands/{d}/proposals/{p}/reject`: refuses a provider's proposal.
#[derive(Debug, Clone)]
pub struct RejectProposal {
    /// The demand it belongs to.
    pub demand: DemandId,
    /// The provider's proposal.
    pub proposal: ProposalId,
    /// The reason; the daemon wants a body even without one.
    pub reason: Option<Reason>,
}
endpoint!(RejectProposal, "refuse a proposal", Harmless, empty, |this| {
    Request::post(format!("{BASE}/demands/{}/proposals/{}/reject", this.demand, this.proposal))
        .json(&this.reason)
});
