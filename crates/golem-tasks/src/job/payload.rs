//! The `[payload]` section: which machine the work needs. Resolving images is left to the SDK.

use super::document::{Diagnostics, Entry, Section};
use super::schema;

/// The runtime of virtual machines, the one that always needs an image.
const VM: &str = "vm";
/// Lengths in hex of the SHA-3 hashes an image may be named by: 224, 256, 384 and 512 bits.
const HASH_LENGTHS: [usize; 4] = [56, 64, 96, 128];

/// The machine a job needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// What runs the work: `vm` unless the job file says otherwise.
    pub runtime: String,
    /// The image to run; always there when the runtime is `vm`.
    pub image: Option<Image>,
    /// Memory in GiB, at least.
    pub min_mem_gib: f64,
    /// Storage in GiB, at least.
    pub min_storage_gib: f64,
    /// CPU threads, at least.
    pub min_cpu_threads: u32,
    /// Capabilities the runtime must have, such as `vpn`.
    pub capabilities: Vec<String>,
}

/// How a job file names its image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Image {
    /// By the SHA-3 hash under which the registry knows it, in lower-case hex.
    Hash(String),
    /// By its tag in the registry, such as `golem/alpine:latest`.
    Tag(String),
    /// By an address of one's own, with its SHA-3 hash in lower-case hex.
    Url {
        /// Where providers fetch it.
        url: String,
        /// What they must get.
        hash: String,
    },
}

pub(super) fn read(top: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Payload> {
    if top.get("payload").is_none() {
        diagnostics.missing(
            "the section [payload] is missing",
            "say which machine the work needs, for example\n\n    [payload]\n    image_tag = \"golem/alpine:latest\"",
        );
        return None;
    }
    let section = top.section("payload", schema::PAYLOAD, diagnostics)?;
    let runtime = optional(&section, "runtime", diagnostics, |entry, diagnostics| {
        entry.text(diagnostics).map(str::to_owned)
    });
    let runtime = runtime.map(|runtime| runtime.unwrap_or_else(|| VM.to_owned()));
    let image = image(&section, runtime.as_deref(), diagnostics);
    let min_mem_gib = optional(&section, "min_mem_gib", diagnostics, Entry::amount);
    let min_storage_gib = optional(&section, "min_storage_gib", diagnostics, Entry::amount);
    let min_cpu_threads = optional(&section, "min_cpu_threads", diagnostics, |entry, diagnostics| {
        entry.count(1, diagnostics)
    });
    let capabilities = optional(&section, "capabilities", diagnostics, |entry, diagnostics| {
        let items = entry.list("a list of strings such as [\"vpn\"]", diagnostics)?;
        items
            .iter()
            .map(|item| item.text(diagnostics).map(str::to_owned))
            .collect()
    });
    Some(Payload {
        runtime: runtime?,
        image: image?,
        min_mem_gib: min_mem_gib?.unwrap_or(0.5),
        min_storage_gib: min_storage_gib?.unwrap_or(2.0),
        min_cpu_threads: min_cpu_threads?.unwrap_or(1),
        capabilities: capabilities?.unwrap_or_default(),
    })
}

/// A value that may be left out: the outer `None` means that it was reported.
pub(super) fn optional<'a, 'd, T>(
    section: &Section<'a>,
    key: &str,
    diagnostics: &mut Diagnostics<'d>,
    read: impl FnOnce(&Entry<'a>, &mut Diagnostics<'d>) -> Option<T>,
) -> Option<Option<T>> {
    match section.get(key) {
        Some(entry) => read(&entry, diagnostics).map(Some),
        None => Some(None),
    }
}

fn image(
    section: &Section<'_>,
    runtime: Option<&str>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Option<Image>> {
    let hash = optional(section, "image_hash", diagnostics, hash);
    let tag = optional(section, "image_tag", diagnostics, tag);
    let url = optional(section, "image_url", diagnostics, url);
    let second = section
        .get("image_tag")
        .filter(|_| section.get("image_hash").is_some());
    let second = second.or_else(|| {
        section
            .get("image_tag")
            .filter(|_| section.get("image_url").is_some())
    });
    if let Some(tag) = second {
        diagnostics.report_with_help(
            tag.key_span,
            "the image is named twice",
            "keep `image_tag` alone, or `image_hash` with or without `image_url`",
        );
        return None;
    }
    match (hash?, tag?, url?) {
        (Some(hash), None, Some(url)) => Some(Some(Image::Url { url, hash })),
        (None, None, Some(_)) => {
            let span = section
                .get("image_url")
                .map_or(section.span.clone(), |entry| entry.key_span);
            diagnostics.report_with_help(
                span,
                "`image_url` needs `image_hash`: providers check what they fetched",
                "add image_hash = \"<the SHA-3 hash of the image in hex>\"",
            );
            None
        }
        (Some(hash), ..) => Some(Some(Image::Hash(hash))),
        (None, Some(tag), _) => Some(Some(Image::Tag(tag))),
        (None, None, None) if runtime.is_none_or(|runtime| runtime == VM) => {
            if !section.has_unknown(schema::PAYLOAD) {
                diagnostics.report_with_help(
                    section.span.clone(),
                    "the payload has no image",
                    "add image_tag = \"golem/alpine:latest\", or image_hash, or image_url with image_hash",
                );
            }
            None
        }
        (None, None, None) => Some(None),
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
            format!(
                "`image_hash` must be in hex, found the character `{}`",
                stranger.escape_default()
            ),
            "a name such as golem/alpine:latest goes into `image_tag`",
        );
        return None;
    }
    if !HASH_LENGTHS.contains(&text.len()) {
        diagnostics.report_with_help(
            entry.span(),
            format!(
                "`image_hash` has {} digits, which is the length of no SHA-3 hash",
                text.len()
            ),
            "an image's hash has 56 digits (SHA3-224); 64, 96 and 128 are taken too",
        );
        return None;
    }
    Some(text.to_ascii_lowercase())
}

fn tag(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let text = entry.text(diagnostics)?.trim();
    if text.contains(char::is_whitespace) {
        diagnostics.report(
            entry.span(),
            "`image_tag` must be one word such as golem/alpine:latest",
        );
        return None;
    }
    Some(text.to_owned())
}

fn url(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let text = entry.text(diagnostics)?.trim();
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
        diagnostics.report(
            entry.span(),
            "`image_url` must be an address that starts with http:// or https://",
        );
        return None;
    }
    Some(text.to_owned())
}
