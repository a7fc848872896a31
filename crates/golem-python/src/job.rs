//! Durable runs: jobs of Python whose tasks and results are in a database, and the programs that run them.
//!
//! A job's functions are called on the event loop that the job was made in, wherever the run itself goes on; only its tasks are read in
//! the run's own thread, and its keys asked for there.

mod calls;
mod programs;
mod runner;

use std::sync::{Arc, Mutex, PoisonError};

use golem_sdk::payload::PayloadSpec;
use golem_sdk::{WorkContext, WorkerError};
use golem_tasks::{Job, Limits, Pile, Task, TaskError};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator};
use serde_json::{Map, Value};

use crate::bridge::Bridge;
use crate::context::{Context, time};
use crate::payload::{get, spec};
use crate::{error, json};
pub(crate) use calls::JobTask;
use calls::{Answers, Called, call};
pub(crate) use programs::{gftp, job_main, main, program};
pub(crate) use runner::Runner;

/// A job of Python.
pub(crate) struct PyJob {
    bridge: Arc<Bridge>,
    parts: Arc<Parts>,
    run_id: Mutex<String>,
}

/// The parts that a job was made of.
struct Parts {
    payload: PayloadSpec,
    tasks: Py<PyAny>,
    run: Py<PyAny>,
    set_up: Option<Py<PyAny>>,
    key: Option<Py<PyAny>>,
    note_done: Option<Py<PyAny>>,
    may_change: bool,
    prints_itself: bool,
    results: Option<u64>,
    total: Option<u64>,
    description: Value,
    limits: Limits,
}

/// The settings that a job may have.
const SETTINGS: [&str; 17] = [
    "name",
    "payload",
    "tasks",
    "run",
    "set_up",
    "key",
    "note_done",
    "may_change",
    "prints_itself",
    "results",
    "tasks_total",
    "describe",
    "budget",
    "workers",
    "retries",
    "task_timeout",
    "max_price",
];

impl PyJob {
    /// The job of these settings, whose functions are called on this loop.
    ///
    /// **Errors**: `TypeError` and `ValueError` that name the setting.
    pub(crate) fn read(settings: &Bound<'_, PyDict>, bridge: Arc<Bridge>) -> PyResult<Self> {
        known(settings, &SETTINGS, "job")?;
        let wanted = |name: &str| {
            function(settings, name)?
                .ok_or_else(|| PyTypeError::new_err(format!("A job needs the setting {name}, a function.")))
        };
        let payload = settings.get_item("payload")?.ok_or_else(|| {
            PyTypeError::new_err("A job needs the setting payload: the machine for its tasks.")
        })?;
        let payload = if payload.is_callable() { payload.call0()? } else { payload };
        let payload = payload.cast_into::<PyDict>().map_err(|other| {
            PyTypeError::new_err(format!("A payload must be a dict of settings: {other}."))
        })?;
        let parts = Parts {
            payload: spec(&payload, false)?,
            tasks: wanted("tasks")?,
            run: wanted("run")?,
            set_up: function(settings, "set_up")?,
            key: function(settings, "key")?,
            note_done: function(settings, "note_done")?,
            may_change: get(settings, "may_change")?.unwrap_or(false),
            prints_itself: get(settings, "prints_itself")?.unwrap_or(false),
            results: get(settings, "results")?,
            total: get(settings, "tasks_total")?,
            description: description(settings)?,
            limits: limits(settings)?,
        };
        Ok(Self { bridge, parts: Arc::new(parts), run_id: Mutex::default() })
    }

    fn run_id(&self) -> String {
        self.run_id.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Job for PyJob {
    type Task = Value;
    type Output = Value;

    fn payload(&self) -> PayloadSpec {
        self.parts.payload.clone()
    }

    fn tasks(&self) -> Pile<Value> {
        let opened = Python::attach(|py| {
            let tasks = self.parts.tasks.call1(py, (self.run_id(),))?;
            PyResult::Ok(tasks.bind(py).try_iter()?.unbind())
        });
        match opened {
            Ok(tasks) => Pile::fallible(Read { tasks }).of(self.parts.total),
            Err(problem) => Pile::broken(in_a_line(&problem)),
        }
    }

    async fn run(&self, ctx: &mut WorkContext, task: &Task<Self>) -> Result<Value, TaskError> {
        let answers = Arc::new(Answers::default());
        let handed = JobTask::new(task, Arc::clone(&answers));
        let (parts, ctx, bridge) = (Arc::clone(&self.parts), ctx.clone(), Arc::clone(&self.bridge));
        let called = call(&self.bridge, move |py| {
            let context = Context::new(ctx, bridge);
            Ok(parts.run.bind(py).call1((context, handed))?.unbind())
        });
        match called.await {
            Called::Returned(result) => {
                answers.give(task);
                Ok(result)
            }
            Called::Raised(error) => Err(error.of_task()),
        }
    }

    async fn set_up(&self, ctx: &mut WorkContext) -> Result<(), WorkerError> {
        if self.parts.set_up.is_none() {
            return Ok(());
        }
        let (parts, ctx, bridge) = (Arc::clone(&self.parts), ctx.clone(), Arc::clone(&self.bridge));
        let called = call(&self.bridge, move |py| match &parts.set_up {
            Some(set_up) => Ok(set_up.bind(py).call1((Context::new(ctx, bridge),))?.unbind()),
            None => Ok(py.None()),
        });
        match called.await {
            Called::Returned(_) => Ok(()),
            Called::Raised(error) => Err(error.of_worker()),
        }
    }

    fn results(&self) -> Option<u64> {
        self.parts.results
    }

    fn key(&self, task: &Value) -> Option<String> {
        let key = self.parts.key.as_ref()?;
        let asked =
            Python::attach(|py| key.bind(py).call1((json::object(py, task)?,))?.extract::<Option<String>>());
        asked.unwrap_or_else(|problem| {
            // Without a key it is a task of its own.
            Python::attach(|py| problem.write_unraisable(py, None));
            None
        })
    }

    fn limits(&self) -> Limits {
        self.parts.limits.clone()
    }

    fn note_run(&self, run_id: &str) {
        run_id.clone_into(&mut self.run_id.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn note_done(&self, index: u64, task: &Value) {
        let Some(note) = &self.parts.note_done else { return };
        Python::attach(|py| {
            let noted = json::object(py, task).and_then(|data| note.bind(py).call1((index, data)));
            if let Err(problem) = noted {
                problem.write_unraisable(py, None);
            }
        });
    }

    fn may_change(&self) -> bool {
        self.parts.may_change
    }

    fn prints_itself(&self) -> bool {
        self.parts.prints_itself
    }

    fn describe(&self) -> Value {
        self.parts.description.clone()
    }
}

/// Tasks as Python yields them.
struct Read {
    tasks: Py<PyIterator>,
}

impl Iterator for Read {
    type Item = Result<Value, String>;

    fn next(&mut self) -> Option<Self::Item> {
        Python::attach(|py| {
            let next = self.tasks.bind(py).clone().next()?;
            Some(next.and_then(|task| json::value(&task)).map_err(|problem| in_a_line(&problem)))
        })
    }
}

/// An exception in a line.
fn in_a_line(problem: &PyErr) -> String {
    Python::attach(|py| error::in_a_line(problem.value(py)))
}

/// Refuses settings that nobody knows.
fn known(settings: &Bound<'_, PyDict>, names: &[&str], of: &str) -> PyResult<()> {
    for name in settings.keys() {
        let name = name.extract::<String>()?;
        if !names.contains(&name.as_str()) {
            return Err(PyValueError::new_err(format!(
                "A {of} has no setting {name:?}. The settings are {}.",
                names.join(", ")
            )));
        }
    }
    Ok(())
}

fn function(settings: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<Py<PyAny>>> {
    match settings.get_item(name)?.filter(|value| !value.is_none()) {
        None => Ok(None),
        Some(value) if value.is_callable() => Ok(Some(value.unbind())),
        Some(value) => Err(PyTypeError::new_err(format!(
            "The setting {name} must be a function, not {}.",
            value.repr()?
        ))),
    }
}

/// The description that is kept with a run of the job, beside its tasks.
fn description(settings: &Bound<'_, PyDict>) -> PyResult<Value> {
    let mut map = match settings.get_item("describe")?.filter(|value| !value.is_none()) {
        None => Map::new(),
        Some(value) => match json::value(&value)? {
            Value::Object(map) => map,
            other => Map::from_iter([("description".to_owned(), other)]),
        },
    };
    let name = get::<String>(settings, "name")?.unwrap_or_else(|| "a job in Python".to_owned());
    map.insert("job".to_owned(), name.into());
    Ok(Value::Object(map))
}

fn limits(settings: &Bound<'_, PyDict>) -> PyResult<Limits> {
    let mut limits = Limits::default();
    if let Some(budget) = parsed(settings, "budget")? {
        limits = limits.budget(budget);
    }
    if let Some(workers) = at_least_one(settings, "workers")? {
        limits = limits.workers(workers);
    }
    if let Some(retries) = get::<u32>(settings, "retries")? {
        limits = limits.retries(retries);
    }
    if let Some(seconds) = get::<f64>(settings, "task_timeout")? {
        limits = limits.task_timeout(time(seconds)?);
    }
    Ok(limits.max_price(parsed::<yagna_api::Glm>(settings, "max_price")?))
}

/// A number that can't be 0.
fn at_least_one(settings: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<u32>> {
    match get::<u32>(settings, name)? {
        Some(0) => Err(PyValueError::new_err(format!("The setting {name} can't be 0."))),
        other => Ok(other),
    }
}

/// A setting that is written as a text.
fn parsed<T>(settings: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<T>>
where
    T: std::str::FromStr<Err: std::error::Error + 'static>,
{
    let Some(text) = get::<String>(settings, name)? else { return Ok(None) };
    text.parse().map(Some).map_err(|problem: T::Err| {
        let problem = golem_sdk::text::chain(&problem);
        PyValueError::new_err(error::sentence(&format!("the setting {name} can't be {text:?}: {problem}")))
    })
}
