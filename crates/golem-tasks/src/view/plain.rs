//! Lines for logs and pipes: what happens as it happens, and never silence for long.

use std::io;
use std::time::Duration;

use golem_core::event::{Event, EventKind};
use yagna_api::Timestamp;
use yagna_api::time::between;

use super::output::Output;
use super::results::write_results;
use super::summary::write_summary;
use super::{Facts, SummaryFold, View, text, words};
use crate::store::RunSummary;

/// The time between two lines that count tasks, at least while something changes.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// The longest silence.
const SILENCE: Duration = Duration::from_secs(15);
/// Lines in one period of [`COUNT_EVERY`]; what goes beyond is counted only.
const LINES: u32 = 40;

/// Lines on stderr for what happens, results on stdout.
#[derive(Debug)]
pub struct Plain {
    lines: Lines,
    out: Output,
}

/// The lines on stderr, shared with the view for machines.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) fold: SummaryFold,
    facts: Facts,
    err: Output,
    /// The time of the latest line.
    spoken: Timestamp,
    /// The time at which tasks were last counted.
    counted: Timestamp,
    /// The counts as last written.
    last: String,
    offers: u64,
    /// Lines written and left out since tasks were last counted.
    written: u32,
    left_out: u64,
}

impl Plain {
    /// Creates the view of a new run.
    pub fn new(facts: Facts, out: Output, err: Output) -> Self {
        Self { lines: Lines::new(facts, err), out }
    }
}

impl View for Plain {
    fn on(&mut self, events: &[Event]) {
        self.lines.on(events);
        write_results(events, &mut self.out, Some(&self.lines.fold), self.lines.facts.prints_itself);
    }

    fn tick(&mut self, now: Timestamp) {
        self.lines.tick(now);
    }

    fn note(&mut self, now: Timestamp, text: &str) {
        self.lines.write(now, text);
    }

    fn finish(&mut self, summary: &RunSummary) {
        self.lines.finish(summary);
    }

    fn lost(&self) -> Option<&io::Error> {
        self.out.lost()
    }
}

impl Lines {
    pub(super) fn new(mut facts: Facts, err: Output) -> Self {
        let hello = facts.hello();
        let mut lines = Self {
            fold: facts.fold(),
            spoken: facts.started,
            counted: facts.started,
            last: String::new(),
            offers: 0,
            written: 0,
            left_out: 0,
            facts,
            err,
        };
        lines.write(lines.facts.started, &hello);
        lines
    }

    pub(super) fn on(&mut self, events: &[Event]) {
        let mut offers = 0;
        self.fold.forget_names();
        for event in events {
            self.fold.apply(event);
            if let EventKind::OfferReceived { .. } = event.kind {
                offers += 1;
            }
            if let Some(line) = words::line(event, &self.fold) {
                self.write_if_room(event.at, &line);
            }
        }
        let Some(last) = events.last() else { return };
        if offers > 0 {
            self.offers += offers;
            let line = format!("{} received", text::plural(self.offers, "offer"));
            self.write_if_room(last.at, &line);
        }
        if between(self.counted, last.at) >= COUNT_EVERY {
            self.count(last.at, false);
        }
    }

    pub(super) fn tick(&mut self, now: Timestamp) {
        if between(self.spoken, now) >= SILENCE {
            self.count(now, true);
        } else if between(self.counted, now) >= COUNT_EVERY {
            self.count(now, false);
        }
    }

    pub(super) fn finish(&mut self, summary: &RunSummary) {
        let text = write_summary(summary, &self.facts);
        self.err.write(&text);
    }

    /// Writes how far the tasks are, if that changed or must be said anyway.
    fn count(&mut self, at: Timestamp, anyway: bool) {
        self.counted = at;
        self.written = 0;
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            self.write(at, &format!("({left_out} more lines left out)"));
        }
        let counts = self.fold.counts();
        let mut line = text::progress(counts.tasks, self.facts.total);
        if self.fold.rented() > 0 {
            line = format!("{line}, {} rented", text::plural(self.fold.rented(), "provider"));
        }
        if !counts.cost.is_zero() {
            line = format!("{line}, {} GLM accepted", text::one_amount(counts.cost));
        }
        if anyway || line != self.last {
            self.write(at, &line);
            self.last = line;
        }
    }

    fn write_if_room(&mut self, at: Timestamp, line: &str) {
        if self.written < LINES {
            self.written += 1;
            self.write(at, line);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn write(&mut self, at: Timestamp, line: &str) {
        self.spoken = at;
        let since = text::since(self.facts.started, at);
        self.err.write(&format!("{since:>9}  {line}\n"));
    }
}
