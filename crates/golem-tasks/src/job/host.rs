//! The files of this machine that a job reads and writes, so that no result replaces another one or an input.
//!
//! Files are compared by where they really are: `out/a/../b` is `out/b`, a folder that is a link is the folder it leads
//! to, and where a file system takes `A` for `a`, so do we. Of each file sixteen bytes are kept, whatever its name.
//!
//! Left to others: what to do about a clash.

mod place;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::{Path, PathBuf};

use place::{FileId, Places};

/// A file of the host that one step of one task reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch<'p> {
    /// An upload reads it.
    Read(&'p Path),
    /// A download writes it.
    Write(&'p Path),
}

/// Two uses of one file, one of which would destroy the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Clash {
    reason: String,
    /// The way out.
    pub(crate) help: &'static str,
}

/// The role of a file in the job, apart from the work of its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The job file.
    Job,
    /// The file that the tasks are read from.
    Source,
    /// A file that `[payload]` names.
    Payload,
    /// A file that the set-up uploads.
    Setup,
    /// The database of runs, or one of the files that SQLite keeps beside it.
    Database,
}

/// All files that were seen so far.
#[derive(Debug, Default)]
pub(crate) struct HostFiles {
    places: Places,
    /// Files that no task may write.
    kept: HashMap<FileId, Role, Ready>,
    /// The task that writes each file.
    writers: HashMap<FileId, u64, Ready>,
    /// The task that reads each file first.
    readers: HashMap<FileId, u64, Ready>,
}

impl HostFiles {
    /// Files that no task may write, whatever else happens.
    pub(crate) fn keep(&mut self, files: impl IntoIterator<Item = (PathBuf, Role)>) {
        for (path, role) in files {
            for id in self.places.ids_of_input(&path) {
                self.kept.entry(id).or_insert(role);
            }
        }
    }

    /// Forgets the tasks, as for another run of the same job.
    pub(crate) fn forget_tasks(&mut self) {
        self.writers.clear();
        self.readers.clear();
    }

    /// The files that no task may write, and no task.
    pub(crate) fn without_tasks(&self) -> Self {
        Self { kept: self.kept.clone(), ..Self::default() }
    }

    /// Takes note of the files of one task, in the order of its steps. The same task may come again.
    ///
    /// # Errors
    /// The place of the step that clashes, among these.
    pub(crate) fn add<'p>(
        &mut self,
        task: u64,
        touched: impl IntoIterator<Item = (usize, Touch<'p>)>,
    ) -> Result<(), (usize, Clash)> {
        let mut own = Vec::new();
        for (step, touch) in touched {
            match touch {
                Touch::Read(path) => self.read(task, path),
                Touch::Write(path) => self.write(task, path, &mut own),
            }
            .map_err(|clash| (step, clash))?;
        }
        Ok(())
    }

    fn write(&mut self, task: u64, path: &Path, own: &mut Vec<FileId>) -> Result<(), Clash> {
        let shown = path.display();
        let id = self.places.id(path);
        if own.contains(&id) {
            let reason = format!("two steps of task {task} would write `{shown}`");
            return Err(Clash { reason, help: "give each its own name" });
        }
        own.push(id);
        if let Some(role) = self.kept.get(&id) {
            let reason = format!("task {task} would write `{shown}`, which is {role}");
            return Err(Clash { reason, help: INTO_ANOTHER_FOLDER });
        }
        if let Some(reader) = self.readers.get(&id) {
            return Err(replaced_input(task, &shown, *reader));
        }
        match self.writers.entry(id) {
            Entry::Vacant(free) => {
                free.insert(task);
                Ok(())
            }
            Entry::Occupied(writer) if *writer.get() == task => Ok(()),
            Entry::Occupied(writer) => {
                let other = *writer.get();
                let (first, second) = (other.min(task), other.max(task));
                let reason = format!("tasks {first} and {second} would both write `{shown}`");
                Err(Clash { reason, help: "put {{ index }} into the name: it differs for every task" })
            }
        }
    }

    fn read(&mut self, task: u64, path: &Path) -> Result<(), Clash> {
        for id in self.places.ids_of_input(path) {
            if let Some(writer) = self.writers.get(&id) {
                return Err(replaced_input(*writer, &path.display(), task));
            }
            self.readers.entry(id).or_insert(task);
        }
        Ok(())
    }
}

const INTO_ANOTHER_FOLDER: &str = "write results into a folder of their own, for example \"out/{{ index }}\"";

fn replaced_input(writer: u64, shown: &dyn fmt::Display, reader: u64) -> Clash {
    let reason = if writer == reader {
        format!(
            "task {writer} would write `{shown}`, which it reads itself: the result would replace the input"
        )
    } else {
        format!(
            "task {writer} would write `{shown}`, which task {reader} reads: the result would replace the input"
        )
    };
    Clash { reason, help: INTO_ANOTHER_FOLDER }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Job => "the job file itself",
            Self::Source => "the file that the tasks are read from",
            Self::Payload => "a file that [payload] names",
            Self::Setup => "a file that the set-up uploads",
            Self::Database => "the database of runs",
        })
    }
}

/// Takes what is a hash already as it is.
type Ready = BuildHasherDefault<First>;

/// The first eight bytes that come.
#[derive(Debug, Default)]
struct First(u64);

impl Hasher for First {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().take(8) {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.write(&number.to_le_bytes());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &mut HostFiles, task: u64, path: &Path) -> Result<(), String> {
        files.add(task, [(0, Touch::Write(path))]).map_err(|(_, clash)| clash.to_string())
    }

    fn read(files: &mut HostFiles, task: u64, path: &Path) -> Result<(), String> {
        files.add(task, [(0, Touch::Read(path))]).map_err(|(_, clash)| clash.to_string())
    }

    #[test]
    fn two_writers_of_one_file_are_named_however_many_lie_between_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = HostFiles::default();
        for task in 0..20_000 {
            write(&mut files, task, &folder.path().join(format!("out/{task}"))).unwrap();
        }
        let clash = write(&mut files, 20_000, &folder.path().join("out/17")).unwrap_err();
        assert!(clash.starts_with("tasks 17 and 20000 would both write `"), "{clash}");
        // Whoever has a file already may write it again: it is another attempt.
        write(&mut files, 17, &folder.path().join("out/17")).unwrap();
    }

    #[test]
    fn other_spellings_of_a_path_are_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("real/deep")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("real/deep", at("link")).unwrap();
        for (first, second, same) in [
            ("out/b", "out/a/../b", true),
            ("out/b", "./out//b", true),
            ("new/x/../../out/b", "out/b", true),
            ("real/deep/b", "link/b", cfg!(unix)),
            // The folder above a link is the one above where it leads to.
            ("real/b", "link/../b", cfg!(unix)),
            ("b", "link/../b", !cfg!(unix)),
            ("out/b", "out/b/c", false),
            ("out/b", "out/c", false),
        ] {
            let mut files = HostFiles::default();
            write(&mut files, 0, &at(first)).unwrap();
            assert_eq!(write(&mut files, 1, &at(second)).is_err(), same, "{first} {second}");
        }
    }

    #[test]
    fn inputs_are_not_written_whoever_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::write(at("in"), "").unwrap();
        let mut files = HostFiles::default();
        read(&mut files, 5, &at("in")).unwrap();
        let clash = write(&mut files, 3, &at("x/../in")).unwrap_err();
        assert!(clash.contains("task 3 would write") && clash.contains("which task 5 reads"), "{clash}");
        write(&mut files, 3, &at("out")).unwrap();
        let clash = read(&mut files, 9, &at("out")).unwrap_err();
        assert!(clash.contains("task 3 would write") && clash.contains("which task 9 reads"), "{clash}");
        // Many may read one file.
        read(&mut files, 6, &at("in")).unwrap();
        let own = [(0, Touch::Read(Path::new("same"))), (1, Touch::Write(Path::new("same")))];
        let (step, clash) = files.add(7, own).unwrap_err();
        assert_eq!(step, 1);
        assert!(clash.to_string().contains("which it reads itself"), "{clash}");
        let twice = [(0, Touch::Write(Path::new("twice"))), (2, Touch::Write(Path::new("./twice")))];
        assert_eq!(files.add(8, twice).unwrap_err().0, 2);
    }

    #[cfg(unix)]
    #[test]
    fn an_input_behind_a_link_is_kept_too() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::write(at("real"), "").unwrap();
        std::os::unix::fs::symlink("real", at("link")).unwrap();
        let mut files = HostFiles::default();
        files.keep([(at("link"), Role::Job)]);
        for name in ["real", "link"] {
            let clash = write(&mut files, 0, &at(name)).unwrap_err();
            assert!(clash.ends_with("which is the job file itself"), "{clash}");
        }
    }
}
