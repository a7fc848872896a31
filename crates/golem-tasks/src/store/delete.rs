//! Deleting runs with all that was kept of them.
//!
//! Left to others: choosing which runs, and asking whether they still owe something ([`Store::open_runs`]).

use super::database::{Row, Statement};
use super::holder::Holder;
use super::holder::LEASE_TIMEOUT;
use super::lease::held_by;
use super::{Store, StoreError};

/// The tables with rows of a run, those that refer to others first. SQLite has a trigger with the same list for
/// programs that delete a row of `runs` themselves.
const OF_A_RUN: [&str; 19] = [
    "DELETE FROM scripts WHERE run_no = $1",
    "DELETE FROM open_rentals WHERE run_no = $1",
    "DELETE FROM payments WHERE run_no = $1",
    "DELETE FROM tallies WHERE run_no = $1",
    "DELETE FROM attempts WHERE run_no = $1",
    "DELETE FROM tasks WHERE run_no = $1",
    "DELETE FROM bills WHERE run_no = $1",
    "DELETE FROM activities WHERE run_no = $1",
    "DELETE FROM rentals WHERE run_no = $1",
    "DELETE FROM demands WHERE run_no = $1",
    "DELETE FROM allocations WHERE run_no = $1",
    "DELETE FROM jobs WHERE run_no = $1",
    "DELETE FROM notes WHERE run_no = $1",
    "DELETE FROM offers WHERE run_no = $1",
    "DELETE FROM states WHERE run_no = $1",
    "DELETE FROM leases WHERE run_no = $1",
    "DELETE FROM instances WHERE run_id = (SELECT run_id FROM runs WHERE run_no = $1)",
    "DELETE FROM services WHERE run_id = (SELECT run_id FROM runs WHERE run_no = $1)",
    "DELETE FROM runs WHERE run_no = $1",
];

impl Store {
    /// Deletes these runs with their tasks, results, rentals and bills, all of the runs or none of them.
    ///
    /// What the runs told of providers is forgotten with them; blocks of providers stay. Nothing is asked of a daemon:
    /// whatever a run still owes there is no longer known here afterwards, so [`Self::open_runs`] is to be asked first.
    ///
    /// # Errors
    /// [`StoreError::Held`] when a live process works on one of them; [`StoreError::NoSuchRun`].
    pub async fn delete_runs<R: AsRef<str> + Sync>(&self, run_ids: &[R]) -> Result<(), StoreError> {
        let failed = |source| self.failed("delete the run", source);
        let here = Holder::here();
        let mut transaction = self.database.write().await.map_err(failed)?;
        for run_id in run_ids.iter().map(AsRef::as_ref) {
            // Nobody can take the run from here on: its lease is locked until the transaction is over.
            let held = Statement::new(
                "SELECT l.run_no, l.host, l.pid, l.process, l.machine, l.since_at, l.heard_at, {now} AS now \
                 FROM leases AS l WHERE l.run_no = (SELECT r.run_no FROM runs AS r WHERE r.run_id = $1) {for_update}",
            )
            .text(run_id);
            let run_no = if let Some(row) = transaction.row(held).await.map_err(failed)? {
                self.free(&row, run_id, &here)?
            } else {
                // A run whose lease was deleted by hand is held by nobody.
                let unheld = Statement::new("SELECT run_no FROM runs WHERE run_id = $1").text(run_id);
                let row = transaction.row(unheld).await.map_err(failed)?;
                row.ok_or_else(|| self.no_such_run(run_id))?.int("run_no")?
            };
            for sql in OF_A_RUN {
                transaction.execute(Statement::new(sql).int(run_no)).await.map_err(failed)?;
            }
        }
        transaction.commit().await.map_err(failed)
    }

    /// The number of the run of this row of `leases`, unless a live process holds it.
    fn free(&self, row: &Row, run_id: &str, here: &Holder) -> Result<i64, StoreError> {
        if let Some(held) = held_by(row)?
            && held.silent <= LEASE_TIMEOUT
            && !held.holder.is_dead(here)
        {
            return Err(StoreError::Held {
                run_id: run_id.to_owned(),
                place: self.place.clone(),
                by: Box::new(held),
            });
        }
        row.int("run_no")
    }
}
