//! Payloads: which machine the work needs, and with which image, from their description to what a demand says.
//!
//! A [`PayloadSpec`] is a description, begun with [`Vm`] or [`PayloadSpec::runtime`]. It becomes a
//! [`Payload`] by [`PayloadSpec::resolve`], which asks Golem's registry where that is
//! needed, or by [`PayloadSpec::prepare`], which also serves local images to providers. Finding an image alone is
//! the business of [`crate::image`], manifests are that of [`crate::manifest`].
//!
//! # Example
//!
//! A machine for Blender:
//! ```
//! use golem_sdk::image::Registry;
//! use golem_sdk::payload::Vm;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), golem_sdk::payload::PayloadError> {
//! let payload = Vm::image_tag("golem/blender:latest")
//!     .min_mem_gib(4.0)
//!     .min_storage_gib(10.0)
//!     .min_cpu_threads(2)
//!     .registry(Registry::devnet()) // Golem's own, unless told otherwise
//!     .resolve()
//!     .await?;
//! assert!(payload.constraints().to_string().starts_with("(&(golem.inf.mem.gib>=4)"));
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};

pub use golem_core::offer::GpuWanted;
pub use golem_core::payload::{Image, Payload, PayloadProblem};
use serde_json::Value;
use yagna_api::Constraints;
use yagna_api::constraints::Operator;
use yagna_api::properties::name;
use yagna_client::{Client, ClientError};

use golem_core::offer::{GPU_CAPABILITY, GPU_RUNTIME};

use crate::image::{self, ImageError, ImageName, Registry};
#[cfg(feature = "manifest")]
use crate::manifest::{ManifestError, SealedManifest};
use crate::transfer::TransferError;

#[cfg(feature = "manifest")]
mod manifest;
mod published;

pub use self::published::Published;

/// Begins the description of a virtual machine: with at least half a GiB of memory, 2 GiB of storage and one CPU
/// thread, unless told otherwise.
#[doc(alias = "vm.repo")]
#[derive(Debug, Clone, Copy)]
pub struct Vm;

/// The description of a payload, to be resolved. Nothing is asked of anybody before that, and nothing is wrong yet.
#[derive(Debug, Clone)]
pub struct PayloadSpec {
    machine: Payload,
    image: Option<WantedImage>,
    registry: Option<Registry>,
    https: Option<bool>,
    versions: Vec<(Operator, String)>,
    /// Addresses on the internet that the work asks.
    outbound: Vec<String>,
}

/// The image that is wanted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WantedImage {
    /// This image, taken as it is.
    Known(Image),
    /// An image in the registry, by its hash or its tag.
    Named(ImageName),
    /// An image that is served elsewhere; its address is tried out.
    Url {
        /// The address.
        url: String,
        /// The SHA-3 hash of its content.
        hash: String,
    },
    /// A file, which is served to providers.
    File(PathBuf),
    /// The image that a manifest names.
    #[cfg(feature = "manifest")]
    Manifest(Box<SealedManifest>),
}

/// A payload that is ready for the market, and what has to live as long as it.
#[derive(Debug)]
pub struct PreparedPayload {
    /// The payload as demands state it.
    pub payload: Payload,
    /// The service of a local image: providers can fetch it for as long as this is kept.
    pub serving: Option<Published>,
}

/// The reasons why a description doesn't make a payload.
#[doc(alias = "PackageException")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The image couldn't be found.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// No offer could match it, or others than were meant.
    #[error(transparent)]
    Problem(#[from] PayloadProblem),
    /// The manifest isn't right.
    #[cfg(feature = "manifest")]
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A version of the runtime is none.
    #[error("`{0}` is not a valid runtime version: it has three parts, such as 0.5.3")]
    Version(String),
    /// An address without a hash.
    #[error("the image at {url} needs its hash: providers check what they fetched")]
    UrlWithoutHash {
        /// The image's address.
        url: String,
    },
    /// Addresses on the internet need an image that providers fetch themselves.
    #[error(
        "`outbound` needs an image in the registry or at an address: a manifest names where providers fetch it"
    )]
    OutboundWithoutImage,
    /// A local image without a daemon that could pass it on.
    #[error(
        "the image {path} is to be served to providers: use `prepare` with a client instead of `resolve`"
    )]
    NeedsDaemon {
        /// The image.
        path: PathBuf,
    },
    /// A local image can't be read.
    #[error(transparent)]
    File(#[from] TransferError),
    /// A local image is being written to.
    #[error("the image {path} changes while it is read")]
    Changing {
        /// The image.
        path: PathBuf,
    },
    /// The daemon doesn't pass a local image on.
    #[error("the daemon doesn't pass the image on to providers")]
    NotServed(#[source] ClientError),
}

impl Vm {
    /// With an image in the registry, by the SHA3-224 hash of its content.
    pub fn image_hash(hash: impl Into<String>) -> PayloadSpec {
        PayloadSpec::vm(WantedImage::Named(ImageName::Hash(hash.into())))
    }

    /// With an image in the registry, by its tag: `user/name:tag`.
    pub fn image_tag(tag: impl Into<String>) -> PayloadSpec {
        PayloadSpec::vm(WantedImage::Named(ImageName::Tag(tag.into())))
    }

    /// With an image that is served elsewhere, and the SHA-3 hash of its content.
    pub fn image_url(url: impl Into<String>, hash: impl Into<String>) -> PayloadSpec {
        PayloadSpec::vm(WantedImage::Url { url: url.into(), hash: hash.into() })
    }

    /// With an image of our own, a file, which we serve to providers ourselves.
    ///
    /// It has to be [prepared](PayloadSpec::prepare) with a client, which an executor does by itself, and mustn't change
    /// while it is served.
    pub fn image_file(path: impl AsRef<Path>) -> PayloadSpec {
        PayloadSpec::vm(WantedImage::File(path.as_ref().to_owned()))
    }

    /// With the image that a manifest names, which may reach out to the internet as the manifest says.
    ///
    /// What the manifest needs of a provider is asked for without further words.
    ///
    /// # Example
    /// ```
    /// use golem_sdk::SystemClock;
    /// use golem_sdk::image::{ImageName, Registry};
    /// use golem_sdk::manifest::Manifest;
    /// use golem_sdk::payload::Vm;
    /// use yagna_api::Clock;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let name: ImageName = "golem/curl:latest".parse()?;
    /// let image = Registry::devnet().find(&name).await?;
    /// let manifest = Manifest::new(&image, SystemClock.now()).outbound(["https://api.weather.example"]);
    /// let payload = Vm::manifest(manifest.seal()?).resolve().await?;
    /// assert_eq!(payload.capabilities, ["inet", "manifest-support"]);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "manifest")]
    pub fn manifest(manifest: SealedManifest) -> PayloadSpec {
        PayloadSpec::vm(WantedImage::Manifest(Box::new(manifest)))
    }
}

impl From<Payload> for PayloadSpec {
    fn from(machine: Payload) -> Self {
        Self::new(machine, None)
    }
}

impl PayloadSpec {
    /// Any machine that has a runtime of this name. It asks for nothing else yet.
    ///
    /// # Example
    /// ```
    /// use golem_sdk::payload::PayloadSpec;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), golem_sdk::payload::PayloadError> {
    /// let payload = PayloadSpec::runtime("wasmtime")
    ///     .version_at_least("0.3.0")
    ///     .task_package("hash:sha3:55aa:http://modules.example/hello.ywasi")
    ///     .property("golem.example.share", 0.25)
    ///     .constraint("(golem.inf.cpu.architecture=x86_64)")
    ///     .resolve()
    ///     .await?;
    /// assert_eq!(
    ///     payload.constraints().to_string(),
    ///     "(&(golem.runtime.name=wasmtime)(golem.inf.cpu.architecture=x86_64)(golem.runtime.version$v>=0.3.0))",
    /// );
    /// # Ok(())
    /// # }
    /// ```
    pub fn runtime(name: impl Into<String>) -> Self {
        Payload::runtime(name).into()
    }

    /// This machine with this image; the machine's own image where there is none.
    pub fn new(machine: Payload, image: impl Into<Option<WantedImage>>) -> Self {
        Self {
            machine,
            image: image.into(),
            registry: None,
            https: None,
            versions: Vec::new(),
            outbound: Vec::new(),
        }
    }

    fn vm(image: WantedImage) -> Self {
        Self::new(Payload::default(), image)
    }

    /// All of what a machine asks, in place of what was said of it so far; the image stays.
    #[must_use]
    pub fn on_machine(mut self, machine: Payload) -> Self {
        self.machine = machine;
        self
    }

    /// Another runtime for the same machine and image, such as `vm-nvidia`.
    #[must_use]
    pub fn on_runtime(mut self, name: impl Into<String>) -> Self {
        self.machine.runtime = name.into();
        self
    }

    /// The runtime's version, at least.
    #[must_use]
    pub fn version_at_least(mut self, version: impl Into<String>) -> Self {
        self.versions.push((Operator::AtLeast, version.into()));
        self
    }

    /// The runtime's version, before this one.
    #[must_use]
    pub fn version_below(mut self, version: impl Into<String>) -> Self {
        self.versions.push((Operator::Less, version.into()));
        self
    }

    /// Memory in GiB, at least; 0 asks nothing.
    #[must_use]
    pub fn min_mem_gib(mut self, gib: f64) -> Self {
        self.machine.min_mem_gib = gib;
        self
    }

    /// Storage in GiB, at least; 0 asks nothing.
    #[must_use]
    pub fn min_storage_gib(mut self, gib: f64) -> Self {
        self.machine.min_storage_gib = gib;
        self
    }

    /// CPU threads, at least; 0 asks nothing.
    #[must_use]
    pub fn min_cpu_threads(mut self, threads: u32) -> Self {
        self.machine.min_cpu_threads = threads;
        self
    }

    /// CPU cores, at least.
    #[must_use]
    pub fn min_cpu_cores(mut self, cores: u32) -> Self {
        self.machine.min_cpu_cores = Some(cores);
        self
    }

    /// Adds capabilities that the runtime needs, such as `vpn` or `inet`.
    #[must_use]
    pub fn capabilities<I: IntoIterator<Item: Into<String>>>(mut self, capabilities: I) -> Self {
        for capability in capabilities {
            require(&mut self.machine, capability.into());
        }
        self
    }

    /// A GPU: the runtime for machines that have one, and offers whose GPU does.
    ///
    /// # Example
    /// ```
    /// use golem_sdk::payload::{GpuWanted, Vm};
    ///
    /// let wanted = GpuWanted { model: Some("*4090*".to_owned()), ..GpuWanted::default() };
    /// let payload = Vm::image_tag("me/cuda:latest").gpu(wanted);
    /// # drop(payload);
    /// ```
    #[must_use]
    pub fn gpu(mut self, wanted: GpuWanted) -> Self {
        GPU_RUNTIME.clone_into(&mut self.machine.runtime);
        self.machine.gpu = Some(wanted);
        self.capabilities([GPU_CAPABILITY])
    }

    /// The addresses on the internet that the work asks, such as `https://api.example.com`: a manifest that names them is made
    /// of them, and of the image, which must not be a local one.
    #[cfg(feature = "manifest")]
    #[must_use]
    pub fn outbound<I: IntoIterator<Item: Into<String>>>(mut self, urls: I) -> Self {
        self.outbound.extend(urls.into_iter().map(Into::into));
        self
    }

    /// Something else that the demand says, any JSON.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.machine.properties.set(name, value);
        self
    }

    /// Something else that the demand asks, in the constraint language: `(golem.inf.cpu.architecture=x86_64)`.
    #[must_use]
    pub fn constraint(mut self, constraint: impl Into<String>) -> Self {
        self.machine.constraints.push(constraint.into());
        self
    }

    /// Sets the package that the provider fetches before it begins, for runtimes other than VMs:
    /// `hash:sha3:<hash>:<url>`.
    #[must_use]
    pub fn task_package(self, package: impl Into<String>) -> Self {
        self.property(name::TASK_PACKAGE, package.into())
    }

    /// Sets the registry of images; the default is [`Registry::from_env`].
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Chooses whether providers fetch a registry's image over HTTPS; they don't by default.
    #[must_use]
    pub fn https(mut self, https: bool) -> Self {
        self.https = Some(https);
        self
    }

    /// Checks the description, finds the image, and looks whether there is something at an image's address.
    ///
    /// **Errors**: [`PayloadError::NeedsDaemon`] for a local image, and what is wrong with the description or the
    /// image. Asks for half a minute at the most.
    ///
    /// **Cancel safety**: dropping the future leaves nothing behind.
    pub async fn resolve(&self) -> Result<Payload, PayloadError> {
        let mut payload = self.checked()?;
        match &self.image {
            None => {}
            Some(WantedImage::Known(image)) => payload.image = Some(image.clone()),
            Some(WantedImage::Named(name)) => {
                let registry = self.registry.clone().unwrap_or_else(Registry::from_env);
                let registry = match self.https {
                    Some(https) => registry.https(https),
                    None => registry,
                };
                payload.image = Some(registry.find(name).await?);
            }
            Some(WantedImage::Url { url, hash }) => {
                if hash.trim().is_empty() {
                    return Err(PayloadError::UrlWithoutHash { url: url.clone() });
                }
                let hash = image::plain_hash(hash)?;
                image::reach(url).await?;
                payload.image = Some(Image { hash, url: url.clone() });
            }
            Some(WantedImage::File(path)) => return Err(PayloadError::NeedsDaemon { path: path.clone() }),
            #[cfg(feature = "manifest")]
            Some(WantedImage::Manifest(manifest)) => manifest::ask(&mut payload, manifest)?,
        }
        #[cfg(feature = "manifest")]
        if !self.outbound.is_empty() {
            manifest::reach_out(&mut payload, &self.outbound)?;
        }
        payload.check()?;
        Ok(payload)
    }

    /// [`PayloadSpec::resolve`], and serves a local image through the daemon. A local image is read once from end to end
    /// for its hash.
    ///
    /// **Errors**: those of [`PayloadSpec::resolve`], and for a local image that it can't be read, or that the
    /// daemon doesn't pass it on.
    pub async fn prepare(&self, client: &Client) -> Result<PreparedPayload, PayloadError> {
        let Some(WantedImage::File(path)) = &self.image else {
            return Ok(PreparedPayload { payload: self.resolve().await?, serving: None });
        };
        if !self.outbound.is_empty() {
            return Err(PayloadError::OutboundWithoutImage);
        }
        let mut payload = self.checked()?;
        let published = Published::open(client, path).await?;
        payload.image = Some(published.image().clone());
        Ok(PreparedPayload { payload, serving: Some(published) })
    }

    /// Checks all that can be checked without asking anybody: the form of the image's name among it.
    ///
    /// **Errors**: those of [`PayloadSpec::resolve`] that need no answer.
    pub fn check(&self) -> Result<(), PayloadError> {
        match &self.image {
            Some(WantedImage::Named(name)) => name.check()?,
            Some(WantedImage::Url { url, hash }) => {
                image::http_url(url).ok_or_else(|| ImageError::Address(url.clone()))?;
                if hash.trim().is_empty() {
                    return Err(PayloadError::UrlWithoutHash { url: url.clone() });
                }
                image::plain_hash(hash)?;
            }
            _ => {}
        }
        self.checked().map(drop)
    }

    /// All that can be told without asking anybody.
    pub(crate) fn checked(&self) -> Result<Payload, PayloadError> {
        let mut payload = self.machine.clone();
        for (operator, version) in &self.versions {
            if semver::Version::parse(version).is_err() {
                return Err(PayloadError::Version(version.clone()));
            }
            // `$v`: as versions, since as text 0.10.0 would come before 0.9.0.
            let property = format!("{}$v", name::RUNTIME_VERSION);
            payload.constraints.push(Constraints::compare(property, *operator, version).to_string());
        }
        payload.check()?;
        Ok(payload)
    }
}

fn require(payload: &mut Payload, capability: String) {
    if !payload.capabilities.contains(&capability) {
        payload.capabilities.push(capability);
    }
}

#[cfg(test)]
mod tests;
