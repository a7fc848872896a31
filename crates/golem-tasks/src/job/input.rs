//! Standard input as a source of tasks: what comes is written into a file beside the database of runs before it is read as
//! tasks, so that a run goes on without its input once the process that read it is gone.
//!
//! A file that isn't complete is called `<run>.part`; at the input's end it becomes `<run>.lines`. Where a run is resumed whose
//! input was cut off, the same input may be given again: what was read of it is compared, and what comes behind that is new.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;

use super::source::{LONGEST_LINE, Lines, SourceError};
use crate::exit::{Exit, Failure};

/// Its name in messages.
pub(super) const NAME: &str = "standard input";
/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// The standard input of a run, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// The file that it is read from.
    file: Mutex<Option<PathBuf>>,
    /// Nothing more comes.
    closed: AtomicBool,
    /// The reason why it can't be read on.
    broken: OnceLock<String>,
    /// The run had begun to read it in an earlier process, and it wasn't given again.
    is_cut: AtomicBool,
}

/// The way in which a line becomes a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineForm {
    /// As a string.
    Text,
    /// As a JSON value.
    Json,
}

/// The input of a run can't be kept.
#[derive(Debug, thiserror::Error)]
#[error("the standard input can't be kept in `{}`", path.display())]
struct Unkept {
    path: PathBuf,
    source: io::Error,
}

impl Input {
    /// Begins to read the input of a run, or goes on with what an earlier process has read of it. Must be called by whoever
    /// holds the run, within a runtime.
    pub(crate) fn begin(self: &Arc<Self>, folder: &Path, run_id: &str, is_new: bool) -> Result<(), Failure> {
        let [whole, part] = files(folder, run_id);
        if is_new {
            // One of that name may have been in a database that is gone.
            forget(folder, &[run_id]);
        }
        if whole.exists() {
            self.set_file(whole);
            self.closed.store(true, Ordering::Release);
            return Ok(());
        }
        let failed = |source| {
            let failure = Failure::new(Exit::BrokeOff, Unkept { path: part.clone(), source });
            failure.advise(
                "nothing was bought: make room or mend the folder's rights, or give the tasks by a file",
            )
        };
        create_private_folder(folder).map_err(failed)?;
        let spool = open_private(&part).map_err(failed)?;
        let known = spool.metadata().map_err(failed)?.len();
        self.set_file(part.clone());
        let input = Arc::clone(self);
        // It ends with the process, whatever the input does.
        tokio::task::spawn_blocking(move || {
            // Nobody types the same lines once more.
            let given = if known > 0 && io::stdin().is_terminal() {
                Ok(0)
            } else {
                keep(&mut io::stdin().lock(), spool, &part, known)
            };
            match given {
                Ok(0) if known > 0 => input.is_cut.store(true, Ordering::Release),
                Ok(given) if given < known => {
                    let problem = "it has fewer lines than the run has read of it: give the same input once more, or none";
                    let _first = input.broken.set(problem.to_owned());
                }
                Ok(_) => {
                    if let Err(error) = std::fs::rename(&part, &whole) {
                        let _first =
                            input.broken.set(format!("what was kept of it can't be given its name: {error}"));
                    } else {
                        input.set_file(whole);
                    }
                }
                Err(error) => {
                    let _first = input.broken.set(error.to_string());
                }
            }
            input.closed.store(true, Ordering::Release);
        });
        Ok(())
    }

    /// True as long as something may come.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// True if an earlier process has read a beginning of it, and the rest never came.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// The tasks in it, from the first one on. Where there is nothing at this moment the iterator ends for now.
    pub(super) fn tasks(self: &Arc<Self>, form: LineForm) -> Arriving {
        Arriving {
            input: Arc::clone(self),
            form,
            file: None,
            buffer: Vec::new(),
            at: 0,
            number: 0,
            ended: false,
        }
    }

    /// The line of a task in it.
    pub(super) fn place(&self, form: LineForm, index: u64) -> String {
        let line = self.file().and_then(|path| {
            let wanted = |line: &[u8]| is_wanted(form, line);
            Lines::open(&path).ok()?.place(wanted, index).ok()?
        });
        match line {
            Some(line) => format!("{NAME}, line {line}"),
            None => format!("the end of {NAME}"),
        }
    }

    fn file(&self) -> Option<PathBuf> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_file(&self, path: PathBuf) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
    }
}

/// Removes what was kept of the inputs of these runs.
pub(crate) fn forget<R: AsRef<str>>(folder: &Path, runs: &[R]) {
    for path in runs.iter().flat_map(|run_id| files(folder, run_id.as_ref())) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "the input of a run that was removed is still there");
            }
            _ => {}
        }
    }
}

fn files(folder: &Path, run_id: &str) -> [PathBuf; 2] {
    [folder.join(format!("{run_id}.lines")), folder.join(format!("{run_id}.part"))]
}

/// Writes down what comes, behind what is known already; the answer is how many bytes came.
fn keep(from: &mut impl Read, mut spool: File, path: &Path, known: u64) -> io::Result<u64> {
    let mut before = File::open(path)?.take(known);
    let mut piece = vec![0; PIECE];
    let mut expected = Vec::new();
    let mut given = 0;
    loop {
        let n = match from.read(&mut piece) {
            Ok(0) => return Ok(given),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let old = usize::try_from(known.saturating_sub(given)).unwrap_or(usize::MAX).min(n);
        expected.clear();
        (&mut before).take(old as u64).read_to_end(&mut expected)?;
        if expected != piece[..old] {
            return Err(io::Error::other(
                "it isn't what the run has read of it: give the same input once more, or none",
            ));
        }
        if old < n {
            spool.write_all(&piece[old..n])?;
            spool.sync_data()?;
        }
        given += n as u64;
    }
}

fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn is_wanted(form: LineForm, line: &[u8]) -> bool {
    match form {
        LineForm::Text => !line.is_empty(),
        LineForm::Json => !line.trim_ascii().is_empty(),
    }
}

/// Tasks as they arrive.
#[derive(Debug)]
pub(super) struct Arriving {
    input: Arc<Input>,
    form: LineForm,
    file: Option<File>,
    buffer: Vec<u8>,
    /// So many bytes at the beginning of the buffer were given out.
    at: usize,
    /// Lines that were given out.
    number: u64,
    ended: bool,
}

impl Arriving {
    /// Reads a piece more; false where there is none at this moment.
    fn fill(&mut self) -> io::Result<bool> {
        if self.file.is_none() {
            self.file = self.input.file().map(File::open).transpose()?;
        }
        let Some(file) = &mut self.file else { return Ok(false) };
        self.buffer.drain(..self.at);
        self.at = 0;
        let len = self.buffer.len();
        self.buffer.resize(len + PIECE, 0);
        let n = file.read(&mut self.buffer[len..])?;
        self.buffer.truncate(len + n);
        Ok(n > 0)
    }

    /// The task in a line, if there is one in it.
    fn task(&mut self, line: &[u8]) -> Option<Result<Value, SourceError>> {
        let lines = Lines::one(Path::new(NAME), self.number, line);
        self.number += 1;
        match self.form {
            LineForm::Text => lines.strings().next(),
            LineForm::Json => lines.json().next(),
        }
    }

    fn broken(&mut self, reason: String) -> SourceError {
        self.ended = true;
        SourceError::Malformed { path: PathBuf::from(NAME), line: self.number + 1, reason }
    }
}

impl Iterator for Arriving {
    type Item = Result<Value, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let rest = &self.buffer[self.at..];
            let line = rest.iter().position(|byte| *byte == b'\n').map(|end| rest[..=end].to_vec());
            if let Some(line) = line {
                self.at += line.len();
                if let Some(task) = self.task(&line) {
                    self.ended = task.is_err();
                    return Some(task);
                }
                continue;
            }
            if rest.len() > LONGEST_LINE {
                let reason = format!("the line is longer than {} MiB", LONGEST_LINE / 1024 / 1024);
                return Some(Err(self.broken(reason)));
            }
            // Asked first: what comes between the two is read the next time.
            let is_open = self.input.is_open();
            match self.fill() {
                Ok(true) => {}
                Ok(false) if is_open => return None,
                Ok(false) => {
                    if let Some(problem) = self.input.broken.get().cloned() {
                        return Some(Err(self.broken(problem)));
                    }
                    self.ended = true;
                    let last = self.buffer.split_off(self.at);
                    return if last.is_empty() { None } else { self.task(&last) };
                }
                Err(error) => return Some(Err(self.broken(error.to_string()))),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(input: &Arc<Input>, path: &Path, bytes: &[u8]) {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
        input.set_file(path.to_owned());
    }

    #[test]
    fn lines_are_tasks_as_soon_as_they_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.part");
        let input = Arc::new(Input::default());
        let mut tasks = input.tasks(LineForm::Text);
        assert!(tasks.next().is_none(), "nothing has begun");
        arrive(&input, &path, b"one\r\n\ntw");
        assert_eq!(tasks.next().unwrap().unwrap(), "one");
        assert!(tasks.next().is_none());
        arrive(&input, &path, b"o\nthree");
        assert_eq!(tasks.next().unwrap().unwrap(), "two");
        assert!(tasks.next().is_none() && input.is_open());
        assert_eq!(input.place(LineForm::Text, 1), "standard input, line 3");
        input.closed.store(true, Ordering::Release);
        assert_eq!(tasks.next().unwrap().unwrap(), "three");
        assert!(tasks.next().is_none() && tasks.next().is_none());
        assert_eq!(input.tasks(LineForm::Text).count(), 3, "and again from the first one on");
    }

    #[test]
    fn a_line_that_is_no_task_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.part");
        let input = Arc::new(Input::default());
        arrive(&input, &path, b"{\"a\": 1}\n  \n{\"a\": }\n1\n");
        let mut tasks = input.tasks(LineForm::Json);
        assert_eq!(tasks.next().unwrap().unwrap(), serde_json::json!({"a": 1}));
        let told = tasks.next().unwrap().unwrap_err().to_string();
        assert_eq!(told, "standard input:3: not a JSON value: expected value at column 7");
        assert!(tasks.next().is_none());
    }

    #[test]
    fn an_input_that_is_given_again_is_compared_and_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.part");
        let again = |given: &[u8]| {
            std::fs::write(&path, "one\ntwo\n").unwrap();
            let kept = keep(&mut &given[..], open_private(&path).unwrap(), &path, 8);
            (kept.map_err(|error| error.to_string()), std::fs::read_to_string(&path).unwrap())
        };
        assert_eq!(again(b"one\ntwo\nthree\n"), (Ok(14), "one\ntwo\nthree\n".to_owned()));
        assert_eq!(again(b""), (Ok(0), "one\ntwo\n".to_owned()));
        assert_eq!(again(b"one\n"), (Ok(4), "one\ntwo\n".to_owned()));
        let (refused, kept) = again(b"one\nTWO\nthree\n");
        assert!(refused.unwrap_err().contains("isn't what the run has read"));
        assert_eq!(kept, "one\ntwo\n");
    }
}
