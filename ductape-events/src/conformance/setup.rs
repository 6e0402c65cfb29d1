//! The programs that cases make.

use std::sync::Arc;
use std::time::Duration;

use ductape_providers::conformance::{Context, Failure};
use ductape_providers::{AnyProvider, Capability, GroupSpec, TopicName};

use super::TEST_MODE;
use crate::consumer::{Backoff, ConsumerOptions, RetryOptions};
use crate::delivery::DeadLetter;
use crate::error::BrokerError;
use crate::produce::{ProduceOptions, ProduceReceipt};
use crate::runtime::{Call, Ductape, DuctapeBuilder, RunTimeConsumer};

/// A program that is being made.
pub(super) struct Setup {
    builder: DuctapeBuilder,
    patience: Duration,
    quiet: Duration,
    hold_max: Option<Duration>,
}

impl Setup {
    /// A program with a handle of its own.
    pub(super) async fn new(context: &Context) -> Result<Self, Failure> {
        let client = context.connect().await?;
        Ok(Self::over(context, client.provider()))
    }

    /// A program over this handle.
    pub(super) fn over(context: &Context, provider: &AnyProvider) -> Self {
        let builder = Ductape::builder()
            .without_inventory()
            .without_config()
            .product("conformance")
            .environment("test")
            .every_broker(Arc::clone(provider));
        let harness = context.harness();
        Self {
            builder: if harness.name() == TEST_MODE {
                builder.in_process()
            } else {
                builder
            },
            patience: harness.patience(),
            quiet: harness.quiet(),
            hold_max: None,
        }
    }

    /// Says more of the program.
    pub(super) fn with(mut self, change: impl FnOnce(DuctapeBuilder) -> DuctapeBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// The program has a store of its own, in memory.
    pub(super) fn with_store(self) -> Self {
        #[cfg(feature = "store")]
        return self.with(|builder| builder.store(ductape_store::StoreUrl::memory()));
        #[cfg(not(feature = "store"))]
        self
    }

    /// Retries that wait longer than this go as copies, where they can.
    pub(super) fn hold_max(mut self, hold_max: Duration) -> Self {
        self.hold_max = Some(hold_max);
        self
    }

    pub(super) fn topic(mut self, topic: &TopicName) -> Self {
        self.builder = self.builder.run_time_topic(topic.event().clone());
        self
    }

    /// A consumer named `handler`, and its topic.
    pub(super) fn consumer(
        self,
        topic: &TopicName,
        group: &GroupSpec,
        options: ConsumerOptions,
        call: Call,
    ) -> Self {
        let event = topic.event().to_string();
        self.topic(topic).consumer_of(&event, group, options, call)
    }

    /// A consumer of a topic that the program has already.
    pub(super) fn consumer_of(
        mut self,
        event: &str,
        group: &GroupSpec,
        options: ConsumerOptions,
        call: Call,
    ) -> Self {
        let mut group = group.clone();
        group.once = options.once;
        group.ordering = options.ordering.unwrap_or_default();
        self.builder = self.builder.run_time_consumer(RunTimeConsumer {
            name: "handler".to_owned(),
            event: event.to_owned(),
            group,
            options,
            hold_max: self.hold_max,
            call,
        });
        self
    }

    pub(super) async fn try_build(self) -> Result<Program, BrokerError> {
        Ok(Program {
            ductape: self.builder.build().await?,
            patience: self.patience,
            quiet: self.quiet,
        })
    }

    pub(super) async fn build(self) -> Result<Program, Failure> {
        self.try_build().await.map_err(|error| step("build", &error))
    }

    pub(super) async fn start(self) -> Result<Program, Failure> {
        let program = self.build().await?;
        program.start().await?;
        Ok(program)
    }
}

/// `what` ended in an error, which it must not.
pub(super) fn step(what: &str, error: &BrokerError) -> Failure {
    Failure::new(format!("{what} failed with {error}"))
}

/// A program whose calls fail the case.
pub(super) struct Program {
    pub(super) ductape: Ductape,
    pub(super) patience: Duration,
    quiet: Duration,
}

impl Program {
    pub(super) async fn start(&self) -> Result<(), Failure> {
        self.ductape.start().await.map_err(|error| step("start", &error))
    }

    pub(super) async fn produce(&self, topic: &TopicName, text: &str) -> Result<ProduceReceipt, Failure> {
        self.produce_with(topic, text, ProduceOptions::default()).await
    }

    pub(super) async fn produce_keyed(
        &self,
        topic: &TopicName,
        key: &str,
        text: &str,
    ) -> Result<ProduceReceipt, Failure> {
        self.produce_with(topic, text, ProduceOptions::default().key(key))
            .await
    }

    pub(super) async fn produce_with(
        &self,
        topic: &TopicName,
        text: &str,
        options: ProduceOptions,
    ) -> Result<ProduceReceipt, Failure> {
        self.try_produce(topic, text, options)
            .await
            .map_err(|error| step("produce", &error))
    }

    pub(super) async fn try_produce(
        &self,
        topic: &TopicName,
        text: &str,
        options: ProduceOptions,
    ) -> Result<ProduceReceipt, BrokerError> {
        let context = self.ductape.context();
        context
            .produce_bytes(topic.event().as_str(), text.to_owned(), options)
            .await
    }

    /// Waits until the program's consumers have nothing before them.
    pub(super) async fn idle(&self) -> Result<(), Failure> {
        match self.ductape.wait_idle(self.patience).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new(format!(
                "the consumers have work left after {:?}: {:?}",
                self.patience,
                self.ductape.stats()
            ))),
            Err(error) => Err(step("wait_idle", &error)),
        }
    }

    /// Waits until nothing is left, and a moment more for what must not come.
    pub(super) async fn settled(&self) -> Result<(), Failure> {
        self.idle().await?;
        tokio::time::sleep(self.quiet).await;
        self.idle().await
    }

    pub(super) async fn dead_letters(
        &self,
        topic: &TopicName,
        group: &GroupSpec,
    ) -> Result<Vec<DeadLetter>, Failure> {
        let letters = self
            .ductape
            .dead_letters(topic.event().as_str(), group.name.as_str(), 100);
        letters.await.map_err(|error| step("dead_letters", &error))
    }

    /// What the broker of `topic` can do.
    pub(super) fn capability(&self, topic: &TopicName) -> Result<Capability, Failure> {
        let route = self
            .ductape
            .context()
            .wiring()
            .route_by_name(topic.event().as_str());
        route
            .map(|route| route.capability)
            .map_err(|error| step("route", &error))
    }

    /// Waits until `count` attempts have failed and are to be tried again.
    pub(super) async fn retried(&self, count: u64) -> Result<(), Failure> {
        let deadline = crate::clock::now() + self.patience;
        while self
            .ductape
            .stats()
            .iter()
            .map(|stats| stats.retried)
            .sum::<u64>()
            < count
        {
            if crate::clock::now() > deadline {
                return Err(Failure::new(format!(
                    "{count} attempts did not fail within {:?}",
                    self.patience
                )));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub(super) async fn shutdown(&self) -> Result<(), Failure> {
        self.ductape
            .shutdown()
            .await
            .map_err(|error| step("shutdown", &error))
    }
}

/// Options with `attempts` tries, `base` apart.
pub(super) fn tries(attempts: u32, base: Duration) -> ConsumerOptions {
    ConsumerOptions {
        retry: RetryOptions {
            attempts: Some(attempts),
            backoff: Some(Backoff::Fixed),
            base: Some(base),
            max: None,
        },
        ..ConsumerOptions::DEFAULT
    }
}

/// Options with `attempts` tries, 10 ms apart.
pub(super) fn quick(attempts: u32) -> ConsumerOptions {
    tries(attempts, Duration::from_millis(10))
}
