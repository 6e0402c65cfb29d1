//! Questions to the cluster, which block: run them where that is allowed.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Message as _, Offset, TopicPartitionList};

pub(super) use super::config::ASK_TIMEOUT;
use super::connect::{Asking, NO_TOPIC, listen};
use super::error::{of_client, of_code};
use super::tracker::Mark;
use crate::clock;
use crate::error::{Error, Result};

/// How long a group's broker is waited for: a cluster makes the topic of the groups with its first one, and reads it again
/// after a restart.
const GROUP_TIMEOUT: Duration = Duration::from_secs(15);

/// A partition as the cluster describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartitionFacts {
    pub(super) copies: usize,
    pub(super) has_leader: bool,
}

/// The partitions of a topic; `None` when there is no such topic.
pub(super) fn partitions(asking: &Asking, topic: &str) -> Result<Option<Vec<PartitionFacts>>> {
    listen(asking);
    let metadata = asking
        .fetch_metadata(Some(topic), ASK_TIMEOUT)
        .map_err(|error| of_client(&error, "look at a topic").with("topic", topic))?;
    let Some(found) = metadata.topics().first() else {
        return Ok(None);
    };
    match found.error() {
        Some(
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        ) => Ok(None),
        Some(error) if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE => {
            Err(of_code(error.into(), "look at a topic").with("topic", topic))
        }
        _ => {
            let facts = found.partitions().iter().map(|partition| PartitionFacts {
                copies: partition.replicas().len(),
                has_leader: partition.leader() >= 0,
            });
            Ok(Some(facts.collect()))
        }
    }
}

/// How many partitions a topic has; 0 when there is no such topic.
pub(super) fn count<C: rdkafka::consumer::ConsumerContext>(
    client: &rdkafka::consumer::BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<i32> {
    let failed = |error: Error| error.with("topic", topic);
    let until = clock::now() + timeout;
    loop {
        let error = match client.fetch_metadata(Some(topic), timeout) {
            Ok(metadata) => {
                let Some(found) = metadata.topics().first() else {
                    return Ok(0);
                };
                match found.error() {
                    None => return Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)),
                    Some(
                        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                        | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
                    ) => return Ok(0),
                    Some(error) => of_code(error.into(), "look at a topic"),
                }
            }
            Err(error) => of_client(&error, "look at a topic"),
        };
        if !error.is_temporary() || clock::now() > until {
            return Err(failed(error));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One of the cluster's brokers.
pub(super) fn broker(asking: &Asking) -> Result<Option<i32>> {
    let metadata = asking
        .fetch_metadata(Some(NO_TOPIC), ASK_TIMEOUT)
        .map_err(|error| of_client(&error, "look at the cluster"))?;
    Ok(metadata
        .brokers()
        .first()
        .map(rdkafka::metadata::MetadataBroker::id))
}

/// One end of a topic's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Beginning,
    End,
    /// The first message written at this time, in milliseconds since 1970, or later.
    Time(i64),
}

/// Where `from` is in each of `count` partitions.
pub(super) fn offsets(asking: &Asking, topic: &str, count: usize, from: From) -> Result<Vec<i64>> {
    let failed = |error: &KafkaError| of_client(error, "look for offsets").with("topic", topic);
    let mut list = TopicPartitionList::with_capacity(count);
    for partition in numbers(count) {
        // The protocol asks by time, and has a time of its own for each end.
        let time = match from {
            From::Beginning => Offset::Beginning,
            From::End => Offset::End,
            From::Time(millis) => Offset::Offset(millis.max(0)),
        };
        list.add_partition_offset(topic, partition, time)
            .map_err(|error| failed(&error))?;
    }
    let until = clock::now() + ASK_TIMEOUT;
    let found = loop {
        let found = asking
            .offsets_for_times(list.clone(), ASK_TIMEOUT)
            .and_then(|found| {
                found
                    .elements()
                    .iter()
                    .try_for_each(TopicPartitionListElem::error)?;
                Ok(found)
            });
        match found {
            Ok(found) => break found,
            // A topic that was just created may not be known to every broker yet.
            Err(error) if may_pass(&error) && clock::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(failed(&error)),
        }
    };
    let mut offsets = vec![0; count];
    let mut beyond = false;
    for element in found.elements() {
        let place = usize::try_from(element.partition())
            .ok()
            .and_then(|at| offsets.get_mut(at));
        match (element.offset(), place) {
            (Offset::Offset(offset), Some(place)) => *place = offset,
            // No message is as late.
            (_, Some(place)) => {
                *place = -1;
                beyond = true;
            }
            _ => {}
        }
    }
    if beyond {
        let ends = match from {
            From::Time(_) => self::offsets(asking, topic, count, From::End)?,
            _ => vec![0; count],
        };
        for (offset, end) in offsets.iter_mut().zip(ends).filter(|(offset, _)| **offset < 0) {
            *offset = end;
        }
    }
    Ok(offsets)
}

/// Where a group stands in each of `count` partitions; `None` where it committed nothing.
pub(super) fn committed<C: rdkafka::consumer::ConsumerContext>(
    client: &rdkafka::consumer::BaseConsumer<C>,
    topic: &str,
    count: usize,
) -> Result<Vec<Option<Mark>>> {
    let mut list = TopicPartitionList::with_capacity(count);
    for partition in numbers(count) {
        list.add_partition(topic, partition);
    }
    let found = ask_committed(client, &list)?;
    let mut marks = vec![None; count];
    for (_, partition, mark) in read_marks(&found)? {
        if let Some(place) = usize::try_from(partition).ok().and_then(|at| marks.get_mut(at)) {
            *place = mark;
        }
    }
    Ok(marks)
}

/// Asks for offsets of the client's group, for as long as its broker is not known.
pub(super) fn ask_committed<C: rdkafka::consumer::ConsumerContext>(
    client: &rdkafka::consumer::BaseConsumer<C>,
    list: &TopicPartitionList,
) -> Result<TopicPartitionList> {
    let until = clock::now() + GROUP_TIMEOUT;
    loop {
        match client.committed_offsets(list.clone(), ASK_TIMEOUT) {
            Ok(found) => return Ok(found),
            Err(error) => {
                let error = of_client(&error, "look for a group's offsets");
                if !error.is_temporary() || clock::now() > until {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// The offsets of a list, with what is written beside them.
pub(super) fn read_marks(list: &TopicPartitionList) -> Result<Vec<(String, i32, Option<Mark>)>> {
    let mut marks = Vec::with_capacity(list.count());
    for element in list.elements() {
        element
            .error()
            .map_err(|error| of_client(&error, "look for a group's offsets"))?;
        let mark = match element.offset() {
            Offset::Offset(offset) => {
                // The client panics at what is not UTF-8, which another program may have written.
                let text =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| element.metadata().to_owned()));
                Some(Mark::read(offset, &text.unwrap_or_default()))
            }
            _ => None,
        };
        marks.push((element.topic().to_owned(), element.partition(), mark));
    }
    Ok(marks)
}

/// The list that commits `marks`.
pub(super) fn marks_list<'a>(
    marks: impl IntoIterator<Item = (&'a str, i32, &'a Mark)>,
) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, mark) in marks {
        let mut element = list.add_partition(topic, partition);
        element
            .set_offset(Offset::Offset(mark.offset.max(0)))
            .map_err(|error| of_client(&error, "commit"))?;
        let text = mark.text();
        if !text.is_empty() {
            element.set_metadata(text);
        }
    }
    Ok(list)
}

/// Sets a group that has no members to these offsets.
///
/// # Errors
///
/// [`LeaseLost`](crate::ErrorKind::LeaseLost) when it has members.
pub(super) fn set_offsets(client: &Asking, topic: &str, offsets: &[i64]) -> Result<()> {
    let marks: Vec<Mark> = offsets
        .iter()
        .map(|offset| Mark {
            offset: *offset,
            begun_to: *offset,
            ..Mark::default()
        })
        .collect();
    let places = numbers(marks.len())
        .zip(&marks)
        .map(|(partition, mark)| (topic, partition, mark));
    let list = marks_list(places)?;
    let until = clock::now() + GROUP_TIMEOUT;
    loop {
        match client.commit(&list, CommitMode::Sync) {
            Ok(()) => return Ok(()),
            Err(error) => {
                let error = of_client(&error, "set a group's offsets");
                if !error.is_temporary() || clock::now() > until {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// When the message at this place was written, in milliseconds since 1970; `None` when there is none.
pub(super) fn time_at(reading: &Asking, topic: &str, partition: i32, offset: i64) -> Result<Option<i64>> {
    let failed = |error: &KafkaError| of_client(error, "read one message").with("topic", topic);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))
        .map_err(|error| failed(&error))?;
    reading.assign(&list).map_err(|error| failed(&error))?;
    let until = clock::now() + ASK_TIMEOUT;
    let mut found = None;
    while found.is_none() && clock::now() < until {
        match reading.poll(Duration::from_millis(100)) {
            Some(Ok(record)) if record.offset() >= offset => found = record.timestamp().to_millis(),
            Some(Err(error)) if !of_client(&error, "").is_temporary() => return Err(failed(&error)),
            _ => {}
        }
    }
    reading.unassign().map_err(|error| failed(&error))?;
    Ok(found)
}

fn may_pass(error: &KafkaError) -> bool {
    let error = of_client(error, "");
    error.is_temporary() || error.kind() == crate::ErrorKind::TopicMissing
}

/// The numbers of `count` partitions.
pub(super) fn numbers(count: usize) -> impl Iterator<Item = i32> {
    0..i32::try_from(count).unwrap_or(i32::MAX)
}

/// Whether the group has members that keep its offsets to themselves.
pub(super) fn has_members(error: &Error) -> bool {
    error.kind() == crate::ErrorKind::LeaseLost
}

/// The error of a topic that is not there.
pub(super) fn missing(topic: &str) -> Error {
    of_code(Code::UnknownTopicOrPartition, "look at a topic").with("topic", topic)
}
