//! The private folder of one activity, and the only way to its files from outside.
//!
//! A command may leave any link in its own folders, and change it while we look. So paths are resolved here, link by
//! link and within the root, to a path free of links; that one is then walked folder by folder without following any.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use rustix::io::Errno;

use super::{RuntimeError, leftovers};

/// Links followed before a path is called a loop, as in Linux.
const MAX_LINKS: usize = 40;

/// A folder of its own on the host; its `root` is `/` as the activity sees it. Removed when dropped.
#[derive(Debug)]
pub(super) struct Folder {
    dir: tempfile::TempDir,
    root: PathBuf,
    /// Held as long as we use the folder.
    _lock: File,
    /// Names right under the root that are not the activity's own: the host shows through there.
    foreign: BTreeSet<OsString>,
}

impl Folder {
    /// Makes an empty one in `base`, readable by this user alone.
    pub(super) fn new(base: &Path) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix(leftovers::PREFIX).tempdir_in(base)?;
        let lock = leftovers::lock(dir.path())?;
        // The real path: the host's temporary folder may itself be behind a link.
        let root = dir.path().canonicalize()?.join("root");
        fs::create_dir(&root)?;
        Ok(Self { dir, root, _lock: lock, foreign: BTreeSet::new() })
    }

    /// The activity's `/` on the host.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that holds the root, for what the activity shall not see.
    pub(super) fn outer(&self) -> &Path {
        self.root.parent().expect("the root was joined to its parent")
    }

    /// From now on `name`, right under the root, belongs to the host.
    pub(super) fn set_foreign(&mut self, name: OsString) {
        self.foreign.insert(name);
    }

    /// True if the host shows through at this name right under the root.
    pub(super) fn is_foreign(&self, name: &OsStr) -> bool {
        self.foreign.contains(name)
    }

    /// Makes a folder and those above it; the path is as commands see it.
    pub(super) fn make_dir(&self, path: &str) -> Result<(), RuntimeError> {
        let parts = self.resolve(path)?;
        self.walk(&parts, true).map(drop).map_err(|source| failed(path, source))
    }

    /// Opens a regular file to read.
    pub(super) fn open(&self, path: &str) -> Result<File, RuntimeError> {
        // Not blocking: a pipe left under that name must not hold us until someone writes to it.
        self.open_with(path, OFlags::RDONLY | OFlags::NONBLOCK, false)
    }

    /// Makes or truncates a regular file, and the folders above it.
    pub(super) fn create(&self, path: &str) -> Result<File, RuntimeError> {
        self.open_with(path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK, true)
    }

    fn open_with(&self, path: &str, flags: OFlags, make: bool) -> Result<File, RuntimeError> {
        let parts = self.resolve(path)?;
        let Some((name, above)) = parts.split_last() else {
            return Err(RuntimeError::NotAFile(path.to_owned()));
        };
        let open = || -> Result<OwnedFd, Errno> {
            let parent = self.walk(above, make)?;
            openat(&parent, name.as_os_str(), flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::from(0o644))
        };
        let file = File::from(open().map_err(|source| failed(path, source))?);
        let metadata =
            file.metadata().map_err(|source| RuntimeError::Open { path: path.to_owned(), source })?;
        if metadata.is_file() { Ok(file) } else { Err(RuntimeError::NotAFile(path.to_owned())) }
    }

    /// Goes down from the root through real folders only.
    fn walk(&self, parts: &[OsString], make: bool) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut dir = open(&self.root, flags, Mode::empty())?;
        for part in parts {
            if make {
                match mkdirat(&dir, part.as_os_str(), Mode::from(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
            }
            dir = openat(&dir, part.as_os_str(), flags, Mode::empty())?;
        }
        Ok(dir)
    }

    /// Resolves the path to one without links, `.` and `..`, as the activity's own `/` would.
    fn resolve(&self, path: &str) -> Result<Vec<OsString>, RuntimeError> {
        if !path.starts_with('/') {
            return Err(RuntimeError::OutsideVolumes(path.to_owned()));
        }
        let mut left: Vec<OsString> = parts_of(Path::new(path)).collect();
        left.reverse();
        let mut parts: Vec<OsString> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                parts.pop();
                continue;
            }
            let here: PathBuf = self.root.iter().chain(parts.iter().map(OsString::as_os_str)).collect();
            match fs::read_link(here.join(&part)) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(failed(path, Errno::LOOP));
                    }
                    if target.is_absolute() {
                        parts.clear();
                    }
                    let mut more: Vec<OsString> = parts_of(&target).collect();
                    more.reverse();
                    left.append(&mut more);
                }
                Err(_) => parts.push(part),
            }
        }
        match parts.first() {
            Some(first) if !self.is_foreign(first) => Ok(parts),
            _ => Err(RuntimeError::OutsideVolumes(path.to_owned())),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = leftovers::remove(self.dir.path()) {
            tracing::warn!(folder = %self.dir.path().display(), %error, "an activity's folder stays behind");
        }
    }
}

fn parts_of(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(OsStr::from_bytes(part.as_bytes()).to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

fn failed(path: &str, error: Errno) -> RuntimeError {
    match error {
        Errno::NOENT | Errno::NOTDIR => RuntimeError::NoSuchFile(path.to_owned()),
        Errno::ISDIR | Errno::NXIO => RuntimeError::NotAFile(path.to_owned()),
        error => RuntimeError::Open { path: path.to_owned(), source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::symlink;

    fn folder() -> Folder {
        Folder::new(&std::env::temp_dir()).unwrap()
    }

    fn text(folder: &Folder, path: &str) -> Result<String, RuntimeError> {
        let mut text = String::new();
        folder.open(path)?.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn files_are_made_with_the_folders_above_them() {
        let folder = folder();
        folder.create("/golem/work/deep/er/file").unwrap().write_all(b"one").unwrap();
        assert_eq!(text(&folder, "/golem/work/deep/../deep/./er/file").unwrap(), "one");
        folder.create("/golem/work/deep/er/file").unwrap().write_all(b"2").unwrap();
        assert_eq!(text(&folder, "//golem/work/deep/er/file").unwrap(), "2");
    }

    #[test]
    fn no_path_leaves_the_root() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let secret = outside.path().join("secret").display().to_string();
        let mut folder = folder();
        folder.set_foreign("usr".into());
        folder.make_dir("/golem/work").unwrap();
        let work = folder.root().join("golem/work");
        symlink(&secret, work.join("absolute")).unwrap();
        symlink(outside.path(), work.join("dir")).unwrap();
        symlink(format!("../../../../../../../../../../../..{secret}"), work.join("relative")).unwrap();
        symlink("/usr/lib/os-release", work.join("foreign")).unwrap();
        symlink("loop", work.join("loop")).unwrap();
        for (path, named) in [
            ("/golem/work/absolute".to_owned(), "doesn't exist"),
            ("/golem/work/relative".to_owned(), "doesn't exist"),
            ("/golem/work/dir/secret".to_owned(), "doesn't exist"),
            (format!("/golem/../../../../../../../../..{secret}"), "doesn't exist"),
            ("/golem/work/foreign".to_owned(), "in no volume"),
            ("/usr/bin/env".to_owned(), "in no volume"),
            ("golem/work/x".to_owned(), "in no volume"),
            ("/".to_owned(), "in no volume"),
            ("/golem/work/loop".to_owned(), "can't be opened"),
            ("/golem/work".to_owned(), "not a regular file"),
        ] {
            let error = folder.open(&path).unwrap_err().to_string();
            assert!(error.contains(named), "{path}: {error}");
        }
        folder.create("/golem/work/absolute").unwrap().write_all(b"mine").unwrap();
        folder.create("/golem/work/dir/new").unwrap();
        assert!(folder.create("/golem/work/foreign").is_err());
        assert_eq!(fs::read_to_string(&secret).unwrap(), "s");
        assert!(!outside.path().join("new").exists());
        assert_eq!(text(&folder, &secret).unwrap(), "mine", "an absolute link means the activity's own root");
    }

    #[test]
    fn a_pipe_is_refused_and_blocks_nobody() {
        let folder = folder();
        folder.make_dir("/golem").unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(folder.root().join("golem/pipe"))
            .status()
            .unwrap()
            .success();
        assert!(made);
        assert!(matches!(folder.open("/golem/pipe"), Err(RuntimeError::NotAFile(_))));
        assert!(matches!(folder.create("/golem/pipe"), Err(RuntimeError::NotAFile(_))));
    }

    #[test]
    fn a_folder_without_permissions_is_removed_too() {
        let folder = folder();
        folder.make_dir("/golem/locked/inner").unwrap();
        folder.create("/golem/locked/inner/file").unwrap();
        let outer = folder.outer().to_owned();
        fs::set_permissions(folder.root().join("golem/locked"), fs::Permissions::from_mode(0o000)).unwrap();
        drop(folder);
        assert!(!outer.exists());
    }
}
