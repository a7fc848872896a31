//! Folders of activities whose process was killed before it could remove them.
//!
//! Each folder holds a file that its owner keeps locked; the kernel unlocks it when the owner ends, however that
//! happens. So a folder whose lock can be had is nobody's, whatever became of process numbers meanwhile.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// The beginning of the name of an activity's folder.
pub(super) const PREFIX: &str = "golem-activity-";
/// The locked file in it.
const LOCK: &str = "lock";

/// Marks a folder as ours for as long as the file lives.
pub(super) fn lock(dir: &Path) -> io::Result<File> {
    // Under another name until it is locked: nobody shall find it free in between.
    let early = dir.join("lock.new");
    let file = File::create(&early)?;
    file.try_lock()?;
    fs::rename(&early, dir.join(LOCK))?;
    Ok(file)
}

/// Removes the folders in `base` that belong to this user and to no process any more; says how many.
pub(super) fn sweep(base: &Path) -> usize {
    let Ok(entries) = fs::read_dir(base) else { return 0 };
    let ours = entries.flatten().filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(PREFIX)
            && fs::symlink_metadata(entry.path())
                .is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw())
    });
    ours.filter(|entry| is_left(&entry.path()) == Some(true)).count()
}

/// Removes a folder if it is nobody's. `None` when that can't be told.
fn is_left(dir: &Path) -> Option<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let lock = File::from(openat(CWD, dir.join(LOCK), flags, Mode::empty()).ok()?);
    if lock.try_lock().is_err() {
        return Some(false);
    }
    match remove(dir) {
        Ok(()) => Some(true),
        Err(error) => {
            tracing::debug!(folder = %dir.display(), %error, "a folder that nobody uses can't be removed");
            Some(false)
        }
    }
}

/// Removes an activity's folder with all that is in it.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    // A command may have taken its own folders' permissions away, which stops everyone but root from removing them.
    fs::remove_dir_all(dir).or_else(|_| {
        give_back_permissions(dir);
        fs::remove_dir_all(dir)
    })
}

fn give_back_permissions(dir: &Path) {
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        if fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).is_err() {
            continue;
        }
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::runtime::folder::Folder;

    #[test]
    fn only_folders_that_nobody_holds_are_swept() {
        let base = tempfile::tempdir().unwrap();
        let held = Folder::new(base.path()).unwrap();
        let left = base.path().join("golem-activity-left");
        fs::create_dir_all(left.join("root/closed/deep")).unwrap();
        drop(lock(&left).unwrap());
        fs::set_permissions(left.join("root/closed"), fs::Permissions::from_mode(0o000)).unwrap();
        // No lock, or not even of that name: who knows whose they are.
        let unmarked = base.path().join("golem-activity-unmarked");
        let other = base.path().join("something-else");
        for dir in [&unmarked, &other] {
            fs::create_dir(dir).unwrap();
        }
        drop(lock(&other).unwrap());
        let link = base.path().join("golem-activity-link");
        std::os::unix::fs::symlink(&other, &link).unwrap();

        assert_eq!(sweep(base.path()), 1);
        assert!(!left.exists());
        assert!(held.root().is_dir() && unmarked.is_dir() && other.is_dir() && link.is_symlink());
        assert_eq!(sweep(base.path()), 0);
        drop(held);
        assert_eq!(sweep(base.path()), 0, "an orderly end leaves nothing behind");
    }
}
