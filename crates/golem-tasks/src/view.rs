//! The views of a running run for people and machines, made from its events and nothing else.
//!
//! A [`View`] is fed the events once they are durable. Results go to stdout, everything else to stderr; so results
//! can be piped while somebody watches. Nothing here waits for anything or knows the engine.
//!
//! | view | when | stdout | stderr |
//! |---|---|---|---|
//! | [`Bar`] | stderr is a terminal | results | a progress bar, the summary |
//! | [`Plain`] | it isn't | results | a line for what happens, the summary |
//! | [`Json`] | `--json` | one JSON object a line | as plain |
//! | [`Json`] | `--json --quiet` | the same | nothing |
//! | [`Quiet`] | `--quiet` | results | the summary, if something went wrong |
//!
//! What is seen of runs that are kept, whoever runs them, is in `kept`: it is made from the store.

mod bar;
mod json;
pub(crate) mod kept;
pub(crate) mod market;
mod output;
mod plain;
pub(crate) mod plan;
mod quiet;
mod report;
mod results;
pub(crate) mod services;
mod summary;
mod table;
mod terminal;
pub(crate) mod text;
pub(crate) mod top;
mod trouble;
mod words;

use std::io;

use golem_core::event::Event;
use yagna_api::Timestamp;

pub use bar::Bar;
pub use json::{Json, summary_json};
pub(crate) use json::{VERSION as JSON_VERSION, line as json_line};
pub use output::Output;
pub use plain::Plain;
pub use quiet::Quiet;
pub use summary::SummaryFold;
pub use terminal::{Terminal, TerminalWriter};

pub use crate::options::Style;
use crate::store::RunSummary;
pub use report::report;

/// Shows a run.
pub trait View: Send {
    /// These events happened, and are durable.
    fn on(&mut self, events: &[Event]);

    /// Time passes; called about once a second, so that nobody waits in silence.
    fn tick(&mut self, _now: Timestamp) {}

    /// Something is to be said that no event says.
    fn note(&mut self, _now: Timestamp, _text: &str) {}

    /// The run is over or given up: the last words. `summary` is the store's.
    fn finish(&mut self, summary: &RunSummary);

    /// The error by which text for stdout was lost though its reader was still there.
    fn lost(&self) -> Option<&io::Error>;
}

/// The facts about a run before its first event.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The run.
    pub run_id: String,
    /// The time at which this process began to work on it.
    pub started: Timestamp,
    /// The number of tasks, if it is known.
    pub total: Option<u64>,
    /// The budget, for people.
    pub budget: Option<String>,
    /// The place where its results are kept, for people.
    pub place: String,
    /// The command that tries again what failed, for people; none where no command line began the run.
    pub retry: Option<String>,
    /// True if the job prints by itself: a result that is null gets no line.
    pub prints_itself: bool,
    /// The way in which it begins, such as a new run.
    pub beginning: Beginning,
}

/// The ways in which work on a run begins.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Beginning {
    /// It is a new run.
    #[default]
    New,
    /// It is resumed; this is what it came to before.
    Again(Box<SummaryFold>),
    /// It has ended before, and nothing is left to be done.
    Over,
}

impl Facts {
    /// The counts to begin with.
    fn fold(&mut self) -> SummaryFold {
        match &mut self.beginning {
            // It isn't needed any more; that it was there is.
            Beginning::Again(earlier) => {
                std::mem::replace(&mut **earlier, SummaryFold::new(self.run_id.clone(), self.started))
            }
            Beginning::New | Beginning::Over => SummaryFold::new(self.run_id.clone(), self.started),
        }
    }

    /// The first line about a run.
    fn hello(&self) -> String {
        let Self { run_id, place, .. } = self;
        match self.beginning {
            Beginning::New => format!("run {run_id} begins, kept in {place}"),
            Beginning::Again(ref fold) if fold.settles() => {
                format!("run {run_id} is resumed to be settled, kept in {place}")
            }
            Beginning::Again(_) => format!("run {run_id} is resumed, kept in {place}"),
            Beginning::Over => {
                format!("run {run_id} ended earlier and nothing is left to do, kept in {place}")
            }
        }
    }
}

/// The view of a run in this style, on the process's own stdout and stderr.
pub fn view(style: Style, facts: Facts, terminal: &Terminal) -> Box<dyn View> {
    match style {
        Style::Json => Box::new(Json::new(facts, Output::stdout(), Output::stderr())),
        Style::QuietJson => Box::new(Json::new(facts, Output::stdout(), Output::none())),
        Style::Quiet => Box::new(Quiet::new(facts, Output::stdout(), Output::stderr())),
        Style::Trouble => Box::new(trouble::Trouble::new(facts, Output::stderr())),
        Style::Silent => Box::new(Quiet::new(facts, Output::none(), Output::none())),
        // A bar and what a job prints by itself would get into each other's lines.
        Style::Text if terminal.is_attended() && !facts.prints_itself => {
            Box::new(Bar::new(facts, Output::stdout(), terminal))
        }
        Style::Text => Box::new(Plain::new(facts, Output::stdout(), Output::stderr())),
    }
}
