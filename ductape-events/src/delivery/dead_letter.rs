//! What a dead letter says of itself.

use ductape_providers::{GroupName, Headers, TopicName};

use crate::clock;
use crate::consumer::Failure;
use crate::envelope::header;

/// The longest reason that is kept, in bytes.
const REASON_LEN_MAX: usize = 2048;

/// Headers of a dead letter that are kept before the others.
const FOLLOWS: [&str; 3] = [header::TRACEPARENT, header::CORRELATION_ID, header::REDRIVE];

/// What is known of a message that is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) failure: &'a Failure,
    pub(crate) group: &'a GroupName,
    pub(crate) consumer: &'a str,
    pub(crate) topic: &'a TopicName,
    pub(crate) attempts: u32,
    pub(crate) first_failed_at: Option<u64>,
}

/// The headers of the dead letter: those of the message, and the facts.
pub(crate) fn headers(of_message: &Headers, facts: &Facts<'_>) -> Headers {
    let now = clock::to_millis(clock::wall());
    let mut headers = of_message.clone();
    add(&mut headers, facts, now);
    if headers.check().is_err() {
        // The message's own headers leave no room for the facts; the facts are what helps, and the payload is whole. What
        // follows a message through its life is kept too.
        headers = of_message
            .iter()
            .filter(|(name, _)| FOLLOWS.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        add(&mut headers, facts, now);
    }
    headers
}

fn add(headers: &mut Headers, facts: &Facts<'_>, now: u64) {
    headers.insert(header::DEAD_REASON, cut(&facts.failure.reason).to_owned());
    headers.insert(header::DEAD_ERROR_TYPE, facts.failure.error_type);
    headers.insert(header::DEAD_GROUP, facts.group.as_str());
    headers.insert(header::DEAD_CONSUMER, facts.consumer);
    headers.insert(header::DEAD_TOPIC, facts.topic.event().as_str());
    headers.insert(header::DEAD_ATTEMPTS, facts.attempts.to_string());
    headers.insert(
        header::FIRST_FAILED_AT,
        facts.first_failed_at.unwrap_or(now).to_string(),
    );
    headers.insert(header::LAST_FAILED_AT, now.to_string());
    headers.remove(header::ATTEMPT);
}

fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_LEN_MAX)]
}

#[cfg(test)]
mod tests {
    use ductape_providers::Headers;

    use super::{Facts, headers};
    use crate::consumer::Failure;
    use crate::wiring::topic_name;

    #[test]
    fn a_message_full_of_headers_still_becomes_a_dead_letter() {
        let full: Headers = (0..64).map(|i| (format!("h{i}"), "v")).collect();
        let failure = Failure {
            reason: "ü".repeat(3000),
            error_type: "E",
        };
        let facts = Facts {
            failure: &failure,
            group: &"g".parse().unwrap(),
            consumer: "c",
            topic: &topic_name("a:b".parse().unwrap(), 1),
            attempts: 5,
            first_failed_at: Some(7),
        };
        let letter = headers(&full, &facts);
        assert!(letter.check().is_ok());
        assert_eq!(letter.get("ductape-dead-attempts"), Some("5"));
        assert_eq!(letter.get("ductape-first-failed-at"), Some("7"));
        assert_eq!(letter.get("ductape-dead-reason").unwrap().len(), 2048);
        let few = headers(&[("tenant", "acme")].into_iter().collect(), &facts);
        assert_eq!(few.get("tenant"), Some("acme"));
    }
}
