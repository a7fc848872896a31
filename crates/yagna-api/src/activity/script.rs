//! Exe-scripts: the commands a provider's exe-unit carries out, in order, until one fails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A list of commands; on the wire a JSON array in a string.
pub type Script = Vec<Command>;

/// One command: on the wire an object with the command's name as its only key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Prepares the payload: image, volumes, networks.
    Deploy(Deploy),
    /// Starts the runtime.
    Start(Start),
    /// Runs a program inside.
    Run(Run),
    /// Moves a file in or out.
    Transfer(Transfer),
    /// Stops all other batches and takes the activity back to its beginning.
    Terminate(Empty),
    /// Asks the exe-unit to sign what it has done so far.
    Sign(Empty),
}

impl Command {
    /// The command's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deploy(_) => "deploy",
            Self::Start(_) => "start",
            Self::Run(_) => "run",
            Self::Transfer(_) => "transfer",
            Self::Terminate(_) => "terminate",
            Self::Sign(_) => "sign",
        }
    }
}

/// A command without fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// The preparation of the payload.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Deploy {
    /// Virtual networks to join.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub net: Vec<DeployNetwork>,
    /// Addresses by name, for the payload's hosts file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, String>,
    /// The payload's own host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Volumes to provide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Volumes>,
    /// Environment of the payload. Providers of today ignore it: a command sets its own variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Ask for progress events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressArgs>,
}

/// A virtual network as the payload shall see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployNetwork {
    /// The network's id.
    pub id: String,
    /// Its address.
    pub ip: String,
    /// Its mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Its gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The payload's own address.
    pub node_ip: String,
    /// All nodes: node id by address.
    #[serde(default)]
    pub nodes: BTreeMap<String, String>,
}

/// Volumes: paths alone, or each with what backs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Volumes {
    /// Paths; the runtime chooses what backs them.
    Paths(Vec<String>),
    /// By path: `{"storage": {"size": "1g"}}`, `{"ram": {..}}` or `{"host": {}}`.
    Mounts(BTreeMap<String, Value>),
}

/// The interval between reports of progress.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressArgs {
    /// A time such as `300ms` or `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_interval: Option<String>,
    /// A number of bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_step: Option<u64>,
}

/// The start of the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Start {
    /// Arguments for the runtime.
    #[serde(default)]
    pub args: Vec<String>,
}

/// A program to run inside.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Run {
    /// The program, an absolute path in the payload.
    pub entry_point: String,
    /// Its arguments, without the program itself.
    #[serde(default)]
    pub args: Vec<String>,
    /// The way to keep its output; without it the output is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
}

/// The parts of a program's output that are kept; a stream that isn't named is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capture {
    /// The way to capture its standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<CaptureMode>,
    /// The way to capture its standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<CaptureMode>,
}

impl Capture {
    /// Both streams whole, as text, when the program ends.
    pub fn text() -> Self {
        let mode =
            CaptureMode::AtEnd { head: None, tail: None, head_tail: None, format: Some(CaptureFormat::Str) };
        Self { stdout: Some(mode.clone()), stderr: Some(mode) }
    }

    /// Both streams as text while the program runs.
    pub fn stream() -> Self {
        let mode = CaptureMode::Stream { limit: None, format: Some(CaptureFormat::Str) };
        Self { stdout: Some(mode.clone()), stderr: Some(mode) }
    }
}

/// The way to capture one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CaptureMode {
    /// As it comes.
    Stream {
        /// At most this many bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
        /// Text or bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<CaptureFormat>,
    },
    /// Capture the output when the program has ended; all of it unless one limit is given.
    #[serde(rename_all = "camelCase")]
    AtEnd {
        /// Only the first bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<u64>,
        /// Only the last bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tail: Option<u64>,
        /// The first and the last bytes, this many together.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head_tail: Option<u64>,
        /// Text or bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<CaptureFormat>,
    },
}

/// The form of captured output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureFormat {
    /// Text.
    #[serde(alias = "string")]
    Str,
    /// A list of bytes.
    #[serde(alias = "binary")]
    Bin,
}

/// A file to move.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Transfer {
    /// The source: `container:/path`, `gftp://..`, `http(s)://..`.
    pub from: String,
    /// The target.
    pub to: String,
    /// The format in which several files are packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The depth to which files are looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// The files that are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fileset: Option<Value>,
    /// Ask for progress events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressArgs>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commands_have_the_daemons_shape() {
        let script: Script = vec![
            Command::Deploy(Deploy::default()),
            Command::Start(Start::default()),
            Command::Run(Run {
                entry_point: "/bin/sh".into(),
                args: vec!["-c".into(), "echo".into()],
                capture: Some(Capture::text()),
            }),
            Command::Transfer(Transfer {
                from: "gftp://0x1/2".into(),
                to: "container:/a".into(),
                ..Transfer::default()
            }),
            Command::Terminate(Empty {}),
            Command::Sign(Empty {}),
        ];
        let wire = json!([
            {"deploy": {}},
            {"start": {"args": []}},
            {"run": {"entry_point": "/bin/sh", "args": ["-c", "echo"],
                "capture": {"stdout": {"atEnd": {"format": "str"}}, "stderr": {"atEnd": {"format": "str"}}}}},
            {"transfer": {"from": "gftp://0x1/2", "to": "container:/a"}},
            {"terminate": {}},
            {"sign": {}},
        ]);
        assert_eq!(serde_json::to_value(&script).unwrap(), wire);
        assert_eq!(serde_json::from_value::<Script>(wire).unwrap(), script);
    }

    #[test]
    fn what_other_clients_send_is_read() {
        let wire = json!([
            {"deploy": {"net": [{"id": "n", "ip": "192.168.0.0", "mask": "255.255.255.0", "nodeIp": "192.168.0.2", "nodes": {"192.168.0.2": "0x1"}}],
                "volumes": {"/data": {"storage": {"size": "1g"}}}, "env": {"A": "1"}, "progress": {"updateInterval": "300ms", "updateStep": null}}},
            {"deploy": {"volumes": ["/golem/work"], "hosts": {"a": "1.2.3.4"}, "hostname": "h"}},
            {"start": {}},
            {"run": {"entry_point": "x", "args": [], "capture": {"stdout": {"stream": {}}, "stderr": {"atEnd": {"headTail": 10, "format": "binary"}}}}},
        ]);
        let script: Script = serde_json::from_value(wire).unwrap();
        let Command::Deploy(first) = &script[0] else { panic!("deploy comes first") };
        assert_eq!(first.progress.as_ref().unwrap().update_interval.as_deref(), Some("300ms"));
        assert!(matches!(first.volumes, Some(Volumes::Mounts(_))));
        assert!(
            serde_json::from_value::<Script>(json!([{"bogus": {}}]))
                .unwrap_err()
                .to_string()
                .contains("unknown variant `bogus`")
        );
    }
}
