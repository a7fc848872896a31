//! `providers`: what each provider of a run did, and for how much.

use serde::Serialize;
use yagna_api::{Glm, NodeId, Timestamp};

use super::super::json::{Payments, line, seconds};
use super::super::table::{Column, Table};
use super::super::text::{duration, money, money_places};
use super::{Head, NAME, Room};
use crate::store::{PaymentTotals, ProviderRow};

/// The providers of a run.
#[derive(Debug)]
pub(crate) struct Providers {
    pub(crate) run_id: String,
    pub(crate) rows: Vec<ProviderRow>,
}

#[derive(Serialize)]
struct ProvidersJson<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    providers: Vec<ProviderJson<'a>>,
}

#[derive(Serialize)]
struct ProviderJson<'a> {
    id: &'a NodeId,
    name: &'a str,
    agreements: u64,
    rentals_failed: u64,
    tasks_done: u64,
    failed_attempts: u64,
    seconds_per_result: Option<f64>,
    busy_seconds: f64,
    price_per_hour: Glm,
    start_price: Glm,
    cost: Glm,
    cost_per_result: Option<Glm>,
    unsettled: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payments: Option<Payments<'a>>,
    newest_rental: Timestamp,
}

impl Providers {
    /// The table.
    pub(crate) fn text(&self, room: Room) -> String {
        if self.rows.is_empty() {
            return format!("run {} has dealt with no provider so far\n", self.run_id);
        }
        let costs = self.rows.iter().flat_map(|row| [Some(row.did.cost), row.cost_per_result()]);
        let places = money_places(costs.flatten());
        let prices = money_places(self.rows.iter().flat_map(|row| [row.per_hour, row.start]));
        let asked = self.rows.iter().any(|row| row.did.payments.is_some());
        let mut columns = vec![
            Column::text("provider").at_least(NAME),
            Column::number("results"),
            Column::number("failed attempts").rank(2),
            Column::number("failed rentals").rank(3),
            Column::number("a result took").rank(4),
            Column::number("GLM"),
            Column::number("GLM/result").rank(1),
            Column::number("GLM/hour").rank(5),
            Column::number("GLM at start").rank(6),
            Column::number("unsettled").rank(7),
        ];
        if asked {
            columns.extend([Column::number("GLM paid").rank(5), Column::number("GLM scheduled").rank(5)]);
        }
        columns.push(Column::text("id").rank(8));
        let mut table = Table::new(columns);
        for row in &self.rows {
            let amount = |of: fn(&PaymentTotals) -> Glm| {
                row.did.payments.as_ref().map(|totals| money(of(totals), places)).unwrap_or_default()
            };
            let mut cells = vec![
                row.did.name.clone(),
                row.did.tasks_done.to_string(),
                row.did.failed_attempts.to_string(),
                row.rentals_failed.to_string(),
                row.took_on_average().map(duration).unwrap_or_default(),
                money(row.did.cost, places),
                row.cost_per_result().map(|cost| money(cost, places)).unwrap_or_default(),
                money(row.per_hour, prices),
                money(row.start, prices),
                row.did.unsettled.to_string(),
            ];
            if asked {
                cells.extend([amount(|totals| totals.paid), amount(PaymentTotals::under_way)]);
            }
            cells.push(row.did.id.to_string());
            table.row(cells);
        }
        table.text(room.width)
    }

    /// The providers as one JSON object.
    pub(crate) fn json(&self) -> String {
        let providers = self
            .rows
            .iter()
            .map(|row| ProviderJson {
                id: &row.did.id,
                name: &row.did.name,
                agreements: row.did.agreements,
                rentals_failed: row.rentals_failed,
                tasks_done: row.did.tasks_done,
                failed_attempts: row.did.failed_attempts,
                seconds_per_result: row.took_on_average().map(seconds),
                busy_seconds: seconds(row.did.busy),
                price_per_hour: row.per_hour,
                start_price: row.start,
                cost: row.did.cost,
                cost_per_result: row.cost_per_result(),
                unsettled: row.did.unsettled,
                payments: row.did.payments.as_ref().map(Payments::of),
                newest_rental: row.newest,
            })
            .collect();
        line(&ProvidersJson { head: Head::of("providers", &self.run_id), providers })
    }
}
