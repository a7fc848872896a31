//! Carries out what is asked for, one thing after the other.

use std::path::PathBuf;

use yagna_client::Client;

use super::VERSION;
use super::files::Files;
use super::peer::Peer;
use super::rpc::{Answer, Call, Link, RpcError, Status};
use super::url::FileUrl;

/// The daemon, as far as it is known.
pub(super) enum Daemon {
    /// Nobody said which key it takes. That is told to whoever needs it: asking for the version needs none.
    NoKey,
    /// It is there, or will be.
    At(Client),
}

/// The files that one process serves for its requestor.
pub(super) struct Desk {
    files: Option<Files>,
}

impl Desk {
    pub(super) fn new(daemon: Daemon) -> Self {
        let files = match daemon {
            Daemon::NoKey => None,
            Daemon::At(client) => Some(Files::new(client)),
        };
        Self { files }
    }

    pub(super) async fn answer(&mut self, call: Call) -> Result<Answer, RpcError> {
        match call {
            Call::Version {} => Ok(Answer::Text(VERSION.to_owned())),
            Call::Shutdown {} => {
                // Before the answer: who has it may count on everything being closed.
                self.close().await;
                Ok(Answer::Status(Status::Ok))
            }
            Call::Publish { files } if files.is_empty() => {
                Err(RpcError::invalid("there are no files to publish"))
            }
            Call::Publish { files } => self.publish(files).await.map(Answer::Files),
            Call::Close { urls } if urls.is_empty() => Err(RpcError::invalid("there is nothing to close")),
            Call::Close { urls } => {
                let mut statuses = Vec::with_capacity(urls.len());
                for url in urls {
                    let name = url.name().map_err(failed)?;
                    let closed = match &mut self.files {
                        Some(files) => files.close(name).await,
                        None => false,
                    };
                    statuses.push(if closed { Status::Ok } else { Status::Error });
                }
                Ok(Answer::Statuses(statuses))
            }
            Call::Receive { output_file } => {
                let files = self.files()?;
                let node = files.node().await.map_err(failed)?;
                let name = files.receive(&output_file).await.map_err(failed)?;
                Ok(Answer::File(Link { file: output_file, url: FileUrl::new(&node, &name).map_err(failed)? }))
            }
            Call::Upload { url, file } => {
                let client = self.files()?.client();
                Peer::at(client, &url).map_err(failed)?.upload(&file).await.map_err(failed)?;
                Ok(Answer::File(Link { file, url }))
            }
            Call::Download { url, output_file } => {
                let client = self.files()?.client();
                Peer::at(client, &url).map_err(failed)?.download(&output_file).await.map_err(failed)?;
                Ok(Answer::File(Link { file: output_file, url }))
            }
        }
    }

    /// Takes back everything that is served.
    pub(super) async fn close(&mut self) {
        if let Some(files) = &mut self.files {
            files.close_all().await;
        }
    }

    /// All of the files or none.
    async fn publish(&mut self, paths: Vec<PathBuf>) -> Result<Vec<Link>, RpcError> {
        let files = self.files()?;
        let node = files.node().await.map_err(failed)?;
        let mut names: Vec<String> = Vec::with_capacity(paths.len());
        for path in &paths {
            match files.publish(path).await {
                Ok(name) => names.push(name),
                Err(error) => {
                    for name in names {
                        files.close(&name).await;
                    }
                    return Err(failed(error));
                }
            }
        }
        let links = paths.into_iter().zip(names);
        links
            .map(|(file, name)| Ok(Link { file, url: FileUrl::new(&node, &name).map_err(failed)? }))
            .collect()
    }

    fn files(&mut self) -> Result<&mut Files, RpcError> {
        self.files.as_mut().ok_or_else(|| {
            RpcError::failed("YAGNA_APPKEY isn't set: files are served by a yagna daemon, which takes no orders without a key")
        })
    }
}

fn failed(error: impl std::error::Error) -> RpcError {
    RpcError::failed(golem_sdk::text::chain(&error))
}
