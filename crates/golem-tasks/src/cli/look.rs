//! The flags of `market` and `doctor`, which look and buy nothing.

#![expect(clippy::doc_markdown, reason = "these comments are the text of --help")]

use std::time::Duration;

use clap::Args as ClapArgs;

use super::site::SiteFlags;
use super::values::{at_least_one, time};
use crate::exit::Failure;
use crate::run::doctor::DoctorOptions;
use crate::run::market::MarketOptions;
use crate::store::Dsn;

pub(super) const MARKET_EXAMPLES: &str = "\
Examples:
  golem-tasks market
      Who offers what, the least expensive first.
  golem-tasks market --min-threads 8 --min-mem-gib 16 --for 30s
  golem-tasks market --runtime vm-nvidia --json | jq -r '.offers[].gpu.model'

The price of an hour is that at full use of all threads. Nothing is published,
agreed upon or paid.";

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  golem-tasks doctor
      Checks everything that a run needs, and says how to mend what is wrong.
  golem-tasks doctor --network polygon --budget 10
      Is there enough for a run with real money?
  golem-tasks doctor --json | jq -r '.checks[] | select(.state != \"ok\") | .name'

Nothing is bought. To see whether the account can pay, the budget is set aside
and given back at once. The exit code is 0, or 5 where a run can't begin.";

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct MarketFlags {
    /// The time to look; offers that the daemon doesn't know yet may take longer.
    #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "5s")]
    lasting: Duration,
    /// Only offers of this runtime, such as vm or vm-nvidia.
    #[arg(long, value_name = "NAME")]
    runtime: Option<String>,
    /// Only machines with at least this many CPU threads.
    #[arg(long, value_name = "N", value_parser = at_least_one::<u32>)]
    min_threads: Option<u32>,
    /// Only machines with at least this much memory.
    #[arg(long, value_name = "GIB")]
    min_mem_gib: Option<f64>,
    /// Only machines with at least this much storage.
    #[arg(long, value_name = "GIB")]
    min_storage_gib: Option<f64>,
    #[command(flatten)]
    site: SiteFlags,
    /// Look again and again, in place on a terminal, elsewhere when something has changed; until Ctrl+C.
    #[arg(short, long)]
    watch: bool,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct DoctorFlags {
    /// The GLM that the account has to hold.
    #[arg(long, value_name = "GLM", value_parser = super::values::amount, default_value = "1")]
    budget: yagna_api::Glm,
    #[command(flatten)]
    site: SiteFlags,
    /// The database of runs [env: GOLEM_TASKS_DSN] [default: a file in your data folder]
    #[arg(long, value_name = "DSN")]
    dsn: Option<String>,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    json: bool,
}

impl MarketFlags {
    pub(super) fn resolve(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<MarketOptions, Failure> {
        Ok(MarketOptions {
            site: self.site.site(environment)?,
            lasting: self.lasting,
            runtime: self.runtime.clone(),
            min_threads: self.min_threads,
            min_mem_gib: self.min_mem_gib,
            min_storage_gib: self.min_storage_gib,
            json: self.json,
            watch: self.watch,
        })
    }
}

impl DoctorFlags {
    pub(super) fn resolve(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<DoctorOptions, Failure> {
        let (site, has_key) = self.site.keyless_site(environment)?;
        Ok(DoctorOptions {
            site,
            has_key,
            budget: self.budget,
            dsn: Dsn::choose(self.dsn.as_deref(), environment, self.site.is_devnet())?,
            json: self.json,
        })
    }
}
