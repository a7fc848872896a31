//! GPUs: what an offer says of them, in whichever of the forms that are in use, and what a payload wants of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use yagna_api::Properties;

/// The beginnings of the properties of a GPU that are in use on the market, the newest form last but one.
const PLACES: [&str; 4] =
    ["golem.!exp.gap-35.v1.inf.gpu", "golem.!exp.gap-35.v1.inf.gpu.d0", "golem.inf.gpu.d0", "golem.inf.gpu"];

/// The runtime of machines with GPUs of NVIDIA.
pub const GPU_RUNTIME: &str = "vm-nvidia";
/// The capability by which its offers say that they have one.
pub const GPU_CAPABILITY: &str = "!exp:gpu";

/// The GPUs of a machine, all of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gpu {
    /// The model, such as `NVIDIA GeForce RTX 4090`.
    pub model: String,
    /// The memory of each in GiB, where the offer names it.
    pub mem_gib: Option<f64>,
    /// The number of GPUs.
    pub quantity: f64,
}

/// The GPU that the work needs.
///
/// # Example
/// ```
/// use golem_core::offer::{Gpu, GpuWanted};
/// use yagna_api::Properties;
///
/// let wanted = GpuWanted { model: Some("*4090*".to_owned()), min_mem_gib: 16.0, count: 1 };
/// let offer = Properties::new()
///     .with("golem.inf.gpu.d0.model", "NVIDIA GeForce RTX 4090")
///     .with("golem.inf.gpu.d0.quantity", 2)
///     .with("golem.inf.gpu.d0.memory.total.gib", 24.0);
/// assert!(wanted.refusal(&offer).is_none());
/// assert_eq!(wanted.refusal(&Properties::new()).as_deref(), Some("it has no GPU"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuWanted {
    /// The model, where `*` stands for anything, in letters of either case; any model where this says nothing.
    pub model: Option<String>,
    /// The memory of each in GiB, at least; 0 asks nothing.
    pub min_mem_gib: f64,
    /// The number of GPUs, at least.
    pub count: u32,
}

impl Default for GpuWanted {
    fn default() -> Self {
        Self { model: None, min_mem_gib: 0.0, count: 1 }
    }
}

impl Gpu {
    /// Reads what an offer says; none where it names no model.
    pub fn read(properties: &Properties) -> Option<Self> {
        PLACES.into_iter().find_map(|place| {
            let model = super::plain(properties.text(&format!("{place}.model"))?);
            let number = |property: &str| properties.number(&format!("{place}.{property}"));
            Some(Self {
                model,
                mem_gib: number("memory.total.gib").or_else(|| number("gib")),
                quantity: number("quantity").or_else(|| number("count")).unwrap_or(1.0),
            })
        })
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quantity > 1.0 {
            write!(f, "{:.0} x ", self.quantity)?;
        }
        f.write_str(&self.model)?;
        match self.mem_gib {
            Some(gib) => write!(f, ", {gib:.0} GiB"),
            None => Ok(()),
        }
    }
}

impl GpuWanted {
    /// The reason why an offer's GPUs don't do; none where they do.
    pub fn refusal(&self, properties: &Properties) -> Option<String> {
        let Some(gpu) = Gpu::read(properties) else { return Some("it has no GPU".to_owned()) };
        if let Some(model) = self.model.as_ref().filter(|model| !matches(model, &gpu.model)) {
            return Some(format!("its GPU is not a {model}"));
        }
        if gpu.quantity < f64::from(self.count) {
            return Some(format!("it has fewer than {} GPUs", self.count));
        }
        if self.min_mem_gib > 0.0 && gpu.mem_gib.is_none_or(|gib| gib < self.min_mem_gib) {
            return Some(format!("its GPU has less than {} GiB of memory", self.min_mem_gib));
        }
        None
    }
}

/// True if a text has the form of a pattern, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(place: &str) -> Properties {
        Properties::new()
            .with(format!("{place}.model"), "NVIDIA GeForce RTX 4090")
            .with(format!("{place}.quantity"), 2)
            .with(format!("{place}.memory.total.gib"), 24.0)
    }

    #[test]
    fn a_gpu_is_found_in_each_form_that_is_in_use() {
        for place in PLACES {
            let gpu = Gpu::read(&offer(place)).unwrap_or_else(|| panic!("{place}"));
            assert_eq!(gpu.to_string(), "2 x NVIDIA GeForce RTX 4090, 24 GiB", "{place}");
        }
        assert_eq!(Gpu::read(&Properties::new().with("golem.inf.gpu.cuda.version", "12.4")), None);
        let old = Properties::new().with("golem.inf.gpu.model", "A100").with("golem.inf.gpu.gib", 80);
        assert_eq!(Gpu::read(&old).unwrap().mem_gib, Some(80.0));
    }

    #[test]
    fn a_gpu_that_does_not_do_is_refused_with_the_reason() {
        let offer = offer("golem.inf.gpu.d0");
        let ask = |wanted: GpuWanted| wanted.refusal(&offer);
        let of_model = |model: &str| GpuWanted { model: Some(model.to_owned()), ..GpuWanted::default() };
        assert_eq!(ask(GpuWanted::default()), None);
        assert_eq!(ask(of_model("nvidia*rtx*90")), None);
        assert_eq!(ask(of_model("*H100*")).as_deref(), Some("its GPU is not a *H100*"));
        let more = GpuWanted { count: 3, ..GpuWanted::default() };
        assert_eq!(ask(more).as_deref(), Some("it has fewer than 3 GPUs"));
        let larger = GpuWanted { min_mem_gib: 40.0, ..GpuWanted::default() };
        assert_eq!(ask(larger).as_deref(), Some("its GPU has less than 40 GiB of memory"));
    }

    #[test]
    fn patterns_are_those_of_file_names() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("abc", "abcd", false),
            ("*b*", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
