//! FlexBuffers, the form of frames on the bus: to and from [`BusValue`].

use flexbuffers::{FlexBufferType, Reader};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::port::BusValue;

/// `{"id", "component", "payload"}`; a payload of nothing is an empty map.
pub(crate) fn encode_request(id: &str, component: &str, payload: &BusValue) -> Vec<u8> {
    let payload = match payload {
        BusValue::Null | BusValue::Json(Value::Null) => BusValue::Map(Vec::new()),
        other => other.clone(),
    };
    encode(&BusValue::Map(vec![
        ("id".to_owned(), BusValue::Text(id.to_owned())),
        ("component".to_owned(), BusValue::Text(component.to_owned())),
        ("payload".to_owned(), payload),
    ]))
}

/// Any value as a frame.
pub(crate) fn encode(value: &BusValue) -> Vec<u8> {
    flexbuffers::to_vec(Wire(value)).expect("maps with text keys are all that FlexBuffers asks for")
}

/// A frame's value; `None` when it is no `FlexBuffer`.
pub(crate) fn decode(frame: &[u8]) -> Option<BusValue> {
    Reader::get_root(frame).ok().map(|root| read(&root, 0))
}

struct Wire<'a>(&'a BusValue);

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            BusValue::Null => serializer.serialize_unit(),
            BusValue::Bool(truth) => serializer.serialize_bool(*truth),
            BusValue::UInt(number) => serializer.serialize_u64(*number),
            BusValue::Text(text) => serializer.serialize_str(text),
            BusValue::Bytes(bytes) => serializer.serialize_bytes(bytes),
            BusValue::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, &Wire(value))?;
                }
                map.end()
            }
            BusValue::Json(value) => value.serialize(serializer),
        }
    }
}

/// Deeper than any message, shallow enough for any stack.
const MAX_DEPTH: u32 = 64;

fn read(reader: &Reader<&[u8]>, depth: u32) -> BusValue {
    let kind = reader.flexbuffer_type();
    if depth > MAX_DEPTH {
        return BusValue::Null;
    }
    match kind {
        FlexBufferType::Null => BusValue::Null,
        FlexBufferType::Bool => BusValue::Bool(reader.as_bool()),
        FlexBufferType::UInt | FlexBufferType::IndirectUInt => BusValue::UInt(reader.as_u64()),
        FlexBufferType::Int | FlexBufferType::IndirectInt => {
            let number = reader.as_i64();
            u64::try_from(number).map_or_else(|_| BusValue::Json(number.into()), BusValue::UInt)
        }
        FlexBufferType::Float | FlexBufferType::IndirectFloat => BusValue::Json(reader.as_f64().into()),
        FlexBufferType::Key | FlexBufferType::String => BusValue::Text(reader.as_str().to_owned()),
        FlexBufferType::Blob => BusValue::Bytes(reader.as_blob().0.to_vec()),
        FlexBufferType::Map => {
            let map = reader.as_map();
            let keys = map.iter_keys().map(str::to_owned);
            BusValue::Map(keys.zip(map.iter_values().map(|value| read(&value, depth + 1))).collect())
        }
        _ => {
            let items = reader.as_vector().iter().map(|item| to_json(read(&item, depth + 1)));
            BusValue::Json(Value::Array(items.collect()))
        }
    }
}

fn to_json(value: BusValue) -> Value {
    match value {
        BusValue::Null => Value::Null,
        BusValue::Bool(truth) => truth.into(),
        BusValue::UInt(number) => number.into(),
        BusValue::Text(text) => text.into(),
        BusValue::Bytes(bytes) => bytes.into(),
        BusValue::Map(fields) => fields.into_iter().map(|(key, value)| (key, to_json(value))).collect(),
        BusValue::Json(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_survive_the_wire() {
        let value = BusValue::Map(vec![
            ("bytes".to_owned(), BusValue::Bytes(vec![0, 255, 7])),
            ("json".to_owned(), BusValue::Json(json!([1, "two", null, -3]))),
            ("nothing".to_owned(), BusValue::Null),
            ("number".to_owned(), BusValue::UInt(u64::MAX)),
            ("text".to_owned(), BusValue::Text("gół".to_owned())),
            ("truth".to_owned(), BusValue::Bool(true)),
        ]);
        assert_eq!(decode(&encode(&value)), Some(value));
    }

    #[test]
    fn an_empty_payload_is_an_empty_map() {
        let request = decode(&encode_request("1", "GetMetadata", &BusValue::Null)).unwrap();
        assert_eq!(request.field("payload"), Some(&BusValue::Map(Vec::new())));
        assert_eq!(request.field("component"), Some(&BusValue::Text("GetMetadata".to_owned())));
    }

    #[test]
    fn junk_is_no_frame() {
        assert_eq!(decode(b""), None);
        assert_eq!(decode(&[1]), None);
    }
}
