//! `cost`: what was accepted, by run, by provider or by day.

use golem_core::event::Provider;
use serde::Serialize;
use yagna_api::{Glm, Timestamp};

use super::super::json::{self, VERSION, line};
use super::super::table::{Column, Table};
use super::super::text::{money, money_places};
use super::{NAME, Room, moment, named};
use crate::store::{CostOf, CostRow, Grouping};

/// Costs, summed up.
#[derive(Debug)]
pub(crate) struct Costs {
    /// The kind of rows.
    pub(crate) by: Grouping,
    /// The moment from which on bills count; none: all of them.
    pub(crate) since: Option<Timestamp>,
    pub(crate) rows: Vec<CostRow>,
}

#[derive(Serialize)]
struct CostsJson<'a> {
    #[serde(rename = "type")]
    of: &'static str,
    version: u32,
    by: &'static str,
    since: Option<Timestamp>,
    cost: Glm,
    rows: Vec<CostJson<'a>>,
}

#[derive(Serialize)]
struct CostJson<'a> {
    #[serde(flatten)]
    of: OfJson<'a>,
    cost: Glm,
    bills: u64,
    last: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum OfJson<'a> {
    Run(&'a str),
    Provider(Option<json::Provider<'a>>),
    Day(&'a str),
}

impl Costs {
    fn total(&self) -> Glm {
        self.rows.iter().map(|row| row.cost).sum()
    }

    /// The table, with the sum below.
    pub(crate) fn text(&self, room: Room) -> String {
        let when = self.since.map(|since| format!(" since {}", moment(since))).unwrap_or_default();
        if self.rows.is_empty() {
            return format!("no bill was accepted{when}\n");
        }
        let total = self.total();
        let places = money_places(self.rows.iter().map(|row| row.cost).chain([total]));
        let title = match self.by {
            Grouping::Run => "run_id",
            Grouping::Provider => "provider",
            Grouping::Day => "day",
        };
        let mut table = Table::new(vec![
            Column::text(title).at_least(NAME),
            Column::number("GLM"),
            Column::number("bills").rank(1),
            Column::text("last accepted").rank(2),
            Column::text("id").rank(3),
        ]);
        for row in &self.rows {
            let (name, id) = match &row.of {
                CostOf::Run(name) | CostOf::Day(name) => (name.clone(), String::new()),
                CostOf::Provider(Some(Provider { name, id })) => (name.clone(), id.to_string()),
                CostOf::Provider(None) => ("none of ours".to_owned(), String::new()),
            };
            table.row([name, money(row.cost, places), row.bills.to_string(), moment(row.last), id]);
        }
        let bills: u64 = self.rows.iter().map(|row| row.bills).sum();
        table.row([
            "total".to_owned(),
            money(total, places),
            bills.to_string(),
            String::new(),
            String::new(),
        ]);
        table.text(room.width)
    }

    /// The sums as one JSON object.
    pub(crate) fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let of = match &row.of {
                CostOf::Run(id) => OfJson::Run(id),
                CostOf::Provider(who) => OfJson::Provider(who.as_ref().map(named)),
                CostOf::Day(date) => OfJson::Day(date),
            };
            CostJson { of, cost: row.cost, bills: row.bills, last: row.last }
        });
        let by = match self.by {
            Grouping::Run => "run",
            Grouping::Provider => "provider",
            Grouping::Day => "day",
        };
        line(&CostsJson {
            of: "cost",
            version: VERSION,
            by,
            since: self.since,
            cost: self.total(),
            rows: rows.collect(),
        })
    }
}
