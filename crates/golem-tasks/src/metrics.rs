//! Metrics for Prometheus and its like, in `OpenMetrics` text: of runs from the store, of requests to the daemon from the
//! process that makes them.
//!
//! Labels have few values each: the run, a state, an endpoint. Tasks and providers are no labels.

mod requests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use golem_core::budget::Window;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use yagna_api::{Glm, Timestamp};

use crate::store::{Overview, RunsWanted, Store, StoreError};
pub(crate) use requests::Requests;

/// The type of the text.
pub(crate) const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Runs that are told of at most.
const RUNS: u32 = 20;

/// Makes the text for collectors.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Option<Arc<Requests>>,
}

/// The reasons why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetricsError {
    #[error("the metrics can't be read: {0}")]
    Store(#[from] StoreError),
    #[error("the metrics can't be written")]
    Format(#[from] fmt::Error),
}

/// A run and something that there are several of in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    run: String,
    state: &'static str,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRun {
    run: String,
}

/// A run and a stretch of time that its budget limits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWindow {
    run: String,
    window: &'static str,
}

type Amount<L> = Family<L, Gauge<f64, AtomicU64>>;
type Count<L> = Family<L, Gauge>;

/// The metrics of runs.
#[derive(Debug, Default)]
struct Runs {
    states: Count<Of>,
    tasks: Count<Of>,
    attempts: Family<Of, Counter>,
    activities: Count<Of>,
    agreements: Count<OfRun>,
    unsettled: Count<OfRun>,
    accepted: Amount<OfRun>,
    exposed: Amount<OfRun>,
    budget: Amount<OfWindow>,
    left: Amount<OfWindow>,
    began: Amount<OfRun>,
}

impl Metrics {
    pub(crate) fn new(requests: Option<Arc<Requests>>) -> Self {
        Self { requests }
    }

    /// The metrics as of now, of these runs, or of the newest ones that haven't ended.
    pub(crate) async fn text(&self, store: &Store, runs: Option<&[String]>) -> Result<String, MetricsError> {
        let mut registry = Registry::with_prefix("golem_tasks");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", version);
        let told = Runs::default();
        told.register(&mut registry);
        let open;
        let runs = if let Some(runs) = runs {
            runs
        } else {
            let states = ["running", "stopping", "interrupted"];
            let wanted = RunsWanted { limit: RUNS, since: None, states: &states };
            open = store.runs_wanted(&wanted).await?.into_iter().map(|run| run.run_id).collect::<Vec<_>>();
            &open
        };
        for run_id in runs {
            match told.read(store, run_id).await {
                // It is told of once it is recorded.
                Ok(()) | Err(StoreError::NoSuchRun { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(requests) = &self.requests {
            requests.register(&mut registry);
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Runs {
    fn register(&self, registry: &mut Registry) {
        registry.register("run_state", "1 for the state that the run is in", self.states.clone());
        registry.register("tasks", "Known tasks by their state", self.tasks.clone());
        registry.register("attempts", "Attempts of tasks by their outcome", self.attempts.clone());
        registry.register("activities", "Activities by their state", self.activities.clone());
        registry.register("open_agreements", "Agreements in force or about to be", self.agreements.clone());
        registry.register(
            "unsettled_rentals",
            "Rentals whose final bill isn't decided",
            self.unsettled.clone(),
        );
        registry.register("glm_accepted", "GLM of accepted bills", self.accepted.clone());
        registry.register(
            "glm_exposed",
            "GLM used and not billed yet, by our own meter",
            self.exposed.clone(),
        );
        registry.register("glm_budget", "GLM that the run may spend", self.budget.clone());
        registry.register(
            "glm_budget_left",
            "GLM of it that is neither accepted nor exposed",
            self.left.clone(),
        );
        registry.register(
            "run_began_timestamp_seconds",
            "When the run was first recorded",
            self.began.clone(),
        );
    }

    async fn read(&self, store: &Store, run_id: &str) -> Result<(), StoreError> {
        let pulse = store.pulse(run_id).await?;
        let overview = store.overview(run_id).await?;
        let budget = store.run_record(run_id).await?.and_then(|record| record.description().ok());
        let budget = budget.map(|description| description.limits.budget);
        self.tell(run_id, &overview);
        let Some(budget) = budget else { return Ok(()) };
        let exposed = overview.estimate.saturating_sub(overview.summary.cost);
        let spent = store.spending(run_id).await?;
        let limited = |window, limit: Glm, used: Glm| {
            let of = OfWindow { run: run_id.to_owned(), window };
            self.budget.get_or_create(&of).set(number(limit));
            let left = limit.saturating_sub(used).saturating_sub(exposed);
            self.left.get_or_create(&of).set(number(left).max(0.0));
        };
        if let Some(total) = budget.total() {
            limited("all", total, overview.summary.cost);
        }
        for (window, limit) in budget.windows() {
            let name = match window {
                Window::Hour => "hour",
                Window::Day => "day",
            };
            let is_within = |at: &Timestamp| yagna_api::time::between(*at, pulse.now) < window.length();
            limited(name, limit, spent.iter().filter(|(at, _)| is_within(at)).map(|(_, cost)| *cost).sum());
        }
        Ok(())
    }

    fn tell(&self, run_id: &str, overview: &Overview) {
        let of = |state| Of { run: run_id.to_owned(), state };
        let run = OfRun { run: run_id.to_owned() };
        let summary = &overview.summary;
        for state in ["running", "stopping", "ended", "interrupted"] {
            self.states.get_or_create(&of(state)).set(i64::from(overview.status.word() == state));
        }
        let tasks = &summary.tasks;
        for (state, n) in [
            ("waiting", tasks.waiting),
            ("running", tasks.running),
            ("done", tasks.done),
            ("failed", tasks.failed),
            ("cancelled", tasks.cancelled),
            ("expired", tasks.expired),
        ] {
            self.tasks.get_or_create(&of(state)).set(count(n));
        }
        let done = summary.providers.iter().map(|provider| provider.tasks_done).sum::<u64>();
        let failed = summary.providers.iter().map(|provider| provider.failed_attempts).sum::<u64>();
        self.attempts.get_or_create(&of("done")).inc_by(done);
        self.attempts.get_or_create(&of("failed")).inc_by(failed);
        self.attempts.get_or_create(&of("begun")).inc_by(overview.attempts);
        for (state, n) in [("new", overview.new), ("ready", overview.ready), ("ended", overview.other)] {
            self.activities.get_or_create(&of(state)).set(count(n));
        }
        self.agreements.get_or_create(&run).set(count(overview.open_agreements));
        self.unsettled.get_or_create(&run).set(count(summary.unsettled));
        self.accepted.get_or_create(&run).set(number(summary.cost));
        self.exposed.get_or_create(&run).set(number(overview.estimate.saturating_sub(summary.cost)));
        self.began.get_or_create(&run).set(seconds(summary.started));
    }
}

/// An amount for a collector, which knows floats only.
fn number(amount: Glm) -> f64 {
    amount.to_string().parse().unwrap_or(f64::NAN)
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit into a float's 53 bits")]
fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}
