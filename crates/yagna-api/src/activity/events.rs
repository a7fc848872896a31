//! What comes of a batch: results by poll, runtime events by stream.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::BatchId;
use crate::time::Timestamp;

/// The result of a command: success or failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Yes.
    Ok,
    /// No; nothing after it in its batch was run.
    Error,
}

/// The outcome of one command of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandResult {
    /// The command's place in its script, from 0.
    pub index: u32,
    /// The result of the command.
    pub result: Outcome,
    /// Its captured standard output; `None` where there was none.
    #[serde(default)]
    pub stdout: Option<Output>,
    /// Its captured standard error; `None` where there was none.
    #[serde(default)]
    pub stderr: Option<Output>,
    /// The message of the exe-unit about it, such as `ExeScript command exited with code 1`.
    #[serde(default)]
    pub message: Option<String>,
    /// True if this is the last result of its batch.
    #[serde(default)]
    pub is_batch_finished: bool,
    /// The time of the event.
    pub event_date: Timestamp,
}

impl CommandResult {
    /// The exit code in the exe-unit's message, if it names one.
    pub fn exit_code(&self) -> Option<i32> {
        if self.result == Outcome::Ok {
            return Some(0);
        }
        let (_, code) = self.message.as_deref()?.rsplit_once("exited with code ")?;
        code.trim_end_matches('.').trim().parse().ok()
    }

    /// The reason of the failure, for people: the exe-unit's message without its own name for a command.
    pub fn reason(&self) -> &str {
        let said = self.message.as_deref().map(str::trim).filter(|said| !said.is_empty());
        said.map_or("no reason given", |said| said.strip_prefix("ExeScript command ").unwrap_or(said))
    }
}

/// Captured output, as text or as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Output {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Output {
    /// As text; bytes that are no UTF-8 become replacement characters.
    pub fn to_text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Something that happened in a running batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuntimeEvent {
    /// The batch.
    pub batch_id: BatchId,
    /// The command's place in its script.
    pub index: u32,
    /// The time of the event. The daemon writes it without a zone; it is UTC.
    #[serde(serialize_with = "write_naive", deserialize_with = "read_naive")]
    pub timestamp: Timestamp,
    /// The event itself.
    pub kind: RuntimeEventKind,
}

/// The kinds of events in a running batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeEventKind {
    /// A command begins.
    Started {
        /// The command, as the exe-unit has it.
        command: Value,
    },
    /// It wrote to its standard output.
    #[serde(rename = "stdout")]
    StdOut(Output),
    /// It wrote to its standard error.
    #[serde(rename = "stderr")]
    StdErr(Output),
    /// It ended.
    Finished {
        /// Its exit code, or what stands for one.
        return_code: i32,
        /// The message of the exe-unit about it.
        #[serde(default)]
        message: Option<String>,
    },
    /// A long command got further.
    Progress(Progress),
}

/// The progress of a deployment or a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The present step and the number of steps.
    pub step: (u64, u64),
    /// In words.
    #[serde(default)]
    pub message: Option<String>,
    /// The amount that is done, and the whole amount if it is known.
    pub progress: (u64, Option<u64>),
    /// The unit of that, such as `Bytes`.
    #[serde(default)]
    pub unit: Option<String>,
}

fn write_naive<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&TimeZone::UTC.to_datetime(*time))
}

fn read_naive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let naive: DateTime = text.parse().map_err(D::Error::custom)?;
    TimeZone::UTC.to_timestamp(naive).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn results_are_read_as_sent() {
        let result: CommandResult = serde_json::from_value(json!({
            "index": 1, "result": "Error", "stdout": [104, 105], "stderr": "no", "isBatchFinished": true,
            "message": "ExeScript command exited with code 127", "eventDate": "2026-11-21T21:17:19.355800123Z"
        }))
        .unwrap();
        assert_eq!(result.exit_code(), Some(127));
        assert_eq!(result.stdout.unwrap().to_text(), "hi");
        let none: CommandResult = serde_json::from_value(json!({
            "index": 0, "result": "Ok", "stdout": null, "stderr": null, "message": null,
            "isBatchFinished": false, "eventDate": "2026-11-21T21:17:19Z"
        }))
        .unwrap();
        assert_eq!((none.stdout.clone(), none.exit_code()), (None, Some(0)));
    }

    #[test]
    fn runtime_events_have_naive_times_and_snake_case() {
        let wire = json!({"batch_id": "b", "index": 0, "timestamp": "2026-11-21T21:17:19.3558", "kind": {"finished": {"return_code": 0, "message": null}}});
        let event: RuntimeEvent = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(event.timestamp, "2026-11-21T21:17:19.3558Z".parse().unwrap());
        assert_eq!(serde_json::to_value(&event).unwrap(), wire);
        for kind in [
            json!({"started": {"command": {"run": {}}}}),
            json!({"stdout": "text"}),
            json!({"stderr": [1, 2, 255]}),
            json!({"progress": {"step": [0, 1], "message": null, "progress": [60, 1024], "unit": "Bytes"}}),
            json!({"progress": {"step": [0, 1], "message": "x", "progress": [60, null], "unit": null}}),
        ] {
            let read: RuntimeEventKind = serde_json::from_value(kind.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), kind);
        }
    }
}
