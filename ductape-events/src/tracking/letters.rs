//! Dead letters changed, put aside, and taken up again.

use bytes::Bytes;
use ductape_providers::MessageId;
use ductape_store::tracking::{DeadLetter, DeadLetterChange, DeadLetterFilter, DeadLetterState};
use serde_json::Value;

use super::brokers::Brokers;
use super::messages::own;
use super::redeliver::{Kept, LOOK_MAX, addressed};
use super::report::EditReport;
use super::reprocess::failed;
use crate::clock;
use crate::envelope::header;
use crate::error::{BrokerError, ErrorCode, PublishOutcome};
use crate::produce;

impl Brokers<'_> {
    /// Sends `payload` in place of a dead letter of this environment, to the group that failed at it and to no other, with an id of its own
    /// and marked with what it replaces; once the broker has confirmed it, the dead letter is superseded. Of several that edit or
    /// reprocess it at one time, one does. The new id follows from the dead letter and the payload: the same edit again, after one whose
    /// outcome is unknown, sends the same message.
    ///
    /// # Errors
    ///
    /// `EVENT_NOT_FOUND` when there is no such dead letter; `PAYLOAD_INVALID` when the payload does not fit the schema that the topic has
    /// now, or has `***` where a message of it is sensitive, `PAYLOAD_TOO_LARGE`; `REPLAY_REFUSED` when the dead letter does not wait for an operator: someone has it at the moment, it was
    /// sent back, put aside or superseded; `TOPIC_NOT_FOUND` when its topic is gone; `UNSUPPORTED` where the broker can't send to one
    /// group; `REPROCESS_DLQ_FAILED`, after which it waits again; `STORE_FAILED`.
    pub async fn edit_and_retry(
        &self,
        dead_letter_id: &str,
        payload: &Value,
    ) -> Result<EditReport, BrokerError> {
        let ctx = self.ductape().context();
        let (product, env) = (&self.messaging.product, ctx.environment());
        let tracking = self.messages().tracking().await?;
        let now = clock::wall();
        let found = tracking.dead_letter(product, env, dead_letter_id, now).await;
        let letter = found.map_err(failed)?.ok_or_else(|| missing(dead_letter_id))?;
        self.messaging.ready(&letter.event).await?;
        let route = ctx.wiring().route_by_name(&letter.event)?;
        let group = letter
            .consumer_tag
            .parse()
            .map_err(|error: ductape_schema::NameError| {
                BrokerError::new(ErrorCode::ReplayRefused, error.to_string())
            })?;
        let payload = Bytes::from(payload.to_string());
        if payload.len() > route.payload_bytes_max {
            let (len, max) = (payload.len(), route.payload_bytes_max);
            let text = format!("the new payload has {len} bytes; at most {max} are allowed");
            return Err(BrokerError::new(ErrorCode::PayloadTooLarge, text));
        }
        let recorder = ctx.wiring().recorder();
        if recorder.is_some_and(|recorder| recorder.is_hidden(&route.topic, &payload, ctx.wiring())) {
            let text = "the new payload has `***` where the topic's messages are sensitive; write what it stands for";
            return Err(BrokerError::new(ErrorCode::PayloadInvalid, text).with("event", &letter.event));
        }
        let keyed = route.descriptor.filter(|topic| topic.key.is_some());
        let new_id = MessageId::derived(
            &format!("edited/{product}/{env}/{dead_letter_id}"),
            &String::from_utf8_lossy(&payload),
        );
        let kept = Kept {
            message_id: letter.message_id.clone(),
            key: match keyed {
                Some(topic) => {
                    let key = (topic.key_of)(&payload);
                    key.map(|key| String::from_utf8_lossy(&key).into_owned())
                }
                None => letter.key.clone(),
            },
            payload: None,
            metadata: letter.metadata.clone(),
            redrive: 0,
        };
        let mut message = addressed(&route, &group, &kept, payload)?;
        message.id = new_id.clone();
        message
            .headers
            .insert(header::REPLAYED_FROM, letter.message_id.as_str());

        let token = MessageId::new().to_string();
        let ids = [letter.id.clone()];
        let until = self.claimed_until(now);
        let claimed = tracking.claim_dead_letters(&ids, &token, until, now).await;
        if claimed.map_err(failed)?.is_empty() {
            let found = tracking.dead_letter(product, env, dead_letter_id, now).await;
            return Err(taken(&found.map_err(failed)?.unwrap_or(letter)));
        }
        let change = match produce::sealed(message, &route, ctx).await {
            Ok(_) => DeadLetterChange::Superseded {
                token,
                by: new_id.to_string(),
            },
            Err(error) => {
                // What may be stored is nobody else's until its claim ends.
                if error.publish_outcome() != Some(PublishOutcome::Indeterminate) {
                    let released = DeadLetterChange::Released { token };
                    tracking
                        .change_dead_letters(&ids, &released)
                        .await
                        .map_err(failed)?;
                }
                return Err(error.coded(ErrorCode::ReprocessDlqFailed));
            }
        };
        tracking
            .change_dead_letters(&ids, &change)
            .await
            .map_err(failed)?;
        let letters = self
            .ductape()
            .dead_letters_of(&letter.event, &letter.consumer_tag)?;
        let original = MessageId::from_text(&letter.message_id);
        if let Err(error) = letters.discard(LOOK_MAX, &original).await {
            tracing::warn!(event = letter.event, group = letter.consumer_tag, id = %original, %error,
                "a dead letter was superseded, and the broker has it still");
        }
        Ok(EditReport {
            message_id: letter.message_id,
            new_event_id: new_id,
            consumer_tag: letter.consumer_tag,
        })
    }

    /// Puts aside all dead letters that the filter names and that wait for an operator: they count and are listed no more, until they are
    /// [restored](Self::restore_dead_letters). Answers how many. Its limit says how many are looked at in one step, and its page is to be
    /// 1; its states are not asked.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` for a page, a limit or dates that can't be, or more than 1,000 ids; `REPROCESS_DLQ_FAILED`, `STORE_FAILED`
    /// without a store.
    pub async fn archive_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64, BrokerError> {
        self.change(filter, DeadLetterState::Open, &DeadLetterChange::Archived)
            .await
    }

    /// Takes up again all dead letters that the filter names and that were put aside. Answers how many.
    ///
    /// # Errors
    ///
    /// Those of [`archive_dead_letters`](Self::archive_dead_letters).
    pub async fn restore_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64, BrokerError> {
        self.change(filter, DeadLetterState::Archived, &DeadLetterChange::Restored)
            .await
    }

    async fn change(
        &self,
        filter: &DeadLetterFilter,
        from: DeadLetterState,
        change: &DeadLetterChange,
    ) -> Result<u64, BrokerError> {
        let messages = self.messages();
        let mut filter = own!(messages, filter);
        filter.states = vec![from];
        let tracking = messages.tracking().await?;
        let (mut walked, mut count) = (None, 0);
        loop {
            let step = tracking.dead_letters_in_order(&filter, walked, clock::wall());
            let step = step.await.map_err(failed)?;
            if step.found.is_empty() {
                return Ok(count);
            }
            walked = Some(step.walked);
            let ids: Vec<String> = step.found.into_iter().map(|letter| letter.id).collect();
            let changed = tracking.change_dead_letters(&ids, change).await;
            count += changed.map_err(failed)?.len() as u64;
        }
    }
}

fn missing(id: &str) -> BrokerError {
    let text = format!("there is no dead letter {id:?} in this environment");
    BrokerError::new(ErrorCode::EventNotFound, text)
}

fn taken(letter: &DeadLetter) -> BrokerError {
    let what = match (letter.state, &letter.superseded_by) {
        (DeadLetterState::Reprocessing, _) => {
            "someone sends it again at the moment; try again later".to_owned()
        }
        (DeadLetterState::Redriven, _) => "it was sent back to its group".to_owned(),
        (DeadLetterState::Archived, _) => "it was put aside; restore it first".to_owned(),
        (DeadLetterState::Superseded, Some(by)) => format!("message {by:?} took its place"),
        (state, _) => format!("it is {state}"),
    };
    let id = &letter.id;
    BrokerError::new(
        ErrorCode::ReplayRefused,
        format!("dead letter {id:?} can't be edited: {what}"),
    )
}
