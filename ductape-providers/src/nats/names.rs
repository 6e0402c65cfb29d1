//! What topics and groups are called on the server.
//!
//! A topic is a subject, and everything else of it stands below that subject, so that one stream takes it all:
//!
//! | what | subject |
//! |---|---|
//! | the topic's messages | `SUBJECT` |
//! | those of one group alone | `SUBJECT._group.GROUP` |
//! | those that wait for their time | `SUBJECT._later.topic.ID`, `SUBJECT._later.group.GROUP.ID` |
//! | the mark that the topic was declared | `SUBJECT._topic` |
//! | dead letters, in a stream of their own | `dlq.SUBJECT.GROUP` |

use std::fmt::Write as _;

use ductape_schema::GroupName;

use crate::error::{Error, ErrorKind, Result};
use crate::message::{MessageId, TopicName};

/// The longest name of a stream or consumer (`JSMaxNameLen` of the server).
const NAME_LEN_MAX: usize = 255;
/// The longest subject that is accepted: the server's `max_control_line` is 4,096 bytes, and replies and sizes share it.
const SUBJECT_LEN_MAX: usize = 1_024;

/// Checks a name on the broker that the configuration gives to a topic.
pub(super) fn check_subject(subject: &str) -> Result<()> {
    let bad = |why: &str| {
        let text = format!(
            "`{}` {why}; a topic's name on NATS is a subject as `shop.order-created`: words with dots between, without \
             spaces, `*` and `>`",
            subject.escape_debug()
        );
        Err(Error::new(ErrorKind::ConfigInvalid, text).with("provider", "nats"))
    };
    if subject.len() > SUBJECT_LEN_MAX {
        return bad("is too long");
    }
    if subject.split('.').any(str::is_empty) {
        return bad("has an empty word");
    }
    if subject
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>'))
    {
        return bad("has a character that it can't have");
    }
    if subject.starts_with('$')
        || subject == "dlq"
        || subject.starts_with("dlq.")
        || subject.starts_with("_INBOX")
    {
        return bad("is the server's own, or a dead letter's");
    }
    Ok(())
}

/// The names of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The topic's subject.
    pub(super) subject: String,
    /// The stream that is made where none takes the subject.
    pub(super) stream: String,
    /// What that stream takes.
    pub(super) stream_subjects: Vec<String>,
    /// The stream of dead letters that is made where none takes theirs.
    pub(super) dead_stream: String,
    /// What that stream takes.
    pub(super) dead_subjects: Vec<String>,
    /// What the names of its consumers begin with.
    consumer: String,
}

impl Names {
    pub(super) fn new(topic: &TopicName, physical: Option<&str>) -> Result<Self> {
        let subject = physical.map_or_else(|| topic.physical(), str::to_owned);
        check_subject(&subject).map_err(|error| error.with("topic", topic))?;
        let broker = topic.event().broker();
        let below = subject
            .strip_prefix(broker)
            .and_then(|rest| rest.strip_prefix('.'));
        let consumer = encoded(below.unwrap_or(&subject));
        let names = if below.is_some() {
            Self {
                stream: broker.to_owned(),
                stream_subjects: vec![format!("{broker}.>")],
                dead_stream: format!("{broker}_dlq"),
                dead_subjects: vec![format!("dlq.{broker}.>")],
                consumer,
                subject,
            }
        } else {
            let own = encoded(&subject);
            Self {
                stream_subjects: vec![subject.clone(), format!("{subject}.>")],
                dead_stream: format!("{own}_dlq"),
                dead_subjects: vec![format!("dlq.{subject}.>")],
                stream: own,
                consumer,
                subject,
            }
        };
        if names.dead_stream.len() > NAME_LEN_MAX
            || names.consumer.len() + 2 + GroupName::LEN_MAX > NAME_LEN_MAX
        {
            let text = format!("`{}` is too long for a stream and its consumers", names.subject);
            return Err(Error::new(ErrorKind::ConfigInvalid, text).with("topic", topic));
        }
        Ok(names)
    }

    /// The subject of what is sent to `group` alone.
    pub(super) fn of_group(&self, group: &GroupName) -> String {
        format!("{}._group.{group}", self.subject)
    }

    /// The subject of the dead letters of `group`.
    pub(super) fn dead(&self, group: &GroupName) -> String {
        format!("dlq.{}.{group}", self.subject)
    }

    /// The subject of the mark that the topic was declared.
    pub(super) fn mark(&self) -> String {
        format!("{}._topic", self.subject)
    }

    /// The subject of a message that waits for its time. Scheduling another under the same subject replaces it, so that
    /// one to all groups has its id's, and one to a group alone a new one.
    pub(super) fn later(&self, group: Option<&GroupName>, id: &MessageId) -> String {
        if let Some(group) = group {
            return format!("{}._later.group.{group}.{}", self.subject, MessageId::new());
        }
        let id = match id.as_uuid() {
            Some(_) => id.clone(),
            None => MessageId::derived(&self.subject, &id.to_string()),
        };
        format!("{}._later.topic.{id}", self.subject)
    }

    /// The subjects of what waits for its time and will reach `group`.
    pub(super) fn later_filters(&self, group: &GroupName) -> [String; 2] {
        [
            format!("{}._later.topic.>", self.subject),
            format!("{}._later.group.{group}.>", self.subject),
        ]
    }

    /// The consumer of `group`, on either stream.
    pub(super) fn consumer(&self, group: &GroupName) -> String {
        format!("{}__{group}", self.consumer)
    }

    /// Subjects that a stream must take to carry the topic, for its check.
    pub(super) fn needed(&self) -> [String; 2] {
        [self.subject.clone(), format!("{}._group.any", self.subject)]
    }
}

/// A subject as a part of the name of a stream or consumer, which have no dots: two subjects never become one name.
fn encoded(subject: &str) -> String {
    let mut name = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            b'.' => name.push('_'),
            _ => {
                // Writing to a string can't fail.
                let _ = write!(name, "={byte:02x}");
            }
        }
    }
    name
}

/// Whether a stream that takes `pattern` takes `subject`.
pub(super) fn takes(pattern: &str, subject: &str) -> bool {
    let mut words = subject.split('.');
    for token in pattern.split('.') {
        match (token, words.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(word)) if token == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{Names, check_subject, encoded, takes};
    use crate::message::TopicName;

    fn topic(version: u32) -> TopicName {
        TopicName::new(
            "orders:order-created".parse().unwrap(),
            NonZeroU32::new(version).unwrap(),
        )
    }

    #[test]
    fn a_topic_stands_in_the_stream_of_its_broker() {
        let group = "bill_2".parse().unwrap();
        let names = Names::new(&topic(2), None).unwrap();
        assert_eq!(names.subject, "orders.order-created.v2");
        assert_eq!(
            (names.stream.as_str(), names.dead_stream.as_str()),
            ("orders", "orders_dlq")
        );
        assert_eq!(names.consumer(&group), "order-created_v2__bill_2");
        assert_eq!(names.of_group(&group), "orders.order-created.v2._group.bill_2");
        assert_eq!(names.dead(&group), "dlq.orders.order-created.v2.bill_2");
        assert!(names.needed().iter().all(|s| takes(&names.stream_subjects[0], s)));
        assert!(takes(&names.dead_subjects[0], &names.dead(&group)));
    }

    #[test]
    fn a_name_from_elsewhere_has_streams_of_its_own() {
        let group = "g".parse().unwrap();
        let names = Names::new(&topic(1), Some("shop.created_x")).unwrap();
        assert_eq!(names.stream, "shop_created=5fx");
        assert_eq!(names.consumer(&group), "shop_created=5fx__g");
        assert!(
            names
                .needed()
                .iter()
                .all(|s| names.stream_subjects.iter().any(|p| takes(p, s)))
        );
        assert!(takes(&names.dead_subjects[0], &names.dead(&group)));
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for bad in [
            "", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "a\tb", "$JS.x", "dlq.a", "a\u{a0}b",
            "_INBOX.x",
        ] {
            assert!(check_subject(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a.b-c.D_e", "\u{263a}.x"] {
            assert!(check_subject(good).is_ok(), "{good:?}");
        }
        assert!(check_subject(&"x".repeat(1_025)).is_err());
    }

    #[test]
    fn different_subjects_have_different_names() {
        assert_ne!(encoded("a.b"), encoded("a_b"));
        assert_ne!(encoded("a=5fb"), encoded("a_b"));
        assert!(
            encoded("\u{263a}/x y")
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'/')
        );
    }

    #[test]
    fn patterns_take_what_the_server_says() {
        for (pattern, subject, yes) in [
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.b", "a.b", true),
            ("*.b", "a.b", true),
            (">", "a", true),
            ("a", "b", false),
        ] {
            assert_eq!(takes(pattern, subject), yes, "{pattern} {subject}");
        }
    }
}
