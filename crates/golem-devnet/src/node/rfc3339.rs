//! Times as the daemon reads them: RFC 3339, a little relaxed, with its words for what is none.

use std::fmt;

use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use serde::Deserializer;
use serde::de::Visitor;
use yagna_api::Timestamp;

const ENDS_EARLY: &str = "premature end of input";
const UNEXPECTED: &str = "input contains invalid characters";
const OUT_OF_RANGE: &str = "input is out of range";
const TOO_LONG: &str = "trailing input";

/// Reads a time, which must tell its zone. Blanks may stand for the `T`, and the zone needs no colon.
pub(crate) fn read(text: &str) -> Result<Timestamp, &'static str> {
    let mut reader = Reader(text);
    let year = reader.number(4)?;
    reader.sign('-')?;
    let month = reader.within(1, 12)?;
    reader.sign('-')?;
    let day = reader.within(1, 31)?;
    reader.separator()?;
    let hour = reader.within(0, 23)?;
    reader.sign(':')?;
    let minute = reader.within(0, 59)?;
    reader.sign(':')?;
    let second = reader.within(0, 60)?;
    let nanosecond = reader.fraction()?;
    let offset = reader.offset()?;
    if !reader.0.is_empty() {
        return Err(TOO_LONG);
    }
    let date = Date::new(year, narrow(month), narrow(day)).map_err(|_| OUT_OF_RANGE)?;
    let time = Time::new(narrow(hour), narrow(minute), narrow(second.min(59)), nanosecond)
        .map_err(|_| OUT_OF_RANGE)?;
    let read = offset.to_timestamp(date.to_datetime(time)).map_err(|_| OUT_OF_RANGE)?;
    // A leap second is the one after the last.
    let leap = jiff::SignedDuration::from_secs(i64::from(second / 60));
    read.checked_add(leap).map_err(|_| OUT_OF_RANGE)
}

/// Reads a time within a JSON body.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Timestamp;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an RFC 3339 formatted date and time string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
            read(text).map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text)
}

fn narrow(number: i16) -> i8 {
    i8::try_from(number).unwrap_or(i8::MAX)
}

struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn number(&mut self, digits: usize) -> Result<i16, &'static str> {
        let mut number = 0;
        for _ in 0..digits {
            let digit = self.next()?.to_digit(10).and_then(|digit| i16::try_from(digit).ok());
            number = number * 10 + digit.ok_or(UNEXPECTED)?;
        }
        Ok(number)
    }

    fn within(&mut self, least: i16, most: i16) -> Result<i16, &'static str> {
        let number = self.number(2)?;
        if (least..=most).contains(&number) { Ok(number) } else { Err(OUT_OF_RANGE) }
    }

    fn sign(&mut self, sign: char) -> Result<(), &'static str> {
        if self.next()? == sign { Ok(()) } else { Err(UNEXPECTED) }
    }

    fn separator(&mut self) -> Result<(), &'static str> {
        let next = self.next()?;
        if !matches!(next, 'T' | 't') && !next.is_whitespace() {
            return Err(UNEXPECTED);
        }
        self.0 = self.0.trim_start();
        Ok(())
    }

    fn fraction(&mut self) -> Result<i32, &'static str> {
        let Some(rest) = self.0.strip_prefix('.') else {
            return Ok(0);
        };
        let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if length == 0 {
            return Err(if rest.is_empty() { ENDS_EARLY } else { UNEXPECTED });
        }
        self.0 = &rest[length..];
        let nanoseconds = format!("{:0<9.9}", &rest[..length]);
        nanoseconds.parse().map_err(|_| UNEXPECTED)
    }

    fn offset(&mut self) -> Result<Offset, &'static str> {
        self.0 = self.0.trim_start();
        let sign = match self.next()? {
            'Z' | 'z' => return Ok(Offset::UTC),
            '+' => 1,
            '-' => -1,
            _ => return Err(UNEXPECTED),
        };
        let hours = self.number(2)?;
        self.0 = self.0.strip_prefix(':').unwrap_or(self.0);
        let minutes = self.within(0, 59)?;
        let seconds = (i32::from(hours) * 60 + i32::from(minutes)) * 60 * sign;
        Offset::from_seconds(seconds).map_err(|_| OUT_OF_RANGE)
    }

    fn next(&mut self) -> Result<char, &'static str> {
        let mut chars = self.0.chars();
        let next = chars.next().ok_or(ENDS_EARLY)?;
        self.0 = chars.as_str();
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_daemon_does() {
        for (text, nanoseconds) in [
            ("2030-01-01T12:00:00Z", 1_893_499_200_000_000_000),
            ("2030-01-01t12:00:00.123456789z", 1_893_499_200_123_456_789),
            ("2030-01-01 12:00:00.5+02:00", 1_893_492_000_500_000_000),
            ("2030-01-01T12:00:00+0200", 1_893_492_000_000_000_000),
            ("2030-01-01T12:00:00-00:00", 1_893_499_200_000_000_000),
            ("2030-01-01T11:59:60Z", 1_893_499_200_000_000_000),
        ] {
            assert_eq!(read(text).unwrap().as_nanosecond(), nanoseconds, "{text}");
        }
        for (text, problem) in [
            ("", ENDS_EARLY),
            ("2030-01-01", ENDS_EARLY),
            ("2030-01-01T00:00:00", ENDS_EARLY),
            ("2030-01-01T00:00Z", UNEXPECTED),
            ("2030-01-01T00:00:00 00:00", UNEXPECTED),
            ("1735689600", UNEXPECTED),
            ("x", UNEXPECTED),
            ("2030-13-01T00:00:00Z", OUT_OF_RANGE),
            ("2030-02-30T00:00:00Z", OUT_OF_RANGE),
            ("2030-01-01T24:00:00Z", OUT_OF_RANGE),
            ("2030-01-01T00:00:00ZZ", TOO_LONG),
        ] {
            assert_eq!(read(text), Err(problem), "{text}");
        }
    }
}
