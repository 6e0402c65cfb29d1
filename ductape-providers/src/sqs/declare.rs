//! Declaring: topics, queues and subscriptions that are missing are created; what exists is never altered.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use uuid::Uuid;

use super::connect::Inner;
use super::error;
use super::names;
use super::topology::{Account, GroupPlace, Own, Target, TopicPlace, missing_group, missing_topic};
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;
use crate::spec::{GroupSpec, Ordering, Start, TopicSpec};

/// How long a queue keeps what nobody took: the longest that SQS allows.
const RETENTION_SECONDS: u32 = 14 * 24 * 60 * 60;
/// The same, of the queue of one process alone, which is deleted with its subscription: should the process be killed, what
/// it left does not pile up for long.
const OWN_RETENTION_SECONDS: u32 = 60 * 60;

/// The names of a group's queues.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) messages: String,
    pub(super) retry: String,
    pub(super) dead_letters: String,
}

impl Inner {
    pub(super) async fn declare(&self, spec: &TopicSpec) -> Result<()> {
        for group in &spec.groups {
            check(spec, group)?;
        }
        let place = self.declare_topic(spec).await?;
        for group in &spec.groups {
            let declared = match &place.target {
                Target::Queue { url, .. } => self.declare_only_group(spec, &place, url, group).await,
                Target::Topic { arn, .. } if group.ephemeral => {
                    self.declare_own(spec, &place, arn, group).await
                }
                Target::Topic { arn, .. } => self.declare_group(spec, &place, arn, group).await,
            };
            declared.map_err(|error| error.with("group", &group.name))?;
        }
        Ok(())
    }

    async fn declare_topic(&self, spec: &TopicSpec) -> Result<TopicPlace> {
        let topic = &spec.topic;
        let physical = spec.physical.clone().unwrap_or_else(|| topic.physical());
        if let Some(url) = self.given_queue(topic) {
            let place = TopicPlace {
                physical: names::of_url(url).to_owned(),
                target: Target::queue(url),
            };
            self.ensure_given(spec, &place, url).await?;
            self.keep_topic(topic, place.clone());
            return Ok(place);
        }
        let fifo = self.config.fifo && spec.keyed;
        let name = names::topic(&physical, fifo);
        let arn = match self.config.declare {
            Declare::Create => self.create_topic(topic, &name, fifo).await?,
            Declare::Check | Declare::Off => {
                let account = self.account().await?;
                let account = account.ok_or_else(|| missing_topic(topic, &physical))?;
                let arn = account.arn("sns", &self.config.region, &name);
                if self.config.declare == Declare::Check && self.topic_attributes(&arn).await?.is_none() {
                    return Err(missing_topic(topic, &physical));
                }
                arn
            }
        };
        let place = TopicPlace {
            physical,
            target: Target::Topic { arn, fifo },
        };
        self.keep_topic(topic, place.clone());
        Ok(place)
    }

    async fn create_topic(&self, topic: &TopicName, name: &str, fifo: bool) -> Result<String> {
        let mut create = self.clients.sns.create_topic().name(name);
        if fifo {
            create = create.attributes("FifoTopic", "true");
        }
        let created = create.send().await.map_err(|error| {
            let error = error::of("create topic", error);
            mismatched(error, "attributes").with("topic", topic)
        })?;
        let arn = created.topic_arn.unwrap_or_default();
        let account = Account::of_arn(&arn).ok_or_else(|| {
            let text = format!("SNS answered the creation of `{name}` without the name of a topic");
            Error::new(ErrorKind::Unexpected, text).with("topic", topic)
        })?;
        self.know_account(account);
        Ok(arn)
    }

    /// The queue that the configuration gives to a topic.
    async fn ensure_given(&self, spec: &TopicSpec, place: &TopicPlace, url: &str) -> Result<()> {
        if self.config.declare == Declare::Off {
            return Ok(());
        }
        let asked = self.clients.sqs.get_queue_attributes().queue_url(url);
        let asked = asked.attribute_names(QueueAttributeName::QueueArn).send().await;
        match asked.map_err(|error| error::of("find queue", error)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::TopicMissing => {
                let name = &place.physical;
                if self.config.declare == Declare::Check {
                    let text = format!(
                        "there is no queue `{name}`, which `queueUrls` gives to {}",
                        spec.topic
                    );
                    return Err(Error::new(ErrorKind::TopicMissing, text).with("topic", &spec.topic));
                }
                let lease = spec
                    .groups
                    .first()
                    .map_or(GroupSpec::LEASE_DEFAULT, |group| group.lease);
                let created = self
                    .create_queue(name, attributes(lease, names::is_fifo(name)))
                    .await?;
                if names::of_url(&created) == name && same_account(&created, url) {
                    return Ok(());
                }
                let text = format!(
                    "the queue that `queueUrls` gives to {} is not there, and is of another account or region than the \
                     keys: with them it is {created}",
                    spec.topic
                );
                Err(Error::new(ErrorKind::TopologyMismatch, text).with("topic", &spec.topic))
            }
            Err(error) => Err(error.with("topic", &spec.topic)),
        }
    }

    /// The group of a queue that is a topic by itself: only its dead letters and its retries have queues beside it.
    async fn declare_only_group(
        &self,
        spec: &TopicSpec,
        place: &TopicPlace,
        url: &str,
        group: &GroupSpec,
    ) -> Result<()> {
        if group.ephemeral {
            let text = format!(
                "`queueUrls` gives {} one queue, which can't have a group of one process alone",
                spec.topic
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        self.only_group(&spec.topic, &group.name)?;
        if self.config.declare == Declare::Off {
            return Ok(());
        }
        let names = Names::new(place, &group.name);
        let (dead_letters, _) = self
            .ensure_queue(spec, group, &names.dead_letters, || {
                attributes(group.lease, false)
            })
            .await?;
        let retry = self.ensure_retry(spec, place, group, &names).await?;
        let found = GroupPlace {
            queue: url.to_owned(),
            retry,
            dead_letters,
            own: None,
        };
        self.keep_group(&spec.topic, &group.name, found);
        Ok(())
    }

    async fn declare_group(
        &self,
        spec: &TopicSpec,
        place: &TopicPlace,
        topic_arn: &str,
        group: &GroupSpec,
    ) -> Result<()> {
        if self.config.declare == Declare::Off {
            return Ok(());
        }
        let names = Names::new(place, &group.name);
        let fifo = place.target.is_fifo();
        let queue_arn = self.queue_arn(topic_arn, &names.messages);
        let (queue, created) = self
            .ensure_queue(spec, group, &names.messages, || {
                let mut attributes = attributes(group.lease, fifo);
                attributes.insert(QueueAttributeName::Policy, policy(topic_arn, &queue_arn));
                attributes
            })
            .await?;
        let (dead_letters, _) = self
            .ensure_queue(spec, group, &names.dead_letters, || {
                attributes(group.lease, false)
            })
            .await?;
        let retry = self.ensure_retry(spec, place, group, &names).await?;
        self.ensure_subscription(spec, topic_arn, &queue_arn, &names.messages, created)
            .await?;
        let found = GroupPlace {
            queue,
            retry,
            dead_letters,
            own: None,
        };
        self.keep_group(&spec.topic, &group.name, found);
        Ok(())
    }

    /// A group that lives as long as its subscription. Its queue has a name of its own each time: SQS takes none again
    /// within a minute, and one of the same name that comes later must be another.
    async fn declare_own(
        &self,
        spec: &TopicSpec,
        place: &TopicPlace,
        topic_arn: &str,
        group: &GroupSpec,
    ) -> Result<()> {
        if self
            .known_group(&spec.topic, &group.name)
            .is_some_and(|known| known.own.is_some())
        {
            return Ok(());
        }
        if self.config.declare != Declare::Create {
            let text = "a group of one process alone needs a queue of its own, and `declare` is not `create`";
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let fifo = place.target.is_fifo();
        let mut unique = Uuid::now_v7().simple().to_string();
        unique.drain(..20);
        let name = names::own_queue(&place.physical, &group.name, &unique, fifo);
        let queue_arn = self.queue_arn(topic_arn, &name);
        let mut wanted = attributes(group.lease, fifo);
        wanted.insert(QueueAttributeName::Policy, policy(topic_arn, &queue_arn));
        wanted.insert(
            QueueAttributeName::MessageRetentionPeriod,
            OWN_RETENTION_SECONDS.to_string(),
        );
        let names = Names::new(place, &group.name);
        let queue = self.create_queue(&name, wanted).await?;
        let subscription_arn = self.subscribe_queue(topic_arn, &queue_arn).await?;
        let (dead_letters, _) = self
            .ensure_queue(spec, group, &names.dead_letters, || {
                attributes(group.lease, false)
            })
            .await?;
        let retry = self.ensure_retry(spec, place, group, &names).await?;
        let found = GroupPlace {
            queue,
            retry,
            dead_letters,
            own: Some(Own {
                subscription_arn,
                members: AtomicUsize::new(0),
            }),
        };
        self.keep_group(&spec.topic, &group.name, found);
        Ok(())
    }

    /// Makes a group that lives as long as its subscription, where it was not declared before.
    pub(super) async fn own_group(&self, topic: &TopicName, group: &GroupSpec) -> Result<()> {
        let place = self.topic(topic).await?;
        let spec = TopicSpec::new(topic.clone());
        match &place.target {
            Target::Topic { arn, .. } => self.declare_own(&spec, &place, arn, group).await,
            Target::Queue { url, .. } => self.declare_only_group(&spec, &place, url, group).await,
        }
    }

    /// Deletes the queue and the subscription of a group of one process alone.
    pub(super) async fn delete_own(&self, place: &GroupPlace) -> Result<()> {
        let Some(own) = &place.own else { return Ok(()) };
        if let Some(arn) = &own.subscription_arn {
            let done = self.clients.sns.unsubscribe().subscription_arn(arn).send().await;
            done.map_err(|error| error::of("unsubscribe", error))?;
        }
        let done = self
            .clients
            .sqs
            .delete_queue()
            .queue_url(&place.queue)
            .send()
            .await;
        match done.map_err(|error| error::of("delete queue", error)) {
            Err(error) if error.kind() != ErrorKind::TopicMissing => Err(error),
            _ => Ok(()),
        }
    }

    /// The queue of retries that later messages of their key pass, where a FIFO queue would hold them back.
    async fn ensure_retry(
        &self,
        spec: &TopicSpec,
        place: &TopicPlace,
        group: &GroupSpec,
        names: &Names,
    ) -> Result<Option<String>> {
        if !place.target.is_fifo() {
            return Ok(None);
        }
        if group.ordering == Ordering::Strict {
            // One from when the group was relaxed may still have messages.
            return self.queue_url(&names.retry).await;
        }
        let (url, _) = self
            .ensure_queue(spec, group, &names.retry, || attributes(group.lease, false))
            .await?;
        Ok(Some(url))
    }

    /// The URL of the queue `name`, and whether it was created here.
    async fn ensure_queue(
        &self,
        spec: &TopicSpec,
        group: &GroupSpec,
        name: &str,
        attributes: impl FnOnce() -> HashMap<QueueAttributeName, String> + Send,
    ) -> Result<(String, bool)> {
        if let Some(url) = self.queue_url(name).await? {
            return Ok((url, false));
        }
        if self.config.declare != Declare::Create {
            return Err(missing_group(&spec.topic, &group.name, name));
        }
        match self.create_queue(name, attributes()).await {
            Ok(url) => Ok((url, true)),
            // Another process was faster, with other attributes; what exists is used.
            Err(error) if error.kind() == ErrorKind::TopologyMismatch => match self.queue_url(name).await? {
                Some(url) => Ok((url, false)),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn create_queue(
        &self,
        name: &str,
        attributes: HashMap<QueueAttributeName, String>,
    ) -> Result<String> {
        let create = self.clients.sqs.create_queue().queue_name(name);
        let created = create.set_attributes(Some(attributes)).send().await;
        let created = created.map_err(|error| error::of("create queue", error).with("queue", name))?;
        created.queue_url.ok_or_else(|| {
            let text = format!("SQS answered the creation of `{name}` without a URL");
            Error::new(ErrorKind::Unexpected, text)
        })
    }

    fn queue_arn(&self, topic_arn: &str, name: &str) -> String {
        // The topic's ARN was read before.
        let account = Account::of_arn(topic_arn);
        account.map_or_else(String::new, |account| {
            account.arn("sqs", &self.config.region, name)
        })
    }

    async fn ensure_subscription(
        &self,
        spec: &TopicSpec,
        topic_arn: &str,
        queue_arn: &str,
        queue: &str,
        created: bool,
    ) -> Result<()> {
        // A queue that was just made has no subscription; subscribing one that has would set its attributes on some servers.
        let mut found = None;
        if !created {
            found = self.find_subscription(topic_arn, queue_arn).await?;
        }
        if found.is_none() && self.config.declare == Declare::Create {
            found = self.subscribe_queue(topic_arn, queue_arn).await?;
        }
        let Some(arn) = found else {
            let text = format!(
                "the queue `{queue}` is not subscribed to {}: its group gets nothing",
                spec.topic
            );
            return Err(Error::new(ErrorKind::GroupMissing, text));
        };
        if created {
            return Ok(());
        }
        let raw = self
            .subscription_attributes(&arn)
            .await?
            .remove("RawMessageDelivery");
        if raw.is_some_and(|raw| raw.eq_ignore_ascii_case("true")) {
            return Ok(());
        }
        Err(not_raw(queue))
    }

    async fn subscribe_queue(&self, topic_arn: &str, queue_arn: &str) -> Result<Option<String>> {
        let subscribe = self.clients.sns.subscribe().topic_arn(topic_arn).protocol("sqs");
        let subscribe = subscribe
            .endpoint(queue_arn)
            .attributes("RawMessageDelivery", "true");
        let answer = subscribe.return_subscription_arn(true).send().await;
        match answer.map_err(|error| error::of("subscribe queue", error)) {
            Ok(answer) => Ok(answer.subscription_arn),
            // With a filter policy, say: whether it is raw is what matters.
            Err(error) if error.kind() == ErrorKind::TopologyMismatch => {
                self.find_subscription(topic_arn, queue_arn).await
            }
            Err(error) => Err(error),
        }
    }

    /// The subscription of a queue to a topic.
    pub(super) async fn find_subscription(&self, topic_arn: &str, queue_arn: &str) -> Result<Option<String>> {
        let list = self
            .clients
            .sns
            .list_subscriptions_by_topic()
            .topic_arn(topic_arn);
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| error::of("list subscriptions", error))?;
            let found = page
                .subscriptions()
                .iter()
                .find(|one| one.endpoint() == Some(queue_arn));
            if let Some(one) = found {
                return Ok(one.subscription_arn.clone());
            }
        }
        Ok(None)
    }

    pub(super) async fn subscription_attributes(&self, arn: &str) -> Result<HashMap<String, String>> {
        let asked = self
            .clients
            .sns
            .get_subscription_attributes()
            .subscription_arn(arn);
        let answer = asked.send().await;
        let answer = answer.map_err(|error| error::of("look at subscription", error))?;
        Ok(answer.attributes.unwrap_or_default())
    }
}

fn not_raw(queue: &str) -> Error {
    let text = format!(
        "the queue `{queue}` is subscribed without raw message delivery: each message would come in an envelope of SNS, \
         without its headers; set `RawMessageDelivery` of the subscription to true"
    );
    Error::new(ErrorKind::TopologyMismatch, text)
}

/// SNS has no code of its own for what exists with other attributes.
fn mismatched(error: Error, part: &str) -> Error {
    if error.kind() == ErrorKind::Unexpected && error.message().contains(part) {
        let text = format!("what exists differs from what is wanted: {}", error.message());
        return Error::new(ErrorKind::TopologyMismatch, text);
    }
    error
}

fn check(spec: &TopicSpec, group: &GroupSpec) -> Result<()> {
    let refused = |text: String| {
        let error = Error::new(ErrorKind::Unsupported, text);
        Err(error.with("topic", &spec.topic).with("group", &group.name))
    };
    if group.start == Start::Earliest {
        return refused(
            "SQS and SNS keep no log: a new group starts at what is published from then on".to_owned(),
        );
    }
    if group.once {
        return refused("SQS does not keep the ids that a group has handled".to_owned());
    }
    Ok(())
}

/// The attributes that a queue is created with.
fn attributes(lease: Duration, fifo: bool) -> HashMap<QueueAttributeName, String> {
    let mut attributes = HashMap::from([
        (
            QueueAttributeName::VisibilityTimeout,
            super::subscription::lease_seconds(lease).to_string(),
        ),
        (
            QueueAttributeName::MessageRetentionPeriod,
            RETENTION_SECONDS.to_string(),
        ),
    ]);
    if fifo {
        // What is recognised as sent again, and the rate, are of one message group: 300 a second for all of them otherwise.
        for (name, value) in [
            (QueueAttributeName::FifoQueue, "true"),
            (QueueAttributeName::DeduplicationScope, "messageGroup"),
            (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId"),
        ] {
            attributes.insert(name, value.to_owned());
        }
    }
    attributes
}

/// The policy that lets a topic send to a queue.
fn policy(topic_arn: &str, queue_arn: &str) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "ductape",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
        }],
    })
    .to_string()
}

/// Whether the paths of two queues' URLs name the same account and queue; their hosts have several forms.
fn same_account(one: &str, two: &str) -> bool {
    fn path(url: &str) -> &str {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.split_once('/')
            .map_or("", |(_, path)| path.trim_end_matches('/'))
    }
    path(one) == path(two)
}

#[cfg(test)]
mod tests {
    use super::{mismatched, same_account};
    use crate::error::{Error, ErrorKind};

    #[test]
    fn urls_of_one_queue_are_told_from_those_of_others() {
        let url = "https://sqs.us-east-1.amazonaws.com/123456789012/orders";
        for (other, same) in [
            ("http://us-east-1.queue.amazonaws.com/123456789012/orders/", true),
            ("https://sqs.us-east-1.amazonaws.com/999999999999/orders", false),
            ("https://sqs.us-east-1.amazonaws.com/123456789012/bills", false),
        ] {
            assert_eq!(same_account(url, other), same, "{other}");
        }
    }

    #[test]
    fn only_what_speaks_of_attributes_is_a_mismatch() {
        let error = |text: &str| mismatched(Error::new(ErrorKind::Unexpected, text), "attributes").kind();
        assert_eq!(
            error("Topic already exists with different attributes"),
            ErrorKind::TopologyMismatch
        );
        assert_eq!(error("no such action"), ErrorKind::Unexpected);
    }
}
