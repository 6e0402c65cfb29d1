//! Texts as they are kept.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// How long an id or a tag may be before it is kept by its beginning and its hash: an index of Postgres takes 2,704 bytes.
const NAME_BYTES_MAX: usize = 512;
/// How long the text of an error may be.
const ERROR_BYTES_MAX: usize = 8_192;

/// An id or a tag as it is kept, and looked for: Postgres's TEXT takes no NUL.
pub(super) fn name(text: &str) -> Cow<'_, str> {
    let text = without_nul(text);
    if text.len() <= NAME_BYTES_MAX {
        return text;
    }
    let mut short = cut(&text, NAME_BYTES_MAX - 65).to_owned();
    short.push('~');
    short.push_str(&hex(&Sha256::digest(text.as_bytes())));
    Cow::Owned(short)
}

/// The text of an error as it is kept.
pub(super) fn error(text: &str) -> String {
    cut(&without_nul(text), ERROR_BYTES_MAX).to_owned()
}

pub(crate) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// What failures have in common: their error without what differs from one message to the next.
///
/// Words with a digit in them, such as numbers, times and ids, and what stands in quotes, count as one and the same.
pub(super) fn fingerprint(broker: i64, topic: i64, consumer: i64, error: &str) -> String {
    let mut masked = String::new();
    let mut rest = error.lines().next().unwrap_or_default();
    while let Some(first) = rest.chars().next() {
        if matches!(first, '"' | '\'' | '`')
            && let Some(end) = rest[1..].find(first)
        {
            masked.push('#');
            rest = &rest[end + 2..];
            continue;
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if end == 0 {
            masked.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let word = &rest[..end];
        masked.push_str(if word.contains(|c: char| c.is_ascii_digit()) {
            "#"
        } else {
            word
        });
        rest = &rest[end..];
    }
    let digest = Sha256::new()
        .chain_update(broker.to_be_bytes())
        .chain_update(topic.to_be_bytes())
        .chain_update(consumer.to_be_bytes())
        .chain_update(masked.as_bytes())
        .finalize();
    hex(&digest[..8])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{fingerprint, name};

    #[test]
    fn failures_that_differ_in_numbers_and_ids_have_one_fingerprint() {
        let of = |error| fingerprint(1, 2, 3, error);
        let first = of("order 17 of user 'ann' timed out after 3.5s at 2026-11-25T10:00:00Z");
        for same in [
            "order 99999 of user 'bob' timed out after 0.1s at 2026-11-26T11:01:02Z",
            "order 018f3a2e-aaaa-7bbb-8ccc-0123456789ab of user 'x' timed out after 1.1s at 2026-11-26T11:01:02Z",
            "order 1 of user 'it' timed out after 2.1s at 2026-11-26T11:01:02Z\nand more",
        ] {
            assert_eq!(of(same), first, "{same}");
        }
        assert_ne!(of("order 17 of user 'ann' was refused"), first);
        assert_ne!(fingerprint(1, 2, 4, "x"), fingerprint(1, 2, 3, "x"));
        for odd in ["", "'", "\"\"", "é'ü'", "`a", "\u{1F980}7\u{1F980}"] {
            assert_eq!(of(odd).len(), 16, "{odd}");
        }
    }

    #[test]
    fn long_names_stay_apart() {
        let long = "é".repeat(2_000);
        let kept = name(&long);
        assert!(kept.len() <= 512, "{}", kept.len());
        assert_ne!(kept, name(&format!("{long}x")));
        assert_eq!(name("a\0b"), "a\u{fffd}b");
    }
}
