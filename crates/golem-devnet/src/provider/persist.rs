//! Trying again: what a provider must get done survives a daemon that says "not now".

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};
use yagna_api::ApiError;

use crate::port::PortResult;

const FIRST_PAUSE: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Longer than any outage a devnet plays.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Repeats a call until it succeeds, fails for good or has failed for an hour.
pub(crate) async fn persist<'a, T>(
    what: &str,
    mut call: impl FnMut() -> BoxFuture<'a, PortResult<T>>,
) -> PortResult<T> {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !may_pass(&error) || began.elapsed() + pause > PATIENCE {
            warn!(%error, "giving up to {what}");
            return Err(error);
        }
        debug!(%error, ?pause, "failed to {what}, trying again");
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// True if the same call may succeed later.
pub(crate) fn may_pass(error: &ApiError) -> bool {
    error.is_passing() || error.is_timeout()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16) -> ApiError {
        ApiError::read(status, b"{\"message\":\"no\"}")
    }

    #[tokio::test(start_paused = true)]
    async fn passing_errors_are_outlasted_and_final_ones_are_not() {
        let began = Instant::now();
        let mut calls = 0;
        let answer = persist("count", || {
            calls += 1;
            let answer = if calls < 4 { Err(error(500)) } else { Ok(calls) };
            Box::pin(async move { answer })
        })
        .await;
        assert_eq!(answer, Ok(4));
        assert_eq!(began.elapsed(), Duration::from_millis(3000 + 4500 + 6750));
        let mut calls = 0;
        let answer: PortResult<()> = persist("fail", || {
            calls += 1;
            Box::pin(async { Err(error(400)) })
        })
        .await;
        assert_eq!((answer, calls), (Err(error(400)), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_is_enough() {
        let began = Instant::now();
        let answer: PortResult<()> = persist("wait", || Box::pin(async { Err(error(503)) })).await;
        assert_eq!(answer, Err(error(503)));
        assert!(began.elapsed() <= PATIENCE);
    }
}
