//! The flags of the `settle` command, and what they mean together with the environment.

#![expect(clippy::doc_markdown, reason = "these comments are the text of --help")]

use std::time::Duration;

use clap::Args as ClapArgs;
use golem_sdk::defaults::SETTLE_TIMEOUT;
use yagna_api::AppKey;
use yagna_client::ApiUrls;

use super::inspect::args::Place;
use super::values::{app_key, run_id, time_or_none};
use crate::exit::{Exit, Failure};
use crate::options::api_url;
use crate::run::settle::SettleOptions;

pub(super) const EXAMPLES: &str = "\
Examples:
  golem-tasks settle
      Settles all runs that have something open.
  golem-tasks settle brave-otter-4821
      Ends what a killed run left at the daemon, without resuming its tasks.
  golem-tasks settle --settle-timeout 0s --json | jq -r '.unsettled'

Bills that have come since are accepted within the run's budget, or refused.
Where bills are still missing, the exit code is 8: run the command again later.
Runs that another process works on are left to it. Tasks without a result stay:
`golem-tasks resume ID` goes on with them.";

#[derive(Debug, Clone, Default, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct SettleFlags {
    /// The run, by its id or the beginning of it [default: all that have something open]
    #[arg(value_name = "RUN", value_parser = run_id, conflicts_with = "run_id")]
    run: Option<String>,
    /// RUN as a flag.
    #[arg(long, value_name = "ID", value_parser = run_id)]
    run_id: Option<String>,
    #[command(flatten)]
    place: Place,
    /// The yagna daemon's address [env: YAGNA_API_URL] [default: the one that the run was on]
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    /// A key of the daemon [env: YAGNA_APPKEY]
    #[arg(long, value_name = "KEY", value_parser = app_key)]
    app_key: Option<AppKey>,
    /// How long to wait for missing bills [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = time_or_none)]
    settle_timeout: Option<Duration>,
    /// Write one JSON object for each run; docs/json-output.md explains it.
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn resolve(
    flags: &SettleFlags,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<SettleOptions, Failure> {
    let environment =
        |name: &str| environment(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let url = flags.api_url.clone().or_else(|| environment("YAGNA_API_URL"));
    Ok(SettleOptions {
        dsn: flags.place.dsn(&environment)?,
        run_id: flags.run.clone().or_else(|| flags.run_id.clone()),
        url: url.as_deref().map(api_url).transpose()?,
        apis: ApiUrls::read(environment).map_err(|error| Failure::new(Exit::Usage, error))?,
        app_key: flags.app_key.clone().or_else(|| environment("YAGNA_APPKEY").map(AppKey::new)),
        settle_timeout: flags.settle_timeout.unwrap_or(SETTLE_TIMEOUT),
        json: flags.json,
        quiet: flags.quiet,
    })
}
