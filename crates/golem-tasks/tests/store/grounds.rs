//! Where a test plays: a new database of one of three kinds, gone afterwards.

use std::fmt;
use std::sync::Arc;

use golem_tasks::store::{Dsn, RunStore, Store};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, SqlitePool};
use tempfile::TempDir;

use crate::scene::new_run;

/// What kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) const ALL: &'static [Self] = &[Self::Memory, Self::Sqlite, Self::Postgres];
    /// Those that outlive their connections, so that others can look into them.
    pub(crate) const KEPT: &'static [Self] = &[Self::Sqlite, Self::Postgres];
    pub(crate) const SQLITE: &'static [Self] = &[Self::Sqlite];
    pub(crate) const POSTGRES: &'static [Self] = &[Self::Postgres];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// A server that is there for tests, by its address without a database.
pub(crate) fn server() -> Option<String> {
    let address = std::env::var("GOLEM_TASKS_TEST_PG").ok().filter(|text| !text.is_empty())?;
    let (server, _) =
        address.rsplit_once('/').expect("GOLEM_TASKS_TEST_PG is postgres://USER:PASSWORD@HOST:PORT/DATABASE");
    Some(server.to_owned())
}

/// A database of its own for one test.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) kind: Kind,
    folder: Arc<TempDir>,
    /// The address of the database on a server.
    address: String,
    name: String,
}

impl Ground {
    pub(crate) async fn new(kind: Kind) -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let name = format!("golem_test_{}_{:08x}", std::process::id(), fastrand::u32(..));
        let mut address = String::new();
        if kind == Kind::Postgres {
            let server = server().expect("tests on PostgreSQL are made only where there is a server");
            address = format!("{server}/{name}");
            admin(&format!("CREATE DATABASE {name}")).await;
        }
        Self { kind, folder, address, name }
    }

    pub(crate) async fn end(self) {
        if self.kind == Kind::Postgres {
            admin(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
        }
    }

    pub(crate) fn dsn(&self) -> Dsn {
        self.dsn_text().parse().unwrap()
    }

    pub(crate) fn dsn_text(&self) -> String {
        match self.kind {
            Kind::Memory => "memory".to_owned(),
            Kind::Sqlite => format!("sqlite:{}", self.folder.path().join("not/yet/there/runs.db").display()),
            Kind::Postgres => self.address.clone(),
        }
    }

    /// The database's name on its server.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.dsn()).await.unwrap()
    }

    /// A store with one run.
    pub(crate) async fn run(&self) -> RunStore {
        self.store().await.create_run(&new_run("brave-otter-0001")).await.unwrap()
    }

    /// What a query of one text column answers, asked by way of connections of its own, as another program would.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        match self.kind {
            Kind::Postgres => {
                let pool = self.postgres().await;
                let texts = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
                pool.close().await;
                texts
            }
            Kind::Sqlite => {
                let pool = self.sqlite().await;
                let texts = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
                pool.close().await;
                texts
            }
            Kind::Memory => panic!("nobody else sees what is in memory"),
        }
    }

    /// Does what some statements say, as another program would.
    pub(crate) async fn execute(&self, sql: &str) {
        match self.kind {
            Kind::Postgres => {
                let pool = self.postgres().await;
                pool.execute(AssertSqlSafe(sql)).await.unwrap();
                pool.close().await;
            }
            Kind::Sqlite => {
                let pool = self.sqlite().await;
                pool.execute(AssertSqlSafe(sql)).await.unwrap();
                pool.close().await;
            }
            Kind::Memory => panic!("nobody else sees what is in memory"),
        }
    }

    async fn sqlite(&self) -> SqlitePool {
        let Dsn::Sqlite(path) = self.dsn() else { unreachable!() };
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
    }

    async fn postgres(&self) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(1).connect(&self.address).await.unwrap();
        pool.execute("SET search_path TO tasks").await.unwrap();
        pool
    }
}

/// Has the server do something outside any test's database.
pub(crate) async fn admin(sql: &str) {
    let address = format!("{}/postgres", server().unwrap());
    let mut connection = PgConnection::connect(&address).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}
