//! Output of commands, byte by byte.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The bytes that commands wrote to standard output or standard error. Most of the time they are UTF-8 text.
///
/// In records, text is a string, and anything else an object with the bytes in base64:
/// ```
/// use golem_core::event::Printed;
///
/// let text = Printed::from("café\n");
/// assert_eq!(text.as_text(), Some("café\n"));
/// assert_eq!(serde_json::to_string(&text)?, r#""café\n""#);
/// let bytes = Printed::from(b"caf\xe9".to_vec());
/// assert_eq!((bytes.as_text(), bytes.to_text().as_ref()), (None, "caf\u{fffd}"));
/// assert_eq!(serde_json::to_string(&bytes)?, r#"{"base64":"Y2Fm6Q=="}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Printed(Vec<u8>);

/// The forms that the bytes have in records.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Recorded<'a> {
    Text(Cow<'a, str>),
    Bytes { base64: String },
}

impl Printed {
    /// The bytes as they were written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text; `None` when they are not UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The bytes as text for people: U+FFFD stands for what is not UTF-8.
    pub fn to_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The bytes in base64 where they are not UTF-8, `None` where they are text.
    pub fn to_base64(&self) -> Option<String> {
        if self.as_text().is_some() { None } else { Some(STANDARD.encode(&self.0)) }
    }

    /// True if nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what was written afterwards.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The last `most` bytes, fewer by up to three where the cut would be within a character of text.
    #[must_use]
    pub fn tail(&self, most: usize) -> Self {
        let from = self.0.len().saturating_sub(most);
        let is_within = |at: usize| self.0.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let start = (from..=from + 3).find(|at| !is_within(*at)).filter(|_| from > 0).unwrap_or(from);
        Self(self.0[start.min(self.0.len())..].to_vec())
    }
}

impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_text() {
            Some(text) => fmt::Debug::fmt(text, f),
            None => write!(f, "b\"{}\"", self.0.escape_ascii()),
        }
    }
}

impl From<Vec<u8>> for Printed {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<String> for Printed {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for Printed {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl PartialEq<str> for Printed {
    fn eq(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<&str> for Printed {
    fn eq(&self, text: &&str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<String> for Printed {
    fn eq(&self, text: &String) -> bool {
        self.0 == text.as_bytes()
    }
}

impl Serialize for Printed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_text() {
            Some(text) => serializer.serialize_str(text),
            None => Recorded::Bytes { base64: STANDARD.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Printed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Recorded::deserialize(deserializer)? {
            Recorded::Text(text) => Ok(Self(text.into_owned().into_bytes())),
            Recorded::Bytes { base64 } => STANDARD.decode(base64).map(Self).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_read_back_from_a_record() {
        for bytes in [&b""[..], b"text\n", b"caf\xc3\xa9\xff", b"\0", b"\xff\0\xfe", b"\xe2\x82"] {
            let printed = Printed::from(bytes.to_vec());
            let record = serde_json::to_string(&printed).unwrap();
            assert_eq!(serde_json::from_str::<Printed>(&record).unwrap(), printed, "{record}");
            assert_eq!(printed.to_base64().is_some(), std::str::from_utf8(bytes).is_err());
        }
        assert!(serde_json::from_str::<Printed>(r#"{"base64":"?"}"#).is_err());
    }

    #[test]
    fn a_tail_begins_with_a_whole_character() {
        for (text, most, kept) in
            [("abc", 5, "abc"), ("abc", 2, "bc"), ("aé", 1, ""), ("aé", 2, "é"), ("x€y", 3, "y"), ("", 4, "")]
        {
            assert_eq!(Printed::from(text).tail(most), kept, "{text} {most}");
        }
        // Binary output is cut where it is asked for.
        assert_eq!(Printed::from(vec![0xbf; 9]).tail(8).as_bytes(), [0xbf; 8]);
        assert_eq!(Printed::from(vec![0xbf; 3]).tail(3).as_bytes(), [0xbf; 3]);
    }
}
