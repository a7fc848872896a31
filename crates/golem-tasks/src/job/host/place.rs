//! The real target of a path, whether or not anything is there yet.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use sha3::{Digest as _, Sha3_256};

/// Folders that are remembered at once: tasks write into few of them, most of the time.
const FOLDERS: usize = 4096;
/// Entries of a folder that are looked at to find out whether its file system tells `A` from `a`.
const LOOKED_AT: usize = 64;

/// A file, by a hash of where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId(u128);

/// Turns paths into files.
#[derive(Debug, Default)]
pub(super) struct Places {
    folders: HashMap<PathBuf, Folder>,
}

/// The facts about a folder.
#[derive(Debug, Clone)]
struct Folder {
    /// The path of it, without links as far as it exists.
    path: PathBuf,
    ignores_case: bool,
}

impl Places {
    /// The file at a path. A link that stands there itself isn't followed: a download replaces it.
    pub(super) fn id(&mut self, path: &Path) -> FileId {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => {
                let folder = self.folder(parent);
                file_id(&folder.path.join(name), folder.ignores_case)
            }
            // It ends in `..`, or is the root: no file can be there.
            _ => file_id(&resolved(path), false),
        }
    }

    /// The files that are read where an input is: the one there, and the one that a link there leads to.
    pub(super) fn ids_of_input(&mut self, path: &Path) -> Vec<FileId> {
        let mut ids = vec![self.id(path)];
        let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        if is_link && let Ok(real) = fs::canonicalize(path) {
            ids.push(self.id(&real));
        }
        ids
    }

    fn folder(&mut self, path: &Path) -> &Folder {
        if self.folders.len() >= FOLDERS && !self.folders.contains_key(path) {
            self.folders.clear();
        }
        self.folders.entry(path.to_owned()).or_insert_with(|| {
            let path = resolved(path);
            let ignores_case = ignores_case(&path);
            Folder { path, ignores_case }
        })
    }
}

fn file_id(path: &Path, ignores_case: bool) -> FileId {
    let mut hash = Sha3_256::new();
    match path.to_str() {
        Some(text) if ignores_case => hash.update(folded(text)),
        _ => hash.update(path.as_os_str().as_encoded_bytes()),
    }
    let bytes: [u8; 16] = std::array::from_fn({
        let hash = hash.finalize();
        move |at| hash[at]
    });
    FileId(u128::from_le_bytes(bytes))
}

/// A text as file systems compare it that ignore case.
fn folded(text: &str) -> String {
    text.to_uppercase().to_lowercase()
}

/// The path from the root on: links are followed as far as there is something, and beyond that `..` takes back what was
/// before it.
fn resolved(path: &Path) -> PathBuf {
    // A bare name has an empty folder, which is the one that the program is in.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut real = PathBuf::new();
    // The number of names at the end of it that don't exist.
    let mut missing = 0_usize;
    for part in path.components() {
        match part {
            Component::Prefix(_) | Component::RootDir => real.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                real.pop();
                missing = missing.saturating_sub(1);
            }
            Component::Normal(name) => {
                real.push(name);
                if missing > 0 {
                    missing += 1;
                } else {
                    match fs::canonicalize(&real) {
                        Ok(found) => real = found,
                        Err(_) => missing = 1,
                    }
                }
            }
        }
    }
    real
}

/// True where the file system takes `A` for `a` in this folder, or will once it is there. Nothing is written to find out:
/// something that is there is looked for under a name that differs by case only.
fn ignores_case(folder: &Path) -> bool {
    let system = cfg!(any(windows, target_os = "macos"));
    let Some(existing) = folder.ancestors().find(|folder| folder.is_dir()) else {
        return system;
    };
    if let Ok(entries) = fs::read_dir(existing) {
        let names: Vec<_> =
            entries.filter_map(Result::ok).take(LOOKED_AT).map(|entry| entry.file_name()).collect();
        if let Some(told) = names.iter().find_map(|name| told_by(existing, name)) {
            return told;
        }
    }
    // An empty folder: the one above tells where it is on the same file system.
    match (existing.parent(), existing.file_name()) {
        (Some(above), Some(name)) if same_file_system(existing, above) => {
            told_by(above, name).unwrap_or(system)
        }
        _ => system,
    }
}

/// The fact that an entry shows about its folder; none where its name has no letters.
fn told_by(folder: &Path, name: &OsStr) -> Option<bool> {
    let text = name.to_str()?;
    let other: String = text
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    if other == text {
        return None;
    }
    let (own, other) = (folder.join(name), folder.join(other));
    Some(match (fs::canonicalize(&own), fs::canonicalize(&other)) {
        // Where both are there, they are one file or two that have nothing to do with each other.
        (Ok(own), Ok(other)) => own == other || same_file(&own, &other),
        _ => false,
    })
}

#[cfg(unix)]
fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => {
            // A file with several names may be there under both.
            (one.dev(), one.ino()) == (other.dev(), other.ino()) && (one.is_dir() || one.nlink() == 1)
        }
        _ => false,
    }
}

#[cfg(not(unix))]
fn same_file(_: &Path, _: &Path) -> bool {
    false
}

#[cfg(unix)]
fn same_file_system(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    matches!((fs::metadata(one), fs::metadata(other)), (Ok(one), Ok(other)) if one.dev() == other.dev())
}

#[cfg(not(unix))]
fn same_file_system(_: &Path, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_case_are_one_file_where_case_is_ignored() {
        for (one, other, same) in [
            ("/out/A.txt", "/out/a.txt", true),
            ("/Out/É", "/out/é", true),
            ("/out/straße", "/out/STRASSE", true),
            ("/out/a", "/out/b", false),
        ] {
            let (one, other) = (Path::new(one), Path::new(other));
            assert_eq!(
                file_id(one, true) == file_id(other, true),
                same,
                "{} {}",
                one.display(),
                other.display()
            );
            assert_ne!(file_id(one, false), file_id(other, false));
        }
    }

    #[test]
    fn what_ignores_case_is_found_out_from_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Name"), "").unwrap();
        let ignored = folder.path().join("nAME").exists();
        assert_eq!(ignores_case(folder.path()), ignored);
        assert_eq!(ignores_case(&folder.path().join("not/yet")), ignored);
        fs::create_dir(folder.path().join("Empty")).unwrap();
        assert_eq!(ignores_case(&folder.path().join("Empty")), ignored);
        // Digits tell nothing, two files of different names are two files.
        assert_eq!(told_by(folder.path(), OsStr::new("123")), None);
        fs::write(folder.path().join("nAME"), "").unwrap();
        assert_eq!(told_by(folder.path(), OsStr::new("Name")), Some(ignored));
    }
}
