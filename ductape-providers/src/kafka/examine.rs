//! What is unsafe or wrong with how a cluster and its topics are set up.

use std::sync::Arc;
use std::time::Duration;

use super::admin::{Admin, Settings};
use super::ask::{self, PartitionFacts};
use super::config;
use super::declare::is_compacted;
use super::provider::Inner;
use crate::config::KafkaConfig;
use crate::error::{ErrorKind, Result};
use crate::examine::Finding;
use crate::spec::TopicSpec;

/// A consumer that is away for longer loses messages of a topic that keeps them no longer.
const RETENTION_MIN: Duration = Duration::from_hours(24);

/// What a topic on the cluster is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Messages,
    Retries { of_partitions: usize },
    DeadLetters,
}

/// A topic that exists.
#[derive(Debug)]
struct Facts {
    name: String,
    of: Use,
    partitions: Vec<PartitionFacts>,
}

impl Inner {
    pub(super) async fn examine(self: &Arc<Self>, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        let mut wanted: Vec<(String, Option<String>, Use)> = Vec::new();
        for spec in topics {
            self.topology.note(spec);
            let topic = self.topology.topic(&self.config, &spec.topic);
            wanted.push((topic.main.clone(), None, Use::Messages));
            for group in spec.groups.iter().filter(|group| !group.ephemeral) {
                let group = self.topology.group(&self.config, &topic, group)?;
                let of = Some(topic.main.clone());
                wanted.push((group.retry, of.clone(), Use::Retries { of_partitions: 0 }));
                wanted.push((group.dead, of, Use::DeadLetters));
            }
        }
        wanted.dedup_by(|one, other| one.0 == other.0);
        let facts = self.ask(move |asking| {
            let mut facts: Vec<Facts> = Vec::new();
            for (name, topic, mut of) in wanted {
                let Some(partitions) = ask::partitions(asking, &name)? else {
                    continue;
                };
                if let Use::Retries { of_partitions } = &mut of {
                    let topic = facts.iter().find(|facts| Some(&facts.name) == topic.as_ref());
                    *of_partitions = topic.map_or(0, |topic| topic.partitions.len());
                }
                facts.push(Facts { name, of, partitions });
            }
            Ok((facts, ask::broker(asking)?))
        });
        let (facts, broker) = facts.await?;
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        let admin = Admin::new(&self.config)?;
        let names: Vec<&str> = facts.iter().map(|facts| &*facts.name).collect();
        let mut findings = Vec::new();
        let settings = match admin.topics(&names).await {
            Ok(settings) => settings,
            Err(error) if error.kind() == ErrorKind::Unauthorized => {
                let text = "the user may not read the settings of topics (`DescribeConfigs`), so that what is wrong with \
                            them is not found; allow it, or allow this finding";
                findings.push(Finding::warning("kafka-settings-hidden", text));
                vec![Settings::new(); facts.len()]
            }
            Err(error) => return Err(error),
        };
        // Brokers tell less than topics do, to fewer.
        let broker = match broker {
            Some(id) => admin.broker(id).await.unwrap_or_default(),
            None => Settings::new(),
        };
        for (facts, settings) in facts.iter().zip(&settings) {
            examine_topic(&self.config, facts, settings, &broker, &mut findings);
        }
        Ok(findings)
    }
}

fn number(settings: &Settings, name: &str) -> Option<i64> {
    settings.get(name)?.parse().ok()
}

fn examine_topic(
    config: &KafkaConfig,
    facts: &Facts,
    settings: &Settings,
    broker: &Settings,
    findings: &mut Vec<Finding>,
) {
    let name = &facts.name;
    let copies = facts
        .partitions
        .iter()
        .map(|partition| partition.copies)
        .min()
        .unwrap_or(0);
    let in_sync = number(settings, "min.insync.replicas").unwrap_or(1);
    if copies == 1 {
        findings.push(Finding::warning(
            "kafka-replication-one",
            format!(
                "topic `{name}` has one copy: a broker whose disk fails takes its messages along; give it three \
                 (`kafka-reassign-partitions`), and new topics by `replication`"
            ),
        ));
    }
    if usize::try_from(in_sync).is_ok_and(|in_sync| in_sync > copies) {
        findings.push(Finding::refusal(
            "kafka-min-insync",
            format!(
                "topic `{name}` has {copies} copies and `min.insync.replicas` of {in_sync}: no publish can be confirmed; \
                 lower it, or add copies"
            ),
        ));
    } else if copies > 1 && in_sync < 2 {
        findings.push(Finding::warning(
            "kafka-min-insync",
            format!(
                "topic `{name}` has `min.insync.replicas` of 1: while its other copies are away, a message is confirmed \
                 that one broker alone has in memory; set it to 2"
            ),
        ));
    }
    if is_compacted(settings) {
        findings.push(Finding::refusal(
            "kafka-cleanup-compact",
            format!(
                "topic `{name}` is compacted (`cleanup.policy`): of the messages of a key only the last is kept, so that a \
                 slow consumer misses the others; set it to `delete`"
            ),
        ));
    }
    let wanted = config::message_bytes_max(config);
    if let Some(taken) = number(settings, "max.message.bytes")
        && usize::try_from(taken).is_ok_and(|taken| taken < wanted)
    {
        findings.push(Finding::refusal(
            "kafka-message-too-small",
            format!(
                "topic `{name}` takes messages of {taken} bytes (`max.message.bytes`), and one at the limit needs {wanted} \
                 with its headers: it could not be published, or not become a retry or a dead letter; raise it, or lower \
                 `payloadBytesMax`"
            ),
        ));
    }
    examine_retention(facts, settings, broker, findings);
    if let Use::Retries { of_partitions } = facts.of
        && facts.partitions.len() < of_partitions
    {
        findings.push(Finding::warning(
            "kafka-retry-topic-partitions",
            format!(
                "topic `{name}` has {} partitions, and the topic whose retries it has {of_partitions}: fewer members of \
                 the group can work on retries than on messages; add partitions",
                facts.partitions.len()
            ),
        ));
    }
}

fn examine_retention(facts: &Facts, settings: &Settings, broker: &Settings, findings: &mut Vec<Finding>) {
    let name = &facts.name;
    let millis = number(settings, "retention.ms").filter(|millis| *millis >= 0);
    let kept = millis
        .and_then(|millis| u64::try_from(millis).ok())
        .map(Duration::from_millis);
    let deletes = settings
        .get("cleanup.policy")
        .is_none_or(|policy| policy.contains("delete"));
    let Some(kept) = kept.filter(|_| deletes) else {
        examine_offsets(facts, None, broker, findings);
        return;
    };
    match facts.of {
        Use::DeadLetters => findings.push(Finding::warning(
            "kafka-dead-letters-expire",
            format!(
                "topic `{name}` keeps dead letters for {kept:?} (`retention.ms`) and then deletes them, looked at or not; \
                 set it to -1"
            ),
        )),
        Use::Retries { .. } if kept < 2 * config::GROUP_DELAY_MAX => findings.push(Finding::refusal(
            "kafka-retention-short",
            format!(
                "topic `{name}` keeps retries for {kept:?} (`retention.ms`), and they may wait for {:?}: they can be \
                 deleted before they are due; set it to {} or more",
                config::GROUP_DELAY_MAX,
                config::RETRY_RETENTION.as_millis()
            ),
        )),
        Use::Messages if kept < RETENTION_MIN => findings.push(Finding::warning(
            "kafka-retention-short",
            format!(
                "topic `{name}` keeps messages for {kept:?} (`retention.ms`): a consumer that is away for longer loses \
                 what it has not read; keep them for as long as an outage can last"
            ),
        )),
        _ => {}
    }
    examine_offsets(facts, Some(kept), broker, findings);
}

/// A group that is away until its place is forgotten begins at the end.
fn examine_offsets(facts: &Facts, kept: Option<Duration>, broker: &Settings, findings: &mut Vec<Finding>) {
    let minutes = number(broker, "offsets.retention.minutes").and_then(|minutes| u64::try_from(minutes).ok());
    let Some(minutes) = minutes.filter(|_| facts.of == Use::Messages) else {
        return;
    };
    let places = Duration::from_mins(minutes);
    if kept.is_none_or(|kept| kept > places) {
        let kept = kept.map_or_else(|| "for ever".to_owned(), |kept| format!("for {kept:?}"));
        findings.push(Finding::warning(
            "kafka-offsets-retention",
            format!(
                "topic `{}` keeps messages {kept}, and the cluster forgets where a group without members stands after \
                 {places:?} (`offsets.retention.minutes`): a consumer that comes back later begins anew; raise it",
                facts.name
            ),
        ));
    }
}
