//! The registry: a product's brokers in their environments, and its topics, in the [store](crate::store).
//!
//! [`Ductape::messaging`](crate::Ductape::messaging) lists and changes it. When a program is built, its own brokers, topics and
//! consumers are put into it, or brought up to date there, and each change is one line of the log.
//!
//! # Who wins
//!
//! - What is given in code wins over the file, and the file over the registry: a broker that `ductape.toml` names is in each
//!   environment what the file says, and the registry takes that over when the program is built, with a line in the log. Environments
//!   of it that the registry alone has stay in the registry, and are not used by a program whose file names the broker.
//! - A broker that no file names and the registry holds is used as the registry says. One that neither has is embedded where the
//!   program has no file, and `BROKER_NOT_FOUND` where it has one.
//! - A topic that is a Rust type has the sample, the schema and the documentation of the type: what a call changed of them is as the
//!   type says again when the program is built next. What the type and the file say nothing of stays.
//! - The schema of a type must be able to follow the one that a program said before, as its `compatibility` asks (`backward` where it
//!   asks nothing): else the program does not start, with `SCHEMA_INCOMPATIBLE`, the place and the reason. A higher `version` is a topic of
//!   its own, and both live side by side. `schema-incompatible` can be allowed, for a program of an older version, say, that must start
//!   again beside a newer one; then its schema takes the place. What a call says of a schema binds no program.
//! - Nothing is ever taken out of the registry but by [`delete`](Messaging::delete).
//!
//! # Secrets
//!
//! A `${VARIABLE}` is kept as it is written, and put in by the program that connects. Any other password, token or key is sealed with the
//! store's key (`DUCTAPE_STORE_KEY`), and refused where there is none. It is shown as `***`; where that is given back in a change, the
//! secret stays what it is.

mod asyncapi;
mod check;
mod error;
mod input;
mod late;
mod messaging;
pub(crate) mod own;
mod resolve;
mod secrets;
mod topics;

pub use ductape_store::registry::{
    Broker, Consumer, Environment, QueueUrl, Source, Topic as RegisteredTopic,
};
pub use input::{BrokerChange, BrokerEnv, BrokerType, NewBroker, NewTopic, TopicChange};
pub use messaging::{IN_USE_FOR, Messaging};
pub use topics::Topics;

pub(crate) use error::store_failed;
pub(crate) use own::Parts;
pub(crate) use resolve::provider_config;
