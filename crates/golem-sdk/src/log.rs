//! The events of a run in the log: consumers of events that write to [`tracing`], and a default logger for programs
//! that have none of their own.
//!
//! A consumer takes events; give it to whoever tells of a run, such as an executor, which has the first of them by
//! default. There are three:
//!
//! - [`log_summary`] writes lines for people, see [`crate::summary`];
//! - [`log_event`] writes each event in words, at debug;
//! - [`log_event_repr`] writes each event as JSON on one line, from which it can be read back, at debug.
//!
//! [`only`] puts a filter before any of them. Where the log goes is the program's business;
//! [`enable_default_logger`] shows it on standard error and keeps it in a file.
//!
//! # Example
//!
//! ```no_run
//! use golem_sdk::payload::Payload;
//! use golem_sdk::executor::Executor;
//! use golem_sdk::log::{LogOptions, enable_default_logger, log_event_repr, log_summary, only};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! enable_default_logger(&LogOptions::default().file("blender.log"))?;
//! let executor = Executor::builder(Payload::default())
//!     .event_consumer(log_summary())
//!     .event_consumer(only(&["bill_received", "bill_accepted", "bill_refused"], log_event_repr)?)
//!     .start()
//!     .await?;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "log")]
mod logger;

use golem_core::event::{Event, EventKind};
use serde_json::Value;
use tracing::Level;
use yagna_api::Timestamp;

#[cfg(feature = "log")]
pub use self::logger::{LogError, LogOptions, enable_default_logger};
use crate::consumer::EventConsumer;
use crate::summary::{Line, LogSummary};

/// Characters of one field of an event in words.
const FIELD: usize = 200;

/// A consumer that writes what happens in a run to the log, for people, under the target `golem_sdk::summary`.
///
/// One consumer is for one run. Where the log takes lines of level debug, it wants details: each script has its lines.
pub fn log_summary() -> SummaryLog {
    SummaryLog::default()
}

/// Writes the lines of a [`LogSummary`] to the log; made by [`log_summary`].
#[derive(Debug, Default)]
pub struct SummaryLog(LogSummary);

impl EventConsumer for SummaryLog {
    fn on_event(&mut self, event: &Event) {
        self.0.on(event).iter().for_each(write_line);
    }

    fn on_missed(&mut self, events: u64) {
        self.0.missed(events).iter().for_each(write_line);
    }

    fn on_tick(&mut self, now: Timestamp) {
        self.0.tick(now).iter().for_each(write_line);
    }

    fn wants_details(&self) -> bool {
        tracing::enabled!(target: "golem_sdk::summary", Level::DEBUG)
    }
}

/// Writes a line of a summary to the log, under the target `golem_sdk::summary`.
pub fn write_line(line: &Line) {
    let text = line.text.as_str();
    match line.level {
        Level::ERROR => tracing::error!(target: "golem_sdk::summary", "{text}"),
        Level::WARN => tracing::warn!(target: "golem_sdk::summary", "{text}"),
        Level::INFO => tracing::info!(target: "golem_sdk::summary", "{text}"),
        Level::DEBUG => tracing::debug!(target: "golem_sdk::summary", "{text}"),
        Level::TRACE => tracing::trace!(target: "golem_sdk::summary", "{text}"),
    }
}

/// Writes an event to the log in words, at debug, under the target `golem_sdk::events`.
pub fn log_event(event: &Event) {
    if tracing::enabled!(target: "golem_sdk::events", Level::DEBUG) {
        tracing::debug!(target: "golem_sdk::events", "{}", words(event));
    }
}

/// Writes an event to the log as JSON, at debug, under the target `golem_sdk::events`.
pub fn log_event_repr(event: &Event) {
    if tracing::enabled!(target: "golem_sdk::events", Level::DEBUG) {
        tracing::debug!(target: "golem_sdk::events", "{}", repr(event));
    }
}

/// An event in words, on one line of bounded length: when, what, and its fields.
///
/// `2026-01-01T00:00:05Z Task cancelled: task = 7`
pub fn words(event: &Event) -> String {
    let name = event.kind.name().replace('_', " ");
    let mut chars = name.chars();
    let name = chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect());
    let fields = match serde_json::to_value(&event.kind) {
        Ok(Value::Object(fields)) => fields,
        // A value without a record has no fields.
        _ => serde_json::Map::new(),
    };
    let fields: Vec<_> = fields
        .iter()
        .filter(|(key, _)| *key != "event")
        .map(|(key, value)| format!("{} = {}", key.replace('_', " "), field(value)))
        .collect();
    let colon = if fields.is_empty() { "" } else { ": " };
    format!("{} {name}{colon}{}", event.at, fields.join(", "))
}

/// An event as JSON on one line: what it is stored as, and what `serde_json` reads back to the same event.
pub fn repr(event: &Event) -> String {
    let text = serde_json::to_string(event).unwrap_or_else(|error| {
        serde_json::json!({ "at": event.at, "error": error.to_string() }).to_string()
    });
    if text.contains(char::is_control) {
        // JSON lets some through that could steer a terminal; they only occur within strings.
        text.chars().map(escaped).collect()
    } else {
        text
    }
}

/// Lets only events of these kinds through to a consumer, by their names in [`EventKind::NAMES`].
///
/// Where one of them is a detail, details are wanted.
///
/// **Errors**: [`UnknownKind`] where there is no such kind.
pub fn only<C: EventConsumer>(kinds: &[&str], consumer: C) -> Result<Only<C>, UnknownKind> {
    let wanted: Vec<&'static str> = kinds
        .iter()
        .map(|kind| EventKind::NAMES.iter().copied().find(|name| name == kind).ok_or(*kind))
        .collect::<Result<_, _>>()
        .map_err(|kind| UnknownKind { kind: kind.to_owned() })?;
    Ok(Only { wanted, consumer })
}

/// A consumer behind a filter; made by [`only`].
#[derive(Debug)]
pub struct Only<C> {
    wanted: Vec<&'static str>,
    consumer: C,
}

impl<C: EventConsumer> EventConsumer for Only<C> {
    fn on_event(&mut self, event: &Event) {
        if self.wanted.contains(&event.kind.name()) {
            self.consumer.on_event(event);
        }
    }

    fn on_missed(&mut self, events: u64) {
        self.consumer.on_missed(events);
    }

    fn on_tick(&mut self, now: Timestamp) {
        self.consumer.on_tick(now);
    }

    fn wants_details(&self) -> bool {
        self.wanted.iter().any(|name| EventKind::DETAILS.contains(name))
    }
}

/// No event is of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no event is called `{kind}`; there are {}", EventKind::NAMES.join(", "))]
pub struct UnknownKind {
    /// The kind that was asked for.
    pub kind: String,
}

fn field(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((end, _)) = text.char_indices().nth(FIELD) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn escaped(c: char) -> String {
    if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
}
