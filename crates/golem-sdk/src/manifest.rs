//! The computation payload manifest: what a payload that reaches out to the internet is going to do there.
//!
//! A provider lets such a payload in when it trusts the addresses, the signature, or the requestor. A [`Manifest`]
//! says what is planned, a [`SealedManifest`] is one as demands carry it: encoded once and for all, with what
//! proves it. [`PayloadSpec`](crate::payload::PayloadSpec) puts it into a demand.
//!
//! | proof | how | who lets it in |
//! |---|---|---|
//! | none | [`Manifest::seal`] | providers that have all its addresses on their lists |
//! | a signature | [`Manifest::sign`], [`SealedManifest::signature`] | providers that trust its certificate |
//! | a node descriptor | [`SealedManifest::node_descriptor`] | providers that have us as a partner |

use std::path::{Path, PathBuf};
use std::time::Duration;

use golem_core::payload::Image;
use jiff::Timestamp;
use yagna_api::time::after;

mod check;
mod document;
mod key;
mod sealed;

pub use self::check::ManifestProblem;
pub use self::document::{
    CompManifest, Inet, InetOut, Manifest, ManifestImage, Match, Metadata, Net, Platform, Script,
    Unrestricted,
};
pub use self::key::{Certificates, SigningKey};
pub use self::sealed::{NODE_DESCRIPTOR, Proof, SealedManifest};

/// The reasons why a manifest couldn't be read or signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A file can't be read.
    #[error("{path} can't be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// It isn't JSON of the manifest's form.
    #[error("the manifest can't be read")]
    Json(#[from] serde_json::Error),
    /// It is neither JSON nor the base64 of it.
    #[error("the manifest is neither JSON nor the base64 of it")]
    Encoding,
    /// It says what makes no sense, or nothing that providers could let in.
    #[error("the manifest isn't right")]
    Problem(#[from] ManifestProblem),
    /// The private key is behind a passphrase.
    #[error(
        "the private key has a passphrase: take it off with `openssl pkey -in <key> -out <key without passphrase>`"
    )]
    Passphrase,
    /// It isn't an RSA key in PEM.
    #[error("it is not a private RSA key in PEM of 2048 to 4096 bits: {0}")]
    Key(String),
    /// There is no certificate in PEM.
    #[error("there is no certificate in PEM: {0}")]
    Certificate(String),
    /// The key signs for none of the certificates.
    #[error("the private key belongs to none of the certificates")]
    OtherKey,
    /// Nobody with this certificate made this signature for this manifest.
    #[error(
        "the signature isn't the certificate's for this manifest: it has to be made of the manifest's base64, \
         exactly as it is given here"
    )]
    Signature,
}

impl Manifest {
    /// Ends what has no end: a manifest is good for so long unless told otherwise.
    const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

    /// A manifest for an image on `x86_64` Linux that may run and transfer anything, is good for ten years, and
    /// asks for no address yet.
    ///
    /// # Example
    /// ```
    /// use golem_sdk::SystemClock;
    /// use golem_sdk::payload::Image;
    /// use golem_sdk::manifest::Manifest;
    /// use yagna_api::Clock;
    ///
    /// let image = Image {
    ///     hash: "55aa1909f03b57e25a2f11792ded100c430296335ed2ccf9554dcf9d".into(),
    ///     url: "http://images.example/curl.gvmi".into(),
    /// };
    /// let now = SystemClock.now();
    /// let manifest = Manifest::new(&image, now)
    ///     .named("weather report", "1.0.0")
    ///     .outbound(["https://api.weather.example"]);
    /// manifest.check(now)?;
    /// # Ok::<(), golem_sdk::manifest::ManifestProblem>(())
    /// ```
    pub fn new(image: &Image, now: Timestamp) -> Self {
        let version = "0.0.0";
        Self {
            version: version.to_owned(),
            created_at: now,
            expires_at: after(now, Self::LIFETIME),
            metadata: None,
            payload: vec![ManifestImage {
                platform: Some(Platform::new("x86_64", "linux")),
                urls: vec![image.url.clone()],
                hash: format!("sha3:{}", image.hash),
                other: serde_json::Map::new(),
            }],
            comp_manifest: Some(CompManifest {
                version: version.to_owned(),
                script: Some(Script {
                    commands: ["run .*", "transfer .*"].map(str::to_owned).to_vec(),
                    arguments: Some(Match::Regex),
                    other: serde_json::Map::new(),
                }),
                net: None,
                other: serde_json::Map::new(),
            }),
            other: serde_json::Map::new(),
        }
    }

    /// Sets the purpose of the manifest, and its version.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        let version = version.into();
        let metadata = self.metadata.get_or_insert_default();
        metadata.name = name.into();
        metadata.version = Some(version.clone());
        self.version = version;
        self
    }

    /// Until when it is good.
    #[must_use]
    pub fn expires(mut self, at: Timestamp) -> Self {
        self.expires_at = at;
        self
    }

    /// The machines that its images are for, such as `aarch64` and `linux`.
    #[must_use]
    pub fn platform(mut self, arch: &str, os: &str) -> Self {
        for image in &mut self.payload {
            image.platform = Some(Platform::new(arch, os));
        }
        self
    }

    /// The commands that may be given, and how they are compared with those that are.
    ///
    /// A command is compared as `run <program> <arguments>` or `transfer <from> <to>`. Whatever isn't listed is
    /// refused, the transfers of files to and from the provider too.
    #[must_use]
    pub fn commands<I: IntoIterator<Item: Into<String>>>(mut self, commands: I, arguments: Match) -> Self {
        let commands = commands.into_iter().map(Into::into).collect();
        let script = self.comp().script.get_or_insert_default();
        script.commands = commands;
        script.arguments = Some(arguments);
        self
    }

    /// The addresses that may be reached, each with its protocol: `https://api.example.com`.
    #[must_use]
    pub fn outbound<I: IntoIterator<Item: Into<String>>>(mut self, urls: I) -> Self {
        let out = self.out();
        out.urls = Some(urls.into_iter().map(Into::into).collect());
        out.unrestricted = None;
        self
    }

    /// Any address may be reached.
    #[must_use]
    pub fn unrestricted(mut self) -> Self {
        let out = self.out();
        out.urls = None;
        out.unrestricted = Some(Unrestricted { urls: true });
        self
    }

    /// The protocols that may be used: `http`, `https`, `ws` and `wss` unless told otherwise.
    #[must_use]
    pub fn protocols<I: IntoIterator<Item: Into<String>>>(mut self, protocols: I) -> Self {
        self.out().protocols = Some(protocols.into_iter().map(Into::into).collect());
        self
    }

    /// Reads a manifest in JSON. Whether providers would take it is said by [`Manifest::check`].
    ///
    /// **Errors**: [`ManifestError::Json`].
    pub fn from_json(text: impl AsRef<[u8]>) -> Result<Self, ManifestError> {
        let text = text.as_ref();
        Ok(serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))?)
    }

    /// Reads a manifest in JSON from a file.
    ///
    /// **Errors**: [`ManifestError::Unreadable`], [`ManifestError::Json`].
    pub async fn load(path: impl AsRef<Path>) -> Result<Self, ManifestError> {
        Self::from_json(read(path.as_ref()).await?)
    }

    /// In JSON, in the form that [`Manifest::from_json`] reads: nothing that was there is lost.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Encodes it, without a proof.
    pub fn seal(&self) -> Result<SealedManifest, ManifestError> {
        SealedManifest::from_text(serde_json::to_string(self)?)
    }

    /// Encodes and signs it.
    ///
    /// **Errors**: [`ManifestError::OtherKey`] when the key belongs to none of the certificates.
    ///
    /// **Source**: the provider's check: RSA (PKCS#1 v1.5) with SHA-256 of the base64 of the manifest, by the key
    /// of the last certificate.
    ///
    /// # Example
    /// ```no_run
    /// use golem_sdk::manifest::{Certificates, Manifest, SigningKey};
    /// use golem_sdk::payload::Vm;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let key = SigningKey::load("requestor.key.pem").await?;
    /// let certificates = Certificates::load("requestor.cert.pem").await?;
    /// let sealed = Manifest::load("manifest.json").await?.sign(&key, &certificates)?;
    /// let payload = Vm::manifest(sealed).min_mem_gib(1.0);
    /// # drop(payload);
    /// # Ok(())
    /// # }
    /// ```
    pub fn sign(
        &self,
        key: &SigningKey,
        certificates: &Certificates,
    ) -> Result<SealedManifest, ManifestError> {
        self.seal()?.sign(key, certificates)
    }

    fn comp(&mut self) -> &mut CompManifest {
        let version = self.version.clone();
        self.comp_manifest.get_or_insert_with(|| CompManifest { version, ..CompManifest::default() })
    }

    fn out(&mut self) -> &mut InetOut {
        let net = self.comp().net.get_or_insert_default();
        net.inet.get_or_insert_default().out.get_or_insert_default()
    }
}

pub(crate) async fn read(path: &Path) -> Result<Vec<u8>, ManifestError> {
    tokio::fs::read(path).await.map_err(|source| ManifestError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
