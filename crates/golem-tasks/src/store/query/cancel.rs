//! Asking the process that runs a run to stop it, by way of the database.

use super::RunStatus;
use crate::store::database::Statement;
use crate::store::{Lease, Store, StoreError};

/// The result of asking a run to stop.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Ask {
    /// Its process was asked, and looks for that several times a second.
    Asked,
    /// There was nobody to ask, for this is how it stands.
    Nobody(RunStatus),
}

impl Store {
    /// Asks the process that holds a run to stop it in an orderly way. Asking again changes nothing.
    ///
    /// The request is for this holder only: whoever takes the run up afterwards doesn't hear of it.
    pub async fn ask_to_cancel(&self, run_id: &str) -> Result<Ask, StoreError> {
        let status = super::Reader::new(self, run_id).await?.status().await?;
        let Some(held) = status.holder() else {
            return Ok(Ask::Nobody(status));
        };
        let failed = |source| self.failed("ask for the run to be cancelled", source);
        let mut transaction = self.database.write().await.map_err(failed)?;
        let asked = Statement::new(
            "UPDATE leases SET cancel_at = coalesce(cancel_at, {now}) WHERE since_at = $2 AND run_no = \
             (SELECT r.run_no FROM runs AS r WHERE r.run_id = $1)",
        )
        .text(run_id)
        .time(held.since);
        let n_asked = transaction.execute(asked).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        if n_asked > 0 {
            return Ok(Ask::Asked);
        }
        // It let go in the meantime.
        let status = super::Reader::new(self, run_id).await?.status().await?;
        Ok(Ask::Nobody(status))
    }
}

impl Lease {
    /// True if somebody has asked for the run to be cancelled since it was taken.
    pub async fn is_asked_to_cancel(&self) -> Result<bool, StoreError> {
        let store = self.run().store();
        let asked = Statement::new(
            "SELECT run_no FROM leases WHERE run_no = $1 AND lease_no = $2 AND cancel_at IS NOT NULL",
        )
        .int(self.run().run_no())
        .int(self.run().lease_no());
        let row = store.database.row(asked).await;
        Ok(row.map_err(|source| store.failed("look for requests", source))?.is_some())
    }
}
