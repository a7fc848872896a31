//! The parts that only PostgreSQL needs: reaching a server, reporting its answers to people, and many rows in one
//! statement.

mod types;

use std::borrow::Cow;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions};
use sqlx::{Arguments, AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::time::timeout;

pub(super) use types::{JsonText, Micros, NumericText, plain};

use super::value::Value;
use super::{BUSY_TIMEOUT, PREPARED_STATEMENTS};
use crate::store::StoreError;
use crate::store::dsn::PostgresDsn;

pub(super) const NOW: &str = "clock_timestamp()";
/// The number of rows that go into one statement. They travel as arrays, so that one prepared statement does for any
/// number.
const CHUNK: usize = 1000;
/// The settings of each session. Plans are made anew for each execution, which costs little: one that was made while a
/// table was small would be kept when it has grown. And rows are found by their keys, however small a table seems: what
/// the server counted of it may be minutes old, and thousands of tasks come and go in between.
const SESSION: &str = "SET search_path TO tasks; SET plan_cache_mode TO force_custom_plan; \
     SET enable_seqscan TO off; SET TimeZone TO 'UTC'; SET client_min_messages TO warning; SET lock_timeout TO '15s'; \
     SET idle_in_transaction_session_timeout TO '60s'; \
     SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// Connects to the server, and tells where that is in words that hold no password.
pub(super) async fn connect(dsn: &PostgresDsn) -> Result<(PgPool, String), StoreError> {
    let options = dsn.options().map_err(StoreError::Dsn)?;
    let options = options.statement_cache_capacity(PREPARED_STATEMENTS).application_name("golem-tasks");
    let place = place(&options);
    let patience = dsn.connect_timeout().map_err(StoreError::Dsn)?;
    // By hand first: a pool would try again for long before it says what is wrong.
    match timeout(patience, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => {
            // Only its success matters; the pool makes its own.
            let _closed = connection.close().await;
        }
        Ok(Err(source)) => return Err(refused(&options, place, source)),
        Err(_) => return Err(StoreError::NoAnswer { place, patience }),
    }
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(BUSY_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SESSION).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options);
    Ok((pool, place))
}

pub(super) fn bind(arguments: &mut PgArguments, value: Value<'_>) -> Result<(), sqlx::Error> {
    match value {
        Value::Int(number) => arguments.add(number),
        Value::Text(text) => arguments.add(text.map(types::storable)),
        Value::Bytes(bytes) => arguments.add(bytes),
        Value::Time(micros) => arguments.add(micros.map(Micros)),
        Value::Money(amount) => arguments.add(amount.map(NumericText::of)),
        Value::Json(text) => arguments.add(text.map(JsonText::of)),
    }
    .map_err(sqlx::Error::Encode)
}

pub(super) async fn bulk(
    connection: &mut PgConnection,
    sql: &'static str,
    rows: &[Vec<Value<'_>>],
) -> Result<u64, sqlx::Error> {
    let Some(columns) = rows.first().map(Vec::len) else {
        return Ok(0);
    };
    let took = "CAST(extract(epoch FROM v.column4 - attempts.started_at) * 1000000 AS bigint)";
    let sql = sql.replace("{took}", took).replace("{rows}", &unnest(columns));
    let mut changed = 0;
    for chunk in rows.chunks(CHUNK) {
        let mut arguments = PgArguments::default();
        for column in 0..columns {
            bind_column(&mut arguments, chunk, column).map_err(sqlx::Error::Encode)?;
        }
        let query = sqlx::query_with(AssertSqlSafe(sql.clone()), arguments);
        changed += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(changed)
}

/// Binds one column of all rows as an array.
fn bind_column(
    arguments: &mut PgArguments,
    rows: &[Vec<Value<'_>>],
    column: usize,
) -> Result<(), sqlx::error::BoxDynError> {
    let values = rows.iter().map(|row| &row[column]);
    match &rows[0][column] {
        Value::Int(_) => arguments.add(collect(values, |value| match value {
            Value::Int(number) => Some(*number),
            _ => None,
        })?),
        Value::Time(_) => arguments.add(collect(values, |value| match value {
            Value::Time(micros) => Some(micros.map(Micros)),
            _ => None,
        })?),
        Value::Text(_) => arguments.add(collect(values, |value| match value {
            Value::Text(text) => Some(text.as_deref().map(|text| types::storable(Cow::Borrowed(text)))),
            _ => None,
        })?),
        Value::Bytes(_) => arguments.add(collect(values, |value| match value {
            Value::Bytes(bytes) => Some(*bytes),
            _ => None,
        })?),
        Value::Json(_) => arguments.add(collect(values, |value| match value {
            Value::Json(text) => Some(text.as_deref().map(|text| JsonText::of(Cow::Borrowed(text)))),
            _ => None,
        })?),
        Value::Money(_) => arguments.add(collect(values, |value| match value {
            Value::Money(amount) => Some(amount.map(NumericText::of)),
            _ => None,
        })?),
    }
}

fn collect<'v, 'q: 'v, T>(
    values: impl Iterator<Item = &'v Value<'q>>,
    one: impl Fn(&'v Value<'q>) -> Option<Option<T>>,
) -> Result<Vec<Option<T>>, sqlx::error::BoxDynError> {
    values.map(one).collect::<Option<Vec<_>>>().ok_or_else(|| "a column holds two kinds of values".into())
}

/// `UNNEST((SELECT $1), ..) AS v(column1, ..)`. The detour hides from the planner how many rows there are: it takes them
/// for a few then, looks up each by its key, and never compares all of them with all that runs.
fn unnest(columns: usize) -> String {
    let list = |one: fn(usize) -> String| (1..=columns).map(one).collect::<Vec<_>>().join(", ");
    format!("UNNEST({}) AS v({})", list(|n| format!("(SELECT ${n})")), list(|n| format!("column{n}")))
}

/// A server's address without its password.
fn place(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    let port = options.get_port();
    match options.get_socket() {
        Some(socket) => format!("postgresql://{user}@/{database}?host={}&port={port}", socket.display()),
        None if options.get_host().starts_with('/') => {
            format!("postgresql://{user}@/{database}?host={}&port={port}", options.get_host())
        }
        None => format!("postgresql://{user}@{}:{port}/{database}", options.get_host()),
    }
}

/// The reason why a server refused the connection.
fn refused(options: &PgConnectOptions, place: String, source: sqlx::Error) -> StoreError {
    let user = options.get_username().to_owned();
    let database = options.get_database().unwrap_or(&user).to_owned();
    let code = source.as_database_error().and_then(|error| Some(error.code()?.into_owned()));
    match code.as_deref() {
        Some("28P01" | "28000") => StoreError::NotLetIn { place, user, source },
        Some("3D000") => StoreError::NoDatabase { place, database, source },
        Some("42501") => StoreError::NoRights { place, user, doing: "connect to it", source },
        _ if matches!(source, sqlx::Error::Io(_) | sqlx::Error::Tls(_)) => {
            StoreError::Unreachable { place, source }
        }
        _ => StoreError::Open { place, source },
    }
}
