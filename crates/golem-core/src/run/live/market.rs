//! The market as a process sees it: its demand, the providers on it and where each negotiation stands.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use yagna_api::market::{Proposal, Reason};
use yagna_api::time::{after, between};
use yagna_api::{DemandId, Glm, NodeId, ProposalId, Timestamp};

use crate::event::Provider;
use crate::offer::OfferTerms;
use crate::raise::{AboveCap, CappedPrice};
use crate::run::RunConfig;
use crate::terms::NegotiatedTimes;

/// The reason for which a provider was refused.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::run) struct Refused {
    /// In full.
    pub(in crate::run) reason: String,
    /// In words that many providers share.
    pub(in crate::run) group: String,
    /// The price that is above its cap, if that was the reason.
    pub(in crate::run) above: Option<AboveCap>,
}

/// A provider's consent to our terms: an agreement can be made of it.
#[derive(Debug, Clone)]
pub(in crate::run) struct Draft {
    pub(in crate::run) proposal: ProposalId,
    pub(in crate::run) terms: OfferTerms,
    pub(in crate::run) received: Timestamp,
}

#[derive(Debug)]
pub(in crate::run) struct Counter {
    pub(in crate::run) provider: Provider,
    pub(in crate::run) since: Timestamp,
    /// The times that we asked for.
    pub(in crate::run) asked: NegotiatedTimes,
}

#[derive(Debug, Default)]
pub(in crate::run) struct Market {
    pub(in crate::run) demand: Option<Published>,
    pub(in crate::run) publishing: bool,
    pub(in crate::run) not_before: Option<Timestamp>,
    /// Offers that wait until their provider may be dealt with.
    pub(in crate::run) held: BTreeMap<NodeId, (DemandId, Box<Proposal>)>,
    /// Counter-proposals on their way, by the proposal they answer.
    pub(in crate::run) sending: HashMap<ProposalId, Counter>,
    /// Counter-proposals that wait for an answer, by their own id.
    pub(in crate::run) sent: HashMap<ProposalId, Counter>,
    /// The times that each of our counter-proposals asked for, by its own id: its answer may come after a refusal.
    pub(in crate::run) asked: HashMap<ProposalId, NegotiatedTimes>,
    /// Refusals that came before we knew the id of the counter-proposal they answer.
    pub(in crate::run) early: HashMap<ProposalId, Option<Reason>>,
    pub(in crate::run) drafts: BTreeMap<NodeId, Draft>,
    /// The moment at which the first draft of all came.
    pub(in crate::run) first_draft: Option<Timestamp>,
    /// The moment at which the newest draft came.
    pub(in crate::run) last_draft: Option<Timestamp>,
    pub(in crate::run) seen: HashSet<NodeId>,
    /// Providers that agreed to our terms at least once.
    pub(in crate::run) agreed: HashSet<NodeId>,
    /// Providers that approved an agreement at least once.
    pub(in crate::run) signed: HashSet<NodeId>,
    pub(in crate::run) refused_by_us: HashMap<NodeId, Refused>,
    pub(in crate::run) unreadable: u64,
    pub(in crate::run) refused_by_them: HashMap<NodeId, String>,
}

#[derive(Debug)]
pub(in crate::run) struct Published {
    pub(in crate::run) demand: DemandId,
    pub(in crate::run) expires: Timestamp,
    pub(in crate::run) since: Timestamp,
}

impl Market {
    /// The time that a provider may take to answer a counter-proposal before we stop counting on it.
    pub(in crate::run) const ANSWER_TIME: Duration = Duration::from_secs(60);
    /// While nothing runs, the demand is published anew this often, so that every offer comes again.
    pub(in crate::run) const RENEW_WHEN_STARVING: Duration = Duration::from_secs(60);
    /// A pause after a publication failed.
    pub(in crate::run) const PUBLISH_PAUSE: Duration = Duration::from_secs(2);
    /// Counter-proposals on their way at the same time, at most.
    pub(in crate::run) const MOST_SENDING: usize = 16;

    pub(in crate::run) fn is_published(&self) -> bool {
        self.demand.is_some()
    }

    pub(in crate::run) fn is_publishing(&self) -> bool {
        self.publishing
    }

    pub(in crate::run) fn expires(&self) -> Option<Timestamp> {
        self.demand.as_ref().map(|published| published.expires)
    }

    pub(in crate::run) fn publishing_failed(&mut self, now: Timestamp) {
        self.publishing = false;
        self.not_before = Some(yagna_api::time::after(now, Self::PUBLISH_PAUSE));
    }

    /// Takes the demand off the market; what was negotiated from it is void.
    pub(in crate::run) fn withdraw(&mut self) -> Option<DemandId> {
        self.held.clear();
        self.drafts.clear();
        self.sending.clear();
        self.sent.clear();
        self.asked.clear();
        self.early.clear();
        self.demand.take().map(|published| published.demand)
    }

    pub(in crate::run) fn drafts(&self) -> impl Iterator<Item = &Draft> {
        self.drafts.values()
    }

    pub(in crate::run) fn draft(&self, provider: &NodeId) -> Option<&Draft> {
        self.drafts.get(provider)
    }

    pub(in crate::run) fn add_draft(&mut self, draft: Draft) {
        self.first_draft.get_or_insert(draft.received);
        self.last_draft = Some(draft.received);
        self.drafts.insert(draft.terms.provider.clone(), draft);
    }

    /// The moment until which offers are collected before the first of them are chosen, once one has come.
    ///
    /// A short window ends early where as many as are `wanted` are there, or nobody else is being asked, and no more come.
    pub(in crate::run) fn collects_until(&self, window: Duration, wanted: usize) -> Option<Timestamp> {
        let end = after(self.first_draft?, window);
        let has_enough = self.drafts.len() >= wanted || (self.held.is_empty() && self.n_unanswered() == 0);
        if window > RunConfig::SHORT_WINDOW || !has_enough {
            return Some(end);
        }
        Some(self.last_draft.map_or(end, |last| after(last, RunConfig::QUIET).min(end)))
    }

    pub(in crate::run) fn take_draft(&mut self, provider: &NodeId) -> Option<Draft> {
        self.drafts.remove(provider)
    }

    pub(in crate::run) fn n_drafts(&self) -> u64 {
        self.drafts.len() as u64
    }

    pub(in crate::run) fn n_unanswered(&self) -> u64 {
        (self.sending.len() + self.sent.len()) as u64
    }

    /// Providers that agreed to our terms or are being asked.
    pub(in crate::run) fn in_sight(&self) -> impl Iterator<Item = &NodeId> {
        let asked = self.sending.values().chain(self.sent.values()).map(|counter| &counter.provider.id);
        self.drafts.keys().chain(asked)
    }

    /// Providers whose offers wait until they may be dealt with.
    pub(in crate::run) fn waiting(&self) -> impl Iterator<Item = &NodeId> {
        self.held.keys()
    }

    /// The number of providers that could be dealt with: all that were seen but those we refuse, unless they are among these.
    pub(in crate::run) fn n_usable(&self, these: &HashSet<NodeId>) -> usize {
        let usable =
            |provider: &&NodeId| these.contains(*provider) || !self.refused_by_us.contains_key(*provider);
        self.seen.iter().filter(usable).count()
    }

    /// GLM an hour of the cheapest offer that was refused for its price.
    pub(in crate::run) fn cheapest_refused(&self) -> Option<Glm> {
        self.prices_refused().filter(|above| above.of == CappedPrice::PerHour).map(|above| above.price).min()
    }

    /// The prices for which offers were refused.
    pub(in crate::run) fn prices_refused(&self) -> impl Iterator<Item = AboveCap> {
        self.refused_by_us.values().filter_map(|refused| refused.above)
    }

    pub(in crate::run) fn n_seen(&self) -> u64 {
        self.seen.len() as u64 + self.unreadable
    }

    pub(in crate::run) fn refusals_by_us(&self) -> BTreeMap<String, u64> {
        let mut counts = count(self.refused_by_us.values().map(|refused| &refused.group));
        if self.unreadable > 0 {
            counts.insert("malformed offer".to_owned(), self.unreadable);
        }
        counts
    }

    pub(in crate::run) fn refusals_by_them(&self) -> BTreeMap<String, u64> {
        count(self.refused_by_them.values())
    }

    /// With no question on its way, refusals that fit none are of no use.
    pub(in crate::run) fn forget_early(&mut self) {
        if self.sending.is_empty() {
            self.early.clear();
        }
    }

    /// The times that we asked for in the counter-proposal that this draft answers, where they are known.
    pub(in crate::run) fn asked_before(&self, draft: &Proposal) -> Option<NegotiatedTimes> {
        let known = draft.prev_proposal_id.as_ref().and_then(|ours| self.asked.get(ours));
        // Its answer may be faster than the news that our question was sent.
        let on_its_way = || self.sending.values().find(|counter| counter.provider.id == draft.issuer_id);
        known.copied().or_else(|| on_its_way().map(|counter| counter.asked))
    }

    /// Stops counting on providers that haven't answered in time.
    pub(in crate::run) fn forget_silent(&mut self, now: Timestamp) {
        self.sent.retain(|_, counter| between(counter.since, now) < Self::ANSWER_TIME);
    }
}

fn count<'a>(reasons: impl Iterator<Item = &'a String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason.clone()).or_default() += 1;
    }
    counts
}
