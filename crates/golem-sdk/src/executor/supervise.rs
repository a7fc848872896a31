//! Runs an executor's run, and all that belongs to it, in a task of its own: it ends in order though its executor is
//! dropped.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use golem_core::event::RunEnd;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::consumers::Consumers;
use super::error::CloseError;
use super::watch::Watch;
use crate::payload::Published;
use crate::run::{Run, RunError};
use crate::text::chain;
use crate::text::panic_text;

/// The time that consumers have for the last events when the run is over.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// A run and all that belongs to it.
pub(super) struct Supervised {
    pub(super) run: Run,
    pub(super) watch: Arc<Watch>,
    /// Serves the payload's image to providers, where it is a local one.
    pub(super) serving: Option<Published>,
    pub(super) consumers: Arc<Consumers>,
    pub(super) heeds_ctrl_c: bool,
    /// Leaves at once, with agreements open.
    pub(super) leave: CancellationToken,
}

impl Supervised {
    #[expect(
        clippy::disallowed_methods,
        reason = "agreements must be ended after their executor was dropped: this task is bounded by the run's own \
                  time-outs once it is closed, and owns all others"
    )]
    pub(super) fn begin(self) -> JoinHandle<Result<RunEnd, CloseError>> {
        tokio::spawn(self.go())
    }

    async fn go(self) -> Result<RunEnd, CloseError> {
        let Self { run, watch, serving, consumers, heeds_ctrl_c, leave } = self;
        let mut listening = JoinSet::new();
        if heeds_ctrl_c {
            listening.spawn(listen([run.stopper(), leave.clone()]));
        }
        let running = AssertUnwindSafe(Box::pin(run.run())).catch_unwind();
        let ended = match leave.run_until_cancelled(running).await {
            Some(Ok(ended)) => ended.map_err(CloseError::Run),
            Some(Err(panic)) => Err(RunError::Broken(panic_text(&*panic).to_owned()).into()),
            None => Err(CloseError::Left),
        };
        if let Some(serving) = serving {
            serving.stop().await;
        }
        watch.ended(match &ended {
            Ok(end) => Ok(end),
            Err(CloseError::Run(error)) => Err(chain(error)),
            Err(error) => Err(error.to_string()),
        });
        let mut called = consumers.take();
        let all_called = async {
            while let Some(ended) = called.join_next().await {
                if let Err(error) = ended {
                    tracing::warn!(%error, "an event consumer panicked and was removed");
                }
            }
        };
        if leave.run_until_cancelled(timeout(LAST_EVENTS, all_called)).await.is_none_or(|all| all.is_err()) {
            tracing::warn!("an event consumer is too slow for the last events");
        }
        ended
    }
}

/// Each Ctrl+C cancels the next of these.
async fn listen(tokens: [CancellationToken; 2]) {
    for token in tokens {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "Ctrl+C can't be heard: it will end the program at once");
            return;
        }
        token.cancel();
    }
}
