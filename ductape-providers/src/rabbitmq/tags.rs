//! Which delivery tags can be acknowledged together.

use std::collections::VecDeque;

/// What became of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its delivery is in hand.
    Held,
    /// Its delivery is done, and the server does not know yet.
    Done,
    /// The server was told.
    Told,
}

/// An acknowledgement to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) tag: u64,
    /// Whether it is of all tags up to this one.
    pub(super) multiple: bool,
}

/// The tags of a channel, from the lowest on that is in hand. A channel counts its deliveries from 1, without gaps.
#[derive(Debug)]
pub(super) struct Tags {
    first: u64,
    states: VecDeque<State>,
}

impl Default for Tags {
    fn default() -> Self {
        Self {
            first: 1,
            states: VecDeque::new(),
        }
    }
}

impl Tags {
    /// Notes a delivery; those of a channel come in order.
    pub(super) fn arrived(&mut self, tag: u64) {
        if self.states.is_empty() {
            self.first = tag;
        }
        while self.first + (self.states.len() as u64) < tag {
            self.states.push_back(State::Told);
        }
        self.states.push_back(State::Held);
    }

    /// Notes that these are done, and adds what the server must be told: one acknowledgement of all up to the lowest tag
    /// that is in hand, and one of each that is done beyond it.
    pub(super) fn done(&mut self, tags: &[u64], acks: &mut Vec<Ack>) {
        for tag in tags {
            if let Some(state) = self.state(*tag) {
                *state = State::Done;
            }
        }
        let (mut last, mut count) = (None, 0);
        while let Some(state) = self.states.front().filter(|state| **state != State::Held) {
            if *state == State::Done {
                last = Some(self.first);
                count += 1;
            }
            self.states.pop_front();
            self.first += 1;
        }
        if let Some(tag) = last {
            acks.push(Ack {
                tag,
                multiple: count > 1,
            });
        }
        for tag in tags {
            if let Some(state) = self.state(*tag).filter(|state| **state == State::Done) {
                *state = State::Told;
                acks.push(Ack {
                    tag: *tag,
                    multiple: false,
                });
            }
        }
    }

    fn state(&mut self, tag: u64) -> Option<&mut State> {
        let at = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        self.states.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ack, Tags};

    fn done(tags: &mut Tags, which: &[u64]) -> Vec<(u64, bool)> {
        let mut acks = Vec::new();
        tags.done(which, &mut acks);
        acks.into_iter()
            .map(|Ack { tag, multiple }| (tag, multiple))
            .collect()
    }

    fn arrived(tags: impl IntoIterator<Item = u64>) -> Tags {
        let mut all = Tags::default();
        for tag in tags {
            all.arrived(tag);
        }
        all
    }

    #[test]
    fn what_is_done_in_order_is_one_acknowledgement() {
        let mut tags = arrived(1..=6);
        assert_eq!(done(&mut tags, &[1]), [(1, false)]);
        assert_eq!(done(&mut tags, &[2, 3, 4]), [(4, true)]);
        assert_eq!(done(&mut tags, &[6, 5]), [(6, true)]);
        assert!(tags.states.is_empty());
        tags.arrived(7);
        assert_eq!(done(&mut tags, &[7]), [(7, false)]);
    }

    #[test]
    fn what_is_in_hand_is_never_acknowledged_along() {
        let mut tags = arrived(1..=5);
        assert_eq!(done(&mut tags, &[3, 5]), [(3, false), (5, false)]);
        // 3 was told before: the server would not know it any more, so that 2 must be the last of them.
        assert_eq!(done(&mut tags, &[1, 2]), [(2, true)]);
        assert_eq!(done(&mut tags, &[4]), [(4, false)]);
        assert!(tags.states.is_empty());
    }

    #[test]
    fn a_tag_that_is_not_there_is_nothing() {
        let mut tags = arrived([1, 2]);
        assert_eq!(done(&mut tags, &[0, 9]), []);
        assert_eq!(done(&mut tags, &[1]), [(1, false)]);
        assert_eq!(done(&mut tags, &[1]), []);
    }

    #[test]
    fn a_gap_is_not_acknowledged() {
        let mut tags = arrived([1, 4, 5]);
        assert_eq!(done(&mut tags, &[1, 4]), [(4, true)]);
        assert_eq!(done(&mut tags, &[5]), [(5, false)]);
    }
}
