//! What waits to be written: bounded, with a reserve for what went wrong.

use std::mem;
use std::sync::Arc;

use ductape_providers::TopicName;
use ductape_store::tracking::TopicPlace;

use super::record::Happened;

/// How much may wait of which the detail can be left out.
const DETAIL_MAX: usize = 65_536;
/// How much more may wait of what went wrong.
const RESERVE: usize = 65_536;

/// The groups that consume a topic, from a place in what happened on.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) from: usize,
    pub(super) topic: TopicName,
    pub(super) groups: Arc<[Arc<str>]>,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    happened: Vec<Happened>,
    /// No more than consumers that begin.
    joined: Vec<Joined>,
    left_out: Vec<(Arc<TopicPlace>, u64)>,
    /// Failures that not even the reserve had room for.
    lost: u64,
    /// How much was told, and how much of that is written or given up: for those who wait until it is.
    pub(super) told: u64,
}

/// What is written at once.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) happened: Vec<Happened>,
    pub(super) joined: Vec<Joined>,
    pub(super) left_out: Vec<(Arc<TopicPlace>, u64)>,
    pub(super) lost: u64,
    /// Up to which all is in this one and those before.
    pub(super) told: u64,
}

impl Queue {
    /// Adds what happened; leaves its detail out where there is no room.
    pub(super) fn push(&mut self, happened: Happened) {
        let failed = happened.is_failure();
        let most = if failed { DETAIL_MAX + RESERVE } else { DETAIL_MAX };
        if self.happened.len() < most {
            self.told += 1;
            self.happened.push(happened);
            return;
        }
        if failed {
            self.lost += 1;
        }
        let place = Arc::clone(happened.place());
        self.leave_out(&place);
    }

    /// Counts one whose detail is left out.
    pub(super) fn leave_out(&mut self, place: &Arc<TopicPlace>) {
        self.told += 1;
        match self
            .left_out
            .iter_mut()
            .find(|(known, _)| Arc::ptr_eq(known, place))
        {
            Some((_, count)) => *count += 1,
            None => self.left_out.push((Arc::clone(place), 1)),
        }
    }

    /// Says which groups are to have what is produced to a topic from now on.
    pub(super) fn join(&mut self, topic: TopicName, groups: Arc<[Arc<str>]>) {
        let from = self.happened.len();
        self.joined.push(Joined { from, topic, groups });
    }

    pub(super) fn len(&self) -> usize {
        self.happened.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.happened.is_empty() && self.left_out.is_empty()
    }

    /// Takes all.
    pub(super) fn take(&mut self) -> Taken {
        Taken {
            happened: mem::take(&mut self.happened),
            joined: mem::take(&mut self.joined),
            left_out: mem::take(&mut self.left_out),
            lost: mem::take(&mut self.lost),
            told: self.told,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use ductape_providers::{Incoming, MessageId, Outgoing, TopicName};
    use ductape_store::tracking::TopicPlace;

    use super::{DETAIL_MAX, Happened, Queue, RESERVE};
    use crate::consumer::Failure;
    use crate::stats::AttemptResult;
    use crate::tracking::Tracking;
    use crate::tracking::record::{Attempted, Tracked};

    fn topic() -> TopicName {
        TopicName::new("shop:paid".parse().unwrap(), NonZeroU32::MIN)
    }

    fn tracked() -> Arc<Tracked> {
        Arc::new(Tracked {
            place: Arc::new(TopicPlace {
                product: "p".into(),
                env: "dev".into(),
                broker_tag: "shop".into(),
                topic_tag: "paid".into(),
            }),
            tracking: Tracking::default(),
            mask: None,
        })
    }

    fn attempted(tracked: &Arc<Tracked>, result: AttemptResult<'_>) -> Happened {
        let message = Incoming {
            topic: topic(),
            id: MessageId::new(),
            key: None,
            headers: ductape_providers::Headers::new(),
            payload: "{}".into(),
            published_at: None,
            position: None,
            delivery_count: None,
        };
        let group = "billing".parse().unwrap();
        let attempted = Attempted::new(Arc::clone(tracked), &group, &message, 1, result, Duration::ZERO);
        Happened::Attempted(attempted)
    }

    #[test]
    fn a_full_queue_leaves_successes_out_and_keeps_failures() {
        let tracked = tracked();
        let mut queue = Queue::default();
        for _ in 0..DETAIL_MAX {
            queue.push(Happened::Produced(
                Arc::clone(&tracked),
                Outgoing::new(topic(), "{}"),
                None,
            ));
        }
        queue.push(attempted(&tracked, AttemptResult::Handled));
        assert_eq!(queue.len(), DETAIL_MAX);
        let failure = Failure {
            reason: "no".to_owned(),
            error_type: "test",
        };
        for _ in 0..RESERVE {
            queue.push(attempted(&tracked, AttemptResult::DeadLettered(&failure)));
        }
        assert_eq!(queue.len(), DETAIL_MAX + RESERVE);
        queue.push(attempted(&tracked, AttemptResult::DeadLettered(&failure)));
        let taken = queue.take();
        let left_out: u64 = taken.left_out.iter().map(|(_, count)| count).sum();
        assert_eq!(
            (taken.happened.len(), left_out, taken.lost),
            (DETAIL_MAX + RESERVE, 2, 1)
        );
        assert_eq!(taken.told, (DETAIL_MAX + RESERVE + 2) as u64);
        assert!(queue.is_empty());
    }
}
