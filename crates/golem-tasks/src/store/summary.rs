//! The totals of a run. Counted by `read` from the database and by the views from the event stream; both must agree.

use std::collections::BTreeMap;
use std::time::Duration;

use golem_core::event::{FailureKind, Printed, RunEnd};
use golem_core::explain::Explanation;
use yagna_api::{Glm, NodeId, Timestamp};

use super::PaymentTotals;

/// The number of failed tasks and refused bills that are listed one by one; all of them are counted.
pub const LISTED: usize = 10;

/// The totals of a run so far.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// The run.
    pub run_id: String,
    /// The time at which it was first recorded.
    pub started: Timestamp,
    /// Its tasks, counted.
    pub tasks: TaskCounts,
    /// The providers that worked for it or signed an agreement, those with the most results first.
    pub providers: Vec<ProviderSummary>,
    /// GLM accepted in all.
    pub cost: Glm,
    /// Rentals that were approved and whose final bill wasn't accepted or refused yet.
    pub unsettled: u64,
    /// The payments of the accepted money, as far as the daemon was asked.
    pub payments: Option<PaymentTotals>,
    /// Failed tasks, those with the lowest numbers, at most [`LISTED`].
    pub failures: Vec<FailedTask>,
    /// Bills refused, counted.
    pub bills_refused: u64,
    /// Bills refused, the oldest, at most [`LISTED`].
    pub refused_bills: Vec<RefusedBill>,
    /// Offers that we refused, by reason.
    pub offers_refused: BTreeMap<String, u64>,
    /// Refusals by providers, by their reason; empty where they gave none.
    pub refused_by_providers: BTreeMap<String, u64>,
    /// Agreements that didn't come to be and activities that failed, by reason.
    pub rentals_failed: BTreeMap<String, u64>,
    /// The latest explanation why nothing ran.
    pub waiting: Option<Explanation>,
    /// The end of the run, if it has ended.
    pub ended: Option<ExplainedEnd>,
}

/// The end of a run, and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedEnd {
    /// The time of the end.
    pub at: Timestamp,
    /// The end, as the engine reported it.
    pub end: RunEnd,
}

/// Tasks, counted by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskCounts {
    /// Done: with a result, or without one where there is none.
    pub done: u64,
    /// Those of them that have found nothing: they are done, and have no result.
    pub no_result: u64,
    /// Failed for good.
    pub failed: u64,
    /// Being tried.
    pub running: u64,
    /// Waiting for an attempt.
    pub waiting: u64,
    /// Given up with their job.
    pub cancelled: u64,
    /// Not finished when their job's deadline passed.
    pub expired: u64,
}

/// The work of one provider for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSummary {
    /// Its node id.
    pub id: NodeId,
    /// Its name for itself, as last heard.
    pub name: String,
    /// Agreements that it approved.
    pub agreements: u64,
    /// Results it made.
    pub tasks_done: u64,
    /// Attempts that failed there.
    pub failed_attempts: u64,
    /// The time of all attempts that ended there, added up, each until its end was known. Failures are often known late,
    /// and attempts that share a script overlap.
    pub busy: Duration,
    /// GLM accepted.
    pub cost: Glm,
    /// Its rentals that aren't settled.
    pub unsettled: u64,
    /// The payments of the money accepted for it, as far as the daemon was asked.
    pub payments: Option<PaymentTotals>,
}

/// A task that failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedTask {
    /// The task's number.
    pub task: u64,
    /// The task itself, where it is short.
    pub name: Option<String>,
    /// The number of its last attempt.
    pub attempt: u32,
    /// The number of its attempts that count, the last one included: not those that were given back.
    pub tried: u64,
    /// The provider, unless it never began.
    pub provider: Option<String>,
    /// The kind of failure.
    pub kind: FailureKind,
    /// In words.
    pub message: String,
    /// The end of what its commands wrote to standard error.
    pub stderr: Printed,
}

/// A bill that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedBill {
    /// The provider, if it is for one of our rentals.
    pub provider: Option<String>,
    /// The amount that it asked for.
    pub amount: Glm,
    /// The reason why it was refused.
    pub reason: String,
}

impl TaskCounts {
    /// All tasks known.
    pub fn total(&self) -> u64 {
        self.done + self.failed + self.unfinished()
    }

    /// Tasks with a result.
    pub fn results(&self) -> u64 {
        self.done.saturating_sub(self.no_result)
    }

    /// Tasks that neither are done nor failed, those given up included.
    pub fn unfinished(&self) -> u64 {
        self.running + self.waiting + self.cancelled + self.expired
    }
}

impl RunSummary {
    /// A run of which nothing is known but that it began.
    pub fn new(run_id: impl Into<String>, started: Timestamp) -> Self {
        Self {
            run_id: run_id.into(),
            started,
            tasks: TaskCounts::default(),
            providers: Vec::new(),
            cost: Glm::ZERO,
            unsettled: 0,
            payments: None,
            failures: Vec::new(),
            bills_refused: 0,
            refused_bills: Vec::new(),
            offers_refused: BTreeMap::new(),
            refused_by_providers: BTreeMap::new(),
            rentals_failed: BTreeMap::new(),
            waiting: None,
            ended: None,
        }
    }

    /// From the start to the end; none while it goes on.
    pub fn wall_time(&self) -> Option<Duration> {
        self.ended.as_ref().map(|ended| yagna_api::time::between(self.started, ended.at))
    }

    /// Puts the providers in their order.
    pub(crate) fn sort_providers(&mut self) {
        self.providers.sort_by(|a, b| {
            b.tasks_done.cmp(&a.tasks_done).then_with(|| a.name.cmp(&b.name)).then_with(|| a.id.cmp(&b.id))
        });
    }
}

impl ProviderSummary {
    /// A provider that has done nothing yet.
    pub(crate) fn new(id: NodeId, name: String) -> Self {
        Self {
            id,
            name,
            agreements: 0,
            tasks_done: 0,
            failed_attempts: 0,
            busy: Duration::ZERO,
            cost: Glm::ZERO,
            unsettled: 0,
            payments: None,
        }
    }

    /// True if it approved an agreement or was paid.
    pub(crate) fn took_part(&self) -> bool {
        self.agreements > 0 || !self.cost.is_zero()
    }
}
