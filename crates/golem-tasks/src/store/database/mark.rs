//! The identity of the opened file, so that one that is deleted, moved or replaced under a running program is noticed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::store::Dsn;
use crate::store::trouble::{Vanished, beside};

/// A file as it was when it was opened; nothing where there is none, or where the system has no way to tell files apart.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct FileMark(Option<Arc<Marked>>);

#[derive(Debug)]
struct Marked {
    path: PathBuf,
    wal: PathBuf,
    id: FileId,
}

/// The device and the file's number there.
type FileId = (u64, u64);

impl FileMark {
    /// The file of a database that has just been opened.
    pub(super) fn of(dsn: &Dsn) -> Self {
        let Dsn::Sqlite(path) = dsn else { return Self(None) };
        // Where the program starts from may change, where the file is may not.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let [path, wal, _] = beside(&path);
        let id = file_id(&path);
        Self(id.map(|id| Arc::new(Marked { path, wal, id })))
    }

    /// Fails where the file isn't there any more, or is another one.
    pub(super) fn check(&self) -> Result<(), sqlx::Error> {
        match &self.0 {
            Some(marked) if file_id(&marked.path) != Some(marked.id) => Err(vanished()),
            _ => Ok(()),
        }
    }

    /// Checks the file after something was written, which SQLite keeps in a file of its own beside it for a while.
    pub(super) fn check_kept(&self) -> Result<(), sqlx::Error> {
        self.check()?;
        match &self.0 {
            Some(marked) if file_id(&marked.wal).is_none() => Err(vanished()),
            _ => Ok(()),
        }
    }
}

impl FileMark {
    /// The reason of an error: a file that went away, where that explains it.
    ///
    /// A connection that is opened anew after that finds an empty database, or one without what the lost journal held.
    pub(super) fn explain(&self, error: sqlx::Error) -> sqlx::Error {
        let lacks_tables = || error.to_string().contains("no such table");
        match self.check() {
            Err(vanished) => vanished,
            Ok(()) if self.0.is_some() && lacks_tables() => vanished(),
            Ok(()) => error,
        }
    }
}

fn vanished() -> sqlx::Error {
    sqlx::Error::Io(io::Error::other(Vanished))
}

#[cfg(unix)]
fn file_id(path: &std::path::Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn file_id(_: &std::path::Path) -> Option<FileId> {
    None
}
