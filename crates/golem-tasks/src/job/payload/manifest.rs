//! The manifest of a payload that reaches out to the internet, with what proves it.

use std::path::Path;

use golem_sdk::manifest::{Certificates, ManifestError, SealedManifest, SigningKey};
use golem_sdk::text::chain;

use super::super::document::{Diagnostics, Entry, Section};
use super::{WantedImage, file};

/// Reads the manifest and proves it; what is wrong with it is told at its place in the job file.
pub(super) fn read(
    section: &Section<'_>,
    entry: &Entry<'_>,
    folder: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<WantedImage> {
    let path = file(entry, folder, diagnostics)?;
    let read =
        std::fs::read(&path).map_err(|source| ManifestError::Unreadable { path: path.clone(), source });
    let sealed = read.and_then(SealedManifest::from_text).and_then(|sealed| {
        // The end of its validity is checked at the time of the run.
        sealed.check(sealed.manifest().created_at).map(|()| sealed)
    });
    let sealed = told(entry, sealed, diagnostics)?;
    let sealed = prove(section, sealed, folder, diagnostics)?;
    Some(WantedImage::Manifest(Box::new(sealed)))
}

fn prove(
    section: &Section<'_>,
    sealed: SealedManifest,
    folder: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<SealedManifest> {
    let mut bytes = |key: &str| {
        let entry = section.get(key)?;
        let path = file(&entry, folder, diagnostics)?;
        let read = std::fs::read(&path).map_err(|source| ManifestError::Unreadable { path, source });
        Some((told(&entry, read, diagnostics)?, entry))
    };
    let Some(certificate) = section.get("manifest_certificate") else {
        return Some(sealed);
    };
    let (pem, _) = bytes("manifest_certificate")?;
    if section.get("manifest_signature").is_some() {
        let (signature, entry) = bytes("manifest_signature")?;
        return told(&entry, sealed.signature(signature, "sha256", pem), diagnostics);
    }
    let (key, entry) = bytes("manifest_key")?;
    let key = told(&entry, SigningKey::from_pem(key), diagnostics)?;
    let certificates = told(&certificate, Certificates::from_pem(pem), diagnostics)?;
    told(&entry, sealed.sign(&key, &certificates), diagnostics)
}

fn told<T>(
    entry: &Entry<'_>,
    result: Result<T, ManifestError>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            diagnostics.report(entry.span(), format!("`{}`: {}", entry.name, chain(&error)));
            None
        }
    }
}
