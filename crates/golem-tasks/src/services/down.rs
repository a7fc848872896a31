//! Bringing services down: the process that keeps them up is asked to, or what it left is settled.

use std::time::Duration;

use tokio::time::sleep;

use super::look::Looking;
use crate::exit::{Exit, Failure};
use crate::run::settle::{SettleOptions, settle};
use crate::signals::Stops;
use crate::store::{RunStatus, ServiceRow, Store};
use crate::view::Output;

/// The time between two looks at how far it is.
const EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
enum DownError {
    #[error("several stacks of services are up: {0}")]
    Several(String),
    #[error("no services named `{0}` were ever brought up in {1}")]
    NoSuch(String, String),
}

/// Brings the services of a stack down, and waits until they are.
pub(crate) async fn down(looking: &Looking, settling: SettleOptions) -> Result<Exit, Failure> {
    let store = Store::open_existing(&looking.dsn).await?;
    let done = down_in(&store, looking, settling).await;
    store.close().await;
    done
}

async fn down_in(store: &Store, looking: &Looking, settling: SettleOptions) -> Result<Exit, Failure> {
    let mut say = Output::stderr();
    let rows = store.services(looking.stack.as_deref()).await?;
    if let (true, Some(stack)) = (rows.is_empty(), &looking.stack) {
        let error = DownError::NoSuch(stack.clone(), store.place().to_owned());
        return Err(Failure::new(Exit::Usage, error).advise("`golem-tasks ps --all` lists all services"));
    }
    let mut up: Vec<(ServiceRow, RunStatus)> = Vec::new();
    for row in rows {
        let Ok(status) = store.run_status(&row.run_id).await else { continue };
        if !matches!(status, RunStatus::Ended(_)) {
            up.push((row, status));
        }
    }
    let mut stacks: Vec<_> = up.iter().map(|(row, _)| row.stack.clone()).collect();
    stacks.sort();
    stacks.dedup();
    let stack = match stacks.as_slice() {
        [] => {
            say.write("no services are up\n");
            return Ok(Exit::Done);
        }
        [stack] => stack.clone(),
        several => {
            let error = DownError::Several(several.join(", "));
            return Err(Failure::new(Exit::Usage, error).advise("name one of them: `golem-tasks down NAME`"));
        }
    };
    let run_ids: Vec<_> = up.iter().map(|(row, _)| row.run_id.clone()).collect();
    if let Some(held) = up.iter().find_map(|(_, status)| status.holder()) {
        store.ask_down(&run_ids).await?;
        say.write(&format!(
            "{} has been asked to bring {stack} down; Ctrl+C ends the waiting only\n",
            held.holder
        ));
        return wait(store, &stack, &run_ids, &mut say).await;
    }
    // Nobody keeps them up: their machines are rented until their agreements end.
    say.write(&format!("nobody keeps {stack} up any more: what is left of it is ended and settled\n"));
    let mut exit = Exit::Done;
    for run_id in run_ids {
        let one = SettleOptions { run_id: Some(run_id), ..settling.clone() };
        let settled = Box::pin(settle(one)).await?;
        if settled != Exit::Done {
            exit = settled;
        }
    }
    Ok(exit)
}

async fn wait(store: &Store, stack: &str, run_ids: &[String], say: &mut Output) -> Result<Exit, Failure> {
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    loop {
        let mut is_over = true;
        for run_id in run_ids {
            let status = store.run_status(run_id).await?;
            if let RunStatus::Interrupted(_) = status {
                return Err(Failure::new(
                    Exit::BrokeOff,
                    format!("the process that kept {stack} up has died"),
                )
                .advise(format!("`golem-tasks down {stack}` once more ends what it left")));
            }
            is_over &= matches!(status, RunStatus::Ended(_));
        }
        if is_over {
            say.write(&format!("{stack} is down\n"));
            return Ok(Exit::Done);
        }
        tokio::select! {
            biased;
            () = stops.next() => {
                say.write("not waited for any longer; it goes on being brought down\n");
                return Ok(Exit::Cancelled);
            }
            () = sleep(EVERY) => {}
        }
    }
}
