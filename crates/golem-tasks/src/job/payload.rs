//! The `[payload]` section: which machine the work needs. Resolving images is left to the SDK.

use std::path::{Path, PathBuf};

#[cfg(feature = "manifest")]
use golem_sdk::manifest::SealedManifest;
use toml::de::DeTable;
use yagna_api::{Constraints, Properties};

use super::document::{Diagnostics, Entry, Section};
use super::schema;

mod image;
#[cfg(feature = "manifest")]
mod manifest;

/// The keys of files that the section names.
const FILES: [&str; 5] =
    ["image_file", "manifest", "manifest_signature", "manifest_key", "manifest_certificate"];

/// The runtime of virtual machines, the one that always needs an image.
const VM: &str = "vm";

/// Stands for a problem that has been reported.
struct Reported;

/// The machine a job needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// The runtime of the work: `vm` unless the job file says otherwise.
    pub runtime: String,
    /// The image to run; always there when the runtime is `vm`.
    pub image: Option<Image>,
    /// Memory in GiB, at least.
    pub min_mem_gib: f64,
    /// Storage in GiB, at least.
    pub min_storage_gib: f64,
    /// CPU threads, at least.
    pub min_cpu_threads: u32,
    /// CPU cores, at least.
    pub min_cpu_cores: Option<u32>,
    /// Capabilities the runtime must have, such as `vpn`.
    pub capabilities: Vec<String>,
    /// Further properties of the demand.
    pub properties: Properties,
    /// Further constraints, each in the constraint language.
    pub constraints: Vec<String>,
    /// The only providers to work with, by name or id; any where there are none.
    pub providers: Vec<String>,
    /// Providers not to work with, by name or id.
    pub exclude_providers: Vec<String>,
    /// True if a task may find on its machine what others have left there. Otherwise each has an activity of its own.
    pub keep_files: bool,
}

/// The ways in which a job file names its image.
#[derive(Debug, Clone, PartialEq)]
pub enum Image {
    /// By the SHA-3 hash under which the registry knows it, in lower-case hex.
    Hash(String),
    /// By its tag in the registry, such as `golem/alpine:latest`.
    Tag(String),
    /// By an address of one's own, with its SHA-3 hash in lower-case hex.
    Url {
        /// The address from which providers fetch it.
        url: String,
        /// The hash that it must have.
        hash: String,
    },
    /// By a file of one's own, which is served to providers.
    File(PathBuf),
    /// By a manifest, which names it and says what else it does.
    #[cfg(feature = "manifest")]
    Manifest {
        /// The path of the manifest.
        path: PathBuf,
        /// The manifest with its proof.
        sealed: Box<SealedManifest>,
    },
}

/// The files that the section names.
pub(super) fn files<'d>(
    document: &'d DeTable<'_>,
    folder: &'d Path,
) -> impl Iterator<Item = PathBuf> + use<'d> {
    let section = document.get("payload").and_then(|section| section.get_ref().as_table());
    let named = FILES.iter().filter_map(move |key| section?.get(*key)?.get_ref().as_str());
    named.map(|name| folder.join(name))
}

pub(super) fn read(top: &Section<'_>, folder: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Payload> {
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
    let image = image::read(&section, runtime.as_deref(), folder, diagnostics);
    let min_mem_gib = section.value_or("min_mem_gib", 0.5, diagnostics, Entry::amount);
    let min_storage_gib = section.value_or("min_storage_gib", 2.0, diagnostics, Entry::amount);
    let min_cpu_threads =
        section.value_or("min_cpu_threads", 1, diagnostics, |entry, diagnostics| entry.count(1, diagnostics));
    let min_cpu_cores = section.value_or("min_cpu_cores", None, diagnostics, |entry, diagnostics| {
        entry.count(1, diagnostics).map(Some)
    });
    let capabilities = section.value_or("capabilities", Vec::new(), diagnostics, |entry, diagnostics| {
        let items = entry.list("a list of strings such as [\"vpn\"]", diagnostics)?;
        items.iter().map(|item| text(item, diagnostics)).collect()
    });
    let properties = section.value_or("properties", Properties::new(), diagnostics, properties);
    let constraints = section.value_or("constraints", Vec::new(), diagnostics, |entry, diagnostics| {
        let items =
            entry.list("a list of strings such as [\"(golem.inf.cpu.architecture=x86_64)\"]", diagnostics)?;
        items.iter().map(|item| constraint(item, diagnostics)).collect()
    });
    let named = |entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>| {
        let items =
            entry.list("a list of names or ids such as [\"mighty-badger\", \"0x28e5dcff\"]", diagnostics)?;
        items.iter().map(|item| text(item, diagnostics)).collect()
    };
    let providers = section.value_or("providers", Vec::new(), diagnostics, named);
    let exclude_providers = section.value_or("exclude_providers", Vec::new(), diagnostics, named);
    let keep_files = section.value_or("keep_files", true, diagnostics, Entry::boolean);
    Some(Payload {
        runtime: runtime?,
        image: image.ok()?,
        min_mem_gib: min_mem_gib?,
        min_storage_gib: min_storage_gib?,
        min_cpu_threads: min_cpu_threads?,
        min_cpu_cores: min_cpu_cores?,
        capabilities: capabilities?,
        properties: properties?,
        constraints: constraints?,
        providers: providers?,
        exclude_providers: exclude_providers?,
        keep_files: keep_files?,
    })
}

/// Names in full or in tables, as they come: `golem.a.b = 1` and `"golem.a.b" = 1` are the same.
fn properties(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Properties> {
    let value = entry.json(diagnostics)?;
    if !value.is_object() {
        entry.expected("a table such as { \"golem.example\" = 1 }", diagnostics);
        return None;
    }
    Some(Properties::from_value(value))
}

fn constraint(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let text = entry.text(diagnostics)?;
    if let Err(error) = text.parse::<Constraints>() {
        diagnostics.report_with_help(
            entry.span(),
            format!("`{text}`: {error}"),
            "for example (golem.inf.cpu.architecture=x86_64)",
        );
        return None;
    }
    Some(text.to_owned())
}

/// A file of the user's, below the job's folder unless it says otherwise.
fn file(entry: &Entry<'_>, folder: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<PathBuf> {
    let path = folder.join(entry.text(diagnostics)?);
    let problem = match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => return Some(path),
        Ok(_) => "is not a file".to_owned(),
        Err(error) => format!("can't be read: {error}"),
    };
    diagnostics.report_with_help(
        entry.span(),
        format!("`{}` {problem}", path.display()),
        "paths are relative to the folder of the job file",
    );
    None
}
