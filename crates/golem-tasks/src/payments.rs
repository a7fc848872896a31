//! Asking the daemon what became of a run's money, and writing it down for `summary` and `providers`.
//!
//! It is asked once where a run ends and where bills are settled, never while somebody only looks.

use std::time::Duration;

use golem_sdk::payments::PaymentsError;
use yagna_api::Clock;
use yagna_client::Client;

use crate::store::{RunStore, StoreError};

/// The time by which a bill's entry may be older than its run by the daemon's clock.
const CLOCKS_APART: Duration = Duration::from_secs(3600);

/// The news that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// Rentals that the daemon was asked about.
    pub asked: usize,
    /// Rentals of which it knew something: at least one bill of theirs has come.
    pub known: usize,
}

/// The reasons why the state of payments couldn't be read or recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotePaymentsError {
    /// The daemon didn't tell.
    #[error("what was paid for run `{run_id}` isn't known: `golem-tasks settle` asks again")]
    Asking {
        /// The run.
        run_id: String,
        /// The daemon's error.
        source: PaymentsError,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks the daemon what is accepted, scheduled and paid of every rental of a run that may still change in that, and records
/// the answers. Few requests, however many rentals; none where everything is known to be paid. A run without rentals asks
/// nothing.
///
/// **Errors**: [`NotePaymentsError`]. Nothing depends on this call: it may fail without harm, and be made again.
///
/// **Cancel safety**: dropped half-way, nothing is recorded.
pub async fn note_payments(
    client: &Client,
    run: &RunStore,
    clock: &dyn Clock,
) -> Result<Noted, NotePaymentsError> {
    let open = run.open_payments().await?;
    if open.agreements.is_empty() {
        return Ok(Noted { asked: 0, known: 0 });
    }
    let since = open.since.checked_sub(CLOCKS_APART).ok();
    let seen = clock.now();
    let states = golem_sdk::payments::states(client, &open.agreements, since)
        .await
        .map_err(|source| NotePaymentsError::Asking { run_id: run.run_id().to_owned(), source })?;
    run.record_payments(&states, seen).await?;
    Ok(Noted { asked: open.agreements.len(), known: states.len() })
}
