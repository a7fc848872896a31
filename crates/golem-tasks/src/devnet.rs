//! The `devnet` command: serves an emulated Golem Network until it is stopped.
//!
//! Left to others: the network itself ([`golem_devnet`]), the command line.

mod exports;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use golem_devnet::devnet::{Devnet, DevnetError};
use golem_devnet::provider::Prices;
use yagna_api::AppKey;

use crate::exit::{Exit, Failure};
use crate::run::signals::Stops;
use crate::view::Output;
use exports::Exports;

/// A devnet as it was asked for, complete and checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DevnetOptions {
    /// Where to serve the daemon's REST API.
    pub listen: SocketAddr,
    /// How many providers to make up.
    pub providers: u32,
    /// What makes it the same again.
    pub seed: u64,
    /// What providers ask for that have no prices of their own.
    pub prices: Option<Prices>,
    /// The requestors' keys; one is made up where there are none.
    pub app_keys: Vec<AppKey>,
    /// The part of the market where the providers are.
    pub subnet: String,
    /// The payment driver.
    pub driver: String,
    /// The chain.
    pub network: String,
    /// How long things take.
    pub pace: Pace,
    /// Where to write the environment.
    pub env_file: Option<PathBuf>,
}

/// How long the emulated daemon takes for things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    let devnet = start(&options).await?;
    let address = devnet.listen(options.listen).await.map_err(no_devnet)?;
    let exports = Exports::new(&options, &format!("http://{address}"), devnet.requestors());
    let mut out = Output::stdout();
    out.write(&exports.text());
    if let Some(path) = &options.env_file {
        exports.write(path)?;
    }
    stops.next().await;
    tokio::select! {
        biased;
        // What is left of it ends at once when it is dropped.
        () = stops.next() => {}
        () = devnet.stop() => {}
    }
    Ok(Exit::Done)
}

async fn start(options: &DevnetOptions) -> Result<Devnet, Failure> {
    let mut builder = Devnet::builder()
        .providers(options.providers as usize)
        .seed(options.seed)
        .delays(options.pace.into())
        .payment_platform(golem::run::platform(&options.driver, &options.network))
        .subnet(options.subnet.as_str());
    for key in &options.app_keys {
        builder = builder.app_key(key.clone());
    }
    if let Some(prices) = options.prices {
        builder = builder.prices(prices);
    }
    builder.start().await.map_err(no_devnet)
}

fn no_devnet(error: DevnetError) -> Failure {
    let advice = match &error {
        DevnetError::Listen { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
            Some(format!(
                "another devnet or a yagna daemon may be there: `ss -ltnp sport = :{}` shows who; \
             or let the system choose a port with `--listen {}`",
                address.port(),
                SocketAddr::new(address.ip(), 0)
            ))
        }
        _ => None,
    };
    let failure = Failure::new(Exit::Usage, error);
    match advice {
        Some(advice) => failure.advise(advice),
        None => failure,
    }
}
