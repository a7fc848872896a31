//! What the cracker and its worker have in common: masks, hashes, and the search itself.
//!
//! A mask is a word with places for unknown characters; all words that fit it are its keyspace, numbered from 0. So a
//! part of the work is a range of numbers. Who searches which part is the business of the programs.

mod hash;
mod mask;
mod search;

pub use self::hash::{Hash, HashError};
pub use self::mask::{Mask, MaskError};
pub use self::search::search;
