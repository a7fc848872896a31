//! What the crackers and their worker have in common: masks, hashes, the search itself, and how a worker is asked.
//!
//! A mask is a word with places for unknown characters; all words that fit it are its keyspace, numbered from 0. So a
//! part of the work is a range of numbers. Who searches which part is the business of the programs.

mod hash;
mod mask;
mod search;
mod shipped;

pub use self::hash::{Hash, HashError};
pub use self::mask::{Mask, MaskError};
pub use self::search::search;
pub use self::shipped::{NoWorker, NotTheWord, Search, WORKER, parts, worker_file};
