//! The way to the daemon of services for other processes: the environment names it, as for runs. An emulated network inside
//! of the process that keeps services up is found by a file beside the database, which only its user can read.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use yagna_api::AppKey;
use yagna_client::{Client, HttpTransport, Url};

use crate::exit::{Exit, Failure};
use crate::options::Site;
use crate::run::Daemon;
use crate::store::{Dsn, ServiceRow};

/// The address and the key of an emulated network.
#[derive(Debug, Serialize, Deserialize)]
struct Access {
    url: String,
    key: String,
}

/// A file that tells other processes of an emulated network as long as it is there.
#[derive(Debug)]
pub(super) struct AccessFile(PathBuf);

impl AccessFile {
    /// Writes the file for a stack.
    pub(super) fn write(dsn: &Dsn, stack: &str, url: &str, key: &AppKey) -> Result<Self, Failure> {
        let path = path(dsn, stack)?;
        let failed = |error: std::io::Error| {
            Failure::new(Exit::BrokeOff, error)
                .advise(format!("the folder of `{}` must be writable", path.display()))
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let text = serde_json::to_string(&Access { url: url.to_owned(), key: key.expose().to_owned() })
            .expect("two texts have a form in JSON");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        options.open(&path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Self(path))
    }
}

impl Drop for AccessFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "a file was not removed");
        }
    }
}

/// A client of the daemon of this service: of an emulated network where `up` has one, else of the daemon that the
/// environment names.
pub(crate) async fn client(
    dsn: &Dsn,
    service: &ServiceRow,
    site: impl FnOnce() -> Result<Site, Failure>,
) -> Result<Client, Failure> {
    let path = path(dsn, &service.stack)?;
    if let Ok(text) = fs::read_to_string(&path)
        && let Ok(access) = serde_json::from_str::<Access>(&text)
    {
        let url: Url = access.url.parse().map_err(|error| Failure::new(Exit::Daemon, error))?;
        let transport = HttpTransport::new(&url, &AppKey::new(access.key));
        return Ok(Client::new(Arc::new(transport.map_err(|error| Failure::new(Exit::Daemon, error))?)));
    }
    Daemon::open(&site()?).await?.client()
}

fn path(dsn: &Dsn, stack: &str) -> Result<PathBuf, Failure> {
    Ok(folder(dsn)?.join(format!("{stack}.json")))
}

/// The folder for what belongs to services, beside that for what runs get on standard input.
pub(super) fn folder(dsn: &Dsn) -> Result<PathBuf, Failure> {
    let mut folder = dsn.input_folder()?;
    folder.set_extension("services");
    Ok(folder)
}
