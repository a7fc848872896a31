//! The programs of the package: `golem-tasks`, `gftp`, and those of a job in Python.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel, sync_channel};
use std::time::Duration;

use golem_tasks::Failure;
use golem_tasks::exit::Exit;
use golem_tasks::view::Output;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::sync::oneshot;

use super::{PyJob, in_a_line};
use crate::bridge::{Bridge, spawn};

/// The placeholder for a job on the command line, and its explanation.
const JOB: &str = "JOB.toml|MODULE";
const JOB_HELP: &str = "The job file, or a Python module by its name (examples.hello_world) or its file (hello_world.py), with PAYLOAD and get_tasks(run_id)";

/// A program that has ended waits so long for an event loop that is blocked.
const PATIENCE: Duration = Duration::from_secs(3);
/// Writing out what Python has printed may take so long.
const FLUSHING: Duration = Duration::from_secs(1);
const BLOCKED: &str = "a function of the job still blocks the event loop, so the process is ended; \
                       what takes time belongs into `await asyncio.to_thread(..)`\n";

/// The program `golem-tasks`.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, argv: Vec<OsString>) -> u8 {
    py.detach(|| golem_tasks::program_with(argv, JOB, JOB_HELP, |_| Ok(None::<PyJob>)).code())
}

/// The program `gftp`.
#[pyfunction]
pub(crate) fn gftp(py: Python<'_>, argv: Vec<OsString>) -> u8 {
    py.detach(|| golem_tasks::gftp::main_with(argv).code())
}

/// The program that runs one job.
#[pyfunction]
#[pyo3(signature = (job, argv, run_id = None))]
pub(crate) fn job_main<'py>(
    py: Python<'py>,
    job: &Bound<'py, PyDict>,
    mut argv: Vec<OsString>,
    run_id: Option<String>,
) -> PyResult<Bound<'py, PyAny>> {
    let bridge = Bridge::current(py)?;
    let job = PyJob::read(job, Arc::clone(&bridge))?;
    if let Some(run_id) = run_id {
        argv.extend(["--run-id".into(), run_id.into()]);
    }
    in_a_thread(py, &bridge, move || golem_tasks::main_with(job, argv))
}

/// The program `golem-tasks`, for which a job may also be a name.
#[pyfunction]
pub(crate) fn program(py: Python<'_>, argv: Vec<OsString>, find: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let bridge = Bridge::current(py)?;
    let find = Arc::new(find);
    let of_loop = Arc::clone(&bridge);
    in_a_thread(py, &bridge, move || {
        golem_tasks::program_with(argv, JOB, JOB_HELP, |name| found(&of_loop, &find, name))
    })
}

/// Asks on the event loop for the job of this name.
fn found(bridge: &Arc<Bridge>, find: &Arc<Py<PyAny>>, name: &Path) -> Result<Option<PyJob>, Failure> {
    let (sender, answer) = sync_channel(1);
    let (find, of_loop, name) = (Arc::clone(find), Arc::clone(bridge), name.display().to_string());
    bridge.push(move |py| {
        let found = find.call1(py, (name,)).and_then(|job| {
            let job = job.into_bound(py);
            if job.is_none() {
                return Ok(None);
            }
            let job = job.cast_into::<PyDict>().map_err(PyErr::from)?;
            PyJob::read(&job, of_loop).map(Some)
        });
        // Nobody waits any more where the program has ended.
        sender.send(found.map_err(|problem| told(py, &problem))).ok();
    });
    match answer.recv() {
        Ok(Ok(job)) => Ok(job),
        Ok(Err(problem)) => Err(Failure::new(Exit::Usage, problem)),
        Err(_) => Err(Failure::new(Exit::Bug, "the event loop was closed")),
    }
}

/// The problem with a job: the text of an error that is meant to be told, or else the kind of the exception.
fn told(py: Python<'_>, problem: &PyErr) -> String {
    let is_meant = problem.value(py).getattr("is_told").and_then(|told| told.is_truthy()).unwrap_or(false);
    if is_meant { problem.value(py).to_string() } else { in_a_line(problem) }
}

/// Carries this out in a thread of its own, and gives a future of its exit code. Cancelling the future changes nothing.
///
/// The process is ended if the event loop doesn't hear of the end, because a function blocks it.
#[expect(clippy::disallowed_methods, reason = "the thread that could end the process in order is blocked")]
fn in_a_thread<'py>(
    py: Python<'py>,
    bridge: &Arc<Bridge>,
    program: impl FnOnce() -> Exit + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    let (sender, ended) = oneshot::channel();
    let (heard, hearing) = channel::<()>();
    std::thread::Builder::new().name("golem-tasks-program".to_owned()).spawn(move || {
        let exit = program();
        let is_awaited = sender.send(exit.code()).is_ok();
        if is_awaited && hearing.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            Output::stderr().write(BLOCKED);
            flush();
            std::process::exit(exit.code().into());
        }
    })?;
    spawn(py, bridge, ended, move |py, code| {
        drop(heard);
        match code {
            Ok(code) => Ok(code.into_pyobject(py)?.into_any().unbind()),
            Err(_) => Err(PyRuntimeError::new_err("The program broke off; what it said before tells why.")),
        }
    })
}

/// Writes out what Python has printed and keeps in its buffers. The interpreter's lock may be held for ever by what blocks the loop.
fn flush() {
    let (sender, flushed) = channel();
    let begun = std::thread::Builder::new().name("golem-tasks-flush".to_owned()).spawn(move || {
        Python::try_attach(|py| -> PyResult<()> {
            let sys = py.import("sys")?;
            for stream in ["stdout", "stderr"] {
                sys.getattr(stream)?.call_method0("flush")?;
            }
            Ok(())
        });
        sender.send(()).ok();
    });
    if begun.is_ok() {
        flushed.recv_timeout(FLUSHING).ok();
    }
}
