//! What else a machine has: a GPU, a way out to the internet, disks.

use std::collections::BTreeMap;

use golem_sdk::payload::GpuWanted;
use serde_json::{Value, json};
use yagna_api::activity::Volumes;
use yagna_client::Url;

use super::super::document::{Diagnostics, Entry, Section};

const GPU: &[&str] = &["model", "min_mem_gib", "count"];
const VOLUME: &[&str] = &["ram", "storage"];
const SIZES: &str = "a size such as \"20GiB\" or \"512MiB\"";

/// The GPU that the work needs.
pub(super) fn gpu(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<GpuWanted> {
    let section = entry.table(GPU, "{ model = \"*4090*\", min_mem_gib = 16 }", diagnostics)?;
    let model = section.value_or("model", None, diagnostics, |entry, diagnostics| {
        entry.text(diagnostics).map(|text| Some(text.to_owned()))
    });
    let min_mem_gib = section.value_or("min_mem_gib", 0.0, diagnostics, Entry::amount);
    let count = section.value_or("count", 1, diagnostics, |entry, diagnostics| entry.count(1, diagnostics));
    Some(GpuWanted { model: model?, min_mem_gib: min_mem_gib?, count: count? })
}

/// The addresses on the internet that the work asks.
pub(super) fn outbound(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Vec<String>> {
    let Some(entry) = section.get("outbound") else { return Some(Vec::new()) };
    if section.get("manifest").is_some() {
        diagnostics.report_with_help(
            entry.key_span,
            "`outbound` makes a manifest, and `manifest` names one already",
            "add the addresses to the manifest, or leave `manifest` out and name the image",
        );
        return None;
    }
    if cfg!(not(feature = "manifest")) {
        diagnostics.report(entry.key_span, "this golem-tasks was built without the feature `manifest`");
        return None;
    }
    let items = entry.list("a list of addresses such as [\"https://api.example.com\"]", diagnostics)?;
    items
        .iter()
        .map(|item| {
            let text = item.text(diagnostics)?;
            let url: Option<Url> = text.parse().ok();
            let is_fit = url.as_ref().is_some_and(|url| url.host_str().is_some() && !url.scheme().is_empty());
            if !is_fit {
                diagnostics.report_with_help(
                    item.span(),
                    format!("`{text}` is not a valid address"),
                    "write the scheme and the host, for example \"https://api.example.com\"",
                );
                return None;
            }
            Some(text.to_owned())
        })
        .collect()
}

/// The volumes, and the disk behind the root of the machine, which else is a small piece of its memory.
#[expect(clippy::option_option, reason = "read or not, and volumes or none")]
pub(super) fn volumes(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Option<Volumes>> {
    let mut volumes = BTreeMap::<String, Value>::new();
    if let Some(entry) = section.get("disk") {
        volumes.insert("/".to_owned(), json!({ "storage": { "size": size(&entry, diagnostics)? } }));
    }
    if let Some(entry) = section.get("volumes") {
        let Some(fields) = entry.fields() else {
            entry.expected(
                "a table such as { \"/data\" = \"host\", \"/scratch\" = { ram = \"1GiB\" } }",
                diagnostics,
            );
            return None;
        };
        for (path, value) in fields {
            if !path.starts_with('/') || path == "/" || path.ends_with('/') {
                diagnostics.report_with_help(
                    value.key_span.clone(),
                    format!("`{path}` is not a valid place of a volume"),
                    "write an absolute path, for example \"/data\"; the root of the machine is `disk`",
                );
                return None;
            }
            volumes.insert(path, volume(&value, diagnostics)?);
        }
    }
    Some((!volumes.is_empty()).then_some(Volumes::Mounts(volumes)))
}

fn volume(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Value> {
    if entry.as_str() == Some("host") {
        return Some(json!({ "host": {} }));
    }
    let example = "\"host\", { ram = \"1GiB\" } or { storage = \"10GiB\" }";
    let section = entry.table(VOLUME, example, diagnostics)?;
    let entries = section.entries(VOLUME);
    let [one] = entries.as_slice() else {
        diagnostics.report_with_help(
            entry.span(),
            "a volume is behind one thing",
            format!("write {example}"),
        );
        return None;
    };
    let kind = if section.get("ram").is_some() { "ram" } else { "storage" };
    Some(json!({ kind: { "size": size(one, diagnostics)? } }))
}

fn size(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let text = entry.text(diagnostics)?.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).trim_end();
    let unit = text[digits.len()..].trim();
    let is_number = digits.parse::<f64>().is_ok_and(|number| number.is_finite() && number > 0.0);
    let is_unit =
        ["B", "KB", "MB", "GB", "TB", "KIB", "MIB", "GIB", "TIB"].contains(&unit.to_uppercase().as_str());
    if !is_number || !is_unit {
        entry.expected(SIZES, diagnostics);
        return None;
    }
    Some(format!("{digits}{unit}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::job::{Job, JobError};

    const PAYLOAD: &str = "[payload]\nimage_tag = \"golem/alpine:latest\"\n";
    const REST: &str = "[tasks]\nvalues = [1]\n[[steps]]\nrun = \"true\"\n";

    fn parse(text: &str) -> Result<Job, JobError> {
        Job::parse(text, Path::new("job.toml"))
    }

    #[test]
    fn a_machine_may_have_a_gpu_disks_and_a_way_out() {
        let text = format!(
            "{PAYLOAD}gpu = {{ model = \"*4090*\", min_mem_gib = 16 }}\noutbound = [\"https://api.example.com\"]\n\
             disk = \"20 GiB\"\nvolumes = {{ \"/data\" = \"host\", \"/fast\" = {{ ram = \"512MiB\" }} }}\n{REST}"
        );
        let payload = parse(&text).unwrap().payload;
        assert_eq!(payload.machine.runtime, "vm-nvidia");
        assert_eq!(payload.machine.capabilities, ["!exp:gpu"]);
        assert!(payload.machine.constraints().to_string().contains("(golem.runtime.capabilities=!exp:gpu)"));
        let gpu = payload.machine.gpu.unwrap();
        assert_eq!((gpu.model.as_deref(), gpu.min_mem_gib, gpu.count), (Some("*4090*"), 16.0, 1));
        assert_eq!(payload.outbound, ["https://api.example.com"]);
        let volumes = serde_json::to_value(payload.volumes.unwrap()).unwrap();
        let expected = super::json!({
            "/": { "storage": { "size": "20GiB" } }, "/data": { "host": {} }, "/fast": { "ram": { "size": "512MiB" } },
        });
        assert_eq!(volumes, expected);
        for (key, said) in [
            ("gpu = \"4090\"", "`gpu` must be a table"),
            ("gpu = { memory = 16 }", "unknown key `memory`"),
            ("gpu = { count = 0 }", "must be a whole number from 1 up"),
            ("outbound = [\"api.example.com\"]", "is not a valid address"),
            ("outbound = \"https://api.example.com\"", "must be a list"),
            ("disk = \"big\"", "a size such as"),
            ("disk = \"0GiB\"", "a size such as"),
            ("disk = \"20 gibibytes\"", "a size such as"),
            ("volumes = { \"data\" = \"host\" }", "is not a valid place of a volume"),
            ("volumes = { \"/\" = \"host\" }", "the root of the machine is `disk`"),
            ("volumes = { \"/data\" = { ram = \"1GiB\", storage = \"1GiB\" } }", "behind one thing"),
        ] {
            let error = parse(&format!("{PAYLOAD}{key}\n{REST}")).unwrap_err().to_string();
            assert!(error.contains(said), "{key}\n{error}");
        }
    }
}
