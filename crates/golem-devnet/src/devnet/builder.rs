//! Sets a devnet up: who sells, who buys, how time and chance run.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::crowd::crowd;
use super::{Devnet, DevnetError};
use crate::clock::DevnetClock;
use crate::node::{Delays, World};
use crate::provider::{Provider, ProviderConfig};
use crate::runtime::{ProcessRuntime, Runtime};

/// Where Golem's test network pays today.
const PLATFORM: &str = "erc20-hoodi-tglm";
/// The part of the market that requestors look at unless they are told otherwise.
const SUBNET: &str = "public";
/// How long a provider may take to publish its offer.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// Sets a devnet up. Made by [`Devnet::builder`].
#[derive(Debug)]
pub struct DevnetBuilder {
    crowd: usize,
    providers: Vec<ProviderConfig>,
    seed: u64,
    clock: Option<DevnetClock>,
    delays: Delays,
    runtime: Option<Arc<dyn Runtime>>,
    platform: String,
    subnet: String,
}

impl DevnetBuilder {
    pub(super) fn new() -> Self {
        Self {
            crowd: 0,
            providers: Vec::new(),
            seed: 0,
            clock: None,
            delays: Delays::none(),
            runtime: None,
            platform: PLATFORM.into(),
            subnet: SUBNET.into(),
        }
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

    /// Starts the devnet; when it returns, every provider's offer is on the market.
    ///
    /// Must be called within a tokio runtime. Dropping the future ends what it has started.
    pub async fn start(mut self) -> Result<Devnet, DevnetError> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let taken: Vec<_> = self.providers.iter().map(|config| config.name.clone()).collect();
        let made_up = crowd(self.crowd, &mut random, &taken);
        self.providers.extend(made_up);
        let mut names = HashSet::new();
        if let Some(config) = self.providers.iter().find(|config| !names.insert(config.name.clone())) {
            return Err(DevnetError::SameName(config.name.clone()));
        }
        let clock = self.clock.unwrap_or_else(DevnetClock::real);
        let world = World::new(clock.clone(), random.u64(..), self.delays);
        let requestor = world.add_requestor("requestor");
        let runtime = self.runtime.unwrap_or_else(|| Arc::new(ProcessRuntime::default()));
        let mut providers = Vec::with_capacity(self.providers.len());
        for mut config in self.providers {
            config.subnet.get_or_insert_with(|| self.subnet.clone());
            if config.platforms.is_empty() {
                config.platforms.push(self.platform.clone());
            }
            let port = Arc::new(world.add_provider(&config.name));
            providers.push(Provider::start(config, port, Arc::new(clock.clone()), Arc::clone(&runtime)));
        }
        for provider in &providers {
            let handle = provider.handle();
            if timeout(READY_PATIENCE, handle.published()).await.is_err() {
                return Err(DevnetError::NoOffer(handle.name().to_owned()));
            }
        }
        Ok(Devnet::new(world, requestor, self.platform, self.subnet, providers))
    }
}
