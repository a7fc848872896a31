//! The two databases behind one face: statements are written once, and what differs between SQLite and PostgreSQL is
//! in this module and below.
//!
//! Statements use `$1`, `$2`, .. and what both databases understand. A few marks stand for what they say differently:
//!
//! - `{rows}` in [`Transaction::bulk`]: the rows, as a table `v` with the columns `column1`, `column2`, ..
//! - `{took}` there: microseconds from `attempts.started_at` to `v.column4`;
//! - `{now}`: the database's own clock, the one that all who share a database have in common;
//! - `{us}` and `{/us}` around a moment: its microseconds since 1970, as a number;
//! - `{for_update}`: nobody else may write the rows read until the transaction is over.
//!
//! Left to others: what the statements are.

mod mark;
mod postgres;
mod row;
mod sqlite;
mod value;

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, PgPool, Postgres, Sqlite, SqlitePool};

pub(super) use mark::FileMark;
pub(super) use row::{Row, damaged};
pub(super) use value::{Statement, Value, to_json};

use super::StoreError;
use super::dsn::Dsn;

/// The time that one process waits for another one's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// Statements kept prepared on a connection; the writer has some dozens of its own.
const PREPARED_STATEMENTS: usize = 256;

/// A database, by its connections.
#[derive(Debug, Clone)]
pub(super) enum Database {
    Sqlite(SqlitePool, FileMark),
    Postgres(PgPool),
}

/// A transaction; dropped without a commit, it was never there.
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>, FileMark),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Database {
    /// Connects, and tells where to in words that hold no password. Creates a SQLite file, never anything else.
    pub(super) async fn connect(dsn: &Dsn) -> Result<(Self, String), StoreError> {
        match dsn {
            Dsn::Sqlite(_) | Dsn::Memory => {
                let place = dsn.to_string();
                let pool = sqlite::connect(dsn, &place).await?;
                Ok((Self::Sqlite(pool, FileMark::of(dsn)), place))
            }
            Dsn::Postgres(server) => {
                let (pool, place) = postgres::connect(server).await?;
                Ok((Self::Postgres(pool), place))
            }
        }
    }

    /// Connects to a SQLite file to read it, whatever may not be written there.
    pub(super) async fn read_only(path: &Path) -> Result<(Self, String), StoreError> {
        let place = path.display().to_string();
        let pool = sqlite::read_only(path, &place).await?;
        Ok((Self::Sqlite(pool, FileMark::default()), place))
    }

    /// Begins a transaction that writes.
    pub(super) async fn write(&self) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            // IMMEDIATE: one that began as a reader can't wait for another writer, it fails.
            Self::Sqlite(pool, file) => {
                Transaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?, file.clone())
            }
            Self::Postgres(pool) => Transaction::Postgres(pool.begin().await?),
        })
    }

    /// Begins a transaction that reads everything as of one moment.
    pub(super) async fn read(&self) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool, file) => {
                file.check()?;
                Transaction::Sqlite(pool.begin().await?, file.clone())
            }
            Self::Postgres(pool) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                Transaction::Postgres(pool.begin_with(begin).await?)
            }
        })
    }

    /// All rows of one statement, outside any transaction.
    pub(super) async fn rows(&self, statement: Statement<'_>) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Sqlite(pool, _) => {
                let (sql, arguments) = for_sqlite(&statement)?;
                let rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(pool).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(pool) => {
                let (sql, arguments) = for_postgres(statement)?;
                let rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(pool).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Hands the rows of one statement over, one by one, outside any transaction: for many rows of which little is kept.
    pub(super) async fn each(
        &self,
        statement: Statement<'_>,
        mut row: impl FnMut(&Row) -> Result<(), StoreError>,
    ) -> Result<Result<(), StoreError>, sqlx::Error> {
        match self {
            Self::Sqlite(pool, _) => {
                let (sql, arguments) = for_sqlite(&statement)?;
                let mut rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch(pool);
                while let Some(found) = rows.try_next().await? {
                    if let Err(error) = row(&Row::Sqlite(found)) {
                        return Ok(Err(error));
                    }
                }
            }
            Self::Postgres(pool) => {
                let (sql, arguments) = for_postgres(statement)?;
                let mut rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch(pool);
                while let Some(found) = rows.try_next().await? {
                    if let Err(error) = row(&Row::Postgres(found)) {
                        return Ok(Err(error));
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    /// The first row of one statement, outside any transaction.
    pub(super) async fn row(&self, statement: Statement<'_>) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Closes all connections once what they do is done.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool, _) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    /// Does what a statement says, and tells how many rows it changed.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(connection, file) => {
                let (sql, arguments) = for_sqlite(&statement)?;
                let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
                let done = query.execute(&mut **connection).await.map_err(|error| file.explain(error))?;
                Ok(done.rows_affected())
            }
            Self::Postgres(connection) => {
                let (sql, arguments) = for_postgres(statement)?;
                let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
        }
    }

    /// All rows of a statement.
    pub(super) async fn rows(&mut self, statement: Statement<'_>) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Sqlite(connection, file) => {
                let (sql, arguments) = for_sqlite(&statement)?;
                let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
                let rows = query.fetch_all(&mut **connection).await.map_err(|error| file.explain(error))?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(connection) => {
                let (sql, arguments) = for_postgres(statement)?;
                let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
                Ok(query.fetch_all(&mut **connection).await?.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// The first row of a statement.
    pub(super) async fn row(&mut self, statement: Statement<'_>) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Runs `sql` over many rows, few statements for all of them, and tells how many rows of the table it changed.
    ///
    /// Every row has the same kinds of values.
    pub(super) async fn bulk(
        &mut self,
        sql: &'static str,
        rows: &[Vec<Value<'_>>],
    ) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(connection, file) => {
                sqlite::bulk(connection, sql, rows).await.map_err(|error| file.explain(error))
            }
            Self::Postgres(connection) => postgres::bulk(connection, sql, rows).await,
        }
    }

    /// Makes everything that was done durable.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction, file) => {
                transaction.commit().await?;
                // A file that was deleted takes what is written into it, and nobody will ever find that again.
                file.check_kept()
            }
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}

/// A statement in SQLite's words, with what is bound to it.
fn for_sqlite(statement: &Statement<'_>) -> Result<(Cow<'static, str>, SqliteArguments), sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in &statement.values {
        sqlite::bind(&mut arguments, value)?;
    }
    Ok((
        worded(statement.sql, &[("{now}", sqlite::NOW), ("{us}", "("), ("{/us}", ")"), ("{for_update}", "")]),
        arguments,
    ))
}

/// A statement in PostgreSQL's words, with what is bound to it.
fn for_postgres(statement: Statement<'_>) -> Result<(Cow<'static, str>, PgArguments), sqlx::Error> {
    let mut arguments = PgArguments::default();
    arguments.reserve(statement.values.len(), 0);
    for value in statement.values {
        postgres::bind(&mut arguments, value)?;
    }
    let words = [
        ("{now}", postgres::NOW),
        ("{us}", "CAST(EXTRACT(EPOCH FROM "),
        ("{/us}", ") * 1000000 AS bigint)"),
        ("{for_update}", "FOR UPDATE"),
    ];
    Ok((worded(statement.sql, &words), arguments))
}

/// A statement with its marks replaced.
fn worded(sql: &'static str, words: &[(&str, &str)]) -> Cow<'static, str> {
    if !sql.contains('{') {
        return Cow::Borrowed(sql);
    }
    Cow::Owned(words.iter().fold(sql.to_owned(), |sql, (mark, word)| sql.replace(mark, word)))
}
