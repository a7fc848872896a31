//! A devnet's stand-in for images: files that are put onto each machine when it is deployed.
//!
//! A devnet's machines have the programs of this computer and nothing of an image. Where work calls a program that its
//! image would have, a folder can provide it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use yagna_api::ActivityId;

use super::{Deployment, Instance, Output, ProcessRuntime, Runtime, RuntimeError};
use crate::vpn::Tap;

/// Runs commands as processes of this computer, on machines that have the files of a folder.
#[derive(Debug)]
pub struct ImageFolder {
    inner: ProcessRuntime,
    files: Arc<Vec<(String, PathBuf)>>,
}

/// The folder can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the folder `{}` that stands in for the image can't be read", folder.display())]
pub struct ImageFolderError {
    folder: PathBuf,
    source: io::Error,
}

#[derive(Debug)]
struct Machine {
    inner: Arc<dyn Instance>,
    files: Arc<Vec<(String, PathBuf)>>,
}

impl ImageFolder {
    /// With all files below this folder: `FOLDER/golem/run.sh` becomes `/golem/run.sh`.
    ///
    /// A machine's own folders, such as those in `/golem`, are all that files can be put into.
    ///
    /// **Errors**: [`ImageFolderError`] where the folder can't be read.
    pub fn new(folder: &Path) -> Result<Self, ImageFolderError> {
        let mut files = Vec::new();
        collect(folder, "", &mut files)
            .map_err(|source| ImageFolderError { folder: folder.to_owned(), source })?;
        Ok(Self { inner: ProcessRuntime::default(), files: Arc::new(files) })
    }
}

impl Runtime for ImageFolder {
    fn create(&self, activity: &ActivityId) -> Result<Arc<dyn Instance>, RuntimeError> {
        let inner = self.inner.create(activity)?;
        Ok(Arc::new(Machine { inner, files: Arc::clone(&self.files) }))
    }

    fn vpn(&self) -> BoxFuture<'_, Result<(), String>> {
        self.inner.vpn()
    }
}

impl Instance for Machine {
    fn deploy<'a>(&'a self, deployment: &'a Deployment) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            self.inner.deploy(deployment).await?;
            for (inside, file) in self.files.iter() {
                self.put(inside, file)?;
            }
            Ok(())
        })
    }

    fn start<'a>(&'a self, args: &'a [String]) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.inner.start(args)
    }

    fn run<'a>(
        &'a self,
        program: &'a str,
        args: &'a [String],
        output: mpsc::Sender<Output>,
    ) -> BoxFuture<'a, Result<i32, RuntimeError>> {
        self.inner.run(program, args, output)
    }

    fn open(&self, path: &str) -> Result<File, RuntimeError> {
        self.inner.open(path)
    }

    fn create(&self, path: &str) -> Result<File, RuntimeError> {
        self.inner.create(path)
    }

    fn cpu_time(&self) -> Duration {
        self.inner.cpu_time()
    }

    fn card(&self) -> Option<Arc<Tap>> {
        self.inner.card()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.inner.stop()
    }
}

impl Machine {
    /// Puts a file onto the machine, with the rights that it has here.
    fn put(&self, inside: &str, file: &Path) -> Result<(), RuntimeError> {
        let failed = |source| RuntimeError::Open { path: inside.to_owned(), source };
        let mut from = File::open(file).map_err(failed)?;
        let mut to = self.inner.create(inside)?;
        io::copy(&mut from, &mut to).map_err(failed)?;
        let rights = from.metadata().map_err(failed)?.permissions();
        to.set_permissions(rights).map_err(failed)
    }
}

fn collect(folder: &Path, inside: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let inside = format!("{inside}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &inside, files)?;
        } else {
            files.push((inside, entry.path()));
        }
    }
    Ok(())
}
