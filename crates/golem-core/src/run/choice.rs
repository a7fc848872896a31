//! The choice of offers: the strategy is asked when one comes, and again when an agreement is to be made.
//!
//! What is known from earlier runs is part of a provider's record, so strategies go by it. One agreement in
//! [four](Run::FRESH_LOOK) is made as if nothing were known, by the offer and what this run itself has seen: so strangers and
//! those who once did badly are tried beside those who did well, at the same prices as ever.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use yagna_api::time::{after, between};
use yagna_api::{NodeId, ProposalId, Timestamp};

use super::live::market::Draft;
use super::market::provider;
use super::{Run, RunConfig, Step};
use crate::caps::Refusal;
use crate::offer::OfferTerms;
use crate::strategy::{Candidate, Score};

/// The order in which drafts are to be signed, as long as nothing else comes in between.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    /// By all that is known of their providers.
    as_known: Option<VecDeque<NodeId>>,
    /// As if nothing were known from earlier runs.
    afresh: Option<VecDeque<NodeId>>,
}

impl Run {
    /// The number of agreements of which one is made without regard to earlier runs.
    pub(super) const FRESH_LOOK: u64 = 4;

    /// The strategy's verdict on an offer, and on its provider, now.
    pub(super) fn appraise(&self, now: Timestamp, offer: &OfferTerms) -> Result<Score, Refusal> {
        self.ask(&Candidate::new(offer, self.live.providers.records.at(&offer.provider, now), now))
    }

    /// The strategy's verdict when an agreement is to be made. What is refused for what is known stays refused,
    /// whatever is looked at.
    fn appraise_to_sign(
        &self,
        now: Timestamp,
        offer: &OfferTerms,
        looks_fresh: bool,
    ) -> Result<Score, Refusal> {
        let candidate = Candidate::new(offer, self.live.providers.records.at(&offer.provider, now), now);
        let score = self.ask(&candidate)?;
        if !looks_fresh {
            return Ok(score);
        }
        let record = candidate.record.without_memory();
        Ok(self.ask(&Candidate { record, ..candidate }).unwrap_or(score))
    }

    /// True if the next agreement is one that is made as if nothing were known. Agreements of earlier runs are counted
    /// too, so that it comes to that also where each run makes one or two.
    fn looks_fresh(&self) -> bool {
        let known = self.live.providers.records.known_rentals();
        known > 0 && known.wrapping_add(self.next_rental().0).is_multiple_of(Self::FRESH_LOOK)
    }

    fn ask(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        let wanted = self.config.payload.gpu.as_ref();
        if let Some(reason) = wanted.and_then(|wanted| wanted.refusal(&candidate.offer.properties)) {
            return Err(Refusal::because(reason));
        }
        let strategy = &self.config.strategy;
        // It may be anybody's code, and mustn't take the run along.
        catch_unwind(AssertUnwindSafe(|| strategy.appraise(candidate)))
            .unwrap_or(Err(Refusal::StrategyPanicked))
    }

    /// Keeps a provider's draft, unless a better one of the same provider is known; the newer one where both are as
    /// good. `false` where it isn't kept.
    pub(super) fn keep_draft(
        &mut self,
        now: Timestamp,
        proposal: ProposalId,
        terms: OfferTerms,
        score: Score,
    ) -> bool {
        let known = self.live.market.draft(&terms.provider);
        let known = known.and_then(|known| self.appraise(now, &known.terms).ok());
        if known.is_some_and(|known| known > score) {
            return false;
        }
        self.live.market.add_draft(Draft { proposal, terms, received: now });
        true
    }

    /// The provider whose draft is to be signed, if there is one: of those that may be dealt with, and that are of use
    /// for what waits, the one with the best score, and the earlier one of two that are as good.
    ///
    /// What the strategy refuses now is refused.
    pub(super) fn choose(
        &mut self,
        now: Timestamp,
        ranks: &mut Ranks,
        n_counted: usize,
        step: &mut Step,
    ) -> Option<NodeId> {
        if self.too_late_to_sign(now) {
            return None;
        }
        let looks_fresh = self.looks_fresh();
        let ranked = if looks_fresh { &mut ranks.afresh } else { &mut ranks.as_known };
        let ranked = ranked.get_or_insert_with(|| {
            self.rank(now, looks_fresh, step, |run, provider| run.books.has_any_use_for(provider))
        });
        let best = loop {
            match ranked.pop_front() {
                // An offer that was signed a moment ago may be in both orders.
                Some(provider) if self.live.market.draft(&provider).is_none() => {}
                best => break best,
            }
        };
        // With nobody at work one that has failed before is better than none.
        if best.is_none() && n_counted == 0 {
            self.rank(now, looks_fresh, step, |_, _| true).pop_front()
        } else {
            best
        }
    }

    /// True if there is a draft that could be signed now, of a provider that is of use for what waits.
    pub(super) fn has_draft_of_use(&self, now: Timestamp) -> bool {
        self.live.market.drafts().any(|draft| {
            let provider = &draft.terms.provider;
            self.is_welcome(provider, now)
                && self.books.has_any_use_for(provider)
                && self.appraise(now, &draft.terms).is_ok()
        })
    }

    /// True if an agreement made of the demand that is on the market would end before it was of use.
    fn too_late_to_sign(&self, now: Timestamp) -> bool {
        let lifetime = self.config.expiration;
        let least = RunConfig::LEAST_AGREEMENT.min(lifetime.saturating_sub(lifetime / 4));
        self.live.market.expires().is_some_and(|expires| expires < after(now, least))
    }

    fn is_welcome(&self, provider: &NodeId, now: Timestamp) -> bool {
        self.live.providers.standings.is_welcome(provider, now) && !self.rents_from(provider)
    }

    /// The providers whose drafts could be signed, the best first. What the strategy refuses now is refused.
    fn rank(
        &mut self,
        now: Timestamp,
        looks_fresh: bool,
        step: &mut Step,
        is_of_use: impl Fn(&Self, &NodeId) -> bool,
    ) -> VecDeque<NodeId> {
        let mut ranked: Vec<(Score, &Draft)> = Vec::new();
        let mut refused = Vec::new();
        for draft in self.live.market.drafts() {
            let provider = &draft.terms.provider;
            if !self.is_welcome(provider, now) || !is_of_use(self, provider) {
                continue;
            }
            match self.appraise_to_sign(now, &draft.terms, looks_fresh) {
                Ok(score) => ranked.push((score, draft)),
                Err(refusal) => refused.push((provider.clone(), refusal)),
            }
        }
        ranked.sort_by(|(score, draft), (other, than)| {
            let by_score = other.partial_cmp(score).unwrap_or(Ordering::Equal);
            by_score.then(draft.received.cmp(&than.received))
        });
        let ranked = ranked.into_iter().map(|(_, draft)| draft.terms.provider.clone()).collect();
        for (id, refusal) in refused {
            if let Some(draft) = self.live.market.take_draft(&id) {
                self.refuse(now, &draft.proposal, provider(&draft.terms), &refusal, step);
            }
        }
        ranked
    }

    /// The age at which a demand is published anew. Agreements that are made late in its life are short, and providers
    /// refuse those that are very short.
    pub(super) fn demand_is_old(&self, since: Timestamp, now: Timestamp) -> bool {
        let lifetime = self.config.expiration;
        let in_time = lifetime.saturating_sub(RunConfig::LEAST_AGREEMENT).max(lifetime / 4);
        between(since, now) >= Self::RENEW_AFTER.min(lifetime / 2).min(in_time)
    }
}
