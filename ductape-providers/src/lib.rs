//! What carries the messages of `ductape-events`: bytes in, bytes out.
//!
//! - [`message`] is what travels: an [`Outgoing`] goes to a provider, an [`Incoming`] comes back.
//! - [`provider`] is what the author of a provider writes; [`provider_dyn`] what the runtime holds.
//! - [`capability`] says what a broker, as it is configured, can do.
//! - [`config`] is how an environment names its broker: the configuration shapes, chosen by `type`.
//! - [`embedded`] needs no server: in memory, or durable in a SQLite file.
//! - `kafka`, `rabbitmq`, `redis`, `sqs`, `pubsub` and `nats` each connect to a server, behind a feature of that name.
//! - [`connection`] tries a connection step by step; [`examine`] is what is found wrong with a broker's set-up.
//! - [`conformance`] is the behaviour suite that holds every provider to the same promises.
//!
//! Nothing here knows a user's type, and nothing above [`provider_dyn`] is generic over a provider.

pub mod capability;
pub mod clock;
#[cfg(feature = "server")]
mod cloud_events;
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod connection;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod error;
pub mod examine;
#[cfg(any(feature = "sqs", feature = "pubsub"))]
mod folded;
pub mod headers;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod message;
#[cfg(feature = "nats")]
pub mod nats;
pub mod provider;
pub mod provider_dyn;
#[cfg(feature = "pubsub")]
pub mod pubsub;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "server")]
mod receipts;
#[cfg(feature = "redis")]
pub mod redis;
pub mod spec;
#[cfg(feature = "sqs")]
pub mod sqs;

pub use bytes::Bytes;
pub use bytestring::ByteString;
pub use capability::Capability;
pub use ductape_schema::{EventName, GroupName};
pub use error::{Error, ErrorKind, Result};
pub use headers::Headers;
pub use message::{Incoming, MessageId, Outgoing, Route, TopicName};
pub use provider::{
    Delivery, Provider, PublishReceipt, PublishSlot, Receipt, SettleSlot, Settlement, Settler, Subscription,
};
pub use provider_dyn::{AnyProvider, ProviderDyn, SettlerDyn, SubscriptionDyn};
pub use spec::{GroupSpec, SubscriptionSpec, TopicSpec};
