//! Results, and nothing else while all goes well.

use std::io;

use golem_core::event::{Event, StopReason};

use super::output::Output;
use super::results::write_results;
use super::summary::write_summary;
use super::{Facts, View};
use crate::store::RunSummary;

/// Results as lines on stdout; on stderr the summary, if not every task has its result in the end.
#[derive(Debug)]
pub struct Quiet {
    facts: Facts,
    out: Output,
    err: Output,
}

impl Quiet {
    /// Creates the view of a new run.
    pub fn new(facts: Facts, out: Output, err: Output) -> Self {
        Self { facts, out, err }
    }
}

impl View for Quiet {
    fn on(&mut self, events: &[Event]) {
        write_results(events, &mut self.out, None, self.facts.prints_itself);
    }

    fn finish(&mut self, summary: &RunSummary) {
        let why = summary.ended.as_ref().map(|ended| ended.end.why);
        if !matches!(why, Some(StopReason::AllDone | StopReason::ResultsReached | StopReason::PartDone))
            || summary.tasks.failed > 0
        {
            self.err.write(&write_summary(summary, &self.facts));
        }
    }

    fn lost(&self) -> Option<&io::Error> {
        self.out.lost()
    }
}
