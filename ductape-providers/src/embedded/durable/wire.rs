//! Messages as rows: ids, headers and key hashes as the file holds them.

use bytes::Bytes;
use bytestring::ByteString;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use uuid::Uuid;

use crate::headers::{Header, Headers};
use crate::message::MessageId;

/// How many bytes the number of the shared headers takes in front of a row's own.
pub(super) const SET_LEN: usize = 2;

/// A message id as a column: 16 bytes for a UUID, else its text.
pub(super) enum IdColumn {
    Uuid([u8; 16]),
    Text(String),
}

impl IdColumn {
    pub(super) fn of(id: &MessageId) -> Self {
        match id.as_uuid() {
            Some(uuid) => Self::Uuid(*uuid.as_bytes()),
            None => Self::Text(id.to_string()),
        }
    }
}

impl ToSql for IdColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Uuid(bytes) => ValueRef::Blob(bytes),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// The message id in a column; another type than we write reads as an empty text.
pub(super) fn id_of(column: ValueRef<'_>) -> MessageId {
    match column {
        ValueRef::Blob(bytes) => match Uuid::from_slice(bytes) {
            Ok(uuid) => MessageId::from(uuid),
            Err(_) => MessageId::from_text(&String::from_utf8_lossy(bytes)),
        },
        ValueRef::Text(text) => MessageId::from_text(&String::from_utf8_lossy(text)),
        _ => MessageId::from_text(""),
    }
}

/// A number that stands for an id while it is in flight.
pub(super) fn id_hash(column: ValueRef<'_>) -> i64 {
    match column {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => hash(bytes),
        _ => 0,
    }
}

/// A number that stands for a key, the same in every process. Two keys that share one wait for each other, no more.
pub(super) fn hash(bytes: &[u8]) -> i64 {
    let mut hash: u64 = 0x9e37_79b9_7f4a_7c15 ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.iter().rev().fold(0, |word, b| word << 8 | u64::from(*b));
        hash = mix(hash ^ word);
    }
    let rest = chunks
        .remainder()
        .iter()
        .rev()
        .fold(0, |word, b| word << 8 | u64::from(*b));
    mix(hash ^ rest).cast_signed()
}

const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

/// Appends headers: the name's length, the value's length, the name, the value.
///
/// The lengths fit, since [`Headers::check`] was called before; what would not is left out.
pub(super) fn encode_headers(headers: &[Header], into: &mut Vec<u8>) {
    for (name, value) in headers {
        let (Ok(name_len), Ok(value_len)) = (u8::try_from(name.len()), u16::try_from(value.len())) else {
            continue;
        };
        into.push(name_len);
        into.extend_from_slice(&value_len.to_le_bytes());
        into.extend_from_slice(name.as_bytes());
        into.extend_from_slice(value.as_bytes());
    }
}

/// The headers that [`encode_headers`] wrote; `None` when the bytes are not such.
pub(super) fn decode_headers(mut bytes: Bytes, mut each: impl FnMut(ByteString, ByteString)) -> Option<()> {
    while let [name_len, low, high, ..] = *bytes.as_ref() {
        let name_len = usize::from(name_len);
        let value_len = usize::from(u16::from_le_bytes([low, high]));
        if bytes.len() < 3 + name_len + value_len {
            return None;
        }
        let _lengths = bytes.split_to(3);
        let name = ByteString::try_from(bytes.split_to(name_len)).ok()?;
        let value = ByteString::try_from(bytes.split_to(value_len)).ok()?;
        each(name, value);
    }
    bytes.is_empty().then_some(())
}

/// The headers that `shared` and the encoded `own` make together.
pub(super) fn headers_of(shared: Headers, own: Bytes) -> Option<Headers> {
    let mut headers = shared;
    decode_headers(own, |name, value| headers.insert(name, value))?;
    Some(headers)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{IdColumn, encode_headers, hash, headers_of, id_of};
    use crate::headers::{Header, Headers};
    use crate::message::MessageId;

    #[test]
    fn headers_come_back_byte_for_byte() {
        let shared: [Header; 2] = [("a".into(), "1".into()), ("b".into(), String::new().into())];
        let own: [Header; 2] = [
            ("a".into(), "☺ \u{0}".into()),
            ("c".into(), "v".repeat(8192).into()),
        ];
        let mut bytes = Vec::new();
        encode_headers(&own, &mut bytes);
        let headers = headers_of(Headers::shared(shared.into()), Bytes::from(bytes)).unwrap();
        assert_eq!(headers.get("a"), Some("☺ \u{0}"));
        assert_eq!(headers.get("b"), Some(""));
        assert_eq!(headers.get("c").map(str::len), Some(8192));
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn cut_headers_are_refused() {
        let mut bytes = Vec::new();
        encode_headers(&[("name".into(), "value".into())], &mut bytes);
        for len in 1..bytes.len() {
            assert!(
                headers_of(Headers::new(), Bytes::copy_from_slice(&bytes[..len])).is_none(),
                "{len}"
            );
        }
    }

    #[test]
    fn ids_come_back_as_they_were_written() {
        use rusqlite::types::{ToSql, ToSqlOutput};
        for id in [
            MessageId::new(),
            MessageId::from_text("order-7"),
            MessageId::from_text(""),
        ] {
            let column = IdColumn::of(&id);
            let ToSqlOutput::Borrowed(value) = column.to_sql().unwrap() else {
                panic!("owned");
            };
            assert_eq!(id_of(value), id);
        }
    }

    #[test]
    fn key_hashes_differ_by_each_byte_and_by_length() {
        let keys: [&[u8]; 7] = [
            b"",
            b"\0",
            b"\0\0",
            b"order-1",
            b"order-2",
            b"order-10000",
            b"order-10001",
        ];
        let hashes: std::collections::HashSet<i64> = keys.iter().map(|k| hash(k)).collect();
        assert_eq!(hashes.len(), keys.len());
    }
}
