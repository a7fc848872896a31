//! The flags of `golem-tasks devnet`, and what they mean together with a config file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum, ValueHint};
use golem_devnet::node::Delays;
use golem_devnet::provider::Prices;
use yagna_api::{AppKey, Glm};

use super::args::{amount, app_key};
use crate::devnet::config::{ConfigError, ConfigFile};
use crate::devnet::{DevnetOptions, MOST_PROVIDERS, Pace};
use crate::exit::{Exit, Failure};

const LISTEN: &str = "127.0.0.1:7465";
const PROVIDERS: u32 = 3;

#[derive(Debug, Clone, Parser)]
pub(super) struct DevnetFlags {
    /// Honest providers with made-up names, machines and prices [default: 3, with --config none]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_PROVIDERS)))]
    providers: Option<u32>,
    /// Where to serve the daemon's REST API; with port 0 the system chooses a free one [default: 127.0.0.1:7465]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Make names, machines, prices, ids and keys the same again [default: random]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// What providers ask for, in GLM: start=0.01,cpu-hour=0.06,env-hour=0.02; what is left out is free.
    #[arg(long, value_name = "PRICES", value_parser = prices)]
    price: Option<Prices>,
    /// Providers one by one, and how they misbehave; docs/devnet.md explains the file. Flags win over it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The app key of a requestor; can be given several times [default: one that is made up]
    #[arg(long, value_name = "KEY", value_parser = app_key)]
    app_key: Vec<AppKey>,
    /// The part of the market where the providers are [default: public]
    #[arg(long, value_name = "NAME")]
    subnet: Option<String>,
    /// The payment driver that providers take [default: erc20]
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// The chain on which providers are paid; no chain is touched [default: hoodi]
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// How long the daemon takes for things [default: realistic]
    #[arg(long, value_name = "HOW")]
    delays: Option<PaceFlag>,
    /// Write the environment to this file too, once the devnet can be used.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    env_file: Option<PathBuf>,
    /// Tell of every command, too.
    #[arg(long)]
    commands: bool,
    /// Write one JSON object a line to standard output; docs/json-output.md explains them.
    #[arg(long)]
    json: bool,
    /// Tell nothing but the environment.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PaceFlag {
    /// As long as a real daemon.
    Realistic,
    /// Everything at once; nothing is ever paid, only accepted.
    None,
}

/// What is wrong with a flag.
#[derive(Debug, thiserror::Error)]
enum OptionError {
    #[error("`{0}` must not be empty")]
    Empty(&'static str),
    #[error("an app key is one word of ASCII letters, digits and signs")]
    AppKey,
}

/// Decides everything that is left open.
pub(super) fn resolve(flags: &DevnetFlags, chance: &mut fastrand::Rng) -> Result<DevnetOptions, Failure> {
    let file = match &flags.config {
        Some(path) => ConfigFile::load(path)?,
        None => ConfigFile::default(),
    };
    let or = |flag: &Option<String>, file: Option<String>, name, default: &str| match flag
        .as_deref()
        .map(str::trim)
    {
        Some("") => Err(usage(OptionError::Empty(name))),
        Some(text) => Ok(text.to_owned()),
        None => Ok(file.unwrap_or_else(|| default.to_owned())),
    };
    // They go into HTTP headers.
    let sendable = |key: &AppKey| {
        let key = key.expose();
        !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic())
    };
    if !flags.app_key.iter().all(sendable) {
        return Err(usage(OptionError::AppKey));
    }
    let made_up = if file.described.is_empty() { PROVIDERS } else { 0 };
    Ok(DevnetOptions {
        listen: flags.listen.or(file.listen).unwrap_or_else(|| LISTEN.parse().expect("it is an address")),
        providers: flags.providers.or(file.providers).unwrap_or(made_up),
        described: file.described,
        // Short enough to be typed.
        seed: flags.seed.or(file.seed).unwrap_or_else(|| chance.u32(..).into()),
        prices: flags.price.or(file.prices),
        app_keys: flags.app_key.clone(),
        subnet: or(&flags.subnet, file.subnet, "--subnet", "public")?,
        driver: or(&flags.driver, file.driver, "--driver", "erc20")?,
        network: or(&flags.network, file.network, "--network", "hoodi")?,
        pace: flags.delays.map(Pace::from).or(file.pace).unwrap_or_default(),
        env_file: flags.env_file.clone(),
        commands: flags.commands,
        json: flags.json,
        quiet: flags.quiet,
    })
}

/// `start=0.01,cpu-hour=0.06,env-hour=0.02`, in any order; what isn't named costs nothing.
fn prices(text: &str) -> Result<Prices, String> {
    const EXPECTED: &str = "expected prices in GLM such as start=0.01,cpu-hour=0.06,env-hour=0.02";
    let mut prices = Prices { start: Glm::ZERO, per_cpu_hour: Glm::ZERO, per_env_hour: Glm::ZERO };
    for part in text.split(',') {
        let (name, price) = part.split_once('=').ok_or(EXPECTED)?;
        let price = amount(price.trim())?;
        match name.trim() {
            "start" => prices.start = price,
            "cpu-hour" => prices.per_cpu_hour = price,
            "env-hour" => prices.per_env_hour = price,
            other => return Err(format!("there is no price `{other}`: {EXPECTED}")),
        }
    }
    Ok(prices)
}

fn usage(error: OptionError) -> Failure {
    Failure::new(Exit::Usage, error)
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<PaceFlag> for Pace {
    fn from(flag: PaceFlag) -> Self {
        match flag {
            PaceFlag::Realistic => Self::Realistic,
            PaceFlag::None => Self::AtOnce,
        }
    }
}

impl From<Pace> for Delays {
    fn from(pace: Pace) -> Self {
        match pace {
            Pace::Realistic => Self::real(),
            Pace::AtOnce => Self::none(),
        }
    }
}
