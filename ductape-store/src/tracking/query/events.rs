//! Messages as the events of a broker's history.

use serde_json::{Map, Value};
use sqlx::AnyConnection;

use super::page::{self, Found, PageSpec};
use super::scope::{self, Scope};
use super::{Tracking, load};
use crate::error::Result;
use crate::tracking::answer::{Event, EventPage, Message};
use crate::tracking::code::{mark, state, states_of_event};
use crate::tracking::filter::EventFilter;
use crate::tracking::names::Kind;
use crate::tracking::status::{DeliveryStatus, EventCategory, EventStatus, MessageStatus};

pub(super) async fn page(tracking: &Tracking, filter: &EventFilter) -> Result<EventPage> {
    let spec = PageSpec {
        page: filter.page,
        limit: filter.limit,
        snapshot: filter.snapshot.as_ref(),
    };
    spec.check()?;
    let mut reading = tracking.read().await?;
    let connection = &mut *reading;
    let mut found = Found::nothing();
    let mut messages = Vec::new();
    if let Some(scope) = scope_of(connection, filter).await? {
        found = page::find(connection, &scope, spec).await?;
        let seqs: Vec<i64> = found.keys.iter().map(|key| key.seq).collect();
        messages = load::messages(&tracking.store, connection, &seqs).await?;
    }
    reading.rollback().await?;
    Ok(EventPage {
        events: messages
            .into_iter()
            .map(|message| of(message, filter.category))
            .collect(),
        total: found.total,
        page: filter.page,
        limit: filter.limit,
        has_more: found.has_more,
        snapshot: found.snapshot,
    })
}

/// What a filter is about, if anything was recorded of it.
pub(super) async fn scope_of(connection: &mut AnyConnection, filter: &EventFilter) -> Result<Option<Scope>> {
    let (from, until) = scope::between(filter.start_date, filter.end_date)?;
    let broker = scope::broker(connection, &filter.product, &filter.env, &filter.broker_tag).await?;
    let Some(broker) = broker else { return Ok(None) };
    let Some(topic) = scope::find(connection, broker, Kind::Topic, filter.topic.as_ref()).await? else {
        return Ok(None);
    };
    let mut scope = Scope {
        topic,
        from,
        until,
        ..Scope::broker(broker)
    };
    narrow(&mut scope, filter.status, filter.category);
    Ok(Some(scope))
}

fn narrow(scope: &mut Scope, status: Option<EventStatus>, category: Option<EventCategory>) {
    match category {
        None | Some(EventCategory::Message) => {}
        Some(EventCategory::Producer) => scope.is_produced = true,
        Some(EventCategory::Consumer) => {
            scope.states = Some(vec![
                state::SUCCESS,
                state::FAILED,
                state::PARTIAL,
                state::PARTIAL_FAILED,
                state::RETRYING,
                state::PARTIAL_RETRYING,
            ]);
        }
        Some(EventCategory::DeadLetter) => scope.mark = Some(mark::DEAD),
        Some(EventCategory::Error) => scope.mark = Some(mark::ERROR),
    }
    match status {
        None => {}
        // What a group got again it has had.
        Some(EventStatus::Duplicate) if scope.mark.is_some() => scope.other_mark = Some(mark::DUPLICATE),
        Some(EventStatus::Duplicate) => {
            scope.states = None;
            scope.mark = Some(mark::DUPLICATE);
        }
        Some(status) => {
            let wanted = states_of_event(status).iter().copied();
            scope.states = Some(match &scope.states {
                Some(those) => wanted.filter(|state| those.contains(state)).collect(),
                None => wanted.collect(),
            });
        }
    }
}

/// A message as an event.
pub(super) fn of(message: Message, category: Option<EventCategory>) -> Event {
    let is = |status| move |one: &&crate::tracking::ConsumerDelivery| one.status == status;
    let any = |status| message.consumer_deliveries.iter().any(|one| is(status)(&one));
    let status = if message.status == MessageStatus::Success {
        EventStatus::Success
    } else if any(DeliveryStatus::Failed) || any(DeliveryStatus::DeadLettered) {
        EventStatus::Failed
    } else if any(DeliveryStatus::Retrying) {
        EventStatus::Retrying
    } else {
        EventStatus::Pending
    };
    let responses: Map<String, Value> = message
        .consumer_deliveries
        .iter()
        .filter_map(|one| Some((one.consumer_tag.clone(), one.response_data.clone()?)))
        .collect();
    Event {
        id: message.message_id.clone(),
        status,
        category: category.unwrap_or(EventCategory::Message),
        topic: message.topic_tag.clone(),
        event: message.event.clone(),
        timestamp: message.produced_at,
        request_data: message.payload.clone(),
        response_data: if responses.is_empty() {
            Value::Null
        } else {
            Value::Object(responses)
        },
        message,
    }
}
