//! A file on the bus that outlives its daemon: served until it is taken back.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use yagna_client::BusSession;

use super::Answers;
use crate::text::chain;

/// Between two looks for a daemon that has been gone for longer.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves a file until it is stopped, again whenever the daemon is back, and gives its address back in the end. What
/// comes by `newer` takes the file's place from then on.
///
/// **Cancel safety**: dropping the future leaves the address bound in the daemon.
pub async fn serve_until_stopped<A: Answers>(
    mut session: BusSession,
    mut answers: A,
    mut newer: mpsc::Receiver<A>,
    stop: CancellationToken,
) {
    let mut lost = false;
    loop {
        let request = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(newer) = newer.recv() => {
                answers = newer;
                continue;
            }
            request = session.next() => request,
        };
        match request {
            Ok(request) => {
                lost = false;
                let answer = answers.answer(&request.component, &request.payload).await;
                if let Err(fault) = &answer {
                    // The provider is told, and tells its requestor.
                    let address = session.address();
                    tracing::info!(
                        address,
                        kind = fault.kind,
                        message = fault.message,
                        "a piece of a file is refused"
                    );
                }
                session.reply(&request.id, answer).await;
            }
            Err(error) => {
                if !lost {
                    let error = chain(&error);
                    tracing::warn!(
                        address = session.address(),
                        error,
                        "a file can't be served until the daemon is back"
                    );
                    lost = true;
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(PAUSE) => {}
                }
            }
        }
    }
    if let Err(error) = session.close().await {
        tracing::debug!(%error, "a file's address couldn't be unbound");
    }
}
