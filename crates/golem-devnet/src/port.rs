//! The requests of a provider to its daemon, and the services that it offers there.
//!
//! A provider is written against [`Port`] alone, so that the same code works inside the devnet and as an agent of a
//! real daemon, where these calls travel over REST and the daemon's bus (see [`join`](crate::join)). The shapes follow
//! the provider side of the daemon's API.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde_json::Value;
use yagna_api::activity::{ActivityState, ActivityUsage, CommandResult, RuntimeEvent, Script};
use yagna_api::market::{Agreement, AgreementEvent, NewDemand, Proposal, Reason};
use yagna_api::payment::{DebitNote, DebitNoteEvent, Invoice, InvoiceEvent};
use yagna_api::{
    ActivityId, AgreementId, ApiError, AppSessionId, BatchId, DebitNoteId, Glm, InvoiceId, NetworkId, NodeId,
    OfferId, ProposalId, Timestamp,
};

/// The answer of a daemon to its provider, as the REST API would give it.
pub type PortResult<T> = Result<T, ApiError>;

/// Terms of an offer or of a counter-proposal: properties and constraints, as a demand has them.
pub type Terms = NewDemand;

/// Something that happened to an offer. Taken from the daemon by the poll that returns it.
#[derive(Debug, Clone)]
pub enum OfferEvent {
    /// A requestor answered our offer with terms of its own.
    Proposal(Proposal),
    /// A requestor refused our proposal.
    Rejected {
        /// Our proposal.
        proposal: ProposalId,
        /// The reason, if one was given.
        reason: Option<Reason>,
    },
    /// A requestor proposes an agreement.
    Agreement(Box<Agreement>),
}

/// Something that a requestor asks of an activity. Kept by the daemon, read by cursor.
#[derive(Debug, Clone)]
pub struct ActivityEvent {
    /// The time of the event; the cursor for the next poll.
    pub event_date: Timestamp,
    /// The activity.
    pub activity: ActivityId,
    /// Its agreement.
    pub agreement: AgreementId,
    /// The request.
    pub kind: ActivityEventKind,
}

/// The requests of a requestor about an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityEventKind {
    /// Begin it.
    Create,
    /// End it.
    Destroy,
}

/// A debit note to issue.
#[derive(Debug, Clone)]
pub struct NewDebitNote {
    /// The activity.
    pub activity: ActivityId,
    /// All it owes so far.
    pub total_amount_due: Glm,
    /// The usage it is computed from.
    pub usage: Vec<f64>,
    /// The time by which it must be paid, if payments during the agreement were agreed.
    pub payment_due_date: Option<Timestamp>,
}

/// An invoice to issue.
#[derive(Debug, Clone)]
pub struct NewInvoice {
    /// The agreement.
    pub agreement: AgreementId,
    /// Its activities.
    pub activities: Vec<ActivityId>,
    /// All it owes.
    pub amount: Glm,
    /// The time by which it must be paid.
    pub payment_due_date: Timestamp,
}

/// A provider's view of its daemon.
///
/// Every call answers as the REST API does, errors included. Polls answer with an empty list when `wait` is over.
pub trait Port: Send + Sync + fmt::Debug {
    /// The provider's own id.
    fn node(&self) -> NodeId;

    /// Publishes an offer.
    fn subscribe_offer(&self, offer: Terms) -> BoxFuture<'_, PortResult<OfferId>>;

    /// Withdraws an offer.
    fn unsubscribe_offer<'a>(&'a self, offer: &'a OfferId) -> BoxFuture<'a, PortResult<()>>;

    /// Waits for events of an offer and takes them.
    fn offer_events<'a>(
        &'a self,
        offer: &'a OfferId,
        wait: Duration,
    ) -> BoxFuture<'a, PortResult<Vec<OfferEvent>>>;

    /// Answers a requestor's proposal with our terms.
    fn counter_proposal<'a>(
        &'a self,
        offer: &'a OfferId,
        proposal: &'a ProposalId,
        terms: Terms,
    ) -> BoxFuture<'a, PortResult<ProposalId>>;

    /// Refuses a requestor's proposal.
    fn reject_proposal<'a>(
        &'a self,
        offer: &'a OfferId,
        proposal: &'a ProposalId,
        reason: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>>;

    /// Approves a proposed agreement.
    fn approve_agreement<'a>(
        &'a self,
        agreement: &'a AgreementId,
        session: Option<AppSessionId>,
    ) -> BoxFuture<'a, PortResult<()>>;

    /// Refuses a proposed agreement.
    fn reject_agreement<'a>(
        &'a self,
        agreement: &'a AgreementId,
        reason: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>>;

    /// Ends an agreement in force.
    fn terminate_agreement<'a>(
        &'a self,
        agreement: &'a AgreementId,
        reason: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>>;

    /// Agreement events strictly after a cursor, oldest first.
    fn agreement_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<AgreementEvent>>>;

    /// Activity events strictly after a cursor, oldest first.
    fn activity_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<ActivityEvent>>>;

    /// Reports an activity's state. The requestor's creation call returns at the first `Initialized`.
    fn set_activity_state<'a>(
        &'a self,
        activity: &'a ActivityId,
        state: ActivityState,
    ) -> BoxFuture<'a, PortResult<()>>;

    /// Reports an activity's usage so far.
    fn set_activity_usage<'a>(
        &'a self,
        activity: &'a ActivityId,
        usage: ActivityUsage,
    ) -> BoxFuture<'a, PortResult<()>>;

    /// Serves an activity's exe-unit on the bus until [`Port::unbind_exe_unit`].
    fn bind_exe_unit<'a>(
        &'a self,
        activity: &'a ActivityId,
        unit: Arc<dyn ExeUnitService>,
    ) -> BoxFuture<'a, PortResult<()>>;

    /// Takes an exe-unit off the bus: calls to it fail from now on as those to a dead one do.
    fn unbind_exe_unit<'a>(&'a self, activity: &'a ActivityId) -> BoxFuture<'a, ()>;

    /// Calls a service on another node's bus, as file transfers do:
    /// `(requestor, "/public/gftp/<id>", "GetChunk", {"offset": 0, "size": 40960})`.
    ///
    /// Binary data is an array of numbers in neither direction: see [`BusValue`].
    fn call_bus<'a>(
        &'a self,
        node: &'a NodeId,
        address: &'a str,
        component: &'a str,
        payload: BusValue,
    ) -> BoxFuture<'a, Result<BusValue, BusError>>;

    /// Serves this node's end of a virtual network until the seat is dropped.
    ///
    /// **Errors**: 409 where the node has an end in that network already.
    fn bind_vpn<'a>(
        &'a self,
        network: &'a NetworkId,
        end: Arc<dyn VpnEnd>,
    ) -> BoxFuture<'a, PortResult<VpnSeat>>;

    /// Sends an Ethernet frame to a node's end of a virtual network. It may be lost on the way, and nobody is told.
    fn push_frame(&self, network: &NetworkId, to: &str, frame: &[u8]);

    /// Issues a debit note; it isn't sent yet.
    fn issue_debit_note(&self, note: NewDebitNote) -> BoxFuture<'_, PortResult<DebitNote>>;

    /// Sends a debit note to the requestor.
    fn send_debit_note<'a>(&'a self, note: &'a DebitNoteId) -> BoxFuture<'a, PortResult<()>>;

    /// Issues an invoice; it isn't sent yet.
    fn issue_invoice(&self, invoice: NewInvoice) -> BoxFuture<'_, PortResult<Invoice>>;

    /// Sends an invoice to the requestor.
    fn send_invoice<'a>(&'a self, invoice: &'a InvoiceId) -> BoxFuture<'a, PortResult<()>>;

    /// The events of our debit notes, strictly after a cursor.
    fn debit_note_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<DebitNoteEvent>>>;

    /// The events of our invoices, strictly after a cursor.
    fn invoice_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<InvoiceEvent>>>;
}

/// The services that an exe-unit offers to its requestor.
pub trait ExeUnitService: Send + Sync + fmt::Debug {
    /// Accepts a script; the batch's id was made by the requestor's daemon.
    fn exec(&self, batch: BatchId, script: Script) -> BoxFuture<'_, PortResult<()>>;

    /// The results so far, once the whole batch (or the command named) is done or `wait` is over.
    ///
    /// **Errors**: 404 for an unknown batch; 408 when a named command isn't done in time.
    fn results<'a>(
        &'a self,
        batch: &'a BatchId,
        wait: Duration,
        command: Option<u32>,
    ) -> BoxFuture<'a, PortResult<Vec<CommandResult>>>;

    /// The batch's runtime events; an unknown batch gives an empty stream.
    fn events(&self, batch: &BatchId) -> BoxStream<'static, RuntimeEvent>;
}

/// A node's end of a virtual network, as the others reach it on the bus.
pub trait VpnEnd: Send + Sync + fmt::Debug {
    /// Nodes are announced: node id by address.
    fn add_nodes(&self, nodes: &BTreeMap<Ipv4Addr, String>);

    /// Nodes have left the network.
    fn remove_nodes(&self, nodes: &[String]);

    /// A frame has come from a node.
    fn receive(&self, from: &str, frame: &[u8]);

    /// True if a machine is behind it. The ends of scripted runtimes have none.
    fn has_machine(&self) -> bool;
}

/// A place on the bus that a [`VpnEnd`] holds. Dropping it gives the place free.
pub struct VpnSeat(Option<Box<dyn FnOnce() + Send + Sync>>);

impl VpnSeat {
    /// A seat that is given free by this.
    pub fn new(leave: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(leave)))
    }
}

impl Drop for VpnSeat {
    fn drop(&mut self) {
        if let Some(leave) = self.0.take() {
            leave();
        }
    }
}

impl fmt::Debug for VpnSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VpnSeat").finish_non_exhaustive()
    }
}

/// A message on the bus: JSON with byte strings beside it, as FlexBuffers has them.
#[derive(Debug, Clone, PartialEq)]
pub enum BusValue {
    /// Nothing.
    Null,
    /// Truth.
    Bool(bool),
    /// A whole number.
    UInt(u64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Named fields, in order.
    Map(Vec<(String, BusValue)>),
    /// Anything else, as JSON.
    Json(Value),
}

impl BusValue {
    /// A field of a map.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A whole number, however it was written.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::UInt(number) => Some(*number),
            Self::Json(value) => value.as_u64(),
            _ => None,
        }
    }
}

/// The reasons why a call on the bus failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// Nothing serves that address.
    #[error("endpoint address not found: {0}")]
    NoEndpoint(String),
    /// The service refused: the variant's name, such as `ReadError`, and its message.
    #[error("{kind}: {message}")]
    Service {
        /// The error's variant.
        kind: String,
        /// Its message.
        message: String,
    },
    /// The service went away before it answered.
    #[error("the service's receiver was cancelled")]
    Cancelled,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
}
