//! The problems of a SQLite file that can't be used, found by SQLite's codes and by the system's facts about the file.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

/// The problems of a database's file, which have nothing to do with the action there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The file that was opened is no longer where it was.
    Vanished,
    /// Other processes have held it locked for too long.
    Locked {
        /// Those of this machine that hold a lock on it.
        processes: Vec<u32>,
    },
    /// It is locked, and by nobody that this machine knows of.
    NoLocks,
    /// It may only be read.
    ReadOnly,
    /// There is no space left for it.
    Full,
    /// It is a database, and some of it makes no sense.
    Damaged,
    /// It isn't a database.
    NotADatabase,
    /// The system failed to read or write it.
    Disk,
    /// It may not be opened.
    Unopened,
}

/// The file that was opened is no longer where it was. Carried by [`sqlx::Error::Io`].
#[derive(Debug, thiserror::Error)]
#[error("the file has been deleted, moved or replaced")]
pub(super) struct Vanished;

impl Trouble {
    /// The problem, if the error is of that kind; `place` is the database, for people.
    pub(super) fn of(source: &sqlx::Error, place: &str) -> Option<Self> {
        if let sqlx::Error::Io(error) = source {
            return error
                .get_ref()
                .is_some_and(<dyn Error + Send + Sync>::is::<Vanished>)
                .then_some(Self::Vanished);
        }
        let error = source.as_database_error()?.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
        let code: u32 = sqlx::error::DatabaseError::code(error)?.parse().ok()?;
        Self::of_code(code, || lockers(Path::new(place)))
    }

    /// The problem by SQLite's code, and by the holder of a lock on the file, where that is known.
    fn of_code(code: u32, lockers: impl FnOnce() -> Option<Vec<u32>>) -> Option<Self> {
        // The low byte is the primary code.
        Some(match code & 0xff {
            // SQLite says busy too where the system can't lock files at all (ENOLCK).
            5 | 6 | 15 => match lockers() {
                Some(processes) if processes.is_empty() => Self::NoLocks,
                processes => {
                    let mut processes = processes.unwrap_or_default();
                    processes.retain(|process| *process != std::process::id());
                    Self::Locked { processes }
                }
            },
            8 => Self::ReadOnly,
            10 => Self::Disk,
            11 => Self::Damaged,
            13 => Self::Full,
            14 => Self::Unopened,
            26 => Self::NotADatabase,
            _ => return None,
        })
    }

    /// The advice about it.
    pub(super) fn advice(&self, place: &str) -> String {
        let network = network_file_system(Path::new(place)).map(|name| {
            format!(
                "it is on a network file system ({name}), which can't be relied on to lock files; keep it on a local disk, \
                 with --dsn sqlite:PATH, or in PostgreSQL"
            )
        });
        match self {
            Self::Vanished => "leave the database where it is while a run goes on; what was recorded up to now is in the \
                               file that was moved, and `golem-tasks settle` with --dsn ends what it left open"
                .to_owned(),
            Self::Locked { processes } => match processes.as_slice() {
                [] => network.unwrap_or_else(|| {
                    "wait until the program is done that has it open for writing, or end that program".to_owned()
                }),
                [process, ..] => format!(
                    "wait until process {process} is done with it, or end that process; `ps -p {process}` tells what it is"
                ),
            },
            Self::NoLocks => network.unwrap_or_else(|| {
                "keep it on a local disk, with --dsn sqlite:PATH, or in PostgreSQL where several machines share it"
                    .to_owned()
            }),
            Self::ReadOnly => {
                "let yourself write the file and its folder, or name another place with --dsn sqlite:PATH; \
                 what only reads, such as `golem-tasks results`, works on it as it is"
                    .to_owned()
            }
            Self::Full => "make room there, then the same command with the run's --run-id goes on".to_owned(),
            Self::Damaged => format!(
                "`golem-tasks results` gives what can be read of it; `sqlite3 '{place}' .recover | sqlite3 NEW.db` saves \
                 more; begin a new one with --dsn sqlite:PATH"
            ),
            Self::NotADatabase => "name a file of its own for the runs with --dsn sqlite:PATH".to_owned(),
            Self::Disk => network.unwrap_or_else(|| {
                "look into the system's log for what is wrong with the disk, and keep the database elsewhere with \
                 --dsn sqlite:PATH"
                    .to_owned()
            }),
            Self::Unopened => "name a place you may write to, for example --dsn sqlite:runs.db".to_owned(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vanished => f.write_str("the file has been deleted, moved or replaced since it was opened"),
            Self::Locked { processes } => match processes.as_slice() {
                [] => f.write_str("another program has held it locked for too long"),
                [process] => write!(f, "process {process} has held it locked for too long"),
                [process, others @ ..] => {
                    write!(f, "process {process} and {} more have held it locked for too long", others.len())
                }
            },
            Self::NoLocks => f.write_str(
                "it can't be locked, though no process of this machine holds it: its file system doesn't support locks, \
                 or another machine holds it",
            ),
            Self::ReadOnly => f.write_str("it is read-only"),
            Self::Full => f.write_str("there is no space left on its disk"),
            Self::Damaged => f.write_str("the file is damaged"),
            Self::NotADatabase => f.write_str("the file isn't a SQLite database"),
            Self::Disk => f.write_str("the system can't read or write the file"),
            Self::Unopened => f.write_str("the file can't be opened"),
        }
    }
}

/// The processes of this machine that hold a lock on a database; `None` where the system doesn't tell.
fn lockers(path: &Path) -> Option<Vec<u32>> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let inodes: Vec<_> = beside(path).iter().filter_map(|path| inode(path)).collect();
    if inodes.is_empty() {
        return None;
    }
    let mut processes: Vec<u32> = locks.lines().filter_map(|line| holder(line, &inodes)).collect();
    processes.sort_unstable();
    processes.dedup();
    Some(processes)
}

/// The process that holds the lock of this line of `/proc/locks`, if it is on one of these files.
fn holder(line: &str, inodes: &[u64]) -> Option<u32> {
    let mut words = line.split_whitespace().skip_while(|word| !matches!(*word, "READ" | "WRITE")).skip(1);
    let process = words.next()?.parse::<u32>().ok()?;
    let inode = words.next()?.rsplit(':').next()?.parse::<u64>().ok()?;
    inodes.contains(&inode).then_some(process)
}

/// The file and those that SQLite keeps beside it.
pub(super) fn beside(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

#[cfg(unix)]
fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|found| found.ino())
}

#[cfg(not(unix))]
fn inode(_: &Path) -> Option<u64> {
    None
}

/// The name of the network file system that a file, or the folder it would be in, is on.
#[cfg(target_os = "linux")]
pub(super) fn network_file_system(path: &Path) -> Option<&'static str> {
    let existing = path.ancestors().find(|path| path.exists())?;
    let kind = rustix::fs::statfs(existing).ok()?.f_type;
    // As `man 2 statfs` has them.
    Some(match u32::try_from(kind & 0xffff_ffff).ok()? {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 | 0xfe53_4d42 => "CIFS",
        0x5346_414f => "AFS",
        0x00c3_6400 => "Ceph",
        0x0116_1970 => "GFS2",
        0x7375_7245 => "Coda",
        _ => return None,
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_from_one_another_with_their_extensions() {
        let nobody = || Some(Vec::new());
        for (code, is) in [
            (5, Trouble::NoLocks),
            (5 + 256, Trouble::NoLocks), // while another process's journal is rolled back
            (15, Trouble::NoLocks),
            (8, Trouble::ReadOnly),
            (8 + 4 * 256, Trouble::ReadOnly), // its folder may not be written
            (10 + 15 * 256, Trouble::Disk),   // a lock fails with EIO, as on a network file system
            (10 + 3 * 256, Trouble::Disk),
            (11, Trouble::Damaged),
            (11 + 256, Trouble::Damaged),
            (13, Trouble::Full),
            (14 + 2 * 256, Trouble::Unopened), // a folder
            (26, Trouble::NotADatabase),
        ] {
            assert_eq!(Trouble::of_code(code, nobody), Some(is), "{code}");
        }
        let own = std::process::id();
        let locked = |processes: &[u32]| Some(Trouble::Locked { processes: processes.to_vec() });
        assert_eq!(Trouble::of_code(5, || Some(vec![own, 4711])), locked(&[4711]));
        assert_eq!(Trouble::of_code(5, || Some(vec![own])), locked(&[]), "another connection of ours");
        assert_eq!(Trouble::of_code(5, || None), locked(&[]), "the system tells nothing of locks");
        for ours in [1, 19, 20] {
            assert_eq!(Trouble::of_code(ours, nobody), None, "an error of the statement");
        }
        assert!(Trouble::NoLocks.advice("/nowhere").contains("local disk"));
    }

    /// Real errors of real files.
    #[tokio::test]
    async fn a_file_that_cant_be_used_is_named_as_what_it_is() {
        use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
        use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let open = |name: &str| {
            SqliteConnectOptions::new()
                .filename(path(name))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Delete)
                .busy_timeout(std::time::Duration::ZERO)
        };
        let trouble = |name: &str, error: sqlx::Error| {
            let place = path(name);
            Trouble::of(&error, place.to_str().unwrap()).unwrap_or_else(|| panic!("{name}: {error:?}"))
        };
        let table = "CREATE TABLE t (x TEXT); CREATE INDEX i ON t (x)";
        let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
                    INSERT INTO t SELECT 'some text for row ' || i FROM n";

        std::fs::write(
            path("text"),
            "this is no database, but it is long enough to be taken for one".repeat(40),
        )
        .unwrap();
        let none = open("text").connect().await.unwrap_err();
        assert_eq!(trouble("text", none), Trouble::NotADatabase);

        std::fs::create_dir(path("folder")).unwrap();
        let unopened = open("folder").connect().await.unwrap_err();
        assert_eq!(trouble("folder", unopened), Trouble::Unopened);

        let mut first = open("good").connect().await.unwrap();
        first.execute(table).await.unwrap();
        first.execute(rows).await.unwrap();
        let mut reader = open("good").read_only(true).connect().await.unwrap();
        assert_eq!(trouble("good", reader.execute(rows).await.unwrap_err()), Trouble::ReadOnly);
        reader.close().await.unwrap();

        let mut second = open("good").connect().await.unwrap();
        first.execute("BEGIN EXCLUSIVE").await.unwrap();
        let locked = trouble("good", second.execute(rows).await.unwrap_err());
        assert_eq!(locked, Trouble::Locked { processes: Vec::new() });
        first.execute("ROLLBACK").await.unwrap();
        second.close().await.unwrap();

        first.execute("PRAGMA max_page_count = 1").await.unwrap();
        assert_eq!(trouble("good", first.execute(rows).await.unwrap_err()), Trouble::Full);
        first.close().await.unwrap();

        let mut bytes = std::fs::read(path("good")).unwrap();
        let from = bytes.len() / 4;
        bytes[from..].fill(0x55);
        std::fs::write(path("damaged"), bytes).unwrap();
        let mut damaged = open("damaged").connect().await.unwrap();
        let read = "SELECT count(x) FROM t WHERE x > 'some text for row 2'";
        assert_eq!(trouble("damaged", damaged.execute(read).await.unwrap_err()), Trouble::Damaged);
    }

    #[test]
    fn holders_of_locks_are_read_off_the_systems_list() {
        let line = "1: POSIX  ADVISORY  WRITE 4711 fd:00:12345 1073741826 1073742335";
        assert_eq!(holder(line, &[12345]), Some(4711));
        assert_eq!(holder(line, &[12346]), None);
        assert_eq!(holder("2: -> FLOCK  ADVISORY  READ 17 00:2e:9 0 EOF", &[9]), Some(17));
        assert_eq!(holder("", &[9]), None);
    }
}
