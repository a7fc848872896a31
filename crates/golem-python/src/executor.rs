//! The executor.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use golem_core::event::RunEnd;
use golem_core::strategy::{LeastExpensive, Strategy};
use golem_core::terms::TimeRange;
use golem_sdk::executor::{CloseError, Executor as SdkExecutor, ExecutorBuilder};
use golem_sdk::summary::LogSummary;
use golem_sdk::{OnBudget, ProviderList};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use yagna_api::{AppKey, Glm};

use crate::bridge::{Bridge, spawn};
use crate::consumer::{Consumer, Lines};
use crate::context::{time, timeout};
use crate::devnet::Devnet;
use crate::payload::{self, get};
use crate::runtime::runtime;
use crate::strategy::{PyStrategy, caps};
use crate::submitted::Submitted;
use crate::worker::{Item, call};
use crate::{error, feed, json};

type End = Result<RunEnd, Arc<CloseError>>;

/// Runs jobs.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct Executor {
    state: RwLock<State>,
    bridge: Arc<Bridge>,
    #[pyo3(get)]
    driver: String,
    #[pyo3(get)]
    network: String,
}

enum State {
    Running(SdkExecutor),
    Closed(Shared<BoxFuture<'static, End>>),
    /// Only within `close`.
    Closing,
}

/// A consumer as it comes from Python: a function, its kinds, whether it wants details.
type Wanted = (Py<PyAny>, Option<Vec<String>>, bool);

fn closed() -> PyErr {
    PyRuntimeError::new_err("The executor is closed. Start another one for more work.")
}

impl Executor {
    /// Calls this with the executor while it runs.
    fn with<T>(&self, work: impl FnOnce(&SdkExecutor) -> T) -> PyResult<T> {
        let _runtime = runtime().enter();
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Running(executor) => Ok(work(executor)),
            State::Closed(_) | State::Closing => Err(closed()),
        }
    }
}

#[pymethods]
impl Executor {
    #[staticmethod]
    #[pyo3(signature = (payload, settings, devnet = None, consumers = Vec::new()))]
    fn start<'py>(
        py: Python<'py>,
        payload: &Bound<'py, PyDict>,
        settings: &Bound<'py, PyDict>,
        devnet: Option<&Bound<'py, Devnet>>,
        consumers: Vec<Wanted>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let bridge = Bridge::current(py)?;
        let spec = payload::spec(payload, devnet.is_some())?;
        let mut builder = SdkExecutor::builder(spec).quiet();
        if let Some(devnet) = devnet {
            let devnet = devnet.get();
            builder = builder
                .client(devnet.client()?)
                .driver(&devnet.driver)
                .network(&devnet.network)
                .subnet_tag(&devnet.subnet_tag);
        }
        builder = set(builder, settings, &bridge, devnet.is_some())?;
        for (function, kinds, details) in consumers {
            builder = builder.event_consumer(consumer(&bridge, function, kinds, details));
        }
        let to = Arc::clone(&bridge);
        spawn(py, &to, builder.start(), move |py, started| {
            let executor = started.map_err(|problem| error::of_start(py, &problem))?;
            let (driver, network) = (executor.driver().to_owned(), executor.network().to_owned());
            let state = RwLock::new(State::Running(executor));
            Ok(Py::new(py, Self { state, bridge, driver, network })?.into_any())
        })
    }

    #[pyo3(signature = (consumer, kinds = None, details = false))]
    fn add_consumer(&self, consumer: Py<PyAny>, kinds: Option<Vec<String>>, details: bool) -> PyResult<()> {
        let consumer = self::consumer(&self.bridge, consumer, kinds, details);
        self.with(|executor| executor.add_event_consumer(consumer))
    }

    #[pyo3(signature = (worker, tasks, *, retries = None, timeout = None, describe = None, failures = false))]
    #[expect(clippy::too_many_arguments, reason = "they have names in Python")]
    fn submit(
        &self,
        py: Python<'_>,
        worker: Bound<'_, PyAny>,
        tasks: &Bound<'_, PyAny>,
        retries: Option<u32>,
        timeout: Option<f64>,
        describe: Option<Py<PyAny>>,
        failures: bool,
    ) -> PyResult<Submitted> {
        self.bridge.event_loop(py)?;
        if !worker.is_callable() {
            return Err(PyTypeError::new_err(
                "The worker is not a function. Pass a coroutine function of a context and tasks.",
            ));
        }
        let timeout = self::timeout(timeout)?;
        // Before the source begins.
        self.with(|_| ())?;
        let (bridge, worker) = (Arc::clone(&self.bridge), Arc::new(worker.unbind()));
        let work = move |ctx, tasks| call(Arc::clone(&bridge), Arc::clone(&worker), ctx, tasks);
        let items = match tasks.cast::<PyList>() {
            Ok(list) => {
                let items = list.iter().map(|data| feed::item(&data, describe.as_ref()));
                Ok(items.collect::<PyResult<Vec<Item>>>()?)
            }
            Err(_) => Err(feed::read(tasks, &self.bridge, describe)?),
        };
        let outcomes = self.with(|executor| {
            let mut job = match items {
                Ok(items) => executor.job(items),
                Err(source) => executor.job_of_try_stream(source),
            }
            .described(|item: &Item| item.label.clone());
            if let Some(retries) = retries {
                job = job.retries(retries);
            }
            if let Some(timeout) = timeout {
                job = job.timeout(timeout);
            }
            job.submit_outcomes(work)
        })?;
        Ok(Submitted::new(outcomes, failures, Arc::clone(&self.bridge)))
    }

    fn budget(&self) -> PyResult<String> {
        self.with(|executor| executor.budget().to_string())
    }

    fn add_budget<'py>(&self, py: Python<'py>, amount: &str) -> PyResult<Bound<'py, PyAny>> {
        let amount = glm(amount, "amount")?;
        // The future borrows the executor, so it works by what doesn't.
        let handle = self.with(SdkExecutor::handle)?;
        let work = async move { handle.add_budget(amount).await };
        spawn(py, &self.bridge, work, |py, raised| {
            let budget = raised.map_err(|problem| error::plain(py, "budget_not_raised", &problem))?;
            Ok(budget.to_string().into_pyobject(py)?.into_any().unbind())
        })
    }

    fn stop(&self) -> PyResult<()> {
        self.with(SdkExecutor::stop)
    }

    fn leave(&self) -> PyResult<()> {
        self.with(SdkExecutor::leave)
    }

    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.bridge.event_loop(py)?;
        let end = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let end = match std::mem::replace(&mut *state, State::Closing) {
                State::Running(executor) => {
                    // It goes on where nobody waits for it any more.
                    let closing = runtime().spawn(executor.close());
                    let end =
                        async move { closing.await.unwrap_or(Err(CloseError::ShutDown)).map_err(Arc::new) };
                    end.boxed().shared()
                }
                State::Closed(end) => end,
                State::Closing => return Err(closed()),
            };
            *state = State::Closed(end.clone());
            end
        };
        spawn(py, &self.bridge, end, |py, end| {
            let end = end.map_err(|problem| error::of_close(py, &problem))?;
            Ok(json::of(py, &end)?.unbind())
        })
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // What it ends in the background is begun on the runtime.
        let _runtime = runtime().enter();
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(std::mem::replace(state, State::Closing));
    }
}

fn consumer(
    bridge: &Arc<Bridge>,
    function: Py<PyAny>,
    kinds: Option<Vec<String>>,
    details: bool,
) -> Consumer {
    Consumer {
        bridge: Arc::clone(bridge),
        function: Arc::new(function),
        kinds: kinds.map(|kinds| kinds.into_iter().collect()),
        details,
    }
}

/// GLM of a text.
pub(crate) fn glm(text: &str, name: &str) -> PyResult<Glm> {
    let amount: Glm = text
        .trim()
        .parse()
        .map_err(|error| PyValueError::new_err(format!("The setting {name} can't be {text:?}: {error}.")))?;
    if amount.is_negative() {
        return Err(PyValueError::new_err(format!(
            "The setting {name} can't be {text:?}: an amount of GLM is never negative."
        )));
    }
    Ok(amount)
}

/// The settings of an executor, all but its payload.
fn set(
    mut builder: ExecutorBuilder,
    settings: &Bound<'_, PyDict>,
    bridge: &Arc<Bridge>,
    is_devnet: bool,
) -> PyResult<ExecutorBuilder> {
    const KNOWN: [&str; 24] = [
        "budget",
        "on_budget",
        "timeout",
        "max_workers",
        "retries",
        "driver",
        "network",
        "subnet_tag",
        "app_key",
        "api_url",
        "strategy",
        "strategy_alone",
        "max_start",
        "max_per_hour",
        "max_cpu_per_hour",
        "max_duration_per_hour",
        "only_providers",
        "except_providers",
        "implicit_start",
        "settle_timeout",
        "on_line",
        "min_debit_note_accept_timeout",
        "expected_use",
        "idle_timeout",
    ];
    for name in settings.keys() {
        let name: String = name.extract()?;
        if !KNOWN.contains(&name.as_str()) {
            return Err(PyTypeError::new_err(format!("An executor has no setting {name:?}.")));
        }
    }
    let text = |name: &str| get::<String>(settings, name);
    let seconds = |name: &str| get::<f64>(settings, name)?.map(time).transpose();
    let amount = |name: &str| text(name)?.map(|text| glm(&text, name)).transpose();
    if let Some(budget) = text("budget")? {
        builder = builder.budget(budget.as_str());
    }
    match text("on_budget")?.as_deref() {
        None => {}
        Some("stop") => builder = builder.on_budget(OnBudget::Stop),
        Some("pause") => builder = builder.on_budget(OnBudget::Pause),
        Some(other) => {
            return Err(PyValueError::new_err(format!(
                "The setting on_budget can't be {other:?}: it is \"stop\" or \"pause\"."
            )));
        }
    }
    if let Some(time) = seconds("timeout")? {
        builder = builder.timeout(time);
    }
    if let Some(workers) = get(settings, "max_workers")? {
        builder = builder.max_workers(workers);
    }
    if let Some(retries) = get(settings, "retries")? {
        builder = builder.retries(retries);
    }
    if let Some(driver) = text("driver")? {
        builder = builder.driver(driver);
    }
    if let Some(network) = text("network")? {
        builder = builder.network(network);
    }
    if let Some(subnet) = text("subnet_tag")? {
        builder = builder.subnet_tag(subnet);
    }
    if !is_devnet {
        if let Some(key) = text("app_key")? {
            builder = builder.app_key(AppKey::new(key));
        }
        if let Some(url) = text("api_url")? {
            builder = builder.api_url(url);
        }
    }
    if let Some(implicit) = get(settings, "implicit_start")? {
        builder = builder.implicit_start(implicit);
    }
    if let Some(time) = seconds("settle_timeout")? {
        builder = builder.configure(move |config| config.settle_timeout = time);
    }
    if let Some(time) = seconds("idle_timeout")? {
        builder = builder.configure(move |config| config.idle_timeout = time);
    }
    if let Some(least) = seconds("min_debit_note_accept_timeout")? {
        builder = builder.terms(move |terms| terms.accept_timeout = TimeRange::at_least(least));
    }
    if let Some(function) = get::<Py<PyAny>>(settings, "on_line")? {
        let lines =
            Lines { bridge: Arc::clone(bridge), function: Arc::new(function), summary: LogSummary::new() };
        builder = builder.event_consumer(lines);
    }
    let caps = caps(
        amount("max_start")?,
        amount("max_per_hour")?,
        amount("max_cpu_per_hour")?,
        amount("max_duration_per_hour")?,
    );
    let function = get::<Py<PyAny>>(settings, "strategy")?;
    let mut strategy: Arc<dyn Strategy> = if let Some(function) = function {
        Arc::new(PyStrategy { function, caps })
    } else {
        let use_for = seconds("expected_use")?.unwrap_or(LeastExpensive::USE);
        Arc::new(LeastExpensive::new(caps).for_use(use_for.max(Duration::from_secs(1))))
    };
    if let Some(names) = get::<Vec<String>>(settings, "only_providers")? {
        strategy = Arc::new(strategy.only(names.into_iter().collect::<ProviderList>()));
    }
    if let Some(names) = get::<Vec<String>>(settings, "except_providers")? {
        strategy = Arc::new(strategy.except(names.into_iter().collect::<ProviderList>()));
    }
    Ok(if get(settings, "strategy_alone")?.unwrap_or(false) {
        builder.strategy_alone(strategy)
    } else {
        builder.strategy(strategy)
    })
}
