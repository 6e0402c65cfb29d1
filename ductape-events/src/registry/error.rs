use ductape_store::{StoreError, StoreErrorKind};

use crate::error::{BrokerError, ErrorCode};

/// What the store answers as the user sees it.
pub(crate) fn store_failed(what: &str, error: StoreError) -> BrokerError {
    BrokerError::from_store(what, error)
}

/// What the registry answers; what it refuses speaks for itself. `missing` is the code for what is not there.
pub(super) fn refused(what: &str, missing: ErrorCode, error: StoreError) -> BrokerError {
    let code = match error.kind() {
        StoreErrorKind::Exists => ErrorCode::AlreadyExists,
        StoreErrorKind::Missing => missing,
        StoreErrorKind::Invalid => ErrorCode::ConfigInvalid,
        _ => return store_failed(what, error),
    };
    BrokerError::new(code, error.to_string())
}
