//! Statements with what is bound to them, and the six kinds of values that our columns hold.

use std::borrow::Cow;
use std::io;

use golem_core::event::Printed;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use yagna_api::{Glm, Timestamp};

/// A value of a column, or none of its kind.
#[derive(Debug, Clone)]
pub(in super::super) enum Value<'q> {
    Int(Option<i64>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<&'q [u8]>),
    /// Microseconds since 1970.
    Time(Option<i64>),
    Money(Option<Glm>),
    /// As text that [`to_json`] made.
    Json(Option<Cow<'q, str>>),
}

/// A statement, bound value by value.
#[derive(Debug)]
pub(in super::super) struct Statement<'q> {
    pub(super) sql: &'static str,
    pub(super) values: Vec<Value<'q>>,
}

impl<'q> Value<'q> {
    pub(in super::super) fn int(value: impl Into<Option<i64>>) -> Self {
        Self::Int(value.into())
    }

    pub(in super::super) fn text(value: impl Into<Option<&'q str>>) -> Self {
        Self::Text(value.into().map(Cow::Borrowed))
    }

    /// Output of commands for its two columns: text in the first, anything else in the second, nothing in neither.
    pub(in super::super) fn printed(output: Option<&'q Printed>) -> [Self; 2] {
        let output = output.filter(|output| !output.is_empty());
        match output.map(|output| (output.as_text(), output.as_bytes())) {
            Some((Some(text), _)) => [Self::text(text), Self::Bytes(None)],
            Some((None, bytes)) => [Self::text(None), Self::Bytes(Some(bytes))],
            None => [Self::text(None), Self::Bytes(None)],
        }
    }

    pub(in super::super) fn time(value: impl Into<Option<Timestamp>>) -> Self {
        Self::Time(value.into().map(Timestamp::as_microsecond))
    }

    pub(in super::super) fn json(value: impl Into<Option<String>>) -> Self {
        Self::Json(value.into().map(Cow::Owned))
    }
}

impl<'q> Statement<'q> {
    pub(in super::super) fn new(sql: &'static str) -> Self {
        Self { sql, values: Vec::new() }
    }

    pub(in super::super) fn int(self, value: impl Into<Option<i64>>) -> Self {
        self.bind(Value::int(value))
    }

    pub(in super::super) fn text(self, value: impl Into<Option<&'q str>>) -> Self {
        self.bind(Value::text(value))
    }

    pub(in super::super) fn word(self, value: String) -> Self {
        self.bind(Value::Text(Some(Cow::Owned(value))))
    }

    pub(in super::super) fn time(self, value: impl Into<Option<Timestamp>>) -> Self {
        self.bind(Value::time(value))
    }

    pub(in super::super) fn money(self, value: impl Into<Option<Glm>>) -> Self {
        self.bind(Value::Money(value.into()))
    }

    pub(in super::super) fn json(self, value: impl Into<Option<String>>) -> Self {
        self.bind(Value::json(value))
    }

    fn bind(mut self, value: Value<'q>) -> Self {
        self.values.push(value);
        self
    }
}

/// The text of a value that reads back as the same value from both databases.
pub(in super::super) fn to_json(value: &impl Serialize) -> Result<String, sqlx::Error> {
    let mut text = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut text, PlainFloats(CompactFormatter)))
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    String::from_utf8(text).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Writes floats with a point and without an exponent: `jsonb` keeps digits, but makes `1e16` an integer.
struct PlainFloats(CompactFormatter);

impl Formatter for PlainFloats {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let digits = value.to_string();
        writer.write_all(digits.as_bytes())?;
        if digits.contains('.') { Ok(()) } else { writer.write_all(b".0") }
    }

    fn write_null<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.write_null(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn floats_stay_floats_and_everything_else_is_compact() {
        let value = json!({ "a": [1, -2.5, 1e16, 1e-7, 0.1], "b": null, "c": "x\u{0}\"" });
        let text = to_json(&value).unwrap();
        assert_eq!(text, r#"{"a":[1,-2.5,10000000000000000.0,0.0000001,0.1],"b":null,"c":"x\u0000\""}"#);
        assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), value);
    }
}
