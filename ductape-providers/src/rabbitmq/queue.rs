//! Queues on the server: made, and read as far as AMQP lets us.

use std::collections::BTreeMap;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use tokio::time::timeout;

use super::config::ANSWER_TIMEOUT;
use super::error;
use super::link::{Open, answered};
use crate::error::{Error, ErrorKind, Result};

/// How often a queue is asked for how it is set up: as often as it can differ, and a few times more.
const ASKED_MAX: usize = 24;

/// How long a queue lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Until somebody deletes it.
    Durable,
    /// As long as the connection.
    Exclusive,
    /// As long as its consumer, and at most as long as the connection.
    OfOneConsumer,
}

impl Kind {
    fn options(self) -> QueueDeclareOptions {
        QueueDeclareOptions {
            durable: self == Self::Durable,
            exclusive: self != Self::Durable,
            auto_delete: self == Self::OfOneConsumer,
            ..QueueDeclareOptions::default()
        }
    }
}

/// An argument that is a text.
pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

/// Makes a queue; one that is there and set up just so is success.
pub(super) async fn create(open: &Open, name: &ShortString, kind: Kind, arguments: FieldTable) -> Result<()> {
    // A refusal ends the channel, which is why it is nobody else's.
    let channel = open.channel().await?;
    let declared = channel.queue_declare(name.clone(), kind.options(), arguments);
    answered("queue.declare", declared).await.map(drop)
}

/// Whether there is a queue of this name.
pub(super) async fn exists(open: &Open, name: &ShortString) -> Result<bool> {
    ready(open, name).await.map(|ready| ready.is_some())
}

/// How many messages of a queue are ready; `None` where there is none of this name.
pub(super) async fn ready(open: &Open, name: &ShortString) -> Result<Option<u64>> {
    let channel = open.channel().await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let asked = channel.queue_declare(name.clone(), options, FieldTable::default());
    match answered("queue.declare", asked).await {
        Ok(queue) => Ok(Some(u64::from(queue.message_count()))),
        Err(error) if error.kind() == ErrorKind::GroupMissing => Ok(None),
        Err(error) => Err(error),
    }
}

/// How a queue that exists is set up, as far as the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// All that the server compares.
    Set(Setup),
    /// The user may not ask.
    Forbidden,
    /// The server said this instead.
    Unclear(String),
}

/// How a queue is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) durable: bool,
    pub(super) exclusive: bool,
    pub(super) auto_delete: bool,
    /// The arguments that the server compares.
    pub(super) arguments: BTreeMap<String, String>,
}

impl Setup {
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).map(String::as_str)
    }

    /// `classic`, `quorum` or `stream`.
    pub(super) fn queue_type(&self) -> &str {
        self.argument("x-queue-type").unwrap_or("classic")
    }
}

/// Reads how an existing queue is set up. AMQP has no question for that, but a server that is asked for a queue which
/// exists and differs names the first difference; so what it names is taken over until nothing differs. `expected` is
/// where that begins.
pub(super) async fn read(open: &Open, name: &ShortString, expected: &FieldTable) -> Result<Seen> {
    let mut options = Kind::Durable.options();
    let mut arguments = expected.clone();
    for _ in 0..ASKED_MAX {
        let channel = open.channel().await?;
        let asked = channel.queue_declare(name.clone(), options, arguments.clone());
        let refused = match timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(_)) => return Ok(Seen::Set(setup(options, &arguments))),
            Ok(Err(refused)) => refused,
            Err(_) => return Err(error::timeout("queue.declare")),
        };
        match error::answer(&refused) {
            Some((403, _)) => return Ok(Seen::Forbidden),
            Some((405, _)) => {
                options.exclusive = true;
                return Ok(Seen::Set(setup(options, &arguments)));
            }
            Some((406, text)) => match Difference::read(&text) {
                Some(difference) => {
                    if !difference.take_over(&mut options, &mut arguments) {
                        return Ok(Seen::Unclear(text));
                    }
                }
                None => return Ok(Seen::Unclear(text)),
            },
            _ => return Err(error::client(&refused)),
        }
    }
    Err(Error::new(
        ErrorKind::Unexpected,
        "the server names ever new differences of a queue; somebody changes it",
    )
    .with("queue", name))
}

fn setup(options: QueueDeclareOptions, arguments: &FieldTable) -> Setup {
    let shown = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    Setup {
        durable: options.durable,
        exclusive: options.exclusive,
        auto_delete: options.auto_delete,
        arguments: arguments
            .inner()
            .iter()
            .map(|(name, value)| (name.to_string(), shown(value)))
            .collect(),
    }
}

/// What a server says that differs: `inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received none but current
/// is the value '5' of type 'signedint'`.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    argument: String,
    /// The value and its type; `None` where the queue has no such argument.
    current: Option<(String, String)>,
}

impl Difference {
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("inequivalent arg '")?;
        let (argument, rest) = rest.split_once('\'')?;
        let (_, current) = rest.rsplit_once("but current is ")?;
        let current = current.trim();
        let quoted = |text: &str| {
            let (_, rest) = text.split_once('\'')?;
            let (value, rest) = rest.split_once('\'')?;
            Some((value.to_owned(), rest.to_owned()))
        };
        let current = if current.starts_with("none") {
            None
        } else {
            let (value, rest) = quoted(current)?;
            let kind = quoted(&rest).map_or_else(String::new, |(kind, _)| kind);
            Some((value, kind))
        };
        Some(Self {
            argument: argument.to_owned(),
            current,
        })
    }

    /// Asks for what is there from now on; `false` when that can't be put into a question.
    fn take_over(self, options: &mut QueueDeclareOptions, arguments: &mut FieldTable) -> bool {
        let flag = match self.argument.as_str() {
            "durable" => Some(&mut options.durable),
            "auto_delete" => Some(&mut options.auto_delete),
            "exclusive" => Some(&mut options.exclusive),
            _ => None,
        };
        if let Some(flag) = flag {
            let Some(value) = self.current.and_then(|(value, _)| value.parse().ok()) else {
                return false;
            };
            let differs = *flag != value;
            *flag = value;
            return differs;
        }
        let value = match self.current {
            None => None,
            Some((value, kind)) => match kind.as_str() {
                "longstr" => Some(text(&value)),
                // What is only for some types of queues comes without its own type.
                "" => {
                    let number = value.parse().ok().map(AMQPValue::LongLongInt);
                    let flag = || value.parse().ok().map(AMQPValue::Boolean);
                    number.or_else(flag).or_else(|| Some(text(&value)))
                }
                "bool" => value.parse().ok().map(AMQPValue::Boolean),
                _ => value.parse().ok().map(AMQPValue::LongLongInt),
            },
        };
        let before = arguments.inner().get(self.argument.as_str()).cloned();
        if before == value {
            return false;
        }
        let mut all: BTreeMap<ShortString, AMQPValue> = arguments.inner().clone();
        let Ok(name) = ShortString::try_new(self.argument) else {
            return false;
        };
        match value {
            Some(value) => all.insert(name, value),
            None => all.remove(&name),
        };
        *arguments = all.into();
        true
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldTable;

    use super::{Difference, Kind, setup, text};

    #[test]
    fn what_differs_is_read_and_taken_over() {
        let mut options = Kind::Durable.options();
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        for said in [
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
            "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'a.b' in vhost '/': received the value 'quorum' of type 'longstr' but current is none",
            "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received none but current is the value '5' of type 'signedint'",
            "PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'q' in vhost '/': received the value 'reject-publish' of type 'longstr' but current is the value 'drop-head' of type 'longstr'",
        ] {
            assert!(
                Difference::read(said)
                    .unwrap()
                    .take_over(&mut options, &mut arguments),
                "{said}"
            );
        }
        let seen = setup(options, &arguments);
        assert!(!seen.durable);
        assert_eq!(seen.queue_type(), "classic");
        assert_eq!(seen.argument("x-max-length"), Some("5"));
        assert_eq!(seen.argument("x-overflow"), Some("drop-head"));
    }

    #[test]
    fn values_without_a_type_are_read() {
        let said = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'ps' in vhost '/': received 'quorum' but current is 'stream'";
        let (mut options, mut arguments) = (Kind::Durable.options(), FieldTable::default());
        assert!(
            Difference::read(said)
                .unwrap()
                .take_over(&mut options, &mut arguments)
        );
        assert_eq!(setup(options, &arguments).queue_type(), "stream");
        let said = "inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received '20' but current is '3'";
        assert!(
            Difference::read(said)
                .unwrap()
                .take_over(&mut options, &mut arguments)
        );
        let limit = arguments.inner().get("x-delivery-limit");
        assert_eq!(limit, Some(&lapin::types::AMQPValue::LongLongInt(3)));
    }

    #[test]
    fn what_says_nothing_new_ends_the_questions() {
        let (mut options, mut arguments) = (Kind::Durable.options(), FieldTable::default());
        let same = "inequivalent arg 'durable' for queue 'q': received 'true' but current is 'true'";
        assert!(
            !Difference::read(same)
                .unwrap()
                .take_over(&mut options, &mut arguments)
        );
        let none = "inequivalent arg 'x-expires' for queue 'q': received the value '1' of type 'long' but current is none";
        assert!(
            !Difference::read(none)
                .unwrap()
                .take_over(&mut options, &mut arguments)
        );
        assert_eq!(
            Difference::read("PRECONDITION_FAILED - invalid arg 'x-queue-type'"),
            None
        );
    }
}
