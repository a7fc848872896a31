//! A job that was handed in, and the tasks that come of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use golem_core::event::Provider;
use golem_sdk::executor::{
    EndCause, Ended, Finished as SdkFinished, Outcomes, SubmitError, TaskFailure as SdkFailure,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tokio_util::sync::CancellationToken;

use crate::bridge::{Bridge, done, spawn_kept};
use crate::error;
use crate::runtime::runtime;
use crate::worker::{Item, Output};

/// So many finished tasks are handed over at once, at most.
const TOGETHER: usize = 512;

type Outcome = Ended<Item, Output>;

/// A job that was handed in.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct Submitted {
    outcomes: Arc<tokio::sync::Mutex<Reading>>,
    cancelled: CancellationToken,
    bridge: Arc<Bridge>,
    /// Results that came after their calls had been cancelled.
    kept: Arc<Mutex<VecDeque<PyResult<Py<PyAny>>>>>,
}

struct Reading {
    outcomes: Option<Outcomes<Item, Output>>,
    failures: bool,
    /// The end, which came together with tasks.
    end: Option<SubmitError<Item>>,
}

impl Reading {
    /// At least one task, and what else there is; none at the end.
    async fn next(&mut self) -> Result<Vec<Outcome>, SubmitError<Item>> {
        let mut together = Vec::new();
        if let Some(end) = self.end.take() {
            return Err(end);
        }
        while let Some(outcomes) = &mut self.outcomes {
            let next = if together.is_empty() {
                Some(outcomes.next().await)
            } else if together.len() < TOGETHER {
                outcomes.next().now_or_never()
            } else {
                None
            };
            match next {
                None => break,
                Some(Ok(Some(Ended::Failed(_)))) if !self.failures => {}
                Some(Ok(Some(outcome))) => together.push(outcome),
                Some(Ok(None)) => self.outcomes = None,
                Some(Err(error)) => {
                    self.outcomes = None;
                    if together.is_empty() {
                        return Err(error);
                    }
                    self.end = Some(error);
                }
            }
        }
        Ok(together)
    }
}

impl Submitted {
    pub(crate) fn new(outcomes: Outcomes<Item, Output>, failures: bool, bridge: Arc<Bridge>) -> Self {
        let reading = Reading { outcomes: Some(outcomes), failures, end: None };
        Self {
            outcomes: Arc::new(tokio::sync::Mutex::new(reading)),
            cancelled: CancellationToken::new(),
            bridge,
            kept: Arc::default(),
        }
    }
}

#[pymethods]
impl Submitted {
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let Some(kept) = kept {
            return done(py, &self.bridge, kept);
        }
        let (reading, cancelled) = (Arc::clone(&self.outcomes), self.cancelled.clone());
        let work = async move {
            let mut reading = reading.lock().await;
            tokio::select! {
                biased;
                () = cancelled.cancelled() => Ok(Vec::new()),
                next = reading.next() => next,
            }
        };
        let kept = Arc::clone(&self.kept);
        let keep = move |_: Python<'_>, result| {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push_back(result);
        };
        spawn_kept(py, &self.bridge, work, told, keep)
    }

    fn cancel(&self) {
        self.end();
    }
}

impl Submitted {
    fn end(&self) {
        self.cancelled.cancel();
        let reading = Arc::clone(&self.outcomes);
        runtime().spawn(async move { reading.lock().await.outcomes = None });
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        self.end();
    }
}

fn told(py: Python<'_>, next: Result<Vec<Outcome>, SubmitError<Item>>) -> PyResult<Py<PyAny>> {
    let list = PyList::empty(py);
    for outcome in next.map_err(|end| of_job(py, end))? {
        match outcome {
            Ended::Done(finished) => list.append(Finished::new(py, finished).into_pyobject(py)?)?,
            Ended::Failed(failure) => list.append(TaskFailure::new(py, &failure).into_pyobject(py)?)?,
        }
    }
    Ok(list.into_any().unbind())
}

/// The error of a job's end.
fn of_job(py: Python<'_>, end: SubmitError<Item>) -> PyErr {
    let text = end.to_string();
    let details = PyDict::new(py);
    match explained(py, end, &details) {
        Ok(()) => error::raised(py, "job", &text, details),
        Err(problem) => problem,
    }
}

fn explained(py: Python<'_>, end: SubmitError<Item>, details: &Bound<'_, PyDict>) -> PyResult<()> {
    let cause = match end.cause() {
        EndCause::TasksFailed => "tasks_failed",
        EndCause::TimedOut { timeout } => {
            details.set_item("timeout", timeout.as_secs_f64())?;
            "timed_out"
        }
        EndCause::BudgetReached { budget } => {
            details.set_item("budget", budget.in_words())?;
            "budget_reached"
        }
        EndCause::NothingRuns { .. } => "nothing_runs",
        EndCause::SourceFailed { problem } => {
            details.set_item("problem", problem)?;
            "source_failed"
        }
        EndCause::Cancelled => "cancelled",
        EndCause::Closed => "closed",
        _ => "broken",
    };
    details.set_item("cause", cause)?;
    let failed = PyList::empty(py);
    for failure in end.failed() {
        failed.append(TaskFailure::new(py, failure).into_pyobject(py)?)?;
    }
    details.set_item("failed", failed)?;
    details.set_item("more_in_source", end.more_in_source())?;
    let unfinished = PyList::empty(py);
    for item in end.into_unfinished() {
        unfinished.append(item.data.bind(py))?;
    }
    details.set_item("unfinished", unfinished)
}

/// A task with its result.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct Finished {
    #[pyo3(get)]
    id: u64,
    #[pyo3(get)]
    data: Py<PyAny>,
    #[pyo3(get)]
    result: Py<PyAny>,
    #[pyo3(get)]
    attempts: u32,
    #[pyo3(get)]
    running_time: f64,
    provider: Provider,
}

impl Finished {
    fn new(py: Python<'_>, finished: SdkFinished<Item, Output>) -> Self {
        Self {
            id: finished.id().0,
            data: finished.data().data.clone_ref(py),
            attempts: finished.attempts(),
            running_time: finished.running_time().as_secs_f64(),
            provider: finished.provider().clone(),
            result: finished.into_result(),
        }
    }
}

#[pymethods]
impl Finished {
    #[getter]
    fn provider_id(&self) -> &str {
        self.provider.id.as_str()
    }

    #[getter]
    fn provider_name(&self) -> &str {
        &self.provider.name
    }
}

/// A task that failed for good.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct TaskFailure {
    #[pyo3(get)]
    id: u64,
    #[pyo3(get)]
    data: Py<PyAny>,
    #[pyo3(get)]
    attempts: u32,
    #[pyo3(get)]
    kind: &'static str,
    #[pyo3(get)]
    message: String,
    #[pyo3(get)]
    stderr: String,
    provider: Option<Provider>,
}

impl TaskFailure {
    fn new(py: Python<'_>, failure: &SdkFailure<Item>) -> Self {
        Self {
            id: failure.id().0,
            data: failure.data().data.clone_ref(py),
            attempts: failure.attempts(),
            kind: failure.failure().kind.word(),
            message: failure.failure().message.clone(),
            stderr: failure.failure().stderr.to_text().into_owned(),
            provider: failure.provider().cloned(),
        }
    }
}

#[pymethods]
impl TaskFailure {
    #[getter]
    fn provider_id(&self) -> Option<&str> {
        self.provider.as_ref().map(|provider| provider.id.as_str())
    }

    #[getter]
    fn provider_name(&self) -> Option<&str> {
        self.provider.as_ref().map(|provider| provider.name.as_str())
    }

    fn __repr__(&self) -> String {
        format!("<TaskFailure {}: {}>", self.id, self.message)
    }
}
