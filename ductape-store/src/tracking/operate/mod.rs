//! What operators do: messages tried again or given up, dead letters given to their group anew, and old ones removed.

mod dead_letters;
mod marks;
mod prune;

pub use self::dead_letters::DeadLetterChange;
pub use self::prune::{Pruned, Retention};

use std::collections::HashSet;

use sqlx::AnyConnection;

use super::bulk::bulk;
use super::deltas::Deltas;
use super::fold::Tracked;
use super::query::Loaded;
use super::write::{DeliveryRow, write_deliveries};
use crate::dialect::Dialect;
use crate::error::Result;
use crate::statement::Statement;

/// Writes a message as `change` leaves it, and the numbers that follow. Says what it became.
async fn change(
    dialect: Dialect,
    connection: &mut AnyConnection,
    loaded: &Loaded,
    now: i64,
    change: impl FnOnce(&mut Tracked),
) -> Result<()> {
    let mut message = loaded.message.clone();
    change(&mut message);
    let mut deltas = Deltas::default();
    let expected = &loaded.expected.1;
    deltas.remove(loaded.ids, loaded.seq, &loaded.message, expected);
    deltas.add(loaded.ids, loaded.seq, &message, expected);
    deltas.write(dialect, connection).await?;
    let mut statement = Statement::new("UPDATE ductape_messages SET state = ");
    statement
        .bind(message.state(expected))
        .text(", marks = ")
        .bind(message.marks);
    statement.text(", updated_at = ").bind(now);
    statement.text(" WHERE seq = ").bind(loaded.seq);
    statement.execute(&mut *connection).await?;
    let deliveries: Vec<_> = message
        .deliveries
        .iter()
        .map(|delivery| DeliveryRow {
            seq: loaded.seq,
            topic: loaded.ids.topic,
            produced_at: message.produced_at,
            delivery,
        })
        .collect();
    write_deliveries(dialect, connection, &deliveries).await
}

/// Removes rows by a message's number.
async fn delete(
    dialect: Dialect,
    connection: &mut AnyConnection,
    text: &'static str,
    seqs: &HashSet<i64>,
) -> Result<()> {
    let mut seqs: Vec<i64> = seqs.iter().copied().collect();
    seqs.sort_unstable();
    // A row's parentheses are in the place of the list's.
    bulk(dialect, connection, (text, ")"), &seqs, |statement, seq| {
        statement.bind(*seq);
    })
    .await
}
