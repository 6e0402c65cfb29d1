//! Publishing once a key, over all processes that share the store.

use std::time::Duration;

use ductape_providers::provider::Durability;
use ductape_providers::{MessageId, Outgoing};
use ductape_store::idempotency::{Claim, Request, Scope, fingerprint};
use ductape_store::{Store, StoreError};
use serde::Serialize;
use serde_json::Value;

use super::{ProduceOptions, ProduceReceipt, checked, publish, seal, untyped};
use crate::backoff::Growing;
use crate::clock;
use crate::context::Context;
use crate::error::{BrokerError, ErrorCode, PublishOutcome};
use crate::topic::Topic;
use crate::wiring::TopicRoute;

/// An idempotency key: 1 to 255 printable ASCII characters that name what is published once, and for how long they do.
///
/// ```
/// use ductape_events::IdempotencyKey;
/// use std::time::Duration;
///
/// let key = IdempotencyKey::from("order-4711").ttl(Duration::from_secs(3_600));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    key: String,
    ttl: Duration,
}

impl IdempotencyKey {
    /// How long a key is kept unless it says otherwise: a day.
    pub const TTL_DEFAULT: Duration = Duration::from_hours(24);

    /// Keeps the key for `ttl` after its publish, at least a second and at most 30 days; after that it is new.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl.clamp(Duration::from_secs(1), Duration::from_hours(30 * 24));
        self
    }
}

impl<T: Into<String>> From<T> for IdempotencyKey {
    fn from(key: T) -> Self {
        Self {
            key: key.into(),
            ttl: Self::TTL_DEFAULT,
        }
    }
}

/// What is known of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KnownKey {
    /// The event that was published with it.
    pub event: String,
    /// The message's identity.
    pub process_id: MessageId,
    /// Whether the publish is done; else it is under way, or was cut off.
    pub done: bool,
}

/// Publishes one event, unless its key was used.
pub(crate) async fn idempotent<T: Topic>(
    event: &T,
    key: IdempotencyKey,
    ctx: &Context,
) -> Result<ProduceReceipt, BrokerError> {
    let wiring = ctx.wiring();
    let route = wiring.route(T::EVENT, T::VERSION)?;
    wiring.store("an idempotent publish")?;
    let options = checked(ProduceOptions::default(), ctx).await?;
    let message = seal(event, route, options, ctx)?;
    once(message, route, &key, ctx).await
}

/// The same with an event that is known by its name.
pub(crate) async fn idempotent_json(
    event: &str,
    value: &Value,
    key: IdempotencyKey,
    ctx: &Context,
) -> Result<ProduceReceipt, BrokerError> {
    let route = ctx.wiring().route_by_name(event)?;
    ctx.wiring().store("an idempotent publish")?;
    let message = untyped::seal(value, &route, ProduceOptions::default(), ctx).await?;
    once(message, &route, &key, ctx).await
}

/// The same with what is a message already.
pub(crate) async fn once(
    message: Outgoing,
    route: &TopicRoute,
    key: &IdempotencyKey,
    ctx: &Context,
) -> Result<ProduceReceipt, BrokerError> {
    let wiring = ctx.wiring();
    let call = Call {
        store: wiring.store("an idempotent publish")?,
        scope: Scope {
            product: &wiring.product,
            env: &wiring.environment,
            event: route.topic.event().as_str(),
            key: &key.key,
        },
        owner: MessageId::new().to_string(),
    };
    let version = route.topic.version().get();
    let id = match call.claim(&message, version, wiring.publish_timeout).await? {
        Claimed::Earlier(receipt) => return Ok(receipt),
        Claimed::Mine(id) => id,
    };
    let published = publish::keyed(route, Outgoing { id, ..message }, Some(&key.key), wiring).await;
    call.conclude(published, key.ttl).await
}

/// What is known of a key, of whatever event.
pub(crate) async fn check(key: &str, ctx: &Context) -> Result<Option<KnownKey>, BrokerError> {
    let wiring = ctx.wiring();
    let store = wiring.store("a check of an idempotency key")?;
    let known = store
        .idempotency()
        .check(&wiring.product, &wiring.environment, key, clock::wall())
        .await;
    let known = known.map_err(|error| {
        BrokerError::from_store("the idempotency key could not be looked up", error)
            .with_code(ErrorCode::CheckIdempotencyFailed)
    })?;
    Ok(known.map(|known| KnownKey {
        event: known.event,
        process_id: MessageId::from_text(&known.message_id),
        done: known.done,
    }))
}

/// One call with a key.
struct Call<'a> {
    store: &'a Store,
    scope: Scope<'a>,
    owner: String,
}

enum Claimed {
    /// This call publishes, with this id.
    Mine(MessageId),
    /// An earlier one did.
    Earlier(ProduceReceipt),
}

impl Call<'_> {
    /// Waits until the key is this call's, or its publish is done.
    async fn claim(
        &self,
        message: &Outgoing,
        version: u32,
        patience: Duration,
    ) -> Result<Claimed, BrokerError> {
        let id = message.id.to_string();
        let key = message.key.as_deref().unwrap_or_default();
        let print = fingerprint(&[&version.to_be_bytes(), key, &message.payload]);
        let deadline = clock::after(patience);
        let mut wait = Growing::new(Duration::from_millis(5), Duration::from_millis(250));
        loop {
            let request = Request {
                scope: self.scope,
                fingerprint: print,
                message_id: &id,
                owner: &self.owner,
                // As long as this call may publish, and a little more.
                lease: patience
                    .saturating_add(Duration::from_secs(5))
                    .min(Duration::from_hours(24)),
                now: clock::wall(),
            };
            match self.store.idempotency().claim(&request).await.map_err(failed)? {
                Claim::Mine { message_id } => return Ok(Claimed::Mine(MessageId::from_text(&message_id))),
                Claim::Done {
                    message_id,
                    durability,
                } => {
                    let id = MessageId::from_text(&message_id);
                    return Ok(Claimed::Earlier(ProduceReceipt::earlier(
                        id,
                        durability_of(&durability),
                    )));
                }
                Claim::Conflict { message_id } => {
                    let text = format!(
                        "the idempotency key was used for another `{}`; give this one a key of its own",
                        self.scope.event
                    );
                    let error = BrokerError::new(ErrorCode::IdempotencyConflict, text);
                    return Err(error
                        .with("process_id", message_id)
                        .with_publish_outcome(PublishOutcome::Rejected));
                }
                Claim::UnderWay { .. } if clock::now() < deadline => {
                    tokio::time::sleep_until(deadline.min(clock::now() + wait.next())).await;
                }
                Claim::UnderWay { .. } => {
                    let text =
                        format!("another call publishes with this key, and was not done within {patience:?}");
                    let error = BrokerError::new(ErrorCode::PublishIdempotentFailed, text);
                    return Err(error
                        .with_temporary(true)
                        .with_publish_outcome(PublishOutcome::Rejected));
                }
            }
        }
    }

    /// Notes what became of the publish. What can't be noted is found out by the next call, which publishes with the same id.
    async fn conclude(
        &self,
        published: Result<ProduceReceipt, BrokerError>,
        ttl: Duration,
    ) -> Result<ProduceReceipt, BrokerError> {
        let keys = self.store.idempotency();
        let noted = match &published {
            Ok(receipt) => {
                let expires_at = clock::wall() + ttl;
                let durability = text_of(receipt.durability);
                keys.complete(self.scope, &self.owner, durability, expires_at)
                    .await
                    .map(drop)
            }
            Err(error) if error.publish_outcome() == Some(PublishOutcome::Indeterminate) => {
                keys.cut_off(self.scope, &self.owner).await
            }
            Err(_) => keys.release(self.scope, &self.owner).await,
        };
        if let Err(error) = noted {
            tracing::warn!(event = self.scope.event, %error, "what became of an idempotent publish could not be noted");
        }
        published
    }
}

fn failed(error: StoreError) -> BrokerError {
    BrokerError::from_store(
        "the idempotency key could not be looked up; nothing was published",
        error,
    )
    .with_code(ErrorCode::PublishIdempotentFailed)
    .with_publish_outcome(PublishOutcome::Rejected)
}

const fn text_of(durability: Durability) -> &'static str {
    match durability {
        Durability::Buffered => "buffered",
        Durability::BrokerMemory => "broker_memory",
        Durability::BrokerDisk => "broker_disk",
        Durability::Replicated => "replicated",
    }
}

fn durability_of(text: &str) -> Durability {
    match text {
        "broker_memory" => Durability::BrokerMemory,
        "broker_disk" => Durability::BrokerDisk,
        "replicated" => Durability::Replicated,
        _ => Durability::Buffered,
    }
}

#[cfg(test)]
mod tests {
    use ductape_providers::provider::Durability;

    use super::{durability_of, text_of};

    #[test]
    fn durabilities_are_read_as_they_were_written() {
        for durability in [
            Durability::Buffered,
            Durability::BrokerMemory,
            Durability::BrokerDisk,
            Durability::Replicated,
        ] {
            assert_eq!(durability_of(text_of(durability)), durability);
            let json = serde_json::to_value(durability).unwrap();
            assert_eq!(json, text_of(durability));
        }
    }
}
