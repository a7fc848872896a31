//! Scripts as the daemon reads and writes them: with its words for what it can't read, and with its defaults for what
//! was left out. What the commands mean is the exe-unit's business.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use yagna_api::activity::{RuntimeEvent, RuntimeEventKind, Script};

use crate::node::refusal::Refusal;

/// Reads the text of a request.
pub(super) fn read(text: &str) -> Result<Script, Refusal> {
    let bad = |error: serde_json::Error| Refusal::new(400, format!("Bad request: {error:?}"));
    let commands: Vec<ExeScriptCommand> = serde_json::from_str(text).map_err(bad)?;
    serde_json::to_value(commands).and_then(serde_json::from_value).map_err(bad)
}

/// An exe-unit's event as the daemon passes it on: a command in it has all its defaults.
pub(super) fn passed_on(mut event: RuntimeEvent) -> RuntimeEvent {
    if let RuntimeEventKind::Started { command } = &mut event.kind {
        let whole = ExeScriptCommand::deserialize(&*command).and_then(serde_json::to_value);
        *command = whole.unwrap_or_else(|_| command.take());
    }
    event
}

// The names of these types are part of the daemon's words.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
enum ExeScriptCommand {
    Sign {},
    Deploy {
        #[serde(default)]
        net: Vec<Network>,
        #[serde(default)]
        hosts: BTreeMap<String, String>,
        #[serde(default)]
        hostname: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        volumes: Option<Volumes>,
        #[serde(default)]
        env: BTreeMap<String, String>,
        #[serde(default)]
        progress: Option<ProgressArgs>,
    },
    Start {
        #[serde(default)]
        args: Vec<String>,
    },
    Run {
        entry_point: String,
        #[serde(default)]
        args: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        capture: Option<Capture>,
    },
    Transfer {
        from: String,
        to: String,
        #[serde(flatten)]
        args: TransferArgs,
    },
    Terminate {},
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    id: String,
    ip: String,
    mask: Option<String>,
    gateway: Option<String>,
    node_ip: String,
    #[serde(default)]
    nodes: BTreeMap<String, String>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Volumes {
    Simple(Vec<String>),
    Detailed(BTreeMap<String, Value>),
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgressArgs {
    #[serde(default, deserialize_with = "duration")]
    update_interval: Option<String>,
    #[serde(default)]
    update_step: Option<u64>,
}

#[derive(Deserialize, Serialize)]
struct Capture {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stdout: Option<CaptureMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stderr: Option<CaptureMode>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
enum CaptureMode {
    AtEnd {
        // A part that can't be read is no part at all.
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        part: Option<CapturePart>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<CaptureFormat>,
    },
    Stream {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<CaptureFormat>,
    },
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
enum CapturePart {
    Head(u64),
    Tail(u64),
    HeadTail(u64),
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum CaptureFormat {
    #[serde(alias = "string")]
    Str,
    #[serde(alias = "binary")]
    Bin,
}

#[derive(Deserialize, Serialize)]
struct TransferArgs {
    format: Option<String>,
    depth: Option<u64>,
    fileset: Option<Value>,
    #[serde(default)]
    progress: Option<ProgressArgs>,
}

/// A time such as `300ms`, kept as it was written.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Duration;

    impl<'de> Visitor<'de> for Duration {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration")
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_str(self)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            let looks_right = text.starts_with(|c: char| c.is_ascii_digit())
                && text.ends_with(|c: char| c.is_ascii_alphabetic());
            if looks_right {
                Ok(Some(text.to_owned()))
            } else {
                Err(E::invalid_value(Unexpected::Str(text), &self))
            }
        }
    }

    deserializer.deserialize_option(Duration)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use yagna_api::activity::{CaptureMode, Command};

    use super::*;

    #[test]
    fn what_clients_send_is_read() {
        let script = json!([
            {"deploy": {"net": [{"id": "n", "ip": "10.0.0.0", "nodeIp": "10.0.0.2"}], "volumes": ["/data"], "other": 1,
                "progress": {"updateInterval": "300ms", "updateStep": null}}},
            {"start": {}},
            {"run": {"entry_point": "a", "args": [], "capture": {"stdout": {"atEnd": {"head": "many"}},
                "stderr": {"stream": {"format": "binary"}}}}},
            {"transfer": {"from": "a", "to": "b", "progress": {"updateInterval": null}}},
            {"terminate": []},
        ]);
        let script = read(&script.to_string()).unwrap();
        assert_eq!(
            script.iter().map(Command::name).collect::<Vec<_>>(),
            ["deploy", "start", "run", "transfer", "terminate"]
        );
        let Command::Run(run) = &script[2] else { panic!("the third command runs") };
        let stdout = run.capture.as_ref().and_then(|capture| capture.stdout.as_ref());
        let whole = CaptureMode::AtEnd { head: None, tail: None, head_tail: None, format: None };
        assert_eq!(stdout, Some(&whole), "a part that is none counts as absent");
    }
}
