//! The questions that people ask of a database of runs: the runs there are, the state of one of them, the work of
//! providers, the failures.
//!
//! Everything here reads, also while another process writes; all that is written is the request to stop a run, and which
//! providers are blocked. Left to others: showing it, and what a run needs of its own record (`read.rs`).

mod activities;
mod attempts;
mod blocks;
mod browse;
mod cancel;
mod cost;
mod errors;
mod explain;
mod open;
mod overview;
mod providers;
mod pulse;
mod remembered;
mod results;
mod runs;
mod spending;
mod spread;
mod story;
mod timeline;
mod times;
mod top;

pub(crate) use activities::used_in;
pub use activities::{ActivityRow, ActivityStatus};
pub use attempts::{AttemptRow, LastAttempt};
pub use blocks::Block;
pub use browse::{TaskOrder, TasksWanted};
pub use cancel::Ask;
pub use cost::{CostOf, CostRow, Grouping};
pub use errors::{ErrorGroup, ErrorKind, ErrorRow};
pub use explain::ExplainedRun;
pub use overview::Overview;
pub use providers::ProviderRow;
pub use pulse::Pulse;
pub use remembered::RememberedProvider;
pub(super) use remembered::write_tallies;
pub use results::ResultRow;
pub use runs::{RunRow, RunStatus, RunsWanted, Settled};
pub use spread::TimesTaken;
pub use story::{AttemptStory, TaskStory, Wait, WaitedFor};
pub use timeline::{Cell, Lane, Piece, Span, Stay, Timeline};
pub use times::TaskTime;
pub use top::TaskAtWork;

use golem_core::event::Provider;

use super::database::{Database, Row, Statement, Transaction};
use super::{Dsn, Store, StoreError, schema};

/// The number of the newest ids that are searched for one that looks like the one that was typed.
const LOOKED_THROUGH: i64 = 1000;
/// The likeness that two ids must have, of 1.
const ALIKE: f64 = 0.75;
/// Ids named at most.
const NAMED: usize = 3;

impl Store {
    /// Opens a database that has runs in it, to read them. Nothing is created: where there is none yet, the error is
    /// [`StoreError::NothingYet`].
    pub async fn open_existing(dsn: &Dsn) -> Result<Self, StoreError> {
        if let Dsn::Sqlite(path) = dsn
            && !path.exists()
        {
            return Err(StoreError::NothingYet { place: dsn.to_string() });
        }
        let (database, place) = Database::connect(dsn).await?;
        let opened = match schema::is_there(&database, &place).await {
            Ok(true) => schema::install(&database, &place).await.map(|_| ()),
            Ok(false) => Err(StoreError::NothingYet { place: place.clone() }),
            Err(error) => Err(error),
        };
        match opened {
            Ok(()) => Ok(Self { database, place }),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    /// Opens a database that has runs in it, only to read them: nothing is written, so it works on a file or a folder that
    /// may not be written.
    pub async fn open_to_read(dsn: &Dsn) -> Result<Self, StoreError> {
        let Dsn::Sqlite(path) = dsn else { return Self::open_existing(dsn).await };
        if !path.exists() {
            return Err(StoreError::NothingYet { place: dsn.to_string() });
        }
        let (database, place) = Database::read_only(path).await?;
        match schema::is_current(&database, &place).await {
            Ok(true) => Ok(Self { database, place }),
            // Tables of an older version are brought up to date, which takes writing.
            Ok(false) => {
                database.close().await;
                Self::open_existing(dsn).await
            }
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    /// The run that is meant: the one with this id, the only one whose id begins like this, or the newest one where none is
    /// named.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`] with the ids that look like this one; [`StoreError::SeveralRuns`] where several ids begin
    /// like this; [`StoreError::NothingYet`].
    pub async fn choose_run(&self, run_id: Option<&str>) -> Result<String, StoreError> {
        let Some(run_id) = run_id else {
            let latest = self.latest_run().await?;
            return latest.ok_or_else(|| StoreError::NothingYet { place: self.place.clone() });
        };
        match self.run_no(run_id).await {
            Ok(_) => Ok(run_id.to_owned()),
            Err(StoreError::NoSuchRun { run_id, place, .. }) => {
                let mut begin_like_it = self.runs_that_begin_with(&run_id).await?;
                match begin_like_it.len() {
                    0 => {
                        let nearest = self.nearest(&run_id).await?;
                        Err(StoreError::NoSuchRun { run_id, place, nearest })
                    }
                    1 => Ok(begin_like_it.remove(0)),
                    _ => Err(StoreError::SeveralRuns { prefix: run_id, place, run_ids: begin_like_it }),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The ids that begin like this, the newest first.
    async fn runs_that_begin_with(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        let found = Statement::new(
            "SELECT run_id FROM runs WHERE substr(run_id, 1, CAST($2 AS integer)) = $1 ORDER BY run_no DESC",
        )
        .text(prefix)
        .int(length);
        let rows =
            self.database.rows(found).await.map_err(|source| self.failed("look for the run", source))?;
        rows.iter().map(|row| row.text("run_id")).collect()
    }

    async fn nearest(&self, run_id: &str) -> Result<Vec<String>, StoreError> {
        let newest =
            Statement::new("SELECT run_id FROM runs ORDER BY run_no DESC LIMIT $1").int(LOOKED_THROUGH);
        let rows =
            self.database.rows(newest).await.map_err(|source| self.failed("look for the run", source))?;
        let ids = rows.iter().map(|row| row.text("run_id")).collect::<Result<Vec<_>, _>>()?;
        Ok(most_alike(run_id, ids))
    }
}

/// Those of these ids that look like this one, the nearest first.
fn most_alike(run_id: &str, ids: Vec<String>) -> Vec<String> {
    let wanted = run_id.to_lowercase();
    let mut alike: Vec<_> = ids
        .into_iter()
        .map(|id| (strsim::jaro_winkler(&wanted, &id.to_lowercase()), id))
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike.truncate(NAMED);
    alike.into_iter().map(|(_, id)| id).collect()
}

/// Reads several things about one run, all as of one moment.
struct Reader<'s> {
    store: &'s Store,
    transaction: Transaction,
    run_no: i64,
}

impl<'s> Reader<'s> {
    async fn new(store: &'s Store, run_id: &str) -> Result<Self, StoreError> {
        let failed = |source| store.failed("read the run", source);
        let mut transaction = store.database.read().await.map_err(failed)?;
        let found = Statement::new("SELECT run_no FROM runs WHERE run_id = $1").text(run_id);
        let row = transaction.row(found).await.map_err(failed)?.ok_or_else(|| store.no_such_run(run_id))?;
        let run_no = row.int("run_no")?;
        Ok(Self { store, transaction, run_no })
    }

    /// The rows of a statement whose one parameter is the run.
    async fn rows(&mut self, sql: &'static str) -> Result<Vec<Row>, StoreError> {
        self.read(Statement::new(sql).int(self.run_no)).await
    }

    async fn read(&mut self, statement: Statement<'_>) -> Result<Vec<Row>, StoreError> {
        let rows = self.transaction.rows(statement).await;
        rows.map_err(|source| self.store.failed("read the run", source))
    }
}

/// The provider of a row, unless it names none.
fn provider(row: &Row) -> Result<Option<Provider>, StoreError> {
    match row.optional_text("provider_name")? {
        Some(name) => Ok(Some(Provider { id: row.parsed("provider_id")?, name })),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_look_alike_are_named_the_nearest_first() {
        let ids = ["brave-otter-0001", "brave-otter-0021", "calm-wren-7777", "x"].map(str::to_owned);
        let alike = most_alike("Brave-Otter-021", ids.to_vec());
        assert_eq!(alike, ["brave-otter-0021", "brave-otter-0001"]);
        assert!(most_alike("zzz", ids.to_vec()).is_empty());
    }
}
