//! What SQLite answers, as errors of ours.

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};

/// `error` of SQLite while `operation` used `file`.
pub(super) fn translate(error: &rusqlite::Error, file: &str, operation: &'static str) -> Error {
    let (kind, message, temporary) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (
            ErrorKind::Throttled,
            "the store has no room; nothing was written, free some space or raise its limit",
            true,
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::Throttled,
            "other processes kept the store busy for too long",
            true,
        ),
        Some(ErrorCode::NotADatabase) => (
            ErrorKind::Unreachable,
            "the file is not a store; move it away or give another path",
            false,
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            ErrorKind::Unreachable,
            "the store's file is damaged; move it away, or restore it from a copy",
            false,
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => (
            ErrorKind::Unreachable,
            "the store's file can't be opened for reading and writing; check the path and its permissions",
            false,
        ),
        Some(ErrorCode::SystemIoFailure) => (ErrorKind::Unreachable, "the disk failed under the store", true),
        Some(ErrorCode::TooBig) => (
            ErrorKind::PayloadTooLarge,
            "a message is larger than the store's file format allows",
            false,
        ),
        Some(ErrorCode::OutOfMemory) => (ErrorKind::Throttled, "the store has no memory left", true),
        _ => (ErrorKind::Unexpected, "the store failed", false),
    };
    Error::new(kind, message)
        .with_temporary(temporary)
        .with("file", file)
        .with("operation", operation)
        .with_source(error.to_string())
}

/// Whether the connection can't be trusted after `error`: what is in its cache may differ from the disk.
pub(super) fn is_fatal(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// What a closed store or subscription answers.
pub(super) fn closed(file: &str) -> Error {
    Error::new(ErrorKind::Closed, "the store was closed").with("file", file)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::{is_fatal, translate};
    use crate::error::ErrorKind;

    #[test]
    fn each_code_says_what_to_do_and_names_the_file() {
        let rows = [
            (ffi::SQLITE_FULL, ErrorKind::Throttled, true, false),
            (ffi::SQLITE_BUSY, ErrorKind::Throttled, true, false),
            (ffi::SQLITE_NOTADB, ErrorKind::Unreachable, false, true),
            (ffi::SQLITE_CORRUPT, ErrorKind::Unreachable, false, true),
            (ffi::SQLITE_CANTOPEN, ErrorKind::Unreachable, false, false),
            (ffi::SQLITE_READONLY, ErrorKind::Unreachable, false, false),
            (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Unreachable, true, true),
            (ffi::SQLITE_TOOBIG, ErrorKind::PayloadTooLarge, false, false),
            (ffi::SQLITE_MISUSE, ErrorKind::Unexpected, false, false),
        ];
        for (code, kind, temporary, fatal) in rows {
            let cause = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let error = translate(&cause, "a.db", "publish");
            assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{error}");
            assert!(
                error.to_string().contains("file: a.db, operation: publish"),
                "{error}"
            );
            assert_eq!(is_fatal(&cause), fatal, "{error}");
        }
    }
}
