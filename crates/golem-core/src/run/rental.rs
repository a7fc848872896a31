//! One deal with one provider: where it stands, what it does, what it may still cost.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use yagna_api::market::Reason;
use yagna_api::time::after;
use yagna_api::{ActivityId, AgreementId, Glm, Timestamp};

use super::RunConfig;
use crate::bill::{GRACE, Meter};
use crate::event::{Attempt, Bill, Provider};
use crate::offer::OfferTerms;
use crate::terms::AgreedTerms;

/// Where a deal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The agreement is being made.
    Signing,
    /// The activity is being made and prepared.
    Opening,
    /// The worker takes tasks.
    Working,
    /// The activity and the agreement are being ended.
    Closing,
    /// Both are over; its bill may still come.
    Closed,
}

#[derive(Debug)]
pub(super) struct Rental {
    pub(super) provider: Provider,
    pub(super) terms: OfferTerms,
    pub(super) stage: Stage,
    pub(super) since: Timestamp,
    /// When the agreement ends by itself.
    pub(super) expires: Timestamp,
    pub(super) agreement: Option<AgreementId>,
    /// Has the provider ended the agreement, or did it never come about?
    pub(super) agreement_over: bool,
    pub(super) activity: Option<ActivityId>,
    pub(super) agreed: AgreedTerms,
    pub(super) meter: Option<Meter>,
    pub(super) running: HashMap<Attempt, Timestamp>,
    /// How many tasks the worker waits for; `None` while it is busy.
    pub(super) room: Option<usize>,
    pub(super) idle_since: Option<Timestamp>,
    /// Tasks that it has done.
    pub(super) done: u64,
    /// Was it ever given a task?
    pub(super) was_given: bool,
    /// Failures since the last success of tasks that have failed nowhere else.
    pub(super) streak: u32,
    pub(super) failure: Option<String>,
    /// Why we ended it, once we have.
    pub(super) ending: Option<Reason>,
    /// GLM of accepted bills: the highest debit note, then the invoice.
    pub(super) accepted: Glm,
    /// Bills being accepted.
    pub(super) accepting: HashMap<Bill, Accepting>,
    /// Every bill that has been dealt with: a bill that comes twice is paid once.
    pub(super) seen_bills: HashSet<Bill>,
    pub(super) invoice: InvoiceState,
}

/// A bill that is being accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepting {
    pub(super) amount: Glm,
    /// How often that has failed.
    pub(super) failures: u32,
}

/// What is known of a deal's final bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvoiceState {
    /// None yet.
    Awaited,
    /// It came and is being accepted.
    Accepting,
    /// It was accepted.
    Accepted,
    /// It was refused, or none is owed.
    Closed,
}

impl Rental {
    pub(super) fn new(provider: Provider, terms: OfferTerms, expires: Timestamp, now: Timestamp) -> Self {
        Self {
            provider,
            terms,
            stage: Stage::Signing,
            since: now,
            expires,
            agreement: None,
            agreement_over: false,
            activity: None,
            agreed: AgreedTerms::default(),
            meter: None,
            running: HashMap::new(),
            room: None,
            idle_since: None,
            done: 0,
            was_given: false,
            streak: 0,
            failure: None,
            ending: None,
            accepted: Glm::ZERO,
            accepting: HashMap::new(),
            seen_bills: HashSet::new(),
            invoice: InvoiceState::Awaited,
        }
    }

    /// Is it being made or at work?
    pub(super) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Signing | Stage::Opening | Stage::Working)
    }

    /// Takes an activity for its own, if one was asked for and its id never came back: then its provider may have
    /// made it all the same, and only its bills tell of it.
    pub(super) fn adopt(&mut self, activity: &ActivityId) {
        if self.activity.is_none() && self.meter.is_some() {
            self.activity = Some(activity.clone());
        }
    }

    /// Can a task be given to it now?
    pub(super) fn takes_tasks(&self, now: Timestamp) -> bool {
        self.stage == Stage::Working && after(now, RunConfig::EXPIRY_MARGIN) < self.expires
    }

    /// What the provider can rightly bill by now: by the usage it last reported, or else by the clock.
    pub(super) fn cost_so_far(&self, now: Timestamp) -> Option<Glm> {
        let meter = self.meter.as_ref()?;
        let reported = meter.reported.as_deref().and_then(|usage| self.terms.pricing.cost(usage));
        let reported = reported.and_then(Glm::from_decimal_rounding_down);
        let at_most = || self.terms.pricing.cost_at_full_use(meter.life(now), self.terms.threads);
        Some(reported.unwrap_or_else(at_most).max(self.accepted))
    }

    /// Is a final bill to be expected?
    pub(super) fn awaits_invoice(&self) -> bool {
        matches!(self.invoice, InvoiceState::Awaited | InvoiceState::Accepting) && self.meter.is_some()
    }

    /// GLM that it can still bill beyond what was accepted, if it were stopped only `horizon` from now.
    pub(super) fn exposure(&self, now: Timestamp, horizon: Duration) -> Glm {
        let most = match (&self.meter, self.stage) {
            // Nothing runs, and nothing will be billed.
            (None, Stage::Closing | Stage::Closed) => return Glm::ZERO,
            (Some(_), _) if !self.awaits_invoice() => return Glm::ZERO,
            (Some(meter), _) => meter.ceiling(&self.terms.pricing, after(now, horizon)),
            (None, Stage::Signing | Stage::Opening | Stage::Working) => {
                let age = horizon + GRACE;
                self.terms.pricing.cost_at_full_use(age, self.terms.threads)
            }
        };
        most.saturating_sub(self.accepted)
    }
}

impl Rental {
    /// GLM that accepted bills promise, those being accepted included.
    pub(super) fn promised(&self) -> Glm {
        self.accepting.values().map(|accepting| accepting.amount).fold(self.accepted, Glm::max)
    }
}
