//! The numbers of a batch's names.

use std::collections::HashMap;
use std::sync::Arc;

use crate::tracking::names::{Groups, Kind, Known, Name, TopicIds};
use crate::tracking::record::{Produced, Record, TopicPlace};

/// How many groups a message can be expected by.
const GROUPS_MAX: usize = 256;
/// The numbers of the names in a batch, by the address of what is shared among its records.
#[derive(Default)]
pub(super) struct Named {
    pub(super) topics: HashMap<usize, TopicIds>,
    pub(super) actors: HashMap<(i64, Kind, usize), i64>,
    pub(super) sets: HashMap<(i64, usize), Groups>,
}

impl Named {
    pub(super) fn topic(&self, topic: &Arc<TopicPlace>) -> Option<TopicIds> {
        self.topics.get(&address(topic)).copied()
    }
}

pub(super) fn address<T: ?Sized>(shared: &Arc<T>) -> usize {
    Arc::as_ptr(shared).cast::<()>() as usize
}

/// Finds the numbers of the names in `records`.
pub(super) fn name(known: &Known, missing: &mut Vec<Name>, records: &[Record]) -> Named {
    let mut named = Named::default();
    for record in records {
        // What is missing below a name that is missing itself is asked for in the next round.
        let _ = match record {
            Record::Produced(produced) => name_produced(known, missing, &mut named, produced),
            Record::Attempted(attempted) => name_topic(known, missing, &mut named, &attempted.topic)
                .and_then(|ids| {
                    name_actor(
                        known,
                        missing,
                        &mut named,
                        ids,
                        &attempted.consumer_tag,
                        Kind::Consumes,
                    )
                })
                .map(|_| ()),
            Record::LeftOut(left_out) => name_topic(known, missing, &mut named, &left_out.topic).map(|_| ()),
        };
    }
    named
}

fn name_topic(
    known: &Known,
    missing: &mut Vec<Name>,
    named: &mut Named,
    topic: &Arc<TopicPlace>,
) -> Option<TopicIds> {
    if let Some(ids) = named.topics.get(&address(topic)) {
        return Some(*ids);
    }
    let product = known.id(0, Kind::Product, &topic.product, missing)?;
    let env = known.id(product, Kind::Env, &topic.env, missing)?;
    let broker = known.id(env, Kind::Broker, &topic.broker_tag, missing)?;
    let topic_id = known.id(broker, Kind::Topic, &topic.topic_tag, missing)?;
    let ids = TopicIds {
        broker,
        topic: topic_id,
    };
    named.topics.insert(address(topic), ids);
    Some(ids)
}

/// A producer and a consumer may share a tag, and each is noted at the topic.
fn name_actor(
    known: &Known,
    missing: &mut Vec<Name>,
    named: &mut Named,
    ids: TopicIds,
    tag: &Arc<str>,
    seen_as: Kind,
) -> Option<i64> {
    let key = (ids.topic, seen_as, address(tag));
    if let Some(id) = named.actors.get(&key) {
        return Some(*id);
    }
    let noted = known.id(ids.topic, seen_as, tag, missing);
    let id = known.id(ids.broker, Kind::Actor, tag, missing)?;
    noted?;
    named.actors.insert(key, id);
    Some(id)
}

fn name_produced(
    known: &Known,
    missing: &mut Vec<Name>,
    named: &mut Named,
    produced: &Produced,
) -> Option<()> {
    let ids = name_topic(known, missing, named, &produced.topic)?;
    name_actor(known, missing, named, ids, &produced.producer_tag, Kind::Produces)?;
    let key = (ids.topic, address(&produced.groups));
    if named.sets.contains_key(&key) {
        return Some(());
    }
    let mut set = Vec::with_capacity(produced.groups.len());
    for group in produced.groups.iter().take(GROUPS_MAX) {
        set.push(name_actor(known, missing, named, ids, group, Kind::Consumes));
    }
    let mut set: Vec<i64> = set.into_iter().collect::<Option<_>>()?;
    set.sort_unstable();
    set.dedup();
    let id = if set.is_empty() {
        0
    } else {
        let tag: Vec<_> = set.iter().map(i64::to_string).collect();
        known.id(ids.topic, Kind::Groups, &tag.join(","), missing)?
    };
    named.sets.insert(key, (id, set.into()));
    Some(())
}
