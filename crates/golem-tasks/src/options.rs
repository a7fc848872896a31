//! A run as it was asked for: complete, checked, and known to every module that has a hand in it.
//!
//! The command line and the [`Runner`](crate::Runner) make [`RunOptions`]; the rest of the program believes them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use golem_sdk::ProviderList;
use golem_sdk::connect::API_URL;
use serde_json::{Map, Value};
use yagna_api::AppKey;
use yagna_client::ApiUrls;

use crate::description::{CommandLine, DaemonDescription, DevnetDescription, RunDescription};
use crate::exit::{Exit, Failure};
use crate::job::Limits;
use crate::listen::Listen;
use crate::metrics::Requests;
use crate::store::Dsn;
use crate::work::AnyJob;

/// A run as it was asked for, complete and checked.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunOptions {
    /// The job.
    pub(crate) job: Arc<dyn AnyJob>,
    /// The limits of this run.
    pub limits: Limits,
    /// The name of the run.
    pub run_id: String,
    /// True if the job may be another one than the run was begun with.
    pub changed_job: bool,
    /// The only tasks that are to be done; all where there are none.
    pub(crate) only: Vec<Wish>,
    /// True if tasks that failed for good are tried afresh.
    pub retry_failed: bool,
    /// The command line that does so, for people; none where the run isn't begun by one.
    pub(crate) retry_command: Option<String>,
    /// The command line that the run is started with, as it is kept with it; null where none began it.
    pub(crate) command: Option<CommandLine>,
    /// The database of the run.
    pub dsn: Dsn,
    /// The daemon to use.
    pub daemon: DaemonChoice,
    /// The part of the market to buy on.
    pub subnet: String,
    /// The payment driver, such as `erc20`.
    pub driver: String,
    /// The chain to pay on, such as `hoodi`.
    pub network: String,
    /// The time to wait for the last bills.
    pub settle_timeout: Duration,
    /// The way to show the run.
    pub style: Style,
    /// Providers that are not signed with for now; others change the list while the run goes on.
    pub(crate) avoid: ProviderList,
    /// The address of the run's page, where it has one.
    pub(crate) web: Option<Listen>,
    /// The address of the run's metrics, and the counts of its requests, where it has them.
    pub(crate) metrics: Option<(Listen, Arc<Requests>)>,
}

/// The daemon a run goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DaemonChoice {
    /// An emulated network inside this process.
    Devnet {
        /// The number of its providers.
        providers: u32,
        /// The seed that makes it behave the same again; random unless given.
        seed: Option<u64>,
    },
    /// An emulated network that this process serves already, for several runs.
    Served {
        /// Its address.
        url: String,
        /// The requestor's key.
        app_key: AppKey,
        /// The number of its providers.
        providers: u32,
    },
    /// A yagna daemon over HTTP.
    Yagna {
        /// Its address, without a slash at the end.
        url: String,
        /// The addresses of single APIs that differ from it.
        apis: Box<ApiUrls>,
        /// The key it is to accept.
        app_key: AppKey,
    },
}

/// A place on the Golem Network: a daemon, a part of its market, and how to pay there.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The daemon.
    pub(crate) daemon: DaemonChoice,
    /// The part of the market.
    pub(crate) subnet: String,
    /// The payment driver.
    pub(crate) driver: String,
    /// The chain.
    pub(crate) network: String,
}

/// The ways to show a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Style {
    /// A bar on a terminal, lines elsewhere.
    #[default]
    Text,
    /// JSON for machines.
    Json,
    /// JSON for machines, and nothing for people.
    QuietJson,
    /// Results only, while all goes well.
    Quiet,
    /// Nothing at all: what there is to know is in the store.
    Silent,
    /// What hinders a run, beside what somebody else tells of it.
    Trouble,
}

/// Tasks as they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// By their numbers.
    Numbers(RangeInclusive<u64>),
    /// By what they are: their text, or their JSON.
    Task(String),
}

/// An address that can't be a daemon's.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a valid address of a daemon: expected something like {API_URL}")]
struct AddressError(String);

/// An app key that can't be used.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("YAGNA_APPKEY isn't set: a run on the Golem Network needs a key of your yagna daemon")]
    Missing,
    #[error("the app key contains characters that are not valid in a key")]
    Characters,
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
    /// The place that the run is on.
    pub(crate) fn site(&self) -> Site {
        let Self { daemon, subnet, driver, network, .. } = self.clone();
        Site { daemon, subnet, driver, network }
    }

    /// Describes the work and its limits, to be kept with the run. No secrets.
    pub(crate) fn describe(&self) -> Result<RunDescription, Failure> {
        let mut daemon = DaemonDescription::default();
        match &self.daemon {
            DaemonChoice::Devnet { providers, seed } => {
                daemon.devnet = Some(DevnetDescription { providers: *providers, seed: *seed });
            }
            DaemonChoice::Served { providers, .. } => {
                daemon.devnet = Some(DevnetDescription { providers: *providers, seed: None });
            }
            DaemonChoice::Yagna { url, .. } => daemon.url = Some(url.clone()),
        }
        Ok(RunDescription {
            limits: self.limits.clone(),
            daemon,
            command: self.command.clone(),
            expected_tasks: None,
            subnet: self.subnet.clone(),
            driver: self.driver.clone(),
            network: self.network.clone(),
            job: match self.job.describe()? {
                Value::Object(job) => job,
                job => Map::from_iter([("job".to_owned(), job)]),
            },
        })
    }
}

impl FromStr for Wish {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let number = |text: &str| -> Option<u64> {
            (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
        };
        if let Some(number) = number(text) {
            return Ok(Self::Numbers(number..=number));
        }
        match text.split_once('-').map(|(first, last)| (number(first.trim()), number(last.trim()))) {
            Some((Some(first), Some(last))) if first <= last => Ok(Self::Numbers(first..=last)),
            Some((Some(_), Some(_))) => Err("the range ends before it begins"),
            _ if text.is_empty() => {
                Err("expected tasks by their numbers, such as 1,4,10-20, or the tasks themselves")
            }
            _ => Ok(Self::Task(text.to_owned())),
        }
    }
}

/// The key, if there is one and it fits into an HTTP header.
pub(crate) fn app_key(key: Option<AppKey>) -> Result<AppKey, Failure> {
    let key = key.filter(|key| !key.expose().is_empty()).ok_or_else(|| {
        Failure::new(Exit::Usage, KeyError::Missing).advise(
            "start the daemon with `yagna service run`, make a key with `yagna app-key create golem-tasks`, \
             then `export YAGNA_APPKEY=<the key>`;\n       or try the job without any of that: add --devnet",
        )
    })?;
    // It goes into an HTTP header.
    if key.expose().chars().any(|c| !c.is_ascii_graphic()) {
        return Err(Failure::new(Exit::Usage, KeyError::Characters)
            .advise("`yagna app-key list` shows the daemon's keys"));
    }
    Ok(key)
}

/// The address of a daemon, without a slash at its end.
pub(crate) fn api_url(text: &str) -> Result<String, Failure> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') && !host.contains(char::is_whitespace) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(Failure::new(Exit::Usage, AddressError(text.to_owned()))),
    }
}
