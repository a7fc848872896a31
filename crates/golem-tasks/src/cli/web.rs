//! The commands `web`, which serves the page, and `report`, which writes it into a file.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueHint};
use tokio_util::sync::CancellationToken;

use super::inspect::{self, args::Place, args::Which};
use crate::exit::{Exit, Failure};
use crate::listen::Listen;
use crate::signals::Stops;
use crate::store::Store;
use crate::view::Output;
use crate::web::{self, Page, Subject};

pub(super) const WEB_EXAMPLES: &str = "\
Examples:
  golem-tasks web
      The runs of this database at http://127.0.0.1:8899/, for this machine.
  golem-tasks web --devnet --listen 9000
  golem-tasks web --listen 0.0.0.0:8899
      For others, too: the address that is printed has a token in it.
  golem-tasks web --allow-control
      Runs can be cancelled there, and providers blocked.

The page asks nobody but this program. Nobody reads along between two machines
only where something encrypts it, such as `ssh -L 8899:localhost:8899 HOST`.
/metrics has the same runs for Prometheus: docs/web.md.";

pub(super) const REPORT_EXAMPLES: &str = "\
Examples:
  golem-tasks report
      The newest run, as a file of HTML with its name.
  golem-tasks report brave-otter-4821 -o night.html
  golem-tasks report -o - | mail -a 'Content-Type: text/html' me@example.org

The file is the page of `golem-tasks web` with the data of this run inside. It
opens without a network and asks nobody. It has no results: see `results`.";

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct WebFlags {
    /// The address to listen at, or a port of this machine alone; port 0 stands for any that is free [default:
    /// 127.0.0.1:8899]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// Let the page cancel runs and block providers; then it needs a token on this machine, too.
    #[arg(long)]
    allow_control: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct ReportFlags {
    #[command(flatten)]
    which: Which,
    /// Write to this file; - for standard output [default: the run's id and .html, in this folder]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// The variables of the environment.
type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Serves the page until Ctrl+C.
pub(super) async fn web(flags: &WebFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    let serve = async |store: &Store| {
        let listener = flags.listen.unwrap_or(Listen::PAGE).bind().await.map_err(|failure| {
            let advice = failure.advice().map(|advice| format!("{advice}; the flag is --listen"));
            advice.into_iter().fold(failure, Failure::advise)
        })?;
        let page = Page::new(listener, flags.allow_control)?;
        let mut output = Output::stdout();
        output.write(&format!("{}\n", page.url()));
        Output::stderr().write(&format!("shows the runs in {}; Ctrl+C ends it\n", store.place()));
        let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
        let stop = CancellationToken::new();
        let subject = Subject { store: store.clone(), run_id: None, requests: None };
        let serving = page.serve(subject, stop.clone());
        let listen = async {
            stops.next().await;
            stop.cancel();
        };
        let (served, ()) = tokio::join!(serving, listen);
        served.map(|()| Exit::Done)
    };
    if flags.allow_control {
        inspect::within_to_write(&flags.place, environment, serve).await
    } else {
        inspect::within(&flags.place, environment, serve).await
    }
}

/// Writes the report of a run.
pub(super) async fn report(flags: &ReportFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    inspect::within(&flags.which.place, environment, async |store| {
        let run_id = inspect::chosen(store, &flags.which, environment).await?;
        let page = web::report(store, &run_id).await?;
        let own;
        let path = if let Some(path) = &flags.output {
            path
        } else {
            own = PathBuf::from(format!("{run_id}.html"));
            &own
        };
        let is_standard = path == Path::new("-");
        let mut to = inspect::Destination::open(Some(path.as_path()).filter(|_| !is_standard))?;
        to.text(&page)?;
        to.finish()?;
        if !is_standard {
            Output::stderr().write(&format!("the report of run {run_id} is in {}\n", path.display()));
        }
        Ok(Exit::Done)
    })
    .await
}
