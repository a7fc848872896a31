//! The network's books, copied for tests and for people, to see that nothing is left running and everything is paid.

use yagna_api::activity::ActivityState;
use yagna_api::activity::State as Stage;
use yagna_api::market::{AgreementState, Reason, Terminator};
use yagna_api::payment::{Allocation, BillStatus, Payment};
use yagna_api::properties::name;
use yagna_api::{ActivityId, AgreementId, AllocationId, AppSessionId, Glm, NodeId, Timestamp};

use super::State;
use super::payment::{BillKind, Paper};
use crate::provider::billing::{coefficients, cost, reported};

/// A read-only copy of a network's books. Lists are in the order of their making.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct Books {
    /// All nodes by name.
    pub nodes: Vec<(String, NodeId)>,
    /// The number of live demands.
    pub demands: usize,
    /// The number of live offers.
    pub offers: usize,
    pub agreements: Vec<AgreementRow>,
    pub activities: Vec<ActivityRow>,
    pub debit_notes: Vec<BillRow>,
    pub invoices: Vec<BillRow>,
    pub allocations: Vec<AllocationRow>,
    pub payments: Vec<Payment>,
}

/// An agreement.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct AgreementRow {
    pub id: AgreementId,
    pub state: AgreementState,
    pub requestor: NodeId,
    pub provider: NodeId,
    pub session: Option<AppSessionId>,
    /// The time at which it was made.
    pub created: Timestamp,
    /// The time at which it was approved, if it was.
    pub approved: Option<Timestamp>,
    /// The time at which it was ended, if it was.
    pub ended: Option<Timestamp>,
    /// The party that ended it, if it was ended.
    pub terminator: Option<Terminator>,
    /// The reason, if one was given.
    pub reason: Option<Reason>,
}

/// An activity.
#[derive(Debug, Clone)]
pub struct ActivityRow {
    /// Its id.
    pub id: ActivityId,
    /// Its agreement.
    pub agreement: AgreementId,
    /// The state that the provider reports.
    pub state: ActivityState,
    /// The usage counters, as last reported.
    pub usage: Vec<f64>,
    /// The time at which it was asked for.
    pub created: Timestamp,
    /// True if an exe-unit exists for it. Not before it is made, nor after its end, nor once its provider has vanished.
    pub alive: bool,
    /// The cost of that usage at the agreement's prices, the start price included; none where the agreement names no
    /// prices that can be read.
    pub owed: Option<Glm>,
}

/// A debit note or an invoice.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct BillRow {
    pub id: String,
    pub agreement: AgreementId,
    /// Its activity, when it is a debit note.
    pub activity: Option<ActivityId>,
    /// All it asks for.
    pub amount: Glm,
    pub status: BillStatus,
    /// The time at which it was made.
    pub issued: Timestamp,
}

/// An allocation.
#[derive(Debug, Clone)]
pub struct AllocationRow {
    /// Its id.
    pub id: AllocationId,
    /// The node that owns it.
    pub owner: NodeId,
    /// The amount that was set aside.
    pub total: Glm,
    /// The amount that is promised to accepted bills.
    pub spent: Glm,
    /// True if it has been released.
    pub released: bool,
}

impl Books {
    pub(crate) fn of(state: &State) -> Self {
        let mut books = Self {
            nodes: state.nodes.iter().map(|(id, node)| (node.name.clone(), id.clone())).collect(),
            demands: state.live_demands().count(),
            offers: state.live_offers().count(),
            agreements: state
                .agreements
                .0
                .iter()
                .map(|(id, record)| agreement_row(state, id, record))
                .collect(),
            activities: state
                .activities
                .0
                .iter()
                .map(|(id, record)| activity_row(state, id, record))
                .collect(),
            debit_notes: bill_rows(state, Paper::DebitNote),
            invoices: bill_rows(state, Paper::Invoice),
            allocations: state.all_allocations().map(|document| allocation_row(state, document)).collect(),
            payments: state.bills.payments.iter().map(|payment| payment.document.clone()).collect(),
        };
        books.nodes.sort();
        books.agreements.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        books.activities.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        books
    }

    /// Agreements that are in force or may still come into it.
    pub fn open_agreements(&self) -> impl Iterator<Item = &AgreementRow> {
        let open = [AgreementState::Pending, AgreementState::Approved];
        self.agreements.iter().filter(move |row| open.contains(&row.state))
    }

    /// Activities that haven't ended.
    pub fn running_activities(&self) -> impl Iterator<Item = &ActivityRow> {
        self.activities.iter().filter(|row| row.state.state.0 != Stage::Terminated)
    }

    /// Invoices that were sent and neither accepted, refused nor taken back.
    pub fn unanswered_invoices(&self) -> impl Iterator<Item = &BillRow> {
        self.invoices.iter().filter(|row| row.status == BillStatus::Received)
    }
}

fn agreement_row(
    state: &State,
    id: &AgreementId,
    record: &super::agreement::AgreementRecord,
) -> AgreementRow {
    let end = record.ended.as_ref().map(|(_, end)| end);
    AgreementRow {
        id: id.clone(),
        state: record.state(state.now),
        requestor: record.requestor.clone(),
        provider: record.provider.clone(),
        session: record.requestor_session.clone(),
        created: record.created,
        approved: record.approved,
        ended: record.ended.as_ref().map(|(at, _)| *at),
        terminator: end.map(|end| end.terminator),
        reason: end.and_then(|end| end.reason.clone()),
    }
}

fn activity_row(state: &State, id: &ActivityId, record: &super::activity::ActivityRecord) -> ActivityRow {
    let usage = record.usage.as_ref().and_then(|usage| usage.current_usage.clone()).unwrap_or_default();
    let agreement = state.agreements.0.get(&record.agreement);
    let prices = agreement
        .and_then(|agreement| coefficients(agreement.offer_sheet.properties.get(name::PRICING_COEFFICIENTS)));
    ActivityRow {
        id: id.clone(),
        agreement: record.agreement.clone(),
        state: record.state.clone(),
        created: record.created,
        alive: record.unit.is_some() && record.state.state.0 != Stage::Terminated,
        owed: prices.map(|prices| cost(&prices, &reported(&usage))),
        usage,
    }
}

fn bill_rows(state: &State, paper: Paper) -> Vec<BillRow> {
    state
        .bills
        .order
        .iter()
        .map(|id| &state.bills.records[id])
        .filter(|bill| bill.paper() == paper)
        .map(|bill| BillRow {
            id: bill.id.to_string(),
            agreement: bill.agreement.clone(),
            activity: match &bill.kind {
                BillKind::DebitNote { activity, .. } => Some(activity.clone()),
                BillKind::Invoice { .. } => None,
            },
            amount: bill.amount,
            status: bill.status,
            issued: bill.issued,
        })
        .collect()
}

fn allocation_row(state: &State, document: &Allocation) -> AllocationRow {
    let record = &state.allocations.records[&document.allocation_id];
    AllocationRow {
        id: document.allocation_id.clone(),
        owner: record.owner.clone(),
        total: document.total_amount,
        spent: document.spent_amount,
        released: record.is_released(state.now),
    }
}
