//! The values for PostgreSQL and from it, in its binary form: moments, exact amounts, JSON, and text with characters
//! that it can't hold.
//!
//! PostgreSQL has no place for the character NUL in text, which programs do write. It is kept as U+E000 and `0`, and
//! U+E000 itself, a character for private use, as U+E000 and `1`; what is read back is what was written.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::str;

use serde_json::Value as Json;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};
use yagna_api::Glm;

/// PostgreSQL counts from 2000.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const STAND_IN: char = '\u{E000}';

/// A `timestamptz`, as microseconds since 1970.
pub(in super::super) struct Micros(pub(in super::super) i64);

/// A `numeric`, as its decimal digits.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct NumericText(pub(in super::super) String);

/// A `jsonb`, as text.
pub(in super::super) struct JsonText(String);

impl NumericText {
    pub(in super::super) fn of(amount: Glm) -> Self {
        Self(amount.to_string())
    }
}

impl JsonText {
    /// The value that is sent for a JSON text.
    pub(in super::super) fn of(text: Cow<'_, str>) -> Self {
        if !text.contains(STAND_IN) && !text.contains("\\u0000") {
            return Self(text.into_owned());
        }
        Self(changed(&text, &|text| storable(Cow::Owned(text)).into_owned()))
    }

    /// The JSON text that was sent.
    pub(in super::super) fn plain(self) -> String {
        if self.0.contains(STAND_IN) { changed(&self.0, &plain) } else { self.0 }
    }
}

/// A text as PostgreSQL can hold it.
pub(in super::super) fn storable(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(['\0', STAND_IN]) {
        return text;
    }
    let mut kept = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => kept.extend([STAND_IN, '0']),
            STAND_IN => kept.extend([STAND_IN, '1']),
            other => kept.push(other),
        }
    }
    Cow::Owned(kept)
}

/// A text as it was before [`storable`].
pub(in super::super) fn plain(text: String) -> String {
    if !text.contains(STAND_IN) {
        return text;
    }
    let mut restored = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            STAND_IN => restored.push(if characters.next() == Some('0') { '\0' } else { STAND_IN }),
            other => restored.push(other),
        }
    }
    restored
}

/// A JSON text with all its strings changed; left as it is when it is no JSON.
fn changed(text: &str, change: &dyn Fn(String) -> String) -> String {
    let Ok(mut value) = serde_json::from_str::<Json>(text) else {
        return text.to_owned();
    };
    change_strings(&mut value, change);
    super::super::to_json(&value).unwrap_or_else(|_| text.to_owned())
}

fn change_strings(value: &mut Json, change: &dyn Fn(String) -> String) {
    match value {
        Json::String(text) => *text = change(std::mem::take(text)),
        Json::Array(items) => items.iter_mut().for_each(|item| change_strings(item, change)),
        Json::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                change_strings(&mut value, change);
                fields.insert(change(name), value);
            }
        }
        _ => {}
    }
}

/// The numbers under which a type and its array are known to every server.
macro_rules! known {
    ($type:ty, $oid:literal, $array:literal) => {
        impl Type<Postgres> for $type {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($oid))
            }
        }

        impl PgHasArrayType for $type {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($array))
            }
        }
    };
}

known!(Micros, 1184, 1185);
known!(NumericText, 1700, 1231);
known!(JsonText, 3802, 3807);

impl Encode<'_, Postgres> for Micros {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = self.0.checked_sub(EPOCH_MICROS).ok_or("the moment is too long ago")?;
        buffer.extend_from_slice(&micros.to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Micros {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros = i64::from_be_bytes(binary(&value)?.try_into()?);
        Ok(Self(micros.checked_add(EPOCH_MICROS).ok_or("the moment is too far away")?))
    }
}

impl Encode<'_, Postgres> for JsonText {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.push(1); // the version of the form
        buffer.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for JsonText {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match binary(&value)?.split_first() {
            Some((1, text)) => Ok(Self(str::from_utf8(text)?.to_owned())),
            _ => Err("jsonb came in an unknown form".into()),
        }
    }
}

impl Encode<'_, Postgres> for NumericText {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&to_numeric(&self.0)?);
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for NumericText {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        from_numeric(binary(&value)?).map(Self)
    }
}

/// Digits in groups of four, with the place of the first group, the sign, and the number of decimals to show.
fn to_numeric(text: &str) -> Result<Vec<u8>, BoxDynError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{}{whole}", "0".repeat(whole.len().next_multiple_of(4) - whole.len()));
    let mut weight = i16::try_from(padded.len() / 4)? - 1;
    let padded =
        format!("{padded}{decimals}{}", "0".repeat(decimals.len().next_multiple_of(4) - decimals.len()));
    let mut groups = padded
        .as_bytes()
        .chunks(4)
        .map(|group| Ok(str::from_utf8(group)?.parse::<i16>()?))
        .collect::<Result<Vec<_>, BoxDynError>>()?;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight = if groups.is_empty() { 0 } else { weight - i16::try_from(leading)? };
    let sign: u16 = if negative && !groups.is_empty() { 0x4000 } else { 0 };
    let mut bytes = Vec::with_capacity(8 + 2 * groups.len());
    bytes.extend_from_slice(&i16::try_from(groups.len())?.to_be_bytes());
    bytes.extend_from_slice(&weight.to_be_bytes());
    bytes.extend_from_slice(&sign.to_be_bytes());
    bytes.extend_from_slice(&i16::try_from(decimals.len())?.to_be_bytes());
    for group in groups {
        bytes.extend_from_slice(&group.to_be_bytes());
    }
    Ok(bytes)
}

fn from_numeric(bytes: &[u8]) -> Result<String, BoxDynError> {
    let mut words = bytes.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let mut word = || words.next().ok_or("a numeric came that is too short");
    let (n, weight, sign, decimals) = (word()?, word()?, word()?, usize::try_from(word()?)?);
    let groups = (0..n).map(|_| word()).collect::<Result<Vec<_>, _>>()?;
    let group = |place: i16| {
        // The first group stands at `weight`, those after it at lower places.
        let index = usize::try_from(weight - place).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let mut text = match sign {
        0 => String::new(),
        0x4000 => "-".to_owned(),
        _ => return Err("an amount is not a number".into()),
    };
    let four_digits = |mut text: String, place: i16| {
        let _infallible = write!(text, "{:04}", group(place));
        text
    };
    let whole = (0..=weight.max(0)).rev().fold(String::new(), four_digits);
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if decimals > 0 {
        let groups = i16::try_from(decimals.div_ceil(4))?;
        let places = (1..=groups).map(|place| -place).fold(String::new(), four_digits);
        text.push('.');
        text.push_str(&places[..decimals]);
    }
    Ok(text)
}

fn binary<'r>(value: &PgValueRef<'r>) -> Result<&'r [u8], BoxDynError> {
    match value.format() {
        PgValueFormat::Binary => value.as_bytes(),
        PgValueFormat::Text => Err("a value came as text".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_survive_their_binary_form() {
        for text in [
            "0",
            "1",
            "9999",
            "10000",
            "12345678",
            "0.1",
            "0.00012",
            "0.000000000000000001",
            "-3.5",
            "10000.0001",
            "9999999999.999999999999999999",
            "100000000",
            "0.00010000",
            "40000.00000003",
        ] {
            assert_eq!(from_numeric(&to_numeric(text).unwrap()).unwrap(), text);
        }
        // As a server writes 12345.678: groups 1, 2345 and 6780, the first at place 1.
        let bytes = [0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 9, 41, 26, 124];
        assert_eq!(to_numeric("12345.678").unwrap(), bytes);
        assert_eq!(to_numeric("-0").unwrap(), [0; 8]);
    }

    #[test]
    fn texts_with_characters_that_do_not_fit_survive() {
        for text in ["", "plain", "a\0b", "\0", "\u{E000}", "\u{E000}0\0\u{E000}1", "é\u{E001}"] {
            let kept = storable(Cow::Borrowed(text)).into_owned();
            assert!(!kept.contains('\0'), "{kept:?}");
            assert_eq!(plain(kept), text);
            let value = json!({ text: [text, 1e16], "other": null });
            let kept = JsonText::of(Cow::Owned(super::super::super::to_json(&value).unwrap()));
            assert!(!kept.0.contains("\\u0000"), "{}", kept.0);
            assert_eq!(serde_json::from_str::<Json>(&kept.plain()).unwrap(), value);
        }
        // A backslash before `u0000` is no NUL.
        let kept = JsonText::of(Cow::Borrowed(r#""\\u0000""#));
        assert_eq!(kept.plain(), r#""\\u0000""#);
    }
}
