//! Entries that `FastStream` published: one field, in a binary form of its own, `BinaryMessageFormatV1` of
//! <https://github.com/ag2ai/faststream/blob/0.7.8/faststream/redis/parser/binary.py>.
//!
//! All numbers are big-endian: a mark, the version in two bytes, where the headers and where the payload begin in four each,
//! the number of headers in two, and name and value of each, two bytes of length before each.

use bytes::Bytes;

use crate::cloud_events;

/// The field.
pub(super) const FIELD: &[u8] = b"__data__";
const MARK: &[u8] = b"\x89BIN\r\n\x1a\n";
const VERSION: u16 = 1;
/// The prefix of the attributes of `CloudEvents` among the headers.
const PREFIX: &str = "ce-";

/// What the field says; `None` when it has another form.
pub(super) fn read(field: &Bytes) -> Option<(cloud_events::Read, Bytes)> {
    let mut head = field.strip_prefix(MARK)?;
    if short(&mut head)? != VERSION {
        return None;
    }
    let headers_start = long(&mut head)?;
    let payload_start = long(&mut head)?;
    let mut rest = field.get(headers_start..payload_start)?;
    let mut read = cloud_events::Read::default();
    for _ in 0..short(&mut rest)? {
        let name = text(&mut rest)?;
        read.take(PREFIX, name, text(&mut rest)?);
    }
    Some((read, field.slice(payload_start..)))
}

fn short(rest: &mut &[u8]) -> Option<u16> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u16::from_be_bytes(*number))
}

fn long(rest: &mut &[u8]) -> Option<usize> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    usize::try_from(u32::from_be_bytes(*number)).ok()
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let len = short(rest)?.into();
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{MARK, read};
    use crate::message::MessageId;

    fn written(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut block = u16::try_from(headers.len()).unwrap().to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            block.extend(text.as_bytes());
        }
        let mut all = [MARK, &[0, 1]].concat();
        let start = u32::try_from(all.len() + 8).unwrap();
        all.extend(start.to_be_bytes());
        all.extend((start + u32::try_from(block.len()).unwrap()).to_be_bytes());
        all.extend(block);
        all.extend(payload);
        all
    }

    #[test]
    fn headers_and_payload_are_read() {
        let headers = [
            ("correlation_id", "c-1"),
            ("content-type", "application/json"),
            ("ce-id", "7"),
        ];
        let (came, payload) = read(&written(&headers, b"{}\xff").into()).unwrap();
        assert_eq!(payload, b"{}\xff".as_slice());
        assert_eq!(came.id, Some(MessageId::from_text("7")));
        assert_eq!(came.headers.get("correlation_id"), Some("c-1"));
        assert_eq!(came.headers.get("content-type"), Some("application/json"));
        assert!(read(&written(&[], b"").into()).unwrap().1.is_empty());
    }

    #[test]
    fn what_is_cut_off_or_has_another_form_is_left() {
        let whole = written(&[("a", "b")], b"");
        for len in 0..whole.len() {
            assert!(read(&Bytes::copy_from_slice(&whole[..len])).is_none(), "{len}");
        }
        for (at, byte) in [
            (0, 0),
            (9, 2),
            (10, 255),
            (14, 255),
            (19, 255),
            (21, 255),
            (22, 255),
        ] {
            let mut odd = whole.clone();
            odd[at] = byte;
            assert!(read(&odd.into()).is_none(), "{at}");
        }
    }
}
