//! Agreements: all states, who may move them, and the events that tell of it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;
use yagna_api::market::{
    Agreement, AgreementDemand, AgreementEventKind, AgreementOffer, AgreementState, ProposalState, Reason,
    Terminated, Terminator,
};
use yagna_api::{ActivityId, AgreementId, AppSessionId, DemandId, NodeId, OfferId, Timestamp};

use super::State;
use super::market::OfferItem;
use super::matching::Sheet;
use super::negotiation::Side;
use super::refusal::Refusal;

/// All agreements.
#[derive(Debug, Default)]
pub(crate) struct Agreements(pub(crate) HashMap<AgreementId, AgreementRecord>);

#[derive(Debug)]
pub(crate) struct AgreementRecord {
    pub(crate) requestor: NodeId,
    pub(crate) provider: NodeId,
    pub(crate) demand: DemandId,
    pub(crate) offer: OfferId,
    /// The provider's draft that it was made of, by its hash.
    pub(crate) draft: Arc<str>,
    pub(crate) demand_sheet: Arc<Sheet>,
    pub(crate) offer_sheet: Arc<Sheet>,
    pub(crate) created: Timestamp,
    pub(crate) valid_to: Timestamp,
    pub(crate) approved: Option<Timestamp>,
    /// As last moved; see [`AgreementRecord::state`] for expiry.
    pub(crate) moved_to: AgreementState,
    /// The state that the requestor's daemon still has while it tells the provider's daemon of a change, until it has
    /// recorded that. Where the request is cut off in between, this stays so for good.
    pub(crate) held: Option<AgreementState>,
    pub(crate) requestor_session: Option<AppSessionId>,
    pub(crate) provider_session: Option<AppSessionId>,
    pub(crate) ended: Option<(Timestamp, Terminated)>,
    pub(crate) activities: Vec<ActivityId>,
    pub(crate) wake: Arc<Notify>,
}

/// An agreement's event in one node's log.
#[derive(Debug, Clone)]
pub(crate) struct AgreementEntry {
    pub(crate) agreement: AgreementId,
    pub(crate) session: Option<AppSessionId>,
    pub(crate) kind: AgreementEventKind,
}

impl AgreementRecord {
    /// The state for its provider: an agreement that isn't approved in time has expired.
    pub(crate) fn state(&self, now: Timestamp) -> AgreementState {
        self.in_time(self.moved_to, now)
    }

    /// The state in the books of one side's daemon.
    pub(crate) fn state_of(&self, side: Side, now: Timestamp) -> AgreementState {
        self.in_time(self.moved_for(side), now)
    }

    fn moved_for(&self, side: Side) -> AgreementState {
        self.held.filter(|_| side == Side::Requestor).unwrap_or(self.moved_to)
    }

    fn in_time(&self, state: AgreementState, now: Timestamp) -> AgreementState {
        match state {
            AgreementState::Proposal | AgreementState::Pending if self.valid_to < now => {
                AgreementState::Expired
            }
            state => state,
        }
    }

    /// True if this side's daemon knows that it has been sent to its provider.
    pub(crate) fn is_confirmed(&self, side: Side) -> bool {
        self.moved_for(side) != AgreementState::Proposal
    }

    /// The caller's side, if it has one.
    pub(crate) fn side(&self, caller: &NodeId) -> Option<Side> {
        if self.requestor == *caller {
            Some(Side::Requestor)
        } else if self.provider == *caller {
            Some(Side::Provider)
        } else {
            None
        }
    }

    pub(crate) fn session(&self, side: Side) -> Option<&AppSessionId> {
        match side {
            Side::Requestor => self.requestor_session.as_ref(),
            Side::Provider => self.provider_session.as_ref(),
        }
    }

    /// The document as one side sees it.
    pub(crate) fn document(&self, id: &AgreementId, side: Side, now: Timestamp) -> Agreement {
        let signed = |yes: bool| yes.then(|| "NoSignature".to_owned());
        Agreement {
            agreement_id: id.clone(),
            demand: AgreementDemand {
                properties: self.demand_sheet.properties.clone(),
                constraints: self.demand_sheet.constraints.clone(),
                demand_id: self.demand.clone(),
                requestor_id: self.requestor.clone(),
                timestamp: self.created,
            },
            offer: AgreementOffer {
                properties: self.offer_sheet.properties.clone(),
                constraints: self.offer_sheet.constraints.clone(),
                offer_id: self.offer.clone(),
                provider_id: self.provider.clone(),
                timestamp: self.created,
            },
            valid_to: self.valid_to,
            approved_date: self.approved,
            state: self.state_of(side, now),
            timestamp: self.created,
            app_session_id: self.session(side).cloned(),
            proposed_signature: signed(self.is_confirmed(side)),
            approved_signature: signed(self.approved.is_some()),
            committed_signature: signed(self.approved.is_some()),
        }
    }
}

/// The end of an agreement that its provider's daemon knows of, and the requestor's doesn't yet.
#[derive(Debug)]
pub(crate) struct Closing {
    at: Timestamp,
    kind: AgreementEventKind,
}

/// The result of a wait for approval.
pub(crate) type Decision = Result<(), Refusal>;

impl State {
    /// An agreement of the caller's, and the caller's side of it.
    pub(crate) fn own_agreement(
        &self,
        caller: &NodeId,
        id: &AgreementId,
    ) -> Result<(&AgreementRecord, Side), Refusal> {
        self.agreements
            .0
            .get(id)
            .and_then(|record| Some((record, record.side(caller)?)))
            .ok_or_else(|| not_found(id))
    }

    /// Turns a provider's draft into an agreement. The daemon doesn't check whose negotiation it is.
    pub(crate) fn create_agreement(
        &mut self,
        (side, hash): (Side, &str),
        valid_to: Timestamp,
    ) -> Result<AgreementId, Refusal> {
        let id = side.id(hash);
        let Some(offer) = self.market.proposals.get(hash).filter(|_| side == Side::Requestor) else {
            return Err(Refusal::new(
                400,
                format!("Can't create Agreement for Proposal [{id}]. Proposal [{id}] not found."),
            ));
        };
        if offer.issuer == Side::Requestor {
            return Err(Refusal::new(
                400,
                format!(
                    "Can't create Agreement for an own Proposal [{id}]. You can promote only provider's Proposals to \
                     Agreement."
                ),
            ));
        }
        let none = format!(
            "Can't create Agreement for Proposal [{id}]. No negotiation with Provider took place. (You should counter \
             Proposal at least one time)"
        );
        if offer.state == ProposalState::Initial {
            return Err(Refusal::new(400, none));
        }
        if offer.state == ProposalState::Rejected {
            return Err(Refusal::new(400, format!("Can't create Agreement for rejected Proposal [{id}].")));
        }
        if offer.agreement.is_some() {
            return Err(Refusal::new(409, format!("Can't create second Agreement for Proposal [{id}].")));
        }
        if offer.countered {
            return Err(Refusal::new(
                400,
                format!("Can't create Agreement for already countered Proposal [{id}]."),
            ));
        }
        let demand = offer.prev.as_ref().and_then(|prev| self.market.proposals.get(prev));
        let demand = demand.ok_or_else(|| Refusal::new(400, none))?;
        let record = AgreementRecord {
            requestor: offer.requestor.clone(),
            provider: offer.provider.clone(),
            demand: offer.demand.clone(),
            offer: offer.offer.clone(),
            draft: hash.into(),
            demand_sheet: Arc::clone(&demand.sheet),
            offer_sheet: Arc::clone(&offer.sheet),
            created: self.now,
            valid_to,
            approved: None,
            moved_to: AgreementState::Proposal,
            held: None,
            requestor_session: None,
            provider_session: None,
            ended: None,
            activities: Vec::new(),
            wake: Arc::default(),
        };
        let agreement = AgreementId::new(self.hex(64));
        if let Some(offer) = self.market.proposals.get_mut(hash) {
            offer.state = ProposalState::Accepted;
            offer.agreement = Some(agreement.clone());
        }
        let requestor = record.requestor.clone();
        self.node(&requestor).agreements.push(agreement.clone());
        self.agreements.0.insert(agreement.clone(), record);
        Ok(agreement)
    }

    /// Sends an agreement to its provider. The requestor's daemon writes that down by
    /// [`State::confirmed`].
    pub(crate) fn confirm_agreement(
        &mut self,
        caller: &NodeId,
        id: &AgreementId,
        session: Option<AppSessionId>,
    ) -> Result<(), Refusal> {
        let record = self.own_as_requestor(caller, id)?;
        if record.held == Some(AgreementState::Proposal) {
            let shown = Side::Provider.id(id.as_str());
            let problem = "remote error: Unexpected error: Failed to save Agreement. .";
            return Err(Refusal::new(500, format!("Protocol error: Agreement [{shown}] {problem}")));
        }
        if record.state(self.now) == AgreementState::Proposal && self.market.is_countered(&record.draft) {
            let (shown, draft) = (Side::Provider.id(id.as_str()), Side::Provider.id(&record.draft));
            return Err(Refusal::new(
                500,
                format!(
                    "Protocol error: Agreement [{shown}] remote error: Can't create Agreement for already countered \
                     Proposal [{draft}]."
                ),
            ));
        }
        let record = self.move_agreement(caller, id, Side::Requestor, AgreementState::Pending)?;
        record.requestor_session = session;
        let provider = record.provider.clone();
        self.node(&provider).agreements.push(id.clone());
        Ok(())
    }

    /// An agreement that the caller proposed, or proposes.
    pub(crate) fn own_as_requestor(
        &self,
        caller: &NodeId,
        id: &AgreementId,
    ) -> Result<&AgreementRecord, Refusal> {
        let found = self.agreements.0.get(id).filter(|record| record.requestor == *caller);
        found.ok_or_else(|| not_found_as(Side::Requestor, id))
    }

    /// The provider's decision, once there is one. The daemon doesn't check who asks.
    pub(crate) fn decision(&self, id: &AgreementId) -> Option<Decision> {
        let Some(record) = self.agreements.0.get(id) else {
            return Some(Err(not_found_as(Side::Requestor, id)));
        };
        let shown = Side::Requestor.id(id.as_str());
        Some(match record.state_of(Side::Requestor, self.now) {
            AgreementState::Pending => return None,
            AgreementState::Approved => Ok(()),
            AgreementState::Rejected => Err(Refusal::new(410, "Rejected")),
            AgreementState::Cancelled => Err(Refusal::new(410, "Cancelled")),
            AgreementState::Expired => Err(Refusal::new(410, format!("Agreement [{shown}] expired."))),
            AgreementState::Proposal => Err(Refusal::new(
                400,
                format!("Agreement [{shown}] should be confirmed, before waiting for approval."),
            )),
            AgreementState::Terminated => Err(Refusal::new(400, format!("Agreement [{shown}] terminated."))),
        })
    }

    /// True if it has expired undecided.
    pub(crate) fn has_expired(&self, id: &AgreementId) -> bool {
        self.agreements
            .0
            .get(id)
            .is_some_and(|record| record.state_of(Side::Requestor, self.now) == AgreementState::Expired)
    }

    /// The provider agrees.
    pub(crate) fn approve_agreement(
        &mut self,
        caller: &NodeId,
        id: &AgreementId,
        session: Option<AppSessionId>,
    ) -> Result<(), Refusal> {
        if self.own_agreement(caller, id)?.0.moved_to == AgreementState::Cancelled {
            return Err(Refusal::new(410, "Cancelled"));
        }
        let now = self.now;
        let record = self.move_agreement(caller, id, Side::Provider, AgreementState::Approved)?;
        record.approved = Some(now);
        record.provider_session = session;
        self.tell_both(id, &AgreementEventKind::Approved);
        Ok(())
    }

    /// The provider refuses.
    pub(crate) fn reject_agreement(
        &mut self,
        caller: &NodeId,
        id: &AgreementId,
        reason: Option<Reason>,
    ) -> Result<(), Refusal> {
        self.move_agreement(caller, id, Side::Provider, AgreementState::Rejected)?;
        self.tell_both(id, &AgreementEventKind::Rejected { reason });
        Ok(())
    }

    /// The requestor takes back what it proposed. Its daemon writes that down by [`State::closed`].
    pub(crate) fn cancel_agreement(
        &mut self,
        caller: &NodeId,
        id: &AgreementId,
        reason: Option<Reason>,
    ) -> Result<Closing, Refusal> {
        let record = self.own_as_requestor(caller, id)?;
        let problem = match record.state(self.now) {
            AgreementState::Proposal => Some("not found."),
            AgreementState::Cancelled if record.held.is_some() => {
                Some("in state Cancelled, can't be approved.")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            let shown = Side::Provider.id(id.as_str());
            let failed = "Protocol error while approving: Remote failed to approve. Error:";
            return Err(Refusal::new(500, format!("{failed} Agreement [{shown}] {problem}")));
        }
        self.move_agreement(caller, id, Side::Requestor, AgreementState::Cancelled)?;
        let kind = AgreementEventKind::Cancelled { reason };
        let at = self.stamp();
        self.tell_agreement(id, Side::Provider, at, &kind);
        Ok(Closing { at, kind })
    }

    /// The provider ends it. The offer is proposed anew to the demand it came from, while both live.
    pub(crate) fn terminate_as_provider(
        &mut self,
        caller: &NodeId,
        id: &AgreementId,
        reason: Option<Reason>,
    ) -> Result<(), Refusal> {
        let record = self.move_agreement(caller, id, Side::Provider, AgreementState::Terminated)?;
        record.held = None;
        let closing = self.end_agreement(id, Terminator::Provider, reason);
        self.closed(id, closing);
        Ok(())
    }

    /// Either side ends it by its daemon. The requestor's tells the provider's first, and writes it down by
    /// [`State::closed`].
    pub(crate) fn terminate_agreement(
        &mut self,
        caller: &NodeId,
        id: &AgreementId,
        reason: Option<Reason>,
    ) -> Result<Closing, Refusal> {
        let (record, side) = self.own_agreement(caller, id)?;
        if side == Side::Requestor
            && record.held == Some(AgreementState::Approved)
            && record.moved_to == AgreementState::Terminated
        {
            let shown = Side::Provider.id(id.as_str());
            let problem = format!("Can't finish operation on Agreement [{shown}] due to internal error.");
            let failed = "Protocol error while terminating: Remote Terminate:";
            return Err(Refusal::new(500, format!("{failed} {problem}")));
        }
        self.move_agreement(caller, id, side, AgreementState::Terminated)?;
        let terminator = match side {
            Side::Requestor => Terminator::Requestor,
            Side::Provider => Terminator::Provider,
        };
        Ok(self.end_agreement(id, terminator, reason))
    }

    /// The provider's daemon writes an end down.
    fn end_agreement(&mut self, id: &AgreementId, terminator: Terminator, reason: Option<Reason>) -> Closing {
        let end = Terminated { terminator, signature: String::new(), reason };
        let (at, kind) = (self.stamp(), AgreementEventKind::Terminated(end.clone()));
        self.tell_agreement(id, Side::Provider, at, &kind);
        if let Some(record) = self.agreements.0.get_mut(id) {
            record.ended = Some((at, end));
            let (demand, offer) = (record.demand.clone(), record.offer.clone());
            self.propose_initially(&demand, &offer);
        }
        Closing { at, kind }
    }

    /// The requestor's daemon writes down that an agreement has been sent. Only then the provider acts upon it.
    pub(crate) fn confirmed(&mut self, id: &AgreementId) {
        if let Some(offer) = self.write_down(id) {
            self.queue_for_offer(&offer, OfferItem::Agreement(id.clone()));
        }
    }

    /// The requestor's daemon writes down that an agreement is over.
    pub(crate) fn closed(&mut self, id: &AgreementId, Closing { at, kind }: Closing) {
        self.write_down(id);
        let at = self.stamp_like(at);
        self.tell_agreement(id, Side::Requestor, at, &kind);
    }

    fn write_down(&mut self, id: &AgreementId) -> Option<OfferId> {
        let record = self.agreements.0.get_mut(id)?;
        record.held = None;
        record.wake.notify_waiters();
        Some(record.offer.clone())
    }

    fn move_agreement(
        &mut self,
        caller: &NodeId,
        id: &AgreementId,
        side: Side,
        to: AgreementState,
    ) -> Result<&mut AgreementRecord, Refusal> {
        let now = self.now;
        let record = self.agreements.0.get_mut(id).filter(|record| record.side(caller) == Some(side));
        let record = record.ok_or_else(|| not_found(id))?;
        let from = record.state_of(side, now);
        let allowed = match to {
            AgreementState::Pending => from == AgreementState::Proposal,
            AgreementState::Approved | AgreementState::Rejected => from == AgreementState::Pending,
            // Also where the requestor's daemon doesn't know that it was sent.
            AgreementState::Cancelled => {
                from == AgreementState::Pending || record.state(now) == AgreementState::Pending
            }
            AgreementState::Terminated => from == AgreementState::Approved,
            AgreementState::Proposal | AgreementState::Expired => false,
        };
        if !allowed {
            let status = if from == AgreementState::Proposal { 409 } else { 410 };
            return Err(Refusal::new(
                status,
                format!("Can't update Agreement state from {from:?} to {to:?}."),
            ));
        }
        if side == Side::Requestor {
            record.held = Some(record.moved_for(side));
        }
        record.moved_to = to;
        record.wake.notify_waiters();
        Ok(record)
    }

    /// Puts an event into both sides' logs, under one time.
    fn tell_both(&mut self, id: &AgreementId, kind: &AgreementEventKind) {
        let at = self.stamp();
        for side in [Side::Requestor, Side::Provider] {
            self.tell_agreement(id, side, at, kind);
        }
    }

    /// Puts an event into one side's log.
    fn tell_agreement(&mut self, id: &AgreementId, side: Side, at: Timestamp, kind: &AgreementEventKind) {
        let record = &self.agreements.0[id];
        let session = record.session(side).cloned();
        let node = match side {
            Side::Requestor => record.requestor.clone(),
            Side::Provider => record.provider.clone(),
        };
        let node = self.node(&node);
        node.agreement_log.push(at, AgreementEntry { agreement: id.clone(), session, kind: kind.clone() });
        node.agreement_wake.notify_waiters();
    }
}

fn not_found_as(side: Side, id: &AgreementId) -> Refusal {
    Refusal::new(404, format!("Agreement [{}] not found.", side.id(id.as_str())))
}

fn not_found(id: &AgreementId) -> Refusal {
    Refusal::new(404, format!("Agreement [{id}] not found."))
}
