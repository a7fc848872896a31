//! Holding a run while it goes on: its lease is renewed, and who asks for its end by way of the database is heard.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::{LEASE_RENEWAL, Lease, StoreError};

/// The time between two looks for somebody who asks.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Renews the lease, and stops the run in an orderly way when somebody asks for that. Ends when the lease is lost: the
/// run can't write any more then, and stops by itself.
pub(super) async fn hold(lease: Arc<Lease>, stop: CancellationToken) {
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut renewed = Instant::now();
    loop {
        tick.tick().await;
        if renewed.elapsed() >= LEASE_RENEWAL {
            match lease.renew().await {
                Ok(()) => renewed = Instant::now(),
                Err(error @ StoreError::LeaseLost { .. }) => {
                    tracing::error!(%error, "the run is held by another process now");
                    return;
                }
                Err(error) => tracing::warn!(%error, "can't say that the run is held; trying again"),
            }
        }
        if stop.is_cancelled() {
            continue;
        }
        match lease.is_asked_to_cancel().await {
            Ok(true) => {
                tracing::info!("asked by another process to cancel the run");
                stop.cancel();
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "can't look for requests; trying again"),
        }
    }
}

/// Gives the run up, so that the next one needn't wait.
pub(super) async fn release(lease: Arc<Lease>) {
    // Nobody else has it once nothing listens any more.
    if let Some(lease) = Arc::into_inner(lease)
        && let Err(error) = lease.release().await
    {
        tracing::warn!(%error, "could not release the run's lease; other processes will see it as held until this one exits");
    }
}
