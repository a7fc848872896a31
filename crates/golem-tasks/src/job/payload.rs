//! The `[payload]` section: which machine the work needs. Resolving images is left to the SDK.

use std::path::{Path, PathBuf};

use golem_core::offer::{GPU_CAPABILITY, GPU_RUNTIME};
use golem_sdk::payload::{Payload as Machine, PayloadSpec, WantedImage};
use toml::de::DeTable;
use yagna_api::activity::{Deploy, Volumes};
use yagna_api::{Constraints, Properties};

use super::document::{Diagnostics, Entry, Section};
use super::schema;

mod image;
#[cfg(feature = "manifest")]
mod manifest;
mod options;

/// The keys of files that the section names.
const FILES: [&str; 5] =
    ["image_file", "manifest", "manifest_signature", "manifest_key", "manifest_certificate"];

/// The runtime of virtual machines, the one that always needs an image.
const VM: &str = "vm";

/// Stands for a problem that has been reported.
struct Reported;

/// The content of the section.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Payload {
    /// The machine.
    pub machine: Machine,
    /// The image to run; always there when the runtime is `vm`.
    pub image: Option<WantedImage>,
    /// The file of the manifest that names the image, where one does.
    pub manifest: Option<PathBuf>,
    /// The only providers to work with, by name or id; any where there are none.
    pub providers: Vec<String>,
    /// Providers not to work with, by name or id.
    pub exclude_providers: Vec<String>,
    /// Addresses on the internet that the work asks.
    pub outbound: Vec<String>,
    /// The volumes of each machine, where any are named.
    pub volumes: Option<Volumes>,
    /// True if a task may find on its machine what others have left there. Otherwise each has an activity of its own.
    pub keep_files: bool,
}

impl Payload {
    /// The payload as the SDK takes it.
    pub(crate) fn spec(&self) -> PayloadSpec {
        let spec = PayloadSpec::new(self.machine.clone(), self.image.clone());
        #[cfg(feature = "manifest")]
        let spec = spec.outbound(self.outbound.iter().cloned());
        spec
    }

    /// The way to deploy each machine.
    pub(crate) fn deployment(&self) -> Deploy {
        Deploy { volumes: self.volumes.clone(), ..Deploy::default() }
    }
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
    read_section(&section, folder, diagnostics)
}

/// Reads the keys of a payload in whichever section they stand.
pub(crate) fn read_section(
    section: &Section<'_>,
    folder: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Payload> {
    let text =
        |entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>| entry.text(diagnostics).map(str::to_owned);
    let gpu = section
        .value_or("gpu", None, diagnostics, |entry, diagnostics| options::gpu(entry, diagnostics).map(Some));
    let usual = if section.get("gpu").is_some() { GPU_RUNTIME } else { VM };
    let runtime = section.value_or("runtime", usual.to_owned(), diagnostics, text);
    let outbound = options::outbound(section, diagnostics);
    let volumes = options::volumes(section, diagnostics);
    let image = image::read(section, runtime.as_deref(), folder, diagnostics);
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
    let image = image.ok()?;
    let manifest = section.get("manifest").and_then(|entry| Some(folder.join(entry.as_str()?)));
    let mut machine = Machine::runtime(runtime?);
    machine.min_mem_gib = min_mem_gib?;
    machine.min_storage_gib = min_storage_gib?;
    machine.min_cpu_threads = min_cpu_threads?;
    machine.min_cpu_cores = min_cpu_cores?;
    machine.capabilities = capabilities?;
    machine.gpu = gpu?;
    if machine.gpu.is_some() && !machine.capabilities.iter().any(|capability| capability == GPU_CAPABILITY) {
        machine.capabilities.push(GPU_CAPABILITY.to_owned());
    }
    machine.properties = properties?;
    machine.constraints = constraints?;
    Some(Payload {
        machine,
        image,
        manifest,
        providers: providers?,
        exclude_providers: exclude_providers?,
        outbound: outbound?,
        volumes: volumes?,
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
