//! Declaring topics and subscriptions: what is missing is made, what is there is looked at, nothing is changed.

use google_cloud_pubsub::model::{ExpirationPolicy, Subscription};
use tokio::try_join;

use super::config::{EPHEMERAL_TTL, check_id, dead_letters_id, retry_id};
use super::error::{from_client, is_already_there, is_not_found, unsupported};
use super::provider::{Inner, Known, lock};
use super::wire;
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;
use crate::spec::{GroupSpec, Start, TopicSpec};

/// The topic that a subscription has when its own was deleted.
pub(super) const DELETED_TOPIC: &str = "_deleted-topic_";

/// A subscription as it must be.
pub(super) struct Wanted {
    pub(super) id: String,
    /// The id of the topic that it is of.
    pub(super) topic: String,
    pub(super) ordered: bool,
    pub(super) filter: Option<String>,
    pub(super) ephemeral: bool,
    pub(super) ack_deadline: i32,
}

/// The least and the most seconds that Pub/Sub waits for an ack.
fn ack_deadline(group: &GroupSpec) -> i32 {
    let seconds = group.lease.as_secs().clamp(10, 600);
    i32::try_from(seconds).unwrap_or(600)
}

impl Inner {
    /// The subscriptions of a group: its messages, what is sent to it alone, its dead letters.
    pub(super) fn wanted(&self, topic: &TopicName, known: &Known, group: &GroupSpec) -> [Wanted; 3] {
        let base = &known.base;
        let of = |id: String, topic: String, ordered: bool, filter: Option<String>, ephemeral: bool| Wanted {
            id,
            topic,
            ordered,
            filter,
            ephemeral,
            ack_deadline: ack_deadline(group),
        };
        let retry = retry_id(base, &group.name);
        let (retry_subscription, retry_filter) = if group.ephemeral {
            let instance = wire::INSTANCE;
            let filter = format!(
                r#"attributes.{instance} = "{}" OR NOT attributes:{instance}"#,
                self.instance
            );
            (format!("{retry}.{}", self.instance), Some(filter))
        } else {
            (retry.clone(), None)
        };
        let letters = dead_letters_id(base, &group.name);
        [
            of(
                self.subscription_id(base, group),
                self.settings.topic_id(base).to_owned(),
                known.keyed,
                self.settings.type_filter(topic),
                group.ephemeral,
            ),
            of(retry_subscription, retry, false, retry_filter, group.ephemeral),
            of(letters.clone(), letters, false, None, false),
        ]
    }

    pub(super) async fn declare(&self, spec: &TopicSpec) -> Result<()> {
        for group in &spec.groups {
            check_group(group)
                .map_err(|error| error.with("topic", &spec.topic).with("group", &group.name))?;
        }
        let known = self.note(spec);
        let topic = self.settings.topic_id(&known.base).to_owned();
        check_id(&topic).map_err(|error| error.with("topic", &spec.topic))?;
        let groups: Vec<[Wanted; 3]> = spec
            .groups
            .iter()
            .map(|group| self.wanted(&spec.topic, &known, group))
            .collect();
        for (group, wanted) in spec.groups.iter().zip(&groups) {
            for wanted in wanted {
                check_id(&wanted.id).map_err(|error| error.with("group", &group.name))?;
            }
            self.take(&spec.topic, group, &wanted[0].id)?;
        }
        if self.settings.declare == Declare::Off {
            return match spec.groups.iter().find(|group| group.ephemeral) {
                None => Ok(()),
                Some(group) => {
                    let instead = "set `declare` to `create` or `check`, or use a lasting group";
                    let error = unsupported(
                        "keep a group of one process's own where nothing may be made",
                        instead,
                    );
                    Err(error.with("topic", &spec.topic).with("group", &group.name))
                }
            };
        }
        let declaring = async {
            self.declare_topic(&topic).await?;
            for (group, [messages, retry, letters]) in spec.groups.iter().zip(&groups) {
                let alone = async {
                    self.declare_topic(&retry.topic).await?;
                    self.declare_subscription(retry).await
                };
                let dead = async {
                    self.declare_topic(&letters.topic).await?;
                    self.declare_subscription(letters).await
                };
                try_join!(self.declare_subscription(messages), alone, dead)
                    .map_err(|error| error.with("group", &group.name))?;
            }
            Ok(())
        };
        let declared: Result<()> = declaring.await;
        declared.map_err(|error| error.with("topic", &spec.topic))
    }

    /// Notes that a configured subscription is a group's: another group on it would take the first one's messages.
    fn take(&self, topic: &TopicName, group: &GroupSpec, id: &str) -> Result<()> {
        let by = (topic.clone(), group.name.clone());
        let mut taken = lock(&self.taken);
        let first = taken.entry(id.to_owned()).or_insert_with(|| by.clone());
        if *first == by {
            return Ok(());
        }
        let text = format!(
            "subscription `{id}` is that of group `{}` of `{}` already, and the two would take each other's messages; \
             give this consumer a group of its own (`group = \"…\"`)",
            first.1, first.0
        );
        Err(Error::new(ErrorKind::ConfigInvalid, text)
            .with("group", &group.name)
            .with("topic", topic))
    }

    async fn declare_topic(&self, id: &str) -> Result<()> {
        let path = self.settings.topic_path(id);
        let topics = &self.clients.topics;
        match topics.get_topic().set_topic(&path).send().await {
            Ok(_) => return Ok(()),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(from_client(&error, "declare").with("topic", id)),
        }
        if self.settings.declare == Declare::Check {
            let text = format!("there is no topic `{path}`, and `declare = \"check\"` makes none; create it");
            return Err(Error::new(ErrorKind::TopicMissing, text).with("provider", "pubsub"));
        }
        match topics.create_topic().set_name(&path).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_already_there(&error) => Ok(()),
            Err(error) => Err(from_client(&error, "declare").with("topic", id)),
        }
    }

    async fn declare_subscription(&self, wanted: &Wanted) -> Result<()> {
        if let Some(there) = self.subscription(&wanted.id).await? {
            return self.fits(&there, wanted);
        }
        if self.settings.declare == Declare::Check && !wanted.ephemeral {
            let path = self.settings.subscription_path(&wanted.id);
            let text =
                format!("there is no subscription `{path}`, and `declare = \"check\"` makes none; create it");
            return Err(Error::new(ErrorKind::GroupMissing, text).with("provider", "pubsub"));
        }
        let mut expiration = ExpirationPolicy::new();
        if wanted.ephemeral {
            expiration.ttl = EPHEMERAL_TTL.try_into().ok();
        }
        let request = Subscription::new()
            .set_name(self.settings.subscription_path(&wanted.id))
            .set_topic(self.settings.topic_path(&wanted.topic))
            .set_ack_deadline_seconds(wanted.ack_deadline)
            .set_enable_message_ordering(wanted.ordered)
            .set_filter(wanted.filter.clone().unwrap_or_default())
            .set_expiration_policy(expiration);
        let create = self
            .clients
            .subscriptions
            .create_subscription()
            .with_request(request);
        match create.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_already_there(&error) => match self.subscription(&wanted.id).await? {
                Some(there) => self.fits(&there, wanted),
                None => Ok(()),
            },
            Err(error) => Err(from_client(&error, "declare")),
        }
    }

    /// What the server knows of a subscription; `None` when it has none of this name.
    pub(super) async fn subscription(&self, id: &str) -> Result<Option<Subscription>> {
        let path = self.settings.subscription_path(id);
        let get = self
            .clients
            .subscriptions
            .get_subscription()
            .set_subscription(path);
        match get.send().await {
            Ok(there) => Ok(Some(there)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(from_client(&error, "declare")),
        }
    }

    /// Whether the topic is there.
    pub(super) async fn has_topic(&self, id: &str) -> Result<bool> {
        let path = self.settings.topic_path(id);
        match self.clients.topics.get_topic().set_topic(path).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(from_client(&error, "subscribe")),
        }
    }

    /// What a group can't be read with; the rest is for [`examine`](Self::examine) to tell.
    fn fits(&self, there: &Subscription, wanted: &Wanted) -> Result<()> {
        let topic = self.settings.topic_path(&wanted.topic);
        let problem = if there.topic == DELETED_TOPIC {
            "is of a topic that was deleted; delete the subscription".to_owned()
        } else if there.topic != topic {
            format!(
                "is of topic `{}`, not of `{topic}`; choose another name",
                there.topic
            )
        } else if let Some(instead) = pushes(there) {
            format!("{instead}, and so can't be pulled; choose another name")
        } else if let Some(filter) = wanted.filter.as_ref().filter(|filter| **filter != there.filter)
            && !there.filter.is_empty()
        {
            format!(
                "has the filter `{}`, not `{filter}`; choose another name",
                there.filter
            )
        } else {
            return Ok(());
        };
        let text = format!("subscription `{}` {problem}", there.name);
        Err(Error::new(ErrorKind::TopologyMismatch, text).with("provider", "pubsub"))
    }
}

/// What a subscription does with its messages in place of being pulled.
pub(super) fn pushes(there: &Subscription) -> Option<&'static str> {
    let push = there
        .push_config
        .as_ref()
        .is_some_and(|push| !push.push_endpoint.is_empty());
    if push {
        Some("pushes its messages to an endpoint")
    } else if there.bigquery_config.is_some() {
        Some("writes its messages to BigQuery")
    } else if there.cloud_storage_config.is_some() {
        Some("writes its messages to Cloud Storage")
    } else if there.bigtable_config.is_some() {
        Some("writes its messages to Bigtable")
    } else {
        None
    }
}

/// Refuses what a group asks and Pub/Sub can't.
pub(super) fn check_group(group: &GroupSpec) -> Result<()> {
    if group.start == Start::Earliest {
        return Err(unsupported(
            "start a group at the earliest message",
            "declare the group before what it needs is published",
        ));
    }
    if group.once {
        return Err(unsupported(
            "keep the ids that a group has handled",
            "deduplicate in the consumer",
        ));
    }
    Ok(())
}
