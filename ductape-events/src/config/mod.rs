//! `ductape.toml`: which broker carries what, in each environment.
//!
//! ```toml
//! product = "shop"                       # optional; DUCTAPE_PRODUCT comes before it
//! store = "sqlite:shop.db"               # optional: where the store is, or "off"; DUCTAPE_STORE comes before it
//! # store = { url = "sqlite:shop.db", retention = { age = "30d", size = "10GB" } }
//! #                                      # the same, and how long and how much of it the history is kept
//! tracking = "failures"                  # optional: what the history has of topics that say nothing else; "all" otherwise
//! environment = "dev"                    # where DUCTAPE_ENV is not set; "dev" if this is not set either
//!
//! [brokers.order-events]                 # the broker's tag: what stands before the `:` of an event's name
//! name = "Order Events"                  # optional, for people
//! description = "All that happens to an order."
//!
//! [brokers.order-events.environments.dev]
//! type = "EMBEDDED"
//! mode = "durable"
//!
//! [brokers.order-events.environments.prd]
//! type = "KAFKA"
//! brokers = ["${KAFKA_HOST:-127.0.0.1}:9092"]
//! clientId = "order-service"
//!
//! [brokers.order-events.topics.order-created]
//! name = "orders"                        # optional: its name on the broker
//! description = "An order was placed."
//! tracking = "sample(0.01)"              # optional: what the history has of it; "all", "failures" or "off"
//! payloads = false                       # optional: whether the history keeps payloads
//!
//! [brokers.order-events.topics.order-created.queueUrls]
//! prd = "https://sqs.us-east-1.amazonaws.com/123456789012/orders"
//! ```
//!
//! An environment's fields are those of [`ProviderConfig`](ductape_providers::config::ProviderConfig); they may also
//! stand in a table `config` beside `type`. `allow = ["redis-evicts"]` lets a program start in spite of a finding of the
//! start-up check ([`Ductape::check`](crate::Ductape::check)). `queueUrls` is for environments of type `AWS_SQS`; a list of
//! `{ env_slug = "…", url = "…" }` does too. Tags are what the halves of an event's name are: `a-z`, `0-9` and `-`.
//!
//! # Variables
//!
//! In texts, not in keys, `${NAME}` stands for an environment variable, `${NAME:-default}` for it or, where it is not set
//! or empty, for the default; `$${` is a literal `${`. A variable that is not set and has no default is a problem of the
//! environment that it stands in, and only once that environment is used: the secrets of others may be absent.
//!
//! # Problems
//!
//! Reading reports everything that is wrong with the file at once, each problem with file, line and key. No problem shows
//! a secret.
//!
//! ```
//! use ductape_events::config::Config;
//!
//! let text = r#"
//! [brokers.order-events.environments.dev]
//! type = "REDIS"
//! host = "localhost"
//! port = 70000
//! "#;
//! let problems = Config::parse(text, "ductape.toml", &|_| None).unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "ductape.toml:5: brokers.order-events.environments.dev.port: 70000 is not a port; write 1 to 65535"
//! );
//! ```

mod document;
mod expand;
mod file;
mod load;
mod problem;
mod read;
#[cfg(feature = "store")]
mod value;
#[cfg(feature = "store")]
mod written;

#[cfg(feature = "store")]
pub(crate) use file::instead;
pub use file::{BrokerConfig, Config, TopicConfig};
pub use problem::{ConfigProblem, ConfigProblems, ProblemKind};
#[cfg(feature = "store")]
pub(crate) use value::check_value;
#[cfg(feature = "store")]
pub(crate) use written::WrittenEnvironment;

#[cfg(test)]
mod tests;
