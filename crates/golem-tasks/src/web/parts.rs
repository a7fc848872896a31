//! The parts of what a page or a report shows of a run, as JSON: much of it is what the commands write with `--json`.

use serde_json::{Value, json};

use super::charts;
use crate::store::{Pulse, RunsWanted, Span, Store, StoreError};
use crate::view::json_line;
use crate::view::kept::{self, Grouped, Providers};

/// Runs in the list.
const RUNS: u32 = 200;
/// Reasons for failures that are told.
const REASONS: u32 = 50;

/// The list of runs, the newest first.
pub(super) async fn runs(store: &Store) -> Result<String, StoreError> {
    let wanted = RunsWanted { limit: RUNS, ..RunsWanted::default() };
    Ok(kept::runs_json(&store.runs_wanted(&wanted).await?))
}

/// Where a run stands, and what it was started with.
pub(super) async fn run(store: &Store, run_id: &str, pulse: &Pulse) -> Result<String, StoreError> {
    let overview = store.overview(run_id).await?;
    let record = store.run_record(run_id).await?.ok_or_else(|| StoreError::NoSuchRun {
        run_id: run_id.to_owned(),
        place: store.place().to_owned(),
        nearest: Vec::new(),
    })?;
    let description = record.description().unwrap_or_default();
    let words = kept::state_text(&overview.status, overview.paused_until());
    let waiting = overview.summary.waiting.as_ref().filter(|_| overview.summary.ended.is_none());
    let more = json!({
        "commits": pulse.commits,
        "now": pulse.now,
        "state_words": words,
        "all_known": pulse.all_known,
        "expected_tasks": description.expected_tasks,
        "budget": description.limits.budget,
        "waiting": waiting.map(ToString::to_string),
        "program": record.version,
        "job": record.job,
    });
    Ok(joined(&[("overview", kept::overview_json(&overview)), ("more", more.to_string())]))
}

/// The providers of a run, and those that are blocked.
pub(super) async fn providers(store: &Store, run_id: &str) -> Result<String, StoreError> {
    let rows = store.providers(run_id).await?;
    let blocked = store.blocked_providers().await?;
    let blocked: Vec<Value> = blocked.iter().map(|block| block.provider.id.as_str().into()).collect();
    let providers = Providers { run_id: run_id.to_owned(), rows };
    Ok(joined(&[("run", providers.json()), ("blocked", Value::from(blocked).to_string())]))
}

/// The failures of a run, by reason.
pub(super) async fn errors(store: &Store, run_id: &str) -> Result<String, StoreError> {
    let (groups, total) = store.error_groups(run_id, REASONS).await?;
    Ok(Grouped { run_id: run_id.to_owned(), groups, total }.json())
}

/// What happened when, what it cost when, and how long attempts took.
pub(super) async fn charts(store: &Store, run_id: &str, part: Option<Span>) -> Result<String, StoreError> {
    let timeline = store.timeline(run_id, part, charts::CELLS, charts::ONE_BY_ONE).await?;
    let spending = store.spending(run_id).await?;
    let times = store.times_taken(run_id).await?;
    let description = store.run_record(run_id).await?.and_then(|record| record.description().ok());
    let budget = description.map(|description| description.limits.budget);
    let told = charts::timeline(&timeline);
    Ok(joined(&[
        ("spending", charts::spending(timeline.run, &spending, budget.as_ref()).to_string()),
        ("times", charts::times(&times).to_string()),
        ("timeline", json_line(&told)),
    ]))
}

/// An object of JSON texts.
pub(super) fn joined(parts: &[(&str, String)]) -> String {
    let parts: Vec<_> = parts.iter().map(|(name, json)| format!("\"{name}\":{}", json.trim_end())).collect();
    format!("{{{}}}", parts.join(","))
}
