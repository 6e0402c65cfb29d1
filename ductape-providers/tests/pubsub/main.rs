//! Google Pub/Sub, on the server that `DUCTAPE_TEST_PUBSUB` names: what the configuration says has its effect, what is set
//! up wrongly is found, and what others publish is taken. Without the variable nothing is tried, unless `DUCTAPE_TEST`
//! names `pubsub`.

#![allow(clippy::panic, clippy::unwrap_used)] // a test may panic

mod credentials;
mod findings;
mod topology;

use std::time::Duration;

use ductape_providers::config::ProviderConfig;
use ductape_providers::{
    AnyProvider, Delivery, GroupSpec, Incoming, Outgoing, PublishSlot, SettleSlot, Settlement,
    SubscriptionSpec, TopicName, TopicSpec,
};
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::{SubscriptionAdmin, TopicAdmin};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing must come until it is believed.
const QUIET: Duration = Duration::from_millis(800);

const PROJECT: &str = "ductape-tests";

/// Where the server is; `None` where the tests are to be left out.
fn server() -> Option<String> {
    let asked =
        std::env::var("DUCTAPE_TEST").is_ok_and(|names| names.split(',').any(|name| name.trim() == "pubsub"));
    let server = std::env::var("DUCTAPE_TEST_PUBSUB").ok();
    assert!(
        server.is_some() || !asked,
        "`DUCTAPE_TEST_PUBSUB` is not set; run dev/brokers up pubsub"
    );
    server
}

/// Returns from the test where there is no server.
macro_rules! server_or_return {
    () => {
        match $crate::server() {
            Some(server) => server,
            None => return,
        }
    };
}
use server_or_return;

/// The configuration of the server, with these fields beside.
fn config(server: &str, fields: &Value) -> ProviderConfig {
    let mut all = json!({"type": "GOOGLE_PUBSUB", "projectId": PROJECT, "endpoint": server});
    for (name, value) in fields.as_object().unwrap() {
        all[name] = value.clone();
    }
    ProviderConfig::from_value(&all).unwrap()
}

async fn connect(server: &str, fields: &Value) -> AnyProvider {
    config(server, fields).connect().await.unwrap()
}

/// A name that no other test and no earlier run has used.
fn unique(tag: &str) -> String {
    format!("{tag}-{}", Uuid::now_v7().simple().to_string().split_off(20))
}

fn topic(tag: &str) -> TopicName {
    let event = format!("tests:{}", unique(tag)).parse().unwrap();
    TopicName::new(event, std::num::NonZeroU32::MIN)
}

fn group(name: &str) -> GroupSpec {
    GroupSpec::new(name.parse().unwrap())
}

fn spec(topic: &TopicName, groups: &[&GroupSpec]) -> TopicSpec {
    let mut spec = TopicSpec::new(topic.clone());
    spec.groups = groups.iter().map(|group| (*group).clone()).collect();
    spec
}

async fn publish(provider: &AnyProvider, message: Outgoing) {
    let mut slots = [PublishSlot::new(message)];
    provider.publish_dyn(&mut slots).await;
    let [slot] = slots;
    slot.outcome.unwrap().unwrap();
}

/// A subscription of the tests, which acks what it gives.
struct Reader(Box<dyn ductape_providers::SubscriptionDyn>);

impl Reader {
    async fn new(provider: &AnyProvider, topic: &TopicName, group: &GroupSpec) -> Self {
        let spec = SubscriptionSpec::new(topic.clone(), group.clone());
        Self(provider.subscribe_dyn(&spec).await.unwrap())
    }

    async fn try_next(&mut self, within: Duration) -> Option<Incoming> {
        let mut into: Vec<Delivery> = Vec::new();
        let received = timeout(within, self.0.receive_dyn(&mut into, std::num::NonZeroUsize::MIN)).await;
        received.ok()?.unwrap();
        let Delivery { message, receipt } = into.pop()?;
        let mut slots = [SettleSlot::new(receipt, Settlement::Ack)];
        self.0.settler_dyn().settle_dyn(&mut slots).await;
        let [slot] = slots;
        slot.outcome.unwrap().unwrap();
        Some(message)
    }

    async fn next(&mut self) -> Incoming {
        self.try_next(PATIENCE).await.unwrap()
    }

    async fn silent(&mut self) {
        let came = self.try_next(QUIET).await;
        assert!(came.is_none(), "{came:?}");
    }
}

/// Google's own clients, for setting up what a test finds there.
struct Admin {
    topics: TopicAdmin,
    subscriptions: SubscriptionAdmin,
}

impl Admin {
    async fn new(server: &str) -> Self {
        let endpoint = format!("http://{server}");
        let nobody = || anonymous::Builder::new().build();
        Self {
            topics: TopicAdmin::builder()
                .with_endpoint(&endpoint)
                .with_credentials(nobody())
                .build()
                .await
                .unwrap(),
            subscriptions: SubscriptionAdmin::builder()
                .with_endpoint(&endpoint)
                .with_credentials(nobody())
                .build()
                .await
                .unwrap(),
        }
    }

    async fn topic(&self, id: &str) -> String {
        let path = format!("projects/{PROJECT}/topics/{id}");
        self.topics.create_topic().set_name(&path).send().await.unwrap();
        path
    }

    async fn subscription(
        &self,
        id: &str,
        topic: &str,
        change: impl FnOnce(google_cloud_pubsub::model::Subscription) -> google_cloud_pubsub::model::Subscription,
    ) {
        let there = google_cloud_pubsub::model::Subscription::new()
            .set_name(format!("projects/{PROJECT}/subscriptions/{id}"))
            .set_topic(topic)
            .set_enable_message_ordering(true)
            .set_ack_deadline_seconds(30);
        let create = self
            .subscriptions
            .create_subscription()
            .with_request(change(there));
        create.send().await.unwrap();
    }

    async fn look(&self, id: &str) -> Option<google_cloud_pubsub::model::Subscription> {
        let path = format!("projects/{PROJECT}/subscriptions/{id}");
        self.subscriptions
            .get_subscription()
            .set_subscription(path)
            .send()
            .await
            .ok()
    }
}
