//! Requests as values: what to send, how long the daemon may take, whether it may be sent twice.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{AnswerError, ApiError};

/// The verbs of the daemon's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or acts.
    Post,
    /// Changes.
    Put,
    /// Ends or releases.
    Delete,
}

impl Method {
    /// As HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// The effect of sending the same request twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing more than the first: safe to send again whenever the answer is lost or says "not now".
    Harmless,
    /// A second effect: only safe when the daemon surely never took the first.
    Twice,
    /// It takes something from a queue: a lost answer is lost, but asking again is right.
    Takes,
}

/// One HTTP request to the daemon, without its host and its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The verb.
    pub method: Method,
    /// Path and query, percent-encoded, beginning with `/`.
    pub path: String,
    /// Headers beyond `Authorization`, `Content-Type` and `Accept`.
    pub headers: Vec<(&'static str, String)>,
    /// The JSON body, if any.
    pub body: Option<Vec<u8>>,
    /// The longest time that the daemon may take by its own rules (a long poll's `timeout`), before any margin.
    pub patience: Duration,
}

impl Request {
    /// The time that the daemon may take for a request without a `timeout` of its own.
    pub const PLAIN_PATIENCE: Duration = Duration::from_secs(10);

    /// A request without query or body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: None, patience: Self::PLAIN_PATIENCE }
    }

    /// `GET path`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path)
    }

    /// `POST path`.
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::Post, path)
    }

    /// `PUT path`.
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::Put, path)
    }

    /// `DELETE path`.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::Delete, path)
    }

    /// Adds a query parameter, percent-encoded (a `+` in a timestamp included).
    #[must_use]
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        self.path.push_str(&encode(value.as_ref()));
        self
    }

    /// Adds a query parameter where there is a value.
    #[must_use]
    pub fn query_opt(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value.to_string()),
            None => self,
        }
    }

    /// Adds a query parameter whose commas must stay raw: the daemon refuses `%2C` in lists.
    #[must_use]
    pub fn query_list<T: AsRef<str>>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let list: Vec<_> = values.into_iter().map(|value| encode(value.as_ref()).into_owned()).collect();
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        self.path.push_str(&list.join(","));
        self
    }

    /// Adds `timeout=` in seconds, and lets the daemon take that long.
    #[must_use]
    pub fn timeout(mut self, wait: Duration) -> Self {
        self.patience = wait;
        self.query("timeout", seconds(wait))
    }

    /// Lets the daemon take this long without telling it.
    #[must_use]
    pub fn patience(mut self, wait: Duration) -> Self {
        self.patience = wait;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the JSON body.
    ///
    /// # Panics
    /// Never for this crate's own types: they have string keys only.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        self.body = Some(serde_json::to_vec(body).expect("wire types have string keys and plain values"));
        self
    }
}

/// A request together with the meaning of its answers.
pub trait Endpoint: Send + Sync {
    /// The value in a successful answer.
    type Answer: Send;

    /// The operation in a few words, for errors and logs: "create an agreement".
    const NAME: &'static str;

    /// The effect of sending the request twice.
    const REPEAT: Repeat;

    /// The request to send.
    fn request(&self) -> Request;

    /// Reads the daemon's answer.
    fn answer(&self, status: u16, body: &[u8]) -> Result<Self::Answer, AnswerError>;
}

/// Reads a JSON body of a 2xx answer; anything else is the daemon's error.
pub fn json_answer<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T, AnswerError> {
    if !(200..300).contains(&status) {
        return Err(ApiError::read(status, body).into());
    }
    serde_json::from_slice(body).map_err(|source| AnswerError::unreadable(status, body, source))
}

/// Takes any 2xx answer as done, whatever its body.
pub fn empty_answer(status: u16, body: &[u8]) -> Result<(), AnswerError> {
    if (200..300).contains(&status) { Ok(()) } else { Err(ApiError::read(status, body).into()) }
}

/// Reads a list whose items may each be malformed: one bad item spoils only itself.
pub fn list_answer<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<Listed<T>, AnswerError> {
    let values: Vec<serde_json::Value> = json_answer(status, body)?;
    let mut listed = Listed { items: Vec::with_capacity(values.len()), unreadable: Vec::new() };
    for value in values {
        match T::deserialize(&value) {
            Ok(item) => listed.items.push(item),
            Err(source) => listed.unreadable.push(Unreadable { value, problem: source.to_string() }),
        }
    }
    Ok(listed)
}

/// A list as the daemon sent it, with what couldn't be read set apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// The items that could be read, in the daemon's order.
    pub items: Vec<T>,
    /// The items that could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// One item that this crate's types don't fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Unreadable {
    /// The item as it came.
    pub value: serde_json::Value,
    /// The reason why it could not be read.
    pub problem: String,
}

fn seconds(wait: Duration) -> String {
    let mut text = format!("{:.3}", wait.as_secs_f64());
    while text.ends_with('0') {
        text.pop();
    }
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// Percent-encodes all but the unreserved characters and the few that are safe in a query and read better raw.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:".contains(&b);
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string never fails");
        }
    }
    Cow::Owned(encoded)
}

/// Implements [`Endpoint`] for a request type in a table's line.
macro_rules! endpoint {
    ($type:ty, $name:literal, $repeat:ident, json $answer:ty, |$this:ident| $request:expr) => {
        impl $crate::endpoint::Endpoint for $type {
            type Answer = $answer;
            const NAME: &'static str = $name;
            const REPEAT: $crate::endpoint::Repeat = $crate::endpoint::Repeat::$repeat;

            fn request(&self) -> $crate::endpoint::Request {
                let $this = self;
                $request
            }

            fn answer(&self, status: u16, body: &[u8]) -> Result<$answer, $crate::error::AnswerError> {
                $crate::endpoint::json_answer(status, body)
            }
        }
    };
    ($type:ty, $name:literal, $repeat:ident, list $answer:ty, |$this:ident| $request:expr) => {
        impl $crate::endpoint::Endpoint for $type {
            type Answer = $crate::endpoint::Listed<$answer>;
            const NAME: &'static str = $name;
            const REPEAT: $crate::endpoint::Repeat = $crate::endpoint::Repeat::$repeat;

            fn request(&self) -> $crate::endpoint::Request {
                let $this = self;
                $request
            }

            fn answer(&self, status: u16, body: &[u8]) -> Result<Self::Answer, $crate::error::AnswerError> {
                $crate::endpoint::list_answer(status, body)
            }
        }
    };
    ($type:ty, $name:literal, $repeat:ident, empty, |$this:ident| $request:expr) => {
        impl $crate::endpoint::Endpoint for $type {
            type Answer = ();
            const NAME: &'static str = $name;
            const REPEAT: $crate::endpoint::Repeat = $crate::endpoint::Repeat::$repeat;

            fn request(&self) -> $crate::endpoint::Request {
                let $this = self;
                $request
            }

            fn answer(&self, status: u16, body: &[u8]) -> Result<(), $crate::error::AnswerError> {
                $crate::endpoint::empty_answer(status, body)
            }
        }
    };
}
pub(crate) use endpoint;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded_but_lists_keep_their_comma() {
        let request = Request::get("/x")
            .query("afterTimestamp", "2026-11-21T21:17:19+00:00")
            .query_list("ids", ["a", "b c"]);
        assert_eq!(request.path, "/x?afterTimestamp=2026-11-21T21:17:19%2B00:00&ids=a,b%20c");
    }

    #[test]
    fn timeouts_are_seconds_and_set_the_patience() {
        let request = Request::get("/x").timeout(Duration::from_millis(5500));
        assert_eq!(request.path, "/x?timeout=5.5");
        assert_eq!(request.patience, Duration::from_millis(5500));
        assert_eq!(Request::get("/x").timeout(Duration::ZERO).path, "/x?timeout=0");
        assert_eq!(Request::get("/x").timeout(Duration::from_secs(30)).path, "/x?timeout=30");
    }

    #[test]
    fn one_bad_item_spoils_only_itself() {
        let listed: Listed<u8> = list_answer(200, br#"[1, "two", 3]"#).unwrap();
        assert_eq!(listed.items, [1, 3]);
        assert_eq!(listed.unreadable.len(), 1);
        assert!(list_answer::<u8>(200, b"{}").is_err());
    }
}
