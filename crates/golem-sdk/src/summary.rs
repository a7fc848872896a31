//! The events of a run in lines for people, made from its events and nothing else.
//!
//! A [`LogSummary`] is given events and gives lines, each with how much it matters; who writes them, and where, is
//! left to others: [`crate::log::log_summary`] writes them to the log. The time is that of the events, so the same
//! events give the same lines, whenever they are read.
//!
//! | level | lines |
//! |---|---|
//! | error | a task or a job failed for good, the run broke |
//! | warn | an attempt failed, a provider went, a bill was refused, nothing runs, the budget ends |
//! | info | agreements, tasks, invoices, jobs and what came of them, refusals with their reasons, the cost |
//! | debug | each offer, activity and debit note; each script, where its consumer hears of details |
//!
//! Those who come from yapapi find the lines of its `log_summary`, and beside them what it never told: who refused
//! whom and why, attempts that failed, why a provider ended an agreement, bills that were refused, what a task costs,
//! what is left of the budget.
//!
//! # Example
//!
//! ```
//! use golem_sdk::event::{Event, EventKind, Provider, RentalId};
//! use golem_sdk::summary::LogSummary;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut summary = LogSummary::new();
//! let provider = Provider { id: "0x00000000000000000000000000000000000000aa".parse()?, name: "ada".into() };
//! let reason = "above the cap of 0.2 GLM an hour".into();
//! let refused = EventKind::OfferRefused { provider, reason, group: String::new(), above: None };
//! let lines = summary.on(&Event { at: "2026-01-01T12:00:00Z".parse()?, kind: refused });
//! assert_eq!(lines[0].text, "Refused the offer of provider 'ada': above the cap of 0.2 GLM an hour");
//! // A little later, without anything new.
//! let lines = summary.tick("2026-01-01T12:00:05Z".parse()?);
//! assert_eq!(lines[0].text, "Offers refused so far: 1 by us (above the cap of 0.2 GLM an hour)");
//! # Ok(())
//! # }
//! ```

mod notes;
mod rentals;
mod sentence;
mod words;
mod work;

#[cfg(test)]
mod tests;

use std::time::Duration;

use golem_core::event::{Event, EventKind, JobId, RentalId, StopReason, TaskId};
use golem_core::words::{amount, plural};
use tracing::Level;
use yagna_api::time::between;
use yagna_api::{Glm, Timestamp};

pub use self::sentence::{Names, sentence};

use notes::{Job, OpenTask, Reasons, Recent, Rental, Seen, Tally};
use words::{left, line, name};

/// The time between two lines that count providers, at least.
const COUNT_EVERY: Duration = Duration::from_secs(3);
/// The longest silence while somebody looks at the clock.
const SILENCE: Duration = Duration::from_secs(30);

/// A line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The importance of the line.
    pub level: Level,
    /// The text: one line, of bounded length, without characters that could control a terminal.
    pub text: String,
}

/// Makes lines of a run's events.
///
/// Its memory doesn't grow with the run, and no event in any order makes it panic or fall silent.
#[doc(alias = "SummaryLogger")]
#[derive(Debug, Default)]
pub struct LogSummary {
    lines: Vec<Line>,
    /// The time at which a line of level info or above was last written.
    spoken: Option<Timestamp>,
    market: Market,
    rentals: Recent<RentalId, Rental>,
    tasks: Recent<TaskId, OpenTask>,
    jobs: Recent<JobId, Job>,
    /// Jobs that ended, and tasks of all jobs.
    jobs_over: u64,
    done: u64,
    failed: u64,
    /// The tally of the whole run.
    tally: Tally,
    budget: Option<Glm>,
    cost: Glm,
    /// Percent of the budget whose use was told of.
    told_of: u32,
    bills_refused: u64,
    /// The latest request that failed, and the time of its report.
    trouble: Option<(String, Timestamp)>,
    stopping: Option<StopReason>,
    /// True once it was said that only bills are awaited.
    settling: bool,
}

#[derive(Debug, Default)]
struct Market {
    offers: Seen,
    agreed: Seen,
    refused_by_us: Reasons,
    refused_by_them: Reasons,
    /// Since when there is something that wasn't told yet.
    news: Option<Timestamp>,
    told: (u64, u64, u64),
}

impl LogSummary {
    /// Creates the summary of a new run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event and says what there is to say of it.
    #[must_use = "the lines are said only once"]
    pub fn on(&mut self, event: &Event) -> Vec<Line> {
        let at = event.at;
        self.spoken.get_or_insert(at);
        match &event.kind {
            EventKind::OfferReceived { provider, per_hour, start } => {
                self.market.offers.add(&provider.id);
                let (name, per_hour, start) = (name(&provider.name), amount(*per_hour), amount(*start));
                self.debug(format!(
                    "Offer of provider {name}: {per_hour} GLM an hour, {start} GLM for the start"
                ));
            }
            EventKind::OfferRefused { provider, reason, .. } => {
                self.market.refused_by_us.add(reason);
                self.market.news.get_or_insert(at);
                self.debug(format!(
                    "Refused the offer of provider {}: {}",
                    name(&provider.name),
                    words::part(reason)
                ));
            }
            EventKind::RefusedByProvider { provider, reason } => {
                let reason = reason.as_ref().map_or("", |reason| reason.message.as_str());
                self.market.refused_by_them.add(reason);
                self.market.news.get_or_insert(at);
                let why = if reason.is_empty() { "no reason given" } else { reason };
                self.debug(format!(
                    "Provider {} refused our terms: {}",
                    name(&provider.name),
                    words::part(why)
                ));
            }
            EventKind::TermsAgreed { provider } => {
                if self.market.agreed.add(&provider.id) {
                    self.market.news.get_or_insert(at);
                }
            }
            EventKind::DemandEnded { why, .. } => self.debug(format!("Demand ended: {}", words::part(why))),
            EventKind::Trouble { doing, .. } => {
                // A flood of the same, such as offers that nobody can read, is not for everybody.
                let same = self.trouble.as_ref().is_some_and(|(last, told)| {
                    last == doing && between(*told, at) < COUNT_EVERY && *told <= at
                });
                if !same {
                    self.trouble = Some((doing.clone(), at));
                }
                let level = if same { Level::DEBUG } else { Level::WARN };
                self.tell(level, event);
            }
            EventKind::Waiting { .. } => self.tell(Level::WARN, event),
            EventKind::DemandPublished { .. }
            | EventKind::Paused { .. }
            | EventKind::PauseEnded
            | EventKind::Recovered { .. }
            | EventKind::ProviderSetBack { .. }
            | EventKind::RunResumed { .. } => self.tell(Level::INFO, event),
            EventKind::Stopping { why } => {
                self.stopping = Some(*why);
                let level = match why {
                    StopReason::AllDone
                    | StopReason::ResultsReached
                    | StopReason::PartDone
                    | StopReason::Closed => Level::INFO,
                    StopReason::Broken => Level::ERROR,
                    _ => Level::WARN,
                };
                self.tell(level, event);
                let running = self.tasks.values().filter(|task| task.running).count() as u64;
                if running > 0 {
                    self.info(format!(
                        "Waiting for {} that still run, for a short time...",
                        plural(running, "task")
                    ));
                }
            }
            EventKind::RunEnded { end } => {
                // Refusals are told of for good now.
                self.market.told.1 = self.market.refused_by_us.total;
                self.market.told.2 = self.market.refused_by_them.total;
                self.count(at);
                self.run_ended(at, end);
            }
            _ => {
                if !self.on_work(event) {
                    self.on_rental(event);
                }
                self.settling();
            }
        }
        self.tick(at)
    }

    /// Time passes: says what is due, so that nobody waits in silence. Calling it is optional; each event is a tick
    /// too.
    #[must_use = "the lines are said only once"]
    pub fn tick(&mut self, now: Timestamp) -> Vec<Line> {
        if self.market.news.is_some_and(|since| between(since, now) >= COUNT_EVERY) {
            self.count(now);
        }
        let said = self.lines.iter().any(|line| line.level <= Level::INFO);
        if !said && self.spoken.is_some_and(|spoken| between(spoken, now) >= SILENCE) {
            self.progress();
        }
        if self.lines.iter().any(|line| line.level <= Level::INFO) {
            self.spoken = Some(now);
        }
        std::mem::take(&mut self.lines)
    }

    /// Some events never came here: what is counted from now on lacks them.
    #[must_use = "the lines are said only once"]
    pub fn missed(&mut self, events: u64) -> Vec<Line> {
        self.warn(format!("{} missed here; the counts that follow lack them", plural(events, "event")));
        std::mem::take(&mut self.lines)
    }

    /// Says who was found on the market, and who refused whom, where that changed.
    fn count(&mut self, now: Timestamp) {
        self.market.news = None;
        let told = self.market.told;
        let market = &self.market;
        let counts = (market.agreed.count(), market.refused_by_us.total, market.refused_by_them.total);
        let (agreed, refused) = (counts.0 > told.0, (counts.1, counts.2) != (told.1, told.2));
        let refusals = self.refusals().filter(|_| refused);
        self.market.told = counts;
        if agreed {
            self.info(format!("Received proposals from {} so far", plural(counts.0, "provider")));
        }
        if let Some(refusals) = refusals {
            self.info(format!("Offers refused so far: {refusals}"));
        }
        if agreed || refused {
            self.spoken = Some(now);
        }
    }

    /// The refusals: the providers, the number of times, and the reasons.
    fn refusals(&self) -> Option<String> {
        let parts: Vec<_> =
            [(&self.market.refused_by_us, "by us"), (&self.market.refused_by_them, "by providers")]
                .into_iter()
                .filter(|(reasons, _)| reasons.total > 0)
                .map(|(reasons, by)| reasons.words(by))
                .collect();
        if parts.is_empty() { None } else { Some(parts.join(", ")) }
    }

    /// Says how far everything is.
    fn progress(&mut self) {
        let open = self.tasks.values().count() as u64;
        let running = self.tasks.values().filter(|task| task.running).count();
        let total = open.saturating_add(self.done).saturating_add(self.failed);
        let mut text = format!("{} of {} done", self.done, plural(total, "task"));
        if self.failed > 0 {
            text = format!("{text}, {} failed", self.failed);
        }
        if running > 0 {
            text = format!("{text}, {running} running");
        }
        let rented = self.rentals.values().filter(|rental| rental.approved && !rental.ended).count() as u64;
        if rented > 0 {
            text = format!("{text}, {} rented", plural(rented, "provider"));
        }
        self.info(format!("{text}, {}", self.money()));
    }

    /// The cost so far, and what is left of the budget.
    fn money(&self) -> String {
        let cost = format!("{} GLM accepted", amount(self.cost));
        match self.budget {
            Some(budget) => {
                format!("{cost}, {} GLM of the budget left", left(budget, self.cost))
            }
            None => cost,
        }
    }

    /// The name of a rental's provider, between quotes.
    fn provider(&self, rental: RentalId) -> String {
        self.rentals
            .get(rental)
            .map_or_else(|| "of an unknown rental".to_owned(), |rental| name(&rental.provider.name))
    }

    /// Says the sentence of this event.
    fn tell(&mut self, level: Level, event: &Event) {
        self.tell_behind("", level, event);
    }

    /// Says the sentence of this event behind a prefix.
    fn tell_behind(&mut self, prefix: &str, level: Level, event: &Event) {
        let Some(text) = sentence(event, self) else { return };
        // A name stays as it is.
        let begins_with_name =
            matches!(event.kind, EventKind::ProviderSetBack { .. } | EventKind::ActivityReady { .. });
        let text = if begins_with_name { format!("Provider {text}") } else { capital(&text) };
        self.say(level, format!("{prefix}{text}"));
    }

    fn say(&mut self, level: Level, text: impl AsRef<str>) {
        self.lines.push(Line { level, text: line(text.as_ref()) });
    }

    fn debug(&mut self, text: impl AsRef<str>) {
        self.say(Level::DEBUG, text);
    }

    fn info(&mut self, text: impl AsRef<str>) {
        self.say(Level::INFO, text);
    }

    fn warn(&mut self, text: impl AsRef<str>) {
        self.say(Level::WARN, text);
    }
}

impl Names for LogSummary {
    fn provider_name(&self, rental: RentalId) -> Option<String> {
        self.rentals.get(rental).map(|rental| rental.provider.name.clone())
    }

    fn rental_prices(&self, rental: RentalId) -> Option<(Glm, Glm)> {
        self.rentals.get(rental).map(|rental| rental.prices)
    }

    fn named_task(&self, task: TaskId) -> String {
        match self.tasks.get(task) {
            Some(open) if !open.data.is_empty() => format!("task {} ({})", task.0, open.data),
            _ => format!("task {}", task.0),
        }
    }
}

/// An instant as people read it, to the second.
fn hour(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

/// Writes the text with a capital letter.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
