//! The devnet's config file: the network's own settings, and providers one by one. `docs/devnet.md` is its reference.

mod provider;
mod schema;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use golem_devnet::provider::{Prices, ProviderConfig};
use toml::de::DeValue;
use yagna_api::Glm;

use super::{MOST_PROVIDERS, Pace};
use crate::job::Problems;
use crate::job::document::{self, Diagnostics, Entry, Section, describe};
use crate::job::schema::list;

/// The settings of a config file; those that it leaves out are left to the flags and their defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigFile {
    pub(crate) seed: Option<u64>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) subnet: Option<String>,
    pub(crate) driver: Option<String>,
    pub(crate) network: Option<String>,
    pub(crate) pace: Option<Pace>,
    /// The number of made-up providers.
    pub(crate) providers: Option<u32>,
    /// The prices of those that name none.
    pub(crate) prices: Option<Prices>,
    pub(crate) described: Vec<Described>,
}

/// A provider as a config file describes it.
#[derive(Debug, Clone)]
pub struct Described {
    /// The provider, but for its prices where it names none.
    pub config: ProviderConfig,
    /// True if it names its prices.
    pub has_prices: bool,
}

/// The reasons why a config file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("can't read the config file `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the config file `{}` is not UTF-8 text", path.display())]
    NotUtf8 { path: PathBuf },
    #[error("{0}")]
    Invalid(Problems),
}

impl ConfigFile {
    /// Reads and validates a config file; all its problems are told at once.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes =
            std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let text = String::from_utf8(bytes).map_err(|_| ConfigError::NotUtf8 { path: path.to_owned() })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        document::read(text, origin, &schema::CONFIG, |document, diagnostics| {
            read(&Section::document(document, diagnostics), diagnostics)
        })
        .map_err(ConfigError::Invalid)
    }
}

/// Reads everything, so that one attempt reports all problems.
fn read(top: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<ConfigFile> {
    let seed = optional(top, "seed", diagnostics, seed);
    let listen = optional(top, "listen", diagnostics, address);
    let subnet = optional(top, "subnet", diagnostics, word);
    let driver = optional(top, "driver", diagnostics, word);
    let network = optional(top, "network", diagnostics, word);
    let pace = optional(top, "delays", diagnostics, |entry, diagnostics| {
        choice(entry, &[("realistic", Pace::Realistic), ("none", Pace::AtOnce)], diagnostics)
    });
    let providers = optional(top, "providers", diagnostics, |entry, diagnostics| {
        up_to(entry, 0, MOST_PROVIDERS, diagnostics)
    });
    let prices = optional(top, "prices", diagnostics, prices);
    let described = described(top, diagnostics);
    Some(ConfigFile {
        seed: seed.ok()?,
        listen: listen.ok()?,
        subnet: subnet.ok()?,
        driver: driver.ok()?,
        network: network.ok()?,
        pace: pace.ok()?,
        providers: providers.ok()?,
        prices: prices.ok()?,
        described: described?,
    })
}

fn described(top: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Vec<Described>> {
    let Some(entry) = top.get("provider") else {
        return Some(Vec::new());
    };
    let items = match entry.value.get_ref() {
        DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
            entry.list("a list of providers", diagnostics)?
        }
        other => {
            let message = format!("`provider` must be a list of providers, found {}", describe(other));
            let help = "begin every provider with a line [[provider]] in double brackets";
            diagnostics.report_with_help(entry.key_span, message, help);
            return None;
        }
    };
    let mut names = HashMap::new();
    let mut all = Vec::new();
    let mut sound = true;
    for item in &items {
        let Some(read) = provider::read(item, diagnostics) else {
            sound = false;
            continue;
        };
        let line = diagnostics.line(read.name_span.start);
        if let Some((name, first)) =
            read.providers.iter().find_map(|provider| names.get_key_value(&provider.config.name))
        {
            let message = format!("two providers are called `{name}`");
            diagnostics.report_with_help(
                read.name_span,
                message,
                format!("the other one is in line {first}"),
            );
            sound = false;
            continue;
        }
        names.extend(read.providers.iter().map(|provider| (provider.config.name.clone(), line)));
        all.extend(read.providers);
    }
    sound.then_some(all)
}

/// An error that was reported already.
#[derive(Debug, Clone, Copy)]
struct Reported;

/// A value that may be left out.
fn optional<'a, 'd, T>(
    section: &Section<'a>,
    key: &str,
    diagnostics: &mut Diagnostics<'d>,
    read: impl FnOnce(&Entry<'a>, &mut Diagnostics<'d>) -> Option<T>,
) -> Result<Option<T>, Reported> {
    let read = |entry: &Entry<'a>, diagnostics: &mut Diagnostics<'d>| read(entry, diagnostics).map(Some);
    section.value_or(key, None, diagnostics, read).ok_or(Reported)
}

fn seed(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<u64> {
    let number = entry.integer(diagnostics)?;
    let seed = u64::try_from(number).ok();
    if seed.is_none() {
        diagnostics.report(entry.span(), "`seed` can't be below zero");
    }
    seed
}

fn address(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<SocketAddr> {
    let text = entry.text(diagnostics)?;
    let address = text.trim().parse().ok();
    if address.is_none() {
        entry.expected("an address with a port, such as \"127.0.0.1:7465\"", diagnostics);
    }
    address
}

fn word(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    entry.text(diagnostics).map(|text| text.trim().to_owned())
}

/// One of a few words.
fn choice<T: Clone>(
    entry: &Entry<'_>,
    choices: &[(&str, T)],
    diagnostics: &mut Diagnostics<'_>,
) -> Option<T> {
    let text = entry.string(diagnostics)?;
    let found = choices.iter().find(|(word, _)| *word == text.trim());
    if found.is_none() {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        unknown_word(entry, text, &words, diagnostics);
    }
    found.map(|(_, meant)| meant.clone())
}

fn unknown_word(entry: &Entry<'_>, text: &str, words: &[&str], diagnostics: &mut Diagnostics<'_>) {
    let message = format!("`{}` can't be \"{text}\"", entry.name);
    let help = match schema::CONFIG.closest(text, words.iter().copied()) {
        Some(close) => format!("did you mean \"{close}\"?"),
        None => format!("it can be {}", list(words, "or")),
    };
    diagnostics.report_with_help(entry.span(), message, help);
}

fn up_to(entry: &Entry<'_>, least: u32, most: u32, diagnostics: &mut Diagnostics<'_>) -> Option<u32> {
    let count = entry.count(least, diagnostics)?;
    if count > most {
        diagnostics
            .report(entry.span(), format!("`{}` can't be more than {most}, found {count}", entry.name));
        return None;
    }
    Some(count)
}

/// Reads prices; those that aren't named are zero.
fn prices(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Prices> {
    let example = "{ start = \"0.01\", cpu_hour = \"0.06\", env_hour = \"0.02\" }";
    let section = entry.table(schema::PRICES, example, diagnostics)?;
    let mut price = |key| section.value_or(key, Glm::ZERO, diagnostics, Entry::money);
    let (start, cpu, env) = (price("start"), price("cpu_hour"), price("env_hour"));
    Some(Prices { start: start?, per_cpu_hour: cpu?, per_env_hour: env? })
}

#[cfg(test)]
mod tests;
