//! The activities of a run, each with what it did, what it cost and why it ended.

use std::collections::HashMap;
use std::time::Duration;

use golem_core::event::{Provider, RentalId};
use yagna_api::market::Reason;
use yagna_api::{ActivityId, AgreementId, Glm, Timestamp};

use super::{Reader, provider};
use crate::store::database::{Row, damaged};
use crate::store::{Store, StoreError};

/// The state of an activity, in the words of golem-tasks-python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActivityStatus {
    /// It is being created, deployed or set up.
    New,
    /// It takes tasks.
    Ready,
    /// It is over.
    Stopped,
}

/// An activity with what it did.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityRow {
    /// The rental it belongs to.
    pub rental: RentalId,
    /// The number of the activity in its rental, from 1.
    pub number: u64,
    /// The daemon's id for it, once it has one.
    pub activity: Option<ActivityId>,
    /// Its present state.
    pub status: ActivityStatus,
    /// Attempts of tasks that began there.
    pub attempts: u64,
    /// Attempts that failed there.
    pub failed: u64,
    /// Results it made.
    pub results: u64,
    /// The time of the attempts that made them, added up.
    pub results_took: Duration,
    /// GLM accepted for it; see [`Store::activities`].
    pub cost: Glm,
    /// The reason why it is over, or why its rental is.
    pub stop_reason: Option<String>,
    /// The provider.
    pub provider: Provider,
    /// The agreement it was made under.
    pub agreement: Option<AgreementId>,
    /// GLM an hour at full use.
    pub per_hour: Glm,
    /// GLM for the start.
    pub start: Glm,
    /// The time at which it was created, or asked for.
    pub began: Timestamp,
    /// The time at which it ended.
    pub ended: Option<Timestamp>,
    /// True if the final bill of its rental is decided about.
    pub settled: bool,
}

impl ActivityStatus {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Ready => "READY",
            Self::Stopped => "STOPPED",
        }
    }
}

impl ActivityRow {
    /// GLM for each of its results so far, if it made any and any bill of it was accepted.
    pub fn cost_per_result(&self) -> Option<Glm> {
        per_result(self.cost, self.results)
    }

    /// GLM used so far by our own measure, as if it were fully used: what was accepted, or more while bills are still to come.
    pub fn estimate(&self, now: Timestamp) -> Glm {
        if self.settled {
            return self.cost;
        }
        let until = self.ended.unwrap_or(now);
        let start = if self.number == 1 { self.start } else { Glm::ZERO };
        let used = used_in(self.per_hour, self.began, until).and_then(|used| used.checked_add(start));
        used.filter(|_| self.activity.is_some()).map_or(self.cost, |used| used.max(self.cost))
    }
}

/// The cost of a time at a price an hour.
pub(crate) fn used_in(per_hour: Glm, since: Timestamp, until: Timestamp) -> Option<Glm> {
    let millis = u64::try_from(yagna_api::time::between(since, until).as_millis()).ok()?;
    let cost = per_hour.to_decimal().checked_mul(millis.into())?.checked_div(3_600_000_u64.into())?;
    Glm::from_decimal_rounding_down(cost)
}

impl Store {
    /// All activities of a run, in the order in which they began.
    ///
    /// What an activity cost is the highest of its debit notes that were accepted; what a rental cost beyond those of
    /// its activities, by its invoice, counts for its newest one. So the costs of all activities add up to that of the
    /// run.
    pub async fn activities(&self, run_id: &str) -> Result<Vec<ActivityRow>, StoreError> {
        Reader::new(self, run_id).await?.activities().await
    }
}

impl Reader<'_> {
    pub(super) async fn activities(&mut self) -> Result<Vec<ActivityRow>, StoreError> {
        let attempts = self.attempts().await?;
        let mut costs = self.costs().await?;
        let rows = self
            .rows(
                "SELECT a.rental_no, a.activity_no, a.activity_id, a.status, a.intended_at, a.created_at, a.ended_at, \
                 coalesce(a.failure, r.failure) AS failure, r.end_reason, r.provider_id, r.provider_name, \
                 r.agreement_id, r.per_hour, r.start_price, r.final_bill FROM activities AS a \
                 JOIN rentals AS r ON r.run_no = a.run_no AND r.rental_no = a.rental_no \
                 WHERE a.run_no = $1 ORDER BY coalesce(a.created_at, a.intended_at), a.rental_no, a.activity_no",
            )
            .await?;
        rows.iter()
            .map(|row| {
                let key = (row.int("rental_no")?, row.int("activity_no")?);
                let attempts = attempts.get(&key).copied().unwrap_or_default();
                activity(row, attempts, costs.remove(&key).unwrap_or_default())
            })
            .collect()
    }

    /// The attempts on each activity, by its rental and its number there.
    async fn attempts(&mut self) -> Result<HashMap<(i64, i64), Attempts>, StoreError> {
        let rows = self
            .rows(
                "SELECT rental_no, coalesce(activity_no, 1) AS activity_no, outcome, count(*) AS n, \
                 CAST(sum(took_us) AS bigint) AS took_us FROM attempts WHERE run_no = $1 \
                 GROUP BY rental_no, coalesce(activity_no, 1), outcome",
            )
            .await?;
        let mut attempts: HashMap<_, Attempts> = HashMap::new();
        for row in rows {
            let attempts = attempts.entry((row.int("rental_no")?, row.int("activity_no")?)).or_default();
            let n = row.unsigned("n")?;
            attempts.all += n;
            match row.optional_text("outcome")?.as_deref() {
                Some("done") => {
                    attempts.done += n;
                    attempts.done_took += micros(row.optional_int("took_us")?);
                }
                Some("failed") => attempts.failed += n,
                _ => {}
            }
        }
        Ok(attempts)
    }

    /// The cost of each activity, by its rental and its number there.
    pub(super) async fn costs(&mut self) -> Result<HashMap<(i64, i64), Glm>, StoreError> {
        let notes = self
            .rows(
                "SELECT rental_no, coalesce(activity_no, 1) AS activity_no, amount FROM bills \
                 WHERE run_no = $1 AND kind = 'debit_note' AND status = 'accepted' AND rental_no IS NOT NULL",
            )
            .await?;
        let mut costs: HashMap<(i64, i64), Glm> = HashMap::new();
        for row in notes {
            let cost = costs.entry((row.int("rental_no")?, row.int("activity_no")?)).or_default();
            *cost = row.money("amount")?.max(*cost);
        }
        let rentals = self
            .rows(
                "SELECT r.rental_no, r.cost, max(a.activity_no) AS activity_no FROM rentals AS r \
                 JOIN activities AS a ON a.run_no = r.run_no AND a.rental_no = r.rental_no \
                 WHERE r.run_no = $1 GROUP BY r.rental_no, r.cost",
            )
            .await?;
        let mut noted: HashMap<i64, Glm> = HashMap::new();
        for ((rental_no, _), cost) in &costs {
            let sum = noted.entry(*rental_no).or_default();
            *sum = [*sum, *cost].into_iter().sum();
        }
        for row in rentals {
            let rental_no = row.int("rental_no")?;
            let beyond =
                row.money("cost")?.saturating_sub(noted.get(&rental_no).copied().unwrap_or_default());
            if !beyond.is_negative() && !beyond.is_zero() {
                let cost = costs.entry((rental_no, row.int("activity_no")?)).or_default();
                *cost = [*cost, beyond].into_iter().sum();
            }
        }
        Ok(costs)
    }
}

/// The attempts on one activity.
#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    all: u64,
    failed: u64,
    done: u64,
    done_took: Duration,
}

fn activity(row: &Row, attempts: Attempts, cost: Glm) -> Result<ActivityRow, StoreError> {
    let status = match row.text("status")?.as_str() {
        "intended" | "created" => ActivityStatus::New,
        "ready" => ActivityStatus::Ready,
        "ended" => ActivityStatus::Stopped,
        other => return Err(damaged("status", format!("`{other}` is not a status of an activity"))),
    };
    let stop_reason = match status {
        ActivityStatus::Stopped => match row.optional_text("failure")? {
            Some(failure) => Some(failure),
            None => row.optional_json::<Reason>("end_reason")?.map(|reason| reason.message),
        },
        _ => None,
    };
    let began = match row.optional_time("created_at")? {
        Some(created) => created,
        None => row.time("intended_at")?,
    };
    Ok(ActivityRow {
        rental: RentalId(row.unsigned("rental_no")?),
        number: row.unsigned("activity_no")?,
        activity: row.optional_text("activity_id")?.map(ActivityId::new),
        status,
        attempts: attempts.all,
        failed: attempts.failed,
        results: attempts.done,
        results_took: attempts.done_took,
        cost,
        stop_reason,
        provider: provider(row)?.ok_or_else(|| damaged("provider_name", "there is no value"))?,
        agreement: row.optional_text("agreement_id")?.map(AgreementId::new),
        per_hour: row.money("per_hour")?,
        start: row.money("start_price")?,
        began,
        ended: row.optional_time("ended_at")?,
        settled: row.optional_text("final_bill")?.is_some(),
    })
}

/// GLM for each of so many results, if there are any and something was paid.
pub(super) fn per_result(cost: Glm, results: u64) -> Option<Glm> {
    if cost.is_zero() {
        return None;
    }
    Glm::from_decimal_rounding_down(cost.to_decimal().checked_div(results.into())?)
}

/// Microseconds of a sum; a clock that was set back makes no time less than none.
pub(super) fn micros(sum: Option<i64>) -> Duration {
    Duration::from_micros(u64::try_from(sum.unwrap_or(0)).unwrap_or(0))
}
