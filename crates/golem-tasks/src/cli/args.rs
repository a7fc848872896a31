//! The flags as they are typed. What they mean together is decided in `options`.

#![expect(clippy::doc_markdown, reason = "these comments are the text of --help")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueHint};
use golem_core::halt::Halt;
use golem_sdk::{Budget, OnBudget};
use yagna_api::{AppKey, Glm};

use super::inspect::args as inspect;
use super::values::{
    Cap, amount, app_key, at_least_one, budget, cap, expiration, halt, on_budget, run_id, time, time_or_none,
    url,
};
use crate::listen::Listen;
use crate::options::Wish;

const EXAMPLES: &str = "\
Examples:
  golem-tasks run examples/hello_world/job.toml --devnet
      A first run, on an emulated network inside this program: no daemon,
      no key, no money.
  golem-tasks check job.toml
      Checks the job file, and shows what it would do.
  golem-tasks run job.toml --budget 2 --workers 10 > results.tsv
      On the Golem Network, through the yagna daemon on this machine.
  golem-tasks show --watch
      Follows the newest run, from another terminal.

Results go to standard output, everything else to standard error.

Exit codes:
  0  all done                      5  the yagna daemon can't be used
  1  some tasks failed             6  the database of runs can't be used
  2  wrong command or job file     7  the run broke off
  3  nothing could run             8  bills are still awaited
  4  the budget is exhausted       9  another process works on the run
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

The first Ctrl+C starts no more tasks and settles what was begun; the second one
exits at once. SIGTERM and SIGHUP count as Ctrl+C. What is done is kept.";

pub(super) const PLAN_EXAMPLES: &str = "\
Examples:
  golem-tasks plan job.toml
      Who would be hired, how many offers fit and why the others don't; what it
      would take and cost, by the times of earlier runs of the same job.
  golem-tasks plan job.toml --task-takes 2m --workers 20
  golem-tasks plan job.toml --json | jq .estimate

It takes the flags of `run`. Nothing is published, agreed upon or paid.";

const INSTALL_EXAMPLES: &str = "\
Examples:
  golem-tasks install --dsn sqlite:runs.db
  golem-tasks install --dsn 'dbname=golem user=golem host=localhost port=5432'
      In the schema `tasks`. Put the password into PGPASSWORD or ~/.pgpass:
      other users of this machine can see flags.
  PGDATABASE=golem golem-tasks install --dsn postgres:";

/// Run many tasks on the Golem Network.
#[derive(Debug, Parser)]
#[command(name = "golem-tasks", version, after_help = EXAMPLES, arg_required_else_help = true,
          disable_help_flag = true, disable_help_subcommand = false, max_term_width = 100)]
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
      A first run, on an emulated network inside this program: no daemon,
      no key, no money.
  PROGRAM run --budget 2 --workers 10 > results.tsv
      On the Golem Network, through the yagna daemon on this machine.
  PROGRAM show --watch
      Follows the newest run, from another terminal.

Results go to standard output, everything else to standard error.

Exit codes:
  0  all done                      5  the yagna daemon can't be used
  1  some tasks failed             6  the database of runs can't be used
  2  wrong command or tasks        7  the run broke off
  3  nothing could run             8  bills are still awaited
  4  the budget is exhausted       9  another process works on the run
                                  10  too many tasks failed
                                  70  a bug
                                 130  cancelled by Ctrl+C";

/// The examples of its command `run`.
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

The first Ctrl+C starts no more tasks and settles what was begun; the second one
exits at once. SIGTERM and SIGHUP count as Ctrl+C. What is done is kept.";

#[derive(Debug, Subcommand)]
pub(super) enum Command<J: ClapArgs = JobFile> {
    /// Run the tasks of a job file.
    Run(Box<RunFlags<J>>),
    /// Run a command once for each argument, or for each line of standard input; no job file is needed.
    #[command(after_help = super::each::EXAMPLES)]
    Each(Box<RunFlags<super::each::Pile>>),
    /// Write a job file to begin with, by flags or by questions.
    #[command(alias = "new", after_help = super::init::EXAMPLES)]
    Init(super::init::InitFlags),
    /// Check a job file and all its tasks, and show what it would do; nothing is bought.
    Check(CheckFlags<J>),
    /// Plan a run: who would be hired, what it would take and cost; nothing is bought.
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(Box<PlanFlags<J>>),
    /// Resume a run with the command line that it was last started with.
    Resume(super::resume::ResumeFlags),
    /// Show in one row where a run stands.
    #[command(visible_alias = "status", after_help = inspect::SUMMARY_EXAMPLES)]
    Summary(inspect::WatchFlags),
    /// Show the activities of a run: what each one does, has done, and costs.
    #[command(after_help = inspect::SHOW_EXAMPLES)]
    Show(inspect::WatchFlags),
    /// List the runs in a database, the newest first; delete old ones.
    #[command(visible_alias = "ls", alias = "list", after_help = inspect::RUNS_EXAMPLES)]
    Runs(inspect::RunsFlags),
    /// Wait until a run has ended, and exit with its exit code.
    #[command(after_help = inspect::WAIT_EXAMPLES)]
    Wait(inspect::WaitFlags),
    /// Sum up what was paid: by run, by provider or by day.
    #[command(alias = "costs", after_help = inspect::COST_EXAMPLES)]
    Cost(inspect::CostFlags),
    /// Write the results of a run, one task a line, in the order of the tasks.
    #[command(after_help = inspect::RESULTS_EXAMPLES)]
    Results(inspect::ResultsFlags),
    /// Show what failed in a run, where and why, the newest first.
    #[command(after_help = inspect::ERRORS_EXAMPLES)]
    Errors(inspect::ErrorsFlags),
    /// Follow a run in a full-screen view: look into tasks, block providers, stop it.
    #[command(after_help = inspect::TOP_EXAMPLES)]
    Top(inspect::TopFlags),
    /// Explain why a run has no more providers at work, or what happened to one of its tasks.
    #[command(alias = "why", after_help = inspect::EXPLAIN_EXAMPLES)]
    Explain(inspect::ExplainFlags),
    /// Serve a web page that shows the runs of a database, and one of them live.
    #[command(after_help = super::web::WEB_EXAMPLES)]
    Web(super::web::WebFlags),
    /// Write a run into one file of HTML to keep or to mail: its times, costs and failures.
    #[command(after_help = super::web::REPORT_EXAMPLES)]
    Report(super::web::ReportFlags),
    /// Stop a run that another process works on, in an orderly way, and wait for its end.
    #[command(visible_alias = "stop", after_help = inspect::CANCEL_EXAMPLES)]
    Cancel(inspect::CancelFlags),
    /// End what earlier runs left at the daemon, and settle bills that came late; nothing is bought.
    Settle(super::settle::SettleFlags),
    /// List providers with what is known of them; block or unblock them.
    #[command(after_help = inspect::PROVIDERS_EXAMPLES)]
    Providers(inspect::ProvidersFlags),
    /// Bring the services of a file up, in their order, and keep them up.
    #[command(after_help = super::services::UP_EXAMPLES)]
    Up(Box<super::services::UpFlags>),
    /// Bring services down, in order, and wait until they are.
    #[command(after_help = super::services::DOWN_EXAMPLES)]
    Down(Box<super::services::DownFlags>),
    /// List the instances of services with their states and addresses.
    #[command(after_help = super::services::PS_EXAMPLES)]
    Ps(super::services::PsFlags),
    /// Show the output of a service's instances.
    #[command(after_help = super::services::LOGS_EXAMPLES)]
    Logs(super::services::LogsFlags),
    /// Run a command on an instance of a service.
    #[command(after_help = super::services::EXEC_EXAMPLES)]
    Exec(super::services::ExecFlags),
    /// Let ports of this machine lead to a service, until Ctrl+C.
    #[command(after_help = super::reach::FORWARD_EXAMPLES)]
    Forward(super::reach::ForwardFlags),
    /// Open a shell on an instance of a service by ssh, or run a command there.
    #[command(after_help = super::reach::SSH_EXAMPLES)]
    Ssh(super::reach::SshFlags),
    /// Connect the standard input and output to a port of an instance; `ssh` uses it.
    #[command(hide = true)]
    Connect(super::reach::ConnectFlags),
    /// List the offers on the market with their prices; nothing is bought.
    #[command(after_help = super::look::MARKET_EXAMPLES)]
    Market(super::look::MarketFlags),
    /// Check everything that a run needs: daemon, key, money, market, database; nothing is bought.
    #[command(after_help = super::look::DOCTOR_EXAMPLES)]
    Doctor(super::look::DoctorFlags),
    /// Create the tables for runs in a database, or bring them up to date.
    ///
    /// `run` does this by itself, where it is allowed to.
    Install(InstallFlags),
    /// Print the script that completes commands and flags in a shell.
    #[command(after_help = super::generated::COMPLETIONS_EXAMPLES)]
    Completions(super::generated::CompletionsFlags),
    /// Print the manual page of the program or of a command, or write all of them into a folder.
    #[command(after_help = super::generated::MAN_EXAMPLES)]
    Man(super::generated::ManFlags),
    /// Serve an emulated Golem Network on which to test your own app, in any language.
    #[cfg(feature = "devnet")]
    Devnet(Box<super::devnet::DevnetFlags>),
}

/// The verbosity of logs.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct Logging {
    /// Log more to standard error: -v lifecycle, -vv decisions, -vvv requests; RUST_LOG, if set, overrides this.
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = INSIDE)]
    pub(super) verbose: u8,
    /// Also append a log of decisions to this file.
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath, help_heading = INSIDE)]
    pub(super) log_file: Option<PathBuf>,
    /// Print help; -h prints a short form.
    #[arg(short, long, action = ArgAction::Help, global = true, help_heading = INSIDE)]
    help: Option<bool>,
}

impl Logging {
    /// The words by which it was asked for.
    pub(super) fn words(&self) -> Vec<String> {
        let file = self.log_file.iter().map(|file| format!("--log-file={}", file.display()));
        (0..self.verbose).map(|_| "-v".to_owned()).chain(file).collect()
    }
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

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct PlanFlags<J: ClapArgs> {
    /// The time that a task takes, such as 2m [default: that of earlier runs of the same job]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) task_takes: Option<Duration>,
    /// The time to look at the market.
    #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "5s")]
    pub(super) lasting: Duration,
    #[command(flatten)]
    pub(super) run: RunFlags<J>,
}

/// Flags of `run` that stand instead of values in the job file.
const LIMITS: &str = "Limits, instead of those in the job file";
const NETWORK: &str = "Network and daemon";
const KEEPING: &str = "Resuming, choosing tasks, keeping";
const INSIDE: &str = "Help and logs";

#[derive(Debug, Clone, Default, ClapArgs)]
#[command(after_help = RUN_EXAMPLES)]
pub(crate) struct RunFlags<J: ClapArgs = JobFile> {
    #[command(flatten)]
    pub(crate) which: J,

    /// Run on an emulated network inside this program: no daemon, no key, no money.
    #[arg(long)]
    pub(crate) devnet: bool,
    /// GLM that may be spent: 3/h in any hour, 20/d in any day, 10 in all; several with commas, or given again [default: 1]
    #[arg(long, value_name = "GLM", value_parser = budget)]
    pub(crate) budget: Vec<Budget>,
    /// The most providers that work at the same time [default: 5]
    #[arg(long, value_name = "N", value_parser = at_least_one::<u32>)]
    pub(crate) workers: Option<u32>,
    /// The name of the run; an existing run with this name is resumed [default: a random one]
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub(crate) run_id: Option<String>,
    /// Write one JSON object a line to standard output; docs/json-output.md explains them.
    #[arg(long)]
    pub(crate) json: bool,
    /// Serve a web page of this run while it goes on, at this address [default: 127.0.0.1:8899]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "a flag whose value may be left out")]
    pub(crate) web: Option<Option<Listen>>,
    /// Serve metrics for Prometheus while it goes on, at this address [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "a flag whose value may be left out")]
    pub(crate) metrics: Option<Option<Listen>>,
    /// Show results only, and the summary if something went wrong; with --json, JSON and errors only.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show the plan of the run first, as `plan` does, and ask before anything is bought.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Ask only where the run is expected to cost more than this; where that isn't known, its budget counts.
    #[arg(long, value_name = "GLM", value_parser = amount)]
    pub(crate) confirm_above: Option<Glm>,
    /// Answer yes: --confirm shows the plan and doesn't ask.
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// The most that one hour of one provider at full use may cost; none for any price [default: 5]
    #[arg(long, value_name = "GLM", value_parser = cap, help_heading = LIMITS)]
    pub(crate) max_price_per_hour: Option<Cap>,
    /// The most that a provider may charge for starting; none for any price [default: 0.5]
    #[arg(long, value_name = "GLM", value_parser = cap, help_heading = LIMITS)]
    pub(crate) max_start_price: Option<Cap>,
    /// The longest time that one attempt at one task may take, such as 90s or 1h30m [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = LIMITS)]
    pub(crate) task_timeout: Option<Duration>,
    /// How often a failed task is retried [default: 3]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(crate) retries: Option<u32>,
    /// Stop the run after this many results [default: all of them]
    #[arg(long, value_name = "N", help_heading = LIMITS, value_parser = at_least_one::<u64>)]
    pub(crate) results: Option<u64>,
    /// Stop the run after this many tasks have failed: a number, or a share of those that have ended, such as 10%.
    #[arg(long, value_name = "N|N%", value_parser = halt, help_heading = LIMITS)]
    pub(crate) halt: Option<Halt>,
    /// What to do when the budget is exhausted: stop, or pause until an hour or day of it frees enough [default: stop]
    #[arg(long, value_name = "WHAT", value_parser = on_budget, help_heading = LIMITS)]
    pub(crate) on_budget: Option<OnBudget>,
    /// The most that one result may cost on average: an activity that costs more after --price-grace is ended.
    #[arg(long, value_name = "GLM", value_parser = amount, help_heading = LIMITS)]
    pub(crate) max_price: Option<Glm>,
    /// How long an activity may work before --max-price applies, such as 300s [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = time_or_none, help_heading = LIMITS)]
    pub(crate) price_grace: Option<Duration>,
    /// How long an agreement with a provider may last, at least 6m; new ones follow while there is work [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = expiration, help_heading = LIMITS)]
    pub(crate) expiration: Option<Duration>,
    /// How long to wait while nothing runs before giving up [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = LIMITS)]
    pub(crate) idle_timeout: Option<Duration>,
    /// How long to wait for the last bills at the end [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = time_or_none, help_heading = LIMITS)]
    pub(crate) settle_timeout: Option<Duration>,

    /// The part of the market to buy on [env: YAGNA_SUBNET] [default: public]
    #[arg(long, value_name = "NAME", help_heading = NETWORK)]
    pub(crate) subnet: Option<String>,
    /// The chain to pay on [env: YAGNA_PAYMENT_NETWORK, PAYMENT_NETWORK] [default: hoodi]
    ///
    /// hoodi is a test network, where GLM costs nothing; polygon and mainnet are real money.
    #[arg(long, value_name = "NAME", help_heading = NETWORK)]
    pub(crate) network: Option<String>,
    /// The payment driver [env: YAGNA_PAYMENT_DRIVER] [default: erc20]
    #[arg(long, value_name = "NAME", help_heading = NETWORK)]
    pub(crate) driver: Option<String>,
    /// The yagna daemon's address [env: YAGNA_API_URL] [default: http://127.0.0.1:7465]
    ///
    /// Where some of its APIs have other addresses, set YAGNA_MARKET_URL, YAGNA_PAYMENT_URL, YAGNA_ACTIVITY_URL or
    /// YAGNA_NET_URL to the full address, such as http://127.0.0.1:7465/market-api/v1.
    #[arg(long, value_name = "URL", conflicts_with = "devnet", help_heading = NETWORK)]
    pub(crate) api_url: Option<String>,
    /// A key of the daemon [env: YAGNA_APPKEY]
    ///
    /// The variable is safer: other users of this machine can see flags.
    #[arg(long, value_name = "KEY", value_parser = app_key, conflicts_with = "devnet", help_heading = NETWORK)]
    pub(crate) app_key: Option<AppKey>,
    /// Rent from this provider only, by its name, its id or the beginning of its id; can be given again.
    #[arg(long, value_name = "NAME|0x..", help_heading = NETWORK)]
    pub(crate) provider: Vec<String>,
    /// Never rent from this provider; can be given again.
    #[arg(long, value_name = "NAME|0x..", help_heading = NETWORK)]
    pub(crate) exclude_provider: Vec<String>,
    /// The number of providers on the emulated network [default: 3]
    #[arg(long, value_name = "N", requires = "devnet", help_heading = NETWORK,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) devnet_providers: Option<u32>,
    /// Make the emulated network behave the same again [default: random]
    #[arg(long, value_name = "SEED", requires = "devnet", help_heading = NETWORK)]
    pub(crate) devnet_seed: Option<u64>,

    /// Retry the failed tasks of the run, each with all its retries; what is done stays.
    #[arg(long, requires = "run_id", help_heading = KEEPING)]
    pub(crate) retry_failed: bool,
    /// Do only these tasks: their numbers, as in the first column of the results, such as 1,4,10-20, or the tasks themselves.
    ///
    /// The others are left for the same command without --only. In a run that exists, those that failed are retried, and
    /// those that are done stay done.
    #[arg(long, value_name = "TASKS", value_delimiter = ',', help_heading = KEEPING)]
    pub(crate) only: Vec<Wish>,
    /// Resume although the job has changed; tasks already read keep their old values.
    #[arg(long, requires = "run_id", help_heading = KEEPING)]
    pub(crate) changed_job: bool,
    /// Run this command on this machine once the run has ended; GOLEM_RUN_ID, GOLEM_STATE and others tell it of the run.
    #[arg(long, value_name = "COMMAND", help_heading = KEEPING)]
    pub(crate) on_end: Option<String>,
    /// Send the summary as JSON to this address once the run has ended; can be given again.
    #[arg(long, value_name = "URL", value_parser = url, help_heading = KEEPING)]
    pub(crate) notify: Vec<String>,
    /// The database of runs, such as sqlite:runs.db or postgres://me@localhost/golem [env: GOLEM_TASKS_DSN] [default:
    /// a file in your data folder]
    #[arg(long, value_name = "DSN", help_heading = KEEPING)]
    pub(crate) dsn: Option<String>,
}
