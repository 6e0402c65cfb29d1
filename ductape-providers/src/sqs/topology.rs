//! Where topics and groups are at AWS, found by their names.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use ductape_schema::GroupName;

use super::connect::Inner;
use super::names::{self, Role};
use super::{declare, error};
use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;

/// The account that topics are in, as their names have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) partition: String,
    pub(super) id: String,
}

impl Account {
    /// From the ARN of anything: `arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME`.
    pub(super) fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.split(':');
        let (partition, id) = (parts.nth(1)?, parts.nth(2)?);
        (!partition.is_empty() && !id.is_empty()).then(|| Self {
            partition: partition.to_owned(),
            id: id.to_owned(),
        })
    }

    /// The account `id`, in the partition that the region belongs to.
    fn in_region(id: &str, region: &str) -> Self {
        let partition = match region {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        Self {
            partition: partition.to_owned(),
            id: id.to_owned(),
        }
    }

    pub(super) fn arn(&self, service: &str, region: &str, name: &str) -> String {
        format!("arn:{}:{service}:{region}:{}:{name}", self.partition, self.id)
    }
}

/// Where messages are sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// A queue, by its URL.
    Queue { url: String, fifo: bool },
    /// An SNS topic, by its ARN.
    Topic { arn: String, fifo: bool },
}

impl Target {
    pub(super) const fn is_fifo(&self) -> bool {
        match self {
            Self::Queue { fifo, .. } | Self::Topic { fifo, .. } => *fifo,
        }
    }

    pub(super) fn queue(url: &str) -> Self {
        Self::Queue {
            fifo: names::is_fifo(url),
            url: url.to_owned(),
        }
    }
}

/// Where a topic is.
#[derive(Clone, Debug)]
pub(super) struct TopicPlace {
    /// Its name, of which its queues' names are made.
    pub(super) physical: String,
    pub(super) target: Target,
}

/// Where a group is.
#[derive(Debug)]
pub(super) struct GroupPlace {
    /// The URL of its queue.
    pub(super) queue: String,
    /// The URL of the queue of its retries, where later messages pass them.
    pub(super) retry: Option<String>,
    /// The URL of the queue of its dead letters.
    pub(super) dead_letters: String,
    /// Of a group that lives only as long as its subscriptions.
    pub(super) own: Option<Own>,
}

/// What is deleted with the last subscription of a group.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) subscription_arn: Option<String>,
    pub(super) members: AtomicUsize,
}

impl Inner {
    /// The queue that the configuration gives to a topic. The versions of a contract are topics of their own, and have
    /// entries of their own: `order-created.v2`.
    pub(super) fn given_queue(&self, topic: &TopicName) -> Option<&str> {
        let physical = topic.physical();
        let (_, tag) = physical.split_once('.')?;
        self.config
            .queue_urls
            .get(tag)
            .map(crate::config::BrokerUrl::expose)
    }

    /// Where `topic` is.
    ///
    /// # Errors
    ///
    /// [`TopicMissing`](ErrorKind::TopicMissing) when it is nowhere.
    pub(super) async fn topic(&self, topic: &TopicName) -> Result<Arc<TopicPlace>> {
        if let Some(place) = self.known_topic(topic) {
            return Ok(place);
        }
        match self.find_topic(topic, &topic.physical()).await? {
            Some(place) => Ok(self.keep_topic(topic, place)),
            None => Err(missing_topic(topic, &topic.physical())),
        }
    }

    /// Looks for a topic that was not declared here: the queue that the configuration gives it, else one in SNS, FIFO
    /// first.
    pub(super) async fn find_topic(&self, topic: &TopicName, physical: &str) -> Result<Option<TopicPlace>> {
        if let Some(url) = self.given_queue(topic) {
            return Ok(Some(TopicPlace {
                physical: names::of_url(url).to_owned(),
                target: Target::queue(url),
            }));
        }
        let Some(account) = self.account().await? else {
            return Ok(None);
        };
        let kinds: &[bool] = if self.config.fifo {
            &[true, false]
        } else {
            &[false]
        };
        for fifo in kinds {
            let arn = account.arn("sns", &self.config.region, &names::topic(physical, *fifo));
            if self.topic_attributes(&arn).await?.is_some() {
                return Ok(Some(TopicPlace {
                    physical: physical.to_owned(),
                    target: Target::Topic { arn, fifo: *fifo },
                }));
            }
        }
        Ok(None)
    }

    /// The attributes of a topic; `None` when it is not there.
    pub(super) async fn topic_attributes(
        &self,
        arn: &str,
    ) -> Result<Option<std::collections::HashMap<String, String>>> {
        let asked = self
            .clients
            .sns
            .get_topic_attributes()
            .topic_arn(arn)
            .send()
            .await;
        match asked.map_err(|error| error::of("find topic", error)) {
            Ok(answer) => Ok(Some(answer.attributes.unwrap_or_default())),
            Err(error) if error.kind() == ErrorKind::TopicMissing => Ok(None),
            Err(error) => Err(error.with("topic", arn)),
        }
    }

    /// The account that topics are in; `None` while it has none, by which it could be told.
    pub(super) async fn account(&self) -> Result<Option<Account>> {
        if let Some(account) = self.account.get() {
            return Ok(Some(account.clone()));
        }
        let found = if let Some(id) = &self.clients.account_id {
            Some(Account::in_region(id, &self.config.region))
        } else {
            let listed = self.clients.sns.list_topics().send().await;
            let listed = listed.map_err(|error| {
                error::of("list topics, to know the account", error)
                    .with("address", "write `accountId` where topics may not be listed")
            })?;
            let mut arns = listed.topics().iter().filter_map(|topic| topic.topic_arn());
            arns.find_map(Account::of_arn)
        };
        if let Some(account) = &found {
            self.know_account(account.clone());
        }
        Ok(found)
    }

    pub(super) fn know_account(&self, account: Account) {
        // Whoever was first knew the same.
        let _ = self.account.set(account);
    }

    /// The URL of the queue `name`; `None` when it is not there.
    pub(super) async fn queue_url(&self, name: &str) -> Result<Option<String>> {
        let asked = self.clients.sqs.get_queue_url().queue_name(name).send().await;
        match asked.map_err(|error| error::of("find queue", error)) {
            Ok(answer) => Ok(answer.queue_url),
            Err(error) if error.kind() == ErrorKind::TopicMissing => Ok(None),
            Err(error) => Err(error.with("queue", name)),
        }
    }

    /// Where `group` of `topic` is.
    ///
    /// # Errors
    ///
    /// [`TopicMissing`](ErrorKind::TopicMissing), [`GroupMissing`](ErrorKind::GroupMissing).
    pub(super) async fn group(&self, topic: &TopicName, group: &GroupName) -> Result<Arc<GroupPlace>> {
        if let Some(place) = self.known_group(topic, group) {
            return Ok(place);
        }
        let place = self.topic(topic).await?;
        let names = declare::Names::new(&place, group);
        if let Target::Queue { url, .. } = &place.target {
            self.only_group(topic, group)?;
            let dead_letters = self.queue_url(&names.dead_letters).await?;
            let dead_letters =
                dead_letters.ok_or_else(|| missing_group(topic, group, &names.dead_letters))?;
            let found = GroupPlace {
                queue: url.clone(),
                retry: self.queue_url(&names.retry).await?,
                dead_letters,
                own: None,
            };
            return Ok(self.keep_group(topic, group, found));
        }
        let queue = self.queue_url(&names.messages).await?;
        let queue = queue.ok_or_else(|| missing_group(topic, group, &names.messages))?;
        let dead_letters = self.queue_url(&names.dead_letters).await?;
        let dead_letters = dead_letters.ok_or_else(|| missing_group(topic, group, &names.dead_letters))?;
        let retry = if place.target.is_fifo() {
            self.queue_url(&names.retry).await?
        } else {
            None
        };
        let found = GroupPlace {
            queue,
            retry,
            dead_letters,
            own: None,
        };
        Ok(self.keep_group(topic, group, found))
    }

    /// A queue that is a topic by itself has one group.
    pub(super) fn only_group(&self, topic: &TopicName, group: &GroupName) -> Result<()> {
        let known = self.groups_of(topic);
        let Some(other) = known.iter().find(|known| *known != group) else {
            return Ok(());
        };
        let text = format!(
            "`queueUrls` gives {topic} one queue, which has one group, `{other}`; for `{group}` too leave the entry out: then \
             SNS fans out to a queue a group"
        );
        Err(Error::new(ErrorKind::Unsupported, text).with("group", group))
    }
}

pub(super) fn missing_topic(topic: &TopicName, name: &str) -> Error {
    let text = format!(
        "SNS has no topic for {topic}; it would be `{}`",
        names::topic(name, false)
    );
    Error::new(ErrorKind::TopicMissing, text).with("topic", topic)
}

pub(super) fn missing_group(topic: &TopicName, group: &GroupName, queue: &str) -> Error {
    let text = format!("{topic} has no group `{group}`: there is no queue `{queue}`");
    Error::new(ErrorKind::GroupMissing, text)
        .with("topic", topic)
        .with("group", group)
}

impl declare::Names {
    /// The names of the queues of `group` of the topic at `place`.
    pub(super) fn new(place: &TopicPlace, group: &GroupName) -> Self {
        match &place.target {
            Target::Queue { .. } => Self {
                messages: place.physical.clone(),
                retry: names::beside(&place.physical, Role::Retry),
                dead_letters: names::beside(&place.physical, Role::DeadLetters),
            },
            Target::Topic { fifo, .. } => {
                let of = |role| names::queue(&place.physical, group, role, *fifo);
                Self {
                    messages: of(Role::Messages),
                    retry: of(Role::Retry),
                    dead_letters: of(Role::DeadLetters),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn an_account_is_read_from_an_arn_and_written_in_one() {
        let account = Account::of_arn("arn:aws-cn:sns:cn-north-1:123456789012:a_b").unwrap();
        assert_eq!(account, Account::in_region("123456789012", "cn-north-1"));
        assert_eq!(
            account.arn("sqs", "cn-north-1", "q"),
            "arn:aws-cn:sqs:cn-north-1:123456789012:q"
        );
        for text in ["", "arn", "arn:aws:sns:r::t", "arn::sns:r:1:t"] {
            assert_eq!(Account::of_arn(text), None, "{text}");
        }
    }
}
