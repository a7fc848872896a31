//! From flags, environment and job file to what a run is to do: decided here once, and checked.
//!
//! A flag wins over the environment, the environment over the default; in `[limits]`, a flag wins over the job
//! file. An empty variable counts as none.

use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use golem_sdk::defaults::SETTLE_TIMEOUT;
use golem_sdk::{Budget, ProviderList};
use yagna_api::Glm;
use yagna_api::time::short;

use super::args::RunFlags;
use super::site::{Named, Platform};
use super::values::Cap;
use crate::exit::{Exit, Failure};
use crate::job::Limits;
use crate::listen::Listen;
use crate::metrics::Requests;
use crate::options::{RunOptions, Style, app_key};
use crate::store::{Dsn, random_run_id};
use crate::work::AnyJob;

/// The errors of the flags together, or of the environment.
#[derive(Debug, thiserror::Error)]
enum OptionError {
    #[error(
        "a task may take {} (--task-timeout), which is longer than an agreement lasts, {} (--expiration)",
        short(*task), short(*run)
    )]
    TaskLongerThanRun { task: Duration, run: Duration },
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
    let named = Named {
        devnet: flags.devnet.then_some((flags.devnet_providers, flags.devnet_seed)),
        subnet: flags.subnet.as_ref(),
        driver: flags.driver.as_ref(),
        network: flags.network.as_ref(),
        api_url: flags.api_url.as_ref(),
        app_key: flags.app_key.as_ref(),
    };
    let Platform { subnet, driver, network } = named.platform(&environment)?;
    let dsn = Dsn::choose(flags.dsn.as_deref(), &environment, flags.devnet)?;
    // The job file before the daemon: who has neither right mends the file first, and needs no daemon for that.
    let job = job(&flags.which)?;
    let own = Limits { results: job.results()?, ..job.limits()? };
    let limits = limits(&own, flags)?;
    let daemon = named.daemon(&environment, || app_key(named.key(&environment)))?;
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
        command: None,
        dsn,
        daemon,
        subnet,
        driver,
        network,
        settle_timeout: flags.settle_timeout.unwrap_or(SETTLE_TIMEOUT),
        style,
        avoid: ProviderList::default(),
        web: flags.web.map(|listen| listen.unwrap_or(Listen::PAGE)),
        metrics: flags.metrics.map(|listen| (listen.unwrap_or(Listen::METRICS), Arc::new(Requests::new()))),
    })
}

fn limits<J: ClapArgs>(file: &Limits, flags: &RunFlags<J>) -> Result<Limits, Failure> {
    let expiration = flags.expiration.unwrap_or(file.expiration);
    if let Some(task) = flags.task_timeout.filter(|task| *task > expiration) {
        return Err(usage(OptionError::TaskLongerThanRun { task, run: expiration })
            .advise("raise --expiration or lower --task-timeout"));
    }
    let cap = |flag: Option<Cap>, file: Option<Glm>| flag.map_or(file, |Cap(cap)| cap);
    Ok(Limits {
        task_timeout: flags.task_timeout.unwrap_or(file.task_timeout).min(expiration),
        retries: flags.retries.unwrap_or(file.retries),
        workers: flags.workers.unwrap_or(file.workers),
        budget: budget(&flags.budget)?.unwrap_or(file.budget),
        on_budget: flags.on_budget.unwrap_or(file.on_budget),
        max_price: flags.max_price.or(file.max_price),
        price_grace: flags.price_grace.unwrap_or(file.price_grace),
        max_price_per_hour: cap(flags.max_price_per_hour, file.max_price_per_hour),
        max_start_price: cap(flags.max_start_price, file.max_start_price),
        expiration,
        idle_timeout: flags.idle_timeout.unwrap_or(file.idle_timeout),
        results: flags.results.or(file.results),
        halt: flags.halt.or(file.halt),
        providers: if flags.provider.is_empty() { file.providers.clone() } else { flags.provider.clone() },
        exclude_providers: [file.exclude_providers.clone(), flags.exclude_provider.clone()].concat(),
        on_end: flags.on_end.clone().or_else(|| file.on_end.clone()),
        notify: [file.notify.clone(), flags.notify.clone()].concat(),
    })
}

/// All budgets that were given as one.
fn budget(given: &[Budget]) -> Result<Option<Budget>, Failure> {
    let Some((first, others)) = given.split_first() else { return Ok(None) };
    let all = others.iter().try_fold(*first, |budget, other| budget.and(*other));
    all.map(Some).map_err(|error| Failure::new(Exit::Usage, error).advise("it is about --budget"))
}

fn usage(error: OptionError) -> Failure {
    Failure::new(Exit::Usage, error)
}

#[cfg(test)]
mod tests;
