//! Statements over many rows.

use futures_util::future::join;
use sqlx::{AnyConnection, any::AnyRow};

use crate::dialect::Dialect;
use crate::error::Result;
use crate::statement::Statement;

/// How many rows a statement has: few different texts, so that each is prepared once.
const CHUNKS: [usize; 4] = [256, 32, 4, 1];
/// How many values a list has; what is left of it repeats the last.
const LISTS: [usize; 3] = [256, 32, 4];

/// Runs a statement for each of the [`chunks`] of `rows`: `around` them stands its beginning and its end.
pub(super) async fn bulk<R: Sync>(
    dialect: Dialect,
    connection: &mut AnyConnection,
    around: (&'static str, &'static str),
    rows: &[R],
    row: impl Fn(&mut Statement, &R) + Sync,
) -> Result<()> {
    bulk_counted(dialect, connection, around, rows, row).await?;
    Ok(())
}

/// As [`bulk`]; says how many rows each statement changed.
pub(super) async fn bulk_counted<R: Sync>(
    dialect: Dialect,
    connection: &mut AnyConnection,
    around: (&'static str, &'static str),
    rows: &[R],
    row: impl Fn(&mut Statement, &R) + Sync,
) -> Result<Vec<u64>> {
    let build = |chunk: &[R]| {
        let mut statement = Statement::bulk(dialect, around.0);
        statement.rows(chunk, &row).text(around.1);
        statement
    };
    let mut changed = Vec::new();
    let mut chunks = chunks(rows);
    let mut next = chunks.next().map(build);
    while let Some(statement) = next {
        // The next one is built while the store is busy with this one.
        let following = async { chunks.next().map(build) };
        let (done, following) = join(statement.execute(&mut *connection), following).await;
        changed.push(done?.rows_affected());
        next = following;
    }
    Ok(changed)
}

/// `rows` in pieces of few sizes.
pub(super) fn chunks<R>(mut rows: &[R]) -> impl Iterator<Item = &[R]> {
    std::iter::from_fn(move || {
        let size = CHUNKS.into_iter().find(|size| *size <= rows.len())?;
        let (chunk, rest) = rows.split_at(size);
        rows = rest;
        Some(chunk)
    })
}

/// All rows of a query whose text ends within `IN (`, for each of `values`.
pub(super) async fn lists<T: Clone + Sync>(
    dialect: Dialect,
    connection: &mut AnyConnection,
    around: (&'static str, &'static str),
    values: &[T],
    bind: impl Fn(&mut Statement, &T) + Sync,
) -> Result<Vec<AnyRow>> {
    let mut found = Vec::new();
    for chunk in values.chunks(LISTS[0]) {
        let size = LISTS.into_iter().rev().find(|size| *size >= chunk.len());
        let repeated = chunk.iter().chain(std::iter::repeat(&chunk[chunk.len() - 1]));
        let mut statement = Statement::bulk(dialect, around.0);
        for (at, value) in repeated.take(size.unwrap_or(LISTS[0])).enumerate() {
            if at > 0 {
                statement.text(", ");
            }
            bind(&mut statement, value);
        }
        statement.text(around.1);
        found.append(&mut statement.all(&mut *connection).await?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::chunks;

    #[test]
    fn chunks_have_few_sizes_and_miss_nothing() {
        for len in [0, 1, 3, 4, 5, 255, 256, 257, 1000] {
            let rows: Vec<usize> = (0..len).collect();
            let all: Vec<usize> = chunks(&rows).flatten().copied().collect();
            assert_eq!(all, rows);
        }
    }
}
