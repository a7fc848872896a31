//! The source of a run's own job as it is read: how far it has been read is marked, so that a later process can tell whether it is
//! still the same source, and tasks that the run has already aren't added again.
//!
//! Left to others: finding out what has changed in a source that isn't the same ([`SourceChanged`] says only that it has).

use std::fmt;

use golem_core::source::{KnownTasks, SourceDigest, SourceMark};
use serde_json::Value;

/// The source of tasks: their data, in order; each may fail to be read.
pub type TaskSource = Box<dyn Iterator<Item = Result<Value, String>> + Send>;

/// Items that are read at once at the most: a source may hold millions that the run has already, and other things wait meanwhile.
const AT_ONCE: usize = 16_384;

/// Opens a source anew from its first item on; `None` where nothing can have come into it since it was opened last.
pub type Reopen = Box<dyn FnMut() -> Option<Result<TaskSource, String>> + Send>;

/// True as long as more may come into a source that has nothing more at this moment.
pub type Coming = Box<dyn Fn() -> bool + Send>;

/// A source that was opened, at its first item.
pub struct OpenSource {
    tasks: TaskSource,
    growing: Option<Growing>,
    coming: Option<Coming>,
}

/// A source of tasks of which the run knows how far it has been read.
pub struct Reading {
    tasks: TaskSource,
    mark: SourceMark,
    /// Tasks of the run that haven't been met in the source yet.
    known: KnownTasks,
    /// An item that was read and is looked at once more.
    put_back: Option<Result<Value, String>>,
    /// A new item that was read to see whether there is one.
    peeked: Option<Result<Value, String>>,
    /// True if the source has been read to its end.
    exhausted: bool,
    growing: Option<Growing>,
    coming: Option<Coming>,
}

/// The next thing that a source has.
enum Next {
    Item(Result<Value, String>),
    /// Nothing now; something may come.
    NotYet,
    End,
}

/// A source into which tasks may come while the run goes on.
struct Growing {
    reopen: Reopen,
    /// All that was read, where what comes may come between it.
    seen: Option<KnownTasks>,
}

/// A source beside the tasks that a run has of another one: what both have in common isn't added again.
///
/// As long as both have the same items in the same order nothing is held in memory; of each task from the first difference on some
/// 40 bytes are.
#[derive(Debug)]
pub struct Matching {
    reading: Reading,
    is_same: bool,
}

/// The source has something else in the place of what the run has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the source of the tasks isn't the one that the run has read {} tasks of", mark.read)]
pub struct SourceChanged {
    /// The position up to which the run had read it.
    pub mark: SourceMark,
}

/// The reasons why a source can't be continued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadingError {
    /// It is another source than the one that was read.
    #[error(transparent)]
    Changed(#[from] SourceChanged),
    /// It can't be read as far as it was before.
    #[error("the tasks can't be read: {0}")]
    Broken(String),
}

/// The result of reading on in a source.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The data of new tasks.
    pub(crate) data: Vec<Value>,
    /// The position up to which the source has been read.
    pub(crate) mark: SourceMark,
    /// There are no more.
    pub(crate) exhausted: bool,
    /// The reason why it couldn't be read on.
    pub(crate) broken: Option<String>,
    /// There are no more now, and more may come.
    pub(crate) pending: bool,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("mark", &self.mark).finish_non_exhaustive()
    }
}

impl fmt::Debug for OpenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSource").field("grows", &self.growing.is_some()).finish_non_exhaustive()
    }
}

impl From<TaskSource> for OpenSource {
    fn from(tasks: TaskSource) -> Self {
        Self { tasks, growing: None, coming: None }
    }
}

impl OpenSource {
    /// The source can be opened anew: before the run ends, it is looked at once more for what has come into it.
    ///
    /// A source that is `ordered` is to have what comes behind what was read. In one that isn't, such as a folder, it may come anywhere;
    /// of what was read some 40 bytes an item are held for that.
    #[must_use]
    pub fn growing(mut self, reopen: Reopen, ordered: bool) -> Self {
        self.growing = Some(Growing { reopen, seen: (!ordered).then(KnownTasks::default) });
        self
    }

    /// More may come as long as this says so: until then the end of the iterator is no end, and it is asked again.
    #[must_use]
    pub fn coming(mut self, coming: Coming) -> Self {
        self.coming = Some(coming);
        self
    }
}

impl Reading {
    /// A source that nothing has been read of.
    pub fn new(tasks: impl Into<OpenSource>) -> Self {
        Self::from_start(tasks, SourceMark::default(), KnownTasks::default())
    }

    /// Goes on with a source behind what was read of it. All of that is read again and compared.
    ///
    /// `known` are the tasks that the run has of its source. They are needed only where it
    /// [has others](SourceMark::has_others) than those that were read.
    ///
    /// # Errors
    /// [`ReadingError::Changed`] where the source isn't the same so far.
    pub fn behind(
        tasks: impl Into<OpenSource>,
        mark: SourceMark,
        known: KnownTasks,
    ) -> Result<Self, ReadingError> {
        let mut reading = Self::from_start(tasks, SourceMark::at_start(mark.tasks), known);
        reading.skip_to(mark)?;
        Ok(reading)
    }

    /// The position up to which it has been read.
    pub fn mark(&self) -> SourceMark {
        self.mark
    }

    /// True if there is a task in it that the run doesn't have, or if one may come.
    ///
    /// Reads as far as to the next one.
    pub fn has_more(&mut self) -> bool {
        while self.peeked.is_none() {
            match self.advance() {
                Next::Item(Ok(item)) => {
                    let digest = SourceDigest::of(&item);
                    if self.known.take(digest) {
                        self.met(digest);
                    } else {
                        self.peeked = Some(Ok(item));
                    }
                }
                Next::Item(problem) => self.peeked = Some(problem),
                Next::NotYet => return true,
                Next::End => {
                    self.exhausted = true;
                    break;
                }
            }
        }
        self.peeked.is_some()
    }

    /// The next task that the run doesn't have; none where there is none, or where it can't be read.
    ///
    /// Reads as far as to that task, which is still to be loaded.
    pub fn peek(&mut self) -> Option<&Value> {
        self.has_more();
        self.peeked.as_ref()?.as_ref().ok()
    }

    /// Goes on behind what was read of it, of which nothing is read in this process yet.
    pub(crate) fn go_behind(&mut self, mark: SourceMark) -> Result<(), ReadingError> {
        self.mark.tasks = mark.tasks;
        self.skip_to(mark)
    }

    /// True if it is asked once more after its end. One that was cut off in an earlier process may have more in this one.
    pub(crate) fn grows(&self) -> bool {
        self.growing.is_some() || self.coming.is_some()
    }

    /// Reads new tasks, at most so many. After its end a source that may grow is opened anew.
    pub(crate) fn load(&mut self, most: usize) -> Loaded {
        let mut loaded = Loaded::default();
        if self.exhausted
            && let Err(problem) = self.look_again()
        {
            return Loaded { mark: self.mark, broken: Some(problem), ..loaded };
        }
        let mut looked_at = 0;
        while loaded.data.len() < most && looked_at < AT_ONCE && !self.exhausted {
            looked_at += 1;
            match self.advance() {
                Next::Item(Ok(item)) => {
                    let digest = SourceDigest::of(&item);
                    let is_new = !self.known.take(digest);
                    self.met(digest);
                    if is_new {
                        self.mark.tasks += 1;
                        loaded.data.push(item);
                    }
                }
                Next::Item(Err(problem)) => {
                    loaded.broken = Some(problem);
                    break;
                }
                Next::NotYet => {
                    loaded.pending = true;
                    break;
                }
                Next::End => self.exhausted = true,
            }
        }
        Loaded { mark: self.mark, exhausted: self.exhausted, ..loaded }
    }

    fn from_start(source: impl Into<OpenSource>, mark: SourceMark, known: KnownTasks) -> Self {
        let OpenSource { tasks, growing, coming } = source.into();
        Self { tasks, mark, known, put_back: None, peeked: None, exhausted: false, growing, coming }
    }

    fn next_item(&mut self) -> Option<Result<Value, String>> {
        self.put_back.take().or_else(|| self.peeked.take()).or_else(|| self.tasks.next())
    }

    fn advance(&mut self) -> Next {
        // Asked first: what comes between the two is seen the next time.
        let may_come = self.coming.as_ref().is_some_and(|coming| coming());
        match self.next_item() {
            Some(item) => Next::Item(item),
            None if may_come => Next::NotYet,
            None => Next::End,
        }
    }

    fn met(&mut self, item: SourceDigest) {
        self.mark.take(item);
        if let Some(seen) = self.growing.as_mut().and_then(|growing| growing.seen.as_mut()) {
            seen.add(item);
        }
    }

    fn skip_to(&mut self, mark: SourceMark) -> Result<(), ReadingError> {
        while self.mark.read < mark.read {
            match self.tasks.next() {
                Some(Ok(item)) => {
                    let digest = SourceDigest::of(&item);
                    self.known.take(digest);
                    self.met(digest);
                }
                Some(Err(problem)) => return Err(ReadingError::Broken(problem)),
                None => return Err(SourceChanged { mark }.into()),
            }
        }
        if self.mark.digest == mark.digest { Ok(()) } else { Err(SourceChanged { mark }.into()) }
    }

    /// Opens a source that was read to its end once more, where something may have come into it.
    fn look_again(&mut self) -> Result<(), String> {
        let Some(growing) = &mut self.growing else { return Ok(()) };
        let Some(reopened) = (growing.reopen)() else { return Ok(()) };
        let mark = self.mark;
        self.tasks = reopened?;
        self.exhausted = false;
        self.mark = SourceMark::at_start(mark.tasks);
        if let Some(seen) = growing.seen.as_mut() {
            // Tasks that it had before are known now, wherever they are.
            self.known.absorb(std::mem::take(seen));
            return Ok(());
        }
        // Tasks that the run has beside these were counted already.
        let known = std::mem::take(&mut self.known);
        let skipped = self.skip_to(mark);
        self.known = known;
        skipped.map_err(|error| match error {
            ReadingError::Changed(_) => {
                "what was read of the source has been changed while the run went on: \
                                         only what is added at its end can be done as well"
                    .to_owned()
            }
            ReadingError::Broken(problem) => problem,
        })
    }
}

impl Matching {
    /// Begins with the first item of the source.
    pub fn new(tasks: impl Into<OpenSource>) -> Self {
        Self { reading: Reading::new(tasks), is_same: true }
    }

    /// The run has this task. Tasks come in the order in which they were read.
    pub fn task(&mut self, task: SourceDigest) {
        let reading = &mut self.reading;
        reading.mark.tasks += 1;
        if self.is_same {
            let next = reading.next_item();
            if next
                .as_ref()
                .is_some_and(|next| next.as_ref().is_ok_and(|item| SourceDigest::of(item) == task))
            {
                return reading.met(task);
            }
            self.is_same = false;
            reading.put_back = next;
        }
        reading.known.add(task);
    }

    /// There are no more: the source is read on behind what it has in common with them.
    pub fn reading(self) -> Reading {
        self.reading
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    fn source(items: &[&str]) -> TaskSource {
        let items: Vec<_> = items.iter().map(|item| Ok(json!(item))).collect();
        Box::new(items.into_iter())
    }

    #[test]
    fn what_may_still_come_is_waited_for_and_counts_as_more() {
        let arrived = Arc::new(Mutex::new((vec!["a"], true)));
        let (items, open) = (Arc::clone(&arrived), Arc::clone(&arrived));
        let tasks = std::iter::from_fn(move || items.lock().unwrap().0.pop().map(|item| Ok(json!(item))));
        let source = OpenSource::from(Box::new(tasks) as TaskSource);
        let mut reading = Reading::new(source.coming(Box::new(move || open.lock().unwrap().1)));
        let loaded = reading.load(5);
        assert_eq!((loaded.data, loaded.exhausted, loaded.pending), (vec![json!("a")], false, true));
        assert!(reading.has_more() && reading.peek().is_none());
        let loaded = reading.load(5);
        assert!(loaded.data.is_empty() && !loaded.exhausted && loaded.pending);
        *arrived.lock().unwrap() = (vec!["b"], false);
        assert_eq!(reading.peek(), Some(&json!("b")));
        let loaded = reading.load(5);
        assert_eq!((loaded.data, loaded.exhausted, loaded.pending), (vec![json!("b")], true, false));
        assert!(!reading.has_more());
    }

    fn known(items: &[&str]) -> KnownTasks {
        let mut known = KnownTasks::default();
        for item in items {
            known.add(SourceDigest::of(&json!(item)));
        }
        known
    }

    fn instead(now: &[&str], before: &[&str]) -> Reading {
        let mut matching = Matching::new(source(now));
        for item in before {
            matching.task(SourceDigest::of(&json!(item)));
        }
        matching.reading()
    }

    fn all(reading: &mut Reading) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let loaded = reading.load(2);
            assert_eq!(loaded.broken, None);
            all.extend(loaded.data);
            if loaded.exhausted {
                return all;
            }
        }
    }

    #[test]
    fn a_source_is_read_on_behind_what_was_read_and_only_if_that_is_the_same() {
        let mut first = Reading::new(source(&["a", "b", "c", "d"]));
        assert_eq!(first.load(2).data, ["a", "b"]);
        let mark = first.mark();
        assert_eq!((mark.read, mark.tasks), (2, 2));
        let behind = |items: &[&str]| Reading::behind(source(items), mark, KnownTasks::default());
        let mut again = behind(&["a", "b", "c", "d", "e"]).unwrap();
        assert!(again.has_more() && again.has_more());
        assert_eq!(all(&mut again), ["c", "d", "e"]);
        assert!(!behind(&["a", "b"]).unwrap().has_more());
        for other in [&["b", "c", "d"][..], &["b", "a", "c"], &["a"], &[], &["a", "a", "b"], &["", "a", "b"]]
        {
            assert_eq!(behind(other).unwrap_err(), SourceChanged { mark }.into(), "{other:?}");
        }
    }

    #[test]
    fn of_another_source_what_is_new_is_added_once_whenever_the_process_dies() {
        let before = ["a", "b", "b", "c"];
        let now = ["x", "b", "a", "y", "b", "b", "x"];
        for killed_after in 0..=6 {
            let mut first = instead(&now, &before);
            let mut added: Vec<Value> = Vec::new();
            for _ in 0..killed_after {
                added.extend(first.load(1).data);
            }
            let mark = first.mark();
            let mut has: Vec<&str> = before.to_vec();
            let texts: Vec<String> = added.iter().map(|item| item.as_str().unwrap().to_owned()).collect();
            has.extend(texts.iter().map(String::as_str));
            assert_eq!(mark.tasks, has.len() as u64);
            let mut again = Reading::behind(source(&now), mark, known(&has)).unwrap();
            added.extend(all(&mut again));
            assert_eq!(added, ["x", "y", "b", "x"], "killed after {killed_after}");
        }
    }

    #[test]
    fn a_source_that_only_grew_or_shrank_takes_no_memory_to_compare() {
        let mut grown = instead(&["a", "b", "c"], &["a", "b"]);
        assert!(grown.known.is_empty() && grown.has_more());
        assert_eq!(all(&mut grown), ["c"]);
        let mut shrunk = instead(&["b", "c"], &["a", "b", "c"]);
        assert!(!shrunk.has_more());
        assert_eq!((shrunk.mark().read, shrunk.mark().tasks), (2, 3));
        let mut turned = instead(&["c", "b", "a", "d"], &["a", "b", "c"]);
        assert!(turned.has_more() && turned.has_more());
        assert_eq!(all(&mut turned), ["d"]);
    }

    fn growing(first: &[&'static str], ordered: bool) -> (Arc<Mutex<Vec<&'static str>>>, Reading) {
        let now = Arc::new(Mutex::new(first.to_vec()));
        let later = Arc::clone(&now);
        let reopen = Box::new(move || Some(Ok(source(&later.lock().unwrap()))));
        let opened = OpenSource::from(source(first)).growing(reopen, ordered);
        (now, Reading::new(opened))
    }

    #[test]
    fn what_is_added_to_a_source_is_read_when_it_is_looked_at_again() {
        let (now, mut reading) = growing(&["a", "b"], true);
        assert_eq!(all(&mut reading), ["a", "b"]);
        assert_eq!(all(&mut reading), Vec::<Value>::new());
        now.lock().unwrap().extend(["c", "d", "e"]);
        assert_eq!(all(&mut reading), ["c", "d", "e"]);
        assert_eq!(reading.mark().read, 5);
        now.lock().unwrap()[1] = "x";
        assert!(reading.load(9).broken.unwrap().contains("has been changed while the run went on"));
    }

    #[test]
    fn a_resumed_source_that_was_at_its_end_is_looked_at_once_more_as_well() {
        for ordered in [true, false] {
            let mark = {
                let (_, mut before) = growing(&["a", "b"], ordered);
                all(&mut before);
                before.mark()
            };
            let now = Arc::new(Mutex::new(vec!["a", "b"]));
            let later = Arc::clone(&now);
            let reopen = Box::new(move || Some(Ok(source(&later.lock().unwrap()))));
            let opened = OpenSource::from(source(&["a", "b"])).growing(reopen, ordered);
            let mut again = Reading::behind(opened, mark, KnownTasks::default()).unwrap();
            assert!(!again.has_more());
            now.lock().unwrap().push("c");
            assert_eq!(all(&mut again), ["c"], "ordered: {ordered}");
        }
    }

    #[test]
    fn in_a_folder_what_is_added_may_come_anywhere_and_files_may_go() {
        let (now, mut reading) = growing(&["b", "d"], false);
        assert_eq!(all(&mut reading), ["b", "d"]);
        *now.lock().unwrap() = vec!["a", "c", "d"];
        assert_eq!(all(&mut reading), ["a", "c"]);
        let mark = reading.mark();
        assert_eq!((mark.read, mark.tasks), (3, 4));
        assert!(
            !Reading::behind(source(&["a", "c", "d"]), mark, known(&["b", "d", "a", "c"]))
                .unwrap()
                .has_more()
        );
    }
}
