//! Finds VM images in Golem's registry: by hash or by tag, to a hash and an address that providers can fetch.
//!
//! What else a machine needs, and images that are in no registry, are the business of [`crate::payload`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use golem_core::payload::Image;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use sha3::{Digest, Sha3_224};
use yagna_client::proxy::{self, NamedProxy};

/// The address of Golem's registry, unless [`Registry::from_env`] finds another.
pub const REGISTRY: &str = "https://registry.golem.network";

/// Variables that name another registry, the first that is set and not empty wins.
pub const REGISTRY_VARIABLES: [&str; 2] = ["GOLEM_REGISTRY_URL", "REGISTRY_URL"];

/// The time that a registry, or the server of an image, may take to answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Lengths in hex of the SHA-3 hashes that providers can check: 224, 256, 384 and 512 bits.
const HASH_LENGTHS: [usize; 4] = [56, 64, 96, 128];

/// The ways to name an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageName {
    /// By the SHA3 hash of its content, in hex.
    Hash(String),
    /// By a tag such as `golem/alpine:latest`.
    Tag(String),
}

/// The reasons why an image couldn't be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The tag doesn't have its three parts.
    #[error("`{0}` is not a valid image tag: it has the form `user/name:tag`, such as `golem/alpine:latest`")]
    Tag(String),
    /// The hash is none.
    #[error("`{0}` is not a valid image hash: it has 56 hexadecimal digits (SHA3-224)")]
    Hash(String),
    /// The registry has no such image.
    #[error(
        "the registry at {registry} has no image {name}: check the name, or publish the image with \
         `gvmkit-build --push-to user/name:tag`"
    )]
    NotFound {
        /// The address of the registry.
        registry: String,
        /// The name of the image.
        name: String,
    },
    /// The registry couldn't be asked, or had no answer.
    #[error("the registry at {registry} can't be asked for the image {name}{}", through(proxy.as_ref()))]
    Unreachable {
        /// The address of the registry.
        registry: String,
        /// The name of the image.
        name: String,
        /// The proxy of the environment that it was asked through.
        proxy: Option<NamedProxy>,
        /// The error of the request.
        source: reqwest::Error,
    },
    /// The registry said something else than where the image is.
    #[error("the registry at {registry} gave no readable answer for the image {name}: {problem}")]
    Unreadable {
        /// The address of the registry.
        registry: String,
        /// The name of the image.
        name: String,
        /// The problem with the answer.
        problem: String,
    },
    /// The address of a registry or an image is none.
    #[error("`{0}` is not an address that starts with http:// or https://")]
    Address(String),
    /// Nobody answers at the image's address.
    #[error("the image's address {url} can't be reached{}", through(proxy.as_ref()))]
    ImageUnreachable {
        /// The address.
        url: String,
        /// The proxy of the environment that it was asked through.
        proxy: Option<NamedProxy>,
        /// The error of the request.
        source: reqwest::Error,
    },
    /// There is no image at its address.
    #[error("there is no image at {url}: it answers {status}")]
    NoImage {
        /// The address.
        url: String,
        /// The status that came instead of 200.
        status: u16,
    },
}

/// A registry of images.
///
/// # Example
/// ```no_run
/// use golem_sdk::image::{ImageName, Registry};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let name: ImageName = "golem/alpine:latest".parse()?;
/// let image = Registry::from_env().find(&name).await?;
/// println!("{} is at {}", image.hash, image.url);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Nobody is asked where there is none.
    address: Option<String>,
    https: bool,
    counted: bool,
}

#[derive(Deserialize)]
struct Info {
    http: Option<String>,
    https: Option<String>,
    sha3: String,
}

impl FromStr for ImageName {
    type Err = ImageError;

    /// Reads `user/name:tag` as a tag, and a hash with or without `sha3:` before it as a hash.
    fn from_str(text: &str) -> Result<Self, ImageError> {
        if text.contains('/') {
            let tag = Self::Tag(text.to_owned());
            tag.check().map(|()| tag)
        } else {
            plain_hash(text).map(Self::Hash)
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Hash(text) | Self::Tag(text)) = self;
        f.write_str(text)
    }
}

impl ImageName {
    /// Checks the form of the name, asking nobody.
    ///
    /// **Errors**: [`ImageError::Tag`], [`ImageError::Hash`].
    pub fn check(&self) -> Result<(), ImageError> {
        match self {
            Self::Hash(text) => plain_hash(text).map(drop),
            Self::Tag(text) if is_tag(text) => Ok(()),
            Self::Tag(text) => Err(ImageError::Tag(text.clone())),
        }
    }
}

impl Default for Registry {
    /// Golem's own, whatever the environment says.
    fn default() -> Self {
        Self::at(REGISTRY)
    }
}

impl Registry {
    /// The registry at an address.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), https: false, counted: true }
    }

    /// A registry that has every image and needs no network, for a devnet, whose providers fetch no images.
    ///
    /// Of no use on a real network: what it answers is nowhere to be found.
    pub fn devnet() -> Self {
        Self { address: None, https: false, counted: false }
    }

    /// The registry that `GOLEM_REGISTRY_URL` or `REGISTRY_URL` names, or Golem's own.
    pub fn from_env() -> Self {
        let named = REGISTRY_VARIABLES.iter().filter_map(|variable| std::env::var(variable).ok());
        named
            .map(|address| address.trim().to_owned())
            .find(|address| !address.is_empty())
            .map_or_else(Self::default, Self::at)
    }

    /// Chooses whether providers fetch images over HTTPS. They needn't: what they fetch is checked by its hash.
    #[must_use]
    pub fn https(mut self, https: bool) -> Self {
        self.https = https;
        self
    }

    /// Chooses whether the registry counts this use of the image; it does by default.
    #[must_use]
    pub fn counted(mut self, counted: bool) -> Self {
        self.counted = counted;
        self
    }

    /// The address of the registry; none for [`Registry::devnet`].
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref().map(|address| address.trim_end_matches('/'))
    }

    /// Asks for an image.
    ///
    /// **Errors**: the name is none, the registry doesn't know it, can't be asked within half a minute, or answers
    /// something unreadable or another image than was asked for.
    ///
    /// **Source**: `GET /v1/image/info?hash=..|tag=..&count=true`, as Golem's own SDKs ask it.
    pub async fn find(&self, name: &ImageName) -> Result<Image, ImageError> {
        name.check()?;
        let (key, asked) = match name {
            ImageName::Hash(hash) => ("hash", plain_hash(hash)?),
            ImageName::Tag(tag) => ("tag", tag.clone()),
        };
        let Some(registry) = self.address().map(str::to_owned) else {
            let hash = if key == "hash" { asked } else { hex::encode(Sha3_224::digest(&asked)) };
            return Ok(Image { hash, url: "http://registry.devnet.invalid/image".to_owned() });
        };
        let mut url = http_url(&format!("{registry}/v1/image/info"))
            .ok_or_else(|| ImageError::Address(registry.clone()))?;
        let usage = if self.counted { "count" } else { "dev" };
        url.query_pairs_mut().append_pair(key, &asked).append_pair(usage, "true");
        let proxy = proxy(&url);
        let ask = async {
            let answer = client(&url)?.get(url).send().await?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            answer.error_for_status()?.bytes().await.map(Some)
        };
        let name = asked;
        let body = match ask.await {
            Ok(Some(body)) => body,
            Ok(None) => return Err(ImageError::NotFound { registry, name }),
            Err(source) => return Err(ImageError::Unreachable { registry, name, proxy, source }),
        };
        self.read(&body, &name, key == "hash").map_err(|problem| ImageError::Unreadable {
            registry,
            name,
            problem,
        })
    }

    fn read(&self, body: &[u8], asked: &str, by_hash: bool) -> Result<Image, String> {
        let info: Info = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let hash = plain_hash(&info.sha3).map_err(|_| format!("`{}` is not a valid hash", info.sha3))?;
        if by_hash && hash != asked {
            return Err(format!("it names another image, {hash}"));
        }
        let (scheme, url) = if self.https { ("https", info.https) } else { ("http", info.http) };
        match url {
            Some(url) if http_url(&url).is_some() => Ok(Image { hash, url }),
            Some(url) => Err(format!("`{url}` is not a valid address")),
            None => Err(format!("it has no address for {scheme}")),
        }
    }
}

/// Asks a registry for an image: [`Registry::find`] for those who have but its address, with its errors.
pub async fn find(registry: &str, name: &ImageName) -> Result<Image, ImageError> {
    Registry::at(registry).find(name).await
}

/// Checks that an image's address answers: a `HEAD` that ends in 200, redirects followed.
pub(crate) async fn reach(url: &str) -> Result<(), ImageError> {
    let address = http_url(url).ok_or_else(|| ImageError::Address(url.to_owned()))?;
    let proxy = proxy(&address);
    let ask = async { client(&address)?.head(address).send().await };
    match ask.await {
        Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
        Ok(answer) => Err(ImageError::NoImage { url: url.to_owned(), status: answer.status().as_u16() }),
        Err(source) => Err(ImageError::ImageUnreachable { url: url.to_owned(), proxy, source }),
    }
}

/// A hash as demands carry it: in lower-case hex, without the `sha3:` some write before it.
pub(crate) fn plain_hash(text: &str) -> Result<String, ImageError> {
    let digits = text.strip_prefix("sha3:").unwrap_or(text);
    if HASH_LENGTHS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(digits.to_ascii_lowercase())
    } else {
        Err(ImageError::Hash(text.to_owned()))
    }
}

fn is_tag(text: &str) -> bool {
    let plain =
        |part: &str| !part.is_empty() && !part.contains([':', '/']) && !part.contains(char::is_whitespace);
    text.split_once('/')
        .and_then(|(user, rest)| rest.split_once(':').map(|(name, tag)| [user, name, tag]))
        .is_some_and(|parts| parts.into_iter().all(plain))
}

pub(crate) fn http_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// The proxy of the environment that an address is asked through.
fn proxy(url: &Url) -> Option<NamedProxy> {
    proxy::named_for(url, |name| std::env::var(name).ok())
}

/// The words by which an error names the proxy.
fn through(proxy: Option<&NamedProxy>) -> String {
    proxy.map_or_else(String::new, |proxy| {
        format!(" through the proxy {} that {} names", proxy.address, proxy.variable)
    })
}

/// A client for one address. What is on this machine is asked without a proxy.
fn client(url: &Url) -> Result<Client, reqwest::Error> {
    // Another part of the process may have chosen a provider of cryptography before us; any will do.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = Client::builder().timeout(DEADLINE);
    if proxy::is_loopback(url) { builder.no_proxy().build() } else { builder.build() }
}

#[cfg(test)]
mod tests;
