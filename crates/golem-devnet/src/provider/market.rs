//! The agent's market half: its offer, its negotiations, and the agreements it makes of them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::{debug, error, info, warn};
use yagna_api::market::{Agreement, AgreementEvent, AgreementEventKind, Proposal};
use yagna_api::{AgreementId, ApiError, OfferId, ProposalId};

use super::behaviour::ApprovalManner;
use super::negotiation::{Verdict, negotiate};
use super::offer::{VPN, offer};
use super::persist::persist;
use super::poll::{Input, follow_offer};
use super::rental::{Rental, RentalInput};
use super::shared::Shared;
use crate::news::HappeningKind;
use crate::port::{OfferEvent, Terms};
use crate::runtime::Runtime as _;

/// So many of our drafts are remembered; an answer to an older one is judged against the offer itself.
const DRAFTS: usize = 256;
/// So many refused proposals wait for a free slot.
const POSTPONED: usize = 256;
/// Far more than one agreement's events can pile up while it speaks with its daemon.
const RENTAL_INBOX: usize = 1024;

/// The state of one provider's business.
pub(crate) struct Market {
    shared: Arc<Shared>,
    inbox: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
    published: Option<Published>,
    drafts: VecDeque<(ProposalId, Terms)>,
    postponed: VecDeque<Proposal>,
    /// Agreements proposed to us that aren't decided.
    proposed: VecDeque<AgreementId>,
    /// Agreements that take a slot.
    active: HashSet<AgreementId>,
    /// Agreements whose task still lives, if only for the invoice.
    rentals: HashMap<AgreementId, mpsc::Sender<RentalInput>>,
}

struct Published {
    id: OfferId,
    terms: Terms,
    poll: AbortHandle,
}

impl Market {
    /// Tasks of the business go into `tasks`, what happens comes through `inbox` back to [`Market::on`].
    pub(crate) fn new(shared: Arc<Shared>, inbox: mpsc::Sender<Input>, tasks: JoinSet<()>) -> Self {
        Self {
            shared,
            inbox,
            tasks,
            published: None,
            drafts: VecDeque::new(),
            postponed: VecDeque::new(),
            proposed: VecDeque::new(),
            active: HashSet::new(),
            rentals: HashMap::new(),
        }
    }

    /// Waits for the end of a task, and frees the slot of an agreement that has ended by a panic.
    ///
    /// True when it did. Cancel safe.
    pub(crate) async fn reap(&mut self) -> bool {
        match self.tasks.join_next().await {
            Some(Err(failure)) if failure.is_panic() => {
                error!(provider = %self.shared.config.name, %failure, "a provider's task has panicked");
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
        let over: Vec<_> =
            self.rentals.iter().filter(|(_, rental)| rental.is_closed()).map(|(id, _)| id.clone()).collect();
        let mut freed = false;
        for agreement in over {
            self.rentals.remove(&agreement);
            // One that ended as it should has freed its slot before.
            freed |= self.active.remove(&agreement);
        }
        freed
    }

    /// Puts the offer on the market, in place of the last one.
    pub(crate) async fn publish(&mut self) {
        let shared = Arc::clone(&self.shared);
        let port = &shared.port;
        let flaw = shared.manners.behaviour().offer_flaw;
        let vpn = self.serves_vpn().await;
        let terms = offer(&shared.config, vpn, &port.node(), shared.clock.now(), flaw);
        match persist("publish an offer", || port.subscribe_offer(terms.clone())).await {
            Ok(id) => {
                info!(provider = %shared.config.name, offer = %id, "an offer is on the market");
                shared.news.tell(|| HappeningKind::OfferPublished { offer: id.clone() });
                let (inbox, offer) = (self.inbox.clone(), id.clone());
                let task_shared = Arc::clone(&shared);
                let poll = self.tasks.spawn(async move { follow_offer(&task_shared, offer, inbox).await });
                if let Some(old) = shared.replace_offer(Some(id.clone()))
                    && let Err(error) = port.unsubscribe_offer(&old).await
                {
                    debug!(offer = %old, %error, "the last offer was gone before");
                }
                if let Some(old) = self.published.replace(Published { id, terms, poll }) {
                    old.poll.abort();
                }
                shared.manners.set_published();
            }
            Err(error) => error!(provider = %shared.config.name, %error, "the offer is refused"),
        }
    }

    /// True if the provider may offer virtual networks. One that is set up to offer them, but can't, says so.
    async fn serves_vpn(&self) -> bool {
        let shared = &self.shared;
        if !shared.config.capabilities.iter().any(|capability| capability == VPN) {
            return false;
        }
        match shared.runtime.vpn().await {
            Ok(()) => true,
            Err(reason) => {
                warn!(
                    provider = %shared.config.name,
                    reason,
                    "no virtual networks here: the offer doesn't have the capability `vpn`"
                );
                false
            }
        }
    }

    /// Takes the offer off the market.
    pub(crate) async fn withdraw(&mut self) {
        if let Some(published) = self.published.take() {
            published.poll.abort();
            drop(self.shared.replace_offer(None));
            if let Err(error) = self.shared.port.unsubscribe_offer(&published.id).await {
                debug!(%error, "the offer was gone before");
            }
        }
    }

    /// Reacts to what happened.
    pub(crate) async fn on(&mut self, input: Input) {
        match input {
            Input::Offer(offer, event) => {
                if self.published.as_ref().is_some_and(|published| published.id == offer) {
                    self.on_offer(event).await;
                }
            }
            Input::OfferLost(offer) => {
                if self.published.as_ref().is_some_and(|published| published.id == offer) {
                    info!(provider = %self.shared.config.name, "the offer has run out");
                    self.publish().await;
                }
            }
            Input::Decide(agreement) => self.decide(&agreement).await,
            Input::Agreement(event) => self.on_agreement(&event),
            Input::Activity(event) => {
                let agreement = event.agreement.clone();
                self.tell(&agreement, RentalInput::Activity(event));
            }
            Input::DebitNote(event) => {
                let shared = &self.shared;
                shared.bills.on_debit_note(&event.debit_note_id, &event.kind, &shared.news);
                let rentals: Vec<_> = self.rentals.keys().cloned().collect();
                for rental in rentals {
                    self.tell(&rental, RentalInput::DebitNote(event.clone()));
                }
            }
            Input::Invoice(event) => {
                debug!(invoice = %event.invoice_id, kind = ?event.kind, "an invoice's fate");
                self.shared.bills.on_invoice(&event.invoice_id, &event.kind, &self.shared.news);
            }
            Input::Freed(agreement) => {
                self.active.remove(&agreement);
                self.renegotiate().await;
            }
        }
    }

    async fn on_offer(&mut self, event: OfferEvent) {
        match event {
            OfferEvent::Proposal(proposal) => self.answer(proposal).await,
            OfferEvent::Rejected { proposal, reason } => {
                debug!(%proposal, ?reason, "our proposal is refused");
                self.shared.news.tell(|| HappeningKind::ProposalRejected { proposal, reason });
            }
            OfferEvent::Agreement(agreement) => self.on_proposed(agreement).await,
        }
    }

    async fn answer(&mut self, proposal: Proposal) {
        match self.judge(&proposal) {
            Verdict::Agreed(terms) | Verdict::Counter(terms) => self.counter(&proposal, terms).await,
            Verdict::Reject { message, is_final } => {
                let Some(published) = &self.published else { return };
                let reason = Verdict::reason(message, is_final);
                debug!(proposal = %proposal.proposal_id, ?reason, "refused");
                self.shared.news.tell(|| HappeningKind::ProposalRefused {
                    proposal: proposal.proposal_id.clone(),
                    requestor: proposal.issuer_id.clone(),
                    reason: reason.clone(),
                });
                let refused = self
                    .shared
                    .port
                    .reject_proposal(&published.id, &proposal.proposal_id, Some(reason))
                    .await;
                match refused {
                    Ok(()) => {}
                    Err(error) if is_about_a_lost_demand(&error) => {
                        debug!(proposal = %proposal.proposal_id, %error, "nobody is there to be refused");
                    }
                    Err(error) => {
                        warn!(proposal = %proposal.proposal_id, %error, "the refusal can't be sent");
                    }
                }
                if !is_final {
                    self.postpone(proposal);
                }
            }
            Verdict::Ignore(why) => {
                warn!(proposal = %proposal.proposal_id, why, "a proposal can't be understood");
            }
        }
    }

    fn judge(&self, proposal: &Proposal) -> Verdict {
        let Some(published) = &self.published else {
            return Verdict::Ignore("no offer on the market");
        };
        let last = proposal.prev_proposal_id.as_ref();
        let ours =
            self.drafts.iter().find(|(id, _)| Some(id) == last).map_or(&published.terms, |(_, terms)| terms);
        let limits = &self.shared.config.limits;
        negotiate(&proposal.properties, ours, limits, self.active.len(), self.shared.clock.now())
    }

    async fn counter(&mut self, proposal: &Proposal, terms: Terms) {
        let Some(published) = &self.published else { return };
        match self.shared.port.counter_proposal(&published.id, &proposal.proposal_id, terms.clone()).await {
            Ok(draft) => {
                if self.drafts.len() == DRAFTS {
                    self.drafts.pop_front();
                }
                self.drafts.push_back((draft, terms));
            }
            Err(error) => debug!(proposal = %proposal.proposal_id, %error, "the draft can't be sent"),
        }
    }

    fn postpone(&mut self, proposal: Proposal) {
        if self.postponed.len() == POSTPONED {
            self.postponed.pop_front();
        }
        self.postponed.push_back(proposal);
    }

    /// A slot is free: whoever was refused, but not for good, gets a draft if the rules allow it now.
    pub(crate) async fn renegotiate(&mut self) {
        for proposal in std::mem::take(&mut self.postponed) {
            match self.judge(&proposal) {
                Verdict::Agreed(terms) | Verdict::Counter(terms) => self.counter(&proposal, terms).await,
                Verdict::Reject { is_final: false, .. } => self.postpone(proposal),
                Verdict::Reject { is_final: true, .. } | Verdict::Ignore(_) => {}
            }
        }
    }

    async fn on_proposed(&mut self, agreement: Box<Agreement>) {
        self.shared.news.tell(|| HappeningKind::AgreementProposed {
            agreement: agreement.agreement_id.clone(),
            requestor: agreement.demand.requestor_id.clone(),
        });
        if self.proposed.len() == POSTPONED {
            self.proposed.pop_front();
        }
        self.proposed.push_back(agreement.agreement_id.clone());
        match self.shared.manners.behaviour().approval {
            ApprovalManner::AtOnce => self.decide(&agreement).await,
            ApprovalManner::After(time) => {
                let inbox = self.inbox.clone();
                self.tasks.spawn(async move {
                    sleep(time).await;
                    // The agent listens as long as its tasks live.
                    drop(inbox.send(Input::Decide(agreement)).await);
                });
            }
            ApprovalManner::Never => self.ignore(&agreement, "it never answers"),
            ApprovalManner::Rejects => {
                self.reject(&agreement.agreement_id, "I'd rather not.", false).await;
            }
        }
    }

    async fn decide(&mut self, agreement: &Agreement) {
        let id = &agreement.agreement_id;
        let ours = Terms {
            properties: agreement.offer.properties.clone(),
            constraints: agreement.offer.constraints.clone(),
        };
        let limits = &self.shared.config.limits;
        let now = self.shared.clock.now();
        match negotiate(&agreement.demand.properties, &ours, limits, self.active.len(), now) {
            Verdict::Agreed(_) => self.approve(agreement).await,
            Verdict::Counter(_) => self.reject(id, "Negotiations aren't finished.", false).await,
            Verdict::Reject { message, is_final } => self.reject(id, &message, is_final).await,
            Verdict::Ignore(why) => self.ignore(agreement, why),
        }
    }

    /// Forgets that an agreement is open; false if it wasn't.
    fn decided(&mut self, agreement: &AgreementId) -> bool {
        let before = self.proposed.len();
        self.proposed.retain(|open| open != agreement);
        self.proposed.len() < before
    }

    async fn approve(&mut self, agreement: &Agreement) {
        let id = &agreement.agreement_id;
        if !self.decided(id) {
            debug!(agreement = %id, "its requestor took it back before it was approved");
            return;
        }
        // Before the daemon knows: the first activity may be asked for before the call returns.
        self.active.insert(id.clone());
        if let Err(error) = self.shared.port.approve_agreement(id, None).await {
            info!(agreement = %id, %error, "the approval came too late");
            let reason = Some(error.message);
            self.shared.news.tell(|| HappeningKind::AgreementLost { agreement: id.clone(), reason });
            self.active.remove(id);
            self.renegotiate().await;
            return;
        }
        self.shared.news.tell(|| HappeningKind::AgreementApproved { agreement: id.clone() });
        let (sender, receiver) = mpsc::channel(RENTAL_INBOX);
        self.rentals.insert(id.clone(), sender);
        let rental = Rental::new(Arc::clone(&self.shared), agreement);
        self.tasks.spawn(rental.run(receiver, self.inbox.clone()));
    }

    async fn reject(&mut self, agreement: &AgreementId, message: &str, is_final: bool) {
        let open = self.decided(agreement);
        let reason = Verdict::reason(message, is_final);
        let told = match self.shared.port.reject_agreement(agreement, Some(reason.clone())).await {
            Ok(()) => HappeningKind::AgreementRefused { agreement: agreement.clone(), reason },
            Err(error) => {
                debug!(%agreement, %error, "the agreement was gone before it could be refused");
                if !open {
                    return;
                }
                HappeningKind::AgreementLost { agreement: agreement.clone(), reason: Some(error.message) }
            }
        };
        self.shared.news.tell(|| told);
    }

    fn ignore(&self, agreement: &Agreement, why: &str) {
        debug!(agreement = %agreement.agreement_id, why, "an agreement gets no answer");
        let agreement = agreement.agreement_id.clone();
        self.shared.news.tell(|| HappeningKind::AgreementIgnored { agreement });
    }

    fn on_agreement(&mut self, event: &AgreementEvent) {
        match &event.kind {
            AgreementEventKind::Terminated(end) => {
                self.tell(&event.agreement_id, RentalInput::Terminated(end.reason.clone()));
            }
            AgreementEventKind::Cancelled { reason } => {
                // Events of this identity may be about another provider's agreements.
                if self.decided(&event.agreement_id) {
                    self.shared.news.tell(|| HappeningKind::AgreementLost {
                        agreement: event.agreement_id.clone(),
                        reason: reason.as_ref().map(|reason| reason.message.clone()),
                    });
                }
                self.tell(&event.agreement_id, RentalInput::Terminated(reason.clone()));
            }
            AgreementEventKind::Approved | AgreementEventKind::Rejected { .. } => {}
        }
    }

    fn tell(&mut self, agreement: &AgreementId, input: RentalInput) {
        let Some(rental) = self.rentals.get(agreement) else {
            debug!(%agreement, ?input, "an event of an agreement that is over");
            return;
        };
        match rental.try_send(input) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => drop(self.rentals.remove(agreement)),
            Err(TrySendError::Full(input)) => {
                error!(%agreement, ?input, "an agreement takes no events, so this one is lost");
            }
        }
    }
}

/// Its requestor has withdrawn its demand, as it does at the end of its job, or the demand has run out.
fn is_about_a_lost_demand(error: &ApiError) -> bool {
    matches!(error.status, 400 | 404 | 410) && error.message.contains("Subscription [")
}

/// The time that a provider may take to withdraw its offer at its end.
pub(crate) const WITHDRAWAL: Duration = Duration::from_secs(2);
