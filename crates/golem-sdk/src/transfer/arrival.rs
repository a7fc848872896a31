//! Files that providers bring, before they have their names.
//!
//! A file is written beside its target under a name of its own, `.partial-*`. It takes its target's name in one step, when
//! whoever waits for it knows that it is right. A process that is killed leaves such files behind: the next one that brings
//! a file into the same folder removes those that nobody holds any more.

use std::collections::HashSet;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use sha3::{Digest, Sha3_256};
use tempfile::NamedTempFile;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::TransferError;

/// The beginning and the end of the names that unfinished files have.
const PREFIX: &str = ".partial-";
const SUFFIX: &str = ".tmp";
/// The number of random characters between the two.
const RANDOM: usize = 12;
/// The number of times that a partial file is made anew because another process has just removed it as one that nobody
/// holds.
const CREATIONS: usize = 5;

/// Folders in which this process has looked for files that killed processes left.
static SWEPT: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// The beginning of a file that is on its way.
#[derive(Debug)]
pub(super) struct Partial {
    named: NamedTempFile,
    file: File,
    pub(super) arrived: u64,
    pub(super) end: u64,
}

/// A file that is whole, on the disk, and doesn't have its name yet. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Arrival {
    named: NamedTempFile,
    path: PathBuf,
}

/// A place for a file that arrives.
pub(crate) type ArrivalSlot = Arc<Mutex<Option<Arrival>>>;

/// Files that have arrived whole and don't have their names yet.
///
/// [`WorkContext::name_files`](crate::WorkContext::name_files) gives them their names. Until then nothing at their targets has changed; dropping them removes them.
#[derive(Debug, Default)]
#[must_use = "files that aren't named are removed"]
pub struct Arrivals(Vec<Arrival>);

impl Partial {
    /// Begins a file beside its target, so that giving it its name is one step that can't be half done.
    pub(super) async fn create(path: &Path) -> std::io::Result<Self> {
        let path = path.to_owned();
        let (named, file) = blocking(move || {
            refuse_odd(&path)?;
            let folder = folder_of(&path);
            std::fs::create_dir_all(folder)?;
            sweep_once(folder);
            let named = held(folder)?;
            let file = named.reopen()?;
            Ok((named, file))
        })
        .await?;
        Ok(Self { named, file: File::from_std(file), arrived: 0, end: 0 })
    }

    pub(super) async fn write(&mut self, offset: u64, content: &[u8]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(offset)).await?;
        self.file.write_all(content).await?;
        self.arrived += content.len() as u64;
        self.end = self.end.max(offset + content.len() as u64);
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush().await
    }

    pub(super) async fn hash(&mut self) -> std::io::Result<Vec<u8>> {
        Ok(digest(&mut self.file).await?.0)
    }

    pub(super) async fn sync(&self) -> std::io::Result<()> {
        self.file.sync_all().await
    }

    /// Ends it: nothing is written to it any more.
    pub(super) fn arrive(self, path: PathBuf) -> Arrival {
        Arrival { named: self.named, path }
    }
}

impl Arrival {
    /// Gives the file its name; another file of that name is replaced.
    pub(super) async fn name(self) -> std::io::Result<()> {
        blocking(move || {
            refuse_odd(&self.path)?;
            self.named.persist(&self.path).map(drop).map_err(|error| error.error)
        })
        .await
    }
}

impl Arrivals {
    pub(crate) fn new(arrivals: impl IntoIterator<Item = Arrival>) -> Self {
        Self(arrivals.into_iter().collect())
    }

    /// Adds others to these, to be named together with them.
    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// Adds a file of these bytes, to be named together with the others.
    ///
    /// **Errors**: [`TransferError::Unwritable`].
    pub async fn add(&mut self, path: impl Into<PathBuf>, bytes: &[u8]) -> Result<(), TransferError> {
        let path = path.into();
        let written = async {
            let mut partial = Partial::create(&path).await?;
            partial.write(0, bytes).await?;
            partial.flush().await?;
            partial.sync().await?;
            Ok(partial)
        };
        match written.await {
            Ok(partial) => {
                self.0.push(partial.arrive(path));
                Ok(())
            }
            Err(source) => Err(TransferError::Unwritable { path, source }),
        }
    }

    /// Gives all of them their names. Where one can't have its name, that is found before the first gets its own, as far
    /// as it can be known.
    ///
    /// **Errors**: [`TransferError::Unwritable`].
    ///
    /// **Cancel safety**: some may have their names where the future is dropped.
    pub(crate) async fn name(self) -> Result<(), TransferError> {
        for Arrival { path, .. } in &self.0 {
            let target = path.clone();
            let looked = blocking(move || refuse_odd(&target)).await;
            looked.map_err(|source| TransferError::Unwritable { path: path.clone(), source })?;
        }
        for arrival in self.0 {
            let path = arrival.path.clone();
            arrival.name().await.map_err(|source| TransferError::Unwritable { path, source })?;
        }
        Ok(())
    }
}

/// The hash of a whole file, and how many bytes that was.
pub(super) async fn digest(file: &mut File) -> std::io::Result<(Vec<u8>, u64)> {
    let mut hasher = Sha3_256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    file.seek(SeekFrom::Start(0)).await?;
    loop {
        match file.read(&mut buffer).await? {
            0 => return Ok((hasher.finalize().to_vec(), size)),
            n => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}

/// Runs something that may block on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(std::io::Error::other(error)),
    }
}

/// A device or a pipe would be replaced, and a folder can't be.
fn refuse_odd(path: &Path) -> std::io::Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            Err(std::io::Error::other("it is there and isn't a regular file"))
        }
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A file without its name yet, with the rights that the user's files have, locked for as long as it is ours.
fn held(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut named = builder.tempfile_in(folder)?;
    for _ in 0..CREATIONS {
        // Where the file system knows no locks, nobody sweeps either.
        let locked = named.as_file().lock().is_ok();
        if !locked || named.path().exists() {
            break;
        }
        named = builder.tempfile_in(folder)?;
    }
    Ok(named)
}

fn sweep_once(folder: &Path) {
    let Ok(real) = folder.canonicalize() else { return };
    let is_new = SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(real);
    if is_new {
        sweep(folder);
    }
}

/// Removes what killed processes left in a folder: partial files that nobody holds.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_partial = entry.file_name().to_str().is_some_and(is_partial);
        if !is_partial || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = std::fs::File::open(entry.path()) else { continue };
        if file.try_lock().is_ok() && std::fs::remove_file(entry.path()).is_ok() {
            tracing::debug!(file = %entry.path().display(), "removed what a killed process left");
        }
    }
}

fn is_partial(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn arrived(path: &Path, content: &[u8]) -> Arrivals {
        let mut arrivals = Arrivals::default();
        arrivals.add(path, content).await.unwrap();
        arrivals
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_isnt_named_leaves_nothing_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "good").unwrap();
        drop(arrived(&path, b"").await);
        assert_eq!(
            (std::fs::read(&path).unwrap(), names(folder.path())),
            (b"good".to_vec(), vec!["a".into()])
        );
        arrived(&path, b"better").await.name().await.unwrap();
        assert_eq!(
            (std::fs::read(&path).unwrap(), names(folder.path())),
            (b"better".to_vec(), vec!["a".into()])
        );
    }

    #[tokio::test]
    async fn none_is_named_where_one_cant_be() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let mut both = arrived(&first, b"1").await;
        both.append(arrived(&second, b"2").await);
        std::fs::create_dir(&second).unwrap();
        let error = both.name().await.unwrap_err();
        assert!(matches!(&error, TransferError::Unwritable { path, .. } if *path == second), "{error}");
        assert_eq!(names(folder.path()), ["b"]);
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_removed_and_what_somebody_holds_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(".partial-AbCdEf012345.tmp");
        std::fs::write(&left, "half").unwrap();
        for others in [".partial-notes.tmp", ".partial-AbCdEf012345", "partial-AbCdEf012345.tmp"] {
            std::fs::write(folder.path().join(others), "a user's").unwrap();
        }
        let held = held(folder.path()).unwrap();
        let arrivals = arrived(&folder.path().join("a"), b"1").await;
        assert!(!left.exists());
        assert!(held.path().exists());
        assert_eq!(names(folder.path()).len(), 5, "{:?}", names(folder.path()));
        arrivals.name().await.unwrap();
        sweep(folder.path());
        assert!(held.path().exists());
        assert_eq!(names(folder.path()).len(), 5);
    }
}
