//! The lease of a run: one process holds it at a time, and another one may take it over when that one dies.
//!
//! A lease has a number, one higher each time a run is taken. Every commit names its lease and is refused in its own
//! transaction once a newer one exists, so a holder that was thought dead can't write any more, whatever it does.
//!
//! Left to others: renewing it while nothing is committed, and releasing it at the end.

use std::time::Duration;

use serde_json::Value;

use super::database::{Row, Statement, to_json};
use super::holder::{HeldBy, Holder, LEASE_TIMEOUT};
use super::record::RunStore;
use super::{Store, StoreError};

/// The interval at which a lease is renewed while nothing is committed. Commits renew it too.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(5);

/// The right to write one run. It is given up by [`Self::release`], by dying, or by silence for [`LEASE_TIMEOUT`].
#[derive(Debug)]
#[must_use = "a run is held until its lease is released"]
pub struct Lease {
    run: RunStore,
}

impl Store {
    /// Takes a run for `holder`, unless somebody else holds it.
    ///
    /// A holder on this machine whose process is no more is replaced at once, any other one once it was silent for
    /// [`LEASE_TIMEOUT`].
    ///
    /// # Errors
    /// [`StoreError::Held`] names who holds it; [`StoreError::NoSuchRun`].
    pub async fn take(&self, run_id: &str, holder: &Holder) -> Result<Lease, StoreError> {
        let failed = |source| self.failed("take the run", source);
        let mut transaction = self.database.write().await.map_err(failed)?;
        let found = Statement::new(
            "SELECT l.run_no, l.lease_no, l.host, l.pid, l.process, l.machine, l.since_at, l.heard_at, {now} AS now \
             FROM leases AS l WHERE l.run_no = (SELECT r.run_no FROM runs AS r WHERE r.run_id = $1) {for_update}",
        )
        .text(run_id);
        let row = transaction.row(found).await.map_err(failed)?.ok_or_else(|| self.no_such_run(run_id))?;
        if let Some(held) = held_by(&row)?
            && held.silent <= LEASE_TIMEOUT
            && !held.holder.is_dead(holder)
        {
            return Err(StoreError::Held {
                run_id: run_id.to_owned(),
                place: self.place.clone(),
                by: Box::new(held),
            });
        }
        let (run_no, lease_no) = (row.int("run_no")?, row.int("lease_no")? + 1);
        let taken = Statement::new(
            "UPDATE leases SET lease_no = $2, host = $3, pid = $4, process = $5, machine = $6, since_at = {now}, \
             heard_at = {now}, cancel_at = NULL WHERE run_no = $1",
        )
        .int(run_no)
        .int(lease_no)
        .text(holder.host.as_str())
        .int(i64::from(holder.pid))
        .text(holder.process.as_deref())
        .text(holder.machine.as_deref());
        transaction.execute(taken).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Lease { run: RunStore::new(self.clone(), run_id, run_no, lease_no) })
    }

    /// The process that holds a run, alive or not; none when nobody took it or it was released.
    pub async fn holder(&self, run_id: &str) -> Result<Option<HeldBy>, StoreError> {
        let found = Statement::new(
            "SELECT l.host, l.pid, l.process, l.machine, l.since_at, l.heard_at, {now} AS now FROM leases AS l \
             JOIN runs AS r ON r.run_no = l.run_no WHERE r.run_id = $1",
        )
        .text(run_id);
        let row = self.database.row(found).await.map_err(|source| self.failed("read the run", source))?;
        held_by(&row.ok_or_else(|| self.no_such_run(run_id))?)
    }
}

impl Lease {
    /// The run, written under this lease.
    pub fn run(&self) -> &RunStore {
        &self.run
    }

    /// The number of leases that the run has had, this one included.
    pub fn number(&self) -> u64 {
        u64::try_from(self.run.lease_no()).unwrap_or(0)
    }

    /// Says that this holder is alive. To be called every [`LEASE_RENEWAL`] or so.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when somebody else has taken the run: nothing can be written under this lease.
    pub async fn renew(&self) -> Result<(), StoreError> {
        let store = self.run.store();
        let failed = |source| store.failed("say that the run is held", source);
        let mut transaction = store.database.write().await.map_err(failed)?;
        if !self.run.is_ours(&mut transaction).await.map_err(failed)? {
            return Err(self.run.lost());
        }
        transaction.commit().await.map_err(failed)
    }

    /// Records anew what is run and under which limits.
    pub async fn describe(&self, job: &Value) -> Result<(), StoreError> {
        let store = self.run.store();
        let failed = |source| store.failed("record the run", source);
        let mut transaction = store.database.write().await.map_err(failed)?;
        if !self.run.is_ours(&mut transaction).await.map_err(failed)? {
            return Err(self.run.lost());
        }
        let described = Statement::new("UPDATE runs SET job = $1 WHERE run_no = $2")
            .json(to_json(job).map_err(failed)?)
            .int(self.run.run_no());
        transaction.execute(described).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// Gives the run up, so that the next one needn't wait. What is written under this lease afterwards is still
    /// accepted until somebody takes the run.
    pub async fn release(self) -> Result<(), StoreError> {
        let store = self.run.store();
        let failed = |source| store.failed("release the run", source);
        let mut transaction = store.database.write().await.map_err(failed)?;
        let released = Statement::new(
            "UPDATE leases SET host = NULL, pid = NULL, process = NULL, machine = NULL, since_at = NULL, \
             cancel_at = NULL \
             WHERE run_no = $1 AND lease_no = $2",
        )
        .int(self.run.run_no())
        .int(self.run.lease_no());
        transaction.execute(released).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }
}

/// The holder of the run in this row of `leases`, which has the database's clock as `now`.
pub(super) fn held_by(row: &Row) -> Result<Option<HeldBy>, StoreError> {
    let Some(host) = row.optional_text("host")? else {
        return Ok(None);
    };
    let pid = u32::try_from(row.int("pid")?).map_err(|error| super::database::damaged("pid", error))?;
    let holder =
        Holder { host, pid, process: row.optional_text("process")?, machine: row.optional_text("machine")? };
    let (since, heard) = (row.time("since_at")?, row.time("heard_at")?);
    let silent = yagna_api::time::between(heard, row.time("now")?);
    Ok(Some(HeldBy { holder, since, heard, silent }))
}
