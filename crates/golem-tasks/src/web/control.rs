//! What the page may change where it is allowed to: a run is cancelled, a provider is blocked or unblocked.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use golem_sdk::SystemClock;
use serde::Deserialize;
use serde_json::json;
use yagna_api::Clock;

use super::answer::{Trouble, json_text};
use super::shared::Shared;
use crate::store::Ask;

/// A provider, and the reason for the change.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    /// Its id, or its name.
    provider: String,
    reason: Option<String>,
}

/// Asks the process that works on a run to stop it.
pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    Path(run_id): Path<String>,
) -> Result<Response, Trouble> {
    let told = match shared.store().ask_to_cancel(&run_id).await? {
        Ask::Asked => json!({ "asked": true }),
        Ask::Nobody(status) => json!({ "asked": false, "state": status.word() }),
    };
    Ok(json_text(told.to_string()))
}

/// No run of the database signs with this provider any more.
pub(super) async fn block(
    State(shared): State<Arc<Shared>>,
    Json(which): Json<Which>,
) -> Result<Response, Trouble> {
    let store = shared.store();
    let provider = store.find_provider(&which.provider).await?;
    let reason = which.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    store.block_providers(&[provider], reason, SystemClock.now()).await?;
    Ok(json_text("{}"))
}

/// Runs may sign with this provider again.
pub(super) async fn unblock(
    State(shared): State<Arc<Shared>>,
    Json(which): Json<Which>,
) -> Result<Response, Trouble> {
    let store = shared.store();
    let provider = store.find_blocked(&which.provider).await?;
    store.unblock_providers(&[provider]).await?;
    Ok(json_text("{}"))
}
