//! What a topic and its groups need on the server: it is created where it is missing, and compared where it is there.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, PriorityPolicy, ReplayPolicy};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use serde_json::json;

use super::error;
use super::names::Names;
use super::provider::Nats;
use super::publish::mark;
use super::topic::{Topic, missing, untaken};
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;
use crate::spec::{GroupSpec, Ordering, Start, TopicSpec};

/// Within this the server knows an id again (`Nats-Msg-Id`): its own default.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);
/// The most groups of the topics of a stream together: 2.15 has a limit of 1,000 where none is set.
const CONSUMERS_MAX: i32 = 100_000;
/// The priority group of the members of a group that keeps order.
pub(super) const MEMBERS: &str = "members";
/// The most unsettled messages of a group, over all its members, those that wait to be tried again among them.
pub(super) const ACK_PENDING_MAX: i64 = 100_000;
/// The most pull requests of a group's members together; each has at most three.
const WAITING_MAX: i64 = 2_048;
/// How long an ephemeral group outlives its last pull, so that it outlives a lost connection.
const EPHEMERAL_FOR: Duration = Duration::from_mins(5);

pub(super) async fn declare(nats: &Nats, spec: &TopicSpec) -> Result<()> {
    if nats.is_closed() {
        return Err(error::closed());
    }
    if let Some(group) = spec.groups.iter().find(|group| group.once) {
        let text = "NATS does not keep the ids that a group has handled; leave `once` to the store";
        return Err(Error::new(ErrorKind::Unsupported, text).with("group", &group.name));
    }
    let names = Names::new(&spec.topic, spec.physical.as_deref())?;
    if nats.declares() == Declare::Off {
        nats.learn(Topic {
            name: spec.topic.clone(),
            subject: names.subject.clone().into(),
            stream: names.stream.clone(),
            durability: crate::provider::Durability::Buffered,
            names,
        });
        return Ok(());
    }
    let in_topic = |error: Error| error.with("topic", &spec.topic);
    let config = the_stream(nats, &spec.topic, &names, false)
        .await
        .map_err(in_topic)?;
    if let Some(subject) = untaken(&config, &names.needed()) {
        return Err(mismatch(
            format!(
                "stream `{}` takes {:?}, and not `{subject}`, to which messages for one group alone are sent; add `{}.>` to \
                 its subjects",
                config.name, config.subjects, names.subject
            ),
            &spec.topic,
        ));
    }
    let dead = the_stream(nats, &spec.topic, &names, true)
        .await
        .map_err(in_topic)?;
    if nats.declares() == Declare::Create {
        leave_mark(nats, &spec.topic, &names).await.map_err(in_topic)?;
    }
    for group in &spec.groups {
        let in_group = |error: Error| error.with("topic", &spec.topic).with("group", &group.name);
        let wanted = group_config(nats, &names, group, spec.keyed);
        the_consumer(nats, &config.name, &wanted, group)
            .await
            .map_err(in_group)?;
        if !group.ephemeral {
            let wanted = dead_config(&names, group);
            the_consumer(nats, &dead.name, &wanted, group)
                .await
                .map_err(in_group)?;
        }
    }
    nats.learn(Topic::in_stream(&spec.topic, names, &config));
    Ok(())
}

/// The stream that takes the topic's messages, or its dead letters; created where it may be.
async fn the_stream(nats: &Nats, topic: &TopicName, names: &Names, dead: bool) -> Result<stream::Config> {
    let subject = if dead {
        format!("dlq.{}.any", names.subject)
    } else {
        names.subject.clone()
    };
    if let Some(stream) = nats.stream_of(&subject).await?
        && let Some(info) = nats.stream_info(&stream).await?
    {
        return Ok(info.config);
    }
    if nats.declares() != Declare::Create {
        return Err(missing(topic, names));
    }
    let mut wanted = stream_config(nats, names, dead);
    let request = format!("STREAM.CREATE.{}", wanted.name);
    let mut created: Result<stream::Info> = nats.api(&request, &json!(wanted)).await;
    if matches!(&created, Err(error) if error.kind() == ErrorKind::Throttled) {
        // An account that allows fewer refuses the number itself.
        wanted.max_consumers = -1;
        created = nats.api(&request, &json!(wanted)).await;
    }
    match created {
        Ok(info) => Ok(info.config),
        // Another program was faster, or the name stands for something else.
        Err(error) => match nats.stream_info(&wanted.name).await? {
            Some(info) if untaken(&info.config, std::slice::from_ref(&subject)).is_none() => Ok(info.config),
            Some(info) => Err(mismatch(
                format!(
                    "stream `{}` takes {:?}, and not `{subject}`; add it to its subjects",
                    wanted.name, info.config.subjects
                ),
                topic,
            )),
            None => Err(error),
        },
    }
}

fn stream_config(nats: &Nats, names: &Names, dead: bool) -> stream::Config {
    let common = stream::Config {
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        num_replicas: 1,
        max_consumers: CONSUMERS_MAX,
        ..Default::default()
    };
    if dead {
        stream::Config {
            name: names.dead_stream.clone(),
            subjects: names.dead_subjects.clone(),
            // A dead letter is gone when it was settled; each group's have a subject, and so a consumer, of their own.
            retention: RetentionPolicy::WorkQueue,
            // At a limit that an operator sets, what is new is refused, rather than what is old and unread dropped.
            discard: DiscardPolicy::New,
            description: Some("Dead letters of Ductape Events".to_owned()),
            ..common
        }
    } else {
        stream::Config {
            name: names.stream.clone(),
            subjects: names.stream_subjects.clone(),
            retention: RetentionPolicy::Limits,
            // The server has no schedules in a stream that refuses what is new; without limits it makes no difference,
            // and a limit that an operator sets later is a finding.
            discard: if nats.has_schedules() {
                DiscardPolicy::Old
            } else {
                DiscardPolicy::New
            },
            allow_message_schedules: nats.has_schedules(),
            description: Some("Topics of Ductape Events".to_owned()),
            ..common
        }
    }
}

async fn leave_mark(nats: &Nats, topic: &TopicName, names: &Names) -> Result<()> {
    let (headers, payload) = mark(topic);
    let sent = nats
        .jetstream()
        .publish_with_headers(names.mark(), headers, payload);
    let acked = match sent.await {
        Ok(ack) => nats.link().unless_denied(&names.mark(), ack.into_future()).await,
        Err(error) => Some(Err(error)),
    };
    match acked {
        None => Err(error::denied(&names.mark())),
        Some(Ok(_)) => Ok(()),
        // It is there: the mark is the only message of its subject.
        Some(Err(_)) if nats.count_mark(names).await? > 0 => Ok(()),
        Some(Err(error)) => Err(Error::new(
            ErrorKind::Unreachable,
            "the mark that the topic was declared could not be left in its stream",
        )
        .with_source(error.to_string())),
    }
}

/// What a group's consumer is to be.
pub(super) fn group_config(nats: &Nats, names: &Names, group: &GroupSpec, keyed: bool) -> consumer::Config {
    let name = names.consumer(&group.name);
    // One member at a time where the order of keys counts; an ephemeral group has but one.
    let ordered = keyed && group.ordering == Ordering::Strict && !group.ephemeral && nats.has_pins();
    consumer::Config {
        durable_name: (!group.ephemeral).then(|| name.clone()),
        name: Some(name),
        description: Some(format!("group {} of Ductape Events", group.name)),
        deliver_policy: match group.start {
            Start::Latest => DeliverPolicy::New,
            Start::Earliest => DeliverPolicy::All,
        },
        filter_subjects: vec![names.subject.clone(), names.of_group(&group.name)],
        inactive_threshold: if group.ephemeral {
            EPHEMERAL_FOR
        } else {
            Duration::ZERO
        },
        priority_policy: if ordered {
            PriorityPolicy::PinnedClient
        } else {
            PriorityPolicy::None
        },
        priority_groups: if ordered {
            vec![MEMBERS.to_owned()]
        } else {
            Vec::new()
        },
        priority_timeout: if ordered {
            pinned_for(group.lease)
        } else {
            Duration::ZERO
        },
        ..common_config(group)
    }
}

/// How long a member that is gone keeps the others waiting: longer than what it had in hand takes to come back, so that
/// this comes first.
pub(super) fn pinned_for(lease: Duration) -> Duration {
    lease.saturating_mul(3) / 2
}

/// What the consumer of a group's dead letters is to be.
pub(super) fn dead_config(names: &Names, group: &GroupSpec) -> consumer::Config {
    let name = names.consumer(&group.name);
    consumer::Config {
        durable_name: Some(name.clone()),
        name: Some(name),
        description: Some(format!("dead letters of group {} of Ductape Events", group.name)),
        deliver_policy: DeliverPolicy::All,
        filter_subjects: vec![names.dead(&group.name)],
        ..common_config(group)
    }
}

fn common_config(group: &GroupSpec) -> consumer::Config {
    consumer::Config {
        ack_policy: AckPolicy::Explicit,
        ack_wait: group.lease,
        // Attempts are counted, and ended, by the program; the server would leave the message where it is, silently.
        max_deliver: -1,
        max_ack_pending: ACK_PENDING_MAX,
        max_waiting: WAITING_MAX,
        replay_policy: ReplayPolicy::Instant,
        ..Default::default()
    }
}

/// Creates the consumer where it is missing, and compares it where it is there.
pub(super) async fn the_consumer(
    nats: &Nats,
    stream: &str,
    wanted: &consumer::Config,
    group: &GroupSpec,
) -> Result<()> {
    let name = wanted.name.as_deref().unwrap_or_default();
    let mut found = nats.consumer_info(stream, name).await?;
    if found.is_none() {
        if nats.declares() != Declare::Create {
            return Err(group_missing(stream, name).with("group", &group.name));
        }
        match create_consumer(nats, stream, wanted).await {
            Ok(_) => return Ok(()),
            // Another program was faster.
            Err(error) if error.kind() == ErrorKind::TopologyMismatch => {
                found = nats.consumer_info(stream, name).await?;
                if found.is_none() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    match found.and_then(|info| difference(wanted, &info.config)) {
        None => Ok(()),
        Some(difference) => Err(Error::new(
            ErrorKind::TopologyMismatch,
            format!(
                "consumer `{name}` of stream `{stream}` exists with other settings: {difference}; delete it, or change it \
                 with `nats consumer edit`"
            ),
        )
        .with("provider", "nats")),
    }
}

pub(super) async fn create_consumer(
    nats: &Nats,
    stream: &str,
    wanted: &consumer::Config,
) -> Result<consumer::Info> {
    let name = wanted.name.as_deref().unwrap_or_default();
    let body = json!({"stream_name": stream, "config": wanted, "action": "create"});
    nats.api(&format!("CONSUMER.CREATE.{stream}.{name}"), &body).await
}

pub(super) fn group_missing(stream: &str, name: &str) -> Error {
    let text = format!("stream `{stream}` has no consumer `{name}`; declare the group first");
    Error::new(ErrorKind::GroupMissing, text).with("provider", "nats")
}

/// What matters of an existing consumer and is not as wanted.
fn difference(wanted: &consumer::Config, found: &consumer::Config) -> Option<String> {
    fn differ<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Option<String> {
        (found != wanted).then(|| format!("{what} is {found:?}, not {wanted:?}"))
    }
    if found.deliver_subject.is_some() {
        return Some("it pushes, and must be pulled from (`deliver_subject`)".to_owned());
    }
    differ("ack_policy", &found.ack_policy, &wanted.ack_policy)
        .or_else(|| differ("filter_subjects", &filters(found), &filters(wanted)))
        .or_else(|| differ("ack_wait (the lease)", &found.ack_wait, &wanted.ack_wait))
        .or_else(|| {
            differ(
                "priority_policy (one member at a time, for the order of keys)",
                &found.priority_policy,
                &wanted.priority_policy,
            )
        })
        .or_else(|| differ("priority_groups", &found.priority_groups, &wanted.priority_groups))
        .or_else(|| {
            let lasting = |config: &consumer::Config| config.inactive_threshold.is_zero();
            differ(
                "whether it lasts (`inactive_threshold`)",
                &lasting(found),
                &lasting(wanted),
            )
        })
}

fn filters(config: &consumer::Config) -> BTreeSet<&str> {
    let one = Some(config.filter_subject.as_str()).filter(|one| !one.is_empty());
    config
        .filter_subjects
        .iter()
        .map(String::as_str)
        .chain(one)
        .collect()
}

fn mismatch(text: String, topic: &TopicName) -> Error {
    Error::new(ErrorKind::TopologyMismatch, text)
        .with("topic", topic)
        .with("provider", "nats")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use async_nats::jetstream::consumer::{AckPolicy, PriorityPolicy};

    use super::{Names, dead_config, difference, pinned_for};
    use crate::message::TopicName;
    use crate::spec::GroupSpec;

    type Change = dyn Fn(&mut super::consumer::Config);

    #[test]
    fn a_difference_is_named() {
        let topic = TopicName::new("orders:created".parse().unwrap(), NonZeroU32::MIN);
        let names = Names::new(&topic, None).unwrap();
        let wanted = dead_config(&names, &GroupSpec::new("bill".parse().unwrap()));
        assert_eq!(difference(&wanted, &wanted), None);
        let mut one_filter = wanted.clone();
        one_filter.filter_subject = one_filter.filter_subjects.remove(0);
        assert_eq!(difference(&wanted, &one_filter), None);

        let differing: [(&str, &Change); 6] = [
            ("deliver_subject", &|c| c.deliver_subject = Some("a".to_owned())),
            ("ack_policy", &|c| c.ack_policy = AckPolicy::None),
            ("filter_subjects", &|c| c.filter_subjects.push("b".to_owned())),
            ("ack_wait", &|c| c.ack_wait = Duration::from_secs(1)),
            ("priority_policy", &|c| {
                c.priority_policy = PriorityPolicy::PinnedClient;
            }),
            ("inactive_threshold", &|c| {
                c.inactive_threshold = Duration::from_secs(1);
            }),
        ];
        for (what, change) in differing {
            let mut other = wanted.clone();
            change(&mut other);
            let said = difference(&wanted, &other).unwrap();
            assert!(said.contains(what), "{said}");
        }
    }

    #[test]
    fn what_a_dead_member_had_comes_back_before_another_takes_over() {
        let lease = Duration::from_secs(30);
        assert!(pinned_for(lease) > lease + lease / 3);
    }
}
