//! The reasons why a run has no more providers at work than it has: the way from the offers to those at work, counted in
//! the database.

use std::collections::BTreeMap;

use golem_core::explain::Explanation;
use golem_core::raise::{AboveCap, CappedPrice, Raise};
use golem_core::words::without_details;
use yagna_api::Glm;

use super::{Reader, RunStatus};
use crate::description::RunDescription;
use crate::store::database::{Statement, damaged};
use crate::store::read::{RENTALS_FAILED, reason_counts};
use crate::store::{Store, StoreError, TaskCounts};

/// A run, and the explanation of where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedRun {
    /// The run.
    pub run_id: String,
    /// The status, and the process that runs it.
    pub status: RunStatus,
    /// Its tasks, counted.
    pub tasks: TaskCounts,
    /// The way from the offers that were seen to the providers at work; of a run that isn't going on, to those that worked.
    pub explanation: Explanation,
}

/// The offers of a run, counted.
#[derive(Default)]
struct Offers {
    seen: u64,
    unfit: BTreeMap<String, u64>,
    above: Vec<AboveCap>,
    refused: BTreeMap<String, u64>,
    unanswered: u64,
    agreed: u64,
    agreed_before: u64,
}

/// The rentals of a run, counted.
struct Rentals {
    signed: u64,
    worked: u64,
    in_progress: u64,
    ready: u64,
    working: u64,
}

impl ExplainedRun {
    /// True if a live process works on the run.
    pub fn is_live(&self) -> bool {
        self.status.holder().is_some()
    }
}

impl Store {
    /// Explains where a run stands, also while another process works on it.
    ///
    /// The rows that are counted are those of offers, rentals and the newest attempts, so it is quick whatever the number of
    /// tasks.
    pub async fn explain(&self, run_id: &str) -> Result<ExplainedRun, StoreError> {
        let mut reader = Reader::new(self, run_id).await?;
        reader.explain(run_id).await
    }
}

impl Reader<'_> {
    pub(super) async fn explain(&mut self, run_id: &str) -> Result<ExplainedRun, StoreError> {
        let status = self.status().await?;
        let tasks = self.task_counts().await?;
        let offers = self.offers().await?;
        let rentals = self.rentals_counted().await?;
        let rows = self.rows("SELECT waiting, job FROM runs WHERE run_no = $1").await?;
        let run = rows.first().ok_or_else(|| damaged("run_no", "the run is gone"))?;
        let last: Option<Explanation> = run.optional_json("waiting")?;
        let description: RunDescription = run.optional_json("job")?.unwrap_or_default();
        let is_live = status.holder().is_some();
        // What the run itself said last is true as long as nothing has run since.
        let said = last.filter(|_| matches!(status, RunStatus::Running(_)) && tasks.running == 0);
        let said = said.unwrap_or_default();
        let working = if is_live { rentals.working } else { rentals.worked };
        let tasks_waiting = if is_live { tasks.waiting } else { tasks.unfinished() };
        // As many providers as there is work for, and no more.
        let wanted = u64::from(description.limits.workers).min(tasks.running + tasks.waiting);
        let missing = wanted.saturating_sub(rentals.working);
        let explanation = Explanation {
            waited: said.waited,
            tasks_waiting,
            published: self.is_published().await? || offers.seen > 0,
            offers: offers.seen,
            refused_by_us: offers.unfit,
            raise: Raise::for_missing(offers.above.iter().copied(), missing),
            cheapest_refused: cheapest(&offers.above),
            refused_by_them: offers.refused,
            negotiated: offers.agreed_before,
            signed: rentals.signed,
            working,
            failures: self.failures_by_reason().await?,
            unanswered: if is_live { offers.unanswered } else { 0 },
            agreed: if is_live { offers.agreed } else { 0 },
            in_progress: if is_live { rentals.in_progress } else { 0 },
            set_back: if is_live { self.set_back().await? } else { 0 },
            idle: if is_live && tasks.waiting > 0 {
                rentals.ready.saturating_sub(rentals.working)
            } else {
                0
            },
            budget_left: said.budget_left,
            budget_blocks: said.budget_blocks,
            agreement_needs: said.agreement_needs,
            paused_until: said.paused_until,
            budget_missing: said.budget_missing,
            daemon_trouble: said.daemon_trouble,
        };
        Ok(ExplainedRun { run_id: run_id.to_owned(), status, tasks, explanation })
    }

    pub(super) async fn task_counts(&mut self) -> Result<TaskCounts, StoreError> {
        let rows =
            self.rows("SELECT status, count(*) AS n FROM tasks WHERE run_no = $1 GROUP BY status").await?;
        let mut counts = TaskCounts::default();
        for row in rows {
            let n = row.unsigned("n")?;
            match row.text("status")?.as_str() {
                "waiting" => counts.waiting = n,
                "running" => counts.running = n,
                "done" => counts.done = n,
                "failed" => counts.failed = n,
                "cancelled" => counts.cancelled = n,
                _ => counts.expired = n,
            }
        }
        Ok(counts)
    }

    async fn is_published(&mut self) -> Result<bool, StoreError> {
        let rows = self.rows("SELECT count(*) AS n FROM demands WHERE run_no = $1").await?;
        rows.first().map_or(Ok(false), |row| Ok(row.unsigned("n")? > 0))
    }

    async fn offers(&mut self) -> Result<Offers, StoreError> {
        let mut offers = Offers::default();
        let rows = self
            .rows(
                "SELECT o.status, o.reason, o.above, o.agreed_at, (SELECT count(*) FROM rentals AS r \
                 WHERE r.run_no = o.run_no AND r.provider_id = o.provider_id \
                 AND r.status IN ('intended', 'created', 'approved')) AS rented FROM offers AS o WHERE o.run_no = $1",
            )
            .await?;
        for row in rows {
            offers.seen += 1;
            offers.agreed_before += u64::from(row.optional_time("agreed_at")?.is_some());
            let reason = row.optional_text("reason")?.unwrap_or_default();
            let is_rented = row.unsigned("rented")? > 0;
            match row.text("status")?.as_str() {
                "unfit" => {
                    *offers.unfit.entry(reason).or_default() += 1;
                    offers.above.extend(row.optional_json::<AboveCap>("above")?);
                }
                "refused" => *offers.refused.entry(reason).or_default() += 1,
                "asked" if !is_rented => offers.unanswered += 1,
                "agreed" if !is_rented => offers.agreed += 1,
                _ => {}
            }
        }
        Ok(offers)
    }

    async fn rentals_counted(&mut self) -> Result<Rentals, StoreError> {
        let rows = self
            .rows(
                "SELECT (SELECT count(DISTINCT provider_id) FROM rentals WHERE run_no = $1 \
                 AND approved_at IS NOT NULL) AS signed, \
                 (SELECT count(DISTINCT r.provider_id) FROM activities AS a JOIN rentals AS r ON r.run_no = a.run_no \
                 AND r.rental_no = a.rental_no WHERE a.run_no = $1 AND a.ready_at IS NOT NULL) AS worked, \
                 (SELECT count(*) FROM rentals AS r WHERE r.run_no = $1 AND (r.status IN ('intended', 'created') \
                 OR (r.status = 'approved' AND NOT EXISTS (SELECT 1 FROM activities AS a WHERE a.run_no = r.run_no \
                 AND a.rental_no = r.rental_no AND a.status IN ('ready', 'ended'))))) AS in_progress, \
                 (SELECT count(*) FROM activities AS a WHERE a.run_no = $1 AND a.status = 'ready') AS ready, \
                 (SELECT count(DISTINCT r.provider_id) FROM tasks AS t JOIN attempts AS b ON b.run_no = t.run_no \
                 AND b.task_no = t.task_no AND b.number = t.attempt JOIN rentals AS r ON r.run_no = b.run_no \
                 AND r.rental_no = b.rental_no WHERE t.run_no = $1 AND t.status = 'running') AS working",
            )
            .await?;
        let row = rows.first().ok_or_else(|| damaged("run_no", "the run is gone"))?;
        Ok(Rentals {
            signed: row.unsigned("signed")?,
            worked: row.unsigned("worked")?,
            in_progress: row.unsigned("in_progress")?,
            ready: row.unsigned("ready")?,
            working: row.unsigned("working")?,
        })
    }

    /// Agreements and activities that failed, by reason.
    async fn failures_by_reason(&mut self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut failures = BTreeMap::new();
        for (reason, n) in reason_counts(&self.rows(RENTALS_FAILED).await?)? {
            *failures.entry(without_details(&reason).to_owned()).or_default() += n;
        }
        Ok(failures)
    }

    /// Providers that are left alone for a while after failures.
    async fn set_back(&mut self) -> Result<u64, StoreError> {
        let counted = Statement::new(
            "SELECT count(DISTINCT provider_id) AS n FROM notes WHERE run_no = $1 AND kind = 'provider_set_back' \
             AND until_at > {now}",
        );
        let rows = self.read(counted.int(self.run_no)).await?;
        rows.first().map_or(Ok(0), |row| row.unsigned("n"))
    }
}

/// GLM an hour of the cheapest offer that was refused for that price.
fn cheapest(above: &[AboveCap]) -> Option<Glm> {
    let per_hour = above.iter().filter(|above| above.of == CappedPrice::PerHour);
    per_hour.map(|above| above.price).min()
}
