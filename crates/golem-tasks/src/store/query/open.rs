//! Runs that left something open.

use crate::store::database::Statement;
use crate::store::{Store, StoreError};

impl Store {
    /// The runs that may have something open at their daemon, the oldest first: agreements, bills that aren't decided
    /// about, money set aside, demands on the market; or whose payment isn't known to be made.
    pub async fn open_runs(&self) -> Result<Vec<String>, StoreError> {
        let open = Statement::new(
            "SELECT r.run_id FROM runs AS r WHERE \
             EXISTS (SELECT 1 FROM rentals AS d WHERE d.run_no = r.run_no \
             AND (d.status IN ('intended', 'created', 'approved') OR (d.status = 'ended' AND d.final_bill IS NULL))) \
             OR EXISTS (SELECT 1 FROM allocations AS a WHERE a.run_no = r.run_no \
             AND a.status IN ('intended', 'created')) \
             OR EXISTS (SELECT 1 FROM bills AS b WHERE b.run_no = r.run_no AND b.rental_no IS NOT NULL \
             AND b.status IN ('received', 'accepting')) \
             OR EXISTS (SELECT 1 FROM payments AS p WHERE p.run_no = r.run_no AND p.paid <> p.accepted) \
             OR EXISTS (SELECT 1 FROM demands AS m WHERE m.run_no = r.run_no AND m.ended_at IS NULL) \
             ORDER BY r.run_no",
        );
        let rows = self.database.rows(open).await.map_err(|source| self.failed("read the runs", source))?;
        rows.iter().map(|row| row.text("run_id")).collect()
    }

    /// Tells whether a run may still owe something: an agreement of it isn't known to be over, or a bill isn't decided
    /// about. On an emulated network, which ended with its process, nothing is owed.
    pub async fn owes(&self, run_id: &str) -> Result<bool, StoreError> {
        let description = self.run_record(run_id).await?.map(|run| run.description()).transpose()?;
        if description.is_some_and(|description| description.is_on_devnet()) {
            return Ok(false);
        }
        let owing = Statement::new(
            "SELECT r.run_no FROM runs AS r WHERE r.run_id = $1 AND (EXISTS (SELECT 1 FROM rentals AS d \
             WHERE d.run_no = r.run_no AND (d.status IN ('intended', 'created', 'approved') \
             OR (d.status = 'ended' AND d.final_bill IS NULL))) \
             OR EXISTS (SELECT 1 FROM bills AS b WHERE b.run_no = r.run_no AND b.rental_no IS NOT NULL \
             AND b.status IN ('received', 'accepting')))",
        )
        .text(run_id);
        let row = self.database.row(owing).await.map_err(|source| self.failed("read the run", source))?;
        Ok(row.is_some())
    }
}
