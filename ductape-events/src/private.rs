//! What generated code names. Not public API: it changes without notice.

pub use ductape_providers::spec::{Ordering, Start};
pub use futures_util::future::BoxFuture;
pub use inventory;
pub use schemars;
pub use serde;
pub use serde_json;

pub use crate::consumer::call::{consumed, finish, finish_batch};
pub use crate::consumer::{
    Backoff, BatchDelivery, Consumer, ConsumerDescriptor, ConsumerOptions, Delivery, FromBatch, FromDelivery,
    Handler, RegisteredConsumer, Requirements, RetryOptions, Verdict,
};
pub use crate::contract::contract_test;
pub use crate::sample::{
    Sample, SampleAt, SampleVariant, Tagging, sample_of, sample_of_schema, sample_value,
};
pub use crate::schema::schema_of;
pub use crate::topic::{KeyField, KeyWriter, RegisteredTopic, Topic, TopicDescriptor, key_of};
