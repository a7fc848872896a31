//! The database of one round: a file, or one of its own on a server.

use std::path::{Path, PathBuf};

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Connection, Database, Decode, Executor, PgConnection, Row, Type};

/// Where runs are kept.
#[derive(Debug, Clone)]
pub(crate) enum Ground {
    Sqlite(PathBuf),
    Postgres { server: String, name: String },
}

/// The server for tests, by its address without a database; none where none is named.
pub(crate) fn server() -> Option<String> {
    let address = std::env::var("GOLEM_TASKS_TEST_PG").ok().filter(|text| !text.is_empty())?;
    let (server, _) =
        address.rsplit_once('/').expect("GOLEM_TASKS_TEST_PG is postgres://USER:PASSWORD@HOST:PORT/DATABASE");
    Some(server.to_owned())
}

impl Ground {
    /// A new one: in this folder, or on this server.
    pub(crate) async fn new(folder: &Path, server: Option<&str>) -> Self {
        let Some(server) = server else { return Self::Sqlite(folder.join("runs.db")) };
        let name = format!("golem_kills_{}_{:08x}", std::process::id(), fastrand::u32(..));
        admin(server, &format!("CREATE DATABASE {name}")).await;
        Self::Postgres { server: server.to_owned(), name }
    }

    /// How the program is told of it.
    pub(crate) fn dsn(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres { server, name } => format!("{server}/{name}"),
        }
    }

    /// A column of instants as microseconds since 1970.
    pub(crate) fn micros(&self, column: &str) -> String {
        match self {
            Self::Sqlite(_) => column.to_owned(),
            Self::Postgres { .. } => format!("(extract(epoch FROM {column}) * 1000000)::bigint"),
        }
    }

    /// Columns of rows as texts; `None` where the table isn't there yet.
    pub(crate) async fn rows(&self, columns: &[&str], from: &str) -> Option<Vec<Vec<Option<String>>>> {
        let columns: Vec<_> = columns.iter().map(|column| format!("CAST({column} AS TEXT)")).collect();
        let sql = format!("SELECT {} FROM {from}", columns.join(", "));
        match self {
            Self::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path);
                let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.ok()?;
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&pool).await.ok();
                pool.close().await;
                Some(rows?.iter().map(texts).collect())
            }
            Self::Postgres { .. } => {
                let pool = PgPoolOptions::new().max_connections(1).connect(&self.dsn()).await.ok()?;
                pool.execute("SET search_path TO tasks").await.ok()?;
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&pool).await.ok();
                pool.close().await;
                Some(rows?.iter().map(texts).collect())
            }
        }
    }

    /// Writes what a server has into a folder, a file of JSON lines for each table; a file is in its folder already.
    pub(crate) async fn dump(&self, folder: &Path) {
        if matches!(self, Self::Sqlite(_)) {
            return;
        }
        let tables = "information_schema.tables WHERE table_schema = 'tasks' AND table_type = 'BASE TABLE'";
        for table in self.rows(&["table_name"], tables).await.unwrap_or_default() {
            let table = table[0].clone().unwrap();
            let rows =
                self.rows(&["row_to_json(t)"], &format!("tasks.{table} AS t")).await.unwrap_or_default();
            let lines: Vec<_> = rows.into_iter().filter_map(|mut row| row.remove(0)).collect();
            std::fs::write(folder.join(format!("{table}.jsonl")), lines.join("\n")).unwrap();
        }
    }

    /// Takes it off its server.
    pub(crate) async fn end(&self) {
        if let Self::Postgres { server, name } = self {
            admin(server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

fn texts<R>(row: &R) -> Vec<Option<String>>
where
    R: Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    R::Database: Database,
{
    (0..row.len()).map(|column| row.get(column)).collect()
}

async fn admin(server: &str, sql: &str) {
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}
