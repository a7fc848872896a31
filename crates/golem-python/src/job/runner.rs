//! A durable run within a program.

use std::sync::{Arc, Mutex, PoisonError};

use golem_sdk::{OnBudget, text::chain};
use golem_tasks::view::Style;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{PyJob, at_least_one, known, parsed};
use crate::bridge::{Bridge, spawn};
use crate::context::time;
use crate::payload::get;
use crate::runtime::runtime;
use crate::{error, json};

/// The settings that a runner may have.
const SETTINGS: [&str; 19] = [
    "dsn",
    "run_id",
    "changed_job",
    "retry_failed",
    "only",
    "workers",
    "budget",
    "on_budget",
    "max_price",
    "price_grace",
    "results",
    "retries",
    "task_timeout",
    "settle_timeout",
    "devnet",
    "api_url",
    "app_key",
    "subnet",
    "show",
];

/// Runs a job from within a program.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct Runner {
    ready: Mutex<Option<(golem_tasks::Runner, Arc<Bridge>)>>,
    stopper: CancellationToken,
    ended: Mutex<Option<watch::Receiver<Option<Arc<Ended>>>>>,
}

/// The end of a run: its summary, or the reason why it couldn't begin or broke off.
type Ended = Result<Value, Broken>;

struct Broken {
    text: String,
    advice: Option<String>,
    code: u8,
}

#[pymethods]
impl Runner {
    #[new]
    fn new(py: Python<'_>, job: &Bound<'_, PyDict>, settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let bridge = Bridge::current(py)?;
        let runner = read(golem_tasks::Runner::new(PyJob::read(job, Arc::clone(&bridge))?), settings)?;
        let stopper = runner.stopper();
        Ok(Self { ready: Mutex::new(Some((runner, bridge))), stopper, ended: Mutex::default() })
    }

    fn run<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bridge = Bridge::current(py)?;
        let mut ended = self.begun()?;
        let guard = self.stopper.clone().drop_guard();
        let work = async move {
            let outcome = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
            // Only who stops waiting stops the run.
            let _token: CancellationToken = DropGuard::disarm(guard);
            outcome
        };
        spawn(py, &bridge, work, |py, outcome| match outcome.as_deref() {
            Some(Ok(summary)) => Ok(json::object(py, summary)?.unbind()),
            Some(Err(broken)) => {
                let details = PyDict::new(py);
                details.set_item("exit_code", broken.code)?;
                details.set_item("advice", &broken.advice)?;
                let advice = broken.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
                Err(error::raised(py, "run", &format!("{}{advice}", broken.text), details))
            }
            None => Err(PyRuntimeError::new_err(
                "The engine has a bug, please report it: a run ended without an outcome.",
            )),
        })
    }

    fn stop(&self) {
        self.stopper.cancel();
    }
}

impl Runner {
    /// The outcome of the run, which begins with the first call.
    fn begun(&self) -> PyResult<watch::Receiver<Option<Arc<Ended>>>> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ended) = &*ended {
            return Ok(ended.clone());
        }
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((runner, _bridge)) = ready else {
            return Err(PyRuntimeError::new_err("This run couldn't begin. Make another runner."));
        };
        let (sender, receiver) = watch::channel(None);
        // What shows a run stays on one thread, so the run has one of its own.
        std::thread::Builder::new().name("golem-tasks-run".to_owned()).spawn(move || {
            let outcome = runtime().block_on(runner.run());
            let outcome = match outcome {
                Ok(summary) => Ok(golem_tasks::view::summary_json(&summary)),
                Err(failure) => Err(Broken {
                    text: chain(&failure),
                    advice: failure.advice().map(str::to_owned),
                    code: failure.exit().code(),
                }),
            };
            sender.send_replace(Some(Arc::new(outcome)));
        })?;
        *ended = Some(receiver.clone());
        Ok(receiver)
    }
}

fn read(mut runner: golem_tasks::Runner, settings: &Bound<'_, PyDict>) -> PyResult<golem_tasks::Runner> {
    let names: Vec<_> = SETTINGS.into_iter().chain(["driver", "network"]).collect();
    known(settings, &names, "runner")?;
    let text = |name: &str| get::<String>(settings, name);
    if let Some(dsn) = text("dsn")? {
        runner = runner.dsn(dsn);
    }
    if let Some(run_id) = text("run_id")? {
        runner = runner.run_id(run_id);
    }
    if get(settings, "changed_job")?.unwrap_or(false) {
        runner = runner.changed_job();
    }
    if get(settings, "retry_failed")?.unwrap_or(false) {
        runner = runner.retry_failed();
    }
    if let Some(only) = get::<Vec<String>>(settings, "only")? {
        runner = runner.only(only);
    }
    if let Some(workers) = at_least_one(settings, "workers")? {
        runner = runner.workers(workers);
    }
    if let Some(budget) = parsed(settings, "budget")? {
        runner = runner.budget(budget);
    }
    if let Some(what) = text("on_budget")? {
        runner = runner.on_budget(match what.as_str() {
            "stop" => OnBudget::Stop,
            "pause" | "wait" => OnBudget::Pause,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "The setting on_budget can't be {what:?}. Use \"stop\" or \"pause\"."
                )));
            }
        });
    }
    if let Some(max_price) = parsed(settings, "max_price")? {
        runner = runner.max_price(max_price);
    }
    if let Some(seconds) = get(settings, "price_grace")? {
        runner = runner.price_grace(time(seconds)?);
    }
    if let Some(results) = at_least_one(settings, "results")? {
        runner = runner.results(results.into());
    }
    if let Some(retries) = get(settings, "retries")? {
        runner = runner.retries(retries);
    }
    if let Some(seconds) = get(settings, "task_timeout")? {
        runner = runner.task_timeout(time(seconds)?);
    }
    if let Some(seconds) = get(settings, "settle_timeout")? {
        runner = runner.settle_timeout(time(seconds)?);
    }
    if let Some(providers) = at_least_one(settings, "devnet")? {
        runner = runner.devnet(providers);
    }
    match (text("api_url")?, text("app_key")?) {
        (None, None) => {}
        (url, Some(key)) => {
            let url = url.or_else(|| std::env::var("YAGNA_API_URL").ok());
            runner = runner.daemon(url.unwrap_or_else(|| golem_sdk::connect::API_URL.to_owned()), key);
        }
        (Some(_), None) => {
            return Err(PyValueError::new_err("The setting api_url needs app_key, a key of that daemon."));
        }
    }
    if let Some(subnet) = text("subnet")? {
        runner = runner.subnet(subnet);
    }
    let (driver, network) = (text("driver")?, text("network")?);
    if driver.is_some() || network.is_some() {
        runner = runner.payment(
            driver.unwrap_or_else(|| golem_sdk::defaults::DRIVER.to_owned()),
            network.unwrap_or_else(|| golem_sdk::defaults::NETWORK.to_owned()),
        );
    }
    let style = match text("show")?.as_deref() {
        None | Some("silent") => Style::Silent,
        Some("text") => Style::Text,
        Some("json") => Style::Json,
        Some("quiet-json") => Style::QuietJson,
        Some("quiet") => Style::Quiet,
        Some(other) => {
            return Err(PyValueError::new_err(format!(
                "The setting show can't be {other:?}. Use \"text\", \"json\", \"quiet-json\", \"quiet\" or \"silent\"."
            )));
        }
    };
    Ok(runner.show(style))
}
