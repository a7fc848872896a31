//! Sets a devnet up: who sells, who buys, how time and chance run.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use yagna_api::AppKey;

use super::crowd::crowd;
use super::{Devnet, DevnetError};
use crate::clock::DevnetClock;
use crate::news::NewsDesk;
use crate::node::{Delays, Requestor, World};
use crate::provider::{Prices, Provider, ProviderConfig};
use crate::runtime::{ProcessRuntime, Runtime};

/// The payment platform that Golem's test network uses today.
const PLATFORM: &str = "erc20-hoodi-tglm";
/// The part of the market that requestors look at unless they are told otherwise.
const SUBNET: &str = "public";
/// The name of the first requestor.
const REQUESTOR: &str = "requestor";
/// The time that a provider may take to publish its offer.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// Sets a devnet up. Made by [`Devnet::builder`].
#[derive(Debug)]
pub struct DevnetBuilder {
    crowd: usize,
    providers: Vec<ProviderConfig>,
    keys: Vec<AppKey>,
    prices: Option<Prices>,
    seed: u64,
    clock: Option<DevnetClock>,
    delays: Delays,
    runtime: Option<Arc<dyn Runtime>>,
    platform: String,
    subnet: String,
    news: NewsDesk,
    initialised: bool,
}

impl DevnetBuilder {
    pub(super) fn new() -> Self {
        Self {
            crowd: 0,
            providers: Vec::new(),
            keys: Vec::new(),
            prices: None,
            seed: 0,
            clock: None,
            delays: Delays::none(),
            runtime: None,
            platform: PLATFORM.into(),
            subnet: SUBNET.into(),
            news: NewsDesk::new(),
            initialised: false,
        }
    }

    /// Adds so many honest providers, made up from the seed.
    #[must_use]
    pub fn providers(self, count: usize) -> Self {
        Self { crowd: self.crowd + count, ..self }
    }

    /// Lets the providers that are made up ask for this; for prices of their own by default.
    #[must_use]
    pub fn prices(self, prices: Prices) -> Self {
        Self { prices: Some(prices), ..self }
    }

    /// Adds one provider.
    #[must_use]
    pub fn provider(mut self, config: ProviderConfig) -> Self {
        self.providers.push(config);
        self
    }

    /// Adds a requestor who has this app key; without any, the devnet has one with a key drawn from the seed.
    #[must_use]
    pub fn app_key(mut self, key: AppKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Draws ids, names, machines and prices from this seed; 0 by default.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Tells the time by this clock; the real hour by default.
    #[must_use]
    pub fn clock(self, clock: DevnetClock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Makes the daemon take its time; it answers at once by default.
    #[must_use]
    pub fn delays(self, delays: Delays) -> Self {
        Self { delays, ..self }
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

    /// Lets the providers tell this desk what happens; whoever has subscribed before hears all of it.
    #[must_use]
    pub fn news(self, desk: NewsDesk) -> Self {
        Self { news: desk, ..self }
    }

    /// Makes the accounts of the requestors it is built with ready to pay on its platform, as users do once for their
    /// daemon (`yagna payment init --sender`); by default an account is listed from its first allocation on.
    #[must_use]
    pub fn accounts_initialised(self) -> Self {
        Self { initialised: true, ..self }
    }

    /// Starts the devnet; when it returns, every provider's offer is on the market.
    ///
    /// Must be called within a tokio runtime. Dropping the future ends what it has started.
    pub async fn start(mut self) -> Result<Devnet, DevnetError> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let taken: Vec<_> = self.providers.iter().map(|config| config.name.clone()).collect();
        let made_up = crowd(self.crowd, &mut random, &taken);
        let priced = |config: ProviderConfig| match self.prices {
            Some(prices) => config.priced(prices),
            None => config,
        };
        self.providers.extend(made_up.into_iter().map(priced));
        let mut names = HashSet::new();
        if let Some(config) = self.providers.iter().find(|config| !names.insert(config.name.clone())) {
            return Err(DevnetError::SameName(config.name.clone()));
        }
        let clock = self.clock.unwrap_or_else(DevnetClock::real);
        let world = World::new(clock.clone(), random.u64(..), self.delays);
        let requestors = requestors(&world, self.keys)?;
        if self.initialised {
            for requestor in &requestors {
                world.initialise_account(&requestor.node, &self.platform);
            }
        }
        let runtime = self.runtime.unwrap_or_else(|| Arc::new(ProcessRuntime::default()));
        let mut providers = Vec::with_capacity(self.providers.len());
        for mut config in self.providers {
            config.subnet.get_or_insert_with(|| self.subnet.clone());
            if config.platforms.is_empty() {
                config.platforms.push(self.platform.clone());
            }
            let port = Arc::new(world.add_provider(&config.name));
            let (clock, runtime) = (Arc::new(clock.clone()), Arc::clone(&runtime));
            providers.push(Provider::start_with_news(config, port, clock, runtime, self.news.clone()));
        }
        for provider in &providers {
            let handle = provider.handle();
            if timeout(READY_PATIENCE, handle.published()).await.is_err() {
                return Err(DevnetError::NoOffer(handle.name().to_owned()));
            }
        }
        Ok(Devnet::new(world, requestors, self.platform, self.subnet, providers, self.news))
    }
}

/// Gives every key its requestor, or makes one up.
fn requestors(world: &World, keys: Vec<AppKey>) -> Result<Vec<Requestor>, DevnetError> {
    if keys.is_empty() {
        return Ok(vec![world.add_requestor(REQUESTOR)]);
    }
    let named = |(number, key)| {
        let name = if number == 0 { REQUESTOR.to_owned() } else { format!("{REQUESTOR}-{}", number + 1) };
        world.add_requestor_with_key(&name, key).ok_or(DevnetError::SameKey)
    };
    keys.into_iter().enumerate().map(named).collect()
}
