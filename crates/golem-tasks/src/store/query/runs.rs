//! All runs of a database, and where each one stands.

use std::collections::HashMap;
use std::time::Duration;

use golem_core::event::{RunEnd, StopReason};
use golem_core::explain::Explanation;
use jiff::SignedDuration;
use yagna_api::{Glm, Timestamp};

use super::Reader;
use crate::store::database::{Row, Statement, Transaction, damaged};
use crate::store::holder::LEASE_TIMEOUT;
use crate::store::lease::held_by;
use crate::store::{HeldBy, Holder, Store, StoreError};

/// The status of a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RunStatus {
    /// A live process works on it.
    Running(HeldBy),
    /// A live process brings it to its end.
    Stopping(HeldBy, StopReason),
    /// It is over.
    Ended(StopReason),
    /// It isn't over, and nobody works on it: its process died, or left. The last one is named if it never let go.
    Interrupted(Option<HeldBy>),
}

/// The decisions on the bills of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// GLM accepted.
    pub cost: Glm,
    /// Rentals whose final bill hasn't come or isn't decided.
    pub unsettled: u64,
}

/// One run among others.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub run_id: String,
    /// The status.
    pub status: RunStatus,
    /// Until when it waits for its budget, if it does: it goes on by itself.
    pub paused_until: Option<Timestamp>,
    /// Tasks with a result.
    pub done: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Tasks known that have neither.
    pub left: u64,
    /// The cost so far.
    pub settled: Settled,
    /// The time at which it was recorded.
    pub began: Timestamp,
    /// The time at which it ended.
    pub ended: Option<Timestamp>,
}

impl RunStatus {
    /// Its word, the same everywhere.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Running(_) => "running",
            Self::Stopping(..) => "stopping",
            Self::Ended(_) => "ended",
            Self::Interrupted(_) => "interrupted",
        }
    }

    /// The live process that works on it.
    pub fn holder(&self) -> Option<&HeldBy> {
        match self {
            Self::Running(held) | Self::Stopping(held, _) => Some(held),
            Self::Ended(_) | Self::Interrupted(_) => None,
        }
    }

    /// Until when a run of this status waits for its budget, if that is why nothing ran when it was last asked.
    pub(super) fn paused_until(&self, waiting: Option<&Explanation>) -> Option<Timestamp> {
        match self {
            Self::Running(_) => waiting?.paused_until,
            Self::Stopping(..) | Self::Ended(_) | Self::Interrupted(_) => None,
        }
    }
}

/// The runs that are asked for.
#[derive(Debug, Clone, Default)]
pub struct RunsWanted<'a> {
    /// The most runs.
    pub limit: u32,
    /// Only those that began in this time before now, by the database's clock.
    pub since: Option<Duration>,
    /// Only those whose status has one of these words; of any status where there are none.
    pub states: &'a [&'a str],
}

impl Store {
    /// The newest runs, at most so many.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunRow>, StoreError> {
        self.runs_wanted(&RunsWanted { limit, ..RunsWanted::default() }).await
    }

    /// The status of a run. Its tasks aren't counted, so this is quick whatever their number.
    pub async fn run_status(&self, run_id: &str) -> Result<RunStatus, StoreError> {
        Reader::new(self, run_id).await?.status().await
    }

    /// The newest runs of those that are asked for.
    pub async fn runs_wanted(&self, wanted: &RunsWanted<'_>) -> Result<Vec<RunRow>, StoreError> {
        let failed = |source| self.failed("read the runs", source);
        let mut transaction = self.database.read().await.map_err(failed)?;
        let since = begin(&mut transaction, wanted.since).await.map_err(failed)??;
        let newest = Statement::new(
            "SELECT r.run_no, r.run_id, r.created_at, r.status, r.stop_reason, r.ended_at, r.finish, r.waiting, l.host, \
             l.pid, l.process, l.machine, l.since_at, l.heard_at, {now} AS now FROM runs AS r \
             LEFT JOIN leases AS l ON l.run_no = r.run_no WHERE r.created_at >= $1 ORDER BY r.run_no DESC LIMIT $2",
        )
        .time(since)
        // What state a run is in depends on its process, too: it isn't known before its row is read.
        .int(if wanted.states.is_empty() { i64::from(wanted.limit) } else { i64::MAX });
        let rows = transaction.rows(newest).await.map_err(failed)?;
        let here = Holder::here();
        let mut runs = Vec::new();
        for row in rows {
            let run_no = row.int("run_no")?;
            let status = status(&row, &here)?;
            if !(wanted.states.is_empty() || wanted.states.contains(&status.word())) {
                continue;
            }
            if runs.len() >= usize::try_from(wanted.limit).unwrap_or(usize::MAX) {
                break;
            }
            let mut reader = Reader { store: self, transaction, run_no };
            let settled = reader.settled().await?;
            let (done, failed, left) = match (&status, row.optional_json::<RunEnd>("finish")?) {
                // The totals were written down: counting would take long where there were many tasks.
                (RunStatus::Ended(_), Some(end)) => (end.done, end.failed, end.unfinished),
                _ => reader.counts().await?,
            };
            transaction = reader.transaction;
            let ended = match status {
                RunStatus::Ended(_) => row.optional_time("ended_at")?,
                _ => None,
            };
            let paused_until = status.paused_until(row.optional_json("waiting")?.as_ref());
            let (run_id, began) = (row.text("run_id")?, row.time("created_at")?);
            runs.push(RunRow { run_id, status, paused_until, done, failed, left, settled, began, ended });
        }
        Ok(runs)
    }
}

impl Reader<'_> {
    pub(super) async fn status(&mut self) -> Result<RunStatus, StoreError> {
        let rows = self
            .rows(
                "SELECT r.status, r.stop_reason, r.finish, l.host, l.pid, l.process, l.machine, l.since_at, \
                 l.heard_at, {now} AS now FROM runs AS r LEFT JOIN leases AS l ON l.run_no = r.run_no \
                 WHERE r.run_no = $1",
            )
            .await?;
        let row = rows.first().ok_or_else(|| damaged("run_no", "the run is gone"))?;
        status(row, &Holder::here())
    }

    async fn settled(&mut self) -> Result<Settled, StoreError> {
        let rows = self
            .rows("SELECT cost, approved_at, final_bill FROM rentals WHERE run_no = $1 AND approved_at IS NOT NULL")
            .await?;
        let mut settled = Settled { cost: Glm::ZERO, unsettled: 0 };
        for row in rows {
            settled.cost = [settled.cost, row.money("cost")?].into_iter().sum();
            settled.unsettled += u64::from(row.optional_text("final_bill")?.is_none());
        }
        Ok(settled)
    }

    /// Tasks done, failed and left.
    async fn counts(&mut self) -> Result<(u64, u64, u64), StoreError> {
        let rows =
            self.rows("SELECT status, count(*) AS n FROM tasks WHERE run_no = $1 GROUP BY status").await?;
        let mut counts: HashMap<String, u64> = HashMap::new();
        for row in rows {
            counts.insert(row.text("status")?, row.unsigned("n")?);
        }
        let done = counts.remove("done").unwrap_or(0);
        let failed = counts.remove("failed").unwrap_or(0);
        Ok((done, failed, counts.values().sum()))
    }
}

/// The moment that lies so long before now, by the database's clock; the first of all where no time is named.
pub(super) async fn begin(
    transaction: &mut Transaction,
    since: Option<Duration>,
) -> Result<Result<Timestamp, StoreError>, sqlx::Error> {
    let Some(since) = since else { return Ok(Ok(Timestamp::UNIX_EPOCH)) };
    let row = transaction.row(Statement::new("SELECT {now} AS now")).await?;
    let now = row.ok_or_else(|| damaged("now", "the value is missing")).and_then(|row| row.time("now"));
    Ok(now.map(|now| {
        SignedDuration::try_from(since)
            .ok()
            .and_then(|since| now.checked_sub(since).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }))
}

/// The status of the run in this row.
pub(super) fn status(row: &Row, here: &Holder) -> Result<RunStatus, StoreError> {
    let held = held_by(row)?;
    let alive = held.as_ref().is_some_and(|held| held.silent <= LEASE_TIMEOUT && !held.holder.is_dead(here));
    let reason = || {
        let word = row.text("stop_reason")?;
        serde_json::from_value(word.into()).map_err(|error| damaged("stop_reason", error))
    };
    Ok(match (row.text("status")?.as_str(), held) {
        ("ended", _) => RunStatus::Ended(row.json::<RunEnd>("finish")?.why),
        ("running", Some(held)) if alive => RunStatus::Running(held),
        ("stopping", Some(held)) if alive => RunStatus::Stopping(held, reason()?),
        ("running" | "stopping", held) => RunStatus::Interrupted(held),
        (other, _) => return Err(damaged("status", format!("`{other}` is not a status of a run"))),
    })
}
