//! The `[limits]` section: what a run may take and cost. Keeping to it is left to the engine.

use std::time::Duration;

use yagna_api::Glm;

use super::document::{Diagnostics, Entry, Section};
use super::schema;

/// Providers refuse agreements of less than 5 minutes from when they see the demand; a minute is for the way there.
pub const SHORTEST_AGREEMENT: Duration = Duration::from_secs(6 * 60);

/// What a run may take and cost. Every limit has a default, so the section may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest one try of one task may take: 10 minutes, or `expiration` where that is shorter.
    pub task_timeout: Duration,
    /// How often a failed task is tried again: 3, so that a task is tried 4 times at most.
    pub retries: u32,
    /// Providers that work at the same time, at most and at least 1: 5.
    pub workers: u32,
    /// What the whole run may cost, in GLM: 1.
    pub budget: Glm,
    /// What one result may cost on average, in GLM; no limit unless given.
    pub max_price: Option<Glm>,
    /// What an hour of one provider at full use may cost, in GLM: its price an hour plus its price a CPU-hour times
    /// its threads. No limit unless given.
    pub max_price_per_hour: Option<Glm>,
    /// What a provider may charge for starting, in GLM; no limit unless given.
    pub max_start_price: Option<Glm>,
    /// How long one agreement with a provider may last, at least [`SHORTEST_AGREEMENT`]: 1 hour. The run itself may
    /// take longer: new agreements follow while there is work.
    pub expiration: Duration,
    /// How long to wait with no provider found before giving up: 15 minutes.
    pub idle_timeout: Duration,
    /// How many results are wanted: the run ends when they are there. All of them unless given.
    pub results: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            task_timeout: Duration::from_secs(10 * 60),
            retries: 3,
            workers: 5,
            budget: Glm::ONE,
            max_price: None,
            max_price_per_hour: None,
            max_start_price: None,
            expiration: Duration::from_secs(60 * 60),
            idle_timeout: Duration::from_secs(15 * 60),
            results: None,
        }
    }
}

pub(super) fn read(top: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Limits> {
    let defaults = Limits::default();
    if top.get("limits").is_none() {
        return Some(defaults);
    }
    let section = top.section("limits", schema::LIMITS, diagnostics)?;
    let money = |entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>| entry.money(diagnostics).map(Some);
    let expiration = section.value_or("expiration", defaults.expiration, diagnostics, expiration);
    let longest = expiration.map_or(defaults.task_timeout, |run| run.min(defaults.task_timeout));
    let task_timeout = section.value_or("task_timeout", longest, diagnostics, Entry::duration);
    let retries = section
        .value_or("retries", defaults.retries, diagnostics, |entry, diagnostics| entry.count(0, diagnostics));
    let workers = section
        .value_or("workers", defaults.workers, diagnostics, |entry, diagnostics| entry.count(1, diagnostics));
    let budget = section.value_or("budget", defaults.budget, diagnostics, budget);
    let max_price = section.value_or("max_price", None, diagnostics, money);
    let max_price_per_hour = section.value_or("max_price_per_hour", None, diagnostics, money);
    let max_start_price = section.value_or("max_start_price", None, diagnostics, money);
    let idle_timeout = section.value_or("idle_timeout", defaults.idle_timeout, diagnostics, Entry::duration);
    let results = section.value_or("results", None, diagnostics, |entry, diagnostics| {
        entry.count(1, diagnostics).map(|results| Some(u64::from(results)))
    });

    let (expiration, task_timeout) = (expiration?, task_timeout?);
    if let Some(entry) = section.get("task_timeout")
        && task_timeout > expiration
    {
        diagnostics.report_with_help(
            entry.span(),
            "`task_timeout` is longer than `expiration`, the time an agreement lasts",
            "raise `expiration` (1h unless given) or lower `task_timeout`",
        );
        return None;
    }
    Some(Limits {
        task_timeout,
        retries: retries?,
        workers: workers?,
        budget: budget?,
        max_price: max_price?,
        max_price_per_hour: max_price_per_hour?,
        max_start_price: max_start_price?,
        expiration,
        idle_timeout: idle_timeout?,
        results: results?,
    })
}

fn expiration(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Duration> {
    let expiration = entry.duration(diagnostics)?;
    if expiration < SHORTEST_AGREEMENT {
        diagnostics.report_with_help(
            entry.span(),
            "`expiration` is too short: providers refuse agreements of less than 5 minutes",
            "write at least \"6m\"; it limits one agreement, not the run: new ones follow while there is work",
        );
        return None;
    }
    Some(expiration)
}

fn budget(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Glm> {
    let budget = entry.money(diagnostics)?;
    if budget.is_zero() {
        diagnostics.report(entry.span(), "nothing can be bought with a budget of 0 GLM");
        return None;
    }
    Some(budget)
}
