//! The recognition of a source of tasks that is read once more, by a running hash over the data of its tasks.
//!
//! A run keeps a [`SourceMark`]: how many items of its source it has read, and a hash of them all. A later process reads as many items
//! again and compares. Where the source is another one and the user wants to go on all the same, [`KnownTasks`] tells the
//! tasks that the run has from those that are new. See ADR 21.
//!
//! Left to others: reading the source, and saying what has changed.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha3::{Digest as _, Sha3_256};

/// The most digits that an exponent may add when a number is written out: more than any 64-bit float has.
const LONGEST_EXPONENT: i64 = 400;

/// A hash of 128 bits, written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceDigest(pub u128);

/// The position up to which a source has been read, with a digest of what was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceMark {
    /// The items that were read, from the source's first one on.
    pub read: u64,
    /// The tasks of the run that came from its source, those included that have left the source since.
    pub tasks: u64,
    /// The running hash over the items that were read.
    pub digest: SourceDigest,
}

/// The tasks that a run has and that haven't been met in its source yet, each as often as the run has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownTasks(HashMap<SourceDigest, u32>);

impl SourceMark {
    /// A mark before the first item, for a run that has so many tasks from its source already.
    pub fn at_start(tasks: u64) -> Self {
        Self { tasks, ..Self::default() }
    }

    /// Takes the next item in.
    pub fn take(&mut self, item: SourceDigest) {
        let mut hash = Sha3_256::new();
        hash.update(self.digest.0.to_le_bytes());
        hash.update(item.0.to_le_bytes());
        self.digest = finish(hash);
        self.read += 1;
    }

    /// True if the run has tasks that aren't among the items that were read: they have left the source, or follow later in it.
    pub fn has_others(&self) -> bool {
        self.tasks > self.read
    }
}

impl KnownTasks {
    /// Adds a task that the run has.
    pub fn add(&mut self, item: SourceDigest) {
        let known = self.0.entry(item).or_default();
        *known = known.saturating_add(1);
    }

    /// Takes one task with this data out. `false` means that there is none: the item is new.
    pub fn take(&mut self, item: SourceDigest) -> bool {
        let Some(known) = self.0.get_mut(&item) else {
            return false;
        };
        *known -= 1;
        if *known == 0 {
            self.0.remove(&item);
        }
        true
    }

    /// Adds all of these.
    pub fn absorb(&mut self, others: Self) {
        for (item, n) in others.0 {
            let known = self.0.entry(item).or_default();
            *known = known.saturating_add(n);
        }
    }

    /// True if there are none left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl SourceDigest {
    /// The hash of one task's data. It is the same for data that went through a database: neither the order of keys nor an
    /// exponent that was written out changes it.
    pub fn of(data: &Value) -> Self {
        let mut hash = Sha3_256::new();
        add(&mut hash, data);
        finish(hash)
    }
}

impl fmt::Display for SourceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for SourceDigest {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for SourceDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SourceDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn finish(hash: Sha3_256) -> SourceDigest {
    let whole = hash.finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    SourceDigest(u128::from_le_bytes(half))
}

/// Each value with its kind and its size, so that no two of them look the same.
fn add(hash: &mut Sha3_256, data: &Value) {
    let mut text = |kind: u8, text: &str| {
        hash.update([kind]);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    match data {
        Value::Null => text(b'z', ""),
        Value::Bool(value) => text(b'b', if *value { "1" } else { "0" }),
        Value::Number(number) => text(b'n', &written_out(&number.to_string())),
        Value::String(string) => text(b's', string),
        Value::Array(items) => {
            text(b'a', &items.len().to_string());
            for item in items {
                add(hash, item);
            }
        }
        Value::Object(object) => {
            text(b'o', &object.len().to_string());
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            for (key, value) in entries {
                hash.update((key.len() as u64).to_le_bytes());
                hash.update(key);
                add(hash, value);
            }
        }
    }
}

/// A number without its exponent, as PostgreSQL keeps it.
fn written_out(number: &str) -> String {
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else {
        return number.to_owned();
    };
    let exponent: i64 = match exponent.parse() {
        Ok(exponent) if (-LONGEST_EXPONENT..=LONGEST_EXPONENT).contains(&exponent) => exponent,
        _ => return number.to_owned(),
    };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let place = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(exponent);
    let zeros = |n: i64| "0".repeat(usize::try_from(n).unwrap_or(0));
    let n_digits = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let mut text = sign.to_owned();
    if place <= 0 {
        let _ = write!(text, "0.{}{digits}", zeros(-place));
    } else if place >= n_digits {
        let all = format!("{digits}{}", zeros(place - n_digits));
        let trimmed = all.trim_start_matches('0');
        text.push_str(if trimmed.is_empty() { "0" } else { trimmed });
    } else {
        let (before, after) = digits.split_at(usize::try_from(place).unwrap_or(0));
        let _ = write!(text, "{before}.{after}");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mark_of(items: &[Value]) -> SourceMark {
        let mut mark = SourceMark::default();
        for item in items {
            mark.take(SourceDigest::of(item));
        }
        mark
    }

    #[test]
    fn data_that_differs_has_another_hash() {
        let all = [
            json!(null),
            json!(false),
            json!(true),
            json!(0),
            json!(1),
            json!(1.5),
            json!("1"),
            json!(""),
            json!("a"),
            json!(["a"]),
            json!([["a"]]),
            json!(["a", "b"]),
            json!(["ab"]),
            json!({ "a": "b" }),
            json!({ "ab": "" }),
            json!({ "a": { "b": 1 } }),
        ];
        for (place, one) in all.iter().enumerate() {
            for other in &all[..place] {
                assert_ne!(SourceDigest::of(one), SourceDigest::of(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_a_database_changes_of_data_doesnt_change_its_hash() {
        let same = |one: &str, other: &str| {
            let of = |text: &str| SourceDigest::of(&serde_json::from_str(text).unwrap());
            assert_eq!(of(one), of(other), "{one} {other}");
        };
        same(r#"{"b":1,"a":{"d":2,"c":3}}"#, r#"{"a":{"c":3,"d":2},"b":1}"#);
        same("1e20", "100000000000000000000");
        same("-1.5e-7", "-0.00000015");
        assert_eq!(written_out("1.25e1"), "12.5");
        assert_eq!(written_out("0e5"), "0");
        assert_eq!(written_out("1e999999999"), "1e999999999", "nothing of that length is built");
    }

    #[test]
    fn a_mark_is_written_as_json_and_read_back() {
        let mark = mark_of(&[json!("a"), json!(2)]);
        let text = serde_json::to_string(&mark).unwrap();
        assert_eq!(serde_json::from_str::<SourceMark>(&text).unwrap(), mark);
        assert!(text.contains(&format!("\"digest\":\"{}\"", mark.digest)), "{text}");
    }

    #[test]
    fn the_order_of_items_counts_in_a_mark_and_not_among_known_tasks() {
        let (a, b) = (json!("a"), json!("b"));
        assert_ne!(mark_of(&[a.clone(), b.clone()]), mark_of(&[b.clone(), a.clone()]));
        assert_ne!(mark_of(std::slice::from_ref(&a)), mark_of(&[a.clone(), a.clone()]));
        let mut known = KnownTasks::default();
        for item in [&a, &b, &a] {
            known.add(SourceDigest::of(item));
        }
        let taken: Vec<_> = [&a, &a, &a, &b, &b].map(|item| known.take(SourceDigest::of(item))).into();
        assert_eq!(taken, [true, true, false, true, false]);
        assert!(known.is_empty());
    }

    proptest! {
        /// Two sources have the same mark only where they have the same items.
        #[test]
        fn a_mark_tells_sources_apart(one in prop::collection::vec("[ab]{0,2}", 0..6), other in prop::collection::vec("[ab]{0,2}", 0..6)) {
            let mark = |items: &[String]| mark_of(&items.iter().map(|item| json!(item)).collect::<Vec<_>>());
            prop_assert_eq!(one == other, mark(&one) == mark(&other));
        }
    }
}
