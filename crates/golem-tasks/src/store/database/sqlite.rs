//! The parts that only SQLite needs: opening a file, storing values, and many rows in one statement.
//!
//! Moments are microseconds since 1970, money and JSON are text.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, SqliteConnection, SqlitePool};
use tokio::time::{Instant, sleep};

use super::value::Value;
use super::{BUSY_TIMEOUT, PREPARED_STATEMENTS};
use crate::store::trouble::{beside, network_file_system};
use crate::store::{Dsn, StoreError};

/// The clock, in microseconds; it ticks in milliseconds.
pub(super) const NOW: &str = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)";
/// The pause before a new database is opened again that another process is setting up.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// The numbers of rows that go into one statement, largest first. Few sizes, so that each statement is prepared once
/// and reused ever after.
const CHUNKS: [usize; 5] = [128, 32, 8, 2, 1];

/// Opens a file to read it, with what another program writes there meanwhile. Where the file or its folder may not be
/// written, it is read as it is: nobody else writes there either.
pub(super) async fn read_only(path: &Path, place: &str) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(PREPARED_STATEMENTS);
    let failed = |source| StoreError::of_query("open the database of runs", place, source);
    match readable(pool(4), options.clone()).await {
        Ok(pool) => return Ok(pool),
        Err(error) if !needs_to_write(&error) => return Err(failed(error)),
        Err(_) => {}
    }
    let [_, wal, _] = beside(path);
    if std::fs::metadata(&wal).map_or(0, |found| found.len()) == 0 {
        return readable(pool(4), options.immutable(true)).await.map_err(failed);
    }
    // The latest writes aren't in the file itself yet: a copy can take it over.
    let copied = |source| StoreError::Copy { place: place.to_owned(), source };
    let folder =
        std::env::temp_dir().join(format!("golem-tasks-{}-{:016x}", std::process::id(), fastrand::u64(..)));
    create_private_folder(&folder).map_err(copied)?;
    let copy = copy_into(&folder, path, &wal);
    let opened = match copy {
        Ok(copy) => readable(pool(1), options.filename(copy).read_only(false)).await.map_err(failed),
        Err(error) => Err(copied(error)),
    };
    // An open file is there until it is closed, whatever its name.
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "a copy of the database can't be removed");
    }
    opened
}

/// A pool that has read something.
async fn readable(pool: SqlitePoolOptions, options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let pool = pool.connect_with(options).await?;
    match sqlx::query_scalar::<_, i64>("SELECT count(*) FROM sqlite_schema").fetch_one(&pool).await {
        Ok(_) => Ok(pool),
        Err(error) => {
            pool.close().await;
            Err(error)
        }
    }
}

/// True where SQLite couldn't even read, for it may not write the files that it needs for that.
fn needs_to_write(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(8 | 14))
}

fn copy_into(folder: &Path, path: &Path, wal: &Path) -> std::io::Result<PathBuf> {
    let copy = folder.join("runs.db");
    let [_, copied_wal, _] = beside(&copy);
    std::fs::copy(path, &copy)?;
    std::fs::copy(wal, &copied_wal)?;
    for copied in [&copy, &copied_wal] {
        let mut rights = std::fs::metadata(copied)?.permissions();
        make_writable(&mut rights);
        std::fs::set_permissions(copied, rights)?;
    }
    Ok(copy)
}

#[cfg(unix)]
fn make_writable(rights: &mut std::fs::Permissions) {
    use std::os::unix::fs::PermissionsExt as _;
    rights.set_mode(0o600);
}

#[cfg(not(unix))]
fn make_writable(rights: &mut std::fs::Permissions) {
    rights.set_readonly(false);
}

fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// Makes a new file that nobody else may read: tasks and results may be secrets. SQLite's own files beside it get the
/// same rights. One that is there is left as it is.
fn create_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Where it can't be made, SQLite finds that out too, and says why.
    drop(options.open(path));
}

/// Opens the file with its folders, or a database in memory.
pub(super) async fn connect(dsn: &Dsn, place: &str) -> Result<SqlitePool, StoreError> {
    let (options, connections) = match dsn {
        Dsn::Sqlite(path) => {
            create_folder(path)?;
            create_private(path);
            if let Some(name) = network_file_system(path) {
                tracing::warn!(
                    "{place} is on a network file system ({name}), where locks can't be relied on: keep it on a local \
                     disk, or in PostgreSQL"
                );
            }
            let options = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full);
            (options, 4)
        }
        // Each connection to memory would be a database of its own.
        _ => (SqliteConnectOptions::new().in_memory(true), 1),
    };
    let options =
        options.foreign_keys(true).busy_timeout(BUSY_TIMEOUT).statement_cache_capacity(PREPARED_STATEMENTS);
    let pool = pool(connections);
    // Again while another process is turning the same new database to its journal mode: SQLite doesn't wait for
    // that by itself, whatever its time-out for other locks is.
    let began = Instant::now();
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if is_busy(&error) && began.elapsed() < BUSY_TIMEOUT => sleep(BUSY_PAUSE).await,
            Err(source) => {
                return Err(match StoreError::of_query("open the database of runs", place, source) {
                    StoreError::Query { place, source, .. } => StoreError::Open { place, source },
                    trouble => trouble,
                });
            }
            Ok(pool) => return Ok(pool),
        }
    }
}

pub(super) fn bind(arguments: &mut SqliteArguments, value: &Value<'_>) -> Result<(), sqlx::Error> {
    match value {
        Value::Int(number) | Value::Time(number) => arguments.add(*number),
        Value::Text(text) | Value::Json(text) => arguments.add(text.as_deref()),
        Value::Bytes(bytes) => arguments.add(bytes.map(<[u8]>::to_vec)),
        Value::Money(amount) => arguments.add(amount.map(|amount| amount.to_string())),
    }
    .map_err(sqlx::Error::Encode)
}

pub(super) async fn bulk(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: &[Vec<Value<'_>>],
) -> Result<u64, sqlx::Error> {
    let mut changed = 0;
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let size = CHUNKS.into_iter().find(|size| *size <= rest.len()).unwrap_or(1);
        let (chunk, others) = rest.split_at(size);
        let mut arguments = SqliteArguments::default();
        arguments.reserve(size * first.len(), 0);
        for value in chunk.iter().flatten() {
            bind(&mut arguments, value)?;
        }
        let statement = sql
            .replace("{took}", "(v.column4 - attempts.started_at)")
            .replace("{rows}", &values(size, first.len()));
        let query = sqlx::query_with(AssertSqlSafe(statement), arguments);
        changed += query.execute(&mut *connection).await?.rows_affected();
        rest = others;
    }
    Ok(changed)
}

/// `(VALUES (?, ..), ..) AS v`.
fn values(rows: usize, columns: usize) -> String {
    let mut text = String::from("(VALUES ");
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            text.push_str(if column == 0 { "?" } else { ", ?" });
        }
        text.push(')');
    }
    text.push_str(") AS v");
    text
}

fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(5)
}

/// SQLite's code for an error, without what kind of it it is.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.map(|code| code & 0xff)
}

fn create_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|source| StoreError::Folder { folder: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_may_read_a_new_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let pool = connect(&Dsn::Sqlite(path.clone()), "here").await.unwrap();
        sqlx::query("CREATE TABLE t (x)").execute(&pool).await.unwrap();
        for file in beside(&path) {
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
        pool.close().await;
    }

    #[tokio::test]
    async fn its_commits_are_forced_to_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let pool = connect(&Dsn::Sqlite(folder.path().join("runs.db")), "here").await.unwrap();
        let mut connections = Vec::new();
        for _ in 0..4 {
            connections.push(pool.acquire().await.unwrap());
        }
        for connection in &mut connections {
            let synchronous: i64 =
                sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut **connection).await.unwrap();
            assert_eq!(synchronous, 2, "2 is FULL");
        }
        drop(connections);
        pool.close().await;
    }
}
