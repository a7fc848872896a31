//! What hinders a run, beside what somebody else tells of it: for services, whose instances are told of.

use std::io;

use golem_core::event::{Event, EventKind};
use yagna_api::Timestamp;

use super::output::Output;
use super::{Facts, SummaryFold, View, words};
use crate::store::RunSummary;

/// Lines on stderr for what hinders a run, with the run's name.
#[derive(Debug)]
pub(super) struct Trouble {
    fold: SummaryFold,
    run_id: String,
    err: Output,
    /// The last line that says why nothing runs: it is told again only when it says something else.
    waiting: String,
}

impl Trouble {
    pub(super) fn new(mut facts: Facts, err: Output) -> Self {
        let run_id = facts.run_id.clone();
        Self { fold: facts.fold(), run_id, err, waiting: String::new() }
    }
}

impl View for Trouble {
    fn on(&mut self, events: &[Event]) {
        self.fold.forget_names();
        for event in events {
            self.fold.apply(event);
            let is_trouble = matches!(
                event.kind,
                EventKind::Waiting { .. }
                    | EventKind::Trouble { .. }
                    | EventKind::AllocationLost { .. }
                    | EventKind::BillRefused { .. }
                    | EventKind::Paused { .. }
                    | EventKind::PauseEnded
            );
            let is_progress = matches!(event.kind, EventKind::TaskStarted { .. });
            if is_progress {
                self.waiting.clear();
            }
            let Some(line) = words::line(event, &self.fold).filter(|_| is_trouble) else { continue };
            if matches!(event.kind, EventKind::Waiting { .. }) {
                if line == self.waiting {
                    continue;
                }
                self.waiting.clone_from(&line);
            }
            self.err.write(&format!("{}: {line}\n", self.run_id));
        }
    }

    fn note(&mut self, _: Timestamp, text: &str) {
        self.err.write(&format!("{}: {text}\n", self.run_id));
    }

    fn finish(&mut self, _: &RunSummary) {}

    fn lost(&self) -> Option<&io::Error> {
        None
    }
}
