//! A worker's view of its activity.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use golem_sdk::{Batch, BatchEvent, ScriptError, Streamed, WorkContext};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use tokio::sync::Mutex;

use crate::bridge::{Bridge, done, spawn, spawn_kept};
use crate::command::{Queued, place, queue, results};
use crate::{error, json};

/// So many events of a batch are handed over at once, at most.
const TOGETHER: usize = 256;

/// A worker's view of its activity.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct Context {
    ctx: WorkContext,
    bridge: Arc<Bridge>,
}

impl Context {
    pub(crate) fn new(ctx: WorkContext, bridge: Arc<Bridge>) -> Self {
        Self { ctx, bridge }
    }
}

/// A time that a caller gave, in seconds.
pub(crate) fn time(seconds: f64) -> PyResult<Duration> {
    // What is for ever is as good as a century.
    Duration::try_from_secs_f64(seconds.min(3.2e9)).map_err(|_| {
        PyValueError::new_err(format!(
            "{seconds} is not a valid time in seconds: it can't be negative or NaN."
        ))
    })
}

/// A time-out that a caller gave.
pub(crate) fn timeout(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    seconds.map(time).transpose()
}

fn told(py: Python<'_>, done: Result<Batch, ScriptError>, queued: &[Queued]) -> PyResult<Py<PyAny>> {
    let batch = done.map_err(|problem| error::of_script(py, problem))?;
    Ok(results(py, &batch, queued)?.into_any().unbind())
}

#[pymethods]
impl Context {
    #[getter]
    fn activity_id(&self) -> &str {
        self.ctx.activity().as_str()
    }

    #[getter]
    fn agreement_id(&self) -> &str {
        self.ctx.agreement().as_str()
    }

    #[getter]
    fn provider_id(&self) -> &str {
        self.ctx.provider_id().as_str()
    }

    #[getter]
    fn provider_name(&self) -> &str {
        self.ctx.provider_name()
    }

    #[pyo3(signature = (commands, timeout = None))]
    fn commit<'py>(
        &self,
        py: Python<'py>,
        commands: &Bound<'py, PyList>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let limit = self::timeout(timeout)?;
        let mut ctx = self.ctx.clone();
        let queued = queue(&mut ctx, commands)?;
        let work = async move { ctx.commit(limit).await };
        spawn(py, &self.bridge, work, move |py, done| told(py, done, &queued))
    }

    #[pyo3(signature = (commands, timeout = None))]
    fn stream(&self, commands: &Bound<'_, PyList>, timeout: Option<f64>) -> PyResult<Stream> {
        let limit = self::timeout(timeout)?;
        let mut ctx = self.ctx.clone();
        let queued = queue(&mut ctx, commands)?;
        let following = Following { streamed: Some(ctx.commit_streamed(limit)), failed: None };
        Ok(Stream {
            following: Arc::new(Mutex::new(following)),
            queued: queued.into(),
            bridge: Arc::clone(&self.bridge),
            kept: Arc::default(),
        })
    }

    fn usage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ctx = self.ctx.clone();
        let work = async move { ctx.usage().await };
        spawn(py, &self.bridge, work, |py, usage| {
            let usage = usage.map_err(|problem| error::of_script(py, problem))?;
            let counters = PyDict::new(py);
            for (name, value) in usage.counters {
                counters.set_item(name, value)?;
            }
            Ok(counters.into_any().unbind())
        })
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ctx = self.ctx.clone();
        let work = async move { ctx.state().await };
        spawn(py, &self.bridge, work, |py, state| {
            let state = state.map_err(|problem| error::of_script(py, problem))?;
            let value = serde_json::to_value(&state).unwrap_or_default();
            // The state is a pair: what it is, and what it is going to be.
            let is = value.pointer("/state/0").or_else(|| value.get("state")).unwrap_or(&value);
            Ok(json::object(py, is)?.unbind())
        })
    }

    fn cost<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ctx = self.ctx.clone();
        let work = async move { ctx.cost().await };
        spawn(py, &self.bridge, work, |py, cost| {
            let cost = cost.map_err(|problem| error::of_script(py, problem))?;
            Ok(cost.to_string().into_pyobject(py)?.into_any().unbind())
        })
    }

    fn terms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ctx = self.ctx.clone();
        let work = async move { ctx.terms().await.map(serde_json::to_value) };
        spawn(py, &self.bridge, work, |py, terms| {
            let terms = terms.map_err(|problem| error::of_script(py, problem))?;
            Ok(json::object(py, &terms.unwrap_or_default())?.unbind())
        })
    }

    fn __repr__(&self) -> String {
        format!("<Context of {} on {}>", self.ctx.activity(), self.ctx.provider_name())
    }
}

/// A batch as it happens.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct Stream {
    following: Arc<Mutex<Following>>,
    queued: Arc<[Queued]>,
    bridge: Arc<Bridge>,
    /// Results that came after their calls had been cancelled.
    kept: Arc<std::sync::Mutex<VecDeque<PyResult<Py<PyAny>>>>>,
}

struct Following {
    streamed: Option<Streamed>,
    /// The failure, which came together with events.
    failed: Option<ScriptError>,
}

impl Following {
    /// At least one event, and what else there is; none at the end.
    async fn next(&mut self) -> Result<Vec<BatchEvent>, ScriptError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(streamed) = self.streamed.as_mut() else { return Ok(Vec::new()) };
        let mut events = Vec::new();
        let mut next = streamed.next().await;
        while let Some(event) = next {
            match event {
                Ok(event) => events.push(event),
                Err(error) if events.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
            next = if events.len() < TOGETHER { streamed.next().now_or_never().flatten() } else { None };
        }
        Ok(events)
    }

    async fn finish(&mut self) -> Result<Batch, ScriptError> {
        match (self.failed.take(), self.streamed.take()) {
            (Some(error), _) => Err(error),
            (None, Some(streamed)) => streamed.finish().await,
            (None, None) => Err(ScriptError::Told),
        }
    }
}

#[pymethods]
impl Stream {
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let Some(kept) = kept {
            return done(py, &self.bridge, kept);
        }
        let following = Arc::clone(&self.following);
        let work = async move { following.lock().await.next().await };
        let told = |py: Python<'_>, events: Result<Vec<BatchEvent>, ScriptError>| {
            let events = events.map_err(|problem| error::of_script(py, problem))?;
            let list = PyList::empty(py);
            for event in events {
                list.append(event_of(py, event)?)?;
            }
            Ok(list.into_any().unbind())
        };
        let kept = Arc::clone(&self.kept);
        let keep = move |_: Python<'_>, result| {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push_back(result);
        };
        spawn_kept(py, &self.bridge, work, told, keep)
    }

    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (following, queued) = (Arc::clone(&self.following), Arc::clone(&self.queued));
        let work = async move { following.lock().await.finish().await };
        spawn(py, &self.bridge, work, move |py, done| told(py, done, &queued))
    }
}

fn event_of(py: Python<'_>, event: BatchEvent) -> PyResult<Bound<'_, PyAny>> {
    let told = match event {
        BatchEvent::Started { command } => ("started", place(command), py.None()),
        BatchEvent::Stdout(chunk) => {
            ("stdout", place(chunk.command), PyBytes::new(py, &chunk.bytes).into_any().unbind())
        }
        BatchEvent::Stderr(chunk) => {
            ("stderr", place(chunk.command), PyBytes::new(py, &chunk.bytes).into_any().unbind())
        }
        BatchEvent::Progress { command, progress } => {
            ("progress", place(command), json::of(py, &progress)?.unbind())
        }
        BatchEvent::Finished { command, exit_code, message } => {
            let rest = PyDict::new(py);
            rest.set_item("exit_code", exit_code)?;
            rest.set_item("message", message)?;
            ("finished", place(command), rest.into_any().unbind())
        }
        _ => ("other", 0, py.None()),
    };
    Ok(told.into_pyobject(py)?.into_any())
}
