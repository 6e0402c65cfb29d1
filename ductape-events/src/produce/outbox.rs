//! Writing to the outbox.

use std::num::NonZeroU32;

use bytes::Bytes;
use ductape_providers::{Headers, MessageId, Outgoing};
use ductape_store::SqlTransaction;
use ductape_store::outbox::{OutboxMessage, Taken};

use super::{ProduceOptions, checked, seal};
use crate::clock;
use crate::context::Context;
use crate::error::{BrokerError, ErrorCode, PublishOutcome};
use crate::topic::Topic;

/// Writes one event in `transaction`.
pub(crate) async fn write<E: Topic, T: SqlTransaction + ?Sized>(
    event: &E,
    transaction: &mut T,
    ctx: &Context,
) -> Result<MessageId, BrokerError> {
    let wiring = ctx.wiring();
    let route = wiring.route(E::EVENT, E::VERSION)?;
    let store = wiring.store("the outbox")?;
    wiring.check_open()?;
    let options = checked(ProduceOptions::default(), ctx).await?;
    let message = seal(event, route, options, ctx)?;
    let id = message.id.clone();
    let outbox = store.outbox(&wiring.product, &wiring.environment);
    let written = outbox.write(transaction, to_row(&message), clock::wall()).await;
    written.map_err(|error| {
        BrokerError::from_store(format!("`{}` was not written to the outbox", E::EVENT), error)
            .with_code(ErrorCode::StoreFailed)
            .with_publish_outcome(PublishOutcome::Rejected)
    })?;
    wiring.outbox_written();
    Ok(id)
}

fn to_row(message: &Outgoing) -> OutboxMessage {
    // What all messages of a topic have in common is put in by who publishes.
    let (_, own) = message.headers.parts();
    let headers: serde_json::Map<String, serde_json::Value> = own
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string().into()))
        .collect();
    OutboxMessage {
        event: message.topic.event().as_str().to_owned(),
        version: message.topic.version().get(),
        message_id: message.id.to_string(),
        key: message.key.as_ref().map(|key| key.to_vec()),
        headers: serde_json::Value::from(headers).to_string(),
        payload: message.payload.to_vec(),
        not_before: message.not_before,
    }
}

/// The message of a row; why not, where its topic is not this program's or the row can't be read.
pub(crate) fn from_row(taken: Taken, ctx: &Context) -> Result<Outgoing, String> {
    let row = taken.message;
    let version = NonZeroU32::new(row.version).ok_or("its version is 0")?;
    let route = ctx
        .wiring()
        .route(&row.event, version.get())
        .map_err(|error| error.to_string())?;
    let headers: std::collections::BTreeMap<String, String> =
        serde_json::from_str(&row.headers).map_err(|error| format!("its headers can't be read: {error}"))?;
    let mut all: Headers = route.headers.clone();
    for (name, value) in headers {
        all.insert(name, value);
    }
    let mut message = Outgoing::new(route.topic.clone(), Bytes::from(row.payload));
    message.id = MessageId::from_text(&row.message_id);
    message.key = row.key.map(Bytes::from);
    message.headers = all;
    message.not_before = row.not_before;
    message.published_at = taken.created_at;
    Ok(message)
}
