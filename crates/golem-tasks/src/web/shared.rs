//! What all requests to the page share.

use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use tokio_util::sync::CancellationToken;

use super::answer::{Trouble, json_text};
use super::cache::Cache;
use super::guard::Guard;
use super::{Subject, parts};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError, TasksWanted};

/// What was asked: of which kind, of which run, and what else.
type Key = (&'static str, String, String);

/// What all requests share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) run_id: Option<String>,
    pub(super) guard: Arc<Guard>,
    pub(super) stop: CancellationToken,
    pub(super) metrics: Metrics,
    pub(super) texts: Cache<Key, Bytes>,
    pub(super) lists: Cache<(String, TasksWanted), Arc<Vec<u64>>>,
}

impl Shared {
    pub(super) fn new(subject: Subject, guard: Arc<Guard>, stop: CancellationToken) -> Self {
        let Subject { store, run_id, requests } = subject;
        let (texts, lists) = (Cache::new(), Cache::new());
        Self { store, run_id, guard, stop, metrics: Metrics::new(requests), texts, lists }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Tells when the page is closed.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The list of runs.
    pub(super) async fn runs(&self) -> Result<Bytes, StoreError> {
        let key = ("runs", String::new(), String::new());
        self.texts.get(key, None, async { Ok(parts::runs(&self.store).await?.into()) }).await
    }

    /// Where a run stands.
    pub(super) async fn run(&self, run_id: &str) -> Result<Bytes, StoreError> {
        let pulse = self.store.pulse(run_id).await?;
        let key = ("run", run_id.to_owned(), String::new());
        let read = async { Ok(parts::run(&self.store, run_id, &pulse).await?.into()) };
        if self.stop.is_cancelled() {
            // The last look is at what there is now.
            return read.await;
        }
        self.texts.get(key, Some(&pulse), read).await
    }

    /// The numbers of the tasks that are looked for.
    pub(super) async fn numbers(
        &self,
        run_id: &str,
        wanted: TasksWanted,
    ) -> Result<Arc<Vec<u64>>, StoreError> {
        let pulse = self.store.pulse(run_id).await?;
        let key = (run_id.to_owned(), wanted.clone());
        let read = async { Ok(Arc::new(self.store.task_numbers(run_id, &wanted).await?)) };
        self.lists.get(key, Some(&pulse), read).await
    }

    /// A part of a run's page, as JSON.
    pub(super) async fn part(
        &self,
        kind: &'static str,
        run_id: &str,
        more: String,
        read: impl Future<Output = Result<String, StoreError>>,
    ) -> Result<Response, Trouble> {
        let pulse = self.store.pulse(run_id).await?;
        let key = (kind, run_id.to_owned(), more);
        let text = self.texts.get(key, Some(&pulse), async { Ok(read.await?.into()) }).await?;
        Ok(json_text(text))
    }
}
