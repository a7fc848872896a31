//! Services and their instances: written by the process that keeps them up, read by all others.

use futures_util::future::BoxFuture;
use golem_sdk::service::{BookError, Deployed, InstanceBook, InstanceInfo};
use serde_json::Value;
use yagna_api::{ActivityId, NetworkId, Timestamp};

use super::database::{Row, Statement, to_json};
use super::{Store, StoreError};

/// A service, as it was brought up last.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServiceRow {
    /// The run that keeps it up.
    pub run_id: String,
    /// The name by which the services of one file are brought up and down.
    pub stack: String,
    /// The name of the service.
    pub service: String,
    /// The number of instances that are wanted.
    pub wanted: u32,
    /// Its network.
    pub network: Option<NetworkId>,
    /// The time at which it was brought up.
    pub began: Timestamp,
    /// The time at which it was asked to end.
    pub down: Option<Timestamp>,
    /// What other processes need of its description.
    pub body: Value,
}

/// A service that is about to be brought up.
#[derive(Debug, Clone)]
pub(crate) struct NewService<'s> {
    pub(crate) run_id: &'s str,
    pub(crate) stack: &'s str,
    pub(crate) service: &'s str,
    pub(crate) wanted: u32,
    pub(crate) network: Option<&'s NetworkId>,
    pub(crate) body: Value,
}

/// The record of one service's instances.
#[derive(Debug, Clone)]
pub(crate) struct StoredInstances {
    store: Store,
    run_id: String,
}

impl Store {
    /// Records that a service is being brought up, for the first time or once more.
    pub(crate) async fn begin_service(
        &self,
        service: &NewService<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let failed = |source| self.failed("record a service", source);
        let begun = Statement::new(
            "INSERT INTO services (run_id, stack, service, wanted, network_id, began_at, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (run_id) DO UPDATE SET wanted = excluded.wanted, \
             network_id = excluded.network_id, body = excluded.body, down_at = NULL",
        )
        .text(service.run_id)
        .text(service.stack)
        .text(service.service)
        .int(i64::from(service.wanted))
        .text(service.network.map(NetworkId::as_str))
        .time(now)
        .json(to_json(&service.body).map_err(failed)?);
        self.write_one(begun, "record a service").await.map(drop)
    }

    /// The services of a stack, of each the one that was brought up last; of all stacks where none is named. The newest
    /// stack comes first.
    pub async fn services(&self, stack: Option<&str>) -> Result<Vec<ServiceRow>, StoreError> {
        let newest = Statement::new(
            "SELECT s.run_id, s.stack, s.service, s.wanted, s.network_id, s.began_at, s.down_at, s.body FROM services AS s \
             WHERE ($1 IS NULL OR s.stack = $1) AND NOT EXISTS (SELECT 1 FROM services AS n WHERE n.stack = s.stack \
             AND n.service = s.service AND (n.began_at > s.began_at OR (n.began_at = s.began_at AND n.run_id > s.run_id))) \
             ORDER BY s.began_at DESC, s.service",
        )
        .text(stack);
        let rows =
            self.database.rows(newest).await.map_err(|source| self.failed("read the services", source))?;
        rows.iter().map(service_row).collect()
    }

    /// The instances of a service, as they were seen last.
    pub async fn instances(&self, run_id: &str) -> Result<Vec<InstanceInfo>, StoreError> {
        let all =
            Statement::new("SELECT body FROM instances WHERE run_id = $1 ORDER BY number, turn").text(run_id);
        let rows =
            self.database.rows(all).await.map_err(|source| self.failed("read the instances", source))?;
        rows.iter().map(|row| row.json("body")).collect()
    }

    /// Asks for the end of these services. The process that keeps them up looks for that several times a second.
    pub async fn ask_down(&self, run_ids: &[String]) -> Result<(), StoreError> {
        for run_id in run_ids {
            let asked =
                Statement::new("UPDATE services SET down_at = coalesce(down_at, {now}) WHERE run_id = $1");
            self.write_one(asked.text(run_id.as_str()), "ask for the end of a service").await?;
        }
        Ok(())
    }

    /// True if somebody has asked for the end of a service.
    pub(crate) async fn is_asked_down(&self, run_id: &str) -> Result<bool, StoreError> {
        let asked = Statement::new("SELECT run_id FROM services WHERE run_id = $1 AND down_at IS NOT NULL");
        let row = self.database.row(asked.text(run_id)).await;
        Ok(row.map_err(|source| self.failed("look for requests", source))?.is_some())
    }

    /// The record of a service's instances.
    pub(crate) fn stored_instances(&self, run_id: &str) -> StoredInstances {
        StoredInstances { store: self.clone(), run_id: run_id.to_owned() }
    }

    async fn write_one(&self, statement: Statement<'_>, doing: &'static str) -> Result<u64, StoreError> {
        let failed = |source| self.failed(doing, source);
        let mut transaction = self.database.write().await.map_err(failed)?;
        let n_rows = transaction.execute(statement).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(n_rows)
    }
}

impl StoredInstances {
    async fn write(&self, instance: &InstanceInfo, deployed: Option<&Deployed>) -> Result<(), StoreError> {
        const DOING: &str = "record an instance";
        let failed = |source| self.store.failed(DOING, source);
        let deployed = deployed.map(to_json).transpose().map_err(failed)?;
        let written = Statement::new(
            "INSERT INTO instances (run_id, number, turn, state, activity_id, changed_at, body, deployed) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (run_id, number, turn) DO UPDATE SET \
             state = excluded.state, activity_id = excluded.activity_id, changed_at = excluded.changed_at, \
             body = excluded.body, deployed = CASE WHEN excluded.deployed IS NOT NULL THEN excluded.deployed \
             WHEN instances.activity_id = excluded.activity_id THEN instances.deployed END",
        )
        .text(self.run_id.as_str())
        .int(i64::from(instance.place.number))
        .int(i64::try_from(instance.place.turn).unwrap_or(i64::MAX))
        .text(instance.state.word())
        .text(instance.activity.as_ref().map(ActivityId::as_str))
        .time(instance.since)
        .json(to_json(instance).map_err(failed)?)
        .json(deployed);
        self.store.write_one(written, DOING).await.map(drop)
    }

    async fn read(&self, activity: &ActivityId) -> Result<Option<Deployed>, StoreError> {
        let found = Statement::new(
            "SELECT deployed FROM instances WHERE run_id = $1 AND activity_id = $2 AND deployed IS NOT NULL",
        )
        .text(self.run_id.as_str())
        .text(activity.as_str());
        let row = self.store.database.row(found).await;
        let row = row.map_err(|source| self.store.failed("read an instance", source))?;
        row.map(|row| row.json("deployed")).transpose()
    }
}

impl InstanceBook for StoredInstances {
    fn deployed<'a>(
        &'a self,
        activity: &'a ActivityId,
    ) -> BoxFuture<'a, Result<Option<Deployed>, BookError>> {
        Box::pin(async move {
            self.read(activity).await.map_err(|error| BookError { doing: "read", source: error.into() })
        })
    }

    fn deploys<'a>(
        &'a self,
        instance: &'a InstanceInfo,
        deployed: &'a Deployed,
    ) -> BoxFuture<'a, Result<(), BookError>> {
        Box::pin(async move {
            let written = self.write(instance, Some(deployed)).await;
            written.map_err(|error| BookError { doing: "written", source: error.into() })
        })
    }

    fn changed<'a>(&'a self, instance: &'a InstanceInfo) -> BoxFuture<'a, Result<(), BookError>> {
        Box::pin(async move {
            let written = self.write(instance, None).await;
            written.map_err(|error| BookError { doing: "written", source: error.into() })
        })
    }
}

fn service_row(row: &Row) -> Result<ServiceRow, StoreError> {
    Ok(ServiceRow {
        run_id: row.text("run_id")?,
        stack: row.text("stack")?,
        service: row.text("service")?,
        wanted: u32::try_from(row.int("wanted")?).unwrap_or(u32::MAX),
        network: row.optional_text("network_id")?.map(NetworkId::new),
        began: row.time("began_at")?,
        down: row.optional_time("down_at")?,
        body: row.json("body")?,
    })
}
