//! The providers at work: on a network of their own, or at a real daemon.

use std::io;
use std::net::SocketAddr;

use golem_devnet::devnet::{Devnet, DevnetError};
use golem_devnet::join::{DaemonAddress, JoinError, Joined};
use golem_devnet::news::NewsDesk;
use golem_devnet::node::Requestor;
use golem_devnet::provider::{ProviderConfig, ProviderHandle};

use super::books::NetworkView;
use super::{Described, DevnetOptions, Pace, Place};
use crate::exit::{Exit, Failure};

/// The network that runs: an emulated one, or providers at a real daemon.
#[derive(Debug)]
pub(super) enum Network {
    /// A whole network, and where it is served.
    Own { devnet: Box<Devnet>, url: String },
    /// Providers at a real daemon.
    Joined(Joined),
}

impl Network {
    /// Starts everything; when it returns, every offer is on the market.
    pub(super) async fn start(options: &DevnetOptions, desk: NewsDesk) -> Result<Self, Failure> {
        match &options.place {
            Place::Own { listen, pace } => own(options, *listen, *pace, desk).await.map_err(no_devnet),
            Place::Joined { daemon, further_keys } => {
                let joined = join(options, daemon.clone(), further_keys, desk).await;
                joined.map(Self::Joined).map_err(not_joined)
            }
        }
    }

    /// Everyone who sells.
    pub(super) fn providers(&self) -> Box<dyn Iterator<Item = &ProviderHandle> + '_> {
        match self {
            Self::Own { devnet, .. } => Box::new(devnet.providers()),
            Self::Joined(joined) => Box::new(joined.providers()),
        }
    }

    /// The requestors, as far as they are ours to choose.
    pub(super) fn requestors(&self) -> &[Requestor] {
        match self {
            Self::Own { devnet, .. } => devnet.requestors(),
            Self::Joined(_) => &[],
        }
    }

    /// Its REST API, if it has one of its own.
    pub(super) fn url(&self) -> Option<&str> {
        match self {
            Self::Own { url, .. } => Some(url),
            Self::Joined(_) => None,
        }
    }

    /// The source of its books, if they are ours to read.
    pub(super) fn view(&self) -> Option<NetworkView> {
        match self {
            Self::Own { devnet, .. } => Some(NetworkView {
                world: devnet.world().clone(),
                providers: devnet.providers().cloned().collect(),
            }),
            Self::Joined(_) => None,
        }
    }

    /// Ends it in good order, within half a minute.
    pub(super) async fn stop(self) {
        match self {
            Self::Own { devnet, .. } => devnet.stop().await,
            Self::Joined(joined) => joined.stop().await,
        }
    }
}

async fn own(
    options: &DevnetOptions,
    listen: SocketAddr,
    pace: Pace,
    desk: NewsDesk,
) -> Result<Network, DevnetError> {
    let mut builder = Devnet::builder()
        .providers(options.providers as usize)
        .seed(options.seed)
        .delays(pace.into())
        .payment_platform(platform(options))
        .subnet(options.subnet.as_str())
        .accounts_initialised()
        .news(desk);
    for key in &options.app_keys {
        builder = builder.app_key(key.clone());
    }
    if let Some(prices) = options.prices {
        builder = builder.prices(prices);
    }
    for config in described(options) {
        builder = builder.provider(config);
    }
    let devnet = Box::new(builder.start().await?);
    let address = devnet.listen(listen).await?;
    Ok(Network::Own { devnet, url: format!("http://{address}") })
}

async fn join(
    options: &DevnetOptions,
    daemon: DaemonAddress,
    further_keys: &[yagna_api::AppKey],
    desk: NewsDesk,
) -> Result<Joined, JoinError> {
    let mut builder = Joined::builder(daemon)
        .providers(options.providers as usize)
        .seed(options.seed)
        .payment_platform(platform(options))
        .subnet(options.subnet.as_str())
        .news(desk);
    for key in further_keys {
        builder = builder.key(key.clone());
    }
    if let Some(prices) = options.prices {
        builder = builder.prices(prices);
    }
    for config in described(options) {
        builder = builder.provider(config);
    }
    builder.start().await
}

fn platform(options: &DevnetOptions) -> String {
    golem_sdk::run::platform(&options.driver, &options.network)
}

/// Those of the config file, with the network's prices where they have none of their own.
fn described(options: &DevnetOptions) -> impl Iterator<Item = ProviderConfig> {
    options.described.iter().map(|Described { config, has_prices }| {
        let prices = options.prices.filter(|_| !has_prices).unwrap_or(config.prices);
        config.clone().priced(prices)
    })
}

fn no_devnet(error: DevnetError) -> Failure {
    match &error {
        DevnetError::Listen { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
            let advice = format!(
                "another devnet or a yagna daemon may be there (`ss -ltnp sport = :{}` shows who); \
                 with `--listen {}` the system chooses a free port",
                address.port(),
                SocketAddr::new(address.ip(), 0)
            );
            Failure::new(Exit::Usage, error).advise(advice)
        }
        _ => Failure::new(Exit::Usage, error),
    }
}

fn not_joined(error: JoinError) -> Failure {
    match &error {
        JoinError::NoDaemon { .. } => Failure::new(Exit::Daemon, error)
            .advise("start the daemon with `yagna service run`, or say where it is: --join http://HOST:PORT"),
        JoinError::Key { .. } => Failure::new(Exit::Daemon, error)
            .advise("`yagna app-key list` shows the daemon's keys; give one of them with --app-key"),
        JoinError::Bus { .. } => Failure::new(Exit::Daemon, error).advise(
            "say where the daemon has its bus: --gsb-url, or GSB_URL as the daemon itself was given it",
        ),
        JoinError::Address(_) | JoinError::SameName(_) => Failure::new(Exit::Usage, error),
        _ => Failure::new(Exit::Daemon, error),
    }
}
