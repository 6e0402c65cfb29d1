//! Which retries a member reads: who has a partition of the topic has the same one of the group's retries.
//!
//! Kafka shares the topic alone. What shares partitions so that most stay where they are looks at how many a member has, not at
//! their topics: were the group subscribed to both, one member would get all messages, and another all retries.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};

use super::ask;
use super::member::Reads;
use crate::error::Result;

/// How long a question may take while partitions are shared.
const SHARING_ASK_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for a look beside the work.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// How many partitions there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    main: i32,
    retry: i32,
}

impl Counts {
    fn ask<C: ConsumerContext>(client: &BaseConsumer<C>, reads: &Reads, timeout: Duration) -> Result<Self> {
        let Some(retry) = &reads.retry else {
            return Ok(Self::default());
        };
        Ok(Self {
            main: ask::count(client, &reads.main, timeout)?,
            retry: ask::count(client, retry, timeout)?,
        })
    }

    /// The partition of the topic with which this one of the retries goes.
    const fn goes_with(self, retry: i32) -> i32 {
        if retry < self.main { retry } else { 0 }
    }

    /// The retries of those who have the partitions `mains`, each with the one it goes with.
    fn of(self, mains: &[i32]) -> BTreeMap<i32, i32> {
        (0..self.retry)
            .map(|retry| (retry, self.goes_with(retry)))
            .filter(|(_, main)| mains.contains(main))
            .collect()
    }
}

/// The retries that a member has.
#[derive(Debug, Default)]
pub(super) struct Retries(Mutex<Shares>);

#[derive(Debug, Default)]
struct Shares {
    counts: Counts,
    /// Each with the partition of the topic that it goes with.
    had: BTreeMap<i32, i32>,
}

impl Retries {
    fn lock(&self) -> MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks how many partitions there are.
    pub(super) fn look<C: ConsumerContext>(&self, client: &BaseConsumer<C>, reads: &Reads) -> Result<()> {
        let counts = Counts::ask(client, reads, ask::ASK_TIMEOUT)?;
        self.lock().counts = counts;
        Ok(())
    }

    /// What comes with partitions that this member gets: they, and their retries.
    pub(super) fn come_with<C: ConsumerContext>(
        &self,
        client: &BaseConsumer<C>,
        reads: &Reads,
        list: &TopicPartitionList,
    ) -> TopicPartitionList {
        let asked = Counts::ask(client, reads, SHARING_ASK_TIMEOUT);
        let mut shares = self.lock();
        match asked {
            Ok(counts) => shares.counts = counts,
            // What is wrong by that is seen at the next look.
            Err(error) => tracing::debug!(%error, topic = reads.main, "partitions can't be counted"),
        }
        let come = shares.counts.of(&numbers(list, &reads.main));
        shares.had.extend(&come);
        with(list, reads, come.into_keys())
    }

    /// What goes with partitions that are taken from this member.
    pub(super) fn go_with(&self, reads: &Reads, list: &TopicPartitionList) -> TopicPartitionList {
        let mains = numbers(list, &reads.main);
        let mut shares = self.lock();
        let (go, stay) = std::mem::take(&mut shares.had)
            .into_iter()
            .partition::<BTreeMap<i32, i32>, _>(|(_, main)| mains.contains(main));
        shares.had = stay;
        with(list, reads, go.into_keys())
    }

    /// Whether a member that has `mains` would have other retries, as many partitions as there are now.
    pub(super) fn differ<C: ConsumerContext>(
        &self,
        client: &BaseConsumer<C>,
        reads: &Reads,
        mains: &[i32],
    ) -> bool {
        match Counts::ask(client, reads, LOOK_TIMEOUT) {
            Ok(counts) => counts.of(mains) != self.lock().had,
            Err(_) => false,
        }
    }
}

/// The partitions of `topic` in a list.
fn numbers(list: &TopicPartitionList, topic: &str) -> Vec<i32> {
    let elements = list.elements();
    let of_topic = elements.iter().filter(|element| element.topic() == topic);
    of_topic
        .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
        .collect()
}

/// A list, and these retries.
fn with(list: &TopicPartitionList, reads: &Reads, retries: impl Iterator<Item = i32>) -> TopicPartitionList {
    let mut all = list.clone();
    if let Some(topic) = &reads.retry {
        for retry in retries {
            all.add_partition(topic, retry);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rdkafka::TopicPartitionList;

    use super::{Counts, Retries, numbers};
    use crate::kafka::member::Reads;

    #[test]
    fn each_retry_is_one_members() {
        for (main, retry) in [(3, 3), (8, 1), (1, 8), (4, 6), (6, 4)] {
            let counts = Counts { main, retry };
            let (even, odd): (Vec<i32>, Vec<i32>) = (0..main).partition(|number| number % 2 == 0);
            let (even, odd) = (counts.of(&even), counts.of(&odd));
            let all: Vec<i32> = even.keys().chain(odd.keys()).copied().collect();
            let once: BTreeSet<i32> = all.iter().copied().collect();
            assert_eq!(all.len(), once.len(), "{main} {retry}");
            assert_eq!(once, (0..retry).collect(), "{main} {retry}");
        }
    }

    #[test]
    fn retries_go_with_what_they_came_with() {
        let reads = Reads {
            main: "t".to_owned(),
            retry: Some("t.g.retry".to_owned()),
            start: None,
            in_log: true,
        };
        let retries = Retries::default();
        retries.lock().had = [(0, 0), (1, 1), (3, 0)].into();
        let mut list = TopicPartitionList::new();
        list.add_partition("t", 0);
        let gone = retries.go_with(&reads, &list);
        assert_eq!(numbers(&gone, "t"), [0]);
        assert_eq!(numbers(&gone, "t.g.retry"), [0, 3]);
        assert_eq!(retries.lock().had, [(1, 1)].into());
    }
}
