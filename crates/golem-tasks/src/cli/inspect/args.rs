//! The flags of the commands that look into a database of runs, as they are typed, and the examples of their help.

#![expect(clippy::doc_markdown, reason = "these comments are the text of --help")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum, ValueHint};

use crate::cli::values::{at_least_one, run_id, time_or_none};
use crate::store::{Dsn, DsnError};

pub(in crate::cli) const SHOW_EXAMPLES: &str = "\
Examples:
  golem-tasks show
      The newest run.
  golem-tasks show --watch
      Again every second, with the summary below, until the run has ended.
  golem-tasks show brave-otter --json | jq '.activities[].status'";

pub(in crate::cli) const SUMMARY_EXAMPLES: &str = "\
Examples:
  golem-tasks summary --watch
  golem-tasks summary --json | jq .cost
  golem-tasks summary brave-otter-4821 --dsn 'dbname=golem host=db.local'";

pub(in crate::cli) const RUNS_EXAMPLES: &str = "\
Examples:
  golem-tasks runs --limit 5
  golem-tasks runs --since 7d --state interrupted
  golem-tasks runs --json | jq -r '.runs[] | .run'
  golem-tasks runs rm brave-otter-4821 calm-wren
  golem-tasks runs prune --older-than 30d --failed --dry-run
      Shows what would be deleted; without --dry-run it is deleted.";

pub(in crate::cli) const WAIT_EXAMPLES: &str = "\
Examples:
  golem-tasks wait night && mail -s 'the frames are there' me@example.org
      The exit code is that of the run: docs/exit-codes.md.
  timeout 8h golem-tasks wait
      The newest run, for eight hours at the most.";

pub(in crate::cli) const COST_EXAMPLES: &str = "\
Examples:
  golem-tasks cost --since 7d
      What each run of this database cost in the last seven days.
  golem-tasks cost --by provider
  golem-tasks cost --by day --json | jq -r '.rows[] | [.day, .cost] | @tsv'

An amount counts when its bill was accepted. Days are those of UTC.";

pub(in crate::cli) const RESULTS_EXAMPLES: &str = "\
Examples:
  golem-tasks results | jq -r .stdout
      The output of each task of the newest run, in the order of the tasks.
  golem-tasks results brave-otter-4821 --output results.csv
  golem-tasks results --columns task,data,pi > pi.csv
      Fields of JSON as columns.
  golem-tasks results --all | jq 'select(.status != \"done\") | .task'
      Tasks without a result.
  golem-tasks results --joblog - | sort -n -k 4 | tail
      The slowest tasks, in the form of GNU parallel's --joblog.";

pub(in crate::cli) const ERRORS_EXAMPLES: &str = "\
Examples:
  golem-tasks errors
      What failed in the newest run, by reason.
  golem-tasks errors --all | less
      Each failure by itself.";

pub(in crate::cli) const PROVIDERS_EXAMPLES: &str = "\
Examples:
  golem-tasks providers
      All providers of all runs in this database.
  golem-tasks providers brave-otter-4821
      What each one did in that run, and for how much.
  golem-tasks providers block mighty-badger --reason 'its results are wrong'
      No run of this database rents from it any more.
  golem-tasks providers unblock mighty-badger
  golem-tasks providers --json | jq -r '.providers[] | .id'
      Their ids.

What happened counts half after three days, and so on. Providers that failed
lately are chosen after others, fast and cheap ones before. One agreement in
four is made as if nothing were known.";

pub(in crate::cli) const TOP_EXAMPLES: &str = "\
Examples:
  golem-tasks top
      The newest run: progress, providers, tasks at work, failures, all runs.
  golem-tasks top brave-otter --dsn 'dbname=golem host=db.local'
      A run of another machine, over its database.

Keys: 1 to 4 lists, Enter looks into a line, t into any task, s sorts, / filters,
b blocks a provider, c stops the run, ? helps, q leaves. The run goes on.";

pub(in crate::cli) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  golem-tasks explain
      The newest run: how many providers were seen, fit, agreed, signed and work,
      why the others don't, and the one thing that would help most.
  golem-tasks explain 12
      Its task 12: what it waited for, and where, when and why each attempt ended.
  golem-tasks explain 'scenes/shot 02.blend' --run-id brave-otter
      A task whose data is this text.
  golem-tasks explain --json | jq -r .advice";

pub(in crate::cli) const CANCEL_EXAMPLES: &str = "\
Examples:
  golem-tasks cancel
      The newest run.
  golem-tasks cancel brave-otter-4821

The request goes through the database to the run's own process, on whichever
machine. It does the same as on Ctrl+C: it starts no more tasks, lets running
tasks finish for some seconds, ends its agreements and settles its bills.";

/// The examples of all of these commands.
pub(in crate::cli) const EXAMPLES: [(&str, &str); 11] = [
    ("show", SHOW_EXAMPLES),
    ("summary", SUMMARY_EXAMPLES),
    ("runs", RUNS_EXAMPLES),
    ("wait", WAIT_EXAMPLES),
    ("cost", COST_EXAMPLES),
    ("results", RESULTS_EXAMPLES),
    ("errors", ERRORS_EXAMPLES),
    ("explain", EXPLAIN_EXAMPLES),
    ("top", TOP_EXAMPLES),
    ("providers", PROVIDERS_EXAMPLES),
    ("cancel", CANCEL_EXAMPLES),
];

fn column(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a column needs a name".to_owned()),
        name => Ok(name.to_owned()),
    }
}

// Which database. (Not a doc comment: it would become the command's description.)
#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct Place {
    /// The database of runs, as `install` takes it [env: GOLEM_TASKS_DSN] [default: a file in your data folder]
    #[arg(long, value_name = "DSN")]
    pub(in crate::cli) dsn: Option<String>,
    /// The database of runs on emulated networks, which `run --devnet` keeps beside the default one.
    #[arg(long, conflicts_with = "dsn")]
    pub(in crate::cli) devnet: bool,
}

// Which run.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct Which {
    /// The run, by its id or the beginning of it [default: the newest]
    #[arg(value_name = "RUN", value_parser = run_id, conflicts_with = "run_id")]
    run: Option<String>,
    /// RUN as a flag.
    #[arg(long, value_name = "ID", value_parser = run_id)]
    run_id: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
}

impl Place {
    /// The database that is meant.
    pub(in crate::cli) fn dsn(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Dsn, DsnError> {
        Dsn::choose(self.dsn.as_deref(), environment, self.devnet)
    }
}

impl Which {
    /// The run that is meant, by its id or the beginning of it; none: the newest.
    pub(in crate::cli) fn run_id(&self) -> Option<&str> {
        self.run.as_deref().or(self.run_id.as_deref())
    }
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct WatchFlags {
    #[command(flatten)]
    pub(super) which: Which,
    /// Show it again every second, in place on a terminal, elsewhere when something has changed; until the run has ended.
    #[arg(short, long)]
    pub(super) watch: bool,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, ClapArgs)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(in crate::cli) struct RunsFlags {
    #[command(subcommand)]
    pub(super) action: Option<RunsAction>,
    #[command(flatten)]
    pub(super) place: Place,
    /// The most runs to list, the newest first.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one::<u32>)]
    pub(super) limit: u32,
    /// Only runs that began in this time before now, such as 7d, 2w or 12h.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(super) since: Option<Duration>,
    /// Only runs in this state; can be given again.
    #[arg(long, value_name = "STATE", value_enum)]
    pub(super) state: Vec<StateWord>,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

/// The words for the states of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StateWord {
    /// A process works on it.
    Running,
    /// A process brings it to its end.
    Stopping,
    /// It is over.
    Ended,
    /// It isn't over, and no process works on it.
    Interrupted,
}

impl StateWord {
    /// The word itself.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
            Self::Interrupted => "interrupted",
        }
    }
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct WaitFlags {
    #[command(flatten)]
    pub(super) which: Which,
}

/// The ways to sum costs up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum By {
    /// A row for each run.
    #[default]
    Run,
    /// A row for each provider.
    Provider,
    /// A row for each day.
    Day,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct CostFlags {
    /// Only what was accepted in this time before now, such as 7d, 2w or 12h [default: all]
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(super) since: Option<Duration>,
    /// The kind of rows.
    #[arg(long, value_enum, default_value_t)]
    pub(super) by: By,
    #[command(flatten)]
    pub(super) place: Place,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct TopFlags {
    #[command(flatten)]
    pub(super) which: Which,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct ExplainFlags {
    /// A task of the run, by its number or by its data where that is a text [default: the run itself]
    #[arg(value_name = "TASK")]
    pub(super) task: Option<String>,
    /// The run, by its id or the beginning of it [default: the newest]
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub(super) run_id: Option<String>,
    #[command(flatten)]
    pub(super) place: Place,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

/// The ways to delete runs.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum RunsAction {
    /// Delete runs with their tasks, results and bills: all of the named ones, or none.
    ///
    /// A run that a process works on is refused, and one that isn't settled. What the runs told of providers is forgotten
    /// with them; blocks of providers stay.
    Rm(RmFlags),
    /// Delete the runs that ended long ago, with their tasks, results and bills.
    ///
    /// Runs that a process works on are kept, and those that aren't settled; the command names them.
    Prune(PruneFlags),
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct RmFlags {
    /// Each by its id or the beginning of it.
    #[arg(value_name = "RUN", required = true, value_parser = run_id)]
    pub(super) runs: Vec<String>,
    /// Delete runs that aren't settled, too: what they may owe at the daemon is no longer known then.
    #[arg(short, long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) place: Place,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(in crate::cli) struct PruneFlags {
    /// The least age of a run since its end, such as 30d, 2w or 12h; one that never ended counts from its beginning.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(super) older_than: Duration,
    /// Only runs with failed tasks, and runs that were stopped or interrupted before they were done.
    #[arg(long)]
    pub(super) failed: bool,
    /// Delete runs that aren't settled, too: what they may owe at the daemon is no longer known then.
    #[arg(short, long)]
    pub(super) force: bool,
    /// Delete nothing: only say what would be deleted.
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) place: Place,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

/// An age in days, weeks, or anything that a time can be.
fn age(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected an age such as 30d, 2w or 12h";
    let text = text.trim();
    let days = [("d", 1), ("w", 7)].into_iter().find_map(|(unit, days)| {
        let n: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        Some(n.checked_mul(days * 24 * 3600))
    });
    match days {
        Some(seconds) => seconds.map(Duration::from_secs).ok_or_else(|| EXPECTED.to_owned()),
        None => time_or_none(text).map_err(|_| EXPECTED.to_owned()),
    }
}

/// The format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// One JSON object a line; docs/json-output.md explains it.
    Jsonl,
    /// Comma-separated values, with titles in the first line.
    Csv,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct ResultsFlags {
    #[command(flatten)]
    pub(super) which: Which,
    /// The columns of CSV, with commas between them: those that there always are, and fields of JSON.
    ///
    /// A field is looked for in the result, then in what the task printed, where that is JSON, then in the task itself.
    /// `best.score` is a field of a field, and `data.seed`, `result.pi` and `stdout.pi` say where to look.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = column)]
    pub(super) columns: Option<Vec<String>>,
    /// The format [default: csv with --columns and where the output's name ends in .csv, else jsonl]
    #[arg(long, value_enum)]
    pub(super) format: Option<Format>,
    /// Write to this file, which is there only once it is whole [default: standard output]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) output: Option<PathBuf>,
    /// Every task, also those without a result.
    #[arg(long)]
    pub(super) all: bool,
    /// Write the columns of GNU parallel's job log into this file instead, for each task that was tried; - for standard output.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath,
          conflicts_with_all = ["columns", "format", "output", "all"])]
    pub(super) joblog: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct ErrorsFlags {
    #[command(flatten)]
    pub(super) which: Which,
    /// Each failure by itself instead of by reason.
    #[arg(long)]
    pub(super) all: bool,
    /// Write one JSON object, with --all one a line; docs/json-output.md explains them.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Default, ClapArgs)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(in crate::cli) struct ProvidersFlags {
    #[command(subcommand)]
    pub(super) action: Option<ProvidersAction>,
    /// Only the work for this run, named by its id or the beginning of it [default: for all runs]
    #[arg(value_name = "RUN", value_parser = run_id, conflicts_with = "run_id")]
    run: Option<String>,
    /// RUN as a flag.
    #[arg(long, value_name = "ID", value_parser = run_id)]
    run_id: Option<String>,
    #[command(flatten)]
    pub(super) place: Place,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

impl ProvidersFlags {
    /// The run that is meant; none: all of them.
    pub(super) fn run_id(&self) -> Option<&str> {
        self.run.as_deref().or(self.run_id.as_deref())
    }
}

/// The decisions about providers that people make.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum ProvidersAction {
    /// Never rent from these providers again, in any run of this database.
    ///
    /// Running runs learn of it within seconds. An existing agreement is not ended.
    Block(BlockFlags),
    /// Let runs rent from these providers again.
    Unblock(UnblockFlags),
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct BlockFlags {
    /// Each by its node id or its name, or by the beginning of either where only one provider has it.
    #[arg(value_name = "NAME|ID", required = true)]
    pub(super) providers: Vec<String>,
    /// A reason for yourself: it is shown where offers are refused, and never told to the provider.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct UnblockFlags {
    /// Each by its node id or its name, or by the beginning of either where only one blocked provider has it.
    #[arg(value_name = "NAME|ID", required = true)]
    pub(super) providers: Vec<String>,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct CancelFlags {
    #[command(flatten)]
    pub(super) which: Which,
}
