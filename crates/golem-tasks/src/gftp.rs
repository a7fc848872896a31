//! The program `gftp`: files for requestors that move them by starting this program, as yapapi and golem-js do.
//!
//! It stands in for Golem's own program of that name and speaks as it does: JSON-RPC over standard input and output,
//! `rpc`; what each method does is `desk`'s, and `files` serves files on the daemon's bus. Where Golem's opens a
//! socket of the daemon that only programs of the same machine reach, this one needs the daemon's REST API only.

mod args;
mod desk;
mod files;
mod peer;
mod rpc;
mod server;
mod service;
mod signals;
mod url;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use clap::Parser;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use yagna_client::{Client, HttpTransport, RetryPolicy};

use self::args::{Args, Command};
use self::desk::{Daemon, Desk};
use self::rpc::{Call, Reply};
use self::server::Answers;
use self::signals::Stops;
use crate::cli::{panics, report};
use crate::exit::{Exit, Failure};
use crate::view::Output;

/// The daemon whose behaviour is kept, and who keeps it. yapapi looks at the number before the space: from 0.7.3 on
/// it takes back what it has published.
const VERSION: &str = concat!("0.17.6 (golem-tasks ", env!("CARGO_PKG_VERSION"), ")");

/// The whole program.
pub fn main() -> Exit {
    main_with(std::env::args_os())
}

/// The whole program with these words for a command line, the first of which is its name.
pub fn main_with(words: impl IntoIterator<Item = OsString>) -> Exit {
    let words: Vec<_> = words.into_iter().collect();
    panics::told(|| parse_and_work(words))
}

fn parse_and_work(words: Vec<OsString>) -> Exit {
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(told) => {
            // A reader that has gone away misses the help; that's all.
            let _gone = told.print();
            return if told.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    match work(&args) {
        Ok(exit) => exit,
        Err(failure) => {
            Output::stderr().write(&report(&failure));
            failure.exit()
        }
    }
}

fn work(args: &Args) -> Result<Exit, Failure> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // A program that embeds us may have set up its own log already; then that one is it.
    let _own_log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
    // Every served file takes an open file and a connection.
    crate::run::ready::raise_file_limit();
    let desk = Desk::new(daemon(args)?);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new(Exit::Bug, error))?;
    let exit = runtime.block_on(run(args, desk));
    // A read of standard input that still waits must not hold up the end.
    runtime.shutdown_background();
    exit
}

async fn run(args: &Args, mut desk: Desk) -> Result<Exit, Failure> {
    let stop = CancellationToken::new();
    let mut listening = tokio::task::JoinSet::new();
    let mut stops = Stops::listen(matches!(args.command, Command::Server))
        .map_err(|error| Failure::new(Exit::Bug, error))?;
    let heard = stop.clone();
    listening.spawn(async move {
        stops.next().await;
        heard.cancel();
    });
    let mut answers = Answers::new(tokio::io::stdout());
    let exit = match Call::of(&args.command) {
        None => {
            server::serve(tokio::io::stdin(), &mut answers, &mut desk, &stop).await;
            Exit::Done
        }
        Some(call) => {
            let stays = matches!(call, Call::Publish { .. } | Call::Receive { .. });
            let answer = tokio::select! {
                answer = desk.answer(call) => answer,
                () = stop.cancelled() => {
                    desk.close().await;
                    return Ok(Exit::Cancelled);
                }
            };
            let failed = answer.is_err();
            let reply = Reply::new(Value::Null, answer);
            let told =
                if args.verbose { answers.send(&reply).await } else { answers.send(&reply.body()).await };
            if stays && !failed && told.is_ok() {
                stop.cancelled().await;
            }
            if failed { Exit::TasksFailed } else { Exit::Done }
        }
    };
    desk.close().await;
    Ok(exit)
}

fn daemon(args: &Args) -> Result<Daemon, Failure> {
    let Some(key) = args.app_key() else {
        return Ok(Daemon::NoKey);
    };
    let url = args.api_url();
    let parsed = url.parse().map_err(|error| {
        Failure::new(Exit::Usage, WrongUrl(url.clone(), error))
            .advise("expected something like http://127.0.0.1:7465")
    })?;
    let transport = HttpTransport::new(&parsed, &key).map_err(|error| Failure::new(Exit::Usage, error))?;
    // Whoever asks waits for the answer: better to say soon that there is no daemon. Files are served on for as
    // long as it takes.
    let patience = RetryPolicy { total: std::time::Duration::from_secs(5), ..RetryPolicy::default() };
    Ok(Daemon::At(Client::new(Arc::new(transport)).with_retry(patience)))
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a valid address of a daemon")]
struct WrongUrl(String, #[source] <yagna_client::Url as std::str::FromStr>::Err);
