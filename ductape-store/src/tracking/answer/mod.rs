//! What is answered: the shapes that users, the command line and the dashboard see, in JSON in camelCase.

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
    )* };
}

mod dead_letter;
mod message;
mod numbers;

pub use dead_letter::{DeadLetter, DeadLetterGroup, DeadLetterPage};
pub use message::{
    Consumer, ConsumerDelivery, ConsumerPage, Event, EventPage, Message, MessagePage, Producer, ProducerPage,
};
pub use numbers::{DailyActivity, Dashboard, EventStats, HourlyCount, Stats, TagCount};
