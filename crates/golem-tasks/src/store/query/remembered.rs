//! The memory of providers across all runs of a database.
//!
//! Nothing is written for it but a tally of each rental's attempts, once, with the end of its run: what is remembered is always
//! what the tables say, and is weighed by its age when it is read. A run that never came to its end is counted anew each
//! time. What a run's deletion takes away is no longer remembered.

use std::collections::HashMap;
use std::time::Duration;

use golem_core::event::Provider;
use golem_core::standing::{Known, Memory, Records, RentalOutcome};
use yagna_api::time::between;
use yagna_api::{Glm, NodeId, Timestamp};

use super::activities::{micros, per_result};
use super::blocks::{Block, blocks};
use crate::store::database::{Row, Statement, Transaction};
use crate::store::{Store, StoreError};

/// A provider as all runs of a database know it.
#[derive(Debug, Clone, PartialEq)]
pub struct RememberedProvider {
    /// The provider.
    pub provider: Provider,
    /// Agreements that it approved.
    pub agreements: u64,
    /// Agreements that it didn't approve, or not in time.
    pub not_approved: u64,
    /// Activities that failed through its fault.
    pub failures: u64,
    /// Results it made.
    pub tasks_done: u64,
    /// Attempts that failed there.
    pub failed_attempts: u64,
    /// GLM accepted.
    pub cost: Glm,
    /// The record weighed by age, as the next run begins with it.
    pub known: Known,
    /// The decision that it gets no more agreements, if somebody made it.
    pub blocked: Option<Block>,
}

impl RememberedProvider {
    fn new(provider: Provider) -> Self {
        Self {
            provider,
            agreements: 0,
            not_approved: 0,
            failures: 0,
            tasks_done: 0,
            failed_attempts: 0,
            cost: Glm::ZERO,
            known: Known::default(),
            blocked: None,
        }
    }

    /// GLM for each of its results: what is remembered of it, or else the plain average.
    pub fn cost_per_result(&self) -> Option<Glm> {
        self.known.cost_per_task.or_else(|| per_result(self.cost, self.tasks_done))
    }

    /// Its standing in a word: blocked, set back or ok.
    pub fn standing(&self) -> &'static str {
        if self.blocked.is_some() {
            "blocked"
        } else if self.known.is_set_back() {
            "set back"
        } else {
            "ok"
        }
    }
}

/// A rental of any run.
struct Rental {
    run_no: i64,
    rental_no: i64,
    provider: Provider,
    outcome: RentalOutcome,
}

/// The attempts in a rental.
#[derive(Clone, Copy, Default)]
struct Tally {
    done: u64,
    failed: u64,
    task_took: Option<Duration>,
    newest: Option<Timestamp>,
}

impl Store {
    /// Reads the knowledge of providers with which a new run begins.
    pub async fn known_providers(&self, now: Timestamp) -> Result<Records, StoreError> {
        let since = now.checked_sub(Known::FORGOTTEN_AFTER).unwrap_or(Timestamp::UNIX_EPOCH);
        let failed = |source| self.failed("read what is known of providers", source);
        let mut transaction = self.database.read().await.map_err(failed)?;
        Ok(memory(&self.rentals(&mut transaction, since).await?).records(now))
    }

    /// The number of times that other runs of the database have set each provider back since then.
    pub async fn set_back_by_others(
        &self,
        run_id: &str,
        since: Timestamp,
    ) -> Result<HashMap<NodeId, u32>, StoreError> {
        let rows = self.database.rows(Statement::new(SET_BACKS).text(run_id).time(since)).await;
        let rows = rows.map_err(|source| self.failed("read what other runs know of providers", source))?;
        rows.iter()
            .map(|row| Ok((row.parsed("provider_id")?, u32::try_from(row.int("times")?).unwrap_or(u32::MAX))))
            .collect()
    }

    /// All providers that any run has tried to deal with, and those that are blocked: those that were dealt with last come
    /// first.
    pub async fn remembered_providers(&self, now: Timestamp) -> Result<Vec<RememberedProvider>, StoreError> {
        let failed = |source| self.failed("read what is known of providers", source);
        let mut transaction = self.database.read().await.map_err(failed)?;
        let rentals = self.rentals(&mut transaction, Timestamp::UNIX_EPOCH).await?;
        let blocked = blocks(&transaction.rows(Block::all()).await.map_err(failed)?)?;
        let known = memory(&rentals).known(now);
        let mut providers: HashMap<NodeId, RememberedProvider> = HashMap::new();
        for Rental { provider, outcome, .. } in rentals {
            let row = providers
                .entry(provider.id.clone())
                .or_insert_with(|| RememberedProvider::new(provider.clone()));
            // Rentals come in their order: the newest name stands.
            row.provider.name = provider.name;
            row.agreements += u64::from(outcome.approved == Some(true));
            row.not_approved += u64::from(outcome.approved == Some(false));
            row.failures += u64::from(outcome.failures);
            row.tasks_done += outcome.tasks_done;
            row.failed_attempts += outcome.tasks_failed;
            row.cost = [row.cost, outcome.cost].into_iter().sum();
        }
        for (id, known) in known {
            if let Some(row) = providers.get_mut(&id) {
                row.known = known;
            }
        }
        for block in blocked {
            let row = providers
                .entry(block.provider.id.clone())
                .or_insert_with(|| RememberedProvider::new(block.provider.clone()));
            row.blocked = Some(block);
        }
        let mut providers: Vec<_> = providers.into_values().collect();
        providers.sort_by(|a, b| {
            let seen = b.known.last_seen.cmp(&a.known.last_seen);
            seen.then_with(|| a.provider.name.cmp(&b.provider.name))
                .then_with(|| a.provider.id.cmp(&b.provider.id))
        });
        Ok(providers)
    }

    /// All rentals since then, with what was tried in them and how their activities ended.
    async fn rentals(
        &self,
        transaction: &mut Transaction,
        since: Timestamp,
    ) -> Result<Vec<Rental>, StoreError> {
        let failed = |source| self.failed("read what is known of providers", source);
        let rows = transaction.rows(Statement::new(RENTALS).time(since)).await.map_err(failed)?;
        let mut rentals = rows.iter().map(rental).collect::<Result<Vec<_>, _>>()?;
        let places: HashMap<_, _> = rentals
            .iter()
            .enumerate()
            .map(|(place, rental)| ((rental.run_no, rental.rental_no), place))
            .collect();
        for row in transaction.rows(Statement::new(UNTALLIED).time(since)).await.map_err(failed)? {
            if let Some(place) = places.get(&(row.int("run_no")?, row.int("rental_no")?)) {
                rentals[*place].outcome.tried(&tally(&row)?);
            }
        }
        for row in transaction.rows(Statement::new(ACTIVITIES).time(since)).await.map_err(failed)? {
            let Some(place) = places.get(&(row.int("run_no")?, row.int("rental_no")?)) else { continue };
            let outcome = &mut rentals[*place].outcome;
            outcome.failures = outcome.failures.saturating_add(u32::from(row.int("failed")? != 0));
            if let (Some(created), Some(ended)) =
                (row.optional_time("created_at")?, row.optional_time("ended_at")?)
            {
                outcome.active = outcome.active.saturating_add(between(created, ended));
                outcome.at = outcome.at.max(ended);
            }
        }
        Ok(rentals)
    }
}

/// An agreement that was taken back because the run was stopping was nobody's fault.
const RENTALS: &str = "SELECT r.run_no, r.rental_no, r.provider_id, r.provider_name, r.per_hour, r.cost, r.intended_at, \
     r.approved_at, r.ended_at, CASE WHEN r.status = 'failed' AND (u.stopping_at IS NULL \
     OR r.ended_at < u.stopping_at) THEN r.status END AS refused, coalesce(t.done, 0) AS done, \
     coalesce(t.failed, 0) AS failed, t.task_us, t.newest_at FROM rentals AS r JOIN runs AS u ON u.run_no = r.run_no \
     LEFT JOIN tallies AS t ON t.run_no = r.run_no AND t.rental_no = r.rental_no AND u.status = 'ended' \
     WHERE r.intended_at >= $1 ORDER BY r.run_no, r.rental_no";

/// Runs that were over before can't have noted anything since.
const SET_BACKS: &str = "SELECT n.provider_id, count(*) AS times FROM notes AS n \
     WHERE n.run_no IN (SELECT u.run_no FROM runs AS u WHERE u.run_id <> $1 \
     AND (u.ended_at IS NULL OR u.ended_at >= $2)) AND n.kind = 'provider_set_back' AND n.at >= $2 \
     AND n.provider_id IS NOT NULL GROUP BY n.provider_id";

const ACTIVITIES: &str = "SELECT a.run_no, a.rental_no, a.created_at, a.ended_at, \
     CAST(CASE WHEN a.failure IS NULL THEN 0 ELSE 1 END AS bigint) AS failed FROM rentals AS r \
     JOIN activities AS a ON a.run_no = r.run_no AND a.rental_no = r.rental_no WHERE r.intended_at >= $1";

/// The tallies of runs that haven't ended, or never will.
const UNTALLIED: &str = "SELECT w.run_no, w.rental_no, \
     CAST(sum(CASE w.outcome WHEN 'done' THEN 1 ELSE 0 END) AS bigint) AS done, \
     CAST(sum(CASE w.outcome WHEN 'failed' THEN 1 ELSE 0 END) AS bigint) AS failed, \
     max(CASE WHEN w.outcome = 'done' AND w.place = (w.n + 1) / 2 THEN w.took_us END) AS task_us, \
     max(w.ended_at) AS newest_at FROM (SELECT a.run_no, a.rental_no, a.outcome, a.took_us, a.ended_at, \
     row_number() OVER (PARTITION BY a.run_no, a.rental_no, a.outcome ORDER BY a.took_us) AS place, \
     count(*) OVER (PARTITION BY a.run_no, a.rental_no, a.outcome) AS n FROM attempts AS a \
     WHERE a.outcome IN ('done', 'failed') AND a.run_no IN (SELECT u.run_no FROM runs AS u WHERE u.status <> 'ended' \
     AND EXISTS (SELECT 1 FROM rentals AS r WHERE r.run_no = u.run_no AND r.intended_at >= $1))) AS w \
     GROUP BY w.run_no, w.rental_no";

/// Tallies the attempts of a run that ends now; anew where it had ended before.
pub(in crate::store) async fn write_tallies(
    transaction: &mut Transaction,
    run_no: i64,
) -> Result<(), sqlx::Error> {
    let tallied = Statement::new(
        "INSERT INTO tallies (run_no, rental_no, done, failed, task_us, newest_at) SELECT w.run_no, w.rental_no, \
         sum(CASE w.outcome WHEN 'done' THEN 1 ELSE 0 END), sum(CASE w.outcome WHEN 'failed' THEN 1 ELSE 0 END), \
         max(CASE WHEN w.outcome = 'done' AND w.place = (w.n + 1) / 2 THEN w.took_us END), max(w.ended_at) \
         FROM (SELECT a.run_no, a.rental_no, a.outcome, a.took_us, a.ended_at, \
         row_number() OVER (PARTITION BY a.rental_no, a.outcome ORDER BY a.took_us) AS place, \
         count(*) OVER (PARTITION BY a.rental_no, a.outcome) AS n FROM attempts AS a \
         WHERE a.run_no = $1 AND a.outcome IN ('done', 'failed')) AS w WHERE true GROUP BY w.run_no, w.rental_no \
         ON CONFLICT (run_no, rental_no) DO UPDATE SET done = excluded.done, failed = excluded.failed, \
         task_us = excluded.task_us, newest_at = excluded.newest_at",
    )
    .int(run_no);
    transaction.execute(tallied).await?;
    Ok(())
}

/// The rentals of one run after those of the other.
fn memory(rentals: &[Rental]) -> Memory {
    let mut memory = Memory::new();
    for run in rentals.chunk_by(|one, other| one.run_no == other.run_no) {
        memory.add_run(run.iter().map(|rental| (rental.provider.id.clone(), rental.outcome)));
    }
    memory
}

fn rental(row: &Row) -> Result<Rental, StoreError> {
    let approved = row.optional_time("approved_at")?;
    let at = row.optional_time("ended_at")?.or(approved);
    let mut outcome = RentalOutcome {
        approved: match (approved, row.optional_text("refused")?) {
            (Some(_), _) => Some(true),
            (None, Some(_)) => Some(false),
            (None, None) => None,
        },
        cost: row.money("cost")?,
        per_hour: row.money("per_hour")?,
        ..RentalOutcome::new(match at {
            Some(at) => at,
            None => row.time("intended_at")?,
        })
    };
    outcome.tried(&tally(row)?);
    let provider = Provider { id: row.parsed("provider_id")?, name: row.text("provider_name")? };
    Ok(Rental { run_no: row.int("run_no")?, rental_no: row.int("rental_no")?, provider, outcome })
}

fn tally(row: &Row) -> Result<Tally, StoreError> {
    Ok(Tally {
        done: row.unsigned("done")?,
        failed: row.unsigned("failed")?,
        task_took: row.optional_int("task_us")?.map(|took| micros(Some(took))),
        newest: row.optional_time("newest_at")?,
    })
}

/// Adds what was tried in a rental to what else is known of it.
trait Tried {
    fn tried(&mut self, tally: &Tally);
}

impl Tried for RentalOutcome {
    fn tried(&mut self, tally: &Tally) {
        (self.tasks_done, self.tasks_failed, self.task_took) = (tally.done, tally.failed, tally.task_took);
        self.at = tally.newest.map_or(self.at, |newest| newest.max(self.at));
    }
}
