//! What the examples share: the flags that say where they run, the choice between devnet and daemon, and how they end.
//!
//! It is a convenience of these examples and no part of the SDK. A program that runs on the daemon of its environment
//! needs none of it: `Executor::builder(payload)` finds the daemon by itself.

#![expect(clippy::print_stderr, reason = "a program tells people how it failed")]

#[cfg(feature = "testing")]
pub mod testing;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use golem_devnet::devnet::Devnet;
use golem_sdk::executor::ExecutorBuilder;
use golem_sdk::image::Registry;
use golem_sdk::log::{LogOptions, enable_default_logger, log_event, log_summary};
use golem_sdk::payload::PayloadSpec;
use golem_sdk::{Executor, connect, defaults, text};
use yagna_client::{Client, InProcessTransport};

pub use golem_devnet::runtime::{ImageFolder, ImageFolderError};

/// Whatever keeps an example from its end.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The exit code of a program that failed; a wrong command line has the same.
pub const FAILED: u8 = 2;
/// The exit code of a program that was stopped by Ctrl+C.
pub const CANCELLED: u8 = 130;

/// Where an example runs.
#[expect(clippy::doc_markdown, reason = "the help shows it as it is")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Golem Network")]
pub struct Flags {
    /// Run on an emulated network inside this program: it needs no daemon and costs nothing
    ///
    /// Otherwise the yagna daemon is used that the environment names: YAGNA_APPKEY is its key, YAGNA_API_URL its
    /// address where it isn't http://127.0.0.1:7465.
    #[arg(long)]
    devnet: bool,
    /// A folder with what the payload's image would have: a devnet's machines have no images
    ///
    /// `FOLDER/golem/run.sh` becomes `/golem/run.sh` on each machine, and so on.
    #[arg(long, value_name = "FOLDER", requires = "devnet")]
    devnet_image: Option<PathBuf>,
    /// The part of the market to buy on [default: $YAGNA_SUBNET, or public]
    #[arg(long, value_name = "TAG")]
    subnet_tag: Option<String>,
    /// The payment driver [default: $YAGNA_PAYMENT_DRIVER, or erc20]
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// The chain to pay on [default: $YAGNA_PAYMENT_NETWORK, or hoodi, where GLM is for tests]
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Keep a log with all details in this file
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

/// The network that the flags name.
#[derive(Debug)]
pub struct Network {
    flags: Flags,
    devnet: Option<Devnet>,
}

impl Flags {
    /// Begins the log, and a devnet of three providers where one is wanted.
    ///
    /// The devnet ends when the network is dropped.
    pub async fn open(self) -> Result<Network, Failure> {
        let mut log = LogOptions::default();
        if let Some(file) = &self.log_file {
            log = log.file(file);
        }
        enable_default_logger(&log)?;
        let devnet = if self.devnet { Some(self.start_devnet().await?) } else { None };
        Ok(Network { flags: self, devnet })
    }

    async fn start_devnet(&self) -> Result<Devnet, Failure> {
        let mut devnet = Devnet::builder().providers(3);
        if let Some(subnet) = self.subnet() {
            devnet = devnet.subnet(subnet);
        }
        if let Some(folder) = &self.devnet_image {
            devnet = devnet.runtime(ImageFolder::new(folder)?);
        }
        let driver = wanted(self.driver.as_deref(), "YAGNA_PAYMENT_DRIVER", "erc20");
        let network = wanted(self.network.as_deref(), "YAGNA_PAYMENT_NETWORK", "hoodi");
        Ok(devnet.payment_platform(golem_sdk::run::platform(&driver, &network)).start().await?)
    }

    /// The subnet that was asked for by flag or variable.
    fn subnet(&self) -> Option<String> {
        self.subnet_tag.clone().or_else(|| variable("YAGNA_SUBNET"))
    }
}

impl Network {
    /// Begins to set up an executor there. It logs what happens, and heeds Ctrl+C.
    pub fn executor(&self, payload: PayloadSpec) -> Result<ExecutorBuilder, Failure> {
        // A devnet's providers fetch no images, so there is no need to ask Golem's registry for one.
        let payload = if self.devnet.is_some() { payload.registry(Registry::devnet()) } else { payload };
        let mut builder = Executor::builder(payload)
            .event_consumer(log_summary())
            .event_consumer(log_event)
            .stop_on_ctrl_c();
        if self.devnet.is_some() {
            builder = builder.client(self.client()?);
        }
        if let Some(subnet) = &self.flags.subnet_tag {
            builder = builder.subnet_tag(subnet);
        }
        if let Some(driver) = &self.flags.driver {
            builder = builder.driver(driver);
        }
        if let Some(network) = &self.flags.network {
            builder = builder.network(network);
        }
        Ok(builder)
    }

    /// A way to its daemon.
    pub fn client(&self) -> Result<Client, Failure> {
        match &self.devnet {
            Some(devnet) => {
                let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key)?;
                Ok(Client::new(Arc::new(transport)))
            }
            None => Ok(connect::from_env()?),
        }
    }

    /// The part of the market to look at.
    pub fn subnet(&self) -> String {
        self.flags.subnet().unwrap_or_else(|| defaults::SUBNET.to_owned())
    }
}

/// Ends the program: what failed is told in one line.
pub fn ended(outcome: Result<ExitCode, Failure>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {}", text::chain(&*error));
        ExitCode::from(FAILED)
    })
}

fn wanted(flag: Option<&str>, name: &str, default: &str) -> String {
    flag.map(ToOwned::to_owned)
        .or_else(|| variable(name))
        .unwrap_or_else(|| default.to_owned())
        .to_lowercase()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}
