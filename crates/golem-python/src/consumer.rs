//! Events to functions of Python.

use std::collections::HashSet;
use std::sync::Arc;

use golem_core::event::Event;
use golem_sdk::EventConsumer;
use golem_sdk::summary::{Line, LogSummary};
use pyo3::prelude::*;
use serde_json::Value;
use yagna_api::Timestamp;

use crate::bridge::Bridge;
use crate::command::seconds;
use crate::json;

/// Calls a function with each event, on the event loop.
pub(crate) struct Consumer {
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) function: Arc<Py<PyAny>>,
    pub(crate) kinds: Option<HashSet<String>>,
    pub(crate) details: bool,
}

impl EventConsumer for Consumer {
    fn on_event(&mut self, event: &Event) {
        let name = event.kind.name();
        if self.kinds.as_ref().is_some_and(|kinds| !kinds.contains(name)) {
            return;
        }
        let mut fields = match serde_json::to_value(&event.kind) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        fields.remove("event");
        fields.insert("at".to_owned(), Value::from(seconds(event.at)));
        let (name, fields, function) = (name, Value::Object(fields), Arc::clone(&self.function));
        self.bridge.push(move |py| {
            let called = json::object(py, &fields).and_then(|fields| function.call1(py, (name, fields)));
            if let Err(error) = called {
                error.write_unraisable(py, Some(function.bind(py)));
            }
        });
    }

    fn wants_details(&self) -> bool {
        self.details
    }
}

/// Calls a function with each line of the summary for people, on the event loop.
pub(crate) struct Lines {
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) function: Arc<Py<PyAny>>,
    pub(crate) summary: LogSummary,
}

impl Lines {
    fn tell(&self, lines: Vec<Line>) {
        for line in lines {
            let function = Arc::clone(&self.function);
            let level = match line.level.as_str() {
                "ERROR" => "error",
                "WARN" => "warning",
                "INFO" => "info",
                _ => "debug",
            };
            self.bridge.push(move |py| {
                if let Err(error) = function.call1(py, (level, line.text)) {
                    error.write_unraisable(py, Some(function.bind(py)));
                }
            });
        }
    }
}

impl EventConsumer for Lines {
    fn on_event(&mut self, event: &Event) {
        let lines = self.summary.on(event);
        self.tell(lines);
    }

    fn on_missed(&mut self, events: u64) {
        let lines = self.summary.missed(events);
        self.tell(lines);
    }

    fn on_tick(&mut self, now: Timestamp) {
        let lines = self.summary.tick(now);
        self.tell(lines);
    }
}
