//! The names of topics and queues at AWS, and the ids that its FIFO queues ask for.
//!
//! AWS takes `A-Z`, `a-z`, `0-9`, `-` and `_`, 80 characters in a queue's name and 256 in a topic's, `.fifo` included. Tags
//! and groups have no upper-case letter and tags no `_`, so that two names of ours never become the same one there.

use ductape_schema::GroupName;
use uuid::Uuid;

use crate::message::Outgoing;

/// What the names of FIFO topics and queues end with.
pub(super) const FIFO: &str = ".fifo";
/// The longest name of a queue: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>.
const QUEUE_LEN_MAX: usize = 80;
/// The longest name of a topic: <https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html>.
const TOPIC_LEN_MAX: usize = 256;
/// The longest message group id and deduplication id:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>.
const TOKEN_LEN_MAX: usize = 128;

/// What a group's queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The group's messages.
    Messages,
    /// What is tried again later in a group whose later messages pass.
    Retry,
    /// The group's dead letters.
    DeadLetters,
}

impl Role {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Messages => "",
            Self::Retry => "__RETRY",
            Self::DeadLetters => "__DLQ",
        }
    }
}

/// The name of the SNS topic of `physical`.
pub(super) fn topic(physical: &str, fifo: bool) -> String {
    fitted(&allowed(physical), TOPIC_LEN_MAX, "", fifo)
}

/// The name of a queue of `group` of the topic `physical`. Only a queue of messages can be FIFO.
pub(super) fn queue(physical: &str, group: &GroupName, role: Role, fifo: bool) -> String {
    let name = format!("{}__{group}", allowed(physical));
    fitted(
        &name,
        QUEUE_LEN_MAX,
        role.suffix(),
        fifo && role == Role::Messages,
    )
}

/// The name of the queue of one process's own group; `unique` tells it from those before it.
pub(super) fn own_queue(physical: &str, group: &GroupName, unique: &str, fifo: bool) -> String {
    let name = format!("{}__{group}", allowed(physical));
    fitted(&name, QUEUE_LEN_MAX, &format!("__OWN{unique}"), fifo)
}

/// The name of a queue beside the queue `name`, which the configuration gives to a topic.
pub(super) fn beside(name: &str, role: Role) -> String {
    let base = name.strip_suffix(FIFO).unwrap_or(name);
    fitted(base, QUEUE_LEN_MAX, role.suffix(), false)
}

/// The name at the end of a queue's URL.
pub(super) fn of_url(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.rsplit_once('/').map_or(url, |(_, name)| name)
}

/// Whether the queue of this URL is a FIFO queue.
pub(super) fn is_fifo(url: &str) -> bool {
    of_url(url).ends_with(FIFO)
}

fn allowed(text: &str) -> String {
    let text = text.strip_suffix(FIFO).unwrap_or(text);
    text.chars()
        .map(|c| match c {
            '.' => '_',
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') => c,
            _ => '-',
        })
        .collect()
}

/// `name` with its suffixes. One that is too long keeps its beginning, and a hash tells it from others.
fn fitted(name: &str, len_max: usize, suffix: &str, fifo: bool) -> String {
    const HASH_LEN: usize = 16;
    let fifo = if fifo { FIFO } else { "" };
    let room = len_max.saturating_sub(suffix.len() + fifo.len());
    if name.len() <= room {
        return format!("{name}{suffix}{fifo}");
    }
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
        .simple()
        .to_string();
    let kept: String = name.chars().take(room.saturating_sub(HASH_LEN + 1)).collect();
    format!("{kept}-{}{suffix}{fifo}", &hash[..HASH_LEN])
}

/// The message group of a message: its key, or one of its own when it has none, so that it waits for no other.
pub(super) fn group_id(message: &Outgoing) -> String {
    match &message.key {
        Some(key) => token(key),
        None => token(message.id.to_string().as_bytes()),
    }
}

/// The id by which AWS recognises a message that is sent to a topic again, for five minutes.
pub(super) fn deduplication_id(message: &Outgoing) -> String {
    token(message.id.to_string().as_bytes())
}

/// `bytes` as an id: as they are where AWS takes them, else a hash.
fn token(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text)
            if (1..=TOKEN_LEN_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            text.to_owned()
        }
        _ => Uuid::new_v5(&Uuid::NAMESPACE_OID, bytes).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::num::NonZeroU32;

    use ductape_schema::GroupName;

    use super::{Role, beside, group_id, is_fifo, of_url, own_queue, queue, token, topic};
    use crate::message::{Outgoing, TopicName};

    fn group(name: &str) -> GroupName {
        name.parse().unwrap()
    }

    #[test]
    fn names_are_readable_and_told_apart() {
        assert_eq!(topic("orders.created", true), "orders_created.fifo");
        assert_eq!(topic("orders.created.v2", false), "orders_created_v2");
        let billing = group("billing");
        let names = [
            queue("orders.created", &billing, Role::Messages, true),
            queue("orders.created", &billing, Role::Messages, false),
            queue("orders.created", &billing, Role::Retry, true),
            queue("orders.created", &billing, Role::DeadLetters, true),
            queue("orders.created", &group("billing__dlq"), Role::Messages, false),
            queue("orders-created.x", &billing, Role::Messages, false),
            queue("orders.created-x", &billing, Role::Messages, false),
            own_queue("orders.created", &billing, "7f", true),
            beside("orders.fifo", Role::DeadLetters),
        ];
        assert_eq!(names[0], "orders_created__billing.fifo");
        assert_eq!(names[3], "orders_created__billing__DLQ");
        assert_eq!(names[8], "orders__DLQ");
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }

    #[test]
    fn a_long_name_is_cut_and_stays_its_own() {
        let (one, two) = (format!("a.{}", "x".repeat(100)), format!("a.{}", "x".repeat(101)));
        for fifo in [true, false] {
            let (one, two) = (
                queue(&one, &group("g"), Role::Messages, fifo),
                queue(&two, &group("g"), Role::Messages, fifo),
            );
            assert_ne!(one, two);
            assert_eq!((one.len(), two.len()), (80, 80));
            assert_eq!(is_fifo(&one), fifo);
        }
        let dead = queue(&one, &group("g"), Role::DeadLetters, true);
        assert!(dead.len() == 80 && dead.ends_with("__DLQ"), "{dead}");
    }

    #[test]
    fn a_url_gives_the_name() {
        for url in [
            "https://sqs.eu-west-1.amazonaws.com/1/orders.fifo",
            "http://h/1/orders.fifo/",
        ] {
            assert_eq!((of_url(url), is_fifo(url)), ("orders.fifo", true));
        }
        assert_eq!(of_url("orders"), "orders");
    }

    #[test]
    fn ids_are_what_aws_takes() {
        assert_eq!(token(b"order-7"), "order-7");
        for bytes in [&b""[..], b"a b", b"\xff\x00", "\u{263a}".as_bytes(), &[b'x'; 129]] {
            let id = token(bytes);
            assert!(id.len() == 36 && id.is_ascii(), "{id}");
        }
        let message = Outgoing::new(TopicName::new("a:b".parse().unwrap(), NonZeroU32::MIN), "");
        assert_eq!(group_id(&message), message.id.to_string());
        assert_eq!(group_id(&message.with_key("k")), "k");
    }
}
