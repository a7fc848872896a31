//! From flags, environment and job file to what a run is to do: decided here once, and checked.
//!
//! A flag wins over the environment, the environment over the default; in `[limits]`, a flag wins over the job
//! file. An empty variable counts as none.

mod platform;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use golem_sdk::Budget;
use serde_json::{Map, Value, json};
use yagna_api::time::short;
use yagna_api::{AppKey, Glm};
use yagna_client::ApiUrls;

use super::args::RunFlags;
use crate::exit::{Exit, Failure};
use crate::job::Limits;
use crate::run::part::Wish;
use crate::store::{Dsn, random_run_id};
use crate::view::Style;
use crate::work::AnyJob;

pub(crate) const API_URL: &str = "http://127.0.0.1:7465";
const SUBNET: &str = "public";
const DRIVER: &str = "erc20";
const NETWORK: &str = "hoodi";
const DEVNET_PROVIDERS: u32 = 3;
pub(super) const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A run as it was asked for, complete and checked.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunOptions {
    /// The job.
    pub(crate) job: Arc<dyn AnyJob>,
    /// What holds for this run.
    pub limits: Limits,
    /// What the run is called.
    pub run_id: String,
    /// May the job be another one than the run was begun with?
    pub changed_job: bool,
    /// The only tasks that are to be done; all where there are none.
    pub(crate) only: Vec<Wish>,
    /// True if tasks that failed for good are tried afresh.
    pub retry_failed: bool,
    /// The command line that does so, for people; none where the run isn't begun by one.
    pub(crate) retry_command: Option<String>,
    /// Where it is kept.
    pub dsn: Dsn,
    /// Whom to talk to.
    pub daemon: DaemonChoice,
    /// The part of the market to buy on.
    pub subnet: String,
    /// The payment driver, such as `erc20`.
    pub driver: String,
    /// The chain to pay on, such as `hoodi`.
    pub network: String,
    /// How long to wait for the last bills.
    pub settle_timeout: Duration,
    /// How to show it.
    pub style: Style,
}

/// The daemon a run goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonChoice {
    /// An emulated network inside this process.
    Devnet {
        /// How many providers it has.
        providers: u32,
        /// What makes it behave the same again; random unless given.
        seed: Option<u64>,
    },
    /// A yagna daemon over HTTP.
    Yagna {
        /// Its address, without a slash at the end.
        url: String,
        /// Where single APIs of it are that are elsewhere.
        apis: Box<ApiUrls>,
        /// The key it is to accept.
        app_key: AppKey,
    },
}

/// What is wrong with the flags together, or with the environment.
#[derive(Debug, thiserror::Error)]
enum OptionError {
    #[error("YAGNA_APPKEY isn't set: a run on the Golem Network needs a key of your yagna daemon")]
    NoAppKey,
    #[error("`{0}` is no address of a daemon: expected something like {API_URL}")]
    ApiUrl(String),
    #[error("the app key has characters in it that no key has")]
    AppKey,
    #[error("`{0}` must not be empty")]
    Empty(&'static str),
    #[error(
        "a task may take {} (--task-timeout), which is longer than an agreement lasts, {} (--expiration)",
        short(*task), short(*run)
    )]
    TaskLongerThanRun { task: Duration, run: Duration },
    #[error("this golem-tasks was built without the devnet")]
    NoDevnet,
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("run_id", &self.run_id)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl RunOptions {
    /// What is run and under which limits, to be kept with the run. No secrets.
    pub fn describe(&self) -> Result<Value, Failure> {
        let limits = &self.limits;
        let daemon = match &self.daemon {
            DaemonChoice::Devnet { providers, seed } => {
                json!({ "devnet": { "providers": providers, "seed": seed } })
            }
            DaemonChoice::Yagna { url, .. } => json!({ "url": url }),
        };
        let mut whole = match self.job.describe()? {
            Value::Object(job) => job,
            job => Map::from_iter([("job".to_owned(), job)]),
        };
        let limits = json!({
            "task_timeout_seconds": limits.task_timeout.as_secs_f64(),
            "retries": limits.retries,
            "workers": limits.workers,
            "budget": limits.budget,
            "on_budget": limits.on_budget_word(),
            "max_price": limits.max_price,
            "price_grace_seconds": limits.price_grace.as_secs_f64(),
            "max_price_per_hour": limits.max_price_per_hour,
            "max_start_price": limits.max_start_price,
            "expiration_seconds": limits.expiration.as_secs_f64(),
            "idle_timeout_seconds": limits.idle_timeout.as_secs_f64(),
            "results": limits.results,
            "halt": limits.halt,
            "providers": limits.providers,
            "exclude_providers": limits.exclude_providers,
        });
        for (name, value) in [
            ("limits", limits),
            ("daemon", daemon),
            ("subnet", Value::from(self.subnet.as_str())),
            ("driver", Value::from(self.driver.as_str())),
            ("network", Value::from(self.network.as_str())),
        ] {
            whole.insert(name.to_owned(), value);
        }
        Ok(Value::Object(whole))
    }
}

/// Decides everything that a run leaves open. Whatever reads the job is called once; nothing else is touched.
pub(crate) fn resolve<J: ClapArgs>(
    flags: &RunFlags<J>,
    job: impl FnOnce(&J) -> Result<Arc<dyn AnyJob>, Failure>,
    environment: &dyn Fn(&str) -> Option<String>,
    chance: &mut fastrand::Rng,
) -> Result<RunOptions, Failure> {
    let environment =
        |name: &str| environment(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let choose = |flag: &Option<String>, name: &'static str, variables: &[&str], default: &str| {
        let chosen = flag.clone().or_else(|| variables.iter().find_map(|variable| environment(variable)));
        match chosen {
            Some(text) if text.trim().is_empty() => Err(usage(OptionError::Empty(name))),
            Some(text) => Ok(text.trim().to_owned()),
            None => Ok(default.to_owned()),
        }
    };
    let subnet = choose(&flags.subnet, "--subnet", &["YAGNA_SUBNET"], SUBNET)?;
    let driver = choose(&flags.driver, "--driver", &["YAGNA_PAYMENT_DRIVER"], DRIVER)?;
    let networks = ["YAGNA_PAYMENT_NETWORK", "PAYMENT_NETWORK"];
    let network = choose(&flags.network, "--network", &networks, NETWORK)?;
    platform::check(&driver, &network)?;
    let dsn = Dsn::choose(flags.dsn.as_deref(), &environment, flags.devnet)?;
    // The job file before the daemon: who has neither right mends the file first, and needs no daemon for that.
    let job = job(&flags.which)?;
    let own = Limits { results: job.results()?, ..job.limits()? };
    let limits = limits(&own, flags)?;
    let daemon = if flags.devnet {
        if !cfg!(feature = "devnet") {
            return Err(usage(OptionError::NoDevnet));
        }
        DaemonChoice::Devnet {
            providers: flags.devnet_providers.unwrap_or(DEVNET_PROVIDERS),
            seed: flags.devnet_seed,
        }
    } else {
        DaemonChoice::Yagna {
            url: api_url(&choose(&flags.api_url, "--api-url", &["YAGNA_API_URL"], API_URL)?)?,
            apis: ApiUrls::read(environment).map_err(|error| Failure::new(Exit::Usage, error))?.into(),
            app_key: app_key(flags.app_key.clone().or_else(|| environment("YAGNA_APPKEY").map(AppKey::new)))?,
        }
    };
    let style = match (flags.json, flags.quiet) {
        (true, true) => Style::QuietJson,
        (true, false) => Style::Json,
        (_, true) => Style::Quiet,
        _ => Style::Text,
    };
    Ok(RunOptions {
        job,
        limits,
        run_id: flags.run_id.clone().unwrap_or_else(|| random_run_id(chance)),
        changed_job: flags.changed_job,
        only: flags.only.clone(),
        retry_failed: flags.retry_failed,
        retry_command: None,
        dsn,
        daemon,
        subnet,
        driver,
        network,
        settle_timeout: flags.settle_timeout.unwrap_or(SETTLE_TIMEOUT),
        style,
    })
}

fn limits<J: ClapArgs>(file: &Limits, flags: &RunFlags<J>) -> Result<Limits, Failure> {
    let expiration = flags.expiration.unwrap_or(file.expiration);
    if let Some(task) = flags.task_timeout.filter(|task| *task > expiration) {
        return Err(usage(OptionError::TaskLongerThanRun { task, run: expiration })
            .advise("raise --expiration or lower --task-timeout"));
    }
    let or = |flag: Option<Glm>, file: Option<Glm>| flag.or(file);
    Ok(Limits {
        task_timeout: flags.task_timeout.unwrap_or(file.task_timeout).min(expiration),
        retries: flags.retries.unwrap_or(file.retries),
        workers: flags.workers.unwrap_or(file.workers),
        budget: budget(&flags.budget)?.unwrap_or(file.budget),
        on_budget: flags.on_budget.unwrap_or(file.on_budget),
        max_price: or(flags.max_price, file.max_price),
        price_grace: flags.price_grace.unwrap_or(file.price_grace),
        max_price_per_hour: or(flags.max_price_per_hour, file.max_price_per_hour),
        max_start_price: or(flags.max_start_price, file.max_start_price),
        expiration,
        idle_timeout: flags.idle_timeout.unwrap_or(file.idle_timeout),
        results: flags.results.or(file.results),
        halt: flags.halt.or(file.halt),
        providers: if flags.provider.is_empty() { file.providers.clone() } else { flags.provider.clone() },
        exclude_providers: [file.exclude_providers.clone(), flags.exclude_provider.clone()].concat(),
    })
}

/// All budgets that were given as one.
fn budget(given: &[Budget]) -> Result<Option<Budget>, Failure> {
    let Some((first, others)) = given.split_first() else { return Ok(None) };
    let all = others.iter().try_fold(*first, |budget, other| budget.and(*other));
    all.map(Some).map_err(|error| Failure::new(Exit::Usage, error).advise("it is about --budget"))
}

pub(super) fn api_url(text: &str) -> Result<String, Failure> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') && !host.contains(char::is_whitespace) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(usage(OptionError::ApiUrl(text.to_owned()))),
    }
}

pub(crate) fn app_key(key: Option<AppKey>) -> Result<AppKey, Failure> {
    let key = key.filter(|key| !key.expose().is_empty()).ok_or_else(|| {
        usage(OptionError::NoAppKey).advise(
            "start the daemon with `yagna service run`, make a key with `yagna app-key create golem-tasks`, \
             then `export YAGNA_APPKEY=<the key>`;\n       or try the job without any of that: add --devnet",
        )
    })?;
    // It goes into an HTTP header.
    if key.expose().chars().any(|c| !c.is_ascii_graphic()) {
        return Err(usage(OptionError::AppKey).advise("`yagna app-key list` shows the daemon's keys"));
    }
    Ok(key)
}

fn usage(error: OptionError) -> Failure {
    Failure::new(Exit::Usage, error)
}

#[cfg(test)]
mod tests;
