//! The flags of the commands that look into a database of runs, as they are typed, and the examples of their help.

#![expect(clippy::doc_markdown, reason = "these comments are the text of --help")]

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum, ValueHint};

use crate::cli::args::run_id;

pub(in crate::cli) const SHOW_EXAMPLES: &str = "\
Examples:
  golem-tasks show
      The newest run.
  golem-tasks show --watch
      Again every second, with the summary below, until Ctrl+C.
  golem-tasks show --run-id brave-otter-4821 --json | jq '.activities[] | select(.status == \"READY\")'";

pub(in crate::cli) const SUMMARY_EXAMPLES: &str = "\
Examples:
  golem-tasks summary --watch
  golem-tasks summary --json | jq .cost
  golem-tasks summary --dsn 'dbname=golem host=db.local' --run-id brave-otter-4821";

pub(in crate::cli) const RUNS_EXAMPLES: &str = "\
Examples:
  golem-tasks runs --limit 5
  golem-tasks runs --json | jq -r '.runs[] | select(.state == \"interrupted\") | .run'";

pub(in crate::cli) const RESULTS_EXAMPLES: &str = "\
Examples:
  golem-tasks results | jq -r .stdout
      What each task of the newest run printed, in the order of the tasks.
  golem-tasks results --run-id brave-otter-4821 --output results.csv
  golem-tasks results --all | jq 'select(.status != \"done\") | .task'
      Tasks without a result.";

pub(in crate::cli) const ERRORS_EXAMPLES: &str = "\
Examples:
  golem-tasks errors
      What failed in the newest run, by reason.
  golem-tasks errors --all | less
      Each failure by itself.";

pub(in crate::cli) const PROVIDERS_EXAMPLES: &str = "\
Examples:
  golem-tasks providers
      All that the runs of this database have dealt with, as the next run will know them.
  golem-tasks providers --run-id brave-otter-4821
      What each one did in that run, and for how much.
  golem-tasks providers block mighty-badger --reason 'its results are wrong'
      No run of this database signs with it any more.
  golem-tasks providers unblock mighty-badger
  golem-tasks providers --json | jq '.providers[] | select(.tasks_done == 0) | .id'
      Those that gave nothing.

What happened counts half after three days, and so on. Those that failed lately come after others, those
that were fast or cheap before. One agreement in four is made as if nothing were known.";

pub(in crate::cli) const CANCEL_EXAMPLES: &str = "\
Examples:
  golem-tasks cancel
      The newest run.
  golem-tasks cancel --run-id brave-otter-4821

The run's own process, on whichever machine, hears of it by the database. It does what it would on Ctrl+C: it takes on
no more work, lets running tasks finish for some seconds, ends its agreements and settles its bills.";

/// The examples of all of these commands.
pub(in crate::cli) const EXAMPLES: [(&str, &str); 7] = [
    ("show", SHOW_EXAMPLES),
    ("summary", SUMMARY_EXAMPLES),
    ("runs", RUNS_EXAMPLES),
    ("results", RESULTS_EXAMPLES),
    ("errors", ERRORS_EXAMPLES),
    ("providers", PROVIDERS_EXAMPLES),
    ("cancel", CANCEL_EXAMPLES),
];

// Which database. (Not a doc comment: it would become the command's description.)
#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct Place {
    /// The database of runs, as `install` takes it [env: GOLEM_TASKS_DSN] [default: a file in your data folder]
    #[arg(long, value_name = "DSN")]
    pub(super) dsn: Option<String>,
}

// Which run.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct Which {
    #[command(flatten)]
    pub(super) place: Place,
    /// The run [default: the newest]
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub(super) run_id: Option<String>,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct WatchFlags {
    #[command(flatten)]
    pub(super) which: Which,
    /// Show it again every second, in place on a terminal, elsewhere when something has changed; until Ctrl+C.
    #[arg(short, long)]
    pub(super) watch: bool,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(in crate::cli) struct RunsFlags {
    #[command(flatten)]
    pub(super) place: Place,
    /// How many, the newest first.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

/// How results are written.
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
    /// How to write them [default: csv where the output's name ends in .csv, else jsonl]
    #[arg(long, value_enum)]
    pub(super) format: Option<Format>,
    /// Write to this file, which is there only once it is whole [default: standard output]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) output: Option<PathBuf>,
    /// Every task, also those without a result.
    #[arg(long)]
    pub(super) all: bool,
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
    #[command(flatten)]
    pub(super) place: Place,
    /// What they did in this run alone [default: in all runs]
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub(super) run_id: Option<String>,
    /// Write one JSON object; docs/json-output.md explains it.
    #[arg(long)]
    pub(super) json: bool,
}

/// What is decided about providers by hand.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum ProvidersAction {
    /// Sign with these no more, in any run of this database.
    ///
    /// Runs that go on hear of it within seconds. An agreement that exists already isn't ended.
    Block(BlockFlags),
    /// Let runs sign with these again.
    Unblock(UnblockFlags),
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct BlockFlags {
    /// Each by its node id, or by its name where only one has it.
    #[arg(value_name = "NAME|ID", required = true)]
    pub(super) providers: Vec<String>,
    /// Why, for yourself: it is shown where offers are refused, and never told to the provider.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(in crate::cli) struct UnblockFlags {
    /// Each by its node id, or by its name where only one that is blocked has it.
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
