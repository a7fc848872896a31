//! The market: demands, proposals, agreements, and what happens to them.
//!
//! Base path `/market-api/v1`. Events of a demand are *taken*: once answered they are gone. Agreement events
//! are *kept* and read by a cursor, the time of the last event seen, strictly after.

mod agreement;
mod demand;
mod scan;

pub use agreement::{
    Agreement, AgreementDemand, AgreementEvent, AgreementEventKind, AgreementOffer, AgreementState,
    AgreementSummary, Approval, CancelAgreement, ConfirmAgreement, CreateAgreement, GetAgreement,
    GetTerminationReason, ListAgreements, PollAgreementEvents, TerminateAgreement, Terminated,
    TerminationReason, Terminator, WaitForApproval,
};
pub use demand::{
    CounterProposal, Demand, DemandEvent, DemandEventKind, GetProposal, ListDemands, NewDemand,
    PollDemandEvents, Proposal, ProposalState, Reason, RejectProposal, Subscribe, Unsubscribe,
};
pub use scan::{DeleteScan, Offer, PollScan, ScanKind, StartScan};

/// The path of the market API.
pub const BASE: &str = "/market-api/v1";
