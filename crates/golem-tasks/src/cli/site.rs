//! The flags of commands that ask a daemon something and buy nothing: which daemon, and which part of its market.

#![expect(clippy::doc_markdown, reason = "these comments are the text of --help")]

use clap::Args as ClapArgs;
use golem_sdk::connect::API_URL;
use golem_sdk::defaults::{DRIVER, NETWORK, SUBNET};
use yagna_api::AppKey;
use yagna_client::ApiUrls;

use super::platform::{self, DEVNET_PROVIDERS};
use super::values;
use crate::exit::{Exit, Failure};
use crate::options::{DaemonChoice, Site, api_url, app_key};

/// Stands for a key where there is none: a daemon refuses it.
const NO_KEY: &str = "no-key";

#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct SiteFlags {
    /// Ask an emulated network inside this program.
    #[arg(long)]
    devnet: bool,
    /// The part of the market [env: YAGNA_SUBNET] [default: public]
    #[arg(long, value_name = "NAME")]
    subnet: Option<String>,
    /// The chain to pay on [env: YAGNA_PAYMENT_NETWORK, PAYMENT_NETWORK] [default: hoodi]
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// The payment driver [env: YAGNA_PAYMENT_DRIVER] [default: erc20]
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// The yagna daemon's address [env: YAGNA_API_URL] [default: http://127.0.0.1:7465]
    #[arg(long, value_name = "URL", conflicts_with = "devnet")]
    api_url: Option<String>,
    /// A key of the daemon [env: YAGNA_APPKEY]
    #[arg(long, value_name = "KEY", value_parser = values::app_key, conflicts_with = "devnet")]
    app_key: Option<AppKey>,
    /// The number of providers on the emulated network [default: 3]
    #[arg(long, value_name = "N", requires = "devnet", value_parser = clap::value_parser!(u32).range(1..=1000))]
    devnet_providers: Option<u32>,
}

impl SiteFlags {
    /// True if the emulated network is meant.
    pub(super) fn is_devnet(&self) -> bool {
        self.devnet
    }

    /// The place that is meant. Without a key it is refused.
    pub(super) fn site(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Site, Failure> {
        let (site, has_key) = self.keyless_site(environment)?;
        if !has_key {
            app_key(None)?;
        }
        Ok(site)
    }

    /// The place that is meant, and true if there is a key for it.
    pub(super) fn keyless_site(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Site, bool), Failure> {
        let named = Named {
            devnet: self.devnet.then_some((self.devnet_providers, None)),
            subnet: self.subnet.as_ref(),
            driver: self.driver.as_ref(),
            network: self.network.as_ref(),
            api_url: self.api_url.as_ref(),
            app_key: self.app_key.as_ref(),
        };
        let Platform { subnet, driver, network } = named.platform(environment)?;
        let key = named.key(environment);
        let has_key = self.devnet || key.is_some();
        let daemon = named.daemon(environment, || Ok(key.unwrap_or_else(|| AppKey::new(NO_KEY))))?;
        Ok((Site { daemon, subnet, driver, network }, has_key))
    }
}

/// The flags that name a place, of whichever command; the environment names what they leave out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'f> {
    /// The number of providers and the seed of an emulated network, if that is meant.
    pub(super) devnet: Option<(Option<u32>, Option<u64>)>,
    pub(super) subnet: Option<&'f String>,
    pub(super) driver: Option<&'f String>,
    pub(super) network: Option<&'f String>,
    pub(super) api_url: Option<&'f String>,
    pub(super) app_key: Option<&'f AppKey>,
}

/// A part of the market, and how to pay there.
#[derive(Debug)]
pub(super) struct Platform {
    pub(super) subnet: String,
    pub(super) driver: String,
    pub(super) network: String,
}

impl Named<'_> {
    /// The part of the market and the payment platform, which must be known ones.
    pub(super) fn platform(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Platform, Failure> {
        let networks = ["YAGNA_PAYMENT_NETWORK", "PAYMENT_NETWORK"];
        let subnet = choose(environment, self.subnet, "--subnet", &["YAGNA_SUBNET"], SUBNET)?;
        let driver = choose(environment, self.driver, "--driver", &["YAGNA_PAYMENT_DRIVER"], DRIVER)?;
        let network = choose(environment, self.network, "--network", &networks, NETWORK)?;
        platform::check(&driver, &network)?;
        Ok(Platform { subnet, driver, network })
    }

    /// The key that is named; none where it is empty.
    pub(super) fn key(&self, environment: &dyn Fn(&str) -> Option<String>) -> Option<AppKey> {
        let key = self.app_key.cloned().or_else(|| value(environment, "YAGNA_APPKEY").map(AppKey::new));
        key.filter(|key| !key.expose().is_empty())
    }

    /// The daemon, with the key that `key` gives for it.
    pub(super) fn daemon(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
        key: impl FnOnce() -> Result<AppKey, Failure>,
    ) -> Result<DaemonChoice, Failure> {
        if let Some((providers, seed)) = self.devnet {
            if !cfg!(feature = "devnet") {
                return Err(Failure::new(Exit::Usage, SiteError::NoDevnet));
            }
            return Ok(DaemonChoice::Devnet { providers: providers.unwrap_or(DEVNET_PROVIDERS), seed });
        }
        let url = choose(environment, self.api_url, "--api-url", &["YAGNA_API_URL"], API_URL)?;
        let apis = ApiUrls::read(|name: &str| value(environment, name));
        Ok(DaemonChoice::Yagna {
            url: api_url(&url)?,
            apis: apis.map_err(|error| Failure::new(Exit::Usage, error))?.into(),
            app_key: app_key(Some(key()?))?,
        })
    }
}

/// The errors of these flags.
#[derive(Debug, thiserror::Error)]
enum SiteError {
    #[error("`{0}` must not be empty")]
    Empty(&'static str),
    #[error("this golem-tasks was built without the devnet")]
    NoDevnet,
}

/// The value of a flag, or else of the first variable that has one, or else the default.
fn choose(
    environment: &dyn Fn(&str) -> Option<String>,
    flag: Option<&String>,
    name: &'static str,
    variables: &[&str],
    default: &str,
) -> Result<String, Failure> {
    let chosen = flag.cloned().or_else(|| variables.iter().find_map(|variable| value(environment, variable)));
    match chosen {
        Some(text) if text.trim().is_empty() => Err(Failure::new(Exit::Usage, SiteError::Empty(name))),
        Some(text) => Ok(text.trim().to_owned()),
        None => Ok(default.to_owned()),
    }
}

/// The value of a variable, unless it is empty.
fn value(environment: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    environment(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
