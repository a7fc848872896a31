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
        let environment =
            |name: &str| environment(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let choose = |flag: &Option<String>, variables: &[&str], default: &str| {
            let flag = flag.clone().filter(|text| !text.trim().is_empty());
            flag.or_else(|| variables.iter().find_map(|name| environment(name)))
                .unwrap_or_else(|| default.to_owned())
        };
        let driver = choose(&self.driver, &["YAGNA_PAYMENT_DRIVER"], DRIVER);
        let network = choose(&self.network, &["YAGNA_PAYMENT_NETWORK", "PAYMENT_NETWORK"], NETWORK);
        platform::check(&driver, &network)?;
        let mut has_key = true;
        let daemon = if self.devnet {
            DaemonChoice::Devnet { providers: self.devnet_providers.unwrap_or(DEVNET_PROVIDERS), seed: None }
        } else {
            let key = self.app_key.clone().or_else(|| environment("YAGNA_APPKEY").map(AppKey::new));
            has_key = key.as_ref().is_some_and(|key| !key.expose().is_empty());
            let app_key = if has_key { app_key(key)? } else { AppKey::new(NO_KEY) };
            DaemonChoice::Yagna {
                url: api_url(&choose(&self.api_url, &["YAGNA_API_URL"], API_URL))?,
                apis: ApiUrls::read(environment).map_err(|error| Failure::new(Exit::Usage, error))?.into(),
                app_key,
            }
        };
        Ok((
            Site { daemon, subnet: choose(&self.subnet, &["YAGNA_SUBNET"], SUBNET), driver, network },
            has_key,
        ))
    }
}
