//! `summary`: one row with the columns of golem-tasks-python, and what else there is to know at a glance.

use std::fmt::Write as _;

use serde::Serialize;
use yagna_api::Glm;

use super::super::json::{Summary, line};
use super::super::table::{Column, Table};
use super::super::text::{clean, duration, money, money_places, one_amount, plural, used, used_money};
use super::{Room, State, moment, state_text};
use crate::store::{Overview, PaymentTotals, RunStatus};

#[derive(Serialize)]
struct OverviewJson<'a> {
    #[serde(rename = "type")]
    of: &'static str,
    #[serde(flatten)]
    state: State<'a>,
    ready_activities: u64,
    new_activities: u64,
    other_activities: u64,
    batches: u64,
    results: u64,
    cost_per_result: Option<Glm>,
    open_agreements: u64,
    cost_estimate: Glm,
    tasks_running: u64,
    tasks_waiting: u64,
    #[serde(flatten)]
    summary: Summary<'a>,
}

/// The row, and lines for what it doesn't say.
pub(crate) fn text(overview: &Overview, room: Room) -> String {
    let summary = &overview.summary;
    let per_result = overview.cost_per_result();
    let places = money_places([Some(summary.cost), per_result].into_iter().flatten());
    let mut table = Table::new(vec![
        Column::text("run_id"),
        Column::number("ready activities").rank(1),
        Column::number("new activities").rank(3),
        Column::number("other activities").rank(4),
        Column::number("batches").rank(5),
        Column::number("GLM"),
        Column::number("GLM/result").rank(2),
        Column::number("results"),
    ]);
    table.row([
        summary.run_id.clone(),
        overview.ready.to_string(),
        overview.new.to_string(),
        overview.other.to_string(),
        overview.attempts.to_string(),
        used_money(summary.cost, overview.estimate, places),
        per_result.map(|cost| money(cost, places)).unwrap_or_default(),
        summary.tasks.results().to_string(),
    ]);
    let mut text = table.text(room.width);
    text.push('\n');
    let mut fact = |name: &str, what: &str| {
        let _ = writeln!(text, "{name:<10} {}", clean(what).replace('\n', " "));
    };
    fact("state", &state_text(&overview.status, overview.paused_until()));
    let counts = &summary.tasks;
    let mut tasks = format!("{} done", counts.done);
    for (n, word) in [
        (counts.no_result, "of them without a result"),
        (counts.failed, "failed"),
        (counts.running, "running"),
        (counts.waiting, "waiting"),
        (counts.cancelled, "cancelled"),
        (counts.expired, "expired"),
    ] {
        if n > 0 {
            let _ = write!(tasks, ", {n} {word}");
        }
    }
    fact("tasks", &tasks);
    let mut money = match used(summary.cost, overview.estimate) {
        estimate if overview.estimate > summary.cost => {
            format!("{estimate} GLM so far by our own meter, {} GLM accepted", one_amount(summary.cost))
        }
        accepted => format!("{accepted} GLM accepted"),
    };
    if summary.unsettled > 0 {
        let _ = write!(money, ", {} not settled", plural(summary.unsettled, "rental"));
    }
    if summary.bills_refused > 0 {
        let _ = write!(money, ", {} refused", plural(summary.bills_refused, "bill"));
    }
    fact("cost", &money);
    if let Some(payments) = &summary.payments {
        fact("payments", &paid(payments));
        for failure in &payments.failures {
            fact("", &format!("payment fails: {failure}; the daemon tries again by itself"));
        }
    }
    let mut providers = summary.providers.len().to_string();
    if overview.open_agreements > 0 {
        let _ = write!(providers, ", {} open", plural(overview.open_agreements, "agreement"));
    }
    fact("providers", &providers);
    let mut time = format!("began {}", moment(summary.started));
    if let (RunStatus::Ended(_), Some(ended)) = (&overview.status, &summary.ended) {
        let took = duration(summary.wall_time().unwrap_or_default());
        let _ = write!(time, ", ended {}, took {took}", moment(ended.at));
    }
    fact("time", &time);
    if let (Some(waiting), true) = (&summary.waiting, counts.running == 0 && counts.waiting > 0) {
        fact("waits", &waiting.to_string());
    }
    text
}

/// The accepted money by its state: paid, scheduled, or only accepted. States without any are left out.
fn paid(payments: &PaymentTotals) -> String {
    let parts = [
        (payments.paid, "paid"),
        (payments.under_way(), "scheduled, not paid yet"),
        (payments.waiting(), "accepted, not scheduled yet"),
    ];
    let parts = parts.into_iter().filter(|(amount, _)| !amount.is_zero());
    let parts: Vec<_> = parts.map(|(amount, state)| format!("{} GLM {state}", one_amount(amount))).collect();
    let mut text = if parts.is_empty() { "nothing to pay".to_owned() } else { parts.join("; ") };
    if payments.unknown > 0 {
        let _ = write!(text, ", not asked of {}", plural(payments.unknown, "rental"));
    }
    let _ = write!(text, ", as of {}", moment(payments.as_of));
    text
}

/// The state of the run as one JSON object: that of `run --json`, and its present status.
pub(crate) fn json(overview: &Overview) -> String {
    let tasks = &overview.summary.tasks;
    line(&OverviewJson {
        of: "summary",
        state: State::of(&overview.status, overview.paused_until()),
        ready_activities: overview.ready,
        new_activities: overview.new,
        other_activities: overview.other,
        batches: overview.attempts,
        results: tasks.results(),
        cost_per_result: overview.cost_per_result(),
        open_agreements: overview.open_agreements,
        cost_estimate: overview.estimate,
        tasks_running: tasks.running,
        tasks_waiting: tasks.waiting,
        summary: Summary::of(&overview.summary),
    })
}
