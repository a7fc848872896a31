//! The keys of this machine for a service, and the files in which `ssh` finds them and those of the instances.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::host::Host;
use crate::exit::{Exit, Failure};

/// The remedy where the programs of OpenSSH are missing.
pub(super) const INSTALL: &str =
    "install OpenSSH's client: `apt install openssh-client` on Debian and Ubuntu";

/// A key made for one service, in a folder that only its user can read.
#[derive(Debug)]
pub(super) struct Keys {
    folder: PathBuf,
    private: PathBuf,
    public: String,
}

#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("`ssh-keygen` can't be started")]
    NoKeygen(#[source] io::Error),
    #[error("`ssh-keygen` made no key: {0}")]
    Failed(String),
    #[error("the keys for ssh can't be kept in {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Keys {
    /// The keys of a service, made where there are none yet.
    pub(super) async fn of(services: &Path, run_id: &str) -> Result<Self, Failure> {
        let folder = services.join("ssh").join(run_id);
        let failed = |source| Failure::new(Exit::BrokeOff, KeyError::Folder { path: folder.clone(), source });
        make_folder(&folder).map_err(failed)?;
        let private = folder.join("id_ed25519");
        let known = folder.join("id_ed25519.pub");
        if !known.is_file() {
            make_key(&private, run_id).await?;
        }
        let public = fs::read_to_string(&known).map_err(failed)?.trim().to_owned();
        Ok(Self { folder, private, public })
    }

    /// The file with the secret half.
    pub(super) fn private(&self) -> &Path {
        &self.private
    }

    /// The public half, as a line of `authorized_keys`.
    pub(super) fn public(&self) -> &str {
        &self.public
    }

    /// Writes the file by which `ssh` knows an instance, and nothing else.
    pub(super) fn know(&self, name: &str, host: &Host) -> Result<PathBuf, Failure> {
        let path = self.folder.join(format!("known_hosts.{name}"));
        let mut lines = String::new();
        for key in &host.keys {
            let _infallible = writeln!(lines, "{name} {key}");
        }
        // Another `ssh` may be reading it.
        let written = || {
            let new = self.folder.join(format!("known_hosts.{name}.{}", std::process::id()));
            fs::write(&new, lines)?;
            fs::rename(&new, &path)
        };
        written().map_err(|source| {
            Failure::new(Exit::BrokeOff, KeyError::Folder { path: self.folder.clone(), source })
        })?;
        Ok(path)
    }
}

/// Makes a folder that only this user can read.
fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Makes a key under another name first, so that one that is there is whole. Of two processes that make one at a time, both
/// use the key that came last.
async fn make_key(private: &Path, run_id: &str) -> Result<(), Failure> {
    let new = private.with_file_name(format!("new-{}", std::process::id()));
    let new_public = new.with_extension("pub");
    drop((fs::remove_file(&new), fs::remove_file(&new_public)));
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C"])
        .arg(format!("golem-tasks {run_id}"))
        .arg("-f")
        .arg(&new)
        .output()
        .await
        .map_err(|error| Failure::new(Exit::Usage, KeyError::NoKeygen(error)).advise(INSTALL))?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
        return Err(Failure::new(Exit::BrokeOff, KeyError::Failed(said)));
    }
    let renamed =
        fs::rename(&new, private).and_then(|()| fs::rename(&new_public, private.with_extension("pub")));
    renamed
        .map_err(|source| Failure::new(Exit::BrokeOff, KeyError::Folder { path: private.to_owned(), source }))
}
