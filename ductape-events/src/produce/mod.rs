//! The one way out: an event becomes a message, the broker confirms it, the caller gets a receipt.

#[cfg(feature = "store")]
mod idempotent;
mod options;
#[cfg(feature = "store")]
mod outbox;
mod publish;
mod receipt;
mod untyped;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ductape_providers::message::Outgoing;
use ductape_providers::{MessageId, Route};
use futures_util::future::join;

#[cfg(feature = "store")]
pub use idempotent::{IdempotencyKey, KnownKey};
pub use options::ProduceOptions;
pub use receipt::ProduceReceipt;

#[cfg(feature = "store")]
pub(crate) use idempotent::{check, idempotent, idempotent_json, once};
#[cfg(feature = "store")]
pub(crate) use outbox::{from_row, write};
pub(crate) use publish::publish_until;
pub(crate) use untyped::{bytes, json};

use crate::clock;
use crate::consumer::{Delivery, HandlerError, Verdict};
use crate::context::Context;
use crate::envelope;
use crate::error::{BrokerError, ErrorCode, PublishOutcome};
use crate::session::{self, OnBehalf};
use crate::topic::Topic;
use crate::wiring::TopicRoute;

/// How many messages of a `produce_all` are handed to the broker at once: few at first, so that it begins soon.
const FIRST_BATCH: usize = 256;
const BATCH_MAX: usize = 4096;
/// The most bytes of payload that are handed over at once, but for the last message of them.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// After how many events those that are on their way get their turn.
const ENCODED_AT_A_TIME: usize = 128;

/// Publishes one event.
pub(crate) async fn one<T: Topic>(
    event: &T,
    options: ProduceOptions,
    ctx: &Context,
) -> Result<ProduceReceipt, BrokerError> {
    let route = ctx.wiring().route(T::EVENT, T::VERSION)?;
    let options = checked(options, ctx).await?;
    let message = seal(event, route, options, ctx)?;
    publish::one(route, message, ctx.wiring()).await
}

/// Publishes what is a message already.
#[cfg(feature = "store")]
pub(crate) async fn sealed(
    message: Outgoing,
    route: &TopicRoute,
    ctx: &Context,
) -> Result<ProduceReceipt, BrokerError> {
    publish::one(route, message, ctx.wiring()).await
}

/// The same, and nothing of it is recorded: a message that was produced before.
#[cfg(feature = "store")]
pub(crate) async fn untracked(
    message: Outgoing,
    route: &TopicRoute,
    ctx: &Context,
) -> Result<(), BrokerError> {
    publish::untracked(route, message, ctx.wiring()).await
}

/// Publishes many events, in order, in few steps.
pub(crate) async fn all<T, I>(events: I, ctx: &Context) -> Vec<Result<ProduceReceipt, BrokerError>>
where
    T: Topic,
    I: IntoIterator<Item = T, IntoIter: Send> + Send,
{
    let mut events = events.into_iter();
    let Ok(route) = ctx.wiring().route(T::EVENT, T::VERSION) else {
        return events.map(|_| Err(ctx.wiring().unknown(T::EVENT))).collect();
    };
    let mut results = Vec::with_capacity(events.size_hint().0);
    let mut size = FIRST_BATCH;
    let mut batch = fill(&mut events, size, route, ctx).await;
    while !batch.is_empty() {
        size = (size * 4).min(BATCH_MAX);
        // The next is encoded while the last is on its way, and sent once that is there: so the order is kept.
        let ((), next) = join(batch.publish(), fill(&mut events, size, route, ctx)).await;
        batch.answers(&mut results);
        batch = next;
    }
    results
}

/// The next events, up to `most`, as messages.
async fn fill<'a, T: Topic>(
    events: &mut (impl Iterator<Item = T> + Send),
    most: usize,
    route: &'a TopicRoute,
    ctx: &'a Context,
) -> publish::Batch<'a> {
    let mut batch = publish::Batch::new(route, ctx.wiring());
    let mut next = events.next();
    if next.is_none() {
        return batch;
    }
    // Anew for each batch: what is revoked meanwhile is refused from the next on.
    let options = checked(ProduceOptions::default(), ctx).await;
    while let Some(event) = next.take() {
        let sealed = match &options {
            Ok(options) => seal(&event, route, options.clone(), ctx),
            Err(error) => Err(error.again()),
        };
        match sealed {
            Ok(message) => batch.push(message),
            Err(error) => batch.push_failed(error),
        }
        if batch.len().is_multiple_of(ENCODED_AT_A_TIME) {
            tokio::task::yield_now().await;
        }
        if batch.len() < most && batch.bytes() < BATCH_BYTES_MAX {
            next = events.next();
        }
    }
    batch
}

/// Publishes what a handler returned. Its id follows from the handled message and the group, so that a handler that runs
/// again produces the same message again.
pub(crate) async fn follow_up<U: Topic>(event: &U, delivery: &Delivery) -> Verdict {
    let cause = delivery.message().id.to_string();
    let id = follow_up_id(&cause, delivery.group().as_str(), U::EVENT);
    let options = ProduceOptions::default().id(id);
    match one(event, options, &delivery.context()).await {
        Ok(_) => {
            #[cfg(feature = "store")]
            let _ = delivery.follow_up.set(U::EVENT);
            Verdict::Done
        }
        Err(error) => HandlerError::from(error).into(),
    }
}

/// The id of what a handler of `group` returned for the message `cause`.
pub(crate) fn follow_up_id(cause: &str, group: &str, event: &str) -> MessageId {
    MessageId::derived(cause, &format!("{group}/{event}"))
}

/// The options with their session checked, or the context's, where there is one that was not.
async fn checked(options: ProduceOptions, ctx: &Context) -> Result<ProduceOptions, BrokerError> {
    let Some(OnBehalf::Token(token)) = options.session.as_ref().or(ctx.session()) else {
        return Ok(options);
    };
    let header = Box::pin(session::check(token, ctx.wiring())).await?;
    Ok(ProduceOptions {
        session: Some(OnBehalf::Checked(header)),
        ..options
    })
}

fn seal<T: Topic>(
    event: &T,
    route: &TopicRoute,
    options: ProduceOptions,
    ctx: &Context,
) -> Result<Outgoing, BrokerError> {
    let (payload, key) = envelope::seal(event).map_err(|error| {
        BrokerError::new(
            ErrorCode::PayloadInvalid,
            format!("`{}` does not serialise to JSON", T::EVENT),
        )
        .with_source(error)
        .with_publish_outcome(PublishOutcome::Rejected)
    })?;
    message(payload, key, route, options, ctx)
}

fn message(
    payload: Bytes,
    key: Option<Bytes>,
    route: &TopicRoute,
    options: ProduceOptions,
    ctx: &Context,
) -> Result<Outgoing, BrokerError> {
    if payload.len() > route.payload_bytes_max {
        return Err(BrokerError::new(
            ErrorCode::PayloadTooLarge,
            format!(
                "the payload of `{}` has {} bytes; at most {} are allowed",
                route.topic,
                payload.len(),
                route.payload_bytes_max
            ),
        )
        .with_publish_outcome(PublishOutcome::Rejected));
    }
    let mut headers = route.headers.clone();
    let mut own = false;
    for (name, value) in ctx
        .extra()
        .into_iter()
        .chain(options.headers.as_ref())
        .flat_map(ductape_providers::Headers::iter)
    {
        if name.ends_with(session::ATTRIBUTE) {
            return Err(session::set_by_hand(name));
        }
        headers.insert(name, value);
        own = true;
    }
    if let Some(on_behalf) = options.session.as_ref().or(ctx.session()) {
        headers.insert(envelope::header::SESSION, on_behalf.header()?);
        own = true;
    }
    if own {
        headers.check().map_err(|error| {
            BrokerError::from_provider(
                ErrorCode::PayloadInvalid,
                format!("`{}` was not published", route.topic),
                error,
            )
            .with_publish_outcome(PublishOutcome::Rejected)
        })?;
    }
    let now = clock::wall();
    Ok(Outgoing {
        topic: route.topic.clone(),
        route: Route::Topic,
        id: options.id.unwrap_or_default(),
        key: options.key.map(Bytes::from).or(key),
        headers,
        payload,
        published_at: now,
        not_before: options.delay.map(|delay| not_before(now, delay)),
    })
}

/// The time `delay` from now. One beyond the clock's end is a time that every broker refuses as too late, not none.
fn not_before(now: SystemTime, delay: Duration) -> SystemTime {
    const MILLENNIUM: Duration = Duration::from_hours(1000 * 365 * 24);
    now.checked_add(delay).unwrap_or_else(|| now + MILLENNIUM)
}
