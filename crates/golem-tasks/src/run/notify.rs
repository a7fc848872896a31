//! The news that a run has ended: a command of the user's is run, and the summary is sent to addresses.
//!
//! Nothing here changes how a run ended: what fails is a warning. Everything has its limit in time, and Ctrl+C ends it.

use std::future::Future;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use golem_sdk::text::chain;
use reqwest::{Client, StatusCode, Url};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::exit::Exit;
use crate::options::RunOptions;
use crate::signals::Stops;
use crate::store::{Overview, RunStatus, Store};
use crate::view::Output;
use crate::view::kept::overview_json;

/// The time that the command may take.
const COMMAND: Duration = Duration::from_secs(5 * 60);
/// The time that one request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// The pauses between the requests to one address.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// Who is told of a run's end.
#[derive(Debug, Clone)]
pub(super) struct Notified {
    run_id: String,
    command: Option<String>,
    addresses: Vec<String>,
    /// True if Ctrl+C is ours to handle.
    on_ctrl_c: bool,
}

/// The reasons why somebody couldn't be told.
#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error("the command for the end of the run can't be started")]
    Start(#[source] io::Error),
    #[error("the command for the end of the run took longer than {} s and was ended", COMMAND.as_secs())]
    TooLong,
    #[error("the command for the end of the run failed: {0}")]
    Command(std::process::ExitStatus),
    #[error("an address that was to be told of the run's end is not valid")]
    Address,
    #[error("{host} answered the summary of the run with {status}")]
    Refused { host: String, status: StatusCode },
    #[error("the summary of the run could not be sent to {host}: {reason}")]
    NotSent { host: String, reason: String },
}

impl Notified {
    /// Those whom the options of a run name.
    pub(super) fn of(options: &RunOptions, on_ctrl_c: bool) -> Self {
        Self {
            run_id: options.run_id.clone(),
            command: options.limits.on_end.clone(),
            addresses: options.limits.notify.clone(),
            on_ctrl_c,
        }
    }

    /// Tells them, once the run is over and recorded.
    pub(super) async fn tell(&self, store: &Store, exit: Exit) {
        if self.command.is_none() && self.addresses.is_empty() {
            return;
        }
        let overview = match store.overview(&self.run_id).await {
            Ok(overview) => overview,
            Err(error) => return warn(&chain(&error)),
        };
        let told = async {
            let (command, sent) = tokio::join!(self.run_command(&overview, exit), self.send(&overview));
            for error in command.err().into_iter().chain(sent) {
                warn(&chain(&error));
            }
        };
        if !self.on_ctrl_c {
            return told.await;
        }
        match Stops::listen() {
            Ok(mut stops) => tokio::select! {
                biased;
                () = stops.next() => warn("cancelled before everybody was told of the run's end"),
                () = told => {}
            },
            Err(error) => warn(&chain(&error)),
        }
    }

    async fn run_command(&self, overview: &Overview, exit: Exit) -> Result<(), NotifyError> {
        let Some(text) = &self.command else { return Ok(()) };
        let mut command = shell(text);
        command
            .envs(variables(overview, exit))
            .stdin(Stdio::null())
            // Standard output has the results and nothing else.
            .stdout(Stdio::from(io::stderr()))
            .kill_on_drop(true);
        let mut running = command.spawn().map_err(NotifyError::Start)?;
        match timeout(COMMAND, running.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(NotifyError::Command(status)),
            Ok(Err(error)) => Err(NotifyError::Start(error)),
            Err(_) => Err(NotifyError::TooLong),
        }
    }

    async fn send(&self, overview: &Overview) -> Vec<NotifyError> {
        let body = overview_json(overview);
        let sent = self.addresses.iter().map(|address| send(address, &body));
        join_all(sent).await.into_iter().filter_map(Result::err).collect()
    }
}

#[cfg(unix)]
fn shell(text: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", text]);
    command
}

#[cfg(not(unix))]
fn shell(text: &str) -> Command {
    let mut command = Command::new("cmd");
    command.args(["/C", text]);
    command
}

/// The variables by which the command knows the run.
fn variables(overview: &Overview, exit: Exit) -> [(&'static str, String); 7] {
    let summary = &overview.summary;
    let state = match &overview.status {
        RunStatus::Ended(why) => {
            serde_json::to_value(why).ok().and_then(|why| why.as_str().map(str::to_owned))
        }
        other => Some(other.word().to_owned()),
    };
    [
        ("GOLEM_RUN_ID", summary.run_id.clone()),
        ("GOLEM_STATE", state.unwrap_or_default()),
        ("GOLEM_DONE", summary.tasks.done.to_string()),
        ("GOLEM_FAILED", summary.tasks.failed.to_string()),
        ("GOLEM_UNFINISHED", summary.tasks.unfinished().to_string()),
        ("GOLEM_COST", summary.cost.to_string()),
        ("GOLEM_EXIT_CODE", exit.code().to_string()),
    ]
}

async fn send(address: &str, body: &str) -> Result<(), NotifyError> {
    let url: Url = address.parse().map_err(|_| NotifyError::Address)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let not_sent = |error: reqwest::Error| NotifyError::NotSent {
        host: host.clone(),
        // The address may have a secret in it.
        reason: chain(&error.without_url()),
    };
    // Another part of the process may have chosen a provider of cryptography before us; any will do.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = Client::builder().timeout(REQUEST).build().map_err(not_sent)?;
    let once = || async {
        let request = client.post(url.clone()).header("content-type", "application/json");
        request.body(body.to_owned()).send().await.map(|answer| answer.status())
    };
    match patiently(once, &PAUSES).await {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(NotifyError::Refused { host, status }),
        Err(error) => Err(not_sent(error)),
    }
}

/// Asks again after pauses, while nobody answers or the answer is that it may be different later.
async fn patiently<E, F: Future<Output = Result<StatusCode, E>>>(
    once: impl Fn() -> F,
    pauses: &[Duration],
) -> Result<StatusCode, E> {
    for pause in pauses {
        match once().await {
            Ok(status) if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                return Ok(status);
            }
            Ok(_) | Err(_) => sleep(*pause).await,
        }
    }
    once().await
}

fn warn(text: &str) {
    Output::stderr().write(&format!("warning: {text}\n"));
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_is_asked_again_only_while_that_may_help() {
        let asked = async |answers: &[Result<u16, ()>]| {
            let count = Cell::new(0);
            let once = || {
                let answer = answers[count.get().min(answers.len() - 1)];
                count.set(count.get() + 1);
                async move { answer.map(|status| StatusCode::from_u16(status).unwrap()) }
            };
            let last = patiently(once, &PAUSES).await;
            (last.map(|status| status.as_u16()), count.get())
        };
        assert_eq!(asked(&[Ok(204)]).await, (Ok(204), 1));
        assert_eq!(asked(&[Ok(404)]).await, (Ok(404), 1), "it won't be there a second later");
        assert_eq!(asked(&[Err(()), Ok(503), Ok(429), Ok(200)]).await, (Ok(200), 4));
        assert_eq!(asked(&[Err(())]).await, (Err(()), 5), "there is an end");
    }
}
