//! The names of the keys. All of a topic share the hash tag `{physical}`, so that a script may touch them together.

use ductape_schema::GroupName;

/// The keys of a topic.
#[derive(Clone, Debug)]
pub(super) struct TopicKeys {
    /// The stream that all groups read.
    pub(super) stream: String,
    /// A sorted set: messages to all groups that wait for their time.
    pub(super) delayed: String,
    /// A hash: headers that messages have in common.
    pub(super) headers: String,
    /// A set: the names of the groups that live as long as their subscription.
    pub(super) ephemeral: String,
}

/// The keys of one group of a topic.
#[derive(Clone, Debug)]
pub(super) struct GroupKeys {
    /// A stream that this group alone reads: what comes again, and what was sent to it alone.
    pub(super) retry: String,
    /// A sorted set: what is to go into `retry` when its time has come.
    pub(super) delayed: String,
    /// The stream of its dead letters.
    pub(super) dead: String,
    /// A sorted set: dead letters whose reader wants them later.
    pub(super) dead_delayed: String,
    /// The member whose turn it is, where one reads at a time; it expires.
    pub(super) owner: String,
    /// The reader of the dead letters whose turn it is; it expires.
    pub(super) dead_owner: String,
    /// A hash: how the group was declared.
    pub(super) about: String,
    /// Exists while a group that lives as long as its subscription is in use; it expires.
    pub(super) alive: String,
}

impl TopicKeys {
    pub(super) fn new(physical: &str) -> Self {
        let stream = format!("{{{physical}}}");
        Self {
            delayed: format!("{stream}:delayed"),
            headers: format!("{stream}:headers"),
            ephemeral: format!("{stream}:ephemeral"),
            stream,
        }
    }

    pub(super) fn group(&self, group: &GroupName) -> GroupKeys {
        let base = format!("{}:{group}", self.stream);
        GroupKeys {
            retry: format!("{base}:retry"),
            delayed: format!("{base}:delayed"),
            dead: format!("{base}:dlq"),
            dead_delayed: format!("{base}:dlq-delayed"),
            owner: format!("{base}:owner"),
            dead_owner: format!("{base}:dlq-owner"),
            alive: format!("{base}:alive"),
            about: format!("{base}:about"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TopicKeys;

    #[test]
    fn all_keys_share_the_topics_hash_tag() {
        let keys = TopicKeys::new("orders.created");
        assert_eq!(keys.stream, "{orders.created}");
        let group = keys.group(&"billing".parse().unwrap());
        assert_eq!(group.retry, "{orders.created}:billing:retry");
        assert_eq!(group.dead, "{orders.created}:billing:dlq");
        let all = [
            group.delayed,
            group.dead_delayed,
            group.dead_owner,
            group.owner,
            group.about,
            group.alive,
        ];
        for key in all {
            assert!(key.starts_with("{orders.created}:billing:"), "{key}");
        }
    }
}
