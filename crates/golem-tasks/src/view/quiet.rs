//! Results and nothing else.

use golem_core::event::Event;

use super::output::Output;
use super::results::write_results;
use super::{Facts, SummaryFold, View};
use crate::store::RunSummary;

/// Results as lines on stdout; how the run ended is left to the exit code.
#[derive(Debug)]
pub struct Quiet {
    fold: SummaryFold,
    out: Output,
}

impl Quiet {
    /// Of a run that begins.
    pub fn new(facts: Facts, out: Output) -> Self {
        Self {
            fold: SummaryFold::new(facts.run_id, facts.started),
            out,
        }
    }
}

impl View for Quiet {
    fn on(&mut self, events: &[Event]) {
        for event in events {
            self.fold.apply(event);
        }
        write_results(events, &mut self.out);
    }

    fn finish(&mut self) -> RunSummary {
        self.fold.summary()
    }
}
