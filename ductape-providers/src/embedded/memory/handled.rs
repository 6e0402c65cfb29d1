//! The ids that a `once` group has handled, and those that are in flight.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::message::MessageId;

/// The most ids that a group remembers.
pub(super) const IDS_MAX: usize = 1_000_000;

/// How long a group remembers an id.
pub(super) const IDS_AGE_MAX: Duration = Duration::from_hours(7 * 24);

/// The ids of a `once` group.
#[derive(Debug, Default)]
pub(super) struct Handled {
    ids: HashSet<MessageId>,
    /// In the order in which they were handled.
    ages: VecDeque<(Instant, MessageId)>,
    /// The ids that were begun with, and the entries of the same id that wait for the outcome.
    begun: HashMap<MessageId, Vec<u32>>,
}

/// What to do with a message of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Deliver it.
    New,
    /// Settle it.
    Handled,
    /// Set it aside until the other is settled.
    Begun,
}

impl Handled {
    pub(super) fn look(&self, id: &MessageId) -> Known {
        if self.ids.contains(id) {
            Known::Handled
        } else if self.begun.contains_key(id) {
            Known::Begun
        } else {
            Known::New
        }
    }

    pub(super) fn begin(&mut self, id: &MessageId) {
        self.begun.entry(id.clone()).or_default();
    }

    /// Adds the entry `at` to those that wait for `id`.
    pub(super) fn wait(&mut self, id: &MessageId, at: u32) {
        self.begun.entry(id.clone()).or_default().push(at);
    }

    /// Ends what was begun with `id`, and gives the entries that waited for it.
    pub(super) fn end(&mut self, id: &MessageId, handled: bool, now: Instant) -> Vec<u32> {
        let waited = self.begun.remove(id).unwrap_or_default();
        if handled {
            self.remember(id, now);
        }
        waited
    }

    /// Remembers that `id` was handled.
    pub(super) fn remember(&mut self, id: &MessageId, now: Instant) {
        if self.ids.insert(id.clone()) {
            self.ages.push_back((now, id.clone()));
        }
        self.forget(now);
    }

    /// Forgets what was begun with; what was handled stays.
    pub(super) fn drop_begun(&mut self) {
        self.begun.clear();
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, id)) = self.ages.front()
            && (self.ages.len() > IDS_MAX || now.duration_since(*at) > IDS_AGE_MAX)
        {
            self.ids.remove(id);
            self.ages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Handled, IDS_AGE_MAX, IDS_MAX, Known};
    use crate::clock;
    use crate::message::MessageId;

    #[test]
    fn only_the_newest_ids_are_remembered() {
        let (mut handled, now) = (Handled::default(), clock::now());
        let ids: Vec<_> = (0..IDS_MAX + 2).map(|_| MessageId::new()).collect();
        for id in &ids {
            handled.end(id, true, now);
        }
        assert_eq!(handled.look(&ids[1]), Known::New);
        assert_eq!(handled.look(&ids[2]), Known::Handled);
    }

    #[test]
    fn an_old_id_is_forgotten() {
        let (mut handled, now) = (Handled::default(), clock::now());
        let (old, new) = (MessageId::new(), MessageId::new());
        handled.end(&old, true, now);
        handled.end(&new, true, now + IDS_AGE_MAX);
        assert_eq!(handled.look(&old), Known::Handled);
        handled.end(&new, true, now + IDS_AGE_MAX + std::time::Duration::from_secs(1));
        assert_eq!(handled.look(&old), Known::New);
        assert_eq!(handled.look(&new), Known::Handled);
    }
}
