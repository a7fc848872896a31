//! The runtimes that run the commands of an activity.
//!
//! A [`Runtime`] makes one [`Instance`] for each activity. Three are here: [`ProcessRuntime`] really runs programs,
//! [`ImageFolder`] does so on machines that have the files of a folder, and [`ScriptedRuntime`] answers from a table
//! without any process. The exe-unit, not the runtime, knows about batches, results, states and transfers between
//! machines; a runtime only runs one command at a time and opens the activity's files.

mod folder;
mod image;
mod leftovers;
mod process;
mod scripted;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use yagna_api::ActivityId;

pub use self::image::{ImageFolder, ImageFolderError};
pub use self::process::{Isolation, IsolationChoice, ProcessConfig, ProcessRuntime};
pub use self::scripted::{ScriptedAnswer, ScriptedRuntime};
use crate::vpn::{Place, Tap};

/// Makes the instances in which activities live.
pub trait Runtime: Send + Sync + fmt::Debug {
    /// Sets up what belongs to this one activity. Cheap: the costly part waits for [`Instance::deploy`].
    fn create(&self, activity: &ActivityId) -> Result<Arc<dyn Instance>, RuntimeError>;

    /// Finds out if its machines can be in virtual networks; the error says why they can't.
    fn vpn(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

/// The machine of one activity, as far as its commands can see it.
///
/// Dropping an instance frees what it holds, but only [`Instance::stop`] waits until that is done.
pub trait Instance: Send + Sync + fmt::Debug {
    /// Makes the machine and its volumes. An error leaves nothing running; after [`Instance::stop`] it may be called again.
    fn deploy<'a>(&'a self, deployment: &'a Deployment) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Boots the machine.
    fn start<'a>(&'a self, args: &'a [String]) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Runs a program to its end, sends its output in pieces as they come and gives its exit code.
    ///
    /// A program ended by signal `n` gives `128 + n`. What a program leaves running in the background lives on until
    /// [`Instance::stop`]. Dropping the future kills the program with all its descendants.
    fn run<'a>(
        &'a self,
        program: &'a str,
        args: &'a [String],
        output: mpsc::Sender<Output>,
    ) -> BoxFuture<'a, Result<i32, RuntimeError>>;

    /// Opens a regular file of the activity to read. The path is the one commands see; it can't leave the activity's
    /// own folders, whatever links the activity made.
    fn open(&self, path: &str) -> Result<File, RuntimeError>;

    /// Makes or truncates a file of the activity and the folders above it, under the same rule as [`Instance::open`].
    fn create(&self, path: &str) -> Result<File, RuntimeError>;

    /// CPU time of everything that ran so far; never falls.
    fn cpu_time(&self) -> Duration;

    /// The value of a usage counter of the provider's own; it never falls. Only some runtimes have any.
    fn counter(&self, _name: &str) -> f64 {
        0.0
    }

    /// The machine's network card, once [`Instance::start`] has put it into the deployment's virtual networks. Machines of
    /// scripted runtimes have none.
    fn card(&self) -> Option<Arc<Tap>> {
        None
    }

    /// Ends every process of the activity, waits for their end and removes its files.
    fn stop(&self) -> BoxFuture<'_, ()>;
}

/// The machine that `deploy` is to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployment {
    /// Folders that belong to the activity, besides `/golem` and `/tmp`: absolute paths.
    pub volumes: Vec<String>,
    /// Virtual networks that the machine is in from its start.
    pub networks: Vec<Place>,
    /// Addresses by name, for the machine's `/etc/hosts`.
    pub hosts: BTreeMap<String, IpAddr>,
    /// The machine's own name.
    pub hostname: Option<String>,
}

/// A piece of what a command wrote, as it came: pieces end anywhere, also inside a character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// From its standard output.
    Stdout(Bytes),
    /// From its standard error.
    Stderr(Bytes),
}

/// The reasons why a runtime couldn't do what it was asked. A command that ran and failed is not an error: it has an exit
/// code.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The activity's own folder could not be made or used.
    #[error("the activity's folder can't be used")]
    Folder(#[source] io::Error),
    /// The namespaces of the activity could not be set up.
    #[error("the sandbox can't be set up: {0}")]
    Sandbox(String),
    /// The machine can't be in the deployment's virtual networks.
    #[error("the virtual networks can't be set up: {0}")]
    Vpn(String),
    /// A volume can't be placed where the image asks for it.
    #[error("volume `{path}` can't be made: {reason}")]
    Volume {
        /// The path that was asked for.
        path: String,
        /// The reason why it can't be used.
        reason: &'static str,
    },
    /// A command came before `deploy`.
    #[error("nothing is deployed")]
    NotDeployed,
    /// The program could not be started at all, for another reason than that it doesn't exist.
    #[error("`{program}` can't be started")]
    Launch {
        /// The program.
        program: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The command needs `/golem`, which this machine can't give it.
    #[error(
        "`{argument}` names /golem, but this machine allows no namespaces ({reason}), so commands see no such folder: \
         use paths relative to the working folder, or allow unprivileged user namespaces"
    )]
    NoGolemFolder {
        /// The word of the command that names it.
        argument: String,
        /// The reason why there are no namespaces.
        reason: String,
    },
    /// A path that isn't in a folder of the activity.
    #[error("`{0}` is in no volume of the activity")]
    OutsideVolumes(String),
    /// There is no such file in the activity.
    #[error("`{0}` doesn't exist in the activity")]
    NoSuchFile(String),
    /// A folder, a socket or a device where a file is needed.
    #[error("`{0}` is not a regular file")]
    NotAFile(String),
    /// A file of the activity could not be opened.
    #[error("`{path}` can't be opened")]
    Open {
        /// As commands see it.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The failure that a scripted runtime reports.
    #[error("{0}")]
    Failed(String),
    /// The machine is gone: nothing more can run in it.
    #[error("the activity's machine is gone")]
    Died,
}
