//! The command line, as Golem's own `gftp` has it.

#![expect(clippy::doc_markdown, reason = "these comments are the text of --help")]

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};
use yagna_api::AppKey;

use super::VERSION;
use super::url::FileUrl;

const API_URL: &str = "http://127.0.0.1:7465";

const MORE: &str = "\
yapapi and golem-js start `gftp server` by themselves, if this program is in the PATH.
What can't be done is told as {\"error\":{..}}, and the exit code is 1.";

/// Move files between this machine and providers, through a yagna daemon.
#[derive(Debug, Parser)]
#[command(name = "gftp", version = VERSION, after_help = MORE, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Print whole JSON-RPC messages.
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// The yagna daemon's address [env: YAGNA_API_URL] [default: http://127.0.0.1:7465]
    #[arg(long, value_name = "URL", global = true)]
    api_url: Option<String>,
    /// A key of the daemon [env: YAGNA_APPKEY]
    ///
    /// Better put it into the environment: other users of this machine can see flags.
    #[arg(long, value_name = "KEY", global = true)]
    app_key: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the version.
    Version,
    /// Publish files, print where they are, and serve them until Ctrl+C.
    Publish {
        /// The files.
        #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    /// Stop publishing; only what this very process has published, so of use to `gftp server` alone.
    Close {
        /// The addresses of the files.
        #[arg(value_name = "URL", required = true)]
        urls: Vec<FileUrl>,
    },
    /// Fetch a file that somebody publishes.
    Download {
        /// The address of the file.
        url: FileUrl,
        /// The name of the file here.
        #[arg(value_hint = ValueHint::FilePath)]
        output_file: PathBuf,
    },
    /// Print where a file can be handed in, and wait for it until Ctrl+C.
    Receive {
        /// The name of the file here.
        #[arg(value_hint = ValueHint::FilePath)]
        output_file: PathBuf,
    },
    /// Hand in a file that somebody waits for.
    Upload {
        /// The address to upload to.
        url: FileUrl,
        /// The file.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Answer "ok", as the server does.
    Shutdown,
    /// Take JSON-RPC requests, one a line, on standard input, and answer them on standard output.
    Server,
}

impl Args {
    pub(super) fn api_url(&self) -> String {
        choose(self.api_url.as_ref(), "YAGNA_API_URL").unwrap_or_else(|| API_URL.to_owned())
    }

    pub(super) fn app_key(&self) -> Option<AppKey> {
        choose(self.app_key.as_ref(), "YAGNA_APPKEY").map(AppKey::new)
    }
}

/// A flag wins over the environment; empty counts as none.
fn choose(flag: Option<&String>, variable: &str) -> Option<String> {
    let chosen = flag.cloned().or_else(|| std::env::var(variable).ok());
    chosen.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
