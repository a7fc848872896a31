//! Hashes: what is known of the word that is looked for.

use std::fmt;
use std::str::FromStr;

use md5::Md5;
use sha2::{Digest, Sha256};

/// The hash of an unknown word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hash {
    /// Its MD5: 32 digits.
    Md5([u8; 16]),
    /// Its SHA-256: 64 digits.
    Sha256([u8; 32]),
}

/// What was given is not a valid hash that could be searched for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an MD5 (32 hexadecimal digits) nor a SHA-256 (64)")]
pub struct HashError(String);

impl Hash {
    /// Is it the hash of this word?
    pub fn is_of(&self, word: &[u8]) -> bool {
        match self {
            Self::Md5(hash) => Md5::digest(word)[..] == hash[..],
            Self::Sha256(hash) => Sha256::digest(word)[..] == hash[..],
        }
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let error = || HashError(text.to_owned());
        let bytes = hex::decode(text.trim()).map_err(|_| error())?;
        match bytes.len() {
            16 => bytes.try_into().map(Self::Md5).map_err(|_| error()),
            32 => bytes.try_into().map(Self::Sha256).map_err(|_| error()),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5(hash) => f.write_str(&hex::encode(hash)),
            Self::Sha256(hash) => f.write_str(&hex::encode(hash)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_by_their_hashes() {
        // As `printf abc | md5sum` and `sha256sum` have it.
        for text in [
            "900150983cd24fb0d6963f7d28e17f72",
            "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        ] {
            let hash: Hash = text.parse().unwrap();
            assert!(hash.is_of(b"abc"));
            assert!(!hash.is_of(b"abd"));
            assert_eq!(hash.to_string(), text.to_lowercase());
        }
        for text in ["", "xyz", "9001", "900150983cd24fb0d6963f7d28e17f7g"] {
            assert_eq!(text.parse::<Hash>(), Err(HashError(text.to_owned())));
        }
    }
}
