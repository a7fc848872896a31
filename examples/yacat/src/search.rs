//! The search: every word of a part of the keyspace, on all threads there are.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::{Hash, Mask};

/// So many words are tried before a thread looks whether another one has found it.
const STRIDE: u64 = 4096;

/// Looks for the word of this hash among those words of a mask that have these numbers, on so many threads.
pub fn search(mask: &Mask, hash: &Hash, part: Range<u64>, threads: u64) -> Option<Vec<u8>> {
    let found = AtomicBool::new(false);
    let next = AtomicU64::new(part.start);
    let end = part.end.min(mask.keyspace());
    let one_thread = || {
        let mut word = Vec::new();
        while !found.load(Ordering::Relaxed) {
            let start = next.fetch_add(STRIDE, Ordering::Relaxed);
            if start >= end {
                return None;
            }
            for number in start..end.min(start.saturating_add(STRIDE)) {
                mask.write_word(number, &mut word);
                if hash.is_of(&word) {
                    found.store(true, Ordering::Relaxed);
                    return Some(word);
                }
            }
        }
        None
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(one_thread)).collect();
        let found =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        found.flatten().next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The MD5 of `cab`.
    const CAB: &str = "16ecfd64586ec6c1ab212762c2c38a90";

    #[test]
    fn a_word_is_found_where_it_is_and_nowhere_else() {
        let mask: Mask = "?l?l?l".parse().unwrap();
        let hash: Hash = CAB.parse().unwrap();
        let number = (0..mask.keyspace()).find(|n| mask.word(*n) == b"cab").unwrap();
        for threads in [1, 3] {
            let found = |part| search(&mask, &hash, part, threads);
            assert_eq!(found(0..mask.keyspace()).as_deref(), Some(&b"cab"[..]));
            assert_eq!(found(number..number + 1).as_deref(), Some(&b"cab"[..]));
            assert_eq!(found(0..number), None);
            assert_eq!(found(number + 1..u64::MAX), None);
            assert_eq!(found(5..5), None);
        }
    }
}
