//! What of a partition is done, and how that is written down.
//!
//! Kafka keeps one offset a group and partition: everything before it is done. What is done above it, out of order, and
//! how often the messages from it on were begun, is written into the text that Kafka keeps beside the offset, so that
//! neither a restart nor another member forgets it.

use std::collections::VecDeque;
use std::fmt::Write as _;

/// The most bytes of the text; brokers take 4,096 (`offset.metadata.max.bytes`).
const TEXT_LEN_MAX: usize = 3_800;
const TEXT_BEGINS: &str = "ductape1";

/// Where a group stands in a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Everything before it is done.
    pub(super) offset: i64,
    /// Done above it: first and last offset, ascending.
    pub(super) done: Vec<(i64, i64)>,
    /// How many owners began what follows and did not end in order.
    pub(super) begun: u32,
    /// Up to which offset they may have come.
    pub(super) begun_to: i64,
}

impl Mark {
    /// Reads what Kafka keeps; a text that is not ours says nothing.
    pub(super) fn read(offset: i64, text: &str) -> Self {
        let mut mark = Self {
            offset,
            begun_to: offset,
            ..Self::default()
        };
        let mut parts = text.split(';');
        if parts.next() != Some(TEXT_BEGINS) {
            return mark;
        }
        for part in parts {
            let Some((name, value)) = part.split_once('=') else {
                continue;
            };
            match name {
                "n" => mark.begun = value.parse().unwrap_or(0),
                "h" => mark.begun_to = offset.saturating_add(value.parse::<u32>().unwrap_or(0).into()),
                "a" => mark.read_done(value),
                _ => {}
            }
        }
        mark
    }

    fn read_done(&mut self, value: &str) {
        for range in value.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else {
                return;
            };
            let at = |number: u32| self.offset.saturating_add(number.into());
            let after = self.done.last().map_or(self.offset - 1, |(_, last)| *last);
            let (first, last) = (at(first), at(last));
            if first <= after || last < first {
                return;
            }
            self.done.push((first, last));
        }
    }

    /// The text that Kafka keeps beside the offset; what does not fit is done again.
    pub(super) fn text(&self) -> String {
        if self.begun == 0 && self.done.is_empty() {
            return String::new();
        }
        let relative = |offset: i64| offset.saturating_sub(self.offset).max(0);
        let mut text = TEXT_BEGINS.to_owned();
        if self.begun > 0 {
            let _ = write!(text, ";n={};h={}", self.begun, relative(self.begun_to));
        }
        for (i, (first, last)) in self.done.iter().enumerate() {
            let before = text.len();
            text.push_str(if i == 0 { ";a=" } else { "," });
            let _ = write!(text, "{}", relative(*first));
            if last > first {
                let _ = write!(text, "-{}", relative(*last));
            }
            if text.len() > TEXT_LEN_MAX {
                text.truncate(before);
                break;
            }
        }
        text
    }

    /// How many messages above the offset are done.
    pub(super) fn done_count(&self) -> u64 {
        let counts = self.done.iter().map(|(first, last)| last - first + 1);
        u64::try_from(counts.sum::<i64>()).unwrap_or(0)
    }
}

/// What of a partition was received since it was assigned.
#[derive(Debug)]
pub(super) struct Tracker {
    /// Everything before it is done, unless `entries` begins earlier.
    next: Option<i64>,
    /// Received, from the first on that is not done.
    entries: VecDeque<(i64, bool)>,
    /// Done by an earlier owner, above what was received.
    done_before: VecDeque<(i64, i64)>,
}

impl Tracker {
    /// Begins at `mark`, or where the first message comes from.
    pub(super) fn new(mark: Option<&Mark>) -> Self {
        Self {
            next: mark.map(|mark| mark.offset),
            entries: VecDeque::new(),
            done_before: mark
                .map(|mark| mark.done.iter().copied().collect())
                .unwrap_or_default(),
        }
    }

    /// Notes a message; whether it is to be handled, or was before.
    pub(super) fn received(&mut self, offset: i64) -> bool {
        while self.done_before.front().is_some_and(|(_, last)| *last < offset) {
            self.done_before.pop_front();
        }
        let done = self
            .done_before
            .front()
            .is_some_and(|(first, _)| *first <= offset);
        if self.entries.is_empty() && done {
            self.next = Some(offset + 1);
        } else {
            self.entries.push_back((offset, done));
            self.next = Some(offset + 1);
        }
        !done
    }

    /// Notes that a message is done.
    pub(super) fn done(&mut self, offset: i64) {
        if let Ok(at) = self.entries.binary_search_by_key(&offset, |(offset, _)| *offset) {
            self.entries[at].1 = true;
        }
        while self.entries.front().is_some_and(|(_, done)| *done) {
            self.entries.pop_front();
        }
    }

    /// Everything before it is done; `None` while nothing is known.
    pub(super) fn watermark(&self) -> Option<i64> {
        self.entries.front().map(|(offset, _)| *offset).or(self.next)
    }

    /// What to write down; without what was begun.
    pub(super) fn mark(&self) -> Option<Mark> {
        let offset = self.watermark()?;
        let mut done: Vec<(i64, i64)> = Vec::new();
        let mut open = false;
        for (offset, is_done) in &self.entries {
            match done.last_mut().filter(|_| open) {
                Some(range) if *is_done => range.1 = *offset,
                _ if *is_done => done.push((*offset, *offset)),
                _ => {}
            }
            open = *is_done;
        }
        done.extend(
            self.done_before
                .iter()
                .filter(|(_, last)| self.next.is_none_or(|next| *last >= next))
                .map(|(first, last)| ((*first).max(self.next.unwrap_or(*first)), *last)),
        );
        Some(Mark {
            offset,
            done,
            begun: 0,
            begun_to: offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, TEXT_LEN_MAX, Tracker};

    fn received(from: i64, to: i64, mark: Option<&Mark>) -> Tracker {
        let mut tracker = Tracker::new(mark);
        for offset in from..to {
            tracker.received(offset);
        }
        tracker
    }

    #[test]
    fn the_mark_never_passes_what_is_not_done() {
        let mut tracker = received(10, 15, None);
        assert_eq!(tracker.watermark(), Some(10));
        tracker.done(14);
        tracker.done(12);
        assert_eq!(tracker.watermark(), Some(10));
        assert_eq!(tracker.mark().unwrap().done, [(12, 12), (14, 14)]);
        tracker.done(10);
        tracker.done(11);
        assert_eq!(tracker.watermark(), Some(13));
        assert_eq!(tracker.mark().unwrap().done, [(14, 14)]);
        tracker.done(13);
        assert_eq!(
            tracker.mark(),
            Some(Mark {
                offset: 15,
                begun_to: 15,
                ..Mark::default()
            })
        );
    }

    #[test]
    fn a_partition_without_messages_stays_where_it_was() {
        let mark = Mark {
            offset: 7,
            begun_to: 7,
            ..Mark::default()
        };
        assert_eq!(Tracker::new(Some(&mark)).mark(), Some(mark));
        assert_eq!(Tracker::new(None).mark(), None);
    }

    #[test]
    fn offsets_that_compaction_removed_are_passed() {
        let mut tracker = Tracker::new(None);
        for offset in [3, 9, 20] {
            assert!(tracker.received(offset));
        }
        tracker.done(9);
        tracker.done(3);
        assert_eq!(tracker.watermark(), Some(20));
        tracker.done(20);
        assert_eq!(tracker.watermark(), Some(21));
    }

    #[test]
    fn what_an_earlier_owner_did_is_not_done_again() {
        let mut first = received(0, 6, None);
        for offset in [1, 2, 4] {
            first.done(offset);
        }
        let mark = first.mark().unwrap();
        let mark = Mark::read(mark.offset, &mark.text());
        assert_eq!((mark.offset, mark.done_count()), (0, 3));
        let mut second = Tracker::new(Some(&mark));
        let handled: Vec<i64> = (0..6).filter(|offset| second.received(*offset)).collect();
        assert_eq!(handled, [0, 3, 5]);
        second.done(0);
        assert_eq!(
            second.mark().unwrap(),
            Mark {
                offset: 3,
                done: vec![(4, 4)],
                begun: 0,
                begun_to: 3
            }
        );
        // And not forgotten before it is received.
        let mut third = Tracker::new(Some(&mark));
        assert_eq!(third.mark().unwrap().done, [(1, 2), (4, 4)]);
        third.received(0);
        third.received(1);
        assert_eq!(third.mark().unwrap().done, [(1, 1), (2, 2), (4, 4)]);
    }

    #[test]
    fn the_text_comes_back_as_it_was_and_has_a_bound() {
        let mark = Mark {
            offset: 1_000,
            done: vec![(1_001, 1_001), (1_005, 1_900)],
            begun: 3,
            begun_to: 1_256,
        };
        assert_eq!(mark.text(), "ductape1;n=3;h=256;a=1,5-900");
        assert_eq!(Mark::read(1_000, &mark.text()), mark);
        let many = Mark {
            offset: 0,
            done: (1..5_000).map(|i| (i * 2, i * 2)).collect(),
            begun: 0,
            begun_to: 0,
        };
        assert!(many.text().len() <= TEXT_LEN_MAX);
        let read = Mark::read(0, &many.text());
        assert!(read.done.len() > 500 && many.done.starts_with(&read.done));
    }

    #[test]
    fn a_text_that_is_not_ours_says_nothing() {
        let plain = Mark {
            offset: 5,
            begun_to: 5,
            ..Mark::default()
        };
        for text in [
            "",
            "NO_METADATA",
            "ductape1;a=x",
            "ductape1;a=3-1",
            "ductape1;n=-1",
            "ductape2;a=1",
            "ductape1;a",
            "\u{263a}",
        ] {
            assert_eq!(Mark::read(5, text), plain, "{text}");
        }
        assert_eq!(Mark::read(5, "ductape1;a=1,1,2").done, [(6, 6)]);
    }
}
