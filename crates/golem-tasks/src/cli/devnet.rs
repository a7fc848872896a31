//! The flags of `golem-tasks devnet`, and what they mean together with a config file.

#![expect(clippy::doc_markdown, reason = "these comments are the text of --help")]

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum, ValueHint};
use golem_devnet::join::{DaemonAddress, GsbAddress, GsbAddressError};
use golem_devnet::node::Delays;
use golem_devnet::provider::Prices;
use yagna_api::{AppKey, Glm};

use super::values::{amount, app_key};
use crate::devnet::config::{ConfigError, ConfigFile};
use crate::devnet::{DevnetOptions, MOST_PROVIDERS, Pace, Place};
use crate::exit::{Exit, Failure};

const LISTEN: &str = "127.0.0.1:7465";
const PROVIDERS: u32 = 3;

const PROVIDING: &str = "Providers";
const DAEMON: &str = "Their daemon";
const TOLD: &str = "What is told";
const EXAMPLES: &str = "\
Examples:
  golem-tasks devnet
      A network of three providers. Copy the lines it prints into the shell of
      your app, and start the app there.
  golem-tasks devnet --env-file devnet.env --listen 127.0.0.1:0 &
      For scripts: wait for the file, then `. ./devnet.env`; `kill %1` stops it.
  golem-tasks devnet --config examples/devnet/misbehaving.toml --commands
      Providers that die, cheat and fail; and a line for every command.
  golem-tasks devnet --json | jq 'select(.type == \"invoice\")'
      One JSON object a line.
  golem-tasks devnet --join http://127.0.0.1:7465 --app-key KEY --network hoodi
      The same providers, but selling through a real yagna daemon.

Commands run as programs of this machine, in a sandbox where Linux allows it:
docs/devnet-sandbox.md. Nobody is paid. Ctrl+C ends the devnet and all that
runs in it; a second one exits at once.";

#[derive(Debug, Clone, Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct DevnetFlags {
    /// Honest providers with made-up names, machines and prices [default: 3; with --config none]
    #[arg(long, value_name = "N", help_heading = PROVIDING,
          value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_PROVIDERS)))]
    providers: Option<u32>,
    /// Providers one by one, and how they misbehave; docs/devnet.md explains the file. Flags win over it.
    #[arg(long, value_name = "FILE", help_heading = PROVIDING, value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Their prices in GLM: start=0.01,cpu-hour=0.06,env-hour=0.02; what is left out is free.
    ///
    /// It holds for those that name no prices in the config file.
    #[arg(long, value_name = "PRICES", help_heading = PROVIDING, value_parser = prices)]
    price: Option<Prices>,
    /// Make names, machines, prices, ids and keys the same again [default: random]
    #[arg(long, value_name = "SEED", help_heading = PROVIDING)]
    seed: Option<u64>,
    /// The part of the market where they are [default: public; with --join one that is made up]
    #[arg(long, value_name = "NAME", help_heading = PROVIDING)]
    subnet: Option<String>,
    /// The payment driver that they take [default: erc20]
    #[arg(long, value_name = "NAME", help_heading = PROVIDING)]
    driver: Option<String>,
    /// The chain that they want to be paid on; no chain is touched [default: hoodi]
    #[arg(long, value_name = "NAME", help_heading = PROVIDING)]
    network: Option<String>,

    /// The address of the daemon's REST API; with port 0 the system chooses a free one [default: 127.0.0.1:7465]
    #[arg(long, value_name = "ADDRESS", help_heading = DAEMON)]
    listen: Option<SocketAddr>,
    /// The app key of a requestor; can be given several times [default: one that is made up]
    ///
    /// With --join a key of the daemon: providers sell in the name of its identity, with several keys in turn.
    #[arg(long, value_name = "KEY", help_heading = DAEMON, value_parser = app_key)]
    app_key: Vec<AppKey>,
    /// The delays of the daemon [default: realistic]
    #[arg(long, value_name = "HOW", help_heading = DAEMON)]
    delays: Option<PaceFlag>,
    /// Sell through this real yagna daemon, such as http://127.0.0.1:7465, instead of an emulated one
    ///
    /// Commands are programs of this machine, whoever buys: so the providers are on a subnet of their own.
    #[arg(long, value_name = "URL", help_heading = DAEMON, requires = "app_key",
          conflicts_with_all = ["listen", "delays"])]
    join: Option<String>,
    /// That daemon's bus [env: GSB_URL] [default: unix:/tmp/yagna.sock]
    #[arg(long, value_name = "URL", help_heading = DAEMON, requires = "join")]
    gsb_url: Option<GsbAddress>,

    /// Write the environment to this file too, once the devnet can be used.
    #[arg(long, value_name = "FILE", help_heading = TOLD, value_hint = ValueHint::FilePath)]
    env_file: Option<PathBuf>,
    /// Write the network's books to this file when SIGUSR1 comes, and at the end: agreements, activities, commands, bills.
    ///
    /// One JSON object, the file whole or not at all; docs/json-output.md explains it.
    #[arg(long, value_name = "FILE", help_heading = TOLD, value_hint = ValueHint::FilePath,
          conflicts_with = "join")]
    books: Option<PathBuf>,
    /// Tell of every command, too.
    #[arg(long, help_heading = TOLD)]
    commands: bool,
    /// Write one JSON object a line to standard output; docs/json-output.md explains them.
    #[arg(long, help_heading = TOLD)]
    json: bool,
    /// Tell nothing but the environment.
    #[arg(short, long, help_heading = TOLD)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PaceFlag {
    /// As long as a real daemon.
    Realistic,
    /// Everything at once; nothing is ever paid, only accepted.
    None,
}

/// The errors of a flag.
#[derive(Debug, thiserror::Error)]
enum OptionError {
    #[error("GSB_URL is wrong")]
    GsbUrl(#[source] GsbAddressError),
    #[error("on the subnet `public` strangers could run their commands on this machine")]
    PublicSubnet,
    #[error("`{0}` must not be empty")]
    Empty(&'static str),
    #[error("an app key is one word of ASCII letters, digits and signs")]
    AppKey,
}

/// Decides everything that is left open.
pub(super) fn resolve(
    flags: &DevnetFlags,
    environment: &dyn Fn(&str) -> Option<String>,
    chance: &mut fastrand::Rng,
) -> Result<DevnetOptions, Failure> {
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
    // Short enough to be typed.
    let seed = flags.seed.or(file.seed).unwrap_or_else(|| chance.u32(..).into());
    let mut app_keys = flags.app_key.clone();
    let (place, subnet) = match &flags.join {
        None => {
            let listen = flags.listen.or(file.listen);
            let listen = listen.unwrap_or_else(|| LISTEN.parse().expect("it is an address"));
            let pace = flags.delays.map(Pace::from).or(file.pace).unwrap_or_default();
            (Place::Own { listen, pace }, "public".to_owned())
        }
        Some(api) => {
            let further_keys = app_keys.split_off(1);
            let key = app_keys.remove(0);
            let gsb = gsb_url(flags, environment)?;
            let daemon = DaemonAddress { api: api.trim_end_matches('/').to_owned(), gsb, key };
            (Place::Joined { daemon, further_keys }, format!("devnet-{seed}"))
        }
    };
    let subnet = or(&flags.subnet, file.subnet, "--subnet", &subnet)?;
    let is_public = |subnet: Option<&str>| subnet == Some("public");
    if matches!(place, Place::Joined { .. })
        && (is_public(Some(&subnet))
            || file.described.iter().any(|provider| is_public(provider.config.subnet.as_deref())))
    {
        let advice = "give the subnet another name, and your app the same one";
        return Err(usage(OptionError::PublicSubnet).advise(advice));
    }
    let made_up = if file.described.is_empty() { PROVIDERS } else { 0 };
    Ok(DevnetOptions {
        place,
        providers: flags.providers.or(file.providers).unwrap_or(made_up),
        described: file.described,
        seed,
        prices: flags.price.or(file.prices),
        app_keys,
        subnet,
        driver: or(&flags.driver, file.driver, "--driver", "erc20")?,
        network: or(&flags.network, file.network, "--network", "hoodi")?,
        env_file: flags.env_file.clone(),
        books: flags.books.clone(),
        commands: flags.commands,
        json: flags.json,
        quiet: flags.quiet,
    })
}

fn gsb_url(flags: &DevnetFlags, environment: &dyn Fn(&str) -> Option<String>) -> Result<GsbAddress, Failure> {
    let said = environment("GSB_URL").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match (&flags.gsb_url, said) {
        (Some(flag), _) => Ok(flag.clone()),
        (None, Some(text)) => text.parse().map_err(|error| usage(OptionError::GsbUrl(error))),
        (None, None) => Ok(GsbAddress::default()),
    }
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
