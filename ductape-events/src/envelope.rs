//! Typed event ⇄ message: the only place that knows the headers on the wire.
//!
//! Messages follow `CloudEvents` 1.0 in binary mode (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>):
//! the payload is the event's plain JSON, the attributes are headers. `id`, `time` and `subject` (the key) travel as
//! fields of the message, the rest is the same for all messages of a topic and is shared by them.

use std::cell::RefCell;
use std::error::Error as StdError;

use bytes::{BufMut as _, Bytes, BytesMut};
use ductape_providers::headers::Header;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::topic::{KeyWriter, Topic};

/// The names of the headers that this crate writes and reads.
pub(crate) mod header {
    pub(crate) const SPEC_VERSION: &str = "ce-specversion";
    pub(crate) const TYPE: &str = "ce-type";
    pub(crate) const SOURCE: &str = "ce-source";
    pub(crate) const DATA_SCHEMA: &str = "ce-dataschema";
    pub(crate) const CONTENT_TYPE: &str = "content-type";
    pub(crate) const TRACEPARENT: &str = "traceparent";
    pub(crate) const CORRELATION_ID: &str = "ce-correlationid";
    pub(crate) const CAUSATION_ID: &str = "ce-causationid";
    /// On whose behalf it was produced, as the session that was checked says.
    pub(crate) const SESSION: &str = "ce-ductapesession";
    /// The number of the attempt, on a retry that travels as a copy.
    pub(crate) const ATTEMPT: &str = "ductape-attempt";
    /// When the first attempt failed, in milliseconds since 1970; on retries that travel as copies, and dead letters.
    pub(crate) const FIRST_FAILED_AT: &str = "ductape-first-failed-at";
    pub(crate) const LAST_FAILED_AT: &str = "ductape-last-failed-at";
    pub(crate) const DEAD_REASON: &str = "ductape-dead-reason";
    pub(crate) const DEAD_ERROR_TYPE: &str = "ductape-dead-error-type";
    pub(crate) const DEAD_GROUP: &str = "ductape-dead-group";
    pub(crate) const DEAD_ATTEMPTS: &str = "ductape-dead-attempts";
    pub(crate) const DEAD_CONSUMER: &str = "ductape-dead-consumer";
    pub(crate) const DEAD_TOPIC: &str = "ductape-dead-topic";
    /// On the copy that a replay sends, or an edit of a dead letter: the id of what it takes the place of.
    #[cfg(feature = "store")]
    pub(crate) const REPLAYED_FROM: &str = "ductape-replayed-from";
    /// How often a dead letter was sent back; and what was known of it when it last was.
    pub(crate) const REDRIVE: &str = "ductape-redrive";
    pub(crate) const EARLIER_REASON: &str = "ductape-earlier-reason";
    pub(crate) const EARLIER_ERROR_TYPE: &str = "ductape-earlier-error-type";
    pub(crate) const EARLIER_ATTEMPTS: &str = "ductape-earlier-attempts";
}

const BLOCK_BYTES: usize = 64 * 1024;
const BLOCK_ROOM_MIN_BYTES: usize = 1024;

thread_local! {
    // Events are encoded one behind the other into a block that the messages then share, so that a message costs no
    // allocation of its own.
    static BLOCK: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

type EncodeError = Box<dyn StdError + Send + Sync>;

/// The payload and the key of an event.
pub(crate) fn seal<T: Topic>(event: &T) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    BLOCK.with(|block| match block.try_borrow_mut() {
        Ok(mut block) => seal_into(&mut block, event),
        // An event whose own `Serialize` produces another event.
        Err(_) => seal_into(&mut BytesMut::new(), event),
    })
}

fn seal_into<T: Topic>(block: &mut BytesMut, event: &T) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    // After a panic in a `Serialize`, what it had written is still there.
    block.clear();
    if block.capacity() < BLOCK_ROOM_MIN_BYTES {
        *block = BytesMut::with_capacity(BLOCK_BYTES);
    }
    let payload = encode(block, event)?;
    let mut writer = KeyWriter::new(block);
    event.write_key(&mut writer);
    let key = writer.is_written().then(|| block.split().freeze());
    Ok((payload, key))
}

fn encode<T: Serialize>(block: &mut BytesMut, event: &T) -> Result<Bytes, EncodeError> {
    if let Err(error) = serde_json::to_writer(block.writer(), event) {
        block.clear();
        return Err(error.into());
    }
    Ok(block.split().freeze())
}

/// The event of a payload.
pub(crate) fn open<T: DeserializeOwned>(payload: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(payload)
}

/// What is wrong with a payload, without the value that is: an event may be private, and this is logged.
pub(crate) fn without_value(error: &serde_json::Error) -> String {
    let text = error.to_string();
    for (start, masked) in [
        ("invalid type: ", "invalid type"),
        ("invalid value: ", "invalid value"),
        ("unknown variant ", "unknown variant"),
    ] {
        // serde writes `invalid type: string "…", expected u32 at line 1 column 9`.
        if let Some(at) = text
            .starts_with(start)
            .then(|| text.rfind(", expected "))
            .flatten()
        {
            return format!("{masked}{}", &text[at..]);
        }
    }
    text
}

/// The headers that all messages of a topic from one producer have in common.
pub(crate) fn shared_headers(event: &str, version: u32, source: &str) -> Vec<Header> {
    let header = |name: &'static str, value: String| (name.into(), value.into());
    vec![
        header(header::SPEC_VERSION, "1.0".to_owned()),
        header(header::TYPE, event.to_owned()),
        header(header::SOURCE, source.to_owned()),
        header(header::CONTENT_TYPE, "application/json".to_owned()),
        header(header::DATA_SCHEMA, format!("{event}/v{version}")),
    ]
}
