//! The promises of the in-memory broker, one file a group. Time is paused where a test waits for it.

mod groups;
mod order;
mod publish;
mod settle;
mod test_mode;
mod time;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::coop::unconstrained;

use super::{Memory, MemoryConfig, MemorySubscription};
use crate::message::{Outgoing, Route, TopicName};
use crate::provider::{
    Delivery, Provider, PublishReceipt, PublishSlot, Receipt, SettleSlot, Settlement, Settler, Subscription,
};
use crate::spec::{GroupSpec, SubscriptionSpec, TopicSpec};
use crate::{ErrorKind, Result};

/// A broker with the topic `shop:orders`.
struct Shop {
    memory: Memory,
    topic: TopicName,
}

impl Shop {
    async fn open(groups: &[GroupSpec]) -> Self {
        Self::on(MemoryConfig::default().open(), groups).await
    }

    async fn on(memory: Memory, groups: &[GroupSpec]) -> Self {
        let topic = TopicName::new("shop:orders".parse().unwrap(), NonZeroU32::MIN);
        let spec = TopicSpec {
            groups: groups.to_vec(),
            ..TopicSpec::new(topic.clone())
        };
        memory.declare(&spec).await.unwrap();
        Self { memory, topic }
    }

    fn spec(&self, group: &GroupSpec) -> SubscriptionSpec {
        SubscriptionSpec::new(self.topic.clone(), group.clone())
    }

    async fn join(&self, group: &GroupSpec) -> Member {
        self.join_as(&self.spec(group)).await
    }

    async fn join_as(&self, spec: &SubscriptionSpec) -> Member {
        Member(self.memory.subscribe(spec).await.unwrap())
    }

    /// A message whose payload is `text` and whose key is its first letter, if that is one.
    fn message(&self, text: &str) -> Outgoing {
        let message = Outgoing::new(self.topic.clone(), text.to_owned());
        match text.chars().next().filter(char::is_ascii_alphabetic) {
            Some(key) => message.with_key(key.to_string()),
            None => message,
        }
    }

    async fn publish(&self, texts: &[&str]) {
        for text in texts {
            self.send(self.message(text)).await.unwrap();
        }
    }

    async fn send(&self, message: Outgoing) -> Result<PublishReceipt> {
        let mut slots = [PublishSlot::new(message)];
        self.memory.publish(&mut slots).await;
        let [slot] = slots;
        slot.outcome.unwrap()
    }
}

struct Member(MemorySubscription);

impl Member {
    /// At most `max` that are ready now.
    fn ready(&mut self, max: usize) -> Vec<Delivery> {
        let mut into = Vec::new();
        if let Some(max) = NonZeroUsize::new(max) {
            // Ready at once, or not now; a task that polls much must not be told to wait for its turn.
            let _ = unconstrained(self.0.receive(&mut into, max)).now_or_never();
        }
        into
    }

    /// All that are ready now, as text.
    fn texts(&mut self) -> Vec<String> {
        self.ready(1_000).iter().map(text).collect()
    }

    /// What comes next.
    async fn next(&mut self) -> Delivery {
        let mut into = Vec::new();
        self.0.receive(&mut into, NonZeroUsize::MIN).await.unwrap();
        into.pop().unwrap()
    }

    fn settle(&self, receipt: Receipt, how: Settlement) -> Result<()> {
        let mut slots = [SettleSlot::new(receipt, how)];
        self.0.settler().settle(&mut slots).now_or_never().unwrap();
        let [slot] = slots;
        slot.outcome.unwrap()
    }

    fn ack_all(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            self.settle(delivery.receipt, Settlement::Ack).unwrap();
        }
    }
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.payload.to_vec()).unwrap()
}

fn group() -> GroupSpec {
    GroupSpec::new("bill".parse().unwrap())
}

fn to(group: &GroupSpec) -> Route {
    Route::Group(group.name.clone())
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

const SECOND: Duration = Duration::from_secs(1);
