//! Masks: words with places for unknown characters, as hashcat writes them.

use std::fmt;
use std::str::FromStr;

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
const SPECIAL: &[u8] = b" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// A word with places for unknown characters: `?l` is a small letter, `?u` a capital, `?d` a digit, `?s` a special
/// character, `?a` any of them, `??` a question mark; everything else stands for itself.
///
/// # Example
/// ```
/// let mask: yacat::Mask = "go?l?d".parse()?;
/// assert_eq!(mask.keyspace(), 260);
/// assert_eq!(mask.word(27), b"goc7");
/// # Ok::<(), yacat::MaskError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    text: String,
    /// The characters that are possible at each place, at least one.
    places: Vec<Vec<u8>>,
    keyspace: u64,
}

/// Why a mask can't be searched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// It has no places.
    #[error("the mask is empty: `?l?l?l?l` is all words of four small letters")]
    Empty,
    /// A question mark with something unknown behind it.
    #[error("`{0}` is no place of a mask: there are ?l, ?u, ?d, ?s, ?a and ?? for a question mark")]
    Place(String),
    /// A character that can't be typed into a password.
    #[error("the mask has a control character")]
    Control,
    /// More words than can be numbered.
    #[error("the mask stands for more words than anybody could search")]
    TooLarge,
}

impl Mask {
    /// How many words fit it.
    pub fn keyspace(&self) -> u64 {
        self.keyspace
    }

    /// The word of this number, which is below [`Mask::keyspace`]. The last place changes fastest.
    pub fn word(&self, number: u64) -> Vec<u8> {
        let mut word = Vec::new();
        self.write_word(number, &mut word);
        word
    }

    /// The same into a buffer that is there already.
    pub(crate) fn write_word(&self, mut number: u64, word: &mut Vec<u8>) {
        word.clear();
        for place in self.places.iter().rev() {
            let n = place.len() as u64;
            // Below the place's length, so it fits.
            word.push(place[usize::try_from(number % n).unwrap_or_default()]);
            number /= n;
        }
        word.reverse();
    }
}

impl FromStr for Mask {
    type Err = MaskError;

    fn from_str(text: &str) -> Result<Self, MaskError> {
        let mut places = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '?' => places.push(place(chars.next())?),
                c if c.is_control() => return Err(MaskError::Control),
                c => places.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| vec![byte])),
            }
        }
        if places.is_empty() {
            return Err(MaskError::Empty);
        }
        let keyspace = places.iter().try_fold(1_u64, |all, place| all.checked_mul(place.len() as u64));
        Ok(Self { text: text.to_owned(), places, keyspace: keyspace.ok_or(MaskError::TooLarge)? })
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn place(kind: Option<char>) -> Result<Vec<u8>, MaskError> {
    match kind {
        Some('l') => Ok(LOWER.to_vec()),
        Some('u') => Ok(UPPER.to_vec()),
        Some('d') => Ok(DIGITS.to_vec()),
        Some('s') => Ok(SPECIAL.to_vec()),
        Some('a') => Ok([LOWER, UPPER, DIGITS, SPECIAL].concat()),
        Some('?') => Ok(vec![b'?']),
        other => Err(MaskError::Place(format!("?{}", other.map_or_else(String::new, String::from)))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn mask(text: &str) -> Mask {
        text.parse().unwrap()
    }

    #[test]
    fn every_word_that_fits_has_one_number() {
        for text in ["?d", "?l?d", "a?d?u", "?s", "x", "é?d", "??", "?a"] {
            let mask = mask(text);
            let words: BTreeSet<_> = (0..mask.keyspace()).map(|n| mask.word(n)).collect();
            assert_eq!(words.len() as u64, mask.keyspace(), "{text}");
        }
        assert_eq!(mask("?l?l?l?l").keyspace(), 26_u64.pow(4));
        assert_eq!(mask("?a?a").keyspace(), 95 * 95);
        assert_eq!(mask("?d?d").word(42), b"42");
        assert_eq!(mask("a???d").word(3), b"a?3");
        assert_eq!(mask("é").word(0), "é".as_bytes());
    }

    #[test]
    fn what_is_no_mask_is_told() {
        for (text, error) in [
            ("", MaskError::Empty),
            ("ab?", MaskError::Place("?".into())),
            ("?x", MaskError::Place("?x".into())),
            ("a\n", MaskError::Control),
            (&"?a".repeat(10), MaskError::TooLarge),
        ] {
            assert_eq!(text.parse::<Mask>(), Err(error), "{text:?}");
        }
        assert_eq!(mask(&"?a".repeat(9)).keyspace(), 95_u64.pow(9));
    }
}
