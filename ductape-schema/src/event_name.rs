use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::NameError;

/// The name of an event: `broker:topic`, as in `order-events:order-created`.
///
/// Both tags are 1 to [`EventName::TAG_LEN_MAX`] bytes of `a-z`, `0-9` and `-`, and begin and end with a letter or a
/// digit. That is the part of the name grammars that Kafka, RabbitMQ, Redis, SQS, Pub/Sub and NATS have in common.
///
/// Cloning costs one counter.
///
/// ```
/// use ductape_schema::EventName;
///
/// let event: EventName = "order-events:order-created".parse()?;
/// assert_eq!(event.broker(), "order-events");
/// assert_eq!(event.topic(), "order-created");
///
/// let error = "order-events".parse::<EventName>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "event name `order-events` has no topic; write `broker:topic`, for example `order-events:order-created`"
/// );
/// # Ok::<(), ductape_schema::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName {
    text: Arc<str>,
    colon: usize,
}

impl EventName {
    /// The longest broker tag or topic tag, in bytes.
    pub const TAG_LEN_MAX: usize = 64;

    /// Checks `text` and says where its colon is; what the macros use at compile time.
    ///
    /// # Errors
    ///
    /// [`NameError`] when `text` is not `broker:topic`.
    pub fn check(text: &str) -> Result<usize, NameError> {
        const EXAMPLE: &str = "write `broker:topic`, for example `order-events:order-created`";
        let shown = Shown(text);
        if text.is_empty() {
            return Err(NameError::new(format!("event name is empty; {EXAMPLE}")));
        }
        let Some(colon) = text.find(':') else {
            return Err(NameError::new(format!(
                "event name `{shown}` has no topic; {EXAMPLE}"
            )));
        };
        let (broker, topic) = (&text[..colon], &text[colon + 1..]);
        if broker.is_empty() {
            return Err(NameError::new(format!(
                "event name `{shown}` has no broker before the `:`; {EXAMPLE}"
            )));
        }
        if topic.is_empty() {
            return Err(NameError::new(format!(
                "event name `{shown}` has no topic after the `:`; {EXAMPLE}"
            )));
        }
        if topic.contains(':') {
            return Err(NameError::new(format!(
                "event name `{shown}` has more than one `:`; {EXAMPLE}"
            )));
        }
        check_tag("broker", broker, 0, shown)?;
        check_tag("topic", topic, colon + 1, shown)?;
        Ok(colon)
    }

    /// The broker tag: what stands before the colon.
    pub fn broker(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The topic tag: what stands after the colon.
    pub fn topic(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A text as an error shows it: escaped, and cut where it is long.
#[derive(Clone, Copy)]
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_CHARS_MAX: usize = 48;
        for c in self.0.chars().take(SHOWN_CHARS_MAX) {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        if self.0.chars().nth(SHOWN_CHARS_MAX).is_some() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

fn check_tag(what: &str, tag: &str, offset: usize, whole: Shown<'_>) -> Result<(), NameError> {
    if let Some((at, c)) = tag
        .char_indices()
        .find(|(_, c)| !matches!(c, 'a'..='z' | '0'..='9' | '-'))
    {
        return Err(NameError::new(format!(
            "event name `{whole}` contains `{}` at position {}; allowed are a-z, 0-9, `-`, and one `:`",
            c.escape_debug(),
            offset + at + 1
        )));
    }
    if tag.len() > EventName::TAG_LEN_MAX {
        return Err(NameError::new(format!(
            "event name `{whole}` has a {what} of {} characters; at most {} are allowed",
            tag.len(),
            EventName::TAG_LEN_MAX
        )));
    }
    if tag.starts_with('-') || tag.ends_with('-') {
        return Err(NameError::new(format!(
            "event name `{whole}` has a {what} that begins or ends with `-`; begin and end it with a letter or a digit"
        )));
    }
    Ok(())
}

impl FromStr for EventName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let colon = Self::check(text)?;
        Ok(Self {
            text: text.into(),
            colon,
        })
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventName({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::EventName;

    #[test]
    fn good_names_are_split_at_the_colon() {
        let event: EventName = "a1:b-2".parse().unwrap();
        assert_eq!(
            (event.broker(), event.topic(), event.as_str()),
            ("a1", "b-2", "a1:b-2")
        );
    }

    #[test]
    fn bad_names_say_what_to_write() {
        let long = format!("a:{}", "b".repeat(300));
        for (text, expected) in [
            ("", "event name is empty"),
            ("a", "event name `a` has no topic"),
            ("a:", "event name `a:` has no topic after the `:`"),
            (":b", "event name `:b` has no broker before the `:`"),
            ("a:b:c", "event name `a:b:c` has more than one `:`"),
            ("a b:c", "event name `a b:c` contains ` ` at position 2"),
            ("a:b\n", "event name `a:b\\n` contains `\\n` at position 4"),
            ("Orders:b", "event name `Orders:b` contains `O` at position 1"),
            (
                "a:-b",
                "event name `a:-b` has a topic that begins or ends with `-`",
            ),
            (long.as_str(), "event name `a:bbbbbb"),
        ] {
            let error = text.parse::<EventName>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
            assert!(error.len() < 220, "{error}");
        }
    }
}
