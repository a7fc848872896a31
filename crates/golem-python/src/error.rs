//! Errors of the engine as exceptions, and exceptions of workers as errors of the engine.

use std::error::Error as StdError;
use std::sync::{Mutex, PoisonError};

use golem_core::event::{AttemptFailure, FailureKind};
use golem_sdk::executor::{CloseError, StartError};
use golem_sdk::run::RunError;
use golem_sdk::text::chain;
use golem_sdk::{ScriptError, WorkerError};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::command::results;

create_exception!(
    golem_tasks._native,
    Error,
    PyException,
    "Something failed in the engine, on the way to it, or on a provider."
);

/// The very error of a script, so that a worker that raises it hands it to the engine.
#[pyclass(frozen)]
struct Cause(Mutex<Option<ScriptError>>);

/// A text of the engine as sentences of Python: the first letter large, a full stop at the end.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim_end();
    let mut chars = text.chars();
    let mut sentence =
        chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect());
    if !sentence.ends_with(['.', '!', '?', ':']) {
        sentence.push('.');
    }
    sentence
}

/// An `Error` of this kind.
pub(crate) fn raised(py: Python<'_>, kind: &str, text: &str, details: Bound<'_, PyDict>) -> PyErr {
    let error = Error::new_err(sentence(text));
    let value = error.value(py);
    let set = value
        .setattr(intern!(py, "kind"), kind)
        .and_then(|()| value.setattr(intern!(py, "details"), details));
    match set {
        Ok(()) => error,
        Err(problem) => problem,
    }
}

/// An `Error` of this kind without details.
pub(crate) fn plain(py: Python<'_>, kind: &str, error: &(dyn StdError + 'static)) -> PyErr {
    raised(py, kind, &chain(error), PyDict::new(py))
}

/// The error of a start.
pub(crate) fn of_start(py: Python<'_>, error: &StartError) -> PyErr {
    let details = PyDict::new(py);
    let mut set = Ok(());
    let kind = match error {
        StartError::NoAppKey => "no_app_key",
        StartError::Address { .. } | StartError::ApiUrl(_) => "address",
        StartError::Budget(_) => "budget",
        StartError::Payload(_) => "payload",
        StartError::NoPaymentAccount { driver, network, .. } => {
            set = details.set_item("driver", driver).and_then(|()| details.set_item("network", network));
            "no_payment_account"
        }
        StartError::Run(RunError::Unreachable { address, .. } | RunError::NotYagna { address, .. }) => {
            set = details.set_item("address", address);
            "unreachable"
        }
        StartError::Run(RunError::Unauthorised { .. }) => "unauthorised",
        StartError::Run(RunError::Allocation { .. }) => "allocation",
        _ => "start",
    };
    if let Err(problem) = set {
        return problem;
    }
    let advice = match kind {
        "unreachable" => {
            "; start the daemon with `yagna service run`, or say where it is by YAGNA_API_URL; without any daemon there is devnet=True"
        }
        "unauthorised" => "; `yagna app-key list` shows the daemon's keys: put one into YAGNA_APPKEY",
        "allocation" => "; `yagna payment status` shows what there is, `yagna payment fund` gets test GLM",
        _ => "",
    };
    // The error's own text says the cause of a missing account already.
    let text = if kind == "no_payment_account" { error.to_string() } else { chain(error) };
    raised(py, kind, &format!("{text}{advice}"), details)
}

/// The error of an executor's end.
pub(crate) fn of_close(py: Python<'_>, error: &CloseError) -> PyErr {
    plain(py, "close", error)
}

/// The error of a script.
pub(crate) fn of_script(py: Python<'_>, error: ScriptError) -> PyErr {
    match script(py, error) {
        Ok(error) | Err(error) => error,
    }
}

fn script(py: Python<'_>, error: ScriptError) -> PyResult<PyErr> {
    let details = PyDict::new(py);
    let provider = |provider: &golem_core::event::Provider| {
        details.set_item("provider_id", provider.id.as_str())?;
        details.set_item("provider_name", &provider.name)
    };
    let kind = match &error {
        ScriptError::CommandFailed(failure) | ScriptError::TransferFailed(failure) => {
            provider(&failure.provider)?;
            details.set_item("command", &failure.command.words)?;
            details.set_item("place", failure.command.place)?;
            details.set_item("exit_code", failure.exit_code)?;
            details.set_item("message", &failure.message)?;
            details.set_item("stderr", &failure.stderr)?;
            details.set_item("results", results(py, &failure.so_far, &[])?)?;
            if matches!(error, ScriptError::CommandFailed(_)) { "command_failed" } else { "transfer_failed" }
        }
        ScriptError::Expired(expiry) => {
            provider(&expiry.provider)?;
            details.set_item("command", &expiry.command.words)?;
            details.set_item("place", expiry.command.place)?;
            details.set_item("limit", expiry.limit.as_secs_f64())?;
            details.set_item("results", results(py, &expiry.so_far, &[])?)?;
            "expired"
        }
        ScriptError::ActivityLost { reason, provider: lost } => {
            provider(lost)?;
            details.set_item("reason", reason)?;
            "activity_lost"
        }
        ScriptError::AgreementEnded { by, reason, provider: ended, .. } => {
            provider(ended)?;
            details.set_item("reason", reason)?;
            details.set_item("by", crate::json::of(py, by)?)?;
            "agreement_ended"
        }
        ScriptError::Busy { provider: busy } => {
            provider(busy)?;
            "busy"
        }
        ScriptError::Invalid { .. } | ScriptError::TooLarge { .. } | ScriptError::NoJson { .. } => "invalid",
        _ => "script",
    };
    details.set_item("ready", error.leaves_activity_ready())?;
    details.set_item("failure", error.kind().word())?;
    let text = chain(&error);
    let raised = raised(py, kind, &text, details);
    let cause = Cause(Mutex::new(Some(error)));
    raised.value(py).setattr(intern!(py, "_cause"), Bound::new(py, cause)?)?;
    Ok(raised)
}

/// The error of a script that an exception has brought along: itself, or one that it was raised from.
fn script_within(exception: &Bound<'_, PyAny>) -> Option<ScriptError> {
    let py = exception.py();
    let mut next = Some(exception.clone());
    // A chain of exceptions may be a circle.
    for _ in 0..16 {
        let exception = next.filter(|next| !next.is_none())?;
        if let Ok(cause) = exception.getattr(intern!(py, "_cause"))
            && let Ok(cause) = cause.cast::<Cause>()
            && let Some(error) = cause.get().0.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            return Some(error);
        }
        let cause = exception.getattr(intern!(py, "__cause__")).ok().filter(|cause| !cause.is_none());
        next = cause.or_else(|| exception.getattr(intern!(py, "__context__")).ok());
    }
    None
}

/// An exception in a line: its type and its text.
pub(crate) fn in_a_line(exception: &Bound<'_, PyAny>) -> String {
    let name = exception.get_type().name().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    let text = exception.str().map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { name } else { format!("{name}: {text}") }
}

/// The error of a worker that raised this.
pub(crate) fn of_worker(exception: &Bound<'_, PyAny>) -> WorkerError {
    script_within(exception).map_or_else(|| WorkerError::other(in_a_line(exception)), WorkerError::Script)
}

/// The failure of an attempt that ended with this exception, and whether its activity can go on.
pub(crate) fn of_attempt(exception: &Bound<'_, PyAny>) -> (AttemptFailure, bool) {
    match script_within(exception) {
        Some(error) => {
            let ready = error.leaves_activity_ready();
            let failure = error.to_failure();
            if !ready {
                // The worker is going to raise it, and the engine is to know it then.
                give_back(exception, error);
            }
            (failure, ready)
        }
        None => (AttemptFailure::new(FailureKind::Rejected, in_a_line(exception)), true),
    }
}

fn give_back(exception: &Bound<'_, PyAny>, error: ScriptError) {
    let put = Bound::new(exception.py(), Cause(Mutex::new(Some(error))))
        .and_then(|cause| exception.setattr(intern!(exception.py(), "_cause"), cause));
    if let Err(problem) = put {
        problem.write_unraisable(exception.py(), Some(exception));
    }
}
