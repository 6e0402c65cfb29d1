//! The client's errors as ours: one table.

use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::Error as ClientError;
use google_cloud_pubsub::error::PublishError;

use crate::error::{Error, ErrorKind};

/// What each answer of the server means, whether it may pass, and what to do.
const TABLE: [(Code, ErrorKind, bool, &str); 14] = [
    (
        Code::NotFound,
        ErrorKind::TopicMissing,
        false,
        "declare it, or check its name and the project",
    ),
    (
        Code::PermissionDenied,
        ErrorKind::Unauthorized,
        false,
        "give the account a role that allows it",
    ),
    (
        Code::Unauthenticated,
        ErrorKind::Unauthorized,
        false,
        "check `keyFilename` or `credentials`",
    ),
    (
        Code::InvalidArgument,
        ErrorKind::Unexpected,
        false,
        "Pub/Sub refuses the request",
    ),
    (
        Code::FailedPrecondition,
        ErrorKind::TopologyMismatch,
        false,
        "check how it is set up",
    ),
    (
        Code::AlreadyExists,
        ErrorKind::TopologyMismatch,
        false,
        "it exists with other settings",
    ),
    (
        Code::Unimplemented,
        ErrorKind::Unsupported,
        false,
        "this server can't do it; an emulator does less than Google",
    ),
    (
        Code::ResourceExhausted,
        ErrorKind::Throttled,
        true,
        "a quota is used up; try again later",
    ),
    (Code::DeadlineExceeded, ErrorKind::Timeout, true, "try again"),
    (
        Code::Unavailable,
        ErrorKind::Unreachable,
        true,
        "check that the server runs",
    ),
    (Code::Aborted, ErrorKind::Unreachable, true, "try again"),
    (Code::Internal, ErrorKind::Unreachable, true, "try again"),
    (
        Code::Cancelled,
        ErrorKind::Unreachable,
        true,
        "the connection ended",
    ),
    (Code::Unknown, ErrorKind::Unreachable, true, "try again"),
];

/// What an error of the client means while `doing` something.
pub(super) fn from_client(error: &ClientError, doing: &'static str) -> Error {
    let (kind, temporary, text) = meaning(error);
    Error::new(kind, text)
        .with_temporary(temporary)
        .with("provider", "pubsub")
        .with("operation", doing)
}

fn meaning(error: &ClientError) -> (ErrorKind, bool, String) {
    if let Some(status) = error.status() {
        let said = status.message.as_str();
        return match TABLE.iter().find(|(code, ..)| *code == status.code) {
            Some((code, kind, temporary, advice)) => (
                *kind,
                *temporary,
                format!("Pub/Sub answered {}: {said}; {advice}", code.name()),
            ),
            None => (
                ErrorKind::Unexpected,
                false,
                format!("Pub/Sub answered {}: {said}", status.code.name()),
            ),
        };
    }
    if error.is_authentication() {
        // The token's server could not be asked, or it refused the key.
        return if error.is_transient_and_before_rpc() {
            (
                ErrorKind::Unreachable,
                true,
                format!("no access token could be had: {error}; check the network"),
            )
        } else {
            let text = format!("no access token could be had: {error}; check `keyFilename` or `credentials`");
            (ErrorKind::Unauthorized, false, text)
        };
    }
    if error.is_timeout() {
        return (
            ErrorKind::Timeout,
            true,
            format!("Pub/Sub did not answer in time: {error}"),
        );
    }
    if error.is_io() || error.is_connect() || error.is_transport() || error.is_exhausted() {
        return (
            ErrorKind::Unreachable,
            true,
            format!("Pub/Sub can't be reached: {error}"),
        );
    }
    (ErrorKind::Unexpected, false, error.to_string())
}

/// Whether the server answered that it knows no such thing.
pub(super) fn is_not_found(error: &ClientError) -> bool {
    error.status().is_some_and(|status| status.code == Code::NotFound)
}

/// Whether the server answered that the account may not.
pub(super) fn is_denied(error: &ClientError) -> bool {
    error
        .status()
        .is_some_and(|status| status.code == Code::PermissionDenied)
}

/// Whether somebody else made it first.
pub(super) fn is_already_there(error: &ClientError) -> bool {
    error
        .status()
        .is_some_and(|status| status.code == Code::AlreadyExists)
}

/// What became of a publish that failed.
pub(super) fn from_publish(error: &PublishError) -> Error {
    match error {
        PublishError::Rpc(error) => {
            let told = from_client(error, "publish");
            // What was sent and not answered may be stored.
            if told.is_temporary() && !error.is_connect() && !error.is_transient_and_before_rpc() {
                told.with_indeterminate()
            } else {
                told
            }
        }
        PublishError::OrderingKeyPaused => {
            let text = "not sent, since an earlier message of its key failed; publish both again, in order";
            Error::new(ErrorKind::Unreachable, text).with("provider", "pubsub")
        }
        _ => closed(),
    }
}

pub(super) fn closed() -> Error {
    let text = "the connection to Pub/Sub is closed; connect again";
    Error::new(ErrorKind::Closed, text).with("provider", "pubsub")
}

pub(super) fn lease_lost() -> Error {
    let text = "the delivery is not this subscription's any more: it was settled or given back";
    Error::new(ErrorKind::LeaseLost, text).with("provider", "pubsub")
}

pub(super) fn unsupported(asked: &str, instead: &str) -> Error {
    let text = format!("Pub/Sub can't {asked}; {instead}");
    Error::new(ErrorKind::Unsupported, text).with("provider", "pubsub")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use google_cloud_gax::error::CredentialsError;
    use google_cloud_gax::error::rpc::{Code, Status};
    use google_cloud_pubsub::Error as ClientError;
    use google_cloud_pubsub::error::PublishError;

    use super::{TABLE, from_client, from_publish, is_not_found};
    use crate::error::ErrorKind;

    fn answer(code: Code) -> ClientError {
        ClientError::service(Status::default().set_code(code).set_message("said so"))
    }

    #[test]
    fn every_row_of_the_table() {
        for (code, kind, temporary, advice) in TABLE {
            let error = from_client(&answer(code), "test");
            assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("said so") && text.contains(advice) && text.contains(code.name()),
                "{text}"
            );
        }
        let other = from_client(&answer(Code::DataLoss), "test");
        assert_eq!(
            (other.kind(), other.is_temporary()),
            (ErrorKind::Unexpected, false)
        );
        assert!(is_not_found(&answer(Code::NotFound)) && !is_not_found(&answer(Code::Unknown)));
    }

    #[test]
    fn what_was_not_answered_by_the_server() {
        let rows = [
            (
                ClientError::authentication(CredentialsError::from_msg(true, "no net")),
                ErrorKind::Unreachable,
                true,
            ),
            (
                ClientError::authentication(CredentialsError::from_msg(false, "bad key")),
                ErrorKind::Unauthorized,
                false,
            ),
            (ClientError::timeout("slow"), ErrorKind::Timeout, true),
            (ClientError::io("reset"), ErrorKind::Unreachable, true),
            (ClientError::connect("refused"), ErrorKind::Unreachable, true),
            (ClientError::exhausted("tried long"), ErrorKind::Unreachable, true),
            (ClientError::deser("garbage"), ErrorKind::Unexpected, false),
        ];
        for (error, kind, temporary) in rows {
            let ours = from_client(&error, "test");
            assert_eq!((ours.kind(), ours.is_temporary()), (kind, temporary), "{ours}");
        }
    }

    #[test]
    fn a_publish_that_may_be_stored_is_told_from_one_that_is_not() {
        let of = |error| from_publish(&PublishError::Rpc(Arc::new(error)));
        assert!(of(answer(Code::Unavailable)).is_indeterminate());
        assert!(of(ClientError::io("reset")).is_indeterminate());
        assert!(!of(ClientError::connect("refused")).is_indeterminate());
        assert!(!of(answer(Code::NotFound)).is_indeterminate());
        let paused = from_publish(&PublishError::OrderingKeyPaused);
        assert!(paused.is_temporary() && !paused.is_indeterminate(), "{paused}");
        assert_eq!(from_publish(&PublishError::Shutdown).kind(), ErrorKind::Closed);
    }
}
