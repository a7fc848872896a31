//! The settings of a run beside its work.

use std::time::Duration;

use golem_core::run::RunConfig;
use yagna_api::AppSessionId;

/// The settings of a run beside its work.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunOptions {
    /// The settings of the decisions.
    pub config: RunConfig,
    /// The payment driver, such as `erc20`.
    pub driver: String,
    /// The chain to pay on, such as `hoodi`.
    pub network: String,
    /// The session under which the daemon keeps the run's agreements; the same for the same run, always.
    pub session: AppSessionId,
    /// The time limits of phases.
    pub timing: Timing,
}

impl RunOptions {
    /// A run that keeps to `config`, pays with this driver on this network and is known to the daemon by `session`.
    pub fn new(
        config: RunConfig,
        driver: impl Into<String>,
        network: impl Into<String>,
        session: AppSessionId,
    ) -> Self {
        let (driver, network) = (driver.into(), network.into());
        Self { config, driver, network, session, timing: Timing::default() }
    }

    /// With these times for the phases of a rental.
    #[must_use]
    pub fn timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// The payment platform's name: `erc20-hoodi-tglm`.
    pub fn platform(&self) -> String {
        platform(&self.driver, &self.network)
    }
}

/// The name of the payment platform of a driver on a network: `glm` where it is money, `tglm` elsewhere.
pub fn platform(driver: &str, network: &str) -> String {
    let token = if matches!(network, "mainnet" | "polygon") { "glm" } else { "tglm" };
    format!("{driver}-{network}-{token}")
}

/// The times that each phase of a rental may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// A provider's decision on an agreement.
    pub approval: Duration,
    /// An activity's creation.
    pub creation: Duration,
    /// Its preparation: fetching the image, starting the runtime.
    pub deployment: Duration,
    /// The end of an agreement. The end of an activity is given four seconds of it at the most: its agreement's end follows, and
    /// ends it for certain.
    pub destruction: Duration,
    /// The interval at which the run looks at the clock.
    pub tick: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            approval: Duration::from_secs(60),
            creation: Duration::from_secs(60),
            deployment: Duration::from_secs(10 * 60),
            destruction: Duration::from_secs(15),
            tick: Duration::from_millis(500),
        }
    }
}
