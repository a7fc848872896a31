//! Services: programs that run on rented machines until they are stopped, and are kept up.
//!
//! A [`ServiceSpec`] describes a service: its main process, the sign that it is ready, what follows when it ends. A
//! [`Service`] keeps its instances up: each has a [place](state::Place), a machine, a [state](InstanceState), and in a
//! [`Network`] an address and a name. [`Executor::service`](crate::Executor::service) starts one.
//!
//! An instance is a task of a run whose work doesn't end, so the budget, the check of bills and the memory of providers
//! hold for it as for tasks. Before its agreement ends a successor is started, and takes its place once it is ready.
//!
//! | module | what it holds |
//! |---|---|
//! | `spec` | the description of a service |
//! | `state` | the states of instances, and the reasons of their ends |
//! | `restart` | what follows when an instance ends |
//! | `quote` | texts as words of a shell |
//! | `script` | the shell scripts that keep a process up on a machine |
//! | `machine` | short commands on a machine |
//! | `kept` | the instances of a service, as this process knows them |
//! | `keeper` | an instance on one machine, from its deployment to its end |
//! | `remote` | commands on a machine that another process keeps |
//! | `names` | the names of instances in a network |
//! | `targets` | the instances that are ready, for proxies and forwarded ports |
//! | `book` | where instances are recorded for later processes |
//! | `run` | a service in an executor |

mod book;
mod keeper;
mod kept;
mod machine;
mod names;
mod quote;
mod remote;
mod restart;
mod run;
mod script;
mod spec;
mod state;
mod targets;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use yagna_api::Clock;

pub use self::book::{BookError, Deployed, InstanceBook, NoBook};
pub use self::keeper::Outcome;
use self::kept::Kept;
pub use self::machine::{Ran, RanNot};
pub use self::names::Names;
pub use self::remote::RemoteMachine;
pub use self::restart::{Restart, RestartError};
pub use self::run::RunningService;
pub use self::spec::{Ready, ServiceSpec, SpecError};
pub use self::state::{EndReason, InstanceInfo, InstanceState, Place, instance_name};
use crate::network::Network;
use crate::reach::Targets;

/// The time that a script of ours may take on a machine.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of a log that are read at once.
const LOG_PIECE: u64 = 256 * 1024;

/// The environment of an instance that is only known when it starts.
pub type Environment = dyn Fn(Place, Option<Ipv4Addr>) -> BTreeMap<String, String> + Send + Sync;

/// A service and its instances. Clones are the same service.
///
/// It decides nothing about rentals: whoever runs it hands each rented machine to [`Service::keep`].
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    spec: ServiceSpec,
    network: Option<Network>,
    names: Names,
    environment: Arc<Environment>,
    clock: Arc<dyn Clock>,
    book: Arc<dyn InstanceBook>,
    kept: Kept,
    /// Those who lead others to the instances, by the port of theirs.
    led: Mutex<Vec<(u16, Targets)>>,
    /// The cleanup of instances whose rentals have ended.
    cleaning: Mutex<JoinSet<()>>,
}

/// The parts of a service beside its description. What isn't set there isn't used.
#[non_exhaustive]
pub struct ServiceParts {
    /// The network that its instances join.
    pub network: Option<Network>,
    /// The names of the network.
    pub names: Names,
    /// The environment that depends on the instance.
    pub environment: Arc<Environment>,
    /// The place where instances are recorded.
    pub book: Arc<dyn InstanceBook>,
}

impl Default for ServiceParts {
    fn default() -> Self {
        Self {
            network: None,
            names: Names::default(),
            environment: Arc::new(|_, _| BTreeMap::new()),
            book: Arc::new(NoBook),
        }
    }
}

impl fmt::Debug for ServiceParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceParts").field("network", &self.network).finish_non_exhaustive()
    }
}

/// A piece of an instance's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// The text; bytes that are not UTF-8 have been replaced.
    pub text: String,
    /// The byte, counted from the beginning of the log, at which the next piece begins.
    pub next: u64,
}

/// The error of a command that could not run on an instance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// The service has no such instance.
    #[error("the service `{service}` has no instance {number}: it has {instances}")]
    NoSuch {
        /// The service.
        service: String,
        /// The number that was asked for.
        number: u32,
        /// The number of its instances.
        instances: u32,
    },
    /// It has no machine now.
    #[error("{name} is {state}: nothing can be run on it now")]
    NoMachine {
        /// The instance.
        name: String,
        /// Its state.
        state: InstanceState,
    },
    /// The command didn't run to its end.
    #[error(transparent)]
    Ran(#[from] RanNot),
}

/// The service ended, or its instances did, before so many were ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the service `{service}` has ended before {wanted} of its instances were ready: {why}")]
pub struct NotReady {
    service: String,
    wanted: u32,
    why: String,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.0.spec.name).finish_non_exhaustive()
    }
}

impl Service {
    /// A service of which nothing runs yet. Its places are to be [taken](Self::next_place), and their machines to be
    /// [kept](Self::keep).
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn new(spec: ServiceSpec, parts: ServiceParts, clock: Arc<dyn Clock>) -> Result<Self, SpecError> {
        spec.check()?;
        let ServiceParts { network, names, environment, book } = parts;
        let kept = Kept::new(&spec.name);
        let (led, cleaning) = (Mutex::default(), Mutex::default());
        Ok(Self(Arc::new(Inner { spec, network, names, environment, clock, book, kept, led, cleaning })))
    }

    /// The description of the service.
    pub fn spec(&self) -> &ServiceSpec {
        &self.0.spec
    }

    /// The network of its instances.
    pub fn network(&self) -> Option<&Network> {
        self.0.network.as_ref()
    }

    /// The instances as they stand, in the order of their places.
    pub fn instances(&self) -> Vec<InstanceInfo> {
        self.0.kept.infos()
    }

    /// The number of changes of instances so far; it can be waited for the next one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.kept.changes()
    }

    /// Waits until so many instances are ready.
    ///
    /// # Errors
    /// [`NotReady`] where the service is stopped or all its instances have ended.
    ///
    /// **Cancel safety**: nothing is lost where the future is dropped.
    pub async fn wait_ready(&self, wanted: u32) -> Result<(), NotReady> {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            let instances = self.instances();
            let n_ready = instances.iter().filter(|one| one.state == InstanceState::Ready).count();
            if n_ready >= wanted as usize {
                return Ok(());
            }
            let failed = |why: String| NotReady { service: self.0.spec.name.clone(), wanted, why };
            if self.0.kept.is_stopping() {
                return Err(failed("it is being stopped".to_owned()));
            }
            let is_over =
                !instances.is_empty() && instances.iter().all(|one| one.state == InstanceState::Stopped);
            if is_over {
                let why = instances.iter().find_map(|one| one.last_end.as_ref());
                return Err(failed(
                    why.map_or_else(|| "no reason is known".to_owned(), EndReason::to_string),
                ));
            }
            if changes.changed().await.is_err() {
                return Err(failed("it has ended".to_owned()));
            }
        }
    }

    /// True if the service is being stopped, or all its instances have ended and none is started again.
    pub fn is_over(&self) -> bool {
        let instances = self.instances();
        let is_stopped = |instance: &InstanceInfo| instance.state == InstanceState::Stopped;
        self.0.kept.is_stopping() || (!instances.is_empty() && instances.iter().all(is_stopped))
    }

    /// True if no instance has a machine.
    pub fn is_at_rest(&self) -> bool {
        self.0.kept.is_at_rest()
    }

    /// Asks all instances to stop, and waits until they have.
    ///
    /// **Cancel safety**: they are stopped also where the future is dropped.
    pub async fn stop(&self) {
        self.0.kept.stop();
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if self.0.kept.is_at_rest() || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Asks all instances to stop.
    pub fn begin_stop(&self) {
        self.0.kept.stop();
    }

    /// Runs a line of the machine's shell on an instance, with the service's environment, and waits for its end.
    ///
    /// A machine carries out one command at a time. While this one runs the instance isn't checked.
    ///
    /// # Errors
    /// [`InstanceError`] if the command could not run. A command that runs and fails gives `Ok` with its exit code.
    ///
    /// **Cancel safety**: where the future is dropped the command goes on.
    pub async fn exec(&self, number: u32, line: &str, limit: Duration) -> Result<Ran, InstanceError> {
        let machine = self.machine(number)?;
        Ok(machine.sh(script::command(&self.0.spec.env, line), limit).await?)
    }

    /// Reads the log of an instance from this byte on, or its last bytes where none is named.
    ///
    /// # Errors
    /// [`InstanceError`].
    pub async fn log(&self, number: u32, from: Option<u64>) -> Result<LogPiece, InstanceError> {
        let machine = self.machine(number)?;
        let ran = machine.sh(log_script(from), SCRIPT_LIMIT).await?;
        Ok(read_log(&ran.stdout))
    }

    /// Lets an instance be checked at once, because somebody could not reach it.
    pub fn suspect(&self, number: u32) {
        self.0.kept.suspect(number);
    }

    fn machine(&self, number: u32) -> Result<machine::Machine, InstanceError> {
        self.0.kept.machine(number).map_err(|state| match state {
            Some(state) => InstanceError::NoMachine { name: instance_name(&self.0.spec.name, number), state },
            None => InstanceError::NoSuch {
                service: self.0.spec.name.clone(),
                number,
                instances: self.0.spec.instances,
            },
        })
    }
}

/// The script, for the machine's `/bin/sh`, that prints an instance's log from this byte on, or its last bytes.
pub fn log_script(from: Option<u64>) -> String {
    let from = from.map_or(script::LogFrom::Last(LOG_PIECE), script::LogFrom::Byte);
    script::log(from, LOG_PIECE)
}

/// The output of a [log script](log_script), read.
pub fn read_log(output: &str) -> LogPiece {
    let (begin, text) = output.split_once('\n').unwrap_or((output, ""));
    let begin: u64 = begin.trim().parse().unwrap_or(0);
    LogPiece { text: text.to_owned(), next: begin + text.len() as u64 }
}

/// The script, for the machine's `/bin/sh`, that runs a line with this environment in the working folder of services.
pub fn exec_script(env: &BTreeMap<String, String>, line: &str) -> String {
    script::command(env, line)
}

/// The text as one word for a shell.
pub fn shell_word(text: &str) -> String {
    quote::quoted(text)
}
