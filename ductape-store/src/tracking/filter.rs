//! What is asked about.

use std::time::SystemTime;

use super::status::{DeadLetterState, EventCategory, EventStatus, MessageStatus};

/// How many a page has when nothing says so.
pub const LIMIT_DEFAULT: u32 = 20;
/// How many a page may have.
pub const LIMIT_MAX: u32 = 1_000;

macro_rules! filters {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            /// The product's tag.
            pub product: String,
            /// The environment's slug.
            pub env: String,
            /// The broker's tag.
            pub broker_tag: String,
            $($(#[$field_doc])* pub $field: $type,)*
            /// Which page, from 1, the default.
            pub page: u32,
            /// How many a page has, 1 to [`LIMIT_MAX`]; [`LIMIT_DEFAULT`] by default.
            pub limit: u32,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    product: String::new(),
                    env: String::new(),
                    broker_tag: String::new(),
                    $($field: Default::default(),)*
                    page: 1,
                    limit: LIMIT_DEFAULT,
                }
            }
        }
    )* };
}

filters! {
    /// Which messages, newest first.
    MessageFilter {
        /// Of this topic, without the broker.
        topic_tag: Option<String>,
        /// Of this producer.
        producer_tag: Option<String>,
        /// That this consumer had at least once.
        consumer_tag: Option<String>,
        /// In this state.
        status: Option<MessageStatus>,
        /// Produced at this time or later.
        start_date: Option<SystemTime>,
        /// Produced before this time.
        end_date: Option<SystemTime>,
        /// What the first page's `snapshot` says, so that messages recorded since do not shift the later ones.
        snapshot: Option<String>,
    }

    /// Which producers, most recently active first.
    ProducerFilter {
        /// Of this topic, without the broker.
        topic_tag: Option<String>,
    }

    /// Which consumers, most recently active first.
    ConsumerFilter {
        /// Of this topic, without the broker.
        topic_tag: Option<String>,
    }

    /// Which dead letters, newest first.
    DeadLetterFilter {
        /// Of this topic, without the broker.
        topic_tag: Option<String>,
        /// Of this consumer.
        consumer_tag: Option<String>,
        /// Failed at this time or later.
        start_date: Option<SystemTime>,
        /// Failed before this time.
        end_date: Option<SystemTime>,
        /// With this fingerprint of their failure.
        fingerprint: Option<String>,
        /// Whose error has this text, letter for letter: wildcards mean themselves.
        error_contains: Option<String>,
        /// Of these messages; all when empty. At most [`LIMIT_MAX`].
        message_ids: Vec<String>,
        /// With these ids of their own; all when empty. At most [`LIMIT_MAX`].
        ids: Vec<String>,
        /// In these states; those that an operator has to look at (`Open` and `Reprocessing`) when empty.
        states: Vec<DeadLetterState>,
        /// What the first page's `snapshot` says, so that dead letters recorded since do not shift the later ones.
        snapshot: Option<String>,
    }

    /// Which events, newest first.
    EventFilter {
        /// In this state.
        status: Option<EventStatus>,
        /// Looked at as this.
        category: Option<EventCategory>,
        /// Of this topic, without the broker.
        topic: Option<String>,
        /// Produced at this time or later.
        start_date: Option<SystemTime>,
        /// Produced before this time.
        end_date: Option<SystemTime>,
        /// What the first page's `snapshot` says, so that events recorded since do not shift the later ones.
        snapshot: Option<String>,
    }
}

/// Whose numbers.
#[derive(Clone, Debug, Default)]
pub struct BrokerFilter {
    /// The product's tag.
    pub product: String,
    /// The environment's slug.
    pub env: String,
    /// The broker's tag.
    pub broker_tag: String,
}
