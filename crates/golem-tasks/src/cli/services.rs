//! The flags of the commands for services.

#![expect(clippy::doc_markdown, reason = "these comments are the text of --help")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args as ClapArgs, ValueHint};
use golem_sdk::Budget;
use golem_sdk::defaults::SETTLE_TIMEOUT;
use yagna_api::AppKey;
use yagna_client::ApiUrls;

use super::site::SiteFlags;
use super::values::{budget, time, time_or_none};
use crate::exit::{Exit, Failure};
use crate::run::settle::SettleOptions;
use crate::services::file;
use crate::services::look::Looking;
use crate::services::up::UpOptions;
use crate::store::Dsn;

pub(super) const UP_EXAMPLES: &str = "\
Examples:
  golem-tasks up web.toml --devnet
      On an emulated network inside this program: no daemon, no money.
  golem-tasks up web.toml --budget 2/h
  golem-tasks ps
      The instances with their states and addresses, from another terminal.

The services stay up until they are brought down: by Ctrl+C here, or by
`golem-tasks down`. If this process dies they run on, and the same command
finds them again. docs/services.md explains the file.";

pub(super) const DOWN_EXAMPLES: &str = "\
Examples:
  golem-tasks down
      The services that are up, if they are of one file.
  golem-tasks down web.toml
  golem-tasks down web --devnet";

pub(super) const PS_EXAMPLES: &str = "\
Examples:
  golem-tasks ps
  golem-tasks ps --all
      Also those that have ended.
  golem-tasks ps --json | jq -r '[.name, .state, .address] | @tsv'";

pub(super) const LOGS_EXAMPLES: &str = "\
Examples:
  golem-tasks logs -f web
      All instances of a service, until Ctrl+C.
  golem-tasks logs db-1";

pub(super) const EXEC_EXAMPLES: &str = "\
Examples:
  golem-tasks exec db-1 -- ls -l /golem/work
  golem-tasks exec web -- sh -c 'ps | grep httpd'

The exit code is that of the command. A machine carries out one command at a
time; while this one runs the instance isn't checked.";

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct UpFlags {
    /// The file of services.
    #[arg(value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    site: SiteFlags,
    /// GLM that may be spent on all of them together: 3/h in any hour, 10 in all [default: as the file says, or 1]
    #[arg(long, value_name = "GLM", value_parser = budget)]
    budget: Option<Budget>,
    /// The database [env: GOLEM_TASKS_DSN] [default: a file in your data folder]
    #[arg(long, value_name = "DSN")]
    dsn: Option<String>,
    /// The time to wait for the last bills at the end [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = time_or_none)]
    settle_timeout: Option<Duration>,
    /// Write a JSON object for each change of an instance; docs/json-output.md explains it.
    #[arg(long)]
    json: bool,
}

// Where services are recorded, and how their daemon is found.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct Where {
    /// The name of the file without its ending, where services of several files are up.
    #[arg(long, value_name = "NAME")]
    pub(super) stack: Option<String>,
    /// The database [env: GOLEM_TASKS_DSN] [default: a file in your data folder]
    #[arg(long, value_name = "DSN", conflicts_with = "devnet")]
    pub(super) dsn: Option<String>,
    #[command(flatten)]
    pub(super) site: SiteFlags,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct DownFlags {
    /// The file of services, or its name [default: the services that are up]
    #[arg(value_name = "FILE.toml|NAME", conflicts_with = "stack")]
    which: Option<String>,
    #[command(flatten)]
    place: Where,
    /// The time to wait for missing bills [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = time_or_none)]
    settle_timeout: Option<Duration>,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct PsFlags {
    /// Show also instances that have ended.
    #[arg(short, long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) place: Where,
    /// Write one JSON object a line; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct LogsFlags {
    /// The service, or one of its instances.
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// Go on until Ctrl+C.
    #[arg(short, long)]
    pub(super) follow: bool,
    #[command(flatten)]
    pub(super) place: Where,
}

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct ExecFlags {
    /// The instance, or a service: its first instance that is ready.
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// The command with its arguments.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) words: Vec<String>,
    /// The time that the command may take.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1m")]
    pub(super) timeout: Duration,
    #[command(flatten)]
    pub(super) place: Where,
}

type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

impl UpFlags {
    pub(super) fn resolve(&self, environment: Environment<'_>) -> Result<UpOptions, Failure> {
        let mut stack = file::load(&self.file)?;
        if let Some(budget) = self.budget {
            stack.limits.budget = budget;
        }
        Ok(UpOptions {
            stack,
            dsn: Dsn::choose(self.dsn.as_deref(), environment, self.site.is_devnet())?,
            site: self.site.site(environment)?,
            settle_timeout: self.settle_timeout.unwrap_or(SETTLE_TIMEOUT),
            json: self.json,
        })
    }
}

impl Where {
    /// The services that are meant.
    pub(super) fn looking(&self, environment: Environment<'_>) -> Result<Looking, Failure> {
        Ok(Looking {
            dsn: Dsn::choose(self.dsn.as_deref(), environment, self.site.is_devnet())?,
            stack: self.stack.clone(),
        })
    }

    /// The daemon that is meant, where the services are on none of their own.
    pub(super) fn site(&self, environment: Environment<'_>) -> Result<crate::options::Site, Failure> {
        if self.site.is_devnet() {
            let gone = "the emulated network of these services has ended with the process that kept them up";
            return Err(
                Failure::new(Exit::BrokeOff, gone).advise("`golem-tasks up FILE --devnet` begins anew")
            );
        }
        self.site.site(environment)
    }
}

impl DownFlags {
    /// The services that are meant, and how what was left of them is settled.
    pub(super) fn resolve(&self, environment: Environment<'_>) -> Result<(Looking, SettleOptions), Failure> {
        let mut looking = self.place.looking(environment)?;
        if let Some(which) = &self.which {
            let is_file = Path::new(which).extension().is_some_and(|ending| ending == "toml");
            looking.stack = Some(if is_file { file::load(Path::new(which))?.name } else { which.clone() });
        }
        let named =
            |name: &str| environment(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let settling = SettleOptions {
            dsn: looking.dsn.clone(),
            run_id: None,
            url: named("YAGNA_API_URL"),
            apis: ApiUrls::read(named).map_err(|error| Failure::new(Exit::Usage, error))?,
            app_key: named("YAGNA_APPKEY").map(AppKey::new),
            settle_timeout: self.settle_timeout.unwrap_or(SETTLE_TIMEOUT),
            json: false,
            quiet: false,
        };
        Ok((looking, settling))
    }
}
