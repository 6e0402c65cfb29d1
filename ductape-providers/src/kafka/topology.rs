//! What topics and groups are called on the cluster, and what was declared of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ductape_schema::GroupName;

use super::shared::Shared;
use crate::config::KafkaConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;
use crate::provider::Durability;
use crate::spec::{GroupSpec, TopicSpec};

/// The longest name of a topic: <https://kafka.apache.org/documentation/#topicconfigs>, `Topic.MAX_NAME_LENGTH`.
const NAME_LEN_MAX: usize = 249;

/// A topic on the cluster.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    /// Where its messages are.
    pub(super) main: String,
    /// What the names of its groups begin with.
    base: String,
    /// Whether `main` has the messages of other topics too.
    pub(super) shared: bool,
    /// What a confirmed message can outlive.
    pub(super) durability: Durability,
}

/// A group of a topic.
#[derive(Debug)]
pub(super) struct Group {
    /// What Kafka knows it by.
    pub(super) id: String,
    /// The topic of what is sent to it alone.
    pub(super) retry: String,
    /// The topic of its dead letters.
    pub(super) dead: String,
    /// Of a group that lives as long as its subscription.
    pub(super) own: Option<Own>,
}

/// A group of one process's own. It commits nothing.
#[derive(Debug)]
pub(super) struct Own {
    /// Where it begins: the offset of each partition.
    pub(super) start: Vec<i64>,
    /// Its subscription, which takes what is sent to the group alone.
    pub(super) member: Mutex<Option<Arc<Shared>>>,
}

impl Own {
    pub(super) fn member(&self) -> Option<Arc<Shared>> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_member(&self, member: Option<Arc<Shared>>) {
        *self.member.lock().unwrap_or_else(PoisonError::into_inner) = member;
    }
}

/// A topic with its groups.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) topic: Arc<Topic>,
    groups: RwLock<HashMap<GroupName, Arc<Group>>>,
}

impl Known {
    pub(super) fn group(&self, name: &GroupName) -> Option<Arc<Group>> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.get(name).map(Arc::clone)
    }

    pub(super) fn add(&self, name: GroupName, group: Arc<Group>) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.insert(name, group);
    }

    /// Forgets a group of one process's own.
    pub(super) fn forget(&self, name: &GroupName) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        if groups.get(name).is_some_and(|group| group.own.is_some()) {
            groups.remove(name);
        }
    }
}

/// What this connection knows to exist.
#[derive(Debug, Default)]
pub(super) struct Topology {
    known: RwLock<HashMap<TopicName, Arc<Known>>>,
    /// The topics' names where the configuration gives them, and which group each configured consumer group stands for.
    named: Mutex<Named>,
}

#[derive(Debug, Default)]
struct Named {
    topics: HashMap<TopicName, String>,
    groups: HashMap<(TopicName, String), GroupName>,
}

impl Topology {
    pub(super) fn known(&self, topic: &TopicName) -> Option<Arc<Known>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(topic).map(Arc::clone)
    }

    /// Notes that a topic exists; what is known of it already stays.
    pub(super) fn add(&self, topic: Topic) -> Arc<Known> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(topic.name.clone()).or_insert_with(|| {
            Arc::new(Known {
                topic: Arc::new(topic),
                groups: RwLock::default(),
            })
        });
        Arc::clone(known)
    }

    /// Forgets a topic that turned out to be missing.
    pub(super) fn forget(&self, topic: &TopicName) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.remove(topic);
    }

    fn named(&self) -> std::sync::MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the name that the configuration gives a topic.
    pub(super) fn note(&self, spec: &TopicSpec) {
        if let Some(physical) = &spec.physical {
            self.named().topics.insert(spec.topic.clone(), physical.clone());
        }
    }

    /// What a topic is called.
    pub(super) fn topic(&self, config: &KafkaConfig, name: &TopicName) -> Topic {
        let base = self
            .named()
            .topics
            .get(name)
            .cloned()
            .unwrap_or_else(|| name.physical());
        Topic {
            name: name.clone(),
            main: config.topic.clone().unwrap_or_else(|| base.clone()),
            shared: config.topic.is_some(),
            base,
            durability: Durability::Buffered,
        }
    }

    /// What a group is called.
    ///
    /// # Errors
    ///
    /// When its name is too long for the cluster, or another group of the topic without a name of its own goes by the same
    /// configured one: each message would reach only one of the two.
    pub(super) fn group(&self, config: &KafkaConfig, topic: &Topic, spec: &GroupSpec) -> Result<Group> {
        let configured = config
            .group_id
            .as_ref()
            .filter(|_| !spec.named && !spec.ephemeral);
        let name = configured.map_or(spec.name.as_str(), String::as_str);
        let base = &topic.base;
        if let Some(id) = configured {
            let mut named = self.named();
            let key = (topic.name.clone(), id.clone());
            let holder = named.groups.entry(key).or_insert_with(|| spec.name.clone());
            if *holder != spec.name {
                let text = format!(
                    "consumers `{holder}` and `{}` of `{}` name no group, so both would be in the configured `groupId` \
                     `{id}`, and each message would reach only one of them; give one a group of its own",
                    spec.name, topic.name
                );
                return Err(Error::new(ErrorKind::ConfigInvalid, text).with("provider", "kafka"));
            }
        }
        let group = Group {
            // Members that read one topic for different events must not share its partitions.
            id: match configured {
                Some(id) if !topic.shared => id.clone(),
                _ => format!("{base}.{name}"),
            },
            retry: format!("{base}.{name}.retry"),
            dead: format!("{base}.{name}.dlq"),
            own: None,
        };
        if group.retry.len() > NAME_LEN_MAX {
            let text = format!(
                "the topic for the retries of group `{name}` would be called `{}`, and Kafka takes names of at most \
                 {NAME_LEN_MAX} bytes; give the group or the topic a shorter name",
                group.retry
            );
            return Err(Error::new(ErrorKind::ConfigInvalid, text).with("provider", "kafka"));
        }
        Ok(group)
    }
}
