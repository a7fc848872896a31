//! Calls of services on other nodes, as an exe-unit's file transfers make them: addresses, messages, answers.

use bytes::Bytes;
use yagna_api::NodeId;

use super::bus::CallError;
use super::message::inflated;
use crate::node::flex;
use crate::port::{BusError, BusValue};

/// The beginning of addresses that other nodes may call.
const PUBLIC: &str = "/public";

/// The address on our daemon's bus and the message of a call.
///
/// The daemon passes on what goes to `/transfer/net/<node>` by its way for bulk data, as for Golem's own exe-unit.
pub(super) fn request(
    node: &NodeId,
    address: &str,
    component: &str,
    payload: &BusValue,
) -> Result<(String, Vec<u8>), BusError> {
    let Some(exported) = address.strip_prefix(PUBLIC).filter(|rest| rest.starts_with('/')) else {
        return Err(BusError::NoEndpoint(format!("{address}/{component}")));
    };
    // A message without fields is nothing at all on the wire, and some services read no other form of it.
    let empty = matches!(payload, BusValue::Map(fields) if fields.is_empty());
    let data = flex::encode(if empty { &BusValue::Null } else { payload });
    Ok((format!("/transfer/net/{node}{exported}/{component}"), data))
}

/// Reads the other side's answer.
pub(super) fn answer(address: &str, answer: Result<Bytes, CallError>) -> Result<BusValue, BusError> {
    let data = match answer {
        Ok(data) => data,
        Err(CallError::Lost) => return Err(BusError::Cancelled),
        Err(CallError::Timeout) => return Err(BusError::Timeout),
        Err(CallError::Busy) => return Err(service("Busy", CallError::Busy.to_string())),
        Err(CallError::Refused { text, .. }) => return Err(refused(address, text)),
    };
    if data.is_empty() {
        // On its way for bulk data the daemon passes no failures on: it ends the answer before its first byte.
        return Err(BusError::Cancelled);
    }
    let unreadable = || service("BadContent", "the answer can't be read".to_owned());
    let BusValue::Map(fields) = flex::decode(&inflated(&data)).ok_or_else(unreadable)? else {
        return Err(unreadable());
    };
    match fields.into_iter().next() {
        Some((name, value)) if name == "Ok" => Ok(value),
        Some((name, error)) if name == "Err" => Err(variant(error)),
        _ => Err(unreadable()),
    }
}

/// The bus's own words about a call that it couldn't bring to its end.
fn refused(address: &str, text: String) -> BusError {
    if text.contains("endpoint address not found") || text.contains("No such endpoint") {
        BusError::NoEndpoint(address.to_owned())
    } else if text.contains("cancel") || text.contains("lost connection") {
        BusError::Cancelled
    } else if text.contains("Timeout") || text.contains("timeout") || text.contains("stalled") {
        BusError::Timeout
    } else {
        service("GsbError", text)
    }
}

/// The service's own error: a variant with or without words.
fn variant(error: BusValue) -> BusError {
    match error {
        BusValue::Text(kind) => service(&kind, String::new()),
        BusValue::Map(mut fields) if !fields.is_empty() => {
            let (kind, value) = fields.swap_remove(0);
            let message = if let BusValue::Text(message) = value { message } else { String::new() };
            BusError::Service { kind, message }
        }
        _ => service("InternalError", String::new()),
    }
}

fn service(kind: &str, message: String) -> BusError {
    BusError::Service { kind: kind.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::join::message;

    fn node() -> NodeId {
        "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap()
    }

    #[test]
    fn calls_go_where_the_exe_units_go() {
        let chunk = BusValue::Map(vec![("offset".into(), BusValue::UInt(7))]);
        let (address, data) = request(&node(), "/public/gftp/f1", "GetChunk", &chunk).unwrap();
        assert_eq!(address, format!("/transfer/net/{}/gftp/f1/GetChunk", node()));
        assert_eq!(flex::decode(&data), Some(chunk));
        let (_, nothing) =
            request(&node(), "/public/gftp/f1", "GetMetadata", &BusValue::Map(vec![])).unwrap();
        assert_eq!(flex::decode(&nothing), Some(BusValue::Null));
        let local = request(&node(), "/local/activity", "SetActivityUsage", &BusValue::Null);
        assert!(matches!(local, Err(BusError::NoEndpoint(_))));
    }

    #[test]
    fn answers_are_values_or_errors_with_their_names() {
        let read = |value: serde_json::Value| answer("/a", Ok(message::write(&value).into()));
        assert_eq!(read(json!({"Ok": null})), Ok(BusValue::Null));
        assert_eq!(
            read(json!({"Ok": {"fileSize": 3}})),
            Ok(BusValue::Map(vec![("fileSize".into(), BusValue::UInt(3))]))
        );
        assert_eq!(read(json!({"Err": "IntegrityError"})), Err(service("IntegrityError", String::new())));
        assert_eq!(read(json!({"Err": {"ReadError": "no"}})), Err(service("ReadError", "no".to_owned())));
        for strange in [json!([1]), json!({}), json!({"Maybe": 1})] {
            assert!(matches!(read(strange), Err(BusError::Service { kind, .. }) if kind == "BadContent"));
        }
        assert_eq!(answer("/a", Ok(Bytes::new())), Err(BusError::Cancelled));
    }

    #[test]
    fn failures_of_the_bus_keep_their_meaning() {
        let say = |text: &str| answer("/a", Err(CallError::Refused { code: 500, text: text.to_owned() }));
        assert_eq!(
            say("Remote service at `/net/0x1/gftp/f` error: Bad request: endpoint address not found"),
            Err(BusError::NoEndpoint("/a".into()))
        );
        assert_eq!(say("Service receiver was cancelled"), Err(BusError::Cancelled));
        assert_eq!(say("Timeout calling `/a` service"), Err(BusError::Timeout));
        assert_eq!(say("out of paper"), Err(service("GsbError", "out of paper".to_owned())));
        assert_eq!(answer("/a", Err(CallError::Lost)), Err(BusError::Cancelled));
    }
}
