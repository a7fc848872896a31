//! The limit of failed tasks at which a run stops.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The number, or the share, of tasks that may fail for good before a run stops.
///
/// A share is that of the tasks that have come to their end so far, for how many there will be isn't always known. It counts from the
/// third failure on: before that it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Halt {
    /// So many.
    Count(u64),
    /// So many of a million that have come to their end.
    Share(u32),
}

/// A text that isn't a limit of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HaltParseError {
    /// It is neither a number nor a share.
    #[error("expected a number of tasks, such as 20, or a share of those that have ended, such as 10%")]
    Neither,
    /// It would stop a run before anything failed.
    #[error("it must be more than 0")]
    Nothing,
    /// A share is at most all.
    #[error("it can't be more than 100%")]
    MoreThanAll,
}

impl Halt {
    /// Fewer failures than this are no share of anything.
    pub const FEWEST: u64 = 3;
    const PERCENT: u32 = 10_000;

    /// True if so many tasks have failed for good, beside so many that are done, that the run is to stop.
    pub fn is_reached(self, done: u64, failed: u64) -> bool {
        match self {
            Self::Count(most) => failed >= most,
            Self::Share(millionths) => {
                let ended = u128::from(done) + u128::from(failed);
                failed >= Self::FEWEST && u128::from(failed) * 1_000_000 >= ended * u128::from(millionths)
            }
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Share(millionths) => {
                let (whole, rest) = (millionths / Self::PERCENT, millionths % Self::PERCENT);
                if rest == 0 {
                    return write!(f, "{whole}%");
                }
                let rest = format!("{rest:04}");
                write!(f, "{whole}.{}%", rest.trim_end_matches('0'))
            }
        }
    }
}

impl FromStr for Halt {
    type Err = HaltParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let Some(percent) = text.strip_suffix('%') else {
            return match text.parse() {
                Ok(0) => Err(HaltParseError::Nothing),
                Ok(count) => Ok(Self::Count(count)),
                Err(_) => Err(HaltParseError::Neither),
            };
        };
        let (whole, rest) = percent.trim().split_once('.').unwrap_or_else(|| (percent.trim(), "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(rest) || rest.len() > 4 {
            return Err(HaltParseError::Neither);
        }
        let whole: u32 = whole.parse().map_err(|_| HaltParseError::MoreThanAll)?;
        let rest: u32 = format!("{rest:0<4}").parse().map_err(|_| HaltParseError::Neither)?;
        match whole.checked_mul(Self::PERCENT).and_then(|whole| whole.checked_add(rest)) {
            Some(0) => Err(HaltParseError::Nothing),
            Some(millionths) if millionths <= 1_000_000 => Ok(Self::Share(millionths)),
            _ => Err(HaltParseError::MoreThanAll),
        }
    }
}

impl Serialize for Halt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Halt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halt(text: &str) -> Halt {
        text.parse().unwrap()
    }

    #[test]
    fn a_limit_of_failures_is_written_and_read_back() {
        for text in ["1", "20", "10%", "0.5%", "100%", "33.3333%"] {
            assert_eq!(halt(text).to_string(), text);
            let json = serde_json::to_string(&halt(text)).unwrap();
            assert_eq!(serde_json::from_str::<Halt>(&json).unwrap(), halt(text));
        }
        assert_eq!(halt(" 7.50 % "), Halt::Share(75_000));
        for (text, error) in [
            ("0", HaltParseError::Nothing),
            ("0%", HaltParseError::Nothing),
            ("0.0000%", HaltParseError::Nothing),
            ("100.1%", HaltParseError::MoreThanAll),
            ("99999999999%", HaltParseError::MoreThanAll),
            ("", HaltParseError::Neither),
            ("%", HaltParseError::Neither),
            ("-1", HaltParseError::Neither),
            ("-1%", HaltParseError::Neither),
            ("1.5", HaltParseError::Neither),
            ("ten%", HaltParseError::Neither),
            ("1.00001%", HaltParseError::Neither),
        ] {
            assert_eq!(text.parse::<Halt>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_share_is_of_what_has_ended_and_needs_three_failures() {
        assert!(!halt("5").is_reached(1000, 4) && halt("5").is_reached(0, 5));
        let tenth = halt("10%");
        assert!(!tenth.is_reached(0, 2), "two failures are no share yet");
        assert!(tenth.is_reached(0, 3) && tenth.is_reached(27, 3));
        assert!(!tenth.is_reached(28, 3) && tenth.is_reached(36, 4));
        assert!(halt("100%").is_reached(0, 3) && !halt("100%").is_reached(1, 300));
        assert!(!halt("0.5%").is_reached(598, 3) && !halt("0.5%").is_reached(0, 0));
        assert!(!tenth.is_reached(u64::MAX, u64::MAX / 10), "nothing overflows");
    }
}
