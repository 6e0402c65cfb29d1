//! The names of a topic's exchange, queues and routing key.

use std::sync::atomic::{AtomicBool, Ordering};

use ductape_schema::GroupName;
use lapin::types::ShortString;

use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;
use crate::spec::{GroupSpec, TopicSpec};

/// The queue and the routing key that the configuration names for all.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    pub(super) queue: Option<String>,
    pub(super) routing_key: Option<String>,
}

/// A topic, as it is on the server.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) spec: TopicSpec,
    pub(super) physical: String,
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    /// Whether other topics have the same routing key, so that a queue gets their messages too.
    pub(super) shared: bool,
    /// Whether this program declared it; else it is only asked for.
    pub(super) declared: bool,
    /// Whether the exchange was seen on the server, and so a publish to it does not end the channel.
    seen: AtomicBool,
}

impl Topic {
    /// # Errors
    ///
    /// [`ConfigInvalid`](ErrorKind::ConfigInvalid) for a name that AMQP has no room for.
    pub(super) fn new(spec: TopicSpec, chosen: &Chosen, declared: bool) -> Result<Self> {
        let physical = spec.physical.clone().unwrap_or_else(|| spec.topic.physical());
        let key = chosen.routing_key.as_deref().unwrap_or(&physical);
        Ok(Self {
            exchange: short(spec.topic.event().broker())?,
            routing_key: short(key)?,
            shared: chosen.routing_key.is_some(),
            physical,
            spec,
            declared,
            seen: AtomicBool::new(false),
        })
    }

    /// The name of the queue of `group`, whose own name the program chose or not.
    pub(super) fn queue(&self, group: &GroupName, named: bool, chosen: &Chosen) -> Result<ShortString> {
        match &chosen.queue {
            Some(queue) if !named => short(queue),
            _ => short(&format!("{}.{group}", self.physical)),
        }
    }

    /// The group as it was declared.
    pub(super) fn group(&self, name: &GroupName) -> Option<&GroupSpec> {
        self.spec.groups.iter().find(|group| group.name == *name)
    }

    pub(super) fn is_seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    pub(super) fn see(&self, seen: bool) {
        self.seen.store(seen, Ordering::Relaxed);
    }
}

/// The queue of the dead letters of a group.
pub(super) fn dead(queue: &ShortString) -> Result<ShortString> {
    short(&format!("{queue}.dlq"))
}

/// A name for AMQP, which has room for 255 bytes.
pub(super) fn short(text: &str) -> Result<ShortString> {
    ShortString::try_new(text).map_err(|_| {
        let shown: String = text.chars().take(60).collect();
        let message = format!(
            "the name `{shown}…` has {} bytes, and RabbitMQ takes at most 255; shorten the topic's or the group's name",
            text.len()
        );
        Error::new(ErrorKind::ConfigInvalid, message)
    })
}

/// The error of a topic that nobody declared.
pub(super) fn topic_missing(topic: &TopicName) -> Error {
    Error::new(
        ErrorKind::TopicMissing,
        "there is no such topic: no queue takes its messages, and this program has not declared it",
    )
    .with("topic", topic)
}

/// The error of a group that nobody declared.
pub(super) fn group_missing(topic: &TopicName, group: &GroupName) -> Error {
    Error::new(
        ErrorKind::GroupMissing,
        "there is no queue of the group; declare it before it is used",
    )
    .with("topic", topic)
    .with("group", group)
}

#[cfg(test)]
mod tests {
    use super::{Chosen, Topic, dead, short};
    use crate::message::TopicName;
    use crate::spec::TopicSpec;

    fn topic(chosen: &Chosen) -> Topic {
        let name = TopicName::new("orders:created".parse().unwrap(), std::num::NonZeroU32::MIN);
        Topic::new(TopicSpec::new(name), chosen, true).unwrap()
    }

    #[test]
    fn names_follow_the_mapping_unless_the_configuration_has_others() {
        let usual = Chosen::default();
        let own = topic(&usual);
        let group = "billing".parse().unwrap();
        let queue = own.queue(&group, true, &usual).unwrap();
        assert_eq!(own.exchange.as_str(), "orders");
        assert_eq!((own.routing_key.as_str(), own.shared), ("orders.created", false));
        assert_eq!(queue.as_str(), "orders.created.billing");
        assert_eq!(dead(&queue).unwrap().as_str(), "orders.created.billing.dlq");
        let chosen = Chosen {
            queue: Some("mine".to_owned()),
            routing_key: Some("key".to_owned()),
        };
        let given = topic(&chosen);
        assert_eq!((given.routing_key.as_str(), given.shared), ("key", true));
        assert_eq!(given.queue(&group, false, &chosen).unwrap().as_str(), "mine");
        assert_eq!(
            given.queue(&group, true, &chosen).unwrap().as_str(),
            "orders.created.billing"
        );
    }

    #[test]
    fn a_name_that_amqp_has_no_room_for_is_refused() {
        assert!(short(&"x".repeat(255)).is_ok());
        let error = short(&"x".repeat(256)).unwrap_err();
        assert!(error.to_string().contains("256 bytes"), "{error}");
    }
}
