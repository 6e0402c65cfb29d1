//! What one group has before it, in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use ductape_providers::{Bytes, Delivery, Incoming, Receipt};

/// A message with its place in the topic.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) message: Arc<Incoming>,
}

/// What waits, by position, so that what is given back comes before what is later; and what members have in hand.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<u64, Arc<Incoming>>,
    taken: HashMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    member: u64,
    entry: Entry,
}

/// A member that wants deliveries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) prefetch: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, entry: Entry) {
        self.waiting.insert(entry.position, entry.message);
    }

    pub(crate) fn remove(&mut self, position: u64) {
        self.waiting.remove(&position);
    }

    /// Forgets everything; what is in hand is then nobody's, and settling it answers that its lease is lost.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.taken.clear();
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn in_hand(&self) -> usize {
        self.taken.len()
    }

    /// Hands at most `max` messages to `member`. A key that another member has in hand stays that member's until it settles:
    /// this is all that order per key in a shared group takes.
    pub(crate) fn take(
        &mut self,
        member: Member,
        max: usize,
        next_token: &mut u64,
        into: &mut Vec<Delivery>,
    ) {
        let mine = self.taken.values().filter(|taken| taken.member == member.id);
        let room = member.prefetch.saturating_sub(mine.count()).min(max);
        let others: HashSet<&Bytes> = self
            .taken
            .values()
            .filter(|taken| taken.member != member.id)
            .filter_map(|taken| taken.entry.message.key.as_ref())
            .collect();
        let free = |message: &Incoming| message.key.as_ref().is_none_or(|key| !others.contains(key));
        let picked: Vec<Entry> = self
            .waiting
            .iter()
            .filter(|(_, message)| free(message))
            .take(room)
            .map(|(position, message)| Entry {
                position: *position,
                message: Arc::clone(message),
            })
            .collect();
        for entry in picked {
            self.waiting.remove(&entry.position);
            // Never used again, so that a receipt from before a seek or a close finds nothing.
            *next_token += 1;
            into.push(Delivery {
                message: Incoming::clone(&entry.message),
                receipt: Receipt::new(*next_token),
            });
            let taken = Taken {
                member: member.id,
                entry,
            };
            self.taken.insert(*next_token, taken);
        }
    }

    /// Takes a delivery out of its member's hand; `None` when it is not there.
    pub(crate) fn settle(&mut self, member: u64, token: u64) -> Option<Entry> {
        self.taken.get(&token).filter(|taken| taken.member == member)?;
        self.taken.remove(&token).map(|taken| taken.entry)
    }

    /// Everything that `member` has in hand waits again.
    pub(crate) fn give_back(&mut self, member: u64) {
        let returned = self.taken.extract_if(|_, taken| taken.member == member);
        self.waiting
            .extend(returned.map(|(_, Taken { entry, .. })| (entry.position, entry.message)));
    }
}
