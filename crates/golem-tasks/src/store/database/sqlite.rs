//! What is SQLite's own: how a file is opened, how values are kept, and many rows in one statement.
//!
//! Moments are microseconds since 1970, money and JSON are text.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, SqliteConnection, SqlitePool};
use tokio::time::{Instant, sleep};

use super::value::Value;
use super::{BUSY_TIMEOUT, PREPARED_STATEMENTS};
use crate::store::{Dsn, StoreError};

/// The clock, in microseconds; it ticks in milliseconds.
pub(super) const NOW: &str = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)";
/// The pause before a new database is opened again that another process is setting up.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How many rows go into one statement, largest first. Few sizes, so that each statement is prepared once and reused
/// ever after.
const CHUNKS: [usize; 5] = [128, 32, 8, 2, 1];

/// Opens the file with its folders, or a database in memory.
pub(super) async fn connect(dsn: &Dsn, place: &str) -> Result<SqlitePool, StoreError> {
    let (options, connections) = match dsn {
        Dsn::Sqlite(path) => {
            create_folder(path)?;
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
    let pool = SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None);
    // Again while another process is turning the same new database to its journal mode: SQLite doesn't wait for
    // that by itself, whatever its time-out for other locks is.
    let began = Instant::now();
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if is_busy(&error) && began.elapsed() < BUSY_TIMEOUT => sleep(BUSY_PAUSE).await,
            Err(source) => return Err(StoreError::Open { place: place.to_owned(), source }),
            Ok(pool) => return Ok(pool),
        }
    }
}

pub(super) fn bind(arguments: &mut SqliteArguments, value: &Value<'_>) -> Result<(), sqlx::Error> {
    match value {
        Value::Int(number) | Value::Time(number) => arguments.add(*number),
        Value::Text(text) | Value::Json(text) => arguments.add(text.as_deref()),
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
    // The low byte is the primary code: 5 is SQLITE_BUSY, of whatever kind.
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
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
