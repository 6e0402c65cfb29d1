//! Making what a topic and its groups need.

use std::sync::Arc;

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use uuid::Uuid;

use super::link::{Open, answered};
use super::names::{Topic, dead, group_missing, short, topic_missing};
use super::provider::{Ephemeral, Server};
use super::queue::{self, Kind, Seen};
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{GroupSpec, Ordering, Start, TopicSpec};

/// After how often a message came back the server makes it a dead letter by itself: one that ends the program which handles
/// it. A server of version 4 counts as far without being told.
const DELIVERY_LIMIT: i64 = 20;

/// Declares a topic and its groups.
pub(super) async fn declare(server: &Arc<Server>, spec: &TopicSpec) -> Result<()> {
    for group in &spec.groups {
        check(group).map_err(|error| error.with("topic", &spec.topic).with("group", &group.name))?;
    }
    let topic = server.prepare(spec)?;
    // Groups that live as long as a subscription belong to the connection that reads.
    let open = server.consuming.get().await?;
    let declared = declare_all(server, &open, &topic).await;
    declared.map_err(|error| error.with("topic", &spec.topic))?;
    server.remember(topic)
}

fn check(group: &GroupSpec) -> Result<()> {
    if group.start == Start::Earliest {
        let text = "RabbitMQ keeps no log that a group could begin at the start of; drop `start`";
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    if group.once {
        let text = "RabbitMQ does not keep the ids that a group has handled; drop `once`";
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    Ok(())
}

async fn declare_all(server: &Server, open: &Open, topic: &Topic) -> Result<()> {
    if server.declare != Declare::Off {
        declare_exchange(server, open, topic).await?;
    }
    for group in &topic.spec.groups {
        if group.ephemeral {
            declare_ephemeral(server, open, topic, group).await?;
            continue;
        }
        let queue = topic.queue(&group.name, group.named, &server.chosen)?;
        let dead = dead(&queue)?;
        let declared = match server.declare {
            Declare::Off => continue,
            Declare::Check => check_queues(open, topic, group, &queue, &dead).await,
            Declare::Create => create_queues(open, topic, group, &queue, &dead).await,
        };
        declared.map_err(|error| error.with("group", &group.name))?;
    }
    Ok(())
}

async fn declare_exchange(server: &Server, open: &Open, topic: &Topic) -> Result<()> {
    if server.declare == Declare::Check {
        if !open.has_exchange(&topic.exchange).await? {
            return Err(topic_missing(&topic.spec.topic).with("exchange", &topic.exchange));
        }
        server.see(topic);
        return Ok(());
    }
    match make_exchange(open, &topic.exchange).await {
        Ok(()) => {}
        // One that is not durable is a finding; of another type it would deliver to others.
        Err(error) if is_mismatch(&error) && !is_of_another_type(&error) => {}
        // It may be there all the same.
        Err(error)
            if error.kind() == ErrorKind::Unauthorized && open.has_exchange(&topic.exchange).await? => {}
        Err(error) if is_mismatch(&error) => {
            let text = format!(
                "there is an exchange `{}` of another type; delete it, or give the broker another tag",
                topic.exchange
            );
            return Err(Error::new(ErrorKind::TopologyMismatch, text).with_source(error.to_string()));
        }
        Err(error) => return Err(error.with("exchange", &topic.exchange)),
    }
    server.see(topic);
    Ok(())
}

/// Makes an exchange that delivers by the whole routing key, unless it is there. A topic exchange, which also takes bindings
/// with patterns, is as good where it is there, and slower: the server looks through its patterns for each message.
pub(super) async fn make_exchange(open: &Open, name: &ShortString) -> Result<()> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let declare = async |kind: ExchangeKind| {
        // A refusal ends the channel.
        let channel = open.channel().await?;
        let declared = channel.exchange_declare(name.clone(), kind, options, FieldTable::default());
        answered("exchange.declare", declared).await
    };
    match declare(ExchangeKind::Direct).await {
        Err(error) if is_mismatch(&error) && is_of_another_type(&error) => declare(ExchangeKind::Topic).await,
        made => made,
    }
}

fn is_of_another_type(error: &Error) -> bool {
    error.to_string().contains("arg 'type'")
}

fn is_mismatch(error: &Error) -> bool {
    error.kind() == ErrorKind::TopologyMismatch
}

async fn check_queues(
    open: &Open,
    topic: &Topic,
    group: &GroupSpec,
    queue: &ShortString,
    dead: &ShortString,
) -> Result<()> {
    for name in [queue, dead] {
        if !queue::exists(open, name).await? {
            return Err(group_missing(&topic.spec.topic, &group.name).with("queue", name));
        }
    }
    usable(open, queue, &arguments(topic, group, dead)).await
}

async fn create_queues(
    open: &Open,
    topic: &Topic,
    group: &GroupSpec,
    queue: &ShortString,
    dead: &ShortString,
) -> Result<()> {
    // The dead letters first: the group's queue may need them from its first message on.
    ensure(open, dead, &dead_arguments()).await?;
    ensure(open, queue, &arguments(topic, group, dead)).await?;
    bind(open, queue, topic).await
}

/// Makes the queue, or sees that what is there can be used.
async fn ensure(open: &Open, name: &ShortString, arguments: &FieldTable) -> Result<()> {
    match queue::create(open, name, Kind::Durable, arguments.clone()).await {
        Ok(()) => Ok(()),
        Err(error) if is_mismatch(&error) => usable(open, name, arguments).await,
        Err(error) if error.kind() == ErrorKind::Unauthorized && queue::exists(open, name).await? => Ok(()),
        Err(error) => Err(error.with("queue", name)),
    }
}

/// Whether a queue that is there can be used. What is unsafe about it is a finding, and can be allowed; what can't work is
/// an error.
async fn usable(open: &Open, name: &ShortString, expected: &FieldTable) -> Result<()> {
    let mismatch = |text: String| Error::new(ErrorKind::TopologyMismatch, text).with("queue", name);
    match queue::read(open, name, expected).await? {
        Seen::Set(setup) if setup.exclusive => Err(mismatch(
            "another connection has the queue for itself (`exclusive`); delete it, or use another name"
                .to_owned(),
        )),
        Seen::Set(setup) if setup.queue_type() == "stream" => Err(mismatch(
            "the queue is a stream, and a group's must be a quorum queue; delete it, or use another name"
                .to_owned(),
        )),
        Seen::Set(_) | Seen::Forbidden => Ok(()),
        Seen::Unclear(said) => Err(mismatch(
            "there is a queue of this name that is set up otherwise; delete it, or use another name"
                .to_owned(),
        )
        .with_source(said)),
    }
}

async fn bind(open: &Open, queue: &ShortString, topic: &Topic) -> Result<()> {
    let channel = open.channel().await?;
    let bound = channel.queue_bind(
        queue.clone(),
        topic.exchange.clone(),
        topic.routing_key.clone(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    answered("queue.bind", bound)
        .await
        .map_err(|error| error.with("queue", queue))
}

/// How the queue of a group is to be.
pub(super) fn arguments(topic: &Topic, group: &GroupSpec, dead: &ShortString) -> FieldTable {
    let mut arguments = FieldTable::default();
    let mut put = |name: &str, value: AMQPValue| {
        arguments.insert(name.into(), value);
    };
    put("x-queue-type", queue::text("quorum"));
    put("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT));
    put("x-dead-letter-exchange", queue::text(""));
    put("x-dead-letter-routing-key", queue::text(dead.as_str()));
    put("x-dead-letter-strategy", queue::text("at-least-once"));
    put("x-overflow", queue::text("reject-publish"));
    if is_ordered(topic, group) {
        put("x-single-active-consumer", AMQPValue::Boolean(true));
    }
    arguments
}

/// How the queue of a group's dead letters is to be.
pub(super) fn dead_arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), queue::text("quorum"));
    // A server of version 4 counts up to 20 by itself, and drops what is read more often.
    arguments.insert(
        "x-delivery-limit".into(),
        AMQPValue::LongLongInt(i64::from(i32::MAX)),
    );
    arguments
}

/// Whether one member reads at a time, so that the order is kept.
pub(super) fn is_ordered(topic: &Topic, group: &GroupSpec) -> bool {
    topic.spec.keyed && group.ordering == Ordering::Strict
}

/// A queue that lives as long as its one consumer. A group that is declared again is another.
async fn declare_ephemeral(server: &Server, open: &Open, topic: &Topic, group: &GroupSpec) -> Result<()> {
    let usual = topic.queue(&group.name, true, &server.chosen)?;
    let id = Uuid::now_v7().simple().to_string();
    let queue = short(&format!("{usual}.{}", &id[20..]))?;
    let dead = dead(&usual)?;
    queue::create(open, &dead, Kind::Exclusive, FieldTable::default()).await?;
    queue::create(open, &queue, Kind::OfOneConsumer, FieldTable::default()).await?;
    bind(open, &queue, topic).await?;
    server.note_ephemeral(topic, group, Ephemeral { queue, dead });
    Ok(())
}
