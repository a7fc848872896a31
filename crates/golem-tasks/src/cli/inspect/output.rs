//! The destination of results: standard output, or a file that is there only once it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure};
use crate::view::text::clean;

/// Text is passed on in pieces of this size.
const BUFFER: usize = 1 << 16;

/// Takes lines of text.
pub(in crate::cli) struct Destination {
    to: BufWriter<Box<dyn Write>>,
    file: Option<Partial>,
    /// The reader has gone.
    closed: bool,
    /// A terminal, which nothing that strangers wrote may steer.
    terminal: bool,
}

/// A file that is being written under another name.
struct Partial {
    written: PathBuf,
    wanted: PathBuf,
}

/// The file can't be written.
#[derive(Debug, thiserror::Error)]
#[error("can't write `{}`", path.display())]
struct Unwritable {
    path: PathBuf,
    source: io::Error,
}

impl Destination {
    /// Opens the file, or takes standard output where none is named.
    pub(in crate::cli) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let (to, file): (Box<dyn Write>, _) = match path {
            None => (Box::new(io::stdout()), None),
            Some(path) => {
                // A pipe or a device can't be replaced by a file.
                let special = fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
                let written = if special { path.to_owned() } else { partial(path) };
                let failed = |source| unwritable(path, source);
                if path.is_dir() {
                    return Err(failed(io::ErrorKind::IsADirectory.into()));
                }
                let to =
                    if special { File::options().write(true).open(&written) } else { File::create(&written) };
                let to = to.map_err(failed)?;
                (Box::new(to), Some(Partial { written, wanted: path.to_owned() }))
            }
        };
        let terminal = file.is_none() && io::stdout().is_terminal();
        Ok(Self { to: BufWriter::with_capacity(BUFFER, to), file, closed: false, terminal })
    }

    /// Writes text.
    pub(in crate::cli) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes that need not be text: as they are, except to a terminal.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let done = if self.terminal {
            self.to.write_all(clean(&String::from_utf8_lossy(bytes)).as_bytes())
        } else {
            self.to.write_all(bytes)
        };
        self.checked(done)
    }

    /// Writes a row of CSV.
    pub(in crate::cli) fn row<T: AsRef<[u8]>>(&mut self, cells: &[T]) -> Result<(), Failure> {
        match line(cells) {
            Ok(line) => self.bytes(&line),
            Err(error) => self.checked(Err(error)),
        }
    }

    /// True if the reader has gone. What comes would be lost, and nobody misses it.
    pub(in crate::cli) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Everything was written: the file gets its name.
    pub(in crate::cli) fn finish(mut self) -> Result<(), Failure> {
        let done = self.to.flush();
        self.checked(done)?;
        if let Some(Partial { written, wanted }) = self.file.take()
            && written != wanted
        {
            fs::rename(&written, &wanted).map_err(|source| unwritable(&wanted, source))?;
        }
        Ok(())
    }

    fn checked(&mut self, done: io::Result<()>) -> Result<(), Failure> {
        match (done, &self.file) {
            (Ok(()), _) => Ok(()),
            (Err(error), None) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            (Err(error), None) => Err(Failure::lost_output(&error)),
            (Err(error), Some(file)) => Err(unwritable(&file.wanted, error)),
        }
    }
}

impl Drop for Destination {
    /// Removes a file that was begun and not finished.
    fn drop(&mut self) {
        if let Some(Partial { written, wanted }) = &self.file
            && written != wanted
            && let Err(error) = fs::remove_file(written)
        {
            tracing::warn!(%error, path = %written.display(), "a file that was begun can't be removed");
        }
    }
}

/// A line of CSV.
fn line<T: AsRef<[u8]>>(cells: &[T]) -> io::Result<Vec<u8>> {
    let mut line = csv::WriterBuilder::new().from_writer(Vec::new());
    line.write_record(cells.iter().map(AsRef::as_ref))?;
    line.into_inner().map_err(csv::IntoInnerError::into_error)
}

/// The name of a file while it is being written, in the same folder.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn unwritable(path: &Path, source: io::Error) -> Failure {
    Failure::new(Exit::BrokeOff, Unwritable { path: path.to_owned(), source })
}
