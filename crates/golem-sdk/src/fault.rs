//! Failures of the requestor's own machine: which they are, and whether what failed works again.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use golem_core::run::OwnFault;
use tokio::time::timeout;

use crate::transfer::TransferError;

/// A look at a file system that takes longer than this has failed.
const PROBE: Duration = Duration::from_secs(10);
/// So many bytes are written to see whether there is room again, beyond those that failed; and the most.
const ROOM: u64 = 64 * 1024;
const MOST_ROOM: u64 = 64 << 20;
/// So many files are opened at once to see whether that is possible again.
const FILES: usize = 16;

/// The numbers of "too many open files", in this process and in the system, and of a failing device.
#[cfg(unix)]
const OUT_OF_FILES: [i32; 2] =
    [rustix::io::Errno::MFILE.raw_os_error(), rustix::io::Errno::NFILE.raw_os_error()];
#[cfg(unix)]
const BROKEN_DEVICE: i32 = rustix::io::Errno::IO.raw_os_error();

/// True if this error, or one that caused it, says that the process or the system is out of open files.
pub(crate) fn is_out_of_files(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(one) = error {
        if one.downcast_ref::<io::Error>().is_some_and(lacks_files) {
            return true;
        }
        error = one.source();
    }
    false
}

#[cfg(unix)]
fn lacks_files(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| OUT_OF_FILES.contains(&code))
}

#[cfg(not(unix))]
fn lacks_files(_: &io::Error) -> bool {
    false
}

#[cfg(unix)]
fn is_device_broken(error: &io::Error) -> bool {
    error.raw_os_error() == Some(BROKEN_DEVICE)
}

#[cfg(not(unix))]
fn is_device_broken(_: &io::Error) -> bool {
    false
}

/// True if writing fails for a reason that is neither the provider's nor the task's.
pub(crate) fn spoils_writing(error: &io::Error) -> bool {
    let by_kind = matches!(
        error.kind(),
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::FileTooLarge
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::OutOfMemory
    );
    by_kind || spoils_reading(error)
}

/// True if reading fails for such a reason: a file that is missing or may not be read is a matter of its task.
pub(crate) fn spoils_reading(error: &io::Error) -> bool {
    let by_kind = matches!(error.kind(), ErrorKind::StaleNetworkFileHandle | ErrorKind::OutOfMemory);
    by_kind || lacks_files(error) || is_device_broken(error)
}

/// The fault of this machine that a failed transfer shows, if it does; `bytes` were to be written.
pub(crate) fn of_transfer(error: &TransferError, bytes: u64) -> Option<OwnFault> {
    let ours = match error {
        TransferError::Unwritable { source, .. } => spoils_writing(source),
        TransferError::Unreadable { source, .. } => spoils_reading(source),
        TransferError::Bus(source) => is_out_of_files(source),
        TransferError::Broken => false,
    };
    ours.then(|| {
        let folder = match error {
            TransferError::Unwritable { path, .. } => path.parent().map(Path::to_owned),
            _ => None,
        };
        OwnFault { problem: crate::text::chain(error), folder, bytes }
    })
}

/// Looks whether what failed works again. The answer is what still fails.
pub(crate) async fn probe(fault: OwnFault) -> Option<String> {
    let OwnFault { problem, folder, bytes } = fault;
    let tried = tokio::task::spawn_blocking(move || -> Result<(), (PathBuf, io::Error)> {
        if let Some(folder) = folder {
            let size = bytes.saturating_add(ROOM).min(MOST_ROOM);
            try_writing(&folder, size).map_err(|error| (folder, error))?;
        }
        let open = || std::fs::File::open(std::env::temp_dir());
        let files: Result<Vec<_>, _> = std::iter::repeat_with(open).take(FILES).collect();
        match files {
            Err(error) if lacks_files(&error) => Err((std::env::temp_dir(), error)),
            _ => Ok(()),
        }
    });
    match timeout(PROBE, tried).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err((path, source)))) => Some(crate::text::chain(&TransferError::Unwritable { path, source })),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("{problem}; a look at it took longer than {} s", PROBE.as_secs())),
    }
}

/// Makes a folder, and sees whether something can be written there.
///
/// **Errors**: [`TransferError::Unwritable`].
///
/// **Cancel safety**: the folder, or a file in it, may be there where the future is dropped.
pub async fn try_folder(folder: impl Into<PathBuf>) -> Result<(), TransferError> {
    let path = folder.into();
    let folder = path.clone();
    let tried = tokio::task::spawn_blocking(move || try_writing(&folder, 4096));
    let source = match timeout(PROBE, tried).await {
        Ok(Ok(Ok(()))) => return Ok(()),
        Ok(Ok(Err(error))) => error,
        Ok(Err(error)) => io::Error::other(error),
        Err(_) => io::Error::new(ErrorKind::TimedOut, format!("it took longer than {} s", PROBE.as_secs())),
    };
    Err(TransferError::Unwritable { path, source })
}

fn try_writing(folder: &Path, size: u64) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::tempfile_in(folder)?;
    let block = vec![1; 64 * 1024];
    let mut left = size;
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        file.write_all(&block[..n])?;
        left -= n as u64;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_this_machine_is_told_from_what_is_wrong_with_a_task() {
        let write = |kind: ErrorKind| {
            let path = PathBuf::from("out/1");
            of_transfer(&TransferError::Unwritable { path, source: kind.into() }, 5)
        };
        let read = |kind: ErrorKind| {
            let path = PathBuf::from("in/1");
            of_transfer(&TransferError::Unreadable { path, source: kind.into() }, 0)
        };
        for kind in [
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::ReadOnlyFilesystem,
            ErrorKind::PermissionDenied,
            ErrorKind::NotADirectory,
        ] {
            let fault = write(kind).unwrap();
            assert_eq!((fault.folder, fault.bytes), (Some(PathBuf::from("out")), 5), "{kind:?}");
            assert!(fault.problem.contains("out/1 can't be written"), "{}", fault.problem);
            assert_eq!(read(kind), None, "{kind:?}");
        }
        for kind in [ErrorKind::NotFound, ErrorKind::IsADirectory, ErrorKind::InvalidFilename] {
            assert_eq!((write(kind), read(kind)), (None, None), "{kind:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn too_many_open_files_is_found_wherever_it_is_said() {
        let full = || io::Error::from_raw_os_error(OUT_OF_FILES[0]);
        assert!(spoils_reading(&full()) && spoils_writing(&full()));
        let wrapped =
            yagna_client::TransportError::Unreachable { address: "here".into(), source: full().into() };
        assert!(is_out_of_files(&wrapped));
        assert!(!is_out_of_files(&io::Error::from(ErrorKind::ConnectionRefused)));
    }

    #[tokio::test]
    async fn a_folder_is_tried_out_and_nothing_is_left_in_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        try_folder(&folder).await.unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        let file = home.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let error = try_folder(file.join("out")).await.unwrap_err();
        let fault = of_transfer(&error, 0).unwrap();
        assert!(probe(OwnFault { folder: Some(file.join("out")), ..fault.clone() }).await.is_some());
        std::fs::remove_file(&file).unwrap();
        assert_eq!(probe(OwnFault { folder: Some(file.join("out")), ..fault }).await, None);
    }
}
