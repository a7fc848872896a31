//! Calls of a job's functions: a coroutine on the event loop, and its outcome back in the run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use golem_core::event::{AttemptFailure, FailureKind};
use golem_sdk::WorkerError;
use golem_tasks::{Task, TaskError};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use serde_json::Value;
use tokio::sync::oneshot;

use super::PyJob;
use crate::bridge::Bridge;
use crate::{error, json};

/// The outcome of a call.
pub(super) enum Called {
    /// The value that it returned.
    Returned(Value),
    /// The exception that it raised.
    Raised(Failed),
}

/// An exception of a call, in the engine's terms.
pub(super) enum Failed {
    /// The error of a script, or another one of the worker itself.
    Worker(WorkerError),
    /// The task can't be done by anybody.
    ForGood(String),
    /// The machine can't be used further.
    EndsRental(String),
}

impl Failed {
    fn of(exception: &Bound<'_, PyAny>) -> Self {
        let says = |name| exception.getattr(name).and_then(|value| value.is_truthy()).unwrap_or(false);
        if says("for_good") {
            return Self::ForGood(error::in_a_line(exception));
        }
        match error::of_worker(exception) {
            WorkerError::Script(script) if !script.leaves_activity_ready() => Self::Worker(script.into()),
            _ if says("ends_rental") => Self::EndsRental(error::in_a_line(exception)),
            other => Self::Worker(other),
        }
    }

    /// The failure of a task.
    pub(super) fn of_task(self) -> TaskError {
        match self {
            Self::Worker(WorkerError::Script(script)) => script.into(),
            Self::Worker(other) => TaskError::rejected(other.to_string()),
            Self::ForGood(message) => TaskError::for_good(message),
            Self::EndsRental(message) => TaskError::Lost {
                failure: AttemptFailure::new(FailureKind::Expired, message.clone()),
                worker: WorkerError::other(message),
            },
        }
    }

    /// The failure of the preparation of an activity.
    pub(super) fn of_worker(self) -> WorkerError {
        match self {
            Self::Worker(error) => error,
            Self::ForGood(message) | Self::EndsRental(message) => WorkerError::other(message),
        }
    }
}

/// Calls a function of the job on the event loop, and waits for what its coroutine gives. Dropping it cancels the coroutine.
pub(super) async fn call(
    bridge: &Arc<Bridge>,
    begin: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
) -> Called {
    let (sender, outcome) = oneshot::channel();
    let coroutine = Arc::new(Coroutine { state: Mutex::default(), sender: Mutex::new(Some(sender)) });
    let _guard = Guard { coroutine: Arc::clone(&coroutine), bridge: Arc::clone(bridge) };
    let to = Arc::clone(bridge);
    bridge.push(move |py| {
        if let Err(problem) = coroutine.begin(py, &to, begin) {
            coroutine.answer(Called::Raised(Failed::of(problem.value(py))));
        }
    });
    // The event loop drops what it can't do any more.
    outcome
        .await
        .unwrap_or_else(|_| Called::Raised(Failed::Worker(WorkerError::other("its event loop is closed"))))
}

/// A coroutine that runs as a task of the event loop.
struct Coroutine {
    state: Mutex<State>,
    sender: Mutex<Option<oneshot::Sender<Called>>>,
}

#[derive(Default)]
struct State {
    task: Option<Py<PyAny>>,
    given_up: bool,
}

impl Coroutine {
    fn begin(
        self: &Arc<Self>,
        py: Python<'_>,
        bridge: &Bridge,
        begin: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>>,
    ) -> PyResult<()> {
        if self.lock().given_up {
            return Ok(());
        }
        let event_loop = bridge.event_loop(py)?;
        let made = begin(py)?;
        let is_coroutine = made.bind(py).hasattr(intern!(py, "send"))?;
        if !is_coroutine {
            let kind = made.bind(py).get_type().name()?.to_string();
            let error = PyRuntimeError::new_err(format!(
                "The function of the job returned an object of the type {kind}, not a coroutine; define it by `async def`"
            ));
            error.value(py).setattr(intern!(py, "for_good"), true)?;
            return Err(error);
        }
        let task = event_loop.call_method1(intern!(py, "create_task"), (made,))?;
        self.lock().task = Some(task.clone().unbind());
        task.call_method1(intern!(py, "add_done_callback"), (Ended { coroutine: Arc::clone(self) },))?;
        Ok(())
    }

    fn answer(&self, called: Called) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // Nobody waits for it where the engine has given the attempt up.
            sender.send(called).ok();
        }
    }

    fn give_up(&self, py: Python<'_>) {
        let mut state = self.lock();
        state.given_up = true;
        let Some(task) = state.task.take() else { return };
        drop(state);
        if let Err(error) = task.call_method0(py, intern!(py, "cancel")) {
            error.write_unraisable(py, None);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cancels the coroutine where the engine gives the attempt up.
struct Guard {
    coroutine: Arc<Coroutine>,
    bridge: Arc<Bridge>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let is_answered = self.coroutine.sender.lock().unwrap_or_else(PoisonError::into_inner).is_none();
        if !is_answered {
            self.coroutine.lock().given_up = true;
            let coroutine = Arc::clone(&self.coroutine);
            self.bridge.push(move |py| coroutine.give_up(py));
        }
    }
}

/// The callback for the end of the coroutine's task.
#[pyclass(frozen)]
struct Ended {
    coroutine: Arc<Coroutine>,
}

#[pymethods]
impl Ended {
    fn __call__(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        self.coroutine.lock().task.take();
        self.coroutine.answer(outcome(task)?);
        Ok(())
    }
}

fn outcome(task: &Bound<'_, PyAny>) -> PyResult<Called> {
    let py = task.py();
    if task.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Ok(Called::Raised(Failed::Worker(WorkerError::other(
            "the task was cancelled by its own program",
        ))));
    }
    let exception = task.call_method0(intern!(py, "exception"))?;
    if !exception.is_none() {
        return Ok(Called::Raised(Failed::of(&exception)));
    }
    let result = task.call_method0(intern!(py, "result"))?;
    Ok(match json::value(&result) {
        Ok(value) => Called::Returned(value),
        // No other provider could mend that.
        Err(problem) => {
            let problem = error::in_a_line(problem.value(py));
            Called::Raised(Failed::ForGood(format!("its result can't be kept: {problem}")))
        }
    })
}

/// The requests of a task that take effect together with its result.
#[derive(Default)]
pub(super) struct Answers {
    added: Mutex<Vec<Value>>,
    ends_run: AtomicBool,
}

impl Answers {
    /// Gives it on to the task.
    pub(super) fn give(&self, task: &Task<PyJob>) {
        for data in self.added.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.add(data);
        }
        if self.ends_run.load(Ordering::Relaxed) {
            task.end_run();
        }
    }
}

/// One attempt of one task of a durable run.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct JobTask {
    #[pyo3(get)]
    index: u64,
    #[pyo3(get)]
    attempt: u32,
    #[pyo3(get)]
    time_limit: f64,
    data: Value,
    answers: Arc<Answers>,
}

impl JobTask {
    pub(super) fn new(task: &Task<PyJob>, answers: Arc<Answers>) -> Self {
        Self {
            index: task.index(),
            attempt: task.attempt(),
            time_limit: task.time_limit().as_secs_f64(),
            data: task.data().clone(),
            answers,
        }
    }
}

#[pymethods]
impl JobTask {
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::object(py, &self.data)
    }

    fn add(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = json::value(data)?;
        self.answers.added.lock().unwrap_or_else(PoisonError::into_inner).push(data);
        Ok(())
    }

    fn end_run(&self) {
        self.answers.ends_run.store(true, Ordering::Relaxed);
    }

    fn __repr__(&self) -> String {
        format!("<JobTask {}: {}>", self.index, self.data)
    }
}
