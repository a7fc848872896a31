//! Results and nothing else.

use golem_core::event::Event;

use super::View;
use super::output::Output;
use super::results::write_results;
use crate::store::RunSummary;

/// Results as lines on stdout; how the run ended is left to the exit code.
#[derive(Debug)]
pub struct Quiet {
    out: Output,
}

impl Quiet {
    /// Of a run that begins.
    pub fn new(out: Output) -> Self {
        Self { out }
    }
}

impl View for Quiet {
    fn on(&mut self, events: &[Event]) {
        write_results(events, &mut self.out);
    }

    fn finish(&mut self, _: &RunSummary) {}
}
