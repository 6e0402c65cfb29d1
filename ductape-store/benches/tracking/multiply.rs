//! Many messages made of fewer.

use std::time::Instant;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, AssertSqlSafe, Executor as _, Row as _};

/// How many messages are copied in one transaction.
const STEP: i64 = 20_000;

/// Makes each message `times` messages, a microsecond apart, and the numbers with them.
pub(crate) async fn multiply(url: &str, times: i64) {
    let start = Instant::now();
    let is_sqlite = url.starts_with("sqlite:");
    let url = url.replacen("sqlite:", "sqlite://", 1);
    let pool = AnyPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();
    if is_sqlite {
        run(&pool, "PRAGMA synchronous = OFF; PRAGMA cache_size = -262144").await;
    }
    let next: i64 = pool
        .fetch_one("SELECT next FROM ductape_tracking WHERE id = 1")
        .await
        .unwrap()
        .get(0);
    let copies: Vec<String> = (1..times).map(|copy| format!("({copy})")).collect();
    let copies = format!("(SELECT column1 AS n FROM (VALUES {}) v) k", copies.join(", "));
    let seq = |column: &str| format!("{next} + {column} * {times} + k.n");
    let mut from = 0;
    while from < next {
        let some = format!(
            "CROSS JOIN {copies} WHERE o.SEQ >= {from} AND o.SEQ < {}",
            (from + STEP).min(next)
        );
        let of = |column: &str| some.replace("SEQ", column);
        let (by_seq, by_message) = (of("seq"), of("message"));
        run(
            &pool,
            &format!(
                "BEGIN;
INSERT INTO ductape_messages SELECT {}, message_id || '-' || k.n, broker, topic, producer, expected, produced_at + k.n, state, \
marks, bytes, created_at, updated_at FROM ductape_messages o {by_seq} ORDER BY o.seq, k.n;
INSERT INTO ductape_details SELECT {}, details, payload FROM ductape_details o {by_message} ORDER BY o.message, k.n;
INSERT INTO ductape_deliveries SELECT {}, consumer, topic, produced_at + k.n, status, redrive, attempt, started_at, elapsed, \
next_at, duplicates, error, response FROM ductape_deliveries o {by_message} ORDER BY o.message, k.n;
INSERT INTO ductape_marks SELECT broker, mark, produced_at + k.n, {}, topic, producer FROM ductape_marks o {by_seq} \
ORDER BY o.seq, k.n;
INSERT INTO ductape_dead_letters SELECT {}, {}, consumer, broker, topic, redrive, message_id || '-' || k.n, failed_at + k.n, \
retry_count, error, fingerprint, state, token, lease_until, superseded_by, details, payload FROM ductape_dead_letters o \
{by_message} ORDER BY o.message, k.n;
COMMIT",
                seq("o.seq"),
                seq("o.message"),
                seq("o.message"),
                seq("o.seq"),
                seq("o.id"),
                seq("o.message"),
            ),
        )
        .await;
        from += STEP;
    }
    run(
        &pool,
        &format!(
            "UPDATE ductape_message_hours SET count = count * {times};
UPDATE ductape_message_totals SET count = count * {times};
UPDATE ductape_delivery_hours SET count = count * {times};
UPDATE ductape_delivery_totals SET count = count * {times}, elapsed = elapsed * {times};
UPDATE ductape_failures SET count = count * {times};
UPDATE ductape_tracking SET bytes = bytes * {times}, next = {next} * ({times} + 2)"
        ),
    )
    .await;
    if !is_sqlite {
        // What the server's own vacuum does within a while.
        pool.execute("VACUUM ANALYZE").await.unwrap();
    }
    pool.close().await;
    println!("multiplied by {times} in {:.1?}", start.elapsed());
}

async fn run(pool: &AnyPool, sql: &str) {
    pool.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await
        .unwrap();
}
