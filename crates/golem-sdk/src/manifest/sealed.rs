//! A manifest as demands carry it: encoded, and with what proves it.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use serde_json::Value;
use yagna_api::Properties;

use super::document::Manifest;
use super::key::{Certificates, SigningKey};
use super::{ManifestError, read};

/// The property that holds a node descriptor.
pub const NODE_DESCRIPTOR: &str = "golem.!exp.gap-31.v0.node.descriptor";

const MANIFEST: &str = "golem.srv.comp.payload";
const SIGNATURE: &str = "golem.srv.comp.payload.sig";
const ALGORITHM: &str = "golem.srv.comp.payload.sig.algorithm";
const CERTIFICATE: &str = "golem.srv.comp.payload.cert";

/// Capabilities that a provider must have for a manifest with outbound addresses.
const INET: &str = "inet";
const MANIFEST_SUPPORT: &str = "manifest-support";

/// A manifest that can't change any more, and what proves it.
///
/// The text is kept to the character, since signatures are made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedManifest {
    manifest: Manifest,
    /// In base64, as it goes into the demand and as it is signed.
    encoded: String,
    proof: Proof,
}

/// The proof by which a provider should accept a manifest.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Proof {
    /// Nothing: it may have all the addresses on its list.
    None,
    /// A signature that it can check.
    Signature {
        /// In base64.
        signature: String,
        /// The digest's name, such as `sha256`.
        algorithm: String,
        /// In base64.
        certificate: String,
    },
    /// A descriptor of our node, signed by somebody that it trusts.
    NodeDescriptor(Value),
}

impl SealedManifest {
    /// Takes a manifest as text: its JSON, which is encoded here, or the base64 of that, which is taken as it is.
    ///
    /// **Errors**: [`ManifestError::Encoding`] when it is neither, [`ManifestError::Json`] when it is no manifest.
    ///
    /// # Example
    /// ```
    /// # let text = r#"{"version": "0.1.0", "createdAt": "2022-07-26T12:51:00.000000Z",
    /// #     "expiresAt": "2100-01-01T00:01:00.000000Z", "payload": []}"#;
    /// use golem_sdk::manifest::SealedManifest;
    /// let sealed = SealedManifest::from_text(text)?;
    /// assert_eq!(SealedManifest::from_text(sealed.encoded())?, sealed);
    /// # Ok::<(), golem_sdk::manifest::ManifestError>(())
    /// ```
    pub fn from_text(text: impl AsRef<[u8]>) -> Result<Self, ManifestError> {
        let text = text.as_ref();
        let (encoded, json) = match as_base64(text) {
            Some(json) => (String::from_utf8_lossy(text).into_owned(), json),
            None if looks_like_json(text) => (BASE64_STANDARD.encode(text), text.to_vec()),
            None => return Err(ManifestError::Encoding),
        };
        if !looks_like_json(&json) {
            return Err(ManifestError::Encoding);
        }
        let manifest = Manifest::from_json(&json)?;
        Ok(Self { manifest, encoded, proof: Proof::None })
    }

    /// Takes a manifest from a file, in JSON or base64.
    pub async fn load(path: impl AsRef<Path>) -> Result<Self, ManifestError> {
        Self::from_text(read(path.as_ref()).await?)
    }

    /// Signs it; whatever proved it before is gone.
    ///
    /// **Errors**: [`ManifestError::OtherKey`] when the key belongs to none of the certificates.
    pub fn sign(mut self, key: &SigningKey, certificates: &Certificates) -> Result<Self, ManifestError> {
        self.proof = Proof::Signature {
            certificate: BASE64_STANDARD.encode(certificates.pem_for(key)?),
            signature: BASE64_STANDARD.encode(key.sign(&self.encoded)?),
            algorithm: "sha256".to_owned(),
        };
        Ok(self)
    }

    /// Takes a signature that was made elsewhere, of exactly [`SealedManifest::encoded`].
    ///
    /// `algorithm` is the digest's name, such as `sha256`. Signature and certificate may be in base64 already, or
    /// as tools write them: the signature's bytes, the certificates in PEM or DER.
    ///
    /// **Errors**: [`ManifestError::Signature`] when it isn't one of this manifest by this certificate. What we
    /// can't check (a digest or a kind of certificate that is unknown here) is left to the providers.
    pub fn signature(
        mut self,
        signature: impl AsRef<[u8]>,
        algorithm: impl Into<String>,
        certificate: impl AsRef<[u8]>,
    ) -> Result<Self, ManifestError> {
        let algorithm = algorithm.into();
        let (signature, raw_signature) = in_base64(signature.as_ref());
        let (certificate, raw_certificate) = in_base64(certificate.as_ref());
        if is_made_by(&raw_certificate, &algorithm, self.encoded.as_bytes(), &raw_signature) == Some(false) {
            return Err(ManifestError::Signature);
        }
        self.proof = Proof::Signature { signature, algorithm, certificate };
        Ok(self)
    }

    /// Takes a node descriptor as proof; whatever proved it before is gone.
    #[must_use]
    pub fn node_descriptor(mut self, descriptor: Value) -> Self {
        self.proof = Proof::NodeDescriptor(descriptor);
        self
    }

    /// The manifest itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The proof.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The text to be signed: the manifest in base64, to the character.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }

    /// [`Manifest::check`]: would providers let it in now?
    pub fn check(&self, now: Timestamp) -> Result<(), ManifestError> {
        Ok(self.manifest.check(now)?)
    }

    /// The properties of a demand with this manifest.
    pub fn properties(&self) -> Properties {
        let properties = Properties::new().with(MANIFEST, self.encoded.as_str());
        match &self.proof {
            Proof::None => properties,
            Proof::Signature { signature, algorithm, certificate } => properties
                .with(SIGNATURE, signature.as_str())
                .with(ALGORITHM, algorithm.as_str())
                .with(CERTIFICATE, certificate.as_str()),
            Proof::NodeDescriptor(descriptor) => properties.with(NODE_DESCRIPTOR, descriptor.clone()),
        }
    }

    /// The capabilities that a provider's runtime needs for it.
    pub fn capabilities(&self) -> Vec<&'static str> {
        match (&self.proof, self.manifest.asks_outbound()) {
            (Proof::NodeDescriptor(_), _) => vec![INET],
            (_, Some(_)) => vec![INET, MANIFEST_SUPPORT],
            (_, None) => vec![MANIFEST_SUPPORT],
        }
    }
}

/// In base64, and without: whichever of the two it was given in.
fn in_base64(content: &[u8]) -> (String, Vec<u8>) {
    match as_base64(content) {
        Some(raw) => (String::from_utf8_lossy(content).trim().to_owned(), raw),
        None => (BASE64_STANDARD.encode(content), content.to_vec()),
    }
}

/// Decodes a text in base64; lines may be broken, as tools do and providers accept.
fn as_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if text.is_empty() { None } else { BASE64_STANDARD.decode(text).ok() }
}

fn looks_like_json(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.trim_ascii_start().starts_with(b"{")
}

/// True if the last certificate made the signature; `None` when that can't be decided here.
fn is_made_by(certificates: &[u8], algorithm: &str, text: &[u8], signature: &[u8]) -> Option<bool> {
    let last = match CertificateDer::pem_slice_iter(certificates).filter_map(Result::ok).last() {
        Some(certificate) => certificate,
        None => CertificateDer::from(certificates),
    };
    let algorithm: &dyn SignatureVerificationAlgorithm = match algorithm {
        "sha256" => webpki::ring::RSA_PKCS1_2048_8192_SHA256,
        "sha384" => webpki::ring::RSA_PKCS1_2048_8192_SHA384,
        "sha512" => webpki::ring::RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    };
    let certificate = webpki::EndEntityCert::try_from(&last).ok()?;
    match certificate.verify_signature(algorithm, text, signature) {
        Ok(()) => Some(true),
        Err(webpki::Error::InvalidSignatureForPublicKey) => Some(false),
        Err(_) => None,
    }
}
