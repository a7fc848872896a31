//! Files that are written whole or not at all.

use std::io::{self, Write as _};
use std::path::Path;

/// The readers of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Whoever the user lets read new files.
    Usual,
    /// The user alone.
    Owner,
}

/// Writes a file whole or not at all, over one that is there.
pub(super) fn write_whole(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut beside = path.file_name().unwrap_or_default().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = folder.join(beside);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = readers;
    let written = options
        .open(&beside)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&beside, path));
    written.inspect_err(|_| {
        // Nothing of ours stays behind, if it ever was there.
        drop(std::fs::remove_file(&beside));
    })
}
