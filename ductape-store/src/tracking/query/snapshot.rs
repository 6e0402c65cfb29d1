//! What the pages of one list have in common.

use std::fmt;

use super::scope::invalid;
use super::source::Key;
use crate::error::Result;

/// What the first page of a list was, and the last that was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// What was recorded up to here is on these pages.
    pub(super) seq: i64,
    pub(super) total: i64,
    /// The newest of the first page.
    pub(super) first: Option<Key>,
    /// Which page was looked at last, and its oldest.
    pub(super) page: u32,
    pub(super) last: Option<Key>,
}

impl Snapshot {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong =
            || invalid("`snapshot` is not what an earlier page answered; leave it out for a new list");
        let mut parts = text.split('.');
        let mut next = || -> Result<i64> {
            let part = parts.next().ok_or_else(wrong)?;
            part.parse().ok().filter(|number| *number >= 0).ok_or_else(wrong)
        };
        let (seq, total) = (next()?, next()?);
        let mut key = || -> Result<Option<Key>> {
            let key = Key {
                produced_at: next()?,
                seq: next()?,
            };
            // Messages are counted from 1.
            Ok((key.seq != 0).then_some(key))
        };
        let (first, last) = (key()?, key()?);
        let page = u32::try_from(next()?).map_err(|_| wrong())?;
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            seq,
            total,
            first,
            page,
            last,
        })
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = Key {
            produced_at: 0,
            seq: 0,
        };
        let (first, last) = (self.first.unwrap_or(none), self.last.unwrap_or(none));
        write!(
            f,
            "{}.{}.{}.{}.{}.{}.{}",
            self.seq, self.total, first.produced_at, first.seq, last.produced_at, last.seq, self.page
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Snapshot};

    #[test]
    fn a_snapshot_reads_back_and_nothing_else_does() {
        let key = |produced_at, seq| Some(Key { produced_at, seq });
        for snapshot in [
            Snapshot::default(),
            Snapshot {
                seq: 9,
                total: 7,
                first: key(5, 4),
                page: 3,
                last: key(2, 1),
            },
        ] {
            assert_eq!(Snapshot::parse(&snapshot.to_string()).unwrap(), snapshot);
        }
        for text in [
            "",
            "1",
            "1.2.3.4.5.6.7.8",
            "1.2.3.4.5.6.-7",
            "a.2.3.4.5.6.7",
            "1.2.3.4.5.6.99999999999",
        ] {
            assert!(Snapshot::parse(text).is_err(), "{text}");
        }
    }
}
