//! The configuration of one provider: its machine, its prices and its rules. How it misbehaves is [`Behaviour`]'s
//! business.

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::prelude::FromPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};
use yagna_api::Glm;
use yagna_api::properties::name;

use super::Behaviour;
use crate::runtime::Runtime;

/// The usage counters that every devnet provider has, in the usual order of their prices.
pub(crate) const USAGE_VECTOR: [&str; 2] = [name::USAGE_DURATION, name::USAGE_CPU];

/// One provider, as it would be set up on its owner's machine.
///
/// # Example
/// ```
/// use golem_devnet::provider::{Prices, ProviderConfig};
///
/// let config = ProviderConfig {
///     prices: Prices::per_hour("0.0", "0.1", "0.02")?,
///     ..ProviderConfig::new("adalbert")
/// };
/// assert_eq!(config.hardware.threads, 4);
/// # Ok::<(), yagna_api::money::GlmError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its display name, unique in its devnet.
    pub name: String,
    /// The hardware that it offers.
    pub hardware: Hardware,
    /// The GPUs that it says it has. There are none: its commands are programs of this machine.
    pub gpu: Option<OfferedGpu>,
    /// Its runtime's name; `vm` runs images.
    pub runtime_name: String,
    /// Its runtime's version.
    pub runtime_version: String,
    /// The capabilities of its runtime.
    pub capabilities: Vec<String>,
    /// The part of the market it offers itself to; `None` is the devnet's.
    pub subnet: Option<String>,
    /// The prices that it asks for.
    pub prices: Prices,
    /// Its offer counts CPU time before duration, in its usage vector and in its prices; as a rule duration comes first.
    pub cpu_first: bool,
    /// Usage counters of its own, with the price of a unit of each; its runtime must know them.
    pub counters: Vec<(String, Glm)>,
    /// The platforms on which it can be paid; none at all means the devnet's platform.
    pub platforms: Vec<String>,
    /// The terms that it agrees to.
    pub limits: Limits,
    /// The ways in which it deviates from an honest provider.
    pub behaviour: Behaviour,
    /// The runtime that runs its commands; `None` is the devnet's.
    pub runtime: Option<Arc<dyn Runtime>>,
}

impl ProviderConfig {
    /// An honest provider of usual size and price.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            hardware: Hardware::default(),
            gpu: None,
            runtime_name: "vm".into(),
            runtime_version: "0.5.3".into(),
            capabilities: ["inet", "vpn", "manifest-support", "start-entrypoint"].map(String::from).into(),
            subnet: None,
            prices: Prices::default(),
            cpu_first: false,
            counters: Vec::new(),
            platforms: Vec::new(),
            limits: Limits::default(),
            behaviour: Behaviour::default(),
            runtime: None,
        }
    }

    /// Gives the provider another behaviour.
    #[must_use]
    pub fn behaving(self, behaviour: Behaviour) -> Self {
        Self { behaviour, ..self }
    }

    /// Gives the provider other prices.
    #[must_use]
    pub fn priced(self, prices: Prices) -> Self {
        Self { prices, ..self }
    }

    /// Gives the provider GPUs, and the runtime that has some.
    #[must_use]
    pub fn with_gpu(mut self, gpu: OfferedGpu) -> Self {
        self.gpu = Some(gpu);
        "vm-nvidia".clone_into(&mut self.runtime_name);
        self.capabilities.push("!exp:gpu".to_owned());
        self
    }

    /// Gives the provider one more usage counter of its own, with the price of a unit.
    #[must_use]
    pub fn counting(mut self, counter: impl Into<String>, price: Glm) -> Self {
        self.counters.push((counter.into(), price));
        self
    }

    /// The usage counters, in the order of the prices.
    pub(crate) fn usage_vector(&self) -> Vec<String> {
        let own = self.counters.iter().map(|(counter, _)| counter.clone());
        self.ordered(USAGE_VECTOR).map(String::from).into_iter().chain(own).collect()
    }

    /// The offer's coefficients: a price for each counter, and the start price.
    pub(crate) fn coefficients(&self) -> Vec<f64> {
        let [duration, cpu, start] = self.prices.coefficients();
        let own = self.counters.iter().map(|(_, price)| short(price.to_decimal()));
        self.ordered([duration, cpu]).into_iter().chain(own).chain([start]).collect()
    }

    /// The values that belong to duration and to CPU time, in the order in which this provider counts them.
    fn ordered<T>(&self, [duration, cpu]: [T; 2]) -> [T; 2] {
        if self.cpu_first { [cpu, duration] } else { [duration, cpu] }
    }
}

/// The hardware that a provider's machine gives to an activity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hardware {
    /// CPU cores.
    pub cores: u32,
    /// CPU threads.
    pub threads: u32,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// Storage in GiB.
    pub storage_gib: f64,
}

impl Default for Hardware {
    fn default() -> Self {
        Self { cores: 2, threads: 4, memory_gib: 8.0, storage_gib: 40.0 }
    }
}

/// The GPUs of a machine, all of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct OfferedGpu {
    /// The model, such as `NVIDIA GeForce RTX 4090`.
    pub model: String,
    /// The memory of each in GiB.
    pub memory_gib: f64,
    /// The number of GPUs.
    pub quantity: u32,
}

/// The prices of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// For each activity, once.
    pub start: Glm,
    /// For each hour of CPU time.
    pub per_cpu_hour: Glm,
    /// For each hour that the activity lasts.
    pub per_env_hour: Glm,
}

impl Prices {
    /// Prices as their owners write them: start, per CPU hour, per hour.
    pub fn per_hour(start: &str, cpu: &str, env: &str) -> Result<Self, yagna_api::money::GlmError> {
        Ok(Self { start: start.parse()?, per_cpu_hour: cpu.parse()?, per_env_hour: env.parse()? })
    }

    /// The offer's coefficients: per second of duration, per second of CPU, start price.
    ///
    /// They have 15 digits at most, so that they are the same number in decimal and in binary form, and that
    /// amounts computed from them are exact.
    pub fn coefficients(&self) -> [f64; 3] {
        let hour = Decimal::from(3600);
        let per_second = |price: Glm| short(price.to_decimal() / hour);
        [per_second(self.per_env_hour), per_second(self.per_cpu_hour), short(self.start.to_decimal())]
    }
}

impl Default for Prices {
    fn default() -> Self {
        let price = |milli: u64| {
            let value = Decimal::from_u64(milli).unwrap_or_default() / Decimal::ONE_THOUSAND;
            Glm::from_decimal_rounding_down(value).unwrap_or_default()
        };
        Self { start: Glm::ZERO, per_cpu_hour: price(60), per_env_hour: price(20) }
    }
}

/// The terms that a provider agrees to. The defaults are those of Golem's own agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Demands that end sooner are refused for good.
    pub min_expiration: Duration,
    /// Demands that end later are refused for now, if the requestor promises to accept debit notes.
    pub max_expiration: Duration,
    /// The longest agreement without a promise to accept debit notes.
    pub max_expiration_without_accept: Duration,
    /// The time for which a debit note may wait for its acceptance.
    pub accept_timeout: Duration,
    /// The interval of debit notes, unless the requestor asks for another one.
    pub debit_note_interval: Duration,
    /// The intervals it lets a requestor ask for.
    pub debit_note_intervals: (Duration, Duration),
    /// The time for which a payable debit note may wait for its payment.
    pub payment_timeout: Duration,
    /// The payment time-outs it lets a requestor ask for.
    pub payment_timeouts: (Duration, Duration),
    /// Demands that last longer must agree to pay as they go.
    pub payments_required_from: Duration,
    /// Agreements at a time.
    pub agreements: usize,
    /// An agreement without an activity for this long is broken.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            min_expiration: 5 * MINUTE,
            max_expiration: 36_525 * DAY,
            max_expiration_without_accept: 30 * MINUTE,
            accept_timeout: 4 * MINUTE,
            debit_note_interval: 2 * MINUTE,
            debit_note_intervals: (Duration::from_secs(1), DAY),
            payment_timeout: 2 * MINUTE,
            payment_timeouts: (Duration::from_secs(1), DAY),
            payments_required_from: 600 * MINUTE,
            agreements: 1,
            idle: Duration::from_secs(90),
        }
    }
}

/// The decimal, rounded to what survives the way through an `f64` unchanged.
fn short(value: Decimal) -> f64 {
    let places = value.round_dp_with_strategy(15, RoundingStrategy::MidpointAwayFromZero);
    let digits = places.round_sf(15).unwrap_or(places).normalize();
    // By way of its text: the nearest binary number, which prints as the same text again.
    digits.to_string().parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use yagna_api::money::decimal_from_f64;

    use super::*;

    #[test]
    fn coefficients_are_the_same_in_decimal_and_in_binary() {
        for (start, cpu, env) in [
            ("0", "0.06", "0.02"),
            ("0.000000000000000001", "0.1", "1"),
            ("1.234567890123456789", "7", "0.000001"),
            ("5", "12345.678901234567", "0.333333333333333333"),
        ] {
            let coefficients = Prices::per_hour(start, cpu, env).unwrap().coefficients();
            for coefficient in coefficients {
                let exact = decimal_from_f64(coefficient).unwrap();
                assert!(exact.normalize().scale() <= 15, "{coefficient} of {start} {cpu} {env}");
                assert_eq!(exact.to_string().parse::<f64>().unwrap().to_bits(), coefficient.to_bits());
            }
        }
        let [env, cpu, start] = Prices::per_hour("0.5", "0.36", "0.036").unwrap().coefficients();
        assert_eq!(
            (env.to_string(), cpu.to_string(), start.to_string()),
            ("0.00001".into(), "0.0001".into(), "0.5".into())
        );
    }
}
