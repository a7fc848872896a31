//! The environment that points a requestor at a devnet, in a form that a shell understands.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::DevnetOptions;
use super::file::{Readers, write_whole};
use super::network::Network;
use crate::exit::{Exit, Failure};

/// The environment couldn't be written to its file.
#[derive(Debug, thiserror::Error)]
#[error("can't write the environment to `{}`", path.display())]
struct EnvFileError {
    path: PathBuf,
    source: io::Error,
}

/// Variables to set, in order.
#[derive(Debug)]
pub(super) struct Exports {
    variables: Vec<(&'static str, String)>,
    /// The keys of further requestors.
    others: Vec<String>,
}

impl Exports {
    /// A daemon that isn't ours keeps its address and its keys to itself.
    pub(super) fn new(options: &DevnetOptions, network: &Network) -> Self {
        let mut keys = network.requestors().iter().map(|requestor| requestor.key.expose().to_owned());
        let url = network.url().map(|url| ("YAGNA_API_URL", url.to_owned()));
        let key = keys.next().map(|key| ("YAGNA_APPKEY", key));
        // It answers as the registry of images too; a real daemon's requestors have the real one.
        let registry = network.url().map(|url| ("GOLEM_REGISTRY_URL", url.to_owned()));
        let mut variables: Vec<_> = [url, key, registry].into_iter().flatten().collect();
        variables.extend([
            ("YAGNA_SUBNET", options.subnet.clone()),
            ("YAGNA_PAYMENT_DRIVER", options.driver.clone()),
            ("YAGNA_PAYMENT_NETWORK", options.network.clone()),
            // golem-js has a name of its own for it.
            ("PAYMENT_NETWORK", options.network.clone()),
        ]);
        Self { variables, others: keys.collect() }
    }

    /// One `export` a line; further requestors' keys are comments.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.variables {
            let _ = writeln!(text, "export {name}={}", quoted(value));
        }
        for key in &self.others {
            let _ = writeln!(text, "# another requestor: export YAGNA_APPKEY={}", quoted(key));
        }
        text
    }

    /// The variables for machines, with the network that they lead to.
    pub(super) fn json(&self, options: &DevnetOptions, network: &Network) -> Value {
        let environment: Map<_, _> =
            self.variables.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let requestors: Vec<_> = network
            .requestors()
            .iter()
            .map(|requestor| json!({ "id": requestor.node, "app_key": requestor.key.expose() }))
            .collect();
        let providers: Vec<_> = network
            .providers()
            .map(|provider| json!({ "id": provider.node(), "name": provider.name() }))
            .collect();
        json!({
            "type": "devnet",
            "version": super::json::VERSION,
            "seed": options.seed,
            "environment": environment,
            "requestors": requestors,
            "providers": providers,
        })
    }

    /// Writes it to a file, whole or not at all: whoever waits for the file finds all of it.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let failed = |source| Failure::new(Exit::Usage, EnvFileError { path: path.to_owned(), source });
        // It has the keys in it.
        write_whole(path, self.text().as_bytes(), Readers::Owner).map_err(failed)
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for word in ["", "plain-1.2:3", "two words", "it's", "$HOME `id` \"x\"", "a\\b", "#x", "żółw"] {
            let line = format!("printf %s {}", quoted(word));
            let printed = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(printed.stdout).unwrap(), word);
        }
    }
}
