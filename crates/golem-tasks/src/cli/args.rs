//! The flags as they are typed. What they mean together is decided in `options`.

#![expect(clippy::doc_markdown, reason = "these comments are the text of --help")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueHint};
use golem_sdk::core::halt::Halt;
use golem_sdk::{Budget, OnBudget};
use yagna_api::{AppKey, Glm};

use super::inspect::args as inspect;
use super::values::{
    Cap, amount, app_key, budget, cap, expiration, halt, on_budget, run_id, time, time_or_none,
};
use crate::options::Wish;

const EXAMPLES: &str = "\
Examples:
  golem-tasks run examples/hello_world/job.toml --devnet
      A first run on an emulated network inside this program: no daemon, no key, no money.
  golem-tasks check job.toml
      Is the job file right, and what would it do?
  golem-tasks run job.toml --budget 2 --workers 10 > results.tsv
      On the Golem Network, through the yagna daemon on this machine.
  golem-tasks show --watch
      What the newest run does, from another terminal.

Results go to standard output, everything else to standard error.

Exit codes:
  0  all done                      5  the yagna daemon can't be used
  1  some tasks failed             6  the database of runs can't be used
  2  wrong command or job file     7  the run broke off
  3  nothing could run             8  bills are still awaited
  4  the budget is reached         9  another process works on the run
                                  10  too many tasks failed
                                  70  a bug in golem-tasks
                                 130  cancelled by Ctrl+C";

const RUN_EXAMPLES: &str = "\
Examples:
  golem-tasks run job.toml --devnet
      Try a job without a daemon and without money.
  golem-tasks run job.toml --budget 2 --workers 10 --max-price-per-hour 0.2
      Flags override [limits] in the job file.
  golem-tasks run job.toml --json | jq 'select(.type == \"result\")'
      One JSON object a line.
  YAGNA_PAYMENT_NETWORK=polygon YAGNA_SUBNET=public golem-tasks run job.toml
      With real money.

A run on the network needs a yagna daemon and a key of it:
  yagna service run
  export YAGNA_APPKEY=$(yagna app-key create golem-tasks)

The first Ctrl+C takes on no more work and settles what was begun; the second one leaves at once.
SIGTERM and SIGHUP count like Ctrl+C. What is done is kept either way.";

const INSTALL_EXAMPLES: &str = "\
Examples:
  golem-tasks install --dsn sqlite:runs.db
  golem-tasks install --dsn 'dbname=golem user=golem host=localhost port=5432'
      In the schema `tasks`. Better put the password into PGPASSWORD or ~/.pgpass: other users of this
      machine can see flags.
  PGDATABASE=golem golem-tasks install --dsn postgres:";

/// Run a pile of work on the Golem Network.
#[derive(Debug, Parser)]
#[command(name = "golem-tasks", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(super) struct Args<J: ClapArgs = JobFile> {
    #[command(subcommand)]
    pub(super) command: Command<J>,
    #[command(flatten)]
    pub(super) logging: Logging,
}

/// The examples of a program that brings its own job.
pub(super) const OWN_EXAMPLES: &str = "\
Examples:
  PROGRAM run --devnet
      A first run on an emulated network inside this program: no daemon, no key, no money.
  PROGRAM run --budget 2 --workers 10 > results.tsv
      On the Golem Network, through the yagna daemon on this machine.
  PROGRAM show --watch
      What the newest run does, from another terminal.

Results go to standard output, everything else to standard error.

Exit codes:
  0  all done                      5  the yagna daemon can't be used
  1  some tasks failed             6  the database of runs can't be used
  2  wrong command or tasks        7  the run broke off
  3  nothing could run             8  bills are still awaited
  4  the budget is reached         9  another process works on the run
                                  10  too many tasks failed
                                  70  a bug
                                 130  cancelled by Ctrl+C";

/// The same of its command `run`.
pub(super) const OWN_RUN_EXAMPLES: &str = "\
Examples:
  PROGRAM run --devnet
      Try it without a daemon and without money.
  PROGRAM run --budget 2 --workers 10 --max-price-per-hour 0.2
      Flags override the program's own limits.
  PROGRAM run --json | jq 'select(.type == \"result\")'
      One JSON object a line.

A run on the network needs a yagna daemon and a key of it:
  yagna service run
  export YAGNA_APPKEY=$(yagna app-key create golem-tasks)

The first Ctrl+C takes on no more work and settles what was begun; the second one leaves at once.
SIGTERM and SIGHUP count like Ctrl+C. What is done is kept either way.";

#[derive(Debug, Subcommand)]
pub(super) enum Command<J: ClapArgs = JobFile> {
    /// Run the tasks of a job file.
    Run(Box<RunFlags<J>>),
    /// Make the tables for runs in a database, or bring them up to date.
    ///
    /// `run` does the same by itself, where it may.
    Install(InstallFlags),
    /// Show the activities of a run: what each one does, has done, and costs.
    #[command(after_help = inspect::SHOW_EXAMPLES)]
    Show(inspect::WatchFlags),
    /// Show in one row where a run stands.
    #[command(after_help = inspect::SUMMARY_EXAMPLES)]
    Summary(inspect::WatchFlags),
    /// List the runs in a database, the newest first.
    #[command(after_help = inspect::RUNS_EXAMPLES)]
    Runs(inspect::RunsFlags),
    /// Write the results of a run, one task a line, in the order of the tasks.
    #[command(after_help = inspect::RESULTS_EXAMPLES)]
    Results(inspect::ResultsFlags),
    /// Tell what failed in a run, where and why, the newest first.
    #[command(after_help = inspect::ERRORS_EXAMPLES)]
    Errors(inspect::ErrorsFlags),
    /// Show what is known of providers from all runs, or what each did in one; block and unblock them.
    #[command(after_help = inspect::PROVIDERS_EXAMPLES)]
    Providers(inspect::ProvidersFlags),
    /// Stop a run that another process works on, in an orderly way, and wait for its end.
    #[command(after_help = inspect::CANCEL_EXAMPLES)]
    Cancel(inspect::CancelFlags),
    /// End what earlier runs left at the daemon, and settle bills that came late; nothing is bought.
    Settle(super::settle::SettleFlags),
    /// Check a job file and all its tasks, and show what it would do; nothing is bought.
    Check(CheckFlags<J>),
    /// Serve an emulated Golem Network for your own app to be tested on, in whatever language it is written.
    #[cfg(feature = "devnet")]
    Devnet(Box<super::devnet::DevnetFlags>),
}

/// How much is told about what happens inside.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct Logging {
    /// Log more to standard error: -v lifecycle, -vv decisions, -vvv requests.
    ///
    /// RUST_LOG, when it is set, says instead what is logged.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(super) verbose: u8,
    /// Log decisions and above to this file too; it is appended to.
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub(super) log_file: Option<PathBuf>,
}

// The job is named on the command line. (Not a doc comment: it would become the command's description.)
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct JobFile {
    /// The job file.
    #[arg(value_name = "JOB.toml", value_hint = ValueHint::FilePath)]
    pub(super) job: PathBuf,
}

// The job is the program's own: there is nothing to name.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct OwnJob {}

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct CheckFlags<J: ClapArgs = JobFile> {
    #[command(flatten)]
    pub(super) which: J,
}

#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = INSTALL_EXAMPLES)]
pub(super) struct InstallFlags {
    /// The database [env: GOLEM_TASKS_DSN] [default: a file in your data folder]
    ///
    /// sqlite:PATH, postgres://USER@HOST/DATABASE, or "dbname=.. user=.. host=.. port=..". What a PostgreSQL address
    /// leaves out comes from PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE and ~/.pgpass; `postgres:`
    /// leaves out everything.
    #[arg(long, value_name = "DSN")]
    pub(super) dsn: Option<String>,
}

#[derive(Debug, Clone, Default, ClapArgs)]
#[command(after_help = RUN_EXAMPLES)]
pub(crate) struct RunFlags<J: ClapArgs = JobFile> {
    #[command(flatten)]
    pub(crate) which: J,

    /// Run on an emulated network inside this program.
    #[arg(long, help_heading = "Where")]
    pub(crate) devnet: bool,
    /// Providers on the emulated network [default: 3]
    #[arg(long, value_name = "N", requires = "devnet", help_heading = "Where",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) devnet_providers: Option<u32>,
    /// Make the emulated network behave the same again [default: random]
    #[arg(long, value_name = "SEED", requires = "devnet", help_heading = "Where")]
    pub(crate) devnet_seed: Option<u64>,
    /// The yagna daemon's address [env: YAGNA_API_URL] [default: http://127.0.0.1:7465]
    ///
    /// Where single APIs of it are elsewhere, YAGNA_MARKET_URL, YAGNA_PAYMENT_URL, YAGNA_ACTIVITY_URL and YAGNA_NET_URL
    /// say so, each in full, such as http://127.0.0.1:7465/market-api/v1.
    #[arg(long, value_name = "URL", conflicts_with = "devnet", help_heading = "Where")]
    pub(crate) api_url: Option<String>,
    /// A key of the daemon [env: YAGNA_APPKEY]
    ///
    /// Better put it into the environment: other users of this machine can see flags.
    #[arg(long, value_name = "KEY", value_parser = app_key, conflicts_with = "devnet", help_heading = "Where")]
    pub(crate) app_key: Option<AppKey>,
    /// The part of the market to buy on [env: YAGNA_SUBNET] [default: public]
    #[arg(long, value_name = "NAME", help_heading = "Where")]
    pub(crate) subnet: Option<String>,
    /// How to pay [env: YAGNA_PAYMENT_DRIVER] [default: erc20]
    #[arg(long, value_name = "NAME", help_heading = "Where")]
    pub(crate) driver: Option<String>,
    /// The chain to pay on [env: YAGNA_PAYMENT_NETWORK, PAYMENT_NETWORK] [default: hoodi]
    ///
    /// hoodi is a test network, where GLM costs nothing; polygon and mainnet are real money.
    #[arg(long, value_name = "NAME", help_heading = "Where")]
    pub(crate) network: Option<String>,
    /// Work with this provider only, by its name, its id or the beginning of its id; can be given again
    #[arg(long, value_name = "NAME|0x..", help_heading = "Where")]
    pub(crate) provider: Vec<String>,
    /// Don't work with this provider; can be given again
    #[arg(long, value_name = "NAME|0x..", help_heading = "Where")]
    pub(crate) exclude_provider: Vec<String>,

    /// Providers that work at the same time, at most [default: 5]
    #[arg(long, value_name = "N", help_heading = "Limits, instead of those in the job file",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) workers: Option<u32>,
    /// GLM that may be spent: 3/h in any hour, 20/d in any day, 10 in all; several with commas, or given again [default: 1]
    #[arg(long, value_name = "GLM", value_parser = budget, help_heading = "Limits, instead of those in the job file")]
    pub(crate) budget: Vec<Budget>,
    /// What to do when the budget is reached: stop, or pause until an hour or day of it frees enough [default: stop]
    #[arg(long, value_name = "WHAT", value_parser = on_budget, help_heading = "Limits, instead of those in the job file")]
    pub(crate) on_budget: Option<OnBudget>,
    /// End the run when so many results are there [default: all of them]
    #[arg(long, value_name = "N", help_heading = "Limits, instead of those in the job file",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) results: Option<u64>,
    /// Stop the run when so many tasks have failed: a number, or a share of those that have ended, such as 10%.
    #[arg(long, value_name = "N|N%", value_parser = halt, help_heading = "Limits, instead of those in the job file")]
    pub(crate) halt: Option<Halt>,
    /// How often a failed task is tried again [default: 3]
    #[arg(long, value_name = "N", help_heading = "Limits, instead of those in the job file")]
    pub(crate) retries: Option<u32>,
    /// The longest one attempt at one task may take, such as 90s or 1h30m [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Limits, instead of those in the job file")]
    pub(crate) task_timeout: Option<Duration>,
    /// What one result may cost on average: an activity that has worked for --price-grace and costs more is ended.
    #[arg(long, value_name = "GLM", value_parser = amount, help_heading = "Limits, instead of those in the job file")]
    pub(crate) max_price: Option<Glm>,
    /// How long an activity may work before --max-price holds, such as 300s [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = time_or_none, help_heading = "Limits, instead of those in the job file")]
    pub(crate) price_grace: Option<Duration>,
    /// What an hour of one provider at full use may cost; none for any price [default: 5]
    #[arg(long, value_name = "GLM", value_parser = cap, help_heading = "Limits, instead of those in the job file")]
    pub(crate) max_price_per_hour: Option<Cap>,
    /// What a provider may charge for starting; none for any price [default: 0.5]
    #[arg(long, value_name = "GLM", value_parser = cap, help_heading = "Limits, instead of those in the job file")]
    pub(crate) max_start_price: Option<Cap>,
    /// How long an agreement with a provider may last, at least 6m; new ones follow while there is work [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = expiration, help_heading = "Limits, instead of those in the job file")]
    pub(crate) expiration: Option<Duration>,
    /// How long to wait with nothing running before giving up [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Limits, instead of those in the job file")]
    pub(crate) idle_timeout: Option<Duration>,
    /// How long to wait for the last bills at the end [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = time_or_none, help_heading = "Limits, instead of those in the job file")]
    pub(crate) settle_timeout: Option<Duration>,

    /// What to call the run; a run that has this id already is resumed [default: a random one]
    #[arg(long, value_name = "ID", value_parser = run_id, help_heading = "Keeping and showing")]
    pub(crate) run_id: Option<String>,
    /// Take a run up though its job has changed since: tasks that were read stay as they were read.
    #[arg(long, requires = "run_id", help_heading = "Keeping and showing")]
    pub(crate) changed_job: bool,
    /// Try again the tasks of a run that failed for good, each with all its retries; what is done stays.
    #[arg(long, requires = "run_id", help_heading = "Keeping and showing")]
    pub(crate) retry_failed: bool,
    /// Do only these tasks, by their numbers as results begin with, such as 1,4,10-20, or the tasks themselves.
    ///
    /// The others are left for the same command without --only. In a run that is there, those that failed are tried again, and
    /// those that are done stay so.
    #[arg(long, value_name = "TASKS", value_delimiter = ',', help_heading = "Keeping and showing")]
    pub(crate) only: Vec<Wish>,
    /// The database of runs, such as sqlite:runs.db or postgres://me@localhost/golem [env: GOLEM_TASKS_DSN] [default:
    /// a file in your data folder]
    #[arg(long, value_name = "DSN", help_heading = "Keeping and showing")]
    pub(crate) dsn: Option<String>,
    /// Write one JSON object a line to standard output; docs/json-output.md explains them.
    #[arg(long, help_heading = "Keeping and showing")]
    pub(crate) json: bool,
    /// Show results only, and the summary if something went wrong; with --json, JSON and errors only.
    #[arg(short, long, help_heading = "Keeping and showing")]
    pub(crate) quiet: bool,
}
