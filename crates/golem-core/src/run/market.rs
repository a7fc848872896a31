//! The run's view of the market: its demand, the providers on it and where each negotiation stands.

use yagna_api::market::{NewDemand, Proposal, ProposalState, Reason};
use yagna_api::time::between;
use yagna_api::{DemandId, NodeId, ProposalId, Timestamp};

use super::live::market::{Counter, Market, Published, Refused};
use super::{Effect, Run, Step};
use crate::caps::Refusal;
use crate::event::{EventKind, Provider};
use crate::offer::OfferTerms;
use crate::strategy::Score;
use crate::terms::{NegotiatedTimes, check_draft, counter_terms};

impl Run {
    pub(super) fn on_published(
        &mut self,
        now: Timestamp,
        demand: DemandId,
        expires: Timestamp,
        step: &mut Step,
    ) {
        self.live.market.publishing = false;
        self.live.trouble = None;
        if self.live.stopping.is_some() {
            step.effects.push(Effect::Withdraw { demand });
            return;
        }
        if let Some(old) = self.live.market.withdraw() {
            self.withdraw(now, old, "replaced by a new one", step);
        }
        step.emit(&mut self.books, now, EventKind::DemandPublished { demand: demand.clone(), expires });
        self.live.market.demand = Some(Published { demand, expires, since: now });
    }

    pub(super) fn on_demand_lost(&mut self, now: Timestamp, demand: &DemandId, step: &mut Step) {
        if self.live.market.demand.as_ref().is_some_and(|published| published.demand == *demand) {
            self.live.market.withdraw();
            let why = "the daemon no longer knows it".to_owned();
            step.emit(&mut self.books, now, EventKind::DemandEnded { demand: demand.clone(), why });
        }
    }

    pub(super) fn on_unreadable(&mut self, now: Timestamp, problem: String, step: &mut Step) {
        self.live.market.unreadable += 1;
        step.emit(&mut self.books, now, EventKind::Trouble { doing: "read an offer".into(), problem });
    }

    pub(super) fn on_proposal(
        &mut self,
        now: Timestamp,
        demand: &DemandId,
        proposal: Proposal,
        step: &mut Step,
    ) {
        let current = self.live.market.demand.as_ref().is_some_and(|published| published.demand == *demand);
        if !current || self.live.stopping.is_some() {
            return;
        }
        self.live.market.seen.insert(proposal.issuer_id.clone());
        match proposal.state {
            ProposalState::Draft => self.on_draft(now, &proposal, step),
            ProposalState::Initial => {
                self.live
                    .market
                    .held
                    .insert(proposal.issuer_id.clone(), (demand.clone(), Box::new(proposal)));
            }
            ProposalState::Rejected | ProposalState::Accepted | ProposalState::Expired => {}
        }
    }

    fn on_draft(&mut self, now: Timestamp, proposal: &Proposal, step: &mut Step) {
        let asked = self.live.market.asked_before(proposal);
        if let Some(previous) = &proposal.prev_proposal_id {
            self.live.market.sent.remove(previous);
        }
        let (terms, score) = match self.look_at(now, proposal) {
            Ok(seen) => seen,
            Err(refusal) => return self.refuse_proposal(now, proposal, &refusal, step),
        };
        // It is an offer too: what we would answer to it is what we ask for.
        let settled = self.terms_for(now, &terms).and_then(|ours| {
            let asked = asked.unwrap_or_else(|| NegotiatedTimes::of(&ours.properties));
            check_draft(&asked, &proposal.properties)
        });
        if let Err(refusal) = settled {
            return self.refuse_proposal(now, proposal, &refusal, step);
        }
        self.live.market.refused_by_them.remove(&proposal.issuer_id);
        self.live.market.refused_by_us.remove(&proposal.issuer_id);
        let provider = provider(&terms);
        self.live.market.agreed.insert(provider.id.clone());
        if self.keep_draft(now, proposal.proposal_id.clone(), terms, score) {
            step.emit(&mut self.books, now, EventKind::TermsAgreed { provider });
        }
    }

    /// Reads an offer, and asks the strategy for its score.
    fn look_at(&self, now: Timestamp, proposal: &Proposal) -> Result<(OfferTerms, Score), Refusal> {
        let terms = OfferTerms::read(&proposal.issuer_id, &proposal.properties)?;
        let score = self.appraise(now, &terms)?;
        Ok((terms, score))
    }

    /// The demand with which we would answer an offer.
    fn terms_for(&self, now: Timestamp, offer: &OfferTerms) -> Result<NewDemand, Refusal> {
        let expires = self.live.market.expires().ok_or(Refusal::NoExpiration)?;
        counter_terms(&self.demand(expires), offer, &self.config.terms, now)
    }

    fn refuse_proposal(&mut self, now: Timestamp, proposal: &Proposal, refusal: &Refusal, step: &mut Step) {
        let name = proposal.properties.text(yagna_api::properties::name::NODE_NAME).unwrap_or_default();
        let provider = Provider { id: proposal.issuer_id.clone(), name: name.to_owned() };
        self.refuse(now, &proposal.proposal_id, provider, refusal, step);
    }

    /// Refuses a proposal of the demand that is on the market.
    pub(super) fn refuse(
        &mut self,
        now: Timestamp,
        proposal: &ProposalId,
        provider: Provider,
        refusal: &Refusal,
        step: &mut Step,
    ) {
        let Some(demand) = self.live.market.demand.as_ref().map(|published| published.demand.clone()) else {
            return;
        };
        let reason = refusal.to_string();
        let (group, above) = (refusal.group(), refusal.above_cap());
        let refused = Refused { reason: reason.clone(), group: group.clone(), above };
        // The same refusal of the same provider is told once, however often its offer comes again.
        let told = self.live.market.refused_by_us.insert(provider.id.clone(), refused);
        if told.is_none_or(|told| told.reason != reason) {
            let group = if group == reason { String::new() } else { group };
            step.emit(&mut self.books, now, EventKind::OfferRefused { provider, reason, group, above });
        }
        step.effects.push(Effect::RefuseProposal {
            demand,
            proposal: proposal.clone(),
            reason: Reason::new(refusal.told()).with("golem.requestor.code", refusal.kind()),
        });
    }

    pub(super) fn on_countered(
        &mut self,
        now: Timestamp,
        proposal: &ProposalId,
        ours: &ProposalId,
        step: &mut Step,
    ) {
        let Some(counter) = self.live.market.sending.remove(proposal) else {
            return;
        };
        let early = self.live.market.early.remove(ours);
        self.live.market.forget_early();
        self.live.market.asked.insert(ours.clone(), counter.asked);
        if self.live.market.drafts.contains_key(&counter.provider.id) {
            // Its answer was faster than the news that our question was sent.
            return;
        }
        self.live.market.sent.insert(ours.clone(), counter);
        if let Some(reason) = early {
            self.on_rejected(now, ours, reason, step);
        }
    }

    pub(super) fn on_rejected(
        &mut self,
        now: Timestamp,
        ours: &ProposalId,
        reason: Option<Reason>,
        step: &mut Step,
    ) {
        let Some(counter) = self.live.market.sent.remove(ours) else {
            if !self.live.market.sending.is_empty() {
                self.live.market.early.insert(ours.clone(), reason);
            }
            return;
        };
        let words = match &reason {
            Some(reason) if !reason.message.is_empty() => reason.message.clone(),
            _ => "no reason given".to_owned(),
        };
        self.live.market.refused_by_them.insert(counter.provider.id.clone(), words);
        step.emit(&mut self.books, now, EventKind::RefusedByProvider { provider: counter.provider, reason });
    }

    pub(super) fn on_counter_failed(
        &mut self,
        now: Timestamp,
        proposal: &ProposalId,
        problem: &str,
        step: &mut Step,
    ) {
        let Some(counter) = self.live.market.sending.remove(proposal) else {
            return;
        };
        self.live.market.forget_early();
        self.live.market.refused_by_them.insert(counter.provider.id.clone(), "can't be reached".to_owned());
        let reason = Some(Reason::new(format!("can't be reached: {problem}")));
        step.emit(&mut self.books, now, EventKind::RefusedByProvider { provider: counter.provider, reason });
    }

    /// Publishes the demand where there is none, and anew where it is old.
    pub(super) fn plan_demand(&mut self, now: Timestamp, starving: bool, step: &mut Step) {
        if self.live.market.publishing || self.live.market.not_before.is_some_and(|time| now < time) {
            return;
        }
        let renew = self.live.market.demand.as_ref().is_none_or(|published| {
            let age = between(published.since, now);
            self.demand_is_old(published.since, now) || (starving && age >= Market::RENEW_WHEN_STARVING)
        });
        if renew {
            let expires = yagna_api::time::after(now, self.config.expiration);
            self.live.market.publishing = true;
            step.effects.push(Effect::Publish { demand: Box::new(self.demand(expires)), expires });
        }
    }

    /// Answers the offers of all providers that may be dealt with.
    pub(super) fn plan_negotiations(&mut self, now: Timestamp, step: &mut Step) {
        self.live.market.forget_silent(now);
        let ready: Vec<NodeId> = self
            .live
            .market
            .held
            .keys()
            .filter(|provider| {
                self.live.providers.standings.is_welcome(provider, now) && !self.rents_from(provider)
            })
            .take(Market::MOST_SENDING.saturating_sub(self.live.market.sending.len()))
            .cloned()
            .collect();
        for provider in ready {
            if let Some((demand, proposal)) = self.live.market.held.remove(&provider) {
                self.negotiate(now, &demand, &proposal, step);
            }
        }
    }

    fn negotiate(&mut self, now: Timestamp, demand: &DemandId, proposal: &Proposal, step: &mut Step) {
        let looked = self.look_at(now, proposal);
        let (terms, ours) = match looked.and_then(|(terms, _)| Ok((self.terms_for(now, &terms)?, terms))) {
            Ok((ours, terms)) => (terms, ours),
            Err(refusal) => return self.refuse_proposal(now, proposal, &refusal, step),
        };
        self.live.market.refused_by_us.remove(&proposal.issuer_id);
        let provider = provider(&terms);
        step.emit(
            &mut self.books,
            now,
            EventKind::OfferReceived {
                provider: provider.clone(),
                per_hour: terms.pricing.per_hour(terms.threads),
                start: terms.pricing.start_price(),
            },
        );
        let asked = NegotiatedTimes::of(&ours.properties);
        self.live
            .market
            .sending
            .insert(proposal.proposal_id.clone(), Counter { provider, since: now, asked });
        step.effects.push(Effect::Counter {
            demand: demand.clone(),
            proposal: proposal.proposal_id.clone(),
            terms: Box::new(ours),
        });
    }
}

pub(super) fn provider(terms: &OfferTerms) -> Provider {
    Provider { id: terms.provider.clone(), name: terms.name.clone() }
}
