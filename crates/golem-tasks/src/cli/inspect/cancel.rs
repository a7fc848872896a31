//! The `cancel` command: the process that works on a run is asked to stop it, and is waited for.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::exit::{Exit, Failure};
use crate::signals::Stops;
use crate::store::{Ask, Overview, RunStatus, Store};
use crate::view::Output;
use crate::view::kept::state_text;
use crate::view::text::plural;

/// The time between two looks at how far it is.
const EVERY: Duration = Duration::from_millis(500);

/// The run can't be stopped in order, for nobody works on it.
#[derive(Debug, thiserror::Error)]
#[error("run `{run_id}` can't be stopped in order: it is {state}{open}")]
struct NobodyThere {
    run_id: String,
    state: String,
    open: String,
}

/// Asks for the end of a run and waits for it, saying how far it is. Ctrl+C ends the waiting, not the request.
pub(super) async fn cancel(store: &Store, run_id: &str, say: &mut Output) -> Result<Exit, Failure> {
    let held = match store.ask_to_cancel(run_id).await? {
        Ask::Asked => store.overview(run_id).await?.status.holder().map(|held| held.holder.to_string()),
        Ask::Nobody(RunStatus::Ended(why)) => {
            say.write(&format!("run {run_id} has ended already: {}\n", why.words()));
            return Ok(Exit::Done);
        }
        Ask::Nobody(_) => return Err(nobody(store, run_id).await?),
    };
    let who = held.unwrap_or_else(|| "its process".to_owned());
    say.write(&format!("run {run_id}: {who} has been asked to stop it; Ctrl+C ends the waiting only\n"));
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut told = String::new();
    loop {
        tokio::select! {
            biased;
            () = stops.next() => {
                say.write("not waited for any longer; it goes on stopping\n");
                return Ok(Exit::Cancelled);
            }
            _ = tick.tick() => {}
        }
        let overview = store.overview(run_id).await?;
        match &overview.status {
            RunStatus::Ended(why) => {
                let tasks = overview.summary.tasks;
                say.write(&format!(
                    "run {run_id} has ended: {}; {} of {} done, {}\n",
                    why.words(),
                    tasks.done,
                    plural(tasks.total(), "task"),
                    match overview.summary.unsettled {
                        0 => "everything is settled".to_owned(),
                        n => format!("{} not settled", plural(n, "rental")),
                    }
                ));
                return Ok(Exit::Done);
            }
            RunStatus::Interrupted(_) => return Err(nobody(store, run_id).await?),
            RunStatus::Running(_) | RunStatus::Stopping(..) => {
                let far = far(&overview);
                if far != told {
                    say.write(&format!("{far}\n"));
                    told = far;
                }
            }
        }
    }
}

/// The progress of stopping.
fn far(overview: &Overview) -> String {
    format!(
        "{}: {} running, {} open, {} not settled",
        overview.status.word(),
        plural(overview.summary.tasks.running, "task"),
        plural(overview.open_agreements, "agreement"),
        plural(overview.summary.unsettled, "rental"),
    )
}

async fn nobody(store: &Store, run_id: &str) -> Result<Failure, Failure> {
    let overview = store.overview(run_id).await?;
    let open = match overview.open_agreements {
        0 => String::new(),
        n => format!(", with {} open", plural(n, "agreement")),
    };
    let error = NobodyThere {
        run_id: run_id.to_owned(),
        state: state_text(&overview.status, overview.paused_until()),
        open,
    };
    let failure = Failure::new(Exit::BrokeOff, error);
    Ok(if overview.open_agreements == 0 {
        failure
    } else {
        failure.advise(format!(
            "`golem-tasks settle --run-id {run_id}` ends what it left and settles its bills; `golem-tasks run` with the \
             same job and `--run-id {run_id}` goes on with it"
        ))
    })
}
