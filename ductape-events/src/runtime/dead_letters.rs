//! A program's doors to its dead letters.

use std::sync::Arc;

use ductape_providers::GroupSpec;

use super::ductape::Ductape;
use crate::delivery::redrive::DeadLetters;
use crate::delivery::{DeadLetter, ReprocessReport};
use crate::error::{BrokerError, ErrorCode};

impl Ductape {
    /// Looks at up to `limit` dead letters of a group, of the newest version of the topic, in order; at most 10,000. They
    /// stay where they are.
    ///
    /// # Errors
    ///
    /// `EVENT_NAME_INVALID`, `TOPIC_NOT_FOUND`, `UNSUPPORTED` where the broker keeps no dead letters, else
    /// `REPROCESS_DLQ_FAILED`: the group is not there, or they can't be read.
    pub async fn dead_letters(
        &self,
        event: &str,
        group: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, BrokerError> {
        self.dead_letters_of(event, group)?.look(limit).await
    }

    /// Sends up to `limit` dead letters of a group back to it, and to no other group: the same message again, its attempts
    /// counted anew. Each stays a dead letter until its copy is confirmed, so none is lost when this fails half-way; one
    /// whose copy was confirmed just then is handled twice. One that was sent back ten times already stays.
    ///
    /// # Errors
    ///
    /// `EVENT_NAME_INVALID`, `TOPIC_NOT_FOUND`, `UNSUPPORTED` where the broker can't send to one group, else
    /// `REPROCESS_DLQ_FAILED`, saying how many were sent back before.
    pub async fn reprocess_dead_letters(
        &self,
        event: &str,
        group: &str,
        limit: usize,
    ) -> Result<ReprocessReport, BrokerError> {
        self.context().wiring().check_open()?;
        self.dead_letters_of(event, group)?.reprocess(limit).await
    }

    pub(crate) fn dead_letters_of(&self, event: &str, group: &str) -> Result<DeadLetters, BrokerError> {
        let wiring = self.context().wiring();
        let route = wiring.route_by_name(event)?;
        let name = group.parse().map_err(|error: ductape_schema::NameError| {
            BrokerError::new(ErrorCode::ReprocessDlqFailed, error.to_string()).with("event", event)
        })?;
        let known = self
            .consumers()
            .iter()
            .find(|run| run.topic == route.topic && run.group.name == name)
            .map(|run| run.group.clone());
        Ok(DeadLetters {
            provider: Arc::clone(&route.provider),
            topic: route.topic.clone(),
            group: known.unwrap_or_else(|| GroupSpec::new(name)),
            publish_timeout: wiring.publish_timeout,
        })
    }
}
