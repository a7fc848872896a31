//! Builds an executor: what it is to keep to, where its daemon is, who hears of what happens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use golem_core::defaults::{self, DRIVER, NETWORK, SUBNET};
use golem_core::event::Event;
use golem_core::run::RunConfig;
use golem_core::standing::Records;
use golem_core::strategy::Strategy;
use golem_core::terms::TermsPolicy;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use yagna_api::{AppKey, AppSessionId, Clock};
use yagna_client::{ApiUrls, Client};

use crate::budget::{Budget, BudgetParseError, IntoBudget, OnBudget};

use super::consumers::Consumers;
use super::error::StartError;
use super::supervise;
use super::watch::Watch;
use super::{Executor, Limits};
use crate::clock::SystemClock;
use crate::connect;
use crate::consumer::EventConsumer;
use crate::context::Witness;
use crate::journal::Journal;
use crate::log::log_summary;
use crate::payload::{PayloadSpec, PreparedPayload};
use crate::run::{Run, RunOptions, Timing, greet, platform};

/// The time by which an agreement may outlast the executor's time-out: its last task may be handed out no later than a
/// minute before its end.
const AGREEMENT_MARGIN: Duration = Duration::from_secs(120);

/// A change of the run's settings.
type Change = Box<dyn FnOnce(&mut RunConfig) + Send>;

/// Settings of an [`Executor`].
#[must_use = "nothing happens before `start`"]
pub struct ExecutorBuilder {
    payload: PayloadSpec,
    client: Option<Client>,
    api_url: Option<String>,
    apis: ApiUrls,
    app_key: Option<AppKey>,
    driver: Option<String>,
    network: Option<String>,
    subnet: Option<String>,
    max_workers: u32,
    budget: Result<Budget, BudgetParseError>,
    on_budget: OnBudget,
    timeout: Duration,
    retries: u32,
    consumers: Vec<Box<dyn EventConsumer>>,
    quiet: bool,
    implicit_start: bool,
    journal: Option<Arc<dyn Journal>>,
    clock: Arc<dyn Clock>,
    timing: Timing,
    heeds_ctrl_c: bool,
    changes: Vec<Change>,
}

impl fmt::Debug for ExecutorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutorBuilder")
            .field("payload", &self.payload)
            .field("max_workers", &self.max_workers)
            .field("budget", &self.budget)
            .field("on_budget", &self.on_budget)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl ExecutorBuilder {
    pub(super) fn new(payload: PayloadSpec) -> Self {
        Self {
            payload,
            client: None,
            api_url: None,
            apis: ApiUrls::default(),
            app_key: None,
            driver: None,
            network: None,
            subnet: None,
            max_workers: defaults::WORKERS,
            budget: Ok(defaults::BUDGET),
            on_budget: OnBudget::default(),
            timeout: defaults::EXPIRATION,
            retries: defaults::RETRIES,
            consumers: Vec::new(),
            quiet: false,
            implicit_start: true,
            journal: None,
            clock: Arc::new(SystemClock),
            timing: Timing::default(),
            heeds_ctrl_c: false,
            changes: Vec::new(),
        }
    }

    /// Providers that work at the same time, at most, for all jobs together. Default: 5.
    pub fn max_workers(self, max_workers: u32) -> Self {
        Self { max_workers, ..self }
    }

    /// The GLM that all jobs together may spend: in all, such as `2` or `0.5`, or in any hour or day, such as `"10,3/h"`.
    /// Default: 1 in all. A value that is not a valid budget is an error of the start.
    pub fn budget(self, budget: impl IntoBudget) -> Self {
        Self { budget: budget.into_budget(), ..self }
    }

    /// Sets the reaction to an exhausted budget: stop, or wait until an hour or day of it frees enough. Default: stop.
    pub fn on_budget(self, on_budget: OnBudget) -> Self {
        Self { on_budget, ..self }
    }

    /// Sets the time that all jobs together may take, from the start on. Default: an hour.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets the number of retries of a failed task. Default: 3.
    pub fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// Starts the executor, works with it, and ends it whatever the outcome of the work: `?` in the work leaves no agreement
    /// open and no bill unsettled.
    ///
    /// # Errors
    /// The error of the start or of the work; where there is none, that of the end.
    ///
    /// **Cancel safety**: where the future is dropped, so is the work, and the end goes on in the background.
    pub async fn run<T>(self, work: impl AsyncFnOnce(&Executor) -> crate::Result<T>) -> crate::Result<T> {
        let (value, _) = self.start().await?.scope(work).await?;
        Ok(value)
    }

    /// The part of the market to buy on. Default: `YAGNA_SUBNET`, or else `public`.
    pub fn subnet_tag(self, subnet: impl Into<String>) -> Self {
        Self { subnet: Some(subnet.into()), ..self }
    }

    /// The payment driver. Default: `YAGNA_PAYMENT_DRIVER`, or else `erc20`.
    pub fn driver(self, driver: impl Into<String>) -> Self {
        Self { driver: Some(driver.into()), ..self }
    }

    /// The chain to pay on. Default: `YAGNA_PAYMENT_NETWORK`, or else `hoodi`, where GLM is for tests.
    pub fn network(self, network: impl Into<String>) -> Self {
        Self { network: Some(network.into()), ..self }
    }

    /// Sets the address of the daemon. Default: `YAGNA_API_URL`, or else `http://127.0.0.1:7465`.
    pub fn api_url(self, url: impl Into<String>) -> Self {
        Self { api_url: Some(url.into()), ..self }
    }

    /// Sets the addresses of single APIs that differ from the daemon's. Default, each for itself: `YAGNA_MARKET_URL`,
    /// `YAGNA_PAYMENT_URL`, `YAGNA_ACTIVITY_URL` and `YAGNA_NET_URL`, or else where the daemon is.
    pub fn api_urls(self, apis: ApiUrls) -> Self {
        Self { apis, ..self }
    }

    /// A key of the daemon. Default: `YAGNA_APPKEY`.
    pub fn app_key(self, key: AppKey) -> Self {
        Self { app_key: Some(key), ..self }
    }

    /// A way to the daemon, such as a devnet's; address and key are part of it.
    pub fn client(self, client: Client) -> Self {
        Self { client: Some(client), ..self }
    }

    /// Calls this with each event, in order, from the first on: an [`EventConsumer`], or by
    /// [`ExecutorBuilder::on_event`] a closure. There may be any number of consumers, each with a queue of its own: one that is slow holds
    /// nobody up, and misses events where it falls thousands of them behind. It mustn't block: it is called on the
    /// async runtime. One that panics is called no more.
    ///
    /// Default, where no consumer is set: [`log_summary`], which writes lines for people to the log.
    pub fn event_consumer(mut self, consumer: impl EventConsumer) -> Self {
        self.consumers.push(Box::new(consumer));
        self
    }

    /// Calls this closure with each event; otherwise as [`ExecutorBuilder::event_consumer`].
    pub fn on_event(self, consumer: impl FnMut(&Event) + Send + 'static) -> Self {
        self.event_consumer(consumer)
    }

    /// Sets no consumer of events by default: the log doesn't tell what happens.
    pub fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// Chooses whether each activity is deployed and started before its worker is called. Otherwise the worker does so
    /// itself, first of all: by [`deploy`](crate::WorkContext::deploy), with networks, and by
    /// [`start`](crate::WorkContext::start), with arguments. A command that comes before them fails. Default: yes.
    #[doc(alias = "implicit_init")]
    pub fn implicit_start(self, implicit_start: bool) -> Self {
        Self { implicit_start, ..self }
    }

    /// Writes the events down here before anything follows from them. Default: they are kept nowhere.
    pub fn journal(self, journal: Arc<dyn Journal>) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Sets the clock. Default: the system's clock; a devnet has its own.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Sets the times that the phases of a rental may take.
    pub fn timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// Heeds Ctrl+C: the first ends everything in order, as [`Executor::stop`] does, the second leaves at once. From
    /// then on the program isn't ended by Ctrl+C itself; it ends when its streams and [`Executor::close`] have.
    pub fn stop_on_ctrl_c(self) -> Self {
        Self { heeds_ctrl_c: true, ..self }
    }

    /// Sets the strategy that decides which offers are taken, and which of them first. Default:
    /// [`LeastExpensive::usual`], the least expensive ones, none above 0.5 GLM for the start or 5 GLM an hour at full
    /// use.
    ///
    /// It is made [cautious](Strategy::cautious): providers that failed or didn't approve an agreement are set behind
    /// others until they do well again. [`ExecutorBuilder::strategy_alone`] leaves that out.
    ///
    /// [`LeastExpensive::usual`]: golem_core::strategy::LeastExpensive::usual
    ///
    /// # Example
    /// ```
    /// use golem_sdk::payload::Payload;
    /// use golem_sdk::strategy::{LeastExpensive, ProviderList, Strategy};
    /// use golem_sdk::{Executor, PriceCaps};
    ///
    /// let blocked = ProviderList::new();
    /// let caps = PriceCaps::none().start_at_most("0.1".parse()?).per_hour_at_most("1".parse()?);
    /// let builder =
    ///     Executor::builder(Payload::default()).strategy(LeastExpensive::new(caps).except(&blocked));
    /// // Also later, while it works:
    /// blocked.add("mighty-badger");
    /// # drop(builder);
    /// # Ok::<(), yagna_api::money::GlmError>(())
    /// ```
    pub fn strategy(self, strategy: impl Strategy + 'static) -> Self {
        self.strategy_alone(strategy.cautious())
    }

    /// Sets the strategy, with nothing added to it: how providers have done so far counts only if the strategy looks at
    /// it. They are still paused after failures.
    pub fn strategy_alone(self, strategy: impl Strategy + 'static) -> Self {
        self.configure(move |config| config.strategy = Arc::new(strategy))
    }

    /// Sets the knowledge of providers from earlier runs, such as a [`Memory`](golem_core::standing::Memory) of them
    /// makes it. Those that did well come first, those that failed lately come later, and one agreement in four is made
    /// as if nothing were known, so that others get their chance. Default: nothing is known.
    ///
    /// # Example
    /// ```
    /// use golem_sdk::payload::Payload;
    /// use golem_sdk::standing::{Memory, RentalOutcome};
    /// use golem_sdk::{Executor, SystemClock};
    /// use yagna_api::Clock;
    ///
    /// let now = SystemClock.now();
    /// let mut memory = Memory::new();
    /// let provider = "0xabcdef0123456789abcdef0123456789abcdef01".parse()?;
    /// memory.add_run([(provider, RentalOutcome { approved: Some(true), failures: 1, ..RentalOutcome::new(now) })]);
    /// let builder = Executor::builder(Payload::default()).known_providers(memory.records(now));
    /// # drop(builder);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn known_providers(self, known: Records) -> Self {
        self.configure(move |config| config.known = known)
    }

    /// Changes what is agreed with providers: how long we have for debit notes, how often they come, and whether they are
    /// paid while an agreement goes on. Default: [`TermsPolicy::new`].
    ///
    /// # Example
    /// ```
    /// use golem_sdk::payload::Payload;
    /// use golem_sdk::{Executor, MidAgreementPayments};
    /// let builder = Executor::builder(Payload::default())
    ///     .terms(|terms| terms.mid_agreement_payments = MidAgreementPayments::Always);
    /// # drop(builder);
    /// ```
    pub fn terms(self, change: impl FnOnce(&mut TermsPolicy) + Send + 'static) -> Self {
        self.configure(move |config| change(&mut config.terms))
    }

    /// Changes the run's settings, all that the other methods don't, such as waiting times. What is called
    /// last has the last word.
    pub fn configure(mut self, change: impl FnOnce(&mut RunConfig) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Starts it: finds the daemon and the payload's image, and sets the budget aside in the daemon's account. Nothing is on the market
    /// before there is a job.
    ///
    /// **Errors**: [`StartError`] says what is missing and what mends it.
    ///
    /// **Cancel safety**: where the future is dropped, what it began is ended.
    pub async fn start(self) -> Result<Executor, StartError> {
        self.start_in(|name| std::env::var(name).ok()).await
    }

    /// With these environment variables.
    async fn start_in(mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Executor, StartError> {
        let variable = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let or = |given: Option<String>, name, default: &str| {
            given.or_else(|| variable(name)).unwrap_or_else(|| default.to_owned())
        };
        if self.consumers.is_empty() && !self.quiet && LevelFilter::current() > LevelFilter::OFF {
            self.consumers.push(Box::new(log_summary()));
        }
        // Settings that could never work are refused before anybody is asked.
        self.payload.checked()?;
        if self.max_workers == 0 {
            return Err(StartError::NoWorkers);
        }
        let driver = or(self.driver, "YAGNA_PAYMENT_DRIVER", DRIVER).to_lowercase();
        let network = or(self.network, "YAGNA_PAYMENT_NETWORK", NETWORK).to_lowercase();
        let subnet = or(self.subnet, "YAGNA_SUBNET", SUBNET);
        let client = if let Some(client) = self.client {
            client
        } else {
            connect::with(self.api_url, self.app_key, self.apis, variable)?
        };
        greet(&client).await?;
        let PreparedPayload { payload, serving } = self.payload.prepare(&client).await?;
        let mut config = RunConfig::new(payload, platform(&driver, &network));
        config.subnet = Some(subnet);
        config.workers = self.max_workers;
        config.budget = self.budget?;
        config.on_budget = self.on_budget;
        config.retries = self.retries;
        // Providers refuse agreements that are very short.
        config.expiration = config.expiration.max(self.timeout.saturating_add(AGREEMENT_MARGIN));
        for change in self.changes {
            change(&mut config);
        }
        let limits = Limits { timeout: self.timeout, deadline: Instant::now().checked_add(self.timeout) };
        let watch = Arc::new(Watch::new(self.journal, Arc::clone(&self.clock), config.budget));
        let consumers = Arc::new(Consumers::new(Arc::clone(&watch), Arc::clone(&self.clock)));
        for consumer in self.consumers {
            consumers.add(consumer);
        }
        let options = RunOptions::new(
            config,
            driver.clone(),
            network.clone(),
            AppSessionId::new(format!("golem-{}", uuid::Uuid::new_v4())),
        )
        .timing(self.timing);
        let clock = Arc::clone(&self.clock);
        let mut run = Run::standing(client, self.clock, Arc::clone(&watch) as Arc<dyn Journal>, options);
        run.witness = Some(Arc::clone(&watch) as Arc<dyn Witness>);
        let (handle, stop, leave) = (run.handle(), run.stopper(), CancellationToken::new());
        let supervised = supervise::Supervised {
            run,
            watch: Arc::clone(&watch),
            serving,
            consumers: Arc::clone(&consumers),
            heeds_ctrl_c: self.heeds_ctrl_c,
            leave: leave.clone(),
        };
        let running = supervised.begin();
        // From here on dropping it ends what was begun.
        let running = Some(running);
        let implicit_start = self.implicit_start;
        let mut executor = Executor {
            handle,
            watch,
            consumers,
            stop,
            leave,
            running,
            driver,
            network,
            limits,
            implicit_start,
            clock,
        };
        executor.prepared().await?;
        Ok(executor)
    }
}

#[cfg(test)]
mod tests;
