//! What the server and its client say, as our errors. One table; each row has a test.

use std::error::Error as StdError;

use async_nats::connection::State;
use async_nats::error::Error as NatsError;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{AccountError, AccountErrorKind, RequestError, RequestErrorKind};
use async_nats::{Client, ConnectError, ConnectErrorKind, rustls};

use crate::error::{Error, ErrorKind};

/// The kinds of the server's own error codes (`server/errors.json` of nats-server 2.15), by code.
const CODES: &[(u64, ErrorKind)] = &[
    (10_003, ErrorKind::ConfigInvalid),    // bad request
    (10_005, ErrorKind::Throttled),        // no suitable peers for placement
    (10_008, ErrorKind::Unreachable),      // JetStream system temporarily unavailable
    (10_009, ErrorKind::Unreachable),      // JetStream cluster not available
    (10_013, ErrorKind::TopologyMismatch), // consumer name already in use
    (10_014, ErrorKind::GroupMissing),     // consumer not found
    (10_023, ErrorKind::Throttled),        // insufficient resources
    (10_026, ErrorKind::Throttled),        // maximum consumers limit reached
    (10_027, ErrorKind::Throttled),        // maximum number of streams reached
    (10_028, ErrorKind::Throttled),        // insufficient memory resources available
    (10_039, ErrorKind::Unsupported),      // JetStream not enabled for account
    (10_047, ErrorKind::Throttled),        // insufficient storage resources available
    (10_054, ErrorKind::PayloadTooLarge),  // message size exceeds maximum allowed
    (10_058, ErrorKind::TopologyMismatch), // stream name already in use with a different configuration
    (10_059, ErrorKind::TopicMissing),     // stream not found
    (10_065, ErrorKind::TopologyMismatch), // subjects overlap with an existing stream
    (10_074, ErrorKind::Throttled),        // replicas > 1 not supported in non-clustered mode
    (10_076, ErrorKind::Unsupported),      // JetStream not enabled
    (10_077, ErrorKind::Throttled),        // the stream can't store it: maximum messages or bytes exceeded
    (10_097, ErrorKind::HeaderInvalid),    // header size exceeds maximum allowed of 64k
    (10_099, ErrorKind::TopologyMismatch), // multiple non-filtered consumers not allowed on workqueue stream
    (10_100, ErrorKind::TopologyMismatch), // filtered consumer not unique on workqueue stream
    (10_105, ErrorKind::TopologyMismatch), // consumer already exists, and is bound or of another kind
    (10_109, ErrorKind::TopologyMismatch), // stream is sealed
    (10_148, ErrorKind::TopologyMismatch), // consumer already exists
    (10_167, ErrorKind::Throttled),        // too many requests
    (10_188, ErrorKind::Unsupported),      // message schedules are disabled
    (10_189, ErrorKind::Unsupported),      // message schedules pattern is invalid
    (10_190, ErrorKind::Unsupported),      // message schedules target is invalid
];

/// The error that stands for the server's error `code`, of HTTP-like status `status`.
pub(super) fn answered(code: u64, status: usize, description: &str) -> Error {
    let kind = CODES
        .iter()
        .find_map(|(known, kind)| (*known == code).then_some(*kind))
        .unwrap_or(match status {
            401 | 403 => ErrorKind::Unauthorized,
            408 => ErrorKind::Timeout,
            429 => ErrorKind::Throttled,
            503 => ErrorKind::Unreachable,
            _ => ErrorKind::Unexpected,
        });
    Error::new(
        kind,
        format!("NATS answered {code}: {}", description.escape_debug()),
    )
    .with("provider", "nats")
}

/// The error of a JetStream request that was answered with one.
pub(super) fn of_api(error: &async_nats::jetstream::Error) -> Error {
    let code = code_of(error.error_code());
    answered(code, error.code(), &error.to_string())
}

fn code_of(code: ErrorCode) -> u64 {
    code.0
}

/// The error of a request that got no answer.
pub(super) fn of_request(error: &RequestError) -> Error {
    let (kind, text) = match error.kind() {
        RequestErrorKind::TimedOut => (ErrorKind::Timeout, "NATS did not answer in time"),
        RequestErrorKind::NoResponders => (
            ErrorKind::Unreachable,
            "nobody answers for JetStream; it is not enabled on the server (start it with `-js`), or is not up yet",
        ),
        _ => (ErrorKind::Unexpected, "the request to NATS failed"),
    };
    with_text(Error::new(kind, text), error).with("provider", "nats")
}

/// The error of asking for the account.
pub(super) fn of_account(error: &AccountError) -> Error {
    let (kind, text) = match error.kind() {
        AccountErrorKind::TimedOut => (
            ErrorKind::Unauthorized,
            "NATS does not answer this user about JetStream; give it permission to publish to `$JS.API.>` and to subscribe \
             to `_INBOX.>`",
        ),
        AccountErrorKind::JetStreamUnavailable => (
            ErrorKind::Unsupported,
            "JetStream is not enabled on the server (start it with `-js`), or is not up yet",
        ),
        AccountErrorKind::JetStream(error) => return of_api(&error),
        AccountErrorKind::Other => (ErrorKind::Unexpected, "the request to NATS failed"),
    };
    with_text(Error::new(kind, text), error).with("provider", "nats")
}

/// The error of a connection that could not be made.
pub(super) fn of_connect(error: &ConnectError) -> Error {
    let (kind, text) = match error.kind() {
        ConnectErrorKind::ServerParse => (
            ErrorKind::ConfigInvalid,
            "the addresses of the servers can't be read",
        ),
        ConnectErrorKind::Dns => (ErrorKind::Unreachable, "the host of the server has no address"),
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => (
            ErrorKind::Unauthorized,
            "NATS refused the login; check `user` and `pass`, or `token`",
        ),
        ConnectErrorKind::TimedOut => (ErrorKind::Unreachable, "the server did not answer in time"),
        ConnectErrorKind::Tls => (
            ErrorKind::ConfigInvalid,
            "the connection could not be encrypted; check `tls`",
        ),
        ConnectErrorKind::Io if is_tls(error) => (
            ErrorKind::Unauthorized,
            "the server's certificate was not accepted, or it did not accept ours; check `tls.caFile` and the host's name",
        ),
        ConnectErrorKind::Io => (
            ErrorKind::Unreachable,
            "nothing answers there; check host and port, and that the server runs",
        ),
        ConnectErrorKind::MaxReconnects => (
            ErrorKind::Unreachable,
            "the connection was lost, and not found again in `maxReconnectAttempts`",
        ),
    };
    with_text(Error::new(kind, text), error).with("provider", "nats")
}

/// Whether the cause is TLS's, in the encrypted connection or in setting it up.
pub(super) fn is_tls(error: &ConnectError) -> bool {
    if error.kind() == ConnectErrorKind::Tls {
        return true;
    }
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An I/O error shows the cause that it was made of only so, not as its source.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// The client is gone, or gave up.
pub(super) fn gone(client: &Client) -> Error {
    match client.connection_state() {
        State::Connected => Error::new(ErrorKind::Closed, "the connection to NATS was closed"),
        _ => Error::new(
            ErrorKind::Unreachable,
            "the connection to NATS is lost, and the client no longer tries (`maxReconnectAttempts`)",
        )
        .with_temporary(false),
    }
    .with("provider", "nats")
}

/// The connection is lost, and is being made again; nothing was sent.
pub(super) fn down() -> Error {
    Error::new(
        ErrorKind::Unreachable,
        "the connection to NATS is down, and is being made again",
    )
    .with("provider", "nats")
}

/// The connection was lost after something was sent, and before it was answered.
pub(super) fn cut() -> Error {
    Error::new(
        ErrorKind::Unreachable,
        "the connection to NATS was lost before it confirmed the message",
    )
    .with("provider", "nats")
    .with_indeterminate()
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the provider was closed").with("provider", "nats")
}

pub(super) fn denied(subject: &str) -> Error {
    let text = format!(
        "NATS does not allow this user to publish to `{}`; give it the permission",
        subject.escape_debug()
    );
    Error::new(ErrorKind::Unauthorized, text).with("provider", "nats")
}

/// Adds the client's own text, whose parts are of the server and of the system: no secret is among them, since URLs are
/// given to the client without what stands before their `@`.
fn with_text<K>(error: Error, cause: &NatsError<K>) -> Error
where
    K: Clone + std::fmt::Debug + std::fmt::Display + PartialEq,
{
    error.with_source(cause.to_string().escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use std::io;

    use async_nats::jetstream::context::{RequestError, RequestErrorKind};
    use async_nats::{ConnectError, ConnectErrorKind, rustls};

    use super::{CODES, answered, of_connect, of_request};
    use crate::error::ErrorKind;

    #[test]
    fn every_code_is_there_once_and_has_its_kind() {
        for (at, (code, kind)) in CODES.iter().enumerate() {
            assert!(CODES[..at].iter().all(|(earlier, _)| earlier < code), "{code}");
            let error = answered(*code, 400, "why\n");
            assert_eq!(error.kind(), *kind);
            assert!(error.to_string().contains(&code.to_string()), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_code_that_is_not_known_goes_by_its_status() {
        for (status, kind) in [
            (401, ErrorKind::Unauthorized),
            (403, ErrorKind::Unauthorized),
            (408, ErrorKind::Timeout),
            (429, ErrorKind::Throttled),
            (503, ErrorKind::Unreachable),
            (400, ErrorKind::Unexpected),
            (0, ErrorKind::Unexpected),
        ] {
            assert_eq!(answered(1, status, "").kind(), kind, "{status}");
        }
    }

    #[test]
    fn a_request_without_an_answer_may_be_tried_again() {
        for (kind, wanted, temporary) in [
            (RequestErrorKind::TimedOut, ErrorKind::Timeout, true),
            (RequestErrorKind::NoResponders, ErrorKind::Unreachable, true),
            (RequestErrorKind::Other, ErrorKind::Unexpected, false),
        ] {
            let error = of_request(&RequestError::new(kind));
            assert_eq!((error.kind(), error.is_temporary()), (wanted, temporary));
        }
    }

    #[test]
    fn a_refused_login_is_not_tried_again_and_an_absent_server_is() {
        let certificate = || {
            let cause = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
            io::Error::new(io::ErrorKind::InvalidData, cause)
        };
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for (error, wanted, temporary) in [
            (
                ConnectError::new(ConnectErrorKind::ServerParse),
                ErrorKind::ConfigInvalid,
                false,
            ),
            (
                ConnectError::new(ConnectErrorKind::Dns),
                ErrorKind::Unreachable,
                true,
            ),
            (
                ConnectError::new(ConnectErrorKind::Authentication),
                ErrorKind::Unauthorized,
                false,
            ),
            (
                ConnectError::new(ConnectErrorKind::AuthorizationViolation),
                ErrorKind::Unauthorized,
                false,
            ),
            (
                ConnectError::new(ConnectErrorKind::TimedOut),
                ErrorKind::Unreachable,
                true,
            ),
            (
                ConnectError::new(ConnectErrorKind::Tls),
                ErrorKind::ConfigInvalid,
                false,
            ),
            (ConnectError::from(certificate()), ErrorKind::Unauthorized, false),
            (ConnectError::from(refused()), ErrorKind::Unreachable, true),
            (
                ConnectError::new(ConnectErrorKind::MaxReconnects),
                ErrorKind::Unreachable,
                true,
            ),
        ] {
            let ours = of_connect(&error);
            assert_eq!((ours.kind(), ours.is_temporary()), (wanted, temporary), "{ours}");
        }
    }
}
