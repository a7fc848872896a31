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
    if top.lacks("payload") {
        diagnostics.missing(
            "the section [payload] is missing",
            "say which machine the work needs, for example\n\n    [payload]\n    image_tag = \"golem/alpine:latest\"",
        );
        return None;
    }
    let section = top.section("payload", schema::PAYLOAD, diagnostics)?;
    let text =
        |entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>| entry.text(diagnostics).map(str::to_owned);
    let runtime = section.value_or("runtime", VM.to_owned(), diagnostics, text);
    let image = image(&section, runtime.as_deref(), diagnostics);
    let min_mem_gib = section.value_or("min_mem_gib", 0.5, diagnostics, Entry::amount);
    let min_storage_gib = section.value_or("min_storage_gib", 2.0, diagnostics, Entry::amount);
    let min_cpu_threads =
        section.value_or("min_cpu_threads", 1, diagnostics, |entry, diagnostics| entry.count(1, diagnostics));
    let capabilities = section.value_or("capabilities", Vec::new(), diagnostics, |entry, diagnostics| {
        let items = entry.list("a list of strings such as [\"vpn\"]", diagnostics)?;
        items.iter().map(|item| text(item, diagnostics)).collect()
    });
    Some(Payload {
        runtime: runtime?,
        image: image.ok()?,
        min_mem_gib: min_mem_gib?,
        min_storage_gib: min_storage_gib?,
        min_cpu_threads: min_cpu_threads?,
        capabilities: capabilities?,
    })
}

/// A problem that was reported.
struct Reported;

/// The image, which other runtimes may do without.
fn image(
    section: &Section<'_>,
    runtime: Option<&str>,
    diagnostics: &mut Diagnostics<'_>,
) -> Result<Option<Image>, Reported> {
    let mut read =
        |key: &str, read: fn(&Entry<'_>, &mut Diagnostics<'_>) -> Option<String>| match section.get(key) {
            Some(entry) => read(&entry, diagnostics).map(Some).ok_or(Reported),
            None => Ok(None),
        };
    let (hash, tag, url) = (read("image_hash", hash), read("image_tag", tag), read("image_url", url));
    if let Some(tag) = section.get("image_tag")
        && (section.get("image_hash").is_some() || section.get("image_url").is_some())
    {
        diagnostics.report_with_help(
            tag.key_span,
            "the image is named twice",
            "keep `image_tag` alone, or `image_hash` with or without `image_url`",
        );
        return Err(Reported);
    }
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
                    "add image_tag = \"golem/alpine:latest\", or image_hash, or image_url with image_hash",
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
