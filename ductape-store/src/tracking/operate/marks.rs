//! Messages tried again, and given up.

use std::time::SystemTime;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::time::micros;
use crate::tracking::Tracking;
use crate::tracking::answer::Message;
use crate::tracking::code::{delivery, is_finished, mark};
use crate::tracking::fold::Delivery;
use crate::tracking::query::{Loaded, by_id, invalid, load, show_messages, tags};
use crate::tracking::write::claim;
use crate::tracking::{operate, text};

fn missing(what: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Missing, what)
}

impl Tracking {
    /// Marks a message as to be tried again by a consumer that has failed at it for good, and answers it. Whoever has this answer is to
    /// give the message to the consumer anew, with the delivery's `redrive_count`: of two that ask at once, one has it. Its dead
    /// letter, if it has one that waits for an operator, counts as given anew.
    ///
    /// # Errors
    ///
    /// [`Missing`](StoreErrorKind::Missing) when there is no such message, or the consumer never had it;
    /// [`Invalid`](StoreErrorKind::Invalid) when the consumer has not failed at it for good.
    pub async fn retry(
        &self,
        product: &str,
        env: &str,
        message_id: &str,
        consumer_tag: &str,
        now: SystemTime,
    ) -> Result<Message> {
        let consumer = text::name(consumer_tag).into_owned();
        self.mark(product, env, message_id, now, async |connection, loaded| {
            let ids = loaded.message.deliveries.iter().map(|one| one.consumer);
            let tags = tags(connection, ids).await?;
            let at = loaded
                .message
                .deliveries
                .iter()
                .position(|one| tags.get(&one.consumer) == Some(&consumer))
                .ok_or_else(|| missing(format!("{consumer:?} never had message {message_id:?}")))?;
            let one = &loaded.message.deliveries[at];
            if !matches!(one.status, delivery::FAILED | delivery::DEAD) {
                return Err(invalid(format!(
                    "{consumer:?} has not failed at message {message_id:?} for good, so it can't be retried"
                )));
            }
            operate::dead_letters::given_anew(connection, loaded.seq, one.consumer).await?;
            operate::change(self.store.dialect(), connection, loaded, micros(now), |message| {
                let one = &mut message.deliveries[at];
                *one = Delivery {
                    consumer: one.consumer,
                    status: delivery::RETRYING,
                    redrive: one.redrive + 1,
                    attempt: 0,
                    next_at: Some(micros(now)),
                    error: one.error.take(),
                    duplicates: one.duplicates,
                    ..Delivery::default()
                };
            })
            .await
        })
        .await
    }

    /// Marks all deliveries of a message that have not finished as failed with `error`, and answers the message. What is recorded of
    /// later attempts holds again.
    ///
    /// # Errors
    ///
    /// [`Missing`](StoreErrorKind::Missing) when there is no such message; [`Invalid`](StoreErrorKind::Invalid) when nothing of it is
    /// pending.
    pub async fn fail(
        &self,
        product: &str,
        env: &str,
        message_id: &str,
        error: &str,
        now: SystemTime,
    ) -> Result<Message> {
        let error = text::error(error);
        self.mark(product, env, message_id, now, async |connection, loaded| {
            let expected = &loaded.expected.1;
            let waiting: Vec<i64> = loaded.message.waiting(expected).collect();
            let is_open = |one: &Delivery| !is_finished(one.status);
            if waiting.is_empty() && !loaded.message.deliveries.iter().any(is_open) {
                return Err(invalid(format!(
                    "no delivery of message {message_id:?} is pending"
                )));
            }
            operate::change(self.store.dialect(), connection, loaded, micros(now), |message| {
                message
                    .deliveries
                    .extend(waiting.into_iter().map(|consumer| Delivery {
                        consumer,
                        ..Delivery::default()
                    }));
                for one in message
                    .deliveries
                    .iter_mut()
                    .filter(|one| !is_finished(one.status))
                {
                    one.status = delivery::FAILED;
                    one.error = Some(error.clone());
                    one.next_at = None;
                    one.started_at = micros(now);
                    one.elapsed = 0;
                }
                message.marks |= mark::bit(mark::ERROR);
            })
            .await
        })
        .await
    }

    async fn mark(
        &self,
        product: &str,
        env: &str,
        message_id: &str,
        _now: SystemTime,
        mark: impl AsyncFnOnce(&mut sqlx::AnyConnection, &Loaded) -> Result<()>,
    ) -> Result<Message> {
        let mut transaction = self.store.begin().await?;
        claim(&mut transaction, 0).await?;
        let none = || {
            missing(format!(
                "there is no message {message_id:?} of {product:?} in {env:?}"
            ))
        };
        let seq = by_id(&mut transaction, product, Some(env), message_id).await?;
        let seq = seq.ok_or_else(none)?;
        let loaded = load(&self.store, &mut transaction, &[seq]).await?;
        mark(&mut transaction, loaded.first().ok_or_else(none)?).await?;
        let shown = show_messages(&self.store, &mut transaction, &[seq]).await?;
        transaction.commit().await?;
        shown.into_iter().next().ok_or_else(none)
    }
}
