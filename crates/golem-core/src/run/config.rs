//! The settings of a run.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use yagna_api::market::NewDemand;
use yagna_api::payment::Decoration;
use yagna_api::time::after;
use yagna_api::{Glm, Timestamp};

use crate::budget::Budget;
use crate::defaults;
use crate::demand::DemandSpec;
use crate::halt::Halt;
use crate::payload::Payload;
use crate::selection::Selection;
use crate::standing::Records;
use crate::strategy::{LeastExpensive, Strategy};
use crate::terms::TermsPolicy;

/// The behaviour of a run when its budget forbids all that it could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnBudget {
    /// It stops.
    #[default]
    Stop,
    /// It waits until a window of the budget frees enough, then goes on. Where no window will, it stops.
    Pause,
}

impl OnBudget {
    /// The word for it in job files and on command lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Pause => "pause",
        }
    }

    /// The meaning of such a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Stop, Self::Pause].into_iter().find(|one| one.word() == word)
    }
}

/// The settings of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunConfig {
    /// The machine that the work needs.
    pub payload: Payload,
    /// The part of the market to buy on.
    pub subnet: Option<String>,
    /// The requestor's name, as providers see it.
    pub node_name: Option<String>,
    /// The terms to negotiate; they hold the payment platform.
    pub terms: TermsPolicy,
    /// The time for which a provider is asked to wait for the acceptance of a debit note.
    pub accept_timeout: Duration,
    /// The strategy that decides which offers are taken, and which of them first. It is used as it is: no caution is
    /// added to it.
    pub strategy: Arc<dyn Strategy>,
    /// The knowledge of providers from earlier runs; the run's own records go on from there.
    pub known: Records,
    /// The most GLM that a result may cost on average on one provider, once it has worked for a while.
    pub max_price: Option<Glm>,
    /// The time that a provider may work before its results are held against their price.
    pub price_grace: Duration,
    /// Providers that work at the same time, at most.
    pub workers: u32,
    /// The number of retries of a failed task.
    pub retries: u32,
    /// GLM that may be promised, in all or in any hour or day.
    pub budget: Budget,
    /// The reaction when the budget forbids all that could be done.
    pub on_budget: OnBudget,
    /// The longest time that an agreement may last.
    pub expiration: Duration,
    /// The time in which offers are collected before the first agreement.
    pub selection_window: Duration,
    /// The time that a run may wait with nothing running before it gives up.
    pub idle_timeout: Duration,
    /// The time for which an idle provider is kept while tasks elsewhere may still fail and come back.
    pub idle_grace: Duration,
    /// The time for which an agreement without work is kept for the next job. Below the 90 s after which providers end
    /// it; nothing is kept once no more work can come.
    pub hold: Duration,
    /// True if the run stands ready for jobs until it is closed. Otherwise it ends with the last one that it has.
    pub standing: bool,
    /// The run ends as soon as so many tasks have a result; for all of them where this says nothing. Tasks are read only
    /// as far as they may be wanted.
    pub results: Option<u64>,
    /// True if a task that failed where other tasks had run before it is tried next in an activity that nothing has run in: what
    /// they left there may be the reason.
    pub fresh_retries: bool,
    /// The part of the tasks that is to be done, all of them where this says nothing. Not for a run that stands ready for jobs.
    pub only: Option<Arc<Selection>>,
    /// The run stops once so many tasks have failed for good; it bears any number where this says nothing.
    pub halt: Option<Halt>,
    /// The time that running tasks may go on once the run is stopping, and that a worker may take when it is told to
    /// end.
    pub stop_grace: Duration,
    /// The time for which the last bills are awaited.
    pub settle_timeout: Duration,
    /// The time that it may take to stop a provider: the amount that it can bill meanwhile counts as spent.
    pub stop_horizon: Duration,
    /// The interval at which the run explains why nothing runs.
    pub explain_every: Duration,
    /// A run with no more rentals than this looks at everything after each input.
    pub rentals_at_once: u32,
    /// A run with more rentals looks at everything after a pause of so long for each of them; meanwhile it only records what
    /// comes, and hands the next task to whoever asks for one.
    pub pause_per_rental: Duration,
}

impl RunConfig {
    /// The [defaults] for work on this payload, paid on this platform (`driver-network-token`): five providers,
    /// three retries, one GLM in all, agreements of an hour; the least expensive offers first, none above 0.5 GLM for the start or
    /// 5 GLM an hour at full use, providers that failed set behind others.
    pub fn new(payload: Payload, platform: impl Into<String>) -> Self {
        Self {
            payload,
            subnet: Some(defaults::SUBNET.to_owned()),
            node_name: None,
            terms: TermsPolicy::new(platform),
            accept_timeout: Duration::from_secs(120),
            strategy: Arc::new(LeastExpensive::usual().cautious()),
            known: Records::default(),
            max_price: None,
            price_grace: defaults::PRICE_GRACE,
            workers: defaults::WORKERS,
            retries: defaults::RETRIES,
            budget: defaults::BUDGET,
            on_budget: OnBudget::Stop,
            expiration: defaults::EXPIRATION,
            selection_window: Duration::from_secs(1),
            idle_timeout: defaults::IDLE_TIMEOUT,
            idle_grace: Duration::from_secs(5),
            hold: Duration::from_secs(30),
            standing: false,
            results: None,
            fresh_retries: false,
            only: None,
            halt: None,
            stop_grace: defaults::STOP_GRACE,
            settle_timeout: defaults::SETTLE_TIMEOUT,
            // Golem's daemon has been seen to take so long to end an agreement with a provider that hangs.
            stop_horizon: Duration::from_secs(120),
            explain_every: Duration::from_secs(30),
            rentals_at_once: 4,
            pause_per_rental: Duration::from_millis(1),
        }
    }

    /// With this number of providers that work at the same time, at most.
    #[must_use]
    pub fn workers(self, workers: u32) -> Self {
        Self { workers, ..self }
    }

    /// The budget must cover at least so much work of a new activity before it would have to be stopped again: one that
    /// barely fits would be opened and ended over and over, and nothing done.
    pub const LEAST_USE: Duration = Duration::from_secs(10);

    /// The longest pause between two looks at everything. Nothing that must be stopped in time may wait longer.
    pub const LONGEST_PAUSE: Duration = Duration::from_millis(500);

    /// The longest selection window that may end early, once enough offers have come and no more arrive.
    pub const SHORT_WINDOW: Duration = Duration::from_secs(1);

    /// The time without a new offer after which no more are expected in a short selection window.
    pub const QUIET: Duration = Duration::from_millis(200);

    /// No agreement is made that would last less than this: providers refuse those that end within five minutes.
    pub const LEAST_AGREEMENT: Duration = Duration::from_secs(5 * 60 + 30);

    /// A provider's agreement must be in the requestor's hands this long before it expires, or it isn't given
    /// another task.
    pub const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

    /// The time for which money stays reserved after the last moment that an agreement made now can reach.
    pub const ALLOCATION_MARGIN: Duration = Duration::from_secs(24 * 3600);

    /// The time at which an allocation that is made now is to end by itself: a whole number of milliseconds, as daemons
    /// keep it.
    pub fn allocation_end(&self, now: Timestamp) -> Timestamp {
        let end = after(now, self.expiration.saturating_add(Self::ALLOCATION_MARGIN));
        Timestamp::from_millisecond(end.as_millisecond()).unwrap_or(end)
    }

    pub(crate) fn demand(&self, decoration: &Decoration, expires: Timestamp) -> NewDemand {
        DemandSpec {
            payload: &self.payload,
            subnet: self.subnet.as_deref(),
            node_name: self.node_name.as_deref(),
            expires,
            decoration,
            accept_timeout: self.accept_timeout,
        }
        .build()
    }
}
