//! Which member holds a key, and what of the key waits.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::embedded::memory::entries::NONE;

/// The hash of a key; 0 is "no key". Two keys of one hash are ordered as one, which costs concurrency and nothing else.
pub(super) type KeyHash = u64;

/// The hash of no key.
pub(super) const NO_KEY: KeyHash = 0;

/// A fast hash of `key`, never [`NO_KEY`].
pub(super) fn hash(key: &[u8]) -> KeyHash {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    const fn fold(a: u64, b: u64) -> u64 {
        let wide = (a as u128).wrapping_mul(b as u128);
        let (low, high) = (wide & u64::MAX as u128, wide >> 64);
        // Both halves fit.
        #[allow(clippy::cast_possible_truncation)]
        let folded = low as u64 ^ high as u64;
        folded
    }
    let mut state = ODD ^ key.len() as u64;
    let (chunks, rest) = key.as_chunks::<8>();
    for chunk in chunks {
        state = fold(state ^ u64::from_le_bytes(*chunk), ODD).wrapping_add(ODD);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(state ^ u64::from_le_bytes(last), 0xd6e8_feb8_6659_fd93).max(1)
}

/// What a queue knows of one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyState {
    /// The member that has deliveries of it, where there are any.
    pub(super) holder: u32,
    /// How many deliveries the holder has.
    pub(super) leased: u32,
    /// The first entry that waits, and the last: a chain through the entries, in order.
    pub(super) head: u32,
    pub(super) tail: u32,
}

impl KeyState {
    const EMPTY: Self = Self {
        holder: 0,
        leased: 0,
        head: NONE,
        tail: NONE,
    };

    /// Whether another member has deliveries of it.
    pub(super) const fn held_from(&self, member: u32) -> bool {
        self.leased > 0 && self.holder != member
    }
}

/// The keys that are delivered or wait.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<KeyHash, KeyState, BuildHasherDefault<AsIs>>);

impl Keys {
    pub(super) fn get(&self, key: KeyHash) -> Option<&KeyState> {
        self.0.get(&key)
    }

    pub(super) fn entry(&mut self, key: KeyHash) -> &mut KeyState {
        self.0.entry(key).or_insert(KeyState::EMPTY)
    }

    /// Counts a delivery of `key` to `member`.
    pub(super) fn lease(&mut self, key: KeyHash, member: u32) {
        let state = self.entry(key);
        state.holder = member;
        state.leased += 1;
    }

    /// Ends a delivery of `key`, and says which entry may follow now that nobody has any.
    pub(super) fn release(&mut self, key: KeyHash) -> Option<u32> {
        let state = self.0.get_mut(&key)?;
        state.leased = state.leased.saturating_sub(1);
        if state.leased > 0 {
            return None;
        }
        if state.head == NONE {
            self.0.remove(&key);
            return None;
        }
        Some(state.head)
    }

    /// Takes the first waiting entry out of the chain; `next` is the one after it.
    pub(super) fn pop(&mut self, key: KeyHash, next: u32) {
        if let Some(state) = self.0.get_mut(&key) {
            state.head = next;
            if next == NONE {
                state.tail = NONE;
                if state.leased == 0 {
                    self.0.remove(&key);
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A hasher for what is a hash already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::{NO_KEY, hash};

    #[test]
    fn keys_that_differ_hash_differently() {
        let keys = (0..100_000).map(|n| format!("order-{n}"));
        let hashes: std::collections::HashSet<_> = keys.map(|key| hash(key.as_bytes())).collect();
        assert_eq!(hashes.len(), 100_000);
        assert_ne!(hash(b""), hash(b"\0"));
        assert_ne!(hash(b"12345678"), hash(b"12345678\0"));
        assert!(!hashes.contains(&NO_KEY));
    }
}
