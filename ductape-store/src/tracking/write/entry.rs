//! The records of a batch, gathered by message.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::name::{Named, address};
use crate::error::Result;
use crate::seal::StoreKeys;
use crate::time::micros;
use crate::tracking::code::{delivery, outcome};
use crate::tracking::deltas::Deltas;
use crate::tracking::fold::{Delivery, Step, Tracked};
use crate::tracking::names::{Groups, Kind, TopicIds};
use crate::tracking::record::{Attempted, Original, Outcome, Produced, Record};
use crate::tracking::text;

/// What a message takes in the tables beside its texts, roughly, for retention by size.
const ROW_BYTES: usize = 400;

/// What is only shown of a message, as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::tracking) struct Details<'d> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(in crate::tracking) key: Option<Cow<'d, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(in crate::tracking) idempotency_key: Option<Cow<'d, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(in crate::tracking) metadata: Option<Cow<'d, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(in crate::tracking) process_id: Option<Cow<'d, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(in crate::tracking) session_tag: Option<Cow<'d, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(in crate::tracking) replay_of: Option<Cow<'d, str>>,
}

impl Details<'_> {
    pub(in crate::tracking) fn write(&self) -> String {
        // Maps of texts can always be written.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

fn borrowed(text: Option<&String>) -> Option<Cow<'_, str>> {
    text.map(|text| Cow::Borrowed(text.as_str()))
}

/// What is known of one message, and what the batch tells of it.
pub(super) struct Entry<'r> {
    pub(super) ids: TopicIds,
    pub(super) seq: i64,
    pub(super) message_id: Cow<'r, str>,
    pub(super) told: Option<Told>,
    pub(super) attempts: Vec<Attempt<'r>>,
    pub(super) presence: Presence,
    pub(super) message: Tracked,
    pub(super) expected: Groups,
    /// The consumers whose deliveries changed.
    pub(super) changed: Vec<i64>,
    pub(super) bytes: i64,
    pub(super) created_at: i64,
}

/// Whether the store has a message.
pub(super) enum Presence {
    /// It has not.
    New,
    /// It is to be asked.
    Ask,
    /// It has it.
    Known {
        message: Tracked,
        expected: Groups,
        bytes: i64,
        /// Duplicates that were counted: consumer, redrive, attempt.
        duplicates: HashSet<(i64, i64, i64)>,
    },
}

/// What the record of a produce says.
pub(super) struct Told {
    pub(super) producer: i64,
    pub(super) produced_at: i64,
    pub(super) expected: Groups,
    pub(super) details: String,
    pub(super) payload: Option<Vec<u8>>,
}

/// What the record of an attempt says.
pub(super) struct Attempt<'r> {
    pub(super) record: &'r Attempted,
    pub(super) consumer: i64,
    pub(super) status: i64,
    pub(super) error: Option<String>,
    response: Option<Vec<u8>>,
}

impl Attempt<'_> {
    fn step(&self) -> Step {
        let record = self.record;
        if record.outcome == Outcome::Duplicate {
            return Step::Duplicate {
                consumer: self.consumer,
                redrive: record.redrive.into(),
            };
        }
        let next_at = match &record.outcome {
            Outcome::Retrying { next_at, .. } => Some(micros(*next_at)),
            _ => None,
        };
        Step::Attempt(Delivery {
            consumer: self.consumer,
            status: self.status,
            redrive: record.redrive.into(),
            attempt: record.attempt.into(),
            started_at: micros(record.started_at),
            elapsed: self.elapsed(),
            next_at,
            duplicates: 0,
            error: self.error.clone(),
            response: self.response.clone(),
        })
    }

    pub(super) fn elapsed(&self) -> i64 {
        i64::try_from(self.record.elapsed.as_micros()).unwrap_or(i64::MAX >> 16)
    }
}

/// The records by message, in the order of their first.
pub(super) fn entries<'r>(keys: &StoreKeys, records: &'r [Record], named: &Named) -> Result<Vec<Entry<'r>>> {
    let mut entries: Vec<Entry<'r>> = Vec::with_capacity(records.len());
    let mut places: HashMap<(i64, Cow<'r, str>), usize> = HashMap::with_capacity(records.len());
    let mut place = |entries: &mut Vec<Entry<'r>>, ids: TopicIds, message_id: &'r str, at: i64| {
        let message_id = text::name(message_id);
        *places.entry((ids.topic, message_id.clone())).or_insert_with(|| {
            entries.push(Entry::new(ids, message_id, at));
            entries.len() - 1
        })
    };
    for record in records {
        match record {
            Record::Produced(produced) => {
                let Some(ids) = named.topic(&produced.topic) else {
                    continue;
                };
                let at = micros(produced.produced_at);
                let at = place(&mut entries, ids, &produced.message_id, at);
                let entry = &mut entries[at];
                if entry.told.is_none() {
                    entry.told = Some(told(keys, named, ids, produced, &entry.message_id)?);
                }
            }
            Record::Attempted(attempted) => {
                let Some(ids) = named.topic(&attempted.topic) else {
                    continue;
                };
                let at = micros(attempted.produced_at.unwrap_or(attempted.started_at));
                let at = place(&mut entries, ids, &attempted.message_id, at);
                let entry = &mut entries[at];
                let attempt = attempt(keys, named, ids, attempted, &entry.message_id)?;
                entry.attempts.push(attempt);
            }
            Record::LeftOut(_) => {}
        }
    }
    for entry in &mut entries {
        entry.begin();
    }
    Ok(entries)
}

fn told(
    keys: &StoreKeys,
    named: &Named,
    ids: TopicIds,
    produced: &Produced,
    message_id: &str,
) -> Result<Told> {
    let details = Details {
        key: borrowed(produced.key.as_ref()),
        idempotency_key: borrowed(produced.idempotency_key.as_ref()),
        metadata: borrowed(produced.metadata.as_ref()),
        process_id: borrowed(produced.process_id.as_ref()),
        session_tag: borrowed(produced.session_tag.as_ref()),
        replay_of: borrowed(produced.replay_of.as_ref()),
    };
    let actor = (ids.topic, Kind::Produces, address(&produced.producer_tag));
    let set = named.sets.get(&(ids.topic, address(&produced.groups)));
    let payload = produced.payload.as_ref();
    Ok(Told {
        producer: named.actors.get(&actor).copied().unwrap_or_default(),
        produced_at: micros(produced.produced_at),
        expected: set.cloned().unwrap_or_else(|| (0, Arc::new([]))),
        details: details.write(),
        payload: payload.map(|bytes| keys.seal(bytes, message_id)).transpose()?,
    })
}

fn attempt<'r>(
    keys: &StoreKeys,
    named: &Named,
    ids: TopicIds,
    record: &'r Attempted,
    message_id: &str,
) -> Result<Attempt<'r>> {
    let actor = (ids.topic, Kind::Consumes, address(&record.consumer_tag));
    let consumer = named.actors.get(&actor).copied().unwrap_or_default();
    let (status, error) = match &record.outcome {
        Outcome::Success => (delivery::SUCCESS, None),
        Outcome::Retrying { error, .. } => (delivery::RETRYING, Some(error)),
        Outcome::Failed { error } => (delivery::FAILED, Some(error)),
        Outcome::DeadLettered { error } => (delivery::DEAD, Some(error)),
        Outcome::Duplicate => (outcome::DUPLICATE, None),
    };
    let response = record.response_data.as_ref();
    Ok(Attempt {
        record,
        consumer,
        status,
        error: error.map(|error| text::error(error)),
        response: response
            .map(|json| keys.seal(json.as_bytes(), &response_row(message_id, consumer)))
            .transpose()?,
    })
}

/// What a response is sealed for.
pub(in crate::tracking) fn response_row(message_id: &str, consumer: i64) -> String {
    format!("{message_id} answered by {consumer}")
}

/// A received message as it is kept with its dead letter.
pub(super) fn original_details(original: &Original) -> String {
    let details = Details {
        key: borrowed(original.key.as_ref()),
        metadata: borrowed(original.metadata.as_ref()),
        ..Details::default()
    };
    details.write()
}

impl<'r> Entry<'r> {
    fn new(ids: TopicIds, message_id: Cow<'r, str>, produced_at: i64) -> Self {
        Self {
            ids,
            seq: 0,
            message_id,
            told: None,
            attempts: Vec::new(),
            presence: Presence::Ask,
            message: Tracked {
                producer: 0,
                produced_at,
                marks: 0,
                deliveries: Vec::new(),
            },
            expected: (0, Arc::new([])),
            changed: Vec::new(),
            bytes: 0,
            created_at: 0,
        }
    }

    /// What it is when the store has nothing of it.
    fn begin(&mut self) {
        self.bytes = size(self.message_id.len() + ROW_BYTES);
        if self.told.is_some() {
            self.presence = Presence::New;
            self.tell();
        }
        self.attempt(&HashSet::new());
    }

    /// What it is with what the store has of it. Says whether that changes anything.
    pub(super) fn join(&mut self) -> bool {
        let Presence::Known {
            message,
            expected,
            bytes,
            duplicates,
        } = &mut self.presence
        else {
            return true;
        };
        self.message = message.clone();
        self.expected = expected.clone();
        self.bytes = *bytes;
        let duplicates = std::mem::take(duplicates);
        self.changed.clear();
        let joins = self.message.producer == 0 && self.told.is_some();
        if joins {
            self.tell();
        } else {
            self.told = None;
        }
        let marks = self.message.marks;
        self.attempt(&duplicates);
        joins || !self.changed.is_empty() || self.message.marks != marks
    }

    fn tell(&mut self) {
        if let Some(told) = &self.told {
            self.message.producer = told.producer;
            self.message.produced_at = told.produced_at;
            self.expected = told.expected.clone();
            let payload = told.payload.as_ref().map_or(0, Vec::len);
            self.bytes += size(told.details.len() + payload);
        }
    }

    fn attempt(&mut self, duplicates: &HashSet<(i64, i64, i64)>) {
        let mut counted = HashSet::new();
        for attempt in &self.attempts {
            let record = attempt.record;
            let key = (attempt.consumer, record.redrive.into(), record.attempt.into());
            if attempt.status == outcome::DUPLICATE && (duplicates.contains(&key) || !counted.insert(key)) {
                continue;
            }
            self.message.take(attempt.step(), &mut self.changed);
            let error = attempt.error.as_ref().map_or(0, String::len);
            self.bytes += size(error + attempt.response.as_ref().map_or(0, Vec::len));
        }
    }

    /// How the numbers change.
    pub(super) fn count(&self, deltas: &mut Deltas) {
        if let Presence::Known {
            message,
            expected,
            bytes,
            ..
        } = &self.presence
        {
            deltas.remove(self.ids, self.seq, message, &expected.1);
            deltas.bytes -= bytes;
        }
        deltas.add(self.ids, self.seq, &self.message, &self.expected.1);
        deltas.bytes += self.bytes;
    }

    pub(super) fn state(&self) -> i64 {
        self.message.state(&self.expected.1)
    }
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX >> 16)
}
