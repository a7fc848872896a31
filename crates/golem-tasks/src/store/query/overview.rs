//! One run at a glance.

use yagna_api::time::after;
use yagna_api::{Glm, Timestamp};

use super::activities::{ActivityRow, ActivityStatus, per_result};
use super::{Reader, RunStatus};
use crate::store::{RunSummary, Store, StoreError};

/// The present state of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The totals so far.
    pub summary: RunSummary,
    /// The status, and the process that runs it.
    pub status: RunStatus,
    /// Activities that take tasks.
    pub ready: u64,
    /// Activities that aren't ready yet.
    pub new: u64,
    /// Activities that are over.
    pub other: u64,
    /// Attempts of tasks that began.
    pub attempts: u64,
    /// Agreements that are in force, or may come to be.
    pub open_agreements: u64,
    /// GLM used so far by our own measure, while a process works on the run; never less than what was accepted.
    pub estimate: Glm,
}

impl Overview {
    /// GLM for each result so far.
    pub fn cost_per_result(&self) -> Option<Glm> {
        per_result(self.summary.cost, self.summary.tasks.results())
    }

    /// Until when it waits for its budget, if it does: it goes on by itself.
    pub fn paused_until(&self) -> Option<Timestamp> {
        self.status.paused_until(self.summary.waiting.as_ref())
    }
}

impl Store {
    /// Reads the present state of a run.
    ///
    /// Its activities and its tasks are counted one after the other: of a run that goes on they may be some
    /// milliseconds apart.
    pub async fn overview(&self, run_id: &str) -> Result<Overview, StoreError> {
        let (activities, open_agreements, status) = {
            let mut reader = Reader::new(self, run_id).await?;
            (reader.activities().await?, reader.open_agreements().await?, reader.status().await?)
        };
        let summary = self.run_summary(run_id).await?;
        let estimate = match status.holder() {
            Some(held) => {
                // The database's own clock, which is the one that all have in common.
                let now = after(held.heard, held.silent);
                let all: Glm = activities.iter().map(|activity| activity.estimate(now)).sum();
                all.max(summary.cost)
            }
            None => summary.cost,
        };
        let count = |status| {
            let n = activities.iter().filter(|activity: &&ActivityRow| activity.status == status).count();
            u64::try_from(n).unwrap_or(u64::MAX)
        };
        Ok(Overview {
            summary,
            status,
            ready: count(ActivityStatus::Ready),
            new: count(ActivityStatus::New),
            other: count(ActivityStatus::Stopped),
            attempts: activities.iter().map(|activity| activity.attempts).sum(),
            open_agreements,
            estimate,
        })
    }
}

impl Reader<'_> {
    async fn open_agreements(&mut self) -> Result<u64, StoreError> {
        let rows = self
            .rows(
                "SELECT count(*) AS n FROM rentals WHERE run_no = $1 \
                 AND status IN ('intended', 'created', 'approved')",
            )
            .await?;
        rows.first().map_or(Ok(0), |row| row.unsigned("n"))
    }
}
