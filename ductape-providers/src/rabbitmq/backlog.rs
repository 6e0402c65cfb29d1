//! What a group still has before it, as far as AMQP tells.

use std::sync::Arc;

use ductape_schema::GroupName;

use super::names::{group_missing, topic_missing};
use super::provider::Server;
use super::queue::ready;
use crate::error::Result;
use crate::message::TopicName;
use crate::provider::Backlog;

/// Counts. What is ready and what is dead the server tells; what is in hand, and what waits in queues, is what this program
/// has in hand, and has sent to wait.
pub(super) async fn backlog(server: &Arc<Server>, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
    let known = server.topic(topic)?;
    let queues = server.queues(&known, group, None)?;
    // A passive declare of another's exclusive queue is refused, so that the connection that reads asks.
    let open = server.consuming.get().await?;
    let Some(count) = ready(&open, &queues.queue).await? else {
        let missing = if known.declared {
            group_missing(topic, group)
        } else {
            topic_missing(topic)
        };
        return Err(missing.with("queue", &queues.queue));
    };
    let mut backlog = Backlog {
        ready: count,
        in_flight: u64::try_from(server.in_hand(&queues.queue)).unwrap_or(u64::MAX),
        dead_letters: ready(&open, &queues.dead).await?.unwrap_or_default(),
        delayed: 0,
    };
    let holds = [queues.queue.as_str(), known.physical.as_str()];
    for hold in holds.into_iter().flat_map(|prefix| server.holds.of(prefix)) {
        backlog.delayed += ready(&open, &hold).await?.unwrap_or_default();
    }
    Ok(backlog)
}
