//! The problems for which providers would refuse a manifest, found before they see it.

use jiff::Timestamp;
use reqwest::Url;

use super::document::{CompManifest, InetOut, Manifest, ManifestImage};
use crate::image::plain_hash;

const PROTOCOLS: [&str; 4] = ["http", "https", "ws", "wss"];

/// The problems of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestProblem {
    /// No version such as `1.0.0`.
    #[error("{what} `{text}` must have three parts, such as 1.0.0")]
    Version {
        /// The name of the version.
        what: &'static str,
        /// As given.
        text: String,
    },
    /// It is over.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// It ends before it begins.
    #[error("it expires at {expires}, before it was made at {created}")]
    Backwards {
        /// Its beginning.
        created: Timestamp,
        /// Its end.
        expires: Timestamp,
    },
    /// There is no image in it.
    #[error("it has no image: `payload` is empty")]
    NoImage,
    /// The image's hash can't be checked by providers.
    #[error("the image's hash `{0}` must be `sha3:` and 56 hexadecimal digits")]
    Hash(String),
    /// An address is none, or can't be reached by an allowed protocol.
    #[error("`{url}` in {place} {reason}")]
    Url {
        /// As given.
        url: String,
        /// The place in the manifest.
        place: &'static str,
        /// The reason why it is refused.
        reason: String,
    },
    /// No such protocol.
    #[error("`{0}` is not a valid protocol for `net.inet.out.protocols`: there are http, https, ws and wss")]
    Protocol(String),
    /// Neither addresses nor unrestricted, or both.
    #[error("`net.inet.out` must have either `urls` or `unrestricted: {{\"urls\": true}}`")]
    Access,
    /// A command that can't be given.
    #[error("`{0}` in `script.commands` must begin with `run` or `transfer`")]
    Command(String),
    /// Nothing could be done with it.
    #[error("`script.commands` is empty: no command could be given")]
    NoCommand,
}

impl Manifest {
    /// Finds what providers would refuse, or what would keep them from anything useful.
    pub fn check(&self, now: Timestamp) -> Result<(), ManifestProblem> {
        version("the version", &self.version)?;
        if let Some(text) = self.metadata.as_ref().and_then(|metadata| metadata.version.as_ref()) {
            version("the application's version", text)?;
        }
        if self.expires_at <= self.created_at {
            return Err(ManifestProblem::Backwards { created: self.created_at, expires: self.expires_at });
        }
        if self.expires_at <= now {
            return Err(ManifestProblem::Expired(self.expires_at));
        }
        if self.payload.is_empty() {
            return Err(ManifestProblem::NoImage);
        }
        self.payload.iter().try_for_each(image)?;
        self.comp_manifest.as_ref().map_or(Ok(()), comp)
    }
}

fn version(what: &'static str, text: &str) -> Result<(), ManifestProblem> {
    match semver::Version::parse(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(ManifestProblem::Version { what, text: text.to_owned() }),
    }
}

fn image(image: &ManifestImage) -> Result<(), ManifestProblem> {
    if !image.hash.starts_with("sha3:") || plain_hash(&image.hash).is_err() {
        return Err(ManifestProblem::Hash(image.hash.clone()));
    }
    if image.urls.is_empty() {
        return Err(ManifestProblem::NoImage);
    }
    image.urls.iter().try_for_each(|text| url("payload.urls", text, &["http", "https", "gftp"]))
}

fn comp(comp: &CompManifest) -> Result<(), ManifestProblem> {
    version("the version of `compManifest`", &comp.version)?;
    if let Some(script) = &comp.script {
        if script.commands.is_empty() {
            return Err(ManifestProblem::NoCommand);
        }
        for command in &script.commands {
            let object = command.trim_start().starts_with('{');
            if !object && !command.starts_with("run") && !command.starts_with("transfer") {
                return Err(ManifestProblem::Command(command.clone()));
            }
        }
    }
    let out = comp.net.as_ref().and_then(|net| net.inet.as_ref()).and_then(|inet| inet.out.as_ref());
    out.map_or(Ok(()), outbound)
}

fn outbound(out: &InetOut) -> Result<(), ManifestProblem> {
    let protocols: Vec<&str> = match &out.protocols {
        Some(protocols) => protocols.iter().map(String::as_str).collect(),
        None => PROTOCOLS.to_vec(),
    };
    if let Some(stranger) = protocols.iter().find(|protocol| !PROTOCOLS.contains(protocol)) {
        return Err(ManifestProblem::Protocol((*stranger).to_owned()));
    }
    match (&out.urls, out.unrestricted) {
        (Some(urls), None) => urls.iter().try_for_each(|text| url("net.inet.out.urls", text, &protocols)),
        (None, Some(any)) if any.urls => Ok(()),
        _ => Err(ManifestProblem::Access),
    }
}

fn url(place: &'static str, text: &str, protocols: &[&str]) -> Result<(), ManifestProblem> {
    let reason = match Url::parse(text) {
        Err(error) => format!("is not a valid address: {error}"),
        Ok(url) if !protocols.contains(&url.scheme()) => {
            format!("has the protocol {}, which isn't among {}", url.scheme(), protocols.join(", "))
        }
        Ok(url) if !url.has_host() => "names no host".to_owned(),
        Ok(_) => return Ok(()),
    };
    Err(ManifestProblem::Url { url: text.to_owned(), place, reason })
}
