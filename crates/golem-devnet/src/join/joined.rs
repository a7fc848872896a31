//! Providers at a real daemon, put together and ended as a whole: a [`Devnet`](crate::devnet::Devnet) without its node.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};
use yagna_api::AppKey;

use super::JoinError;
use super::address::DaemonAddress;
use super::port::DaemonPort;
use crate::clock::DevnetClock;
use crate::devnet::crowd::crowd;
use crate::news::NewsDesk;
use crate::provider::{Prices, Provider, ProviderConfig, ProviderHandle};
use crate::runtime::{ProcessRuntime, Runtime};

/// The payment platform that Golem's test network uses today.
const PLATFORM: &str = "erc20-hoodi-tglm";
/// The part of the market that requestors look at unless they are told otherwise.
const SUBNET: &str = "public";
/// The time that the providers may take to publish their offers.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// Providers that sell through a real daemon.
///
/// Dropping it ends everything at once, processes included; [`Joined::stop`] is the orderly end.
///
/// # Example
/// ```no_run
/// use golem_devnet::join::{DaemonAddress, GsbAddress, Joined};
/// use golem_devnet::provider::ProviderConfig;
/// use yagna_api::AppKey;
///
/// # async fn sell() -> Result<(), Box<dyn std::error::Error>> {
/// let daemon = DaemonAddress {
///     api: "http://127.0.0.1:7465".into(),
///     gsb: GsbAddress::default(),
///     key: AppKey::new("a-key"),
/// };
/// let joined = Joined::builder(daemon).provider(ProviderConfig::new("ada")).providers(2).start().await?;
/// assert_eq!(joined.providers().count(), 3);
/// joined.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Joined {
    providers: Vec<Provider>,
    platform: String,
    subnet: String,
}

impl Joined {
    /// Begins to set providers up at a daemon.
    pub fn builder(daemon: DaemonAddress) -> JoinedBuilder {
        JoinedBuilder {
            daemon,
            keys: Vec::new(),
            crowd: 0,
            providers: Vec::new(),
            seed: 0,
            runtime: None,
            platform: PLATFORM.into(),
            subnet: SUBNET.into(),
            prices: None,
            news: NewsDesk::new(),
        }
    }

    /// A provider by its name.
    pub fn provider(&self, name: &str) -> Option<&ProviderHandle> {
        self.providers().find(|provider| provider.name() == name)
    }

    /// All the providers.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderHandle> {
        self.providers.iter().map(Provider::handle)
    }

    /// The payment platform of the providers.
    pub fn payment_platform(&self) -> &str {
        &self.platform
    }

    /// The part of the market where they are.
    pub fn subnet(&self) -> &str {
        &self.subnet
    }

    /// Ends it: offers are withdrawn, exe-units are stopped, agreements are left to their requestors.
    ///
    /// Every task and every process has ended when it returns, after half a minute at most.
    pub async fn stop(mut self) {
        join_all(self.providers.drain(..).map(Provider::stop)).await;
    }
}

/// Sets providers up at a real daemon. Made by [`Joined::builder`].
#[derive(Debug)]
pub struct JoinedBuilder {
    daemon: DaemonAddress,
    keys: Vec<AppKey>,
    crowd: usize,
    providers: Vec<ProviderConfig>,
    seed: u64,
    runtime: Option<Arc<dyn Runtime>>,
    platform: String,
    subnet: String,
    prices: Option<Prices>,
    news: NewsDesk,
}

impl JoinedBuilder {
    /// Lets providers sell in the name of this key's identity too: they are dealt out over all keys in turn.
    #[must_use]
    pub fn key(mut self, key: AppKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds so many honest providers, made up from the seed.
    #[must_use]
    pub fn providers(self, count: usize) -> Self {
        Self { crowd: self.crowd + count, ..self }
    }

    /// Adds one provider.
    #[must_use]
    pub fn provider(mut self, config: ProviderConfig) -> Self {
        self.providers.push(config);
        self
    }

    /// Draws names, machines and prices from this seed; 0 by default.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Runs commands by this; by default they are processes of this machine.
    #[must_use]
    pub fn runtime(self, runtime: impl Runtime + 'static) -> Self {
        Self { runtime: Some(Arc::new(runtime)), ..self }
    }

    /// Lets providers be paid on this platform, `driver-network-token`; on `erc20-hoodi-tglm` by default.
    #[must_use]
    pub fn payment_platform(self, platform: impl Into<String>) -> Self {
        Self { platform: platform.into(), ..self }
    }

    /// Puts providers into this part of the market; `public` by default.
    #[must_use]
    pub fn subnet(self, subnet: impl Into<String>) -> Self {
        Self { subnet: subnet.into(), ..self }
    }

    /// Lets the providers that are made up ask for this; for prices of their own by default.
    #[must_use]
    pub fn prices(self, prices: Prices) -> Self {
        Self { prices: Some(prices), ..self }
    }

    /// Lets the providers tell this desk what happens; whoever has subscribed before hears all of it.
    #[must_use]
    pub fn news(self, desk: NewsDesk) -> Self {
        Self { news: desk, ..self }
    }

    /// Connects and starts; when it returns, the daemon has every provider's offer.
    ///
    /// Must be called within a tokio runtime. Dropping the future ends what it has started.
    pub async fn start(mut self) -> Result<Joined, JoinError> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let taken: Vec<_> = self.providers.iter().map(|config| config.name.clone()).collect();
        let made_up = crowd(self.crowd, &mut random, &taken);
        self.providers.extend(made_up.into_iter().map(|config| match self.prices {
            Some(prices) => config.priced(prices),
            None => config,
        }));
        let mut names = HashSet::new();
        if let Some(config) = self.providers.iter().find(|config| !names.insert(config.name.clone())) {
            return Err(JoinError::SameName(config.name.clone()));
        }
        let first = DaemonPort::connect(self.daemon).await?;
        let mut others = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            others.push(Arc::new(first.with_key(key).await?));
        }
        let ports: Vec<_> = std::iter::once(Arc::new(first)).chain(others).collect();
        let runtime = self.runtime.unwrap_or_else(|| Arc::new(ProcessRuntime::default()));
        let clock = Arc::new(DevnetClock::real());
        let mut providers = Vec::with_capacity(self.providers.len());
        for (mut config, port) in self.providers.into_iter().zip(ports.iter().cycle()) {
            config.subnet.get_or_insert_with(|| self.subnet.clone());
            if config.platforms.is_empty() {
                config.platforms.push(self.platform.clone());
            }
            let (port, clock) = (Arc::clone(port), Arc::clone(&clock));
            let runtime = Arc::clone(&runtime);
            providers.push(Provider::start_with_news(config, port, clock, runtime, self.news.clone()));
        }
        let deadline = Instant::now() + READY_PATIENCE;
        for provider in &providers {
            let handle = provider.handle();
            if timeout_at(deadline, handle.published()).await.is_err() {
                return Err(JoinError::NoOffer(handle.name().to_owned()));
            }
        }
        Ok(Joined { providers, platform: self.platform, subnet: self.subnet })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::join::GsbAddress;

    fn nowhere() -> DaemonAddress {
        DaemonAddress { api: "http://127.0.0.1:1".into(), gsb: GsbAddress::default(), key: AppKey::new("k") }
    }

    #[tokio::test]
    async fn names_are_told_apart_before_anybody_is_asked() {
        let twins = Joined::builder(nowhere())
            .provider(ProviderConfig::new("ada"))
            .provider(ProviderConfig::new("ada"))
            .providers(2);
        assert!(matches!(twins.start().await, Err(JoinError::SameName(name)) if name == "ada"));
        let alone = Joined::builder(nowhere()).provider(ProviderConfig::new("ada")).providers(2);
        assert!(matches!(alone.start().await, Err(JoinError::NoDaemon { .. })));
    }
}
