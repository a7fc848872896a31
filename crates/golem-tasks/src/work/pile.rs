//! The pile of work: tasks that are read one by one, as they are wanted.

use std::error::Error;
use std::fmt;

use golem_sdk::reading::{Coming, Reopen};

/// The error by which a task, or the whole pile, can't be read.
pub(crate) type PileError = Box<dyn Error + Send + Sync>;

/// Tasks in their order, read as they are wanted and never held together: a pile may be endless.
///
/// It is read by the run itself, a few hundred tasks ahead of the work, and must not wait for others.
///
/// # Example
/// ```
/// use std::io::{BufRead, BufReader};
/// use golem_tasks::Pile;
///
/// let counting = Pile::new(0_u64..);
/// assert_eq!(counting.total(), None);
/// let letters = Pile::new('a'..='z');
/// assert_eq!(letters.total(), Some(26));
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("words.txt");
/// # std::fs::write(&path, "one\ntwo\n")?;
/// // A file that can't be opened is told before anything is bought, a line that can't be read stops the run.
/// let words = match std::fs::File::open(path) {
///     Ok(file) => Pile::fallible(BufReader::new(file).lines()),
///     Err(error) => Pile::broken(error),
/// };
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Pile<T> {
    tasks: Result<Box<dyn Iterator<Item = Result<T, PileError>> + Send>, PileError>,
    total: Option<u64>,
    again: Option<Again>,
}

/// A source that can be read again, and whose tasks have places.
pub(crate) struct Again {
    /// Names the place of a task by its number, for people.
    pub(crate) place: Box<dyn Fn(u64) -> String + Send + Sync>,
    /// Opens it once more; none of a source that can't grow.
    pub(crate) reopen: Option<Reopen>,
    /// True if new tasks always come at its end.
    pub(crate) ordered: bool,
    /// Tells whether more may come into one that has nothing more at this moment.
    pub(crate) coming: Option<Coming>,
}

impl<T> fmt::Debug for Pile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pile").field("total", &self.total).finish_non_exhaustive()
    }
}

impl<T: 'static> Pile<T> {
    /// Makes a pile of these tasks. An iterator that knows how many there are says so to those who watch.
    pub fn new<I>(tasks: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        let tasks = tasks.into_iter();
        let total = exactly(tasks.size_hint());
        Self { tasks: Ok(Box::new(tasks.map(Ok))), total, again: None }
    }

    /// Makes a pile of tasks whose reading may fail. The first error stops the run; what is done is kept.
    pub fn fallible<I, E>(tasks: I) -> Self
    where
        I: IntoIterator<Item = Result<T, E>>,
        I::IntoIter: Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let tasks = tasks.into_iter();
        let total = exactly(tasks.size_hint());
        Self { tasks: Ok(Box::new(tasks.map(|task| task.map_err(Into::into)))), total, again: None }
    }

    /// None at all, for this reason: the run isn't begun.
    pub fn broken(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { tasks: Err(error.into()), total: None, again: None }
    }

    /// With the number of tasks there will be, for those who watch; it limits nothing.
    #[must_use]
    pub fn of(mut self, total: impl Into<Option<u64>>) -> Self {
        self.total = total.into();
        self
    }

    /// A pile that comes from a source which can be read again; its total is exact.
    pub(crate) fn again(mut self, again: Again) -> Self {
        self.again = Some(again);
        self
    }

    /// The way to read the source again, if there is one.
    pub(crate) fn take_again(&mut self) -> Option<Again> {
        self.again.take()
    }

    /// The number of tasks, if it is known.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The tasks themselves.
    pub(crate) fn open(self) -> Result<Box<dyn Iterator<Item = Result<T, PileError>> + Send>, PileError> {
        self.tasks
    }
}

fn exactly((least, most): (usize, Option<usize>)) -> Option<u64> {
    most.filter(|most| *most == least).and_then(|most| u64::try_from(most).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_iterator_knows_for_sure_is_a_total() {
        assert_eq!(Pile::new(vec![1, 2, 3]).total(), Some(3));
        assert_eq!(Pile::new((0..9).filter(|n| n % 2 == 0)).total(), None);
        assert_eq!(Pile::new(std::iter::repeat("x")).total(), None);
        assert_eq!(Pile::new(std::iter::from_fn(|| Some(1))).of(7).total(), Some(7));
    }
}
