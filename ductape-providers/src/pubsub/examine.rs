//! What is unsafe with how topics and subscriptions are set up.

use std::time::Duration;

use google_cloud_pubsub::model::Subscription;

use super::config::dead_letters_id;
use super::declare::{DELETED_TOPIC, Wanted, pushes};
use super::error::{from_client, is_denied, is_not_found};
use super::provider::Inner;
use crate::config::Declare;
use crate::error::{ErrorKind, Result};
use crate::examine::Finding;
use crate::spec::{GroupSpec, TopicSpec};

/// A subscription that expires sooner when nobody reads it is a danger to what waits in it.
const EXPIRES_MIN: Duration = Duration::from_hours(7 * 24);
/// What waits longer than this in a subscription that retains less is lost.
const RETENTION_MIN: Duration = Duration::from_hours(24);

impl Inner {
    pub(super) async fn examine(&self, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for spec in topics {
            let mut known = self.known(&spec.topic);
            known.keyed = spec.keyed;
            if let Some(physical) = &spec.physical {
                known.base.clone_from(physical);
            }
            for group in &spec.groups {
                if group.ephemeral {
                    continue;
                }
                let wanted = self.wanted(&spec.topic, &known, group);
                for wanted in &wanted {
                    match self.subscription(&wanted.id).await {
                        Ok(None) => {}
                        Ok(Some(there)) => {
                            findings.extend(look(&there, wanted, group));
                            findings.extend(self.native_dead_letters(&there).await?);
                        }
                        Err(error) if error.kind() == ErrorKind::Unauthorized => {
                            let text = format!(
                                "subscription `{}` can't be looked at ({}), so its set-up is unknown; give the account the \
                                 role `roles/pubsub.viewer`",
                                wanted.id,
                                error.message()
                            );
                            findings.push(Finding::warning("pubsub-not-permitted", text));
                        }
                        Err(error) => return Err(error),
                    }
                }
                // Where the program makes what is missing, it makes this too.
                if self.settings.declare != Declare::Create {
                    let id = dead_letters_id(&known.base, &group.name);
                    findings.extend(self.unread(&self.settings.topic_path(&id)).await?);
                }
            }
        }
        findings.dedup();
        Ok(findings)
    }

    async fn native_dead_letters(&self, there: &Subscription) -> Result<Vec<Finding>> {
        let Some(policy) = &there.dead_letter_policy else {
            return Ok(Vec::new());
        };
        let mut findings = vec![Finding::warning(
            "pubsub-dead-letter-policy",
            format!(
                "subscription `{}` moves a message to `{}` after about {} deliveries, whatever the consumer's retry policy \
                 says; clear its dead-letter policy, or let it allow more",
                there.name, policy.dead_letter_topic, policy.max_delivery_attempts
            ),
        )];
        findings.extend(self.unread(&policy.dead_letter_topic).await?);
        Ok(findings)
    }

    /// Whether a topic of dead letters is there and has no subscription.
    async fn unread(&self, topic: &str) -> Result<Option<Finding>> {
        let list = self.clients.topics.list_topic_subscriptions().set_topic(topic);
        let readers = match list.send().await {
            Ok(answer) => answer.subscriptions,
            Err(error) if is_not_found(&error) || is_denied(&error) => return Ok(None),
            Err(error) => return Err(from_client(&error, "examine")),
        };
        Ok(readers.is_empty().then(|| {
            Finding::refusal(
                "pubsub-dead-letter-without-subscription",
                format!(
                    "the topic of dead letters `{topic}` has no subscription, so what is sent to it is lost; create one, \
                     best of the same name"
                ),
            )
        }))
    }
}

fn as_duration<T>(there: Option<T>) -> Option<Duration>
where
    Duration: TryFrom<T>,
{
    there.and_then(|there| Duration::try_from(there).ok())
}

fn look(there: &Subscription, wanted: &Wanted, group: &GroupSpec) -> Vec<Finding> {
    let name = &there.name;
    let mut findings = Vec::new();
    if there.topic == DELETED_TOPIC {
        findings.push(Finding::refusal(
            "pubsub-topic-deleted",
            format!(
                "the topic of subscription `{name}` was deleted, so nothing comes any more; delete the subscription and \
                 declare it again"
            ),
        ));
    }
    if there.detached {
        findings.push(Finding::refusal(
            "pubsub-detached",
            format!("subscription `{name}` is detached from its topic and keeps nothing; delete it and declare it again"),
        ));
    }
    if let Some(instead) = pushes(there) {
        findings.push(Finding::refusal(
            "pubsub-push-subscription",
            format!(
                "subscription `{name}` {instead}, so group `{}` gets nothing; use another name",
                group.name
            ),
        ));
    }
    if wanted.ordered && !there.enable_message_ordering {
        findings.push(Finding::refusal(
            "pubsub-no-ordering",
            format!(
                "subscription `{name}` does not order messages, so those of one key can come in any order; create it anew \
                 with message ordering (it can't be switched on later)"
            ),
        ));
    }
    if !there.filter.is_empty() && wanted.filter.as_ref() != Some(&there.filter) {
        findings.push(Finding::refusal(
            "pubsub-filter",
            format!(
                "subscription `{name}` has the filter `{}`, so messages that it leaves out never reach group `{}`; create \
                 it anew without",
                there.filter, group.name
            ),
        ));
    }
    let ttl = there
        .expiration_policy
        .as_ref()
        .and_then(|policy| as_duration(policy.ttl));
    if let Some(ttl) = ttl {
        let text = format!(
            "subscription `{name}` is deleted, with what waits in it, when nobody reads it for {ttl:?}; set its expiration \
             to never"
        );
        findings.push(if ttl < EXPIRES_MIN {
            Finding::refusal("pubsub-subscription-expires", text)
        } else {
            Finding::warning("pubsub-subscription-expires", text)
        });
    }
    if let Some(retention) =
        as_duration(there.message_retention_duration).filter(|kept| *kept < RETENTION_MIN)
    {
        findings.push(Finding::warning(
            "pubsub-retention-short",
            format!(
                "subscription `{name}` keeps messages for {retention:?}, so those of a longer outage are lost; let it keep \
                 them for 7 days"
            ),
        ));
    }
    let deadline = Duration::from_secs(u64::try_from(there.ack_deadline_seconds).unwrap_or_default());
    if deadline < group.lease.min(Duration::from_mins(10)) {
        findings.push(Finding::warning(
            "pubsub-ack-deadline-short",
            format!(
                "subscription `{name}` waits {deadline:?} for an ack, less than the lease of {:?}; other clients of it get \
                 messages twice: raise its ack deadline",
                group.lease
            ),
        ));
    }
    findings
}
