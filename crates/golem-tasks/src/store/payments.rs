//! The payments of accepted money: the daemon's last report on each rental.
//!
//! Left to others: asking it (`crate::payments`), and what we accepted, which the events of a run say (`record`).

use std::collections::{BTreeSet, HashMap};

use golem_sdk::payments::PaymentState;
use yagna_api::{AgreementId, Glm, NodeId, Timestamp};

use super::database::{Row, Statement};
use super::{RunStore, StoreError};

/// The rentals of a run that cost something, each with what the daemon said of it last.
pub(super) const OF_RUN: &str = "SELECT r.provider_id, r.cost, p.accepted, p.scheduled, p.paid, p.failure, p.seen_at \
     FROM rentals AS r LEFT JOIN payments AS p ON p.run_no = r.run_no AND p.rental_no = r.rental_no \
     WHERE r.run_no = $1 ORDER BY r.rental_no";

/// The payments for several rentals, as far as the daemon was asked. The amounts count from the rentals' begin, and
/// each holds the next: what is scheduled was accepted, what is paid was scheduled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentTotals {
    /// GLM that the daemon has as promised.
    pub accepted: Glm,
    /// GLM of that in payment orders.
    pub scheduled: Glm,
    /// GLM of that confirmed by the chain.
    pub paid: Glm,
    /// Since when none of this has been asked anew: the oldest answer counts.
    pub as_of: Timestamp,
    /// Rentals that cost something and of which the daemon wasn't asked, or knew nothing.
    pub unknown: u64,
    /// The obstacles to payments then, in words.
    pub failures: BTreeSet<String>,
}

/// Rentals of a run of whose money the daemon is still to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPayments {
    /// The time at which the run began: bills came later.
    pub since: Timestamp,
    /// Agreements that were approved and aren't known to be settled and paid.
    pub agreements: Vec<AgreementId>,
}

impl RunStore {
    /// The rentals of this run that may still be scheduled or paid, by the records.
    pub async fn open_payments(&self) -> Result<OpenPayments, StoreError> {
        let store = self.store();
        let failed = |source| store.failed("read what is to be paid", source);
        let mut transaction = store.database.read().await.map_err(failed)?;
        let run = Statement::new("SELECT created_at FROM runs WHERE run_no = $1").int(self.run_no());
        let run =
            transaction.row(run).await.map_err(failed)?.ok_or_else(|| store.no_such_run(self.run_id()))?;
        let rentals = Statement::new(
            "SELECT r.agreement_id, r.cost, r.final_bill, p.run_no AS seen, p.accepted, p.paid FROM rentals AS r \
             LEFT JOIN payments AS p ON p.run_no = r.run_no AND p.rental_no = r.rental_no \
             WHERE r.run_no = $1 AND r.agreement_id IS NOT NULL AND r.approved_at IS NOT NULL ORDER BY r.rental_no",
        )
        .int(self.run_no());
        let mut agreements = Vec::new();
        for row in transaction.rows(rentals).await.map_err(failed)? {
            let owed = row.money("cost")?;
            let (owed, paid) = match row.optional_int("seen")? {
                Some(_) => (owed.max(row.money("accepted")?), row.money("paid")?),
                None => (owed, Glm::ZERO),
            };
            if row.optional_text("final_bill")?.is_none() || paid < owed {
                agreements.push(AgreementId::new(row.text("agreement_id")?));
            }
        }
        Ok(OpenPayments { since: run.time("created_at")?, agreements })
    }

    /// Records what the daemon said of rentals of this run, all of it or nothing. Agreements of others are left out, and so
    /// is what was learnt before `seen`, when somebody else has recorded something newer. No lease is needed: it
    /// changes nothing of what the run does.
    pub async fn record_payments(&self, states: &[PaymentState], seen: Timestamp) -> Result<(), StoreError> {
        if states.is_empty() {
            return Ok(());
        }
        let store = self.store();
        let failed = |source| store.failed("write down what was paid", source);
        let mut transaction = store.database.write().await.map_err(failed)?;
        for state in states {
            let seen = Statement::new(
                "INSERT INTO payments (run_no, rental_no, accepted, scheduled, paid, failure, seen_at) \
                 SELECT run_no, rental_no, $3, $4, $5, $6, $7 FROM rentals WHERE run_no = $1 AND agreement_id = $2 \
                 ON CONFLICT (run_no, rental_no) DO UPDATE SET accepted = excluded.accepted, \
                 scheduled = excluded.scheduled, paid = excluded.paid, failure = excluded.failure, \
                 seen_at = excluded.seen_at WHERE payments.seen_at <= excluded.seen_at",
            )
            .int(self.run_no())
            .text(state.agreement.as_str())
            .money(state.accepted)
            .money(state.scheduled)
            .money(state.paid)
            .text(state.failed.as_deref())
            .time(seen);
            transaction.execute(seen).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }
}

impl PaymentTotals {
    /// GLM in payment orders that the chain hasn't confirmed.
    pub fn under_way(&self) -> Glm {
        self.scheduled.saturating_sub(self.paid)
    }

    /// GLM promised and in no payment order.
    pub fn waiting(&self) -> Glm {
        self.accepted.saturating_sub(self.scheduled.max(self.paid))
    }

    /// The sum of those that are known.
    pub(super) fn of_all<'a>(all: impl Iterator<Item = &'a Option<Self>>) -> Option<Self> {
        all.flatten().cloned().reduce(|sum, next| sum.and(&next))
    }

    fn and(mut self, other: &Self) -> Self {
        let add = |a: Glm, b: Glm| [a, b].into_iter().sum();
        self.accepted = add(self.accepted, other.accepted);
        self.scheduled = add(self.scheduled, other.scheduled);
        self.paid = add(self.paid, other.paid);
        self.as_of = self.as_of.min(other.as_of);
        self.unknown += other.unknown;
        self.failures.extend(other.failures.iter().cloned());
        self
    }
}

/// Adds up the rows of [`OF_RUN`] by provider. Nothing is told of a provider of which nothing was asked.
pub(super) fn add(rows: &[Row], mut each: impl FnMut(&NodeId, PaymentTotals)) -> Result<(), StoreError> {
    let mut known: HashMap<NodeId, PaymentTotals> = HashMap::new();
    let mut unknown: HashMap<NodeId, u64> = HashMap::new();
    for row in rows {
        let provider: NodeId = row.parsed("provider_id")?;
        let Some(as_of) = row.optional_time("seen_at")? else {
            *unknown.entry(provider).or_default() += u64::from(!row.money("cost")?.is_zero());
            continue;
        };
        let rental = PaymentTotals {
            accepted: row.money("accepted")?,
            scheduled: row.money("scheduled")?,
            paid: row.money("paid")?,
            as_of,
            unknown: 0,
            failures: row.optional_text("failure")?.into_iter().collect(),
        };
        let sum = known.remove(&provider).map_or_else(|| rental.clone(), |sum| sum.and(&rental));
        known.insert(provider, sum);
    }
    for (provider, mut totals) in known {
        totals.unknown = unknown.get(&provider).copied().unwrap_or(0);
        each(&provider, totals);
    }
    Ok(())
}
