//! Streaming tasks out of files: one line, record or JSON value at a time, so that a pile of any size takes the
//! memory of one task. Which file and which form is left to `tasks`.

mod files;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::numbers::first_inexact;
pub(super) use files::glob_files;

/// The longest line a task may be, in bytes: a file without line ends must not be loaded whole.
pub(super) const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// One task of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskData {
    /// Its number among the tasks, from 0; the same each time the source is read.
    pub index: u64,
    /// The value of `{{ task }}`.
    pub value: Value,
}

/// The reasons why tasks can't be read from their source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum SourceError {
    /// The file isn't there or may not be read.
    #[error("can't open `{}`", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// Reading broke off.
    #[error("{}:{line}: can't be read", path.display())]
    Read {
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        source: io::Error,
    },
    /// A line says something that is no task.
    #[error("{}:{line}: {reason}", path.display())]
    Malformed {
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The error in it.
        reason: String,
    },
    /// A folder below a `glob` can't be searched.
    #[error("can't search `{}`", path.display())]
    Search { path: PathBuf, source: io::Error },
    /// A file found by a `glob` has a name that no template can hold.
    #[error(
        "the file name `{}` is not UTF-8 text: rename the file, or write a pattern that leaves it out",
        shown_bytes(path)
    )]
    FileName { path: PathBuf },
}

/// Non-empty lines of a file with their numbers; ends after the first error.
#[derive(Debug)]
pub(super) struct Lines<R> {
    path: PathBuf,
    reader: R,
    number: u64,
    buffer: Vec<u8>,
    ended: bool,
}

impl Lines<BufReader<File>> {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        Ok(Self::new(path, BufReader::with_capacity(64 * 1024, open(path)?)))
    }
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(path: &Path, reader: R) -> Self {
        Self { path: path.to_owned(), reader, number: 0, buffer: Vec::new(), ended: false }
    }

    /// Lines of which so many have been read before.
    pub(super) fn one(path: &Path, before: u64, reader: R) -> Self {
        Self { number: before, ..Self::new(path, reader) }
    }

    /// The values of a file with one string a line.
    pub(super) fn strings(mut self) -> impl Iterator<Item = Result<Value, SourceError>> {
        std::iter::from_fn(move || {
            self.next_that(|line| !line.is_empty()).map(|line| line.map(|line| Value::from(line.as_str())))
        })
    }

    /// The values of a file with one JSON value a line.
    pub(super) fn json(mut self) -> impl Iterator<Item = Result<Value, SourceError>> {
        std::iter::from_fn(move || {
            let line = self.next_that(|line| !line.trim_ascii().is_empty())?;
            let value = line.and_then(|line| {
                let value =
                    serde_json::from_str(&line).map_err(|error| self.malformed(json_reason(&error)))?;
                match first_inexact(&line) {
                    None => Ok(value),
                    Some((number, at)) => Err(self.malformed(format!(
                        "the number {number} at column {} has too many digits to be kept exactly: write it as a \
                         string",
                        at + 1
                    ))),
                }
            });
            self.ended = value.is_err();
            Some(value)
        })
    }

    /// Counts the lines that `wanted` picks.
    pub(super) fn count(mut self, wanted: impl Fn(&[u8]) -> bool) -> Result<u64, SourceError> {
        let mut count = 0;
        while let Some(line) = self.next_raw() {
            line?;
            count += u64::from(wanted(&self.buffer));
        }
        Ok(count)
    }

    /// The number of the line with so many before it that `wanted` picks too; none where there are fewer.
    pub(super) fn place(
        mut self,
        wanted: impl Fn(&[u8]) -> bool,
        before: u64,
    ) -> Result<Option<u64>, SourceError> {
        let mut count = 0;
        while let Some(line) = self.next_raw() {
            line?;
            if wanted(&self.buffer) {
                if count == before {
                    return Ok(Some(self.number));
                }
                count += 1;
            }
        }
        Ok(None)
    }

    fn next_that(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Option<Result<String, SourceError>> {
        loop {
            if let Err(error) = self.next_raw()? {
                return Some(Err(error));
            }
            if wanted(&self.buffer) {
                break;
            }
        }
        let text = std::str::from_utf8(&self.buffer).map(str::to_owned);
        self.ended = text.is_err();
        Some(text.map_err(|_| self.malformed("not UTF-8 text: save the file as UTF-8".to_owned())))
    }

    /// Reads the next line into the buffer, without its line end.
    fn next_raw(&mut self) -> Option<Result<(), SourceError>> {
        if self.ended {
            return None;
        }
        self.number += 1;
        self.buffer.clear();
        let most = u64::try_from(LONGEST_LINE + 1).expect("a line's limit fits 64 bits");
        match (&mut self.reader).take(most).read_until(b'\n', &mut self.buffer) {
            Ok(0) => {
                self.ended = true;
                return None;
            }
            Ok(_) => {}
            Err(source) => {
                self.ended = true;
                return Some(Err(SourceError::Read { path: self.path.clone(), line: self.number, source }));
            }
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            if self.buffer.last() == Some(&b'\r') {
                self.buffer.pop();
            }
        } else if self.buffer.len() > LONGEST_LINE {
            self.ended = true;
            let reason = format!("the line is longer than {} MiB", LONGEST_LINE / 1024 / 1024);
            return Some(Err(self.malformed(reason)));
        }
        if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.buffer.drain(..3);
        }
        Some(Ok(()))
    }

    fn malformed(&self, reason: String) -> SourceError {
        SourceError::Malformed { path: self.path.clone(), line: self.number, reason }
    }
}

/// A CSV file with a header row.
#[derive(Debug)]
pub(super) struct Csv<R> {
    path: PathBuf,
    columns: Vec<String>,
    reader: csv::Reader<R>,
}

impl Csv<File> {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        Self::new(path, open(path)?)
    }
}

impl<R: Read> Csv<R> {
    pub(super) fn new(path: &Path, reader: R) -> Result<Self, SourceError> {
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(64 * 1024).from_reader(reader);
        let header = reader.headers().map_err(|error| csv_error(path, error, 1))?;
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        for (number, column) in columns.iter().enumerate() {
            let problem = if column.trim().is_empty() {
                format!("column {} of the header has no name", number + 1)
            } else if columns[..number].contains(column) {
                format!("the header has two columns `{column}`")
            } else {
                continue;
            };
            return Err(SourceError::Malformed { path: path.to_owned(), line: 1, reason: problem });
        }
        Ok(Self { path: path.to_owned(), columns, reader })
    }

    /// One table of columns, all strings, a record; ends after the first error.
    pub(super) fn records(mut self) -> impl Iterator<Item = Result<Value, SourceError>> {
        let mut record = csv::StringRecord::new();
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let read = self.reader.read_record(&mut record);
            ended = !matches!(read, Ok(true));
            match read {
                Ok(true) => {
                    let columns = self.columns.iter().cloned();
                    let table: Map<_, _> = columns.zip(record.iter().map(Value::from)).collect();
                    Some(Ok(Value::Object(table)))
                }
                Ok(false) => None,
                Err(error) => Some(Err(csv_error(&self.path, error, self.reader.position().line()))),
            }
        })
    }

    /// The line of the record with so many before it; none where there are fewer.
    pub(super) fn place(mut self, before: u64) -> Result<Option<u64>, SourceError> {
        let mut record = csv::ByteRecord::new();
        for _ in 0..=before {
            match self.reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err(csv_error(&self.path, error, self.reader.position().line())),
            }
        }
        Ok(record.position().map(csv::Position::line))
    }

    pub(super) fn count(mut self) -> Result<u64, SourceError> {
        let mut record = csv::ByteRecord::new();
        let mut count = 0;
        loop {
            match self.reader.read_byte_record(&mut record) {
                Ok(true) => count += 1,
                Ok(false) => return Ok(count),
                Err(error) => return Err(csv_error(&self.path, error, self.reader.position().line())),
            }
        }
    }
}

fn open(path: &Path) -> Result<File, SourceError> {
    let failed = |source| SourceError::Open { path: path.to_owned(), source };
    // Asked before opening: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        let reason = "it is not a regular file, and tasks are read more than once";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, reason)));
    }
    File::open(path).map_err(failed)
}

/// A path whose bytes that are no text are written as `\xE9`.
fn shown_bytes(path: &Path) -> String {
    let chunks = path.as_os_str().as_encoded_bytes().utf8_chunks();
    chunks.fold(String::new(), |mut shown, chunk| {
        shown.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _infallible = write!(shown, "\\x{byte:02X}");
        }
        shown
    })
}

fn json_reason(error: &serde_json::Error) -> String {
    // The position inside the line is said by the column alone; the line is the file's.
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    format!("not a JSON value: {reason} at column {}", error.column())
}

fn csv_error(path: &Path, error: csv::Error, at: u64) -> SourceError {
    let line = error.position().map_or(at, csv::Position::line);
    let path = path.to_owned();
    let reason = match error.into_kind() {
        csv::ErrorKind::Io(source) => return SourceError::Read { path, line, source },
        csv::ErrorKind::Utf8 { .. } => "not UTF-8 text: save the file as UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the record has {len} fields, the header has {expected_len}")
        }
        other => format!("not a CSV record: {other:?}"),
    };
    SourceError::Malformed { path, line, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Makes up an endless file and counts what was read of it.
    struct Counting {
        read: Arc<AtomicU64>,
        pattern: &'static [u8],
        at: usize,
    }

    impl Read for Counting {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for byte in buffer.iter_mut() {
                *byte = self.pattern[self.at % self.pattern.len()];
                self.at += 1;
            }
            self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            Ok(buffer.len())
        }
    }

    fn endless(pattern: &'static [u8]) -> (Arc<AtomicU64>, Counting) {
        let read = Arc::new(AtomicU64::new(0));
        (Arc::clone(&read), Counting { read, pattern, at: 0 })
    }

    fn lines(text: &[u8]) -> Lines<&[u8]> {
        Lines::new(Path::new("in.txt"), text)
    }

    fn csv(text: &'static str) -> Result<Vec<Value>, SourceError> {
        Csv::new(Path::new("in.csv"), text.as_bytes())?.records().collect()
    }

    #[test]
    fn only_the_part_that_is_taken_is_read() {
        let (read, source) = endless(b"0123456789\n");
        let taken: Vec<_> = Lines::new(Path::new("x"), BufReader::new(source))
            .strings()
            .take(3)
            .map(Result::unwrap)
            .collect();
        assert_eq!(taken, ["0123456789"; 3]);
        assert!(read.load(Ordering::Relaxed) < 100_000);

        let (read, source) = endless(b"{\"a\":1}\n");
        assert_eq!(Lines::new(Path::new("x"), BufReader::new(source)).json().take(3).count(), 3);
        assert!(read.load(Ordering::Relaxed) < 100_000);

        let (read, source) = endless(b"a,b\n");
        assert_eq!(Csv::new(Path::new("x"), source).unwrap().records().take(3).count(), 3);
        assert!(read.load(Ordering::Relaxed) < 200_000);
    }

    #[test]
    fn a_line_without_end_is_refused_not_loaded() {
        let (read, source) = endless(b"x");
        let mut tasks = Lines::new(Path::new("x"), BufReader::new(source)).strings();
        let error = tasks.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "x:1: the line is longer than 16 MiB");
        assert!(tasks.next().is_none());
        assert!(read.load(Ordering::Relaxed) < 20 * 1024 * 1024);
    }

    #[test]
    fn lines_lose_their_ends_and_empty_ones_are_skipped() {
        let text = b"\xef\xbb\xbfone\r\n\n  two \n\r\nthree";
        let taken: Vec<_> = lines(text).strings().map(Result::unwrap).collect();
        assert_eq!(taken, ["one", "  two ", "three"]);
        assert_eq!(lines(text).count(|line| !line.is_empty()).unwrap(), 3);
    }

    #[test]
    fn a_line_that_is_no_text_is_named() {
        let mut tasks = lines(b"a\n\nb\xff\nc\n").strings();
        assert_eq!(tasks.next().unwrap().unwrap(), "a");
        let error = tasks.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "in.txt:3: not UTF-8 text: save the file as UTF-8");
        assert!(tasks.next().is_none());
    }

    #[test]
    fn a_line_that_is_no_json_is_named() {
        let mut tasks = lines(b"{\"a\": [1, 2]}\n  \n{\"a\": }\n1\n").json();
        assert_eq!(tasks.next().unwrap().unwrap(), serde_json::json!({"a": [1, 2]}));
        let error = tasks.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "in.txt:3: not a JSON value: expected value at column 7");
        assert!(tasks.next().is_none());
    }

    #[test]
    fn a_record_is_a_table_of_strings() {
        let taken = csv("\u{feff}name,size\r\n\"a, b\",1\r\n\nc,\"two\nlines\"\n").unwrap();
        assert_eq!(
            taken,
            [
                serde_json::json!({"name": "a, b", "size": "1"}),
                serde_json::json!({"name": "c", "size": "two\nlines"})
            ]
        );
    }

    #[test]
    fn a_csv_file_that_makes_no_sense_is_refused_with_its_line() {
        let refused = |text| csv(text).unwrap_err().to_string();
        assert_eq!(refused("a,b\n1,2\n3\n"), "in.csv:3: the record has 1 fields, the header has 2");
        assert_eq!(refused("a,a\n1,2\n"), "in.csv:1: the header has two columns `a`");
        assert_eq!(refused("a,\n1,2\n"), "in.csv:1: column 2 of the header has no name");
        let error = Csv::new(Path::new("in.csv"), &b"a\n1\n\xff\n"[..]).unwrap().records().last().unwrap();
        assert_eq!(error.unwrap_err().to_string(), "in.csv:3: not UTF-8 text: save the file as UTF-8");
    }
}
