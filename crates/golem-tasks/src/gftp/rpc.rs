//! The messages of `gftp server`: JSON-RPC 2.0, one object a line.
//!
//! Shapes and error codes are those of Golem's own program. One thing is better: the answer to a request that can't be
//! carried out names the request, wherever that has a readable id.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::args::Command;
use super::url::FileUrl;

const JSONRPC: &str = "2.0";

/// The calls that can be made.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub(super) enum Call {
    Version {},
    Publish { files: Vec<PathBuf> },
    Close { urls: Vec<FileUrl> },
    Download { url: FileUrl, output_file: PathBuf },
    Receive { output_file: PathBuf },
    Upload { url: FileUrl, file: PathBuf },
    Shutdown {},
}

impl Call {
    /// The call that the command line makes, if it isn't the server.
    pub(super) fn of(command: &Command) -> Option<Self> {
        Some(match command {
            Command::Version => Self::Version {},
            Command::Publish { files } => Self::Publish { files: files.clone() },
            Command::Close { urls } => Self::Close { urls: urls.clone() },
            Command::Download { url, output_file } => {
                Self::Download { url: url.clone(), output_file: output_file.clone() }
            }
            Command::Receive { output_file } => Self::Receive { output_file: output_file.clone() },
            Command::Upload { url, file } => Self::Upload { url: url.clone(), file: file.clone() },
            Command::Shutdown => Self::Shutdown {},
            Command::Server => return None,
        })
    }
}

/// A request, or why it is none; with its id, as far as that can be read.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) id: Value,
    pub(super) call: Result<Call, RpcError>,
}

/// The answer to a [`Call`].
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Text(String),
    File(Link),
    Files(Vec<Link>),
    Status(Status),
    Statuses(Vec<Status>),
}

/// A file and where it can be fetched or handed in.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Link {
    pub(super) file: PathBuf,
    pub(super) url: FileUrl,
}

/// The success or failure of a call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Ok,
    Error,
}

/// The reason why there is no answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct RpcError {
    code: i32,
    message: String,
}

impl RpcError {
    /// It is no JSON.
    fn parse(message: impl Into<String>) -> Self {
        Self { code: -32700, message: message.into() }
    }

    /// It is no request that we know. Golem's program has no other code for unknown methods and wrong parameters.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { code: -32600, message: message.into() }
    }

    /// It couldn't be done.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { code: -32000, message: message.into() }
    }
}

/// A whole message that answers a request.
#[derive(Debug, Serialize)]
pub(super) struct Reply {
    jsonrpc: &'static str,
    id: Value,
    #[serde(flatten)]
    body: Body,
}

/// The part of a message that isn't the same in all of them.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Body {
    Result(Value),
    Error(RpcError),
}

impl Reply {
    pub(super) fn new(id: Value, answer: Result<Answer, RpcError>) -> Self {
        let answer = answer.and_then(|answer| {
            serde_json::to_value(answer)
                .map_err(|error| RpcError::failed(format!("the answer has no JSON: {error}")))
        });
        let body = match answer {
            Ok(answer) => Body::Result(answer),
            Err(error) => Body::Error(error),
        };
        Self { jsonrpc: JSONRPC, id, body }
    }

    pub(super) fn body(&self) -> Body {
        self.body.clone()
    }
}

/// Reads a line.
pub(super) fn read(line: &[u8]) -> Request {
    let mut message: Value = match serde_json::from_slice(line) {
        Ok(message) => message,
        Err(error) => return Request { id: Value::Null, call: Err(RpcError::parse(error.to_string())) },
    };
    let id = match message.get_mut("id").map(Value::take) {
        Some(id @ (Value::Number(_) | Value::String(_))) => id,
        None | Some(Value::Null) => Value::Null,
        Some(_) => {
            return Request {
                id: Value::Null,
                call: Err(RpcError::invalid("the id is neither a number nor a string")),
            };
        }
    };
    Request { id, call: call(message) }
}

fn call(message: Value) -> Result<Call, RpcError> {
    let Value::Object(mut message) = message else {
        return Err(RpcError::invalid("a request is an object"));
    };
    if message.get("jsonrpc").and_then(Value::as_str) != Some(JSONRPC) {
        return Err(RpcError::invalid("`jsonrpc` must be \"2.0\""));
    }
    // Methods without parameters need not say so.
    let params = message.entry("params").or_insert(Value::Null);
    if params.is_null() {
        *params = Value::Object(serde_json::Map::new());
    }
    serde_json::from_value(Value::Object(message)).map_err(|error| RpcError::invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(line: &str) -> (Value, i32) {
        let Request { id, call } = read(line.as_bytes());
        (id, call.unwrap_err().code)
    }

    #[test]
    fn every_method_is_read() {
        for (params, expected) in [
            (r#""version","params":{}"#, Call::Version {}),
            (r#""version""#, Call::Version {}),
            (r#""shutdown","params":null"#, Call::Shutdown {}),
            (
                r#""publish","params":{"files":["a","b"]}"#,
                Call::Publish { files: vec!["a".into(), "b".into()] },
            ),
            (r#""receive","params":{"output_file":"a","more":1}"#, Call::Receive { output_file: "a".into() }),
            (
                r#""close","params":{"urls":["gftp://0x1/ab"]}"#,
                Call::Close { urls: vec!["gftp://0x1/ab".parse().unwrap()] },
            ),
            (
                r#""upload","params":{"url":"gftp://0x1/ab","file":"c"}"#,
                Call::Upload { url: "gftp://0x1/ab".parse().unwrap(), file: "c".into() },
            ),
            (
                r#""download","params":{"url":"gftp://0x1/ab","output_file":"c"}"#,
                Call::Download { url: "gftp://0x1/ab".parse().unwrap(), output_file: "c".into() },
            ),
        ] {
            for id in [json!(1), json!("1"), json!(1.5), Value::Null] {
                let line = format!(r#" {{"jsonrpc":"2.0","id":{id},"method":{params}}} "#);
                assert_eq!(read(line.as_bytes()), Request { id, call: Ok(expected.clone()) }, "{line}");
            }
        }
    }

    #[test]
    fn what_is_no_request_has_its_code_and_keeps_its_id() {
        assert_eq!(code("{"), (Value::Null, -32700));
        assert_eq!(code("version"), (Value::Null, -32700));
        assert_eq!(read(b"\xff\xfe").call.unwrap_err().code, -32700);
        for (rest, line) in [
            ("not an object", "[1]"),
            ("not an object", "\"version\""),
            ("an id that is none", r#"{"jsonrpc":"2.0","id":{},"method":"version"}"#),
        ] {
            assert_eq!(code(line), (Value::Null, -32600), "{rest}");
        }
        for line in [
            r#"{"id":7,"method":"version"}"#,
            r#"{"jsonrpc":"1.0","id":7,"method":"version"}"#,
            r#"{"jsonrpc":"2.0","id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"steal","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"publish"}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"publish","params":["a"]}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"publish","params":{"files":"a"}}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"close","params":{"urls":["no url"]}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":"ok"}"#,
        ] {
            assert_eq!(code(line), (json!(7), -32600), "{line}");
        }
    }

    #[test]
    fn replies_look_as_those_of_golems_program() {
        let link = Link { file: "a".into(), url: "gftp://0x1/ab".parse().unwrap() };
        for (answer, expected) in [
            (
                Ok(Answer::Files(vec![link])),
                r#"{"jsonrpc":"2.0","id":1,"result":[{"file":"a","url":"gftp://0x1/ab"}]}"#,
            ),
            (
                Ok(Answer::Statuses(vec![Status::Ok, Status::Error])),
                r#"{"jsonrpc":"2.0","id":1,"result":["ok","error"]}"#,
            ),
            (
                Err(RpcError::failed("why")),
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"why"}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&Reply::new(json!(1), answer)).unwrap(), expected);
        }
        let reply = Reply::new(Value::Null, Ok(Answer::Status(Status::Ok)));
        assert_eq!(serde_json::to_string(&reply.body()).unwrap(), r#"{"result":"ok"}"#);
    }
}
