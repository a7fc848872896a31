//! The name of the image: which of the ways, and that it is only one.

use std::path::Path;

use golem_core::offer::GPU_RUNTIME;
use golem_sdk::image::ImageName;
use golem_sdk::payload::{Image, WantedImage};
use yagna_client::Url;

use super::super::document::{Diagnostics, Entry, Section};
#[cfg(feature = "manifest")]
use super::manifest;
use super::{Reported, VM};

/// Keys that name an image each by itself.
const ALONE: [&str; 3] = ["image_tag", "image_file", "manifest"];
/// Keys that may be together.
const TOGETHER: [&str; 2] = ["image_hash", "image_url"];
/// Keys that prove a manifest.
const PROOFS: [&str; 3] = ["manifest_signature", "manifest_key", "manifest_certificate"];
/// Lengths in hex of the SHA-3 hashes an image may be named by: 224, 256, 384 and 512 bits.
const HASH_LENGTHS: [usize; 4] = [56, 64, 96, 128];

/// The image, which other runtimes may do without.
pub(super) fn read(
    section: &Section<'_>,
    runtime: Option<&str>,
    folder: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Result<Option<WantedImage>, Reported> {
    check_proofs(section, diagnostics)?;
    if let Some(alone) = section.entries(&ALONE).first()
        && section.entries(&ALONE).len() + section.entries(&TOGETHER).len() > 1
    {
        diagnostics.report_with_help(
            alone.key_span.clone(),
            "the image is named twice",
            "keep one of `image_tag`, `image_file` and `manifest`, or `image_hash` with or without `image_url`",
        );
        return Err(Reported);
    }
    if let Some(entry) = section.get("image_file") {
        return super::file(&entry, folder, diagnostics)
            .map(|path| Some(WantedImage::File(path)))
            .ok_or(Reported);
    }
    if let Some(entry) = section.get("manifest") {
        #[cfg(feature = "manifest")]
        return manifest::read(section, &entry, folder, diagnostics).map(Some).ok_or(Reported);
        #[cfg(not(feature = "manifest"))]
        return without_manifests(&entry, diagnostics);
    }
    let mut read =
        |key: &str, read: fn(&Entry<'_>, &mut Diagnostics<'_>) -> Option<String>| match section.get(key) {
            Some(entry) => read(&entry, diagnostics).map(Some).ok_or(Reported),
            None => Ok(None),
        };
    let (hash, tag, url) = (read("image_hash", hash), read("image_tag", tag), read("image_url", url));
    match (hash?, tag?, url?) {
        (Some(hash), None, Some(url)) => Ok(Some(WantedImage::Known(Image { url, hash }))),
        (None, None, Some(_)) => {
            let span = section.get("image_url").map_or_else(|| section.span.clone(), |entry| entry.key_span);
            diagnostics.report_with_help(
                span,
                "`image_url` needs `image_hash`: providers check what they fetched",
                "add image_hash = \"<the SHA-3 hash of the image in hex>\"",
            );
            Err(Reported)
        }
        (Some(hash), ..) => Ok(Some(WantedImage::Named(ImageName::Hash(hash)))),
        (None, Some(tag), _) => Ok(Some(WantedImage::Named(ImageName::Tag(tag)))),
        (None, None, None) if runtime.is_none_or(|runtime| [VM, GPU_RUNTIME].contains(&runtime)) => {
            // A key that is none may well have been meant for the image.
            if !section.has_unknown() {
                diagnostics.report_with_help(
                    section.span.clone(),
                    "the payload has no image",
                    "add image_tag = \"golem/alpine:latest\", or image_hash, or image_url with image_hash, or image_file",
                );
            }
            Err(Reported)
        }
        (None, None, None) => Ok(None),
    }
}

/// Finds parts of a proof that stand alone.
fn check_proofs(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Result<(), Reported> {
    let proofs = section.entries(&PROOFS);
    let Some(first) = proofs.first() else {
        return Ok(());
    };
    let has = |key: &str| section.get(key).is_some();
    let (message, help) = if !has("manifest") {
        (format!("`{}` needs `manifest`", first.name), "add manifest = \"manifest.json\"")
    } else if has("manifest_signature") && has("manifest_key") {
        (
            "the manifest is signed twice".to_owned(),
            "keep `manifest_key` to have it signed, or `manifest_signature` where it is signed already",
        )
    } else if !has("manifest_certificate") {
        (
            format!("`{}` needs `manifest_certificate`: providers check whose it is", first.name),
            "add manifest_certificate = \"certificate.pem\"",
        )
    } else if !has("manifest_signature") && !has("manifest_key") {
        (
            "`manifest_certificate` needs a signature".to_owned(),
            "add manifest_key = \"key.pem\" to have it signed, or manifest_signature = \"manifest.sig\"",
        )
    } else {
        return Ok(());
    };
    diagnostics.report_with_help(first.key_span.clone(), message, help);
    Err(Reported)
}

/// Refuses a manifest in a build that can't read one.
#[cfg(not(feature = "manifest"))]
fn without_manifests(
    entry: &Entry<'_>,
    diagnostics: &mut Diagnostics<'_>,
) -> Result<Option<WantedImage>, Reported> {
    let help = "build golem-tasks with its feature `manifest`, which is on by default";
    diagnostics.report_with_help(entry.key_span.clone(), "this build has no support for manifests", help);
    Err(Reported)
}

fn hash(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let text = entry.text(diagnostics)?.trim();
    if let Some(bare) = text.strip_prefix("sha3:") {
        let help = format!("write the hash alone: \"{bare}\"");
        diagnostics.report_with_help(entry.span(), "`image_hash` starts with `sha3:`", help);
        return None;
    }
    if let Some(stranger) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        diagnostics.report_with_help(
            entry.span(),
            format!("`image_hash` must be in hex, found the character `{}`", stranger.escape_default()),
            "a name such as golem/alpine:latest goes into `image_tag`",
        );
        return None;
    }
    if !HASH_LENGTHS.contains(&text.len()) {
        diagnostics.report_with_help(
            entry.span(),
            format!("`image_hash` has {} digits, which is the length of no SHA-3 hash", text.len()),
            "an image's hash has 56 digits (SHA3-224); 64, 96 and 128 are taken too",
        );
        return None;
    }
    Some(text.to_ascii_lowercase())
}

fn tag(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let text = entry.text(diagnostics)?.trim();
    if ImageName::Tag(text.to_owned()).check().is_err() {
        diagnostics.report_with_help(
            entry.span(),
            format!("`{text}` is not a valid tag of an image: a tag has the form user/name:tag"),
            tag_help(text),
        );
        return None;
    }
    Some(text.to_owned())
}

/// The advice for a text that isn't a tag.
fn tag_help(text: &str) -> String {
    let is_hash = HASH_LENGTHS.contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
    if is_hash {
        return "a hash goes into `image_hash`".to_owned();
    }
    if text.contains("://") {
        return "an address goes into `image_url`, with its `image_hash`".to_owned();
    }
    let word =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    match text.split_once('/') {
        Some((user, name)) if word(user) && word(name) => format!("did you mean \"{text}:latest\"?"),
        None if text.split(':').all(word) => {
            let tag = if text.contains(':') { "" } else { ":latest" };
            format!(
                "did you mean \"golem/{text}{tag}\"? Images of Docker Hub have to be converted by `gvmkit-build` first"
            )
        }
        _ => "for example golem/alpine:latest; https://registry.golem.network lists the images there are"
            .to_owned(),
    }
}

fn url(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let text = entry.text(diagnostics)?.trim();
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let has_slashes = text.starts_with("http://") || text.starts_with("https://");
    if !has_slashes || text.contains(char::is_whitespace) || !text.parse().as_ref().is_ok_and(is_http) {
        diagnostics
            .report(entry.span(), "`image_url` must be an address that starts with http:// or https://");
        return None;
    }
    Some(text.to_owned())
}
