//! The `devnet` command: serves an emulated Golem Network until it is stopped.
//!
//! Left to others: the network itself ([`golem_devnet`]), the command line.

mod books;
pub(crate) mod config;
mod exports;
mod file;
mod json;
mod lines;
mod network;
mod printer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use golem_devnet::join::DaemonAddress;
use golem_devnet::news::NewsDesk;
use golem_devnet::provider::Prices;
use tokio::time::timeout;
use yagna_api::AppKey;

use crate::exit::{Exit, Failure};
use crate::signals::Stops;
use crate::view::Output;
use crate::view::text::plural;
use books::Bookkeeper;
pub use config::Described;
use exports::Exports;
use lines::Lines;
use network::Network;
use printer::{Manner, Printer};

/// So many providers are made up at most: each one costs some memory and a few polls a minute.
pub(crate) const MOST_PROVIDERS: u32 = 1000;

/// The time that an end may take before something is said about it.
const SILENCE: Duration = Duration::from_millis(700);

/// A devnet as it was asked for, complete and checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DevnetOptions {
    /// The daemon that the providers sell through.
    pub place: Place,
    /// The number of providers to make up.
    pub providers: u32,
    /// Those that are described one by one.
    pub described: Vec<Described>,
    /// The seed that makes the network the same again.
    pub seed: u64,
    /// The prices of providers that have none of their own.
    pub prices: Option<Prices>,
    /// The requestors' keys; one is made up where there are none. Unused at a real daemon, which has its own.
    pub app_keys: Vec<AppKey>,
    /// The part of the market where the providers are.
    pub subnet: String,
    /// The payment driver.
    pub driver: String,
    /// The chain.
    pub network: String,
    /// The file for the environment.
    pub env_file: Option<PathBuf>,
    /// The file for the network's books.
    pub books: Option<PathBuf>,
    /// Tell of every command, too.
    pub commands: bool,
    /// Tell in JSON.
    pub json: bool,
    /// Tell nothing but the environment.
    pub quiet: bool,
}

/// The daemon that the providers sell through.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Place {
    /// An emulated one.
    Own {
        /// The address at which its REST API is served.
        listen: SocketAddr,
        /// The delays.
        pace: Pace,
    },
    /// A real one.
    Joined {
        /// The address of the daemon, and the first identity that sells there.
        daemon: DaemonAddress,
        /// Keys of the further ones.
        further_keys: Vec<AppKey>,
    },
}

/// The delays of the emulated daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Pace {
    /// As long as a real one.
    #[default]
    Realistic,
    /// Everything at once.
    AtOnce,
}

/// Serves a devnet until Ctrl+C, SIGTERM or SIGHUP.
///
/// The first signal ends it in good order, the second at once.
pub(crate) async fn serve(options: DevnetOptions) -> Result<Exit, Failure> {
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let mut people = if options.quiet { Output::none() } else { Output::stderr() };
    let begun = tokio::select! {
        biased;
        () = stops.next() => return Ok(Exit::Done),
        begun = begin(&options, &mut people) => begun?,
    };
    let (network, printer, keeper) = begun;
    stops.next().await;
    // Before anything is ended: what is left running by then is of interest.
    let closed = match keeper {
        Some(keeper) => keeper.close().await,
        None => Ok(()),
    };
    let ended = tokio::select! {
        biased;
        // The rest of the network ends at once when it is dropped.
        () = stops.next() => None,
        ended = end(network, printer, &mut people) => Some(ended),
    };
    ended.unwrap_or(Ok(())).and(closed).map(|()| Exit::Done)
}

async fn begin(
    options: &DevnetOptions,
    people: &mut Output,
) -> Result<(Network, Printer, Option<Bookkeeper>), Failure> {
    let commands = options.commands || options.books.is_some();
    let desk = if commands { NewsDesk::with_commands() } else { NewsDesk::new() };
    let news = desk.subscribe();
    let noted = desk.subscribe();
    let network = Network::start(options, desk).await?;
    let exports = Exports::new(options, &network);
    people.write(&greeting(options, &network));
    let (first, manner) = if options.json {
        let first = json::ended(&exports.json(options, &network));
        (first, if options.quiet { Manner::Quiet } else { Manner::Json { commands: options.commands } })
    } else {
        let longest = network.providers().map(|provider| provider.name().chars().count()).max();
        let lines = Lines::new(options.commands, longest.unwrap_or_default());
        let gap = if options.quiet { "" } else { "\n" };
        let manner = if options.quiet { Manner::Quiet } else { Manner::Text(lines) };
        (exports.text() + gap, manner)
    };
    let printer = Printer::start(first, manner, news)?;
    let keeper = match (&options.books, network.view()) {
        (Some(path), Some(view)) => Some(Bookkeeper::start(path.clone(), view, noted)?),
        _ => None,
    };
    if let Some(path) = &options.env_file {
        exports.write(path)?;
    }
    Ok((network, printer, keeper))
}

/// Ends a devnet in good order; the last lines are printed when it returns.
async fn end(network: Network, printer: Printer, people: &mut Output) -> Result<(), Failure> {
    let mut ending = std::pin::pin!(network.stop());
    if timeout(SILENCE, ending.as_mut()).await.is_err() {
        people.write("ending the devnet; Ctrl+C again leaves at once\n");
        ending.await;
    }
    printer.finish().await
}

fn greeting(options: &DevnetOptions, network: &Network) -> String {
    let providers = plural(network.providers().count() as u64, "provider");
    let seed = options.seed;
    let mut text = match &options.place {
        Place::Own { .. } => format!("A Golem Network of {providers}, inside this program (seed {seed})"),
        Place::Joined { daemon, .. } => {
            let api = &daemon.api;
            format!("{providers} at the daemon {api}, on subnet {} (seed {seed})", options.subnet)
        }
    };
    text.push_str("; Ctrl+C ends it.\n");
    if !options.json {
        text.push_str("Lines for the shell that your app is started from, then what happens:\n\n");
    }
    text
}
