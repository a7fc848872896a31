//! The facts about an activity: its usage, its state, and its cost so far.

use golem_core::pricing::Pricing;
use yagna_api::activity::{ActivityState, GetState, GetUsage};
use yagna_api::market::{Agreement, GetAgreement};
use yagna_api::properties::name;
use yagna_api::{Glm, Timestamp};

use super::WorkContext;
use super::error::ScriptError;

/// The usage of an activity, as its provider last reported it.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// The counters and their values, in the agreement's order. Empty before the first report.
    pub counters: Vec<(String, f64)>,
    /// The time of the report, to the second.
    pub at: Timestamp,
}

impl Usage {
    /// A counter by its name.
    pub fn get(&self, counter: &str) -> Option<f64> {
        self.counters.iter().find(|(name, _)| name == counter).map(|(_, value)| *value)
    }

    /// Seconds since the activity began.
    pub fn duration(&self) -> Option<f64> {
        self.get(name::USAGE_DURATION)
    }

    /// Seconds of CPU, over all threads.
    pub fn cpu(&self) -> Option<f64> {
        self.get(name::USAGE_CPU)
    }
}

impl WorkContext {
    /// Reads the usage of the activity so far, as its provider last reported it.
    ///
    /// **Errors**: [`ScriptError::Daemon`] when the daemon can't tell. Like all that is asked of an activity here, it can be
    /// asked while a batch runs, and is cancel safe.
    #[doc(alias = "get_usage")]
    pub async fn usage(&self) -> Result<Usage, ScriptError> {
        let terms = self.terms().await?;
        let usage = self.inner.client.call(&GetUsage(self.inner.activity.clone())).await?;
        let names = terms.offer.properties.get(name::USAGE_VECTOR);
        let names = names.and_then(|names| names.as_array()).map(Vec::as_slice).unwrap_or_default();
        let names = names.iter().map(|name| name.as_str().unwrap_or_default().to_owned());
        Ok(Usage {
            counters: names.zip(usage.current_usage.unwrap_or_default()).collect(),
            at: Timestamp::from_second(usage.timestamp).unwrap_or_default(),
        })
    }

    /// Reads the agreement with the provider: both sides' properties, prices and times. It is asked for once, the first
    /// time.
    ///
    /// **Errors**: [`ScriptError::Daemon`] when the daemon can't tell.
    pub async fn terms(&self) -> Result<&Agreement, ScriptError> {
        let ask = || async { self.inner.client.call(&GetAgreement(self.inner.agreement.clone())).await };
        Ok(self.inner.terms.get_or_try_init(ask).await?)
    }

    /// Reads the state of the activity, as its provider reports it.
    ///
    /// **Errors**: [`ScriptError::Daemon`] when the daemon or the provider can't tell.
    #[doc(alias = "get_raw_state")]
    pub async fn state(&self) -> Result<ActivityState, ScriptError> {
        Ok(self.inner.client.call(&GetState(self.inner.activity.clone())).await?)
    }

    /// Computes the cost of the reported usage by the agreement's prices, exactly; before the first report the price of
    /// the start.
    ///
    /// It is what the provider may bill for by now, not what it has billed. What is less than the smallest part of a
    /// GLM is left out, as providers do.
    ///
    /// **Errors**: [`ScriptError::Prices`], or [`ScriptError::Unpriced`] when the usage does not fit them, and as
    /// [`WorkContext::usage`].
    ///
    /// # Example
    /// ```
    /// # use golem_sdk::{ScriptError, WorkContext};
    /// async fn told(ctx: &WorkContext) -> Result<String, ScriptError> {
    ///     let seconds = ctx.usage().await?.duration().unwrap_or_default();
    ///     Ok(format!("{} GLM for {seconds:.0} s on {}", ctx.cost().await?, ctx.provider_name()))
    /// }
    /// ```
    #[doc(alias = "get_cost")]
    pub async fn cost(&self) -> Result<Glm, ScriptError> {
        let pricing = Pricing::read(&self.terms().await?.offer.properties).map_err(ScriptError::Prices)?;
        let usage = self.inner.client.call(&GetUsage(self.inner.activity.clone())).await?;
        let cost = match &usage.current_usage {
            None => Some(pricing.start),
            Some(usage) => pricing.cost(usage),
        };
        cost.and_then(Glm::from_decimal_rounding_down).ok_or(ScriptError::Unpriced)
    }
}
