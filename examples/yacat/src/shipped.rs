//! The worker as its buyers see it: where it is, what it is asked, and what its answers are worth.
//!
//! Both programs of this example send it to the providers. How they hand out the parts of a search is their own business.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::{Hash, Mask};

/// Where the worker is on a provider's machine.
pub const WORKER: &str = "/golem/work/yacat-worker";

/// What is looked for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The words to try.
    pub mask: Mask,
    /// The hash of the one that is wanted.
    pub hash: Hash,
}

/// The worker says it has found the word, and that word has another hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a word that hasn't this hash")]
pub struct NotTheWord;

/// There is nothing to send to the providers.
#[derive(Debug, thiserror::Error)]
#[error("there is no worker at `{}`: `cargo build -p yacat` builds it, or name one with {named_by}", file.display())]
pub struct NoWorker {
    file: PathBuf,
    named_by: &'static str,
}

impl Search {
    /// What the worker is to be started with, to search this part.
    pub fn args(&self, part: &Range<u64>) -> [String; 5] {
        let (mask, hash) = (self.mask.to_string(), self.hash.to_string());
        ["search".to_owned(), mask, hash, part.start.to_string(), part.end.to_string()]
    }

    /// What the worker has found, by what it printed: the word, or none in this part.
    ///
    /// A word is believed after its hash. That there is none is simply believed.
    ///
    /// **Errors**: [`NotTheWord`], when it lies.
    pub fn found(&self, printed: &str) -> Result<Option<String>, NotTheWord> {
        match printed.strip_suffix('\n') {
            None => Ok(None),
            Some(word) if self.hash.is_of(word.as_bytes()) => Ok(Some(word.to_owned())),
            Some(_) => Err(NotTheWord),
        }
    }
}

/// So many words in parts of one size, in about as many as are wanted: none is empty, unless there are no words.
pub fn parts(words: u64, wanted: u64) -> impl ExactSizeIterator<Item = Range<u64>> + Send + 'static {
    let size = words.div_ceil(wanted.max(1)).max(1);
    let count = u32::try_from(words.div_ceil(size).max(1)).unwrap_or(u32::MAX);
    (0..count).map(move |n| {
        let start = u64::from(n) * size;
        start..start.saturating_add(size).min(words)
    })
}

/// The worker that is to be sent: this file, or `yacat-worker` beside this program.
///
/// **Errors**: [`NoWorker`] where there is no such file; it says how else to name one.
pub fn worker_file(named: Option<&Path>, named_by: &'static str) -> Result<PathBuf, NoWorker> {
    let beside = |program: io::Result<PathBuf>| program.unwrap_or_default().with_file_name("yacat-worker");
    let file = named.map_or_else(|| beside(std::env::current_exe()), Path::to_owned);
    if file.is_file() { Ok(file) } else { Err(NoWorker { file, named_by }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole_without_holes() {
        for (words, wanted, expected) in
            [(100, 7, 7), (10, 4, 4), (10, 6, 5), (3, 32, 3), (1, 1, 1), (0, 5, 1), (17_576, 1000, 977)]
        {
            let parts: Vec<_> = parts(words, wanted).collect();
            assert_eq!(parts.len(), expected, "{words} {wanted}");
            assert_eq!((parts[0].start, parts[expected - 1].end), (0, words));
            assert!(parts.windows(2).all(|two| two[0].end == two[1].start), "{parts:?}");
            assert!(words == 0 || parts.iter().all(|part| !part.is_empty()), "{parts:?}");
        }
        assert_eq!(parts(u64::MAX, 2).last().map(|part| part.end), Some(u64::MAX));
    }

    #[test]
    fn a_word_is_believed_after_its_hash() {
        let hash = "900150983cd24fb0d6963f7d28e17f72".parse().unwrap();
        let search = Search { mask: "?l?l?l".parse().unwrap(), hash };
        assert_eq!(search.found(""), Ok(None));
        assert_eq!(search.found("abc\n"), Ok(Some("abc".to_owned())));
        assert_eq!(search.found("abd\n"), Err(NotTheWord));
        assert_eq!(search.found("\n"), Err(NotTheWord));
        assert_eq!(search.args(&(3..9))[3..], ["3", "9"]);
    }
}
