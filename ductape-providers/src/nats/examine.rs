//! What is unsafe or wrong with how the server, its streams and its consumers are set up. Nothing is changed.
//!
//! What can't be seen from a client: how often the server syncs to its disk (`sync_interval`, every two minutes unless it
//! is set to `always`), and how much room its disk has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use async_nats::jetstream::consumer;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use serde_json::{Value, json};

use super::declare::{group_config, pinned_for};
use super::error;
use super::names::Names;
use super::provider::Nats;
use crate::error::{Error, ErrorKind, Result};
use crate::examine::Finding;
use crate::spec::{GroupSpec, TopicSpec};

/// Below this an acked message may be forgotten before a producer's retry is recognised.
const DUPLICATE_WINDOW_MIN: Duration = Duration::from_secs(30);
/// A group that may have fewer unsettled messages over all its members waits for itself.
const ACK_PENDING_MIN: i64 = 256;

pub(super) async fn examine(nats: &Nats, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
    if nats.is_closed() {
        return Err(error::closed());
    }
    if let Some(finding) = no_jetstream(nats).await? {
        return Ok(vec![finding]);
    }
    let mut findings = Vec::new();
    // Topics of one broker share a stream, which is looked at once, with the groups of all of them.
    let mut streams: BTreeMap<String, (stream::Config, usize)> = BTreeMap::new();
    for topic in topics {
        let names = Names::new(&topic.topic, topic.physical.as_deref())?;
        let Some((stream, config)) = find(nats, &names.subject, &mut findings).await? else {
            continue;
        };
        for group in &topic.groups {
            let name = names.consumer(&group.name);
            let found = allowed(nats.consumer_info(&stream, &name).await, &mut findings)?;
            if let Some(Some(info)) = found {
                look_at_group(nats, &names, group, topic.keyed, &info.config, &mut findings);
            }
        }
        let groups = topic.groups.len();
        streams.entry(stream).or_insert((config, 0)).1 += groups;
    }
    for (name, (config, groups)) in &streams {
        look_at_stream(nats, name, config, *groups, &mut findings);
    }
    findings.sort_by(|a, b| (a.name, &a.message).cmp(&(b.name, &b.message)));
    findings.dedup();
    Ok(findings)
}

/// Whether there is JetStream to look at.
async fn no_jetstream(nats: &Nats) -> Result<Option<Finding>> {
    let account: Result<Value> = nats.api("INFO", &json!({})).await;
    match account {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Unauthorized => Ok(Some(no_permission(&error))),
        Err(error) if no_jetstream_says(&error) => Ok(Some(Finding::refusal(
            "nats-no-jetstream",
            format!(
                "the server has no JetStream for this account, and so keeps no message ({error}); start it with `-js`, or \
                 enable JetStream in its configuration"
            ),
        ))),
        Err(error) => Err(error),
    }
}

fn no_jetstream_says(error: &Error) -> bool {
    error.kind() == ErrorKind::Unsupported || error.message().contains("nobody answers for JetStream")
}

fn no_permission(error: &Error) -> Finding {
    Finding::refusal(
        "nats-no-permission",
        format!("{error}; without it what exists can't be looked at, nor what is missing be created"),
    )
}

/// What may be asked; a missing permission is a finding.
fn allowed<T>(answer: Result<T>, findings: &mut Vec<Finding>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == ErrorKind::Unauthorized => {
            findings.push(no_permission(&error));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn find(
    nats: &Nats,
    subject: &str,
    findings: &mut Vec<Finding>,
) -> Result<Option<(String, stream::Config)>> {
    let stream = allowed(nats.stream_of(subject).await, findings)?.flatten();
    let Some(stream) = stream else { return Ok(None) };
    let info = allowed(nats.stream_info(&stream).await, findings)?.flatten();
    Ok(info.map(|info| (stream, info.config)))
}

fn look_at_stream(
    nats: &Nats,
    name: &str,
    config: &stream::Config,
    groups: usize,
    findings: &mut Vec<Finding>,
) {
    if config.storage == StorageType::Memory {
        findings.push(Finding::refusal(
            "nats-memory-storage",
            format!(
                "stream `{name}` is kept in memory, and is empty after the server stops; make it anew with \
                 `storage = file`"
            ),
        ));
    }
    if config.retention == RetentionPolicy::WorkQueue && groups > 1 {
        findings.push(Finding::refusal(
            "nats-workqueue-with-groups",
            format!(
                "stream `{name}` is a work queue, which gives each message to one group, and {groups} groups read it; make \
                 it anew with `retention = limits`"
            ),
        ));
    }
    if config.discard == DiscardPolicy::Old {
        let mut limits = String::new();
        for (limit, value) in [
            ("max_bytes", config.max_bytes),
            ("max_msgs", config.max_messages),
            ("max_msgs_per_subject", config.max_messages_per_subject),
        ] {
            if value > 0 {
                // Writing to a string can't fail.
                let _ = write!(limits, " {limit} = {value}");
            }
        }
        if !limits.is_empty() {
            findings.push(Finding::refusal(
                "nats-discard-old",
                format!(
                    "at its limit ({}) stream `{name}` drops its oldest messages, be they read or not; set \
                     `discard = new`, or lift the limit",
                    limits.trim_start()
                ),
            ));
        }
    }
    if config.max_age > Duration::ZERO {
        findings.push(Finding::warning(
            "nats-max-age",
            format!(
                "stream `{name}` drops messages after {:?}, be they read or not: a group that is away longer loses them",
                config.max_age
            ),
        ));
    }
    if config.num_replicas == 1 {
        findings.push(Finding::warning(
            "nats-replicas-one",
            format!(
                "stream `{name}` is on one server: what is confirmed is lost with its disk, and nothing flows while it is \
                 away; a cluster keeps it on several (`num_replicas = 3`)"
            ),
        ));
    }
    if config.no_ack {
        findings.push(Finding::refusal(
            "nats-no-ack",
            format!("stream `{name}` confirms nothing, so that no publish succeeds; set `no_ack = false`"),
        ));
    }
    if config.duplicate_window < DUPLICATE_WINDOW_MIN {
        findings.push(Finding::warning(
            "nats-duplicate-window",
            format!(
                "stream `{name}` knows an id again for {:?} only: a publish that is tried again later is stored twice; set \
                 `duplicate_window` to two minutes",
                config.duplicate_window
            ),
        ));
    }
    if nats.has_schedules() && !config.allow_message_schedules {
        findings.push(Finding::warning(
            "nats-no-schedules",
            format!(
                "stream `{name}` takes no message that waits for its time: delayed publishes and long retries are refused; \
                 set `allow_msg_schedules = true`"
            ),
        ));
    }
}

fn look_at_group(
    nats: &Nats,
    names: &Names,
    group: &GroupSpec,
    keyed: bool,
    found: &consumer::Config,
    findings: &mut Vec<Finding>,
) {
    let wanted = group_config(nats, names, group, keyed);
    let name = wanted.name.as_deref().unwrap_or_default();
    if found.max_deliver > 0 {
        findings.push(Finding::refusal(
            "nats-max-deliver",
            format!(
                "consumer `{name}` gives a message out {} times and then never again, nor to the dead letters: it is left in \
                 the stream, unread; set `max_deliver = -1`, since attempts are counted here",
                found.max_deliver
            ),
        ));
    }
    if found.ack_wait < group.lease {
        findings.push(Finding::warning(
            "nats-ack-wait",
            format!(
                "consumer `{name}` gives a message to another member after {:?} (`ack_wait`), and the group's lease is \
                 {:?}: handlers that take longer run twice",
                found.ack_wait, group.lease
            ),
        ));
    }
    if !found.backoff.is_empty() {
        findings.push(Finding::warning(
            "nats-backoff",
            format!(
                "consumer `{name}` has a `backoff`, which takes the place of the lease: {:?} after the first delivery \
                 another member gets the message",
                found.backoff.first().copied().unwrap_or_default()
            ),
        ));
    }
    if found.max_ack_pending > 0 && found.max_ack_pending < ACK_PENDING_MIN {
        findings.push(Finding::warning(
            "nats-max-ack-pending",
            format!(
                "consumer `{name}` has at most {} messages unsettled, over all members and with those that wait to be tried \
                 again (`max_ack_pending`): a few failures hold all others back",
                found.max_ack_pending
            ),
        ));
    }
    if found.priority_groups.is_empty() != wanted.priority_groups.is_empty() {
        findings.push(Finding::refusal(
            "nats-order",
            format!(
                "consumer `{name}` has {}, and the group {} keep the order of keys; delete it, so that it is made anew",
                if found.priority_groups.is_empty() {
                    "members that compete"
                } else {
                    "one member at a time"
                },
                if wanted.priority_groups.is_empty() { "need not" } else { "must" },
            ),
        ));
    } else if !found.priority_groups.is_empty() && found.priority_timeout < pinned_for(group.lease) {
        findings.push(Finding::warning(
            "nats-order-timeout",
            format!(
                "consumer `{name}` lets another member take over after {:?} (`priority_timeout`), before what a dead member \
                 had in hand comes back: keys may come out of order; set it to {:?}",
                found.priority_timeout,
                pinned_for(group.lease)
            ),
        ));
    }
}
