//! Private keys and certificates, as far as signing manifests needs them.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{ManifestError, read};

/// A private RSA key that signs manifests.
pub struct SigningKey(RsaKeyPair);

/// The certificate that a key signs with, and those that vouch for it up to one that providers know.
#[derive(Debug, Clone)]
pub struct Certificates(Vec<CertificateDer<'static>>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// Reads a private RSA key in PEM, PKCS#8 or PKCS#1, without a passphrase.
    ///
    /// **Errors**: [`ManifestError::Passphrase`], [`ManifestError::Key`].
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, ManifestError> {
        let pem = pem.as_ref();
        if String::from_utf8_lossy(pem).contains("ENCRYPTED") {
            return Err(ManifestError::Passphrase);
        }
        let refused = |error: ring::error::KeyRejected| ManifestError::Key(error.to_string());
        match PrivateKeyDer::from_pem_slice(pem) {
            Ok(PrivateKeyDer::Pkcs8(der)) => {
                RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map(Self).map_err(refused)
            }
            Ok(PrivateKeyDer::Pkcs1(der)) => {
                RsaKeyPair::from_der(der.secret_pkcs1_der()).map(Self).map_err(refused)
            }
            Ok(_) => Err(ManifestError::Key("it is a key of another kind".to_owned())),
            Err(error) => Err(ManifestError::Key(error.to_string())),
        }
    }

    /// Reads a private key from a file, as [`SigningKey::from_pem`] does.
    ///
    /// **Errors**: [`ManifestError::Unreadable`] too.
    pub async fn load(path: impl AsRef<Path>) -> Result<Self, ManifestError> {
        Self::from_pem(read(path.as_ref()).await?)
    }

    /// The RSA signature (PKCS#1 v1.5, SHA-256) of a text.
    pub(super) fn sign(&self, text: &str) -> Result<Vec<u8>, ManifestError> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|error| ManifestError::Key(error.to_string()))?;
        Ok(signature)
    }

    fn belongs_to(&self, certificate: &CertificateDer<'_>) -> bool {
        // A certificate holds its owner's public key whole, and no other's.
        let public = self.0.public_key().as_ref();
        certificate.windows(public.len()).any(|part| part == public)
    }
}

impl Certificates {
    /// Reads one certificate or a chain of them in PEM, in either order.
    ///
    /// **Errors**: [`ManifestError::Certificate`].
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, ManifestError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_ref())
            .collect::<Result<_, _>>()
            .map_err(|error| ManifestError::Certificate(error.to_string()))?;
        if certificates.is_empty() {
            return Err(ManifestError::Certificate("it has no section CERTIFICATE".to_owned()));
        }
        Ok(Self(certificates))
    }

    /// Reads certificates from a file, as [`Certificates::from_pem`] does.
    ///
    /// **Errors**: [`ManifestError::Unreadable`] too.
    pub async fn load(path: impl AsRef<Path>) -> Result<Self, ManifestError> {
        Self::from_pem(read(path.as_ref()).await?)
    }

    /// In PEM with the key's own certificate last, where providers look for it. Most chains are the other way round.
    pub(super) fn pem_for(&self, key: &SigningKey) -> Result<String, ManifestError> {
        let mut ordered: Vec<_> = self.0.iter().collect();
        let place = ordered.iter().position(|one| key.belongs_to(one)).ok_or(ManifestError::OtherKey)?;
        if place == 0 {
            ordered.reverse();
        } else {
            let own = ordered.remove(place);
            ordered.push(own);
        }
        Ok(ordered.into_iter().map(|certificate| pem(certificate)).collect())
    }
}

fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
