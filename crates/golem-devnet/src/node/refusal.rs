//! The daemon's ways to say no: which status, which form of body.

use serde_json::{Value, json};
use yagna_api::ApiError;

/// A refusal, before it takes its form as an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) form: Form,
}

/// The form of a refusal's body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// `{"message": ".."}`.
    Message(String),
    /// `{"message": null}`.
    NullMessage,
    /// Plain text.
    Text(String),
    /// Nothing.
    Empty,
    /// An RFC 7807 document.
    Problem(Value),
}

impl Refusal {
    /// `{"message": ".."}` under this status.
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, form: Form::Message(message.into()) }
    }

    /// Plain text under this status.
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self { status, form: Form::Text(text.into()) }
    }

    /// A part of the path that can't be an id: JSON that is labelled as text.
    pub(crate) fn path(problem: &str) -> Self {
        Self::text(400, json!({"message": format!("Path deserialize error: {problem}")}).to_string())
    }

    /// A query that can't be read.
    pub(crate) fn query(problem: &str) -> Self {
        Self::text(400, format!("Query deserialize error: {problem}"))
    }

    /// A status alone.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, form: Form::Empty }
    }

    /// The payment API's 404 and 501.
    pub(crate) fn null(status: u16) -> Self {
        Self { status, form: Form::NullMessage }
    }

    /// The refusal of a request that nobody answered in time.
    pub(crate) fn timeout() -> Self {
        Self::new(408, "Timeout")
    }

    /// The body's bytes and their content type.
    pub(crate) fn body(&self) -> (Option<&'static str>, Vec<u8>) {
        match &self.form {
            Form::Message(message) => {
                (Some("application/json"), json!({"message": message}).to_string().into_bytes())
            }
            Form::NullMessage => (Some("application/json"), br#"{"message":null}"#.to_vec()),
            Form::Text(text) => (Some("text/plain; charset=utf-8"), text.clone().into_bytes()),
            Form::Empty => (None, Vec::new()),
            Form::Problem(value) => (Some("application/problem+json"), value.to_string().into_bytes()),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::read(refusal.status, &refusal.body().1)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::new(error.status, error.message)
    }
}
