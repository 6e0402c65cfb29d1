//! Errors that say what was asked, what is there instead, and what to do.

use std::io;
use std::path::Path;

use ductape_providers::{Error, ErrorKind, TopicName};

pub(crate) fn closed() -> Error {
    Error::new(
        ErrorKind::Closed,
        "this handle of the journal was closed; open the folder again",
    )
}

pub(crate) fn unsupported(what: &str, why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("a journal can't {what}: {why}"))
}

pub(crate) fn topic_missing(topic: &TopicName) -> Error {
    Error::new(
        ErrorKind::TopicMissing,
        format!("the journal has no topic `{topic}`; declare it first"),
    )
}

pub(crate) fn group_missing(group: &str, topic: &TopicName) -> Error {
    Error::new(
        ErrorKind::GroupMissing,
        format!("`{topic}` has no group `{group}`; declare it first"),
    )
}

pub(crate) fn lease_lost() -> Error {
    Error::new(
        ErrorKind::LeaseLost,
        "the delivery is not this subscription's: it was settled, given back, or dropped by a seek",
    )
}

/// A file that can't be used. Whether trying again helps follows from the kind: the disk may have room again.
pub(crate) fn file(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Unreachable, format!("can't {what} the journal"))
        .with("file", path.display())
        .with_source(error)
}

/// A line that is not one of ours, which trying again does not change.
pub(crate) fn line(path: &Path, number: usize, why: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Decode,
        format!("a line of the journal can't be read: {why}"),
    )
    .with("file", path.display())
    .with("line", number)
}

/// The same failure for another slot of a batch.
pub(crate) fn again(error: &Error) -> Error {
    let same = Error::new(error.kind(), error.to_string()).with_temporary(error.is_temporary());
    if error.is_indeterminate() {
        same.with_indeterminate()
    } else {
        same
    }
}
