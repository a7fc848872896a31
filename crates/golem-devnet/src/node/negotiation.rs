//! Proposals: chains of terms between a demand and an offer, answered, refused or made into agreements.

use std::sync::Arc;

use yagna_api::market::{Proposal, ProposalState, Reason};
use yagna_api::{AgreementId, DemandId, NodeId, OfferId, Properties, ProposalId, Timestamp};

use super::events::to_millis;
use super::market::{DemandItem, OfferItem};
use super::matching::{Sheet, Verdict};
use super::refusal::Refusal;
use super::world::State;

/// A side of a negotiation. On the wire it is the first letter of a proposal's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Requestor,
    Provider,
}

impl Side {
    /// The proposal's id as this side sees it.
    pub(crate) fn id(self, hash: &str) -> ProposalId {
        ProposalId::new(format!("{}-{hash}", self.letter()))
    }

    fn letter(self) -> char {
        match self {
            Self::Requestor => 'R',
            Self::Provider => 'P',
        }
    }
}

/// The hash in a proposal's id; `None` when the text is no such id.
pub(crate) fn hash_of(id: &str) -> Option<&str> {
    id.strip_prefix("R-").or_else(|| id.strip_prefix("P-")).filter(|hash| is_hex(hash, 64))
}

/// Exactly so many hex digits?
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[derive(Debug)]
pub(crate) struct ProposalRecord {
    pub(crate) demand: DemandId,
    pub(crate) offer: OfferId,
    pub(crate) requestor: NodeId,
    pub(crate) provider: NodeId,
    pub(crate) issuer: Side,
    pub(crate) state: ProposalState,
    pub(crate) sheet: Arc<Sheet>,
    pub(crate) created: Timestamp,
    pub(crate) prev: Option<Arc<str>>,
    pub(crate) countered: bool,
    pub(crate) agreement: Option<AgreementId>,
}

/// A proposal as it is shown to one side.
#[derive(Debug, Clone)]
pub(crate) struct ProposalView {
    pub(crate) id: ProposalId,
    pub(crate) issuer: NodeId,
    pub(crate) state: ProposalState,
    pub(crate) sheet: Arc<Sheet>,
    pub(crate) created: Timestamp,
    pub(crate) prev: Option<ProposalId>,
}

impl From<ProposalView> for Proposal {
    fn from(view: ProposalView) -> Self {
        Self {
            proposal_id: view.id,
            issuer_id: view.issuer,
            state: view.state,
            properties: view.sheet.properties.clone(),
            constraints: view.sheet.constraints.clone(),
            timestamp: view.created,
            prev_proposal_id: view.prev,
        }
    }
}

impl ProposalRecord {
    pub(crate) fn view(&self, hash: &str, side: Side) -> ProposalView {
        ProposalView {
            id: side.id(hash),
            issuer: match self.issuer {
                Side::Requestor => self.requestor.clone(),
                Side::Provider => self.provider.clone(),
            },
            state: self.state,
            sheet: Arc::clone(&self.sheet),
            created: self.created,
            prev: self.prev.as_deref().map(|prev| side.id(prev)),
        }
    }
}

impl State {
    /// A proposal made by the market from an offer.
    pub(crate) fn initial_proposal(
        &mut self,
        demand: &DemandId,
        offer: &OfferId,
        sheet: Arc<Sheet>,
    ) -> ProposalView {
        let hash: Arc<str> = self.hex(64).into();
        let record = ProposalRecord {
            demand: demand.clone(),
            offer: offer.clone(),
            requestor: self.market.demands[demand].owner.clone(),
            provider: self.market.offers[offer].owner.clone(),
            issuer: Side::Provider,
            state: ProposalState::Initial,
            sheet,
            created: self.now,
            prev: None,
            countered: false,
            agreement: None,
        };
        let view = record.view(&hash, Side::Requestor);
        self.market.proposals.insert(hash, record);
        view
    }

    /// A proposal of a demand; the daemon doesn't check who asks.
    pub(crate) fn proposal_view(&self, demand: &DemandId, hash: &str) -> Result<ProposalView, Refusal> {
        match self.market.proposals.get(hash) {
            Some(record) if record.demand == *demand => Ok(record.view(hash, Side::Requestor)),
            _ => Err(not_found(Side::Requestor, hash, demand.as_str())),
        }
    }

    /// A requestor answers a provider's proposal.
    pub(crate) fn counter_as_requestor(
        &mut self,
        caller: &NodeId,
        demand: &DemandId,
        hash: &str,
        properties: Properties,
        constraints: String,
    ) -> Result<ProposalId, Refusal> {
        self.check_demand(demand)?;
        self.proposal_view(demand, hash)?;
        let sheet = self.check_counter(caller, Side::Requestor, hash, properties, constraints)?;
        let prev = &self.market.proposals[hash];
        let offer = prev.offer.clone();
        if self.market.offers.get(&offer).is_none_or(|record| record.expires <= self.now)
            || self.is_frozen(&prev.provider)
        {
            let id = Side::Requestor.id(hash);
            return Err(Refusal::new(
                500,
                format!(
                    "Failed to send response for Proposal [{id}]. Error: Countering Proposal [{id}] remote error: \
                     Subscription [{offer}] wasn't found."
                ),
            ));
        }
        let new = self.add_counter(Side::Requestor, hash, sheet);
        let view = self.market.proposals[&new].view(&new, Side::Provider);
        self.queue_for_offer(&offer, OfferItem::Proposal(Box::new(view)));
        Ok(Side::Requestor.id(&new))
    }

    /// A provider answers a requestor's proposal.
    pub(crate) fn counter_as_provider(
        &mut self,
        caller: &NodeId,
        offer: &OfferId,
        hash: &str,
        properties: Properties,
        constraints: String,
    ) -> Result<ProposalId, Refusal> {
        self.check_offer(offer)?;
        let prev = match self.market.proposals.get(hash) {
            Some(record) if record.offer == *offer => record,
            _ => return Err(not_found(Side::Provider, hash, offer.as_str())),
        };
        let demand = prev.demand.clone();
        let sheet = self.check_counter(caller, Side::Provider, hash, properties, constraints)?;
        if self.market.demands.get(&demand).is_none_or(|record| record.expires <= self.now) {
            let id = Side::Provider.id(hash);
            return Err(Refusal::new(
                500,
                format!(
                    "Failed to send response for Proposal [{id}]. Error: Countering Proposal [{id}] remote error: \
                     Subscription [{demand}] wasn't found."
                ),
            ));
        }
        let new = self.add_counter(Side::Provider, hash, sheet);
        let view = self.market.proposals[&new].view(&new, Side::Requestor);
        let item = DemandItem::Proposal(to_millis(self.now), Box::new(view));
        self.queue_for_demand(&demand, item);
        Ok(Side::Provider.id(&new))
    }

    /// A requestor refuses a provider's proposal. Doing so twice is fine.
    pub(crate) fn reject_as_requestor(
        &mut self,
        caller: &NodeId,
        demand: &DemandId,
        hash: &str,
        reason: Option<Reason>,
    ) -> Result<(), Refusal> {
        self.check_demand(demand)?;
        self.proposal_view(demand, hash)?;
        self.check_foreign(caller, Side::Requestor, hash)?;
        let record = self.market.proposals.get_mut(hash).expect("it was found just above");
        // A provider doesn't know of Initial proposals.
        let tell = record.state == ProposalState::Draft;
        record.state = ProposalState::Rejected;
        let offer = record.offer.clone();
        if tell {
            self.queue_for_offer(&offer, OfferItem::Rejected(hash.into(), reason));
        }
        Ok(())
    }

    /// A provider refuses a requestor's proposal.
    pub(crate) fn reject_as_provider(
        &mut self,
        caller: &NodeId,
        offer: &OfferId,
        hash: &str,
        reason: Option<Reason>,
    ) -> Result<(), Refusal> {
        self.check_offer(offer)?;
        if self.market.proposals.get(hash).is_none_or(|record| record.offer != *offer) {
            return Err(not_found(Side::Provider, hash, offer.as_str()));
        }
        self.check_foreign(caller, Side::Provider, hash)?;
        let record = self.market.proposals.get_mut(hash).expect("it was found just above");
        let first = record.state != ProposalState::Rejected;
        record.state = ProposalState::Rejected;
        let demand = record.demand.clone();
        if first {
            let item = DemandItem::Rejected(to_millis(self.now), hash.into(), reason);
            self.queue_for_demand(&demand, item);
        }
        Ok(())
    }

    fn check_demand(&self, id: &DemandId) -> Result<(), Refusal> {
        match self.market.demands.get(id) {
            None => Err(Refusal::new(400, format!("Subscription [{id}] wasn't found."))),
            Some(demand) if demand.expires <= self.now => {
                Err(Refusal::new(410, format!("Subscription [{id}] expired.")))
            }
            Some(_) => Ok(()),
        }
    }

    fn check_offer(&self, id: &OfferId) -> Result<(), Refusal> {
        match self.market.offers.get(id) {
            None => Err(Refusal::new(400, format!("Subscription [{id}] was already unsubscribed."))),
            Some(offer) if offer.expires <= self.now => {
                Err(Refusal::new(410, format!("Subscription [{id}] expired.")))
            }
            Some(_) => Ok(()),
        }
    }

    /// Is it the other side's proposal, and the caller's negotiation?
    fn check_foreign(&self, caller: &NodeId, side: Side, hash: &str) -> Result<(), Refusal> {
        let record = &self.market.proposals[hash];
        let (own, id) = match side {
            Side::Requestor => (&record.requestor, side.id(hash)),
            Side::Provider => (&record.provider, side.id(hash)),
        };
        if own != caller {
            return Err(Refusal::new(
                401,
                format!("Unauthorized operation attempt on Proposal [{id}] from [{caller}]."),
            ));
        }
        if record.issuer == side {
            return Err(Refusal::new(400, format!("Can't react to own Proposal [{id}].")));
        }
        Ok(())
    }

    fn check_counter(
        &mut self,
        caller: &NodeId,
        side: Side,
        hash: &str,
        properties: Properties,
        constraints: String,
    ) -> Result<Arc<Sheet>, Refusal> {
        self.check_foreign(caller, side, hash)?;
        let prev = &self.market.proposals[hash];
        let id = side.id(hash);
        if prev.countered {
            return Err(Refusal::new(
                410,
                format!("Proposal [{id}] already has counter proposal. Can't counter for the second time."),
            ));
        }
        let sheet = Sheet::new(properties, constraints);
        let (offer, demand) = match side {
            Side::Requestor => (&*prev.sheet, &sheet),
            Side::Provider => (&sheet, &*prev.sheet),
        };
        let verdicts = (offer.judge(demand), demand.judge(offer));
        if verdicts == (Verdict::True, Verdict::True) {
            return Ok(Arc::new(sheet));
        }
        let syntax =
            offer.syntax_error().map(|error| format!("Error parsing Offer constraints: {error}")).or_else(
                || demand.syntax_error().map(|error| format!("Error parsing Demand constraints: {error}")),
            );
        let (offer_text, demand_text) = (offer.constraints.clone(), demand.constraints.clone());
        let new = side.id(&self.hex(64));
        Err(Refusal::new(
            400,
            match syntax {
                Some(error) => {
                    format!("Can't match Proposal [{new}] with previous Proposal [{id}]. Error: {error}")
                }
                None => format!(
                    "Proposal properties [{new}] doesn't match previous Proposal [{id}]. Mismatched constraints - \
                     Offer: [{}], Demand: [{}]",
                    if verdicts.0 == Verdict::True { "" } else { &offer_text },
                    if verdicts.1 == Verdict::True { "" } else { &demand_text },
                ),
            },
        ))
    }

    fn add_counter(&mut self, side: Side, prev_hash: &str, sheet: Arc<Sheet>) -> Arc<str> {
        let hash: Arc<str> = self.hex(64).into();
        let now = self.now;
        let prev =
            self.market.proposals.get_mut(prev_hash).expect("only proposals that were found are countered");
        prev.countered = true;
        let record = ProposalRecord {
            demand: prev.demand.clone(),
            offer: prev.offer.clone(),
            requestor: prev.requestor.clone(),
            provider: prev.provider.clone(),
            issuer: side,
            state: ProposalState::Draft,
            sheet,
            created: now,
            prev: Some(prev_hash.into()),
            countered: false,
            agreement: None,
        };
        self.market.proposals.insert(Arc::clone(&hash), record);
        hash
    }
}

fn not_found(side: Side, hash: &str, subscription: &str) -> Refusal {
    let (id, subscription) = (side.id(hash), subscription.split_once('-').unwrap_or((subscription, "")));
    Refusal::new(
        404,
        format!(
            "Proposal [{id}] not found (subscription [Some(SubscriptionId {{ id: \"{}\", hash: \"{}\" }})]).",
            subscription.0, subscription.1
        ),
    )
}
