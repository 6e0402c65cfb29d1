//! Tracked messages: what was produced, what consumers did with it, and the numbers of both.
//!
//! [`TrackingWriter`] takes [`Record`]s, [`Tracking`] answers questions.

mod answer;
mod bulk;
mod code;
mod deltas;
mod failures;
mod filter;
mod fold;
mod names;
mod operate;
mod query;
mod record;
pub(crate) mod serial;
mod status;
pub(crate) mod text;
mod write;

pub use answer::{
    Consumer, ConsumerDelivery, ConsumerPage, DailyActivity, Dashboard, DeadLetter, DeadLetterGroup,
    DeadLetterPage, Event, EventPage, EventStats, HourlyCount, Message, MessagePage, Producer, ProducerPage,
    Stats, TagCount,
};
pub use filter::{
    BrokerFilter, ConsumerFilter, DeadLetterFilter, EventFilter, LIMIT_DEFAULT, LIMIT_MAX, MessageFilter,
    ProducerFilter,
};
pub use operate::{DeadLetterChange, Pruned, Retention};
pub use query::{Step, Tracking, Walked};
pub use record::{Attempted, LeftOut, Original, Outcome, Produced, Record, TopicPlace};
pub use status::{
    ActivityStatus, DeadLetterState, DeliveryStatus, EventCategory, EventStatus, MessageStatus,
};
pub use write::TrackingWriter;
