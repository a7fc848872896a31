//! Rows of either database, column by column.

use golem_core::event::Printed;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};
use yagna_api::{Glm, Timestamp};

use super::postgres::{JsonText, Micros, NumericText, plain};
use crate::store::StoreError;

/// A row that was read.
pub(in super::super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// A number.
    pub(in super::super) fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.optional_int(column)?.ok_or_else(|| missing(column))
    }

    /// A number that may be absent.
    pub(in super::super) fn optional_int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => sqlite(row, column),
            Self::Postgres(row) => postgres(row, column),
        }
    }

    /// A number that counts something.
    pub(in super::super) fn unsigned(&self, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|error| damaged(column, error))
    }

    /// A text.
    pub(in super::super) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.optional_text(column)?.ok_or_else(|| missing(column))
    }

    /// A text that may be absent.
    pub(in super::super) fn optional_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        match self {
            Self::Sqlite(row) => sqlite(row, column),
            Self::Postgres(row) => Ok(postgres::<Option<String>>(row, column)?.map(plain)),
        }
    }

    /// Output of commands, which stands in one of two columns: text in the first, anything else in the second.
    pub(in super::super) fn printed(
        &self,
        text: &'static str,
        bytes: &'static str,
    ) -> Result<Printed, StoreError> {
        let kept = match self {
            Self::Sqlite(row) => sqlite::<Option<Vec<u8>>>(row, bytes)?,
            Self::Postgres(row) => postgres::<Option<Vec<u8>>>(row, bytes)?,
        };
        match kept {
            Some(bytes) => Ok(bytes.into()),
            None => Ok(self.optional_text(text)?.unwrap_or_default().into()),
        }
    }

    /// A moment.
    pub(in super::super) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.optional_time(column)?.ok_or_else(|| missing(column))
    }

    /// A moment that may be absent.
    pub(in super::super) fn optional_time(
        &self,
        column: &'static str,
    ) -> Result<Option<Timestamp>, StoreError> {
        let micros = match self {
            Self::Sqlite(row) => sqlite::<Option<i64>>(row, column)?,
            Self::Postgres(row) => postgres::<Option<Micros>>(row, column)?.map(|at| at.0),
        };
        let at = micros.map(Timestamp::from_microsecond).transpose();
        at.map_err(|error| damaged(column, error))
    }

    /// An amount of GLM.
    pub(in super::super) fn money(&self, column: &'static str) -> Result<Glm, StoreError> {
        let text = match self {
            Self::Sqlite(row) => sqlite::<String>(row, column)?,
            Self::Postgres(row) => postgres::<NumericText>(row, column)?.0,
        };
        text.parse().map_err(|error: yagna_api::money::GlmError| damaged(column, error))
    }

    /// Something that was stored as JSON.
    pub(in super::super) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        self.optional_json(column)?.ok_or_else(|| missing(column))
    }

    /// Something that was stored as JSON and may be absent.
    pub(in super::super) fn optional_json<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text = match self {
            Self::Sqlite(row) => sqlite::<Option<String>>(row, column)?,
            Self::Postgres(row) => postgres::<Option<JsonText>>(row, column)?.map(JsonText::plain),
        };
        text.map(|text| serde_json::from_str(&text).map_err(|error| damaged(column, error))).transpose()
    }

    /// Something that is stored as a word, such as an id of the daemon's.
    pub(in super::super) fn parsed<T: std::str::FromStr>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.text(column)?.parse().map_err(|error: T::Err| damaged(column, error))
    }
}

/// The error about a stored value that is invalid.
pub(in super::super) fn damaged(
    column: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Damaged { column, source: source.into() }
}

fn missing(column: &'static str) -> StoreError {
    damaged(column, "there is no value")
}

fn sqlite<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    row: &'r SqliteRow,
    column: &'static str,
) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| damaged(column, error))
}

fn postgres<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    row: &'r PgRow,
    column: &'static str,
) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| damaged(column, error))
}
