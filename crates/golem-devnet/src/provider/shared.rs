//! The state that all tasks of one provider share: its settings, its daemon, its clock, its switches, its exe-units.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tracing::warn;
use yagna_api::{ActivityId, Clock, OfferId};

use super::config::ProviderConfig;
use super::manners::Manners;
use super::saboteur::Saboteur;
use crate::exe_unit::ExeUnit;
use crate::news::{OpenBills, Reporter};
use crate::port::Port;

/// The time that an exe-unit may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// One provider, as its tasks see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<ProviderConfig>,
    pub(crate) port: Arc<dyn Port>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) manners: Manners,
    pub(crate) runtime: Saboteur,
    pub(crate) news: Reporter,
    pub(crate) bills: OpenBills,
    units: Mutex<HashMap<ActivityId, Arc<ExeUnit>>>,
    /// The offer that was published last, in whichever life.
    last_offer: Mutex<Option<OfferId>>,
}

/// An exe-unit that is being ended. Where its provider dies meanwhile, it is one of those that die with it.
struct Ending<'s> {
    shared: &'s Shared,
    unit: Option<Arc<ExeUnit>>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if let Some(unit) = self.unit.take() {
            self.shared.keep_unit(unit);
        }
    }
}

impl Shared {
    pub(crate) fn new(
        config: Arc<ProviderConfig>,
        port: Arc<dyn Port>,
        clock: Arc<dyn Clock>,
        manners: Manners,
        runtime: Saboteur,
        news: Reporter,
    ) -> Self {
        Self {
            config,
            port,
            clock,
            manners,
            runtime,
            news,
            bills: OpenBills::default(),
            units: Mutex::default(),
            last_offer: Mutex::default(),
        }
    }

    /// Remembers the offer that is on the market, and gives the one before it.
    pub(crate) fn replace_offer(&self, offer: Option<OfferId>) -> Option<OfferId> {
        std::mem::replace(&mut *self.last_offer.lock().unwrap_or_else(PoisonError::into_inner), offer)
    }

    /// Keeps an exe-unit until its activity is over or the provider is.
    pub(crate) fn keep_unit(&self, unit: Arc<ExeUnit>) {
        self.units().insert(unit.activity().clone(), unit);
    }

    /// Ends an activity's exe-unit in good order.
    pub(crate) async fn stop_unit(&self, activity: &ActivityId, reason: Option<String>) {
        let unit = self.units().remove(activity);
        let Some(unit) = unit else { return };
        let mut ending = Ending { shared: self, unit: Some(Arc::clone(&unit)) };
        if timeout(STOP_PATIENCE, unit.stop(reason)).await.is_err() {
            warn!(%activity, "the exe-unit didn't end in time");
        }
        ending.unit = None;
    }

    /// Ends all exe-units in good order.
    pub(crate) async fn stop_units(&self, reason: &str) {
        let activities: Vec<_> = self.units().keys().cloned().collect();
        join_all(activities.iter().map(|activity| self.stop_unit(activity, Some(reason.to_owned())))).await;
    }

    /// Kills all exe-units: their agent hears of it, and who waits for their results doesn't.
    pub(crate) async fn kill_units(&self) {
        let units: Vec<_> = self.units().values().cloned().collect();
        join_all(units.iter().map(|unit| unit.kill())).await;
    }

    /// Ends all exe-units as a power cut does: nobody is told anything.
    pub(crate) async fn drop_units(&self) {
        let units = std::mem::take(&mut *self.units());
        self.runtime.forget_all();
        for (activity, unit) in units {
            drop(unit);
            self.port.unbind_exe_unit(&activity).await;
        }
    }

    fn units(&self) -> MutexGuard<'_, HashMap<ActivityId, Arc<ExeUnit>>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
