//! The cases, in one file a group.

use std::sync::LazyLock;

use bytes::Bytes;

use super::case::Case;
use super::client::Client;
use crate::capability::Order;
use crate::message::{Incoming, Outgoing, TopicName};

pub mod batches;
pub mod dead_letters;
pub mod groups;
pub mod lifecycle;
pub mod order;
pub mod publish;
pub mod restart;
pub mod server;
pub mod settlement;
pub mod timing;

/// Every case of the suite.
pub fn cases() -> &'static [Case] {
    static ALL: LazyLock<Vec<Case>> = LazyLock::new(|| {
        [
            publish::CASES,
            batches::CASES,
            settlement::CASES,
            timing::CASES,
            order::CASES,
            groups::CASES,
            dead_letters::CASES,
            lifecycle::CASES,
            restart::CASES,
            server::CASES,
        ]
        .concat()
    });
    &ALL
}

/// `count` messages whose payloads are `0`, `1` and so on.
fn numbered(topic: &TopicName, count: usize) -> Vec<Outgoing> {
    (0..count)
        .map(|i| Outgoing::new(topic.clone(), i.to_string()))
        .collect()
}

/// One message with the payload `text`.
fn text(topic: &TopicName, text: &str) -> Outgoing {
    Outgoing::new(topic.clone(), text.to_owned())
}

/// One message with the payload `text` and a key.
fn keyed(topic: &TopicName, key: &str, text: &str) -> Outgoing {
    Outgoing::new(topic.clone(), text.to_owned()).with_key(Bytes::copy_from_slice(key.as_bytes()))
}

/// Messages that must come in the order in which they are published: of one key, where a broker keeps no other order.
fn in_order(client: &Client, mut messages: Vec<Outgoing>) -> Vec<Outgoing> {
    if client.capability().order == Order::PerKey {
        for message in &mut messages {
            message.key.get_or_insert(Bytes::from_static(b"one"));
        }
    }
    messages
}

/// The payloads as text, in the order they came.
fn payloads<'a>(messages: impl IntoIterator<Item = &'a Incoming>) -> Vec<String> {
    messages.into_iter().map(super::show).collect()
}

/// The payloads as text, sorted: for brokers that keep no order.
fn sorted<'a>(messages: impl IntoIterator<Item = &'a Incoming>) -> Vec<String> {
    let mut all = payloads(messages);
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::cases;

    #[test]
    fn every_case_has_an_id_and_a_name_of_its_own() {
        let ids: HashSet<_> = cases().iter().map(|case| case.id).collect();
        let names: HashSet<_> = cases().iter().map(|case| case.name).collect();
        assert_eq!((ids.len(), names.len()), (cases().len(), cases().len()));
        assert!(cases().len() >= 48, "{}", cases().len());
    }
}
