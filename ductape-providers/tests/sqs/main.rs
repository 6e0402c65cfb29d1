//! SQS and SNS as they are set up, rightly and wrongly, on the stand-ins that `dev/brokers` starts; and answers that no
//! stand-in gives, from a server of the tests' own.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may panic

mod answers;
mod config;
mod findings;
mod foreign;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use ductape_providers::config::ProviderConfig;
use ductape_providers::{
    AnyProvider, Delivery, Error, GroupSpec, Outgoing, PublishSlot, SettleSlot, Settlement, SubscriptionSpec,
    TopicName, TopicSpec,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// The server in `name`. `None`, and the test is not for this run, where it is not set and `DUCTAPE_TEST` does not name SQS.
fn server(name: &str) -> Option<String> {
    let address = std::env::var(name).ok();
    let named =
        std::env::var("DUCTAPE_TEST").is_ok_and(|names| names.split(',').any(|name| name.trim() == "sqs"));
    assert!(
        address.is_some() || !named,
        "`{name}` is not set; start the servers (`dev/brokers up sqs`) and read their variables (`eval \"$(dev/brokers env)\"`)"
    );
    address
}

/// The shape for the server at `endpoint`, with `more`.
fn shape(endpoint: &str, more: &Value) -> Value {
    let mut shape = json!({"type": "AWS_SQS", "region": "us-east-1", "accessKeyId": "test", "secretAccessKey": "test",
        "endpoint": endpoint});
    shape
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    shape
}

async fn connect(endpoint: &str, more: &Value) -> Result<AnyProvider, Error> {
    ProviderConfig::from_value(&shape(endpoint, more))
        .unwrap()
        .connect()
        .await
}

/// A name that no earlier run has used.
fn unique(tag: &str) -> TopicName {
    let random = Uuid::now_v7().simple().to_string().split_off(20);
    TopicName::new(format!("test:{tag}-{random}").parse().unwrap(), NonZeroU32::MIN)
}

fn group(name: &str) -> GroupSpec {
    GroupSpec::new(name.parse().unwrap())
}

async fn publish(provider: &AnyProvider, message: Outgoing) -> Result<(), Error> {
    let mut slots = [PublishSlot::new(message)];
    provider.publish_dyn(&mut slots).await;
    let [slot] = slots;
    slot.outcome.unwrap().map(drop)
}

/// Receives `count` messages of a group, and acks them.
async fn consume(
    provider: &AnyProvider,
    topic: &TopicName,
    group: &GroupSpec,
    count: usize,
) -> Vec<Delivery> {
    let spec = SubscriptionSpec::new(topic.clone(), group.clone());
    let mut subscription = provider.subscribe_dyn(&spec).await.unwrap();
    let settler = subscription.settler_dyn();
    let mut all = Vec::new();
    while all.len() < count {
        let mut into = Vec::new();
        let receive = subscription.receive_dyn(&mut into, NonZeroUsize::MIN);
        tokio::time::timeout(Duration::from_secs(20), receive)
            .await
            .unwrap()
            .unwrap();
        let tokens: Vec<u64> = into.iter().map(|delivery| delivery.receipt.token()).collect();
        let receipts = tokens.into_iter().map(ductape_providers::Receipt::new);
        let mut slots: Vec<SettleSlot> = receipts
            .map(|receipt| SettleSlot::new(receipt, Settlement::Ack))
            .collect();
        settler.settle_dyn(&mut slots).await;
        assert!(
            slots.iter().all(|slot| matches!(slot.outcome, Some(Ok(())))),
            "{slots:?}"
        );
        all.append(&mut into);
    }
    subscription.close_dyn().await.unwrap();
    all
}

/// The clients of the server, to set things up behind the provider's back.
fn raw(endpoint: &str) -> (aws_sdk_sqs::Client, aws_sdk_sns::Client) {
    let keys = aws_sdk_sqs::config::Credentials::new("test", "test", None, None, "test");
    let region = aws_sdk_sqs::config::Region::new("us-east-1");
    let sqs = aws_sdk_sqs::Config::builder()
        .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
        .region(region.clone())
        .endpoint_url(endpoint)
        .credentials_provider(keys.clone())
        .build();
    let sns = aws_sdk_sns::Config::builder()
        .behavior_version(aws_sdk_sns::config::BehaviorVersion::latest())
        .region(region)
        .endpoint_url(endpoint)
        .credentials_provider(keys)
        .build();
    (
        aws_sdk_sqs::Client::from_conf(sqs),
        aws_sdk_sns::Client::from_conf(sns),
    )
}

fn spec(topic: &TopicName, groups: &[GroupSpec]) -> TopicSpec {
    let mut spec = TopicSpec::new(topic.clone());
    spec.groups = groups.to_vec();
    spec
}
