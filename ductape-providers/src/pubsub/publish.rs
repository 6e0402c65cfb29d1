//! Publishing: the client gathers, the server's answer confirms.

use std::time::Duration;

use google_cloud_pubsub::client::{BasePublisher, Publisher};
use google_cloud_pubsub::publisher::PublishFuture;
use tokio::time::timeout;

use super::config::{MESSAGE_BYTES_MAX, PUBLISH_BATCH_MAX, PUBLISH_TIMEOUT, dead_letters_id, retry_id};
use super::error::{from_publish, unsupported};
use super::provider::Inner;
use super::wire;
use crate::clock;
use crate::cloud_events::time_text;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Outgoing, Route};
use crate::provider::{PublishReceipt, PublishSlot};

/// How long the client waits for more before it sends: what is handed over at once goes at once, in one request.
const GATHER: Duration = Duration::from_millis(1);
/// The most bytes of one request.
const REQUEST_BYTES_MAX: u32 = 9_000_000;

/// The client's publisher of one topic.
pub(super) fn publisher(base: &BasePublisher, topic: &str) -> Publisher {
    let count = u32::try_from(PUBLISH_BATCH_MAX).unwrap_or(u32::MAX);
    base.publisher(topic)
        .set_message_count_threshold(count)
        .set_byte_threshold(REQUEST_BYTES_MAX)
        .set_delay_threshold(GATHER)
        .build()
}

/// A message that was handed to the client.
struct Sent {
    at: usize,
    answer: PublishFuture,
    publisher: Publisher,
    ordering_key: String,
}

impl Inner {
    pub(super) async fn publish(&self, batch: &mut [PublishSlot]) {
        let mut sent: Vec<Sent> = Vec::with_capacity(batch.len());
        let mut last: Option<(String, Publisher)> = None;
        for (at, slot) in batch.iter_mut().enumerate() {
            match self.hand_over(at, &slot.message, &mut last) {
                Ok(handed) => sent.push(handed),
                Err(error) => slot.outcome = Some(Err(error)),
            }
        }
        let durability = self.settings.durability();
        let deadline = clock::now() + PUBLISH_TIMEOUT + Duration::from_secs(5);
        let mut failed: Vec<(Publisher, String)> = Vec::new();
        for sent in sent {
            let left = deadline.saturating_duration_since(clock::now());
            let outcome = match timeout(left, sent.answer).await {
                Ok(Ok(_id)) => Ok(PublishReceipt {
                    durability,
                    position: None,
                    duplicate: false,
                }),
                Ok(Err(error)) => Err(from_publish(&error)),
                Err(_) => {
                    let text = format!("no confirmation within {PUBLISH_TIMEOUT:?}");
                    Err(Error::new(ErrorKind::Timeout, text)
                        .with("provider", "pubsub")
                        .with_indeterminate())
                }
            };
            if outcome.is_err() && !sent.ordering_key.is_empty() {
                failed.push((sent.publisher, sent.ordering_key));
            }
            let slot = &mut batch[sent.at];
            slot.outcome = Some(outcome.map_err(|error| error.with("topic", &slot.message.topic)));
        }
        // Only now, when every later message of the key in this batch has been refused too.
        for (publisher, ordering_key) in failed {
            publisher.resume_publish(ordering_key);
        }
    }

    fn hand_over(
        &self,
        at: usize,
        message: &Outgoing,
        last: &mut Option<(String, Publisher)>,
    ) -> Result<Sent> {
        self.check()?;
        let limit = self.settings.capability().payload_bytes_max;
        let len = message.payload.len();
        if len > limit {
            let text = format!(
                "payload of {len} bytes; it may have {limit}, which leaves room for headers in Pub/Sub's {MESSAGE_BYTES_MAX}"
            );
            return Err(Error::new(ErrorKind::PayloadTooLarge, text).with("topic", &message.topic));
        }
        message.headers.check()?;
        let known = self.known(&message.topic);
        let mut extra = Vec::new();
        let (id, ordered) = match &message.route {
            Route::Topic => (self.settings.topic_id(&known.base).to_owned(), known.keyed),
            Route::Group(group) => {
                if known.ephemeral.contains(group) {
                    extra.push((wire::INSTANCE, self.instance.clone()));
                }
                (retry_id(&known.base, group), false)
            }
            Route::DeadLetters(group) => (dead_letters_id(&known.base, group), false),
        };
        if let Some(time) = message.not_before {
            let delay = time.duration_since(clock::wall()).unwrap_or_default();
            let max = self.settings.capability().group_delay_max.unwrap_or_default();
            if message.route == Route::Topic {
                return Err(unsupported("delay a publish", "publish when the time has come"));
            }
            if delay > max {
                return Err(unsupported(
                    &format!("delay a message by {delay:?}"),
                    &format!("the longest delay is {max:?}"),
                ));
            }
            extra.push((wire::NOT_BEFORE, time_text(time)));
        }
        let wire = wire::outgoing(message, ordered, &extra)?;
        let topic = self.settings.topic_path(&id);
        let publisher = match last {
            Some((known, publisher)) if *known == topic => publisher.clone(),
            _ => {
                let publisher = self.publisher(topic.clone());
                *last = Some((topic, publisher.clone()));
                publisher
            }
        };
        let ordering_key = wire.ordering_key.clone();
        Ok(Sent {
            at,
            answer: publisher.publish(wire),
            publisher,
            ordering_key,
        })
    }
}
