//! The description of a service: its program, its readiness, and what follows when it ends.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use yagna_api::activity::Volumes;

use super::quote::quoted;
use super::restart::Restart;

/// The longest name: with a number it is still a name of a machine.
const LONGEST_NAME: usize = 40;

/// A service: a program that runs on rented machines until it is stopped.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use golem_sdk::service::{Ready, Restart, ServiceSpec};
///
/// let web = ServiceSpec::shell("web", "python3 -m http.server 80")
///     .instances(2)
///     .env("LANG", "C.UTF-8")
///     .ready(Ready::Tcp(80))
///     .start_timeout(Duration::from_secs(60))
///     .restart(Restart::Always);
/// assert!(web.check().is_ok());
/// assert!(ServiceSpec::shell("Web site", "true").check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServiceSpec {
    /// The name of the service, which is the beginning of its instances' names: small letters, digits and `-`.
    pub name: String,
    /// The main process, as a line for the machine's `/bin/sh`.
    pub command: String,
    /// The environment of the main process, of `init` and of checks.
    pub env: BTreeMap<String, String>,
    /// Files that are sent to each machine before anything runs there: from here, to there.
    pub uploads: Vec<(PathBuf, String)>,
    /// Lines for the machine's shell that are run before the main process begins, each time that it does.
    pub init: Vec<String>,
    /// The number of instances that are kept up.
    pub instances: u32,
    /// The sign that an instance is ready.
    pub ready: Ready,
    /// The time that a new machine is given until its instance is ready.
    pub start_timeout: Duration,
    /// The time between two checks of an instance that is ready.
    pub check_every: Duration,
    /// The number of checks in a row that must fail before the instance is given up.
    pub check_failures: u32,
    /// The reaction to the end of the main process.
    pub restart: Restart,
    /// The time that the main process has to end when it is asked to, before it is killed.
    pub stop_timeout: Duration,
    /// The time between the moment from which an instance gets no new connections and its end.
    pub drain: Duration,
    /// The time before the end of an agreement at which a successor is started.
    pub renew_before: Duration,
    /// Volumes of each machine.
    pub volumes: Option<Volumes>,
}

/// The sign that an instance is ready.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Ready {
    /// Its main process runs.
    #[default]
    Running,
    /// Something listens on this TCP port, for others than the machine itself.
    Tcp(u16),
    /// A request to this path of the machine's own HTTP server succeeds. The image must have `curl` or `wget`.
    Http {
        /// The port.
        port: u16,
        /// The path, with a slash at its beginning.
        path: String,
    },
    /// This line for the machine's shell ends with exit code 0.
    Command(String),
}

/// The reason why the description of a service is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The name can't be part of the name of a machine.
    #[error(
        "`{0}` is not a valid name of a service: at most {LONGEST_NAME} small letters, digits and `-`, a letter first"
    )]
    Name(String),
    /// Nothing is to be run.
    #[error("the service `{0}` has no command")]
    NoCommand(String),
    /// No instance is wanted.
    #[error("the service `{0}` needs at least one instance")]
    NoInstances(String),
    /// A variable can't be set.
    #[error("`{0}` is not a valid name of a variable: letters, digits and `_`, no digit first")]
    Variable(String),
    /// Nothing can listen there.
    #[error("0 is not a valid port")]
    Port,
}

impl ServiceSpec {
    /// A service whose main process is a line for the machine's `/bin/sh`. A line that only starts a program is best
    /// begun with `exec`, so that the program itself gets the signals.
    pub fn shell(name: impl Into<String>, line: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            command: line.into(),
            env: BTreeMap::new(),
            uploads: Vec::new(),
            init: Vec::new(),
            instances: 1,
            ready: Ready::default(),
            start_timeout: Duration::from_secs(5 * 60),
            check_every: Duration::from_secs(2),
            check_failures: 3,
            restart: Restart::default(),
            stop_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(5),
            renew_before: Duration::from_secs(10 * 60),
            volumes: None,
        }
    }

    /// A service whose main process is a program with its arguments.
    pub fn program<A: AsRef<str>>(name: impl Into<String>, words: impl IntoIterator<Item = A>) -> Self {
        let words: Vec<_> = words.into_iter().map(|word| quoted(word.as_ref())).collect();
        let line = if words.is_empty() { String::new() } else { format!("exec {}", words.join(" ")) };
        Self::shell(name, line)
    }

    /// With this variable in its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// With a file that is sent to each machine before anything runs there.
    #[must_use]
    pub fn upload(mut self, from: impl Into<PathBuf>, to: impl Into<String>) -> Self {
        self.uploads.push((from.into(), to.into()));
        self
    }

    /// With a line for the machine's shell that is run before the main process begins.
    #[must_use]
    pub fn init(mut self, line: impl Into<String>) -> Self {
        self.init.push(line.into());
        self
    }

    /// With so many instances.
    #[must_use]
    pub fn instances(self, instances: u32) -> Self {
        Self { instances, ..self }
    }

    /// With this sign that an instance is ready.
    #[must_use]
    pub fn ready(self, ready: Ready) -> Self {
        Self { ready, ..self }
    }

    /// With so much time for a new machine until its instance is ready.
    #[must_use]
    pub fn start_timeout(self, start_timeout: Duration) -> Self {
        Self { start_timeout, ..self }
    }

    /// With so much time between two checks of an instance that is ready.
    #[must_use]
    pub fn check_every(self, check_every: Duration) -> Self {
        Self { check_every, ..self }
    }

    /// With this reaction to the end of the main process.
    #[must_use]
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// With so much time for the main process to end when it is asked to.
    #[must_use]
    pub fn stop_timeout(self, stop_timeout: Duration) -> Self {
        Self { stop_timeout, ..self }
    }

    /// With these volumes on each machine.
    #[must_use]
    pub fn volumes(self, volumes: Volumes) -> Self {
        Self { volumes: Some(volumes), ..self }
    }

    /// Looks whether it could be started.
    ///
    /// # Errors
    /// The first [`SpecError`] that is found.
    pub fn check(&self) -> Result<(), SpecError> {
        let is_name = self.name.len() <= LONGEST_NAME
            && self.name.starts_with(|first: char| first.is_ascii_lowercase())
            && !self.name.ends_with('-')
            && self.name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !is_name {
            return Err(SpecError::Name(self.name.clone()));
        }
        if self.command.trim().is_empty() {
            return Err(SpecError::NoCommand(self.name.clone()));
        }
        if self.instances == 0 {
            return Err(SpecError::NoInstances(self.name.clone()));
        }
        if let Some(name) = self.env.keys().find(|name| !is_variable(name)) {
            return Err(SpecError::Variable(name.clone()));
        }
        if matches!(self.ready, Ready::Tcp(0) | Ready::Http { port: 0, .. }) {
            return Err(SpecError::Port);
        }
        Ok(())
    }
}

impl Ready {
    /// The port that must be reached from outside of the machine, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(port) | Self::Http { port, .. } => Some(*port),
            Self::Running | Self::Command(_) => None,
        }
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("its process runs"),
            Self::Tcp(port) => write!(f, "port {port} listens"),
            Self::Http { port, path } => write!(f, "http://:{port}{path} answers"),
            Self::Command(line) => write!(f, "`{line}` succeeds"),
        }
    }
}

/// True if a shell takes this for the name of a variable.
fn is_variable(name: &str) -> bool {
    let is_first = |first: char| first.is_ascii_alphabetic() || first == '_';
    name.starts_with(is_first) && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}
