//! Proposals: chains of terms between a demand and an offer, answered, refused or made into agreements.

use std::sync::Arc;

use yagna_api::market::{Proposal, ProposalState, Reason};
use yagna_api::{AgreementId, DemandId, NodeId, OfferId, Properties, ProposalId, Timestamp};

use super::State;
use super::events::to_millis;
use super::market::{DemandItem, OfferItem};
use super::matching::Sheet;
use super::refusal::Refusal;

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
    ///
    /// A provider's name for it names nothing here.
    pub(crate) fn proposal_view(
        &self,
        demand: &DemandId,
        (side, hash): (Side, &str),
    ) -> Result<ProposalView, Refusal> {
        match self.market.proposals.get(hash) {
            Some(record) if record.demand == *demand && side == Side::Requestor => {
                Ok(record.view(hash, Side::Requestor))
            }
            _ => Err(not_found(side, hash, demand.as_str())),
        }
    }

    /// A requestor answers a provider's proposal. The daemon doesn't check who it is.
    pub(crate) fn counter_as_requestor(
        &mut self,
        demand: &DemandId,
        proposal: (Side, &str),
        properties: Properties,
        constraints: String,
    ) -> Result<ProposalId, Refusal> {
        self.proposal_view(demand, proposal)?;
        self.check_demand(demand)?;
        let (_, hash) = proposal;
        let sheet = self.check_counter(Side::Requestor, hash, properties, constraints)?;
        let prev = &self.market.proposals[hash];
        let (offer, is_first, frozen) =
            (prev.offer.clone(), prev.prev.is_none(), self.is_frozen(&prev.provider));
        let is_gone = self.market.offers.get(&offer).is_none_or(|record| record.expires <= self.now);
        // The provider's daemon takes the first answer to whatever offer it ever had.
        if frozen || (is_gone && !is_first) {
            let (id, new) = (Side::Requestor.id(hash), Side::Provider.id(&self.hex(64)));
            return Err(Refusal::new(
                500,
                format!(
                    "Failed to send response for Proposal [{id}]. Error: Countering Proposal [{new}] remote error: \
                     Subscription [{offer}] was already unsubscribed."
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
        self.check_provider(caller, hash)?;
        let sheet = self.check_counter(Side::Provider, hash, properties, constraints)?;
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

    /// A requestor refuses a provider's proposal. Doing so twice is fine, and the daemon doesn't check who it is.
    pub(crate) fn reject_as_requestor(
        &mut self,
        demand: &DemandId,
        proposal: (Side, &str),
        reason: Option<Reason>,
    ) -> Result<(), Refusal> {
        self.proposal_view(demand, proposal).map_err(|refusal| Refusal { status: 500, ..refusal })?;
        self.check_demand(demand)?;
        let (_, hash) = proposal;
        self.check_foreign(Side::Requestor, hash)?;
        let offers = &self.market.offers;
        let record = self.market.proposals.get_mut(hash).expect("it was found just above");
        let offer = record.offer.clone();
        // A provider doesn't know of Initial proposals.
        let tell = record.prev.is_some() && record.state != ProposalState::Rejected;
        if tell && !offers.contains_key(&offer) {
            return Err(already_unsubscribed(&offer));
        }
        record.state = ProposalState::Rejected;
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
        self.check_provider(caller, hash)?;
        self.check_foreign(Side::Provider, hash)?;
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
            None => Err(already_unsubscribed(id)),
            Some(offer) if offer.expires <= self.now => {
                Err(Refusal::new(410, format!("Subscription [{id}] expired.")))
            }
            Some(_) => Ok(()),
        }
    }

    /// Checks that it is the provider's negotiation.
    fn check_provider(&self, caller: &NodeId, hash: &str) -> Result<(), Refusal> {
        if self.market.proposals[hash].provider == *caller {
            return Ok(());
        }
        let id = Side::Provider.id(hash);
        let problem = format!("Unauthorized operation attempt on Proposal [{id}] from [{caller}].");
        Err(Refusal::new(401, problem))
    }

    /// Checks that it is the other side's proposal.
    fn check_foreign(&self, side: Side, hash: &str) -> Result<(), Refusal> {
        if self.market.proposals[hash].issuer == side {
            return Err(Refusal::new(400, format!("Can't react to own Proposal [{}].", side.id(hash))));
        }
        Ok(())
    }

    fn check_counter(
        &mut self,
        side: Side,
        hash: &str,
        properties: Properties,
        constraints: String,
    ) -> Result<Arc<Sheet>, Refusal> {
        self.check_foreign(side, hash)?;
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
        if demand.suits(offer) {
            return Ok(Arc::new(sheet));
        }
        let syntax = [("Offer", offer), ("Demand", demand)].into_iter().find_map(|(whose, sheet)| {
            Some(format!("Error parsing {whose} constraints: {}", sheet.syntax_error()?))
        });
        let (of_offer, of_demand) = (demand.missing_from(offer), offer.missing_from(demand));
        let mismatch = format!("Mismatched constraints - Offer: {of_offer:?}, Demand: {of_demand:?}");
        let new = side.id(&self.hex(64));
        Err(Refusal::new(
            400,
            match syntax {
                Some(error) => format!(
                    "Can't match Proposal [{new}] with previous Proposal [{id}]. Error: Prepare error: {error}"
                ),
                None => {
                    format!("Proposal properties [{new}] doesn't match previous Proposal [{id}]. {mismatch}")
                }
            },
        ))
    }

    fn add_counter(&mut self, side: Side, prev_hash: &str, sheet: Arc<Sheet>) -> Arc<str> {
        let hash: Arc<str> = self.hex(64).into();
        let now = self.now;
        let prev =
            self.market.proposals.get_mut(prev_hash).expect("only proposals that were found are countered");
        prev.countered = true;
        // An answer takes a refusal back.
        if prev.state == ProposalState::Rejected {
            prev.state = if prev.prev.is_none() { ProposalState::Initial } else { ProposalState::Draft };
        }
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

fn already_unsubscribed(offer: &OfferId) -> Refusal {
    Refusal::new(400, format!("Subscription [{offer}] was already unsubscribed."))
}

fn not_found(side: Side, hash: &str, subscription: &str) -> Refusal {
    let (id, subscription) = (side.id(hash), subscription.split_once('-').unwrap_or((subscription, "")));
    Refusal::new(
        404,
        format!(
            "Proposal [{id}] not found (subscription [Some(SubscriptionId {{ random_id: \"{}\", hash: \"{}\" }})]).",
            subscription.0, subscription.1
        ),
    )
}
