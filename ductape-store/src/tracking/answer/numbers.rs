//! A broker's numbers.

use std::time::Duration;

use serde::Serialize;

use super::{Consumer, Message, Producer};
use crate::tracking::serial::millis_option;

answers! {
    /// Numbers of a broker.
    Stats {
        /// How many messages there are.
        total: u64,
        /// How many no consumer has finished.
        pending: u64,
        /// How many all consumers have handled.
        success: u64,
        /// How many all consumers have failed at for good.
        failed: u64,
        /// How many some consumers have handled, and others have not.
        partial: u64,
        /// How many producers there are.
        producer_count: u64,
        /// How many consumers there are.
        consumer_count: u64,
        /// How many dead letters an operator has to look at.
        dead_letter_count: u64,
        /// How many messages each topic has, most first.
        messages_by_topic: Vec<TagCount>,
        /// How many messages each producer produced, most first.
        messages_by_producer: Vec<TagCount>,
        /// How long an attempt that finished a message took on average, in milliseconds when written as JSON.
        #[serde(serialize_with = "millis_option", skip_serializing_if = "Option::is_none")]
        avg_processing_time: Option<Duration>,
        /// How many messages are not in the other numbers, since their detail was left out by overload or by policy.
        left_out: u64,
    }

    /// How many there are of a tag.
    TagCount {
        /// The tag.
        tag: String,
        /// How many.
        count: u64,
    }

    /// A broker at a glance.
    Dashboard {
        /// Its numbers.
        stats: Stats,
        /// The newest ten messages.
        recent_messages: Vec<Message>,
        /// The ten producers with the most messages.
        top_producers: Vec<Producer>,
        /// The ten consumers with the most messages.
        top_consumers: Vec<Consumer>,
        /// The last thirty days in UTC, oldest first, each there even when nothing happened.
        daily_activity: Vec<DailyActivity>,
        /// How many messages were produced in each hour of the day in UTC, over these thirty days: 24 of them.
        hourly_distribution: Vec<HourlyCount>,
    }

    /// What happened on a day.
    DailyActivity {
        /// The day in UTC: `2026-11-25`.
        date: String,
        /// How many messages were produced.
        published: u64,
        /// How many of these were handled, each counted once a consumer.
        consumed: u64,
        /// How many of these consumers have failed at for good, each counted once a consumer.
        failed: u64,
    }

    /// What happened in an hour of the day.
    HourlyCount {
        /// The hour in UTC, 0 to 23.
        hour: u8,
        /// How many messages were produced.
        count: u64,
    }

    /// Numbers of a broker's events.
    EventStats {
        /// How many there are.
        total_events: u64,
        /// How many all consumers have handled.
        success_count: u64,
        /// How many a consumer has failed at for good.
        failed_count: u64,
        /// How many no consumer has failed at, and one has not finished; those to be tried again too.
        pending_count: u64,
        /// How many a consumer got again after it had handled them.
        duplicate_count: u64,
        /// How many dead letters an operator has to look at.
        dead_letter_count: u64,
        /// How many each topic has, most first.
        events_by_topic: Vec<TagCount>,
    }
}
