//! Many rows in one statement.
//!
//! Rows go in chunks of a few fixed sizes, so that every statement is prepared once and reused ever after.

use sqlx::query_builder::{QueryBuilder, Separated};
use sqlx::{Sqlite, SqliteConnection};

/// Sizes of chunks, largest first.
const CHUNKS: [usize; 5] = [128, 32, 8, 2, 1];

/// Runs `head VALUES (..), (..) tail` over all rows, and returns how many rows of the table it changed.
pub(super) async fn bulk<T>(
    connection: &mut SqliteConnection,
    head: &'static str,
    rows: &[T],
    bind: impl Fn(&T, &mut Separated<'_, Sqlite, &'static str>),
    tail: &'static str,
) -> Result<u64, sqlx::Error> {
    let mut changed = 0;
    let mut rest = rows;
    while !rest.is_empty() {
        let size = CHUNKS.into_iter().find(|size| *size <= rest.len()).unwrap_or(1);
        let (chunk, others) = rest.split_at(size);
        let mut query = QueryBuilder::new(head);
        query.push_values(chunk, |mut columns, row| bind(row, &mut columns));
        query.push(tail);
        changed += query.build().execute(&mut *connection).await?.rows_affected();
        rest = others;
    }
    Ok(changed)
}
