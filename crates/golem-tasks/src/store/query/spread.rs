//! The spread of the times that attempts took, counted in the database so that any number of them is quick to read.

use std::time::Duration;

use super::Reader;
use super::activities::micros;
use crate::store::{Store, StoreError};

/// Attempts that took about the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimesTaken {
    /// The shortest time that counts here. Times are told apart to three digits or to 0.1 ms.
    pub took: Duration,
    /// True if the attempts made results; otherwise they failed.
    pub done: bool,
    /// The number of attempts.
    pub count: u64,
}

impl Store {
    /// Counts the attempts of a run by the time that they took, the shortest first.
    pub async fn times_taken(&self, run_id: &str) -> Result<Vec<TimesTaken>, StoreError> {
        let mut reader = Reader::new(self, run_id).await?;
        let rows = reader
            .rows(
                "SELECT took, outcome, count(*) AS n FROM (SELECT a.outcome, CASE \
                 WHEN a.took_us < 100000 THEN a.took_us / 100 * 100 \
                 WHEN a.took_us < 1000000 THEN a.took_us / 1000 * 1000 \
                 WHEN a.took_us < 10000000 THEN a.took_us / 10000 * 10000 \
                 WHEN a.took_us < 100000000 THEN a.took_us / 100000 * 100000 \
                 WHEN a.took_us < 1000000000 THEN a.took_us / 1000000 * 1000000 \
                 ELSE a.took_us / 10000000 * 10000000 END AS took FROM attempts AS a \
                 WHERE a.run_no = $1 AND a.took_us IS NOT NULL AND a.outcome IN ('done', 'failed')) AS t \
                 GROUP BY took, outcome ORDER BY took, outcome",
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(TimesTaken {
                    took: micros(row.optional_int("took")?),
                    done: row.text("outcome")? == "done",
                    count: row.unsigned("n")?,
                })
            })
            .collect()
    }
}
