//! Offers and demands: publishing, matching, and the queues of what happened to them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use yagna_api::market::Reason;
use yagna_api::time::after;
use yagna_api::{AgreementId, DemandId, NodeId, OfferId, Properties, Timestamp};

use super::State;
use super::events::to_millis;
use super::matching::Sheet;
use super::negotiation::{ProposalRecord, ProposalView};
use super::refusal::Refusal;

/// The lifetime of a subscription.
pub(crate) const SUBSCRIPTION_TTL: Duration = Duration::from_secs(3600);

/// All subscriptions and the proposals between them.
#[derive(Debug, Default)]
pub(crate) struct Market {
    pub(crate) demands: HashMap<DemandId, DemandRecord>,
    demand_order: Vec<DemandId>,
    pub(crate) offers: HashMap<OfferId, OfferRecord>,
    pub(crate) offer_order: Vec<OfferId>,
    /// Offers that their providers took back: their daemons know them apart from those that never were.
    withdrawn: HashSet<OfferId>,
    /// By hash, the part of the id that both sides share.
    pub(crate) proposals: HashMap<Arc<str>, ProposalRecord>,
}

#[derive(Debug)]
pub(crate) struct DemandRecord {
    pub(crate) owner: NodeId,
    pub(crate) sheet: Arc<Sheet>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) queue: VecDeque<DemandItem>,
    pub(crate) wake: Arc<Notify>,
}

#[derive(Debug)]
pub(crate) struct OfferRecord {
    pub(crate) owner: NodeId,
    pub(crate) sheet: Arc<Sheet>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) queue: VecDeque<OfferItem>,
    pub(crate) wake: Arc<Notify>,
}

/// The entries of a demand's queue.
#[derive(Debug)]
pub(crate) enum DemandItem {
    /// A proposal of a provider, as it was when it came.
    Proposal(Timestamp, Box<ProposalView>),
    /// Our proposal was refused.
    Rejected(Timestamp, Arc<str>, Option<Reason>),
    /// Whatever a test put there.
    Raw(Value),
}

/// The entries of an offer's queue.
#[derive(Debug)]
pub(crate) enum OfferItem {
    Proposal(Box<ProposalView>),
    Rejected(Arc<str>, Option<Reason>),
    Agreement(AgreementId),
}

/// An offer or a demand as lists show it.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) id: Arc<str>,
    pub(crate) owner: NodeId,
    pub(crate) sheet: Arc<Sheet>,
    pub(crate) created: Timestamp,
}

impl Market {
    /// True if the proposal with this hash was answered.
    pub(crate) fn is_countered(&self, hash: &str) -> bool {
        self.proposals.get(hash).is_some_and(|record| record.countered)
    }
}

impl State {
    /// Publishes a demand and shows it every offer that suits it.
    pub(crate) fn subscribe_demand(
        &mut self,
        owner: &NodeId,
        properties: Properties,
        constraints: String,
    ) -> DemandId {
        let id = DemandId::new(self.subscription_id());
        let record = DemandRecord {
            owner: owner.clone(),
            sheet: Arc::new(Sheet::new(properties, constraints)),
            created: self.now,
            expires: after(self.now, SUBSCRIPTION_TTL),
            queue: VecDeque::new(),
            wake: Arc::default(),
        };
        self.market.demands.insert(id.clone(), record);
        self.market.demand_order.push(id.clone());
        for offer in self.market.offer_order.clone() {
            self.propose_initially(&id, &offer);
        }
        id
    }

    /// Publishes an offer and shows it to every demand that suits it.
    pub(crate) fn subscribe_offer(
        &mut self,
        owner: &NodeId,
        properties: Properties,
        constraints: String,
    ) -> OfferId {
        let id = OfferId::new(self.subscription_id());
        let record = OfferRecord {
            owner: owner.clone(),
            sheet: Arc::new(Sheet::new(properties, constraints)),
            created: self.now,
            expires: after(self.now, SUBSCRIPTION_TTL),
            queue: VecDeque::new(),
            wake: Arc::default(),
        };
        self.market.offers.insert(id.clone(), record);
        self.market.offer_order.push(id.clone());
        self.scans.wake.notify_waiters();
        for demand in self.market.demand_order.clone() {
            self.propose_initially(&demand, &id);
        }
        id
    }

    /// Puts an Initial proposal on the demand if both are alive, of different nodes, and suit each other.
    pub(crate) fn propose_initially(&mut self, demand_id: &DemandId, offer_id: &OfferId) {
        let (Some(demand), Some(offer)) =
            (self.market.demands.get(demand_id), self.market.offers.get(offer_id))
        else {
            return;
        };
        let alive = demand.expires > self.now && offer.expires > self.now;
        if !alive || demand.owner == offer.owner || !demand.sheet.suits(&offer.sheet) {
            return;
        }
        if self.is_frozen(&offer.owner) {
            return;
        }
        let sheet = Arc::clone(&offer.sheet);
        let proposal = self.initial_proposal(demand_id, offer_id, sheet);
        let item = DemandItem::Proposal(to_millis(self.now), Box::new(proposal));
        self.queue_for_demand(demand_id, item);
    }

    /// Puts something on a demand's queue; it is lost when the demand is gone, as on the real network.
    pub(crate) fn queue_for_demand(&mut self, demand: &DemandId, item: DemandItem) {
        if let Some(demand) = self.market.demands.get_mut(demand) {
            demand.queue.push_back(item);
            demand.wake.notify_waiters();
        }
    }

    pub(crate) fn queue_for_offer(&mut self, offer: &OfferId, item: OfferItem) {
        if let Some(offer) = self.market.offers.get_mut(offer) {
            offer.queue.push_back(item);
            offer.wake.notify_waiters();
        }
    }

    /// Takes events of a demand; anybody's key may, as the daemon doesn't check.
    pub(crate) fn take_demand_events(
        &mut self,
        id: &DemandId,
        max: usize,
    ) -> Result<Vec<DemandItem>, Refusal> {
        let now = self.now;
        let demand = self.market.demands.get_mut(id).ok_or_else(|| not_found_for_events(id.as_str()))?;
        if demand.expires <= now {
            return Err(expired_for_events(id.as_str()));
        }
        let count = demand.queue.len().min(max);
        Ok(demand.queue.drain(..count).collect())
    }

    /// The notification for those who wait for an offer's events; `None` when it was withdrawn, and never has any.
    pub(crate) fn offer_wake(&self, id: &OfferId) -> Result<Option<Arc<Notify>>, Refusal> {
        match self.market.offers.get(id) {
            Some(offer) if offer.expires <= self.now => Err(expired_for_events(id.as_str())),
            Some(offer) => Ok(Some(Arc::clone(&offer.wake))),
            None if self.market.withdrawn.contains(id) => Ok(None),
            None => Err(not_found_for_events(id.as_str())),
        }
    }

    /// Takes events of one's own offer, for a poll that waits: none when there are none, even when the offer has run
    /// out meanwhile, but a refusal when it was withdrawn.
    pub(crate) fn take_offer_events(&mut self, id: &OfferId) -> Result<Vec<OfferItem>, Refusal> {
        let now = self.now;
        let offer = self.market.offers.get_mut(id).ok_or_else(|| not_found_for_events(id.as_str()))?;
        if offer.expires <= now && !offer.queue.is_empty() {
            return Err(expired_for_events(id.as_str()));
        }
        Ok(offer.queue.drain(..).collect())
    }

    /// One's own demands that live, oldest first.
    pub(crate) fn list_demands(&self, owner: &NodeId) -> Vec<Listing> {
        self.live_demands().filter(|listing| listing.owner == *owner).collect()
    }

    /// All demands that live.
    pub(crate) fn live_demands(&self) -> impl Iterator<Item = Listing> {
        self.market.demand_order.iter().filter_map(|id| {
            let demand = self.market.demands.get(id).filter(|demand| demand.expires > self.now)?;
            Some(Listing {
                id: id.as_str().into(),
                owner: demand.owner.clone(),
                sheet: Arc::clone(&demand.sheet),
                created: demand.created,
            })
        })
    }

    /// All offers that live.
    pub(crate) fn live_offers(&self) -> impl Iterator<Item = Listing> {
        self.market.offer_order.iter().filter_map(|id| {
            let offer = self.market.offers.get(id).filter(|offer| offer.expires > self.now)?;
            Some(Listing {
                id: id.as_str().into(),
                owner: offer.owner.clone(),
                sheet: Arc::clone(&offer.sheet),
                created: offer.created,
            })
        })
    }

    /// Takes a demand off the market.
    pub(crate) fn unsubscribe_demand(&mut self, owner: &NodeId, id: &DemandId) -> Result<(), Refusal> {
        let now = self.now;
        let own =
            self.market.demands.get(id).is_some_and(|demand| demand.owner == *owner && demand.expires > now);
        if !own {
            return Err(Refusal::new(404, format!("Demand [{id}] not found.")));
        }
        self.remove_demand(id);
        Ok(())
    }

    /// Takes an offer off the market.
    pub(crate) fn unsubscribe_offer(&mut self, owner: &NodeId, id: &OfferId) -> Result<(), Refusal> {
        match self.market.offers.get(id) {
            Some(offer) if offer.owner != *owner => {
                Err(Refusal::new(404, format!("Offer [{id}] not found.")))
            }
            None if self.market.withdrawn.contains(id) => {
                Err(Refusal::new(410, format!("Offer [{id}] already unsubscribed.")))
            }
            None => Err(Refusal::new(404, format!("Offer [{id}] not found."))),
            Some(offer) if offer.expires <= self.now => {
                Err(Refusal::new(410, format!("Can't unsubscribe expired Offer [{id}].")))
            }
            Some(_) => {
                if let Some(offer) = self.market.offers.remove(id) {
                    offer.wake.notify_waiters();
                }
                self.market.offer_order.retain(|other| other != id);
                self.market.withdrawn.insert(id.clone());
                Ok(())
            }
        }
    }

    /// Forgets all demands, as a daemon does that is started again.
    pub(crate) fn forget_demands(&mut self) {
        for id in std::mem::take(&mut self.market.demand_order) {
            self.remove_demand(&id);
        }
    }

    fn remove_demand(&mut self, id: &DemandId) {
        if let Some(demand) = self.market.demands.remove(id) {
            demand.wake.notify_waiters();
        }
        self.market.demand_order.retain(|other| other != id);
    }

    fn subscription_id(&mut self) -> String {
        format!("{}-{}", self.hex(32), self.hex(64))
    }
}

fn expired_for_events(id: &str) -> Refusal {
    Refusal::new(404, format!("Subscription [{id}] expired."))
}

fn not_found_for_events(id: &str) -> Refusal {
    Refusal::new(404, format!("Subscription [{id}] not found. Could be unsubscribed."))
}
