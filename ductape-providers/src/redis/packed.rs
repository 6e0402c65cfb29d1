//! Headers in one field, and those that many messages have in common stored once: what a server does with a message
//! depends more on the number of its fields than on their length.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use bytestring::ByteString;
use redis::{Cmd, Value};
use uuid::Uuid;

use super::provider::Server;
use crate::error::Result;
use crate::headers::Header;
use crate::message::{MessageId, Outgoing};

/// The field. A header can't have its name.
pub(super) const FIELD: &str = ":h";
/// How many sets of shared headers a publisher remembers to have stored.
const STORED_MAX: usize = 64;

const VERSION: u8 = 1;
const UUID: u8 = 1;
const KEY: u8 = 2;
const SHARED: u8 = 4;

/// What stands for shared headers: the beginning of their digest.
pub(super) type Reference = [u8; 8];

/// What the field holds: the version, which parts there are, the time in nanoseconds since 1970, then the parts: what stands
/// for the shared headers, the id, the key, and the message's own headers, each length before its text.
pub(super) fn write(message: &Outgoing, shared: Option<Reference>, into: &mut Vec<u8>) {
    let uuid = message.id.as_uuid();
    let mut parts = 0;
    parts |= if uuid.is_some() { UUID } else { 0 };
    parts |= if message.key.is_some() { KEY } else { 0 };
    parts |= if shared.is_some() { SHARED } else { 0 };
    let since = message
        .published_at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    into.extend([VERSION, parts]);
    into.extend(nanos.to_be_bytes());
    if let Some(shared) = shared {
        into.extend(shared);
    }
    match uuid {
        Some(uuid) => into.extend(uuid.as_bytes()),
        None => put(into, message.id.to_string().as_bytes()),
    }
    if let Some(key) = &message.key {
        put(into, key);
    }
    let (_, own) = message.headers.parts();
    let mut own_header = |name: &str, value: &str| {
        put(into, name.as_bytes());
        put(into, value.as_bytes());
    };
    if shared.is_some() {
        for (name, value) in own {
            own_header(name, value);
        }
    } else {
        for (name, value) in message.headers.iter() {
            own_header(name, value);
        }
    }
}

/// Lengths take a byte up to 127, and as many as they need beyond, seven bits each.
fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            into.push(low);
            break;
        }
        into.push(low | 0x80);
    }
    into.extend(bytes);
}

/// What a field says.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) id: MessageId,
    pub(super) published_at: SystemTime,
    pub(super) key: Option<Bytes>,
    pub(super) shared: Option<Reference>,
    pub(super) own: Vec<(ByteString, ByteString)>,
}

/// Reads a field; `None` when it is not one of ours.
pub(super) fn read(bytes: &[u8]) -> Option<Packed> {
    let (version, rest) = bytes.split_first()?;
    let (parts, mut rest) = rest.split_first()?;
    if *version != VERSION {
        return None;
    }
    let nanos = u64::from_be_bytes(take(&mut rest, 8)?.try_into().ok()?);
    let shared = match parts & SHARED {
        0 => None,
        _ => Some(take(&mut rest, 8)?.try_into().ok()?),
    };
    let id = if parts & UUID == 0 {
        MessageId::from_text(std::str::from_utf8(taken(&mut rest)?).ok()?)
    } else {
        Uuid::from_slice(take(&mut rest, 16)?).ok()?.into()
    };
    let key = match parts & KEY {
        0 => None,
        _ => Some(Bytes::copy_from_slice(taken(&mut rest)?)),
    };
    let mut own = Vec::new();
    while !rest.is_empty() {
        let name = ByteString::try_from(taken(&mut rest)?).ok()?;
        own.push((name, ByteString::try_from(taken(&mut rest)?).ok()?));
    }
    Some(Packed {
        id,
        published_at: UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))?,
        key,
        shared,
        own,
    })
}

/// What stands for the shared headers of a field.
pub(super) fn reference(bytes: &[u8]) -> Option<Reference> {
    let parts = *bytes.get(1)?;
    if bytes.first() != Some(&VERSION) || parts & SHARED == 0 {
        return None;
    }
    bytes.get(10..18)?.try_into().ok()
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn taken<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let byte = take(rest, 1)?[0];
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return take(rest, length);
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
}

/// The shared headers of a topic.
#[derive(Debug)]
pub(super) struct Shared {
    /// The key of the hash that holds them.
    key: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was stored on the connection of this number.
    stored: Vec<(Arc<[Header]>, Reference, u64)>,
    known: HashMap<Reference, Arc<[Header]>>,
}

impl Shared {
    pub(super) fn new(key: String) -> Self {
        Self {
            key,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands for `headers`, with the command that stores them where that is not known to be done.
    pub(super) fn stand_for(&self, headers: &Arc<[Header]>, connection: u64) -> (Reference, Option<Cmd>) {
        let mut state = self.lock();
        let stored = state
            .stored
            .iter_mut()
            .find(|(known, ..)| Arc::ptr_eq(known, headers));
        if let Some((_, reference, when)) = stored {
            let known = *when == connection;
            *when = connection;
            return (*reference, (!known).then(|| self.store(*reference, headers)));
        }
        let reference = digest(headers);
        if state.stored.len() == STORED_MAX {
            state.stored.remove(0);
        }
        state.stored.push((Arc::clone(headers), reference, connection));
        (reference, Some(self.store(reference, headers)))
    }

    fn store(&self, reference: Reference, headers: &[Header]) -> Cmd {
        let mut command = redis::cmd("HSET");
        command.arg(&self.key).arg(&reference).arg(text(headers));
        command
    }

    /// Forgets what was stored: the server lost it.
    pub(super) fn forget(&self) {
        self.lock().stored.clear();
    }

    /// Fetches those of `wanted` that are not known.
    pub(super) async fn fetch(&self, server: &Server, wanted: impl Iterator<Item = Reference>) -> Result<()> {
        let missing: Vec<Reference> = {
            let state = self.lock();
            let mut missing: Vec<Reference> = Vec::new();
            for reference in wanted {
                if !state.known.contains_key(&reference) && !missing.contains(&reference) {
                    missing.push(reference);
                }
            }
            missing
        };
        if missing.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("HMGET");
        command.arg(&self.key);
        for reference in &missing {
            command.arg(reference);
        }
        let answers = super::wire::list(server.link.command(&command).await?);
        let mut state = self.lock();
        for (reference, answer) in missing.into_iter().zip(answers) {
            if let Value::BulkString(bytes) = &answer {
                state.known.insert(reference, of_text(bytes));
            } else {
                tracing::warn!(
                    key = self.key,
                    "the server lost headers that messages have in common; they come without"
                );
            }
        }
        Ok(())
    }

    /// The headers that `reference` stands for, where they are known.
    pub(super) fn known(&self, reference: Reference) -> Option<Arc<[Header]>> {
        self.lock().known.get(&reference).map(Arc::clone)
    }
}

fn digest(headers: &[Header]) -> Reference {
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, text(headers).as_bytes());
    let mut reference = Reference::default();
    reference.copy_from_slice(&digest.as_bytes()[..8]);
    reference
}

fn text(headers: &[Header]) -> String {
    let pairs: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    serde_json::to_string(&pairs).unwrap_or_default()
}

fn of_text(bytes: &[u8]) -> Arc<[Header]> {
    let pairs: Vec<(String, String)> = serde_json::from_slice(bytes).unwrap_or_default();
    pairs
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::{Shared, digest, of_text, read, reference, text, write};
    use crate::headers::{Header, Headers};
    use crate::message::{MessageId, Outgoing, TopicName};

    fn shared() -> Arc<[Header]> {
        [
            ("ce-type".into(), "a:b".into()),
            ("ce-source".into(), "p/e \u{263a}".into()),
        ]
        .into()
    }

    #[test]
    fn what_is_written_is_read() {
        let topic = TopicName::new("a:b".parse().unwrap(), NonZeroU32::MIN);
        for id in ["order-7", "01a210e8-dfa5-749e-b214-b84c6326302f", ""] {
            for key in [None, Some(vec![]), Some(vec![0xff, 0]), Some(vec![b'k'; 300])] {
                let mut message = Outgoing::new(topic.clone(), "{}");
                (message.id, message.key) = (MessageId::from_text(id), key.map(Into::into));
                message.headers = Headers::shared(shared());
                message.headers.insert("tenant", "acme");
                let stands = digest(&shared());
                for by_reference in [Some(stands), None] {
                    let mut bytes = Vec::new();
                    write(&message, by_reference, &mut bytes);
                    assert_eq!(reference(&bytes), by_reference);
                    let came = read(&bytes).unwrap();
                    assert_eq!(
                        (&came.id, &came.key, came.published_at),
                        (&message.id, &message.key, message.published_at)
                    );
                    let own = if by_reference.is_some() { 1 } else { 3 };
                    assert_eq!(came.own.len(), own, "{came:?}");
                    // Cut short anywhere, it is none, and nothing panics.
                    for end in 0..bytes.len() {
                        let _ = (read(&bytes[..end]), reference(&bytes[..end]));
                    }
                }
            }
        }
        assert!(read(b"\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f").is_none());
    }

    #[test]
    fn shared_headers_are_stored_once_a_connection() {
        let of = Shared::new("k".to_owned());
        let headers = shared();
        let (first, store) = of.stand_for(&headers, 1);
        assert!(store.is_some());
        let (again, store) = of.stand_for(&headers, 1);
        assert_eq!((again, store.is_none()), (first, true));
        assert!(of.stand_for(&headers, 2).1.is_some());
        of.forget();
        assert!(of.stand_for(&headers, 2).1.is_some());
        assert_eq!(*of_text(text(&headers).as_bytes()), *headers);
        assert_eq!(*of_text(b"not JSON"), []);
    }
}
