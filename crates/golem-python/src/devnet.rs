//! The emulated network, in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use golem_devnet::devnet::{Devnet as SdkDevnet, DevnetError};
use golem_devnet::node::Delays;
use golem_devnet::runtime::{ImageFolder, ScriptedAnswer, ScriptedRuntime};
use golem_sdk::defaults::{DRIVER, NETWORK, SUBNET};
use golem_sdk::run::platform;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::sync::{Mutex, MutexGuard};
use yagna_api::AppKey;
use yagna_client::{Client, InProcessTransport};

use crate::bridge::{Bridge, spawn};
use crate::context::time;
use crate::error;
use crate::payload::get;
use crate::runtime::runtime;

/// A devnet in this process.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct Devnet {
    running: Arc<Mutex<Option<SdkDevnet>>>,
    bridge: Arc<Bridge>,
    #[pyo3(get)]
    api_url: String,
    #[pyo3(get)]
    app_key: String,
    #[pyo3(get)]
    pub(crate) driver: String,
    #[pyo3(get)]
    pub(crate) network: String,
    #[pyo3(get)]
    pub(crate) subnet_tag: String,
}

/// A devnet as it is asked for.
struct Wanted {
    providers: usize,
    seed: Option<u64>,
    instant: bool,
    runtime: Option<Machines>,
    driver: String,
    network: String,
    subnet: String,
    app_key: Option<String>,
}

/// The runtimes that can be chosen instead of the devnet's own.
enum Machines {
    Scripted(ScriptedRuntime),
    Image(ImageFolder),
}

async fn start(wanted: &mut Wanted) -> Result<(SdkDevnet, String), DevnetError> {
    let mut builder = SdkDevnet::builder()
        .providers(wanted.providers)
        .delays(if wanted.instant { Delays::none() } else { Delays::real() })
        .payment_platform(platform(&wanted.driver, &wanted.network))
        .subnet(wanted.subnet.as_str());
    if let Some(seed) = wanted.seed {
        builder = builder.seed(seed);
    }
    match wanted.runtime.take() {
        Some(Machines::Scripted(runtime)) => builder = builder.runtime(runtime),
        Some(Machines::Image(runtime)) => builder = builder.runtime(runtime),
        None => {}
    }
    if let Some(key) = &wanted.app_key {
        builder = builder.app_key(AppKey::new(key));
    }
    let devnet = builder.start().await?;
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    Ok((devnet, format!("http://{address}")))
}

impl Devnet {
    /// A client of its daemon, which takes no way through a socket.
    pub(crate) fn client(&self) -> PyResult<Client> {
        let devnet = self.running()?;
        let Some(devnet) = devnet.as_ref() else { return Err(stopped()) };
        let transport = InProcessTransport::new(devnet.router(), &AppKey::new(&self.app_key))
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(Client::new(Arc::new(transport)))
    }

    fn running(&self) -> PyResult<MutexGuard<'_, Option<SdkDevnet>>> {
        self.running.try_lock().map_err(|_| stopped())
    }
}

fn stopped() -> PyErr {
    PyRuntimeError::new_err("The devnet has been stopped. Start another one.")
}

#[pymethods]
impl Devnet {
    #[staticmethod]
    #[pyo3(signature = (providers = 3, *, seed = None, instant = false, scripted = None, driver = None, network = None, subnet_tag = None, app_key = None, image = None))]
    #[expect(clippy::too_many_arguments, reason = "they have names in Python")]
    fn start<'py>(
        py: Python<'py>,
        providers: usize,
        seed: Option<u64>,
        instant: bool,
        scripted: Option<Vec<Bound<'py, PyDict>>>,
        driver: Option<String>,
        network: Option<String>,
        subnet_tag: Option<String>,
        app_key: Option<String>,
        image: Option<PathBuf>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let bridge = Bridge::current(py)?;
        let runtime = match (scripted, image) {
            (Some(_), Some(_)) => {
                return Err(PyValueError::new_err("A devnet is either scripted or has an image, not both."));
            }
            (Some(answers), None) => Some(Machines::Scripted(self::scripted(&answers)?)),
            (None, Some(folder)) => {
                let image =
                    ImageFolder::new(&folder).map_err(|problem| error::plain(py, "devnet", &problem))?;
                Some(Machines::Image(image))
            }
            (None, None) => None,
        };
        if providers == 0 {
            return Err(PyValueError::new_err(
                "A devnet without providers can do nothing. Start it with one or more.",
            ));
        }
        let mut wanted = Wanted {
            providers,
            seed,
            instant,
            runtime,
            driver: driver.unwrap_or_else(|| DRIVER.to_owned()).to_lowercase(),
            network: network.unwrap_or_else(|| NETWORK.to_owned()).to_lowercase(),
            subnet: subnet_tag.unwrap_or_else(|| SUBNET.to_owned()),
            app_key,
        };
        let to = Arc::clone(&bridge);
        let work = async move {
            let started = start(&mut wanted).await;
            (started, wanted)
        };
        spawn(py, &to, work, move |py, (started, wanted)| {
            let (devnet, api_url) = started.map_err(|problem| error::plain(py, "devnet", &problem))?;
            let app_key = devnet.requestor().key.expose().to_owned();
            let Wanted { driver, network, subnet: subnet_tag, .. } = wanted;
            let running = Arc::new(Mutex::new(Some(devnet)));
            Ok(Py::new(py, Self { running, bridge, api_url, app_key, driver, network, subnet_tag })?
                .into_any())
        })
    }

    fn open_agreements(&self) -> PyResult<usize> {
        Ok(self.running()?.as_ref().ok_or_else(stopped)?.books().open_agreements().count())
    }

    fn unpaid_invoices(&self) -> PyResult<usize> {
        Ok(self.running()?.as_ref().ok_or_else(stopped)?.books().unanswered_invoices().count())
    }

    fn provider_names(&self) -> PyResult<Vec<String>> {
        let devnet = self.running()?;
        let devnet = devnet.as_ref().ok_or_else(stopped)?;
        Ok(devnet.providers().map(|provider| provider.name().to_owned()).collect())
    }

    fn stop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let devnet = Arc::clone(&self.running);
        // It goes on where the future is cancelled.
        let stopping = runtime().spawn(async move {
            let devnet = devnet.lock().await.take();
            if let Some(devnet) = devnet {
                devnet.stop().await;
            }
        });
        spawn(py, &self.bridge, stopping, |py, _| Ok(py.None()))
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let devnet = Arc::clone(&self.running);
        runtime().spawn(async move { drop(devnet.lock().await.take()) });
    }
}

fn scripted(answers: &[Bound<'_, PyDict>]) -> PyResult<ScriptedRuntime> {
    answers.iter().try_fold(ScriptedRuntime::new(), |runtime, settings| {
        let text = |name: &str| get::<String>(settings, name);
        let mut answer = match get::<i32>(settings, "exit")? {
            Some(code) => ScriptedAnswer::exit(code),
            None => ScriptedAnswer::ok(),
        };
        if let Some(text) = text("stdout")? {
            answer = answer.stdout(text);
        }
        if let Some(text) = text("stderr")? {
            answer = answer.stderr(text);
        }
        if let Some(seconds) = get::<f64>(settings, "takes")? {
            answer = answer.taking(time(seconds)?);
        }
        if let Some(writes) = get::<Bound<'_, PyDict>>(settings, "writes")? {
            for (path, content) in writes.iter() {
                answer = answer.writing(path.extract::<String>()?, content.extract::<Vec<u8>>()?);
            }
        }
        let program = text("program")?.unwrap_or_else(|| "/bin/sh".to_owned());
        let args = get::<Vec<String>>(settings, "args")?.unwrap_or_default();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        Ok(runtime.on_prefix(&program, &args, answer))
    })
}
