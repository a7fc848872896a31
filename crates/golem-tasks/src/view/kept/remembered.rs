//! `providers` across all runs: what is known of each, and where it stands for the next run.

use serde::Serialize;
use yagna_api::{Glm, NodeId, Timestamp};

use super::super::json::{VERSION, line};
use super::super::table::{Column, Table};
use super::super::text::{money, money_places};
use super::{NAME, Room, moment};
use crate::store::RememberedProvider;

#[derive(Serialize)]
struct RememberedJson<'a> {
    #[serde(rename = "type")]
    of: &'static str,
    version: u32,
    providers: Vec<ProviderJson<'a>>,
}

#[derive(Serialize)]
struct ProviderJson<'a> {
    id: &'a NodeId,
    name: &'a str,
    standing: &'static str,
    blocked: Option<BlockJson<'a>>,
    agreements: u64,
    not_approved: u64,
    rentals_failed: u64,
    tasks_done: u64,
    failed_attempts: u64,
    cost: Glm,
    cost_per_result: Option<Glm>,
    cost_per_hour: Option<Glm>,
    speed: Option<f64>,
    dearness: Option<f64>,
    handicap: f64,
    last_seen: Option<Timestamp>,
    weighs: WeighsJson,
}

#[derive(Serialize)]
struct BlockJson<'a> {
    at: Timestamp,
    reason: Option<&'a str>,
}

/// The part of it that still counts.
#[derive(Serialize)]
struct WeighsJson {
    tasks_done: f64,
    failures: f64,
    not_approved: f64,
}

/// The table.
pub(crate) fn text(rows: &[RememberedProvider], room: Room) -> String {
    if rows.is_empty() {
        return "no run has dealt with any provider so far\n".to_owned();
    }
    let places = money_places(rows.iter().filter_map(RememberedProvider::cost_per_result));
    let mut table = Table::new(vec![
        Column::text("provider").at_least(NAME),
        Column::number("done").rank(1),
        Column::number("failed").rank(2),
        Column::number("failed rentals").rank(5),
        Column::number("GLM/task").rank(3),
        Column::number("speed").rank(4),
        Column::text("last seen").rank(6),
        Column::text("standing").at_least(8),
        Column::text("id").rank(7),
    ]);
    for row in rows {
        table.row([
            row.provider.name.clone(),
            row.tasks_done.to_string(),
            row.failed_attempts.to_string(),
            row.not_approved.saturating_add(row.failures).to_string(),
            row.cost_per_result().map(|cost| money(cost, places)).unwrap_or_default(),
            row.known.speed.map(|speed| format!("{speed:.2}x")).unwrap_or_default(),
            row.known.last_seen.map(moment).unwrap_or_default(),
            standing(row),
            row.provider.id.to_string(),
        ]);
    }
    table.text(room.width)
}

fn standing(row: &RememberedProvider) -> String {
    match row.blocked.as_ref().and_then(|block| block.reason.as_deref()) {
        Some(reason) => format!("{}: {reason}", row.standing()),
        None => row.standing().to_owned(),
    }
}

/// The providers as one JSON object.
pub(crate) fn json(rows: &[RememberedProvider]) -> String {
    let providers = rows
        .iter()
        .map(|row| ProviderJson {
            id: &row.provider.id,
            name: &row.provider.name,
            standing: row.standing(),
            blocked: row
                .blocked
                .as_ref()
                .map(|block| BlockJson { at: block.at, reason: block.reason.as_deref() }),
            agreements: row.agreements,
            not_approved: row.not_approved,
            rentals_failed: row.failures,
            tasks_done: row.tasks_done,
            failed_attempts: row.failed_attempts,
            cost: row.cost,
            cost_per_result: row.cost_per_result(),
            cost_per_hour: row.known.cost_per_hour,
            speed: row.known.speed.map(rounded),
            dearness: row.known.dearness.map(rounded),
            handicap: rounded(row.known.handicap()),
            last_seen: row.known.last_seen,
            weighs: WeighsJson {
                tasks_done: rounded(row.known.tasks_done),
                failures: rounded(row.known.failures_in_a_row),
                not_approved: rounded(row.known.not_approved_in_a_row),
            },
        })
        .collect();
    line(&RememberedJson { of: "known_providers", version: VERSION, providers })
}

/// To a thousandth: more digits mean nothing.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
