//! Commands and their results.

use bytes::Bytes;
use golem_sdk::context::{Batch, Command, Download, Finished};
use golem_sdk::{Capture, Program, WorkContext};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use std::path::PathBuf;
use yagna_api::activity::Deploy;

use crate::json;

/// A command that is queued: of a download into memory, where its bytes will be.
pub(crate) type Queued = Option<Download<Bytes>>;

/// Queues commands.
///
/// **Errors**: `TypeError` or `ValueError` that says which one can't be read.
pub(crate) fn queue(ctx: &mut WorkContext, commands: &Bound<'_, PyList>) -> PyResult<Vec<Queued>> {
    commands
        .iter()
        .enumerate()
        .map(|(place, command)| {
            one(ctx, &command).map_err(|error| {
                let py = command.py();
                let problem = error.value(py).to_string();
                let told = format!("Command {place} can't be read: {problem}");
                if error.is_instance_of::<PyValueError>(py) {
                    PyValueError::new_err(told)
                } else {
                    PyTypeError::new_err(told)
                }
            })
        })
        .collect()
}

fn one(ctx: &mut WorkContext, command: &Bound<'_, PyAny>) -> PyResult<Queued> {
    let command = command.cast::<PyTuple>()?;
    let kind: String = command.get_item(0)?.extract()?;
    let at = |place: usize| command.get_item(place);
    let options = |place: usize| -> PyResult<Option<Bound<'_, PyDict>>> {
        if command.len() <= place { Ok(None) } else { Ok(Some(at(place)?.cast_into::<PyDict>()?)) }
    };
    match kind.as_str() {
        "run" => {
            let program = Program::new(at(1)?.extract::<String>()?).args(at(2)?.extract::<Vec<String>>()?);
            ctx.add(with(program, options(3)?)?);
        }
        "shell" => {
            ctx.add(with(Program::shell(at(1)?.extract::<String>()?), options(2)?)?);
        }
        "send_file" => {
            ctx.send_file(at(1)?.extract::<PathBuf>()?, at(2)?.extract::<String>()?);
        }
        "send_bytes" => {
            // Python's own bytes are sent, without a copy of them.
            let bytes = Bytes::from_owner(at(1)?.extract::<PyBackedBytes>()?);
            ctx.send_bytes(bytes, at(2)?.extract::<String>()?);
        }
        "download_file" => {
            ctx.download_file(at(1)?.extract::<String>()?, at(2)?.extract::<PathBuf>()?);
        }
        "download_bytes" => {
            return Ok(Some(ctx.download_bytes(at(1)?.extract::<String>()?, at(2)?.extract()?)));
        }
        "fetch" => {
            ctx.fetch(at(1)?.extract::<String>()?, at(2)?.extract::<String>()?);
        }
        "deploy" => {
            let deploy: Deploy = serde_json::from_value(json::value(&at(1)?)?)
                .map_err(|error| PyValueError::new_err(format!("the deployment: {error}")))?;
            ctx.deploy(deploy);
        }
        "start" => {
            ctx.start(at(1)?.extract::<Vec<String>>()?);
        }
        "terminate" => {
            ctx.terminate();
        }
        other => return Err(PyValueError::new_err(format!("{other:?} is not a valid kind of command"))),
    }
    Ok(None)
}

fn with(mut program: Program, options: Option<Bound<'_, PyDict>>) -> PyResult<Program> {
    let Some(options) = options else { return Ok(program) };
    for (name, value) in options.iter() {
        let name: String = name.extract()?;
        program = match name.as_str() {
            _ if value.is_none() => program,
            "env" => {
                let env = value.cast::<PyDict>()?;
                env.iter().try_fold(program, |program, (name, value)| {
                    PyResult::Ok(program.env(name.extract::<String>()?, value.extract::<String>()?))
                })?
            }
            "stdout" => program.stdout(capture(&value)?),
            "stderr" => program.stderr(capture(&value)?),
            "binary" if value.is_truthy()? => program.binary_output(),
            "binary" => program,
            other => return Err(PyValueError::new_err(format!("a program has no option {other:?}"))),
        };
    }
    Ok(program)
}

fn capture(value: &Bound<'_, PyAny>) -> PyResult<Capture> {
    if let Ok((kind, bytes)) = value.extract::<(String, u64)>() {
        return match kind.as_str() {
            "head" => Ok(Capture::head(bytes)),
            "tail" => Ok(Capture::tail(bytes)),
            "head_tail" => Ok(Capture::head_tail(bytes)),
            other => Err(PyValueError::new_err(format!("{other:?} is not a valid capture"))),
        };
    }
    match value.extract::<String>()?.as_str() {
        "all" => Ok(Capture::all()),
        "none" => Ok(Capture::none()),
        "stream" => Ok(Capture::stream()),
        other => Err(PyValueError::new_err(format!("{other:?} is not a valid capture"))),
    }
}

/// A command that has ended.
#[pyclass(frozen, name = "Result", module = "golem_tasks._native")]
pub(crate) struct CommandResult {
    finished: Finished,
    content: Option<Bytes>,
}

#[pymethods]
impl CommandResult {
    #[getter]
    fn place(&self) -> usize {
        self.finished.command.place
    }

    #[getter]
    fn command(&self) -> &str {
        &self.finished.command.words
    }

    #[getter]
    fn success(&self) -> bool {
        self.finished.exit_code == Some(0)
    }

    #[getter]
    fn exit_code(&self) -> Option<i32> {
        self.finished.exit_code
    }

    #[getter]
    fn message(&self) -> Option<&str> {
        self.finished.message.as_deref()
    }

    #[getter]
    fn stdout(&self) -> std::borrow::Cow<'_, str> {
        self.finished.stdout()
    }

    #[getter]
    fn stderr(&self) -> std::borrow::Cow<'_, str> {
        self.finished.stderr()
    }

    #[getter]
    fn stdout_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.finished.stdout_bytes())
    }

    #[getter]
    fn stderr_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.finished.stderr_bytes())
    }

    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.content.as_ref().map(|content| PyBytes::new(py, content))
    }

    #[getter]
    fn at(&self) -> f64 {
        seconds(self.finished.at)
    }

    fn __repr__(&self) -> String {
        let code = self.finished.exit_code.map_or_else(|| "None".to_owned(), |code| code.to_string());
        format!("<Result of {}: exit_code={code}>", self.finished.command)
    }
}

/// A moment as seconds since 1970.
pub(crate) fn seconds(at: yagna_api::Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// The results of a batch.
pub(crate) fn results<'py>(
    py: Python<'py>,
    batch: &Batch,
    queued: &[Queued],
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (place, finished) in batch.results().iter().enumerate() {
        let download = queued.get(place).copied().flatten();
        let content = download.and_then(|download| batch.bytes(download).ok().cloned());
        list.append(Bound::new(py, CommandResult { finished: finished.clone(), content })?)?;
    }
    Ok(list)
}

/// The place of a command as Python counts it.
pub(crate) fn place(command: Command) -> usize {
    command.place()
}
