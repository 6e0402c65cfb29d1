use std::time::Duration;

use super::case::Failure;
use super::harness::Harness;
use super::reader::{Reader, Waits};
use crate::capability::Capability;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Outgoing, TopicName};
use crate::provider::{Backlog, PublishReceipt, PublishSlot};
use crate::provider_dyn::AnyProvider;
use crate::spec::{GroupSpec, Source, SubscriptionSpec, TopicSpec};

/// A handle of the broker whose calls fail the case unless they begin with `try_`.
#[derive(Clone, Debug)]
pub struct Client {
    provider: AnyProvider,
    waits: Waits,
}

impl Client {
    pub(super) fn new(provider: AnyProvider, harness: &dyn Harness) -> Self {
        let waits = Waits {
            patience: harness.patience(),
            quiet: harness.quiet(),
        };
        Self { provider, waits }
    }

    /// The provider itself.
    pub fn provider(&self) -> &AnyProvider {
        &self.provider
    }

    /// What it can do.
    pub fn capability(&self) -> Capability {
        self.provider.capability_dyn()
    }

    /// Declares `topic` with `groups`.
    ///
    /// # Errors
    ///
    /// As the provider's.
    pub async fn try_declare(&self, topic: &TopicName, groups: &[&GroupSpec]) -> Result<()> {
        let mut spec = TopicSpec::new(topic.clone());
        spec.groups.extend(groups.iter().map(|group| (*group).clone()));
        self.provider.declare_dyn(&spec).await
    }

    /// Declares `topic` with `groups`.
    ///
    /// # Errors
    ///
    /// When the provider refuses it.
    pub async fn declare(&self, topic: &TopicName, groups: &[&GroupSpec]) -> Result<(), Failure> {
        let declared = self.try_declare(topic, groups).await;
        declared.map_err(|error| Failure::step("declare", &error))
    }

    /// Publishes `messages` in one batch and gives each slot's outcome.
    pub async fn try_publish(&self, messages: Vec<Outgoing>) -> Vec<Result<PublishReceipt>> {
        let mut slots: Vec<PublishSlot> = messages.into_iter().map(PublishSlot::new).collect();
        self.provider.publish_dyn(&mut slots).await;
        let unfilled = || {
            Err(Error::new(
                ErrorKind::Unexpected,
                "publish left a slot without an outcome",
            ))
        };
        slots
            .into_iter()
            .map(|slot| slot.outcome.unwrap_or_else(unfilled))
            .collect()
    }

    /// Publishes one message.
    ///
    /// # Errors
    ///
    /// As the provider's.
    pub async fn try_publish_one(&self, message: Outgoing) -> Result<PublishReceipt> {
        let mut outcomes = self.try_publish(vec![message]).await;
        outcomes.pop().unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Unexpected,
                "publish removed a slot of its batch",
            ))
        })
    }

    /// Publishes `messages` in one batch.
    ///
    /// # Errors
    ///
    /// When one of them is not confirmed.
    pub async fn publish(&self, messages: Vec<Outgoing>) -> Result<Vec<PublishReceipt>, Failure> {
        let outcomes = self.try_publish(messages).await;
        let mut receipts = Vec::with_capacity(outcomes.len());
        for (at, outcome) in outcomes.into_iter().enumerate() {
            receipts.push(
                outcome.map_err(|error| Failure::step(format!("publish of message {}", at + 1), &error))?,
            );
        }
        Ok(receipts)
    }

    /// Joins `group`, with the usual prefetch.
    ///
    /// # Errors
    ///
    /// When the provider refuses it.
    pub async fn reader(&self, topic: &TopicName, group: &GroupSpec) -> Result<Reader, Failure> {
        self.reader_of(&SubscriptionSpec::new(topic.clone(), group.clone()))
            .await
    }

    /// Joins `group`, with the usual prefetch.
    ///
    /// # Errors
    ///
    /// As the provider's.
    pub async fn try_reader(&self, topic: &TopicName, group: &GroupSpec) -> Result<Reader> {
        let spec = SubscriptionSpec::new(topic.clone(), group.clone());
        let subscription = self.provider.subscribe_dyn(&spec).await?;
        Ok(Reader::new(subscription, self.waits))
    }

    /// Reads the dead letters of `group`.
    ///
    /// # Errors
    ///
    /// When the provider refuses it.
    pub async fn dead_letters(&self, topic: &TopicName, group: &GroupSpec) -> Result<Reader, Failure> {
        let mut spec = SubscriptionSpec::new(topic.clone(), group.clone());
        spec.source = Source::DeadLetters;
        self.reader_of(&spec).await
    }

    /// Subscribes as `spec` says.
    ///
    /// # Errors
    ///
    /// When the provider refuses it.
    pub async fn reader_of(&self, spec: &SubscriptionSpec) -> Result<Reader, Failure> {
        match self.provider.subscribe_dyn(spec).await {
            Ok(subscription) => Ok(Reader::new(subscription, self.waits)),
            Err(error) => Err(Failure::step("subscribe", &error)),
        }
    }

    /// What `group` has before it.
    ///
    /// # Errors
    ///
    /// When the provider can't tell.
    pub async fn backlog(&self, topic: &TopicName, group: &GroupSpec) -> Result<Backlog, Failure> {
        let backlog = self.provider.backlog_dyn(topic, &group.name).await;
        backlog.map_err(|error| Failure::step("backlog", &error))
    }

    /// Waits until the backlog of `group` is `wanted`, asking every 10 ms: some brokers count a little later.
    ///
    /// # Errors
    ///
    /// When it is another when the harness's patience ends; `when` says what came before.
    pub async fn backlog_becomes(
        &self,
        topic: &TopicName,
        group: &GroupSpec,
        wanted: Backlog,
        when: &str,
    ) -> Result<(), Failure> {
        let deadline = clock::now() + self.waits.patience;
        loop {
            let backlog = self.backlog(topic, group).await?;
            if backlog == wanted {
                return Ok(());
            }
            if clock::now() > deadline {
                return Err(Failure::new(format!(
                    "{when}, and the backlog is {backlog:?}, not {wanted:?}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Closes this handle, with 5 s to flush.
    ///
    /// # Errors
    ///
    /// When the provider could not.
    pub async fn close(&self) -> Result<(), Failure> {
        let closed = self
            .provider
            .close_dyn(clock::now() + Duration::from_secs(5))
            .await;
        closed.map_err(|error| Failure::step("close", &error))
    }
}
