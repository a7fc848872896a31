//! The `wait` command: a run's end is waited for, and its exit code taken over.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::exit::{Exit, Failure};
use crate::signals::Stops;
use crate::store::{RunStatus, Store};
use crate::view::Output;
use crate::view::kept::state_text;
use crate::view::text::plural;

/// The time between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// The run doesn't go on by itself.
#[derive(Debug, thiserror::Error)]
#[error("run `{run_id}` doesn't go on: it is {state}")]
struct NobodyWorks {
    run_id: String,
    state: String,
}

/// Waits for the end of a run. Ctrl+C ends the waiting, not the run.
pub(super) async fn wait(store: &Store, run_id: &str, say: &mut Output) -> Result<Exit, Failure> {
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = stops.next() => return Ok(Exit::Cancelled),
            _ = tick.tick() => {}
        }
        let status = store.run_status(run_id).await?;
        match &status {
            RunStatus::Running(_) | RunStatus::Stopping(..) => {}
            RunStatus::Ended(why) => {
                let record = store.run_record(run_id).await?;
                let end = record.and_then(|record| record.ended).map(|ended| ended.end);
                let done = end.as_ref().map_or(String::new(), |end| {
                    format!(
                        "; {} of {} done",
                        end.done,
                        plural(end.done + end.failed + end.unfinished, "task")
                    )
                });
                say.write(&format!("run {run_id} has ended: {}{done}\n", why.words()));
                return Ok(end.map_or(Exit::Done, |end| Exit::of(&end)));
            }
            RunStatus::Interrupted(_) => {
                let error = NobodyWorks { run_id: run_id.to_owned(), state: state_text(&status, None) };
                return Err(Failure::new(Exit::BrokeOff, error)
                    .advise(format!("`golem-tasks resume {run_id}` continues it")));
            }
        }
    }
}
