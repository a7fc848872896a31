//! The accepted bills of a run, one after the other.

use yagna_api::{Glm, Timestamp};

use super::Reader;
use crate::store::{Store, StoreError};

impl Store {
    /// The moments at which bills of a run were accepted, in order, each with what it added to the cost.
    pub async fn spending(&self, run_id: &str) -> Result<Vec<(Timestamp, Glm)>, StoreError> {
        let mut reader = Reader::new(self, run_id).await?;
        let rows = reader
            .rows(
                "SELECT decided_at, increase FROM bills WHERE run_no = $1 AND status = 'accepted' \
                 AND increase IS NOT NULL AND decided_at IS NOT NULL ORDER BY decided_at, bill_id",
            )
            .await?;
        rows.iter().map(|row| Ok((row.time("decided_at")?, row.money("increase")?))).collect()
    }
}
