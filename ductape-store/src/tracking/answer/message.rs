//! Messages, and who produces and consumes them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::tracking::serial::{millis, millis_option, payload, rfc3339, rfc3339_option};
use crate::tracking::status::{ActivityStatus, DeliveryStatus, EventCategory, EventStatus, MessageStatus};

answers! {
    /// A tracked message.
    Message {
        /// Its id.
        message_id: String,
        /// The key that it was produced once under.
        #[serde(skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
        /// The product's tag.
        product: String,
        /// The environment's slug.
        env: String,
        /// The broker's tag.
        broker_tag: String,
        /// The topic's tag, without the broker.
        topic_tag: String,
        /// `broker:topic`.
        event: String,
        /// Who produced it; empty while only deliveries of it were recorded.
        producer_tag: String,
        /// The key that keeps order.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// Its bytes; JSON when written as JSON, if they are. `None` when none were kept.
        #[serde(serialize_with = "payload")]
        payload: Option<Bytes>,
        /// In which state it is.
        status: MessageStatus,
        /// When it was produced. While only deliveries of it were recorded: when the first of these began, unless they say.
        #[serde(serialize_with = "rfc3339")]
        produced_at: SystemTime,
        /// What consumers did with it: those that are to have it, and those that had it.
        consumer_deliveries: Vec<ConsumerDelivery>,
        /// What produced it, as its receipt says.
        #[serde(skip_serializing_if = "Option::is_none")]
        process_id: Option<String>,
        /// The session that it was produced in.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_tag: Option<String>,
        /// The id of the message that it is a copy of.
        #[serde(skip_serializing_if = "Option::is_none")]
        replay_of: Option<String>,
        /// Its headers.
        metadata: Value,
        /// When it was recorded.
        #[serde(serialize_with = "rfc3339")]
        created_at: SystemTime,
        /// When something was last recorded of it.
        #[serde(serialize_with = "rfc3339")]
        updated_at: SystemTime,
    }

    /// What a consumer did with a message.
    ConsumerDelivery {
        /// The group.
        consumer_tag: String,
        /// In which state it is.
        status: DeliveryStatus,
        /// When it was finished.
        #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
        consumed_at: Option<SystemTime>,
        /// Why it failed last.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// How often it was tried again.
        retry_count: u32,
        /// When it is to be tried again.
        #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
        next_retry_at: Option<SystemTime>,
        /// What the consumer answered: of a handler that returned an event, which one was produced, as `event` and `messageId`.
        #[serde(skip_serializing_if = "Option::is_none")]
        response_data: Option<Value>,
        /// How long the last attempt took, in milliseconds when written as JSON.
        #[serde(serialize_with = "millis_option", skip_serializing_if = "Option::is_none")]
        processing_time: Option<Duration>,
        /// How often the group got it again after it had handled it.
        duplicate_count: u32,
        /// How often it was given to the group anew by an operator.
        redrive_count: u32,
    }

    /// A page of messages.
    MessagePage {
        /// The messages, newest first.
        messages: Vec<Message>,
        /// How many there are on all pages.
        total: u64,
        /// Which page it is, from 1.
        page: u32,
        /// How many a page has.
        limit: u32,
        /// Whether there is a later page that is not empty.
        has_more: bool,
        /// To be handed in for the other pages, so that they fit to this one.
        snapshot: String,
    }

    /// What produces to a topic.
    Producer {
        /// Its tag.
        tag: String,
        /// Its name, where the registry has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What it does, where the registry says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// The topic's tag, without the broker.
        topic: String,
        /// The broker's tag.
        broker_tag: String,
        /// How many messages it produced.
        message_count: u64,
        /// How many of these all consumers have handled.
        success_count: u64,
        /// How many of these some consumer failed at for good.
        failed_count: u64,
        /// How many of these are not finished.
        pending_count: u64,
        /// When it last produced.
        #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
        last_activity: Option<SystemTime>,
        /// How it does.
        status: ActivityStatus,
        /// When it was seen first.
        #[serde(serialize_with = "rfc3339")]
        created_at: SystemTime,
    }

    /// A page of producers.
    ProducerPage {
        /// The producers, most recently active first.
        producers: Vec<Producer>,
        /// How many there are on all pages.
        total: u64,
        /// Which page it is, from 1.
        page: u32,
        /// How many a page has.
        limit: u32,
        /// Whether there is a later page that is not empty.
        has_more: bool,
    }

    /// What consumes from a topic.
    Consumer {
        /// Its group.
        tag: String,
        /// Its name, where the registry has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What it does, where the registry says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// The topic's tag, without the broker.
        topic: String,
        /// The broker's tag.
        broker_tag: String,
        /// How many messages it had or is to have.
        message_count: u64,
        /// How many it handled.
        success_count: u64,
        /// How many it failed at for good.
        failed_count: u64,
        /// How many it has not finished.
        pending_count: u64,
        /// When it last finished one.
        #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
        last_activity: Option<SystemTime>,
        /// How it does.
        status: ActivityStatus,
        /// When it was seen first.
        #[serde(serialize_with = "rfc3339")]
        created_at: SystemTime,
        /// How long an attempt that finished a message took on average, in milliseconds when written as JSON; zero when none has.
        #[serde(serialize_with = "millis")]
        avg_processing_time: Duration,
    }

    /// A page of consumers.
    ConsumerPage {
        /// The consumers, most recently active first.
        consumers: Vec<Consumer>,
        /// How many there are on all pages.
        total: u64,
        /// Which page it is, from 1.
        page: u32,
        /// How many a page has.
        limit: u32,
        /// Whether there is a later page that is not empty.
        has_more: bool,
    }

    /// A message as an event of its broker's history.
    Event {
        /// The message's id.
        id: String,
        /// In which state it is.
        status: EventStatus,
        /// What it is looked at as: what was asked for, or `message`.
        category: EventCategory,
        /// The topic's tag, without the broker.
        topic: String,
        /// `broker:topic`.
        event: String,
        /// When it was produced.
        #[serde(serialize_with = "rfc3339")]
        timestamp: SystemTime,
        /// What was produced; JSON when written as JSON, if it is.
        #[serde(serialize_with = "payload")]
        request_data: Option<Bytes>,
        /// What the consumers answered, by their tag; `null` when none did.
        response_data: Value,
        /// The message itself.
        #[serde(skip)]
        message: Message,
    }

    /// A page of events.
    EventPage {
        /// The events, newest first.
        events: Vec<Event>,
        /// How many there are on all pages.
        total: u64,
        /// Which page it is, from 1.
        page: u32,
        /// How many a page has.
        limit: u32,
        /// Whether there is a later page that is not empty.
        has_more: bool,
        /// To be handed in for the other pages, so that they fit to this one.
        snapshot: String,
    }

}
