//! Where groups stand: setting them elsewhere, and counting what is before them.

use std::sync::Arc;
use std::time::Duration;

use ductape_schema::GroupName;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::ask::{self, From};
use super::error::unsupported;
use super::provider::{Inner, Member};
use super::state::Ask;
use super::tracker::Mark;
use super::wire::place;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;
use crate::provider::Backlog;
use crate::spec::{GroupSpec, SeekTo};

/// How long a seek waits until this connection's members have every partition.
const SHARED_WITHIN: Duration = Duration::from_secs(8);

impl Inner {
    pub(super) async fn seek(
        self: &Arc<Self>,
        topic: &TopicName,
        name: &GroupName,
        to: SeekTo,
    ) -> Result<()> {
        let known = self.known(topic).await?;
        let group = self.group(&known, &GroupSpec::new(name.clone())).await?;
        let main = known.topic.main.clone();
        let offsets = self.ask_group(&group.id, move |client, asking| {
            let count = ask::partitions(asking, &main)?
                .ok_or_else(|| ask::missing(&main))?
                .len();
            match to {
                SeekTo::Earliest => ask::offsets(asking, &main, count, From::Beginning),
                SeekTo::Latest => ask::offsets(asking, &main, count, From::End),
                SeekTo::Time(time) => {
                    let millis = i64::try_from(clock::to_millis(time)).unwrap_or(i64::MAX);
                    ask::offsets(asking, &main, count, From::Time(millis))
                }
                SeekTo::Position(position) => {
                    let (partition, offset) = place(position);
                    let of = usize::try_from(partition).ok().filter(|of| *of < count);
                    let time = of.and_then(|_| ask::time_at(client, &main, partition, offset).transpose());
                    let (Some(of), Some(time)) = (of, time) else {
                        let text = format!("there is no message at offset {offset} of partition {partition}");
                        return Err(Error::new(ErrorKind::Unexpected, text).with("topic", &main));
                    };
                    // The other partitions are set to what was written at the same time.
                    let mut offsets = ask::offsets(asking, &main, count, From::Time(time?))?;
                    offsets[of] = offset;
                    Ok(offsets)
                }
            }
        });
        let offsets = offsets.await?;
        if self.members(topic, name).is_empty() {
            if group.own.is_some() {
                return Err(unsupported(
                    "the group lives as long as its subscription, and has none",
                ));
            }
            let main = known.topic.main.clone();
            let set = self.ask_group(&group.id, move |client, _| {
                ask::set_offsets(client, &main, &offsets)
            });
            return set.await.map_err(|error| {
                if ask::has_members(&error) {
                    elsewhere(name, Some(error))
                } else {
                    error
                }
            });
        }
        self.seek_members(topic, name, &offsets).await
    }

    /// Sets a group by its members, which must have all of its partitions.
    async fn seek_members(&self, topic: &TopicName, name: &GroupName, offsets: &[i64]) -> Result<()> {
        let mut left: Vec<(i32, i64)> = (0..).zip(offsets.iter().copied()).collect();
        let until = clock::now() + SHARED_WITHIN;
        loop {
            for Member { shared, .. } in self.members(topic, name) {
                let (its, others): (Vec<_>, Vec<_>) = left
                    .iter()
                    .copied()
                    .partition(|(partition, _)| shared.owns(*partition));
                if its.is_empty() {
                    continue;
                }
                let (answer, answered) = oneshot::channel();
                shared.ask(Ask::Seek(its, answer));
                match answered.await {
                    Ok(Ok(())) => left = others,
                    Ok(Err(error)) if !error.is_temporary() && !ask::has_members(&error) => {
                        return Err(error);
                    }
                    // It lost its partitions meanwhile, or ended.
                    _ => {}
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            if clock::now() > until {
                return Err(elsewhere(name, None));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn backlog(self: &Arc<Self>, topic: &TopicName, name: &GroupName) -> Result<Backlog> {
        let known = self.known(topic).await?;
        let group = self.group(&known, &GroupSpec::new(name.clone())).await?;
        let (mut in_flight, mut parked) = (0, 0);
        for member in self.members(topic, name) {
            let (held, waiting) = member.shared.counts();
            in_flight += u64::try_from(held).unwrap_or(u64::MAX);
            parked += u64::try_from(waiting).unwrap_or(u64::MAX);
        }
        let (main, retry) = (known.topic.main.clone(), group.retry.clone());
        let start = group.own.as_ref().map(|own| own.start.clone());
        let own = start.is_some();
        let before = self.ask_group(&group.id, move |client, asking| {
            let before = before(client, asking, &main, start.as_deref())?;
            let retries = if own {
                0
            } else {
                before_all(client, asking, &retry)?
            };
            Ok(before + retries)
        });
        let before = before.await?;
        let dead = group.dead.clone();
        let dead_letters = self.ask_group(&group.dead, move |client, asking| {
            before_all(client, asking, &dead)
        });
        Ok(Backlog {
            ready: before.saturating_sub(in_flight).saturating_sub(parked),
            delayed: parked,
            in_flight,
            dead_letters: dead_letters.await?,
        })
    }
}

fn elsewhere(name: &GroupName, source: Option<Error>) -> Error {
    let error = unsupported(format!(
        "other processes have members of group `{name}`, and Kafka lets only members set it; stop them first"
    ));
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

type Asking = super::connect::Asking;

/// How many messages of a topic a group has before it; all of them where it has no place.
fn before_all(client: &Asking, asking: &Asking, topic: &str) -> Result<u64> {
    before(client, asking, topic, None)
}

/// The same; a group that commits nothing stands at `start`.
fn before(client: &Asking, asking: &Asking, topic: &str, start: Option<&[i64]>) -> Result<u64> {
    let Some(partitions) = ask::partitions(asking, topic)? else {
        return Ok(0);
    };
    let count = partitions.len();
    let marks = match start {
        Some(start) => start
            .iter()
            .map(|offset| {
                Some(Mark {
                    offset: *offset,
                    ..Mark::default()
                })
            })
            .collect(),
        None => ask::committed(client, topic, count)?,
    };
    let ends = ask::offsets(asking, topic, count, From::End)?;
    let beginnings = ask::offsets(asking, topic, count, From::Beginning)?;
    let mut before = 0;
    for (at, end) in ends.iter().enumerate() {
        let mark = marks.get(at).cloned().flatten().unwrap_or_default();
        let from = mark.offset.max(beginnings[at]);
        let left = u64::try_from(end - from).unwrap_or(0);
        before += left.saturating_sub(mark.done_count());
    }
    Ok(before)
}
