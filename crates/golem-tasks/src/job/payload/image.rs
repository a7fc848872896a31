//! How the image is named: which of the ways, and that it is only one.

use std::path::Path;

use super::super::document::{Diagnostics, Entry, Section};
use super::super::schema;
use super::{Image, VM, manifest};

/// Keys that name an image each by itself.
const ALONE: [&str; 3] = ["image_tag", "image_file", "manifest"];
/// Keys that may be together.
const TOGETHER: [&str; 2] = ["image_hash", "image_url"];
/// Lengths in hex of the SHA-3 hashes an image may be named by: 224, 256, 384 and 512 bits.
const HASH_LENGTHS: [usize; 4] = [56, 64, 96, 128];

/// A problem that was reported.
pub(super) struct Reported;

/// The image, which other runtimes may do without.
pub(super) fn read(
    section: &Section<'_>,
    runtime: Option<&str>,
    folder: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Result<Option<Image>, Reported> {
    manifest::check_company(section, diagnostics)?;
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
        return super::file(&entry, folder, diagnostics).map(|path| Some(Image::File(path))).ok_or(Reported);
    }
    if let Some(entry) = section.get("manifest") {
        return manifest::read(section, &entry, folder, diagnostics).map(Some).ok_or(Reported);
    }
    let mut read =
        |key: &str, read: fn(&Entry<'_>, &mut Diagnostics<'_>) -> Option<String>| match section.get(key) {
            Some(entry) => read(&entry, diagnostics).map(Some).ok_or(Reported),
            None => Ok(None),
        };
    let (hash, tag, url) = (read("image_hash", hash), read("image_tag", tag), read("image_url", url));
    match (hash?, tag?, url?) {
        (Some(hash), None, Some(url)) => Ok(Some(Image::Url { url, hash })),
        (None, None, Some(_)) => {
            let span = section.get("image_url").map_or_else(|| section.span.clone(), |entry| entry.key_span);
            diagnostics.report_with_help(
                span,
                "`image_url` needs `image_hash`: providers check what they fetched",
                "add image_hash = \"<the SHA-3 hash of the image in hex>\"",
            );
            Err(Reported)
        }
        (Some(hash), ..) => Ok(Some(Image::Hash(hash))),
        (None, Some(tag), _) => Ok(Some(Image::Tag(tag))),
        (None, None, None) if runtime.is_none_or(|runtime| runtime == VM) => {
            // A key that is none may well have been meant for the image.
            if !section.has_unknown(schema::PAYLOAD) {
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
    if text.contains(char::is_whitespace) {
        diagnostics.report(entry.span(), "`image_tag` must be one word such as golem/alpine:latest");
        return None;
    }
    Some(text.to_owned())
}

fn url(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let text = entry.text(diagnostics)?.trim();
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
        diagnostics
            .report(entry.span(), "`image_url` must be an address that starts with http:// or https://");
        return None;
    }
    Some(text.to_owned())
}
