//! The question that is asked again and again while a run is watched: has anything changed?

use yagna_api::Timestamp;

use super::RunStatus;
use super::runs::status;
use crate::store::database::Statement;
use crate::store::{Holder, Store, StoreError};

/// The few facts by which a change of a run is noticed. Reading them takes the same short time whatever the run's size.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulse {
    /// The number of commits so far: one more with everything that is written.
    pub commits: u64,
    /// The status, and the process that runs it.
    pub status: RunStatus,
    /// True if the sources of its jobs have no more tasks: all tasks are known.
    pub all_known: bool,
    /// The time by the database's clock.
    pub now: Timestamp,
}

impl Pulse {
    /// True if nothing was written between two pulses and the status is the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.commits == other.commits && self.status.word() == other.status.word()
    }
}

impl Store {
    /// Reads the pulse of a run.
    pub async fn pulse(&self, run_id: &str) -> Result<Pulse, StoreError> {
        let one = Statement::new(
            "SELECT r.status, r.stop_reason, r.finish, l.commits, l.host, l.pid, l.process, l.machine, l.since_at, \
             l.heard_at, {now} AS now, (SELECT count(*) FROM jobs AS j WHERE j.run_no = r.run_no) AS jobs, \
             (SELECT count(*) FROM jobs AS j WHERE j.run_no = r.run_no AND j.exhausted_at IS NULL) AS open_jobs FROM runs AS r JOIN leases AS l ON l.run_no = r.run_no WHERE r.run_id = $1",
        )
        .text(run_id);
        let row = self.database.row(one).await.map_err(|source| self.failed("read the run", source))?;
        let row = row.ok_or_else(|| self.no_such_run(run_id))?;
        Ok(Pulse {
            commits: row.unsigned("commits")?,
            status: status(&row, &Holder::here())?,
            all_known: row.unsigned("jobs")? > 0 && row.unsigned("open_jobs")? == 0,
            now: row.time("now")?,
        })
    }
}
