//! What the tests of the runtime's parts have in common.

use ductape_providers::{Headers, Incoming, MessageId, Receipt};

use super::job::Job;
use super::lanes::Lanes;
use crate::wiring::topic_name;

/// The message number `n`.
pub(super) fn message(n: u64, key: Option<&str>) -> (Incoming, Receipt) {
    let message = Incoming {
        topic: topic_name("test:lanes".parse().unwrap(), 1),
        id: MessageId::from_text(&n.to_string()),
        key: key.map(|key| key.to_owned().into()),
        headers: Headers::new(),
        payload: n.to_string().into(),
        published_at: None,
        position: None,
        delivery_count: None,
    };
    (message, Receipt::new(n))
}

/// Hands in messages as a receive does; answers what is to be given back.
pub(super) fn hand_in(lanes: &Lanes, messages: impl Iterator<Item = (Incoming, Receipt)>) -> Vec<Job> {
    lanes.push(messages.map(|(message, receipt)| (message, receipt, 1, None)))
}
