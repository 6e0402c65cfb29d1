//! How many dead letters failed in the same way.

use std::collections::HashMap;

use sqlx::AnyConnection;

use crate::error::Result;
use crate::statement::Statement;

/// What dead letters are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Failure {
    pub(super) broker: i64,
    pub(super) state: i64,
    pub(super) topic: i64,
    pub(super) consumer: i64,
    pub(super) fingerprint: String,
}

struct Change {
    count: i64,
    error: String,
    first_at: i64,
    last_at: i64,
}

/// How the counts change.
#[derive(Default)]
pub(super) struct Failures {
    changes: HashMap<Failure, Change>,
}

impl Failures {
    pub(super) fn add(&mut self, failure: Failure, count: i64, error: &str, failed_at: i64) {
        let change = self.changes.entry(failure).or_insert_with(|| Change {
            count: 0,
            error: error.to_owned(),
            first_at: failed_at,
            last_at: failed_at,
        });
        change.count += count;
        change.first_at = change.first_at.min(failed_at);
        if failed_at > change.last_at {
            change.last_at = failed_at;
            error.clone_into(&mut change.error);
        }
    }

    /// Writes them.
    pub(super) async fn write(self, connection: &mut AnyConnection) -> Result<()> {
        let mut changes: Vec<_> = self.changes.into_iter().collect();
        changes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (failure, change) in changes {
            let mut statement = Statement::new(
                "INSERT INTO ductape_failures (broker, state, topic, consumer, count, first_at, last_at, fingerprint, error) \
                 VALUES (",
            );
            statement.list([
                failure.broker,
                failure.state,
                failure.topic,
                failure.consumer,
                change.count,
                change.first_at,
                change.last_at,
            ]);
            statement.text(", ").bind(failure.fingerprint);
            statement.text(", ").bind(change.error);
            statement.text(
                ") ON CONFLICT (broker, state, topic, consumer, fingerprint) DO UPDATE SET \
                 count = ductape_failures.count + excluded.count, \
                 first_at = CASE WHEN ductape_failures.count <= 0 OR excluded.first_at < ductape_failures.first_at \
                 THEN excluded.first_at ELSE ductape_failures.first_at END, \
                 error = CASE WHEN excluded.last_at > ductape_failures.last_at \
                 THEN excluded.error ELSE ductape_failures.error END, \
                 last_at = CASE WHEN excluded.last_at > ductape_failures.last_at \
                 THEN excluded.last_at ELSE ductape_failures.last_at END",
            );
            statement.execute(&mut *connection).await?;
        }
        Ok(())
    }
}
