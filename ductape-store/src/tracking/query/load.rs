//! Messages in full.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::scope::tags;
use crate::error::Result;
use crate::open::Store;
use crate::statement::Statement;
use crate::time::from_micros;
use crate::tracking::answer::{ConsumerDelivery, Message};
use crate::tracking::bulk::lists;
use crate::tracking::code::{delivery_status, message_status};
use crate::tracking::fold::{Delivery, Tracked};
use crate::tracking::names::{Groups, TopicIds, read_set};
use crate::tracking::text;
use crate::tracking::write::{DELIVERIES, Details, read_delivery, response_row};

/// A message as the store has it.
pub(crate) struct Loaded {
    pub(crate) seq: i64,
    pub(crate) message_id: String,
    pub(crate) ids: TopicIds,
    pub(crate) message: Tracked,
    pub(crate) expected: Groups,
    pub(crate) bytes: i64,
    created_at: i64,
    updated_at: i64,
}

/// Loads messages, in the order of their numbers in `seqs`; those that are gone are left out.
pub(crate) async fn load(store: &Store, connection: &mut AnyConnection, seqs: &[i64]) -> Result<Vec<Loaded>> {
    let rows = lists(
        store.dialect(),
        connection,
        (
            "SELECT seq, message_id, broker, topic, producer, expected, produced_at, marks, bytes, created_at, updated_at \
             FROM ductape_messages WHERE seq IN (",
            ")",
        ),
        seqs,
        |statement, seq| _ = statement.bind(*seq),
    )
    .await?;
    let mut found = HashMap::with_capacity(rows.len());
    let mut groups = HashSet::new();
    for row in &rows {
        let loaded = read_message(row)?;
        groups.insert(loaded.expected.0);
        found.insert(loaded.seq, loaded);
    }
    let groups = tags(connection, groups).await?;
    for loaded in found.values_mut() {
        if let Some(tag) = groups.get(&loaded.expected.0) {
            loaded.expected.1 = read_set(tag);
        }
    }
    let rows = lists(
        store.dialect(),
        connection,
        (DELIVERIES, ")"),
        seqs,
        |statement, seq| {
            statement.bind(*seq);
        },
    )
    .await?;
    for row in &rows {
        if let Some(loaded) = found.get_mut(&row.try_get(0)?) {
            loaded.message.deliveries.push(read_delivery(row)?);
        }
    }
    Ok(seqs.iter().filter_map(|seq| found.remove(seq)).collect())
}

fn read_message(row: &AnyRow) -> Result<Loaded> {
    Ok(Loaded {
        seq: row.try_get(0)?,
        message_id: row.try_get(1)?,
        ids: TopicIds {
            broker: row.try_get(2)?,
            topic: row.try_get(3)?,
        },
        message: Tracked {
            producer: row.try_get(4)?,
            produced_at: row.try_get(6)?,
            marks: row.try_get(7)?,
            deliveries: Vec::new(),
        },
        expected: (row.try_get(5)?, Arc::new([])),
        bytes: row.try_get(8)?,
        created_at: row.try_get(9)?,
        updated_at: row.try_get(10)?,
    })
}

/// Loads messages as they are shown.
pub(in crate::tracking) async fn messages(
    store: &Store,
    connection: &mut AnyConnection,
    seqs: &[i64],
) -> Result<Vec<Message>> {
    let loaded = load(store, connection, seqs).await?;
    let mut details = HashMap::new();
    let rows = lists(
        store.dialect(),
        connection,
        (
            "SELECT message, details, payload FROM ductape_details WHERE message IN (",
            ")",
        ),
        seqs,
        |statement, seq| _ = statement.bind(*seq),
    )
    .await?;
    for row in &rows {
        let of: (&str, Option<&[u8]>) = (row.try_get(1)?, row.try_get(2)?);
        details.insert(row.try_get::<i64, _>(0)?, of);
    }
    let mut ids = HashSet::new();
    for one in &loaded {
        ids.extend([one.ids.topic, one.message.producer]);
        ids.extend(one.expected.1.iter());
        ids.extend(one.message.deliveries.iter().map(|delivery| delivery.consumer));
    }
    let tags = tags(connection, ids).await?;
    let brokers = brokers(connection, loaded.iter().map(|one| one.ids.broker).collect()).await?;
    let show = |one: &Loaded| show(store, one, details.get(&one.seq).copied(), &tags, &brokers);
    loaded.iter().map(show).collect()
}

/// The product, the environment and the tag of brokers.
pub(super) async fn brokers(
    connection: &mut AnyConnection,
    ids: HashSet<i64>,
) -> Result<HashMap<i64, [String; 3]>> {
    let mut brokers = HashMap::new();
    for id in ids {
        let mut statement = Statement::new(
            "SELECT product.tag, env.tag, broker.tag FROM ductape_names broker \
             JOIN ductape_names env ON env.id = broker.parent JOIN ductape_names product ON product.id = env.parent \
             WHERE broker.id = ",
        );
        statement.bind(id);
        let row = statement.one(&mut *connection).await?;
        brokers.insert(id, [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?]);
    }
    Ok(brokers)
}

fn show(
    store: &Store,
    one: &Loaded,
    details: Option<(&str, Option<&[u8]>)>,
    tags: &HashMap<i64, String>,
    brokers: &HashMap<i64, [String; 3]>,
) -> Result<Message> {
    let tag = |id: i64| tags.get(&id).cloned().unwrap_or_default();
    let [product, env, broker_tag] = brokers.get(&one.ids.broker).cloned().unwrap_or_default();
    let topic_tag = tag(one.ids.topic);
    let (details, payload) = details.unwrap_or(("{}", None));
    let details: Details<'_> = serde_json::from_str(details).unwrap_or_default();
    let payload = payload
        .map(|kept| store.keys().open(kept, &one.message_id))
        .transpose()?;
    let mut consumer_deliveries = Vec::new();
    for delivery in &one.message.deliveries {
        consumer_deliveries.push(show_delivery(
            store,
            &one.message_id,
            delivery,
            tag(delivery.consumer),
        )?);
    }
    for consumer in one.message.waiting(&one.expected.1) {
        let waiting = Delivery {
            consumer,
            ..Delivery::default()
        };
        consumer_deliveries.push(show_delivery(store, &one.message_id, &waiting, tag(consumer))?);
    }
    consumer_deliveries.sort_by(|a, b| a.consumer_tag.cmp(&b.consumer_tag));
    let owned = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
    Ok(Message {
        message_id: one.message_id.clone(),
        idempotency_key: owned(details.idempotency_key),
        product,
        env,
        event: format!("{broker_tag}:{topic_tag}"),
        broker_tag,
        topic_tag,
        producer_tag: tag(one.message.producer),
        key: owned(details.key),
        payload: payload.map(Bytes::from),
        status: message_status(one.message.state(&one.expected.1)),
        produced_at: from_micros(one.message.produced_at),
        consumer_deliveries,
        process_id: owned(details.process_id),
        session_tag: owned(details.session_tag),
        replay_of: owned(details.replay_of),
        metadata: object(details.metadata.as_deref()),
        created_at: from_micros(one.created_at),
        updated_at: from_micros(one.updated_at),
    })
}

/// Headers as JSON; what was recorded as such and is none is shown as its text.
pub(super) fn object(text: Option<&str>) -> Value {
    match text {
        None => Value::Object(serde_json::Map::new()),
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    }
}

fn show_delivery(
    store: &Store,
    message_id: &str,
    one: &Delivery,
    consumer_tag: String,
) -> Result<ConsumerDelivery> {
    let response = one.response.as_deref();
    let response = response
        .map(|kept| store.keys().open(kept, &response_row(message_id, one.consumer)))
        .transpose()?;
    let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let was_tried = one.started_at > 0;
    Ok(ConsumerDelivery {
        consumer_tag,
        status: delivery_status(one.status),
        consumed_at: one.finished_at().filter(|_| was_tried).map(from_micros),
        error: one.error.clone(),
        retry_count: count((one.attempt - 1).max(0)),
        next_retry_at: one.next_at.map(from_micros),
        response_data: response.map(|json| {
            let text = String::from_utf8_lossy(&json);
            object(Some(&text))
        }),
        processing_time: was_tried
            .then(|| std::time::Duration::from_micros(u64::try_from(one.elapsed).unwrap_or_default())),
        duplicate_count: count(one.duplicates),
        redrive_count: count(one.redrive),
    })
}

/// The newest message of an id.
pub(crate) async fn by_id(
    connection: &mut AnyConnection,
    product: &str,
    env: Option<&str>,
    message_id: &str,
) -> Result<Option<i64>> {
    let mut statement = Statement::new(
        "SELECT m.seq FROM ductape_messages m JOIN ductape_names broker ON broker.id = m.broker \
         JOIN ductape_names env ON env.id = broker.parent JOIN ductape_names product ON product.id = env.parent \
         WHERE m.message_id = ",
    );
    statement.bind(text::name(message_id).as_ref());
    statement
        .text(" AND product.tag = ")
        .bind(text::name(product).as_ref());
    if let Some(env) = env {
        statement.text(" AND env.tag = ").bind(text::name(env).as_ref());
    }
    statement.text(" ORDER BY m.produced_at DESC, m.seq DESC LIMIT 1");
    let row = statement.optional(connection).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
