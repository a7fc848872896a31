//! A progress bar for a person at a terminal, with the results above it.

mod message;

use std::fmt;
use std::io;
use std::time::Duration;

use console::Term;
use golem_core::event::{Event, EventKind, StopReason};
use golem_core::explain::Explanation;
use indicatif::{ProgressBar, ProgressStyle};
use yagna_api::Timestamp;
use yagna_api::time::between;

use self::message::Told;
use super::output::Output;
use super::results::results;
use super::summary::write_summary;
use super::terminal::Terminal;
use super::{Facts, SummaryFold, View, text, words};
use crate::store::RunSummary;

/// With the number of tasks known; the bar is as wide as the terminal lets it.
fn bounded(columns: usize) -> String {
    let bar = BAR + columns.saturating_sub(WIDE) / 4;
    format!("{{spinner}} {{elapsed}} [{{bar:{}}}] {{pos}}/{{len}}{{wide_msg}}", bar.min(MOST_BAR))
}

/// The bar on a terminal of ordinary width.
const BAR: usize = 12;
/// The widest bar.
const MOST_BAR: usize = 40;
/// Columns from which on there is room for more of it.
const WIDE: usize = 120;
/// Columns beside the bar that aren't the message: the spinner, the time, brackets and gaps.
const BESIDE: usize = 12;
/// Tasks without a known end.
const ENDLESS: &str = "{spinner} {elapsed} {pos} tasks{wide_msg}";
/// The interval at which the spinner turns.
const TURN: Duration = Duration::from_millis(120);
/// Failures shown one by one; more would hide the results.
const FAILURES: u32 = 20;

/// A bar on stderr, results on stdout above it.
pub struct Bar {
    fold: SummaryFold,
    facts: Facts,
    out: Output,
    terminal: Terminal,
    bar: ProgressBar,
    /// The thing that is waited for, or the latest event.
    note: ProgressBar,
    failures: u32,
    /// The time at which the first task began, and the number that had finished by then.
    first: Option<(Timestamp, u64)>,
    /// The time of the latest event.
    now: Timestamp,
    /// The latest explanation why nothing runs.
    told: Option<Explanation>,
}

impl Bar {
    /// Creates the view of a new run.
    pub fn new(mut facts: Facts, out: Output, terminal: &Terminal) -> Self {
        Output::stderr().write(&(facts.hello() + "\n"));
        let bar = match facts.total {
            Some(total) => ProgressBar::new(total).with_style(style(&bounded(columns()))),
            None => ProgressBar::no_length().with_style(style(ENDLESS)),
        };
        let bar = terminal.bars().add(bar);
        let note = ProgressBar::no_length().with_style(style("  {prefix}{wide_msg}"));
        let note = terminal.bars().add(note.with_message("looking for providers"));
        bar.enable_steady_tick(TURN);
        let started = facts.started;
        Self {
            fold: facts.fold(),
            facts,
            out,
            terminal: terminal.clone(),
            bar,
            note,
            failures: 0,
            first: None,
            now: started,
            told: None,
        }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
        self.note.finish_and_clear();
    }

    /// The line above the bar that an event deserves, if it does.
    fn lasting(&mut self, event: &Event) -> Option<String> {
        match event.kind {
            EventKind::TaskFailed { .. } | EventKind::BillRefused { .. } => {
                self.failures += 1;
                match self.failures {
                    ..=FAILURES => words::line(event, &self.fold),
                    failures if failures == FAILURES + 1 => {
                        Some("more failures are counted only; the summary lists the first ones".to_owned())
                    }
                    _ => None,
                }
            }
            EventKind::Stopping { .. } => words::line(event, &self.fold),
            EventKind::Waiting { ref explanation } => {
                // Said once, however long it lasts: the note under the bar says that it does.
                let reasons = Explanation { waited: Duration::ZERO, ..(**explanation).clone() };
                if self.told.as_ref() == Some(&reasons) {
                    return None;
                }
                self.told = Some(reasons);
                words::line(event, &self.fold)
            }
            _ => None,
        }
    }

    fn repaint(&self) {
        let counts = self.fold.counts();
        self.bar.set_position(counts.tasks.done + counts.tasks.failed);
        if let Some(total) = self.facts.total {
            self.bar.set_length(total.max(counts.tasks.total()));
        }
        let ended = counts.tasks.done + counts.tasks.failed;
        let (looked, before) =
            self.first.map_or((Duration::ZERO, ended), |(first, before)| (between(first, self.now), before));
        let told = Told {
            ended: ended.saturating_sub(before),
            looked,
            left: self.facts.total.map(|total| total.max(counts.tasks.total()).saturating_sub(ended)),
            running: counts.tasks.running,
            failed: counts.tasks.failed,
            failed_attempts: self.fold.failed_attempts(),
            providers: self.fold.rented(),
            cost: text::used(counts.cost, self.fold.estimate(self.now)),
            budget: self.facts.budget.clone(),
        };
        let bar = self.facts.total.map_or(0, |total| BAR + 2 * total.to_string().len());
        self.bar.set_message(told.words(columns().saturating_sub(bar + BESIDE)));
    }
}

impl View for Bar {
    fn on(&mut self, events: &[Event]) {
        let mut above = String::new();
        self.fold.forget_names();
        for event in events {
            self.fold.apply(event);
            self.now = self.now.max(event.at);
            if let (EventKind::TaskStarted { .. }, None) = (&event.kind, self.first) {
                let tasks = self.fold.counts().tasks;
                self.first = Some((event.at, tasks.done + tasks.failed));
            }
            if let Some(line) = self.lasting(event) {
                above.push_str(&line);
                above.push('\n');
            }
            match &event.kind {
                // The tasks speak for themselves, in numbers.
                EventKind::AttemptFailed { .. } | EventKind::TaskFailed { .. } => {}
                EventKind::TaskStarted { .. } => self.note.set_message(""),
                EventKind::Waiting { explanation } => {
                    let waited = text::duration(explanation.waited);
                    self.note.set_message(format!("nothing runs for {waited}, see above"));
                }
                EventKind::Stopping { why: StopReason::Cancelled } => {
                    self.note.set_prefix("cancelled, Ctrl+C again leaves at once  ");
                    self.note.set_message("");
                }
                _ => {
                    if let Some(line) = words::line(event, &self.fold) {
                        self.note.set_message(line);
                    }
                }
            }
        }
        let results = results(events, self.out.is_terminal(), Some(&self.fold), self.facts.prints_itself);
        if !above.is_empty() || !results.is_empty() {
            let out = &mut self.out;
            self.terminal.bars().suspend(|| {
                Output::stderr().write(&above);
                out.write_bytes(&results);
            });
        }
        self.repaint();
    }

    fn tick(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.repaint();
    }

    fn note(&mut self, _now: Timestamp, text: &str) {
        let line = format!("{}\n", text::one_line(text));
        self.terminal.bars().suspend(|| Output::stderr().write(&line));
    }

    fn finish(&mut self, summary: &RunSummary) {
        self.clear();
        Output::stderr().write(&write_summary(summary, &self.facts));
    }

    fn lost(&self) -> Option<&io::Error> {
        self.out.lost()
    }
}

impl Drop for Bar {
    /// Whatever is written next, an error perhaps, begins on a clean line.
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bar").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// The width of standard error.
fn columns() -> usize {
    usize::from(Term::stderr().size().1)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are well-formed").progress_chars("=> ")
}
