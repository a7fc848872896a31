//! The payload: which machine the work needs. Resolving an image's name to its address is left to the SDK.

use serde::{Deserialize, Serialize};
use yagna_api::constraints::ConstraintsError;
use yagna_api::properties::name;
use yagna_api::{Constraints, Properties};

use crate::offer::GpuWanted;

/// The machine that the work needs: what a demand asks of offers, and what it tells them.
///
/// # Example
/// ```
/// use golem_core::payload::Payload;
/// let mut payload = Payload::default();
/// payload.min_cpu_threads = 4;
/// assert_eq!(
///     payload.constraints().to_string(),
///     "(&(golem.inf.mem.gib>=0.5)(golem.inf.storage.gib>=2)(golem.inf.cpu.threads>=4)(golem.runtime.name=vm))",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Payload {
    /// The runtime that runs the work, such as `vm`.
    pub runtime: String,
    /// The image to run; the runtime `vm` always needs one on the real network.
    pub image: Option<Image>,
    /// Memory in GiB, at least; 0 asks nothing.
    pub min_mem_gib: f64,
    /// Storage in GiB, at least; 0 asks nothing.
    pub min_storage_gib: f64,
    /// CPU threads, at least; 0 asks nothing.
    pub min_cpu_threads: u32,
    /// CPU cores, at least.
    pub min_cpu_cores: Option<u32>,
    /// The capabilities that the runtime needs, such as `vpn`.
    pub capabilities: Vec<String>,
    /// The GPU that the work needs. Offers describe GPUs in several forms, so it is looked at in each offer and isn't among the
    /// constraints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuWanted>,
    /// Further properties of the demand.
    pub properties: Properties,
    /// Further constraints, each in the constraint language.
    pub constraints: Vec<String>,
}

/// An image and where providers fetch it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its SHA-3 hash in hex; providers check what they fetched against it.
    pub hash: String,
    /// The address from which it is fetched.
    pub url: String,
}

/// The errors in a payload: no offer could match it, or others than were meant.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadProblem {
    /// Empty, or with characters that mean something else in the constraint language.
    #[error("the {what} `{text}` must be a plain word")]
    NoWord {
        /// `runtime` or `capability`.
        what: &'static str,
        /// As given.
        text: String,
    },
    /// Negative or no number.
    #[error("{amount} is not a valid amount of {what}")]
    Amount {
        /// `memory` or `storage`.
        what: &'static str,
        /// As given.
        amount: f64,
    },
    /// The hash isn't in hex.
    #[error("the image's hash `{0}` isn't in hex")]
    Hash(String),
    /// Not in the constraint language.
    #[error("the constraint `{text}` can't be read")]
    Constraint {
        /// As given.
        text: String,
        /// The error.
        source: ConstraintsError,
    },
}

impl Default for Payload {
    /// A small virtual machine without an image: half a GiB of memory, 2 GiB of storage, one thread.
    fn default() -> Self {
        Self {
            runtime: "vm".to_owned(),
            image: None,
            min_mem_gib: 0.5,
            min_storage_gib: 2.0,
            min_cpu_threads: 1,
            min_cpu_cores: None,
            capabilities: Vec::new(),
            gpu: None,
            properties: Properties::new(),
            constraints: Vec::new(),
        }
    }
}

impl Payload {
    /// Any machine that has a runtime of this name: it asks for nothing else, and has no image.
    ///
    /// # Example
    /// ```
    /// use golem_core::payload::Payload;
    /// let mut payload = Payload::runtime("wasmtime");
    /// payload.min_mem_gib = 1.0;
    /// assert_eq!(
    ///     payload.constraints().to_string(),
    ///     "(&(golem.inf.mem.gib>=1)(golem.runtime.name=wasmtime))",
    /// );
    /// ```
    pub fn runtime(name: impl Into<String>) -> Self {
        Self {
            runtime: name.into(),
            min_mem_gib: 0.0,
            min_storage_gib: 0.0,
            min_cpu_threads: 0,
            ..Self::default()
        }
    }

    /// Finds what would keep every offer away. A payload that passes builds constraints that mean what they say.
    ///
    /// **Errors**: the first [`PayloadProblem`] that is found.
    pub fn check(&self) -> Result<(), PayloadProblem> {
        let capabilities = self.capabilities.iter().map(|text| ("capability", text));
        for (what, text) in std::iter::once(("runtime", &self.runtime)).chain(capabilities) {
            if !is_word(text) {
                let text = text.clone();
                return Err(PayloadProblem::NoWord { what, text });
            }
        }
        for (what, amount) in [("memory", self.min_mem_gib), ("storage", self.min_storage_gib)] {
            if !amount.is_finite() || amount < 0.0 {
                return Err(PayloadProblem::Amount { what, amount });
            }
        }
        if let Some(image) = &self.image
            && (image.hash.is_empty() || !image.hash.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err(PayloadProblem::Hash(image.hash.clone()));
        }
        for text in &self.constraints {
            if let Err(source) = text.parse::<Constraints>() {
                let text = text.clone();
                return Err(PayloadProblem::Constraint { text, source });
            }
        }
        Ok(())
    }

    /// The constraints on an offer. A constraint that can't be read ([`Payload::check`] finds it) matches nothing.
    pub fn constraints(&self) -> Constraints {
        let mut all = Vec::new();
        for (property, amount) in
            [(name::MEMORY_GIB, self.min_mem_gib), (name::STORAGE_GIB, self.min_storage_gib)]
        {
            // Anything but nothing: an amount that is not a number must keep every offer away.
            if amount != 0.0 {
                all.push(Constraints::at_least(property, amount));
            }
        }
        if self.min_cpu_threads > 0 {
            all.push(Constraints::at_least(name::CPU_THREADS, self.min_cpu_threads));
        }
        if let Some(cores) = self.min_cpu_cores {
            all.push(Constraints::at_least(name::CPU_CORES, cores));
        }
        for capability in &self.capabilities {
            all.push(equals(name::RUNTIME_CAPABILITIES, capability));
        }
        all.push(equals(name::RUNTIME_NAME, &self.runtime));
        all.extend(self.constraints.iter().map(|text| parsed(text)));
        Constraints::all(all)
    }

    /// The properties that an offer sees.
    pub fn properties(&self) -> Properties {
        let mut properties = self.properties.clone();
        if let Some(Image { hash, url }) = &self.image {
            properties.set(name::TASK_PACKAGE, format!("hash:sha3:{hash}:{url}"));
            properties.set(name::VM_PACKAGE_FORMAT, "gvmkit-squash");
        }
        properties
    }
}

/// Equality with a word; nothing at all equals what is no word.
pub(crate) fn equals(property: &str, text: &str) -> Constraints {
    if is_word(text) { Constraints::equals(property, text) } else { nothing() }
}

/// A constraint in words; one that can't be read holds for nothing, since to leave it out would take machines
/// that were not asked for.
pub(crate) fn parsed(text: &str) -> Constraints {
    text.parse().unwrap_or_else(|_| nothing())
}

fn nothing() -> Constraints {
    Constraints::Any(Vec::new())
}

/// True if it can stand in a constraint and mean itself.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(['(', ')', '*'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> Payload {
        Payload {
            image: Some(Image {
                hash: "9a3b5d67".to_owned(),
                url: "http://images.example/alpine.gvmi".to_owned(),
            }),
            min_mem_gib: 1.5,
            min_cpu_cores: Some(2),
            capabilities: vec!["inet".to_owned(), "vpn".to_owned()],
            properties: Properties::new().with("golem.custom", 7),
            constraints: vec!["(golem.inf.cpu.architecture=x86_64)".to_owned()],
            ..Payload::default()
        }
    }

    #[test]
    fn a_payload_asks_for_all_it_needs() {
        assert_eq!(full().check(), Ok(()));
        assert_eq!(
            full().constraints().to_string(),
            "(&(golem.inf.mem.gib>=1.5)(golem.inf.storage.gib>=2)(golem.inf.cpu.threads>=1)(golem.inf.cpu.cores>=2)\
             (golem.runtime.capabilities=inet)(golem.runtime.capabilities=vpn)(golem.runtime.name=vm)\
             (golem.inf.cpu.architecture=x86_64))"
        );
    }

    #[test]
    fn a_payload_names_its_image_and_keeps_what_else_was_set() {
        assert_eq!(
            serde_json::to_string(&full().properties()).unwrap(),
            r#"{"golem.custom":7,"golem.srv.comp.task_package":"hash:sha3:9a3b5d67:http://images.example/alpine.gvmi","golem.srv.comp.vm.package_format":"gvmkit-squash"}"#
        );
        assert!(Payload::default().properties().is_empty());
    }

    #[test]
    fn a_float_property_is_taken_as_it_is() {
        let payload = Payload {
            properties: Properties::new().with("golem.custom.ratio", 0.25).with("golem.custom.whole", 8.0),
            ..Payload::runtime("wasmtime")
        };
        assert_eq!(payload.check(), Ok(()));
        assert_eq!(
            serde_json::to_string(&payload.properties()).unwrap(),
            r#"{"golem.custom.ratio":0.25,"golem.custom.whole":8.0}"#
        );
    }

    #[test]
    fn another_runtime_asks_for_nothing_that_was_not_said() {
        let payload = Payload::runtime("wasmtime");
        assert_eq!(payload.check(), Ok(()));
        assert_eq!(payload.constraints().to_string(), "(golem.runtime.name=wasmtime)");
        assert!(payload.properties().is_empty());
        let nonsense = Payload { min_mem_gib: f64::NAN, ..payload };
        assert!(nonsense.constraints().to_string().contains("mem.gib>=NaN"));
    }

    #[test]
    fn a_payload_that_nothing_can_match_is_found() {
        type Change = fn(&mut Payload);
        let cases: [(Change, &str); 8] = [
            (|p| p.runtime.clear(), "the runtime `` must be a plain word"),
            (|p| p.runtime = "vm)(a=1".to_owned(), "the runtime `vm)(a=1` must be a plain word"),
            (|p| p.capabilities.push("v*".to_owned()), "the capability `v*` must be a plain word"),
            (|p| p.min_mem_gib = f64::NAN, "NaN is not a valid amount of memory"),
            (|p| p.min_storage_gib = -1.0, "-1 is not a valid amount of storage"),
            (
                |p| {
                    p.image = Some(Image { hash: "sha3:ab".to_owned(), url: String::new() });
                },
                "the image's hash `sha3:ab` isn't in hex",
            ),
            (|p| p.constraints.push("(a=1".to_owned()), "the constraint `(a=1` can't be read"),
            (|p| p.constraints.push(String::new()), "the constraint `` can't be read"),
        ];
        for (change, text) in cases {
            let mut payload = full();
            change(&mut payload);
            assert_eq!(payload.check().unwrap_err().to_string(), text);
        }
        let mut payload = full();
        payload.constraints.push("(a=1".to_owned());
        assert!(payload.constraints().to_string().ends_with("(|))"));
    }

    #[test]
    fn a_stored_payload_comes_back() {
        let text = serde_json::to_string(&full()).unwrap();
        assert_eq!(serde_json::from_str::<Payload>(&text).unwrap(), full());
        assert_eq!(serde_json::from_str::<Payload>("{}").unwrap(), Payload::default());
        assert!(serde_json::from_str::<Payload>(r#"{"min_ram": 1}"#).is_err());
    }

    proptest! {
        #[test]
        fn constraints_always_parse(
            runtime in ".{0,8}",
            capability in "[a-z()*= &|!]{0,8}",
            constraint in "[()&|!=<>a* ]{0,20}",
            mem in 0.0f64..1e6,
        ) {
            let payload = Payload {
                runtime,
                capabilities: vec![capability],
                constraints: vec![constraint],
                min_mem_gib: mem,
                ..Payload::default()
            };
            let text = payload.constraints().to_string();
            prop_assert_eq!(text.parse::<Constraints>().unwrap().to_string(), text);
        }
    }
}
