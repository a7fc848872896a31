//! Values on the daemon's bus, to and from FlexBuffers.

use std::collections::BTreeMap;

use bytes::Bytes;
use flexbuffers::{Blob, Builder, BuilderOptions, MapBuilder, VectorBuilder};

pub use super::decode::BusValueError;

/// A value as the bus carries it: JSON's, and bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum BusValue {
    /// Nothing.
    #[default]
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number from 0 on.
    UInt(u64),
    /// A number that may be negative.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
    /// Values in order.
    List(Vec<BusValue>),
    /// Values by name.
    Map(BTreeMap<String, BusValue>),
}

impl BusValue {
    /// A map of the given entries.
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// An entry of a map.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.get(name),
            _ => None,
        }
    }

    /// As a number from 0 on.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::UInt(number) => Some(*number),
            Self::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// As text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As bytes: some senders write them as a list of numbers.
    pub fn to_bytes(&self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::List(numbers) => numbers.iter().map(|number| u8::try_from(number.as_u64()?).ok()).collect(),
            _ => None,
        }
    }

    /// Reads a value. Bytes in it share the memory of `frame`.
    pub fn decode(frame: &Bytes) -> Result<Self, BusValueError> {
        super::decode::decode(frame)
    }

    /// Writes the value. A NUL in a name, which the format can't hold, becomes U+FFFD.
    pub fn encode(&self) -> Bytes {
        // Names are written as often as they occur: looking for an earlier one costs more than it saves.
        let mut builder = Builder::new(BuilderOptions::empty());
        match self {
            Self::Null => builder.build_singleton(()),
            Self::Bool(value) => builder.build_singleton(*value),
            Self::UInt(value) => builder.build_singleton(*value),
            Self::Int(value) => builder.build_singleton(*value),
            Self::Float(value) => builder.build_singleton(*value),
            Self::Text(value) => builder.build_singleton(value.as_str()),
            Self::Bytes(value) => builder.build_singleton(Blob(&value[..])),
            Self::List(values) => push_all(builder.start_vector(), values),
            Self::Map(entries) => push_entries(builder.start_map(), entries),
        }
        builder.take_buffer().into()
    }
}

fn push_all(mut list: VectorBuilder<'_>, values: &[BusValue]) {
    for value in values {
        match value {
            BusValue::Null => list.push(()),
            BusValue::Bool(value) => list.push(*value),
            BusValue::UInt(value) => list.push(*value),
            BusValue::Int(value) => list.push(*value),
            BusValue::Float(value) => list.push(*value),
            BusValue::Text(value) => list.push(value.as_str()),
            BusValue::Bytes(value) => list.push(Blob(&value[..])),
            BusValue::List(values) => push_all(list.start_vector(), values),
            BusValue::Map(entries) => push_entries(list.start_map(), entries),
        }
    }
}

fn push_entries(mut map: MapBuilder<'_>, entries: &BTreeMap<String, BusValue>) {
    // Two names may become one by their NULs; the format allows a name once only.
    let entries: BTreeMap<_, _> =
        entries.iter().map(|(name, value)| (name.replace('\0', "\u{fffd}"), value)).collect();
    for (name, value) in &entries {
        match value {
            BusValue::Null => map.push(name, ()),
            BusValue::Bool(value) => map.push(name, *value),
            BusValue::UInt(value) => map.push(name, *value),
            BusValue::Int(value) => map.push(name, *value),
            BusValue::Float(value) => map.push(name, *value),
            BusValue::Text(value) => map.push(name, value.as_str()),
            BusValue::Bytes(value) => map.push(name, Blob(&value[..])),
            BusValue::List(values) => push_all(map.start_vector(name), values),
            BusValue::Map(entries) => push_entries(map.start_map(name), entries),
        }
    }
}

impl From<bool> for BusValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for BusValue {
    fn from(value: u64) -> Self {
        Self::UInt(value)
    }
}

impl From<i64> for BusValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for BusValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for BusValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for BusValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Bytes> for BusValue {
    fn from(value: Bytes) -> Self {
        Self::Bytes(value)
    }
}

impl From<Vec<u8>> for BusValue {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value.into())
    }
}

impl From<Vec<BusValue>> for BusValue {
    fn from(values: Vec<BusValue>) -> Self {
        Self::List(values)
    }
}
