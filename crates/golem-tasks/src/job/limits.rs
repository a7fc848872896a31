//! The `[limits]` section: what a run may take and cost. Keeping to it is left to the engine.

use std::time::Duration;

use golem_core::halt::Halt;
use golem_sdk::budget::{Budget, OnBudget};
use golem_sdk::defaults;
use golem_sdk::text::chain;
use serde::{Deserialize, Serialize};
use yagna_api::Glm;

use super::document::{Diagnostics, Entry, Section};
use super::schema;
use super::verdicts::{self, Verdicts};

/// Providers refuse agreements of less than 5 minutes from when they see the demand; a minute is for the way there.
pub const SHORTEST_AGREEMENT: Duration = Duration::from_secs(6 * 60);

/// The limits of a run. Every limit has a default, so the section may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// The longest one attempt of one task may take: 10 minutes, or `expiration` where that is shorter.
    #[serde(rename = "task_timeout_seconds", with = "seconds")]
    pub task_timeout: Duration,
    /// The number of retries of a failed task: 3, so that a task is tried 4 times at most.
    pub retries: u32,
    /// Providers that work at the same time, at most and at least 1: 5.
    pub workers: u32,
    /// The budget in GLM: 1 in all.
    pub budget: Budget,
    /// The reaction when that is exhausted: the run stops.
    pub on_budget: OnBudget,
    /// The most that one result may cost on average, in GLM; no limit unless given.
    pub max_price: Option<Glm>,
    /// The time that an activity may work before that applies: 5 minutes.
    #[serde(rename = "price_grace_seconds", with = "seconds")]
    pub price_grace: Duration,
    /// The most that an hour of one provider at full use may cost, in GLM: its price an hour plus its price a CPU-hour
    /// times its threads: 5 GLM.
    pub max_price_per_hour: Option<Glm>,
    /// The most that a provider may charge for starting, in GLM: 0.5 GLM.
    pub max_start_price: Option<Glm>,
    /// The longest time that one agreement with a provider may last, at least [`SHORTEST_AGREEMENT`]: 1 hour. The run
    /// itself may take longer: new agreements follow while there is work.
    #[serde(rename = "expiration_seconds", with = "seconds")]
    pub expiration: Duration,
    /// The time to wait with no provider found before giving up: 15 minutes.
    #[serde(rename = "idle_timeout_seconds", with = "seconds")]
    pub idle_timeout: Duration,
    /// The number of wanted results: the run ends when they are there. All of them unless given.
    pub results: Option<u64>,
    /// The number of tasks that may fail before the run stops, or their share of those that have come to their end. Any number unless given.
    pub halt: Option<Halt>,
    /// The only providers to work with, each by its name, its id or the beginning of its id; any where there are none. In a
    /// job file they are in `[payload]`.
    pub providers: Vec<String>,
    /// Providers not to work with, each by its name, its id or the beginning of its id.
    pub exclude_providers: Vec<String>,
    /// The command that is run on this machine once the run has ended. It isn't kept with the run.
    #[serde(skip)]
    pub on_end: Option<String>,
    /// The addresses that get the summary as JSON once the run has ended. They may hold secrets, so they aren't kept with the run.
    #[serde(skip)]
    pub notify: Vec<String>,
}

/// Durations as numbers of seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// Makes a setter of each of these fields.
macro_rules! setters {
    ($($field:ident: $type:ty),* $(,)?) => {
        impl Limits {$(
            #[doc = concat!("With this value of [`Limits::", stringify!($field), "`].")]
            #[must_use]
            pub fn $field(mut self, $field: $type) -> Self {
                self.$field = $field.into();
                self
            }
        )*}
    };
}

setters! {
    task_timeout: Duration,
    retries: u32,
    workers: u32,
    budget: Budget,
    on_budget: OnBudget,
    max_price: impl Into<Option<Glm>>,
    price_grace: Duration,
    max_price_per_hour: impl Into<Option<Glm>>,
    max_start_price: impl Into<Option<Glm>>,
    expiration: Duration,
    idle_timeout: Duration,
    results: impl Into<Option<u64>>,
    halt: impl Into<Option<Halt>>,
    providers: Vec<String>,
    exclude_providers: Vec<String>,
    on_end: impl Into<Option<String>>,
    notify: Vec<String>,
}

/// The word for "any price", in job files and on the command line.
pub(crate) const NO_CAP: &str = "none";

impl Default for Limits {
    fn default() -> Self {
        let caps = defaults::price_caps();
        Self {
            task_timeout: Duration::from_secs(10 * 60),
            retries: defaults::RETRIES,
            workers: defaults::WORKERS,
            budget: defaults::BUDGET,
            on_budget: OnBudget::Stop,
            max_price: None,
            price_grace: defaults::PRICE_GRACE,
            max_price_per_hour: caps.per_hour,
            max_start_price: caps.start,
            expiration: defaults::EXPIRATION,
            idle_timeout: defaults::IDLE_TIMEOUT,
            results: None,
            halt: None,
            providers: Vec::new(),
            exclude_providers: Vec::new(),
            on_end: None,
            notify: Vec::new(),
        }
    }
}

pub(super) fn read(top: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<(Limits, Verdicts)> {
    read_known(top, schema::LIMITS, Limits::default(), diagnostics)
}

/// Reads the section where only these of its keys may stand, and what isn't said is like this.
pub(crate) fn read_known(
    top: &Section<'_>,
    known: &[&str],
    defaults: Limits,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<(Limits, Verdicts)> {
    if top.get("limits").is_none() {
        return Some((defaults, Verdicts::default()));
    }
    let section = top.section("limits", known, diagnostics)?;
    let money = |entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>| entry.money(diagnostics).map(Some);
    let expiration = section.value_or("expiration", defaults.expiration, diagnostics, expiration);
    let longest = expiration.map_or(defaults.task_timeout, |run| run.min(defaults.task_timeout));
    let task_timeout = section.value_or("task_timeout", longest, diagnostics, Entry::duration);
    let retries = section
        .value_or("retries", defaults.retries, diagnostics, |entry, diagnostics| entry.count(0, diagnostics));
    let workers = section
        .value_or("workers", defaults.workers, diagnostics, |entry, diagnostics| entry.count(1, diagnostics));
    let budget = section.value_or("budget", defaults.budget, diagnostics, budget);
    let on_budget = section.value_or("on_budget", defaults.on_budget, diagnostics, on_budget);
    let price_grace = section.value_or("price_grace", defaults.price_grace, diagnostics, Entry::duration);
    let max_price = section.value_or("max_price", None, diagnostics, money);
    let max_price_per_hour =
        section.value_or("max_price_per_hour", defaults.max_price_per_hour, diagnostics, cap);
    let max_start_price = section.value_or("max_start_price", defaults.max_start_price, diagnostics, cap);
    let idle_timeout = section.value_or("idle_timeout", defaults.idle_timeout, diagnostics, Entry::duration);
    let results = section.value_or("results", None, diagnostics, |entry, diagnostics| {
        entry.count(1, diagnostics).map(|results| Some(u64::from(results)))
    });

    let halt =
        section.value_or("halt", None, diagnostics, |entry, diagnostics| halt(entry, diagnostics).map(Some));
    let verdicts = verdicts::read(&section, diagnostics);
    let on_end = section.value_or("on_end", None, diagnostics, |entry, diagnostics| {
        entry.text(diagnostics).map(|command| Some(command.to_owned()))
    });
    let notify = section.value_or("notify", Vec::new(), diagnostics, |entry, diagnostics| {
        let items = entry.items().unwrap_or_else(|| vec![entry.clone()]);
        items.iter().map(|item| address(item, diagnostics)).collect()
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
    let limits = Limits {
        task_timeout,
        retries: retries?,
        workers: workers?,
        budget: budget?,
        on_budget: on_budget?,
        max_price: max_price?,
        price_grace: price_grace?,
        max_price_per_hour: max_price_per_hour?,
        max_start_price: max_start_price?,
        expiration,
        idle_timeout: idle_timeout?,
        results: results?,
        halt: halt?,
        providers: Vec::new(),
        exclude_providers: Vec::new(),
        on_end: on_end?,
        notify: notify?,
    };
    Some((limits, verdicts?))
}

/// The highest price that is paid, or `"none"`.
#[expect(clippy::option_option, reason = "read or not, and a cap or none")]
fn cap(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Option<Glm>> {
    if entry.as_str() == Some(NO_CAP) { Some(None) } else { entry.money(diagnostics).map(Some) }
}

/// An address that is told of the run's end.
fn address(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let text = entry.string(diagnostics)?;
    match notified_address(text) {
        Ok(address) => Some(address),
        Err(problem) => {
            diagnostics.report(entry.span(), problem);
            None
        }
    }
}

/// An address that can be told of a run's end.
pub(crate) fn notified_address(text: &str) -> Result<String, String> {
    let url = text.trim().parse::<reqwest::Url>().ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    url.map(String::from).ok_or_else(|| "expected an address such as https://example.org/hook".to_owned())
}

/// A number of tasks, or a share of them as a string.
fn halt(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Halt> {
    let Some(text) = entry.as_str() else {
        return entry.count(1, diagnostics).map(|count| Halt::Count(count.into()));
    };
    text.parse().map_err(|error| diagnostics.report(entry.span(), format!("`halt`: {error}"))).ok()
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

/// One limit, or several in a list.
fn budget(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Budget> {
    let Some(limits) = entry.items() else { return one_budget(entry, diagnostics) };
    let mut whole: Option<Budget> = None;
    for limit in &limits {
        let budget = one_budget(limit, diagnostics)?;
        whole = match whole.map_or(Ok(budget), |whole| whole.and(budget)) {
            Ok(whole) => Some(whole),
            Err(error) => {
                diagnostics.report(limit.span(), chain(&error));
                return None;
            }
        };
    }
    if whole.is_none() {
        diagnostics.report(entry.span(), "`budget` is empty");
    }
    whole
}

/// GLM in all, as a string or a number; or in an hour or a day, as a string.
fn one_budget(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Budget> {
    let budget = if let Some(text) = entry.as_str().filter(|text| text.contains('/')) {
        text.parse()
    } else {
        let budget = Budget::in_all(entry.money(diagnostics)?);
        budget.check().map(|()| budget)
    };
    budget.map_err(|error| diagnostics.report(entry.span(), chain(&error))).ok()
}

fn on_budget(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<OnBudget> {
    let read = OnBudget::from_word(entry.string(diagnostics)?);
    if read.is_none() {
        entry.expected("\"stop\" or \"pause\"", diagnostics);
    }
    read
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::job::Job;

    fn limits(keys: &str) -> Limits {
        let text = format!(
            "[payload]\nimage_tag = \"golem/alpine:latest\"\n[tasks]\nvalues = [1]\n[[steps]]\nrun = \"true\"\n\
             [limits]\n{keys}"
        );
        Job::parse(&text, Path::new("job.toml")).unwrap().limits
    }

    #[test]
    fn the_guide_names_the_defaults() {
        let (_, table) = include_str!("../../../../docs/job-file.md").split_once("## `[limits]`").unwrap();
        let rows = table
            .lines()
            .skip_while(|line| !line.starts_with("| `"))
            .take_while(|line| line.starts_with('|'));
        let mut named = Vec::new();
        for row in rows {
            let key = row.split('`').nth(1).unwrap();
            let default =
                row.trim_end_matches('|').rsplit('|').next().unwrap().trim().trim_start_matches('`');
            let default = default.split('`').next().unwrap();
            if default.starts_with('"') || default.parse::<u32>().is_ok() {
                named.push(format!("{key} = {default}\n"));
            }
        }
        assert!(named.len() >= 10, "{named:?}");
        // Each one holds where it is left out, and all of them together do.
        for keys in named.iter().map(String::as_str).chain([named.concat().as_str()]) {
            assert_eq!(limits(keys), Limits::default(), "{keys}");
        }
    }

    #[test]
    fn a_cap_may_be_lifted() {
        let lifted = limits("max_price_per_hour = \"none\"\nmax_start_price = \"none\"\n");
        assert_eq!((lifted.max_price_per_hour, lifted.max_start_price), (None, None));
    }
}
