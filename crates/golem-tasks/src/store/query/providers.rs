//! The work of each provider for a run.

use std::collections::HashMap;
use std::time::Duration;

use yagna_api::{Glm, NodeId, Timestamp};

use super::Reader;
use super::activities::{micros, per_result};
use crate::store::{ProviderSummary, Store, StoreError, payments};

/// A provider with what it did and asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderRow {
    /// The work that it did.
    pub did: ProviderSummary,
    /// The time of the attempts that made its results, added up.
    pub results_took: Duration,
    /// Agreements that didn't come to be and activities that failed.
    pub rentals_failed: u64,
    /// GLM an hour at full use, in its newest rental.
    pub per_hour: Glm,
    /// GLM for the start, there.
    pub start: Glm,
    /// The time at which its newest rental began.
    pub newest: Timestamp,
}

impl ProviderRow {
    /// The average time of an attempt that made a result.
    pub fn took_on_average(&self) -> Option<Duration> {
        let n = u32::try_from(self.did.tasks_done).ok()?;
        self.results_took.checked_div(n)
    }

    /// GLM for each of its results.
    pub fn cost_per_result(&self) -> Option<Glm> {
        per_result(self.did.cost, self.did.tasks_done)
    }
}

impl Store {
    /// Every provider that a run has tried to deal with, those with the most results first.
    pub async fn providers(&self, run_id: &str) -> Result<Vec<ProviderRow>, StoreError> {
        Reader::new(self, run_id).await?.providers().await
    }
}

impl Reader<'_> {
    async fn providers(&mut self) -> Result<Vec<ProviderRow>, StoreError> {
        let rentals = self
            .rows(
                "SELECT r.rental_no, r.provider_id, r.provider_name, r.per_hour, r.start_price, r.intended_at, \
                 r.approved_at, r.failure, r.cost, r.final_bill, (SELECT count(*) FROM activities AS a \
                 WHERE a.run_no = r.run_no AND a.rental_no = r.rental_no AND a.failure IS NOT NULL) AS failed \
                 FROM rentals AS r WHERE r.run_no = $1 ORDER BY r.rental_no",
            )
            .await?;
        let mut providers: HashMap<NodeId, ProviderRow> = HashMap::new();
        let mut by_rental: HashMap<i64, NodeId> = HashMap::new();
        for row in rentals {
            let id: NodeId = row.parsed("provider_id")?;
            by_rental.insert(row.int("rental_no")?, id.clone());
            let (name, newest) = (row.text("provider_name")?, row.time("intended_at")?);
            let provider = providers.entry(id.clone()).or_insert_with(|| ProviderRow {
                did: ProviderSummary::new(id, String::new()),
                results_took: Duration::ZERO,
                rentals_failed: 0,
                per_hour: Glm::ZERO,
                start: Glm::ZERO,
                newest,
            });
            provider.did.name = name;
            provider.did.cost = [provider.did.cost, row.money("cost")?].into_iter().sum();
            if row.optional_time("approved_at")?.is_some() {
                provider.did.agreements += 1;
                provider.did.unsettled += u64::from(row.optional_text("final_bill")?.is_none());
            }
            provider.rentals_failed += u64::from(row.optional_text("failure")?.is_some());
            provider.rentals_failed += row.unsigned("failed")?;
            (provider.per_hour, provider.start) = (row.money("per_hour")?, row.money("start_price")?);
            provider.newest = newest;
        }
        let attempts = self
            .rows(
                "SELECT rental_no, outcome, count(*) AS n, CAST(sum(took_us) AS bigint) AS took_us FROM attempts \
                 WHERE run_no = $1 AND outcome IS NOT NULL GROUP BY rental_no, outcome",
            )
            .await?;
        for row in attempts {
            let id = by_rental.get(&row.int("rental_no")?);
            let Some(provider) = id.and_then(|id| providers.get_mut(id)) else {
                continue; // can't be: every attempt refers to a rental
            };
            let (n, took) = (row.unsigned("n")?, micros(row.optional_int("took_us")?));
            match row.text("outcome")?.as_str() {
                "done" => {
                    provider.did.tasks_done += n;
                    provider.results_took += took;
                }
                "failed" => provider.did.failed_attempts += n,
                _ => {}
            }
            provider.did.busy += took;
        }
        payments::add(&self.rows(payments::OF_RUN).await?, |id, totals| {
            if let Some(provider) = providers.get_mut(id) {
                provider.did.payments = Some(totals);
            }
        })?;
        let mut providers: Vec<_> = providers.into_values().collect();
        providers.sort_by(|a, b| {
            let (a, b) = (&a.did, &b.did);
            b.tasks_done.cmp(&a.tasks_done).then_with(|| a.name.cmp(&b.name)).then_with(|| a.id.cmp(&b.id))
        });
        Ok(providers)
    }
}
