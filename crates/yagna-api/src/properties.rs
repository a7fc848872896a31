//! What an offer or a demand says of itself: JSON values by dotted name.

use std::collections::BTreeMap;
use std::collections::btree_map::{Entry, Iter};

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Names of properties that requestors and providers agree on.
pub mod name {
    /// The latest end of the work: milliseconds since 1970.
    pub const EXPIRATION: &str = "golem.srv.comp.expiration";
    /// True if one agreement may carry several activities.
    pub const MULTI_ACTIVITY: &str = "golem.srv.caps.multi-activity";
    /// The part of the market that demand and offer belong to.
    pub const SUBNET: &str = "golem.node.debug.subnet";
    /// The node's display name.
    pub const NODE_NAME: &str = "golem.node.id.name";
    /// The image to run: `hash:sha3:<hex>:<url>`.
    pub const TASK_PACKAGE: &str = "golem.srv.comp.task_package";
    /// The image's format, `gvmkit-squash` for VM images.
    pub const VM_PACKAGE_FORMAT: &str = "golem.srv.comp.vm.package_format";
    /// The runtime's name, such as `vm`.
    pub const RUNTIME_NAME: &str = "golem.runtime.name";
    /// The runtime's version.
    pub const RUNTIME_VERSION: &str = "golem.runtime.version";
    /// The capabilities of the runtime: a list of words.
    pub const RUNTIME_CAPABILITIES: &str = "golem.runtime.capabilities";
    /// Memory in GiB.
    pub const MEMORY_GIB: &str = "golem.inf.mem.gib";
    /// Storage in GiB.
    pub const STORAGE_GIB: &str = "golem.inf.storage.gib";
    /// CPU threads.
    pub const CPU_THREADS: &str = "golem.inf.cpu.threads";
    /// CPU cores.
    pub const CPU_CORES: &str = "golem.inf.cpu.cores";
    /// The processor's architecture.
    pub const CPU_ARCHITECTURE: &str = "golem.inf.cpu.architecture";
    /// The model of the price; `linear` is the only one in use.
    pub const PRICING_MODEL: &str = "golem.com.pricing.model";
    /// The prices per usage counter, in the counters' order, then the fixed start price. GLM.
    pub const PRICING_COEFFICIENTS: &str = "golem.com.pricing.model.linear.coeffs";
    /// The usage counters, in the order of the prices.
    pub const USAGE_VECTOR: &str = "golem.com.usage.vector";
    /// The payment scheme; `payu` is the only one in use.
    pub const PAYMENT_SCHEME: &str = "golem.com.scheme";
    /// The payment platform that both will use, set in the counter-proposal.
    pub const CHOSEN_PLATFORM: &str = "golem.com.payment.chosen-platform";
    /// The version of the payment protocol, a number in a string.
    pub const PAYMENT_PROTOCOL: &str = "golem.com.payment.protocol.version";
    /// The time after a debit note within which the provider expects it to be accepted. Seconds.
    pub const ACCEPT_TIMEOUT: &str = "golem.com.payment.debit-notes.accept-timeout?";
    /// The interval of debit notes. Seconds.
    pub const DEBIT_NOTE_INTERVAL: &str = "golem.com.scheme.payu.debit-note.interval-sec?";
    /// The time after a payable debit note within which the provider expects its payment. Seconds.
    pub const PAYMENT_TIMEOUT: &str = "golem.com.scheme.payu.payment-timeout-sec?";
    /// Usage counter: seconds since the activity began.
    pub const USAGE_DURATION: &str = "golem.usage.duration_sec";
    /// Usage counter: seconds of CPU.
    pub const USAGE_CPU: &str = "golem.usage.cpu_sec";

    /// The property that holds a node's address on a payment platform.
    #[must_use]
    pub fn platform_address(platform: &str) -> String {
        format!("golem.com.payment.platform.{platform}.address")
    }
}

/// JSON values by dotted name.
///
/// Read from a flat object, a nested one or a mix: `{"golem":{"inf":{"mem.gib":8}}}` and
/// `{"golem.inf.mem.gib":8}` are the same. Written flat, names sorted, as the daemon does. Numbers keep their
/// form: `8.0` stays `8.0`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties(BTreeMap<String, Value>);

impl Properties {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a dotted name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value of a dotted name, if it is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// The value of a dotted name, if it is a number, whole or not.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.as_f64()
    }

    /// Sets a value, whatever it was before. Objects become dotted names.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.add(name.into(), value.into());
    }

    /// [`Properties::set`] in a chain.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Takes a value out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// All values, names in order.
    pub fn iter(&self) -> Iter<'_, String, Value> {
        self.0.iter()
    }

    /// The number of properties.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads whatever JSON a peer sent; what is no object gives no properties.
    pub fn from_value(value: Value) -> Self {
        let mut properties = Self::new();
        if let Value::Object(fields) = value {
            for (name, value) in fields {
                properties.add(name, value);
            }
        }
        properties
    }

    fn add(&mut self, name: String, value: Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (inner, value) in fields {
                    self.add(format!("{name}.{inner}"), value);
                }
            }
            value => match self.0.entry(name) {
                Entry::Occupied(mut entry) => *entry.get_mut() = value,
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
            },
        }
    }
}

impl<'a> IntoIterator for &'a Properties {
    type Item = (&'a String, &'a Value);
    type IntoIter = Iter<'a, String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut properties = Self::new();
        properties.extend(pairs);
        properties
    }
}

impl<N: Into<String>, V: Into<Value>> Extend<(N, V)> for Properties {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, pairs: I) {
        for (name, value) in pairs {
            self.set(name, value);
        }
    }
}

impl From<Properties> for Value {
    fn from(properties: Properties) -> Self {
        Self::Object(properties.0.into_iter().collect::<Map<_, _>>())
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from_value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_and_flat_are_the_same() {
        let nested: Properties = serde_json::from_value(
            json!({"golem": {"inf": {"mem.gib": 8.0}, "runtime.name": "vm"}, "a": [1, null]}),
        )
        .unwrap();
        let text = serde_json::to_string(&nested).unwrap();
        assert_eq!(text, r#"{"a":[1,null],"golem.inf.mem.gib":8.0,"golem.runtime.name":"vm"}"#);
        assert_eq!(serde_json::from_str::<Properties>(&text).unwrap(), nested);
        assert_eq!(nested.number(name::MEMORY_GIB), Some(8.0));
        assert_eq!(nested.text(name::RUNTIME_NAME), Some("vm"));
    }

    #[test]
    fn what_is_no_object_has_no_properties() {
        assert!(serde_json::from_value::<Properties>(json!("text")).unwrap().is_empty());
        assert!(serde_json::from_value::<Properties>(json!([1, 2])).unwrap().is_empty());
    }
}
