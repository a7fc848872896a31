//! A provider's direct line to its daemon: [`Port`] without HTTP in between.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use yagna_api::activity::{ActivityState, ActivityUsage};
use yagna_api::market::{AgreementEvent, Reason};
use yagna_api::payment::{DebitNote, DebitNoteEvent, Invoice, InvoiceEvent};
use yagna_api::{
    ActivityId, AgreementId, AppSessionId, DebitNoteId, InvoiceId, NetworkId, NodeId, OfferId, ProposalId,
    Timestamp,
};

use super::market::OfferItem;
use super::negotiation::{Side, hash_of};
use super::payment::{Bill, BillEntry, BillKind, Paper};
use super::refusal::Refusal;
use super::{State, World};
use crate::port::{
    ActivityEvent, BusError, BusValue, ExeUnitService, NewDebitNote, NewInvoice, OfferEvent, Port,
    PortResult, Terms, VpnEnd, VpnSeat,
};

/// The most events that one poll returns.
const MAX_EVENTS: usize = 100;

/// A provider node of a [`World`].
#[derive(Debug, Clone)]
pub struct LocalPort {
    world: World,
    node: NodeId,
}

impl LocalPort {
    pub(crate) fn new(world: World, node: NodeId) -> Self {
        Self { world, node }
    }

    /// Changes or reads the state at once, but not while this node is frozen.
    async fn act<R>(&self, act: impl FnOnce(&mut State) -> Result<R, Refusal>) -> PortResult<R> {
        self.thawed().await;
        Ok(self.world.with(act)?)
    }

    /// A frozen node's own agent gets no answers either.
    async fn thawed(&self) {
        while self.world.with(|state| state.is_frozen(&self.node)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn bill_events(
        &self,
        paper: Paper,
        after: Timestamp,
        wait: Duration,
    ) -> Vec<(Timestamp, BillEntry)> {
        self.thawed().await;
        let wake = self.world.with(|state| Arc::clone(&state.node(&self.node).bill_wake));
        let look = |state: &mut State| {
            let as_provider = |entry: &BillEntry| entry.role == Side::Provider;
            let found = state.bill_events(&self.node, paper, Some(after), MAX_EVENTS, None, as_provider);
            (!found.is_empty()).then_some(found)
        };
        let step = self.world.0.delays.payment_poll;
        self.world.wait(&wake, Instant::now() + wait, step, look).await.unwrap_or_default()
    }
}

impl Port for LocalPort {
    fn node(&self) -> NodeId {
        self.node.clone()
    }

    fn subscribe_offer(&self, offer: Terms) -> BoxFuture<'_, PortResult<OfferId>> {
        self.act(move |state| Ok(state.subscribe_offer(&self.node, offer.properties, offer.constraints)))
            .boxed()
    }

    fn unsubscribe_offer<'a>(&'a self, offer: &'a OfferId) -> BoxFuture<'a, PortResult<()>> {
        self.act(move |state| state.unsubscribe_offer(&self.node, offer)).boxed()
    }

    fn offer_events<'a>(
        &'a self,
        offer: &'a OfferId,
        wait: Duration,
    ) -> BoxFuture<'a, PortResult<Vec<OfferEvent>>> {
        async move {
            self.thawed().await;
            let Some(wake) = self.world.with(|state| state.offer_wake(offer))? else {
                // The daemon lets its provider wait for what can't come.
                tokio::time::sleep(wait).await;
                return Ok(Vec::new());
            };
            let look = |state: &mut State| {
                if state.is_frozen(&self.node) {
                    return None;
                }
                let items = match state.take_offer_events(offer) {
                    Ok(items) => items,
                    Err(refusal) => return Some(Err(refusal)),
                };
                (!items.is_empty())
                    .then(|| Ok(items.into_iter().filter_map(|item| show(state, item)).collect()))
            };
            let found = self.world.wait(&wake, Instant::now() + wait, Duration::ZERO, look).await;
            found.unwrap_or_else(|| Ok(Vec::new())).map_err(Refusal::into)
        }
        .boxed()
    }

    fn counter_proposal<'a>(
        &'a self,
        offer: &'a OfferId,
        proposal: &'a ProposalId,
        terms: Terms,
    ) -> BoxFuture<'a, PortResult<ProposalId>> {
        async move {
            self.world.message().await;
            self.act(|state| {
                let hash = proposal_hash(proposal)?;
                state.counter_as_provider(&self.node, offer, hash, terms.properties, terms.constraints)
            })
            .await
        }
        .boxed()
    }

    fn reject_proposal<'a>(
        &'a self,
        offer: &'a OfferId,
        proposal: &'a ProposalId,
        reason: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>> {
        async move {
            self.world.message().await;
            self.act(|state| state.reject_as_provider(&self.node, offer, proposal_hash(proposal)?, reason))
                .await
        }
        .boxed()
    }

    fn approve_agreement<'a>(
        &'a self,
        agreement: &'a AgreementId,
        session: Option<AppSessionId>,
    ) -> BoxFuture<'a, PortResult<()>> {
        async move {
            self.world.message().await;
            self.act(|state| state.approve_agreement(&self.node, agreement, session)).await
        }
        .boxed()
    }

    fn reject_agreement<'a>(
        &'a self,
        agreement: &'a AgreementId,
        reason: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>> {
        async move {
            self.world.message().await;
            self.act(|state| state.reject_agreement(&self.node, agreement, reason)).await
        }
        .boxed()
    }

    fn terminate_agreement<'a>(
        &'a self,
        agreement: &'a AgreementId,
        reason: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>> {
        async move {
            self.world.message().await;
            self.act(|state| state.terminate_as_provider(&self.node, agreement, reason)).await
        }
        .boxed()
    }

    fn agreement_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<AgreementEvent>>> {
        async move {
            self.thawed().await;
            let wake = self.world.with(|state| Arc::clone(&state.node(&self.node).agreement_wake));
            let look = |state: &mut State| {
                let log = &state.node(&self.node).agreement_log;
                let found: Vec<_> = log
                    .after(Some(after))
                    .take(MAX_EVENTS)
                    .map(|(at, entry)| AgreementEvent {
                        event_date: *at,
                        agreement_id: entry.agreement.clone(),
                        kind: entry.kind.clone(),
                    })
                    .collect();
                (!found.is_empty()).then_some(found)
            };
            let found = self.world.wait(&wake, Instant::now() + wait, Duration::ZERO, look).await;
            Ok(found.unwrap_or_default())
        }
        .boxed()
    }

    fn activity_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<ActivityEvent>>> {
        async move {
            self.thawed().await;
            let wake = self.world.with(|state| Arc::clone(&state.node(&self.node).activity_wake));
            let look = |state: &mut State| {
                let log = &state.node(&self.node).activity_log;
                let found: Vec<_> =
                    log.after(Some(after)).take(MAX_EVENTS).map(|(_, event)| event.clone()).collect();
                (!found.is_empty()).then_some(found)
            };
            // The monitor may have something for it when nobody else does anything.
            let due =
                |state: &State| state.next_due().into_iter().chain(state.next_monitored(&self.node)).min();
            let (deadline, step) = (Instant::now() + wait, self.world.0.delays.activity_poll);
            let found = self.world.wait_and_wake(&wake, deadline, step, look, due).await;
            Ok(found.unwrap_or_default())
        }
        .boxed()
    }

    fn set_activity_state<'a>(
        &'a self,
        activity: &'a ActivityId,
        state: ActivityState,
    ) -> BoxFuture<'a, PortResult<()>> {
        self.act(move |world| world.set_activity_state(&self.node, activity, state)).boxed()
    }

    fn set_activity_usage<'a>(
        &'a self,
        activity: &'a ActivityId,
        usage: ActivityUsage,
    ) -> BoxFuture<'a, PortResult<()>> {
        self.act(move |world| {
            world.set_activity_usage(&self.node, activity, usage);
            Ok(())
        })
        .boxed()
    }

    fn bind_exe_unit<'a>(
        &'a self,
        activity: &'a ActivityId,
        unit: Arc<dyn ExeUnitService>,
    ) -> BoxFuture<'a, PortResult<()>> {
        self.act(move |state| {
            state.provided_activity(&self.node, activity)?.unit = Some(unit);
            Ok(())
        })
        .boxed()
    }

    fn unbind_exe_unit<'a>(&'a self, activity: &'a ActivityId) -> BoxFuture<'a, ()> {
        async move {
            // Dropped outside the lock: an exe-unit's end is its own affair.
            let unit = self.world.with(|state| {
                state.provided_activity(&self.node, activity).ok().and_then(|record| record.unit.take())
            });
            drop(unit);
        }
        .boxed()
    }

    fn call_bus<'a>(
        &'a self,
        node: &'a NodeId,
        address: &'a str,
        component: &'a str,
        payload: BusValue,
    ) -> BoxFuture<'a, Result<BusValue, BusError>> {
        self.world.call_service(node, address, component, payload).boxed()
    }

    fn bind_vpn<'a>(
        &'a self,
        network: &'a NetworkId,
        end: Arc<dyn VpnEnd>,
    ) -> BoxFuture<'a, PortResult<VpnSeat>> {
        async move {
            self.thawed().await;
            self.world.0.seats.bind(network, self.node.as_str(), end)
        }
        .boxed()
    }

    fn push_frame(&self, network: &NetworkId, to: &str, frame: &[u8]) {
        self.world.0.seats.push(network, self.node.as_str(), to, frame);
    }

    fn issue_debit_note(&self, note: NewDebitNote) -> BoxFuture<'_, PortResult<DebitNote>> {
        self.act(move |state| state.issue_debit_note(&self.node, note).map(|bill| debit_note(&bill))).boxed()
    }

    fn send_debit_note<'a>(&'a self, note: &'a DebitNoteId) -> BoxFuture<'a, PortResult<()>> {
        self.act(move |state| state.send_bill(&self.node, Paper::DebitNote, note.as_str())).boxed()
    }

    fn issue_invoice(&self, invoice: NewInvoice) -> BoxFuture<'_, PortResult<Invoice>> {
        self.act(move |state| state.issue_invoice(&self.node, invoice).map(|bill| self::invoice(&bill)))
            .boxed()
    }

    fn send_invoice<'a>(&'a self, invoice: &'a InvoiceId) -> BoxFuture<'a, PortResult<()>> {
        self.act(move |state| state.send_bill(&self.node, Paper::Invoice, invoice.as_str())).boxed()
    }

    fn debit_note_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<DebitNoteEvent>>> {
        async move {
            let found = self.bill_events(Paper::DebitNote, after, wait).await;
            Ok(found
                .into_iter()
                .map(|(event_date, entry)| DebitNoteEvent {
                    debit_note_id: DebitNoteId::new(entry.bill),
                    event_date,
                    kind: entry.kind,
                })
                .collect())
        }
        .boxed()
    }

    fn invoice_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<InvoiceEvent>>> {
        async move {
            let found = self.bill_events(Paper::Invoice, after, wait).await;
            Ok(found
                .into_iter()
                .map(|(event_date, entry)| InvoiceEvent {
                    invoice_id: InvoiceId::new(entry.bill),
                    event_date,
                    kind: entry.kind,
                })
                .collect())
        }
        .boxed()
    }
}

fn proposal_hash(id: &ProposalId) -> Result<&str, Refusal> {
    hash_of(id.as_str()).ok_or_else(|| Refusal::path(&format!("Id [{id}] has invalid format.")))
}

fn show(state: &State, item: OfferItem) -> Option<OfferEvent> {
    Some(match item {
        OfferItem::Proposal(view) => OfferEvent::Proposal((*view).into()),
        OfferItem::Rejected(hash, reason) => {
            OfferEvent::Rejected { proposal: Side::Provider.id(&hash), reason }
        }
        OfferItem::Agreement(id) => {
            let record = state.agreements.0.get(&id)?;
            OfferEvent::Agreement(Box::new(record.document(&id, Side::Provider, state.now)))
        }
    })
}

fn debit_note(bill: &Bill) -> DebitNote {
    let BillKind::DebitNote { activity, usage, previous } = &bill.kind else {
        unreachable!("only debit notes are issued as debit notes")
    };
    DebitNote {
        debit_note_id: DebitNoteId::new(&bill.id),
        issuer_id: bill.issuer.clone(),
        recipient_id: bill.recipient.clone(),
        payee_addr: bill.payee_addr.clone(),
        payer_addr: bill.payer_addr.clone(),
        payment_platform: bill.platform.clone(),
        previous_debit_note_id: previous.as_ref().map(DebitNoteId::new),
        timestamp: bill.issued,
        agreement_id: bill.agreement.clone(),
        activity_id: activity.clone(),
        total_amount_due: bill.amount,
        usage_counter_vector: Some(usage.clone().into()),
        payment_due_date: bill.due,
        status: bill.status,
    }
}

fn invoice(bill: &Bill) -> Invoice {
    let BillKind::Invoice { activities } = &bill.kind else {
        unreachable!("only invoices are issued as invoices")
    };
    Invoice {
        invoice_id: InvoiceId::new(&bill.id),
        issuer_id: bill.issuer.clone(),
        recipient_id: bill.recipient.clone(),
        payee_addr: bill.payee_addr.clone(),
        payer_addr: bill.payer_addr.clone(),
        payment_platform: bill.platform.clone(),
        timestamp: bill.issued,
        agreement_id: bill.agreement.clone(),
        activity_ids: activities.clone(),
        amount: bill.amount,
        payment_due_date: bill.due.unwrap_or(bill.issued),
        status: bill.status,
    }
}
