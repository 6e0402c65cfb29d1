use bytes::Bytes;
use ductape_providers::Outgoing;
use serde_json::Value;

use crate::context::Context;
use crate::error::{BrokerError, ErrorCode, PublishOutcome};
use crate::produce::{ProduceOptions, ProduceReceipt, checked, message, publish};
use crate::wiring::TopicRoute;

pub(crate) async fn json(
    event: &str,
    value: &Value,
    options: ProduceOptions,
    ctx: &Context,
) -> Result<ProduceReceipt, BrokerError> {
    let route = ctx.wiring().route_by_name(event)?;
    let message = seal(value, &route, options, ctx).await?;
    publish::one(&route, message, ctx.wiring()).await
}

/// An event that fits its topic, as a message.
pub(super) async fn seal(
    value: &Value,
    route: &TopicRoute,
    options: ProduceOptions,
    ctx: &Context,
) -> Result<Outgoing, BrokerError> {
    if let Some(text) = route.misfit(value)? {
        return Err(
            BrokerError::new(ErrorCode::PayloadInvalid, text).with_publish_outcome(PublishOutcome::Rejected)
        );
    }
    let payload = Bytes::from(value.to_string());
    let keyed = route.descriptor.filter(|topic| topic.key.is_some());
    let key = keyed.and_then(|topic| (topic.key_of)(&payload));
    let options = checked(options, ctx).await?;
    message(payload, key, route, options, ctx)
}

pub(crate) async fn bytes(
    event: &str,
    payload: Bytes,
    options: ProduceOptions,
    ctx: &Context,
) -> Result<ProduceReceipt, BrokerError> {
    let route = ctx.wiring().route_by_name(event)?;
    let options = checked(options, ctx).await?;
    let message = message(payload, None, &route, options, ctx)?;
    publish::one(&route, message, ctx.wiring()).await
}
