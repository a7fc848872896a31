//! Accepted bills, summed up over all runs of a database.

use std::collections::BTreeMap;
use std::time::Duration;

use golem_core::event::Provider;
use yagna_api::{Glm, Timestamp};

use super::runs::begin;
use crate::store::database::Statement;
use crate::store::{Store, StoreError};

/// The kind of rows of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Runs, the newest first.
    Run,
    /// Providers, the dearest first.
    Provider,
    /// Days of UTC, the newest first.
    Day,
}

/// The subject of a row of a sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CostOf {
    /// A run, by its id.
    Run(String),
    /// A provider; none for bills that belong to no rental of ours.
    Provider(Option<Provider>),
    /// A day, such as `2026-01-31`.
    Day(String),
}

/// A row of a sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostRow {
    /// The subject.
    pub of: CostOf,
    /// GLM accepted.
    pub cost: Glm,
    /// The number of bills that were accepted.
    pub bills: u64,
    /// The moment at which the last of them was.
    pub last: Timestamp,
}

impl Store {
    /// Sums up the bills that were accepted in this time before now, or at all, and tells the moment at which that time begins.
    pub async fn costs(
        &self,
        by: Grouping,
        since: Option<Duration>,
    ) -> Result<(Option<Timestamp>, Vec<CostRow>), StoreError> {
        let failed = |source| self.failed("sum up the costs", source);
        let mut transaction = self.database.read().await.map_err(failed)?;
        let from = begin(&mut transaction, since).await.map_err(failed)??;
        let accepted = Statement::new(
            "SELECT r.run_id, r.run_no, d.provider_id, d.provider_name, b.decided_at, b.increase FROM bills AS b \
             JOIN runs AS r ON r.run_no = b.run_no \
             LEFT JOIN rentals AS d ON d.run_no = b.run_no AND d.rental_no = b.rental_no \
             WHERE b.status = 'accepted' AND b.increase IS NOT NULL AND b.decided_at >= $1 ORDER BY b.decided_at",
        )
        .time(from);
        // The names of runs tell nothing of their order, and a provider may have had several names.
        let mut rows: BTreeMap<(i64, String), CostRow> = BTreeMap::new();
        for row in transaction.rows(accepted).await.map_err(failed)? {
            let (at, cost) = (row.time("decided_at")?, row.money("increase")?);
            let (key, of) = match by {
                Grouping::Run => ((row.int("run_no")?, String::new()), CostOf::Run(row.text("run_id")?)),
                Grouping::Provider => {
                    let provider = super::provider(&row)?;
                    let id = provider.as_ref().map(|provider| provider.id.to_string());
                    ((0, id.unwrap_or_default()), CostOf::Provider(provider))
                }
                Grouping::Day => {
                    let day = at.strftime("%Y-%m-%d").to_string();
                    ((0, day.clone()), CostOf::Day(day))
                }
            };
            let none = CostRow { of: of.clone(), cost: Glm::ZERO, bills: 0, last: at };
            let sum = rows.entry(key).or_insert(none);
            sum.of = of;
            sum.cost = [sum.cost, cost].into_iter().sum();
            sum.bills += 1;
            sum.last = at;
        }
        let mut rows: Vec<_> = rows.into_values().rev().collect();
        if by == Grouping::Provider {
            rows.sort_by_key(|row| std::cmp::Reverse(row.cost));
        }
        Ok((since.map(|_| from), rows))
    }
}
